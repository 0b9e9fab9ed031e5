//! Objects that are put off: they are freed later, see `capi::trashcan`.

use core::ptr;

use pyo3_ffi::{self as ffi, PyObject};

/// Whether each type has to make sure that freeing a long chain of objects does not overflow the
/// stack. From 3.14 on the interpreter does it for all types.
pub const DEALLOCS_NEST: bool = cfg!(not(Py_3_14));

/// The place of the link from one object that is put off to the next one. It is the first word of
/// the `PyGC_Head` in front of the object, in all versions with a GIL. The collector does not use
/// that word any more, because the object is untracked.
#[cfg(not(Py_GIL_DISABLED))]
unsafe fn collector_link(object: *mut PyObject) -> *mut usize {
    // SAFETY: every object with GC support is preceded by these two words.
    unsafe { object.cast::<usize>().sub(2) }
}

/// Untracks an object that is about to be freed, and links it to `next`, which may be null.
///
/// # Safety
/// Attached. The object has GC support, and no references to it are left. [`DEALLOCS_NEST`] is
/// true.
pub unsafe fn put_off(object: *mut PyObject, next: *mut PyObject) {
    // SAFETY: as the caller promises.
    unsafe {
        ffi::PyObject_GC_UnTrack(object.cast());
        #[cfg(not(Py_GIL_DISABLED))]
        collector_link(object).write(next.expose_provenance());
        #[cfg(Py_GIL_DISABLED)]
        let _ = next;
    }
}

/// The object that [`put_off`] has linked to this one. Removes the link.
///
/// # Safety
/// Attached. The object has been put off.
pub unsafe fn next_put_off(object: *mut PyObject) -> *mut PyObject {
    #[cfg(not(Py_GIL_DISABLED))]
    // SAFETY: as the caller promises. Zero in this word means that the object is untracked.
    unsafe {
        ptr::with_exposed_provenance_mut(collector_link(object).replace(0))
    }
    #[cfg(Py_GIL_DISABLED)]
    {
        let _ = object;
        ptr::null_mut()
    }
}
