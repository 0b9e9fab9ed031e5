//! The lock of a native condition.

use crate::capi::compat;
use crate::capi::entry::This;
use crate::capi::errors::Raised;
use crate::capi::object::{Answer, Attached};
use crate::runtime::blocking::{self, Subject};
use crate::runtime::sites;
use crate::sync::{NotOwned, Owner, Saved};
use crate::thread_module::lock::LockObject;
use crate::thread_module::rlock::RLockObject;

/// One of rthread's own locks.
#[derive(Clone, Copy)]
pub enum CondLock<'a> {
    Lock(This<'a, LockObject>),
    RLock(This<'a, RLockObject>),
}

/// The state of a lock before it was released.
#[derive(Clone, Copy)]
pub struct Released {
    saved: Saved,
    owner: Owner,
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
    pub fn release_all(self) -> Result<Released, NotOwned> {
        match self {
            CondLock::Lock(this) => {
                let owner = this.lock.owner();
                match this.lock.release() {
                    Ok(()) => Ok(Released { saved: Saved { count: 1, owner: 0 }, owner }),
                    Err(_) => Err(NotOwned),
                }
            }
            CondLock::RLock(this) => {
                let owner = this.lock.inner_owner();
                this.lock.release_all().map(|saved| Released { saved, owner })
            }
        }
    }

    /// Returns the state that a Python condition saves of a lock that it has released.
    pub fn saved_object(self, py: Attached<'_>, released: Released) -> Answer {
        match self {
            CondLock::Lock(_) => Ok(py.none()),
            // SAFETY: attached; the result is a new reference.
            CondLock::RLock(_) => unsafe { py.own(compat::saved_to_tuple(released.saved)) },
        }
    }

    /// Takes the lock back. Signal handlers run only after that (gh-118433).
    pub fn restore(self, py: Attached<'_>, released: Released) -> Result<(), Raised> {
        match self {
            CondLock::Lock(this) => {
                let lock = &this.get().lock;
                blocking::take_back(py, lock, Subject::lock(lock, this.object()))?;
                sites::is_taken_back(lock, released.owner);
            }
            CondLock::RLock(this) => {
                let lock = &this.get().lock;
                blocking::take_back(py, lock.lock(), Subject::rlock(lock, this.object()))?;
                sites::is_taken_back(lock.lock(), released.owner);
                lock.restore(released.saved);
            }
        }
        Ok(())
    }
}
