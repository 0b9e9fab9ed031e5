//! `_thread.lock`.

use core::ffi::CStr;

use crate::capi::compat;
use crate::capi::entry::{Args, New, This, entry};
use crate::capi::errors::Raised;
use crate::capi::object::{Answer, Attached, Borrowed, Class, Dict, OwnedClass, Tuple};
use crate::capi::types::{Call, Function};
use crate::runtime::blocking::{self, Signals, Subject, Timeout, Waited};
use crate::runtime::natives::gone;
use crate::runtime::state::State;
use crate::runtime::{sentinels, sites};
use crate::sync::{Lock, Owner};
use crate::thread_module::acquire_args;
use crate::thread_module::lock_type::{self, Entries, Object, Primitive, entries};

pub use crate::thread_module::lock_type::{acquire, at_fork_reinit, release};

/// Not larger than the stock object: 56 bytes with the collector's header.
pub type LockObject = Object<Lock>;

#[cfg(not(Py_GIL_DISABLED))]
const _: () = assert!(size_of::<LockObject>() <= 40 || cfg!(rthread_portable_parker));

/// Makes the type.
pub fn make_type(
    py: Attached<'_>,
    module: Borrowed<'_>,
    stock: Borrowed<'_>,
) -> Result<OwnedClass, Raised> {
    lock_type::make_type::<Lock>(py, module, stock)
}

/// A new lock, which is free.
pub fn allocate(py: Attached<'_>, state: &State) -> Result<New<LockObject>, Raised> {
    let Some(class) = state.lock_type.get() else { return Err(gone(py)) };
    // SAFETY: the class was made for this struct.
    let new = unsafe { New::<LockObject>::allocate(py, class) }?;
    sites::is_made(py, &new.this().lock);
    Ok(new)
}

// SAFETY: all zero is a free lock; the methods take a LockObject.
unsafe impl Primitive for Lock {
    const NAME: &'static CStr = c"_thread.lock";
    const STOCK_NAME: &'static CStr = c"LockType";
    const ENTRIES: Entries = entries!(Lock);
    const METHODS: &'static [Function] = &[
        Function::stock(
            c"acquire_lock",
            Call::FastKeywords(entry!(fast_keywords, acquire_lock: LockObject)),
        ),
        Function::stock(c"acquire", Self::ENTRIES.acquire),
        Function::stock(c"release_lock", Self::ENTRIES.release),
        Function::stock(c"release", Self::ENTRIES.release),
        Function::stock(c"locked_lock", Self::ENTRIES.locked),
        Function::stock(c"locked", Self::ENTRIES.locked),
        Function::stock(c"__enter__", Self::ENTRIES.enter),
        Function::stock(c"__exit__", Self::ENTRIES.exit),
        Function::stock(c"_at_fork_reinit", Self::ENTRIES.at_fork_reinit),
    ];

    fn check_arguments(
        py: Attached<'_>,
        _: Class<'_>,
        args: Tuple<'_>,
        kwargs: Option<Dict<'_>>,
    ) -> Result<(), Raised> {
        py.refuse_arguments(c"lock", args, kwargs)
    }

    #[inline]
    fn take<const BY_WITH: bool>(
        py: Attached<'_>,
        this: This<'_, LockObject>,
        timeout: Timeout,
    ) -> Answer {
        if is_taken_alone::<BY_WITH>(py, &this.lock) {
            return Ok(py.bool(true));
        }
        take_shared::<BY_WITH>(py, this, timeout)
    }

    #[inline]
    fn give_back(py: Attached<'_>, this: This<'_, LockObject>) -> Answer {
        // SAFETY: as in `is_taken_alone`.
        if !compat::IS_FREE_THREADED && unsafe { this.lock.release_alone() } {
            return Ok(py.none());
        }
        give_back_shared(py, this)
    }

    fn repr(py: Attached<'_>, this: This<'_, LockObject>) -> Answer {
        let state = if this.lock.is_locked() { c"locked" } else { c"unlocked" };
        py.repr_with_state(state, this.object())
    }

    #[inline]
    fn is_locked(&self) -> bool {
        Lock::is_locked(self)
    }

    #[inline]
    fn renewed(&self) -> Lock {
        Lock::renewed(self)
    }

    #[inline]
    fn end(&self) {
        if self.is_sentinel() {
            sentinels::forget(self);
        }
    }
}

