//! `put` and `get` of a native queue.

use core::ffi::CStr;

use crate::capi::entry::{Args, This};
use crate::capi::errors::Raised;
use crate::capi::object::values::Order;
use crate::capi::object::{Answer, Attached, Borrowed, Exception};
use crate::runtime::blocking::{self, Timeout};
use crate::runtime::natives::Kind;
use crate::sync::{Accepted, Deadline, Get, Item, Put, Taken, WaitKind};
use crate::threading::arguments;
use crate::threading::method::{LEFT_TO_PYTHON, Outcome, Reply, reply};
use crate::threading::queue::items::{self, item_of, object_in, object_of};
use crate::threading::queue::{self, QueueObject, priority};
use crate::threading::ticket::{self, Ended};

/// Whether a call may wait, and for how long.
#[derive(Clone, Copy)]
pub enum Blocking<'a> {
    Poll,
    /// The time-out in seconds: a number, or None for no limit. Read only if the call has to wait.
    Wait(Option<Borrowed<'a>>),
}

impl Blocking<'_> {
    /// The meaning of no arguments: no limit.
    pub const FOREVER: Blocking<'static> = Blocking::Wait(None);
}

/// Reads `block` and `timeout`. `None`, with nothing done, if the Python function has to read them.
pub fn blocking<'a>(
    py: Attached<'_>,
    block: Option<Borrowed<'a>>,
    seconds: Option<Borrowed<'a>>,
) -> Result<Option<Blocking<'a>>, Raised> {
    let limit = seconds.filter(|seconds| !seconds.is_none());
    if limit.is_some_and(|limit| !arguments::is_plain_timeout(Some(limit)) && !limit.is_float()) {
        return Ok(None);
    }
    if let Some(block) = block.filter(|block| !block.is_true()) {
        if !block.is_false() && !block.is_none() && !block.is_exact_int() {
            return Ok(None);
        }
        // The truth test of such an object runs no code of the program.
        if matches!(block.truth(py), Ok(false)) {
            return Ok(Some(Blocking::Poll));
        }
    }
    let Some(seconds) = limit else { return Ok(Some(Blocking::FOREVER)) };
    // NaN: no comparison with it is true.
    if seconds.float_value().is_some_and(f64::is_nan) {
        return Ok(None);
    }
    if seconds.compare_with_zero(py, Order::Less)? {
        return Err(py.raise(Exception::Value, c"'timeout' must be a non-negative number"));
    }
    Ok(Some(Blocking::Wait(Some(seconds))))
}

/// Returns the deadline of a wait that begins now; `None` if the call must not wait.
pub fn deadline_of(py: Attached<'_>, blocking: Blocking<'_>) -> Result<Option<Deadline>, Raised> {
    let Blocking::Wait(seconds) = blocking else { return Ok(None) };
    Ok(match arguments::timeout(py, seconds)? {
        Timeout::Zero => None,
        timeout => Some(blocking::deadline(timeout)),
    })
}

/// Continues a put or get in Python, with the time that is left, because the queue was materialized
/// during the wait.
fn go_on(
    py: Attached<'_>,
    this: This<'_, QueueObject>,
    name: &CStr,
    item: Option<Borrowed<'_>>,
    deadline: Deadline,
) -> Answer {
    let left = arguments::remaining(py, deadline)?;
    let block = py.truth_value(true);
    let result = match item {
        Some(item) => queue::call_python(py, this, name, &[item, block, left.borrow()]),
        None => queue::call_python(py, this, name, &[block, left.borrow()]),
    };
    left.release(py);
    result
}

/// [`go_on`] with a put.
pub fn go_on_putting(
    py: Attached<'_>,
    this: This<'_, QueueObject>,
    item: Borrowed<'_>,
    deadline: Deadline,
) -> Answer {
    go_on(py, this, c"put", Some(item), deadline)
}

/// [`go_on`] with a get.
pub fn go_on_getting(py: Attached<'_>, this: This<'_, QueueObject>, deadline: Deadline) -> Answer {
    go_on(py, this, c"get", None, deadline)
}

/// `put`.
#[inline]
pub fn put(py: Attached<'_>, this: This<'_, QueueObject>, args: Args<'_>) -> Outcome {
    if let Some(item) = args.single() {
        return put_item(py, this, item, None, None);
    }
    args.out_of_line(move |args| match arguments::bind(args, [c"item", c"block", c"timeout"]) {
        Some([Some(item), block, seconds]) => put_item(py, this, item, block, seconds),
        _ => LEFT_TO_PYTHON,
    })
}

