//! A lock that any thread may release: the base of `_thread.lock`.
//!
//! # The state word
//!
//! The state is the word of the wait list. Four bits describe the lock and its queue:
//!
//! | LOCKED | HANDED_OFF | PARKED | WAKE_PENDING | meaning |
//! |---|---|---|---|---|
//! | 0 | 0 | 0 | 0 | free, no waiter |
//! | 1 | 0 | 0 | 0 | held, no waiter |
//! | 1 | 0 | 1 | 0 | held, waiters: the next release wakes the first or hands off to it |
//! | 1 | 0 | 1 | 1 | held, waiters: one of them is going to claim, a release wakes none |
//! | 0 | 0 | 1 | 1 | free, waiters: one of them is going to claim, a newcomer may be faster |
//! | 0 | 0 | 1 | 0 | free, waiters: one has just given up, and the first one left has been woken |
//! | 0 | 1 | 0 | 0 | handed off to a waiter outside of the queue, no other waiter |
//! | 0 | 1 | 1 | 0 | handed off to a waiter outside of the queue, other waiters |
//! | 0 | 1 | 1 | 1 | handed off to a newcomer in `enqueue`, while a waiter is going to claim |
//!
//! LOCKED and HANDED_OFF are never set together. WAKE_PENDING is set only together with PARKED. In
//! the child of a fork the word may still have PARKED, WAKE_PENDING or HANDED_OFF for waiters that
//! do not exist there; the first uses of the queue clear them. The other bits are independent of
//! these four. They change as follows:
//!
//! - LOCKED: a thread sets it by compare-exchange, with or without the queue lock, if LOCKED and
//!   HANDED_OFF are clear. A release clears it by compare-exchange without the queue lock, if
//!   PARKED is clear or WAKE_PENDING is set; else under the queue lock. A thread that is alone with
//!   the lock may use a plain store ([`Lock::try_acquire_alone`]).
//! - HANDED_OFF: only under the queue lock. A release turns LOCKED into HANDED_OFF by
//!   compare-exchange, for a waiter that has waited long enough, and [`Awaitable::enqueue`] sets it
//!   if the lock is free. The claim of that waiter turns it into LOCKED. The first use of the queue
//!   in the child of a fork clears it.
//! - PARKED: only under the queue lock. Set by the compare-exchange that finds the lock
//!   unavailable, cleared when the queue is empty.
//! - WAKE_PENDING: only under the queue lock. Set by a release that wakes a waiter. Cleared when a
//!   waiter leaves the queue, and by a waiter that parks until the next release. While it is set, a
//!   waiter is awake, or will wake up soon because its retry timer runs, and will claim: a release
//!   wakes no other thread, and is one atomic step, as without waiters.
//! - USED: set together with LOCKED, but not by the claim after a hand-off. Cleared by a waiter
//!   that waits for the lock to come to rest ([`Awaitable::is_at_rest`]), without the queue lock,
//!   and by [`Lock::release_alone`]. It says whether the lock was taken between two of these
//!   checks.
//! - IS_SENTINEL: set for good by the owner of the lock, see [`Lock::mark_sentinel`].
//! - The bits 8 to 15: the wait count, the number of waits that their callers have announced. Each
//!   caller adds one in [`Awaitable::begin`] and takes it off in [`Awaitable::end`], without the
//!   queue lock. A count that has reached its largest value stays there for good. See
//!   [`Lock::try_acquire_alone`].
//! - BY_WITH and the bits from 16 up: the owner, see `owner`. Written together with LOCKED, and
//!   cleared together with it. Zero if the owner is not known. [`Lock::mark_owner`] adds bits
//!   later.
//!
//! # Barging and fairness
//!
//! A release that finds a waiter frees the lock and wakes the first waiter, but does not reserve
//! the lock for it. Until that thread runs, other threads take and free the lock at full speed, and
//! no second wake-up is sent (barging). This gives the throughput, above all with a GIL: the woken
//! thread has to get the GIL before it can use the lock.
//!
//! A waiter that claims and finds the lock taken again has met one of two threads: one that takes
//! the lock again and again, or one that is about to wait itself. So the waiter spins for a moment
//! until the lock comes to rest: the lock is free, and no thread has taken it since the last check.
//! Then the waiter claims again. If the lock does not come to rest, the waiter sleeps for
//! [`RETRY_AFTER`] and then claims again. It does not ask for the next wake-up, because that would
//! slow the other thread down.
//!
//! The next release hands the lock off to a waiter that has waited for [`TIME_TO_BE_FAIR`], and no
//! thread gets in between. The hand-off after that comes one [`TIME_TO_BE_FAIR`] later at the
//! earliest. Otherwise sixteen threads, each of which has waited for so long, would hand the lock
//! round, and it would lie idle each time until the next of them is awake. The lock does not count as locked before that waiter claims it. So a
//! thread that has released a lock, and has not let any other thread run, finds the lock unlocked,
//! and cannot release it again.
//!
//! So no thread starves, and a contended lock changes hands about a thousand times a second and not
//! a million times.

