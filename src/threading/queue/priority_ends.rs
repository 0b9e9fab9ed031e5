//! The end of a priority queue: it is shut down, or materialized.

use pyo3_ffi::{self as ffi, PyObject};

use crate::capi::errors::Raised;
use crate::runtime::blocking::Signals;
use crate::sync::{Condition, Items, PerList, Remains, Retire, Ticket};
use crate::threading::materialize::CONDITIONS;
use crate::threading::queue::priority::this;

/// [`Channel::shut_down`](crate::sync::Channel::shut_down).
///
/// # Safety
/// Attached, with a PriorityObject that the caller keeps alive.
pub unsafe fn shut_down(slf: *mut PyObject, discard: bool) -> Result<Option<Items>, Raised> {
    // SAFETY: as the caller promises.
    unsafe {
        let this = this(slf);
        this.enter(Signals::Handle)?;
        let items = this.channel().shut_down(discard);
        this.changed();
        this.leave();
        if items.is_some() && !wake_all(slf) {
            // The queue was materialized in between, and its waiters wait in Python.
            for condition in [&this.not_empty, &this.not_full] {
                if this.tell_in_python(condition, c"notify_all").is_err() {
                    ffi::PyErr_Clear();
                }
            }
        }
        Ok(items)
    }
}

/// [`Channel::retire`](crate::sync::Channel::retire), which retires the conditions as well.
///
/// The turn is not needed for that. A thread that has the turn, and is comparing, finds the heap
/// gone when it wants to change it. A waiter queues under the queue lock of the channel, and only
/// while the object is native. So once this thread has had that lock, no further waiters come.
///
/// # Safety
/// Attached, with a PriorityObject that this thread is changing.
pub unsafe fn retire(
    slf: *mut PyObject,
    tickets: [&[Ticket]; CONDITIONS],
) -> Retire<Remains, PerList> {
    // SAFETY: as the caller promises.
    let this = unsafe { this(slf) };
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
///
/// # Safety
/// Attached, with a PriorityObject.
pub unsafe fn wake_all(slf: *mut PyObject) -> bool {
    // SAFETY: as the caller promises.
    let this = unsafe { this(slf) };
    let getters = this.not_empty.notify(usize::MAX);
    let putters = this.not_full.notify(usize::MAX);
    getters && putters
}
