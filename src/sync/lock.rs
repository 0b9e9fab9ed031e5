//! A lock that any thread may release: what `_thread.lock` is made of.
//!
//! The word of the queue holds four bits, of which the first two exclude each other:
//!
//! | LOCKED | HANDED_OFF | PARKED | |
//! |---|---|---|---|
//! | 0 | 0 | 0 | free |
//! | 1 | 0 | 0 | held, nobody waits |
//! | 0 | 0 | 1 | free, the first waiter has been woken; newcomers may still take it |
//! | 1 | 0 | 1 | held, and the queue is not empty |
//! | 0 | 1 | any | free, but only for the waiter that it was handed to, which has left the queue |
//!
//! LOCKED changes by compare-exchange, with or without the queue lock; HANDED_OFF under the queue lock only,
//! and so does PARKED, which says whether the queue is empty. The fourth, WAKE_PENDING, says that a waiter
//! is awake, or will wake up soon by itself, and look: a release need not tell anybody, and is one
//! atomic step as if nobody waited. The fifth, USED, is set with LOCKED and cleared by a waiter that
//! looks: it says whether the lock was taken between two looks. One more bit is the owner's, see
//! [`Lock::mark_sentinel`]. The bits above count the waits that their callers have announced, see
//! [`Lock::try_acquire_alone`].
//!
//! *Barging and fairness.* A release that finds a waiter frees the lock and wakes the first one,
//! but does not reserve the lock for it: until that thread runs, others take and free the lock at
//! full speed, and no second wake-up is sent. That is where throughput comes from, above all with
//! a GIL, where the woken thread has to get the GIL before it can use the lock. A waiter that looks
//! and finds the lock taken again may have met a thread that takes it at every turn, or one that is
//! about to wait for something itself. It looks for a moment whether the lock comes to rest, that
//! is, whether it is free and was not taken since the look before, and then takes it; else it just
//! looks again after a [`RETRY_AFTER`], instead of slowing the other thread down. A waiter that has waited
//! for [`TIME_TO_BE_FAIR`] is handed the lock by the next release, and nobody can get in between. It does not count as locked before that waiter takes it:
//! a thread that releases a lock and has not let anybody else run finds it unlocked, and cannot
//! release it again. So no thread starves, and a lock that is fought over changes hands about a
//! thousand times a second and not a million.

use core::time::Duration;

use super::primitive::{Ordering, const_unless_modelled};
use super::wait_list::{LockedList, WaitList};
use super::waiter::{Awaitable, Cancelled, Phase, Waiter};

const LOCKED: u32 = 1;
const PARKED: u32 = 2;
const HANDED_OFF: u32 = 4;
const IS_SENTINEL: u32 = 8;
const WAKE_PENDING: u32 = 16;
const USED: u32 = 32;
/// One announced wait.
const WAIT: u32 = 1 << 8;
/// Not to be had by a newcomer.
const UNAVAILABLE: u32 = LOCKED | HANDED_OFF;

/// How long a thread waits until it is served before any newcomer.
pub const TIME_TO_BE_FAIR: Duration = Duration::from_millis(1);

/// How long a waiter sleeps that has been woken and found the lock taken again.
const RETRY_AFTER: Duration = Duration::from_micros(100);

/// The lock was not locked, so it cannot be released.
#[derive(Debug, PartialEq, Eq)]
pub struct NotLocked;

/// See the module's documentation. Sixteen bytes; all zero is a free lock.
#[repr(transparent)]
pub struct Lock {
    queue: WaitList,
}

impl Default for Lock {
    fn default() -> Lock {
        Lock::new()
    }
}

impl Lock {
    const_unless_modelled! {
        /// A free lock.
        pub fn new() -> Lock {
            Lock { queue: WaitList::new() }
        }
    }

    /// Takes the lock if it is free.
    #[inline]
    pub fn try_acquire(&self) -> bool {
        self.try_acquire_from(self.queue.word.load(Ordering::Relaxed))
    }

