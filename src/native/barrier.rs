//! `threading.Barrier`.
//!
//! A new object is open: `multiprocessing` derives a class that never calls `__init__` and brings
//! its own parts. `__init__` makes the object native, if the arguments are ordinary ones and the
//! class has replaced none of the methods and attributes by which the Python class works; then
//! action and time-out are fixed, and who sets another one opens the object.
//!
//! *Opening during an action.* In the Python class the action runs with the lock of `_cond` held,
//! and whoever needs the lock waits until it is over. Here an object can be opened meanwhile, and
//! by the action itself, so nobody can wait for that. Instead a round whose last thread has its
//! turn is left alone: it is complete, and ends as a native one when the turn does, whereas those
//! who come from then on go to the parts, which start with an empty round.

use core::ffi::{CStr, c_int, c_void};
use core::mem::offset_of;
use core::ptr;

use pyo3_ffi::{self as ffi, Py_ssize_t, PyObject, PyTypeObject};

use super::open::{self, Openable};
use super::{Kind, Making, arguments, condition, pure};
use crate::blocking::{self, NewWaiter, Signals, Waited};
use crate::compat::{self, Raised};
use crate::object::{self, Call, Collected, Function, Like, PLAIN, Type, drop_ref};
use crate::sync::{Arrival, Awaitable, Barrier, BarrierState, Deadline, Turn, Verdict};

mod parts;

#[repr(C)]
struct BarrierObject {
    base: PyObject,
    barrier: Barrier,
    /// Set before the barrier is begun, and never after. The collector may clear the action.
    action: *mut PyObject,
    timeout: *mut PyObject,
    dict: *mut PyObject,
    weakrefs: *mut PyObject,
}

const METHODS: &[Function] = &[
    Function::python(c"wait", Call::FastKeywords(wait)),
    Function::python(c"reset", Call::NoArgs(reset)),
    Function::python(c"abort", Call::NoArgs(abort)),
    Function::python(c"_enter", Call::NoArgs(parts::enter)),
    Function::python(c"_release", Call::NoArgs(parts::release)),
    Function::python(c"_wait", Call::FastKeywords(parts::wait)),
    Function::python(c"_exit", Call::NoArgs(parts::exit)),
    Function::python(c"_break", Call::NoArgs(parts::break_)),
    open::copy::<BarrierObject>(),
];

/// What a derived class may replace to make the Python class work in another way.
const HOOKS: [&CStr; 11] = [
    c"_enter",
    c"_release",
    c"_wait",
    c"_exit",
    c"_break",
    c"_parties",
    c"_action",
    c"_timeout",
    c"_state",
    c"_count",
    c"_cond",
];

/// Makes the type. A new reference.
///
/// # Safety
/// Attached.
pub unsafe fn make_type(making: &Making) -> Result<*mut PyTypeObject, Raised> {
    // SAFETY: the slots are what their numbers say and expect a BarrierObject.
    unsafe {
        Type {
            name: c"threading.Barrier",
            size: size_of::<BarrierObject>(),
            weakrefs: Some(offset_of!(BarrierObject, weakrefs)),
            dict: Some(offset_of!(BarrierObject, dict)),
            flags: ffi::Py_TPFLAGS_HAVE_GC | ffi::Py_TPFLAGS_BASETYPE,
            like: Like::Python(making.docs),
            methods: METHODS,
            properties: parts::PROPERTIES,
            slots: &[
                (ffi::Py_tp_new, new as *mut c_void),
                (ffi::Py_tp_init, init as *mut c_void),
                (ffi::Py_tp_dealloc, object::dealloc::<BarrierObject> as *mut c_void),
                (ffi::Py_tp_repr, repr as *mut c_void),
                (ffi::Py_tp_traverse, object::traverse::<BarrierObject> as *mut c_void),
                (ffi::Py_tp_clear, object::clear_all::<BarrierObject> as *mut c_void),
            ],
            ..PLAIN
        }
        .make(making.module)
    }
}

/// # Safety
/// `slf` is a BarrierObject, and outlives the result.
#[inline]
unsafe fn this<'a>(slf: *mut PyObject) -> &'a BarrierObject {
    // SAFETY: as the caller promises.
    unsafe { &*slf.cast::<BarrierObject>() }
}

