//! Attributes of objects, and calls.

use core::ffi::{CStr, c_char, c_int};
use core::ptr;

use pyo3_ffi::{self as ffi, PyObject};

use crate::capi::call::{PyObject_Call, PyObject_VectorcallMethod};
use crate::capi::compat;
use crate::capi::errors::Raised;
use crate::capi::object::{Answer, Attached, Borrowed, Dict, Exception, Owned, Tuple};

unsafe extern "C-unwind" {
    fn PyObject_GetAttrString(object: *mut PyObject, name: *const c_char) -> *mut PyObject;
    fn PyObject_SetAttrString(
        object: *mut PyObject,
        name: *const c_char,
        value: *mut PyObject,
    ) -> c_int;
    fn PyImport_ImportModule(name: *const c_char) -> *mut PyObject;
}

impl<'a> Borrowed<'a> {
    /// The attribute of this name, a string.
    pub fn attribute(self, py: Attached<'_>, name: Borrowed<'_>) -> Answer {
        // SAFETY: attached; both objects are alive.
        unsafe { py.own(compat::PyObject_GetAttr(self.as_ptr(), name.as_ptr())) }
    }

    /// The attribute of this name.
    pub fn attribute_named(self, py: Attached<'_>, name: &CStr) -> Answer {
        // SAFETY: attached; the object is alive.
        unsafe { py.own(PyObject_GetAttrString(self.as_ptr(), name.as_ptr())) }
    }

    /// The attribute of this name; None if there is none, that is, if the look-up raises
    /// AttributeError.
    pub fn attribute_if_any(
        self,
        py: Attached<'_>,
        name: Borrowed<'_>,
    ) -> Result<Option<Owned>, Raised> {
        match self.attribute(py, name) {
            Ok(found) => Ok(Some(found)),
            Err(Raised) if py.has_raised(Exception::Attribute) => {
                py.clear_error();
                Ok(None)
            }
            Err(Raised) => Err(Raised),
        }
    }

    /// Sets an attribute; `None` deletes it.
    pub fn set_attribute(
        self,
        py: Attached<'_>,
        name: Borrowed<'_>,
        value: Option<Borrowed<'_>>,
    ) -> Result<(), Raised> {
        let value = super::as_ptr(value);
        // SAFETY: attached; the objects are alive.
        py.check(unsafe { compat::PyObject_SetAttr(self.as_ptr(), name.as_ptr(), value) })
    }

    /// Sets an attribute.
    pub fn set_attribute_named(
        self,
        py: Attached<'_>,
        name: &CStr,
        value: Borrowed<'_>,
    ) -> Result<(), Raised> {
        // SAFETY: attached; the objects are alive.
        py.check(unsafe { PyObject_SetAttrString(self.as_ptr(), name.as_ptr(), value.as_ptr()) })
    }

    /// Finds an attribute as `object.__getattribute__` does.
    pub fn generic_attribute(self, py: Attached<'_>, name: Borrowed<'_>) -> Answer {
        // SAFETY: attached; both objects are alive.
        unsafe {
            let dict = ptr::null_mut();
            py.own(compat::_PyObject_GenericGetAttrWithDict(self.as_ptr(), name.as_ptr(), dict, 0))
        }
    }

    /// Sets an attribute as `object.__setattr__` does; `None` deletes it.
    pub fn set_generic_attribute(
        self,
        py: Attached<'_>,
        name: Borrowed<'_>,
        value: Option<Borrowed<'_>>,
    ) -> Result<(), Raised> {
        let value = super::as_ptr(value);
        // SAFETY: attached; the objects are alive.
        py.check(unsafe { compat::PyObject_GenericSetAttr(self.as_ptr(), name.as_ptr(), value) })
    }

    /// Finds an attribute as `object.__getattribute__` does, with this dict in the place of the
    /// object's own.
    pub fn attribute_with_dict(
        self,
        py: Attached<'_>,
        name: Borrowed<'_>,
        dict: Dict<'_>,
    ) -> Answer {
        let dict = dict.object().as_ptr();
        // SAFETY: attached; the objects are alive, and one is a dict.
        unsafe {
            let (object, name) = (self.as_ptr(), name.as_ptr());
            py.own(compat::_PyObject_GenericGetAttrWithDict(object, name, dict, 0))
        }
    }

    /// Sets an attribute as `object.__setattr__` does, with this dict in the place of the object's
    /// own; `None` deletes it.
    pub fn set_attribute_with_dict(
        self,
        py: Attached<'_>,
        name: Borrowed<'_>,
        value: Option<Borrowed<'_>>,
        dict: Dict<'_>,
    ) -> Result<(), Raised> {
        let (value, dict) = (super::as_ptr(value), dict.object().as_ptr());
        // SAFETY: attached; the objects are alive, and one is a dict.
        py.check(unsafe {
            let (object, name) = (self.as_ptr(), name.as_ptr());
            compat::_PyObject_GenericSetAttrWithDict(object, name, value, dict)
        })
    }

    /// The dict of an object of a class with dicts.
    pub fn own_dict(self, py: Attached<'_>) -> Answer {
        // SAFETY: attached; the object is alive.
        unsafe { py.own(ffi::PyObject_GenericGetDict(self.as_ptr(), ptr::null_mut())) }
    }