use core::time::Duration;

use super::owner::Owner;
use super::primitive::{Ordering, const_unless_modelled};
use super::wait_list::{LockedList, WaitList};
use super::waiter::{Awaitable, Cancelled, Phase, Waiter};

/// A thread holds the lock.
const LOCKED: u32 = 1;
/// The queue is not empty.
const PARKED: u32 = 2;
/// The lock is free, but only for the waiter that it was handed off to.
const HANDED_OFF: u32 = 4;
/// The lock is a sentinel, see [`Lock::mark_sentinel`].
const IS_SENTINEL: u32 = 8;
/// A waiter is awake, or its retry timer runs, and it is going to claim.
const WAKE_PENDING: u32 = 16;
/// The lock was taken since a waiter last checked whether it is at rest.
const USED: u32 = 32;
/// One announced wait.
const WAIT: u32 = 1 << 8;
/// The wait count.
const WAITS: u32 = 0xff * WAIT;
/// All that a release clears.
const HELD: u32 = LOCKED | Owner::MASK;
/// A newcomer cannot take the lock while one of these bits is set.
const UNAVAILABLE: u32 = LOCKED | HANDED_OFF;

/// After this time a waiter is served before any newcomer.
pub const TIME_TO_BE_FAIR: Duration = Duration::from_millis(1);

/// The retry timer: how long a waiter sleeps that was woken and has found the lock taken again.
const RETRY_AFTER: Duration = Duration::from_micros(100);

