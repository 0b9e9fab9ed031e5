//! Waiting and notifying.

use core::ffi::CStr;
use core::ptr;
use std::time::Instant;

use pyo3_ffi::{self as ffi, Py_ssize_t, PyObject};

use super::{ConditionObject, Held, held, this};
use crate::blocking::{self, NewWaiter, Signals, Timeout, Waited};
use crate::compat::{self, Raised};
use crate::native::{Kind, arguments, pure};
use crate::object::{self, drop_ref};
use crate::sync::{Awaitable, Condition, Deadline};

/// # Safety
/// Called by CPython.
pub unsafe extern "C-unwind" fn wait(
    slf: *mut PyObject,
    args: *const *mut PyObject,
    nargs: Py_ssize_t,
    kwnames: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a ConditionObject that it keeps alive.
    unsafe {
        let bound = arguments::bind(args, nargs, kwnames, [c"timeout"]);
        let (Some([seconds]), Some(held)) = (bound, held(slf)) else {
            return pure::call(slf, Kind::Condition, c"wait", args, nargs, kwnames);
        };
        if check_owned(held, c"cannot wait on un-acquired lock").is_err() {
            return ptr::null_mut();
        }
        let waited = arguments::timeout(seconds).and_then(|timeout| {
            wait_until(slf, held, blocking::deadline(timeout), timeout == Timeout::Zero)
        });
        match waited {
            Ok(waited) => compat::bool_object(waited == Waited::Got),
            Err(Raised) => ptr::null_mut(),
        }
    }
}

/// Raises unless the calling thread has the lock.
///
/// # Safety
/// Attached.
pub unsafe fn check_owned(held: Held<'_>, message: &CStr) -> Result<(), Raised> {
    if !held.is_owned() {
        // SAFETY: attached, as every caller promises.
        unsafe { object::runtime_error(message) };
        return Err(Raised);
    }
    Ok(())
}

/// Releases the lock, waits to be notified, and takes the lock back, whatever happens.
///
/// # Safety
/// Attached; the caller keeps the object alive.
unsafe fn wait_until(
    slf: *mut PyObject,
    held: Held<'_>,
    deadline: Deadline,
    is_poll: bool,
) -> Result<Waited, Raised> {
    // SAFETY: as the caller promises. The waiter leaves the queue before it is freed, and before
    // the lock is asked for again.
    unsafe {
        let condition = &this(slf).condition;
        if !is_poll {
            blocking::refuse_at_shutdown()?;
        }
        let waiter = NewWaiter::allocate()?;
        condition.enqueue(waiter.get(), false);
        let Ok(saved) = held.release_all() else {
            condition.forgo(waiter.get());
            waiter.free();
            object::runtime_error(c"cannot release un-acquired lock");
            return Err(Raised);
        };
        let waited = if !is_poll {
            blocking::wait_queued(&waiter, condition, deadline, Signals::Handle)
        } else if condition.cancel(waiter.get()) {
            Ok(Waited::Got)
        } else {
            Ok(Waited::TimedOut)
        };
        waiter.free();
        if waited.is_ok() {
            return held.restore(saved).and(waited);
        }
        // The exception of a signal handler waits until we have the lock.
        let pending = compat::take_exception();
        if held.restore(saved).is_ok() {
            compat::restore_exception(pending);
        } else {
            compat::forget_exception(pending);
        }
        Err(Raised)
    }
}

/// # Safety
/// Called by CPython.
pub unsafe extern "C-unwind" fn wait_for(
    slf: *mut PyObject,
    args: *const *mut PyObject,
    nargs: Py_ssize_t,
    kwnames: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a ConditionObject that it keeps alive.
    unsafe {
        let bound = arguments::bind(args, nargs, kwnames, [c"predicate", c"timeout"]);
        match (bound, held(slf)) {
            // A derived class may have a wait() of its own.
            (Some([predicate, seconds]), Some(held))
                if !predicate.is_null()
                    && arguments::is_plain_timeout(seconds)
                    && !object::is_of_python_class::<ConditionObject>(slf) =>
            {
                wait_for_predicate(slf, held, predicate, seconds)
            }
            _ => pure::call(slf, Kind::Condition, c"wait_for", args, nargs, kwnames),
        }
    }
}

/// # Safety
/// As `wait_for`.
unsafe fn wait_for_predicate(
    slf: *mut PyObject,
    held: Held<'_>,
    predicate: *mut PyObject,
    seconds: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: as the caller promises; the result of the last call is given to the caller.
    unsafe {
        let mut deadline: Option<Deadline> = None;
        loop {
            let result = object::call_no_args(predicate);
            if result.is_null() {
                return result;
            }
            let truth = ffi::PyObject_IsTrue(result);
            if truth != 0 {
                if truth < 0 {
                    drop_ref(result);
                    return ptr::null_mut();
                }
                return result;
            }
            if deadline.flatten().is_some_and(|at| at <= Instant::now()) {
                return result;
            }
            drop_ref(result);
            if check_owned(held, c"cannot wait on un-acquired lock").is_err() {
                return ptr::null_mut();
            }
            // The clock starts after the first look, and the first wait is made in any case.
            let (until, is_poll) = match deadline {
                Some(until) => (until, false),
                None => match arguments::timeout(seconds) {
                    Ok(timeout) => (blocking::deadline(timeout), timeout == Timeout::Zero),
                    Err(Raised) => return ptr::null_mut(),
                },
            };
            deadline = Some(until);
            if wait_until(slf, held, until, is_poll).is_err() {
                return ptr::null_mut();
            }
        }
    }
}

/// # Safety
/// Called by CPython.
pub unsafe extern "C-unwind" fn notify(
    slf: *mut PyObject,
    args: *const *mut PyObject,
    nargs: Py_ssize_t,
    kwnames: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a ConditionObject.
    unsafe {
        let bound = arguments::bind(args, nargs, kwnames, [c"n"]);
        let (Some([count]), Some(held)) = (bound, held(slf)) else {
            return pure::call(slf, Kind::Condition, c"notify", args, nargs, kwnames);
        };
        if check_owned(held, c"cannot notify on un-acquired lock").is_err() {
            return ptr::null_mut();
        }
        match how_many(&this(slf).condition, count) {
            Ok(count) => this(slf).condition.notify(count),
            Err(Raised) => return ptr::null_mut(),
        }
    }
    compat::none()
}

/// The argument of `notify`: any number, looked at only if somebody waits.
unsafe fn how_many(condition: &Condition, count: *mut PyObject) -> Result<usize, Raised> {
    if count.is_null() {
        return Ok(1);
    }
    let waiters = condition.waiters();
    if waiters == 0 {
        return Ok(0);
    }
    // SAFETY: attached, as every caller promises; a valid object.
    unsafe {
        if ffi::PyLong_Check(count) != 0 {
            // Too large for a machine number is as good as the largest, or the smallest.
            let count = ffi::PyNumber_AsSsize_t(count, ptr::null_mut());
            return Ok(usize::try_from(count).unwrap_or(0));
        }
        let mut less = 0;
        while less < waiters {
            let number = ffi::PyLong_FromSize_t(less);
            let more = ffi::PyObject_RichCompareBool(count, number, ffi::Py_GT);
            drop_ref(number);
            match more {
                0 => break,
                1 => less += 1,
                _ => return Err(Raised),
            }
        }
        Ok(less)
    }
}
