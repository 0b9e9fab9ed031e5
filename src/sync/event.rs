//! A flag that threads wait for.
//!
//! # The state word
//!
//! The state is the word of the wait list. The bits from 4 up are the number of the *round*: how
//! often a `set` was cleared. Two bits are the flag:
//!
//! | SET | NOTIFIED | meaning |
//! |---|---|---|
//! | 0 | 0 | not set: the waiters of this round wait |
//! | 1 | 1 | set by [`Event::set`]: the waiters of this round have been woken, or are about to be |
//! | 1 | 0 | set by [`Event::mark`]: waiters of this round still wait |
//!
//! NOTIFIED is never set without SET. The other two bits are independent of these:
//!
//! | PARKED | RETIRED | meaning |
//! |---|---|---|
//! | 0 | 0 | the queue is empty |
//! | 1 | 0 | waiters of this round, or of earlier rounds, which are being woken |
//! | 0 | 1 | retired, the queue is empty |
//! | 1 | 1 | the same, while a thread has the queue lock |
//!
//! - SET and NOTIFIED: set by one atomic step in `set`, SET alone in `mark`. Cleared by
//!   compare-exchange in `clear`. All without the queue lock. `set` and `mark` also do this in a
//!   retired event, and then return false.
//! - The round: `clear` adds one, in the same step, if NOTIFIED was set.
//! - PARKED: only under the queue lock. Set by a waiter that is about to queue, cleared when the
//!   queue is empty. In the child of a fork it may be set with an empty queue, until the next use
//!   of the queue.
//! - RETIRED: by compare-exchange under the queue lock, in `retire`, for good.
//!
//! # Rounds
//!
//! A `set` wakes the waiters of its round and no others. So a waiter that comes after a `clear` is
//! not woken by a `set` from before it, however long that `set` takes to wake its own waiters.
//! [`Event::mark`] sets the flag and wakes no waiter, so a `clear` after it does not end the round.

use core::ptr;

use super::parker::Wake;
use super::primitive::{Ordering, const_unless_modelled};
use super::retire::{Retire, Ticket, Tickets};
use super::wait_list::{LockedList, WaitList};
use super::waiter::{Awaitable, Cancelled, Phase, Waiter};

/// The flag.
const SET: u32 = 1;
/// The queue is not empty. Changed under the queue lock.
const PARKED: u32 = 2;
/// The event is retired, see [`Event::retire`].
const RETIRED: u32 = 4;
/// `set` was called in this round: all waiters of the round have been woken or are about to be.
const NOTIFIED: u32 = 8;
/// One round. The bits from here up are the number of the round.
const ROUND: u32 = 16;

/// Not set at first. `set` lets all threads through that wait or come later.
#[repr(transparent)]
pub struct Event {
    queue: WaitList,
}

impl Default for Event {
    fn default() -> Event {
        Event::new()
    }
}

impl Event {
    const_unless_modelled! {
        /// An event that is not set.
        pub fn new() -> Event {
            Event { queue: WaitList::new() }
        }
    }

