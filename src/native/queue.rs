//! `queue.Queue` and `queue.LifoQueue`, and what `queue.PriorityQueue` shares with them.

use core::ffi::{CStr, c_int, c_void};
use core::mem::offset_of;
use core::ptr;

use pyo3_ffi::{self as ffi, Py_ssize_t, PyObject, PyTypeObject};

use super::items;
use super::open::{self, Openable};
use super::{Kind, Making, arguments, priority, pure, queue_parts, transfer};
use crate::blocking::{self, Signals, Waited};
use crate::compat::{self, Raised};
use crate::module::State;
use crate::object::{self, Call, Collected, Function, Like, PLAIN, Property, Type, drop_ref};
use crate::sync::{Channel, Join, NotDone};

/// All zero is an empty queue without a limit that is yet to be initialised.
#[repr(C)]
pub struct QueueObject {
    base: PyObject,
    pub channel: Channel,
    /// Which class it is of, or derived from.
    kind: Kind,
    /// Whether `__init__` has run.
    initialised: bool,
    /// Whether it is of just that class: then no method calls one that somebody has replaced.
    exact: bool,
    dict: *mut PyObject,
    weakrefs: *mut PyObject,
}

const METHODS: &[Function] = &[
    Function::python(c"put", Call::FastKeywords(transfer::put)),
    Function::python(c"get", Call::FastKeywords(transfer::get)),
    Function::python(c"put_nowait", Call::FastKeywords(transfer::put_nowait)),
    Function::python(c"get_nowait", Call::NoArgs(transfer::get_nowait)),
    Function::python(c"qsize", Call::NoArgs(qsize)),
    Function::python(c"empty", Call::NoArgs(empty)),
    Function::python(c"full", Call::NoArgs(full)),
    Function::python(c"task_done", Call::NoArgs(task_done)),
    Function::python(c"join", Call::NoArgs(join)),
    Function::python(c"shutdown", Call::FastKeywords(shutdown)),
    open::copy::<QueueObject>(),
];

const PROPERTIES: &[Property] = &[
    Property { name: c"maxsize", get: get_maxsize, set: Some(set_maxsize), doc: None },
    Property {
        name: c"unfinished_tasks",
        get: get_unfinished,
        set: Some(open::set::<QueueObject>),
        doc: None,
    },
    Property {
        name: c"is_shutdown",
        get: get_is_shutdown,
        set: Some(open::set::<QueueObject>),
        doc: None,
    },
    open::part::<QueueObject>(c"queue"),
    open::part::<QueueObject>(c"mutex"),
    open::part::<QueueObject>(c"not_empty"),
    open::part::<QueueObject>(c"not_full"),
    open::part::<QueueObject>(c"all_tasks_done"),
    open::dict_of_parts::<QueueObject>(),
];

/// What a derived class may replace: then the object is open from the start.
const HOOKS: [&CStr; 4] = [c"_init", c"_qsize", c"_put", c"_get"];

/// Makes the type of queues. A new reference.
///
/// # Safety
/// Attached.
pub unsafe fn make_type(making: &Making) -> Result<*mut PyTypeObject, Raised> {
    // SAFETY: the slots are what their numbers say and expect a QueueObject.
    unsafe {
        Type {
            name: c"queue.Queue",
            size: size_of::<QueueObject>(),
            weakrefs: Some(offset_of!(QueueObject, weakrefs)),
            dict: Some(offset_of!(QueueObject, dict)),
            flags: ffi::Py_TPFLAGS_HAVE_GC | ffi::Py_TPFLAGS_BASETYPE,
            like: Like::Python(making.docs),
            methods: METHODS,
            properties: PROPERTIES,
            slots: &[
                (ffi::Py_tp_new, new as *mut c_void),
                (ffi::Py_tp_init, init as *mut c_void),
                (ffi::Py_tp_dealloc, object::dealloc::<QueueObject> as *mut c_void),
                (ffi::Py_tp_traverse, object::traverse::<QueueObject> as *mut c_void),
                (ffi::Py_tp_clear, object::clear_all::<QueueObject> as *mut c_void),
            ],
            ..PLAIN
        }
        .make(making.module)
    }
}

