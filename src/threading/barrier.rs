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

use core::ffi::{CStr, c_int};

use crate::capi::entry::{Args, Instance, This, Visitor, entry};
use crate::capi::errors::Raised;
use crate::capi::field::Field;
use crate::capi::object::values::IntValue;
use crate::capi::object::{Answer, Attached, Borrowed, Dict, Owned, OwnedClass, release};
use crate::capi::types::{Call, Getter, Property};
use crate::runtime::blocking::{self, NewWaiter, Signals, Subject};
use crate::runtime::natives::{Helper, Kind, Namespace};
use crate::runtime::state::State;
use crate::sync::{
    Arrival, Awaitable, Barrier, BarrierState, Deadline, Retire, Ticket, Turn, TurnEnd, Verdict,
    WaitKind,
};
use crate::threading::class::{self, Making, NativeClass};
use crate::threading::head::{Head, Headed, NativeObject};
use crate::threading::materialize::{self, CONDITIONS, Counts, Materialize, Retirement, Values};
use crate::threading::method::{LEFT_TO_PYTHON, Native, Outcome, Reply, native, reply};
use crate::threading::ticket::{self, Ended};
use crate::threading::{arguments, condition, lookups};

#[repr(C)]
struct BarrierObject {
    head: Head,
    barrier: Barrier,
    /// Set before the barrier becomes native, and never after that. Only the collector may clear
    /// action and time-out.
    action: Field,
    timeout: Field,
}

// SAFETY: the struct begins with a head. All other bytes zero are a barrier that is not begun, and
// empty fields.
unsafe impl Instance for BarrierObject {}
// SAFETY: as above.
unsafe impl Headed for BarrierObject {}

const METHODS: &[Native] = &[
    native(c"__init__", Call::FastKeywords(class::init_method::<BarrierObject, 3>)),
    native(c"wait", Call::FastKeywords(entry!(fast_keywords, wait: BarrierObject))),
    native(c"reset", Call::NoArgs(entry!(no_args, reset: BarrierObject))),
    native(c"abort", Call::NoArgs(entry!(no_args, abort: BarrierObject))),
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
    private(c"_parties", entry!(named_getter, get_parties: BarrierObject)),
    private(c"_action", entry!(named_getter, get_action: BarrierObject)),
    private(c"_timeout", entry!(named_getter, get_timeout: BarrierObject)),
    private(c"_state", entry!(named_getter, get_state: BarrierObject)),
    private(c"_count", entry!(named_getter, get_count: BarrierObject)),
    materialize::part::<BarrierObject>(c"_cond"),
    materialize::dict_property::<BarrierObject>(),
];

/// An attribute that a native barrier has. Setting it materializes the barrier.
const fn private(name: &'static CStr, get: Getter) -> Property {
    let set = entry!(named_setter, materialize::set::<BarrierObject>: BarrierObject);
    Property { name, get, set: Some(set), doc: None }
}

/// Makes the type.
pub fn make_type(making: &Making<'_>) -> Result<OwnedClass, Raised> {
    class::Class {
        name: c"threading.Barrier",
        short_name: c"Barrier",
        kind: Kind::Barrier,
        base: None,
        methods: METHODS,
        of_objects: None,
        builtin: &[],
        properties: PROPERTIES,
        init: class::init_slot::<BarrierObject, 3>,
        vectorcall: Some(class::vectorcall::<BarrierObject, 3>),
    }
    .make::<BarrierObject>(making)
}

impl Materialize for BarrierObject {
    const STATE: &'static [&'static CStr] = &[c"_state", c"_count"];

    fn parts(py: Attached<'_>, this: This<'_, Self>, state: &State, tickets: Counts) -> Answer {
        let args = recipe_arguments(py, this, tickets[0]);
        materialize::make_parts(py, state, Kind::Barrier, args)
    }

    fn retire(
        py: Attached<'_>,
        this: This<'_, Self>,
        dict: Dict<'_>,
        tickets: [&[Ticket]; CONDITIONS],
        values: &mut Values,
    ) -> Retirement {
        match this.barrier.retire(tickets[0]) {
            Retire::Done { state, used } => {
                let broken = state.state == BarrierState::Broken;
                values[0] = py.signed(if broken { -2 } else { 0 }).ok();
                values[1] = py.unsigned(state.count.into()).ok();
                if state.acting {
                    // SAFETY: this thread has put the condition into the dict. No other thread
                    // replaces it before the change of the object ends.
                    let made = unsafe { dict.peek(c"_cond") };
                    if let Some(made) = made {
                        condition::hold_lock(py, made);
                    }
                }
                Retirement::Done([used, 0, 0])
            }
            Retire::NeedTickets(needed) => Retirement::Need([needed, 0, 0]),
            Retire::Already => Retirement::Done([0; CONDITIONS]),
        }
    }
}

