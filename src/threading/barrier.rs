//! `threading.Barrier`.
//!
//! A new object is in phase `Python`: `multiprocessing` derives a class that never calls
//! `__init__`, and brings its own attributes. `__init__` makes the object native if the arguments
//! are ordinary ones. From then on action and time-out are fixed, and setting another one
//! materializes the object.
//!
//! *Materialized during an action.* In the Python class the action runs with the lock of `_cond`
//! held, and every thread that needs the lock waits until the action is over. Here it is the same.
//! The attributes get a lock that is held. The thread that runs the action then ends the round as
//! the Python class does, and releases the lock.

use core::ffi::{CStr, c_int, c_void};
use core::mem::offset_of;
use core::ptr;

use pyo3_ffi::{self as ffi, Py_ssize_t, PyObject, PyTypeObject};

use crate::capi::call::call_no_args;
use crate::capi::compat;
use crate::capi::errors::Raised;
use crate::capi::refs::{self, drop_ref, visit_all};
use crate::capi::types::{self, Call, Collected, Property};
use crate::runtime::blocking::{self, NewWaiter, Signals};
use crate::runtime::natives::{Helper, Kind, Namespace};
use crate::runtime::state::State;
use crate::sync::{
    Arrival, Awaitable, Barrier, BarrierState, Deadline, Retire, Ticket, Turn, TurnEnd, Verdict,
};
use crate::threading::class::{self, Making, NativeClass};
use crate::threading::head::Head;
use crate::threading::materialize::{self, CONDITIONS, Counts, Materialize, Retirement, Values};
use crate::threading::method::{LEFT_TO_PYTHON, Native, native};
use crate::threading::ticket::{self, Ended};
use crate::threading::{arguments, condition};

#[repr(C)]
struct BarrierObject {
    head: Head,
    barrier: Barrier,
    /// Set before the barrier becomes native, and never after that. Only the collector may clear
    /// action and time-out.
    action: *mut PyObject,
    timeout: *mut PyObject,
    dict: *mut PyObject,
    weakrefs: *mut PyObject,
}

const METHODS: &[Native] = &[
    native(c"__init__", Call::FastKeywords(class::init_method::<BarrierObject, 3>)),
    native(c"wait", Call::FastKeywords(wait)),
    native(c"reset", Call::NoArgs(reset)),
    native(c"abort", Call::NoArgs(abort)),
    // Internal steps of the Python class.
    native(c"_enter", class::PYTHON),
    native(c"_release", class::PYTHON),
    native(c"_wait", class::PYTHON),
    native(c"_exit", class::PYTHON),
    native(c"_break", class::PYTHON),
    native(c"__repr__", class::PYTHON),
];

const PARTS: &[&CStr] = &[c"_cond", c"_parties", c"_action", c"_timeout", c"_state", c"_count"];

const PROPERTIES: &[Property] = &[
    private(c"_parties", get_parties),
    private(c"_action", get_action),
    private(c"_timeout", get_timeout),
    private(c"_state", get_state),
    private(c"_count", get_count),
    materialize::part::<BarrierObject>(c"_cond"),
    materialize::dict_property::<BarrierObject>(),
];

/// An attribute that a native barrier has. Setting it materializes the barrier.
const fn private(name: &'static CStr, get: types::Getter) -> Property {
    Property { name, get, set: Some(materialize::set::<BarrierObject>), doc: None }
}

