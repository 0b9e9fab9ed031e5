//! `queue.Queue` and `queue.LifoQueue`, and the code that `queue.PriorityQueue` shares with them.

pub mod errors;
pub mod heap;
pub mod items;
pub mod priority;
pub mod priority_ends;
pub mod put_get;
pub mod python_side;
pub mod simple_queue;

use core::ffi::{CStr, c_int, c_void};
use core::mem::offset_of;
use core::ptr;
use core::sync::atomic::{Ordering, fence};

use pyo3_ffi::{self as ffi, Py_ssize_t, PyObject, PyTypeObject};

use crate::capi::compat;
use crate::capi::errors::{self as capi_errors, Raised};
use crate::capi::refs::{self, drop_ref, visit_all};
use crate::capi::types::{Call, Collected, Property};
use crate::runtime::natives::Kind;
use crate::runtime::state::State;
use crate::sync::{Channel, Join, NotDone, Taken};
use crate::threading::class::{self, Making, NativeClass};
use crate::threading::head::{self, Head};
use crate::threading::method::{LEFT_TO_PYTHON, Native, native, optional};
use crate::threading::ticket::{self, Ended};
use crate::threading::{arguments, materialize};

use items::object_of;

pub use errors::{raise, raise_or_leave};
pub use python_side::{call_python, notify_python, put_back};

/// All zero bytes are an empty queue without a limit that is yet to be initialised.
#[repr(C)]
pub struct QueueObject {
    pub head: Head,
    pub channel: Channel,
    /// The kind of its class, or of the native class that this is derived from. Written before the
    /// object becomes native.
    kind: Kind,
    /// Lives as long as the class. Written before the object becomes native.
    state: *const State,
    dict: *mut PyObject,
    weakrefs: *mut PyObject,
}

const METHODS: &[Native] = &[
    native(c"__init__", Call::FastKeywords(class::init_method::<QueueObject, 1>)),
    native(c"put", Call::FastKeywords(put_get::put)),
    native(c"get", Call::FastKeywords(put_get::get)),
    native(c"put_nowait", Call::FastKeywords(put_get::put_nowait)),
    native(c"get_nowait", Call::NoArgs(put_get::get_nowait)),
    native(c"qsize", Call::NoArgs(qsize)),
    native(c"empty", Call::NoArgs(empty)),
    native(c"full", Call::NoArgs(full)),
    native(c"task_done", Call::NoArgs(task_done)),
    native(c"join", Call::FastKeywords(join)),
    optional(c"shutdown", Call::FastKeywords(shutdown)),
];

const PROPERTIES: &[Property] = &[
    Property { name: c"maxsize", get: get_maxsize, set: Some(set_maxsize), doc: None },
    Property {
        name: c"unfinished_tasks",
        get: get_unfinished,
        set: Some(materialize::set::<QueueObject>),
        doc: None,
    },
    Property {
        name: c"is_shutdown",
        get: get_is_shutdown,
        set: Some(materialize::set::<QueueObject>),
        doc: None,
    },
    materialize::part::<QueueObject>(c"queue"),
    materialize::part::<QueueObject>(c"mutex"),
    materialize::part::<QueueObject>(c"not_empty"),
    materialize::part::<QueueObject>(c"not_full"),
    materialize::part::<QueueObject>(c"all_tasks_done"),
    materialize::dict_property::<QueueObject>(),
];

/// Makes the type of queues. Returns a new reference.
///
/// # Safety
/// Attached.
pub unsafe fn make_type(making: &Making) -> Result<*mut PyTypeObject, Raised> {
    // SAFETY: the struct is described as it is.
    unsafe {
        class::Class {
            name: c"queue.Queue",
            short_name: c"Queue",
            kind: Kind::Queue,
            weakrefs: offset_of!(QueueObject, weakrefs),
            dict: offset_of!(QueueObject, dict),
            base: ptr::null_mut(),
            methods: METHODS,
            of_objects: None,
            builtin: &[],
            properties: PROPERTIES,
            init: class::init_slot::<QueueObject, 1>,
            vectorcall: Some(class::vectorcall::<QueueObject, 1>),
        }
        .make::<QueueObject>(making)
    }
}

/// Makes the type of stacks. Returns a new reference.
///
/// # Safety
/// Attached; the type of queues has been made.
pub unsafe fn make_lifo_type(making: &Making) -> Result<*mut PyTypeObject, Raised> {
    // SAFETY: the struct is described as it is.
    unsafe { derived::<QueueObject>(c"queue.LifoQueue", c"LifoQueue", Kind::LifoQueue, making) }
}

