//! Classes.

use core::ffi::{CStr, c_ulong, c_void};
use core::marker::PhantomData;
use core::ptr::NonNull;

use pyo3_ffi::{self as ffi, PyTypeObject};

use crate::capi::compat;
use crate::capi::object::{Attached, Borrowed, Dict, Owned};

/// A class that is alive for as long as `'a`.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct Class<'a>(NonNull<PyTypeObject>, PhantomData<&'a PyTypeObject>);

impl<'a> Class<'a> {
    /// # Safety
    /// Not null, and the class lives for as long as `'a`.
    #[inline]
    #[must_use]
    pub unsafe fn assume(class: *mut PyTypeObject) -> Class<'a> {
        // SAFETY: as the caller promises.
        Class(unsafe { NonNull::new_unchecked(class) }, PhantomData)
    }

    /// As [`Class::assume`], for a pointer that may be null.
    ///
    /// # Safety
    /// Null, or the class lives for as long as `'a`.
    #[inline]
    #[must_use]
    pub unsafe fn assume_if_any(class: *mut PyTypeObject) -> Option<Class<'a>> {
        NonNull::new(class).map(|class| Class(class, PhantomData))
    }

    /// An object as a class, if it is one.
    #[must_use]
    pub fn of(object: Borrowed<'a>) -> Option<Class<'a>> {
        // SAFETY: the object is alive, and a class where it is taken for one.
        unsafe {
            (ffi::PyType_Check(object.as_ptr()) != 0).then(|| Class::assume(object.as_ptr().cast()))
        }
    }

    /// The class `object`.
    #[must_use]
    pub fn base_object() -> Class<'static> {
        // SAFETY: a static of the interpreter.
        unsafe { Class::assume(&raw mut ffi::PyBaseObject_Type) }
    }

    /// The class `type`.
    #[must_use]
    pub fn base_type() -> Class<'static> {
        // SAFETY: a static of the interpreter.
        unsafe { Class::assume(&raw mut ffi::PyType_Type) }
    }

    /// For a C function.
    #[inline]
    #[must_use]
    pub fn as_ptr(self) -> *mut PyTypeObject {
        self.0.as_ptr()
    }

    /// The class as an object.
    #[inline]
    #[must_use]
    pub fn object(self) -> Borrowed<'a> {
        // SAFETY: every class is an object.
        unsafe { Borrowed::assume(self.as_ptr().cast()) }
    }

    /// One more reference.
    pub fn own(self, py: Attached<'_>) -> OwnedClass {
        let _class = self.object().own(py).into_raw();
        OwnedClass(self.0)
    }

    /// The version of the class's contents (`compat::class_version`); 0 if it has none.
    #[inline]
    #[must_use]
    pub fn version(self) -> u32 {
        // SAFETY: the class is alive.
        unsafe { compat::class_version(self.as_ptr()) }
    }

    /// The version of the class's contents. A class that has none is given one; 0 if CPython gives
    /// it no more. `name` is an interned string.
    #[must_use]
    pub fn assign_version(self, _: Attached<'_>, name: Borrowed<'_>) -> u32 {
        // SAFETY: attached; both objects are alive.
        unsafe { compat::assign_class_version(self.as_ptr(), name.as_ptr()) }
    }

    /// The class that it was derived from first.
    #[must_use]
    pub fn base(self) -> Option<Class<'a>> {
        // SAFETY: the class is alive, and has a reference to its base.
        unsafe { Class::assume_if_any((*self.as_ptr()).tp_base) }
    }

    /// Whether it is the other class or derived from it.
    #[inline]
    #[must_use]
    pub fn is_derived_from(self, other: Class<'_>) -> bool {
        // SAFETY: both classes are alive.
        unsafe {
            self.as_ptr() == other.as_ptr()
                || ffi::PyType_IsSubtype(self.as_ptr(), other.as_ptr()) != 0
        }
    }

    /// The flags.
    #[must_use]
    pub fn flags(self) -> c_ulong {
        // SAFETY: the class is alive.
        unsafe { ffi::PyType_GetFlags(self.as_ptr()) }
    }

    /// The name, as error messages show it.
    #[must_use]
    pub fn name(self) -> &'a CStr {
        // SAFETY: the class is alive; its name is a C string that lives as long.
        unsafe { CStr::from_ptr((*self.as_ptr()).tp_name) }
    }

    /// The dict of its attributes. From 3.12 on the interpreter's own classes have theirs
    /// elsewhere.
    #[must_use]
    pub fn dict(self) -> Option<Dict<'a>> {
        // SAFETY: the class is alive, and has a reference to its dict.
        unsafe { Borrowed::assume_if_any((*self.as_ptr()).tp_dict).map(|dict| Dict::assume(dict)) }
    }

    /// The address of `tp_new`, for comparisons.
    #[must_use]
    pub fn new_slot(self) -> *const c_void {
        // SAFETY: the class is alive.
        unsafe { (*self.as_ptr()).tp_new.map_or(core::ptr::null(), |slot| slot as *const c_void) }
    }

    /// The address of `tp_init`, for comparisons.
    #[must_use]
    pub fn init_slot(self) -> *const c_void {
        // SAFETY: the class is alive.
        unsafe { (*self.as_ptr()).tp_init.map_or(core::ptr::null(), |slot| slot as *const c_void) }
    }

    /// Whether it finds attributes as `object` does.
    #[must_use]
    pub fn finds_attributes_generically(self) -> bool {
        let generic = ffi::PyObject_GenericGetAttr as *const () as usize;
        // SAFETY: the class is alive.
        unsafe { (*self.as_ptr()).tp_getattro.is_some_and(|get| get as usize == generic) }
    }

    /// The type of the attribute that the class has under this name, a string.
    #[must_use]
    pub fn type_of_attribute(self, _: Attached<'_>, name: Borrowed<'_>) -> Option<Class<'a>> {
        // SAFETY: attached; both objects are alive. The class keeps the attribute alive.
        unsafe {
            Class::assume_if_any(compat::type_of_class_attribute(self.as_ptr(), name.as_ptr()))
        }
    }

    /// Whether its objects are data descriptors.
    #[must_use]
    pub fn is_data_descriptor(self) -> bool {
        // SAFETY: the class is alive.
        unsafe { (*self.as_ptr()).tp_descr_set.is_some() }
    }

    /// Tells the interpreter that the class has changed.
    pub fn is_modified(self, _: Attached<'_>) {
        // SAFETY: attached; the class is alive.
        unsafe { ffi::PyType_Modified(self.as_ptr()) };
    }
}

/// A reference to a class that the holder of this value owns.
#[must_use = "an owned reference is released, or given to a function that takes it"]
#[repr(transparent)]
pub struct OwnedClass(NonNull<PyTypeObject>);

impl OwnedClass {
    /// # Safety
    /// Not null; the reference is the caller's.
    pub unsafe fn assume(class: *mut PyTypeObject) -> OwnedClass {
        // SAFETY: as the caller promises.
        OwnedClass(unsafe { NonNull::new_unchecked(class) })
    }

    /// The class, as long as this reference is kept.
    #[must_use]
    pub fn borrow(&self) -> Class<'_> {
        Class(self.0, PhantomData)
    }

    /// The same reference, to an object.
    pub fn into_object(self) -> Owned {
        // SAFETY: every class is an object; the reference goes with it.
        unsafe { Owned::assume(self.0.as_ptr().cast()) }
    }

    /// Drops the reference.
    pub fn release(self, py: Attached<'_>) {
        self.into_object().release(py);
    }
}