/// Makes the type. Returns a new reference.
///
/// # Safety
/// Attached.
pub unsafe fn make_type(making: &Making) -> Result<*mut PyTypeObject, Raised> {
    // SAFETY: the struct is described as it is.
    unsafe {
        class::Class {
            name: c"threading.Barrier",
            short_name: c"Barrier",
            kind: Kind::Barrier,
            weakrefs: offset_of!(BarrierObject, weakrefs),
            dict: offset_of!(BarrierObject, dict),
            base: ptr::null_mut(),
            methods: METHODS,
            of_objects: None,
            builtin: &[],
            properties: PROPERTIES,
            init: class::init_slot::<BarrierObject, 3>,
            vectorcall: Some(class::vectorcall::<BarrierObject, 3>),
        }
        .make::<BarrierObject>(making)
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

impl Materialize for BarrierObject {
    const STATE: &'static [&'static CStr] = &[c"_state", c"_count"];

    unsafe fn parts(slf: *mut PyObject, state: *const State, tickets: Counts) -> *mut PyObject {
        // SAFETY: as the caller promises; the format takes a number, two objects with their
        // references, and a number.
        unsafe {
            let (action, timeout) = (new_ref(this(slf).action), new_ref(this(slf).timeout));
            let parties = of(slf).parties();
            let args = ffi::Py_BuildValue(c"(INNn)".as_ptr(), parties, action, timeout, tickets[0]);
            materialize::make_parts(state, Kind::Barrier, args)
        }
    }

    unsafe fn retire(
        slf: *mut PyObject,
        dict: *mut PyObject,
        tickets: [&[Ticket]; CONDITIONS],
        values: &mut Values,
    ) -> Retirement {
        // SAFETY: as the caller promises; attached. The condition is one that this thread has made.
        unsafe {
            match of(slf).retire(tickets[0]) {
                Retire::Done { state, used } => {
                    let broken = state.state == BarrierState::Broken;
                    values[0] = ffi::PyLong_FromLong(if broken { -2 } else { 0 });
                    values[1] = ffi::PyLong_FromUnsignedLong(state.count.into());
                    if state.acting {
                        condition::hold_lock(ffi::PyDict_GetItemString(dict, c"_cond".as_ptr()));
                    }
                    Retirement::Done([used, 0, 0])
                }
                Retire::NeedTickets(needed) => Retirement::Need([needed, 0, 0]),
                Retire::Already => Retirement::Done([0; CONDITIONS]),
            }
        }
    }
}

impl NativeClass<3> for BarrierObject {
    const ARGUMENTS: [&'static CStr; 3] = [c"parties", c"action", c"timeout"];
    const PARTS: &'static [&'static CStr] = PARTS;

    unsafe fn begin(slf: *mut PyObject, given: [*mut PyObject; 3]) -> Result<bool, Raised> {
        // SAFETY: as the caller promises: no other thread looks at the fields.
        unsafe {
            let [parties, action, timeout] = given;
            let Some(parties) = ordinary_parties(parties) else { return Ok(false) };
            if !arguments::is_ordinary_timeout(timeout) || !of(slf).claim_parties(parties) {
                return Ok(false);
            }
            let own = slf.cast::<BarrierObject>();
            (*own).action = new_ref(action);
            (*own).timeout = new_ref(timeout);
            of(slf).begin();
        }
        Ok(true)
    }

    unsafe fn dict(slf: *mut PyObject) -> *mut *mut PyObject {
        // SAFETY: as the caller promises.
        unsafe { &raw mut (*slf.cast::<BarrierObject>()).dict }
    }
}

/// Returns a new reference to the object, or to None if it is null.
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

/// Returns the number of parties if it is an exact int, at least one, and can be counted to.
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

impl Collected for BarrierObject {
    unsafe fn weakrefs(slf: *mut PyObject) -> *mut PyObject {
        // SAFETY: as the caller promises.
        unsafe { (*slf.cast::<BarrierObject>()).weakrefs }
    }

    unsafe fn visit(slf: *mut PyObject, visit: ffi::visitproc, arg: *mut c_void) -> c_int {
        // SAFETY: as the caller promises.
        unsafe {
            let this = this(slf);
            visit_all(&[this.dict, this.action, this.timeout], visit, arg)
        }
    }

    unsafe fn clear(slf: *mut PyObject) {
        // SAFETY: as the caller promises.
        unsafe {
            refs::clear(&mut (*slf.cast::<BarrierObject>()).dict);
            refs::clear(&mut (*slf.cast::<BarrierObject>()).action);
            refs::clear(&mut (*slf.cast::<BarrierObject>()).timeout);
        }
    }
}

unsafe extern "C-unwind" fn wait(
    slf: *mut PyObject,
    args: *const *mut PyObject,
    nargs: Py_ssize_t,
    kwnames: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called, attached, with a native BarrierObject that the caller keeps alive.
    unsafe {
        let Some([seconds]) = arguments::bind(args, nargs, kwnames, [c"timeout"]) else {
            return LEFT_TO_PYTHON;
        };
        let action = this(slf).action;
        if (action.is_null() || action == ffi::Py_None())
            && let Some(number) = of(slf).pass()
        {
            return ffi::PyLong_FromUnsignedLong(number.into());
        }
        let default = seconds.is_null() || seconds == ffi::Py_None();
        let seconds = if default { this(slf).timeout } else { seconds };
        if !arguments::is_ordinary_timeout(seconds) {
            return LEFT_TO_PYTHON;
        }
        wait_for_others(slf, seconds)
    }
}

/// # Safety
/// As `wait`; `seconds` is kept alive by the caller, or by the object.
unsafe fn wait_for_others(slf: *mut PyObject, seconds: *mut PyObject) -> *mut PyObject {
    // SAFETY: as in `wait`. The waiter is freed while it is in no queue: it was not put into one,
    // or the wait is over.
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
                Arrival::Retired => return LEFT_TO_PYTHON,
                Arrival::Later | Arrival::Wait(_) => {
                    if ticket::wait(slf, of(slf).entrance(), None).is_err() {
                        return ptr::null_mut();
                    }
                }
            }
        }
    }
}

