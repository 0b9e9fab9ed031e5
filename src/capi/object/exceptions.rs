//! Exceptions: to raise one, to look at the one that is set, to put it aside.

use core::ffi::{CStr, c_char};

use pyo3_ffi::{self as ffi, PyObject};

use crate::capi::compat;
use crate::capi::errors::{self, Raised};
use crate::capi::object::{Attached, Borrowed};

unsafe extern "C-unwind" {
    fn PyErr_Display(class: *mut PyObject, value: *mut PyObject, traceback: *mut PyObject);
    fn PyErr_Format(class: *mut PyObject, format: *const c_char, ...) -> *mut PyObject;
}

/// An exception class of the interpreter.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Exception {
    Attribute,
    Import,
    Memory,
    Name,
    Os,
    Overflow,
    Runtime,
    System,
    SystemExit,
    Type,
    Value,
}

impl Exception {
    /// The class.
    #[must_use]
    pub fn class(self) -> Borrowed<'static> {
        // SAFETY: statics of the interpreter, which are set when it starts and live as long.
        unsafe {
            Borrowed::assume(match self {
                Exception::Attribute => ffi::PyExc_AttributeError,
                Exception::Import => ffi::PyExc_ImportError,
                Exception::Memory => ffi::PyExc_MemoryError,
                Exception::Name => ffi::PyExc_NameError,
                Exception::Os => ffi::PyExc_OSError,
                Exception::Overflow => ffi::PyExc_OverflowError,
                Exception::Runtime => ffi::PyExc_RuntimeError,
                Exception::System => ffi::PyExc_SystemError,
                Exception::SystemExit => ffi::PyExc_SystemExit,
                Exception::Type => ffi::PyExc_TypeError,
                Exception::Value => ffi::PyExc_ValueError,
            })
        }
    }
}

impl Attached<'_> {
    /// Raises an exception of the interpreter.
    #[cold]
    pub fn raise(self, exception: Exception, words: &CStr) -> Raised {
        // SAFETY: attached.
        unsafe { ffi::PyErr_SetString(exception.class().as_ptr(), words.as_ptr()) };
        Raised
    }

    /// Raises `RuntimeError`.
    #[cold]
    pub fn runtime_error(self, words: &CStr) -> Raised {
        self.raise(Exception::Runtime, words)
    }

    /// Raises `MemoryError`.
    #[cold]
    pub fn no_memory(self) -> Raised {
        // SAFETY: attached.
        unsafe { ffi::PyErr_NoMemory() };
        Raised
    }

    /// Raises an exception class without arguments.
    #[cold]
    pub fn raise_class(self, class: Borrowed<'_>) -> Raised {
        // SAFETY: attached; the class is alive.
        unsafe { ffi::PyErr_SetNone(class.as_ptr()) };
        Raised
    }

    /// Raises an exception: a class, and an instance of it or its argument.
    #[cold]
    pub fn raise_object(self, class: Borrowed<'_>, value: Borrowed<'_>) -> Raised {
        // SAFETY: attached; the objects are alive.
        unsafe { ffi::PyErr_SetObject(class.as_ptr(), value.as_ptr()) };
        Raised
    }

    /// Raises AttributeError in the interpreter's words.
    #[cold]
    pub fn no_attribute(self, object: Borrowed<'_>, name: Borrowed<'_>) -> Raised {
        // SAFETY: attached; the objects are alive, and the name is a string.
        unsafe { errors::raise_no_attribute(object.as_ptr(), name.as_ptr()) };
        Raised
    }

    /// Raises AttributeError for an attribute that cannot be set. The name may be any object.
    #[cold]
    pub fn read_only_attribute(self, object: Borrowed<'_>, name: Borrowed<'_>) -> Raised {
        // SAFETY: attached; the format takes a string and an object.
        unsafe {
            PyErr_Format(
                Exception::Attribute.class().as_ptr(),
                c"'%.100s' object attribute %R is read-only".as_ptr(),
                object.class().name().as_ptr(),
                name.as_ptr(),
            );
        }
        Raised
    }

    /// Whether an exception is set.
    #[inline]
    #[must_use]
    pub fn error_is_set(self) -> bool {
        // SAFETY: attached.
        unsafe { !ffi::PyErr_Occurred().is_null() }
    }

    /// Whether the exception that is set is of this class.
    #[must_use]
    pub fn has_raised(self, exception: Exception) -> bool {
        // SAFETY: attached, with an exception set.
        unsafe { ffi::PyErr_ExceptionMatches(exception.class().as_ptr()) != 0 }
    }

    /// Forgets the exception that is set, if there is one.
    pub fn clear_error(self) {
        // SAFETY: attached.
        unsafe { ffi::PyErr_Clear() };
    }

    /// Prints an exception to `sys.stderr`.
    pub fn display(
        self,
        class: Borrowed<'_>,
        value: Borrowed<'_>,
        traceback: Option<Borrowed<'_>>,
    ) {
        let traceback = super::as_ptr(traceback);
        // SAFETY: attached; the objects are alive.
        unsafe { PyErr_Display(class.as_ptr(), value.as_ptr(), traceback) };
    }

    /// Takes the exception out of the thread state, if one is set.
    pub fn take_exception(self) -> Pending {
        // SAFETY: attached; `Pending` is restored or forgotten.
        Pending(unsafe { compat::take_exception() })
    }
}

/// An exception that was set, or none.
#[must_use = "an exception that was put aside is restored or forgotten"]
pub struct Pending(compat::Pending);

impl Pending {
    /// Sets the exception again, in the place of the one that is set now.
    pub fn restore(self, py: Attached<'_>) {
        py.clear_error();
        // SAFETY: attached, and no exception is set.
        unsafe { compat::restore_exception(self.0) };
    }

    /// Drops the exception.
    pub fn forget(self, _: Attached<'_>) {
        // SAFETY: attached; the references are ours.
        unsafe { compat::forget_exception(self.0) };
    }
}

impl Borrowed<'_> {
    /// Whether it is an exception class.
    #[must_use]
    pub fn is_exception_class(self) -> bool {
        // SAFETY: the object is alive.
        unsafe { ffi::PyExceptionClass_Check(self.as_ptr()) != 0 }
    }

    /// Whether it is an exception.
    #[must_use]
    pub fn is_exception(self) -> bool {
        // SAFETY: the object is alive.
        unsafe { ffi::PyExceptionInstance_Check(self.as_ptr()) != 0 }
    }
}