/// Tries to take the lock without an atomic step. False without a GIL, and if the lock is held or
/// other threads may be using it.
#[inline]
#[must_use]
fn is_taken_alone<const BY_WITH: bool>(_: Attached<'_>, lock: &Lock) -> bool {
    if compat::IS_FREE_THREADED {
        return false;
    }
    let me = Owner::this_thread();
    // SAFETY: the calling thread holds the GIL. Other threads begin and end their waits with the
    // GIL. Only a sentinel lock is released without it, and such a lock is marked.
    me != Owner::NONE && unsafe { lock.try_acquire_alone(how::<BY_WITH>(me)) }
}

/// The owner of a lock that is taken by a `with` statement or otherwise.
#[inline]
fn how<const BY_WITH: bool>(me: Owner) -> Owner {
    if BY_WITH { me.by_with() } else { me }
}

#[inline]
fn acquire_lock(py: Attached<'_>, this: This<'_, LockObject>, args: Args<'_>) -> Answer {
    Lock::take::<false>(py, this, acquire_args::acquire(py, args, compat::ACQUIRE_LOCK_FORMAT)?)
}

/// With a GIL this is a function of its own, so that the usual case needs no registers to be saved.
#[cfg_attr(not(Py_GIL_DISABLED), cold, inline(never))]
fn take_shared<const BY_WITH: bool>(
    py: Attached<'_>,
    this: This<'_, LockObject>,
    timeout: Timeout,
) -> Answer {
    let me = Owner::this_thread();
    if me == Owner::NONE {
        return take_slowly(py, this, timeout, BY_WITH);
    }
    if this.lock.try_acquire_as(how::<BY_WITH>(me)) {
        return Ok(py.bool(true));
    }
    take_contended(py, this, timeout, how::<BY_WITH>(me))
}

/// The first time in a thread, and while it is recorded where locks are taken.
#[cold]
#[inline(never)]
fn take_slowly(
    py: Attached<'_>,
    this: This<'_, LockObject>,
    timeout: Timeout,
    by_with: bool,
) -> Answer {
    let me = sites::owner();
    let me = if by_with { me.by_with() } else { me };
    let answer = if this.lock.try_acquire_as(me) {
        py.bool(true)
    } else {
        take_contended(py, this, timeout, me)?
    };
    if answer.borrow().is_true() {
        sites::is_taken(py, &this.lock);
    }
    Ok(answer)
}

/// The only place where a use is noted. So a lock without contention is never switched to deferred
/// reference counting, and is freed as soon as it is dropped.
#[cold]
fn take_contended(
    py: Attached<'_>,
    this: This<'_, LockObject>,
    timeout: Timeout,
    me: Owner,
) -> Answer {
    let (lock, object) = (&this.lock, this.object());
    object.note_use(py);
    let got = blocking::wait(py, lock, Subject::lock(lock, object), timeout, Signals::Handle)?
        == Waited::Got;
    if got && (me.is_by_with() || me.is_recorded()) {
        lock.mark_owner(me);
    }
    Ok(py.bool(got))
}

/// As [`take_shared`].
#[cfg_attr(not(Py_GIL_DISABLED), cold, inline(never))]
fn give_back_shared(py: Attached<'_>, this: This<'_, LockObject>) -> Answer {
    match this.lock.release() {
        Ok(()) => Ok(py.none()),
        Err(_) => Err(py.runtime_error(c"release unlocked lock")),
    }
}
