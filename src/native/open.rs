//! How a native object becomes what its Python class makes of it.
//!
//! Several threads may open an object at once, and others use it meanwhile. So the parts are put
//! into the dict first, where whoever comes second finds those of the first; the lock that goes
//! with them is held. Then the primitive inside is *closed*, which one thread succeeds in: it sends
//! the waiters over, writes down the last state, and releases the lock. Whoever finds the primitive
//! closed uses the parts, and so waits for that lock.

use core::ffi::{CStr, c_int, c_void};
use core::ptr;

use pyo3_ffi::{self as ffi, PyObject};

use crate::compat::Raised;
use crate::object::{self, Call, Doc, Function, Property, drop_ref};

/// A native class.
pub trait Openable {
    /// # Safety
    /// Attached; `slf` is an object of the class.
    unsafe fn is_open(slf: *mut PyObject) -> bool;

    /// Opens the object, if it is not.
    ///
    /// # Safety
    /// Attached; `slf` is an object of the class.
    unsafe fn open(slf: *mut PyObject) -> Result<(), Raised>;
}

/// `__dict__`, of a class whose objects never open.
pub const DICT: Property =
    Property { name: c"__dict__", get: get_dict, set: Some(set_dict), doc: None };

/// `__dict__`, where it has to show what an object is made of: `vars()` and `copy.copy()` look there.
pub const fn dict_of_parts<T: Openable>() -> Property {
    Property { name: c"__dict__", get: get_parts::<T>, set: Some(set_parts::<T>), doc: None }
}

unsafe extern "C-unwind" fn get_dict(slf: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    // SAFETY: called by CPython with an object of a class with a dict.
    unsafe { ffi::PyObject_GenericGetDict(slf, ptr::null_mut()) }
}

unsafe extern "C-unwind" fn set_dict(
    slf: *mut PyObject,
    value: *mut PyObject,
    _: *mut c_void,
) -> c_int {
    // SAFETY: called by CPython with an object of a class with a dict.
    unsafe { ffi::PyObject_GenericSetDict(slf, value, ptr::null_mut()) }
}

unsafe extern "C-unwind" fn get_parts<T: Openable>(
    slf: *mut PyObject,
    closure: *mut c_void,
) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with an object of the class.
    unsafe { if T::open(slf).is_err() { ptr::null_mut() } else { get_dict(slf, closure) } }
}

unsafe extern "C-unwind" fn set_parts<T: Openable>(
    slf: *mut PyObject,
    value: *mut PyObject,
    closure: *mut c_void,
) -> c_int {
    // SAFETY: called by CPython, attached, with an object of the class.
    unsafe { if T::open(slf).is_err() { -1 } else { set_dict(slf, value, closure) } }
}

/// `__copy__` as for an object of a class written in Python: made by its class and given the parts,
/// which it then shares.
pub const fn copy<T: Openable>() -> Function {
    Function {
        name: c"__copy__",
        call: Call::NoArgs(copied::<T>),
        doc: Doc::Own(c"__copy__($self, /)\n--\n\nHelper for copy.copy()."),
    }
}

unsafe extern "C-unwind" fn copied<T: Openable>(
    slf: *mut PyObject,
    _: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with an object of the class; new references are given
    // back.
    unsafe {
        let class = ffi::Py_TYPE(slf).cast::<PyObject>();
        let twin = object::call_method(class, c"__new__", &class, 1, ptr::null_mut());
        if twin.is_null() {
            return twin;
        }
        let parts = get_parts::<T>(slf, ptr::null_mut());
        let theirs = get_parts::<T>(twin, ptr::null_mut());
        let shared =
            !parts.is_null() && !theirs.is_null() && ffi::PyDict_Update(theirs, parts) == 0;
        drop_ref(parts);
        drop_ref(theirs);
        if shared {
            return twin;
        }
        drop_ref(twin);
        ptr::null_mut()
    }
}

/// An attribute that only an open object has.
pub const fn part<T: Openable>(name: &'static CStr) -> Property {
    Property { name, get: get::<T>, set: Some(set::<T>), doc: None }
}

/// The dict of an object that has one, as a new reference.
///
/// # Safety
/// Attached; a valid object.
pub unsafe fn dict(slf: *mut PyObject) -> Result<*mut PyObject, Raised> {
    // SAFETY: as the caller promises.
    let dict = unsafe { ffi::PyObject_GenericGetDict(slf, ptr::null_mut()) };
    if dict.is_null() { Err(Raised) } else { Ok(dict) }
}