/// # Safety
/// As [`this`].
#[inline]
unsafe fn of<'a>(slf: *mut PyObject) -> &'a Barrier {
    // SAFETY: as the caller promises.
    unsafe { &this(slf).barrier }
}

impl Openable for BarrierObject {
    unsafe fn is_open(slf: *mut PyObject) -> bool {
        // SAFETY: as the caller promises.
        unsafe { of(slf) }.state() == BarrierState::Closed
    }

    unsafe fn open(slf: *mut PyObject) -> Result<(), Raised> {
        // SAFETY: as the caller promises.
        unsafe {
            if Self::is_open(slf) {
                return Ok(());
            }
            let dict = open::dict(slf)?;
            let opened = open_into(slf, dict);
            drop_ref(dict);
            opened
        }
    }
}

/// # Safety
/// As [`Openable::open`]; `dict` is the object's.
unsafe fn open_into(slf: *mut PyObject, dict: *mut PyObject) -> Result<(), Raised> {
    // SAFETY: as the caller promises; the new reference is given back.
    unsafe {
        let condition = open::offer_and_keep(dict, c"_cond", condition::make_held(slf))?;
        let opened = open_with(slf, dict, condition);
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
) -> Result<(), Raised> {
    // SAFETY: as the caller promises.
    unsafe {
        let parties = ffi::PyLong_FromUnsignedLong(of(slf).parties().into());
        open::offer(dict, c"_parties", parties)?;
        open::offer(dict, c"_action", new_ref(this(slf).action))?;
        open::offer(dict, c"_timeout", new_ref(this(slf).timeout))?;
        open::offer(dict, c"_state", ffi::PyLong_FromLong(0))?;
        open::offer(dict, c"_count", ffi::PyLong_FromLong(0))?;
        let Some(state) = of(slf).close() else { return Ok(()) };
        let stored = open::store(dict, c"_state", state_object(state));
        condition::release_held(condition);
        stored
    }
}

/// A new reference; to None where there is nothing.
///
/// # Safety
/// Attached; a valid object or null.
unsafe fn new_ref(object: *mut PyObject) -> *mut PyObject {
    if object.is_null() {
        return compat::none();
    }
    // SAFETY: as the caller promises.
    unsafe { ffi::Py_INCREF(object) };
    object
}

/// `_state`. The Python class has two more, for a barrier that its threads are about to leave.
///
/// # Safety
/// Attached.
unsafe fn state_object(state: BarrierState) -> *mut PyObject {
    // SAFETY: as the caller promises.
    unsafe { ffi::PyLong_FromLong(if state == BarrierState::Broken { -2 } else { 0 }) }
}

unsafe extern "C-unwind" fn new(
    class: *mut PyTypeObject,
    _: *mut PyObject,
    _: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called by CPython; all zero is an open barrier that has no parts yet. Arguments are
    // for __init__.
    unsafe { object::allocate(class) }
}

unsafe extern "C-unwind" fn init(
    slf: *mut PyObject,
    args: *mut PyObject,
    kwargs: *mut PyObject,
) -> c_int {
    // SAFETY: called by CPython with a BarrierObject, a tuple, and a dict or null. The thread that
    // has claimed the parties is the only one that writes the fields, once, before it begins.
    unsafe {
        let names = [c"parties", c"action", c"timeout"];
        let given = arguments::bind_tuple(args, kwargs, names);
        let [parties, action, timeout] = given.unwrap_or([ptr::null_mut(); 3]);
        let native = match ordinary_parties(parties) {
            Some(parties) if arguments::is_timeout(timeout) && is_fresh(slf) => {
                match pure::replaces(slf, Kind::Barrier, &HOOKS).map(|replaced| !replaced) {
                    Ok(true) => of(slf).claim_parties(parties),
                    Ok(false) => false,
                    Err(Raised) => return -1,
                }
            }
            _ => false,
        };
        if !native {
            return pure::init(slf, Kind::Barrier, args, kwargs);
        }
        let own = slf.cast::<BarrierObject>();
        (*own).action = new_ref(action);
        (*own).timeout = new_ref(timeout);
        of(slf).begin();
    }
    0
}

/// The number of parties, if it is an ordinary int from one up that can be counted to.
///
/// # Safety
/// Attached; a valid object or null.
unsafe fn ordinary_parties(parties: *mut PyObject) -> Option<u32> {
    // SAFETY: as the caller promises; an exact int has no code of its own.
    unsafe {
        if parties.is_null() || ffi::PyLong_CheckExact(parties) == 0 {
            return None;
        }
        let mut overflow = 0;
        let parties = ffi::PyLong_AsLongLongAndOverflow(parties, &mut overflow);
        u32::try_from(parties).ok().filter(|&parties| overflow == 0 && parties > 0)
    }
}

/// Whether nobody has given the object parts yet.
///
/// # Safety
/// Attached; a BarrierObject.
unsafe fn is_fresh(slf: *mut PyObject) -> bool {
    // SAFETY: as the caller promises.
    unsafe {
        let dict = this(slf).dict;
        dict.is_null()
            || HOOKS.iter().all(|name| ffi::PyDict_GetItemString(dict, name.as_ptr()).is_null())
    }
}

impl Collected for BarrierObject {
    unsafe fn weakrefs(slf: *mut PyObject) -> *mut PyObject {
        // SAFETY: as the caller promises.
        unsafe { (*slf.cast::<BarrierObject>()).weakrefs }
    }

    unsafe fn visit(slf: *mut PyObject, visit: ffi::visitproc, arg: *mut c_void) -> c_int {
        // SAFETY: as the caller promises.
        unsafe {
            let this = this(slf);
            object::visit_all(&[this.dict, this.action, this.timeout], visit, arg)
        }
    }

    unsafe fn clear(slf: *mut PyObject) {
        // SAFETY: as the caller promises.
        unsafe {
            object::clear(&mut (*slf.cast::<BarrierObject>()).dict);
            object::clear(&mut (*slf.cast::<BarrierObject>()).action);
            object::clear(&mut (*slf.cast::<BarrierObject>()).timeout);
        }
    }
}

unsafe extern "C-unwind" fn repr(slf: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by CPython with a BarrierObject.
    unsafe { pure::call_no_args(slf, Kind::Barrier, c"__repr__") }
}

unsafe extern "C-unwind" fn wait(
    slf: *mut PyObject,
    args: *const *mut PyObject,
    nargs: Py_ssize_t,
    kwnames: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a BarrierObject that it keeps alive. The fields are
    // set if the barrier is not closed.
    unsafe {
        compat::note_use(slf);
        let bound = arguments::bind(args, nargs, kwnames, [c"timeout"]);
        let (Some([seconds]), false) = (bound, BarrierObject::is_open(slf)) else {
            return pure::call(slf, Kind::Barrier, c"wait", args, nargs, kwnames);
        };
        if !arguments::is_timeout(seconds) {
            return pure::call(slf, Kind::Barrier, c"wait", args, nargs, kwnames);
        }
        let action = this(slf).action;
        if (action.is_null() || action == ffi::Py_None())
            && let Some(number) = of(slf).pass()
        {
            return ffi::PyLong_FromUnsignedLong(number.into());
        }
        let default = seconds.is_null() || seconds == ffi::Py_None();
        wait_for_others(slf, if default { this(slf).timeout } else { seconds })
    }
}

/// # Safety
/// As `wait`; `seconds` is kept alive by the caller, or by the object.
unsafe fn wait_for_others(slf: *mut PyObject, seconds: *mut PyObject) -> *mut PyObject {
    // SAFETY: as in `wait`. The waiter is freed when it is in no queue: it was not put into one, or
    // the wait is over.
    unsafe {
        loop {
            let Ok(waiter) = NewWaiter::allocate() else { return ptr::null_mut() };
            let arrival = of(slf).arrive(waiter.get());
            if let Arrival::Wait(number) = arrival {
                return wait_queued(slf, waiter, number, seconds);
            }
            waiter.free();
            match arrival {
                Arrival::Last(turn) => return take_turn(slf, turn),
                Arrival::Broken => return raise_broken(slf),
                Arrival::Closed => return wait_open(slf, seconds),
                Arrival::Later | Arrival::Wait(_) => {
                    if blocking::wait_until(of(slf).entrance(), None, Signals::Handle).is_err() {
                        return ptr::null_mut();
                    }
                }
            }
        }
    }
}

/// Waits for those who are still to come. The time-out is looked at here, after the arrival: the
/// last one does not look at its own, and whoever has a wrong one just leaves again.
///
/// # Safety
/// As `wait`; the waiter is in the queue.
unsafe fn wait_queued(
    slf: *mut PyObject,
    waiter: NewWaiter,
    number: u32,
    seconds: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: as the caller promises; after `forgo` or a wait it is in no queue.
    unsafe {
        let timeout = blocking::refuse_at_shutdown().and_then(|()| arguments::timeout(seconds));
        let Ok(timeout) = timeout else {
            of(slf).forgo(waiter.get());
            waiter.free();
            return ptr::null_mut();
        };
        let deadline = blocking::deadline(timeout);
        let waited = blocking::wait_queued(&waiter, of(slf), deadline, Signals::Handle);
        let verdict = Barrier::verdict(waiter.get());
        waiter.free();
        match (waited, verdict) {
            (Ok(Waited::Got), _) => ffi::PyLong_FromUnsignedLong(number.into()),
            (Ok(Waited::Dismissed), Verdict::Closed) => wait_opened(slf, deadline),
            // Sent away, or its time was up, and then it has broken the barrier itself.
            (Ok(_), _) => raise_broken(slf),
            (Err(Raised), _) => ptr::null_mut(),
        }
    }
}

/// The last one: runs the action and lets everybody go.
///
/// # Safety
/// As `wait`; the turn is the thread's.
unsafe fn take_turn(slf: *mut PyObject, turn: Turn) -> *mut PyObject {
    // SAFETY: as the caller promises; the action stays alive while it runs, and new references are
    // given back.
    unsafe {
        let action = new_ref(this(slf).action);
        let truth = ffi::PyObject_IsTrue(action);
        let done = if truth > 0 {
            let result = object::call_no_args(action);
            drop_ref(result);
            !result.is_null()
        } else {
            truth == 0
        };
        drop_ref(action);
        if !done {
            spoil(slf, turn);
            return ptr::null_mut();
        }
        if of(slf).open(turn) {
            return ffi::PyLong_FromUnsignedLong(turn.number.into());
        }
        raise_broken(slf)
    }
}

/// The action has raised: breaks the barrier. If it has become an open one meanwhile, that is to
/// be broken too, as those who come look there.
///
/// # Safety
/// As `take_turn`, with an exception set, which is set afterwards as well.
#[cold]
unsafe fn spoil(slf: *mut PyObject, turn: Turn) {
    // SAFETY: as the caller promises; the new reference is given back.
    unsafe {
        let in_time = of(slf).spoil(turn);
        if in_time && BarrierObject::is_open(slf) {
            let pending = compat::take_exception();
            let result = pure::call_no_args(slf, Kind::Barrier, c"abort");
            if result.is_null() {
                ffi::PyErr_Clear();
            }
            drop_ref(result);
            compat::restore_exception(pending);
        }
    }
}

/// # Safety
/// Attached; a native object.
#[cold]
unsafe fn raise_broken(slf: *mut PyObject) -> *mut PyObject {
    // SAFETY: as the caller promises; the class has been given with the type.
    unsafe {
        if let Ok(error) = pure::class(slf, Kind::BrokenBarrierError) {
            ffi::PyErr_SetNone(if error.is_null() { ffi::PyExc_RuntimeError } else { error });
        }
    }
    ptr::null_mut()
}

/// Somebody has opened the barrier meanwhile: comes again.
///
/// # Safety
/// As `wait`.
unsafe fn wait_opened(slf: *mut PyObject, deadline: Deadline) -> *mut PyObject {
    // SAFETY: as the caller promises; the new reference is given back.
    unsafe {
        let left = arguments::remaining(deadline);
        if left.is_null() {
            return left;
        }
        let result = wait_open(slf, left);
        drop_ref(left);
        result
    }
}

/// # Safety
/// As `wait`.
unsafe fn wait_open(slf: *mut PyObject, seconds: *mut PyObject) -> *mut PyObject {
    // SAFETY: as the caller promises.
    unsafe { pure::call(slf, Kind::Barrier, c"wait", &seconds, 1, ptr::null_mut()) }
}

unsafe extern "C-unwind" fn reset(slf: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a BarrierObject.
    unsafe {
        if of(slf).reset() {
            compat::none()
        } else {
            pure::call_no_args(slf, Kind::Barrier, c"reset")
        }
    }
}

unsafe extern "C-unwind" fn abort(slf: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a BarrierObject.
    unsafe {
        if of(slf).abort() {
            compat::none()
        } else {
            pure::call_no_args(slf, Kind::Barrier, c"abort")
        }
    }
}
