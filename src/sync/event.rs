//! A flag that threads wait for.

use super::primitive::{Ordering, const_unless_loom};
use super::queue::{Queue, WaitQueue};
use super::waiter::{Awaitable, Phase, Waiter};

const SET: u32 = 1;
/// The queue is not empty. Set under the guard, cleared with the last waiter.
const PARKED: u32 = 2;

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
    const_unless_loom! {
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

    /// Sets the event and wakes everybody who waits for it.
    pub fn set(&self) {
        if self.queue.word.fetch_or(SET, Ordering::Release) & PARKED == 0 {
            return;
        }
        // One at a time, so that each is woken with the guard free. Those who come meanwhile see
        // the flag and do not queue, so this ends.
        loop {
            let queue = self.queue.guard();
            let Some(first) = queue.front() else {
                self.settle(&queue);
                queue.release();
                return;
            };
            // SAFETY: it is the front of the queue.
            unsafe { queue.remove(first) };
            let wake = first.signal(Phase::Granted);
            queue.release_and_wake(Some(wake));
        }
    }
}

impl Event {
    /// Clears PARKED if the queue is empty.
    fn settle(&self, queue: &Queue<'_>) {
        if queue.is_empty() {
            self.queue.word.fetch_and(!PARKED, Ordering::Relaxed);
        }
    }
}

// SAFETY: a waiter is reachable through the queue only, between push and remove, and every access
// to it is made under the guard; claim and cancel take the guard before the waiter may go.
unsafe impl Awaitable for Event {
    unsafe fn enqueue(&self, waiter: &Waiter, resumed: bool) -> bool {
        let queue = self.queue.guard();
        // Either this sees the flag, or `set` sees that somebody waits.
        let set = self.queue.word.fetch_or(PARKED, Ordering::Acquire) & SET != 0;
        if set {
            waiter.set_phase(Phase::Granted);
            self.settle(&queue);
        } else {
            // SAFETY: the caller keeps the waiter in place; it is in no queue yet.
            unsafe { queue.push(waiter, resumed) };
        }
        queue.release();
        set
    }

    unsafe fn claim(&self, waiter: &Waiter) -> bool {
        let queue = self.queue.guard();
        let granted = waiter.phase() == Phase::Granted;
        queue.release();
        granted
    }

    unsafe fn cancel(&self, waiter: &Waiter) -> bool {
        let queue = self.queue.guard();
        let granted = waiter.phase() == Phase::Granted;
        if !granted {
            // SAFETY: not granted, so it is in the queue still.
            unsafe { queue.remove(waiter) };
            self.settle(&queue);
        }
        queue.release();
        granted
    }
}
