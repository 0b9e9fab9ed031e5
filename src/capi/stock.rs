//! The `_thread` module that the interpreter came with, called *stock*: the specification.
//!
//! rthread reads from it, at run time, the docstrings with their signatures, the list of methods,
//! and whether a type can be subclassed. None of this is written down in rthread. So rthread agrees
//! with the interpreter that it runs on, whatever its version.

use core::ffi::{CStr, c_char, c_ulong};
use core::ptr;

use pyo3_ffi::{self as ffi, PyObject, PyTypeObject};

use crate::capi::call::PyObject_Call;
use crate::capi::compat;
use crate::capi::errors::Raised;
use crate::capi::refs::Py_DecRef;

/// What the stock module says about one of its functions or methods.
pub enum Known {
    /// There is none with this name.
    Absent,
    /// There is one, with this docstring; null if it has none.
    Doc(*const c_char),
}

/// Looks `name` up in the stock module or in one of its types. The docstring is a constant of the
/// interpreter and lives as long as the interpreter.
///
/// # Safety
/// Attached; `holder` is a valid object.
pub unsafe fn lookup(holder: *mut PyObject, name: &CStr) -> Known {
    // SAFETY: as the caller promises; the new reference is given back.
    unsafe {
        let object = ffi::PyObject_GetAttrString(holder, name.as_ptr());
        if object.is_null() {
            ffi::PyErr_Clear();
            return Known::Absent;
        }
        let definition = compat::method_def(object);
        let doc = if definition.is_null() { ptr::null() } else { (*definition).ml_doc };
        ffi::Py_DECREF(object);
        Known::Doc(doc)
    }
}

/// The stock type of this name as a new reference, or null if there is none.
///
/// # Safety
/// Attached; `module` is the stock module.
pub unsafe fn type_named(module: *mut PyObject, name: &CStr) -> *mut PyTypeObject {
    // SAFETY: as the caller promises.
    unsafe {
        let object = ffi::PyObject_GetAttrString(module, name.as_ptr());
        if object.is_null() {
            ffi::PyErr_Clear();
            return ptr::null_mut();
        }
        // On 3.10 to 3.12 `RLock` and `_local` are types too. The object is no type only if a
        // program has patched the module.
        if ffi::PyType_Check(object) == 0 {
            ffi::Py_DECREF(object);
            return ptr::null_mut();
        }
        object.cast()
    }
}

/// The flags of a type that a Python program can observe.
pub const VISIBLE_FLAGS: c_ulong = ffi::Py_TPFLAGS_BASETYPE
    | ffi::Py_TPFLAGS_IMMUTABLETYPE
    | ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION;

/// Imports the stock module.
///
/// # Safety
/// Attached.
pub unsafe fn import() -> Result<*mut PyObject, Raised> {
    // SAFETY: attached, as the caller promises.
    let module = unsafe { ffi::PyImport_ImportModule(c"_thread".as_ptr()) };
    if module.is_null() { Err(Raised) } else { Ok(module) }
}

/// Calls a function of the stock module. For the few facts and settings that only the interpreter
/// has. Returns a new reference, or null with an exception set.
///
/// # Safety
/// Attached; `module` is the stock module; `args` is a tuple.
pub unsafe fn call(module: *mut PyObject, name: &CStr, args: *mut PyObject) -> *mut PyObject {
    // SAFETY: as the caller promises.
    unsafe {
        let function = ffi::PyObject_GetAttrString(module, name.as_ptr());
        if function.is_null() {
            return ptr::null_mut();
        }
        let result = PyObject_Call(function, args, ptr::null_mut());
        Py_DecRef(function);
        result
    }
}
