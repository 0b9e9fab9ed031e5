//! The putting and getting of a native queue.

use core::ptr;

use pyo3_ffi::{self as ffi, Py_ssize_t, PyObject};

use super::items::{item_of, object_of};
use super::queue::{channel, is_exact, kind, raise};
use super::{Kind, arguments, priority, pure};
use crate::blocking::{self, Signals, Timeout, Waited};
use crate::compat::{self, Raised};
use crate::object::{self, drop_ref};
use crate::sync::{Accepted, Deadline, Get, Put, Taken};

/// How long a call is ready to wait.
#[derive(Clone, Copy)]
pub enum Patience {
    Poll,
    /// So many seconds: a number, or null for ever. To be read if there is need to wait.
    Wait(*mut PyObject),
}

/// What `block` and `timeout` mean together; null where not given. `None` if Python has to say.
///
/// # Safety
/// Attached; valid objects or null.
pub unsafe fn patience(
    block: *mut PyObject,
    seconds: *mut PyObject,
) -> Result<Option<Patience>, Raised> {
    // SAFETY: as the caller promises.
    unsafe {
        if !block.is_null() && block != ffi::Py_True() {
            match ffi::PyObject_IsTrue(block) {
                0 => return Ok(Some(Patience::Poll)),
                1 => {}
                _ => return Err(Raised),
            }
        }
        if seconds.is_null() || seconds == ffi::Py_None() {
            return Ok(Some(Patience::Wait(ptr::null_mut())));
        }
        if !arguments::is_plain_timeout(seconds) && ffi::PyFloat_Check(seconds) == 0 {
            return Ok(None);
        }
        let zero = ffi::PyLong_FromLong(0);
        let negative = ffi::PyObject_RichCompareBool(seconds, zero, ffi::Py_LT);
        drop_ref(zero);
        match negative {
            0 => Ok(Some(Patience::Wait(seconds))),
            1 => {
                let words = c"'timeout' must be a non-negative number";
                object::raise(ffi::PyExc_ValueError, words);
                Err(Raised)
            }
            _ => Err(Raised),
        }
    }
}

/// Until when to wait, for somebody who has found that there is need to; `None`: not at all.
///
/// # Safety
/// Attached; a valid object or null.
pub unsafe fn wait_until(patience: Patience) -> Result<Option<Deadline>, Raised> {
    let Patience::Wait(seconds) = patience else { return Ok(None) };
    // SAFETY: as the caller promises.
    Ok(match unsafe { arguments::timeout(seconds)? } {
        Timeout::Zero => None,
        timeout => Some(blocking::deadline(timeout)),
    })
}

/// `put`.
///
/// # Safety
/// Called by CPython, attached, with a native queue.
pub unsafe extern "C-unwind" fn put(
    slf: *mut PyObject,
    args: *const *mut PyObject,
    nargs: Py_ssize_t,
    kwnames: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a QueueObject that it keeps alive.
    unsafe {
        compat::note_use(slf);
        if nargs == 1 && kwnames.is_null() {
            return put_item(slf, *args, ptr::null_mut(), ptr::null_mut());
        }
        let bound = arguments::bind(args, nargs, kwnames, [c"item", c"block", c"timeout"]);
        match bound {
            Some([item, block, seconds]) if !item.is_null() => put_item(slf, item, block, seconds),
            _ => pure::call(slf, Kind::Queue, c"put", args, nargs, kwnames),
        }
    }
}

/// `put_nowait`.
///
/// # Safety
/// Called by CPython, attached, with a native queue.
pub unsafe extern "C-unwind" fn put_nowait(
    slf: *mut PyObject,
    args: *const *mut PyObject,
    nargs: Py_ssize_t,
    kwnames: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a QueueObject that it keeps alive.
    unsafe {
        compat::note_use(slf);
        match arguments::bind(args, nargs, kwnames, [c"item"]) {
            // A derived class may have a put() of its own.
            Some([item]) if !item.is_null() && is_exact(slf) => {
                put_item(slf, item, ffi::Py_False(), ptr::null_mut())
            }
            _ => pure::call(slf, Kind::Queue, c"put_nowait", args, nargs, kwnames),
        }
    }
}

