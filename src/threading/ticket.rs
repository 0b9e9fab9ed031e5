//! Waits for native objects, and how a wait continues if the object is materialized during it.
//!
//! A thread that waits for a Python condition has put a lock of its own into the condition's
//! `_waiters`, and waits for that lock. A *ticket* is such a lock together with its condition, as a
//! tuple. The thread that materializes an object makes a ticket for each waiter. The waiter wakes
//! up, and continues by waiting for the lock of its ticket. A notification that came before has
//! released that lock, so it is not lost.

use core::ptr;

use pyo3_ffi::{self as ffi, PyObject};

use crate::capi::compat;
use crate::capi::errors::Raised;
use crate::capi::refs::drop_ref;
use crate::runtime::blocking::{self, NewWaiter, Signals, Waited};
use crate::runtime::natives::Helper;
use crate::sync::{Awaitable, Cancelled, Condition, Deadline, Ticket};
use crate::threading::arguments;

/// How a wait for a native object ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The thread has got the object of its wait: the item, the permit, the notification.
    Got,
    TimedOut,
    /// The object was materialized, and the wait has continued in Python. The value tells whether
    /// the thread was notified there.
    Notified(bool),
    /// The primitive has sent the thread away. It was retired, or it tells the reason in another
    /// way.
    SentAway,
}

/// Waits for `what`, a primitive of a native object. Returns `Err` if the wait could not begin or a
/// signal handler raised; then nothing was taken. A caller that gets something calls
/// [`run_pending`] before it returns.
///
/// # Safety
/// Attached; `what` is a part of the object, which the caller keeps alive.
pub unsafe fn wait<T: Awaitable>(
    slf: *mut PyObject,
    what: &T,
    deadline: Deadline,
) -> Result<Ended, Raised> {
    // SAFETY: as the caller promises; a ticket that the waiter was left is its own.
    unsafe {
        let (waited, ticket) = blocking::wait_with_ticket(what, deadline, Signals::Handle)?;
        end(slf, waited, ticket, deadline)
    }
}

/// Finishes a wait. If the waiter has a ticket, the wait continues in Python. If a signal handler
/// has raised as well, the waiter only leaves the queue there.
///
/// # Safety
/// As [`wait`].
pub unsafe fn end(
    slf: *mut PyObject,
    waited: Result<Waited, Raised>,
    ticket: Option<Ticket>,
    deadline: Deadline,
) -> Result<Ended, Raised> {
    // SAFETY: as the caller promises.
    unsafe {
        match (waited, ticket) {
            (Ok(Waited::Got), _) => Ok(Ended::Got),
            (Ok(Waited::TimedOut), _) => Ok(Ended::TimedOut),
            (Ok(Waited::Dismissed), None) => Ok(Ended::SentAway),
            (Ok(Waited::Dismissed), Some(ticket)) => {
                let left = arguments::remaining(deadline);
                if left.is_null() {
                    drop_ref(ticket.as_ptr().cast());
                    return Err(Raised);
                }
                let result = call(slf, ticket, left);
                drop_ref(left);
                if result.is_null() {
                    return Err(Raised);
                }
                let notified = result == ffi::Py_True();
                drop_ref(result);
                Ok(Ended::Notified(notified))
            }
            (Err(Raised), None) => Err(Raised),
            (Err(Raised), Some(ticket)) => {
                // Removes the lock from `_waiters`, as an interrupted wait in Python does.
                let pending = compat::take_exception();
                let result = call(slf, ticket, ffi::Py_False());
                if result.is_null() {
                    ffi::PyErr_Clear();
                }
                drop_ref(result);
                compat::restore_exception(pending);
                Err(Raised)
            }
        }
    }
}

/// Finishes the wait for a condition that was materialized meanwhile. Waits on in Python, and takes
/// the lock back whatever happens. Returns whether the thread was notified.
///
/// # Safety
/// As [`wait`]; the thread has released the lock. Takes the references to the ticket and to
/// `saved`.
pub unsafe fn end_of_condition(
    slf: *mut PyObject,
    waited: Result<Waited, Raised>,
    ticket: Ticket,
    deadline: Deadline,
    saved: *mut PyObject,
) -> Result<bool, Raised> {
    // SAFETY: as the caller promises; new references are released. An exception that is set already
    // stays, unless the call raises another one.
    unsafe {
        let pending = if waited.is_err() { Some(compat::take_exception()) } else { None };
        let left = match waited {
            Ok(_) => arguments::remaining(deadline),
            Err(Raised) => compat::bool_object(false),
        };
        let ticket = ticket.as_ptr().cast::<PyObject>();
        let result = if left.is_null() || saved.is_null() {
            ptr::null_mut()
        } else {
            let lock = ffi::PyTuple_GET_ITEM(ticket, 0);
            Helper::ResumeCondition.call(slf, &[lock, slf, left, saved])
        };
        for object in [ticket, left, saved] {
            drop_ref(object);
        }
        let notified = result == ffi::Py_True();
        drop_ref(result);
        match pending {
            Some(pending) if result.is_null() => compat::forget_exception(pending),
            Some(pending) => {
                compat::restore_exception(pending);
                return Err(Raised);
            }
            None => {}
        }
        if result.is_null() { Err(Raised) } else { Ok(notified) }
    }
}

/// Returns the condition of a ticket, as a new reference.
///
/// # Safety
/// Attached; the ticket is the caller's.
pub unsafe fn condition_of(ticket: Ticket) -> *mut PyObject {
    // SAFETY: as the caller promises; a ticket is a tuple.
    unsafe {
        let condition = ffi::PyTuple_GET_ITEM(ticket.as_ptr().cast(), 1);
        ffi::Py_INCREF(condition);
        condition
    }
}

/// Leaves the queue of a condition at once, as a wait with no time left does. The result tells
/// whether the thread was notified all the same.
///
/// # Safety
/// The waiter is in the queue.
pub unsafe fn leave_queue(waiter: &NewWaiter, condition: &Condition) -> Result<Waited, Raised> {
    // SAFETY: as the caller promises; the waiter claims if it was settled.
    unsafe {
        if condition.cancel(waiter.get()) == Cancelled::Left {
            return Ok(Waited::TimedOut);
        }
        let _left = condition.claim(waiter.get());
    }
    Ok(if waiter.get().is_dismissed() { Waited::Dismissed } else { Waited::Got })
}

/// Calls the Python function that continues a wait, or ends it if the time left is `False`. Takes
/// the reference to the ticket.
unsafe fn call(slf: *mut PyObject, ticket: Ticket, left: *mut PyObject) -> *mut PyObject {
    // SAFETY: attached, as the callers promise; a ticket is a tuple.
    unsafe {
        let ticket = ticket.as_ptr().cast::<PyObject>();
        let (lock, condition) =
            (ffi::PyTuple_GET_ITEM(ticket, 0), ffi::PyTuple_GET_ITEM(ticket, 1));
        let result = Helper::Resume.call(slf, &[lock, condition, left]);
        drop_ref(ticket);
        result
    }
}

/// Does the work that the interpreter does while Python code runs, if any is pending: signal
/// handlers, asynchronous exceptions, collections. A native method that has waited calls this
/// before it returns. In the Python class the code after the wait would do that work.
///
/// # Safety
/// Attached; a native object; no exception is set.
pub unsafe fn run_pending(slf: *mut PyObject) -> Result<(), Raised> {
    // SAFETY: as the caller promises; the new reference is released.
    unsafe {
        let result = Helper::Checkpoint.call(slf, &[]);
        drop_ref(result);
        if result.is_null() { Err(Raised) } else { Ok(()) }
    }
}
