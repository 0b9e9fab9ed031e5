//! Threads that wait until they are notified.
//!
//! # The state word
//!
//! The state is the word of the wait list. Bit 0 is RETIRED. The bits above count the waiters that
//! no notification has reached.
//!
//! | count | RETIRED | meaning |
//! |---|---|---|
//! | 0 | 0 | no waiter to notify: a notification ends at once, without the queue lock |
//! | n | 0 | n waiters can be notified |
//! | 0 | 1 | retired, for good |
//!
//! The word changes only under the queue lock. A waiter that queues adds one to the count. A
//! notification takes one off for each waiter that it is for, and so does a waiter that gives up.
//! The first use of the queue in the child of a fork sets the count to zero.
//!
//! Without the queue lock the count may be out of date. But a thread that notifies holds the
//! caller's lock, and every waiter held that lock when it queued. So the thread sees at least the
//! waiters that it has to wake.
//!
//! # Notifications
//!
//! A notification first marks the waiters that it is for, all under one queue lock. Then it wakes
//! the first ones, and each of them wakes another one when it claims. So a notification is not
//! lost, even if the condition is used or retired before all of them are awake. And no more threads
//! are awake than can run.

use core::ptr;

use super::parker::Wake;
use super::primitive::{Ordering, const_unless_modelled};
use super::retire::{Retire, Ticket, Tickets};
use super::wait_list::{LockedList, WaitList};
use super::waiter::{Awaitable, Cancelled, Phase, Waiter};

/// The condition is retired, see [`Condition::retire`].
const RETIRED: u32 = 1;
/// One waiter that no notification has reached. The bits from here up are the count.
const ONE: u32 = 2;

/// The waiting part of a condition variable. The lock that belongs to it is the caller's. All zero
/// is a condition without waiters.
#[repr(transparent)]
pub struct Condition {
    queue: WaitList,
}

impl Default for Condition {
    fn default() -> Condition {
        Condition::new()
    }
}

impl Condition {
    const_unless_modelled! {
        /// A condition without waiters.
        pub fn new() -> Condition {
            Condition { queue: WaitList::new() }
        }
    }

    /// How many threads wait and have not been notified.
    #[must_use]
    pub fn waiters(&self) -> usize {
        if self.queue.word.load(Ordering::Relaxed) < ONE {
            return 0;
        }
        let queue = self.lock_queue();
        let waiters = self.queue.word.load(Ordering::Relaxed) / ONE;
        queue.release();
        waiters as usize
    }

    /// Whether [`Condition::retire`] was called.
    #[must_use]
    pub fn is_retired(&self) -> bool {
        self.queue.word.load(Ordering::Acquire) & RETIRED != 0
    }

    /// Notifies the `count` threads that have waited longest, or all if there are fewer. False if
    /// the condition is retired.
    #[inline]
    #[must_use]
    pub fn notify(&self, count: usize) -> bool {
        self.queue.word.load(Ordering::Relaxed) == 0 || self.wake(count)
    }

    #[cold]
    fn wake(&self, count: usize) -> bool {
        let queue = self.lock_queue();
        let word = self.queue.word.load(Ordering::Relaxed);
        if word & RETIRED != 0 {
            queue.release();
            return false;
        }
        // This notification is not for waiters that come from now on.
        let mut left = word;
        for waiter in queue.iter().filter(|waiter| !is_notified(waiter)).take(count) {
            waiter.note.store(NOTIFIED, Ordering::Relaxed);
            left -= ONE;
        }
        self.queue.word.store(left, Ordering::Relaxed);
        self.queue.let_some_go(queue, next);
        true
    }

    /// Ends the condition for good, see [`Retire`]. A waiter that was notified has got the
    /// notification, even if it has not been woken yet. The others have tickets.
    pub fn retire(&self, tickets: &[Ticket]) -> Retire<()> {
        let queue = self.lock_queue();
        let word = self.queue.word.load(Ordering::Relaxed);
        let needed = (word / ONE) as usize;
        if word & RETIRED != 0 || needed > tickets.len() {
            queue.release();
            return if word & RETIRED != 0 { Retire::Already } else { Retire::NeedTickets(needed) };
        }
        // Release pairs with the Acquire in `is_retired`.
        self.queue.word.store(RETIRED, Ordering::Release);
        let mut handed = Tickets::new(tickets);
        while let Some(first) = queue.front() {
            // SAFETY: it is the front of the queue.
            unsafe { queue.remove(first) };
            let wake = if is_notified(first) {
                first.signal(Phase::Granted)
            } else {
                handed.dismiss(first)
            };
            wake.send();
        }
        queue.release();
        Retire::Done { state: (), used: handed.used(tickets) }
    }

