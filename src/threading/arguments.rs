//! The arguments of native methods.
//!
//! Arguments that do not fit are left to the Python function, which raises the error in its own
//! words.

use core::ffi::CStr;
use core::ptr;
use core::time::Duration;

use pyo3_ffi::{self as ffi, Py_ssize_t, PyObject};

use crate::capi::errors::Raised;
use crate::runtime::blocking::Timeout;
use crate::thread_module::acquire_args;

/// Returns the arguments by position, null for each that was not given. `None` if they do not fit.
///
/// # Safety
/// Attached; the arguments are as CPython passes them to a `METH_FASTCALL | METH_KEYWORDS` method.
#[inline]
pub unsafe fn bind<const N: usize>(
    args: *const *mut PyObject,
    nargs: Py_ssize_t,
    kwnames: *mut PyObject,
    names: [&CStr; N],
) -> Option<[*mut PyObject; N]> {
    let mut bound = [ptr::null_mut(); N];
    let given = nargs as usize;
    if given > N {
        return None;
    }
    // SAFETY: as the caller promises.
    unsafe {
        for (index, place) in bound[..given].iter_mut().enumerate() {
            *place = *args.add(index);
        }
        if kwnames.is_null() {
            return Some(bound);
        }
        bind_keywords(args.add(given), kwnames, names, bound)
    }
}

unsafe fn bind_keywords<const N: usize>(
    values: *const *mut PyObject,
    kwnames: *mut PyObject,
    names: [&CStr; N],
    mut bound: [*mut PyObject; N],
) -> Option<[*mut PyObject; N]> {
    // SAFETY: as in `bind`: a value for each name.
    unsafe {
        for index in 0..ffi::PyTuple_GET_SIZE(kwnames) {
            let name = ffi::PyTuple_GET_ITEM(kwnames, index);
            let place = names.iter().position(|known| {
                ffi::PyUnicode_CompareWithASCIIString(name, known.as_ptr()) == 0
            })?;
            if !bound[place].is_null() {
                return None;
            }
            bound[place] = *values.offset(index);
        }
    }
    Some(bound)
}

/// [`bind`] for the arguments of `tp_init`.
///
/// # Safety
/// Attached; a tuple, and a dict or null.
pub unsafe fn bind_tuple<const N: usize>(
    args: *mut PyObject,
    kwargs: *mut PyObject,
    names: [&CStr; N],
) -> Option<[*mut PyObject; N]> {
    let mut bound = [ptr::null_mut(); N];
    // SAFETY: as the caller promises.
    unsafe {
        let given = ffi::PyTuple_GET_SIZE(args) as usize;
        if given > N {
            return None;
        }
        for (index, place) in bound[..given].iter_mut().enumerate() {
            *place = ffi::PyTuple_GET_ITEM(args, index as Py_ssize_t);
        }
        if kwargs.is_null() {
            return Some(bound);
        }
        let mut unknown = ffi::PyDict_Size(kwargs);
        for (place, name) in bound.iter_mut().zip(names).skip(given) {
            *place = ffi::PyDict_GetItemString(kwargs, name.as_ptr());
            unknown -= Py_ssize_t::from(!place.is_null());
        }
        (unknown == 0).then_some(bound)
    }
}

/// Reads a time-out as `Condition.wait` does. `None` or no argument means no limit. A number that
/// is not larger than zero means no wait at all.
///
/// # Safety
/// Attached; a valid object or null.
#[inline]
pub unsafe fn timeout(seconds: *mut PyObject) -> Result<Timeout, Raised> {
    // SAFETY: as the caller promises.
    unsafe {
        if seconds.is_null() || seconds == ffi::Py_None() {
            return Ok(Timeout::Never);
        }
        let positive = if ffi::PyFloat_CheckExact(seconds) != 0 {
            // NaN is not larger than zero.
            ffi::PyFloat_AS_DOUBLE(seconds) > 0.0
        } else {
            let zero = ffi::PyLong_FromLong(0);
            let compared = ffi::PyObject_RichCompareBool(seconds, zero, ffi::Py_GT);
            ffi::Py_DECREF(zero);
            if compared < 0 {
                return Err(Raised);
            }
            compared > 0
        };
        if positive { acquire_args::timeout(true, seconds) } else { Ok(Timeout::Zero) }
    }
}

/// Whether a time-out is not given, or is exactly of type `None`, float or int. Comparing such a
/// value runs no code of the program.
///
/// # Safety
/// A valid object or null.
pub unsafe fn is_plain_timeout(seconds: *mut PyObject) -> bool {
    // SAFETY: as the caller promises.
    unsafe {
        seconds.is_null()
            || seconds == ffi::Py_None()
            || ffi::PyFloat_CheckExact(seconds) != 0
            || ffi::PyLong_CheckExact(seconds) != 0
    }
}

/// Whether [`timeout`] reads a time-out as the Python functions do that look at the clock. This is
/// so for each time-out that [`is_timeout`] accepts, except NaN.
///
/// # Safety
/// A valid object or null.
pub unsafe fn is_ordinary_timeout(seconds: *mut PyObject) -> bool {
    // SAFETY: as the caller promises; the type says that it is a float.
    unsafe {
        is_timeout(seconds)
            && (seconds.is_null()
                || ffi::PyFloat_Check(seconds) == 0
                || !ffi::PyFloat_AS_DOUBLE(seconds).is_nan())
    }
}

/// Whether [`timeout`] reads a time-out as the Python functions do. This is so if it is not given,
/// `None` or a number, which may be of a derived type.
///
/// # Safety
/// A valid object or null.
pub unsafe fn is_timeout(seconds: *mut PyObject) -> bool {
    // SAFETY: as the caller promises.
    unsafe {
        is_plain_timeout(seconds)
            || ffi::PyFloat_Check(seconds) != 0
            || ffi::PyLong_Check(seconds) != 0
    }
}

/// Returns the time left until a deadline, as an argument for a Python function: a new reference to
/// a float, or to `None` if there is no deadline.
///
/// # Safety
/// Attached.
pub unsafe fn remaining(deadline: crate::sync::Deadline) -> *mut PyObject {
    match deadline {
        None => crate::capi::compat::none(),
        Some(at) => {
            let left = at.checked_duration_since(std::time::Instant::now());
            // SAFETY: attached.
            unsafe { ffi::PyFloat_FromDouble(left.unwrap_or(Duration::ZERO).as_secs_f64()) }
        }
    }
}
