//! The Python objects in a queue: owned references that go through a channel.

use core::cell::Cell;
use core::ffi::{c_int, c_void};
use core::ptr::{self, NonNull};

use pyo3_ffi::{self as ffi, PyObject, PyThreadState};

use crate::capi::compat;
use crate::capi::refs::drop_ref;
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
///
/// # Safety
/// Not null.
#[inline]
pub unsafe fn item_of(object: *mut PyObject) -> Item {
    // SAFETY: as the caller promises.
    unsafe { NonNull::new_unchecked(object.cast()) }
}

/// Returns the object of an item.
#[inline]
pub fn object_of(item: Item) -> *mut PyObject {
    item.as_ptr().cast()
}

/// Drops the items of a queue, which may run any Python code. A long chain of queues inside queues
/// would need stack for each of them. So from some depth on the items are dropped later.
///
/// # Safety
/// Attached; the items are objects and the references the caller's.
pub unsafe fn drop_all(items: Items) {
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
    // SAFETY: as the caller promises.
    unsafe {
        NESTING.set((thread, nesting + 1));
        if nesting == 0 {
            drop_with_rest(items);
        } else {
            drop_each(items);
        }
        NESTING.set(outside);
    }
}

/// Drops items, and then those that were put off meanwhile. Items that another interpreter has put
/// off stay for that one.
unsafe fn drop_with_rest(items: Items) {
    let theirs = REST.with(Pile::take);
    // SAFETY: as in `drop_all`.
    unsafe {
        drop_each(items);
        while let Some(items) = REST.with(Pile::pop) {
            drop_each(items);
        }
    }
    REST.with(|rest| rest.put_back(theirs));
}

unsafe fn drop_each(mut items: Items) {
    while let Some(item) = items.next() {
        // SAFETY: as in `drop_all`.
        unsafe { drop_ref(object_of(item)) };
    }
    items.free();
}

/// Shows the collector the items of a channel.
///
/// # Safety
/// Called by the collector; the items are objects.
pub unsafe fn visit(channel: &Channel, visit: ffi::visitproc, arg: *mut c_void) -> c_int {
    // SAFETY: as the caller promises. A visit neither runs Python code nor drops references, so it
    // may be made under the queue lock of the channel. The collector is attached, so it does not
    // interrupt a thread that has the queue lock.
    channel.visit(|item| unsafe { visit(object_of(item), arg) })
}

/// Puts an item, if it can be done at once.
///
/// # Safety
/// Attached.
#[inline]
pub unsafe fn try_put(channel: &Channel, item: Item) -> Accepted {
    if compat::IS_FREE_THREADED {
        return channel.try_put(item);
    }
    // SAFETY: the thread has the GIL; waits begin and end with it.
    unsafe { channel.try_put_alone(item) }
}

/// Gets an item, if there is one.
///
/// # Safety
/// Attached.
#[inline]
pub unsafe fn try_get(channel: &Channel) -> Taken {
    if compat::IS_FREE_THREADED {
        return channel.try_get();
    }
    // SAFETY: as in `try_put`.
    unsafe { channel.try_get_alone() }
}
