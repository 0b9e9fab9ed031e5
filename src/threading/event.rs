//! `threading.Event`.

use core::ffi::CStr;
use core::ptr;

use crate::capi::entry::{Args, Instance, This, entry};
use crate::capi::errors::Raised;
use crate::capi::object::{Answer, Attached, Borrowed, Dict, OwnedClass};
use crate::capi::types::{Call, Property};
use crate::runtime::blocking::{self, Timeout};
use crate::runtime::natives::Kind;
use crate::runtime::state::State;
use crate::sync::{Deadline, Event, Retire, Ticket, WaitKind};
use crate::thread_module::start;
use crate::threading::arguments;
use crate::threading::class::{self, Making, NativeClass};
use crate::threading::head::{Head, Headed, NativeObject};
use crate::threading::materialize::{self, Counts, Materialize, Retirement, Values};
use crate::threading::method::{LEFT_TO_PYTHON, Native, Outcome, Reply, native, reply};
use crate::threading::ticket::{self, Ended};

#[repr(C)]
struct EventObject {
    head: Head,
    event: Event,
}

// SAFETY: the struct begins with a head, and all other bytes zero are an event that is not set.
unsafe impl Instance for EventObject {}
// SAFETY: as above.
unsafe impl Headed for EventObject {}

const METHODS: &[Native] = &[
    native(c"__init__", Call::FastKeywords(class::init_method::<EventObject, 0>)),
    native(c"is_set", Call::NoArgs(entry!(no_args, is_set: EventObject))),
    native(c"isSet", class::PYTHON),
    native(c"set", Call::NoArgs(entry!(no_args, set: EventObject))),
    native(c"clear", Call::NoArgs(entry!(no_args, clear: EventObject))),
    native(c"wait", Call::FastKeywords(entry!(fast_keywords, wait: EventObject))),
    native(c"_at_fork_reinit", Call::NoArgs(entry!(no_args, at_fork_reinit: EventObject))),
    native(c"__repr__", class::PYTHON),
];

const PROPERTIES: &[Property] = &[
    Property {
        name: c"_flag",
        get: entry!(named_getter, get_flag: EventObject),
        set: Some(entry!(named_setter, set_flag: EventObject)),
        doc: None,
    },
    materialize::part::<EventObject>(c"_cond"),
    materialize::dict_property::<EventObject>(),
];

/// Makes the type.
pub fn make_type(making: &Making<'_>) -> Result<OwnedClass, Raised> {
    class::Class {
        name: c"threading.Event",
        short_name: c"Event",
        kind: Kind::Event,
        base: None,
        methods: METHODS,
        of_objects: None,
        builtin: &[],
        properties: PROPERTIES,
        init: class::init_slot::<EventObject, 0>,
        vectorcall: Some(class::vectorcall::<EventObject, 0>),
    }
    .make::<EventObject>(making)
}

impl Materialize for EventObject {
    const STATE: &'static [&'static CStr] = &[c"_flag"];

    fn parts(py: Attached<'_>, _: This<'_, Self>, state: &State, tickets: Counts) -> Answer {
        materialize::make_parts(py, state, Kind::Event, py.numbers(&[tickets[0] as i64]))
    }

    fn retire(
        py: Attached<'_>,
        this: This<'_, Self>,
        _: Dict<'_>,
        tickets: [&[Ticket]; materialize::CONDITIONS],
        values: &mut Values,
    ) -> Retirement {
        match this.event.retire(tickets[0]) {
            Retire::Done { state, used } => {
                values[0] = Some(py.bool(state));
                Retirement::Done([used, 0, 0])
            }
            Retire::NeedTickets(needed) => Retirement::Need([needed, 0, 0]),
            Retire::Already => Retirement::Done([0; materialize::CONDITIONS]),
        }
    }
}

impl NativeClass<0> for EventObject {
    type Object = EventObject;

    const ARGUMENTS: [&'static CStr; 0] = [];
    const PARTS: &'static [&'static CStr] = &[c"_cond", c"_flag"];

