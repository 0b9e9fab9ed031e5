//! Linux: the parker is a word that the kernel can wait on.
//!
//! | token | meaning |
//! |---|---|
//! | EMPTY | no wake-up is stored, and the thread does not sleep |
//! | NOTIFIED | a wake-up is stored |
//! | ASLEEP | no wake-up is stored, and the thread sleeps, is about to, or has just stopped |
//!
//! - To NOTIFIED, from any state: by a swap of the thread that wakes.
//! - NOTIFIED to EMPTY, and EMPTY to ASLEEP: by compare-exchange of the thread that parks. If its
//!   deadline has passed or a signal has come, ASLEEP stays.

use core::ptr;
use std::time::Instant;

use super::Parked;
use crate::sync::primitive::{AtomicU32, Ordering};

const EMPTY: u32 = 0;
const NOTIFIED: u32 = 1;
/// Empty, and the thread sleeps or is about to.
const ASLEEP: u32 = 2;

pub(crate) struct Parker {
    token: AtomicU32,
}

/// The second step of an unpark: the address to wake, where a parker may not exist any more. Null
/// if no thread sleeps there.
#[derive(Clone, Copy)]
pub(crate) struct Wake(*const AtomicU32);

impl Parker {
    pub(crate) const fn new() -> Parker {
        Parker { token: AtomicU32::new(EMPTY) }
    }

    pub(crate) fn park(&self, deadline: Option<Instant>, interruptible: bool) -> Parked {
        loop {
            // Acquire pairs with the Release in `signal`: the writes of the waker are visible.
            if self
                .token
                .compare_exchange(NOTIFIED, EMPTY, Ordering::Acquire, Ordering::Relaxed)
                .is_ok()
            {
                return Parked::Unparked;
            }
            let left = match deadline {
                None => None,
                Some(at) => match at.checked_duration_since(Instant::now()) {
                    Some(left) if !left.is_zero() => Some(left),
                    _ => return Parked::TimedOut,
                },
            };
            // This fails if the wake-up has come just now, or if ASLEEP is left from the last
            // sleep. Either is harmless.
            let _ =
                self.token.compare_exchange(EMPTY, ASLEEP, Ordering::Relaxed, Ordering::Relaxed);
            if futex_wait(&self.token, ASLEEP, left) == Err(libc::EINTR) && interruptible {
                return Parked::Interrupted;
            }
        }
    }

    /// Whether the thread sleeps, or is about to.
    #[must_use]
    pub(crate) fn is_asleep(&self) -> bool {
        self.token.load(Ordering::Relaxed) == ASLEEP
    }

    /// Whether a wake-up is stored.
    #[must_use]
    pub(crate) fn is_notified(&self) -> bool {
        self.token.load(Ordering::Relaxed) == NOTIFIED
    }

    pub(crate) fn signal(&self) -> Wake {
        let asleep = self.token.swap(NOTIFIED, Ordering::Release) == ASLEEP;
        Wake(if asleep { &self.token } else { ptr::null() })
    }
}

impl Wake {
    pub(crate) fn send(self) {
        if !self.0.is_null() {
            futex_wake_one(self.0);
        }
    }
}

/// Sleeps while `word` is `expected`; may return early.
pub(crate) fn queue_lock_wait(word: &AtomicU32, expected: u32) {
    let _ = futex_wait(word, expected, None);
}

/// Wakes one thread that sleeps in [`queue_lock_wait`] on this word.
pub(crate) fn queue_lock_wake(word: *const AtomicU32) {
    futex_wake_one(word);
}

fn futex_wait(
    word: &AtomicU32,
    expected: u32,
    timeout: Option<core::time::Duration>,
) -> Result<(), i32> {
    let timeout = timeout.map(|left| libc::timespec {
        tv_sec: libc::time_t::try_from(left.as_secs()).unwrap_or(libc::time_t::MAX),
        // The type differs between targets; the nanoseconds of a second fit into each of them.
        tv_nsec: left.subsec_nanos() as _,
    });
    // SAFETY: the word outlives the call, and the timeout is null or a valid timespec. The kernel
    // compares and sleeps atomically. FUTEX_WAIT counts the timeout on CLOCK_MONOTONIC.
    let result = unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
            expected,
            timeout.as_ref().map_or(ptr::null(), ptr::from_ref),
        )
    };
    if result == 0 { Ok(()) } else { Err(errno()) }
}

fn futex_wake_one(word: *const AtomicU32) {
    // SAFETY: FUTEX_WAKE only looks the address up in the kernel's table. If the memory has been
    // freed since, it wakes no thread, or a sleeper on a word that is at this address now. Every
    // sleeper checks its word again, so a wake-up without a reason is harmless.
    unsafe {
        libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG, 1);
    }
}

fn errno() -> i32 {
    // SAFETY: the location of this thread's errno is always valid.
    unsafe { *libc::__errno_location() }
}
