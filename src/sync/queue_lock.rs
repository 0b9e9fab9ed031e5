//! A mutex of one word, for the few instructions in which a queue changes.

use super::fork;
use super::parker::{queue_lock_wait, queue_lock_wake};
use super::primitive::{AtomicU32, Ordering, const_unless_modelled};

/// The low bits of the queue lock: a mutex in three states, as in Rust's standard library.
const FREE: u32 = 0;
const HELD: u32 = 1;
/// Held, and somebody may sleep until it is free.
const CONTENDED: u32 = 2;
const STATE: u32 = 3;
const EPOCH_SHIFT: u32 = 2;

/// How often to look before sleeping: a queue lock is held for some ten instructions.
const SPINS: u32 = 100;

/// The state of the mutex, and above it the fork epoch of its last use.
pub(super) struct QueueLock {
    word: AtomicU32,
}

impl QueueLock {
    const_unless_modelled! {
        /// Free. All bytes are zero.
        pub(super) fn new() -> QueueLock {
            QueueLock { word: AtomicU32::new(0) }
        }
    }

    /// Whether it was last used in another process, if at all.
    pub(super) fn is_stale(&self) -> bool {
        self.word.load(Ordering::Relaxed) & !STATE != fork::epoch() << EPOCH_SHIFT
    }

    /// Takes the queue lock. Nothing that can block, and no Python code, may run while it is held.
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

    /// The slow way. Whether the queue lock was last used in another process.
    #[cold]
    fn hold_contended(&self, epoch: u32) -> bool {
        let mut spins = 0;
        let mut take = HELD;
        loop {
            let seen = self.word.load(Ordering::Relaxed);
            let stale = seen & !STATE != epoch;
            if stale || seen & STATE == FREE {
                // A queue lock of an older epoch is free whatever it says: its holder and its waiters
                // were threads of the process that this one was forked from.
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
            // Whoever has slept must leave the queue lock contended: it cannot know whether it was the
            // last to sleep.
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

/// A queue lock that is held: until [`Held::release`].
///
/// No `Drop`: code that may be unwound by the interpreter holds one across no call that can, and
/// an explicit release says where the critical section ends.
pub(super) struct Held<'a> {
    queue_lock: &'a QueueLock,
    epoch: u32,
    stale: bool,
}

impl Held<'_> {
    /// Whether this is the first use of the queue lock in this process: whatever it protects is from
    /// the parent, and the threads that it speaks of are gone.
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