    #[inline]
    fn try_acquire_from(&self, mut seen: u32) -> bool {
        while seen & UNAVAILABLE == 0 {
            // Acquire pairs with the Release of the release before.
            match self.queue.word.compare_exchange_weak(
                seen,
                seen | LOCKED | USED,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(now) => seen = now,
            }
        }
        seen & HANDED_OFF != 0 && self.queue.is_stale() && self.try_acquire_from_the_dead()
    }

    /// Takes the lock without an atomic step, if it is free and no other thread can be at it. Else
    /// nothing has changed, and the caller has to try the ordinary way.
    ///
    /// # Safety
    /// Where one thread runs at a time, as with a GIL, the caller is that thread; and every other
    /// one that uses the lock has that turn too, but in waits of which [`Awaitable::begin`] was
    /// called, and but to release a lock that is tagged.
    #[inline]
    #[must_use]
    pub unsafe fn try_acquire_alone(&self) -> bool {
        let seen = self.queue.word.load(Ordering::Relaxed);
        if seen & !USED == 0 {
            // Relaxed: what hands the turn to the next thread shows it all that came before.
            self.queue.word.store(USED | LOCKED, Ordering::Relaxed);
            return true;
        }
        false
    }

    /// Frees the lock without an atomic step, if it is locked and no other thread can be at it. Else
    /// nothing has changed, as with [`Lock::try_acquire_alone`].
    ///
    /// # Safety
    /// As [`Lock::try_acquire_alone`].
    #[inline]
    #[must_use]
    pub unsafe fn release_alone(&self) -> bool {
        if self.queue.word.load(Ordering::Relaxed) & !USED == LOCKED {
            // Relaxed: as in `try_acquire_alone`. USED goes as well: no waiter has looked yet.
            self.queue.word.store(0, Ordering::Relaxed);
            return true;
        }
        false
    }

    /// A free lock in the place of this one, whose holder and waiters are gone. What is tagged stays
    /// so, and the calling thread may be in a wait that has been announced.
    #[must_use]
    pub fn renewed(&self) -> Lock {
        let kept = self.queue.word.load(Ordering::Relaxed) & (IS_SENTINEL | !(WAIT - 1));
        let lock = Lock::new();
        lock.queue.word.store(kept, Ordering::Relaxed);
        lock
    }

    /// The waiter that the lock was handed to did not come along to this process.
    #[cold]
    fn try_acquire_from_the_dead(&self) -> bool {
        self.lock_queue().release();
        self.try_acquire()
    }

