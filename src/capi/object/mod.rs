//! Facts about references as types, so that functions need not ask their callers to promise them.
//!
//! None of these types has a destructor. Up to 3.13 the interpreter may unwind any frame that
//! attaches or runs Python code, and destructors would run then without the GIL. So an owned
//! reference is released by hand; `#[must_use]` points at one that is forgotten.
//!
//! C functions that may run Python code are declared here as `C-unwind` for the same reason.

pub mod attributes;
pub mod class;
pub mod containers;
pub mod exceptions;
pub mod interpreter;
pub mod text;
pub mod values;

use core::marker::PhantomData;
use core::ptr::NonNull;

use pyo3_ffi::{self as ffi, PyObject};

use crate::capi::compat;
use crate::capi::errors::Raised;
use crate::capi::refs;

pub use class::{Class, OwnedClass};
pub use containers::{Dict, Tuple};
pub use exceptions::Exception;

/// The calling thread is attached, for as long as `'py`. It may detach in between, if it is
/// attached again when the function returns.
#[derive(Clone, Copy)]
pub struct Attached<'py>(PhantomData<(&'py (), *mut ())>);

impl<'py> Attached<'py> {
    /// # Safety
    /// The calling thread is attached for as long as `'py`.
    #[inline]
    #[must_use]
    pub unsafe fn assume() -> Attached<'py> {
        Attached(PhantomData)
    }

    /// Takes the result of a C function: a new reference, or null with an exception set.
    ///
    /// # Safety
    /// `result` is one of the two, and the reference is the caller's.
    #[inline]
    pub unsafe fn own(self, result: *mut PyObject) -> Answer {
        NonNull::new(result).map(Owned).ok_or(Raised)
    }

    /// As [`Attached::own`], for a function for which null is no error.
    ///
    /// # Safety
    /// `result` is a new reference, which is the caller's, or null without an exception.
    #[inline]
    pub unsafe fn own_if_any(self, result: *mut PyObject) -> Option<Owned> {
        NonNull::new(result).map(Owned)
    }

    /// Takes the result of a C function: zero, or negative with an exception set.
    #[inline]
    pub fn check(self, result: core::ffi::c_int) -> Result<(), Raised> {
        if result < 0 { Err(Raised) } else { Ok(()) }
    }

    /// A new reference to `None`.
    #[inline]
    pub fn none(self) -> Owned {
        // SAFETY: attached; a new reference.
        Owned(unsafe { NonNull::new_unchecked(compat::none()) })
    }

    /// A new reference to `True` or `False`.
    #[inline]
    pub fn bool(self, value: bool) -> Owned {
        // SAFETY: attached; a new reference.
        Owned(unsafe { NonNull::new_unchecked(compat::bool_object(value)) })
    }
}

/// An object that is alive for as long as `'a`, because another reference is owned for that long.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct Borrowed<'a>(NonNull<PyObject>, PhantomData<&'a PyObject>);

impl<'a> Borrowed<'a> {
    /// # Safety
    /// Not null, and the object lives for as long as `'a`.
    #[inline]
    #[must_use]
    pub unsafe fn assume(object: *mut PyObject) -> Borrowed<'a> {
        // SAFETY: as the caller promises.
        Borrowed(unsafe { NonNull::new_unchecked(object) }, PhantomData)
    }

    /// As [`Borrowed::assume`], for a pointer that may be null.
    ///
    /// # Safety
    /// Null, or the object lives for as long as `'a`.
    #[inline]
    #[must_use]
    pub unsafe fn assume_if_any(object: *mut PyObject) -> Option<Borrowed<'a>> {
        NonNull::new(object).map(|object| Borrowed(object, PhantomData))
    }

    /// For a C function.
    #[inline]
    #[must_use]
    pub fn as_ptr(self) -> *mut PyObject {
        self.0.as_ptr()
    }

    /// One more reference.
    #[inline]
    pub fn own(self, _: Attached<'_>) -> Owned {
        // SAFETY: attached, and the object is alive.
        unsafe { ffi::Py_INCREF(self.as_ptr()) };
        Owned(self.0)
    }

    /// The class of the object.
    #[inline]
    #[must_use]
    pub fn class(self) -> Class<'a> {
        // SAFETY: the object is alive, and has a reference to its class.
        unsafe { Class::assume(ffi::Py_TYPE(self.as_ptr())) }
    }
}

/// A pointer for a C function: null for no object.
#[inline]
#[must_use]
pub fn as_ptr(object: Option<Borrowed<'_>>) -> *mut PyObject {
    object.map_or(core::ptr::null_mut(), Borrowed::as_ptr)
}

/// A reference that the holder of this value owns.
#[must_use = "an owned reference is released, or given to a function that takes it"]
#[repr(transparent)]
pub struct Owned(NonNull<PyObject>);

impl Owned {
    /// # Safety
    /// Not null; the reference is the caller's.
    #[inline]
    pub unsafe fn assume(object: *mut PyObject) -> Owned {
        // SAFETY: as the caller promises.
        Owned(unsafe { NonNull::new_unchecked(object) })
    }

    /// The object, as long as this reference is kept.
    #[inline]
    #[must_use]
    pub fn borrow(&self) -> Borrowed<'_> {
        Borrowed(self.0, PhantomData)
    }

    /// Drops the reference, which may run Python code.
    #[inline]
    pub fn release(self, _: Attached<'_>) {
        // SAFETY: attached, and the reference is owned.
        unsafe { refs::drop_ref(self.0.as_ptr()) };
    }

    /// Gives the reference away: to CPython, or to a field.
    #[inline]
    #[must_use]
    pub fn into_raw(self) -> *mut PyObject {
        self.0.as_ptr()
    }

    /// As [`Owned::into_raw`], for code that stores pointers that are not null.
    #[inline]
    #[must_use]
    pub fn into_non_null(self) -> NonNull<PyObject> {
        self.0
    }
}

/// Drops a reference, if there is one.
#[inline]
pub fn release(reference: Option<Owned>, py: Attached<'_>) {
    if let Some(reference) = reference {
        reference.release(py);
    }
}

/// The result of a function that makes or finds an object. It is laid out like a pointer that is
/// null if an exception is set.
pub type Answer = Result<Owned, Raised>;

const _: () = assert!(size_of::<Answer>() == size_of::<*mut PyObject>());
const _: () = assert!(size_of::<Option<Borrowed<'_>>>() == size_of::<*mut PyObject>());
