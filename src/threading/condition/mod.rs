//! `threading.Condition`.
//!
//! A condition is native if its lock is one of rthread's own. With any other lock it stays in phase
//! `Python`: then the Python class does everything, with whatever methods the lock has.

use core::cell::Cell;
use core::ffi::{CStr, c_int};
use core::ptr;

use crate::capi::compat;
use crate::capi::entry::{Args, Instance, New, This, Visitor, entry};
use crate::capi::errors::Raised;
use crate::capi::field::Field;
use crate::capi::object::{Answer, Attached, Borrowed, Dict, Exception, OwnedClass};
use crate::capi::types::{Call, Doc, Function, Property};
use crate::runtime::natives::{Kind, gone};
use crate::runtime::state::State;
use crate::sync::{Condition, Retire, Ticket};
use crate::thread_module::lock;
use crate::thread_module::rlock::{self, RLockObject};
use crate::threading::class::{self, Making, NativeClass};
use crate::threading::condition::waiting::{notify, wait, wait_for};
use crate::threading::head::{Head, Headed, NativeObject};
use crate::threading::materialize::{self, Counts, Materialize, Retirement, Values};
use crate::threading::method::{LEFT_TO_PYTHON, Native, OfObjects, Outcome, Reply, native, reply};

mod cond_lock;
mod waiting;

pub use crate::threading::condition::cond_lock::CondLock;

#[repr(C)]
struct ConditionObject {
    head: Head,
    condition: Condition,
    /// The lock, one of rthread's own. Empty if the object has never been native.
    lock: Field,
    /// The kind of the lock. Written before the object becomes native.
    over: Cell<Over>,
}

// SAFETY: the first field begins with the header. All zero bytes are a condition without waiters,
// no lock, and the kind `Lock`.
unsafe impl Instance for ConditionObject {}
// SAFETY: the first field is a Head.
unsafe impl Headed for ConditionObject {}

/// The kind of a native condition's lock.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Over {
    Lock = 0,
    RLock = 1,
}

const METHODS: &[Native] = &[
    native(c"__init__", Call::FastKeywords(class::init_method::<ConditionObject, 1>)),
    native(c"__enter__", Call::NoArgs(entry!(no_args, enter: ConditionObject))),
    native(c"__exit__", Call::Fast(entry!(fast, exit: ConditionObject))),
    native(c"wait", Call::FastKeywords(entry!(fast_keywords, wait: ConditionObject))),
    native(c"wait_for", Call::FastKeywords(entry!(fast_keywords, wait_for: ConditionObject))),
    native(c"notify", Call::FastKeywords(entry!(fast_keywords, notify: ConditionObject))),
    native(c"notify_all", Call::NoArgs(entry!(no_args, notify_all: ConditionObject))),
    native(c"notifyAll", class::PYTHON),
    native(c"_is_owned", Call::NoArgs(entry!(no_args, is_owned: ConditionObject))),
    native(c"_release_save", Call::NoArgs(entry!(no_args, release_save: ConditionObject))),
    native(c"_acquire_restore", Call::Object(entry!(object, acquire_restore: ConditionObject))),
    native(c"_at_fork_reinit", Call::NoArgs(entry!(no_args, at_fork_reinit: ConditionObject))),
    native(c"__repr__", class::PYTHON),
];

/// Attributes that a condition in phase `Python` takes from its lock.
const OF_LOCK: &[Function] = &[
    Function {
        name: c"acquire",
        call: Call::FastKeywords(entry!(fast_keywords, acquire: ConditionObject)),
        doc: Doc::Own(c"Acquire the lock of the condition, with the lock's own arguments."),
    },
    Function {
        name: c"release",
        call: Call::NoArgs(entry!(no_args, release: ConditionObject)),
        doc: Doc::Own(c"release($self)\n--\n\nRelease the lock of the condition."),
    },
    Function {
        name: c"locked",
        call: Call::NoArgs(entry!(no_args, locked: ConditionObject)),
        doc: Doc::Own(c"locked($self)\n--\n\nWhether the lock of the condition is locked."),
    },
];

const PROPERTIES: &[Property] = &[
    Property {
        name: c"_lock",
        get: entry!(named_getter, get_lock: ConditionObject),
        set: Some(entry!(named_setter, materialize::set::<ConditionObject>: ConditionObject)),
        doc: None,
    },
    materialize::part::<ConditionObject>(c"_waiters"),
    materialize::dict_property::<ConditionObject>(),
];

/// Makes the type.
pub fn make_type(making: &Making<'_>) -> Result<OwnedClass, Raised> {
    let builtin = if compat::CONDITION_HAS_LOCKED { OF_LOCK } else { &OF_LOCK[..2] };
    class::Class {
        name: c"threading.Condition",
        short_name: c"Condition",
        kind: Kind::Condition,
        base: None,
        methods: METHODS,
        of_objects: Some(&FROM_LOCK),
        builtin,
        properties: PROPERTIES,
        init: class::init_slot::<ConditionObject, 1>,
        vectorcall: Some(class::vectorcall::<ConditionObject, 1>),
    }
    .make::<ConditionObject>(making)
}