/// Makes the type of stacks. A new reference.
///
/// # Safety
/// Attached.
pub unsafe fn make_lifo_type(making: &Making) -> Result<*mut PyTypeObject, Raised> {
    // SAFETY: as above; the type of queues has been made.
    unsafe {
        Type {
            name: c"queue.LifoQueue",
            size: size_of::<QueueObject>(),
            weakrefs: Some(offset_of!(QueueObject, weakrefs)),
            dict: Some(offset_of!(QueueObject, dict)),
            flags: ffi::Py_TPFLAGS_HAVE_GC | ffi::Py_TPFLAGS_BASETYPE,
            like: Like::Python(making.docs),
            base: (*State::of(making.module)).natives.types[Kind::Queue as usize],
            slots: &[
                (ffi::Py_tp_dealloc, object::dealloc::<QueueObject> as *mut c_void),
                (ffi::Py_tp_traverse, object::traverse::<QueueObject> as *mut c_void),
                (ffi::Py_tp_clear, object::clear_all::<QueueObject> as *mut c_void),
            ],
            ..PLAIN
        }
        .make(making.module)
    }
}

/// Makes the type of priority queues. A new reference.
///
/// # Safety
/// Attached.
pub unsafe fn make_priority_type(making: &Making) -> Result<*mut PyTypeObject, Raised> {
    // SAFETY: as above. What a PriorityObject has on top owns nothing.
    unsafe {
        Type {
            name: c"queue.PriorityQueue",
            size: size_of::<priority::PriorityObject>(),
            weakrefs: Some(offset_of!(QueueObject, weakrefs)),
            dict: Some(offset_of!(QueueObject, dict)),
            flags: ffi::Py_TPFLAGS_HAVE_GC | ffi::Py_TPFLAGS_BASETYPE,
            like: Like::Python(making.docs),
            base: (*State::of(making.module)).natives.types[Kind::Queue as usize],
            slots: &[
                (ffi::Py_tp_dealloc, object::dealloc::<QueueObject> as *mut c_void),
                (ffi::Py_tp_traverse, object::traverse::<QueueObject> as *mut c_void),
                (ffi::Py_tp_clear, object::clear_all::<QueueObject> as *mut c_void),
            ],
            ..PLAIN
        }
        .make(making.module)
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

/// Which class it is of, or derived from.
///
/// # Safety
/// As `this`.
#[inline]
pub unsafe fn kind(slf: *mut PyObject) -> Kind {
    // SAFETY: as the caller promises.
    unsafe { this(slf).kind }
}

/// Whether it is of one of our own classes, and not of one derived from them.
///
/// # Safety
/// As `this`.
pub unsafe fn is_exact(slf: *mut PyObject) -> bool {
    // SAFETY: as the caller promises.
    unsafe { this(slf).exact }
}

impl Openable for QueueObject {
    unsafe fn is_open(slf: *mut PyObject) -> bool {
        // SAFETY: as the caller promises.
        unsafe { channel(slf) }.is_closed()
    }

    unsafe fn open(slf: *mut PyObject) -> Result<(), Raised> {
        // SAFETY: as the caller promises.
        unsafe {
            if Self::is_open(slf) {
                return Ok(());
            }
            let dict = open::dict(slf)?;
            let opened = queue_parts::open_into(slf, dict);
            drop_ref(dict);
            opened
        }
    }
}

unsafe extern "C-unwind" fn new(
    class: *mut PyTypeObject,
    _: *mut PyObject,
    _: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called by CPython; all zero is a valid object, and nobody else has it. Arguments are
    // for __init__.
    unsafe {
        let Ok(state) = State::of_type(class) else { return ptr::null_mut() };
        let made = object::allocate::<QueueObject>(class);
        if made.is_null() {
            return ptr::null_mut();
        }
        (*made).kind = Kind::Queue;
        for kind in [Kind::LifoQueue, Kind::PriorityQueue] {
            let native = (*state).natives.types[kind as usize];
            if !native.is_null() && ffi::PyType_IsSubtype(class, native) != 0 {
                (*made).kind = kind;
            }
        }
        if (*made).kind == Kind::LifoQueue {
            (*made).channel.reverse();
        }
        made.cast()
    }
}

unsafe extern "C-unwind" fn init(
    slf: *mut PyObject,
    args: *mut PyObject,
    kwargs: *mut PyObject,
) -> c_int {
    // SAFETY: called by CPython with a QueueObject, a tuple, and a dict or null; nobody else uses
    // it yet, unless it was initialised before.
    unsafe {
        let limit = limit_given(args, kwargs);
        let fresh = !this(slf).initialised && !channel(slf).is_closed();
        (*slf.cast::<QueueObject>()).initialised = true;
        if fresh && let Some(limit) = limit {
            let Ok(own) = pure::native_class(slf, kind(slf)) else { return -1 };
            if ffi::Py_TYPE(slf) == own {
                (*slf.cast::<QueueObject>()).exact = true;
            } else {
                match pure::replaces(slf, kind(slf), &HOOKS) {
                    Ok(false) => {}
                    Ok(true) => return init_open(slf, args, kwargs),
                    Err(Raised) => return -1,
                }
            }
            channel(slf).set_limit(limit);
            return 0;
        }
        init_open(slf, args, kwargs)
    }
}

/// Makes it what the Python class makes of it, whatever it was.
unsafe fn init_open(slf: *mut PyObject, args: *mut PyObject, kwargs: *mut PyObject) -> c_int {
    // SAFETY: as in `init`.
    unsafe {
        match queue_parts::close(slf) {
            Ok(Some(remains)) => items::drop_all(remains.items),
            Ok(None) => {}
            Err(Raised) => return -1,
        }
        pure::init(slf, Kind::Queue, args, kwargs)
    }
}

/// The argument of `__init__`, if it is of the usual kind.
unsafe fn limit_given(args: *mut PyObject, kwargs: *mut PyObject) -> Option<isize> {
    // SAFETY: as in `init`.
    unsafe {
        let given = match (ffi::PyTuple_GET_SIZE(args), kwargs.is_null()) {
            (0, true) => return Some(0),
            (1, true) => ffi::PyTuple_GET_ITEM(args, 0),
            (0, false) if ffi::PyDict_Size(kwargs) == 1 => {
                ffi::PyDict_GetItemString(kwargs, c"maxsize".as_ptr())
            }
            _ => return None,
        };
        plain_int(given)
    }
}

/// An int that is nothing more and fits into a machine word.
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
            match object::visit_all(&[this(slf).dict], visit, arg) {
                0 => items::visit(channel(slf), visit, arg),
                stop => stop,
            }
        }
    }

    unsafe fn clear(slf: *mut PyObject) {
        // SAFETY: as the caller promises.
        unsafe {
            object::clear(&mut (*slf.cast::<QueueObject>()).dict);
            items::drop_all(channel(slf).take_all());
        }
    }
}