    /// Takes the queue lock of the queue. The first time in the child of a fork, nobody is in there, nor
    /// on the way from there to the lock.
    #[inline]
    fn lock_queue(&self) -> LockedList<'_> {
        let queue = self.queue.lock_queue();
        if queue.is_stale() {
            self.queue.word.fetch_and(!HANDED_OFF, Ordering::Relaxed);
        }
        queue
    }

    /// Frees the lock, or hands it to the first waiter. One atomic step decides whether it was
    /// locked, so of two releases at once of a lock that was taken once one fails.
    ///
    /// # Errors
    /// [`NotLocked`], and nothing has changed.
    #[inline]
    pub fn release(&self) -> Result<(), NotLocked> {
        let mut seen = self.queue.word.load(Ordering::Relaxed);
        while seen & (PARKED | WAKE_PENDING) != PARKED {
            if seen & LOCKED == 0 {
                return Err(NotLocked);
            }
            match self.queue.word.compare_exchange_weak(
                seen,
                seen & !LOCKED,
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Ok(()),
                Err(now) => seen = now,
            }
        }
        self.release_parked()
    }

    #[cold]
    fn release_parked(&self) -> Result<(), NotLocked> {
        let queue = self.lock_queue();
        let Some(first) = queue.front() else {
            // Nobody waits after all, or this is the child of a fork and they are gone.
            let result = self.unlock(PARKED);
            queue.release();
            return result;
        };
        if first.has_waited(TIME_TO_BE_FAIR) {
            if let Err(error) = self.hand_off() {
                queue.release();
                return Err(error);
            }
            let asleep = first.phase() == Phase::Queued;
            // SAFETY: it is the front of the queue.
            unsafe { queue.remove(first) };
            self.update_parked(&queue);
            let wake = first.signal(Phase::Granted);
            queue.release_and_wake(asleep.then_some(wake));
            return Ok(());
        }
        // One that is awake already will look at the lock: waking it twice, or another one too,
        // would only make them fight.
        if let Err(error) = self.unlock_and_wake() {
            queue.release();
            return Err(error);
        }
        let wake = (first.phase() == Phase::Queued).then(|| first.signal(Phase::Woken));
        queue.release_and_wake(wake);
        Ok(())
    }

    /// Clears LOCKED, which must be set, and sets WAKE_PENDING: a waiter is being woken.
    fn unlock_and_wake(&self) -> Result<(), NotLocked> {
        let mut seen = self.queue.word.load(Ordering::Relaxed);
        while seen & LOCKED != 0 {
            match self.queue.word.compare_exchange_weak(
                seen,
                (seen & !LOCKED) | WAKE_PENDING,
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Ok(()),
                Err(now) => seen = now,
            }
        }
        Err(NotLocked)
    }

    /// Turns LOCKED, which must be set, into HANDED_OFF: nobody gets in between.
    fn hand_off(&self) -> Result<(), NotLocked> {
        let mut seen = self.queue.word.load(Ordering::Relaxed);
        while seen & LOCKED != 0 {
            match self.queue.word.compare_exchange_weak(
                seen,
                seen ^ UNAVAILABLE,
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Ok(()),
                Err(now) => seen = now,
            }
        }
        Err(NotLocked)
    }

    /// The waiter that the lock is reserved for takes it. Under the queue lock.
    fn accept_handoff(&self) {
        // HANDED_OFF keeps everybody else from setting LOCKED, so turning both turns them round.
        let before = self.queue.word.fetch_xor(UNAVAILABLE, Ordering::Acquire);
        debug_assert_eq!(before & UNAVAILABLE, HANDED_OFF);
    }

    /// Clears LOCKED, which must be set, and the bits of `also`.
    fn unlock(&self, also: u32) -> Result<(), NotLocked> {
        let before = self.queue.word.fetch_and(!(LOCKED | also), Ordering::Release);
        if before & LOCKED == 0 { Err(NotLocked) } else { Ok(()) }
    }

    /// After the waiter that was awake has left: clears WAKE_PENDING, and PARKED if the queue is empty.
    fn update_parked(&self, queue: &LockedList<'_>) {
        let also = if queue.is_empty() { PARKED } else { 0 };
        self.queue.word.fetch_and(!(WAKE_PENDING | also), Ordering::Relaxed);
    }

    /// A waiter that is awake has found the lock taken and asks to be told of the next release.
    /// False if it has become free.
    fn request_wake(&self) -> bool {
        let mut seen = self.queue.word.load(Ordering::Relaxed);
        while seen & UNAVAILABLE != 0 {
            match self.queue.word.compare_exchange_weak(
                seen,
                seen & !WAKE_PENDING,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(now) => seen = now,
            }
        }
        false
    }

    /// Whether somebody holds the lock at this moment.
    #[inline]
    pub fn is_locked(&self) -> bool {
        self.queue.word.load(Ordering::Relaxed) & LOCKED != 0
    }

    fn is_busy(&self) -> bool {
        self.queue.word.load(Ordering::Relaxed) & UNAVAILABLE != 0
    }

    /// Whether anybody waits for the lock at this moment.
    pub fn has_waiters(&self) -> bool {
        self.queue.word.load(Ordering::Relaxed) & PARKED != 0
    }

    /// Sets a bit that the lock carries for its owner until it is made new.
    pub fn mark_sentinel(&self) {
        self.queue.word.fetch_or(IS_SENTINEL, Ordering::Relaxed);
    }

    /// Whether [`Lock::mark_sentinel`] was called.
    #[inline]
    pub fn is_sentinel(&self) -> bool {
        self.queue.word.load(Ordering::Relaxed) & IS_SENTINEL != 0
    }
}

