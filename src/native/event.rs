//! `threading.Event`.

use core::ffi::{c_int, c_void};
use core::mem::offset_of;
use core::ptr;

use pyo3_ffi::{self as ffi, Py_ssize_t, PyObject, PyTypeObject};

use super::open::{self, Openable};
use super::{Kind, Making, arguments, condition, pure};
use crate::blocking::{self, Signals, Timeout, Waited};
use crate::compat::{self, Raised};
use crate::object::{self, Call, Collected, Function, Like, PLAIN, Property, Type, drop_ref};
use crate::sync::{Deadline, Event};
use crate::thread;

#[repr(C)]
struct EventObject {
    base: PyObject,
    event: Event,
    dict: *mut PyObject,
    weakrefs: *mut PyObject,
}

const METHODS: &[Function] = &[
    Function::python(c"is_set", Call::NoArgs(is_set)),
    Function::python(c"isSet", Call::NoArgs(is_set_old)),
    Function::python(c"set", Call::NoArgs(set)),
    Function::python(c"clear", Call::NoArgs(clear)),
    Function::python(c"wait", Call::FastKeywords(wait)),
    Function::python(c"_at_fork_reinit", Call::NoArgs(at_fork_reinit)),
    open::copy::<EventObject>(),
];

const PROPERTIES: &[Property] = &[
    Property { name: c"_flag", get: get_flag, set: Some(set_flag), doc: None },
    open::part::<EventObject>(c"_cond"),
    open::dict_of_parts::<EventObject>(),
];

/// Makes the type. A new reference.
///
/// # Safety
/// Attached.
pub unsafe fn make_type(making: &Making) -> Result<*mut PyTypeObject, Raised> {
    // SAFETY: the slots are what their numbers say and expect an EventObject.
    unsafe {
        Type {
            name: c"threading.Event",
            size: size_of::<EventObject>(),
            weakrefs: Some(offset_of!(EventObject, weakrefs)),
            dict: Some(offset_of!(EventObject, dict)),
            flags: ffi::Py_TPFLAGS_HAVE_GC | ffi::Py_TPFLAGS_BASETYPE,
            like: Like::Python(making.docs),
            methods: METHODS,
            properties: PROPERTIES,
            slots: &[
                (ffi::Py_tp_new, new as *mut c_void),
                (ffi::Py_tp_init, init as *mut c_void),
                (ffi::Py_tp_dealloc, object::dealloc::<EventObject> as *mut c_void),
                (ffi::Py_tp_repr, repr as *mut c_void),
                (ffi::Py_tp_traverse, object::traverse::<EventObject> as *mut c_void),
                (ffi::Py_tp_clear, object::clear_all::<EventObject> as *mut c_void),
            ],
            ..PLAIN
        }
        .make(making.module)
    }
}

/// # Safety
/// `slf` is an EventObject, and outlives the result.
#[inline]
unsafe fn of<'a>(slf: *mut PyObject) -> &'a Event {
    // SAFETY: as the caller promises.
    unsafe { &(*slf.cast::<EventObject>()).event }
}

/// What is inside of an event, for as long as that lives.
///
/// # Safety
/// `slf` is an EventObject.
pub unsafe fn inside(slf: *mut PyObject) -> *const Event {
    // SAFETY: as the caller promises.
    unsafe { of(slf) }
}

impl Openable for EventObject {
    unsafe fn is_open(slf: *mut PyObject) -> bool {
        // SAFETY: as the caller promises.
        unsafe { of(slf) }.state().is_none()
    }

    unsafe fn open(slf: *mut PyObject) -> Result<(), Raised> {
        // SAFETY: as the caller promises.
        unsafe {
            let Some(flag) = of(slf).state() else { return Ok(()) };
            let dict = open::dict(slf)?;
            let opened = open_into(slf, dict, flag);
            drop_ref(dict);
            opened
        }
    }
}

/// # Safety
/// As [`Openable::open`]; `dict` is the object's.
unsafe fn open_into(slf: *mut PyObject, dict: *mut PyObject, flag: bool) -> Result<(), Raised> {
    // SAFETY: as the caller promises; the new reference is given back.
    unsafe {
        let condition = open::offer_and_keep(dict, c"_cond", condition::make_held(slf))?;
        let opened = open_with(slf, dict, condition, flag);
        drop_ref(condition);
        opened
    }
}

/// # Safety
/// As `open_into`; `condition` is its condition, or what somebody has in its place.
unsafe fn open_with(
    slf: *mut PyObject,
    dict: *mut PyObject,
    condition: *mut PyObject,
    flag: bool,
) -> Result<(), Raised> {
    // SAFETY: as the caller promises.
    unsafe {
        open::offer(dict, c"_flag", compat::bool_object(flag))?;
        let Some(flag) = of(slf).close() else { return Ok(()) };
        let stored = open::store(dict, c"_flag", compat::bool_object(flag));
        condition::release_held(condition);
        stored
    }
}

unsafe extern "C-unwind" fn new(
    class: *mut PyTypeObject,
    _: *mut PyObject,
    _: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called by CPython; all zero is an event that is not set. Arguments are for __init__.
    unsafe { object::allocate(class) }
}

unsafe extern "C-unwind" fn init(
    slf: *mut PyObject,
    args: *mut PyObject,
    kwargs: *mut PyObject,
) -> c_int {
    // SAFETY: called by CPython with an EventObject, a tuple, and a dict or null.
    unsafe {
        let plain = ffi::PyTuple_GET_SIZE(args) == 0 && kwargs.is_null();
        if plain && of(slf).clear() {
            return 0;
        }
        pure::init(slf, Kind::Event, args, kwargs)
    }
}

