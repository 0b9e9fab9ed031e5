//! Names that the Python classes look up in their modules at each use.
//!
//! `threading` and `queue` read `Lock`, `Condition`, `_time`, `Empty` and others from their
//! namespaces whenever they make or raise something. Programs replace these names. A native class
//! does its work only while each name holds an object that the interpreter or rthread put there.

use core::ffi::CStr;
use core::ptr;
use core::sync::atomic::Ordering;

use pyo3_ffi::{self as ffi, PyObject};

use crate::capi::compat::{self};
use crate::capi::errors::{Raised, raise};
use crate::capi::refs::drop_ref;
use crate::runtime::natives::{Kind, Lookups, Names, Namespace};
use crate::runtime::state::State;

/// Whether each name that the Python classes look up holds an object that the interpreter or
/// rthread put there.
///
/// # Safety
/// Attached; the state of the module.
#[inline]
pub unsafe fn are_as_expected(state: *const State) -> bool {
    // SAFETY: as the caller promises.
    unsafe {
        let lookups = &(*state).natives.lookups;
        let [threading, queue] = &lookups.namespaces;
        let version = lookups.watch.version(&[threading.dict, queue.dict]);
        if version == lookups.checked.load(Ordering::Relaxed) {
            return true;
        }
        look(lookups, version)
    }
}

#[cold]
unsafe fn look(lookups: &Lookups, version: u64) -> bool {
    // The version was read before the names. A name that changes in between changes the version
    // too.
    // SAFETY: attached, as in `are_as_expected`.
    if !lookups.namespaces.iter().all(|names| unsafe { holds(names) }) {
        // The interpreter clears its modules at its end. Then it is not a program that has changed
        // the names.
        return compat::is_finalizing();
    }
    if lookups.watch.tells() {
        lookups.checked.store(version, Ordering::Relaxed);
    }
    true
}

/// Whether all names of a namespace are as expected.
unsafe fn holds(names: &Names) -> bool {
    // SAFETY: attached, as in `are_as_expected`; the names are borrowed from a dict that nothing
    // changes.
    unsafe {
        if names.dict.is_null() {
            return true;
        }
        let (mut position, mut name, mut allowed) = (0, ptr::null_mut(), ptr::null_mut());
        while ffi::PyDict_Next(names.expected, &mut position, &mut name, &mut allowed) != 0 {
            let Ok(found) = compat::dict_get_settled(names.dict, name) else {
                ffi::PyErr_Clear();
                return false;
            };
            drop_ref(found);
            let count = ffi::PyTuple_GET_SIZE(allowed);
            let is_absent = found.is_null() && count == 0;
            // Only the address is compared: the object may be freed by now.
            let is_known = (0..count).any(|index| ffi::PyTuple_GET_ITEM(allowed, index) == found);
            if !is_absent && !is_known {
                return false;
            }
        }
    }
    true
}

/// Looks up the present object of a name in a namespace. Returns a new reference, or null if there
/// is no such name.
///
/// # Errors
/// An exception is set: there is no memory, or code of the program that the look-up runs has
/// raised.
///
/// # Safety
/// Attached; the state of the module.
pub unsafe fn find(
    state: *const State,
    namespace: Namespace,
    name: &CStr,
) -> Result<*mut PyObject, Raised> {
    // SAFETY: as the caller promises; the new reference is released.
    unsafe {
        let dict = (*state).natives.lookups.namespaces[namespace as usize].dict;
        if dict.is_null() {
            return Ok(ptr::null_mut());
        }
        let key = ffi::PyUnicode_InternFromString(name.as_ptr());
        if key.is_null() {
            return Err(Raised);
        }
        let found = compat::dict_get(dict, key);
        drop_ref(key);
        found
    }
}

/// Raises, without arguments, the exception that a module has at present under the name of this
/// kind. Returns null, for the caller to return.
///
/// # Safety
/// Attached; a native object.
#[cold]
pub unsafe fn raise_named(of: *mut PyObject, namespace: Namespace, kind: Kind) -> *mut PyObject {
    // SAFETY: as the caller promises; new references are released.
    unsafe {
        let Ok(state) = State::of_type(ffi::Py_TYPE(of)) else { return ptr::null_mut() };
        let Ok(found) = find(state, namespace, Kind::NAMES[kind as usize]) else {
            return ptr::null_mut();
        };
        let python = (*state).natives.python[kind as usize];
        let exception = if found.is_null() { python } else { found };
        if exception.is_null() {
            ffi::PyErr_SetNone(ffi::PyExc_RuntimeError);
        } else if ffi::PyExceptionClass_Check(exception) != 0 {
            ffi::PyErr_SetNone(exception);
        } else if ffi::PyExceptionInstance_Check(exception) != 0 {
            ffi::PyErr_SetObject(ffi::Py_TYPE(exception).cast(), exception);
        } else {
            raise(ffi::PyExc_TypeError, c"exceptions must derive from BaseException");
        }
        drop_ref(found);
    }
    ptr::null_mut()
}
