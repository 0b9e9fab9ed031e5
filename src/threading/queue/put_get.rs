//! `put` and `get` of a native queue.

use core::ffi::CStr;
use core::ptr;

use pyo3_ffi::{self as ffi, Py_ssize_t, PyObject};

use crate::capi::compat;
use crate::capi::errors::{Raised, raise};
use crate::capi::refs::drop_ref;
use crate::runtime::blocking::{self, Timeout};
use crate::runtime::natives::Kind;
use crate::sync::{Accepted, Deadline, Get, Put, Taken};
use crate::threading::arguments;
use crate::threading::head::Head;
use crate::threading::method::LEFT_TO_PYTHON;
use crate::threading::queue::items::{self, item_of, object_of};
use crate::threading::queue::{self, channel, kind, priority};
use crate::threading::ticket::{self, Ended};

/// Whether a call may wait, and for how long.
#[derive(Clone, Copy)]
pub enum Blocking {
    Poll,
    /// The time-out in seconds: a number, or null for no limit. Read only if the call has to wait.
    Wait(*mut PyObject),
}

impl Blocking {
    /// The meaning of no arguments: no limit.
    pub const FOREVER: Blocking = Blocking::Wait(ptr::null_mut());
}

/// Reads `block` and `timeout`, each null if it was not given. `None`, with nothing done, if the
/// Python function has to read them.
///
/// # Safety
/// Attached; valid objects or null.
pub unsafe fn blocking(
    block: *mut PyObject,
    seconds: *mut PyObject,
) -> Result<Option<Blocking>, Raised> {
    // SAFETY: as the caller promises. The truth test of such a `block` runs no code of the program.
    unsafe {
        let is_limited = !seconds.is_null() && seconds != ffi::Py_None();
        if is_limited && !arguments::is_plain_timeout(seconds) && ffi::PyFloat_Check(seconds) == 0 {
            return Ok(None);
        }
        if !block.is_null() && block != ffi::Py_True() {
            let is_plain = block == ffi::Py_False()
                || block == ffi::Py_None()
                || ffi::PyLong_CheckExact(block) != 0;
            if !is_plain {
                return Ok(None);
            }
            if ffi::PyObject_IsTrue(block) == 0 {
                return Ok(Some(Blocking::Poll));
            }
        }
        if !is_limited {
            return Ok(Some(Blocking::FOREVER));
        }
        // NaN: no comparison with it is true.
        if ffi::PyFloat_Check(seconds) != 0 && ffi::PyFloat_AS_DOUBLE(seconds).is_nan() {
            return Ok(None);
        }
        let zero = ffi::PyLong_FromLong(0);
        let negative = ffi::PyObject_RichCompareBool(seconds, zero, ffi::Py_LT);
        drop_ref(zero);
        match negative {
            0 => Ok(Some(Blocking::Wait(seconds))),
            1 => {
                let words = c"'timeout' must be a non-negative number";
                raise(ffi::PyExc_ValueError, words);
                Err(Raised)
            }
            _ => Err(Raised),
        }
    }
}

/// Returns the deadline of a wait that begins now; `None` if the call must not wait.
///
/// # Safety
/// Attached; a valid object or null.
pub unsafe fn deadline_of(blocking: Blocking) -> Result<Option<Deadline>, Raised> {
    let Blocking::Wait(seconds) = blocking else { return Ok(None) };
    // SAFETY: as the caller promises.
    Ok(match unsafe { arguments::timeout(seconds)? } {
        Timeout::Zero => None,
        timeout => Some(blocking::deadline(timeout)),
    })
}

