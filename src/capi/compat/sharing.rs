//! Reference counts of objects that threads share without a GIL.

use pyo3_ffi::PyObject;

#[cfg(Py_GIL_DISABLED)]
use crate::capi::compat::thread_ident;

#[cfg(Py_GIL_DISABLED)]
unsafe extern "C-unwind" {
    fn PyUnstable_Object_EnableDeferredRefcount(object: *mut PyObject) -> core::ffi::c_int;
}

/// On free-threaded builds: lets many threads use the object without fighting over its reference
/// count (gh-128691, gh-134761). It is then freed by the garbage collector.
///
/// # Safety
/// Attached, `object` is a GC object.
pub unsafe fn enable_deferred_refcount(object: *mut PyObject) {
    #[cfg(Py_GIL_DISABLED)]
    // SAFETY: as the caller promises. No effect on an object that is deferred already.
    unsafe {
        PyUnstable_Object_EnableDeferredRefcount(object);
    }
    #[cfg(not(Py_GIL_DISABLED))]
    let _ = object;
}

/// Takes a new reference if the calling thread owns the object, in the sense of free-threaded reference
/// counts: the inline part of `Py_INCREF`. No other thread can free such an object before this one
/// leaves native code. So the object may be one that another thread is dropping: the memory of one that
/// is freed stays readable as long, and has no owner.
///
/// # Safety
/// Attached; since the object was last known to be alive, the calling thread has been attached to its
/// interpreter, or something that comes before the end of the object would have been noticed.
#[cfg(Py_GIL_DISABLED)]
#[inline]
pub unsafe fn incref_if_owned(object: *mut PyObject) -> bool {
    use core::ptr::addr_of;
    use core::sync::atomic::{AtomicUsize, Ordering};

    // SAFETY: readable, as the caller promises.
    unsafe {
        // Relaxed, both: no other thread writes to the count, and the owner is this thread or not.
        let owner = &*addr_of!((*object).ob_tid).cast::<AtomicUsize>();
        if owner.load(Ordering::Relaxed) as u64 != thread_ident() {
            return false;
        }
        let count = &*addr_of!((*object).ob_ref_local);
        let more = count.load(Ordering::Relaxed).wrapping_add(1);
        // An object that is never freed has no room for one more, and needs none.
        if more != 0 {
            count.store(more, Ordering::Relaxed);
        }
        true
    }
}

/// To be called at each use of an object that threads share: has its references counted in the
/// deferred way once a thread that did not make it has used it, and no other such object, many
/// times in a row. So an object that is used now and then, or not for long, is freed at once when
/// it is dropped.
///
/// # Safety
/// Attached, `object` is a GC object.
#[inline]
pub unsafe fn note_use(object: *mut PyObject) {
    #[cfg(Py_GIL_DISABLED)]
    // SAFETY: as the caller promises; the fields are those of every object.
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
