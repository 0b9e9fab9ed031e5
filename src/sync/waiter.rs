//! A thread that waits, and the steps of a wait.

use core::ptr;
use std::time::{Duration, Instant};

use super::parker::{Parked, Parker, Wake};
use super::primitive::{AtomicPtr, AtomicU32, Ordering};
use super::retire::Ticket;

/// When a wait ends unserved; `None` means never.
pub type Deadline = Option<Instant>;

/// Where a waiter stands. Written under the queue lock of the queue that it waits in.
///
/// ```text
///            enqueue             wake-up: try again            claim fails
///   Idle ───────────▶ Queued ─────────────────────▶ Woken ───────────────▶ Queued
///                       │                             │
///                       ├───────── hand-off ──────────┴──▶ Granted (out of the queue)
///                       └───────── sent away ────────────▶ Dismissed (out of the queue)
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
    /// Out of the queue, and will not get it: its caller finds out from the object why.
    Dismissed = 4,
}

/// What a primitive notes about a waiter: which round it waits for, or what it brings and gets.
/// Belongs to the primitive that it waits for; accessed under the queue lock.
pub(super) type Note = AtomicPtr<()>;

/// One wait of one thread: a node of a [`WaitList`](super::WaitList) and the thread's parker.
pub struct Waiter {
    pub(super) next: AtomicPtr<Waiter>,
    pub(super) previous: AtomicPtr<Waiter>,
    pub(super) note: Note,
    /// What a primitive that was retired meanwhile has left to the waiter, or null. Not from
    /// `primitive`: it is written and read with the phase, and the model checker looks at that.
    ticket: core::sync::atomic::AtomicPtr<()>,
    phase: AtomicU32,
    /// If not zero, for how many microseconds the next park lasts at most.
    nap: AtomicU32,
    since: Instant,
    #[cfg(not(modelled))]
    look: Look,
    parker: Parker,
    #[cfg(modelled)]
    overdue: core::sync::atomic::AtomicBool,
}

impl Waiter {
    /// A waiter whose wait begins now.
    #[expect(clippy::new_without_default, reason = "a default that reads the clock surprises")]
    pub fn new() -> Waiter {
        Waiter {
            next: AtomicPtr::new(ptr::null_mut()),
            previous: AtomicPtr::new(ptr::null_mut()),
            note: AtomicPtr::new(ptr::null_mut()),
            ticket: core::sync::atomic::AtomicPtr::new(ptr::null_mut()),
            phase: AtomicU32::new(Phase::Idle as u32),
            nap: AtomicU32::new(0),
            since: Instant::now(),
            #[cfg(not(modelled))]
            look: Look::default(),
            parker: Parker::new(),
            #[cfg(modelled)]
            overdue: false.into(),
        }
    }

    /// A waiter that a model checker takes for one that has waited long.
    #[cfg(modelled)]
    pub fn overdue() -> Waiter {
        Waiter { overdue: true.into(), ..Waiter::new() }
    }

    /// Whether it has waited for at least `span`.
    #[cfg(not(modelled))]
    pub(super) fn has_waited(&self, span: Duration) -> bool {
        self.since.elapsed() >= span
    }

    /// In a model a nap is long enough, and under `shuttle` it may be late at any time.
    #[cfg(modelled)]
    pub(super) fn has_waited(&self, _span: Duration) -> bool {
        let _ = self.since;
        #[cfg(shuttle)]
        self.overdue.fetch_or(super::parker::is_late(), Ordering::Relaxed);
        self.overdue.load(Ordering::Relaxed)
    }

