//! Conditions and locks for objects that open.

use core::ptr;

use pyo3_ffi::{self as ffi, PyObject};

use super::{Held, held, type_of};
use crate::compat;
use crate::lock;
use crate::module::State;
use crate::native::Kind;
use crate::object::{self, drop_ref};

/// A condition over a plain lock that is held: a new reference, or null with an exception set.
///
/// # Safety
/// Attached; `like` is a native object.
pub unsafe fn make_held(like: *mut PyObject) -> *mut PyObject {
    // SAFETY: as the caller promises; the new reference is given back.
    unsafe {
        let inner = make_held_lock(like);
        if inner.is_null() {
            return inner;
        }
        let made = make_over(like, inner);
        drop_ref(inner);
        made
    }
}

/// A plain lock that is held: a new reference, or null with an exception set.
///
/// # Safety
/// Attached; `like` is a native object.
pub unsafe fn make_held_lock(like: *mut PyObject) -> *mut PyObject {
    // SAFETY: as the caller promises; nobody else has the new object.
    unsafe {
        let Ok(state) = State::of_type(ffi::Py_TYPE(like)) else { return ptr::null_mut() };
        let made = object::allocate::<PyObject>((*state).lock_type);
        if !made.is_null() {
            lock::of(made).try_acquire();
        }
        made
    }
}

/// A condition over a plain lock: a new reference, or null with an exception set. If the lock is
/// not one of ours, it is an open one.
///
/// # Safety
/// Attached; `like` is a native object, `inner` a valid one.
pub unsafe fn make_over(like: *mut PyObject, inner: *mut PyObject) -> *mut PyObject {
    // SAFETY: as the caller promises.
    unsafe {
        let Ok(state) = State::of_type(ffi::Py_TYPE(like)) else { return ptr::null_mut() };
        let class = (*state).natives.types[Kind::Condition as usize];
        let args = ffi::PyTuple_New(1);
        if args.is_null() {
            return args;
        }
        ffi::Py_INCREF(inner);
        ffi::PyTuple_SET_ITEM(args, 0, inner);
        let made = compat::PyObject_Call(class.cast(), args, ptr::null_mut());
        drop_ref(args);
        made
    }
}

/// Releases a lock from [`make_held_lock`].
///
/// # Safety
/// Attached; `like` is a native object, `inner` a valid one.
pub unsafe fn release_held_lock(like: *mut PyObject, inner: *mut PyObject) {
    // SAFETY: only a lock of ours is looked into, as in `release_held`.
    unsafe {
        if let Ok(state) = State::of_type(ffi::Py_TYPE(like))
            && ffi::Py_TYPE(inner) == (*state).lock_type
        {
            let _ = lock::of(inner).release();
        }
    }
}

/// Releases the lock of a condition from [`make_held`].
///
/// # Safety
/// Attached; a valid object.
pub unsafe fn release_held(condition: *mut PyObject) {
    // SAFETY: only our own condition is looked into. Whatever else somebody has put in its place
    // is not held by us.
    unsafe {
        if ffi::Py_TYPE(condition) == type_of(condition)
            && let Some(Held::Lock(lock)) = held(condition)
        {
            let _ = lock.release();
        }
    }
}
