//! How a queue is materialized, and how native code uses a queue that was native when the call
//! began.

use core::ffi::CStr;

use pyo3_ffi as ffi;

use crate::capi::entry::This;
use crate::capi::errors::Raised;
use crate::capi::object::{Answer, Attached, Borrowed, Dict, release};
use crate::runtime::natives::{Kind, gone};
use crate::runtime::state::State;
use crate::sync::{Accepted, Item, Items, Remains, Retire, Ticket};
use crate::threading::materialize::{self, Counts, Materialize, Retirement, Values};
use crate::threading::queue::items::{object_in, object_of};
use crate::threading::queue::{QueueObject, priority, state};

impl Materialize for QueueObject {
    const STATE: &'static [&'static CStr] = &[c"unfinished_tasks", c"is_shutdown", c"maxsize"];

    fn parts(
        py: Attached<'_>,
        this: This<'_, QueueObject>,
        state: &State,
        tickets: Counts,
    ) -> Answer {
        let [getters, putters, joiners] = tickets.map(|count| count as i64);
        let args = py.numbers(&[this.channel.limit() as i64, getters, putters, joiners]);
        materialize::make_parts(py, state, this.kind(), args)
    }

    fn retire(
        py: Attached<'_>,
        this: This<'_, QueueObject>,
        dict: Dict<'_>,
        tickets: [&[Ticket]; materialize::CONDITIONS],
        values: &mut Values,
    ) -> Retirement {
        let retired = match priority::of(this) {
            Some(this) => priority::retire(this, tickets),
            None => this.channel.retire(tickets[0], tickets[1], tickets[2]),
        };
        match retired {
            Retire::Done { state: remains, used } => {
                hand_over(py, this, dict, remains, values);
                Retirement::Done([used.getters, used.putters, used.joiners])
            }
            Retire::NeedTickets(needed) => {
                Retirement::Need([needed.getters, needed.putters, needed.joiners])
            }
            Retire::Already => Retirement::Done([0; materialize::CONDITIONS]),
        }
    }
}

/// Moves the items and the state of the queue into its attributes. Runs no Python code.
fn hand_over(
    py: Attached<'_>,
    this: This<'_, QueueObject>,
    dict: Dict<'_>,
    remains: Remains,
    values: &mut Values,
) {
    values[0] = py.unsigned(remains.unfinished).ok();
    // SAFETY: the dict is a new one. A thread that asks the object for it waits for the end of this
    // change.
    let (shown, into) = unsafe { (dict.peek(c"is_shutdown"), dict.peek(c"queue")) };
    // Some versions have `is_shutdown` as an attribute of the Python class. An object then gets one
    // of its own only when it is shut down.
    if remains.is_shut_down || shown.is_some() {
        values[1] = Some(py.bool(remains.is_shut_down));
    }
    let limit = py.signed(remains.limit as i64).ok();
    let mut items = remains.items;
    match into.map_or(Err(Raised), |into| move_items(py, &mut items, into)) {
        Ok(()) => {
            items.free();
            values[2] = limit;
        }
        Err(Raised) => {
            // Without memory the remaining items stay in the channel, until the queue is dropped.
            this.channel.keep(items);
            release(limit, py);
        }
    }
}

/// Moves items into a deque or a list. Those that have been moved are not in `items` any more.
fn move_items(py: Attached<'_>, items: &mut Items, into: Borrowed<'_>) -> Result<(), Raised> {
    let name = py.name(c"append")?;
    let moved = append_all(py, items, into, name.borrow());
    name.release(py);
    moved
}

/// Neither of the two ways to append runs Python code.
fn append_all(
    py: Attached<'_>,
    items: &mut Items,
    into: Borrowed<'_>,
    name: Borrowed<'_>,
) -> Result<(), Raised> {
    // SAFETY: the object is alive.
    let is_list = unsafe { ffi::PyList_CheckExact(into.as_ptr()) != 0 };
    while let Some(item) = items.first() {
        let object = object_in(&item);
        if is_list {
            // SAFETY: attached; a list, and an object that is alive.
            py.check(unsafe { ffi::PyList_Append(into.as_ptr(), object.as_ptr()) })?;
        } else {
            Borrowed::call_method(py, name, [into, object])?.release(py);
        }
        // The deque or list has a reference of its own.
        object_of(item).release(py);
        let _ = items.next();
    }
    Ok(())
}

/// Calls a function of the Python class with a queue. There are three other arguments at most.
pub fn call_python(
    py: Attached<'_>,
    this: This<'_, QueueObject>,
    name: &CStr,
    args: &[Borrowed<'_>],
) -> Answer {
    let Some(class) = state(py, this)?.natives.python(Kind::Queue) else { return Err(gone(py)) };
    let function = class.attribute_named(py, name)?;
    let mut all = [this.object(); 4];
    for (place, &arg) in all[1..].iter_mut().zip(args) {
        *place = arg;
    }
    let result = function.borrow().call(py, &all[..=args.len()]);
    function.release(py);
    result
}

/// Puts an item back that a get does not return because a signal handler raised. It is the next
/// item again. The exception stays set. The reference to the item is taken.
#[cold]
pub fn put_back(py: Attached<'_>, this: This<'_, QueueObject>, item: Item) {
    if this.channel.put_back(item) == Accepted::Done {
        return;
    }
    let pending = py.take_exception();
    let object = object_of(item);
    if this.channel.is_retired() {
        let method = if this.kind() == Kind::LifoQueue { c"append" } else { c"appendleft" };
        let first = Some((method, object.borrow()));
        if notify_python(py, this, c"not_empty", c"notify", first).is_err() {
            py.clear_error();
        }
    }
    object.release(py);
    pending.restore(py);
}

/// Notifies the waiters of a queue that has been materialized, as `with condition:
/// condition.notify()` does. Before that, calls a method of its attribute `queue`, if `first` names
/// one.
pub fn notify_python(
    py: Attached<'_>,
    this: This<'_, QueueObject>,
    condition: &CStr,
    notify: &CStr,
    first: Option<(&CStr, Borrowed<'_>)>,
) -> Result<(), Raised> {
    let condition = this.object().attribute_named(py, condition)?;
    let done = notify_with(py, this, condition.borrow(), notify, first);
    condition.release(py);
    done
}

fn notify_with(
    py: Attached<'_>,
    this: This<'_, QueueObject>,
    condition: Borrowed<'_>,
    notify: &CStr,
    first: Option<(&CStr, Borrowed<'_>)>,
) -> Result<(), Raised> {
    let call = |object: Borrowed<'_>, name: &CStr, args: &[Borrowed<'_>]| {
        object.call_method_named(py, name, args).map(|result| result.release(py))
    };
    call(condition, c"acquire", &[])?;
    let changed = first.map_or(Ok(()), |(name, item)| {
        let items = this.object().attribute_named(py, c"queue")?;
        let changed = call(items.borrow(), name, &[item]);
        items.release(py);
        changed
    });
    let done = changed.and_then(|()| call(condition, notify, &[]));
    let pending = if done.is_err() { Some(py.take_exception()) } else { None };
    let released = call(condition, c"release", &[]);
    match pending {
        Some(pending) if released.is_ok() => pending.restore(py),
        Some(pending) => pending.forget(py),
        None => return released,
    }
    done
}
