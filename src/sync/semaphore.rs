//! A counter that threads wait for while it is zero.
//!
//! # The state word
//!
//! One word holds the counter, the number of permits, and two flags in its low bits. So acquire and
//! release are one atomic step each if no thread waits.
//!
//! | permits | PARKED | RETIRED | meaning |
//! |---|---|---|---|
//! | 0 | 0 | 0 | no permit, no waiter |
//! | 0 | 1 | 0 | no permit, waiters |
//! | n | 0 | 0 | n permits, no waiter |
//! | n | 1 | 0 | n permits, waiters: one at least has been woken, a newcomer may be faster |
//! | any | 0 | 1 | retired: no permit can be acquired or released |
//! | any | 1 | 1 | the same, while `retire` empties the queue |
//!
//! - The bits from 2 up, the permits: by compare-exchange of any thread, with or without the queue
//!   lock, if RETIRED is clear. A grant that is taken back is added under the queue lock, in any
//!   state.
//! - PARKED: the queue is not empty. Only under the queue lock. Set by the compare-exchange that
//!   finds no permit, cleared when the queue is empty. In the child of a fork it may be set with an
//!   empty queue, until the next use of the queue.
//! - RETIRED: by compare-exchange under the queue lock, in [`Semaphore::retire`], for good.
//!
//! Invariant outside of the queue lock: if a release has made the counter larger than zero and
//! threads wait, at least one waiter has been woken and is going to claim. Only
//! [`Semaphore::set_value`] wakes none.
//!
//! # Barging, fairness and grants
//!
//! The order of service is that of [`Lock`]. A release wakes a waiter, and newcomers may be faster,
//! until a waiter has waited for [`TIME_TO_BE_FAIR`]. That waiter is granted the next permit, and
//! no other thread gets in between. One release grants all its permits to such waiters; the next
//! release that grants comes one [`TIME_TO_BE_FAIR`] later at the earliest.
//!
//! A permit leaves the counter for a waiter in one of two ways: the thread of the waiter claims it,
//! or another thread grants it. Both threads are attached, if there is an interpreter. So a process
//! that is forked finds each permit in the counter, in the list of grants, or with a thread that
//! has it. A thread that joins or leaves the queue may be detached; it takes and grants nothing.
//!
//! [`Lock`]: super::Lock

use core::ptr;

use super::grants::Grants;
use super::lock::TIME_TO_BE_FAIR;
use super::parker::Wake;
use super::primitive::{AtomicU64, Ordering, const_unless_modelled};
use super::retire::{Retire, Ticket, Tickets};
use super::wait_list::{LockedList, WaitList};
use super::waiter::{Awaitable, Cancelled, Phase, Waiter};

/// The queue is not empty. Changed under the queue lock.
const PARKED: u64 = 1;
/// The semaphore is retired, see [`Semaphore::retire`].
const RETIRED: u64 = 2;
/// One permit. The bits from here up are the counter.
const ONE: u64 = 4;

/// The largest value of a semaphore.
const MAX: u64 = u64::MAX / ONE;

/// The reason why a release did nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotReleased {
    /// The value would have exceeded the bound, or the largest value.
    TooMany,
    /// The semaphore has been retired.
    Retired,
}

/// See the module's documentation.
#[repr(C)]
pub struct Semaphore {
    /// The counter and the flags. The word of the wait list is not used.
    value: AtomicU64,
    queue: WaitList,
    /// Waiters that another thread has granted a permit.
    grants: Grants,
}

impl Semaphore {
    const_unless_modelled! {
        /// A semaphore that can be acquired `value` times; at most [`Semaphore::MAX`] times.
        pub fn new(value: u64) -> Semaphore {
            Semaphore {
                value: AtomicU64::new(value * ONE),
                queue: WaitList::new(),
                grants: Grants::new(),
            }
        }
    }

    /// The largest value.
    pub const MAX: u64 = MAX;

