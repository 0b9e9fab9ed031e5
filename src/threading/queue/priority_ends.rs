//! The end of a priority queue: it is shut down, or materialized.

use crate::capi::entry::This;
use crate::capi::errors::Raised;
use crate::capi::object::Attached;
use crate::runtime::blocking::Signals;
use crate::sync::{Condition, Items, PerList, Remains, Retire, Ticket};
use crate::threading::materialize::CONDITIONS;
use crate::threading::queue::priority::{PriorityObject, tell_in_python};

/// [`Channel::shut_down`](crate::sync::Channel::shut_down).
pub fn shut_down(
    py: Attached<'_>,
    this: This<'_, PriorityObject>,
    discard: bool,
) -> Result<Option<Items>, Raised> {
    this.enter(py, Signals::Handle)?;
    let items = this.channel().shut_down(discard);
    this.changed();
    this.leave();
    if items.is_some() && !wake_all(this) {
        // The queue was materialized in between, and its waiters wait in Python.
        for condition in [&this.not_empty, &this.not_full] {
            if tell_in_python(py, this, condition, c"notify_all").is_err() {
                py.clear_error();
            }
        }
    }
    Ok(items)
}

/// [`Channel::retire`](crate::sync::Channel::retire), which retires the conditions as well. For a
/// thread that is changing the object.
///
/// The turn is not needed for that. A thread that has the turn, and is comparing, finds the heap
/// gone when it wants to change it. A waiter queues under the queue lock of the channel, and only
/// while the object is native. So once this thread has had that lock, no further waiters come.
pub fn retire(
    this: This<'_, PriorityObject>,
    tickets: [&[Ticket]; CONDITIONS],
) -> Retire<Remains, PerList> {
    let [getters, putters, joiners] = tickets;
    this.channel().edit(|_| ());
    let mut used = PerList {
        getters: this.not_empty.waiters(),
        putters: this.not_full.waiters(),
        joiners: joiners.len(),
    };
    if used.getters > getters.len() || used.putters > putters.len() {
        return Retire::NeedTickets(used);
    }
    match this.channel().retire(&[], &[], joiners) {
        Retire::Done { state, used: of_channel } => {
            this.changed();
            used.joiners = of_channel.joiners;
            used.getters = retired(&this.not_empty, getters);
            used.putters = retired(&this.not_full, putters);
            Retire::Done { state, used }
        }
        Retire::NeedTickets(needed) => {
            used.joiners = needed.joiners;
            Retire::NeedTickets(used)
        }
        Retire::Already => Retire::Already,
    }
}

/// Retires a condition for which there are enough tickets. Returns how many of them were used.
fn retired(condition: &Condition, tickets: &[Ticket]) -> usize {
    match condition.retire(tickets) {
        Retire::Done { used, .. } => used,
        Retire::NeedTickets(_) | Retire::Already => 0,
    }
}

/// Wakes all threads that wait to put or get, and they look again. Returns false if they wait in
/// Python by now.
pub fn wake_all(this: This<'_, PriorityObject>) -> bool {
    let getters = this.not_empty.notify(usize::MAX);
    let putters = this.not_full.notify(usize::MAX);
    getters && putters
}
