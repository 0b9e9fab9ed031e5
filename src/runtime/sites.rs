//! Records where Python code takes and makes locks, on request (`sync::held`).

use std::time::Instant;

use crate::capi::object::Attached;
use crate::sync::held::{self, Site};
use crate::sync::{Lock, Owner, nanoseconds, registry};

/// The calling thread as the owner of a lock that it is about to take. Notes that it records where.
pub fn owner() -> Owner {
    let me = registry::this_thread();
    if held::is_recording() { me.recorded() } else { me }
}

/// Notes where the calling thread has taken a lock, if that is recorded. `lock` is known by the
/// address of its object's primitive.
#[cold]
pub fn is_taken<T>(py: Attached<'_>, lock: &T) {
    if held::is_recording()
        && let Some(table) = registry::own_held_table()
    {
        let now = nanoseconds(Instant::now());
        let instruction = py.instruction();
        table.is_taken(core::ptr::from_ref(lock).addr(), instruction, now, || describe(py));
    }
}

/// Notes where a lock was made, if that is recorded.
#[inline]
pub fn is_made<T>(py: Attached<'_>, lock: &T) {
    if held::is_recording() {
        note_made(py, core::ptr::from_ref(lock).addr());
    }
}

#[cold]
#[inline(never)]
fn note_made(py: Attached<'_>, lock: usize) {
    // A lock in an object of the standard library was made where that object was.
    let site = py.caller(&[c"threading", c"queue"]);
    held::is_made(lock, site.map(|(file, function, line)| Site { file, function, line }));
}

fn describe(py: Attached<'_>) -> Option<Site> {
    let (file, function, line) = py.caller(&[])?;
    Some(Site { file, function, line })
}

/// A lock that was given back for a wait has been taken back by its former owner: it is as before.
pub fn is_taken_back(lock: &Lock, before: Owner) {
    let me = registry::this_thread();
    let me = if before.is_by_with() { me.by_with() } else { me };
    lock.mark_owner(if before.is_recorded() { me.recorded() } else { me });
}
