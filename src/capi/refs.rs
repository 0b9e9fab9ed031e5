//! References to objects.

use core::ffi::{c_int, c_void};
use core::ptr;

use pyo3_ffi::{self as ffi, PyObject};

unsafe extern "C-unwind" {
    pub fn Py_DecRef(object: *mut PyObject);
}

/// Drops a reference. Null is allowed. The reference may be the last one; its finalizer may run
/// Python code.
///
/// # Safety
/// Attached; the reference is the caller's.
pub unsafe fn drop_ref(object: *mut PyObject) {
    if !object.is_null() {
        // SAFETY: as the caller promises.
        unsafe { Py_DecRef(object) };
    }
}

/// Takes the reference out of a field, then drops it. Code that runs during the drop finds the
/// field empty.
///
/// # Safety
/// Attached; the field owns the reference in it.
pub unsafe fn clear(field: &mut *mut PyObject) {
    let object = core::mem::replace(field, ptr::null_mut());
    // SAFETY: as the caller promises.
    unsafe { drop_ref(object) };
}

/// Visits these references, of which any may be null. Stops at the first visit that returns
/// non-zero, and returns that number.
///
/// # Safety
/// Called by the collector, with the references of one object.
pub unsafe fn visit_all(
    references: &[*mut PyObject],
    visit: ffi::visitproc,
    arg: *mut c_void,
) -> c_int {
    for &reference in references {
        if !reference.is_null() {
            // SAFETY: as the caller promises.
            let stop = unsafe { visit(reference, arg) };
            if stop != 0 {
                return stop;
            }
        }
    }
    0
}
