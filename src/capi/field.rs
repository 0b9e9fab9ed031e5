//! References in objects and in the module's state.

use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

use pyo3_ffi::{PyObject, PyTypeObject};

use crate::capi::object::{Attached, Borrowed, Class, Owned, OwnedClass};

/// A place that owns a reference, or is empty. All zero bytes are an empty one.
///
/// It is filled before other threads use it, or once. It is emptied only by the collector and when
/// its owner is freed, that is, when no thread uses it any more. So an object that was found in it
/// stays alive as long as the owner.
#[repr(transparent)]
pub struct Field(AtomicPtr<PyObject>);

impl Field {
    /// A field without a reference.
    #[must_use]
    pub const fn empty() -> Field {
        Field(AtomicPtr::new(ptr::null_mut()))
    }

    /// The object.
    #[inline]
    #[must_use]
    pub fn get(&self) -> Option<Borrowed<'_>> {
        // SAFETY: the field owns the reference, and is not emptied while it is used.
        unsafe { Borrowed::assume_if_any(self.0.load(Ordering::Acquire)) }
    }

    /// For a C function: null if the field is empty.
    #[inline]
    #[must_use]
    pub fn as_ptr(&self) -> *mut PyObject {
        self.0.load(Ordering::Acquire)
    }

    /// Fills the field, which no other thread fills or empties at this moment. A reference that it
    /// had is dropped.
    pub fn fill(&self, py: Attached<'_>, object: Owned) {
        let former = self.take(py);
        self.fill_first(object);
        super::object::release(former, py);
    }

    /// [`Field::fill`] for a field that is empty, and that no other thread fills.
    #[inline]
    pub fn fill_first(&self, object: Owned) {
        self.0.store(object.into_raw(), Ordering::Release);
    }

    /// Takes the reference out. Only for an owner that no thread uses any more, or for the
    /// collector.
    #[inline]
    #[must_use = "the reference must be released"]
    pub fn take(&self, py: Attached<'_>) -> Option<Owned> {
        // Not in one step, which would cost as much as making the object does: no other thread
        // empties the field.
        let object = self.0.load(Ordering::Acquire);
        if object.is_null() {
            return None;
        }
        self.0.store(ptr::null_mut(), Ordering::Relaxed);
        // SAFETY: attached; the field owned the reference.
        unsafe { py.own_if_any(object) }
    }

    /// Takes the reference out and drops it. Code that runs during the drop finds the field empty.
    /// Only for an owner that no thread uses any more, or for the collector.
    #[inline]
    pub fn clear(&self, py: Attached<'_>) {
        super::object::release(self.take(py), py);
    }
}

/// A [`Field`] for a class.
#[repr(transparent)]
pub struct ClassField(AtomicPtr<PyTypeObject>);

impl ClassField {
    /// A field without a reference.
    #[must_use]
    pub const fn empty() -> ClassField {
        ClassField(AtomicPtr::new(ptr::null_mut()))
    }

    /// The class.
    #[inline]
    #[must_use]
    pub fn get(&self) -> Option<Class<'_>> {
        // SAFETY: as in `Field::get`.
        unsafe { Class::assume_if_any(self.0.load(Ordering::Acquire)) }
    }

    /// Fills the field. A reference that it had is dropped.
    pub fn fill(&self, py: Attached<'_>, class: OwnedClass) {
        self.as_field().fill(py, class.into_object());
    }

    /// The same field as one for objects.
    #[must_use]
    pub fn as_field(&self) -> &Field {
        // SAFETY: every class is an object; a pointer to one is laid out like the other.
        unsafe { &*ptr::from_ref(self).cast::<Field>() }
    }
}

/// The place for an object's list of weak references. All zero bytes are an empty one. Its offset is
/// known to CPython, which fills it.
#[repr(transparent)]
pub struct WeakRefs(AtomicPtr<PyObject>);

impl WeakRefs {
    /// Ends all weak references to an object that is about to be freed, which may run Python code.
    ///
    /// # Safety
    /// Attached; this is the place of that object, to which there is no reference.
    pub unsafe fn end(&self, object: *mut PyObject) {
        if !self.0.load(Ordering::Relaxed).is_null() {
            // SAFETY: as the caller promises.
            unsafe { PyObject_ClearWeakRefs(object) };
        }
    }
}

unsafe extern "C-unwind" {
    fn PyObject_ClearWeakRefs(object: *mut PyObject);
}

const _: () = assert!(size_of::<Field>() == size_of::<*mut PyObject>());