/// Continues a put or get in Python, with the time that is left, because the queue was materialized
/// during the wait.
///
/// # Safety
/// Attached; a queue; an item or null.
unsafe fn go_on(
    slf: *mut PyObject,
    name: &CStr,
    item: *mut PyObject,
    deadline: Deadline,
) -> *mut PyObject {
    // SAFETY: as the caller promises; the new reference is released.
    unsafe {
        let left = arguments::remaining(deadline);
        if left.is_null() {
            return left;
        }
        let all = [item, ffi::Py_True(), left];
        let args = if item.is_null() { &all[1..] } else { &all[..] };
        let result = queue::call_python(slf, name, args);
        drop_ref(left);
        result
    }
}

/// [`go_on`] with a put.
///
/// # Safety
/// Attached; a queue and an item.
pub unsafe fn go_on_putting(
    slf: *mut PyObject,
    item: *mut PyObject,
    deadline: Deadline,
) -> *mut PyObject {
    // SAFETY: as the caller promises.
    unsafe { go_on(slf, c"put", item, deadline) }
}

/// [`go_on`] with a get.
///
/// # Safety
/// Attached; a queue.
pub unsafe fn go_on_getting(slf: *mut PyObject, deadline: Deadline) -> *mut PyObject {
    // SAFETY: as the caller promises.
    unsafe { go_on(slf, c"get", ptr::null_mut(), deadline) }
}

/// `put`.
///
/// # Safety
/// Called, attached, with a native queue that the caller keeps alive.
pub unsafe extern "C-unwind" fn put(
    slf: *mut PyObject,
    args: *const *mut PyObject,
    nargs: Py_ssize_t,
    kwnames: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: as the caller promises.
    unsafe {
        if nargs == 1 && kwnames.is_null() {
            return put_item(slf, *args, ptr::null_mut(), ptr::null_mut());
        }
        match arguments::bind(args, nargs, kwnames, [c"item", c"block", c"timeout"]) {
            Some([item, block, seconds]) if !item.is_null() => put_item(slf, item, block, seconds),
            _ => LEFT_TO_PYTHON,
        }
    }
}

/// `put_nowait`.
///
/// # Safety
/// As [`put`].
pub unsafe extern "C-unwind" fn put_nowait(
    slf: *mut PyObject,
    args: *const *mut PyObject,
    nargs: Py_ssize_t,
    kwnames: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: as the caller promises.
    unsafe {
        match arguments::bind(args, nargs, kwnames, [c"item"]) {
            // A derived class may have a put() of its own.
            Some([item]) if !item.is_null() && !Head::of(slf).replaces_called() => {
                put_item(slf, item, ffi::Py_False(), ptr::null_mut())
            }
            _ => LEFT_TO_PYTHON,
        }
    }
}

/// # Safety
/// As [`put`]; `block` and `seconds` may be null.
#[inline]
unsafe fn put_item(
    slf: *mut PyObject,
    item: *mut PyObject,
    block: *mut PyObject,
    seconds: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: as the caller promises. The reference goes with the item if it is accepted.
    unsafe {
        if kind(slf) == Kind::PriorityQueue {
            return priority::put_item(slf, item, block, seconds);
        }
        let channel = channel(slf);
        // Without a limit the other arguments do not matter.
        if channel.limit() <= 0 || (block.is_null() && seconds.is_null()) {
            ffi::Py_INCREF(item);
            return match items::try_put(channel, item_of(item)) {
                Accepted::Done => compat::none(),
                // Another thread has set a limit meanwhile: the arguments matter.
                Accepted::Full if !(block.is_null() && seconds.is_null()) => {
                    drop_ref(item);
                    put_with(slf, item, block, seconds)
                }
                refused => put_refused(slf, item, refused, Blocking::FOREVER),
            };
        }
        put_with(slf, item, block, seconds)
    }
}

