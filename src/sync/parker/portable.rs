//! Any other Unix, and Windows: a mutex and a condition variable.
//!
//! POSIX lets a condition variable go on waiting after a signal handler has run, and most systems
//! do so. Therefore an interruptible wait is cut into slices, and the caller may run signal
//! handlers after each slice. Only the main thread of an interpreter asks for that.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Parked;
use crate::sync::primitive::AtomicU32;

/// How late a signal may be noticed: too short to be felt after pressing Ctrl-C.
const SLICE: Duration = Duration::from_millis(20);

pub(crate) struct Parker {
    token: Mutex<bool>,
    changed: Condvar,
}

/// The second step of an unpark. Here the first step does all the work: a condition variable must
/// not be touched when its waiter may not exist any more.
#[derive(Clone, Copy)]
pub(crate) struct Wake(());

impl Parker {
    pub(crate) const fn new() -> Parker {
        Parker { token: Mutex::new(false), changed: Condvar::new() }
    }

    pub(crate) fn park(&self, deadline: Option<Instant>, interruptible: bool) -> Parked {
        let mut token = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if core::mem::take(&mut *token) {
                return Parked::Unparked;
            }
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Parked::TimedOut;
            }
            let slice = match (left, interruptible) {
                (Some(left), true) => Some(left.min(SLICE)),
                (None, true) => Some(SLICE),
                (left, false) => left,
            };
            let Some(slice) = slice else {
                token = self.changed.wait(token).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let (guard, timeout) =
                self.changed.wait_timeout(token, slice).unwrap_or_else(PoisonError::into_inner);
            token = guard;
            if timeout.timed_out() && interruptible && !*token {
                let over = deadline.is_some_and(|at| at <= Instant::now());
                return if over { Parked::TimedOut } else { Parked::Interrupted };
            }
        }
    }

    /// Whether the thread is known to sleep.
    #[must_use]
    pub(crate) const fn is_asleep(&self) -> bool {
        false
    }

    /// Whether a wake-up is stored.
    #[must_use]
    pub(crate) fn is_notified(&self) -> bool {
        *self.token.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn signal(&self) -> Wake {
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_one();
        Wake(())
    }
}

impl Wake {
    pub(crate) fn send(self) {}
}

/// Yields the processor to the holder of the queue lock, which holds it for a few instructions
/// only.
pub(crate) fn queue_lock_wait(_word: &AtomicU32, _expected: u32) {
    std::thread::yield_now();
}

/// Does nothing: no thread sleeps in [`queue_lock_wait`].
pub(crate) fn queue_lock_wake(_word: *const AtomicU32) {}