    /// Replaces the dict of an object of a class with dicts; the interpreter refuses `None`.
    pub fn set_own_dict(self, py: Attached<'_>, dict: Option<Borrowed<'_>>) -> Result<(), Raised> {
        let (dict, closure) = (super::as_ptr(dict), ptr::null_mut());
        // SAFETY: attached; both objects are alive.
        py.check(unsafe { ffi::PyObject_GenericSetDict(self.as_ptr(), dict, closure) })
    }

    /// Calls the object with these positional arguments.
    pub fn call(self, py: Attached<'_>, args: &[Borrowed<'_>]) -> Answer {
        let (first, names) = (args.as_ptr().cast(), ptr::null_mut());
        // SAFETY: attached; the objects are alive, and a slice of them is an array of pointers.
        unsafe { py.own(compat::vectorcall(self.as_ptr(), first, args.len(), names)) }
    }

    /// Calls the object with a tuple of positional arguments and a dict of others.
    pub fn call_with(self, py: Attached<'_>, args: Tuple<'_>, kwargs: Option<Dict<'_>>) -> Answer {
        let kwargs = super::as_ptr(kwargs.map(Dict::object));
        // SAFETY: attached; the objects are alive.
        unsafe { py.own(PyObject_Call(self.as_ptr(), args.object().as_ptr(), kwargs)) }
    }

    /// Calls the `tp_init` of the object's class, if there is one.
    pub fn call_init(
        self,
        py: Attached<'_>,
        args: Tuple<'_>,
        kwargs: Option<Dict<'_>>,
    ) -> Result<(), Raised> {
        type Init =
            unsafe extern "C-unwind" fn(*mut PyObject, *mut PyObject, *mut PyObject) -> c_int;
        let kwargs = super::as_ptr(kwargs.map(Dict::object));
        // SAFETY: attached; the object and its class are alive. The slot is called with the
        // arguments that it is declared with, except that it may be unwound.
        py.check(unsafe {
            let Some(init) = (*self.class().as_ptr()).tp_init else { return Ok(()) };
            let init = core::mem::transmute::<ffi::initproc, Init>(init);
            init(self.as_ptr(), args.object().as_ptr(), kwargs)
        })
    }

    /// Calls a method. The first one of `all` is the object.
    ///
    /// # Panics
    /// There is no object.
    pub fn call_method<const N: usize>(
        py: Attached<'_>,
        name: Borrowed<'_>,
        all: [Borrowed<'_>; N],
    ) -> Answer {
        const { assert!(N > 0, "the first one is the object") };
        let (first, names) = (all.as_ptr().cast(), ptr::null_mut());
        // SAFETY: attached; the objects are alive, and the array is one of pointers.
        unsafe { py.own(PyObject_VectorcallMethod(name.as_ptr(), first, N, names)) }
    }

    /// Finds a method by its name, and calls it with these positional arguments.
    pub fn call_method_named(self, py: Attached<'_>, name: &CStr, args: &[Borrowed<'_>]) -> Answer {
        let method = self.attribute_named(py, name)?;
        let result = method.borrow().call(py, args);
        method.release(py);
        result
    }

    /// Whether the object can be called.
    #[must_use]
    pub fn is_callable(self, _: Attached<'_>) -> bool {
        // SAFETY: attached; the object is alive.
        unsafe { ffi::PyCallable_Check(self.as_ptr()) != 0 }
    }

    /// The globals of a Python function; None for any other object.
    #[must_use]
    pub fn function_globals(self, _: Attached<'_>) -> Option<Dict<'a>> {
        // SAFETY: attached; the object is alive. A function keeps its globals, which are a dict.
        unsafe {
            (ffi::PyFunction_Check(self.as_ptr()) != 0)
                .then(|| Dict::assume(Borrowed::assume(ffi::PyFunction_GetGlobals(self.as_ptr()))))
        }
    }

    /// The names in a module; None for any other object.
    #[must_use]
    pub fn module_dict(self, _: Attached<'_>) -> Option<Dict<'a>> {
        // SAFETY: attached; the object is alive. A module keeps its dict.
        unsafe {
            (ffi::PyModule_Check(self.as_ptr()) != 0)
                .then(|| Dict::assume(Borrowed::assume(ffi::PyModule_GetDict(self.as_ptr()))))
        }
    }
}

impl Attached<'_> {
    /// Imports a module.
    pub fn import(self, name: &CStr) -> Answer {
        // SAFETY: attached.
        unsafe { self.own(PyImport_ImportModule(name.as_ptr())) }
    }

    /// A module that has been imported already. None if it has not; an exception may be set then.
    pub fn imported(self, name: &CStr) -> Option<Owned> {
        // SAFETY: attached; a new reference or null.
        unsafe { self.own_if_any(compat::imported_module(name)) }
    }

    /// An attribute of `sys`.
    pub fn sys_attribute(self, name: &CStr) -> Result<Option<Owned>, Raised> {
        // SAFETY: attached; a new reference or null.
        unsafe { compat::sys_attribute(name).map(|found| self.own_if_any(found)) }
    }
}