/// Makes the type of priority queues. Returns a new reference.
///
/// # Safety
/// As [`make_lifo_type`].
pub unsafe fn make_priority_type(making: &Making) -> Result<*mut PyTypeObject, Raised> {
    let (name, short_name) = (c"queue.PriorityQueue", c"PriorityQueue");
    // SAFETY: the struct is described as it is, and begins with a QueueObject.
    unsafe { derived::<priority::PriorityObject>(name, short_name, Kind::PriorityQueue, making) }
}

/// Makes a class that differs from `Queue` only in the kind and the layout of its objects.
///
/// # Safety
/// As [`make_lifo_type`]; `T` begins with a QueueObject.
unsafe fn derived<T: Collected>(
    name: &'static CStr,
    short_name: &'static CStr,
    kind: Kind,
    making: &Making,
) -> Result<*mut PyTypeObject, Raised> {
    // SAFETY: as the caller promises.
    unsafe {
        class::Class {
            name,
            short_name,
            kind,
            weakrefs: offset_of!(QueueObject, weakrefs),
            dict: offset_of!(QueueObject, dict),
            base: (*State::of(making.module)).natives.types[Kind::Queue as usize],
            methods: &[],
            of_objects: None,
            builtin: &[],
            properties: &[],
            // The same function as in the base class, because `class::vectorcall` compares it.
            init: class::init_slot::<QueueObject, 1>,
            vectorcall: Some(class::vectorcall::<QueueObject, 1>),
        }
        .make::<T>(making)
    }
}

/// # Safety
/// `slf` is a QueueObject, and outlives the result.
#[inline]
unsafe fn this<'a>(slf: *mut PyObject) -> &'a QueueObject {
    // SAFETY: as the caller promises.
    unsafe { &*slf.cast::<QueueObject>() }
}

/// # Safety
/// As `this`.
#[inline]
pub unsafe fn channel<'a>(slf: *mut PyObject) -> &'a Channel {
    // SAFETY: as the caller promises.
    unsafe { &this(slf).channel }
}

/// Returns the kind of its class, or of the native class that this is derived from.
///
/// # Safety
/// `slf` is a QueueObject that is native, or was when the call began.
#[inline]
pub unsafe fn kind(slf: *mut PyObject) -> Kind {
    // SAFETY: as the caller promises.
    unsafe { this(slf).kind }
}

/// Returns the state of the module.
///
/// # Safety
/// As [`kind`].
#[inline]
pub unsafe fn state(slf: *mut PyObject) -> *const State {
    // SAFETY: as the caller promises.
    unsafe { this(slf).state }
}

impl NativeClass<1> for QueueObject {
    const ARGUMENTS: [&'static CStr; 1] = [c"maxsize"];
    const PARTS: &'static [&'static CStr] =
        &[c"queue", c"mutex", c"not_empty", c"not_full", c"all_tasks_done", c"maxsize"];

    unsafe fn begin(slf: *mut PyObject, given: [*mut PyObject; 1]) -> Result<bool, Raised> {
        // SAFETY: as the caller promises: no other thread looks at the fields.
        unsafe {
            let [limit] = given;
            let limit = if limit.is_null() { Some(0) } else { plain_int(limit) };
            let class = ffi::Py_TYPE(slf);
            let state = State::of_type(class)?;
            let Some(limit) = limit else { return Ok(false) };
            if channel(slf).is_retired() {
                return Ok(false);
            }
            let Some(kind) = head::kind_of(class, state) else { return Ok(false) };
            let own = slf.cast::<QueueObject>();
            (*own).kind = kind;
            (*own).state = state;
            if kind == Kind::LifoQueue {
                channel(slf).reverse();
            }
            Ok(channel(slf).set_limit(limit))
        }
    }

    unsafe fn dict(slf: *mut PyObject) -> *mut *mut PyObject {
        // SAFETY: as the caller promises.
        unsafe { &raw mut (*slf.cast::<QueueObject>()).dict }
    }
}

/// Returns the value of an exact int that fits into a machine word.
unsafe fn plain_int(object: *mut PyObject) -> Option<isize> {
    // SAFETY: attached; a valid object or null.
    unsafe {
        if object.is_null() || ffi::PyLong_CheckExact(object) == 0 {
            return None;
        }
        let value = ffi::PyLong_AsSsize_t(object);
        if value == -1 && !ffi::PyErr_Occurred().is_null() {
            ffi::PyErr_Clear();
            return None;
        }
        Some(value)
    }
}

impl Collected for QueueObject {
    unsafe fn weakrefs(slf: *mut PyObject) -> *mut PyObject {
        // SAFETY: as the caller promises.
        unsafe { (*slf.cast::<QueueObject>()).weakrefs }
    }

