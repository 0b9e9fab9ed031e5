//! Reads the arguments of `acquire`, with CPython's own errors.
//!
//! The usual calls are recognised by a quick check. All other calls go to CPython's `PyArg_Parse…`,
//! with the format of the stock function. So every error has CPython's text.

use core::ffi::{CStr, c_char, c_int};
use core::ptr;
use core::time::Duration;

use pyo3_ffi::{Py_ssize_t, PyObject};

use crate::capi::compat;
use crate::capi::entry::Args;
use crate::capi::errors::Raised;
use crate::capi::object::{self, Attached, Borrowed, Exception, Owned};
use crate::runtime::blocking::Timeout;

/// -1 second in nanoseconds, which means no time-out. Only this exact value; -2 seconds is an
/// error.
const UNSET: i64 = -1_000_000_000;

/// The largest time-out in microseconds, `PY_TIMEOUT_MAX`.
const TIMEOUT_MAX: i64 = if cfg!(windows) { 0xFFFF_FFFE * 1000 } else { i64::MAX / 1000 };

/// Reads `acquire(blocking=True, timeout=-1)`. `format` is the stock function's format, which
/// includes its name.
#[inline]
pub fn acquire(py: Attached<'_>, args: Args<'_>, format: &CStr) -> Result<Timeout, Raised> {
    if args.are_none() {
        return Ok(Timeout::Never);
    }
    let (first, count, names) = args.as_raw();
    // SAFETY: the parts of `args`.
    unsafe { acquire_with(py, first, count, names, format) }
}

/// The arguments come in their parts, which fit into registers.
///
/// # Safety
/// As for [`Args::assume`].
#[inline(never)]
unsafe fn acquire_with(
    py: Attached<'_>,
    first: *const *mut PyObject,
    count: Py_ssize_t,
    names: *mut PyObject,
    format: &CStr,
) -> Result<Timeout, Raised> {
    // SAFETY: as the caller promises.
    let args = unsafe { Args::assume(first, count, names) };
    match (args.positional(), args.names()) {
        (&[blocking], None) => {
            if let Some(blocking) = plain_bool(blocking) {
                return timeout(py, blocking, None);
            }
        }
        (&[blocking, seconds], None) => {
            if let Some(blocking) = plain_bool(blocking) {
                return timeout(py, blocking, Some(seconds));
            }
        }
        ([], Some(names)) => {
            if let &[name] = names.items()
                && name.is_text(c"timeout")
            {
                // SAFETY: one name, so there is one value, and no argument before it.
                return timeout(py, true, Some(unsafe { Borrowed::assume(*first) }));
            }
        }
        _ => {}
    }
    // SAFETY: as the caller promises.
    unsafe { acquire_parsed(py, first, count, names, format) }
}

fn plain_bool(object: Borrowed<'_>) -> Option<bool> {
    if object.is_true() {
        Some(true)
    } else if object.is_false() {
        Some(false)
    } else {
        None
    }
}

/// Lets CPython read the arguments. They come in their parts, so that `acquire_with` need not write
/// them to memory.
///
/// # Safety
/// As for [`Args::assume`].
#[cold]
unsafe fn acquire_parsed(
    py: Attached<'_>,
    first: *const *mut PyObject,
    count: Py_ssize_t,
    names: *mut PyObject,
    format: &CStr,
) -> Result<Timeout, Raised> {
    // SAFETY: as the caller promises.
    let args = unsafe { Args::assume(first, count, names) };
    let keywords: [*const c_char; 3] = [c"blocking".as_ptr(), c"timeout".as_ptr(), ptr::null()];
    let mut blocking: c_int = 1;
    let mut seconds = ptr::null_mut();
    let (tuple, dict) = args.to_tuple_and_dict(py)?;
    // SAFETY: attached; a tuple, and a dict or null. The format expects an int and an object.
    let parsed = unsafe {
        compat::PyArg_ParseTupleAndKeywords(
            tuple.borrow().as_ptr(),
            object::as_ptr(dict.as_ref().map(Owned::borrow)),
            format.as_ptr(),
            keywords.as_ptr(),
            &raw mut blocking,
            &raw mut seconds,
        )
    };
    let result = if parsed == 0 {
        Err(Raised)
    } else {
        // SAFETY: `seconds` is null, or borrowed from the tuple or the dict, which are dropped
        // after its use.
        timeout(py, blocking != 0, unsafe { Borrowed::assume_if_any(seconds) })
    };
    tuple.release(py);
    object::release(dict, py);
    result
}

/// The time-out that `blocking` and `timeout` mean together. `seconds` is None if it was not given.
pub fn timeout(
    py: Attached<'_>,
    blocking: bool,
    seconds: Option<Borrowed<'_>>,
) -> Result<Timeout, Raised> {
    let nanoseconds = match seconds {
        Some(seconds) => seconds.nanoseconds(py)?,
        None => UNSET,
    };
    if nanoseconds == UNSET {
        return Ok(if blocking { Timeout::Never } else { Timeout::Zero });
    }
    if !blocking {
        return value_error(py, c"can't specify a timeout for a non-blocking call");
    }
    if nanoseconds < 0 {
        return value_error(py, compat::NEGATIVE_TIMEOUT);
    }
    if nanoseconds.unsigned_abs().div_ceil(1000) > TIMEOUT_MAX.unsigned_abs() {
        return Err(py.raise(Exception::Overflow, c"timeout value is too large"));
    }
    Ok(match nanoseconds.unsigned_abs() {
        0 => Timeout::Zero,
        span => Timeout::For(Duration::from_nanos(span)),
    })
}

#[cold]
fn value_error(py: Attached<'_>, message: &CStr) -> Result<Timeout, Raised> {
    Err(py.raise(Exception::Value, message))
}
