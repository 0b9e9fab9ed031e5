//! `threading.Event`.

use core::ffi::{CStr, c_int, c_void};
use core::mem::offset_of;
use core::ptr;

use pyo3_ffi::{self as ffi, Py_ssize_t, PyObject, PyTypeObject};

use crate::capi::call::call_method;
use crate::capi::compat;
use crate::capi::errors::Raised;
use crate::capi::refs::{self, drop_ref, visit_all};
use crate::capi::types::{Call, Collected, Property};
use crate::runtime::blocking::{self, Timeout};
use crate::runtime::natives::Kind;
use crate::runtime::state::State;
use crate::sync::{Event, Retire, Ticket};
use crate::thread_module::start;
use crate::threading::arguments;
use crate::threading::class::{self, Making, NativeClass};
use crate::threading::head::Head;
use crate::threading::materialize::{self, Counts, Materialize, Retirement, Values};
use crate::threading::method::{LEFT_TO_PYTHON, Native, native};
use crate::threading::ticket::{self, Ended};

#[repr(C)]
struct EventObject {
    head: Head,
    event: Event,
    dict: *mut PyObject,
    weakrefs: *mut PyObject,
}

const METHODS: &[Native] = &[
    native(c"__init__", Call::FastKeywords(class::init_method::<EventObject, 0>)),
    native(c"is_set", Call::NoArgs(is_set)),
    native(c"isSet", class::PYTHON),
    native(c"set", Call::NoArgs(set)),
    native(c"clear", Call::NoArgs(clear)),
    native(c"wait", Call::FastKeywords(wait)),
    native(c"_at_fork_reinit", Call::NoArgs(at_fork_reinit)),
    native(c"__repr__", class::PYTHON),
];

const PROPERTIES: &[Property] = &[
    Property { name: c"_flag", get: get_flag, set: Some(set_flag), doc: None },
    materialize::part::<EventObject>(c"_cond"),
    materialize::dict_property::<EventObject>(),
];

/// Makes the type. Returns a new reference.
///
/// # Safety
/// Attached.
pub unsafe fn make_type(making: &Making) -> Result<*mut PyTypeObject, Raised> {
    // SAFETY: the struct is described as it is.
    unsafe {
        class::Class {
            name: c"threading.Event",
            short_name: c"Event",
            kind: Kind::Event,
            weakrefs: offset_of!(EventObject, weakrefs),
            dict: offset_of!(EventObject, dict),
            base: ptr::null_mut(),
            methods: METHODS,
            of_objects: None,
            builtin: &[],
            properties: PROPERTIES,
            init: class::init_slot::<EventObject, 0>,
            vectorcall: Some(class::vectorcall::<EventObject, 0>),
        }
        .make::<EventObject>(making)
    }
}

/// # Safety
/// `slf` is an EventObject, and outlives the result.
#[inline]
unsafe fn of<'a>(slf: *mut PyObject) -> &'a Event {
    // SAFETY: as the caller promises.
    unsafe { &(*slf.cast::<EventObject>()).event }
}

/// Returns the primitive of a native event. It is valid as long as the event lives.
///
/// # Safety
/// `slf` is an EventObject.
pub unsafe fn inside(slf: *mut PyObject) -> *const Event {
    // SAFETY: as the caller promises.
    unsafe { of(slf) }
}

impl Materialize for EventObject {
    const STATE: &'static [&'static CStr] = &[c"_flag"];

    unsafe fn parts(_: *mut PyObject, state: *const State, tickets: Counts) -> *mut PyObject {
        // SAFETY: as the caller promises; the format takes a number.
        unsafe {
            let args = ffi::Py_BuildValue(c"(n)".as_ptr(), tickets[0]);
            materialize::make_parts(state, Kind::Event, args)
        }
    }

    unsafe fn retire(
        slf: *mut PyObject,
        _: *mut PyObject,
        tickets: [&[Ticket]; materialize::CONDITIONS],
        values: &mut Values,
    ) -> Retirement {
        // SAFETY: as the caller promises.
        match unsafe { of(slf) }.retire(tickets[0]) {
            Retire::Done { state, used } => {
                values[0] = compat::bool_object(state);
                Retirement::Done([used, 0, 0])
            }
            Retire::NeedTickets(needed) => Retirement::Need([needed, 0, 0]),
            Retire::Already => Retirement::Done([0; materialize::CONDITIONS]),
        }
    }
}

impl NativeClass<0> for EventObject {
    const ARGUMENTS: [&'static CStr; 0] = [];
    const PARTS: &'static [&'static CStr] = &[c"_cond", c"_flag"];

    unsafe fn begin(slf: *mut PyObject, _: [*mut PyObject; 0]) -> Result<bool, Raised> {
        // All zero bytes are an event that is not set. An event that was retired stays retired.
        // SAFETY: as the caller promises.
        Ok(unsafe { of(slf) }.state().is_some())
    }

    unsafe fn dict(slf: *mut PyObject) -> *mut *mut PyObject {
        // SAFETY: as the caller promises.
        unsafe { &raw mut (*slf.cast::<EventObject>()).dict }
    }
}

impl Collected for EventObject {
    unsafe fn weakrefs(slf: *mut PyObject) -> *mut PyObject {
        // SAFETY: as the caller promises.
        unsafe { (*slf.cast::<EventObject>()).weakrefs }
    }

