//! A mutex of one word, for the few instructions in which a queue changes.
//!
//! The two low bits of the word are the state of the mutex. The bits above are the fork epoch in
//! which the mutex was last used.
//!
//! | state | epoch | meaning |
//! |---|---|---|
//! | FREE | of this process | free |
//! | HELD | of this process | held, and no thread sleeps until it is free |
//! | CONTENDED | of this process | held, and threads may sleep until it is free |
//! | any | older | free: its holder and its waiters do not exist in this process |
//!
//! - FREE to HELD, or any older word to HELD: by compare-exchange of a thread that takes the mutex.
//! - FREE to CONTENDED, or any older word to CONTENDED: the same, if the thread has spun for long
//!   enough and was about to sleep, or has slept.
//! - HELD to CONTENDED: by compare-exchange of a thread that is about to sleep.
//! - HELD or CONTENDED to FREE: by the holder, with a swap. If the word was CONTENDED, the holder
//!   wakes one thread.

use super::fork;
use super::parker::{queue_lock_wait, queue_lock_wake};
use super::primitive::{AtomicU32, Ordering, const_unless_modelled};

/// The states of the mutex, in the low bits. They are those of Rust's standard library.
const FREE: u32 = 0;
const HELD: u32 = 1;
/// Held, and a thread may sleep until it is free.
const CONTENDED: u32 = 2;
/// The bits of the state.
const STATE: u32 = 3;
const EPOCH_SHIFT: u32 = 2;

/// How often a thread checks the word before it sleeps: a queue lock is held for some ten
/// instructions.
const SPINS: u32 = 100;

/// The state of the mutex, and above it the fork epoch of its last use. See the module's
/// documentation.
pub(super) struct QueueLock {
    word: AtomicU32,
}

impl QueueLock {
    const_unless_modelled! {
        /// A free mutex. All bytes are zero.
        pub(super) fn new() -> QueueLock {
            QueueLock { word: AtomicU32::new(0) }
        }
    }

    /// Whether the queue lock was last used in another process, or never.
    #[must_use]
    pub(super) fn is_stale(&self) -> bool {
        self.word.load(Ordering::Relaxed) & !STATE != fork::epoch() << EPOCH_SHIFT
    }

    /// Takes the queue lock. While it is held, the thread must not block and must not run Python
    /// code.
    #[inline]
    pub(super) fn hold(&self) -> Held<'_> {
        let epoch = fork::epoch() << EPOCH_SHIFT;
        let stale = match self.word.compare_exchange(
            epoch | FREE,
            epoch | HELD,
            Ordering::Acquire,
            Ordering::Relaxed,
        ) {
            Ok(_) => false,
            Err(_) => self.hold_contended(epoch),
        };
        Held { queue_lock: self, epoch, stale }
    }

    /// The slow path. True if the queue lock was last used in another process.
    #[cold]
    fn hold_contended(&self, epoch: u32) -> bool {
        let mut spins = 0;
        let mut take = HELD;
        loop {
            let seen = self.word.load(Ordering::Relaxed);
            let stale = seen & !STATE != epoch;
            if stale || seen & STATE == FREE {
                // A queue lock of an older epoch is free in any state: its holder and its waiters
                // were threads of the parent process.
                if self
                    .word
                    .compare_exchange(seen, epoch | take, Ordering::Acquire, Ordering::Relaxed)
                    .is_ok()
                {
                    return stale;
                }
                continue;
            }
            if cfg!(not(modelled)) && spins < SPINS {
                spins += 1;
                core::hint::spin_loop();
                continue;
            }
            // A thread that has slept must take the queue lock as CONTENDED. It cannot know whether
            // other threads still sleep, and as HELD the release would not wake them.
            take = CONTENDED;
            if seen & STATE == CONTENDED
                || self
                    .word
                    .compare_exchange(seen, epoch | CONTENDED, Ordering::Relaxed, Ordering::Relaxed)
                    .is_ok()
            {
                queue_lock_wait(&self.word, epoch | CONTENDED);
            }
        }
    }
}

/// A queue lock that this thread holds, until [`Held::release`].
///
/// No `Drop`: the interpreter may unwind the code that uses this. That code holds no queue lock
/// across a call that may unwind. An explicit release shows where the critical section ends.
pub(super) struct Held<'a> {
    queue_lock: &'a QueueLock,
    epoch: u32,
    stale: bool,
}

impl Held<'_> {
    /// Whether this is the first use of the queue lock in this process. If so, the data that it
    /// protects is from the parent, and the threads that the data refers to do not exist.
    #[must_use]
    pub(super) fn is_stale(&self) -> bool {
        self.stale
    }

    pub(super) fn release(self) {
        let before = self.queue_lock.word.swap(self.epoch | FREE, Ordering::Release);
        if before & STATE == CONTENDED {
            queue_lock_wake(&self.queue_lock.word);
        }
    }
}
