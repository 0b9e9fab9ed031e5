//! Calls of objects.

use core::ffi::CStr;
use core::ptr;

use pyo3_ffi::{self as ffi, Py_ssize_t, PyObject};

use crate::capi::errors::Raised;
use crate::capi::refs::drop_ref;

unsafe extern "C-unwind" {
    pub fn PyObject_Call(
        callable: *mut PyObject,
        args: *mut PyObject,
        kwargs: *mut PyObject,
    ) -> *mut PyObject;
}

/// Calls an object without arguments. Returns a new reference, or null with an exception set.
///
/// # Safety
/// Attached; a valid object.
pub unsafe fn call_no_args(callable: *mut PyObject) -> *mut PyObject {
    // SAFETY: as the caller promises; the new reference is given back.
    unsafe {
        let nothing = ffi::PyTuple_New(0);
        if nothing.is_null() {
            return ptr::null_mut();
        }
        let result = PyObject_Call(callable, nothing, ptr::null_mut());
        drop_ref(nothing);
        result
    }
}

/// Calls a method. The arguments are laid out as CPython passes them to a `METH_FASTCALL |
/// METH_KEYWORDS` method. Returns a new reference, or null with an exception set.
///
/// # Safety
/// Attached; valid objects.
pub unsafe fn call_method(
    object: *mut PyObject,
    name: &CStr,
    args: *const *mut PyObject,
    nargs: Py_ssize_t,
    kwnames: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: as the caller promises; new references are given back.
    unsafe {
        let method = ffi::PyObject_GetAttrString(object, name.as_ptr());
        if method.is_null() {
            return ptr::null_mut();
        }
        let result = match crate::capi::call::tuple_and_dict(ptr::null_mut(), args, nargs, kwnames)
        {
            Ok((positional, keywords)) => {
                let result = PyObject_Call(method, positional, keywords);
                drop_ref(positional);
                drop_ref(keywords);
                result
            }
            Err(Raised) => ptr::null_mut(),
        };
        drop_ref(method);
        result
    }
}

/// Converts arguments to a tuple and a dict; the dict is null if there are no keywords. `first`
/// becomes the first item of the tuple, unless it is null. Both results are new references.
///
/// # Safety
/// Attached; the arguments are as CPython passes them to a `METH_FASTCALL | METH_KEYWORDS` method.
pub unsafe fn tuple_and_dict(
    first: *mut PyObject,
    args: *const *mut PyObject,
    nargs: Py_ssize_t,
    kwnames: *mut PyObject,
) -> Result<(*mut PyObject, *mut PyObject), Raised> {
    // SAFETY: as the caller promises.
    unsafe {
        let before = Py_ssize_t::from(!first.is_null());
        let tuple = ffi::PyTuple_New(before + nargs);
        if tuple.is_null() {
            return Err(Raised);
        }
        if !first.is_null() {
            ffi::Py_INCREF(first);
            ffi::PyTuple_SET_ITEM(tuple, 0, first);
        }
        for index in 0..nargs {
            let item = *args.offset(index);
            ffi::Py_INCREF(item);
            ffi::PyTuple_SET_ITEM(tuple, before + index, item);
        }
        if kwnames.is_null() {
            return Ok((tuple, ptr::null_mut()));
        }
        let dict = ffi::PyDict_New();
        let mut failed = dict.is_null();
        let mut index = 0;
        while !failed && index < ffi::PyTuple_GET_SIZE(kwnames) {
            let name = ffi::PyTuple_GET_ITEM(kwnames, index);
            failed = ffi::PyDict_SetItem(dict, name, *args.offset(nargs + index)) < 0;
            index += 1;
        }
        if failed {
            drop_ref(tuple);
            drop_ref(dict);
            return Err(Raised);
        }
        Ok((tuple, dict))
    }
}