    unsafe fn visit(slf: *mut PyObject, visit: ffi::visitproc, arg: *mut c_void) -> c_int {
        // SAFETY: as the caller promises.
        unsafe {
            match visit_all(&[this(slf).dict], visit, arg) {
                0 => items::visit(channel(slf), visit, arg),
                stop => stop,
            }
        }
    }

    unsafe fn clear(slf: *mut PyObject) {
        // SAFETY: as the caller promises.
        unsafe {
            refs::clear(&mut (*slf.cast::<QueueObject>()).dict);
            items::drop_all(channel(slf).take_all());
        }
    }
}

/// Takes back an item for a get that has found none. The item had been given to a thread that has
/// not claimed it, and may never do so because the interpreter ends. If that thread claims it all
/// the same, it waits again.
///
/// # Safety
/// Attached.
pub unsafe fn try_once_more(channel: &Channel) -> Option<*mut PyObject> {
    // SAFETY: as the caller promises.
    if !unsafe { compat::is_ending() } || channel.take_back() == 0 {
        return None;
    }
    // SAFETY: as above.
    match unsafe { items::try_get(channel) } {
        Taken::Item(item) => Some(object_of(item)),
        _ => None,
    }
}

/// Returns a value that was read from a native queue; `None` if the queue is not native any more.
///
/// # Safety
/// As `this`.
#[inline]
unsafe fn if_native<T>(slf: *mut PyObject, read: T) -> Option<T> {
    // The flag is stored before the items are taken out. Here it is read after they were counted.
    fence(Ordering::Acquire);
    // SAFETY: as the caller promises.
    (!unsafe { channel(slf) }.is_retired()).then_some(read)
}

unsafe extern "C-unwind" fn qsize(slf: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called, attached, with a native QueueObject.
    unsafe {
        let mut length = channel(slf).len();
        if length == 0 && channel(slf).has_granted() && compat::is_ending() {
            // As in `try_once_more`.
            channel(slf).take_back();
            length = channel(slf).len();
        }
        match if_native(slf, length) {
            Some(length) => ffi::PyLong_FromSize_t(length),
            None => LEFT_TO_PYTHON,
        }
    }
}

unsafe extern "C-unwind" fn empty(slf: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called, attached, with a native QueueObject.
    unsafe {
        match if_native(slf, channel(slf).is_empty()) {
            Some(is_empty) => compat::bool_object(is_empty),
            None => LEFT_TO_PYTHON,
        }
    }
}

unsafe extern "C-unwind" fn full(slf: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called, attached, with a native QueueObject.
    unsafe {
        let channel = channel(slf);
        let limit = channel.limit();
        match if_native(slf, limit > 0 && channel.len() >= limit.unsigned_abs()) {
            Some(is_full) => compat::bool_object(is_full),
            None => LEFT_TO_PYTHON,
        }
    }
}

unsafe extern "C-unwind" fn task_done(slf: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called, attached, with a native QueueObject.
    unsafe {
        match channel(slf).task_done() {
            Ok(()) => compat::none(),
            Err(NotDone::TooMany) => {
                capi_errors::raise(ffi::PyExc_ValueError, c"task_done() called too many times")
            }
            Err(NotDone::Retired) => LEFT_TO_PYTHON,
        }
    }
}

/// `join`, also with a time-out, which the interpreter's classes do not have. Then it returns
/// whether all tasks were done by the end of the time.
unsafe extern "C-unwind" fn join(
    slf: *mut PyObject,
    args: *const *mut PyObject,
    nargs: Py_ssize_t,
    kwnames: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called, attached, with a native QueueObject that the caller keeps alive.
    unsafe {
        let Some([seconds]) = arguments::bind(args, nargs, kwnames, [c"timeout"]) else {
            return LEFT_TO_PYTHON;
        };
        let is_limited = !seconds.is_null() && seconds != ffi::Py_None();
        let blocking = match put_get::blocking(ptr::null_mut(), seconds) {
            Ok(Some(blocking)) => blocking,
            Ok(None) => return LEFT_TO_PYTHON,
            Err(Raised) => return ptr::null_mut(),
        };
        let result =
            |is_done| if is_limited { compat::bool_object(is_done) } else { compat::none() };
        match if_native(slf, channel(slf).unfinished()) {
            Some(0) => return result(true),
            Some(_) => {}
            None => return LEFT_TO_PYTHON,
        }
        let deadline = match put_get::deadline_of(blocking) {
            Ok(Some(deadline)) => deadline,
            Ok(None) => return result(false),
            Err(Raised) => return ptr::null_mut(),
        };
        match ticket::wait(slf, &Join::new(channel(slf)), deadline) {
            Ok(ended @ (Ended::Got | Ended::TimedOut)) => match ticket::run_pending(slf) {
                Ok(()) => result(ended == Ended::Got),
                Err(Raised) => ptr::null_mut(),
            },
            Ok(Ended::Notified(_) | Ended::SentAway) => {
                let left = arguments::remaining(deadline);
                if left.is_null() {
                    return left;
                }
                let result = call_python(slf, c"join", &[left]);
                drop_ref(left);
                result
            }
            Err(Raised) => ptr::null_mut(),
        }
    }
}