    fn begin(
        _: Attached<'_>,
        this: This<'_, EventObject>,
        _: [Option<Borrowed<'_>>; 0],
    ) -> Result<bool, Raised> {
        // All zero bytes are an event that is not set. An event that was retired stays retired.
        Ok(this.event.state().is_some())
    }
}

impl NativeObject for EventObject {}

#[inline]
fn is_set(py: Attached<'_>, this: This<'_, EventObject>) -> Outcome {
    match this.event.state() {
        Some(set) => Reply::bool(py, set),
        None => LEFT_TO_PYTHON,
    }
}

#[inline]
fn set(py: Attached<'_>, this: This<'_, EventObject>) -> Outcome {
    if this.event.set() { Reply::none(py) } else { LEFT_TO_PYTHON }
}

#[inline]
fn clear(py: Attached<'_>, this: This<'_, EventObject>) -> Outcome {
    if this.event.clear() { Reply::none(py) } else { LEFT_TO_PYTHON }
}

#[inline]
fn wait(py: Attached<'_>, this: This<'_, EventObject>, args: Args<'_>) -> Outcome {
    let Some([seconds]) = arguments::bind(args, [c"timeout"]) else { return LEFT_TO_PYTHON };
    match this.event.state() {
        Some(true) => reply(is_set_for(py, this.object())),
        Some(false) => reply(wait_for(py, this, seconds)),
        None => LEFT_TO_PYTHON,
    }
}

#[cold]
fn wait_for(
    py: Attached<'_>,
    this: This<'_, EventObject>,
    seconds: Option<Borrowed<'_>>,
) -> Answer {
    let slf = this.object();
    slf.note_use(py);
    let deadline = match arguments::timeout(py, seconds)? {
        Timeout::Zero => return Ok(py.bool(false)),
        timeout => blocking::deadline(timeout),
    };
    match ticket::wait(py, slf, &this.event, WaitKind::Event, deadline) {
        Ok(Ended::Notified(notified)) => Ok(py.bool(notified)),
        Ok(Ended::SentAway) => wait_again(py, slf, deadline),
        Ok(ended) => match ticket::run_pending(py, slf) {
            Ok(()) if ended == Ended::Got => is_set_for(py, slf),
            Ok(()) => Ok(py.bool(false)),
            Err(Raised) => Err(start_is_interrupted(py, slf)),
        },
        Err(Raised) => Err(start_is_interrupted(py, slf)),
    }
}

/// Ends a wait for an event that is set. A thread that could not start sets its event, too, so the
/// failure is raised here.
#[inline]
fn is_set_for(py: Attached<'_>, slf: Borrowed<'_>) -> Answer {
    start::check_started(py, slf)?;
    Ok(py.bool(true))
}

/// Ends a wait that has raised an exception, which stays set. If a thread could not start, its
/// starter learns of that here or never.
fn start_is_interrupted(py: Attached<'_>, slf: Borrowed<'_>) -> Raised {
    let _ = start::check_started(py, slf);
    Raised
}

/// Waits in Python, because the event was materialized before the wait began.
fn wait_again(py: Attached<'_>, slf: Borrowed<'_>, deadline: Deadline) -> Answer {
    let left = arguments::remaining(py, deadline)?;
    let result = slf.call_method_named(py, c"wait", &[left.borrow()]);
    left.release(py);
    result
}

/// For the child of a fork: removes all waiters. The flag stays.
fn at_fork_reinit(py: Attached<'_>, this: This<'_, EventObject>) -> Outcome {
    let event = &this.event;
    let Some(set) = event.state() else { return LEFT_TO_PYTHON };
    // SAFETY: the process has one thread. Every byte of an event may change behind a shared
    // reference.
    unsafe { ptr::from_ref(event).cast_mut().write(Event::new()) };
    if set {
        let _ = event.set();
    }
    Reply::none(py)
}

fn get_flag(py: Attached<'_>, this: This<'_, EventObject>, name: &CStr) -> Answer {
    match this.event.state() {
        Some(set) if this.head.is_native_phase() => Ok(py.bool(set)),
        _ => materialize::get(py, this, name),
    }
}

fn set_flag(
    py: Attached<'_>,
    this: This<'_, EventObject>,
    value: Option<Borrowed<'_>>,
    name: &CStr,
) -> Result<(), Raised> {
    // Setting the attribute changes only the flag. Waiters go on waiting.
    let done = this.head.is_native_phase()
        && value.is_some_and(|value| {
            (value.is_true() && this.event.mark()) || (value.is_false() && this.event.clear())
        });
    if done { Ok(()) } else { materialize::set(py, this, value, name) }
}

/// Returns the primitive of an event if the event is native. The state is that of this
/// interpreter's module.
pub fn event_inside<'a>(_: Attached<'_>, state: &State, object: Borrowed<'a>) -> Option<&'a Event> {
    if state.natives.class(Kind::Event) != Some(object.class()) {
        return None;
    }
    // SAFETY: the class says that it is an EventObject.
    let event = unsafe { This::<EventObject>::assume(object.as_ptr()) }.get();
    event.head.is_native_phase().then_some(&event.event)
}
