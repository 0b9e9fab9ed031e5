//! `queue.Queue` and `queue.LifoQueue`, and what `queue.PriorityQueue` shares with them.

use core::ffi::{CStr, c_int, c_void};
use core::mem::offset_of;
use core::ptr;

use pyo3_ffi::{self as ffi, Py_ssize_t, PyObject, PyTypeObject};

use super::items::{self, item_of, object_of};
use super::open::{self, Openable};
use super::{Kind, Making, arguments, pure, queue_parts};
use crate::blocking::{self, Signals, Timeout, Waited};
use crate::compat::{self, Raised};
use crate::module::State;
use crate::object::{self, Call, Function, Like, PLAIN, Property, Type, drop_ref};
use crate::sync::{Accepted, Channel, Deadline, Get, Join, NotDone, Put, Taken};

/// All zero is an empty queue without a limit that is yet to be initialised.
#[repr(C)]
pub struct QueueObject {
    base: PyObject,
    pub channel: Channel,
    /// Which class it is of, or derived from: the number of a [`Kind`].
    kind: u32,
    /// Whether `__init__` has run.
    initialised: bool,
    /// Whether it is of just that class: then no method calls one that somebody has replaced.
    exact: bool,
    dict: *mut PyObject,
    weakrefs: *mut PyObject,
}

