//! Facts about references as types, so that functions need not ask their callers to promise them.
//!
//! None of these types has a destructor. Up to 3.13 the interpreter may unwind any frame that
//! attaches or runs Python code, and destructors would run then without the GIL. So an owned
//! reference is released by hand; `#[must_use]` points at one that is forgotten.

use core::ffi::CStr;
use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr::{self, NonNull};

use pyo3_ffi::{self as ffi, PyObject};

use crate::capi::errors::Raised;
use crate::capi::refs;

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
    pub unsafe fn own(self, result: *mut PyObject) -> Result<Owned, Raised> {
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

    /// Raises `MemoryError`.
    #[cold]
    pub fn no_memory(self) -> Raised {
        // SAFETY: attached.
        unsafe { ffi::PyErr_NoMemory() };
        Raised
    }

    /// A new dict.
    #[inline]
    pub fn dict(self) -> Result<Owned, Raised> {
        // SAFETY: attached.
        unsafe { self.own(ffi::PyDict_New()) }
    }

    /// A new reference to `None`.
    #[inline]
    pub fn none(self) -> Owned {
        // SAFETY: attached; `None` always exists.
        unsafe { Borrowed::assume(ffi::Py_None()) }.own(self)
    }

    /// A new reference to `True` or `False`.
    #[inline]
    pub fn bool(self, value: bool) -> Owned {
        // SAFETY: attached; both always exist.
        unsafe { Borrowed::assume(if value { ffi::Py_True() } else { ffi::Py_False() }) }.own(self)
    }

    /// Raises `RuntimeError`.
    #[cold]
    pub fn runtime_error(self, message: &CStr) -> Raised {
        // SAFETY: attached; the class is a static of the interpreter.
        unsafe { ffi::PyErr_SetString(ffi::PyExc_RuntimeError, message.as_ptr()) };
        Raised
    }
}

/// An object that is alive for as long as `'py`, because another reference is owned for that long.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct Borrowed<'py>(NonNull<PyObject>, PhantomData<&'py PyObject>);

impl<'py> Borrowed<'py> {
    /// # Safety
    /// Not null, and the object lives for as long as `'py`.
    #[inline]
    #[must_use]
    pub unsafe fn assume(object: *mut PyObject) -> Borrowed<'py> {
        // SAFETY: as the caller promises.
        Borrowed(unsafe { NonNull::new_unchecked(object) }, PhantomData)
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
}

/// A reference that the holder of this value owns.
#[must_use = "an owned reference is released, or given to a function that takes it"]
#[repr(transparent)]
pub struct Owned(NonNull<PyObject>);

impl Owned {
    /// The object, as long as this reference is kept.
    #[inline]
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
    pub fn into_raw(self) -> *mut PyObject {
        self.0.as_ptr()
    }
}

/// Drops a reference, if there is one.
#[inline]
pub fn release(reference: Option<Owned>, py: Attached<'_>) {
    if let Some(reference) = reference {
        reference.release(py);
    }
}

/// The result of a function that CPython calls.
pub type Answer = Result<Owned, Raised>;

/// An answer as CPython wants it: null if an exception is set.
#[inline]
pub fn answer(answer: Answer) -> *mut PyObject {
    answer.map_or(ptr::null_mut(), Owned::into_raw)
}

/// A struct that begins with the header of a Python object, and is the instance layout of a type
/// of ours.
///
/// # Safety
/// `repr(C)`, and the first field is a `PyObject` or a struct that begins with one.
pub unsafe trait Instance {}

/// An instance of a type of ours, alive for as long as `'py`.
pub struct This<'py, T: Instance>(&'py T);

impl<T: Instance> Clone for This<'_, T> {
    #[inline]
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Instance> Copy for This<'_, T> {}

impl<'py, T: Instance> This<'py, T> {
    /// # Safety
    /// The object has this layout, and lives for as long as `'py`.
    #[inline]
    #[must_use]
    pub unsafe fn assume(object: *mut PyObject) -> This<'py, T> {
        // SAFETY: as the caller promises.
        This(unsafe { &*object.cast::<T>() })
    }

    /// As an object.
    #[inline]
    #[must_use]
    pub fn object(self) -> Borrowed<'py> {
        // SAFETY: the struct begins with the header, as the trait promises.
        unsafe { Borrowed::assume(ptr::from_ref(self.0).cast_mut().cast()) }
    }
}

impl<T: Instance> Deref for This<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.0
    }
}

/// Makes a function that CPython calls of one that knows by its types what CPython promises:
/// `entry!(no_args, function: Struct)`, for a method without arguments; `object` for one with one
/// argument; `getter` for a property.
#[macro_export]
macro_rules! entry {
    (no_args, $function:path: $instance:ty) => {{
        unsafe extern "C-unwind" fn entry(
            slf: *mut pyo3_ffi::PyObject,
            _: *mut pyo3_ffi::PyObject,
        ) -> *mut pyo3_ffi::PyObject {
            use $crate::capi::object::{Attached, This, answer};
            // SAFETY: CPython calls a method attached, with an instance of the method's type that
            // lives until the method returns.
            unsafe { answer($function(Attached::assume(), This::<$instance>::assume(slf))) }
        }
        entry
    }};
    (object, $function:path: $instance:ty) => {{
        unsafe extern "C-unwind" fn entry(
            slf: *mut pyo3_ffi::PyObject,
            argument: *mut pyo3_ffi::PyObject,
        ) -> *mut pyo3_ffi::PyObject {
            use $crate::capi::object::{Attached, Borrowed, This, answer};
            // SAFETY: as above, and the argument lives as long.
            unsafe {
                answer($function(
                    Attached::assume(),
                    This::<$instance>::assume(slf),
                    Borrowed::assume(argument),
                ))
            }
        }
        entry
    }};
    (setattr, $function:path: $instance:ty) => {{
        unsafe extern "C-unwind" fn entry(
            slf: *mut pyo3_ffi::PyObject,
            name: *mut pyo3_ffi::PyObject,
            value: *mut pyo3_ffi::PyObject,
        ) -> core::ffi::c_int {
            use $crate::capi::object::{Attached, Borrowed, This};
            // SAFETY: as above; the value is null if the attribute is deleted.
            unsafe {
                let value = (!value.is_null()).then(|| Borrowed::assume(value));
                let this = This::<$instance>::assume(slf);
                match $function(Attached::assume(), this, Borrowed::assume(name), value) {
                    Ok(()) => 0,
                    Err(_) => -1,
                }
            }
        }
        entry
    }};
    (getter, $function:path: $instance:ty) => {{
        unsafe extern "C-unwind" fn entry(
            slf: *mut pyo3_ffi::PyObject,
            _: *mut core::ffi::c_void,
        ) -> *mut pyo3_ffi::PyObject {
            use $crate::capi::object::{Attached, This, answer};
            // SAFETY: CPython calls a getter attached, with an instance of the type.
            unsafe { answer($function(Attached::assume(), This::<$instance>::assume(slf))) }
        }
        entry
    }};
}
pub use entry;