/// A put to a queue with a limit, and with arguments.
///
/// # Safety
/// As [`put_item`].
#[cold]
unsafe fn put_with(
    slf: *mut PyObject,
    item: *mut PyObject,
    block: *mut PyObject,
    seconds: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: as the caller promises.
    unsafe {
        let channel = channel(slf);
        if channel.is_retired() {
            return LEFT_TO_PYTHON;
        }
        if channel.is_shut_down() {
            return queue::raise_or_leave(slf, Kind::ShutDown);
        }
        match blocking(block, seconds) {
            Ok(Some(blocking)) => {
                ffi::Py_INCREF(item);
                match items::try_put(channel, item_of(item)) {
                    Accepted::Done => compat::none(),
                    refused => put_refused(slf, item, refused, blocking),
                }
            }
            Ok(None) => LEFT_TO_PYTHON,
            Err(Raised) => ptr::null_mut(),
        }
    }
}

/// # Safety
/// As [`put_item`]; the reference to `item` is taken.
#[cold]
unsafe fn put_refused(
    slf: *mut PyObject,
    item: *mut PyObject,
    accepted: Accepted,
    blocking: Blocking,
) -> *mut PyObject {
    // SAFETY: as the caller promises. The caller of the method has another reference to the item.
    unsafe {
        let result = match accepted {
            Accepted::Done => return compat::none(),
            Accepted::Full => match deadline_of(blocking) {
                Ok(None) => queue::raise_or_leave(slf, Kind::Full),
                Ok(Some(deadline)) => match wait_to_put(slf, item, deadline) {
                    Ok(result) => return result,
                    Err(result) => result,
                },
                Err(Raised) => ptr::null_mut(),
            },
            Accepted::ShutDown => queue::raise_or_leave(slf, Kind::ShutDown),
            Accepted::Retired => LEFT_TO_PYTHON,
            Accepted::NoMemory => ffi::PyErr_NoMemory(),
        };
        drop_ref(item);
        result
    }
}

/// Waits until the item is in the queue. Returns the result of the call: `Ok` if the item is in the
/// queue, `Err` if it is not. After `Err` the reference is still the caller's.
///
/// # Safety
/// As [`put_item`].
unsafe fn wait_to_put(
    slf: *mut PyObject,
    item: *mut PyObject,
    deadline: Deadline,
) -> Result<*mut PyObject, *mut PyObject> {
    // SAFETY: as the caller promises.
    unsafe {
        loop {
            let wait = Put::new(channel(slf), item_of(item));
            let Ok(ended) = ticket::wait(slf, &wait, deadline) else {
                return Err(ptr::null_mut());
            };
            let has_moved = matches!(ended, Ended::Notified(_)) || channel(slf).is_retired();
            if has_moved && ended != Ended::Got {
                return Err(go_on_putting(slf, item, deadline));
            }
            let pending = ticket::run_pending(slf);
            match ended {
                Ended::Got if pending.is_ok() => return Ok(compat::none()),
                Ended::Got if channel(slf).withdraw(item_of(item)) => return Err(ptr::null_mut()),
                // Another thread has got the item, or another item was put after it: the item stays
                // in.
                Ended::Got => return Ok(ptr::null_mut()),
                _ if pending.is_err() => return Err(ptr::null_mut()),
                Ended::TimedOut => return Err(queue::raise(slf, Kind::Full)),
                _ if wait.is_out_of_memory() => return Err(ffi::PyErr_NoMemory()),
                _ if channel(slf).is_shut_down() => {
                    return Err(queue::raise(slf, Kind::ShutDown));
                }
                _ => {}
            }
        }
    }
}

/// `get`.
///
/// # Safety
/// As [`put`].
pub unsafe extern "C-unwind" fn get(
    slf: *mut PyObject,
    args: *const *mut PyObject,
    nargs: Py_ssize_t,
    kwnames: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: as the caller promises.
    unsafe {
        if nargs == 0 && kwnames.is_null() {
            return get_item(slf, ptr::null_mut(), ptr::null_mut());
        }
        match arguments::bind(args, nargs, kwnames, [c"block", c"timeout"]) {
            Some([block, seconds]) => get_item(slf, block, seconds),
            None => LEFT_TO_PYTHON,
        }
    }
}

