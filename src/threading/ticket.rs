//! Waits for native objects, and how a wait continues if the object is materialized during it.
//!
//! A thread that waits for a Python condition has put a lock of its own into the condition's
//! `_waiters`, and waits for that lock. A *ticket* is such a lock together with its condition, as a
//! tuple. The thread that materializes an object makes a ticket for each waiter. The waiter wakes
//! up, and continues by waiting for the lock of its ticket. A notification that came before has
//! released that lock, so it is not lost.

use crate::capi::errors::Raised;
use crate::capi::object::{Answer, Attached, Borrowed, Owned, Tuple, release};
use crate::runtime::blocking::{self, NewWaiter, Signals, Subject, Waited};
use crate::runtime::natives::Helper;
use crate::sync::{Awaitable, Cancelled, Condition, Deadline, Ticket, WaitKind};
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
pub fn wait<T: Awaitable>(
    py: Attached<'_>,
    slf: Borrowed<'_>,
    what: &T,
    kind: WaitKind,
    deadline: Deadline,
) -> Result<Ended, Raised> {
    let subject = Subject::of(kind, slf);
    let (waited, ticket) =
        blocking::wait_with_ticket(py, what, subject, deadline, Signals::Handle)?;
    end(py, slf, waited, ticket, deadline)
}

/// Finishes a wait. If the waiter has a ticket, the wait continues in Python. If a signal handler
/// has raised as well, the waiter only leaves the queue there.
pub fn end(
    py: Attached<'_>,
    slf: Borrowed<'_>,
    waited: Result<Waited, Raised>,
    ticket: Option<Ticket>,
    deadline: Deadline,
) -> Result<Ended, Raised> {
    match (waited, ticket) {
        (Ok(Waited::Got), _) => Ok(Ended::Got),
        (Ok(Waited::TimedOut), _) => Ok(Ended::TimedOut),
        (Ok(Waited::Dismissed), None) => Ok(Ended::SentAway),
        (Ok(Waited::Dismissed), Some(ticket)) => {
            let left = arguments::remaining(py, deadline);
            let result = resume(py, slf, ticket, left)?;
            Ok(Ended::Notified(into_bool(py, result)))
        }
        (Err(Raised), None) => Err(Raised),
        (Err(Raised), Some(ticket)) => {
            // Removes the lock from `_waiters`, as an interrupted wait in Python does.
            let pending = py.take_exception();
            release(resume(py, slf, ticket, Ok(py.bool(false))).ok(), py);
            pending.restore(py);
            Err(Raised)
        }
    }
}

/// Calls the Python function that continues a wait, or ends it if the time left is `False`.
fn resume(py: Attached<'_>, slf: Borrowed<'_>, ticket: Ticket, left: Answer) -> Answer {
    let result = match &left {
        Ok(left) => {
            let [lock, condition] = parts(&ticket);
            Helper::Resume.call(py, slf, &[lock, condition, left.borrow()])
        }
        Err(Raised) => Err(Raised),
    };
    own(ticket).release(py);
    release(left.ok(), py);
    result
}

/// Finishes the wait for a condition that was materialized meanwhile. The thread has released the
/// lock. Waits on in Python, and takes the lock back whatever happens. Returns whether the thread
/// was notified.
pub fn end_of_condition(
    py: Attached<'_>,
    slf: Borrowed<'_>,
    waited: Result<Waited, Raised>,
    ticket: Ticket,
    deadline: Deadline,
    saved: Answer,
) -> Result<bool, Raised> {
    // An exception that is set already stays, unless the call raises another one.
    let pending = if waited.is_err() { Some(py.take_exception()) } else { None };
    let left = match waited {
        Ok(_) => arguments::remaining(py, deadline),
        Err(Raised) => Ok(py.bool(false)),
    };
    let result = match (&left, &saved) {
        (Ok(left), Ok(saved)) => {
            let [lock, _] = parts(&ticket);
            let args = [lock, slf, left.borrow(), saved.borrow()];
            Helper::ResumeCondition.call(py, slf, &args)
        }
        _ => Err(Raised),
    };
    for object in [Some(own(ticket)), left.ok(), saved.ok()] {
        release(object, py);
    }
    let notified = result.map(|result| into_bool(py, result));
    match pending {
        Some(pending) if notified.is_err() => pending.forget(py),
        Some(pending) => {
            pending.restore(py);
            return Err(Raised);
        }
        None => {}
    }
    notified
}

/// Whether an object is `True`.
fn into_bool(py: Attached<'_>, object: Owned) -> bool {
    let is_true = object.borrow().is_true();
    object.release(py);
    is_true
}

/// Returns the condition of a ticket, which stays the caller's.
pub fn condition_of(py: Attached<'_>, ticket: Ticket) -> Owned {
    let [_, condition] = parts(&ticket);
    condition.own(py)
}

/// The lock and the condition of a ticket.
fn parts(ticket: &Ticket) -> [Borrowed<'_>; 2] {
    // SAFETY: every ticket is a tuple of these two (see `materialize`). The waiter that has the
    // ticket has a reference to it.
    let items = unsafe { Tuple::assume(Borrowed::assume(ticket.as_ptr().cast())) }.items();
    [items[0], items[1]]
}

/// The reference to a ticket.
fn own(ticket: Ticket) -> Owned {
    // SAFETY: the reference came to the waiter with the ticket (see `materialize`).
    unsafe { Owned::assume(ticket.as_ptr().cast()) }
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

/// Does the work that the interpreter does while Python code runs, if any is pending: signal
/// handlers, asynchronous exceptions, collections. A native method that has waited calls this
/// before it returns. In the Python class the code after the wait would do that work.
pub fn run_pending(py: Attached<'_>, slf: Borrowed<'_>) -> Result<(), Raised> {
    Helper::Checkpoint.call(py, slf, &[])?.release(py);
    Ok(())
}