/// # Safety
/// Attached, with a QueueObject that the caller keeps alive; `block` and `seconds` may be null.
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
            let accepted = channel.try_put(item_of(item));
            if accepted == Accepted::Done {
                return compat::none();
            }
            if accepted == Accepted::Closed {
                // There they may matter.
                let result = pure_put(slf, item, block, seconds);
                drop_ref(item);
                return result;
            }
            return put_refused(slf, item, accepted, Patience::Wait(ptr::null_mut()));
        }
        put_with(slf, item, block, seconds)
    }
}

/// A put to a queue with a limit, and with arguments.
///
/// # Safety
/// As `put_item`.
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
        if channel.is_closed() {
            return pure_put(slf, item, block, seconds);
        }
        if channel.is_shut_down() {
            return raise(slf, Kind::ShutDown);
        }
        match patience(block, seconds) {
            Ok(Some(patience)) => {
                ffi::Py_INCREF(item);
                match channel.try_put(item_of(item)) {
                    Accepted::Done => compat::none(),
                    refused => put_refused(slf, item, refused, patience),
                }
            }
            Ok(None) => pure_put(slf, item, block, seconds),
            Err(Raised) => ptr::null_mut(),
        }
    }
}

/// # Safety
/// As `put_item`; the reference to `item` is taken.
#[cold]
unsafe fn put_refused(
    slf: *mut PyObject,
    item: *mut PyObject,
    accepted: Accepted,
    patience: Patience,
) -> *mut PyObject {
    // SAFETY: as the caller promises. The caller of the method has another reference to the item.
    unsafe {
        let result = match accepted {
            Accepted::Done => return compat::none(),
            Accepted::Full => match wait_until(patience) {
                Ok(None) => raise(slf, Kind::Full),
                Ok(Some(deadline)) => match wait_to_put(slf, item, deadline) {
                    Ok(()) => return compat::none(),
                    Err(result) => result,
                },
                Err(Raised) => ptr::null_mut(),
            },
            Accepted::ShutDown => raise(slf, Kind::ShutDown),
            Accepted::Closed => {
                let seconds = match patience {
                    Patience::Poll => ptr::null_mut(),
                    Patience::Wait(seconds) => seconds,
                };
                let block = matches!(patience, Patience::Wait(_));
                let block = if block { ffi::Py_True() } else { ffi::Py_False() };
                pure_put(slf, item, block, seconds)
            }
            Accepted::NoMemory => ffi::PyErr_NoMemory(),
        };
        drop_ref(item);
        result
    }
}

/// Waits until the item is in. `Err` with what to return if it is not: the reference is still the
/// caller's then.
///
/// # Safety
/// As `put_item`.
unsafe fn wait_to_put(
    slf: *mut PyObject,
    item: *mut PyObject,
    deadline: Deadline,
) -> Result<(), *mut PyObject> {
    // SAFETY: as the caller promises.
    unsafe {
        let wait = Put::new(channel(slf), item_of(item));
        match blocking::wait_until(&wait, deadline, Signals::Handle) {
            Ok(Waited::Got) => Ok(()),
            Ok(Waited::TimedOut) => Err(raise(slf, Kind::Full)),
            Ok(Waited::Dismissed) if wait.is_out_of_memory() => Err(ffi::PyErr_NoMemory()),
            Ok(Waited::Dismissed) if channel(slf).is_closed() => {
                let left = arguments::remaining(deadline);
                if left.is_null() {
                    return Err(left);
                }
                let result = pure_put(slf, item, ffi::Py_True(), left);
                drop_ref(left);
                Err(result)
            }
            Ok(Waited::Dismissed) => Err(raise(slf, Kind::ShutDown)),
            Err(Raised) => Err(ptr::null_mut()),
        }
    }
}

/// # Safety
/// As `put_item`.
#[cold]
pub unsafe fn pure_put(
    slf: *mut PyObject,
    item: *mut PyObject,
    block: *mut PyObject,
    seconds: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: as the caller promises.
    unsafe {
        let block = if block.is_null() { ffi::Py_True() } else { block };
        let seconds = if seconds.is_null() { ffi::Py_None() } else { seconds };
        let args = [item, block, seconds];
        pure::call(slf, Kind::Queue, c"put", args.as_ptr(), 3, ptr::null_mut())
    }
}