/// Returns the lock; None if the object has never been native.
#[inline]
fn lock_of(this: This<'_, ConditionObject>) -> Option<CondLock<'_>> {
    let lock = this.get().lock.get()?.as_ptr();
    // SAFETY: the kind is that of the lock. Both are set once, and the object keeps the lock alive.
    Some(unsafe {
        match this.over.get() {
            Over::Lock => CondLock::Lock(This::assume(lock)),
            Over::RLock => CondLock::RLock(This::assume(lock)),
        }
    })
}

/// The attributes that a condition in phase `Python` takes from its lock, if the lock has them.
const FROM_LOCK: OfObjects = OfObjects {
    names: &[c"_is_owned", c"_release_save", c"_acquire_restore"],
    get: lock_attribute,
};

/// Returns the attribute that a condition with a re-entrant lock takes from the lock, in the place
/// of this function.
fn lock_attribute(py: Attached<'_>, head: This<'_, Head>, function: Borrowed<'_>) -> Outcome {
    // SAFETY: only methods of this class have the function `FROM_LOCK.get`.
    let this = unsafe { This::<ConditionObject>::assume(head.object().as_ptr()) };
    let Some(CondLock::RLock(lock)) = lock_of(this) else { return LEFT_TO_PYTHON };
    let name = function.attribute_named(py, c"__name__")?;
    let found = lock.object().attribute(py, name.borrow());
    name.release(py);
    reply(found)
}

/// Takes the lock of a new condition that no other thread has, if it is a plain lock.
pub fn hold_lock(py: Attached<'_>, condition: Borrowed<'_>) {
    let Ok(state) = State::of_object(py, condition) else {
        py.clear_error();
        return;
    };
    if Some(condition.class()) != state.natives.class(Kind::Condition) {
        return;
    }
    // SAFETY: an object of this very class.
    let this = unsafe { This::<ConditionObject>::assume(condition.as_ptr()) };
    if let Some(CondLock::Lock(lock)) = lock_of(this) {
        // The lock is free: no other thread has it.
        let _taken = lock.lock.try_acquire();
    }
}

impl Materialize for ConditionObject {
    const STATE: &'static [&'static CStr] = &[];

    fn parts(py: Attached<'_>, this: This<'_, Self>, state: &State, tickets: Counts) -> Answer {
        let Some(lock) = this.lock.get() else {
            return Err(py.raise(Exception::System, c"a native condition without a lock"));
        };
        let count = py.size(tickets[0])?;
        let args = py.tuple(&[this.object(), lock, count.borrow()]);
        count.release(py);
        materialize::make_parts(py, state, Kind::Condition, args)
    }

    fn retire(
        _: Attached<'_>,
        this: This<'_, Self>,
        _: Dict<'_>,
        tickets: [&[Ticket]; materialize::CONDITIONS],
        _: &mut Values,
    ) -> Retirement {
        match this.condition.retire(tickets[0]) {
            Retire::Done { used, .. } => Retirement::Done([used, 0, 0]),
            Retire::NeedTickets(needed) => Retirement::Need([needed, 0, 0]),
            Retire::Already => Retirement::Done([0; materialize::CONDITIONS]),
        }
    }
}

impl NativeClass<1> for ConditionObject {
    type Object = ConditionObject;
    const ARGUMENTS: [&'static CStr; 1] = [c"lock"];
    const PARTS: &'static [&'static CStr] = &[c"_lock", c"_waiters"];

    fn begin(
        py: Attached<'_>,
        this: This<'_, ConditionObject>,
        [given]: [Option<Borrowed<'_>>; 1],
    ) -> Result<bool, Raised> {
        let state = State::of_object(py, this.object())?;
        if this.lock.get().is_some() {
            // The condition has been native before.
            return Ok(false);
        }
        let (over, lock) = match given.filter(|given| !given.is_none()) {
            None => {
                let class = state.rlock_type.get().ok_or_else(|| gone(py))?;
                // SAFETY: the class was made for this struct.
                (Over::RLock, unsafe { New::<RLockObject>::allocate(py, class) }?.into_owned())
            }
            Some(given) => {
                let class = Some(given.class());
                if class == state.lock_type.get() {
                    (Over::Lock, given.own(py))
                } else if class == state.rlock_type.get() {
                    (Over::RLock, given.own(py))
                } else {
                    return Ok(false);
                }
            }
        };
        this.over.set(over);
        this.lock.fill_first(lock);
        Ok(true)
    }
}

impl NativeObject for ConditionObject {
    fn visit_more(&self, visitor: Visitor<'_>) -> c_int {
        visitor.visit(self.lock.get())
    }

