//! The Python objects in a queue: owned references that are handed through a channel.

use core::cell::Cell;
use core::ffi::{c_int, c_void};
use core::ptr::{self, NonNull};

use pyo3_ffi::{self as ffi, PyObject, PyThreadState};

use crate::capi::compat;
use crate::capi::refs::drop_ref;
use crate::sync::{Accepted, Channel, Item, Items, Pile, Taken};

/// How deep queues may end inside of queues before the rest is put off.
const DEPTH: u32 = 40;

thread_local! {
    /// How many queues are about to drop their items in this thread, and with which thread state: a
    /// finalizer may run code of another interpreter, which begins anew.
    static NESTING: Cell<(*mut PyThreadState, u32)> = const { Cell::new((ptr::null_mut(), 0)) };
    /// What is left to drop when the outermost is done.
    static REST: Pile = const { Pile::new() };
}

/// An object as an item. The reference goes with it.
///
/// # Safety
/// Not null.
#[inline]
pub unsafe fn item_of(object: *mut PyObject) -> Item {
    // SAFETY: as the caller promises.
    unsafe { NonNull::new_unchecked(object.cast()) }
}

/// The object that an item is.
#[inline]
pub fn object_of(item: Item) -> *mut PyObject {
    item.as_ptr().cast()
}

/// Drops what was in a queue, which may run any Python code. A queue in a queue in a queue and so
/// on would need as much stack as there are queues: from some depth on they come later.
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

/// What is left of another interpreter is none of this one's business.
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

/// Shows the collector what is in a channel.
///
/// # Safety
/// Called by the collector; the items are objects.
pub unsafe fn visit(channel: &Channel, visit: ffi::visitproc, arg: *mut c_void) -> c_int {
    // SAFETY: as the caller promises. A visit neither runs Python code nor drops references, so it
    // may be made under the guard of the channel; and the collector is attached, so it does not
    // interrupt a thread that has the guard.
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
