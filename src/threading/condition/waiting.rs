//! Waiting and notifying.

use core::ffi::CStr;
use std::time::Instant;

use crate::capi::entry::{Args, This};
use crate::capi::errors::Raised;
use crate::capi::object::values::Order;
use crate::capi::object::{Attached, Borrowed};
use crate::runtime::blocking::{self, NewWaiter, Signals, Subject, Timeout, Waited};
use crate::sync::{Awaitable, Condition, Deadline, WaitKind};
use crate::threading::condition::{CondLock, ConditionObject, lock_of};
use crate::threading::method::{LEFT_TO_PYTHON, Outcome, Reply};
use crate::threading::{arguments, ticket};

pub fn wait(py: Attached<'_>, this: This<'_, ConditionObject>, args: Args<'_>) -> Outcome {
    let Some([seconds]) = arguments::bind(args, [c"timeout"]) else {
        return LEFT_TO_PYTHON;
    };
    let Some(lock) = lock_of(this).filter(|lock| lock.is_owned()) else {
        // The Python function raises.
        return LEFT_TO_PYTHON;
    };
    let timeout = arguments::timeout(py, seconds)?;
    match wait_until(py, this, lock, blocking::deadline(timeout), timeout == Timeout::Zero)? {
        Some(notified) => Reply::bool(py, notified),
        None => LEFT_TO_PYTHON,
    }
}

/// Raises unless the lock is held, see [`CondLock::is_owned`].
fn check_owned(py: Attached<'_>, lock: CondLock<'_>, message: &CStr) -> Result<(), Raised> {
    if lock.is_owned() { Ok(()) } else { Err(py.runtime_error(message)) }
}

/// Releases the lock, waits for a notification, and takes the lock back whatever happens. Returns
/// whether the thread was notified; `None`, with nothing done, if the condition is not native any
/// more.
fn wait_until(
    py: Attached<'_>,
    this: This<'_, ConditionObject>,
    lock: CondLock<'_>,
    deadline: Deadline,
    is_poll: bool,
) -> Result<Option<bool>, Raised> {
    let condition = &this.condition;
    if !is_poll {
        blocking::refuse_at_shutdown(py)?;
    }
    let waiter = NewWaiter::allocate(py)?;
    // SAFETY: a new waiter is in no queue, and stays in place until it is freed. It leaves the
    // queue before that.
    if unsafe { condition.enqueue(waiter.get(), false) } {
        // SAFETY: a condition that is retired has not queued it.
        unsafe { waiter.free() };
        return Ok(None);
    }
    let Ok(saved) = lock.release_all() else {
        // SAFETY: the waiter is in the queue, and is in none afterwards.
        let ticket = unsafe {
            condition.abandon(waiter.get());
            let ticket = waiter.get().ticket();
            waiter.free();
            ticket
        };
        let raised = py.runtime_error(c"cannot release un-acquired lock");
        return ticket::end(py, this.object(), Err(raised), ticket, deadline).map(|_| None);
    };
    // SAFETY: the waiter is in the queue. Afterwards it is in none. It is freed before the lock is
    // taken back.
    let (waited, ticket) = unsafe {
        let waited = if is_poll {
            ticket::leave_queue(&waiter, condition)
        } else {
            let subject = Subject::of(WaitKind::Condition, this.object());
            blocking::wait_queued(py, &waiter, condition, subject, deadline, Signals::Handle)
        };
        let ticket = waiter.get().ticket();
        waiter.free();
        (waited, ticket)
    };
    if let Some(ticket) = ticket {
        let saved = lock.saved_object(py, saved);
        return ticket::end_of_condition(py, this.object(), waited, ticket, deadline, saved)
            .map(Some);
    }
    if let Ok(waited) = waited {
        lock.restore(py, saved)?;
        ticket::run_pending(py, this.object())?;
        return Ok(Some(waited == Waited::Got));
    }
    // The exception of a signal handler is kept until the lock is taken back.
    let pending = py.take_exception();
    if lock.restore(py, saved).is_ok() {
        pending.restore(py);
    } else {
        pending.forget(py);
    }
    Err(Raised)
}