    pub(super) fn phase(&self) -> Phase {
        // Relaxed: the queue lock of the queue orders every access.
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Idle,
            1 => Phase::Queued,
            2 => Phase::Woken,
            3 => Phase::Granted,
            _ => Phase::Dismissed,
        }
    }

    /// Whether the waiter has left the queue without getting what it waited for. For its own
    /// thread, after the wait.
    #[must_use]
    pub fn is_dismissed(&self) -> bool {
        self.phase() == Phase::Dismissed
    }

    /// The ticket that it was left, if what it waited for was retired meanwhile. For its own
    /// thread, after the wait, or after [`Awaitable::abandon`] if a handler raised.
    #[must_use]
    pub fn ticket(&self) -> Option<Ticket> {
        Ticket::new(self.ticket.load(Ordering::Relaxed))
    }

    /// Sends the waiter away, with a ticket or with none. As [`Waiter::signal`].
    pub(super) fn dismiss(&self, ticket: Option<Ticket>) -> Wake {
        let ticket = ticket.map_or(ptr::null_mut(), Ticket::as_ptr);
        self.ticket.store(ticket, Ordering::Relaxed);
        self.signal(Phase::Dismissed)
    }

    /// Whether another thread has taken the waiter out of the queue.
    pub(super) fn is_settled(&self) -> bool {
        matches!(self.phase(), Phase::Granted | Phase::Dismissed)
    }

    pub(super) fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u32, Ordering::Relaxed);
    }

    /// It is put into a queue: whatever an earlier wait has left it is void.
    pub(super) fn begin(&self) {
        self.ticket.store(ptr::null_mut(), Ordering::Relaxed);
        self.set_phase(Phase::Queued);
    }

    /// Moves to `phase` and stores the wake-up. Call it under the queue lock, send the result after.
    pub(super) fn signal(&self, phase: Phase) -> Wake {
        self.set_phase(phase);
        #[cfg(not(modelled))]
        self.look.answered(self.since, &self.parker);
        self.parker.signal()
    }

    /// The next park ends after this time at the latest, as if somebody had unparked the waiter.
    pub(super) fn nap(&self, span: Duration) {
        self.nap.store(span.as_micros() as u32, Ordering::Relaxed);
    }

    /// Looks for a moment whether somebody unparks this waiter; or, if it would nap, whether what it
    /// waits for is to be had: true, and then it need not be parked.
    #[cfg(not(modelled))]
    pub fn spin<T: Awaitable + ?Sized>(&self, what: &T) -> bool {
        use super::spin::{self, Looked};
        use super::turns;
        if self.look.over.load(Ordering::Relaxed) {
            return false;
        }
        if self.nap.load(Ordering::Relaxed) == 0 {
            self.look.at.store(turns::processor(), Ordering::Relaxed);
            let ready = || self.parker.is_notified();
            let looked = if turns::keeps_from_running() {
                turns::let_run(what.place(), ready)
            } else {
                spin::spin(what.place(), ready)
            };
            self.look.in_vain.store(looked == Looked::InVain, Ordering::Relaxed);
            return false;
        }
        let mut gap = 8;
        let looked = spin::spin(what.place().other(), || {
            for _ in 0..gap {
                core::hint::spin_loop();
            }
            gap = (gap * 2).min(64);
            what.is_at_rest()
        });
        self.look.in_vain.store(looked == Looked::InVain, Ordering::Relaxed);
        if looked == Looked::Found {
            self.nap.store(0, Ordering::Relaxed);
        }
        looked == Looked::Found
    }

    /// When and where it was answered.
    #[cfg(not(modelled))]
    pub fn answer(&self) -> Answer {
        Answer {
            era: self.look.era.load(Ordering::Relaxed),
            processor: self.look.processor.load(Ordering::Relaxed),
            keeps_turn: self.look.keeps_turn.load(Ordering::Relaxed),
        }
    }

    /// Sleeps until another thread unparks this waiter, or the deadline, or, if `interruptible`,
    /// until a signal handler has run in this thread. A signal that has come while the thread looked
    /// has interrupted nothing: so a look in vain ends as if one had come, once in a wait.
    pub fn park(&self, deadline: Deadline, interruptible: bool) -> Parked {
        let nap = self.nap.swap(0, Ordering::Relaxed);
        #[cfg(not(modelled))]
        if interruptible && self.look.ends_the_first_time() {
            return Parked::Interrupted;
        }
        #[cfg(not(modelled))]
        if nap == 0 {
            return self.park_after_look(deadline, interruptible);
        }
        #[cfg(modelled)]
        if nap == 0 {
            return self.parker.park(deadline, interruptible);
        }
        #[cfg(modelled)]
        self.overdue.store(true, Ordering::Relaxed);
        let end = Instant::now() + Duration::from_micros(nap.into());
        match deadline {
            Some(deadline) if deadline <= end => self.parker.park(Some(deadline), interruptible),
            _ => match self.parker.park(Some(end), interruptible) {
                Parked::TimedOut => Parked::Unparked,
                other => other,
            },
        }
    }
}

/// For looking before a sleep: nothing that the order of steps depends on.
#[cfg(not(modelled))]
#[derive(Default)]
struct Look {
    /// When it was answered, see `turns::era`.
    era: AtomicU32,
    /// The processor of the thread that has answered.
    processor: AtomicU32,
    /// The thread that has answered keeps its turn until this one is awake.
    keeps_turn: core::sync::atomic::AtomicBool,
    /// The processor on which its thread looks or sleeps.
    at: AtomicU32,
    /// If it was asleep then: how many nanoseconds after the beginning of its wait.
    answered: core::sync::atomic::AtomicU64,
    /// The thread has looked in vain.
    in_vain: core::sync::atomic::AtomicBool,
    /// There is no looking before the sleeps to come.
    over: core::sync::atomic::AtomicBool,
}

/// When a waiter was answered, and where.
#[cfg(not(modelled))]
#[derive(Clone, Copy)]
pub struct Answer {
    /// See `turns::era`.
    pub era: u32,
    /// The processor of the thread that has answered, see `turns::processor`.
    pub processor: u32,
    /// Whether that thread keeps its turn until the waiter is awake.
    pub keeps_turn: bool,
}