    /// Whether the event is set. If so, the caller sees all that happened before the `set`.
    #[inline]
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.queue.word.load(Ordering::Acquire) & SET != 0
    }

    /// As [`Event::is_set`]. `None` if the event is retired.
    #[inline]
    #[must_use]
    pub fn state(&self) -> Option<bool> {
        let seen = self.queue.word.load(Ordering::Acquire);
        (seen & RETIRED == 0).then_some(seen & SET != 0)
    }

    /// Sets the event and wakes all threads that wait for it. False if the event is retired.
    #[inline]
    #[must_use]
    pub fn set(&self) -> bool {
        let before = self.queue.word.fetch_or(SET | NOTIFIED, Ordering::Release);
        if before & PARKED != 0 {
            self.wake();
        }
        before & RETIRED == 0
    }

    /// Whether a thread waits for the event.
    #[must_use]
    pub fn is_awaited(&self) -> bool {
        self.queue.word.load(Ordering::Relaxed) & PARKED != 0
    }

    /// Sets the event for threads that come later, and wakes no waiter. False if the event is
    /// retired.
    #[must_use]
    pub fn mark(&self) -> bool {
        self.queue.word.fetch_or(SET, Ordering::Release) & RETIRED == 0
    }

    /// Clears the event: the next thread that comes waits. False if the event is retired.
    #[inline]
    #[must_use]
    pub fn clear(&self) -> bool {
        let mut seen = self.queue.word.load(Ordering::Relaxed);
        while seen & (SET | RETIRED) == SET {
            let round = if seen & NOTIFIED != 0 { ROUND } else { 0 };
            let next = (seen & !(SET | NOTIFIED)).wrapping_add(round);
            match self.queue.word.compare_exchange_weak(
                seen,
                next,
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(now) => seen = now,
            }
        }
        seen & RETIRED == 0
    }

    /// Ends the event for good, see [`Retire`]. Its state is whether it was set.
    ///
    /// A waiter of a round in which `set` was called has got the event, even if that `set` has not
    /// reached it yet. The others have tickets.
    pub fn retire(&self, tickets: &[Ticket]) -> Retire<bool> {
        let queue = self.queue.lock_queue();
        let mut seen = self.queue.word.load(Ordering::Relaxed);
        loop {
            if seen & RETIRED != 0 {
                queue.release();
                return Retire::Already;
            }
            let needed = queue.iter().filter(|waiter| !is_notified(waiter, seen)).count();
            if needed > tickets.len() {
                queue.release();
                return Retire::NeedTickets(needed);
            }
            // If a `set` or `clear` comes in between, this tries again. So the decision is made for
            // the same word that other threads find retired.
            match self.queue.word.compare_exchange_weak(
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
        while let Some(first) = queue.front() {
            // SAFETY: it is the front of the queue.
            unsafe { queue.remove(first) };
            let wake = if is_notified(first, seen) {
                first.signal(Phase::Granted)
            } else {
                handed.dismiss(first)
            };
            wake.send();
        }
        self.update_parked(&queue);
        queue.release();
        Retire::Done { state: seen & SET != 0, used: handed.used(tickets) }
    }

    /// Wakes the first of the waiters that `set` was called for.
    #[cold]
    fn wake(&self) {
        self.queue.let_some_go(self.queue.lock_queue(), |queue| self.next(queue));
    }

    /// Takes out the first waiter if `set` was called for it.
    fn next(&self, queue: &LockedList<'_>) -> Option<Wake> {
        let seen = self.queue.word.load(Ordering::Relaxed);
        let wake = queue.let_go(|first| is_notified(first, seen).then_some(Phase::Granted));
        self.update_parked(queue);
        wake
    }

    /// Clears PARKED if the queue is empty.
    fn update_parked(&self, queue: &LockedList<'_>) {
        if queue.is_empty() {
            self.queue.word.fetch_and(!PARKED, Ordering::Relaxed);
        }
    }
}

fn round_of(word: u32) -> u32 {
    word / ROUND
}

fn note_of(waiter: &Waiter) -> u32 {
    waiter.note.load(Ordering::Relaxed).addr() as u32
}

/// Whether `set` was called in the round of a waiter, if this is the word of the event.
fn is_notified(waiter: &Waiter, word: u32) -> bool {
    let unfinished = if word & NOTIFIED != 0 { 0 } else { 1 };
    is_at_most(note_of(waiter), round_of(word).wrapping_sub(unfinished))
}

/// Whether `round` is `last` or came before it. Rounds are counted modulo `2^28`.
fn is_at_most(round: u32, last: u32) -> bool {
    last.wrapping_sub(round) & round_of(u32::MAX) < round_of(u32::MAX) / 2
}

// SAFETY: a waiter is reachable only through the queue, between push and remove, and every access
// to it is made under the queue lock. `claim` and `cancel` take the queue lock before the waiter
// may be freed.
unsafe impl Awaitable for Event {
    // While a handler runs, the event may be set and cleared again, and that would be missed.
    const STAYS_QUEUED_DURING_SIGNALS: bool = true;

    unsafe fn enqueue(&self, waiter: &Waiter, resumed: bool) -> bool {
        let queue = self.queue.lock_queue();
        // Either this sees the flag, or `set` sees that a thread waits.
        let seen = self.queue.word.fetch_or(PARKED, Ordering::Acquire);
        let settled = seen & (SET | RETIRED) != 0;
        if settled {
            let retired = seen & RETIRED != 0;
            waiter.set_phase(if retired { Phase::Dismissed } else { Phase::Granted });
            self.update_parked(&queue);
        } else {
            let round = ptr::without_provenance_mut(round_of(seen) as usize);
            waiter.note.store(round, Ordering::Relaxed);
            // SAFETY: the caller keeps the waiter in place; it is in no queue yet.
            unsafe { queue.push(waiter, resumed) };
        }
        queue.release();
        settled
    }

    unsafe fn requeue(&self, waiter: &Waiter) {
        let queue = self.queue.lock_queue();
        let seen = self.queue.word.fetch_or(PARKED, Ordering::Acquire);
        if is_notified(waiter, seen) && !waiter.is_settled() {
            waiter.signal(Phase::Granted).send();
        }
        if !waiter.is_settled() {
            // SAFETY: as the caller promises; it is in no queue of this process.
            unsafe { queue.push(waiter, true) };
        }
        self.update_parked(&queue);
        queue.release();
    }

    unsafe fn claim(&self, waiter: &Waiter) -> bool {
        let queue = self.queue.lock_queue();
        let settled = waiter.is_settled();
        let wake = if settled { self.next(&queue) } else { None };
        queue.release_and_wake(wake);
        settled
    }

    unsafe fn cancel(&self, waiter: &Waiter) -> Cancelled {
        let queue = self.queue.lock_queue();
        let mut settled = waiter.is_settled();
        if !settled {
            // SAFETY: not settled, so it is still in the queue.
            unsafe { queue.remove(waiter) };
            self.update_parked(&queue);
            // `set` may have been called for it and not have woken it yet.
            settled = is_notified(waiter, self.queue.word.load(Ordering::Acquire));
            if settled {
                waiter.set_phase(Phase::Granted);
            }
        }
        queue.release();
        if settled { Cancelled::Settled } else { Cancelled::Left }
    }
}
