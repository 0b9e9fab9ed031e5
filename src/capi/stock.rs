//! The `_thread` module that the interpreter came with, called *stock*: the specification.
//!
//! rthread reads from it, at run time, the docstrings with their signatures, the list of methods,
//! and whether a type can be subclassed. None of this is written down in rthread. So rthread agrees
//! with the interpreter that it runs on, whatever its version.

use core::ffi::{CStr, c_char, c_ulong};
use core::ptr;

use pyo3_ffi as ffi;

use crate::capi::compat;
use crate::capi::object::{Answer, Attached, Borrowed, Class, OwnedClass, Tuple};

/// What the stock module says about one of its functions or methods.
pub enum Known {
    /// There is none with this name.
    Absent,
    /// There is one, with this docstring; null if it has none.
    Doc(*const c_char),
}

/// Looks `name` up in the stock module or in one of its types. The docstring is a constant of the
/// interpreter and lives as long as the interpreter.
pub fn lookup(py: Attached<'_>, holder: Borrowed<'_>, name: &CStr) -> Known {
    let Ok(object) = holder.attribute_named(py, name) else {
        py.clear_error();
        return Known::Absent;
    };
    // SAFETY: the object is alive, and the definition lives as long as the interpreter.
    let doc = unsafe {
        let definition = compat::method_def(object.borrow().as_ptr());
        if definition.is_null() { ptr::null() } else { (*definition).ml_doc }
    };
    object.release(py);
    Known::Doc(doc)
}

/// The stock type of this name, if there is one.
pub fn type_named(py: Attached<'_>, module: Borrowed<'_>, name: &CStr) -> Option<OwnedClass> {
    let Ok(object) = module.attribute_named(py, name) else {
        py.clear_error();
        return None;
    };
    // On 3.10 to 3.12 `RLock` and `_local` are types too. The object is no type only if a program
    // has patched the module.
    let class = Class::of(object.borrow()).map(|class| class.own(py));
    object.release(py);
    class
}

/// The flags of a type that a Python program can observe.
pub const VISIBLE_FLAGS: c_ulong = ffi::Py_TPFLAGS_BASETYPE
    | ffi::Py_TPFLAGS_IMMUTABLETYPE
    | ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION;

/// Imports the stock module.
pub fn import(py: Attached<'_>) -> Answer {
    py.import(c"_thread")
}

/// Calls a function of the stock module. For the few facts and settings that only the interpreter
/// has.
pub fn call(py: Attached<'_>, module: Borrowed<'_>, name: &CStr, args: Tuple<'_>) -> Answer {
    let function = module.attribute_named(py, name)?;
    let result = function.borrow().call_with(py, args, None);
    function.release(py);
    result
}
