//! References to objects.

use pyo3_ffi::PyObject;

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
