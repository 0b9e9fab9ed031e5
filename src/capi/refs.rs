//! References to objects.

use core::ffi::{c_int, c_void};
use core::ptr;

use pyo3_ffi::{self as ffi, PyObject};

unsafe extern "C-unwind" {
    pub fn Py_DecRef(object: *mut PyObject);
}

/// Drops a reference that may be the last and run Python code; null is fine.
///
/// # Safety
/// Attached; the reference is the caller's.
pub unsafe fn drop_ref(object: *mut PyObject) {
    if !object.is_null() {
        // SAFETY: as the caller promises.
        unsafe { Py_DecRef(object) };
    }
}

/// Takes the reference out of a field, then drops it: whatever runs finds the field empty.
///
/// # Safety
/// Attached; the field owns what it holds.
pub unsafe fn clear(field: &mut *mut PyObject) {
    let object = core::mem::replace(field, ptr::null_mut());
    // SAFETY: as the caller promises.
    unsafe { drop_ref(object) };
}

/// Visits these objects, of which any may be null, until a visit says stop.
///
/// # Safety
/// Called by the collector, with what an object refers to.
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
