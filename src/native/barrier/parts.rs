//! What a barrier looks like to those who know the Python class: its attributes, and the steps of
//! its `wait`.

use core::ffi::{CStr, c_void};
use core::ptr;

use pyo3_ffi::{self as ffi, Py_ssize_t, PyObject};

use super::{BarrierObject, new_ref, of, state_object, this};
use crate::compat;
use crate::native::open::{self, Openable};
use crate::native::{Kind, pure};
use crate::object::{self, Getter, Property, drop_ref};
use crate::sync::BarrierState;

pub(super) const PROPERTIES: &[Property] = &[
    public(c"parties", get_parties, c"How many threads make a round."),
    public(c"n_waiting", get_waiting, c"How many threads of this round wait at this moment."),
    public(c"broken", get_broken, c"Whether nobody passes until the barrier is reset."),
    private(c"_parties", get_parties),
    private(c"_action", get_action),
    private(c"_timeout", get_timeout),
    private(c"_state", get_state),
    private(c"_count", get_count),
    open::part::<BarrierObject>(c"_cond"),
    open::dict_of_parts::<BarrierObject>(),
];

const fn public(name: &'static CStr, get: Getter, doc: &'static CStr) -> Property {
    Property { name, get, set: None, doc: Some(doc) }
}

/// An attribute of a native barrier that opens it when it is set.
const fn private(name: &'static CStr, get: Getter) -> Property {
    Property { name, get, set: Some(open::set::<BarrierObject>), doc: None }
}

/// The attribute of an open barrier. One that is public is a property of the Python class, which
/// looks at private ones, and these may be properties of a derived class.
///
/// # Safety
/// Called by CPython, attached, with a BarrierObject and the name of a property.
#[cold]
unsafe fn get_open(slf: *mut PyObject, name: *mut c_void) -> *mut PyObject {
    // SAFETY: the closure is the name of the property, for ever; new references are given back.
    unsafe {
        let text = CStr::from_ptr(name.cast());
        if text.to_bytes().starts_with(b"_") {
            return open::get::<BarrierObject>(slf, name);
        }
        let Ok(class) = pure::class(slf, Kind::Barrier) else { return ptr::null_mut() };
        let property = ffi::PyObject_GetAttrString(class, text.as_ptr());
        if property.is_null() {
            return property;
        }
        let value = object::call_method(property, c"__get__", &slf, 1, ptr::null_mut());
        drop_ref(property);
        value
    }
}

/// The number if the barrier is native.
///
/// # Safety
/// As [`get_open`].
unsafe fn number(slf: *mut PyObject, name: *mut c_void, number: u32) -> *mut PyObject {
    // SAFETY: as the caller promises.
    unsafe {
        if BarrierObject::is_open(slf) {
            return get_open(slf, name);
        }
        ffi::PyLong_FromUnsignedLong(number.into())
    }
}

unsafe extern "C-unwind" fn get_parties(slf: *mut PyObject, name: *mut c_void) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a BarrierObject.
    unsafe { number(slf, name, of(slf).parties()) }
}

/// Nobody waits at a broken barrier, so there is no difference between the two.
unsafe extern "C-unwind" fn get_waiting(slf: *mut PyObject, name: *mut c_void) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a BarrierObject.
    unsafe { get_count(slf, name) }
}

unsafe extern "C-unwind" fn get_count(slf: *mut PyObject, name: *mut c_void) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a BarrierObject.
    unsafe { number(slf, name, of(slf).count()) }
}

unsafe extern "C-unwind" fn get_broken(slf: *mut PyObject, name: *mut c_void) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a BarrierObject.
    unsafe {
        match of(slf).state() {
            BarrierState::Closed => get_open(slf, name),
            state => compat::bool_object(state == BarrierState::Broken),
        }
    }
}

unsafe extern "C-unwind" fn get_state(slf: *mut PyObject, name: *mut c_void) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a BarrierObject.
    unsafe {
        match of(slf).state() {
            BarrierState::Closed => get_open(slf, name),
            state => state_object(state),
        }
    }
}

unsafe extern "C-unwind" fn get_action(slf: *mut PyObject, name: *mut c_void) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a BarrierObject; it keeps the action.
    unsafe {
        if BarrierObject::is_open(slf) {
            return get_open(slf, name);
        }
        new_ref(this(slf).action)
    }
}

unsafe extern "C-unwind" fn get_timeout(slf: *mut PyObject, name: *mut c_void) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a BarrierObject; it keeps the time-out.
    unsafe {
        if BarrierObject::is_open(slf) {
            return get_open(slf, name);
        }
        new_ref(this(slf).timeout)
    }
}

// The steps, for the Python class itself and for derived classes. Each of them opens the object.

pub(super) unsafe extern "C-unwind" fn enter(
    slf: *mut PyObject,
    _: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a BarrierObject.
    unsafe { step(slf, c"_enter", ptr::null(), 0, ptr::null_mut()) }
}

pub(super) unsafe extern "C-unwind" fn release(
    slf: *mut PyObject,
    _: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a BarrierObject.
    unsafe { step(slf, c"_release", ptr::null(), 0, ptr::null_mut()) }
}

pub(super) unsafe extern "C-unwind" fn wait(
    slf: *mut PyObject,
    args: *const *mut PyObject,
    nargs: Py_ssize_t,
    kwnames: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a BarrierObject.
    unsafe { step(slf, c"_wait", args, nargs, kwnames) }
}

pub(super) unsafe extern "C-unwind" fn exit(slf: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a BarrierObject.
    unsafe { step(slf, c"_exit", ptr::null(), 0, ptr::null_mut()) }
}

pub(super) unsafe extern "C-unwind" fn break_(
    slf: *mut PyObject,
    _: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a BarrierObject.
    unsafe { step(slf, c"_break", ptr::null(), 0, ptr::null_mut()) }
}

/// # Safety
/// Attached; a BarrierObject; arguments as CPython passes them.
unsafe fn step(
    slf: *mut PyObject,
    name: &CStr,
    args: *const *mut PyObject,
    nargs: Py_ssize_t,
    kwnames: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: as the caller promises.
    unsafe {
        if BarrierObject::open(slf).is_err() {
            return ptr::null_mut();
        }
        pure::call(slf, Kind::Barrier, name, args, nargs, kwnames)
    }
}
