//! Reference counts of objects that several threads use, on free-threaded builds.

use pyo3_ffi::PyObject;

#[cfg(Py_GIL_DISABLED)]
use crate::capi::compat::thread_ident;

#[cfg(Py_GIL_DISABLED)]
unsafe extern "C-unwind" {
    fn PyUnstable_Object_EnableDeferredRefcount(object: *mut PyObject) -> core::ffi::c_int;
}

/// Switches an object to deferred reference counting, on free-threaded builds. Many threads can
/// then use it without contention on its reference count (gh-128691, gh-134761). From then on only
/// the garbage collector frees it.
///
/// # Safety
/// Attached, `object` is a GC object.
pub unsafe fn enable_deferred_refcount(object: *mut PyObject) {
    #[cfg(Py_GIL_DISABLED)]
    // SAFETY: as the caller promises. The call has no effect on an object that is deferred already.
    unsafe {
        PyUnstable_Object_EnableDeferredRefcount(object);
    }
    #[cfg(not(Py_GIL_DISABLED))]
    let _ = object;
}

/// Takes a new reference if the calling thread *owns* the object, in the sense of biased reference
/// counting: the inline part of `Py_INCREF`. False if it does not own it.
///
/// While the calling thread runs native code, no other thread can free an object that it owns. So
/// this may be called for an object that another thread is just dropping. If the object has been
/// freed, its memory stays readable for that long, and has no owner.
///
/// # Safety
/// Attached. The object was alive at some moment, and this thread has been attached to its
/// interpreter ever since. Or the caller would have noticed an event that comes before the object
/// is freed.
#[cfg(Py_GIL_DISABLED)]
#[inline]
pub unsafe fn incref_if_owned(object: *mut PyObject) -> bool {
    use core::ptr::addr_of;
    use core::sync::atomic::{AtomicUsize, Ordering};

    // SAFETY: readable, as the caller promises.
    unsafe {
        // Relaxed, for both fields. No other thread writes the local count. The owner is only
        // compared with the calling thread, which either is the owner or is not.
        let owner = &*addr_of!((*object).ob_tid).cast::<AtomicUsize>();
        if owner.load(Ordering::Relaxed) as u64 != thread_ident() {
            return false;
        }
        let count = &*addr_of!((*object).ob_ref_local);
        let more = count.load(Ordering::Relaxed).wrapping_add(1);
        // The count of an immortal object has no room for one more, and needs none.
        if more != 0 {
            count.store(more, Ordering::Relaxed);
        }
        true
    }
}

/// Notes a use of an object that several threads may share. Switches the object to deferred
/// reference counting when one thread, which has not made it, has used it many times in a row and
/// no other such object in between. An object that is used now and then, or for a short time, stays
/// as it is: it is freed as soon as it is dropped.
///
/// # Safety
/// Attached, `object` is a GC object.
#[inline]
pub unsafe fn note_use(object: *mut PyObject) {
    #[cfg(Py_GIL_DISABLED)]
    // SAFETY: as the caller promises. Every object has these fields.
    unsafe {
        /// `_PyGC_BITS_DEFERRED`.
        const DEFERRED: u8 = 1 << 6;
        if (*object).ob_tid as u64 != thread_ident() && (*object).ob_gc_bits & DEFERRED == 0 {
            note_use_by_another(object);
        }
    }
    #[cfg(not(Py_GIL_DISABLED))]
    let _ = object;
}

#[cfg(Py_GIL_DISABLED)]
#[inline(never)]
unsafe fn note_use_by_another(object: *mut PyObject) {
    use core::cell::Cell;
    const OFTEN: u32 = 100;
    thread_local! {
        static LAST: Cell<(usize, u32)> = const { Cell::new((0, 0)) };
    }
    let (last, uses) = LAST.get();
    let uses = if last == object.addr() { uses + 1 } else { 1 };
    LAST.set((object.addr(), uses));
    if uses == OFTEN {
        LAST.set((0, 0));
        // SAFETY: as the caller promises.
        unsafe { enable_deferred_refcount(object) };
    }
}