/// `get_nowait`.
///
/// # Safety
/// As [`put`].
pub unsafe extern "C-unwind" fn get_nowait(slf: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: as the caller promises.
    unsafe {
        // A derived class may have a get() of its own.
        if Head::of(slf).replaces_called() {
            return LEFT_TO_PYTHON;
        }
        get_item(slf, ffi::Py_False(), ptr::null_mut())
    }
}

/// # Safety
/// As [`put`]; `block` and `seconds` may be null.
#[inline]
unsafe fn get_item(
    slf: *mut PyObject,
    block: *mut PyObject,
    seconds: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: as the caller promises. The reference comes with the item.
    unsafe {
        if kind(slf) == Kind::PriorityQueue {
            return priority::get_item(slf, block, seconds);
        }
        if block.is_null() && seconds.is_null() {
            return match items::try_get(channel(slf)) {
                Taken::Item(item) => object_of(item),
                refused => get_refused(slf, refused, Blocking::FOREVER),
            };
        }
        get_with(slf, block, seconds)
    }
}

/// # Safety
/// As [`get_item`].
unsafe fn get_with(
    slf: *mut PyObject,
    block: *mut PyObject,
    seconds: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: as the caller promises.
    unsafe {
        let channel = channel(slf);
        if channel.is_retired() {
            return LEFT_TO_PYTHON;
        }
        if channel.is_shut_down() && channel.is_empty() {
            return queue::raise_or_leave(slf, Kind::ShutDown);
        }
        match blocking(block, seconds) {
            Ok(Some(blocking)) => match items::try_get(channel) {
                Taken::Item(item) => object_of(item),
                refused => get_refused(slf, refused, blocking),
            },
            Ok(None) => LEFT_TO_PYTHON,
            Err(Raised) => ptr::null_mut(),
        }
    }
}

/// # Safety
/// As [`get_item`].
#[cold]
unsafe fn get_refused(slf: *mut PyObject, refused: Taken, blocking: Blocking) -> *mut PyObject {
    // SAFETY: as the caller promises.
    unsafe {
        match refused {
            Taken::Item(item) => object_of(item),
            Taken::Empty => match deadline_of(blocking) {
                Ok(None) => match queue::try_once_more(channel(slf)) {
                    Some(item) => item,
                    None => queue::raise_or_leave(slf, Kind::Empty),
                },
                Ok(Some(deadline)) => wait_to_get(slf, deadline),
                Err(Raised) => ptr::null_mut(),
            },
            Taken::ShutDown => queue::raise_or_leave(slf, Kind::ShutDown),
            Taken::Retired => LEFT_TO_PYTHON,
        }
    }
}

/// # Safety
/// As [`get_item`].
unsafe fn wait_to_get(slf: *mut PyObject, deadline: Deadline) -> *mut PyObject {
    // SAFETY: as the caller promises.
    unsafe {
        if let Some(item) = queue::try_once_more(channel(slf)) {
            return item;
        }
        loop {
            let wait = Get::new(channel(slf));
            let Ok(ended) = ticket::wait(slf, &wait, deadline) else { return ptr::null_mut() };
            if ended == Ended::Got {
                let Some(item) = wait.item() else { return ptr::null_mut() };
                if ticket::run_pending(slf).is_err() {
                    queue::put_back(slf, item);
                    return ptr::null_mut();
                }
                return object_of(item);
            }
            if matches!(ended, Ended::Notified(_)) || channel(slf).is_retired() {
                return go_on_getting(slf, deadline);
            }
            if ticket::run_pending(slf).is_err() {
                return ptr::null_mut();
            }
            if ended == Ended::TimedOut {
                return queue::try_once_more(channel(slf))
                    .unwrap_or_else(|| queue::raise(slf, Kind::Empty));
            }
            if channel(slf).is_shut_down() {
                return queue::raise(slf, Kind::ShutDown);
            }
        }
    }
}