impl Collected for EventObject {
    unsafe fn weakrefs(slf: *mut PyObject) -> *mut PyObject {
        // SAFETY: as the caller promises.
        unsafe { (*slf.cast::<EventObject>()).weakrefs }
    }

    unsafe fn visit(slf: *mut PyObject, visit: ffi::visitproc, arg: *mut c_void) -> c_int {
        // SAFETY: as the caller promises.
        unsafe { object::visit_all(&[(*slf.cast::<EventObject>()).dict], visit, arg) }
    }

    unsafe fn clear(slf: *mut PyObject) {
        // SAFETY: as the caller promises.
        unsafe {
            object::clear(&mut (*slf.cast::<EventObject>()).dict);
        }
    }
}

unsafe extern "C-unwind" fn repr(slf: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by CPython with an EventObject.
    unsafe { pure::call_no_args(slf, Kind::Event, c"__repr__") }
}

unsafe extern "C-unwind" fn is_set(slf: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with an EventObject.
    unsafe {
        compat::note_use(slf);
        match of(slf).state() {
            Some(set) => compat::bool_object(set),
            None => pure::call_no_args(slf, Kind::Event, c"is_set"),
        }
    }
}

/// Warns that it is deprecated.
unsafe extern "C-unwind" fn is_set_old(slf: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with an EventObject.
    unsafe { pure::call_no_args(slf, Kind::Event, c"isSet") }
}

unsafe extern "C-unwind" fn set(slf: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with an EventObject.
    unsafe {
        if of(slf).set() { compat::none() } else { pure::call_no_args(slf, Kind::Event, c"set") }
    }
}

unsafe extern "C-unwind" fn clear(slf: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with an EventObject.
    unsafe {
        if of(slf).clear() {
            compat::none()
        } else {
            pure::call_no_args(slf, Kind::Event, c"clear")
        }
    }
}

unsafe extern "C-unwind" fn wait(
    slf: *mut PyObject,
    args: *const *mut PyObject,
    nargs: Py_ssize_t,
    kwnames: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with an EventObject that it keeps alive.
    unsafe {
        let Some([seconds]) = arguments::bind(args, nargs, kwnames, [c"timeout"]) else {
            return pure::call(slf, Kind::Event, c"wait", args, nargs, kwnames);
        };
        compat::note_use(slf);
        match of(slf).state() {
            Some(true) => is_set_for(slf),
            Some(false) => wait_for(slf, seconds),
            None => pure::call(slf, Kind::Event, c"wait", args, nargs, kwnames),
        }
    }
}

#[cold]
unsafe fn wait_for(slf: *mut PyObject, seconds: *mut PyObject) -> *mut PyObject {
    // SAFETY: as in `wait`.
    unsafe {
        let deadline = match arguments::timeout(seconds) {
            Ok(Timeout::Zero) => return compat::bool_object(false),
            Ok(timeout) => blocking::deadline(timeout),
            Err(Raised) => return ptr::null_mut(),
        };
        match blocking::wait_until(of(slf), deadline, Signals::Handle) {
            Ok(Waited::Got) => is_set_for(slf),
            Ok(Waited::TimedOut) => compat::bool_object(false),
            Ok(Waited::Dismissed) => wait_opened(slf, deadline),
            Err(Raised) => {
                // The exception that is set stays: the failure of a thread is known here, or never.
                let _ = thread::check_started(slf);
                ptr::null_mut()
            }
        }
    }
}

/// The end of a wait for an event that is set: a thread that could not begin sets it, too.
#[inline]
unsafe fn is_set_for(slf: *mut PyObject) -> *mut PyObject {
    // SAFETY: as in `wait`.
    match unsafe { thread::check_started(slf) } {
        Ok(()) => compat::bool_object(true),
        Err(Raised) => ptr::null_mut(),
    }
}

/// Somebody has opened the event meanwhile.
unsafe fn wait_opened(slf: *mut PyObject, deadline: Deadline) -> *mut PyObject {
    // SAFETY: as in `wait`; the new reference is given back.
    unsafe {
        let left = arguments::remaining(deadline);
        if left.is_null() {
            return ptr::null_mut();
        }
        let result = pure::call(slf, Kind::Event, c"wait", &left, 1, ptr::null_mut());
        drop_ref(left);
        result
    }
}

/// For the child of a fork: nobody waits any more. The flag stays.
unsafe extern "C-unwind" fn at_fork_reinit(slf: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by CPython with an EventObject, in a process with one thread.
    unsafe {
        let Some(set) = of(slf).state() else {
            return pure::call_no_args(slf, Kind::Event, c"_at_fork_reinit");
        };
        (&raw mut (*slf.cast::<EventObject>()).event).write(Event::new());
        if set {
            of(slf).set();
        }
    }
    compat::none()
}

unsafe extern "C-unwind" fn get_flag(slf: *mut PyObject, name: *mut c_void) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with an EventObject.
    unsafe {
        match of(slf).state() {
            Some(set) => compat::bool_object(set),
            None => open::get::<EventObject>(slf, name),
        }
    }
}

unsafe extern "C-unwind" fn set_flag(
    slf: *mut PyObject,
    value: *mut PyObject,
    name: *mut c_void,
) -> c_int {
    // SAFETY: called by CPython, attached, with an EventObject.
    unsafe {
        // It is only a flag: who waits goes on waiting.
        let done = if value == ffi::Py_True() {
            of(slf).mark()
        } else {
            value == ffi::Py_False() && of(slf).clear()
        };
        if done { 0 } else { open::set::<EventObject>(slf, value, name) }
    }
}