const METHODS: &[Function] = &[
    Function::python(c"put", Call::FastKeywords(put)),
    Function::python(c"get", Call::FastKeywords(get)),
    Function::python(c"put_nowait", Call::FastKeywords(put_nowait)),
    Function::python(c"get_nowait", Call::NoArgs(get_nowait)),
    Function::python(c"qsize", Call::NoArgs(qsize)),
    Function::python(c"empty", Call::NoArgs(empty)),
    Function::python(c"full", Call::NoArgs(full)),
    Function::python(c"task_done", Call::NoArgs(task_done)),
    Function::python(c"join", Call::NoArgs(join)),
    Function::python(c"shutdown", Call::FastKeywords(shutdown)),
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
    open::DICT,
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
                (ffi::Py_tp_new, new_queue as *mut c_void),
                (ffi::Py_tp_init, init as *mut c_void),
                (ffi::Py_tp_dealloc, dealloc as *mut c_void),
                (ffi::Py_tp_traverse, traverse as *mut c_void),
                (ffi::Py_tp_clear, clear_references as *mut c_void),
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
                (ffi::Py_tp_new, new_lifo as *mut c_void),
                (ffi::Py_tp_dealloc, dealloc as *mut c_void),
                (ffi::Py_tp_traverse, traverse as *mut c_void),
                (ffi::Py_tp_clear, clear_references as *mut c_void),
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
pub unsafe fn kind(slf: *mut PyObject) -> Kind {
    // SAFETY: as the caller promises.
    match unsafe { this(slf).kind } {
        kind if kind == Kind::LifoQueue as u32 => Kind::LifoQueue,
        _ => Kind::Queue,
    }
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

unsafe extern "C-unwind" fn new_queue(
    class: *mut PyTypeObject,
    _: *mut PyObject,
    _: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called by CPython. Arguments are for __init__.
    unsafe { new(class, Kind::Queue) }
}

unsafe extern "C-unwind" fn new_lifo(
    class: *mut PyTypeObject,
    _: *mut PyObject,
    _: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: as above.
    unsafe { new(class, Kind::LifoQueue) }
}

unsafe fn new(class: *mut PyTypeObject, kind: Kind) -> *mut PyObject {
    // SAFETY: attached; all zero is a valid object, and nobody else has it.
    unsafe {
        let made = object::allocate::<QueueObject>(class);
        if !made.is_null() {
            (*made).kind = kind as u32;
            if kind == Kind::LifoQueue {
                (*made).channel.reverse();
            }
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
            match how_derived(slf) {
                Ok(Derived::Not) => (*slf.cast::<QueueObject>()).exact = true,
                Ok(Derived::Plainly) => {}
                Ok(Derived::WithHooks) => return init_open(slf, args, kwargs),
                Err(Raised) => return -1,
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
        if let Some(remains) = channel(slf).close() {
            items::drop_all(remains.items);
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

enum Derived {
    /// It is of one of our own classes.
    Not,
    Plainly,
    WithHooks,
}

unsafe fn how_derived(slf: *mut PyObject) -> Result<Derived, Raised> {
    // SAFETY: attached, with a QueueObject; new references are given back.
    unsafe {
        let class = ffi::Py_TYPE(slf);
        let own = (*State::of_type(class)?).natives.types[kind(slf) as usize];
        if class == own {
            return Ok(Derived::Not);
        }
        for hook in HOOKS {
            let here = ffi::PyObject_GetAttrString(class.cast(), hook.as_ptr());
            let there = ffi::PyObject_GetAttrString(own.cast(), hook.as_ptr());
            let (missing, same) = (here.is_null() || there.is_null(), here == there);
            drop_ref(here);
            drop_ref(there);
            if missing {
                return Err(Raised);
            }
            if !same {
                return Ok(Derived::WithHooks);
            }
        }
        Ok(Derived::Plainly)
    }
}

unsafe extern "C-unwind" fn dealloc(slf: *mut PyObject) {
    // SAFETY: called by CPython when nobody has the object any more.
    unsafe {
        ffi::PyObject_GC_UnTrack(slf.cast());
        let this = slf.cast::<QueueObject>();
        if !(*this).weakrefs.is_null() {
            ffi::PyObject_ClearWeakRefs(slf);
        }
        object::clear(&mut (*this).dict);
        items::drop_all((*this).channel.take_all());
        object::free(slf);
    }
}

unsafe extern "C-unwind" fn traverse(
    slf: *mut PyObject,
    visit: ffi::visitproc,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: called by the collector with a QueueObject.
    unsafe {
        match object::visit_all(slf, &[this(slf).dict], visit, arg) {
            0 => items::visit(channel(slf), visit, arg),
            stop => stop,
        }
    }
}

unsafe extern "C-unwind" fn clear_references(slf: *mut PyObject) -> c_int {
    // SAFETY: called by the collector with a QueueObject.
    unsafe {
        object::clear(&mut (*slf.cast::<QueueObject>()).dict);
        items::drop_all(channel(slf).take_all());
    }
    0
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
unsafe fn patience(
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

unsafe extern "C-unwind" fn put(
    slf: *mut PyObject,
    args: *const *mut PyObject,
    nargs: Py_ssize_t,
    kwnames: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a QueueObject that it keeps alive.
    unsafe {
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

unsafe extern "C-unwind" fn put_nowait(
    slf: *mut PyObject,
    args: *const *mut PyObject,
    nargs: Py_ssize_t,
    kwnames: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a QueueObject that it keeps alive.
    unsafe {
        match arguments::bind(args, nargs, kwnames, [c"item"]) {
            // A derived class may have a put() of its own.
            Some([item]) if !item.is_null() && this(slf).exact => {
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
        let channel = channel(slf);
        // Without a limit the other arguments do not matter.
        if channel.limit() <= 0 || (block.is_null() && seconds.is_null()) {
            ffi::Py_INCREF(item);
            let accepted = channel.try_put(item_of(item));
            if accepted == Accepted::Done {
                return compat::none();
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

unsafe extern "C-unwind" fn get(
    slf: *mut PyObject,
    args: *const *mut PyObject,
    nargs: Py_ssize_t,
    kwnames: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a QueueObject that it keeps alive.
    unsafe {
        if nargs == 0 && kwnames.is_null() {
            return get_item(slf, ptr::null_mut(), ptr::null_mut());
        }
        match arguments::bind(args, nargs, kwnames, [c"block", c"timeout"]) {
            Some([block, seconds]) => get_item(slf, block, seconds),
            None => pure::call(slf, Kind::Queue, c"get", args, nargs, kwnames),
        }
    }
}

unsafe extern "C-unwind" fn get_nowait(slf: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a QueueObject that it keeps alive.
    unsafe {
        // A derived class may have a get() of its own.
        if !this(slf).exact {
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
            if let Some(items) = channel(slf).shut_down(discard != 0) {
                items::drop_all(items);
                return compat::none();
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
            Some(limit) if channel(slf).set_limit(limit) => 0,
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