    /// Not in `clear_more`: the lock refers to no object, so it is in no reference cycle, and
    /// finalizers may still use it.
    fn end_more(&mut self, py: Attached<'_>) {
        self.lock.clear(py);
    }
}

/// Calls a method of the lock of a condition that is not native.
fn of_lock(
    py: Attached<'_>,
    this: This<'_, ConditionObject>,
    name: &CStr,
    args: Args<'_>,
) -> Answer {
    let lock = this.object().attribute_named(py, c"_lock")?;
    let result = lock.borrow().attribute_named(py, name).and_then(|method| {
        let result = args.call(py, method.borrow());
        method.release(py);
        result
    });
    lock.release(py);
    result
}

/// Returns the lock if the condition is native.
#[inline]
fn native_lock(this: This<'_, ConditionObject>) -> Option<CondLock<'_>> {
    if this.head().is_native_phase() { lock_of(this) } else { None }
}

#[inline]
fn acquire(py: Attached<'_>, this: This<'_, ConditionObject>, args: Args<'_>) -> Answer {
    match native_lock(this) {
        Some(CondLock::Lock(lock)) => lock::acquire(py, lock, args),
        Some(CondLock::RLock(lock)) => rlock::acquire(py, lock, args),
        None => of_lock(py, this, c"acquire", args),
    }
}

#[inline]
fn release(py: Attached<'_>, this: This<'_, ConditionObject>) -> Answer {
    match native_lock(this) {
        Some(lock) => release_lock(py, lock),
        None => of_lock(py, this, c"release", Args::NONE),
    }
}

#[inline]
fn release_lock(py: Attached<'_>, lock: CondLock<'_>) -> Answer {
    match lock {
        CondLock::Lock(lock) => lock::release(py, lock),
        CondLock::RLock(lock) => rlock::release(py, lock),
    }
}

fn locked(py: Attached<'_>, this: This<'_, ConditionObject>) -> Answer {
    let is_locked = match native_lock(this) {
        Some(CondLock::Lock(lock)) => lock.lock.is_locked(),
        Some(CondLock::RLock(lock)) => lock.lock.is_locked(),
        None => return of_lock(py, this, c"locked", Args::NONE),
    };
    Ok(py.bool(is_locked))
}

#[inline]
fn enter(py: Attached<'_>, this: This<'_, ConditionObject>) -> Outcome {
    // This may materialize the object, and then it may have another lock.
    py.run_pending_at_entry()?;
    match native_lock(this) {
        Some(CondLock::Lock(lock)) => reply(lock::acquire(py, lock, Args::NONE)),
        Some(CondLock::RLock(lock)) => reply(rlock::acquire(py, lock, Args::NONE)),
        None => LEFT_TO_PYTHON,
    }
}

#[inline]
fn exit(py: Attached<'_>, this: This<'_, ConditionObject>, args: Args<'_>) -> Outcome {
    match lock_of(this) {
        Some(lock) if args.positional().len() == 3 => reply(release_lock(py, lock)),
        _ => LEFT_TO_PYTHON,
    }
}

#[inline]
fn notify_all(py: Attached<'_>, this: This<'_, ConditionObject>) -> Outcome {
    // A derived class may have a notify() of its own.
    if this.head().replaces_called() || !lock_of(this).is_some_and(CondLock::is_owned) {
        return LEFT_TO_PYTHON;
    }
    if this.condition.notify(usize::MAX) { Reply::none(py) } else { LEFT_TO_PYTHON }
}

fn is_owned(py: Attached<'_>, this: This<'_, ConditionObject>) -> Outcome {
    match lock_of(this) {
        Some(lock) => Reply::bool(py, lock.is_owned()),
        None => LEFT_TO_PYTHON,
    }
}

fn release_save(py: Attached<'_>, this: This<'_, ConditionObject>) -> Outcome {
    match lock_of(this) {
        Some(CondLock::Lock(lock)) => reply(lock::release(py, lock)),
        Some(CondLock::RLock(lock)) => reply(rlock::release_save(py, lock)),
        None => LEFT_TO_PYTHON,
    }
}

fn acquire_restore(
    py: Attached<'_>,
    this: This<'_, ConditionObject>,
    saved: Borrowed<'_>,
) -> Outcome {
    match lock_of(this) {
        Some(CondLock::Lock(lock)) => {
            lock::acquire(py, lock, Args::NONE)?.release(py);
            Reply::none(py)
        }
        Some(CondLock::RLock(lock)) => {
            reply(lock.object().call_method_named(py, c"_acquire_restore", &[saved]))
        }
        None => LEFT_TO_PYTHON,
    }
}

/// For the child of a fork: removes all waiters, and makes the lock free.
fn at_fork_reinit(py: Attached<'_>, this: This<'_, ConditionObject>) -> Outcome {
    let Some(lock) = lock_of(this) else { return LEFT_TO_PYTHON };
    // SAFETY: called in a process with one thread. A condition consists of atomics, so it may be
    // written where there are references to it.
    unsafe { ptr::from_ref(&this.get().condition).cast_mut().write(Condition::new()) };
    match lock {
        CondLock::Lock(lock) => reply(lock::at_fork_reinit(py, lock)),
        CondLock::RLock(lock) => reply(rlock::at_fork_reinit(py, lock)),
    }
}

fn get_lock(py: Attached<'_>, this: This<'_, ConditionObject>, name: &CStr) -> Answer {
    let lock = if this.head().is_native_phase() { this.lock.get() } else { None };
    match lock {
        Some(lock) => Ok(lock.own(py)),
        None => materialize::get::<ConditionObject>(py, this, name),
    }
}
