//! Numbers, strings and truth, and which of them an object is.

use core::ffi::{CStr, c_char, c_int, c_long, c_longlong, c_ulonglong};

use pyo3_ffi::{self as ffi, Py_ssize_t, PyObject};

use crate::capi::compat;
use crate::capi::errors::Raised;
use crate::capi::object::{Answer, Attached, Borrowed, Exception};

unsafe extern "C-unwind" {
    fn PyObject_IsTrue(object: *mut PyObject) -> c_int;
    fn PyUnicode_FromFormat(format: *const c_char, ...) -> *mut PyObject;
}

/// A comparison.
#[derive(Clone, Copy)]
pub enum Order {
    Less,
    Equal,
    Greater,
}

impl Attached<'_> {
    /// An int.
    #[inline]
    pub fn unsigned(self, value: u64) -> Answer {
        // SAFETY: attached.
        unsafe { self.own(ffi::PyLong_FromUnsignedLongLong(value as c_ulonglong)) }
    }

    /// An int.
    #[inline]
    pub fn signed(self, value: i64) -> Answer {
        // SAFETY: attached.
        unsafe { self.own(ffi::PyLong_FromLongLong(value as c_longlong)) }
    }

    /// A number of things, as an int.
    #[inline]
    pub fn size(self, value: usize) -> Answer {
        // SAFETY: attached.
        unsafe { self.own(ffi::PyLong_FromSize_t(value)) }
    }

    /// A float.
    #[inline]
    pub fn float(self, value: f64) -> Answer {
        // SAFETY: attached.
        unsafe { self.own(ffi::PyFloat_FromDouble(value)) }
    }

    /// A string.
    pub fn string(self, text: &CStr) -> Answer {
        // SAFETY: attached.
        unsafe { self.own(ffi::PyUnicode_FromString(text.as_ptr())) }
    }

    /// An interned string, as names of attributes are.
    pub fn name(self, text: &CStr) -> Answer {
        // SAFETY: attached.
        unsafe { self.own(ffi::PyUnicode_InternFromString(text.as_ptr())) }
    }

    /// `True` or `False`, which live as long as the interpreter.
    #[inline]
    #[must_use]
    pub fn truth_value(self, value: bool) -> Borrowed<'static> {
        // SAFETY: statics of the interpreter.
        unsafe { Borrowed::assume(if value { ffi::Py_True() } else { ffi::Py_False() }) }
    }

    /// The repr `<STATE CLASS object at ADDRESS>`.
    pub fn repr_with_state(self, state: &CStr, of: Borrowed<'_>) -> Answer {
        // SAFETY: attached; the format takes two strings and a pointer.
        unsafe {
            self.own(PyUnicode_FromFormat(
                c"<%s %s object at %p>".as_ptr(),
                state.as_ptr(),
                of.class().name().as_ptr(),
                of.as_ptr(),
            ))
        }
    }

    /// The repr `<function NAME at ADDRESS>`.
    pub fn repr_of_function(self, name: Borrowed<'_>, of: Borrowed<'_>) -> Answer {
        let format = c"<function %S at %p>".as_ptr();
        // SAFETY: attached; the format takes an object and a pointer.
        unsafe { self.own(PyUnicode_FromFormat(format, name.as_ptr(), of.as_ptr())) }
    }
}

