//! The owners of locks.

use crate::capi::entry::{Module, This};
use crate::capi::errors::Raised;
use crate::capi::object::{Answer, Attached, Borrowed, Class, Exception, Owned, Tuple};
use crate::runtime::deadlocks::list;
use crate::runtime::natives::gone;
use crate::runtime::state::State;
use crate::sync::{Record, registry};
use crate::thread_module::lock::LockObject;
use crate::thread_module::rlock::RLockObject;

/// The owner of a lock.
struct Held {
    number: u32,
    ident: u64,
    by_with: bool,
    count: u64,
}

/// The types of locks of an interpreter.
#[derive(Clone, Copy)]
pub struct Types<'a> {
    pub lock: Class<'a>,
    pub rlock: Class<'a>,
}

impl<'a> Types<'a> {
    pub fn of(py: Attached<'_>, module: Module<'a>) -> Result<Types<'a>, Raised> {
        let state = State::of(module);
        match (state.lock_type.get(), state.rlock_type.get()) {
            (Some(lock), Some(rlock)) => Ok(Types { lock, rlock }),
            _ => Err(gone(py)),
        }
    }

    /// The owner of a lock; None if it is free. The outer None if the object is no lock.
    fn owner(self, object: Borrowed<'_>) -> Option<Option<Held>> {
        let class = object.class();
        if class.is_derived_from(self.lock) {
            // SAFETY: an instance of the type or of one that is derived from it.
            let lock = &unsafe { This::<LockObject>::assume(object.as_ptr()) };
            let owner = lock.lock.owner();
            let (number, by_with) = (owner.number(), owner.is_by_with());
            let ident = registry::record_of(number).map_or(0, Record::ident);
            let held = lock.lock.is_locked();
            return Some(held.then_some(Held { number, ident, by_with, count: 1 }));
        }
        if class.is_derived_from(self.rlock) {
            // SAFETY: as above.
            let lock = &unsafe { This::<RLockObject>::assume(object.as_ptr()) }.lock;
            let (ident, count) = (lock.owner(), lock.count());
            let number = lock.inner_owner().number();
            return Some((count > 0).then_some(Held { number, ident, by_with: false, count }));
        }
        None
    }
}

/// `__owner__(lock)`.
pub fn owner(py: Attached<'_>, module: Module<'_>, object: Borrowed<'_>) -> Answer {
    match Types::of(py, module)?.owner(object) {
        None => Err(py.raise(Exception::Type, c"not a lock of rthread")),
        Some(None) => Ok(py.none()),
        Some(Some(held)) => {
            let by_with = py.truth_value(held.by_with);
            row(py, None, &[held.number.into(), held.ident], by_with, None)
        }
    }
}

/// A tuple: perhaps an object, numbers, an object, and perhaps another number.
fn row(
    py: Attached<'_>,
    first: Option<Borrowed<'_>>,
    numbers: &[u64],
    then: Borrowed<'_>,
    last: Option<u64>,
) -> Answer {
    let mut items: Vec<Owned> = first.map(|first| first.own(py)).into_iter().collect();
    let add = |items: &mut Vec<Owned>, value| py.unsigned(value).map(|it| items.push(it));
    let made = numbers
        .iter()
        .try_for_each(|&value| add(&mut items, value))
        .and_then(|()| {
            items.push(then.own(py));
            last.map_or(Ok(()), |value| add(&mut items, value))
        })
        .and_then(|()| {
            let borrowed: Vec<Borrowed<'_>> = items.iter().map(Owned::borrow).collect();
            py.tuple(&borrowed)
        });
    items.into_iter().for_each(|item| item.release(py));
    made
}

/// `__held_locks__()`.
pub fn held_locks(py: Attached<'_>, module: Module<'_>) -> Answer {
    let types = Types::of(py, module)?;
    let mut found: Vec<(Owned, Held)> = Vec::new();
    let mut look = |object: Borrowed<'_>| {
        if let Some(Some(held)) = types.owner(object) {
            found.push((object.own(py), held));
        }
    };
    let looked = if py.visit_objects(&mut look) { Ok(()) } else { visit_list(py, &mut look) };
    let made = looked.and_then(|()| {
        list(py, &found, |(object, held)| {
            let numbers = [held.number.into(), held.ident];
            let by_with = py.truth_value(held.by_with);
            row(py, Some(object.borrow()), &numbers, by_with, Some(held.count))
        })
    });
    for (object, _) in found {
        object.release(py);
    }
    made
}

/// Up to 3.11 the collector only makes a list of all objects.
fn visit_list(py: Attached<'_>, look: &mut dyn FnMut(Borrowed<'_>)) -> Result<(), Raised> {
    let collector = py.import(c"gc")?;
    let objects = collector.borrow().call_method_named(py, c"get_objects", &[]);
    collector.release(py);
    let objects = objects?;
    let tuple = objects.borrow().list_as_tuple(py);
    objects.release(py);
    let tuple = tuple?;
    // SAFETY: a new tuple.
    let items = unsafe { Tuple::assume(tuple.borrow()) };
    items.items().iter().for_each(|&object| look(object));
    tuple.release(py);
    Ok(())
}