impl Lock {
    /// A waiter that is awake takes the lock and leaves the queue, or goes back to sleep.
    ///
    /// # Safety
    /// It is in the queue.
    unsafe fn try_claim(&self, queue: &LockedList<'_>, waiter: &Waiter) -> bool {
        loop {
            if self.try_acquire() {
                // SAFETY: as the caller promises.
                unsafe { queue.remove(waiter) };
                self.update_parked(queue);
                return true;
            }
            if waiter.phase() == Phase::Woken && !waiter.has_waited(TIME_TO_BE_FAIR) {
                // WAKE_PENDING stays: it will look by itself.
                waiter.nap(RETRY_AFTER);
                return false;
            }
            // From here on the next release finds it in the queue, and is after this in the order
            // of changes to the word, or was before: then the lock is free.
            if self.request_wake() {
                waiter.set_phase(Phase::Queued);
                return false;
            }
        }
    }
}

// SAFETY: a waiter is reachable through the queue only, between push and remove, and every access
// to it is made under the queue lock; claim and cancel take the queue lock before the waiter may go.
unsafe impl Awaitable for Lock {
    fn begin(&self) {
        // Relaxed: the thread has its turn, and what hands that on shows the count to the next one.
        self.queue.word.fetch_add(WAIT, Ordering::Relaxed);
    }

    fn end(&self) {
        // Relaxed: as in `begin`.
        self.queue.word.fetch_sub(WAIT, Ordering::Relaxed);
    }

    #[cfg(not(modelled))]
    fn is_at_rest(&self) -> bool {
        let seen = self.queue.word.load(Ordering::Relaxed);
        if seen & USED != 0 {
            self.queue.word.fetch_and(!USED, Ordering::Relaxed);
        }
        seen & (UNAVAILABLE | USED) == 0
    }

    unsafe fn enqueue(&self, waiter: &Waiter, resumed: bool) -> bool {
        let queue = self.lock_queue();
        // PARKED has to be set in one step with seeing LOCKED: a release in between would take
        // the fast path and wake nobody.
        let mut seen = self.queue.word.load(Ordering::Relaxed);
        loop {
            let next = if seen & UNAVAILABLE == 0 {
                seen | HANDED_OFF
            } else if queue.is_empty() {
                // In the child of a fork nobody is awake, whatever the word says.
                (seen | PARKED) & !WAKE_PENDING
            } else {
                seen | PARKED
            };
            match self.queue.word.compare_exchange_weak(
                seen,
                next,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => break,
                Err(now) => seen = now,
            }
        }
        let granted = seen & UNAVAILABLE == 0;
        if granted {
            waiter.set_phase(Phase::Granted);
        } else {
            // SAFETY: the caller keeps the waiter in place; it is in no queue yet.
            unsafe { queue.push(waiter, resumed) };
        }
        queue.release();
        granted
    }

    unsafe fn claim(&self, waiter: &Waiter) -> bool {
        let queue = self.lock_queue();
        let claimed = if waiter.phase() == Phase::Granted {
            self.accept_handoff();
            true
        } else {
            // SAFETY: not granted, so it is in the queue still.
            unsafe { self.try_claim(&queue, waiter) }
        };
        queue.release();
        claimed
    }

    unsafe fn cancel(&self, waiter: &Waiter) -> Cancelled {
        let queue = self.lock_queue();
        if waiter.phase() == Phase::Granted {
            queue.release();
            return Cancelled::Settled;
        }
        // SAFETY: not granted, so it is in the queue still.
        unsafe { queue.remove(waiter) };
        self.update_parked(&queue);
        // A wake-up that this waiter does not use belongs to the next one.
        let wake = match queue.front() {
            Some(next) if !self.is_busy() && next.phase() == Phase::Queued => {
                Some(next.signal(Phase::Woken))
            }
            _ => None,
        };
        queue.release_and_wake(wake);
        Cancelled::Left
    }
}