/// Waits for the threads of the round that have not arrived yet. The time-out is read here, after
/// the arrival. So the last thread never reads its own, and a thread with an invalid one leaves
/// again.
///
/// # Safety
/// As `wait`; the waiter is in the queue.
unsafe fn wait_queued(
    slf: *mut PyObject,
    waiter: NewWaiter,
    number: u32,
    seconds: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: as the caller promises; after `abandon` or a wait it is in no queue.
    unsafe {
        let timeout = blocking::refuse_at_shutdown().and_then(|()| arguments::timeout(seconds));
        let deadline = timeout.as_ref().map_or(None, |&timeout| blocking::deadline(timeout));
        let waited = match timeout {
            Ok(_) => blocking::wait_queued(&waiter, of(slf), deadline, Signals::Handle),
            Err(Raised) => {
                of(slf).abandon(waiter.get());
                Err(Raised)
            }
        };
        let verdict = Barrier::verdict(waiter.get());
        let ticket = waiter.get().ticket();
        waiter.free();
        let condition = ticket.map(|ticket| ticket::condition_of(ticket));
        let result = match ticket::end(slf, waited, ticket, deadline) {
            Ok(Ended::Got) => match ticket::run_pending(slf) {
                Ok(()) => ffi::PyLong_FromUnsignedLong(number.into()),
                Err(Raised) => ptr::null_mut(),
            },
            Ok(Ended::Notified(_)) => rejoin(slf, number, deadline, condition),
            Ok(Ended::TimedOut | Ended::SentAway) if verdict != Verdict::Passed => {
                match ticket::run_pending(slf) {
                    Ok(()) => raise_broken(slf),
                    Err(Raised) => ptr::null_mut(),
                }
            }
            Ok(_) => ffi::PyLong_FromUnsignedLong(number.into()),
            Err(Raised) => {
                if let Some(condition) = condition {
                    leave(slf, condition);
                }
                ptr::null_mut()
            }
        };
        drop_ref(condition.unwrap_or(ptr::null_mut()));
        result
    }
}

/// Continues the wait at the barrier, which has been materialized.
///
/// # Safety
/// As `wait`.
unsafe fn rejoin(
    slf: *mut PyObject,
    number: u32,
    deadline: Deadline,
    condition: Option<*mut PyObject>,
) -> *mut PyObject {
    // SAFETY: as the caller promises; new references are released.
    unsafe {
        let index = ffi::PyLong_FromUnsignedLong(number.into());
        let left = arguments::remaining(deadline);
        let result = match condition {
            Some(condition) if !index.is_null() && !left.is_null() => {
                Helper::RejoinBarrier.call(slf, &[slf, index, left, condition])
            }
            _ => ptr::null_mut(),
        };
        drop_ref(index);
        drop_ref(left);
        result
    }
}

/// Takes this thread out of the count of a barrier that has been materialized.
///
/// # Safety
/// As `wait`, with an exception set, which is set afterwards as well.
unsafe fn leave(slf: *mut PyObject, condition: *mut PyObject) {
    // SAFETY: as the caller promises; the new reference is released.
    unsafe {
        let pending = compat::take_exception();
        let result = Helper::LeaveBarrier.call(slf, &[slf, condition]);
        if result.is_null() {
            ffi::PyErr_Clear();
        }
        drop_ref(result);
        compat::restore_exception(pending);
    }
}

/// Runs the action, as the last thread of the round, and then ends the round.
///
/// # Safety
/// As `wait`; the turn is the thread's.
unsafe fn take_turn(slf: *mut PyObject, turn: Turn) -> *mut PyObject {
    // SAFETY: as the caller promises; the action stays alive while it runs, and new references are
    // released.
    unsafe {
        let action = new_ref(this(slf).action);
        let truth = ffi::PyObject_IsTrue(action);
        let done = if truth > 0 {
            let result = call_no_args(action);
            drop_ref(result);
            !result.is_null()
        } else {
            truth == 0
        };
        drop_ref(action);
        let end = if done { of(slf).open(turn) } else { of(slf).spoil(turn) };
        match end {
            TurnEnd::Retired => return end_turn_in_python(slf, turn, done),
            TurnEnd::Over if done => return raise_broken(slf),
            TurnEnd::Over | TurnEnd::InTime => {}
        }
        if done { ffi::PyLong_FromUnsignedLong(turn.number.into()) } else { ptr::null_mut() }
    }
}