/// How many pauses of the processor a thread makes before it looks once more whether the lock has
/// become free, and then waits: a tenth of a microsecond. A longer moment lets two threads trade the
/// lock at every turn, where one of them had better work while the other sleeps.
#[cfg(not(modelled))]
const PAUSES: u32 = 6;

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
    /// Where the word is in a lock, in bytes.
    pub const WORD_AT: usize = core::mem::offset_of!(Lock, queue) + WaitList::WORD_AT;

    const_unless_modelled! {
        /// A free lock.
        pub fn new() -> Lock {
            Lock { queue: WaitList::new() }
        }
    }

    /// Takes the lock if it is free, for an owner that is not known. True if it was.
    #[inline]
    #[must_use]
    pub fn try_acquire(&self) -> bool {
        self.try_acquire_as(Owner::NONE)
    }

    /// Takes the lock if it is free. True if it was. The calling thread is `me`.
    #[inline]
    #[must_use]
    pub fn try_acquire_as(&self, me: Owner) -> bool {
        self.try_acquire_from(self.queue.word.load(Ordering::Relaxed), me)
    }

    #[inline]
    fn try_acquire_from(&self, mut seen: u32, me: Owner) -> bool {
        while seen & UNAVAILABLE == 0 {
            // Acquire pairs with the Release of the release before.
            match self.queue.word.compare_exchange_weak(
                seen,
                seen | LOCKED | USED | me.bits(),
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(now) => seen = now,
            }
        }
        seen & HANDED_OFF != 0 && self.queue.is_stale() && self.try_acquire_from_the_dead(me)
    }

    /// Takes the lock without an atomic step, if it is free and no other thread can use it at this
    /// moment. If this returns false, nothing has changed, and the caller has to use
    /// [`Lock::try_acquire`].
    ///
    /// # Safety
    /// Threads take turns, as with a GIL (see `turns`), and the caller has its turn. Every other
    /// thread that uses the lock has its turn then too, with two exceptions: in a wait for which
    /// [`Awaitable::begin`] was called, and to release a lock for which [`Lock::mark_sentinel`] was
    /// called.
    #[inline]
    #[must_use]
    pub unsafe fn try_acquire_alone(&self, me: Owner) -> bool {
        let seen = self.queue.word.load(Ordering::Relaxed);
        if seen & !USED == 0 {
            // Relaxed: the hand-over of the turn to the next thread makes all earlier stores
            // visible to it.
            self.queue.word.store(USED | LOCKED | me.bits(), Ordering::Relaxed);
            return true;
        }
        false
    }

    /// Frees the lock without an atomic step, if it is locked and no other thread can use it at
    /// this moment. If this returns false, nothing has changed, as with
    /// [`Lock::try_acquire_alone`].
    ///
    /// # Safety
    /// As [`Lock::try_acquire_alone`].
    #[inline]
    #[must_use]
    pub unsafe fn release_alone(&self) -> bool {
        if self.queue.word.load(Ordering::Relaxed) & !(USED | Owner::MASK) == LOCKED {
            // Relaxed: as in `try_acquire_alone`. USED is cleared as well: no waiter has checked it
            // yet.
            self.queue.word.store(0, Ordering::Relaxed);
            return true;
        }
        false
    }

    /// A free lock to replace this one, when its holder and its waiters do not exist any more. It
    /// keeps IS_SENTINEL. It also keeps the wait count, because the calling thread may be in a wait
    /// that it has announced.
    #[must_use]
    pub fn renewed(&self) -> Lock {
        let kept = self.queue.word.load(Ordering::Relaxed) & (IS_SENTINEL | WAITS);
        let lock = Lock::new();
        lock.queue.word.store(kept, Ordering::Relaxed);
        lock
    }

    /// For a lock that was handed off to a waiter that does not exist in this process.
    #[cold]
    fn try_acquire_from_the_dead(&self, me: Owner) -> bool {
        self.lock_queue().release();
        self.try_acquire_as(me)
    }

    /// Takes the queue lock. At the first use in the child of a fork the queue is empty, and no
    /// waiter is going to accept a hand-off.
    #[inline]
    fn lock_queue(&self) -> LockedList<'_> {
        let queue = self.queue.lock_queue();
        if queue.is_stale() {
            self.queue.word.fetch_and(!HANDED_OFF, Ordering::Relaxed);
        }
        queue
    }

    /// Frees the lock, or hands it off to the first waiter. One atomic step decides whether the
    /// lock was locked. So if two threads release at once a lock that was taken once, one of them
    /// fails.
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
                seen & !HELD,
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
            // The last waiter has left meanwhile, or this is the child of a fork and the waiters do
            // not exist in it.
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
            queue.let_first_count_from_now();
            self.update_parked(&queue);
            let wake = first.signal(Phase::Granted);
            queue.release_and_wake(asleep.then_some(wake));
            return Ok(());
        }
        // A waiter that is awake already will claim. A second wake-up, for it or for another
        // waiter, would only make the threads compete for the lock.
        if let Err(error) = self.unlock_and_wake() {
            queue.release();
            return Err(error);
        }
        let wake = (first.phase() == Phase::Queued).then(|| first.signal(Phase::Woken));
        queue.release_and_wake(wake);
        Ok(())
    }

    /// Clears LOCKED, which must be set, and sets WAKE_PENDING: the caller wakes a waiter.
    fn unlock_and_wake(&self) -> Result<(), NotLocked> {
        let mut seen = self.queue.word.load(Ordering::Relaxed);
        while seen & LOCKED != 0 {
            match self.queue.word.compare_exchange_weak(
                seen,
                (seen & !HELD) | WAKE_PENDING,
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Ok(()),
                Err(now) => seen = now,
            }
        }
        Err(NotLocked)
    }

    /// Turns LOCKED, which must be set, into HANDED_OFF. It is one step, so no newcomer gets in
    /// between.
    fn hand_off(&self) -> Result<(), NotLocked> {
        let mut seen = self.queue.word.load(Ordering::Relaxed);
        while seen & LOCKED != 0 {
            match self.queue.word.compare_exchange_weak(
                seen,
                (seen & !HELD) | HANDED_OFF,
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Ok(()),
                Err(now) => seen = now,
            }
        }
        Err(NotLocked)
    }

    /// The waiter that the lock was handed off to takes it. Under the queue lock.
    fn accept_handoff(&self, me: Owner) {
        // HANDED_OFF keeps every other thread from setting LOCKED and the owner. So HANDED_OFF is
        // set and the others are clear, and the xor of all of them exchanges them.
        let before = self.queue.word.fetch_xor(UNAVAILABLE | me.bits(), Ordering::Acquire);
        debug_assert_eq!(before & (UNAVAILABLE | Owner::MASK), HANDED_OFF);
    }

    /// Clears LOCKED, which must be set, the owner, and the bits of `also`.
    fn unlock(&self, also: u32) -> Result<(), NotLocked> {
        let before = self.queue.word.fetch_and(!(HELD | also), Ordering::Release);
        if before & LOCKED == 0 { Err(NotLocked) } else { Ok(()) }
    }

    /// Clears WAKE_PENDING, and PARKED if the queue is empty. To be called when a waiter has left
    /// the queue.
    fn update_parked(&self, queue: &LockedList<'_>) {
        let also = if queue.is_empty() { PARKED } else { 0 };
        self.queue.word.fetch_and(!(WAKE_PENDING | also), Ordering::Relaxed);
    }

    /// Clears WAKE_PENDING, so that the next release wakes a waiter. For a waiter that is awake and
    /// has found the lock taken. False if the lock has become free, and then nothing has changed.
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

    /// Whether a thread holds the lock at this moment.
    #[inline]
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.queue.word.load(Ordering::Relaxed) & LOCKED != 0
    }

    fn is_busy(&self) -> bool {
        self.queue.word.load(Ordering::Relaxed) & UNAVAILABLE != 0
    }

    /// The thread that holds the lock at this moment. [`Owner::NONE`] if the lock is free, or if
    /// that thread is not known.
    #[must_use]
    pub fn owner(&self) -> Owner {
        Owner::in_word(self.queue.word.load(Ordering::Relaxed))
    }

    /// Notes how the calling thread has taken the lock just now. Without effect if another thread has
    /// released it meanwhile.
    pub fn mark_owner(&self, me: Owner) {
        let mut seen = self.queue.word.load(Ordering::Relaxed);
        while seen & LOCKED != 0 && me.number() != 0 && Owner::in_word(seen).number() == me.number()
        {
            match self.queue.word.compare_exchange_weak(
                seen,
                seen | me.bits(),
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(now) => seen = now,
            }
        }
    }

    /// Whether a thread waits for the lock at this moment.
    #[must_use]
    pub fn has_waiters(&self) -> bool {
        self.queue.word.load(Ordering::Relaxed) & PARKED != 0
    }

    /// Adds to the wait count, unless it has reached its largest value.
    fn count_waits(&self, change: u32) {
        let mut seen = self.queue.word.load(Ordering::Relaxed);
        while seen & WAITS != WAITS {
            // Relaxed: the thread has its turn. The hand-over of the turn makes the count visible
            // to the next thread.
            match self.queue.word.compare_exchange_weak(
                seen,
                seen.wrapping_add(change),
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(now) => seen = now,
            }
        }
    }

    /// Sets IS_SENTINEL, a bit that the lock carries for its owner. `sync` never clears it.
    pub fn mark_sentinel(&self) {
        self.queue.word.fetch_or(IS_SENTINEL, Ordering::Relaxed);
    }

    /// Whether [`Lock::mark_sentinel`] was called.
    #[inline]
    #[must_use]
    pub fn is_sentinel(&self) -> bool {
        self.queue.word.load(Ordering::Relaxed) & IS_SENTINEL != 0
    }
}