    /// Takes a permit if there is one. Fails on a retired semaphore.
    #[inline]
    #[must_use]
    pub fn try_acquire(&self) -> bool {
        let mut seen = self.value.load(Ordering::Relaxed);
        while seen >= ONE && seen & RETIRED == 0 {
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
        self.has_orphans() && self.try_acquire_from_the_dead()
    }

    /// For permits that were granted to waiters that do not exist in this process.
    #[cold]
    fn try_acquire_from_the_dead(&self) -> bool {
        self.lock_queue().release();
        self.try_acquire()
    }

    /// Whether there are permits that were granted to threads that do not exist in this process.
    /// This is so until the first use of the queue in this process.
    #[inline]
    fn has_orphans(&self) -> bool {
        !self.grants.is_empty() && self.queue.is_stale()
    }

    /// Takes back the permits of such threads.
    #[inline]
    fn collect_orphans(&self) {
        if self.has_orphans() {
            self.lock_queue().release();
        }
    }

    /// Takes the queue lock. At the first use in the child of a fork no waiter is in the queue, and
    /// no thread claims a permit that it was granted. Those permits are taken back.
    #[inline]
    fn lock_queue(&self) -> LockedList<'_> {
        let queue = self.queue.lock_queue();
        if queue.is_stale() {
            self.take_back_under(&queue);
        }
        queue
    }

    /// Takes back the permits that were granted and not claimed. Returns their number.
    ///
    /// For an interpreter that lets none of the waiting threads attach any more. If one of them
    /// attaches all the same, it finds that its waiter was dismissed.
    pub fn take_back(&self) -> u64 {
        if self.grants.is_empty() {
            return 0;
        }
        let queue = self.lock_queue();
        let count = self.take_back_under(&queue);
        queue.release();
        count
    }

    #[cold]
    fn take_back_under(&self, _: &LockedList<'_>) -> u64 {
        let mut count = 0;
        while let Some(waiter) = self.grants.newest() {
            // SAFETY: it is the newest of the list.
            unsafe { self.grants.remove(waiter) };
            waiter.set_phase(Phase::Dismissed);
            self.value.fetch_add(ONE, Ordering::Release);
            count += 1;
        }
        count
    }

    /// Gives back `count` permits, if the value does not exceed `bound` by that.
    ///
    /// # Errors
    /// [`NotReleased`], and nothing has changed.
    #[inline]
    pub fn release(&self, count: u64, bound: u64) -> Result<(), NotReleased> {
        self.collect_orphans();
        if self.add(count, bound)? & PARKED != 0 {
            self.serve();
        }
        Ok(())
    }

