//! `_thread.RLock`.

use core::ffi::CStr;

use pyo3_ffi as ffi;

use crate::capi::compat;
use crate::capi::entry::{This, entry};
use crate::capi::errors::Raised;
use crate::capi::object::{Answer, Attached, Borrowed, Class, Dict, OwnedClass, Tuple};
use crate::capi::types::{Call, Function};
use crate::runtime::blocking::{self, Signals, Subject, Timeout, Waited};
use crate::runtime::sites;
use crate::sync::{NotOwned, Owner, ReentrantLock, ThreadId};
use crate::thread_module::lock_type::{self, Entries, Object, Primitive, entries, is_plain};

pub use crate::thread_module::lock_type::{acquire, at_fork_reinit, release};

pub type RLockObject = Object<ReentrantLock>;

/// Makes the type.
pub fn make_type(
    py: Attached<'_>,
    module: Borrowed<'_>,
    stock: Borrowed<'_>,
) -> Result<OwnedClass, Raised> {
    lock_type::make_type::<ReentrantLock>(py, module, stock)
}

// SAFETY: all zero is a free lock; the methods take an RLockObject.
unsafe impl Primitive for ReentrantLock {
    const NAME: &'static CStr = c"_thread.RLock";
    const STOCK_NAME: &'static CStr = c"RLock";
    const ENTRIES: Entries = entries!(ReentrantLock);
    const METHODS: &'static [Function] = &[
        Function::stock(c"acquire", Self::ENTRIES.acquire),
        Function::stock(c"release", Self::ENTRIES.release),
        Function::stock(c"locked", Self::ENTRIES.locked),
        Function::stock(c"_is_owned", Call::NoArgs(entry!(no_args, is_owned: RLockObject))),
        Function::stock(
            c"_acquire_restore",
            if compat::ACQUIRE_RESTORE_TAKES_OBJECT {
                Call::Object(entry!(object, acquire_restore: RLockObject))
            } else {
                Call::VarArgs(entry!(object, acquire_restore: RLockObject))
            },
        ),
        Function::stock(c"_release_save", Call::NoArgs(entry!(no_args, release_save: RLockObject))),
        Function::stock(
            c"_recursion_count",
            Call::NoArgs(entry!(no_args, recursion_count: RLockObject)),
        ),
        Function::stock(c"__enter__", Self::ENTRIES.enter),
        Function::stock(c"__exit__", Self::ENTRIES.exit),
        Function::stock(c"_at_fork_reinit", Self::ENTRIES.at_fork_reinit),
    ];

    fn check_arguments(
        py: Attached<'_>,
        class: Class<'_>,
        args: Tuple<'_>,
        kwargs: Option<Dict<'_>>,
    ) -> Result<(), Raised> {
        py.refuse_rlock_arguments(class, args, kwargs)
    }

    #[inline]
    fn take<const BY_WITH: bool>(
        py: Attached<'_>,
        this: This<'_, RLockObject>,
        timeout: Timeout,
    ) -> Answer {
        let (me, owner) = (compat::thread_ident(), Owner::this_thread());
        if owner == Owner::NONE {
            return take_slowly(py, this, timeout);
        }
        let taken = if compat::IS_FREE_THREADED {
            this.lock.try_acquire(me, owner)
        } else {
            // SAFETY: the thread holds the GIL. Other threads begin and end their waits with the
            // GIL.
            unsafe { this.lock.try_acquire_alone(me, owner) }
        };
        if taken {
            return Ok(py.bool(true));
        }
        take_contended(py, this, me, timeout)
    }

    #[inline]
    fn give_back(py: Attached<'_>, this: This<'_, RLockObject>) -> Answer {
        let me = compat::thread_ident();
        let released = if compat::IS_FREE_THREADED {
            this.lock.release(me)
        } else {
            // SAFETY: as in `take`.
            unsafe { this.lock.release_alone(me) }
        };
        match released {
            Ok(()) => Ok(py.none()),
            Err(NotOwned) => not_acquired(py),
        }
    }

    fn repr(py: Attached<'_>, this: This<'_, RLockObject>) -> Answer {
        let lock = &this.lock;
        let is_locked = compat::rlock_is_called_locked(lock.is_locked(), lock.count());
        let state = if is_locked { c"locked" } else { c"unlocked" };
        // SAFETY: the format takes two strings, two unsigned long longs and a pointer.
        unsafe {
            py.own(ffi::PyUnicode_FromFormat(
                c"<%s %s object owner=%llu count=%llu at %p>".as_ptr(),
                state.as_ptr(),
                this.object().class().name().as_ptr(),
                lock.owner(),
                lock.count(),
                this.object().as_ptr(),
            ))
        }
    }

    #[inline]
    fn is_locked(&self) -> bool {
        ReentrantLock::is_locked(self)
    }

    #[inline]
    fn renewed(&self) -> ReentrantLock {
        ReentrantLock::renewed(self)
    }
}