/// Ends the turn in Python. The barrier was materialized during the turn, with the lock of its
/// condition held for this thread.
///
/// # Safety
/// As `take_turn`; an exception is set if it is not `done`.
#[cold]
unsafe fn end_turn_in_python(slf: *mut PyObject, turn: Turn, done: bool) -> *mut PyObject {
    // SAFETY: as the caller promises; new references are released.
    unsafe {
        let pending = if done { None } else { Some(compat::take_exception()) };
        let truth = compat::bool_object(done);
        let result = Helper::EndTurn.call(slf, &[slf, truth]);
        drop_ref(truth);
        drop_ref(result);
        match pending {
            Some(pending) => {
                if result.is_null() {
                    ffi::PyErr_Clear();
                }
                compat::restore_exception(pending);
                ptr::null_mut()
            }
            None if result.is_null() => ptr::null_mut(),
            None => ffi::PyLong_FromUnsignedLong(turn.number.into()),
        }
    }
}

/// # Safety
/// Attached; a native object.
#[cold]
unsafe fn raise_broken(slf: *mut PyObject) -> *mut PyObject {
    // SAFETY: as the caller promises.
    unsafe {
        crate::threading::lookups::raise_named(slf, Namespace::Threading, Kind::BrokenBarrierError)
    }
}

unsafe extern "C-unwind" fn reset(slf: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called, attached, with a native BarrierObject.
    let barrier = unsafe { of(slf) };
    // In the Python class the action runs with the lock held, and a reset waits for that lock.
    if !barrier.is_in_turn() && barrier.reset() { compat::none() } else { LEFT_TO_PYTHON }
}

unsafe extern "C-unwind" fn abort(slf: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called, attached, with a native BarrierObject.
    let barrier = unsafe { of(slf) };
    // As in `reset`.
    if !barrier.is_in_turn() && barrier.abort() { compat::none() } else { LEFT_TO_PYTHON }
}

/// Returns this number if the barrier is native, else the attribute.
///
/// # Safety
/// Called by CPython, attached, with a BarrierObject and the name of a property.
unsafe fn number(slf: *mut PyObject, name: *mut c_void, number: u32) -> *mut PyObject {
    // SAFETY: as the caller promises.
    unsafe {
        if !is_native(slf) {
            return materialize::get::<BarrierObject>(slf, name);
        }
        ffi::PyLong_FromUnsignedLong(number.into())
    }
}

/// Whether a value just read from the primitive is still valid: the barrier has not been
/// materialized meanwhile.
unsafe fn is_native(slf: *mut PyObject) -> bool {
    // SAFETY: a native object, as the callers promise.
    unsafe { class::is_of_phase_native(slf) && of(slf).state() != BarrierState::Retired }
}

unsafe extern "C-unwind" fn get_parties(slf: *mut PyObject, name: *mut c_void) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a BarrierObject.
    unsafe { number(slf, name, of(slf).parties()) }
}

unsafe extern "C-unwind" fn get_count(slf: *mut PyObject, name: *mut c_void) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a BarrierObject.
    unsafe { number(slf, name, of(slf).count()) }
}

/// Returns one of two states. The Python class has two more, for a barrier that its threads are
/// about to leave.
unsafe extern "C-unwind" fn get_state(slf: *mut PyObject, name: *mut c_void) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a BarrierObject.
    unsafe {
        if !is_native(slf) {
            return materialize::get::<BarrierObject>(slf, name);
        }
        ffi::PyLong_FromLong(if of(slf).state() == BarrierState::Broken { -2 } else { 0 })
    }
}

unsafe extern "C-unwind" fn get_action(slf: *mut PyObject, name: *mut c_void) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a BarrierObject; it keeps the action.
    unsafe {
        if !is_native(slf) {
            return materialize::get::<BarrierObject>(slf, name);
        }
        new_ref(this(slf).action)
    }
}

unsafe extern "C-unwind" fn get_timeout(slf: *mut PyObject, name: *mut c_void) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a BarrierObject; it keeps the time-out.
    unsafe {
        if !is_native(slf) {
            return materialize::get::<BarrierObject>(slf, name);
        }
        new_ref(this(slf).timeout)
    }
}
