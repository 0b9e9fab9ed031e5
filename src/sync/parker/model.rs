//! Under the model checker: a condition variable that the model schedules.
//!
//! The model has no clock and no signals. A park that has a deadline may time out, and one that is
//! interruptible may be interrupted, at a moment that the model chooses.

use std::time::Instant;

use loom::sync::{Condvar, Mutex};

use super::Parked;
use crate::sync::primitive::{AtomicU32, Ordering};

pub(crate) struct Parker {
    token: Mutex<bool>,
    changed: Condvar,
}

#[derive(Clone, Copy)]
pub(crate) struct Wake(());

impl Parker {
    pub(crate) fn new() -> Parker {
        Parker { token: Mutex::new(false), changed: Condvar::new() }
    }

    pub(crate) fn park(&self, deadline: Option<Instant>, interruptible: bool) -> Parked {
        let mut token = self.token.lock().unwrap();
        if core::mem::take(&mut *token) {
            return Parked::Unparked;
        }
        if deadline.is_some() {
            return Parked::TimedOut;
        }
        if interruptible {
            return Parked::Interrupted;
        }
        while !core::mem::take(&mut *token) {
            token = self.changed.wait(token).unwrap();
        }
        Parked::Unparked
    }

    pub(crate) fn signal(&self) -> Wake {
        *self.token.lock().unwrap() = true;
        self.changed.notify_one();
        Wake(())
    }
}

impl Wake {
    pub(crate) fn send(self) {}
}

loom::lazy_static! {
    /// One futex for all words: a thread that is woken looks at its own again.
    static ref FUTEX: (Mutex<()>, Condvar) = (Mutex::new(()), Condvar::new());
}

pub(crate) fn guard_wait(word: &AtomicU32, expected: u32) {
    let guard = FUTEX.0.lock().unwrap();
    if word.load(Ordering::Relaxed) == expected {
        drop(FUTEX.1.wait(guard));
    }
}

pub(crate) fn guard_wake(_word: *const AtomicU32) {
    let _guard = FUTEX.0.lock().unwrap();
    FUTEX.1.notify_all();
}