unsafe extern "C-unwind" fn shutdown(
    slf: *mut PyObject,
    args: *const *mut PyObject,
    nargs: Py_ssize_t,
    kwnames: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called, attached, with a native QueueObject that the caller keeps alive.
    unsafe {
        let Some([immediate]) = arguments::bind(args, nargs, kwnames, [c"immediate"]) else {
            return LEFT_TO_PYTHON;
        };
        let discard = if immediate.is_null() { 0 } else { ffi::PyObject_IsTrue(immediate) };
        if discard < 0 {
            return ptr::null_mut();
        }
        let items = if kind(slf) == Kind::PriorityQueue {
            priority::shut_down(slf, discard != 0)
        } else {
            Ok(channel(slf).shut_down(discard != 0))
        };
        match items {
            Ok(Some(items)) => {
                items::drop_all(items);
                compat::none()
            }
            Ok(None) => LEFT_TO_PYTHON,
            Err(Raised) => ptr::null_mut(),
        }
    }
}

/// Reads an attribute from the channel of a native queue. `None` if the object is not native.
///
/// # Safety
/// As `this`.
unsafe fn read<T>(slf: *mut PyObject, read: impl FnOnce(&Channel) -> T) -> Option<T> {
    // SAFETY: as the caller promises.
    unsafe {
        if !class::is_of_phase_native(slf) {
            return None;
        }
        if_native(slf, read(channel(slf)))
    }
}

unsafe extern "C-unwind" fn get_maxsize(slf: *mut PyObject, name: *mut c_void) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a QueueObject.
    unsafe {
        match read(slf, Channel::limit) {
            Some(limit) => ffi::PyLong_FromSsize_t(limit),
            None => materialize::get::<QueueObject>(slf, name),
        }
    }
}

unsafe extern "C-unwind" fn set_maxsize(
    slf: *mut PyObject,
    value: *mut PyObject,
    name: *mut c_void,
) -> c_int {
    // SAFETY: called by CPython, attached, with a QueueObject.
    unsafe {
        // In the Python class a thread that waits to put compares with the new limit, even if that
        // means no limit. So native code serves such a limit only while no thread waits to put.
        let fits = |limit| limit > 0 || !channel(slf).has_putters();
        let is_native = class::is_of_phase_native(slf);
        match plain_int(value) {
            Some(limit) if is_native && fits(limit) && channel(slf).set_limit(limit) => {
                if kind(slf) == Kind::PriorityQueue {
                    priority::wake_all(slf);
                }
                0
            }
            _ => materialize::set::<QueueObject>(slf, value, name),
        }
    }
}

unsafe extern "C-unwind" fn get_unfinished(slf: *mut PyObject, name: *mut c_void) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a QueueObject.
    unsafe {
        match read(slf, Channel::unfinished) {
            Some(unfinished) => ffi::PyLong_FromUnsignedLongLong(unfinished),
            None => materialize::get::<QueueObject>(slf, name),
        }
    }
}

unsafe extern "C-unwind" fn get_is_shutdown(
    slf: *mut PyObject,
    name: *mut c_void,
) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a QueueObject.
    unsafe {
        match read(slf, Channel::is_shut_down) {
            Some(is_shut_down) => compat::bool_object(is_shut_down),
            None => {
                let own = materialize::get::<QueueObject>(slf, name);
                if !own.is_null() || ffi::PyErr_ExceptionMatches(ffi::PyExc_AttributeError) == 0 {
                    return own;
                }
                of_the_python_class(slf, c"is_shutdown")
            }
        }
    }
}

/// Replaces an AttributeError by the attribute of the Python class that has this name. Returns a
/// new reference, or null with the error still set if there is no such attribute.
///
/// # Safety
/// Attached, with an exception set; a QueueObject.
#[cold]
unsafe fn of_the_python_class(slf: *mut PyObject, name: &CStr) -> *mut PyObject {
    // SAFETY: as the caller promises.
    unsafe {
        let pending = compat::take_exception();
        if let Ok(state) = State::of_type(ffi::Py_TYPE(slf)) {
            let class = (*state).natives.python[Kind::Queue as usize];
            let found = ffi::PyObject_GetAttrString(class, name.as_ptr());
            if !found.is_null() {
                compat::forget_exception(pending);
                return found;
            }
        }
        ffi::PyErr_Clear();
        compat::restore_exception(pending);
        ptr::null_mut()
    }
}