#[cfg(not(modelled))]
impl Look {
    /// To be called under the queue lock, before the wake-up.
    fn answered(&self, since: Instant, parker: &Parker) {
        use super::turns;
        self.era.store(turns::era(), Ordering::Relaxed);
        self.processor.store(turns::processor(), Ordering::Relaxed);
        let asleep = parker.is_asleep();
        let here = turns::is_here(self.at.load(Ordering::Relaxed));
        self.keeps_turn.store(turns::answers(here, asleep), Ordering::Relaxed);
        if asleep {
            let nanos = u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX);
            self.answered.store(nanos, Ordering::Relaxed);
        }
    }

    /// Whether the thread has looked in vain, for the first time in this wait. Then it looks no more.
    fn ends_the_first_time(&self) -> bool {
        self.in_vain.load(Ordering::Relaxed) && !self.over.swap(true, Ordering::Relaxed)
    }
}

#[cfg(not(modelled))]
impl Waiter {
    fn park_after_look(&self, deadline: Deadline, interruptible: bool) -> Parked {
        self.look.at.store(super::turns::processor(), Ordering::Relaxed);
        let parked = self.parker.park(deadline, interruptible);
        if parked == Parked::Unparked {
            let answered = self.look.answered.swap(0, Ordering::Relaxed);
            if answered > 0 {
                super::turns::is_woken();
                let now = self.since.elapsed();
                super::spin::took(now.saturating_sub(Duration::from_nanos(answered)));
            }
        }
        parked
    }
}

/// What came of an attempt to leave a queue for good.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// The waiter has left, and was not settled.
    Left,
    /// The waiter has been settled in the meantime, and claims next: it must not throw away what
    /// it was granted.
    Settled,
    /// The end of the wait is bound to come, and the waiter stays for it: it parks again, without
    /// a deadline.
    Stays,
}

/// What a thread can wait for.
///
/// # Safety
/// An implementation keeps the address of a waiter only from `enqueue` (when that returns false)
/// until `claim` returns true, `cancel` returns [`Cancelled::Left`] or `abandon` returns, and touches
/// the waiter only under the queue lock that those take. So a waiter that has left may be freed.
pub unsafe trait Awaitable {
    /// Whether a waiter stays in the queue while its thread runs signal handlers. It must, where
    /// what it waits for is over in a moment: it would miss that. It must not, where others would
    /// wait for what it has been offered until the handlers are done.
    const STAYS_QUEUED_DURING_SIGNALS: bool = false;

    /// A wait for this begins, of a thread that has its turn, if there are turns; it may give it up
    /// before the wait is over.
    fn begin(&self) {}

    /// It has its turn again, and the wait is over.
    fn end(&self) {}

    /// Where waits for this remember what looking before a sleep has brought.
    #[cfg(not(modelled))]
    fn place(&self) -> super::spin::Place {
        super::spin::Place::new(ptr::from_ref(self).addr())
    }

    /// For a waiter that was woken and has found what it waits for taken again: whether it can be
    /// had, and no thread has had it since this was asked last.
    #[cfg(not(modelled))]
    fn is_at_rest(&self) -> bool {
        true
    }

    /// Sees whether what is waited for can be had at once (true: the waiter is settled, and claims
    /// next), else queues the waiter (false).
    /// A waiter that has been in the queue before and left it to look for signals is `resumed`:
    /// it goes to the front.
    ///
    /// # Safety
    /// The waiter stays where it is until it has left the queue again.
    #[must_use]
    unsafe fn enqueue(&self, waiter: &Waiter, resumed: bool) -> bool;

    /// After an unpark, or when it was settled: takes what is waited for and leaves the queue
    /// (true), or stays (false): the waiter then parks again. One that was granted always gets it,
    /// one that was dismissed does not, and is told so by [`Waiter::is_dismissed`].
    ///
    /// # Safety
    /// The waiter was queued here and has not left, or was settled and has not claimed.
    #[must_use]
    unsafe fn claim(&self, waiter: &Waiter) -> bool;

    /// Leaves the queue for good, because the time is up or, unless waiters stay for that, because
    /// of a signal.
    ///
    /// # Safety
    /// The waiter was queued here and has not left.
    unsafe fn cancel(&self, waiter: &Waiter) -> Cancelled;

    /// The process was forked by a signal handler of the waiter's own thread, while the waiter was
    /// to stay in the queue: in the child it is in none. It goes back to the front, unless what it
    /// waits for has come. Has to do something where waiters stay.
    ///
    /// # Safety
    /// The waiter was queued here before the fork and had not left.
    unsafe fn requeue(&self, waiter: &Waiter) {
        let _ = waiter;
        debug_assert!(!Self::STAYS_QUEUED_DURING_SIGNALS);
    }

    /// Leaves the queue because a signal handler raised, where waiters stay for that long. What
    /// was granted in the meantime is for somebody else.
    ///
    /// # Safety
    /// As [`Awaitable::cancel`].
    unsafe fn abandon(&self, waiter: &Waiter) {
        // SAFETY: as the caller promises; settled, it claims, and so has left as well.
        unsafe {
            if self.cancel(waiter) == Cancelled::Settled {
                let _left = self.claim(waiter);
            }
        }
    }
}
