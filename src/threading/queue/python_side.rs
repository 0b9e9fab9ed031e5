//! How a queue is materialized, and how native code uses a queue that was native when the call
//! began.

use core::ffi::CStr;
use core::ptr;

use pyo3_ffi::{self as ffi, Py_ssize_t, PyObject};

use crate::capi::call::call_method;
use crate::capi::compat;
use crate::capi::errors::Raised;
use crate::capi::refs::drop_ref;
use crate::runtime::natives::Kind;
use crate::runtime::state::State;
use crate::sync::{Accepted, Item, Items, Remains, Retire, Ticket};
use crate::threading::materialize::{self, Counts, Materialize, Retirement, Values};
use crate::threading::queue::items::object_of;
use crate::threading::queue::{QueueObject, channel, kind, priority, state};

impl Materialize for QueueObject {
    const STATE: &'static [&'static CStr] = &[c"unfinished_tasks", c"is_shutdown", c"maxsize"];

    unsafe fn parts(slf: *mut PyObject, state: *const State, tickets: Counts) -> *mut PyObject {
        let [getters, putters, joiners] = tickets;
        // SAFETY: as the caller promises; the format takes four numbers.
        unsafe {
            let limit = channel(slf).limit();
            let format = c"(nnnn)".as_ptr();
            let args = ffi::Py_BuildValue(format, limit, getters, putters, joiners);
            materialize::make_parts(state, kind(slf), args)
        }
    }

    unsafe fn retire(
        slf: *mut PyObject,
        dict: *mut PyObject,
        tickets: [&[Ticket]; materialize::CONDITIONS],
        values: &mut Values,
    ) -> Retirement {
        // SAFETY: as the caller promises.
        unsafe {
            let retired = if kind(slf) == Kind::PriorityQueue {
                priority::retire(slf, tickets)
            } else {
                channel(slf).retire(tickets[0], tickets[1], tickets[2])
            };
            match retired {
                Retire::Done { state: remains, used } => {
                    hand_over(slf, dict, remains, values);
                    Retirement::Done([used.getters, used.putters, used.joiners])
                }
                Retire::NeedTickets(needed) => {
                    Retirement::Need([needed.getters, needed.putters, needed.joiners])
                }
                Retire::Already => Retirement::Done([0; materialize::CONDITIONS]),
            }
        }
    }
}

/// Moves the items and the state of the queue into its attributes. Runs no Python code.
///
/// # Safety
/// As [`Materialize::retire`].
unsafe fn hand_over(
    slf: *mut PyObject,
    dict: *mut PyObject,
    remains: Remains,
    values: &mut Values,
) {
    // SAFETY: as the caller promises.
    unsafe {
        values[0] = ffi::PyLong_FromUnsignedLongLong(remains.unfinished);
        // Some versions have `is_shutdown` as an attribute of the Python class. An object then gets
        // one of its own only when it is shut down.
        if remains.is_shut_down
            || !ffi::PyDict_GetItemString(dict, c"is_shutdown".as_ptr()).is_null()
        {
            values[1] = compat::bool_object(remains.is_shut_down);
        }
        let limit = ffi::PyLong_FromSsize_t(remains.limit);
        let into = ffi::PyDict_GetItemString(dict, c"queue".as_ptr());
        let mut items = remains.items;
        let moved = if into.is_null() { Err(Raised) } else { move_items(&mut items, into) };
        match moved {
            Ok(()) => {
                items.free();
                values[2] = limit;
            }
            Err(Raised) => {
                // Without memory the remaining items stay in the channel, until the queue is
                // dropped.
                channel(slf).keep(items);
                drop_ref(limit);
            }
        }
    }
}