    unsafe fn visit(slf: *mut PyObject, visit: ffi::visitproc, arg: *mut c_void) -> c_int {
        // SAFETY: as the caller promises.
        unsafe { visit_all(&[(*slf.cast::<EventObject>()).dict], visit, arg) }
    }

    unsafe fn clear(slf: *mut PyObject) {
        // SAFETY: as the caller promises.
        unsafe {
            refs::clear(&mut (*slf.cast::<EventObject>()).dict);
        }
    }
}

unsafe extern "C-unwind" fn is_set(slf: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called with an EventObject.
    match unsafe { of(slf) }.state() {
        Some(set) => compat::bool_object(set),
        None => LEFT_TO_PYTHON,
    }
}

unsafe extern "C-unwind" fn set(slf: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called, attached, with an EventObject.
    if unsafe { of(slf) }.set() { compat::none() } else { LEFT_TO_PYTHON }
}

unsafe extern "C-unwind" fn clear(slf: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called, attached, with an EventObject.
    if unsafe { of(slf) }.clear() { compat::none() } else { LEFT_TO_PYTHON }
}

unsafe extern "C-unwind" fn wait(
    slf: *mut PyObject,
    args: *const *mut PyObject,
    nargs: Py_ssize_t,
    kwnames: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called, attached, with an EventObject that the caller keeps alive.
    unsafe {
        let Some([seconds]) = arguments::bind(args, nargs, kwnames, [c"timeout"]) else {
            return LEFT_TO_PYTHON;
        };
        match of(slf).state() {
            Some(true) => is_set_for(slf),
            Some(false) => wait_for(slf, seconds),
            None => LEFT_TO_PYTHON,
        }
    }
}

#[cold]
unsafe fn wait_for(slf: *mut PyObject, seconds: *mut PyObject) -> *mut PyObject {
    // SAFETY: as in `wait`.
    unsafe {
        compat::note_use(slf);
        let deadline = match arguments::timeout(seconds) {
            Ok(Timeout::Zero) => return compat::bool_object(false),
            Ok(timeout) => blocking::deadline(timeout),
            Err(Raised) => return ptr::null_mut(),
        };
        match ticket::wait(slf, of(slf), deadline) {
            Ok(Ended::Notified(notified)) => compat::bool_object(notified),
            Ok(Ended::SentAway) => wait_again(slf, arguments::remaining(deadline)),
            Ok(ended) => match ticket::run_pending(slf) {
                Ok(()) if ended == Ended::Got => is_set_for(slf),
                Ok(()) => compat::bool_object(false),
                Err(Raised) => start_is_interrupted(slf),
            },
            Err(Raised) => start_is_interrupted(slf),
        }
    }
}

/// Ends a wait for an event that is set. A thread that could not start sets its event, too, so the
/// failure is raised here.
#[inline]
unsafe fn is_set_for(slf: *mut PyObject) -> *mut PyObject {
    // SAFETY: as in `wait`.
    match unsafe { start::check_started(slf) } {
        Ok(()) => compat::bool_object(true),
        Err(Raised) => ptr::null_mut(),
    }
}

/// Ends a wait that has raised an exception, which stays set. If a thread could not start, its
/// starter learns of that here or never.
unsafe fn start_is_interrupted(slf: *mut PyObject) -> *mut PyObject {
    // SAFETY: as in `wait`.
    let _ = unsafe { start::check_started(slf) };
    ptr::null_mut()
}

/// Waits in Python, because the event was materialized before the wait began. Takes the reference
/// to the time left, which is null if making it has raised.
unsafe fn wait_again(slf: *mut PyObject, left: *mut PyObject) -> *mut PyObject {
    // SAFETY: as in `wait`; the reference is ours.
    unsafe {
        if left.is_null() {
            return left;
        }
        let result = call_method(slf, c"wait", &left, 1, ptr::null_mut());
        drop_ref(left);
        result
    }
}

/// For the child of a fork: removes all waiters. The flag stays.
unsafe extern "C-unwind" fn at_fork_reinit(slf: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called with an EventObject, in a process with one thread.
    unsafe {
        let Some(set) = of(slf).state() else { return LEFT_TO_PYTHON };
        (&raw mut (*slf.cast::<EventObject>()).event).write(Event::new());
        if set {
            let _ = of(slf).set();
        }
    }
    compat::none()
}

unsafe extern "C-unwind" fn get_flag(slf: *mut PyObject, name: *mut c_void) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with an EventObject.
    unsafe {
        match of(slf).state() {
            Some(set) if class::is_of_phase_native(slf) => compat::bool_object(set),
            _ => materialize::get::<EventObject>(slf, name),
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
        // Setting the attribute changes only the flag. Waiters go on waiting.
        let done = class::is_of_phase_native(slf)
            && ((value == ffi::Py_True() && of(slf).mark())
                || (value == ffi::Py_False() && of(slf).clear()));
        if done { 0 } else { materialize::set::<EventObject>(slf, value, name) }
    }
}

/// Returns the primitive of an event if the event is native, else null. It is valid as long as the
/// event lives.
///
/// # Safety
/// Attached; a valid object, and this interpreter's module.
pub unsafe fn event_inside(module: *const State, object: *mut PyObject) -> *const Event {
    // SAFETY: as the caller promises; the type says that it is an EventObject.
    unsafe {
        if ffi::Py_TYPE(object) == (*module).natives.types[Kind::Event as usize]
            && class::is_of_phase_native(object)
        {
            inside(object)
        } else {
            ptr::null()
        }
    }
}
