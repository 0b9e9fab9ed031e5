//! Names that the Python classes look up in their modules at each use.
//!
//! `threading` and `queue` read `Lock`, `Condition`, `_time`, `Empty` and others from their
//! namespaces whenever they make or raise something. Programs replace these names. A native class
//! does its work only while each name holds an object that the interpreter or rthread put there.

use core::ffi::CStr;
use core::sync::atomic::Ordering;

use crate::capi::compat;
use crate::capi::errors::Raised;
use crate::capi::object::{Attached, Borrowed, Exception, Owned, Tuple, release};
use crate::runtime::natives::{Kind, Lookups, Names, Namespace};
use crate::runtime::state::State;

/// Whether each name that the Python classes look up holds an object that the interpreter or
/// rthread put there.
#[inline]
pub fn are_as_expected(py: Attached<'_>, state: &State) -> bool {
    let lookups = &state.natives.lookups;
    let version = lookups.version(py);
    version == lookups.checked.load(Ordering::Relaxed) || look(py, lookups, version)
}

#[cold]
fn look(py: Attached<'_>, lookups: &Lookups, version: u64) -> bool {
    // The version was read before the names. A name that changes in between changes the version
    // too.
    if !lookups.namespaces.iter().all(|names| holds(py, names)) {
        // The interpreter clears its modules at its end. Then it is not a program that has changed
        // the names.
        return compat::is_finalizing();
    }
    if lookups.watch.tells() {
        lookups.checked.store(version, Ordering::Relaxed);
    }
    true
}

/// Whether all names of a namespace are as expected.
fn holds(py: Attached<'_>, names: &Names) -> bool {
    let (Some(dict), Some(expected)) = (names.dict(), names.expected()) else { return true };
    // SAFETY: nothing changes the dict of the expected objects.
    for (name, allowed) in unsafe { expected.entries() } {
        let Ok(found) = dict.get_settled(py, name) else {
            py.clear_error();
            return false;
        };
        let is_allowed = Tuple::of(allowed).is_some_and(|allowed| match &found {
            Some(found) => allowed.items().contains(&found.borrow()),
            None => allowed.is_empty(),
        });
        release(found, py);
        if !is_allowed {
            return false;
        }
    }
    true
}

/// Looks up the present object of a name in a namespace. None if there is no such name. Raises if
/// there is no memory, or if code of the program that the look-up runs has raised.
pub fn find(
    py: Attached<'_>,
    state: &State,
    namespace: Namespace,
    name: &CStr,
) -> Result<Option<Owned>, Raised> {
    let names = &state.natives.lookups.namespaces[namespace as usize];
    let Some(dict) = names.dict() else { return Ok(None) };
    let key = py.name(name)?;
    let found = dict.get(py, key.borrow());
    key.release(py);
    found
}

/// Raises, without arguments, the exception that a module has at present under the name of this
/// kind. `of` is an object of a native class.
#[cold]
pub fn raise_named(py: Attached<'_>, of: Borrowed<'_>, namespace: Namespace, kind: Kind) -> Raised {
    let Ok(state) = State::of_object(py, of) else { return Raised };
    let Ok(found) = find(py, state, namespace, Kind::NAMES[kind as usize]) else { return Raised };
    let exception = found.as_ref().map(Owned::borrow).or(state.natives.python(kind));
    let raised = match exception {
        None => py.raise_class(Exception::Runtime.class()),
        Some(class) if class.is_exception_class() => py.raise_class(class),
        Some(error) if error.is_exception() => py.raise_object(error.class().object(), error),
        Some(_) => py.raise(Exception::Type, c"exceptions must derive from BaseException"),
    };
    release(found, py);
    raised
}