pub fn wait_for(py: Attached<'_>, this: This<'_, ConditionObject>, args: Args<'_>) -> Outcome {
    match arguments::bind(args, [c"predicate", c"timeout"]) {
        // A derived class may have a wait() of its own.
        Some([Some(predicate), seconds])
            if arguments::is_plain_timeout(seconds)
                && arguments::is_ordinary_timeout(seconds)
                && !this.head().replaces_called() =>
        {
            wait_for_predicate(py, this, predicate, seconds)
        }
        _ => LEFT_TO_PYTHON,
    }
}

/// Returns the result of the last call of the predicate.
fn wait_for_predicate(
    py: Attached<'_>,
    this: This<'_, ConditionObject>,
    predicate: Borrowed<'_>,
    seconds: Option<Borrowed<'_>>,
) -> Outcome {
    let mut deadline: Option<Deadline> = None;
    loop {
        let result = predicate.call(py, &[])?;
        match result.borrow().truth(py) {
            Ok(false) => {}
            Ok(true) => return Ok(Reply::from(result)),
            Err(Raised) => {
                result.release(py);
                return Err(Raised);
            }
        }
        if deadline.flatten().is_some_and(|at| at <= Instant::now()) {
            return Ok(Reply::from(result));
        }
        result.release(py);
        // The time starts after the first call of the predicate. The first wait is made in any
        // case.
        let (until, is_poll) = match deadline {
            Some(until) => (until, false),
            None => first_deadline(py, this, seconds)?,
        };
        deadline = Some(until);
        wait_once(py, this, until, is_poll)?;
    }
}

/// Returns the deadline of `wait_for`, and whether it is a poll, which does not wait. As in `wait`,
/// the error for a lock that is not held comes before the error for a time-out that is too large.
fn first_deadline(
    py: Attached<'_>,
    this: This<'_, ConditionObject>,
    seconds: Option<Borrowed<'_>>,
) -> Result<(Deadline, bool), Raised> {
    if this.head().is_native_phase()
        && let Some(lock) = lock_of(this)
    {
        check_owned(py, lock, c"cannot wait on un-acquired lock")?;
    }
    let timeout = arguments::timeout(py, seconds)?;
    Ok((blocking::deadline(timeout), timeout == Timeout::Zero))
}

/// Waits once for `wait_for`. The condition may be materialized during that.
fn wait_once(
    py: Attached<'_>,
    this: This<'_, ConditionObject>,
    until: Deadline,
    is_poll: bool,
) -> Result<(), Raised> {
    if this.head().is_native_phase()
        && let Some(lock) = lock_of(this)
    {
        check_owned(py, lock, c"cannot wait on un-acquired lock")?;
        if wait_until(py, this, lock, until, is_poll)?.is_some() {
            return Ok(());
        }
    }
    let left = arguments::remaining(py, until)?;
    let waited = this.object().call_method_named(py, c"wait", &[left.borrow()]);
    left.release(py);
    waited?.release(py);
    Ok(())
}

#[inline]
pub fn notify(py: Attached<'_>, this: This<'_, ConditionObject>, args: Args<'_>) -> Outcome {
    let Some([count]) = arguments::bind(args, [c"n"]) else {
        return LEFT_TO_PYTHON;
    };
    if !lock_of(this).is_some_and(CondLock::is_owned) {
        // The Python function raises.
        return LEFT_TO_PYTHON;
    }
    let count = how_many(py, &this.condition, count)?;
    if this.condition.notify(count) { Reply::none(py) } else { LEFT_TO_PYTHON }
}

/// Reads the argument of `notify`. Any number will do, and it is read only if a thread waits.
fn how_many(
    py: Attached<'_>,
    condition: &Condition,
    count: Option<Borrowed<'_>>,
) -> Result<usize, Raised> {
    let Some(count) = count else { return Ok(1) };
    let waiters = condition.waiters();
    if waiters == 0 {
        return Ok(0);
    }
    if let Some(count) = count.clamped_int(py) {
        return Ok(usize::try_from(count).unwrap_or(0));
    }
    let mut less = 0;
    while less < waiters {
        let number = py.size(less)?;
        let more = count.compare(py, Order::Greater, number.borrow());
        number.release(py);
        if !more? {
            break;
        }
        less += 1;
    }
    Ok(less)
}
