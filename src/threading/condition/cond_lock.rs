//! The lock of a native condition.

use pyo3_ffi::PyObject;

use crate::capi::compat;
use crate::capi::errors::Raised;
use crate::runtime::blocking;
use crate::sync::{Lock, NotOwned, ReentrantLock, Saved};

/// One of rthread's own locks.
#[derive(Clone, Copy)]
pub enum CondLock<'a> {
    Lock(&'a Lock),
    RLock(&'a ReentrantLock),
}

impl CondLock<'_> {
    /// Whether the calling thread holds the lock; of a plain lock: whether any thread does.
    pub fn is_owned(self) -> bool {
        match self {
            CondLock::Lock(lock) => lock.is_locked(),
            CondLock::RLock(lock) => lock.is_owned_by(compat::thread_ident()),
        }
    }

    /// Releases the lock, however often it was taken.
    pub fn release_all(self) -> Result<Saved, NotOwned> {
        match self {
            CondLock::Lock(lock) => match lock.release() {
                Ok(()) => Ok(Saved { count: 1, owner: 0 }),
                Err(_) => Err(NotOwned),
            },
            CondLock::RLock(lock) => lock.release_all(),
        }
    }

    /// Returns the state that a Python condition saves of a lock that it has released: a new
    /// reference, or null with an exception set.
    ///
    /// # Safety
    /// Attached.
    pub unsafe fn saved_object(self, saved: Saved) -> *mut PyObject {
        match self {
            CondLock::Lock(_) => compat::none(),
            // SAFETY: attached, as the caller promises.
            CondLock::RLock(_) => unsafe { compat::saved_to_tuple(saved) },
        }
    }

    /// Takes the lock back. Signal handlers run only after that (gh-118433).
    ///
    /// # Safety
    /// Attached; the caller keeps the lock alive.
    pub unsafe fn restore(self, saved: Saved) -> Result<(), Raised> {
        let inner = match self {
            CondLock::Lock(lock) => lock,
            CondLock::RLock(lock) => lock.lock(),
        };
        // SAFETY: as the caller promises.
        unsafe { blocking::take_back(inner)? };
        if let CondLock::RLock(lock) = self {
            lock.restore(saved);
        }
        Ok(())
    }
}