/// The arguments of the function that makes the attributes.
fn recipe_arguments(py: Attached<'_>, this: This<'_, BarrierObject>, tickets: usize) -> Answer {
    let parties = py.unsigned(this.barrier.parties().into())?;
    let Ok(tickets) = py.size(tickets) else {
        parties.release(py);
        return Err(Raised);
    };
    let [action, timeout] = [&this.action, &this.timeout].map(|field| own(py, field.get()));
    let args = py.tuple(&[parties.borrow(), action.borrow(), timeout.borrow(), tickets.borrow()]);
    for part in [parties, action, timeout, tickets] {
        part.release(py);
    }
    args
}

impl NativeClass<3> for BarrierObject {
    type Object = BarrierObject;

    const ARGUMENTS: [&'static CStr; 3] = [c"parties", c"action", c"timeout"];
    const PARTS: &'static [&'static CStr] = PARTS;

    fn begin(
        py: Attached<'_>,
        this: This<'_, BarrierObject>,
        given: [Option<Borrowed<'_>>; 3],
    ) -> Result<bool, Raised> {
        let [parties, action, timeout] = given;
        let Some(parties) = parties.and_then(|parties| ordinary_parties(py, parties)) else {
            return Ok(false);
        };
        if !arguments::is_ordinary_timeout(timeout) || !this.barrier.claim_parties(parties) {
            return Ok(false);
        }
        this.action.fill(py, own(py, action));
        this.timeout.fill(py, own(py, timeout));
        this.barrier.begin();
        Ok(true)
    }
}

/// A new reference to the object, or to `None`.
fn own(py: Attached<'_>, object: Option<Borrowed<'_>>) -> Owned {
    object.map_or_else(|| py.none(), |object| object.own(py))
}

/// The number of parties, if it is an exact int, at least one, and can be counted to.
fn ordinary_parties(py: Attached<'_>, parties: Borrowed<'_>) -> Option<u32> {
    match parties.exact_int(py)? {
        IntValue::Fits(parties) => u32::try_from(parties).ok().filter(|&parties| parties > 0),
        IntValue::TooLarge | IntValue::TooSmall => None,
    }
}

impl NativeObject for BarrierObject {
    fn visit_more(&self, visitor: Visitor<'_>) -> c_int {
        visitor.visit_all(&[self.action.get(), self.timeout.get()])
    }