/// The first time in a thread, and while it is recorded where locks are taken.
#[cold]
#[inline(never)]
fn take_slowly(py: Attached<'_>, this: This<'_, RLockObject>, timeout: Timeout) -> Answer {
    let (me, owner) = (compat::thread_ident(), sites::owner());
    let is_first = !this.lock.is_owned_by(me);
    let answer = if this.lock.try_acquire(me, owner) {
        py.bool(true)
    } else {
        take_contended(py, this, me, timeout)?
    };
    if is_first && answer.borrow().is_true() {
        this.lock.lock().mark_owner(owner);
        sites::is_taken(py, &this.lock);
    }
    Ok(answer)
}

/// The only place where a use is noted. So a lock without contention is never switched to deferred
/// reference counting, and is freed as soon as it is dropped. Neither is a lock of a derived class,
/// because its attributes may be large.
#[cold]
fn take_contended(
    py: Attached<'_>,
    this: This<'_, RLockObject>,
    me: ThreadId,
    timeout: Timeout,
) -> Answer {
    if is_plain(this) {
        this.object().note_use(py);
    }
    let subject = Subject::rlock(&this.lock, this.object());
    let got =
        blocking::wait(py, this.lock.lock(), subject, timeout, Signals::Handle)? == Waited::Got;
    if got {
        this.lock.adopt(me);
    }
    Ok(py.bool(got))
}

/// A function of its own, so that the usual case needs no registers to be saved.
#[cold]
#[inline(never)]
fn not_acquired(py: Attached<'_>) -> Answer {
    Err(py.runtime_error(c"cannot release un-acquired lock"))
}

fn is_owned(py: Attached<'_>, this: This<'_, RLockObject>) -> Answer {
    Ok(py.bool(this.lock.is_owned_by(compat::thread_ident())))
}

fn recursion_count(py: Attached<'_>, this: This<'_, RLockObject>) -> Answer {
    let mine = this.lock.is_owned_by(compat::thread_ident());
    py.unsigned(if mine { this.lock.count() } else { 0 })
}

/// `_release_save`.
pub fn release_save(py: Attached<'_>, this: This<'_, RLockObject>) -> Answer {
    let lock = &this.lock;
    let allowed = !compat::RELEASE_SAVE_CHECKS_OWNER || lock.is_owned_by(compat::thread_ident());
    match if allowed { lock.release_all() } else { Err(NotOwned) } {
        // SAFETY: attached; a new reference.
        Ok(saved) => unsafe { py.own(compat::saved_to_tuple(saved)) },
        Err(NotOwned) => Err(py.runtime_error(c"cannot release un-acquired lock")),
    }
}

/// Takes the lock back after a wait. Signal handlers run only after that. A program that waits for
/// a condition may rely on holding the lock afterwards, even if the wait raises an exception
/// (gh-118433).
fn acquire_restore(
    py: Attached<'_>,
    this: This<'_, RLockObject>,
    argument: Borrowed<'_>,
) -> Answer {
    // SAFETY: attached. `METHODS` lets CPython pass the argument as this version wants it.
    let saved = unsafe { compat::saved_from_args(argument.as_ptr())? };
    let subject = Subject::rlock(&this.lock, this.object());
    blocking::take_back(py, this.lock.lock(), subject)?;
    // Where it was taken is known from the first time.
    sites::is_taken_back(this.lock.lock(), sites::owner());
    this.lock.restore(saved);
    Ok(py.none())
}