    /// Returns the word before the change.
    #[inline]
    fn add(&self, count: u64, bound: u64) -> Result<u64, NotReleased> {
        let mut seen = self.value.load(Ordering::Relaxed);
        loop {
            if seen & RETIRED != 0 {
                return Err(NotReleased::Retired);
            }
            let fits = (seen / ONE).checked_add(count).is_some_and(|sum| sum <= bound.min(MAX));
            if !fits {
                return Err(NotReleased::TooMany);
            }
            // No stronger order is needed between this and `enqueue`. Both change the same word, so
            // one of them comes first, and the second sees the change of the first.
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

    /// How many times the semaphore can be acquired at this moment. `None` if it is retired.
    #[inline]
    #[must_use]
    pub fn value(&self) -> Option<u64> {
        self.collect_orphans();
        let seen = self.value.load(Ordering::Acquire);
        (seen & RETIRED == 0).then_some(seen / ONE)
    }

    /// Sets the value. Only threads that come later notice: a waiter waits until the next release,
    /// as if the number were written into a Python object. False if the semaphore is retired.
    #[must_use]
    pub fn set_value(&self, value: u64) -> bool {
        self.collect_orphans();
        let mut seen = self.value.load(Ordering::Relaxed);
        loop {
            if seen & RETIRED != 0 {
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

    /// Ends the semaphore for good, see [`Retire`]. Its state is its last value. Permits that were
    /// granted are not a part of that value: their waiters have them.
    ///
    /// A waiter that has been woken counts as notified. So do the first waiters, as many as there
    /// are permits, because a release may be about to wake them. These waiters are dismissed
    /// without a ticket, and try again at once. The others have tickets.
    pub fn retire(&self, tickets: &[Ticket]) -> Retire<u64> {
        let queue = self.lock_queue();
        let mut seen = self.value.load(Ordering::Relaxed);
        loop {
            if seen & RETIRED != 0 {
                queue.release();
                return Retire::Already;
            }
            let needed = queue.iter().skip(offers_of(seen)).filter(|next| is_asleep(next)).count();
            if needed > tickets.len() {
                queue.release();
                return Retire::NeedTickets(needed);
            }
            match self.value.compare_exchange_weak(
                seen,
                seen | RETIRED,
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => break,
                Err(now) => seen = now,
            }
        }
        let mut handed = Tickets::new(tickets);
        let mut offers = offers_of(seen);
        while let Some(first) = queue.front() {
            // SAFETY: it is the front of the queue.
            unsafe { queue.remove(first) };
            let notified = offers > 0 || !is_asleep(first);
            offers = offers.saturating_sub(1);
            let wake = if notified { first.dismiss(None) } else { handed.dismiss(first) };
            wake.send();
        }
        self.update_parked(&queue);
        queue.release();
        Retire::Done { state: seen / ONE, used: handed.used(tickets) }
    }

    /// Gives permits to waiters, until all permits are granted or offered.
    #[cold]
    fn serve(&self) {
        let mut has_granted = false;
        loop {
            let queue = self.lock_queue();
            let wake = self.serve_one(&queue, &mut has_granted);
            self.update_parked(&queue);
            let done = wake.is_none();
            if done && has_granted {
                queue.let_first_count_from_now();
            }
            queue.release_and_wake(wake);
            if done {
                return;
            }
        }
    }

    /// Grants a permit to the first waiter, if it has waited for [`TIME_TO_BE_FAIR`]; else offers
    /// one. `None` if there is nothing to do.
    fn serve_one(&self, queue: &LockedList<'_>, has_granted: &mut bool) -> Option<Wake> {
        loop {
            let first = queue.front()?;
            if !first.has_waited(TIME_TO_BE_FAIR) {
                break;
            }
            if !self.try_acquire() {
                return None;
            }
            *has_granted = true;
            let asleep = is_asleep(first);
            // SAFETY: it is the front of the queue, and then in no list.
            unsafe {
                queue.remove(first);
                self.grants.push(first);
            }
            let wake = first.signal(Phase::Granted);
            if asleep {
                return Some(wake);
            }
        }
        self.offer(queue)
    }

    /// Wakes a waiter, which then claims, if there are more permits than waiters that have been
    /// woken.
    fn offer(&self, queue: &LockedList<'_>) -> Option<Wake> {
        let seen = self.value.load(Ordering::Relaxed);
        let next = queue.iter().take(offers_of(seen)).find(|waiter| is_asleep(waiter))?;
        Some(next.signal(Phase::Woken))
    }

    /// Takes a permit (true), or puts the waiter into the queue (false). True also on a retired
    /// semaphore: the waiter is dismissed.
    ///
    /// # Safety
    /// The waiter is in no queue, and stays in place until it has left this one.
    unsafe fn take_or_queue(&self, queue: &LockedList<'_>, waiter: &Waiter) -> bool {
        // PARKED has to be set in the same step that finds no permit. A release in between would
        // wake no waiter.
        let mut seen = self.value.load(Ordering::Relaxed);
        loop {
            let next = if seen & RETIRED != 0 {
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
        if seen & RETIRED != 0 {
            waiter.set_phase(Phase::Dismissed);
            true
        } else if seen >= ONE {
            waiter.set_phase(Phase::Granted);
            true
        } else {
            let resumed = !waiter.note.load(Ordering::Relaxed).is_null();
            // SAFETY: as the caller promises.
            unsafe { queue.push(waiter, resumed) };
            false
        }
    }

    /// Clears PARKED if the queue is empty.
    fn update_parked(&self, queue: &LockedList<'_>) {
        if queue.is_empty() {
            self.value.fetch_and(!PARKED, Ordering::Relaxed);
        }
    }
}

/// How many waiters may be woken to claim, if this is the word of the semaphore.
fn offers_of(word: u64) -> usize {
    usize::try_from(word / ONE).unwrap_or(usize::MAX)
}

/// Whether the waiter has not been woken.
fn is_asleep(waiter: &Waiter) -> bool {
    waiter.phase() == Phase::Queued
}

// SAFETY: a waiter is reachable only through the queue and the grants, between push and remove, and
// every access to it is made under the queue lock. `claim` and `cancel` take the queue lock before
// the waiter may be freed. A waiter that was granted a permit has to claim.
unsafe impl Awaitable for Semaphore {
    /// If there is a permit, `claim` takes it and not this.
    unsafe fn enqueue(&self, waiter: &Waiter, resumed: bool) -> bool {
        // For `claim`, if another thread takes the permit first.
        waiter.note.store(ptr::without_provenance_mut(resumed.into()), Ordering::Relaxed);
        let queue = self.lock_queue();
        let mut seen = self.value.load(Ordering::Relaxed);
        let wait = loop {
            if seen & RETIRED != 0 || seen >= ONE {
                break false;
            }
            // In the same step that finds no permit, as in `take_or_queue`.
            match self.value.compare_exchange_weak(
                seen,
                seen | PARKED,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => break true,
                Err(now) => seen = now,
            }
        };
        if wait {
            // SAFETY: the caller keeps the waiter in place; it is in no queue yet.
            unsafe { queue.push(waiter, resumed) };
        } else {
            waiter.set_phase(Phase::Idle);
        }
        queue.release();
        !wait
    }

    unsafe fn claim(&self, waiter: &Waiter) -> bool {
        let queue = self.lock_queue();
        let mut wake = None;
        let claimed = match waiter.phase() {
            Phase::Granted => {
                // SAFETY: it was granted a permit by another thread, and has not claimed it.
                unsafe { self.grants.remove(waiter) };
                true
            }
            Phase::Dismissed => true,
            // SAFETY: the caller keeps the waiter in place; it is in no queue yet.
            Phase::Idle => unsafe { self.take_or_queue(&queue, waiter) },
            Phase::Queued | Phase::Woken => {
                let taken = self.try_acquire();
                if taken {
                    waiter.set_phase(Phase::Granted);
                    // SAFETY: not settled, so it was still in the queue.
                    unsafe { queue.remove(waiter) };
                    self.update_parked(&queue);
                    // One wake-up may be for several releases.
                    let mut has_granted = false;
                    wake = self.serve_one(&queue, &mut has_granted);
                    self.update_parked(&queue);
                    if has_granted {
                        queue.let_first_count_from_now();
                    }
                } else {
                    waiter.set_phase(Phase::Queued);
                }
                taken
            }
        };
        queue.release_and_wake(wake);
        claimed
    }

    unsafe fn cancel(&self, waiter: &Waiter) -> Cancelled {
        let queue = self.lock_queue();
        if waiter.is_settled() {
            queue.release();
            return Cancelled::Settled;
        }
        // SAFETY: not settled, so it is still in the queue.
        unsafe { queue.remove(waiter) };
        // A wake-up that this waiter does not use belongs to the next one. Not a permit: see above.
        let wake = self.offer(&queue);
        self.update_parked(&queue);
        queue.release_and_wake(wake);
        Cancelled::Left
    }
}
