//! Objects that CPython frees and that the collector traverses.

use core::ffi::{c_int, c_void};

use pyo3_ffi::{self as ffi, PyObject};

use crate::capi::entry::{Instance, This, Visitor};
use crate::capi::field::WeakRefs;
use crate::capi::object::Attached;
use crate::capi::{trashcan, types};

/// The layout of a type with [`dealloc`], [`traverse`] and [`clear_all`].
pub trait Collected: Instance {
    /// The place of the list of weak references.
    fn weakrefs(&self) -> &WeakRefs;

    /// Visits every reference of the object except the one to its type. A result that is not zero
    /// ends the traversal.
    fn visit(&self, visitor: Visitor<'_>) -> c_int;

    /// Drops the references through which the object can be in a cycle. No thread can reach the
    /// object any more, but finalizers may still use it.
    fn clear(this: This<'_, Self>, py: Attached<'_>)
    where
        Self: Sized;

    /// Drops the other references, if there are any. The object is about to be freed.
    fn end(&mut self, _: Attached<'_>) {}
}

/// `tp_dealloc`.
///
/// # Safety
/// Called by CPython when no reference to the object is left.
pub unsafe extern "C-unwind" fn dealloc<T: Collected>(slf: *mut PyObject) {
    // SAFETY: as the caller promises.
    unsafe { trashcan::free_with(slf, dealloc::<T>, dealloc_now::<T>) };
}

unsafe extern "C-unwind" fn dealloc_now<T: Collected>(slf: *mut PyObject) {
    // SAFETY: as in `dealloc`.
    unsafe {
        let py = Attached::assume();
        ffi::PyObject_GC_UnTrack(slf.cast());
        let this = This::<T>::assume(slf);
        this.weakrefs().end(slf);
        T::clear(this, py);
        (*slf.cast::<T>()).end(py);
        types::free(slf);
    }
}

/// `tp_traverse`.
///
/// # Safety
/// Called by the collector.
pub unsafe extern "C-unwind" fn traverse<T: Collected>(
    slf: *mut PyObject,
    visit: ffi::visitproc,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: as the caller promises.
    unsafe {
        let this = This::<T>::assume(slf);
        let visitor = Visitor::assume(visit, arg);
        match visitor.visit(Some(this.object().class().object())) {
            0 => this.get().visit(visitor),
            stop => stop,
        }
    }
}

/// `tp_clear`.
///
/// # Safety
/// Called by the collector.
pub unsafe extern "C-unwind" fn clear_all<T: Collected>(slf: *mut PyObject) -> c_int {
    // SAFETY: as the caller promises.
    unsafe { T::clear(This::assume(slf), Attached::assume()) };
    0
}
