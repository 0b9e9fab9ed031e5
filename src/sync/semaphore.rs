//! A counter that threads wait for while it is zero.
//!
//! | bits of the word | | changed |
//! |---|---|---|
//! | from 2 up | how many permits there are | by any thread that has seen the flags |
//! | RETIRED | every method fails | set by `retire`, for good |
//! | PARKED | the queue is not empty | under the queue lock |
//!
//! One word holds the counter and, in its low bits, two flags, so that taking and giving back are
//! one atomic step each while nobody waits. Who is served when is decided as for [`Lock`]: a
//! release wakes a waiter and lets newcomers be faster, until one has waited for [`TIME_TO_BE_FAIR`]:
//! that one gets what is released, and no other thread can get in between.
//!
//! Invariant outside of the queue lock: if a release has made the counter larger than zero and threads
//! wait, at least one waiter has been woken and will look again. Only [`Semaphore::set_value`]
//! wakes none.
//!
//! A permit leaves the counter for a waiter when the thread of the waiter claims it, or when
//! another thread grants it. Both are attached, where there is an interpreter; so a process that is
//! forked finds each permit in the counter, in the list of grants, or with a thread that has it. A
//! thread that joins or leaves the queue may be detached, and takes and grants nothing.
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
/// The semaphore is no more, see [`Semaphore::retire`].
const RETIRED: u64 = 2;
const ONE: u64 = 4;

/// The largest value of a semaphore.
const MAX: u64 = u64::MAX / ONE;

/// Why a release did nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotReleased {
    /// The value would have become larger than the bound, or than a semaphore can count.
    TooMany,
    /// The semaphore has been retired.
    Retired,
}

/// See the module's documentation.
#[repr(C)]
pub struct Semaphore {
    /// The counter and the flags; the word of the queue is not used.
    value: AtomicU64,
    queue: WaitList,
    /// Waiters that have been granted a permit by another thread.
    grants: Grants,
}

impl Semaphore {
    const_unless_modelled! {
        /// A semaphore that can be acquired `value` times, which must be at most [`Semaphore::MAX`].
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

    /// Takes one if there is any. Fails on a retired semaphore.
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

    /// A waiter that a permit was granted to did not come along to this process.
    #[cold]
    fn try_acquire_from_the_dead(&self) -> bool {
        self.lock_queue().release();
        self.try_acquire()
    }

    /// Whether permits have been granted to threads that did not come along to this process, as
    /// nothing else has been done with the semaphore in it.
    #[inline]
    fn has_orphans(&self) -> bool {
        !self.grants.is_empty() && self.queue.is_stale()
    }

    /// Takes them back.
    #[inline]
    fn collect_orphans(&self) {
        if self.has_orphans() {
            self.lock_queue().release();
        }
    }

    /// Takes the queue lock. The first time in the child of a fork no waiter is in there, and no thread
    /// comes for what it was granted.
    #[inline]
    fn lock_queue(&self) -> LockedList<'_> {
        let queue = self.queue.lock_queue();
        if queue.is_stale() {
            self.take_back_under(&queue);
        }
        queue
    }

    /// Puts the permits back that have been granted and not claimed: their waiters never will, and
    /// if one does it finds itself sent away. For an interpreter that lets none of those threads
    /// attach any more. How many they were.
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

    /// Gives back `count`, at most up to `bound` in all.
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

    /// What was there before.
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

    /// How many times it can be acquired at this moment; `None` if it is retired.
    #[inline]
    #[must_use]
    pub fn value(&self) -> Option<u64> {
        self.collect_orphans();
        let seen = self.value.load(Ordering::Acquire);
        (seen & RETIRED == 0).then_some(seen / ONE)
    }

    /// Makes the value another one, of which only threads learn that come later: a waiter goes on
    /// waiting until the next release, as with a number that is written into a Python object.
    /// False if the semaphore is retired.
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

    /// Ends the semaphore for good, see [`Retire`]. Its state is its last value, in which permits
    /// that have been granted are not contained: their waiters have them.
    ///
    /// A waiter that has been woken to look again counts as notified, and so do as many of the
    /// first as there are permits: a release may be about to wake them. They are sent away without
    /// a ticket, and look at once; the others have tickets.
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

    /// Lets waiters have what there is, until all of it is granted or offered.
    #[cold]
    fn serve(&self) {
        loop {
            let queue = self.lock_queue();
            let wake = self.serve_one(&queue);
            self.update_parked(&queue);
            let done = wake.is_none();
            queue.release_and_wake(wake);
            if done {
                return;
            }
        }
    }

    /// Grants to a waiter that is due, or wakes one that is not. None if there is nothing to do.
    fn serve_one(&self, queue: &LockedList<'_>) -> Option<Wake> {
        loop {
            let first = queue.front()?;
            if !first.has_waited(TIME_TO_BE_FAIR) {
                break;
            }
            if !self.try_acquire() {
                return None;
            }
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

    /// Wakes a waiter to look, if there are more permits than waiters that have been woken.
    fn offer(&self, queue: &LockedList<'_>) -> Option<Wake> {
        let seen = self.value.load(Ordering::Relaxed);
        let next = queue.iter().take(offers_of(seen)).find(|waiter| is_asleep(waiter))?;
        Some(next.signal(Phase::Woken))
    }

    /// Takes a permit (true), or puts the waiter into the queue (false).
    ///
    /// # Safety
    /// The waiter is in no queue, and stays in place until it has left this one.
    unsafe fn take_or_queue(&self, queue: &LockedList<'_>, waiter: &Waiter) -> bool {
        // PARKED has to be set in one step with seeing that there is none: a release in between
        // would wake no waiter.
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

/// How many waiters can be told to look, if this is the word of the semaphore.
fn offers_of(word: u64) -> usize {
    usize::try_from(word / ONE).unwrap_or(usize::MAX)
}

/// Whether the waiter has not been told to look.
fn is_asleep(waiter: &Waiter) -> bool {
    waiter.phase() == Phase::Queued
}

// SAFETY: a waiter is reachable through the queue and the grants only, between push and remove, and
// every access to it is made under the queue lock; claim and cancel take the queue lock before the waiter may
// go, and one that was granted a permit has to claim.
unsafe impl Awaitable for Semaphore {
    /// Where there is a permit, it is left to `claim` to take it.
    unsafe fn enqueue(&self, waiter: &Waiter, resumed: bool) -> bool {
        // For `claim`, should another thread be faster.
        waiter.note.store(ptr::without_provenance_mut(resumed.into()), Ordering::Relaxed);
        let queue = self.lock_queue();
        let mut seen = self.value.load(Ordering::Relaxed);
        let wait = loop {
            if seen & RETIRED != 0 || seen >= ONE {
                break false;
            }
            // In one step with seeing that there is none, as in `take_or_queue`.
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
                    // SAFETY: not settled, so it was in the queue still.
                    unsafe { queue.remove(waiter) };
                    self.update_parked(&queue);
                    // One wake-up may stand for several releases.
                    wake = self.serve_one(&queue);
                    self.update_parked(&queue);
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
        // SAFETY: not settled, so it is in the queue still.
        unsafe { queue.remove(waiter) };
        // A wake-up that this waiter does not use belongs to the next one. Not a permit: see above.
        let wake = self.offer(&queue);
        self.update_parked(&queue);
        queue.release_and_wake(wake);
        Cancelled::Left
    }
}
