//! Functions that CPython calls, made of functions that know by their types what CPython promises.

use core::cell::UnsafeCell;
use core::ffi::c_int;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use core::ptr::{self, NonNull};

use pyo3_ffi::{self as ffi, PyObject};

use crate::capi::errors::Raised;
use crate::capi::object::{Answer, Attached, Borrowed, Class, Owned};

pub use crate::capi::args::Args;

/// The header of a Python object. A cell, because the reference count changes while there are
/// references to the struct.
#[repr(transparent)]
pub struct Header(UnsafeCell<PyObject>);

/// A struct that begins with the header of a Python object, and is the instance layout of a type
/// of ours.
///
/// # Safety
/// `repr(C)`, and the first field is a [`Header`] or a struct that begins with one. All other bytes
/// zero are a valid instance.
pub unsafe trait Instance {}

/// An instance of a type of ours, alive for as long as `'a`.
///
/// It is a pointer, and not a reference, because CPython writes through the pointer that it gives
/// out as an object, and frees the object through it.
pub struct This<'a, T: Instance>(NonNull<T>, PhantomData<&'a T>);

impl<T: Instance> Clone for This<'_, T> {
    #[inline]
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Instance> Copy for This<'_, T> {}

impl<'a, T: Instance> This<'a, T> {
    /// # Safety
    /// The object has this layout, and lives for as long as `'a`.
    #[inline]
    #[must_use]
    pub unsafe fn assume(object: *mut PyObject) -> This<'a, T> {
        // SAFETY: as the caller promises.
        This(unsafe { NonNull::new_unchecked(object.cast()) }, PhantomData)
    }

    /// As an object.
    #[inline]
    #[must_use]
    pub fn object(self) -> Borrowed<'a> {
        // SAFETY: the struct begins with the header, as the trait promises.
        unsafe { Borrowed::assume(self.0.as_ptr().cast()) }
    }

    /// The struct.
    #[inline]
    #[must_use]
    pub fn get(self) -> &'a T {
        // SAFETY: an instance that is alive.
        unsafe { self.0.as_ref() }
    }
}

impl<T: Instance> Deref for This<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.get()
    }
}

/// A new instance, which no other thread has, and the reference to it.
#[must_use = "a new object is released, or given to a function that takes it"]
pub struct New<T: Instance>(NonNull<T>);

impl<T: Instance> New<T> {
    /// A new object of a class. All bytes after the header are zero. The collector tracks it if it
    /// is a GC type.
    ///
    /// # Safety
    /// The class was made for `T`, or is derived from one that was.
    #[inline]
    pub unsafe fn allocate(_: Attached<'_>, class: Class<'_>) -> Result<New<T>, Raised> {
        // SAFETY: attached; every class has a `tp_alloc`, its own or an inherited one.
        let made = unsafe {
            let class = class.as_ptr();
            (*class).tp_alloc.map_or(ptr::null_mut(), |allocate| allocate(class, 0))
        };
        NonNull::new(made.cast()).map(New).ok_or(Raised)
    }

    /// The instance, as long as this reference is kept.
    #[inline]
    #[must_use]
    pub fn this(&self) -> This<'_, T> {
        This(self.0, PhantomData)
    }

    /// The reference.
    #[inline]
    pub fn into_owned(self) -> Owned {
        // SAFETY: the reference is owned.
        unsafe { Owned::assume(self.0.as_ptr().cast()) }
    }

    /// Frees the object.
    pub fn release(self, py: Attached<'_>) {
        self.into_owned().release(py);
    }
}

impl<T: Instance> Deref for New<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: an instance.
        unsafe { self.0.as_ref() }
    }
}

impl<T: Instance> DerefMut for New<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: an instance, which no other thread has.
        unsafe { self.0.as_mut() }
    }
}

/// The module `rthread._rthread`, in a function of it.
#[derive(Clone, Copy)]
pub struct Module<'a>(Borrowed<'a>);

impl<'a> Module<'a> {
    /// # Safety
    /// The module, with its state filled.
    #[inline]
    #[must_use]
    pub unsafe fn assume(module: Borrowed<'a>) -> Module<'a> {
        Module(module)
    }

    /// As an object.
    #[inline]
    #[must_use]
    pub fn object(self) -> Borrowed<'a> {
        self.0
    }
}

