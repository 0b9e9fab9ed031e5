//! A counter that threads wait for while it is zero.
//!
//! One word holds the counter and, in its low bits, two flags, so that taking and giving back are
//! one atomic step each while nobody waits. Who is served when is decided as for [`Lock`]: a
//! release wakes a waiter and lets newcomers be faster, until one has waited for [`FAIRNESS`]:
//! that one gets what is released, and nobody can get in between.
//!
//! Invariant outside of the guard: if a release has made the counter larger than zero and somebody
//! waits, at least one waiter has been woken and will look again. Only [`Semaphore::set_value`]
//! wakes nobody.
//!
//! [`Lock`]: super::Lock

use super::lock::FAIRNESS;
use super::parker::Wake;
use super::primitive::{AtomicU64, Ordering, const_unless_modelled};
use super::queue::{Queue, WaitQueue};
use super::waiter::{Awaitable, Phase, Waiter};

/// The queue is not empty. Changed under the guard.
const PARKED: u64 = 1;
/// The semaphore is no more, see [`Semaphore::close`].
const CLOSED: u64 = 2;
const ONE: u64 = 4;

/// The largest value of a semaphore.
const MAX: u64 = u64::MAX / ONE;

/// Why a release did nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotReleased {
    /// The value would have become larger than the bound, or than a semaphore can count.
    TooMany,
    /// The semaphore has been closed.
    Closed,
}

/// See the module's documentation.
#[repr(C)]
pub struct Semaphore {
    /// The counter and the flags; the word of the queue is not used.
    value: AtomicU64,
    queue: WaitQueue,
}

impl Semaphore {
    const_unless_modelled! {
        /// A semaphore that can be acquired `value` times, which must be at most [`Semaphore::MAX`].
        pub fn new(value: u64) -> Semaphore {
            Semaphore { value: AtomicU64::new(value * ONE), queue: WaitQueue::new() }
        }
    }

    /// The largest value.
    pub const MAX: u64 = MAX;

    /// Takes one if there is any. Fails on a closed semaphore.
    #[inline]
    pub fn try_acquire(&self) -> bool {
        let mut seen = self.value.load(Ordering::Relaxed);
        while seen >= ONE && seen & CLOSED == 0 {
            match self.value.compare_exchange_weak(
                seen,
                seen - ONE,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(now) => seen = now,
            }
        }
        false
    }

    /// Gives back `count`, at most up to `bound` in all.
    ///
    /// # Errors
    /// [`NotReleased`], and nothing has changed.
    #[inline]
    pub fn release(&self, count: u64, bound: u64) -> Result<(), NotReleased> {
        if self.add(count, bound)? & PARKED != 0 {
            self.serve();
        }
        Ok(())
    }

    /// What was there before.
    #[inline]
    fn add(&self, count: u64, bound: u64) -> Result<u64, NotReleased> {
        let mut seen = self.value.load(Ordering::Relaxed);
        loop {
            if seen & CLOSED != 0 {
                return Err(NotReleased::Closed);
            }
            let fits = (seen / ONE).checked_add(count).is_some_and(|sum| sum <= bound.min(MAX));
            if !fits {
                return Err(NotReleased::TooMany);
            }
            // No stronger order is needed against `enqueue`: both change the same word, so one of
            // them comes first, and the second sees what the first did.
            match self.value.compare_exchange_weak(
                seen,
                seen + count * ONE,
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Ok(seen),
                Err(now) => seen = now,
            }
        }
    }

    /// How many times it can be acquired at this moment; `None` if it is closed.
    #[inline]
    pub fn value(&self) -> Option<u64> {
        let seen = self.value.load(Ordering::Acquire);
        (seen & CLOSED == 0).then_some(seen / ONE)
    }

    /// Makes the value another one, of which only those learn who come later: whoever waits goes
    /// on until the next release, as with a number that somebody writes into a Python object.
    /// False if the semaphore is closed.
    pub fn set_value(&self, value: u64) -> bool {
        let mut seen = self.value.load(Ordering::Relaxed);
        loop {
            if seen & CLOSED != 0 {
                return false;
            }
            let next = value.min(MAX) * ONE + seen % ONE;
            match self.value.compare_exchange_weak(seen, next, Ordering::AcqRel, Ordering::Relaxed)
            {
                Ok(_) => return true,
                Err(now) => seen = now,
            }
        }
    }

