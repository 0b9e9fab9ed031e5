//! Threads that wait until somebody calls `notify`.
//!
//! The word counts the waiters. It is only exact under the guard, but whoever notifies holds the
//! lock that every waiter held when it queued, and so sees at least those it has to wake.

use super::primitive::{Ordering, const_unless_modelled};
use super::queue::{Queue, WaitQueue};
use super::waiter::{Awaitable, Phase, Waiter};

/// The waiting part of a condition variable. The lock that goes with it is the caller's.
#[repr(transparent)]
pub struct Condition {
    queue: WaitQueue,
}

impl Default for Condition {
    fn default() -> Condition {
        Condition::new()
    }
}

impl Condition {
    const_unless_modelled! {
        /// A condition that nobody waits for.
        pub fn new() -> Condition {
            Condition { queue: WaitQueue::new() }
        }
    }

    /// How many threads wait.
    pub fn waiters(&self) -> usize {
        if self.queue.word.load(Ordering::Relaxed) == 0 {
            return 0;
        }
        let queue = self.queue.guard();
        self.settle(&queue);
        let waiters = self.queue.word.load(Ordering::Relaxed);
        queue.release();
        waiters as usize
    }

    /// Wakes the `count` threads that have waited longest, or all there are.
    #[inline]
    pub fn notify(&self, count: usize) {
        if self.queue.word.load(Ordering::Relaxed) != 0 {
            self.wake(count);
        }
    }

    #[cold]
    fn wake(&self, mut count: usize) {
        // No more than there are now: those who come while this goes on are not meant.
        count = count.min(self.waiters());
        while count > 0 {
            // One at a time, so that each is woken with the guard free.
            let queue = self.queue.guard();
            let Some(first) = queue.front() else {
                queue.release();
                return;
            };
            // SAFETY: it is the front of the queue.
            unsafe { self.remove(&queue, first) };
            let wake = first.signal(Phase::Granted);
            queue.release_and_wake(Some(wake));
            count -= 1;
        }
    }

    /// # Safety
    /// The waiter is in the queue.
    unsafe fn remove(&self, queue: &Queue<'_>, waiter: &Waiter) {
        // SAFETY: as the caller promises.
        unsafe { queue.remove(waiter) };
        let waiters = self.queue.word.load(Ordering::Relaxed);
        self.queue.word.store(waiters.saturating_sub(1), Ordering::Relaxed);
        self.settle(queue);
    }

    /// In the child of a fork the queue is empty and the count is not.
    fn settle(&self, queue: &Queue<'_>) {
        if queue.is_empty() {
            self.queue.word.store(0, Ordering::Relaxed);
        }
    }
}

// SAFETY: a waiter is reachable through the queue only, between push and remove, and every access
// to it is made under the guard; claim and cancel take the guard before the waiter may go.
unsafe impl Awaitable for Condition {
    // It would miss a notification that comes while a handler runs.
    const STAYS: bool = true;

    /// Never settles at once.
    unsafe fn enqueue(&self, waiter: &Waiter, resumed: bool) -> bool {
        let queue = self.queue.guard();
        self.settle(&queue);
        // SAFETY: the caller keeps the waiter in place; it is in no queue yet.
        unsafe { queue.push(waiter, resumed) };
        let waiters = self.queue.word.load(Ordering::Relaxed);
        self.queue.word.store(waiters + 1, Ordering::Relaxed);
        queue.release();
        false
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
            unsafe { self.remove(&queue, waiter) };
        }
        queue.release();
        settled
    }

    unsafe fn forgo(&self, waiter: &Waiter) {
        // SAFETY: as the caller promises.
        if unsafe { self.cancel(waiter) } {
            // The notification was meant for somebody who goes on.
            self.notify(1);
        }
    }
}
