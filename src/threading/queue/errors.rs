//! The exceptions of queues.

use core::ffi::CStr;
use core::ptr;

use pyo3_ffi::{self as ffi, PyObject};

use crate::capi::errors::Raised;
use crate::capi::refs::drop_ref;
use crate::runtime::natives::{Kind, Namespace};
use crate::threading::lookups;
use crate::threading::method::LEFT_TO_PYTHON;
use crate::threading::queue::state;

/// Looks up the present exception of this kind in `queue`. Returns a new reference, or null if the
/// name holds another object or is gone.
///
/// # Safety
/// Attached; a native object.
unsafe fn exception(slf: *mut PyObject, kind: Kind) -> Result<*mut PyObject, Raised> {
    // SAFETY: as the caller promises.
    unsafe {
        let mut found = lookups::find(state(slf), Namespace::Queue, name_of(kind))?;
        if found.is_null() {
            if kind == Kind::ShutDown {
                // The `queue` of some versions does not have this one.
                found = (*state(slf)).natives.python[kind as usize];
                ffi::Py_INCREF(found);
            }
        } else if ffi::PyExceptionClass_Check(found) == 0 {
            drop_ref(found);
            found = ptr::null_mut();
        }
        Ok(found)
    }
}

/// Raises one of the exceptions of `queue`, without arguments, and returns null. If `queue` has no
/// such exception, returns [`LEFT_TO_PYTHON`]: this is for calls that have done nothing yet.
///
/// # Safety
/// Attached; a native object.
#[cold]
pub unsafe fn raise_or_leave(slf: *mut PyObject, kind: Kind) -> *mut PyObject {
    // SAFETY: as the caller promises.
    unsafe {
        let Ok(exception) = exception(slf, kind) else { return ptr::null_mut() };
        if exception.is_null() {
            return LEFT_TO_PYTHON;
        }
        ffi::PyErr_SetNone(exception);
        drop_ref(exception);
    }
    ptr::null_mut()
}

/// Raises one of the exceptions of `queue`, without arguments. Returns null, for the caller to
/// return.
///
/// # Safety
/// As [`raise_or_leave`].
#[cold]
pub unsafe fn raise(slf: *mut PyObject, kind: Kind) -> *mut PyObject {
    // SAFETY: as the caller promises.
    unsafe {
        if raise_or_leave(slf, kind) == LEFT_TO_PYTHON {
            // In the interpreter's words.
            let Ok(found) = lookups::find(state(slf), Namespace::Queue, name_of(kind)) else {
                return ptr::null_mut();
            };
            if found.is_null() {
                let words = c"name '%s' is not defined";
                ffi::PyErr_Format(ffi::PyExc_NameError, words.as_ptr(), name_of(kind).as_ptr());
            } else {
                let words = c"exceptions must derive from BaseException";
                ffi::PyErr_SetString(ffi::PyExc_TypeError, words.as_ptr());
            }
            drop_ref(found);
        }
    }
    ptr::null_mut()
}

fn name_of(kind: Kind) -> &'static CStr {
    match kind {
        Kind::Empty => c"Empty",
        Kind::Full => c"Full",
        _ => c"ShutDown",
    }
}
