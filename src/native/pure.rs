//! Calling the functions of the Python classes that native ones stand in for.

use core::ffi::{CStr, c_int};
use core::ptr;

use pyo3_ffi::{self as ffi, Py_ssize_t, PyObject, PyTypeObject};

use super::Kind;
use crate::args;
use crate::compat::{self, Raised};
use crate::module::State;
use crate::object::drop_ref;

/// The Python class of this kind, borrowed.
///
/// # Safety
/// Attached; `slf` is a native object.
pub unsafe fn class(slf: *mut PyObject, kind: Kind) -> Result<*mut PyObject, Raised> {
    // SAFETY: as the caller promises; there is a native object, so its class has been given.
    unsafe { Ok((*State::of_type(ffi::Py_TYPE(slf))?).natives.pure[kind as usize]) }
}

/// Calls the function `name` of the Python class with the native object and these arguments, given
/// as for `METH_FASTCALL | METH_KEYWORDS`.
///
/// # Safety
/// Attached; `slf` is a native object; the arguments are valid.
#[cold]
pub unsafe fn call(
    slf: *mut PyObject,
    kind: Kind,
    name: &CStr,
    args: *const *mut PyObject,
    nargs: Py_ssize_t,
    kwnames: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: as the caller promises; new references are given back.
    unsafe {
        let Ok((positional, keywords)) = args::tuple_and_dict(slf, args, nargs, kwnames) else {
            return ptr::null_mut();
        };
        let result = call_with(slf, kind, name, positional, keywords);
        drop_ref(positional);
        drop_ref(keywords);
        result
    }
}

/// [`call`] without arguments.
///
/// # Safety
/// As [`call`].
#[cold]
pub unsafe fn call_no_args(slf: *mut PyObject, kind: Kind, name: &CStr) -> *mut PyObject {
    // SAFETY: as the caller promises.
    unsafe { call(slf, kind, name, ptr::null(), 0, ptr::null_mut()) }
}

/// [`call`] with a tuple of arguments, which does not have the object itself yet, and a dict or
/// null: what `tp_init` is given.
///
/// # Safety
/// As [`call`].
#[cold]
pub unsafe fn call_tuple(
    slf: *mut PyObject,
    kind: Kind,
    name: &CStr,
    args: *mut PyObject,
    kwargs: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: as the caller promises; new references are given back.
    unsafe {
        let count = ffi::PyTuple_GET_SIZE(args);
        let all = ffi::PyTuple_New(count + 1);
        if all.is_null() {
            return ptr::null_mut();
        }
        ffi::Py_INCREF(slf);
        ffi::PyTuple_SET_ITEM(all, 0, slf);
        for index in 0..count {
            let item = ffi::PyTuple_GET_ITEM(args, index);
            ffi::Py_INCREF(item);
            ffi::PyTuple_SET_ITEM(all, index + 1, item);
        }
        let result = call_with(slf, kind, name, all, kwargs);
        drop_ref(all);
        result
    }
}

/// # Safety
/// As [`call`]; the first of `args` is `slf`.
unsafe fn call_with(
    slf: *mut PyObject,
    kind: Kind,
    name: &CStr,
    args: *mut PyObject,
    kwargs: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: as the caller promises; the new reference is given back.
    unsafe {
        let Ok(class) = class(slf, kind) else { return ptr::null_mut() };
        let function = ffi::PyObject_GetAttrString(class, name.as_ptr());
        if function.is_null() {
            return ptr::null_mut();
        }
        let result = compat::PyObject_Call(function, args, kwargs);
        drop_ref(function);
        result
    }
}

/// `tp_init` by way of the Python class.
///
/// # Safety
/// As [`call_tuple`].
#[cold]
pub unsafe fn init(
    slf: *mut PyObject,
    kind: Kind,
    args: *mut PyObject,
    kwargs: *mut PyObject,
) -> c_int {
    // SAFETY: as the caller promises; the result is None.
    unsafe {
        let result = call_tuple(slf, kind, c"__init__", args, kwargs);
        drop_ref(result);
        if result.is_null() { -1 } else { 0 }
    }
}

/// The native class of this kind, borrowed.
///
/// # Safety
/// Attached; `slf` is a native object.
pub unsafe fn native_class(slf: *mut PyObject, kind: Kind) -> Result<*mut PyTypeObject, Raised> {
    // SAFETY: as the caller promises.
    unsafe { Ok((*State::of_type(ffi::Py_TYPE(slf))?).natives.types[kind as usize]) }
}

/// Whether the object's class has something of its own in the place of one of `hooks`, which the
/// native class has too: parts with which a derived class makes the Python class work in another
/// way.
///
/// # Safety
/// Attached; `slf` is a native object of this kind.
pub unsafe fn replaces(slf: *mut PyObject, kind: Kind, hooks: &[&CStr]) -> Result<bool, Raised> {
    // SAFETY: as the caller promises; new references are given back.
    unsafe {
        let class = ffi::Py_TYPE(slf);
        let native = native_class(slf, kind)?;
        if class == native {
            return Ok(false);
        }
        for hook in hooks {
            let own = ffi::PyObject_GetAttrString(class.cast(), hook.as_ptr());
            let inherited = ffi::PyObject_GetAttrString(native.cast(), hook.as_ptr());
            drop_ref(own);
            drop_ref(inherited);
            if own.is_null() || inherited.is_null() {
                return Err(Raised);
            }
            if own != inherited {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