    /// Takes the queue lock. At the first use in the child of a fork there are no waiters, and the
    /// count is set to zero.
    fn lock_queue(&self) -> LockedList<'_> {
        let queue = self.queue.lock_queue();
        if queue.is_stale() {
            self.queue.word.fetch_and(RETIRED, Ordering::Relaxed);
        }
        queue
    }

    /// Takes out a waiter that has not been settled. Whether it was notified.
    ///
    /// # Safety
    /// The waiter is in the queue.
    unsafe fn remove(&self, queue: &LockedList<'_>, waiter: &Waiter) -> bool {
        // SAFETY: as the caller promises.
        unsafe { queue.remove(waiter) };
        let notified = is_notified(waiter);
        if notified {
            waiter.set_phase(Phase::Granted);
        } else {
            self.queue.word.fetch_sub(ONE, Ordering::Relaxed);
        }
        notified
    }
}

/// The note of a waiter that was notified. Null: it was not.
const NOTIFIED: *mut () = ptr::without_provenance_mut(1);

/// Takes out the first waiter if it was notified.
fn next(queue: &LockedList<'_>) -> Option<Wake> {
    queue.let_go(|first| is_notified(first).then_some(Phase::Granted))
}

fn is_notified(waiter: &Waiter) -> bool {
    !waiter.note.load(Ordering::Relaxed).is_null()
}

// SAFETY: a waiter is reachable only through the queue, between push and remove, and every access
// to it is made under the queue lock. `claim` and `cancel` take the queue lock before the waiter
// may be freed.
unsafe impl Awaitable for Condition {
    // A notification that comes while a handler runs would be lost otherwise.
    const STAYS_QUEUED_DURING_SIGNALS: bool = true;

    /// Returns true only if the condition is retired: the waiter is dismissed then.
    unsafe fn enqueue(&self, waiter: &Waiter, resumed: bool) -> bool {
        let queue = self.lock_queue();
        let retired = self.queue.word.load(Ordering::Relaxed) & RETIRED != 0;
        if retired {
            waiter.set_phase(Phase::Dismissed);
        } else {
            waiter.note.store(ptr::null_mut(), Ordering::Relaxed);
            // SAFETY: the caller keeps the waiter in place; it is in no queue yet.
            unsafe { queue.push(waiter, resumed) };
            self.queue.word.fetch_add(ONE, Ordering::Relaxed);
        }
        queue.release();
        retired
    }

    unsafe fn requeue(&self, waiter: &Waiter) {
        let queue = self.lock_queue();
        if is_notified(waiter) && !waiter.is_settled() {
            waiter.signal(Phase::Granted).send();
        }
        if !waiter.is_settled() {
            // SAFETY: as the caller promises; it is in no queue of this process.
            unsafe { queue.push(waiter, true) };
            self.queue.word.fetch_add(ONE, Ordering::Relaxed);
        }
        queue.release();
    }

    unsafe fn claim(&self, waiter: &Waiter) -> bool {
        let queue = self.lock_queue();
        let settled = waiter.is_settled();
        let wake = if settled { next(&queue) } else { None };
        queue.release_and_wake(wake);
        settled
    }

    unsafe fn cancel(&self, waiter: &Waiter) -> Cancelled {
        let queue = self.lock_queue();
        // SAFETY: if it is not settled, it is still in the queue.
        let settled = waiter.is_settled() || unsafe { self.remove(&queue, waiter) };
        queue.release();
        if settled { Cancelled::Settled } else { Cancelled::Left }
    }

    unsafe fn abandon(&self, waiter: &Waiter) {
        // SAFETY: as the caller promises.
        let cancelled = unsafe { self.cancel(waiter) };
        if cancelled == Cancelled::Settled {
            // SAFETY: as the caller promises, and it is settled. The claim wakes the next waiter,
            // as this one had to.
            let _left = unsafe { self.claim(waiter) };
        }
        if cancelled == Cancelled::Settled && !waiter.is_dismissed() {
            // The notification has to go to another thread that waits. If the condition has been
            // retired since, there is none, and the notification ends here.
            let _live = self.notify(1);
        }
    }
}