/// `put_nowait`.
#[inline]
pub fn put_nowait(py: Attached<'_>, this: This<'_, QueueObject>, args: Args<'_>) -> Outcome {
    match arguments::bind(args, [c"item"]) {
        // A derived class may have a put() of its own.
        Some([Some(item)]) if !this.head.replaces_called() => {
            put_item(py, this, item, Some(py.truth_value(false)), None)
        }
        _ => LEFT_TO_PYTHON,
    }
}

#[inline]
fn put_item(
    py: Attached<'_>,
    this: This<'_, QueueObject>,
    given: Borrowed<'_>,
    block: Option<Borrowed<'_>>,
    seconds: Option<Borrowed<'_>>,
) -> Outcome {
    if let Some(this) = priority::of(this) {
        return priority::put_item(py, this, given, block, seconds);
    }
    // Without a limit the other arguments do not matter.
    if this.channel.limit() <= 0 || (block.is_none() && seconds.is_none()) {
        // The reference goes with the item if it is accepted.
        let item = item_of(given.own(py));
        return match items::try_put(py, &this.channel, item) {
            Accepted::Done => Reply::none(py),
            // Another thread has set a limit meanwhile: the arguments matter.
            Accepted::Full if block.is_some() || seconds.is_some() => {
                object_of(item).release(py);
                put_with(py, this, given, block, seconds)
            }
            refused => put_refused(py, this, item, refused, Blocking::FOREVER),
        };
    }
    put_with(py, this, given, block, seconds)
}

/// A put to a queue with a limit, and with arguments.
#[cold]
fn put_with(
    py: Attached<'_>,
    this: This<'_, QueueObject>,
    item: Borrowed<'_>,
    block: Option<Borrowed<'_>>,
    seconds: Option<Borrowed<'_>>,
) -> Outcome {
    if this.channel.is_retired() {
        return LEFT_TO_PYTHON;
    }
    if this.channel.is_shut_down() {
        return queue::raise_or_leave(py, this, Kind::ShutDown);
    }
    let Some(blocking) = blocking(py, block, seconds)? else { return LEFT_TO_PYTHON };
    let item = item_of(item.own(py));
    match items::try_put(py, &this.channel, item) {
        Accepted::Done => Reply::none(py),
        refused => put_refused(py, this, item, refused, blocking),
    }
}

/// Takes the reference to the item.
#[cold]
fn put_refused(
    py: Attached<'_>,
    this: This<'_, QueueObject>,
    item: Item,
    accepted: Accepted,
    blocking: Blocking<'_>,
) -> Outcome {
    let result = match accepted {
        Accepted::Done => return Reply::none(py),
        Accepted::Full => match deadline_of(py, blocking) {
            Ok(None) => queue::raise_or_leave(py, this, Kind::Full),
            Ok(Some(deadline)) => match wait_to_put(py, this, item, deadline) {
                Ok(result) => return result,
                Err(result) => result,
            },
            Err(raised) => Err(raised),
        },
        Accepted::ShutDown => queue::raise_or_leave(py, this, Kind::ShutDown),
        Accepted::Retired => LEFT_TO_PYTHON,
        Accepted::NoMemory => Err(py.no_memory()),
    };
    object_of(item).release(py);
    result
}

/// Waits until the item is in the queue. Returns the result of the call: `Ok` if the item is in the
/// queue, `Err` if it is not. After `Err` the reference is still the caller's.
fn wait_to_put(
    py: Attached<'_>,
    this: This<'_, QueueObject>,
    item: Item,
    deadline: Deadline,
) -> Result<Outcome, Outcome> {
    loop {
        let wait = Put::new(&this.channel, item);
        let ended =
            ticket::wait(py, this.object(), &wait, WaitKind::QueuePut, deadline).map_err(Err)?;
        let has_moved = matches!(ended, Ended::Notified(_)) || this.channel.is_retired();
        if has_moved && ended != Ended::Got {
            return Err(reply(go_on_putting(py, this, object_in(&item), deadline)));
        }
        let pending = ticket::run_pending(py, this.object());
        match (ended, pending) {
            (Ended::Got, Ok(())) => return Ok(Reply::none(py)),
            (Ended::Got, Err(raised)) if this.channel.withdraw(item) => return Err(Err(raised)),
            // Another thread has got the item, or another item was put after it: the item stays in.
            (Ended::Got, Err(raised)) => return Ok(Err(raised)),
            (_, Err(raised)) => return Err(Err(raised)),
            (Ended::TimedOut, _) => return Err(Err(queue::raise(py, this, Kind::Full))),
            _ if wait.is_out_of_memory() => return Err(Err(py.no_memory())),
            _ if this.channel.is_shut_down() => {
                return Err(Err(queue::raise(py, this, Kind::ShutDown)));
            }
            _ => {}
        }
    }
}

