//! `queue.Queue` and `queue.LifoQueue`, and the code that `queue.PriorityQueue` shares with them.

pub mod errors;
pub mod heap;
pub mod items;
pub mod priority;
pub mod priority_ends;
pub mod put_get;
pub mod python_side;
pub mod simple_queue;

use core::cell::Cell;
use core::ffi::{CStr, c_int};
use core::sync::atomic::{Ordering, fence};

use crate::capi::collected::Collected;
use crate::capi::entry::{Args, Instance, This, Visitor, entry};
use crate::capi::errors::Raised;
use crate::capi::object::{Answer, Attached, Borrowed, Exception, Owned, OwnedClass};
use crate::capi::types::{Call, Property};
use crate::runtime::natives::{Kind, gone};
use crate::runtime::state::State;
use crate::sync::{Channel, Join, NotDone, Taken, WaitKind};
use crate::threading::class::{self, Making, NativeClass};
use crate::threading::head::{self, Head, Headed, NativeObject};
use crate::threading::method::{LEFT_TO_PYTHON, Native, Outcome, Reply, native, optional, reply};
use crate::threading::ticket::{self, Ended};
use crate::threading::{arguments, materialize};

use items::object_of;

pub use errors::{raise, raise_or_leave};
pub use python_side::{call_python, put_back};

/// All zero bytes are an empty queue without a limit that is yet to be initialised.
#[repr(C)]
pub struct QueueObject {
    pub head: Head,
    pub channel: Channel,
    /// The kind of its class, or of the native class that this is derived from. Written before the
    /// object becomes native.
    kind: Cell<Kind>,
    /// Lives as long as the class. Written before the object becomes native.
    state: Cell<*const State>,
}

// SAFETY: the struct begins with a head, and all other bytes zero are an empty queue.
unsafe impl Instance for QueueObject {}
// SAFETY: as above.
unsafe impl Headed for QueueObject {}

const METHODS: &[Native] = &[
    native(c"__init__", Call::FastKeywords(class::init_method::<QueueObject, 1>)),
    native(c"put", Call::FastKeywords(entry!(fast_keywords, put_get::put: QueueObject))),
    native(c"get", Call::FastKeywords(entry!(fast_keywords, put_get::get: QueueObject))),
    native(
        c"put_nowait",
        Call::FastKeywords(entry!(fast_keywords, put_get::put_nowait: QueueObject)),
    ),
    native(c"get_nowait", Call::NoArgs(entry!(no_args, put_get::get_nowait: QueueObject))),
    native(c"qsize", Call::NoArgs(entry!(no_args, qsize: QueueObject))),
    native(c"empty", Call::NoArgs(entry!(no_args, empty: QueueObject))),
    native(c"full", Call::NoArgs(entry!(no_args, full: QueueObject))),
    native(c"task_done", Call::NoArgs(entry!(no_args, task_done: QueueObject))),
    native(c"join", Call::FastKeywords(entry!(fast_keywords, join: QueueObject))),
    optional(c"shutdown", Call::FastKeywords(entry!(fast_keywords, shutdown: QueueObject))),
];

const PROPERTIES: &[Property] = &[
    Property {
        name: c"maxsize",
        get: entry!(named_getter, get_maxsize: QueueObject),
        set: Some(entry!(named_setter, set_maxsize: QueueObject)),
        doc: None,
    },
    Property {
        name: c"unfinished_tasks",
        get: entry!(named_getter, get_unfinished: QueueObject),
        set: Some(entry!(named_setter, materialize::set::<QueueObject>: QueueObject)),
        doc: None,
    },
    Property {
        name: c"is_shutdown",
        get: entry!(named_getter, get_is_shutdown: QueueObject),
        set: Some(entry!(named_setter, materialize::set::<QueueObject>: QueueObject)),
        doc: None,
    },
    materialize::part::<QueueObject>(c"queue"),
    materialize::part::<QueueObject>(c"mutex"),
    materialize::part::<QueueObject>(c"not_empty"),
    materialize::part::<QueueObject>(c"not_full"),
    materialize::part::<QueueObject>(c"all_tasks_done"),
    materialize::dict_property::<QueueObject>(),
];

/// Makes the type of queues.
pub fn make_type(making: &Making<'_>) -> Result<OwnedClass, Raised> {
    class::Class {
        name: c"queue.Queue",
        short_name: c"Queue",
        kind: Kind::Queue,
        base: None,
        methods: METHODS,
        of_objects: None,
        builtin: &[],
        properties: PROPERTIES,
        init: class::init_slot::<QueueObject, 1>,
        vectorcall: Some(class::vectorcall::<QueueObject, 1>),
    }
    .make::<QueueObject>(making)
}

/// Makes the type of stacks, after that of queues.
pub fn make_lifo_type(making: &Making<'_>) -> Result<OwnedClass, Raised> {
    derived::<QueueObject>(c"queue.LifoQueue", c"LifoQueue", Kind::LifoQueue, making)
}

