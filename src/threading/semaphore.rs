//! `threading.Semaphore` and `threading.BoundedSemaphore`.
//!
//! Both use one struct. A semaphore without a bound has the largest possible bound.

use core::ffi::CStr;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::capi::entry::{Args, Instance, This, entry};
use crate::capi::errors::Raised;
use crate::capi::object::values::IntValue;
use crate::capi::object::{self, Answer, Attached, Borrowed, Dict, Exception, OwnedClass};
use crate::capi::types::{Call, Property};
use crate::runtime::blocking::{self, Timeout};
use crate::runtime::natives::Kind;
use crate::runtime::state::State;
use crate::sync::{Deadline, NotReleased, Retire, Semaphore, Ticket, WaitKind};
use crate::threading::arguments;
use crate::threading::class::{self, Making, NativeClass};
use crate::threading::head::{Head, Headed, NativeObject};
use crate::threading::materialize::{self, CONDITIONS, Counts, Materialize, Retirement, Values};
use crate::threading::method::{LEFT_TO_PYTHON, Native, Outcome, Reply, native, reply};
use crate::threading::ticket::{self, Ended};

#[repr(C)]
struct SemaphoreObject {
    head: Head,
    semaphore: Semaphore,
    /// The largest value that the semaphore may have, or [`UNBOUNDED`].
    bound: AtomicU64,
}

// SAFETY: the struct begins with a head, and all other bytes zero are a semaphore of value zero.
unsafe impl Instance for SemaphoreObject {}
// SAFETY: as above.
unsafe impl Headed for SemaphoreObject {}

/// Larger than any value that a native semaphore has.
const UNBOUNDED: u64 = u64::MAX;

// `__enter__` is `acquire` by another name, as in the Python class.
const METHODS: &[Native] = &[
    native(c"__init__", Call::FastKeywords(class::init_method::<Unbounded, 1>)),
    native(c"acquire", Call::FastKeywords(entry!(fast_keywords, acquire: SemaphoreObject))),
    native(c"release", Call::FastKeywords(entry!(fast_keywords, release: SemaphoreObject))),
    native(c"__exit__", Call::Fast(entry!(fast, exit: SemaphoreObject))),
    native(c"__repr__", class::PYTHON),
];

const PROPERTIES: &[Property] = &[
    Property {
        name: c"_value",
        get: entry!(named_getter, get_value: SemaphoreObject),
        set: Some(entry!(named_setter, set_value: SemaphoreObject)),
        doc: None,
    },
    materialize::part::<SemaphoreObject>(c"_cond"),
    materialize::dict_property::<SemaphoreObject>(),
];

const BOUNDED_METHODS: &[Native] = &[
    native(c"__init__", Call::FastKeywords(class::init_method::<Bounded, 1>)),
    native(c"release", Call::FastKeywords(entry!(fast_keywords, release_bounded: SemaphoreObject))),
    native(c"__repr__", class::PYTHON),
];

const BOUNDED_PROPERTIES: &[Property] = &[
    Property {
        name: c"_initial_value",
        get: entry!(named_getter, get_bound: SemaphoreObject),
        set: Some(entry!(named_setter, materialize::set: SemaphoreObject)),
        doc: None,
    },
    materialize::dict_property::<SemaphoreObject>(),
];

/// Makes the type.
pub fn make_type(making: &Making<'_>) -> Result<OwnedClass, Raised> {
    class::Class {
        name: c"threading.Semaphore",
        short_name: c"Semaphore",
        kind: Kind::Semaphore,
        base: None,
        methods: METHODS,
        of_objects: None,
        builtin: &[],
        properties: PROPERTIES,
        init: class::init_slot::<Unbounded, 1>,
        vectorcall: Some(class::vectorcall::<Unbounded, 1>),
    }
    .make::<SemaphoreObject>(making)
}

/// Makes the type of bounded semaphores. The type of semaphores has been made.
pub fn make_bounded_type(making: &Making<'_>) -> Result<OwnedClass, Raised> {
    let Some(base) = State::of(making.module).natives.class(Kind::Semaphore) else {
        return Err(making.py.raise(Exception::Type, c"BoundedSemaphore needs Semaphore"));
    };
    class::Class {
        name: c"threading.BoundedSemaphore",
        short_name: c"BoundedSemaphore",
        kind: Kind::BoundedSemaphore,
        base: Some(base),
        methods: BOUNDED_METHODS,
        of_objects: None,
        builtin: &[],
        properties: BOUNDED_PROPERTIES,
        init: class::init_slot::<Bounded, 1>,
        vectorcall: Some(class::vectorcall::<Bounded, 1>),
    }
    .make::<SemaphoreObject>(making)
}

impl SemaphoreObject {
    fn bound(&self) -> u64 {
        self.bound.load(Ordering::Relaxed)
    }

    fn set_bound(&self, bound: u64) {
        self.bound.store(bound, Ordering::Relaxed);
    }
}