impl Lock {
    /// Lets a waiter that is awake try to take the lock. True if it has the lock, and has left the
    /// queue. If false, it has to park again.
    ///
    /// # Safety
    /// The waiter is in the queue.
    unsafe fn try_claim(&self, queue: &LockedList<'_>, waiter: &Waiter) -> bool {
        loop {
            if self.try_acquire_as(waiter.owner()) {
                // SAFETY: as the caller promises.
                unsafe { queue.remove(waiter) };
                self.update_parked(queue);
                return true;
            }
            if waiter.phase() == Phase::Woken && !waiter.has_waited(TIME_TO_BE_FAIR) {
                // WAKE_PENDING stays set: the waiter claims again when its retry timer ends.
                waiter.nap(RETRY_AFTER);
                return false;
            }
            // `request_wake` clears WAKE_PENDING. A release that changes the word after that finds
            // PARKED without WAKE_PENDING, and so wakes a waiter of the queue. If the release came
            // before, the lock is free: `request_wake` returns false, and this tries once more.
            if self.request_wake() {
                waiter.set_phase(Phase::Queued);
                return false;
            }
        }
    }
}

// SAFETY: a waiter is reachable only through the queue, between push and remove, and every access
// to it is made under the queue lock. `claim` and `cancel` take the queue lock before the waiter
// may be freed.
unsafe impl Awaitable for Lock {
    /// Only while no thread waits: a waiter does not compete with more threads, and a release is one
    /// atomic step.
    #[cfg(not(modelled))]
    fn try_for_a_moment(&self) -> bool {
        for _ in 0..PAUSES {
            core::hint::spin_loop();
        }
        let seen = self.queue.word.load(Ordering::Relaxed);
        seen & (PARKED | UNAVAILABLE) == 0 && self.try_acquire_from(seen, Owner::known())
    }

    fn begin(&self) {
        self.count_waits(WAIT);
    }

    fn end(&self) {
        self.count_waits(WAIT.wrapping_neg());
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
        // PARKED has to be set in the same step that finds the lock unavailable. A release in
        // between would take the fast path and wake no waiter.
        let mut seen = self.queue.word.load(Ordering::Relaxed);
        loop {
            let next = if seen & UNAVAILABLE == 0 {
                seen | HANDED_OFF
            } else if queue.is_empty() {
                // The queue may be that of a child of a fork. There no waiter is awake, even if
                // WAKE_PENDING is set.
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
            self.accept_handoff(waiter.owner());
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
        // The wake-up that this waiter does not use has to go to the next waiter.
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