/// # Safety
/// Attached; a deque or a list; the items are objects. Items that have been moved are not in
/// `items` any more.
unsafe fn move_items(items: &mut Items, into: *mut PyObject) -> Result<(), Raised> {
    // SAFETY: as the caller promises; neither of the two ways to append runs Python code.
    unsafe {
        let is_list = ffi::PyList_CheckExact(into) != 0;
        let name = ffi::PyUnicode_InternFromString(c"append".as_ptr());
        if name.is_null() {
            return Err(Raised);
        }
        let mut moved = Ok(());
        while let Some(item) = items.first()
            && moved.is_ok()
        {
            let object = object_of(item);
            let done = if is_list {
                ffi::PyList_Append(into, object) == 0
            } else {
                let args = [into, object];
                let null = ptr::null_mut();
                let result = ffi::PyObject_VectorcallMethod(name, args.as_ptr(), 2, null);
                drop_ref(result);
                !result.is_null()
            };
            if done {
                // The deque or list has a reference of its own.
                ffi::Py_DECREF(object);
                let _ = items.next();
            } else {
                moved = Err(Raised);
            }
        }
        drop_ref(name);
        moved
    }
}

/// Calls a function of the Python class with a queue.
///
/// # Safety
/// Attached; a queue that is native or has been; valid objects.
pub unsafe fn call_python(
    slf: *mut PyObject,
    name: &CStr,
    args: &[*mut PyObject],
) -> *mut PyObject {
    // SAFETY: as the caller promises; new references are released.
    unsafe {
        let class = (*state(slf)).natives.python[Kind::Queue as usize];
        let function = ffi::PyObject_GetAttrString(class, name.as_ptr());
        if function.is_null() {
            return function;
        }
        let mut all = [slf, ptr::null_mut(), ptr::null_mut(), ptr::null_mut()];
        for (place, &arg) in all[1..].iter_mut().zip(args) {
            *place = arg;
        }
        let result = compat::vectorcall(function, all.as_ptr(), args.len() + 1, ptr::null_mut());
        drop_ref(function);
        result
    }
}

/// Puts an item back that a get does not return because a signal handler raised. It is the next
/// item again. The exception stays set.
///
/// # Safety
/// Attached, with an exception set; the reference to the item is taken.
#[cold]
pub unsafe fn put_back(slf: *mut PyObject, item: Item) {
    // SAFETY: as the caller promises.
    unsafe {
        if channel(slf).put_back(item) == Accepted::Done {
            return;
        }
        let pending = compat::take_exception();
        let object = object_of(item);
        if channel(slf).is_retired() {
            let method = if kind(slf) == Kind::LifoQueue { c"append" } else { c"appendleft" };
            if notify_python(slf, c"not_empty", c"notify", Some((method, object))).is_err() {
                ffi::PyErr_Clear();
            }
        }
        drop_ref(object);
        compat::restore_exception(pending);
    }
}

/// Notifies the waiters of a queue that has been materialized, as `with condition:
/// condition.notify()` does. Before that, calls a method of its attribute `queue`, if `first` names
/// one.
///
/// # Safety
/// Attached; a queue that has been native.
pub unsafe fn notify_python(
    slf: *mut PyObject,
    condition: &CStr,
    notify: &CStr,
    first: Option<(&CStr, *mut PyObject)>,
) -> Result<(), Raised> {
    // SAFETY: as the caller promises; new references are released.
    unsafe {
        let condition = ffi::PyObject_GetAttrString(slf, condition.as_ptr());
        if condition.is_null() {
            return Err(Raised);
        }
        let call = |object: *mut PyObject, name: &CStr, args: &[*mut PyObject]| {
            let (args, count) = (args.as_ptr(), args.len() as Py_ssize_t);
            let result = call_method(object, name, args, count, ptr::null_mut());
            drop_ref(result);
            if result.is_null() { Err(Raised) } else { Ok(()) }
        };
        let mut done = call(condition, c"acquire", &[]);
        if done.is_ok() {
            if let Some((name, item)) = first {
                let items = ffi::PyObject_GetAttrString(slf, c"queue".as_ptr());
                done = if items.is_null() { Err(Raised) } else { call(items, name, &[item]) };
                drop_ref(items);
            }
            done = done.and_then(|()| call(condition, notify, &[]));
            let pending = if done.is_err() { Some(compat::take_exception()) } else { None };
            let released = call(condition, c"release", &[]);
            match pending {
                Some(pending) if released.is_ok() => compat::restore_exception(pending),
                Some(pending) => compat::forget_exception(pending),
                None => done = released,
            }
        }
        drop_ref(condition);
        done
    }
}
