//! Reads the arguments of `acquire`, with CPython's own errors.
//!
//! The usual calls are recognised by a quick check. All other calls go to CPython's `PyArg_Parse…`,
//! with the format of the stock function. So every error has CPython's text.

use core::ffi::{CStr, c_char, c_int};
use core::ptr;
use core::time::Duration;

use pyo3_ffi::{self as ffi, Py_ssize_t, PyObject};

use crate::capi::call::tuple_and_dict;
use crate::capi::compat;
use crate::capi::errors::{Raised, raise};
use crate::capi::refs::drop_ref;
use crate::runtime::blocking::Timeout;

/// -1 second in nanoseconds, which means no time-out. Only this exact value; -2 seconds is an
/// error.
const UNSET: i64 = -1_000_000_000;

/// The largest time-out in microseconds, `PY_TIMEOUT_MAX`.
const TIMEOUT_MAX: i64 = if cfg!(windows) { 0xFFFF_FFFE * 1000 } else { i64::MAX / 1000 };

/// Reads `acquire(blocking=True, timeout=-1)` from an array of arguments. `format` is the stock
/// function's format, which includes its name.
///
/// # Safety
/// Attached; the arguments are as CPython passes them to a `METH_FASTCALL | METH_KEYWORDS` method.
#[inline]
pub unsafe fn acquire(
    args: *const *mut PyObject,
    nargs: Py_ssize_t,
    kwnames: *mut PyObject,
    format: &CStr,
) -> Result<Timeout, Raised> {
    if nargs == 0 && kwnames.is_null() {
        return Ok(Timeout::Never);
    }
    // SAFETY: as the caller promises.
    unsafe { acquire_with(args, nargs, kwnames, format) }
}

#[inline(never)]
unsafe fn acquire_with(
    args: *const *mut PyObject,
    nargs: Py_ssize_t,
    kwnames: *mut PyObject,
    format: &CStr,
) -> Result<Timeout, Raised> {
    // SAFETY: as the caller of `acquire` promises: there are `nargs` positional arguments, then one
    // for each keyword name.
    unsafe {
        let positional = core::slice::from_raw_parts(args, nargs as usize);
        match (positional, kwnames.is_null()) {
            ([blocking], true) => {
                if let Some(blocking) = plain_bool(*blocking) {
                    return timeout(blocking, ptr::null_mut());
                }
            }
            ([blocking, seconds], true) => {
                if let Some(blocking) = plain_bool(*blocking) {
                    return timeout(blocking, *seconds);
                }
            }
            ([], false) if ffi::PyTuple_GET_SIZE(kwnames) == 1 => {
                let name = ffi::PyTuple_GET_ITEM(kwnames, 0);
                if ffi::PyUnicode_CompareWithASCIIString(name, c"timeout".as_ptr()) == 0 {
                    return timeout(true, *args);
                }
            }
            _ => {}
        }
        acquire_parsed(args, nargs, kwnames, format)
    }
}

fn plain_bool(object: *mut PyObject) -> Option<bool> {
    // SAFETY: both are static objects.
    unsafe {
        if object == ffi::Py_True() {
            Some(true)
        } else if object == ffi::Py_False() {
            Some(false)
        } else {
            None
        }
    }
}

/// Lets CPython read the arguments.
#[cold]
unsafe fn acquire_parsed(
    args: *const *mut PyObject,
    nargs: Py_ssize_t,
    kwnames: *mut PyObject,
    format: &CStr,
) -> Result<Timeout, Raised> {
    let keywords: [*const c_char; 3] = [c"blocking".as_ptr(), c"timeout".as_ptr(), ptr::null()];
    let mut blocking: c_int = 1;
    let mut seconds = ptr::null_mut();
    // SAFETY: as the caller of `acquire` promises. The format expects an int and an object.
    unsafe {
        let (tuple, dict) = tuple_and_dict(ptr::null_mut(), args, nargs, kwnames)?;
        let parsed = compat::PyArg_ParseTupleAndKeywords(
            tuple,
            dict,
            format.as_ptr(),
            keywords.as_ptr(),
            &raw mut blocking,
            &raw mut seconds,
        );
        // `seconds` is borrowed from the tuple or the dict, so they are dropped after its use.
        let result = if parsed == 0 { Err(Raised) } else { timeout(blocking != 0, seconds) };
        drop_ref(tuple);
        drop_ref(dict);
        result
    }
}

/// The time-out that `blocking` and `timeout` mean together. `seconds` is null if it was not given.
///
/// # Safety
/// Attached; a valid object or null.
pub unsafe fn timeout(blocking: bool, seconds: *mut PyObject) -> Result<Timeout, Raised> {
    let nanoseconds = if seconds.is_null() {
        UNSET
    } else {
        // SAFETY: attached, and a valid object.
        unsafe { compat::nanoseconds(seconds)? }
    };
    if nanoseconds == UNSET {
        return Ok(if blocking { Timeout::Never } else { Timeout::Zero });
    }
    if !blocking {
        return value_error(c"can't specify a timeout for a non-blocking call");
    }
    if nanoseconds < 0 {
        return value_error(compat::NEGATIVE_TIMEOUT);
    }
    if nanoseconds.unsigned_abs().div_ceil(1000) > TIMEOUT_MAX.unsigned_abs() {
        // SAFETY: attached.
        unsafe { raise(ffi::PyExc_OverflowError, c"timeout value is too large") };
        return Err(Raised);
    }
    Ok(match nanoseconds.unsigned_abs() {
        0 => Timeout::Zero,
        span => Timeout::For(Duration::from_nanos(span)),
    })
}

#[cold]
fn value_error(message: &CStr) -> Result<Timeout, Raised> {
    // SAFETY: attached, because this is called only while arguments are read.
    unsafe { raise(ffi::PyExc_ValueError, message) };
    Err(Raised)
}