impl Borrowed<'_> {
    #[inline]
    #[must_use]
    pub fn is_none(self) -> bool {
        // SAFETY: an address.
        self.as_ptr() == unsafe { ffi::Py_None() }
    }

    #[inline]
    #[must_use]
    pub fn is_true(self) -> bool {
        // SAFETY: an address.
        self.as_ptr() == unsafe { ffi::Py_True() }
    }

    #[inline]
    #[must_use]
    pub fn is_false(self) -> bool {
        // SAFETY: an address.
        self.as_ptr() == unsafe { ffi::Py_False() }
    }

    /// Whether it is an int, and not of a derived class.
    #[inline]
    #[must_use]
    pub fn is_exact_int(self) -> bool {
        // SAFETY: the object is alive.
        unsafe { ffi::PyLong_CheckExact(self.as_ptr()) != 0 }
    }

    #[inline]
    #[must_use]
    pub fn is_int(self) -> bool {
        // SAFETY: the object is alive.
        unsafe { ffi::PyLong_Check(self.as_ptr()) != 0 }
    }

    /// Whether it is a float, and not of a derived class.
    #[inline]
    #[must_use]
    pub fn is_exact_float(self) -> bool {
        // SAFETY: the object is alive.
        unsafe { ffi::PyFloat_CheckExact(self.as_ptr()) != 0 }
    }

    #[inline]
    #[must_use]
    pub fn is_float(self) -> bool {
        // SAFETY: the object is alive.
        unsafe { ffi::PyFloat_Check(self.as_ptr()) != 0 }
    }

    #[inline]
    #[must_use]
    pub fn is_string(self) -> bool {
        // SAFETY: the object is alive.
        unsafe { ffi::PyUnicode_Check(self.as_ptr()) != 0 }
    }

    /// The value of a float, which may be of a derived class.
    #[inline]
    #[must_use]
    pub fn float_value(self) -> Option<f64> {
        // SAFETY: the object is alive, and a float where that is read.
        self.is_float().then(|| unsafe { ffi::PyFloat_AS_DOUBLE(self.as_ptr()) })
    }

    /// The value of an exact int; None for any other object.
    #[inline]
    #[must_use]
    pub fn exact_int(self, _: Attached<'_>) -> Option<IntValue> {
        if !self.is_exact_int() {
            return None;
        }
        let mut overflow = 0;
        // SAFETY: attached; an exact int has no code of its own.
        let value = unsafe { ffi::PyLong_AsLongLongAndOverflow(self.as_ptr(), &mut overflow) };
        Some(match overflow {
            0 => IntValue::Fits(value),
            1.. => IntValue::TooLarge,
            _ => IntValue::TooSmall,
        })
    }

    /// The value of an exact int that fits into a machine word.
    #[inline]
    #[must_use]
    pub fn exact_word(self, py: Attached<'_>) -> Option<Py_ssize_t> {
        match self.exact_int(py)? {
            IntValue::Fits(value) => Py_ssize_t::try_from(value).ok(),
            _ => None,
        }
    }

    /// The truth value, as `bool()` finds it.
    #[inline]
    pub fn truth(self, _: Attached<'_>) -> Result<bool, Raised> {
        // SAFETY: attached; the object is alive.
        match unsafe { PyObject_IsTrue(self.as_ptr()) } {
            0 => Ok(false),
            1.. => Ok(true),
            _ => Err(Raised),
        }
    }

    /// Whether the comparison holds.
    pub fn compare(
        self,
        _: Attached<'_>,
        order: Order,
        other: Borrowed<'_>,
    ) -> Result<bool, Raised> {
        let operator = match order {
            Order::Less => ffi::Py_LT,
            Order::Equal => ffi::Py_EQ,
            Order::Greater => ffi::Py_GT,
        };
        // SAFETY: attached; both objects are alive.
        match unsafe { compat::PyObject_RichCompareBool(self.as_ptr(), other.as_ptr(), operator) } {
            0 => Ok(false),
            1.. => Ok(true),
            _ => Err(Raised),
        }
    }

    /// [`Borrowed::compare`] with zero.
    pub fn compare_with_zero(self, py: Attached<'_>, order: Order) -> Result<bool, Raised> {
        // SAFETY: attached.
        let zero = unsafe { py.own(ffi::PyLong_FromLong(0 as c_long)) }?;
        let result = self.compare(py, order, zero.borrow());
        zero.release(py);
        result
    }

    /// The number of characters of a string; None for an object of any other class, even a derived
    /// one.
    #[inline]
    #[must_use]
    pub fn exact_string_length(self) -> Option<usize> {
        // SAFETY: the object is alive, and a string where its length is read.
        unsafe {
            (ffi::PyUnicode_CheckExact(self.as_ptr()) != 0)
                .then(|| ffi::PyUnicode_GET_LENGTH(self.as_ptr()) as usize)
        }
    }

    /// Whether it is a string with this text.
    #[must_use]
    pub fn is_text(self, text: &CStr) -> bool {
        // SAFETY: the object is alive, and a string where it is compared.
        self.is_string()
            && unsafe { ffi::PyUnicode_CompareWithASCIIString(self.as_ptr(), text.as_ptr()) == 0 }
    }

    /// Whether it is a string with one of these texts.
    #[must_use]
    pub fn is_one_of(self, texts: &[&CStr]) -> bool {
        texts.iter().any(|text| self.is_text(text))
    }

    /// The value of an unsigned int of any class that can be converted.
    pub fn to_unsigned(self, py: Attached<'_>) -> Result<u64, Raised> {
        // SAFETY: attached; the object is alive.
        let value = unsafe { ffi::PyLong_AsUnsignedLongLong(self.as_ptr()) };
        if value == u64::MAX && py.error_is_set() { Err(Raised) } else { Ok(value) }
    }

    /// The value of an int, which may be of a derived class; None for any other object. A number
    /// too large for a machine word counts as the largest one, or as the smallest.
    #[must_use]
    pub fn clamped_int(self, _: Attached<'_>) -> Option<Py_ssize_t> {
        // SAFETY: attached; without an exception class the value is clamped, and an int is its own
        // index.
        self.is_int()
            .then(|| unsafe { ffi::PyNumber_AsSsize_t(self.as_ptr(), core::ptr::null_mut()) })
    }

    /// Raises TypeError unless it can be called.
    pub fn want_callable(self, py: Attached<'_>, words: &CStr) -> Result<(), Raised> {
        if self.is_callable(py) { Ok(()) } else { Err(py.raise(Exception::Type, words)) }
    }
}

/// The value of an int.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum IntValue {
    Fits(i64),
    TooLarge,
    TooSmall,
}