    fn clear_more(this: This<'_, Self>, py: Attached<'_>) {
        this.action.clear(py);
        this.timeout.clear(py);
    }
}

#[inline]
fn wait(py: Attached<'_>, this: This<'_, BarrierObject>, args: Args<'_>) -> Outcome {
    let Some([seconds]) = arguments::bind(args, [c"timeout"]) else { return LEFT_TO_PYTHON };
    if this.action.get().is_none_or(Borrowed::is_none)
        && let Some(number) = this.barrier.pass()
    {
        return reply(py.unsigned(number.into()));
    }
    let seconds = seconds.filter(|seconds| !seconds.is_none()).or(this.timeout.get());
    if !arguments::is_ordinary_timeout(seconds) {
        return LEFT_TO_PYTHON;
    }
    wait_for_others(py, this, seconds)
}

fn wait_for_others(
    py: Attached<'_>,
    this: This<'_, BarrierObject>,
    seconds: Option<Borrowed<'_>>,
) -> Outcome {
    loop {
        let waiter = NewWaiter::allocate(py)?;
        // SAFETY: the waiter stays in place until it is freed, when it is in no queue.
        let arrival = unsafe { this.barrier.arrive(waiter.get()) };
        if let Arrival::Wait(number) = arrival {
            // SAFETY: the answer means that the waiter is in the queue.
            return reply(unsafe { wait_queued(py, this, waiter, number, seconds) });
        }
        // SAFETY: it was not put into the queue.
        unsafe { waiter.free() };
        match arrival {
            Arrival::Last(turn) => return reply(take_turn(py, this, turn)),
            Arrival::Broken => return Err(raise_broken(py, this)),
            Arrival::Retired => return LEFT_TO_PYTHON,
            Arrival::Later | Arrival::Wait(_) => {
                ticket::wait(py, this.object(), this.barrier.entrance(), WaitKind::Barrier, None)?;
            }
        }
    }
}

/// Waits for the threads of the round that have not arrived yet. The time-out is read here, after
/// the arrival. So the last thread never reads its own, and a thread with an invalid one leaves
/// again.
///
/// # Safety
/// The waiter is in the queue.
unsafe fn wait_queued(
    py: Attached<'_>,
    this: This<'_, BarrierObject>,
    waiter: NewWaiter,
    number: u32,
    seconds: Option<Borrowed<'_>>,
) -> Answer {
    let (slf, barrier) = (this.object(), &this.barrier);
    let timeout = blocking::refuse_at_shutdown(py).and_then(|()| arguments::timeout(py, seconds));
    let deadline = timeout.as_ref().map_or(None, |&timeout| blocking::deadline(timeout));
    let waited = match timeout {
        // SAFETY: the waiter is in the queue, as the caller promises.
        Ok(_) => unsafe {
            let subject = Subject::of(WaitKind::Barrier, slf);
            blocking::wait_queued(py, &waiter, barrier, subject, deadline, Signals::Handle)
        },
        Err(Raised) => {
            // SAFETY: as above.
            unsafe { barrier.abandon(waiter.get()) };
            Err(Raised)
        }
    };
    let verdict = Barrier::verdict(waiter.get());
    let ticket = waiter.get().ticket();
    // SAFETY: after `abandon` or a wait it is in no queue.
    unsafe { waiter.free() };
    let condition = ticket.map(|ticket| ticket::condition_of(py, ticket));
    let ended = ticket::end(py, slf, waited, ticket, deadline);
    let result = match (ended, &condition) {
        (Ok(Ended::Got), _) => {
            ticket::run_pending(py, slf).and_then(|()| py.unsigned(number.into()))
        }
        // A thread that was notified has had a ticket.
        (Ok(Ended::Notified(_)), Some(condition)) => {
            rejoin(py, slf, number, deadline, condition.borrow())
        }
        (Ok(Ended::TimedOut | Ended::SentAway), _) if verdict != Verdict::Passed => {
            ticket::run_pending(py, slf).and_then(|()| Err(raise_broken(py, this)))
        }
        (Ok(_), _) => py.unsigned(number.into()),
        (Err(Raised), Some(condition)) => {
            leave(py, slf, condition.borrow());
            Err(Raised)
        }
        (Err(Raised), None) => Err(Raised),
    };
    release(condition, py);
    result
}

/// Continues the wait at the barrier, which has been materialized.
fn rejoin(
    py: Attached<'_>,
    slf: Borrowed<'_>,
    number: u32,
    deadline: Deadline,
    condition: Borrowed<'_>,
) -> Answer {
    let index = py.unsigned(number.into())?;
    let result = arguments::remaining(py, deadline).and_then(|left| {
        let args = [slf, index.borrow(), left.borrow(), condition];
        let result = Helper::RejoinBarrier.call(py, slf, &args);
        left.release(py);
        result
    });
    index.release(py);
    result
}

/// Takes this thread out of the count of a barrier that has been materialized. An exception is set,
/// before and afterwards.
fn leave(py: Attached<'_>, slf: Borrowed<'_>, condition: Borrowed<'_>) {
    let pending = py.take_exception();
    if let Ok(result) = Helper::LeaveBarrier.call(py, slf, &[slf, condition]) {
        result.release(py);
    }
    // An exception of the call is forgotten.
    pending.restore(py);
}

/// Runs the action, as the last thread of the round, and then ends the round.
fn take_turn(py: Attached<'_>, this: This<'_, BarrierObject>, turn: Turn) -> Answer {
    // The reference keeps the action alive while it runs.
    let action = own(py, this.action.get());
    let done = act(py, action.borrow());
    action.release(py);
    let end = if done.is_ok() { this.barrier.open(turn) } else { this.barrier.spoil(turn) };
    match end {
        TurnEnd::Retired => return end_turn_in_python(py, this.object(), turn, done),
        TurnEnd::Over if done.is_ok() => return Err(raise_broken(py, this)),
        TurnEnd::Over | TurnEnd::InTime => {}
    }
    done.and_then(|()| py.unsigned(turn.number.into()))
}

/// Calls the action if it is a true value.
fn act(py: Attached<'_>, action: Borrowed<'_>) -> Result<(), Raised> {
    if action.truth(py)? {
        action.call(py, &[])?.release(py);
    }
    Ok(())
}

/// Ends the turn in Python. The barrier was materialized during the turn, with the lock of its
/// condition held for this thread. `done` is the result of the action.
#[cold]
fn end_turn_in_python(
    py: Attached<'_>,
    slf: Borrowed<'_>,
    turn: Turn,
    done: Result<(), Raised>,
) -> Answer {
    let pending = done.is_err().then(|| py.take_exception());
    let truth = py.bool(done.is_ok());
    let ended = Helper::EndTurn.call(py, slf, &[slf, truth.borrow()]);
    truth.release(py);
    let ended = ended.map(|result| result.release(py));
    match pending {
        Some(pending) => {
            // An exception of the call is forgotten.
            pending.restore(py);
            Err(Raised)
        }
        None => ended.and_then(|()| py.unsigned(turn.number.into())),
    }
}

#[cold]
fn raise_broken(py: Attached<'_>, this: This<'_, BarrierObject>) -> Raised {
    lookups::raise_named(py, this.object(), Namespace::Threading, Kind::BrokenBarrierError)
}

#[inline]
fn reset(py: Attached<'_>, this: This<'_, BarrierObject>) -> Outcome {
    // In the Python class the action runs with the lock held, and a reset waits for that lock.
    if !this.barrier.is_in_turn() && this.barrier.reset() {
        Reply::none(py)
    } else {
        LEFT_TO_PYTHON
    }
}

#[inline]
fn abort(py: Attached<'_>, this: This<'_, BarrierObject>) -> Outcome {
    // As in `reset`.
    if !this.barrier.is_in_turn() && this.barrier.abort() {
        Reply::none(py)
    } else {
        LEFT_TO_PYTHON
    }
}

/// This number if the barrier is native, else the attribute of this name.
fn number(py: Attached<'_>, this: This<'_, BarrierObject>, name: &CStr, number: u32) -> Answer {
    if !is_native(this) {
        return materialize::get(py, this, name);
    }
    py.unsigned(number.into())
}

/// Whether a value just read from the primitive is still valid: the barrier has not been
/// materialized meanwhile.
fn is_native(this: This<'_, BarrierObject>) -> bool {
    this.head.is_native_phase() && this.barrier.state() != BarrierState::Retired
}

fn get_parties(py: Attached<'_>, this: This<'_, BarrierObject>, name: &CStr) -> Answer {
    number(py, this, name, this.barrier.parties())
}

fn get_count(py: Attached<'_>, this: This<'_, BarrierObject>, name: &CStr) -> Answer {
    number(py, this, name, this.barrier.count())
}

/// Returns one of two states. The Python class has two more, for a barrier that its threads are
/// about to leave.
fn get_state(py: Attached<'_>, this: This<'_, BarrierObject>, name: &CStr) -> Answer {
    if !is_native(this) {
        return materialize::get(py, this, name);
    }
    py.signed(if this.barrier.state() == BarrierState::Broken { -2 } else { 0 })
}

fn get_action(py: Attached<'_>, this: This<'_, BarrierObject>, name: &CStr) -> Answer {
    if !is_native(this) {
        return materialize::get(py, this, name);
    }
    Ok(own(py, this.action.get()))
}

fn get_timeout(py: Attached<'_>, this: This<'_, BarrierObject>, name: &CStr) -> Answer {
    if !is_native(this) {
        return materialize::get(py, this, name);
    }
    Ok(own(py, this.timeout.get()))
}