/// Raises one of the exceptions of `queue`, without arguments; null for the caller to return.
///
/// # Safety
/// Attached; `slf` is a native object.
#[cold]
pub unsafe fn raise(slf: *mut PyObject, kind: Kind) -> *mut PyObject {
    // SAFETY: as the caller promises.
    unsafe {
        if let Ok(exception) = pure::class(slf, kind) {
            ffi::PyErr_SetNone(exception);
        }
    }
    ptr::null_mut()
}

unsafe extern "C-unwind" fn qsize(slf: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a QueueObject.
    unsafe {
        if channel(slf).is_closed() {
            return pure::call_no_args(slf, Kind::Queue, c"qsize");
        }
        ffi::PyLong_FromSize_t(channel(slf).len())
    }
}

unsafe extern "C-unwind" fn empty(slf: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a QueueObject.
    unsafe {
        if channel(slf).is_closed() {
            return pure::call_no_args(slf, Kind::Queue, c"empty");
        }
        compat::bool_object(channel(slf).is_empty())
    }
}

unsafe extern "C-unwind" fn full(slf: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a QueueObject.
    unsafe {
        let channel = channel(slf);
        if channel.is_closed() {
            return pure::call_no_args(slf, Kind::Queue, c"full");
        }
        let limit = channel.limit();
        compat::bool_object(limit > 0 && channel.len() >= limit.unsigned_abs())
    }
}

