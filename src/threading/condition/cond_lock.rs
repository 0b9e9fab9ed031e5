//! The lock of a native condition.

use crate::capi::compat;
use crate::capi::entry::This;
use crate::capi::errors::Raised;
use crate::capi::object::{Answer, Attached};
use crate::runtime::blocking;
use crate::sync::{NotOwned, Saved};
use crate::thread_module::lock::LockObject;
use crate::thread_module::rlock::RLockObject;

/// One of rthread's own locks.
#[derive(Clone, Copy)]
pub enum CondLock<'a> {
    Lock(This<'a, LockObject>),
    RLock(This<'a, RLockObject>),
}

impl CondLock<'_> {
    /// Whether the calling thread holds the lock; of a plain lock: whether any thread does.
    #[inline]
    pub fn is_owned(self) -> bool {
        match self {
            CondLock::Lock(this) => this.lock.is_locked(),
            CondLock::RLock(this) => this.lock.is_owned_by(compat::thread_ident()),
        }
    }

    /// Releases the lock, however often it was taken.
    pub fn release_all(self) -> Result<Saved, NotOwned> {
        match self {
            CondLock::Lock(this) => match this.lock.release() {
                Ok(()) => Ok(Saved { count: 1, owner: 0 }),
                Err(_) => Err(NotOwned),
            },
            CondLock::RLock(this) => this.lock.release_all(),
        }
    }

    /// Returns the state that a Python condition saves of a lock that it has released.
    pub fn saved_object(self, py: Attached<'_>, saved: Saved) -> Answer {
        match self {
            CondLock::Lock(_) => Ok(py.none()),
            // SAFETY: attached; the result is a new reference.
            CondLock::RLock(_) => unsafe { py.own(compat::saved_to_tuple(saved)) },
        }
    }

    /// Takes the lock back. Signal handlers run only after that (gh-118433).
    pub fn restore(self, py: Attached<'_>, saved: Saved) -> Result<(), Raised> {
        let inner = match self {
            CondLock::Lock(this) => &this.get().lock,
            CondLock::RLock(this) => this.get().lock.lock(),
        };
        blocking::take_back(py, inner)?;
        if let CondLock::RLock(this) = self {
            this.lock.restore(saved);
        }
        Ok(())
    }
}