/// `get`.
///
/// # Safety
/// Called by CPython, attached, with a native queue.
pub unsafe extern "C-unwind" fn get(
    slf: *mut PyObject,
    args: *const *mut PyObject,
    nargs: Py_ssize_t,
    kwnames: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a QueueObject that it keeps alive.
    unsafe {
        compat::note_use(slf);
        if nargs == 0 && kwnames.is_null() {
            return get_item(slf, ptr::null_mut(), ptr::null_mut());
        }
        match arguments::bind(args, nargs, kwnames, [c"block", c"timeout"]) {
            Some([block, seconds]) => get_item(slf, block, seconds),
            None => pure::call(slf, Kind::Queue, c"get", args, nargs, kwnames),
        }
    }
}

/// `get_nowait`.
///
/// # Safety
/// Called by CPython, attached, with a native queue.
pub unsafe extern "C-unwind" fn get_nowait(slf: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a QueueObject that it keeps alive.
    unsafe {
        compat::note_use(slf);
        // A derived class may have a get() of its own.
        if !is_exact(slf) {
            return pure::call_no_args(slf, Kind::Queue, c"get_nowait");
        }
        get_item(slf, ffi::Py_False(), ptr::null_mut())
    }
}

/// # Safety
/// Attached, with a QueueObject that the caller keeps alive; `block` and `seconds` may be null.
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
            return match channel(slf).try_get() {
                Taken::Item(item) => object_of(item),
                refused => get_refused(slf, refused, Patience::Wait(seconds)),
            };
        }
        get_with(slf, block, seconds)
    }
}

/// # Safety
/// As `get_item`.
unsafe fn get_with(
    slf: *mut PyObject,
    block: *mut PyObject,
    seconds: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: as the caller promises.
    unsafe {
        let channel = channel(slf);
        if channel.is_closed() {
            return pure_get(slf, block, seconds);
        }
        if channel.is_shut_down() && channel.is_empty() {
            return raise(slf, Kind::ShutDown);
        }
        match patience(block, seconds) {
            Ok(Some(patience)) => match channel.try_get() {
                Taken::Item(item) => object_of(item),
                refused => get_refused(slf, refused, patience),
            },
            Ok(None) => pure_get(slf, block, seconds),
            Err(Raised) => ptr::null_mut(),
        }
    }
}

/// # Safety
/// As `get_item`.
#[cold]
unsafe fn get_refused(slf: *mut PyObject, refused: Taken, patience: Patience) -> *mut PyObject {
    // SAFETY: as the caller promises.
    unsafe {
        match (refused, patience) {
            (Taken::Item(item), _) => object_of(item),
            (Taken::Empty, _) => match wait_until(patience) {
                Ok(None) => raise(slf, Kind::Empty),
                Ok(Some(deadline)) => wait_to_get(slf, deadline),
                Err(Raised) => ptr::null_mut(),
            },
            (Taken::ShutDown, _) => raise(slf, Kind::ShutDown),
            (Taken::Closed, Patience::Poll) => pure_get(slf, ffi::Py_False(), ptr::null_mut()),
            (Taken::Closed, Patience::Wait(seconds)) => pure_get(slf, ptr::null_mut(), seconds),
        }
    }
}

/// # Safety
/// As `get_item`.
unsafe fn wait_to_get(slf: *mut PyObject, deadline: Deadline) -> *mut PyObject {
    // SAFETY: as the caller promises.
    unsafe {
        let wait = Get::new(channel(slf));
        match blocking::wait_until(&wait, deadline, Signals::Handle) {
            Ok(Waited::Got) => wait.item().map_or(ptr::null_mut(), object_of),
            Ok(Waited::TimedOut) => raise(slf, Kind::Empty),
            Ok(Waited::Dismissed) if channel(slf).is_closed() => {
                let left = arguments::remaining(deadline);
                if left.is_null() {
                    return left;
                }
                let result = pure_get(slf, ffi::Py_True(), left);
                drop_ref(left);
                result
            }
            Ok(Waited::Dismissed) => raise(slf, Kind::ShutDown),
            Err(Raised) => ptr::null_mut(),
        }
    }
}

/// # Safety
/// As `get_item`.
#[cold]
pub unsafe fn pure_get(
    slf: *mut PyObject,
    block: *mut PyObject,
    seconds: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: as the caller promises.
    unsafe {
        let block = if block.is_null() { ffi::Py_True() } else { block };
        let seconds = if seconds.is_null() { ffi::Py_None() } else { seconds };
        let args = [block, seconds];
        pure::call(slf, Kind::Queue, c"get", args.as_ptr(), 2, ptr::null_mut())
    }
}
