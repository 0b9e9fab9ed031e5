//! Errors in CPython's way: an exception is set in the thread state.

use core::ffi::CStr;
use core::ptr;

use crate::capi::refs::drop_ref;
use pyo3_ffi::{self as ffi, PyObject};

/// The fact that an exception is set in the calling thread's state.
#[derive(Debug)]
pub struct Raised;

/// Raises `exception` with `message`. Returns null, for the caller to return.
///
/// # Safety
/// Attached; `exception` is an exception class.
#[cold]
pub unsafe fn raise(exception: *mut PyObject, message: &CStr) -> *mut PyObject {
    // SAFETY: as the caller promises.
    unsafe { ffi::PyErr_SetString(exception, message.as_ptr()) };
    ptr::null_mut()
}

/// Raises AttributeError with the interpreter's message. Returns null, for the caller to return.
///
/// # Safety
/// Attached; a valid object and a string.
#[cold]
pub unsafe fn raise_no_attribute(object: *mut PyObject, name: *mut PyObject) -> *mut PyObject {
    // SAFETY: as the caller promises; new references are given back.
    unsafe {
        let words = c"'%.100s' object has no attribute '%U'";
        let text = ffi::PyUnicode_FromFormat(words.as_ptr(), (*ffi::Py_TYPE(object)).tp_name, name);
        if text.is_null() {
            return ptr::null_mut();
        }
        let class = ffi::PyExc_AttributeError;
        let error = ffi::PyObject_CallFunctionObjArgs(class, text, ptr::null_mut::<PyObject>());
        drop_ref(text);
        if error.is_null() {
            return ptr::null_mut();
        }
        // The interpreter uses these two attributes to suggest another name.
        if ffi::PyObject_SetAttrString(error, c"name".as_ptr(), name) < 0
            || ffi::PyObject_SetAttrString(error, c"obj".as_ptr(), object) < 0
        {
            ffi::PyErr_Clear();
        }
        ffi::PyErr_SetObject(class, error);
        drop_ref(error);
    }
    ptr::null_mut()
}
