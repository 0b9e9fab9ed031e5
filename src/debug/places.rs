//! Where locks were taken and made, if that is recorded.

use core::ffi::CStr;
use core::ptr;
use std::ffi::CString;

use crate::capi::entry::{Module, This};
use crate::capi::errors::Raised;
use crate::capi::object::{Answer, Attached, Borrowed, Exception, Owned};
use crate::debug::locks::Types;
use crate::sync::held::{self, Site};
use crate::sync::{Owner, registry};
use crate::thread_module::lock::LockObject;
use crate::thread_module::rlock::RLockObject;

/// `__record_sites__(on)`: returns whether sites were recorded before.
pub fn record_sites(py: Attached<'_>, _: Module<'_>, on: Borrowed<'_>) -> Answer {
    let on = on.truth(py)?;
    let before = held::is_recording();
    if before != on {
        registry::record_sites(on);
    }
    Ok(py.bool(before))
}

/// The address and the owner of a lock of rthread; `Err` with TypeError for any other object.
fn address(
    py: Attached<'_>,
    module: Module<'_>,
    object: Borrowed<'_>,
) -> Result<(usize, Owner), Raised> {
    let types = Types::of(py, module)?;
    if object.class().is_derived_from(types.lock) {
        // SAFETY: an instance of the type or of one that is derived from it.
        let lock = &unsafe { This::<LockObject>::assume(object.as_ptr()) };
        Ok((ptr::from_ref(&lock.lock).addr(), lock.lock.owner()))
    } else if object.class().is_derived_from(types.rlock) {
        // SAFETY: as above.
        let lock = &unsafe { This::<RLockObject>::assume(object.as_ptr()) };
        Ok((ptr::from_ref(&lock.lock).addr(), lock.lock.inner_owner()))
    } else {
        Err(py.raise(Exception::Type, c"not a lock of rthread"))
    }
}

/// `__taken_at__(lock)`.
pub fn taken_at(py: Attached<'_>, module: Module<'_>, object: Borrowed<'_>) -> Answer {
    let (address, owner) = address(py, module, object)?;
    let found = owner.is_recorded().then(|| registry::taken_at(owner.number(), address)).flatten();
    match found {
        Some((site, since)) => row(py, &site, Some(since)),
        None => Ok(py.none()),
    }
}

/// `__made_at__(lock)`.
pub fn made_at(py: Attached<'_>, module: Module<'_>, object: Borrowed<'_>) -> Answer {
    match held::made_at(address(py, module, object)?.0) {
        Some(site) => row(py, &site, None),
        None => Ok(py.none()),
    }
}

/// File, line, function, and perhaps a time.
fn row(py: Attached<'_>, site: &Site, time: Option<u64>) -> Answer {
    let mut items: Vec<Owned> = Vec::new();
    let made = text(py, &mut items, &site.file)
        .and_then(|()| py.unsigned(site.line.into()).map(|line| items.push(line)))
        .and_then(|()| text(py, &mut items, &site.function))
        .and_then(|()| time.map_or(Ok(()), |time| py.unsigned(time).map(|time| items.push(time))))
        .and_then(|()| {
            let borrowed: Vec<Borrowed<'_>> = items.iter().map(Owned::borrow).collect();
            py.tuple(&borrowed)
        });
    items.into_iter().for_each(|item| item.release(py));
    made
}

fn text(py: Attached<'_>, items: &mut Vec<Owned>, text: &str) -> Result<(), Raised> {
    let text = CString::new(text).unwrap_or_default();
    py.string(CStr::from_bytes_with_nul(text.as_bytes_with_nul()).unwrap_or(c""))
        .map(|text| items.push(text))
}
