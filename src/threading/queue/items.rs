//! The Python objects in a queue: owned references that go through a channel.

use core::cell::Cell;
use core::ffi::c_int;
use core::ptr;

use pyo3_ffi::PyThreadState;

use crate::capi::compat;
use crate::capi::entry::Visitor;
use crate::capi::object::{Attached, Borrowed, Owned};
use crate::sync::{Accepted, Channel, Item, Items, Pile, Taken};

/// How many queues inside each other are dropped at once. Queues deeper than that are dropped
/// later.
const DEPTH: u32 = 40;

thread_local! {
    /// How many nested queues are dropping their items in this thread, and with which thread state.
    /// A finalizer may run code of another interpreter, which starts again from zero.
    static NESTING: Cell<(*mut PyThreadState, u32)> = const { Cell::new((ptr::null_mut(), 0)) };
    /// The items that the outermost queue drops at the end.
    static REST: Pile = const { Pile::new() };
}

/// Makes an item of an object. The reference goes with it.
#[inline]
pub fn item_of(object: Owned) -> Item {
    object.into_non_null().cast()
}

/// The object of an item. The reference comes with it, so the item is not used any more.
#[inline]
pub fn object_of(item: Item) -> Owned {
    // SAFETY: every item in a channel of a queue was made of an owned reference, by `item_of`.
    unsafe { Owned::assume(item.as_ptr().cast()) }
}

/// The object of an item that keeps the reference.
#[inline]
pub fn object_in(item: &Item) -> Borrowed<'_> {
    // SAFETY: as in `object_of`. The reference is owned as long as the item is.
    unsafe { Borrowed::assume(item.as_ptr().cast()) }
}

/// Drops the items of a queue, which may run any Python code. A long chain of queues inside queues
/// would need stack for each of them. So from some depth on the items are dropped later.
pub fn drop_all(py: Attached<'_>, items: Items) {
    if items.is_empty() {
        items.free();
        return;
    }
    let thread = compat::thread_state();
    let outside = NESTING.get();
    let nesting = if outside.0 == thread { outside.1 } else { 0 };
    if nesting >= DEPTH {
        REST.with(|rest| rest.push(items));
        return;
    }
    NESTING.set((thread, nesting + 1));
    if nesting == 0 {
        drop_with_rest(py, items);
    } else {
        drop_each(py, items);
    }
    NESTING.set(outside);
}

/// Drops items, and then those that were put off meanwhile. Items that another interpreter has put
/// off stay for that one.
fn drop_with_rest(py: Attached<'_>, items: Items) {
    let theirs = REST.with(Pile::take);
    drop_each(py, items);
    while let Some(items) = REST.with(Pile::pop) {
        drop_each(py, items);
    }
    REST.with(|rest| rest.put_back(theirs));
}

fn drop_each(py: Attached<'_>, mut items: Items) {
    while let Some(item) = items.next() {
        object_of(item).release(py);
    }
    items.free();
}

/// Shows the collector the items of a channel.
pub fn visit(channel: &Channel, visitor: Visitor<'_>) -> c_int {
    // A visit neither runs Python code nor drops references, so it may be made under the queue lock
    // of the channel. The collector is attached, so it does not interrupt a thread that has the
    // queue lock.
    channel.visit(|item| visitor.visit(Some(object_in(&item))))
}

/// Puts an item, if it can be done at once.
#[inline]
pub fn try_put(_: Attached<'_>, channel: &Channel, item: Item) -> Accepted {
    if compat::IS_FREE_THREADED {
        return channel.try_put(item);
    }
    // SAFETY: the thread has the GIL; waits begin and end with it.
    unsafe { channel.try_put_alone(item) }
}

/// Gets an item, if there is one.
#[inline]
pub fn try_get(_: Attached<'_>, channel: &Channel) -> Taken {
    if compat::IS_FREE_THREADED {
        return channel.try_get();
    }
    // SAFETY: as in `try_put`.
    unsafe { channel.try_get_alone() }
}
