//! A flag that threads wait for.
//!
//! The word holds two flags about the event, one about the queue, and above them the number of
//! the *round*: how often the event has been cleared. A `set` wakes the waiters of its round and
//! no others, so one that comes after a `clear` is not woken by a `set` from before it, however
//! long that takes to wake everybody.

use core::ptr;

use super::primitive::{Ordering, const_unless_modelled};
use super::queue::{Queue, WaitQueue};
use super::waiter::{Awaitable, Phase, Waiter};

const SET: u32 = 1;
/// The queue is not empty. Set under the guard, cleared with the last waiter.
const PARKED: u32 = 2;
/// The event is no more, see [`Event::close`].
const CLOSED: u32 = 4;
const ROUND: u32 = 8;

/// Starts unset. `set` lets everybody through who waits or comes later.
#[repr(transparent)]
pub struct Event {
    queue: WaitQueue,
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
            Event { queue: WaitQueue::new() }
        }
    }

    /// Whether the event is set. What happened before `set` is visible if it is.
    #[inline]
    pub fn is_set(&self) -> bool {
        self.queue.word.load(Ordering::Acquire) & SET != 0
    }

    /// [`Event::is_set`]; `None` if the event is closed.
    #[inline]
    pub fn state(&self) -> Option<bool> {
        let seen = self.queue.word.load(Ordering::Acquire);
        (seen & CLOSED == 0).then_some(seen & SET != 0)
    }

    /// Sets the event and wakes everybody who waits for it. False if the event is closed.
    #[inline]
    pub fn set(&self) -> bool {
        let before = self.queue.word.fetch_or(SET, Ordering::Release);
        if before & PARKED != 0 {
            self.wake(round_of(before), Phase::Granted);
        }
        before & CLOSED == 0
    }

    /// Whether a thread waits for the event.
    pub fn is_awaited(&self) -> bool {
        self.queue.word.load(Ordering::Relaxed) & PARKED != 0
    }

    /// Sets the event for those who come, and wakes nobody. False if the event is closed.
    pub fn mark(&self) -> bool {
        self.queue.word.fetch_or(SET, Ordering::Release) & CLOSED == 0
    }

    /// Unsets the event: who comes next waits. False if the event is closed.
    #[inline]
    pub fn clear(&self) -> bool {
        let mut seen = self.queue.word.load(Ordering::Relaxed);
        while seen & (SET | CLOSED) == SET {
            let next = (seen & !SET).wrapping_add(ROUND);
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
        seen & CLOSED == 0
    }

    /// Ends the event for good: sends everybody away who waits, and makes every method fail that
    /// can. Whether it was set; `None` if it was closed before.
    pub fn close(&self) -> Option<bool> {
        let queue = self.queue.guard();
        let before = self.queue.word.fetch_or(CLOSED, Ordering::AcqRel);
        queue.release();
        self.wake(round_of(before), Phase::Dismissed);
        (before & CLOSED == 0).then_some(before & SET != 0)
    }

    /// Takes everybody out who came up to this round.
    #[cold]
    fn wake(&self, round: u32, how: Phase) {
        loop {
            // One at a time, so that each is woken with the guard free.
            let queue = self.queue.guard();
            let first = queue.front().filter(|first| is_at_most(note_of(first), round));
            let Some(first) = first else {
                self.settle(&queue);
                queue.release();
                return;
            };
            // SAFETY: it is the front of the queue.
            unsafe { queue.remove(first) };
            let wake = first.signal(how);
            queue.release_and_wake(Some(wake));
        }
    }

    /// Clears PARKED if the queue is empty.
    fn settle(&self, queue: &Queue<'_>) {
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

/// Whether one round is the other or came before it; rounds are counted modulo `2^29`.
fn is_at_most(round: u32, last: u32) -> bool {
    last.wrapping_sub(round) & round_of(u32::MAX) < round_of(u32::MAX) / 2
}

// SAFETY: a waiter is reachable through the queue only, between push and remove, and every access
// to it is made under the guard; claim and cancel take the guard before the waiter may go.
unsafe impl Awaitable for Event {
    // An event may be set and cleared again while a handler runs.
    const STAYS: bool = true;

    unsafe fn enqueue(&self, waiter: &Waiter, resumed: bool) -> bool {
        let queue = self.queue.guard();
        // Either this sees the flag, or `set` sees that somebody waits.
        let seen = self.queue.word.fetch_or(PARKED, Ordering::Acquire);
        let settled = seen & (SET | CLOSED) != 0;
        if settled {
            let closed = seen & CLOSED != 0;
            waiter.set_phase(if closed { Phase::Dismissed } else { Phase::Granted });
            self.settle(&queue);
        } else {
            let round = ptr::without_provenance_mut(round_of(seen) as usize);
            waiter.note.store(round, Ordering::Relaxed);
            // SAFETY: the caller keeps the waiter in place; it is in no queue yet.
            unsafe { queue.push(waiter, resumed) };
        }
        queue.release();
        settled
    }

    unsafe fn claim(&self, waiter: &Waiter) -> bool {
        let queue = self.queue.guard();
        let settled = waiter.is_settled();
        queue.release();
        settled
    }

    unsafe fn cancel(&self, waiter: &Waiter) -> bool {
        let queue = self.queue.guard();
        let settled = waiter.is_settled();
        if !settled {
            // SAFETY: not settled, so it is in the queue still.
            unsafe { queue.remove(waiter) };
            self.settle(&queue);
        }
        queue.release();
        settled
    }
}