/// Puts `value` into the dict unless there is one of this name. What is there afterwards, as a new
/// reference: somebody may take it out at once, even the next look into the dict, if there are names
/// in it that have code of their own. Takes the reference to `value`, which may be null if making it
/// raised.
///
/// # Safety
/// Attached; a dict.
pub unsafe fn offer_and_keep(
    dict: *mut PyObject,
    name: &CStr,
    value: *mut PyObject,
) -> Result<*mut PyObject, Raised> {
    // SAFETY: as the caller promises.
    unsafe {
        let key = if value.is_null() { ptr::null_mut() } else { name_of(name) };
        let there = if key.is_null() {
            Err(Raised)
        } else {
            crate::compat::dict_set_default(dict, key, value)
        };
        drop_ref(key);
        drop_ref(value);
        there
    }
}

/// The same, for what is not used here.
///
/// # Safety
/// As [`offer_and_keep`].
pub unsafe fn offer(dict: *mut PyObject, name: &CStr, value: *mut PyObject) -> Result<(), Raised> {
    // SAFETY: as the caller promises; the new reference is given back.
    unsafe {
        drop_ref(offer_and_keep(dict, name, value)?);
        Ok(())
    }
}

/// Puts `value` into the dict. Takes the reference to it; null if making it raised.
///
/// # Safety
/// Attached; a dict.
pub unsafe fn store(dict: *mut PyObject, name: &CStr, value: *mut PyObject) -> Result<(), Raised> {
    // SAFETY: as the caller promises.
    unsafe {
        if value.is_null() {
            return Err(Raised);
        }
        let key = name_of(name);
        let stored = if key.is_null() { -1 } else { ffi::PyDict_SetItem(dict, key, value) };
        drop_ref(key);
        drop_ref(value);
        if stored < 0 { Err(Raised) } else { Ok(()) }
    }
}

unsafe fn name_of(name: &CStr) -> *mut PyObject {
    // SAFETY: attached, as every caller promises.
    unsafe { ffi::PyUnicode_InternFromString(name.as_ptr()) }
}

/// A getter for what only an open object has, and for the attributes of an open object. The closure
/// is the name.
///
/// # Safety
/// Called by CPython with an object of the class.
pub unsafe extern "C-unwind" fn get<T: Openable>(
    slf: *mut PyObject,
    name: *mut c_void,
) -> *mut PyObject {
    // SAFETY: attached; the closure is the name of the property, for ever.
    unsafe {
        if T::open(slf).is_err() {
            return ptr::null_mut();
        }
        let (Ok(dict), key) = (dict(slf), name_of(CStr::from_ptr(name.cast()))) else {
            return ptr::null_mut();
        };
        let value = if key.is_null() { Err(Raised) } else { crate::compat::dict_get(dict, key) };
        drop_ref(dict);
        let value = match value {
            Ok(value) => {
                if value.is_null() {
                    ffi::PyErr_Format(
                        ffi::PyExc_AttributeError,
                        c"'%s' object has no attribute '%U'".as_ptr(),
                        short_name(slf),
                        key,
                    );
                }
                value
            }
            Err(Raised) => ptr::null_mut(),
        };
        drop_ref(key);
        value
    }
}

/// A setter for what only an open object has, and for the attributes of an open object.
///
/// # Safety
/// Called by CPython with an object of the class, a value or null, and the name.
pub unsafe extern "C-unwind" fn set<T: Openable>(
    slf: *mut PyObject,
    value: *mut PyObject,
    name: *mut c_void,
) -> c_int {
    // SAFETY: attached; the closure is the name of the property, for ever.
    unsafe {
        let name = CStr::from_ptr(name.cast());
        if T::open(slf).is_err() {
            return -1;
        }
        let Ok(dict) = dict(slf) else { return -1 };
        let done = if value.is_null() {
            if ffi::PyDict_DelItemString(dict, name.as_ptr()) < 0 {
                ffi::PyErr_Clear();
                ffi::PyErr_SetString(ffi::PyExc_AttributeError, name.as_ptr());
                Err(Raised)
            } else {
                Ok(())
            }
        } else {
            ffi::Py_INCREF(value);
            store(dict, name, value)
        };
        drop_ref(dict);
        if done.is_ok() { 0 } else { -1 }
    }
}

/// The name of the object's class without its module.
unsafe fn short_name(slf: *mut PyObject) -> *const core::ffi::c_char {
    // SAFETY: a valid object; the name ends with a NUL.
    unsafe {
        let name = crate::object::type_name(slf);
        let dot = libc::strrchr(name, c_int::from(b'.'));
        if dot.is_null() { name } else { dot.add(1) }
    }
}