impl Materialize for SemaphoreObject {
    const STATE: &'static [&'static CStr] = &[c"_value"];

    fn parts(py: Attached<'_>, this: This<'_, Self>, state: &State, tickets: Counts) -> Answer {
        let tickets = tickets[0] as i64;
        let (kind, args) = match this.bound() {
            UNBOUNDED => (Kind::Semaphore, py.numbers(&[0, tickets])),
            // A bound is at most `Semaphore::MAX`.
            bound => (Kind::BoundedSemaphore, py.numbers(&[0, bound as i64, tickets])),
        };
        materialize::make_parts(py, state, kind, args)
    }

    fn retire(
        py: Attached<'_>,
        this: This<'_, Self>,
        _: Dict<'_>,
        tickets: [&[Ticket]; CONDITIONS],
        values: &mut Values,
    ) -> Retirement {
        match this.semaphore.retire(tickets[0]) {
            Retire::Done { state, used } => {
                values[0] = py.unsigned(state).ok();
                Retirement::Done([used, 0, 0])
            }
            Retire::NeedTickets(needed) => Retirement::Need([needed, 0, 0]),
            Retire::Already => Retirement::Done([0; CONDITIONS]),
        }
    }
}

const _: () = assert!(Semaphore::MAX <= i64::MAX as u64);

/// The two classes, which differ in their `__init__`.
struct Unbounded;
struct Bounded;

/// Begins a semaphore with this value, or with one if that was not given. Returns false if the
/// Python class has to do it.
fn begin(
    py: Attached<'_>,
    this: This<'_, SemaphoreObject>,
    given: Option<Borrowed<'_>>,
    is_bounded: bool,
) -> bool {
    let value = match given {
        Some(given) => countable(py, given),
        None => Some(1),
    };
    let Some(value) = value.filter(|&value| this.semaphore.set_value(value)) else {
        return false;
    };
    this.set_bound(if is_bounded { value } else { UNBOUNDED });
    true
}

