//! A thread that waits, and the steps of a wait.

use core::ptr;
use std::time::{Duration, Instant};

use super::parker::{Parked, Parker, Wake};
use super::primitive::{AtomicPtr, AtomicU32, Ordering};

/// When a wait ends unserved; `None` means never.
pub type Deadline = Option<Instant>;

/// Where a waiter stands. Written under the guard of the queue that it waits in.
///
/// ```text
///            enqueue             wake-up: try again            claim fails
///   Idle ───────────▶ Queued ─────────────────────▶ Woken ───────────────▶ Queued
///                       │                             │
///                       └───────── hand-off ──────────┴──▶ Granted (out of the queue)
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Phase {
    Idle = 0,
    /// In the queue, asleep or about to sleep.
    Queued = 1,
    /// In the queue still, told to look again; nobody else is told until it has.
    Woken = 2,
    /// Out of the queue, and has what it waited for.
    Granted = 3,
}

/// One wait of one thread: a node of a [`WaitQueue`](super::WaitQueue) and the thread's parker.
pub struct Waiter {
    pub(super) next: AtomicPtr<Waiter>,
    pub(super) previous: AtomicPtr<Waiter>,
    phase: AtomicU32,
    since: Instant,
    parker: Parker,
    #[cfg(loom)]
    overdue: bool,
}

impl Waiter {
    /// A waiter whose wait begins now.
    #[expect(clippy::new_without_default, reason = "a default that reads the clock surprises")]
    pub fn new() -> Waiter {
        Waiter {
            next: AtomicPtr::new(ptr::null_mut()),
            previous: AtomicPtr::new(ptr::null_mut()),
            phase: AtomicU32::new(Phase::Idle as u32),
            since: Instant::now(),
            parker: Parker::new(),
            #[cfg(loom)]
            overdue: false,
        }
    }

    /// A waiter that the model checker takes for one that has waited long.
    #[cfg(loom)]
    pub fn overdue() -> Waiter {
        Waiter { overdue: true, ..Waiter::new() }
    }

    /// Whether it has waited for at least `span`.
    #[cfg(not(loom))]
    pub(super) fn has_waited(&self, span: Duration) -> bool {
        self.since.elapsed() >= span
    }

    #[cfg(loom)]
    pub(super) fn has_waited(&self, _span: Duration) -> bool {
        let _ = self.since;
        self.overdue
    }

    pub(super) fn phase(&self) -> Phase {
        // Relaxed: the guard of the queue orders every access.
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Idle,
            1 => Phase::Queued,
            2 => Phase::Woken,
            _ => Phase::Granted,
        }
    }

    pub(super) fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u32, Ordering::Relaxed);
    }

    /// Moves to `phase` and stores the wake-up. Call it under the guard, send the result after.
    pub(super) fn signal(&self, phase: Phase) -> Wake {
        self.set_phase(phase);
        self.parker.signal()
    }

    /// Sleeps until somebody unparks this waiter, or the deadline, or, if `interruptible`, until a
    /// signal handler has run in this thread.
    pub fn park(&self, deadline: Deadline, interruptible: bool) -> Parked {
        self.parker.park(deadline, interruptible)
    }
}

/// What a thread can wait for.
///
/// # Safety
/// An implementation keeps the address of a waiter only from `enqueue` (when that returns false)
/// until `claim` returns true or `cancel` returns, and touches the waiter
/// only under the guard that those two take. So a waiter that has left may be freed.
pub unsafe trait Awaitable {
    /// Sees whether what is waited for can be had at once (true: the waiter is granted it, and
    /// claims it next), else queues the waiter (false).
    /// A waiter that has been in the queue before and left it to look for signals is `resumed`:
    /// it goes to the front.
    ///
    /// # Safety
    /// The waiter stays where it is until it has left the queue again.
    unsafe fn enqueue(&self, waiter: &Waiter, resumed: bool) -> bool;

    /// After an unpark, or when it was granted: takes what is waited for and leaves the queue
    /// (true), or stays (false): the waiter then parks again. One that was granted always gets it.
    ///
    /// # Safety
    /// The waiter was queued here and has not left, or was granted and has not claimed.
    unsafe fn claim(&self, waiter: &Waiter) -> bool;

    /// Leaves the queue for good. True if what was waited for has been granted in the meantime:
    /// the waiter must not throw it away, but claim it.
    ///
    /// # Safety
    /// The waiter was queued here and has not left.
    unsafe fn cancel(&self, waiter: &Waiter) -> bool;
}

/// Waits without an interpreter and without looking for signals. True unless the deadline passed.
pub fn wait<T: Awaitable + ?Sized>(what: &T, deadline: Deadline) -> bool {
    wait_as(&Waiter::new(), what, deadline)
}

/// [`wait`] with a waiter of the caller's making.
pub fn wait_as<T: Awaitable + ?Sized>(waiter: &Waiter, what: &T, deadline: Deadline) -> bool {
    // SAFETY: the waiter outlives this call, and every way out of it leaves the queue first:
    // claim returned true, or cancel returned.
    unsafe {
        let mut ready = what.enqueue(waiter, false);
        while !(ready && what.claim(waiter)) {
            ready = match waiter.park(deadline, false) {
                Parked::Unparked | Parked::Interrupted => true,
                Parked::TimedOut if what.cancel(waiter) => true,
                Parked::TimedOut => return false,
            };
        }
        true
    }
}