/// The result of a function that CPython calls.
pub trait IntoResult {
    /// A new reference, or null if an exception is set.
    fn into_result(self) -> *mut PyObject;
}

impl IntoResult for Answer {
    #[inline]
    fn into_result(self) -> *mut PyObject {
        self.map_or(ptr::null_mut(), Owned::into_raw)
    }
}

/// [`IntoResult::into_result`], as a function.
#[inline]
#[must_use]
pub fn into_reference(result: impl IntoResult) -> *mut PyObject {
    result.into_result()
}

/// A status for CPython: negative if an exception is set.
#[inline]
#[must_use]
pub fn into_status(result: Result<(), Raised>) -> c_int {
    if result.is_ok() { 0 } else { -1 }
}

/// The collector's visit of an object.
#[derive(Clone, Copy)]
pub struct Visitor<'a> {
    visit: ffi::visitproc,
    arg: *mut core::ffi::c_void,
    lifetime: PhantomData<&'a ()>,
}

impl Visitor<'_> {
    /// # Safety
    /// As the collector passes them to a `tp_traverse`.
    #[must_use]
    pub unsafe fn assume(visit: ffi::visitproc, arg: *mut core::ffi::c_void) -> Self {
        Visitor { visit, arg, lifetime: PhantomData }
    }

    /// Visits a reference of the object, if there is one. A result that is not zero ends the
    /// traversal.
    pub fn visit(self, reference: Option<Borrowed<'_>>) -> c_int {
        match reference {
            // SAFETY: the collector's own function, with an object that is alive.
            Some(reference) => unsafe { (self.visit)(reference.as_ptr(), self.arg) },
            None => 0,
        }
    }

    /// Visits references of the object, of which any may be missing.
    pub fn visit_all(self, references: &[Option<Borrowed<'_>>]) -> c_int {
        references
            .iter()
            .map(|&reference| self.visit(reference))
            .find(|&stop| stop != 0)
            .unwrap_or(0)
    }
}

