//! Objects whose end is put off.

use core::ptr;

use pyo3_ffi::{self as ffi, PyObject};

/// Whether it is for each type to see that long chains of objects are freed without running out of
/// stack: from 3.14 on the interpreter does that for all.
pub const DEALLOCS_NEST: bool = cfg!(not(Py_3_14));

/// The link to the next object in the header of one that the collector does not know any more, and knew:
/// the first word of the `PyGC_Head` before it, in all versions with a GIL.
#[cfg(not(Py_GIL_DISABLED))]
unsafe fn collector_link(object: *mut PyObject) -> *mut usize {
    // SAFETY: every object of a type that the collector knows is preceded by these two words.
    unsafe { object.cast::<usize>().sub(2) }
}

/// Links an object that is about to be freed to another, which may be null. It leaves the collector.
///
/// # Safety
/// Attached; an object of a type that the collector knows, without references to it; a version in which
/// [`DEALLOCS_NEST`].
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

/// The object that one was linked to by [`put_off`], and is no longer.
///
/// # Safety
/// Attached; after that.
pub unsafe fn next_put_off(object: *mut PyObject) -> *mut PyObject {
    #[cfg(not(Py_GIL_DISABLED))]
    // SAFETY: as the caller promises; zero says that the collector does not know it.
    unsafe {
        ptr::with_exposed_provenance_mut(collector_link(object).replace(0))
    }
    #[cfg(Py_GIL_DISABLED)]
    {
        let _ = object;
        ptr::null_mut()
    }
}
