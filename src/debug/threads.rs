//! All threads and their waits at one moment.

use crate::capi::entry::Module;
use crate::capi::object::{self, Answer, Attached, Borrowed, Owned};
use crate::runtime::deadlocks::{self, Stopped, list};
use crate::sync::{Holder, Record, Threads, Wait, registry};

/// A thread at the moment of the look.
struct Seen {
    number: u32,
    ident: u64,
    native_id: u32,
    stage: u32,
    wait: Wait,
    serial: u32,
    object: Option<Owned>,
    holder: Option<Holder>,
    owner: u32,
}

/// `__threads__()`.
pub fn threads(py: Attached<'_>, _: Module<'_>) -> Answer {
    let interpreter = py.interpreter().cast_const().cast();
    let seen = py.with_world_stopped(|| {
        registry::records().map(|record| see(py, record, interpreter)).collect::<Vec<_>>()
    });
    let seen = seen.unwrap_or_default();
    let made = list(py, &seen, |seen| row(py, seen));
    for seen in seen {
        object::release(seen.object, py);
    }
    made
}

/// Called while no thread begins or ends a wait in this interpreter.
fn see(py: Attached<'_>, record: &'static Record, interpreter: *const ()) -> Seen {
    let (number, stage) = (record.number(), record.stage() as u32);
    let (ident, native_id) = (record.ident(), record.native_id());
    let serial = record.serial();
    let mut wait = record.wait();
    let is_here = wait.interpreter == interpreter;
    if !is_here {
        // What it waits for belongs to another interpreter.
        (wait.object, wait.resource) = (core::ptr::null(), core::ptr::null());
    }
    let holder = if is_here { Stopped.holder_of(&wait) } else { None };
    let owner = holder.map_or(0, |holder| match holder.number {
        0 => registry::number_of(holder.ident),
        number => number,
    });
    // SAFETY: the wait cannot end now.
    let object = unsafe { deadlocks::object_of(py, &wait) };
    Seen { number, ident, native_id, stage, wait, serial, object, holder, owner }
}

fn row(py: Attached<'_>, seen: &Seen) -> Answer {
    let Seen { wait, holder, .. } = seen;
    let owner_ident = match holder.map_or(0, |holder| holder.ident) {
        0 => registry::record_of(seen.owner).map_or(0, Record::ident),
        ident => ident,
    };
    let before = [
        seen.number.into(),
        seen.ident,
        seen.native_id.into(),
        seen.stage.into(),
        wait.kind as u64,
    ];
    let after = [wait.since, u64::from(wait.timed)];
    let owner = [seen.serial.into(), seen.owner.into(), owner_ident];
    let is_certain = holder.is_some_and(|holder| holder.is_certain);
    let mut items = Vec::with_capacity(12);
    let number = |items: &mut Vec<Owned>, value| py.unsigned(value).map(|it| items.push(it));
    let made = before
        .into_iter()
        .try_for_each(|value| number(&mut items, value))
        .and_then(|()| {
            items.push(seen.object.as_ref().map_or_else(|| py.none(), |it| it.borrow().own(py)));
            after.into_iter().try_for_each(|value| number(&mut items, value))
        })
        .and_then(|()| owner.into_iter().try_for_each(|value| number(&mut items, value)))
        .and_then(|()| {
            items.push(py.bool(is_certain));
            let borrowed: Vec<Borrowed<'_>> = items.iter().map(Owned::borrow).collect();
            py.tuple(&borrowed)
        });
    items.into_iter().for_each(|item| item.release(py));
    made
}

/// `__is_left_behind__(number)`.
pub fn is_left_behind(py: Attached<'_>, _: Module<'_>, number: Borrowed<'_>) -> Answer {
    let number = number.to_unsigned(py)?;
    Ok(py.bool(u32::try_from(number).is_ok_and(registry::was_left_behind)))
}