/// `get`.
#[inline]
pub fn get(py: Attached<'_>, this: This<'_, QueueObject>, args: Args<'_>) -> Outcome {
    if args.are_none() {
        return get_item(py, this, None, None);
    }
    args.out_of_line(move |args| match arguments::bind(args, [c"block", c"timeout"]) {
        Some([block, seconds]) => get_item(py, this, block, seconds),
        None => LEFT_TO_PYTHON,
    })
}

/// `get_nowait`.
#[inline]
pub fn get_nowait(py: Attached<'_>, this: This<'_, QueueObject>) -> Outcome {
    // A derived class may have a get() of its own.
    if this.head.replaces_called() {
        return LEFT_TO_PYTHON;
    }
    get_item(py, this, Some(py.truth_value(false)), None)
}

#[inline]
fn get_item(
    py: Attached<'_>,
    this: This<'_, QueueObject>,
    block: Option<Borrowed<'_>>,
    seconds: Option<Borrowed<'_>>,
) -> Outcome {
    if let Some(this) = priority::of(this) {
        return priority::get_item(py, this, block, seconds);
    }
    if block.is_none() && seconds.is_none() {
        return match items::try_get(py, &this.channel) {
            Taken::Item(item) => Ok(object_of(item).into()),
            refused => get_refused(py, this, refused, Blocking::FOREVER),
        };
    }
    get_with(py, this, block, seconds)
}

/// A get with arguments.
// Not inlined: a get without arguments would save registers for it.
#[inline(never)]
fn get_with(
    py: Attached<'_>,
    this: This<'_, QueueObject>,
    block: Option<Borrowed<'_>>,
    seconds: Option<Borrowed<'_>>,
) -> Outcome {
    if this.channel.is_retired() {
        return LEFT_TO_PYTHON;
    }
    if this.channel.is_shut_down() && this.channel.is_empty() {
        return queue::raise_or_leave(py, this, Kind::ShutDown);
    }
    let Some(blocking) = blocking(py, block, seconds)? else { return LEFT_TO_PYTHON };
    match items::try_get(py, &this.channel) {
        Taken::Item(item) => Ok(object_of(item).into()),
        refused => get_refused(py, this, refused, blocking),
    }
}

#[cold]
fn get_refused(
    py: Attached<'_>,
    this: This<'_, QueueObject>,
    refused: Taken,
    blocking: Blocking<'_>,
) -> Outcome {
    match refused {
        Taken::Item(item) => Ok(object_of(item).into()),
        Taken::Empty => match deadline_of(py, blocking)? {
            None => match queue::try_once_more(py, &this.channel) {
                Some(item) => Ok(item.into()),
                None => queue::raise_or_leave(py, this, Kind::Empty),
            },
            Some(deadline) => reply(wait_to_get(py, this, deadline)),
        },
        Taken::ShutDown => queue::raise_or_leave(py, this, Kind::ShutDown),
        Taken::Retired => LEFT_TO_PYTHON,
    }
}

fn wait_to_get(py: Attached<'_>, this: This<'_, QueueObject>, deadline: Deadline) -> Answer {
    if let Some(item) = queue::try_once_more(py, &this.channel) {
        return Ok(item);
    }
    loop {
        let wait = Get::new(&this.channel);
        let ended = ticket::wait(py, this.object(), &wait, WaitKind::QueueGet, deadline)?;
        if ended == Ended::Got {
            let item = wait.item().ok_or(Raised)?;
            if let Err(raised) = ticket::run_pending(py, this.object()) {
                queue::put_back(py, this, item);
                return Err(raised);
            }
            return Ok(object_of(item));
        }
        if matches!(ended, Ended::Notified(_)) || this.channel.is_retired() {
            return go_on_getting(py, this, deadline);
        }
        ticket::run_pending(py, this.object())?;
        if ended == Ended::TimedOut {
            return queue::try_once_more(py, &this.channel)
                .ok_or_else(|| queue::raise(py, this, Kind::Empty));
        }
        if this.channel.is_shut_down() {
            return Err(queue::raise(py, this, Kind::ShutDown));
        }
    }
}