/// Makes the type of priority queues, after that of queues.
pub fn make_priority_type(making: &Making<'_>) -> Result<OwnedClass, Raised> {
    let (name, short_name) = (c"queue.PriorityQueue", c"PriorityQueue");
    derived::<priority::PriorityObject>(name, short_name, Kind::PriorityQueue, making)
}

/// Makes a class that differs from `Queue` only in the kind and the layout of its objects. `T`
/// begins with a QueueObject.
fn derived<T: Collected + Headed>(
    name: &'static CStr,
    short_name: &'static CStr,
    kind: Kind,
    making: &Making<'_>,
) -> Result<OwnedClass, Raised> {
    class::Class {
        name,
        short_name,
        kind,
        base: State::of(making.module).natives.class(Kind::Queue),
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

impl QueueObject {
    /// The kind of its class, or of the native class that this is derived from. Of a queue that is
    /// native, or was when the call began.
    #[inline]
    pub fn kind(&self) -> Kind {
        self.kind.get()
    }
}

/// The state of the module.
pub fn state<'a>(py: Attached<'_>, this: This<'a, QueueObject>) -> Result<&'a State, Raised> {
    // SAFETY: null, or the state of the module that the object's class keeps alive.
    match unsafe { this.state.get().as_ref() } {
        Some(state) => Ok(state),
        None => State::of_object(py, this.object()),
    }
}

impl NativeClass<1> for QueueObject {
    type Object = QueueObject;

    const ARGUMENTS: [&'static CStr; 1] = [c"maxsize"];
    const PARTS: &'static [&'static CStr] =
        &[c"queue", c"mutex", c"not_empty", c"not_full", c"all_tasks_done", c"maxsize"];

    fn begin(
        py: Attached<'_>,
        this: This<'_, QueueObject>,
        [limit]: [Option<Borrowed<'_>>; 1],
    ) -> Result<bool, Raised> {
        let limit = limit.map_or(Some(0), |limit| limit.exact_word(py));
        let class = this.object().class();
        let state = State::of_class(py, class)?;
        let Some(limit) = limit else { return Ok(false) };
        if this.channel.is_retired() {
            return Ok(false);
        }
        let Some(kind) = head::kind_of(class, state) else { return Ok(false) };
        this.kind.set(kind);
        this.state.set(state);
        if kind == Kind::LifoQueue {
            this.channel.reverse();
        }
        Ok(this.channel.set_limit(limit))
    }
}

impl NativeObject for QueueObject {
    fn visit_more(&self, visitor: Visitor<'_>) -> c_int {
        items::visit(&self.channel, visitor)
    }

    fn clear_more(this: This<'_, Self>, py: Attached<'_>) {
        items::drop_all(py, this.channel.take_all());
    }
}

/// Takes back an item for a get that has found none. The item had been given to a thread that has
/// not claimed it, and may never do so because the interpreter ends. If that thread claims it all
/// the same, it waits again.
pub fn try_once_more(py: Attached<'_>, channel: &Channel) -> Option<Owned> {
    if !py.is_ending() || channel.take_back() == 0 {
        return None;
    }
    match items::try_get(py, channel) {
        Taken::Item(item) => Some(object_of(item)),
        _ => None,
    }
}

/// Returns a value that was read from a native queue; `None` if the queue is not native any more.
#[inline]
fn if_native<T>(this: This<'_, QueueObject>, read: T) -> Option<T> {
    // The flag is stored before the items are taken out. Here it is read after they were counted.
    fence(Ordering::Acquire);
    (!this.channel.is_retired()).then_some(read)
}

#[inline]
fn qsize(py: Attached<'_>, this: This<'_, QueueObject>) -> Outcome {
    let mut length = this.channel.len();
    if length == 0 && this.channel.has_granted() && py.is_ending() {
        // As in `try_once_more`.
        this.channel.take_back();
        length = this.channel.len();
    }
    match if_native(this, length) {
        Some(length) => reply(py.size(length)),
        None => LEFT_TO_PYTHON,
    }
}

#[inline]
fn empty(py: Attached<'_>, this: This<'_, QueueObject>) -> Outcome {
    match if_native(this, this.channel.is_empty()) {
        Some(is_empty) => Reply::bool(py, is_empty),
        None => LEFT_TO_PYTHON,
    }
}

#[inline]
fn full(py: Attached<'_>, this: This<'_, QueueObject>) -> Outcome {
    let limit = this.channel.limit();
    match if_native(this, limit > 0 && this.channel.len() >= limit.unsigned_abs()) {
        Some(is_full) => Reply::bool(py, is_full),
        None => LEFT_TO_PYTHON,
    }
}

#[inline]
fn task_done(py: Attached<'_>, this: This<'_, QueueObject>) -> Outcome {
    match this.channel.task_done() {
        Ok(()) => Reply::none(py),
        Err(NotDone::TooMany) => {
            Err(py.raise(Exception::Value, c"task_done() called too many times"))
        }
        Err(NotDone::Retired) => LEFT_TO_PYTHON,
    }
}

/// `join`, also with a time-out, which the interpreter's classes do not have. Then it returns
/// whether all tasks were done by the end of the time.
fn join(py: Attached<'_>, this: This<'_, QueueObject>, args: Args<'_>) -> Outcome {
    let Some([seconds]) = arguments::bind(args, [c"timeout"]) else {
        return LEFT_TO_PYTHON;
    };
    let is_limited = seconds.is_some_and(|seconds| !seconds.is_none());
    let Some(blocking) = put_get::blocking(py, None, seconds)? else { return LEFT_TO_PYTHON };
    let result = |is_done| if is_limited { Reply::bool(py, is_done) } else { Reply::none(py) };
    match if_native(this, this.channel.unfinished()) {
        Some(0) => return result(true),
        Some(_) => {}
        None => return LEFT_TO_PYTHON,
    }
    let Some(deadline) = put_get::deadline_of(py, blocking)? else { return result(false) };
    match ticket::wait(py, this.object(), &Join::new(&this.channel), WaitKind::QueueJoin, deadline)?
    {
        ended @ (Ended::Got | Ended::TimedOut) => {
            ticket::run_pending(py, this.object())?;
            result(ended == Ended::Got)
        }
        Ended::Notified(_) | Ended::SentAway => {
            let left = arguments::remaining(py, deadline)?;
            let result = call_python(py, this, c"join", &[left.borrow()]);
            left.release(py);
            reply(result)
        }
    }
}

fn shutdown(py: Attached<'_>, this: This<'_, QueueObject>, args: Args<'_>) -> Outcome {
    let Some([immediate]) = arguments::bind(args, [c"immediate"]) else {
        return LEFT_TO_PYTHON;
    };
    let discard = immediate.map_or(Ok(false), |immediate| immediate.truth(py))?;
    let items = match priority::of(this) {
        Some(this) => priority::shut_down(py, this, discard)?,
        None => this.channel.shut_down(discard),
    };
    let Some(items) = items else { return LEFT_TO_PYTHON };
    items::drop_all(py, items);
    Reply::none(py)
}

/// Reads an attribute from the channel of a native queue. `None` if the object is not native.
fn read<T>(this: This<'_, QueueObject>, read: impl FnOnce(&Channel) -> T) -> Option<T> {
    if !this.head.is_native_phase() {
        return None;
    }
    if_native(this, read(&this.channel))
}

fn get_maxsize(py: Attached<'_>, this: This<'_, QueueObject>, name: &CStr) -> Answer {
    match read(this, Channel::limit) {
        Some(limit) => py.signed(limit as i64),
        None => materialize::get::<QueueObject>(py, this, name),
    }
}

fn set_maxsize(
    py: Attached<'_>,
    this: This<'_, QueueObject>,
    value: Option<Borrowed<'_>>,
    name: &CStr,
) -> Result<(), Raised> {
    // In the Python class a thread that waits to put compares with the new limit, even if that
    // means no limit. So native code serves such a limit only while no thread waits to put.
    let fits = |limit| limit > 0 || !this.channel.has_putters();
    let is_native = this.head.is_native_phase();
    match value.and_then(|value| value.exact_word(py)) {
        Some(limit) if is_native && fits(limit) && this.channel.set_limit(limit) => {
            if let Some(this) = priority::of(this) {
                priority::wake_all(this);
            }
            Ok(())
        }
        _ => materialize::set::<QueueObject>(py, this, value, name),
    }
}

fn get_unfinished(py: Attached<'_>, this: This<'_, QueueObject>, name: &CStr) -> Answer {
    match read(this, Channel::unfinished) {
        Some(unfinished) => py.unsigned(unfinished),
        None => materialize::get::<QueueObject>(py, this, name),
    }
}

fn get_is_shutdown(py: Attached<'_>, this: This<'_, QueueObject>, name: &CStr) -> Answer {
    if let Some(is_shut_down) = read(this, Channel::is_shut_down) {
        return Ok(py.bool(is_shut_down));
    }
    match materialize::get::<QueueObject>(py, this, name) {
        Err(Raised) if py.has_raised(Exception::Attribute) => {
            of_the_python_class(py, this, c"is_shutdown")
        }
        own => own,
    }
}

/// Replaces an AttributeError by the attribute of the Python class that has this name. The error
/// stays set if there is no such attribute.
#[cold]
fn of_the_python_class(py: Attached<'_>, this: This<'_, QueueObject>, name: &CStr) -> Answer {
    let pending = py.take_exception();
    let found = State::of_object(py, this.object()).and_then(|state| {
        state.natives.python(Kind::Queue).ok_or_else(|| gone(py))?.attribute_named(py, name)
    });
    match found {
        Ok(_) => pending.forget(py),
        Err(Raised) => pending.restore(py),
    }
    found
}