unsafe extern "C-unwind" fn task_done(slf: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a QueueObject.
    unsafe {
        match channel(slf).task_done() {
            Ok(()) => compat::none(),
            Err(NotDone::TooMany) => {
                object::raise(ffi::PyExc_ValueError, c"task_done() called too many times")
            }
            Err(NotDone::Closed) => pure::call_no_args(slf, Kind::Queue, c"task_done"),
        }
    }
}

unsafe extern "C-unwind" fn join(slf: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a QueueObject that it keeps alive.
    unsafe {
        let channel = channel(slf);
        if !channel.is_closed() {
            if channel.unfinished() == 0 {
                return compat::none();
            }
            match blocking::wait_until(&Join::new(channel), None, Signals::Handle) {
                Ok(Waited::Dismissed) => {}
                Ok(_) => return compat::none(),
                Err(Raised) => return ptr::null_mut(),
            }
        }
        pure::call_no_args(slf, Kind::Queue, c"join")
    }
}

unsafe extern "C-unwind" fn shutdown(
    slf: *mut PyObject,
    args: *const *mut PyObject,
    nargs: Py_ssize_t,
    kwnames: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a QueueObject that it keeps alive.
    unsafe {
        if !channel(slf).is_closed()
            && let Some([immediate]) = arguments::bind(args, nargs, kwnames, [c"immediate"])
        {
            let discard = if immediate.is_null() { 0 } else { ffi::PyObject_IsTrue(immediate) };
            if discard < 0 {
                return ptr::null_mut();
            }
            let items = if this(slf).kind == Kind::PriorityQueue {
                priority::shut_down(slf, discard != 0)
            } else {
                Ok(channel(slf).shut_down(discard != 0))
            };
            match items {
                Ok(Some(items)) => {
                    items::drop_all(items);
                    return compat::none();
                }
                Ok(None) => {}
                Err(Raised) => return ptr::null_mut(),
            }
        }
        pure::call(slf, Kind::Queue, c"shutdown", args, nargs, kwnames)
    }
}

unsafe extern "C-unwind" fn get_maxsize(slf: *mut PyObject, name: *mut c_void) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a QueueObject.
    unsafe {
        if channel(slf).is_closed() {
            return open::get::<QueueObject>(slf, name);
        }
        ffi::PyLong_FromSsize_t(channel(slf).limit())
    }
}

unsafe extern "C-unwind" fn set_maxsize(
    slf: *mut PyObject,
    value: *mut PyObject,
    name: *mut c_void,
) -> c_int {
    // SAFETY: called by CPython, attached, with a QueueObject.
    unsafe {
        match plain_int(value) {
            Some(limit) if channel(slf).set_limit(limit) => {
                if this(slf).kind == Kind::PriorityQueue {
                    priority::wake_all(slf);
                }
                0
            }
            _ => open::set::<QueueObject>(slf, value, name),
        }
    }
}

unsafe extern "C-unwind" fn get_unfinished(slf: *mut PyObject, name: *mut c_void) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a QueueObject.
    unsafe {
        if channel(slf).is_closed() {
            return open::get::<QueueObject>(slf, name);
        }
        ffi::PyLong_FromUnsignedLongLong(channel(slf).unfinished())
    }
}

unsafe extern "C-unwind" fn get_is_shutdown(
    slf: *mut PyObject,
    name: *mut c_void,
) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a QueueObject.
    unsafe {
        if channel(slf).is_closed() {
            return open::get::<QueueObject>(slf, name);
        }
        compat::bool_object(channel(slf).is_shut_down())
    }
}
