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

/// A status for CPython: negative if an exception is set.
#[inline]
#[must_use]
pub fn status(result: Result<(), Raised>) -> c_int {
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
///   `module_fast`, `module_fast_keywords`, `module_var_args`, `module_var_keywords` (py, module,
///   tuple, dict).
/// - Attributes: `getter` (py, this), `named_getter` (py, this, name), `named_setter` (py, this,
///   value or None, name).
/// - Slots: `repr` (py, this), `getattr` (py, this, name), `setattr` (py, this, name, value or
///   None), `new` (py, class, tuple, dict), `init` (py, this, tuple, dict), `vectorcall` (py, class,
///   args).
/// - `class_object` (py, class, one argument): a class method.
#[macro_export]
macro_rules! entry {
    (no_args, $function:path: $instance:ty) => {{
        unsafe extern "C-unwind" fn entry(
            slf: *mut pyo3_ffi::PyObject,
            _: *mut pyo3_ffi::PyObject,
        ) -> *mut pyo3_ffi::PyObject {
            use $crate::capi::entry::{IntoResult, This};
            use $crate::capi::object::Attached;
            // SAFETY: CPython calls a method attached, with an instance of the method's type. The
            // caller keeps the object and the arguments alive until the method returns.
            unsafe {
                $function(Attached::assume(), This::<$instance>::assume(slf)).into_result()
            }
        }
        entry
    }};
    (object, $function:path: $instance:ty) => {{
        unsafe extern "C-unwind" fn entry(
            slf: *mut pyo3_ffi::PyObject,
            argument: *mut pyo3_ffi::PyObject,
        ) -> *mut pyo3_ffi::PyObject {
            use $crate::capi::entry::{IntoResult, This};
            use $crate::capi::object::{Attached, Borrowed};
            // SAFETY: as for `no_args`.
            unsafe {
                let this = This::<$instance>::assume(slf);
                $function(Attached::assume(), this, Borrowed::assume(argument)).into_result()
            }
        }
        entry
    }};
    (fast, $function:path: $instance:ty) => {{
        unsafe extern "C-unwind" fn entry(
            slf: *mut pyo3_ffi::PyObject,
            args: *const *mut pyo3_ffi::PyObject,
            nargs: pyo3_ffi::Py_ssize_t,
        ) -> *mut pyo3_ffi::PyObject {
            use $crate::capi::entry::{Args, IntoResult, This};
            use $crate::capi::object::Attached;
            // SAFETY: as for `no_args`, with so many arguments.
            unsafe {
                let this = This::<$instance>::assume(slf);
                let args = Args::assume(args, nargs, core::ptr::null_mut());
                $function(Attached::assume(), this, args).into_result()
            }
        }
        entry
    }};
    (fast_keywords, $function:path: $instance:ty) => {{
        unsafe extern "C-unwind" fn entry(
            slf: *mut pyo3_ffi::PyObject,
            args: *const *mut pyo3_ffi::PyObject,
            nargs: pyo3_ffi::Py_ssize_t,
            kwnames: *mut pyo3_ffi::PyObject,
        ) -> *mut pyo3_ffi::PyObject {
            use $crate::capi::entry::{Args, IntoResult, This};
            use $crate::capi::object::Attached;
            // SAFETY: as for `no_args`, with so many arguments.
            unsafe {
                let this = This::<$instance>::assume(slf);
                let args = Args::assume(args, nargs, kwnames);
                $function(Attached::assume(), this, args).into_result()
            }
        }
        entry
    }};
    (var_args, $function:path: $instance:ty) => {{
        unsafe extern "C-unwind" fn entry(
            slf: *mut pyo3_ffi::PyObject,
            args: *mut pyo3_ffi::PyObject,
        ) -> *mut pyo3_ffi::PyObject {
            use $crate::capi::entry::{IntoResult, This};
            use $crate::capi::object::{Attached, Borrowed, Tuple};
            // SAFETY: as for `no_args`, with a tuple.
            unsafe {
                let this = This::<$instance>::assume(slf);
                let args = Tuple::assume(Borrowed::assume(args));
                $function(Attached::assume(), this, args).into_result()
            }
        }
        entry
    }};
    (module_no_args, $function:path) => {{
        unsafe extern "C-unwind" fn entry(
            module: *mut pyo3_ffi::PyObject,
            _: *mut pyo3_ffi::PyObject,
        ) -> *mut pyo3_ffi::PyObject {
            use $crate::capi::entry::{IntoResult, Module};
            use $crate::capi::object::{Attached, Borrowed};
            // SAFETY: CPython calls a function of a module attached, with the module.
            unsafe {
                let module = Module::assume(Borrowed::assume(module));
                $function(Attached::assume(), module).into_result()
            }
        }
        entry
    }};
    (module_object, $function:path) => {{
        unsafe extern "C-unwind" fn entry(
            module: *mut pyo3_ffi::PyObject,
            argument: *mut pyo3_ffi::PyObject,
        ) -> *mut pyo3_ffi::PyObject {
            use $crate::capi::entry::{IntoResult, Module};
            use $crate::capi::object::{Attached, Borrowed};
            // SAFETY: as for `module_no_args`.
            unsafe {
                let module = Module::assume(Borrowed::assume(module));
                $function(Attached::assume(), module, Borrowed::assume(argument)).into_result()
            }
        }
        entry
    }};
    (module_fast, $function:path) => {{
        unsafe extern "C-unwind" fn entry(
            module: *mut pyo3_ffi::PyObject,
            args: *const *mut pyo3_ffi::PyObject,
            nargs: pyo3_ffi::Py_ssize_t,
        ) -> *mut pyo3_ffi::PyObject {
            use $crate::capi::entry::{Args, IntoResult, Module};
            use $crate::capi::object::{Attached, Borrowed};
            // SAFETY: as for `module_no_args`, with so many arguments.
            unsafe {
                let module = Module::assume(Borrowed::assume(module));
                let args = Args::assume(args, nargs, core::ptr::null_mut());
                $function(Attached::assume(), module, args).into_result()
            }
        }
        entry
    }};
    (module_fast_keywords, $function:path) => {{
        unsafe extern "C-unwind" fn entry(
            module: *mut pyo3_ffi::PyObject,
            args: *const *mut pyo3_ffi::PyObject,
            nargs: pyo3_ffi::Py_ssize_t,
            kwnames: *mut pyo3_ffi::PyObject,
        ) -> *mut pyo3_ffi::PyObject {
            use $crate::capi::entry::{Args, IntoResult, Module};
            use $crate::capi::object::{Attached, Borrowed};
            // SAFETY: as for `module_no_args`, with so many arguments.
            unsafe {
                let module = Module::assume(Borrowed::assume(module));
                let args = Args::assume(args, nargs, kwnames);
                $function(Attached::assume(), module, args).into_result()
            }
        }
        entry
    }};
    (module_var_args, $function:path) => {{
        unsafe extern "C-unwind" fn entry(
            module: *mut pyo3_ffi::PyObject,
            args: *mut pyo3_ffi::PyObject,
        ) -> *mut pyo3_ffi::PyObject {
            use $crate::capi::entry::{IntoResult, Module};
            use $crate::capi::object::{Attached, Borrowed, Tuple};
            // SAFETY: as for `module_no_args`, with a tuple.
            unsafe {
                let module = Module::assume(Borrowed::assume(module));
                let args = Tuple::assume(Borrowed::assume(args));
                $function(Attached::assume(), module, args).into_result()
            }
        }
        entry
    }};
    (module_var_keywords, $function:path) => {{
        unsafe extern "C-unwind" fn entry(
            module: *mut pyo3_ffi::PyObject,
            args: *mut pyo3_ffi::PyObject,
            kwargs: *mut pyo3_ffi::PyObject,
        ) -> *mut pyo3_ffi::PyObject {
            use $crate::capi::entry::{IntoResult, Module};
            use $crate::capi::object::{Attached, Borrowed, Dict, Tuple};
            // SAFETY: as for `module_no_args`, with a tuple, and a dict or null.
            unsafe {
                let module = Module::assume(Borrowed::assume(module));
                let args = Tuple::assume(Borrowed::assume(args));
                let kwargs = Borrowed::assume_if_any(kwargs).map(|kwargs| Dict::assume(kwargs));
                $function(Attached::assume(), module, args, kwargs).into_result()
            }
        }
        entry
    }};
    (class_object, $function:path) => {{
        unsafe extern "C-unwind" fn entry(
            class: *mut pyo3_ffi::PyObject,
            argument: *mut pyo3_ffi::PyObject,
        ) -> *mut pyo3_ffi::PyObject {
            use $crate::capi::entry::IntoResult;
            use $crate::capi::object::{Attached, Borrowed, Class};
            // SAFETY: CPython calls a class method attached, with the class.
            unsafe {
                let class = Class::assume(class.cast());
                $function(Attached::assume(), class, Borrowed::assume(argument)).into_result()
            }
        }
        entry
    }};
    (getter, $function:path: $instance:ty) => {{
        unsafe extern "C-unwind" fn entry(
            slf: *mut pyo3_ffi::PyObject,
            _: *mut core::ffi::c_void,
        ) -> *mut pyo3_ffi::PyObject {
            use $crate::capi::entry::{IntoResult, This};
            use $crate::capi::object::Attached;
            // SAFETY: CPython calls a getter attached, with an instance of the type.
            unsafe {
                $function(Attached::assume(), This::<$instance>::assume(slf)).into_result()
            }
        }
        entry
    }};
    (named_getter, $function:path: $instance:ty) => {{
        unsafe extern "C-unwind" fn entry(
            slf: *mut pyo3_ffi::PyObject,
            name: *mut core::ffi::c_void,
        ) -> *mut pyo3_ffi::PyObject {
            use $crate::capi::entry::{IntoResult, This};
            use $crate::capi::object::Attached;
            // SAFETY: as for `getter`; the closure is the name of the property, which lives for
            // ever.
            unsafe {
                let name = core::ffi::CStr::from_ptr(name.cast());
                $function(Attached::assume(), This::<$instance>::assume(slf), name).into_result()
            }
        }
        entry
    }};
    (named_setter, $function:path: $instance:ty) => {{
        unsafe extern "C-unwind" fn entry(
            slf: *mut pyo3_ffi::PyObject,
            value: *mut pyo3_ffi::PyObject,
            name: *mut core::ffi::c_void,
        ) -> core::ffi::c_int {
            use $crate::capi::entry::{This, status};
            use $crate::capi::object::{Attached, Borrowed};
            // SAFETY: as for `named_getter`; the value is null if the attribute is deleted.
            unsafe {
                let name = core::ffi::CStr::from_ptr(name.cast());
                let this = This::<$instance>::assume(slf);
                let value = Borrowed::assume_if_any(value);
                status($function(Attached::assume(), this, value, name))
            }
        }
        entry
    }};
    (repr, $function:path: $instance:ty) => {{
        unsafe extern "C-unwind" fn entry(
            slf: *mut pyo3_ffi::PyObject,
        ) -> *mut pyo3_ffi::PyObject {
            use $crate::capi::entry::{IntoResult, This};
            use $crate::capi::object::Attached;
            // SAFETY: CPython calls a slot attached, with an instance of the type.
            unsafe {
                $function(Attached::assume(), This::<$instance>::assume(slf)).into_result()
            }
        }
        entry
    }};
    (getattr, $function:path: $instance:ty) => { $crate::entry!(object, $function: $instance) };
    (setattr, $function:path: $instance:ty) => {{
        unsafe extern "C-unwind" fn entry(
            slf: *mut pyo3_ffi::PyObject,
            name: *mut pyo3_ffi::PyObject,
            value: *mut pyo3_ffi::PyObject,
        ) -> core::ffi::c_int {
            use $crate::capi::entry::{This, status};
            use $crate::capi::object::{Attached, Borrowed};
            // SAFETY: as for `repr`; the value is null if the attribute is deleted.
            unsafe {
                let this = This::<$instance>::assume(slf);
                let (name, value) = (Borrowed::assume(name), Borrowed::assume_if_any(value));
                status($function(Attached::assume(), this, name, value))
            }
        }
        entry
    }};
    (new, $function:path) => {{
        unsafe extern "C-unwind" fn entry(
            class: *mut pyo3_ffi::PyTypeObject,
            args: *mut pyo3_ffi::PyObject,
            kwargs: *mut pyo3_ffi::PyObject,
        ) -> *mut pyo3_ffi::PyObject {
            use $crate::capi::entry::IntoResult;
            use $crate::capi::object::{Attached, Borrowed, Class, Dict, Tuple};
            // SAFETY: CPython calls a slot attached, with the type or a class derived from it, a
            // tuple, and a dict or null.
            unsafe {
                let class = Class::assume(class);
                let args = Tuple::assume(Borrowed::assume(args));
                let kwargs = Borrowed::assume_if_any(kwargs).map(|kwargs| Dict::assume(kwargs));
                $function(Attached::assume(), class, args, kwargs).into_result()
            }
        }
        entry
    }};
    (init, $function:path: $instance:ty) => {{
        unsafe extern "C-unwind" fn entry(
            slf: *mut pyo3_ffi::PyObject,
            args: *mut pyo3_ffi::PyObject,
            kwargs: *mut pyo3_ffi::PyObject,
        ) -> core::ffi::c_int {
            use $crate::capi::entry::{This, status};
            use $crate::capi::object::{Attached, Borrowed, Dict, Tuple};
            // SAFETY: as for `new`, with an instance of the type.
            unsafe {
                let this = This::<$instance>::assume(slf);
                let args = Tuple::assume(Borrowed::assume(args));
                let kwargs = Borrowed::assume_if_any(kwargs).map(|kwargs| Dict::assume(kwargs));
                status($function(Attached::assume(), this, args, kwargs))
            }
        }
        entry
    }};
}
pub use entry;