macro_rules! semaphore_class {
    ($name:ident, $is_bounded:literal, $parts:expr) => {
        impl NativeClass<1> for $name {
            type Object = SemaphoreObject;

            const ARGUMENTS: [&'static CStr; 1] = [c"value"];
            const PARTS: &'static [&'static CStr] = $parts;

            fn begin(
                py: Attached<'_>,
                this: This<'_, SemaphoreObject>,
                [value]: [Option<Borrowed<'_>>; 1],
            ) -> Result<bool, Raised> {
                Ok(begin(py, this, value, $is_bounded))
            }
        }
    };
}

semaphore_class!(Unbounded, false, &[c"_cond", c"_value"]);
semaphore_class!(Bounded, true, &[c"_cond", c"_value", c"_initial_value"]);

/// Returns the value of a number that is an exact int, and that a native semaphore can count to.
fn countable(py: Attached<'_>, number: Borrowed<'_>) -> Option<u64> {
    match number.exact_int(py)? {
        IntValue::Fits(number) => {
            u64::try_from(number).ok().filter(|&number| number <= Semaphore::MAX)
        }
        IntValue::TooLarge | IntValue::TooSmall => None,
    }
}

impl NativeObject for SemaphoreObject {}

#[inline]
fn acquire(py: Attached<'_>, this: This<'_, SemaphoreObject>, args: Args<'_>) -> Outcome {
    py.run_pending_at_entry()?;
    if args.are_none() && this.semaphore.try_acquire() {
        return Reply::bool(py, true);
    }
    args.out_of_line(move |args| acquire_with(py, this, args))
}

fn acquire_with(py: Attached<'_>, this: This<'_, SemaphoreObject>, args: Args<'_>) -> Outcome {
    let bound = arguments::bind(args, [c"blocking", c"timeout"]);
    let Some([blocking, seconds]) = bound else { return LEFT_TO_PYTHON };
    let blocking = match blocking {
        Some(blocking) => blocking.truth(py)?,
        None => true,
    };
    let unlimited = seconds.is_none_or(Borrowed::is_none);
    if !blocking && !unlimited {
        return LEFT_TO_PYTHON;
    }
    if this.semaphore.try_acquire() {
        return Reply::bool(py, true);
    }
    if py.is_ending() && this.semaphore.take_back() > 0 && this.semaphore.try_acquire() {
        // The permit had been granted to a thread that may never attach again. If that thread
        // attaches all the same, it waits again.
        return Reply::bool(py, true);
    }
    if this.semaphore.value().is_none() {
        return LEFT_TO_PYTHON;
    }
    if !blocking {
        return Reply::bool(py, false);
    }
    if !unlimited && !arguments::is_ordinary_timeout(seconds) {
        return LEFT_TO_PYTHON;
    }
    reply(wait(py, this, seconds))
}

#[cold]
fn wait(
    py: Attached<'_>,
    this: This<'_, SemaphoreObject>,
    seconds: Option<Borrowed<'_>>,
) -> Answer {
    let slf = this.object();
    slf.note_use(py);
    let deadline = match arguments::timeout(py, seconds)? {
        Timeout::Zero => return Ok(py.bool(false)),
        timeout => blocking::deadline(timeout),
    };
    match ticket::wait(py, slf, &this.semaphore, WaitKind::Semaphore, deadline)? {
        Ended::Got => match ticket::run_pending(py, slf) {
            Ok(()) => Ok(py.bool(true)),
            Err(Raised) => {
                give_back(py, this);
                Err(Raised)
            }
        },
        Ended::TimedOut => {
            ticket::run_pending(py, slf)?;
            Ok(py.bool(false))
        }
        // The Python function would look at the value now, and wait again if it is zero.
        Ended::Notified(_) | Ended::SentAway => acquire_in_python(py, slf, deadline),
    }
}

fn acquire_in_python(py: Attached<'_>, slf: Borrowed<'_>, deadline: Deadline) -> Answer {
    let left = arguments::remaining(py, deadline)?;
    let blocking = py.bool(true);
    let result = slf.call_method_named(py, c"acquire", &[blocking.borrow(), left.borrow()]);
    blocking.release(py);
    left.release(py);
    result
}

/// Gives back a permit, because an exception ends the acquire that has got it. The exception stays
/// set.
fn give_back(py: Attached<'_>, this: This<'_, SemaphoreObject>) {
    if this.semaphore.release(1, UNBOUNDED).is_ok() {
        return;
    }
    // The semaphore has been materialized meanwhile.
    let pending = py.take_exception();
    let released = this.object().call_method_named(py, c"release", &[]);
    object::release(released.ok(), py);
    pending.restore(py);
}

/// Reads how many permits a release gives back. `None` if the Python function has to read it. A
/// number that is too large for a machine word becomes the largest one.
#[inline]
fn released(py: Attached<'_>, args: Args<'_>) -> Option<u64> {
    if args.are_none() {
        return Some(1);
    }
    let [count] = arguments::bind(args, [c"n"])?;
    match count?.exact_int(py)? {
        IntValue::Fits(count) => u64::try_from(count).ok().filter(|&count| count > 0),
        IntValue::TooLarge => Some(u64::MAX),
        IntValue::TooSmall => None,
    }
}

#[inline]
fn release(py: Attached<'_>, this: This<'_, SemaphoreObject>, args: Args<'_>) -> Outcome {
    match released(py, args) {
        Some(count) => give(py, this, count),
        None => LEFT_TO_PYTHON,
    }
}

#[inline]
fn release_bounded(py: Attached<'_>, this: This<'_, SemaphoreObject>, args: Args<'_>) -> Outcome {
    match released(py, args) {
        Some(count) => give_bounded(py, this, count),
        None => LEFT_TO_PYTHON,
    }
}

/// Gives so many permits back.
#[inline]
fn give(py: Attached<'_>, this: This<'_, SemaphoreObject>, count: u64) -> Outcome {
    // A value that is too large for a native semaphore is left to Python's ints.
    let given = this.semaphore.release(count, UNBOUNDED).is_ok();
    if given { Reply::none(py) } else { LEFT_TO_PYTHON }
}

/// [`give`] for a bounded semaphore.
#[inline]
fn give_bounded(py: Attached<'_>, this: This<'_, SemaphoreObject>, count: u64) -> Outcome {
    let bound = this.bound();
    match this.semaphore.release(count, bound) {
        Ok(()) => Reply::none(py),
        Err(NotReleased::TooMany) if bound != UNBOUNDED => {
            Err(py.raise(Exception::Value, c"Semaphore released too many times"))
        }
        Err(_) => LEFT_TO_PYTHON,
    }
}

#[inline]
fn exit(py: Attached<'_>, this: This<'_, SemaphoreObject>, args: Args<'_>) -> Outcome {
    // A derived class may have a release() of its own.
    if args.positional().len() != 3 || this.head.replaces_called() {
        return LEFT_TO_PYTHON;
    }
    if this.bound() == UNBOUNDED { give(py, this, 1) } else { give_bounded(py, this, 1) }
}

fn get_value(py: Attached<'_>, this: This<'_, SemaphoreObject>, name: &CStr) -> Answer {
    match this.semaphore.value() {
        Some(value) if this.head.is_native_phase() => py.unsigned(value),
        _ => materialize::get(py, this, name),
    }
}

fn set_value(
    py: Attached<'_>,
    this: This<'_, SemaphoreObject>,
    value: Option<Borrowed<'_>>,
    name: &CStr,
) -> Result<(), Raised> {
    let done = this.head.is_native_phase()
        && value
            .and_then(|value| countable(py, value))
            .is_some_and(|value| this.semaphore.set_value(value));
    if done { Ok(()) } else { materialize::set(py, this, value, name) }
}

fn get_bound(py: Attached<'_>, this: This<'_, SemaphoreObject>, name: &CStr) -> Answer {
    match this.bound() {
        bound if bound != UNBOUNDED && this.head.is_native_phase() => py.unsigned(bound),
        _ => materialize::get(py, this, name),
    }
}