    /// Ends the semaphore for good: sends everybody away who waits, and makes every method fail.
    /// Its last value; `None` if somebody else was first.
    pub fn close(&self) -> Option<u64> {
        let mut queue = self.queue.guard();
        let before = self.value.fetch_or(CLOSED, Ordering::AcqRel);
        // Nobody joins the queue of a closed semaphore, so this ends.
        while let Some(first) = queue.front() {
            // SAFETY: it is the front of the queue.
            unsafe { queue.remove(first) };
            let wake = first.signal(Phase::Dismissed);
            queue.release_and_wake(Some(wake));
            queue = self.queue.guard();
        }
        self.settle(&queue);
        queue.release();
        (before & CLOSED == 0).then_some(before / ONE)
    }

    /// Lets waiters have what there is, until all of it is given or offered to somebody.
    #[cold]
    fn serve(&self) {
        loop {
            let queue = self.queue.guard();
            let wake = self.serve_one(&queue);
            self.settle(&queue);
            let done = wake.is_none();
            queue.release_and_wake(wake);
            if done {
                return;
            }
        }
    }

    /// Grants to a waiter that is due, or wakes one that is not. None if there is nothing to do.
    fn serve_one(&self, queue: &Queue<'_>) -> Option<Wake> {
        loop {
            let first = queue.front()?;
            if !first.has_waited(FAIRNESS) {
                break;
            }
            if !self.try_acquire() {
                return None;
            }
            let asleep = first.phase() == Phase::Queued;
            // SAFETY: it is the front of the queue.
            unsafe { queue.remove(first) };
            let wake = first.signal(Phase::Granted);
            if asleep {
                return Some(wake);
            }
        }
        let offers = usize::try_from(self.value()?).unwrap_or(usize::MAX);
        let next = queue.iter().take(offers).find(|waiter| waiter.phase() == Phase::Queued)?;
        Some(next.signal(Phase::Woken))
    }

    /// Clears PARKED if the queue is empty.
    fn settle(&self, queue: &Queue<'_>) {
        if queue.is_empty() {
            self.value.fetch_and(!PARKED, Ordering::Relaxed);
        }
    }
}

// SAFETY: a waiter is reachable through the queue only, between push and remove, and every access
// to it is made under the guard; claim and cancel take the guard before the waiter may go.
unsafe impl Awaitable for Semaphore {
    unsafe fn enqueue(&self, waiter: &Waiter, resumed: bool) -> bool {
        let queue = self.queue.guard();
        // PARKED has to be set in one step with seeing that there is none: a release in between
        // would wake nobody.
        let mut seen = self.value.load(Ordering::Relaxed);
        loop {
            let next = if seen & CLOSED != 0 {
                seen
            } else if seen >= ONE {
                seen - ONE
            } else {
                seen | PARKED
            };
            match self.value.compare_exchange_weak(seen, next, Ordering::Acquire, Ordering::Relaxed)
            {
                Ok(_) => break,
                Err(now) => seen = now,
            }
        }
        let settled = if seen & CLOSED != 0 {
            waiter.set_phase(Phase::Dismissed);
            true
        } else if seen >= ONE {
            waiter.set_phase(Phase::Granted);
            true
        } else {
            // SAFETY: the caller keeps the waiter in place; it is in no queue yet.
            unsafe { queue.push(waiter, resumed) };
            false
        };
        queue.release();
        settled
    }

    unsafe fn claim(&self, waiter: &Waiter) -> bool {
        let queue = self.queue.guard();
        if waiter.is_settled() {
            queue.release();
            return true;
        }
        let claimed = self.try_acquire();
        let mut wake = None;
        if claimed {
            waiter.set_phase(Phase::Granted);
            // SAFETY: not settled, so it was in the queue still.
            unsafe { queue.remove(waiter) };
            self.settle(&queue);
            // One wake-up may stand for several releases.
            wake = self.serve_one(&queue);
            self.settle(&queue);
        } else {
            waiter.set_phase(Phase::Queued);
        }
        queue.release_and_wake(wake);
        claimed
    }

    unsafe fn cancel(&self, waiter: &Waiter) -> bool {
        let queue = self.queue.guard();
        if waiter.is_settled() {
            queue.release();
            return true;
        }
        // SAFETY: not settled, so it is in the queue still.
        unsafe { queue.remove(waiter) };
        // A wake-up that this waiter does not use belongs to the next one.
        let wake = self.serve_one(&queue);
        self.settle(&queue);
        queue.release_and_wake(wake);
        false
    }
}
