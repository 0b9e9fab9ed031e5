//! Arguments for the functions of the Python classes.

use pyo3_ffi::{self as ffi, PyObject};

/// Returns a tuple of `first` and all of `args` as a new reference, or null with an exception set.
///
/// # Safety
/// Attached; a valid object and a tuple.
pub unsafe fn with_first(first: *mut PyObject, args: *mut PyObject) -> *mut PyObject {
    // SAFETY: as the caller promises; the tuple is filled before anything else sees it.
    unsafe {
        let count = ffi::PyTuple_GET_SIZE(args);
        let all = ffi::PyTuple_New(count + 1);
        if all.is_null() {
            return all;
        }
        ffi::Py_INCREF(first);
        ffi::PyTuple_SET_ITEM(all, 0, first);
        for index in 0..count {
            let item = ffi::PyTuple_GET_ITEM(args, index);
            ffi::Py_INCREF(item);
            ffi::PyTuple_SET_ITEM(all, index + 1, item);
        }
        all
    }
}
