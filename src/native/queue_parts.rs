//! How a native queue becomes what its Python class makes of it.

use core::ptr;

use pyo3_ffi::{self as ffi, PyObject};

use super::items::{self, object_of};
use super::{Kind, condition, open, priority, queue};
use crate::compat::{self, Raised};
use crate::object::{self, drop_ref};
use crate::sync::Remains;

/// Opens a queue, see [`open`].
///
/// # Safety
/// Attached; `slf` is a native queue and `dict` is its.
pub unsafe fn open_into(slf: *mut PyObject, dict: *mut PyObject) -> Result<(), Raised> {
    // SAFETY: as the caller promises; the new reference is given back.
    unsafe {
        let mutex = open::offer_and_keep(dict, c"mutex", condition::make_held_lock(slf))?;
        let opened = open_with(slf, dict, mutex);
        drop_ref(mutex);
        opened
    }
}

unsafe fn open_with(
    slf: *mut PyObject,
    dict: *mut PyObject,
    mutex: *mut PyObject,
) -> Result<(), Raised> {
    // SAFETY: as the caller promises.
    unsafe {
        for name in [c"not_empty", c"not_full", c"all_tasks_done"] {
            open::offer(dict, name, condition::make_over(slf, mutex))?;
        }
        let is_plain = queue::kind(slf) == Kind::Queue;
        let made = if is_plain { new_deque() } else { ffi::PyList_New(0) };
        let items = open::offer_and_keep(dict, c"queue", made)?;
        let opened = open_items(slf, dict, mutex, items);
        drop_ref(items);
        opened
    }
}

unsafe fn open_items(
    slf: *mut PyObject,
    dict: *mut PyObject,
    mutex: *mut PyObject,
    items: *mut PyObject,
) -> Result<(), Raised> {
    // SAFETY: as the caller promises.
    unsafe {
        let channel = queue::channel(slf);
        open::offer(dict, c"maxsize", ffi::PyLong_FromSsize_t(channel.limit()))?;
        open::offer(dict, c"unfinished_tasks", ffi::PyLong_FromLong(0))?;
        open::offer(dict, c"is_shutdown", compat::bool_object(false))?;
        let Some(remains) = close(slf)? else { return Ok(()) };
        let limit = ffi::PyLong_FromSsize_t(channel.limit());
        let stored = open::store(dict, c"maxsize", limit);
        let moved = move_into(dict, items, remains).and(stored);
        condition::release_held_lock(slf, mutex);
        moved
    }
}

/// Ends what is native about a queue. What it was, if nobody else was first.
///
/// # Safety
/// Attached; `slf` is a native queue that the caller keeps alive.
pub unsafe fn close(slf: *mut PyObject) -> Result<Option<Remains>, Raised> {
    // SAFETY: as the caller promises.
    unsafe {
        if queue::kind(slf) == Kind::PriorityQueue {
            return priority::close(slf);
        }
        Ok(queue::channel(slf).close())
    }
}

/// # Safety
/// As `open_into`; takes the items.
unsafe fn move_into(
    dict: *mut PyObject,
    into: *mut PyObject,
    remains: Remains,
) -> Result<(), Raised> {
    // SAFETY: as the caller promises.
    unsafe {
        let unfinished = ffi::PyLong_FromUnsignedLongLong(remains.unfinished);
        let stored = open::store(dict, c"unfinished_tasks", unfinished);
        let is_shut_down = compat::bool_object(remains.is_shut_down);
        let stored = open::store(dict, c"is_shutdown", is_shut_down).and(stored);
        let mut items = remains.items;
        while let Some(item) = items.next() {
            let object = object_of(item);
            let appended = append(into, object);
            drop_ref(object);
            if appended.is_err() {
                items::drop_all(items);
                return appended;
            }
        }
        items.free();
        stored
    }
}

unsafe fn append(into: *mut PyObject, object: *mut PyObject) -> Result<(), Raised> {
    // SAFETY: attached; valid objects; the new reference is given back.
    unsafe {
        if ffi::PyList_CheckExact(into) != 0 {
            return if ffi::PyList_Append(into, object) < 0 { Err(Raised) } else { Ok(()) };
        }
        let result = object::call_method(into, c"append", &object, 1, ptr::null_mut());
        drop_ref(result);
        if result.is_null() { Err(Raised) } else { Ok(()) }
    }
}

unsafe fn new_deque() -> *mut PyObject {
    // SAFETY: attached; new references are given back.
    unsafe {
        let module = ffi::PyImport_ImportModule(c"collections".as_ptr());
        if module.is_null() {
            return module;
        }
        let made = object::call_method(module, c"deque", ptr::null(), 0, ptr::null_mut());
        drop_ref(module);
        made
    }
}