/// Makes a function that CPython calls of one that knows by its types what CPython promises. The
/// first word says what CPython calls, and with which arguments; the struct is the layout of the
/// object:
///
/// - Methods: `no_args` (py, this), `object` (py, this, one argument), `fast` and `fast_keywords`
///   (py, this, args), `var_args` (py, this, tuple).
/// - Functions of the module, without a struct: `module_no_args` (py, module), `module_object`,
///   `module_var_args`, `module_var_keywords` (py, module, tuple, dict).
/// - Attributes: `getter` (py, this), `named_getter` (py, this, name), `named_setter` (py, this,
///   value or None, name).
/// - Slots: `repr` (py, this), `getattr` (py, this, name), `setattr` (py, this, name, value or
///   None), `new` (py, class, tuple, dict).
/// - `class_object` (py, class, one argument): a class method.
#[macro_export]
macro_rules! entry {
    // CPython calls a method attached, with an instance of the method's type. The caller keeps the
    // object and the arguments alive until the method returns.
    (no_args, $function:path: $instance:ty) => {
        $crate::entry!(@reference $function,
            (this: *mut PyObject, _unused: *mut PyObject)
            (This::<$instance>::assume(this)))
    };
    (object, $function:path: $instance:ty) => {
        $crate::entry!(@reference $function,
            (this: *mut PyObject, argument: *mut PyObject)
            (This::<$instance>::assume(this), Borrowed::assume(argument)))
    };
    (var_args, $function:path: $instance:ty) => {
        $crate::entry!(@reference $function,
            (this: *mut PyObject, args: *mut PyObject)
            (This::<$instance>::assume(this), Tuple::assume(Borrowed::assume(args))))
    };
    // There are so many arguments, and one more for each name.
    (fast, $function:path: $instance:ty) => {
        $crate::entry!(@reference $function,
            (this: *mut PyObject, args: *const *mut PyObject, nargs: Py_ssize_t)
            (This::<$instance>::assume(this), Args::assume(args, nargs, null_mut())))
    };
    (fast_keywords, $function:path: $instance:ty) => {
        $crate::entry!(@reference $function,
            (this: *mut PyObject, args: *const *mut PyObject, nargs: Py_ssize_t,
             kwnames: *mut PyObject)
            (This::<$instance>::assume(this), Args::assume(args, nargs, kwnames)))
    };
    (class_object, $function:path) => {
        $crate::entry!(@reference $function,
            (class: *mut PyObject, argument: *mut PyObject)
            (Class::assume(class.cast()), Borrowed::assume(argument)))
    };
    // A function of a module is called with the module.
    (module_no_args, $function:path) => {
        $crate::entry!(@reference $function,
            (module: *mut PyObject, _unused: *mut PyObject)
            (Module::assume(Borrowed::assume(module))))
    };
    (module_object, $function:path) => {
        $crate::entry!(@reference $function,
            (module: *mut PyObject, argument: *mut PyObject)
            (Module::assume(Borrowed::assume(module)), Borrowed::assume(argument)))
    };
    (module_var_args, $function:path) => {
        $crate::entry!(@reference $function,
            (module: *mut PyObject, args: *mut PyObject)
            (Module::assume(Borrowed::assume(module)), Tuple::assume(Borrowed::assume(args))))
    };
    (module_var_keywords, $function:path) => {
        $crate::entry!(@reference $function,
            (module: *mut PyObject, args: *mut PyObject, kwargs: *mut PyObject)
            (Module::assume(Borrowed::assume(module)), Tuple::assume(Borrowed::assume(args)),
             Borrowed::assume_if_any(kwargs).map(|kwargs| Dict::assume(kwargs))))
    };
    // The closure is the name of the property, which lives for ever. The value is null if the
    // attribute is deleted.
    (getter, $function:path: $instance:ty) => {
        $crate::entry!(@reference $function,
            (this: *mut PyObject, _unused: *mut c_void)
            (This::<$instance>::assume(this)))
    };
    (named_getter, $function:path: $instance:ty) => {
        $crate::entry!(@reference $function,
            (this: *mut PyObject, name: *mut c_void)
            (This::<$instance>::assume(this), CStr::from_ptr(name.cast())))
    };
    (named_setter, $function:path: $instance:ty) => {
        $crate::entry!(@status $function,
            (this: *mut PyObject, value: *mut PyObject, name: *mut c_void)
            (This::<$instance>::assume(this), Borrowed::assume_if_any(value),
             CStr::from_ptr(name.cast())))
    };
    // A slot is called with an instance of the type, or, to make one, with the type or a class
    // derived from it. Keyword arguments are a dict or null.
    (repr, $function:path: $instance:ty) => {
        $crate::entry!(@reference $function,
            (this: *mut PyObject)
            (This::<$instance>::assume(this)))
    };
    (getattr, $function:path: $instance:ty) => { $crate::entry!(object, $function: $instance) };
    (setattr, $function:path: $instance:ty) => {
        $crate::entry!(@status $function,
            (this: *mut PyObject, name: *mut PyObject, value: *mut PyObject)
            (This::<$instance>::assume(this), Borrowed::assume(name),
             Borrowed::assume_if_any(value)))
    };
    (new, $function:path) => {
        $crate::entry!(@reference $function,
            (class: *mut PyTypeObject, args: *mut PyObject, kwargs: *mut PyObject)
            (Class::assume(class), Tuple::assume(Borrowed::assume(args)),
             Borrowed::assume_if_any(kwargs).map(|kwargs| Dict::assume(kwargs))))
    };

    (@reference $function:path, $arguments:tt $values:tt) => {
        $crate::entry!(@make $function, into_reference, *mut PyObject, $arguments $values)
    };
    (@status $function:path, $arguments:tt $values:tt) => {
        $crate::entry!(@make $function, into_status, c_int, $arguments $values)
    };
    (@make $function:path, $into:ident, $result:ty,
        ($($argument:ident: $raw:ty),*) ($($value:expr),*)) => {{
        use $crate::capi::entry::names::*;
        unsafe extern "C-unwind" fn entry($($argument: $raw),*) -> $result {
            // SAFETY: as said at each kind above.
            unsafe { $into($function(Attached::assume(), $($value),*)) }
        }
        entry
    }};
}
pub use entry;

/// The names that [`entry!`] uses.
pub mod names {
    pub use core::ffi::{CStr, c_int, c_void};
    pub use core::ptr::null_mut;

    pub use pyo3_ffi::{Py_ssize_t, PyObject, PyTypeObject};

    pub use crate::capi::args::Args;
    pub use crate::capi::entry::{Module, This, into_reference, into_status};
    pub use crate::capi::object::{Attached, Borrowed, Class, Dict, Tuple};
}
