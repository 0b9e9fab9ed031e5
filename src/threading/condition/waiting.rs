//! Waiting and notifying.

use core::ffi::CStr;
use core::ptr;
use std::time::Instant;

use pyo3_ffi::{self as ffi, Py_ssize_t, PyObject};

use crate::capi::call::{call_method, call_no_args};
use crate::capi::compat;
use crate::capi::errors::{Raised, runtime_error};
use crate::capi::refs::drop_ref;
use crate::runtime::blocking::{self, NewWaiter, Signals, Timeout, Waited};
use crate::sync::{Awaitable, Condition, Deadline};
use crate::threading::condition::{CondLock, lock_of, this};
use crate::threading::head::Head;
use crate::threading::method::LEFT_TO_PYTHON;
use crate::threading::{arguments, class, ticket};

/// # Safety
/// Called, attached, with a native ConditionObject that the caller keeps alive.
pub unsafe extern "C-unwind" fn wait(
    slf: *mut PyObject,
    args: *const *mut PyObject,
    nargs: Py_ssize_t,
    kwnames: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: as the caller promises.
    unsafe {
        let Some([seconds]) = arguments::bind(args, nargs, kwnames, [c"timeout"]) else {
            return LEFT_TO_PYTHON;
        };
        let lock = lock_of(slf);
        if !lock.is_owned() {
            // The Python function raises.
            return LEFT_TO_PYTHON;
        }
        let waited = arguments::timeout(seconds).and_then(|timeout| {
            wait_until(slf, lock, blocking::deadline(timeout), timeout == Timeout::Zero)
        });
        match waited {
            Ok(Some(notified)) => compat::bool_object(notified),
            Ok(None) => LEFT_TO_PYTHON,
            Err(Raised) => ptr::null_mut(),
        }
    }
}

/// Raises unless the lock is held, see [`CondLock::is_owned`].
///
/// # Safety
/// Attached.
pub unsafe fn check_owned(lock: CondLock<'_>, message: &CStr) -> Result<(), Raised> {
    if !lock.is_owned() {
        // SAFETY: attached, as every caller promises.
        unsafe { runtime_error(message) };
        return Err(Raised);
    }
    Ok(())
}

/// Releases the lock, waits for a notification, and takes the lock back whatever happens. Returns
/// whether the thread was notified; `None`, with nothing done, if the condition is not native any
/// more.
///
/// # Safety
/// Attached; the caller keeps the object alive.
unsafe fn wait_until(
    slf: *mut PyObject,
    lock: CondLock<'_>,
    deadline: Deadline,
    is_poll: bool,
) -> Result<Option<bool>, Raised> {
    // SAFETY: as the caller promises. The waiter leaves the queue before it is freed, and before
    // the lock is taken back.
    unsafe {
        let condition = &this(slf).condition;
        if !is_poll {
            blocking::refuse_at_shutdown()?;
        }
        let waiter = NewWaiter::allocate()?;
        if condition.enqueue(waiter.get(), false) {
            waiter.free();
            return Ok(None);
        }
        let Ok(saved) = lock.release_all() else {
            condition.abandon(waiter.get());
            let ticket = waiter.get().ticket();
            waiter.free();
            runtime_error(c"cannot release un-acquired lock");
            return ticket::end(slf, Err(Raised), ticket, deadline).map(|_| None);
        };
        let waited = if is_poll {
            ticket::leave_queue(&waiter, condition)
        } else {
            blocking::wait_queued(&waiter, condition, deadline, Signals::Handle)
        };
        let ticket = waiter.get().ticket();
        waiter.free();
        if let Some(ticket) = ticket {
            let saved = lock.saved_object(saved);
            return ticket::end_of_condition(slf, waited, ticket, deadline, saved).map(Some);
        }
        if let Ok(waited) = waited {
            lock.restore(saved)?;
            ticket::run_pending(slf)?;
            return Ok(Some(waited == Waited::Got));
        }
        // The exception of a signal handler is kept until the lock is taken back.
        let pending = compat::take_exception();
        if lock.restore(saved).is_ok() {
            compat::restore_exception(pending);
        } else {
            compat::forget_exception(pending);
        }
        Err(Raised)
    }
}

