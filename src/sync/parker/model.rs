//! Under a model checker: a condition variable that the model schedules.
//!
//! The model has no clock and no signals. A park with a deadline may time out, and an interruptible
//! park may be interrupted, at a moment that the model chooses.

use core::ptr;
use core::sync::atomic::AtomicU32 as Plain;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use super::Parked;
use crate::sync::primitive::model::{Condvar, Mutex};
use crate::sync::primitive::{AtomicU32, Ordering, lazy_static};

/// How often one waiter is interrupted at most. Without a limit a model would have no end.
const INTERRUPTIONS: u32 = if cfg!(loom) { 1 } else { 3 };

#[derive(PartialEq, Eq)]
enum Token {
    Empty,
    Notified,
    /// Empty, and the thread sleeps.
    Asleep,
}

pub(crate) struct Parker {
    token: Mutex<Token>,
    /// Shared with a [`Wake`], which may be sent when the parker does not exist any more.
    bed: Arc<Condvar>,
    /// How often it may still be interrupted. Known to its own thread only.
    interruptions: Plain,
}

/// As with the futex: a thread does not wake up by the first step alone.
pub(crate) struct Wake(Option<Arc<Condvar>>);

impl Parker {
    pub(crate) fn new() -> Parker {
        Parker {
            token: Mutex::new(Token::Empty),
            bed: Arc::new(Condvar::new()),
            interruptions: Plain::new(INTERRUPTIONS),
        }
    }

    pub(crate) fn park(&self, deadline: Option<Instant>, interruptible: bool) -> Parked {
        let mut token = self.token.lock().unwrap();
        loop {
            if *token == Token::Notified {
                *token = Token::Empty;
                return Parked::Unparked;
            }
            if interruptible && self.is_interrupted() {
                return Parked::Interrupted;
            }
            if deadline.is_none() {
                *token = Token::Asleep;
                token = self.bed.wait(token).unwrap();
            } else if chance::happens() {
                return Parked::TimedOut;
            } else {
                drop(token);
                chance::pass_time();
                token = self.token.lock().unwrap();
            }
        }
    }

    fn is_interrupted(&self) -> bool {
        let left = self.interruptions.load(Ordering::Relaxed);
        let interrupted = left > 0 && chance::happens();
        if interrupted {
            self.interruptions.store(left - 1, Ordering::Relaxed);
        }
        interrupted
    }

    pub(crate) fn signal(&self) -> Wake {
        let mut token = self.token.lock().unwrap();
        let asleep = core::mem::replace(&mut *token, Token::Notified) == Token::Asleep;
        Wake(asleep.then(|| Arc::clone(&self.bed)))
    }
}

impl Wake {
    pub(crate) fn send(self) {
        if let Some(bed) = self.0 {
            bed.notify_one();
        }
    }
}

/// Events that no thread of a model decides, such as a time-out.
#[cfg(loom)]
pub(crate) mod chance {
    /// The model tries this at every moment. A sleep before the event would only lead to a later
    /// moment, or to a stored wake-up.
    #[must_use]
    pub(crate) fn happens() -> bool {
        true
    }

    pub(crate) fn pass_time() {}
}

/// Events that no thread of a model decides, such as a time-out.
#[cfg(shuttle)]
pub(crate) mod chance {
    use shuttle::rand::{Rng, thread_rng};

    #[must_use]
    pub(crate) fn happens() -> bool {
        thread_rng().gen_bool(0.5)
    }

    pub(crate) fn pass_time() {
        shuttle::thread::yield_now();
    }
}

/// The threads that sleep, each with its word.
type Sleepers = VecDeque<(usize, Arc<Condvar>)>;

lazy_static! {
    static ref FUTEX: Mutex<Sleepers> = Mutex::new(Sleepers::new());
}

pub(crate) fn queue_lock_wait(word: &AtomicU32, expected: u32) {
    let mut sleepers = FUTEX.lock().unwrap();
    if word.load(Ordering::Relaxed) == expected {
        let bed = Arc::new(Condvar::new());
        sleepers.push_back((ptr::from_ref(word).addr(), Arc::clone(&bed)));
        drop(bed.wait(sleepers));
    }
}

pub(crate) fn queue_lock_wake(word: *const AtomicU32) {
    let mut sleepers = FUTEX.lock().unwrap();
    if let Some(first) = sleepers.iter().position(|(other, _)| *other == word.addr()) {
        let (_, bed) = sleepers.remove(first).expect("it is there");
        bed.notify_one();
    }
}
