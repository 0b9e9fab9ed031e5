//! Calls of objects.

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
    pub fn PyObject_VectorcallMethod(
        name: *mut PyObject,
        args: *const *mut PyObject,
        nargsf: usize,
        kwnames: *mut PyObject,
    ) -> *mut PyObject;
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