/// # Safety
/// Called, attached, with a native ConditionObject that the caller keeps alive.
pub unsafe extern "C-unwind" fn wait_for(
    slf: *mut PyObject,
    args: *const *mut PyObject,
    nargs: Py_ssize_t,
    kwnames: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: as the caller promises.
    unsafe {
        match arguments::bind(args, nargs, kwnames, [c"predicate", c"timeout"]) {
            // A derived class may have a wait() of its own.
            Some([predicate, seconds])
                if !predicate.is_null()
                    && arguments::is_plain_timeout(seconds)
                    && arguments::is_ordinary_timeout(seconds)
                    && !Head::of(slf).replaces_called() =>
            {
                wait_for_predicate(slf, predicate, seconds)
            }
            _ => LEFT_TO_PYTHON,
        }
    }
}

/// # Safety
/// As `wait_for`.
unsafe fn wait_for_predicate(
    slf: *mut PyObject,
    predicate: *mut PyObject,
    seconds: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: as the caller promises; the result of the last call is given to the caller.
    unsafe {
        let mut deadline: Option<Deadline> = None;
        loop {
            let result = call_no_args(predicate);
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
            // The time starts after the first call of the predicate. The first wait is made in any
            // case.
            let (until, is_poll) = match deadline {
                Some(until) => (until, false),
                None => match first_deadline(slf, seconds) {
                    Ok(first) => first,
                    Err(Raised) => return ptr::null_mut(),
                },
            };
            deadline = Some(until);
            if wait_once(slf, until, is_poll).is_err() {
                return ptr::null_mut();
            }
        }
    }
}

/// Returns the deadline of `wait_for`, and whether it is a poll, which does not wait. As in `wait`,
/// the error for a lock that is not held comes before the error for a time-out that is too large.
unsafe fn first_deadline(
    slf: *mut PyObject,
    seconds: *mut PyObject,
) -> Result<(Deadline, bool), Raised> {
    // SAFETY: as in `wait_for`.
    unsafe {
        if class::is_of_phase_native(slf) {
            check_owned(lock_of(slf), c"cannot wait on un-acquired lock")?;
        }
        let timeout = arguments::timeout(seconds)?;
        Ok((blocking::deadline(timeout), timeout == Timeout::Zero))
    }
}

/// Waits once for `wait_for`. The condition may be materialized during that.
unsafe fn wait_once(slf: *mut PyObject, until: Deadline, is_poll: bool) -> Result<(), Raised> {
    // SAFETY: as in `wait_for`; new references are released.
    unsafe {
        if class::is_of_phase_native(slf) {
            let lock = lock_of(slf);
            check_owned(lock, c"cannot wait on un-acquired lock")?;
            if wait_until(slf, lock, until, is_poll)?.is_some() {
                return Ok(());
            }
        }
        let left = arguments::remaining(until);
        if left.is_null() {
            return Err(Raised);
        }
        let waited = call_method(slf, c"wait", &left, 1, ptr::null_mut());
        drop_ref(left);
        drop_ref(waited);
        if waited.is_null() { Err(Raised) } else { Ok(()) }
    }
}

/// # Safety
/// Called, attached, with a native ConditionObject.
pub unsafe extern "C-unwind" fn notify(
    slf: *mut PyObject,
    args: *const *mut PyObject,
    nargs: Py_ssize_t,
    kwnames: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: as the caller promises.
    unsafe {
        let Some([count]) = arguments::bind(args, nargs, kwnames, [c"n"]) else {
            return LEFT_TO_PYTHON;
        };
        if !lock_of(slf).is_owned() {
            // The Python function raises.
            return LEFT_TO_PYTHON;
        }
        match how_many(&this(slf).condition, count) {
            Ok(count) if this(slf).condition.notify(count) => compat::none(),
            Ok(_) => LEFT_TO_PYTHON,
            Err(Raised) => ptr::null_mut(),
        }
    }
}

/// Reads the argument of `notify`. Any number will do, and it is read only if a thread waits.
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
            // A number too large for a machine word counts as the largest one, or as the smallest.
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
