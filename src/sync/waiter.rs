//! A thread that waits, and the steps of a wait.

use core::ptr;
use std::time::{Duration, Instant};

use super::owner::Owner;
use super::parker::{Parked, Parker, Wake};
use super::primitive::{AtomicPtr, AtomicU32, Ordering};
use super::retire::Ticket;

/// When a wait times out; `None` means never.
pub type Deadline = Option<Instant>;

/// The progress of a waiter. Written under the queue lock of the queue that it waits in.
///
/// ```text
///            enqueue             wake-up: try again            claim fails
///   Idle ───────────▶ Queued ─────────────────────▶ Woken ───────────────▶ Queued
///                       │                             │
///                       ├───────── hand-off ──────────┴──▶ Granted (out of the queue)
///                       └───────── dismissal ────────────▶ Dismissed (out of the queue)
/// ```
///
/// A waiter that finds the resource at once goes from Idle to Granted and is never queued. If the
/// object is retired or shut down, it goes from Idle to Dismissed. A grant that is taken back turns
/// Granted into Dismissed, see `grants`.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Phase {
    Idle = 0,
    /// In the queue. The thread sleeps or is about to.
    Queued = 1,
    /// Still in the queue. The thread has been woken and is going to claim.
    Woken = 2,
    /// Out of the queue, and has been given the resource.
    Granted = 3,
    /// Out of the queue, and will not get the resource. The caller asks the object for the reason.
    Dismissed = 4,
}

/// Data that a primitive stores in a waiter: the round that it waits in, or the item that it brings
/// or gets. Belongs to the primitive that it waits for, and is accessed under the queue lock.
pub(super) type Note = AtomicPtr<()>;

/// One wait of one thread: a node of a [`WaitList`](super::WaitList) and the thread's parker.
pub struct Waiter {
    pub(super) next: AtomicPtr<Waiter>,
    pub(super) previous: AtomicPtr<Waiter>,
    pub(super) note: Note,
    /// The ticket from a primitive that was retired meanwhile, or null. The type is not from
    /// `primitive`: the ticket is written and read together with the phase, and the model checker
    /// checks that one.
    ticket: core::sync::atomic::AtomicPtr<()>,
    phase: AtomicU32,
    /// The retry timer: if not zero, the next park lasts at most so many microseconds.
    nap: AtomicU32,
    since: Instant,
    owner: Owner,
    /// The wait counts as begun so many microseconds later, see [`Waiter::count_from`]. The type is
    /// not from `primitive`: the model checker has no time.
    delay: core::sync::atomic::AtomicU32,
    #[cfg(not(modelled))]
    look: Look,
    parker: Parker,
    #[cfg(modelled)]
    overdue: core::sync::atomic::AtomicBool,
}

impl Waiter {
    /// A waiter for a wait that begins now.
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
            owner: Owner::known(),
            delay: core::sync::atomic::AtomicU32::new(0),
            #[cfg(not(modelled))]
            look: Look::default(),
            parker: Parker::new(),
            #[cfg(modelled)]
            overdue: false.into(),
        }
    }

    /// The thread that waits, as the owner of the lock that it gets.
    #[must_use]
    pub fn owner(&self) -> Owner {
        self.owner
    }

    /// When the wait began.
    #[must_use]
    pub fn since(&self) -> Instant {
        self.since
    }

    /// A waiter of another thread, in a model: its threads share one real thread.
    #[cfg(modelled)]
    pub fn of(owner: Owner) -> Waiter {
        Waiter { owner, ..Waiter::new() }
    }

    /// A waiter that counts as one that has waited for a long time, in a model.
    #[cfg(modelled)]
    pub fn overdue() -> Waiter {
        Waiter::overdue_of(Owner::NONE)
    }

    /// [`Waiter::overdue`] of another thread.
    #[cfg(modelled)]
    pub fn overdue_of(owner: Owner) -> Waiter {
        Waiter { overdue: true.into(), ..Waiter::of(owner) }
    }

    /// Whether the waiter has waited for at least `span`.
    #[cfg(not(modelled))]
    #[must_use]
    pub(super) fn has_waited(&self, span: Duration) -> bool {
        self.counts_from().elapsed() >= span
    }

    /// In a model a waiter has waited long enough after one park with a retry timer. Under
    /// `shuttle` it may be so at any time.
    #[cfg(modelled)]
    #[must_use]
    pub(super) fn has_waited(&self, _span: Duration) -> bool {
        #[cfg(shuttle)]
        self.overdue.fetch_or(super::parker::is_late(), Ordering::Relaxed);
        self.overdue.load(Ordering::Relaxed)
    }

    /// From now on [`Waiter::has_waited`] counts from this time, if the wait began earlier. To be
    /// called under the queue lock.
    pub(super) fn count_from(&self, time: Instant) {
        let delay = time.saturating_duration_since(self.since).as_micros();
        // A delay of more than an hour is cut off. Then the waiter counts as one that has waited.
        let delay = u32::try_from(delay).unwrap_or(u32::MAX);
        if delay > self.delay.load(Ordering::Relaxed) {
            self.delay.store(delay, Ordering::Relaxed);
        }
    }

    fn counts_from(&self) -> Instant {
        self.since + Duration::from_micros(self.delay.load(Ordering::Relaxed).into())
    }

    /// Lets the next waiter in the queue count from the same time at the earliest, when this one
    /// leaves the front.
    pub(super) fn pass_on_delay(&self, next: &Waiter) {
        if self.delay.load(Ordering::Relaxed) != 0 {
            next.count_from(self.counts_from());
        }
    }

    pub(super) fn phase(&self) -> Phase {
        // Relaxed: the queue lock orders every access.
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Idle,
            1 => Phase::Queued,
            2 => Phase::Woken,
            3 => Phase::Granted,
            _ => Phase::Dismissed,
        }
    }

    /// Whether the waiter has left the queue and did not get the resource. To be called by its own
    /// thread, after the wait.
    #[must_use]
    pub fn is_dismissed(&self) -> bool {
        self.phase() == Phase::Dismissed
    }

    /// The ticket that the waiter has, if the object was retired meanwhile. To be called by its own
    /// thread, after the wait, or after [`Awaitable::abandon`] if a signal handler raised.
    #[must_use]
    pub fn ticket(&self) -> Option<Ticket> {
        Ticket::new(self.ticket.load(Ordering::Relaxed))
    }

    /// Makes the waiter leave without the resource, with a ticket or without one. As
    /// [`Waiter::signal`].
    pub(super) fn dismiss(&self, ticket: Option<Ticket>) -> Wake {
        let ticket = ticket.map_or(ptr::null_mut(), Ticket::as_ptr);
        self.ticket.store(ticket, Ordering::Relaxed);
        self.signal(Phase::Dismissed)
    }

    /// Whether the waiter has been settled: it is out of the queue, granted or dismissed.
    #[must_use]
    pub(super) fn is_settled(&self) -> bool {
        matches!(self.phase(), Phase::Granted | Phase::Dismissed)
    }

    pub(super) fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u32, Ordering::Relaxed);
    }

    /// The waiter is put into a queue. A ticket from an earlier wait is void.
    pub(super) fn begin(&self) {
        self.ticket.store(ptr::null_mut(), Ordering::Relaxed);
        self.set_phase(Phase::Queued);
    }

    /// Moves to `phase` and stores the wake-up. To be called under the queue lock. The caller sends
    /// the result after that.
    pub(super) fn signal(&self, phase: Phase) -> Wake {
        self.set_phase(phase);
        #[cfg(not(modelled))]
        self.look.answered(self.since, &self.parker);
        self.parker.signal()
    }

    /// Sets the retry timer: the next park ends after this time at the latest, as if the waiter had
    /// been unparked.
    pub(super) fn nap(&self, span: Duration) {
        self.nap.store(span.as_micros() as u32, Ordering::Relaxed);
    }

    /// Spins for a moment before the thread parks.
    ///
    /// Without a retry timer it spins until this waiter is unparked, and returns false. With a
    /// retry timer it spins until `what` is at rest. If that succeeds, it returns true, and the
    /// waiter need not park.
    #[cfg(not(modelled))]
    #[must_use]
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

    /// When and by which thread the waiter was answered.
    #[cfg(not(modelled))]
    pub fn answer(&self) -> Answer {
        Answer {
            era: self.look.era.load(Ordering::Relaxed),
            processor: self.look.processor.load(Ordering::Relaxed),
            keeps_turn: self.look.keeps_turn.load(Ordering::Relaxed),
        }
    }

    /// Sleeps until another thread unparks this waiter, or until the deadline. If `interruptible`,
    /// also until a signal handler has run in this thread.
    ///
    /// A signal that comes while the thread spins interrupts no system call. So a spin without
    /// success ends as if a signal had come, once in a wait.
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

/// The data for spinning before a sleep. No order of steps depends on it.
#[cfg(not(modelled))]
#[derive(Default)]
struct Look {
    /// When the waiter was answered, see `turns::era`.
    era: AtomicU32,
    /// The processor of the thread that answered.
    processor: AtomicU32,
    /// The thread that answered keeps its turn until this thread is awake.
    keeps_turn: core::sync::atomic::AtomicBool,
    /// The processor on which this thread spins or sleeps.
    at: AtomicU32,
    /// If this thread was asleep when it was answered: the time since the beginning of its wait, in
    /// nanoseconds. Else zero.
    answered: core::sync::atomic::AtomicU64,
    /// The last spin had no success.
    in_vain: core::sync::atomic::AtomicBool,
    /// This thread does not spin any more in this wait.
    over: core::sync::atomic::AtomicBool,
}

/// When a waiter was answered, and by which thread. To answer a waiter is to signal it, see
/// `turns`.
#[cfg(not(modelled))]
#[derive(Clone, Copy)]
pub struct Answer {
    /// See `turns::era`.
    pub era: u32,
    /// The processor of the thread that answered, see `turns::processor`.
    pub processor: u32,
    /// Whether the thread that answered keeps its turn until the waiter is awake.
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

    /// Whether a spin had no success, for the first time in this wait. After that the thread spins
    /// no more.
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

/// The result of an attempt to leave a queue for good.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// The waiter has left, and was not settled.
    Left,
    /// The waiter has been settled in the meantime. It claims next: a grant must not be lost.
    Settled,
    /// The end of the wait is certain to come, and the waiter stays in the queue for it. It parks
    /// again, without a deadline.
    Stays,
}

/// An object that a thread can wait for: it has a resource or a state that a waiter claims.
///
/// # Safety
/// An implementation keeps the address of a waiter from `enqueue`, when that returns false, until
/// `claim` returns true, `cancel` returns [`Cancelled::Left`] or `abandon` returns. These three
/// take the queue lock, and an implementation touches the waiter only under that lock. So a waiter
/// that has left may be freed.
pub unsafe trait Awaitable {
    /// Whether a waiter stays in the queue while its thread runs signal handlers.
    ///
    /// It must stay if a notification could be lost meanwhile. It must leave if it could be granted
    /// a resource that every other thread would then miss until the handlers are done.
    const STAYS_QUEUED_DURING_SIGNALS: bool = false;

    /// A wait for this begins. If threads take turns, the calling thread has its turn. It may give
    /// the turn up before the wait is over.
    fn begin(&self) {}

    /// The wait is over, and the thread has its turn again.
    fn end(&self) {}

    /// Takes the resource if it becomes available within a moment that is shorter than the steps of
    /// a wait. Not under a GIL: the thread that is to make it available needs the GIL.
    #[cfg(not(modelled))]
    fn try_for_a_moment(&self) -> bool {
        false
    }

    /// The place under which the results of spinning for this are remembered.
    #[cfg(not(modelled))]
    fn place(&self) -> super::spin::Place {
        super::spin::Place::new(ptr::from_ref(self).addr())
    }

    /// For a waiter that was woken and has found the resource taken again. True if the resource is
    /// available, and no thread has taken it since the last call of this.
    #[cfg(not(modelled))]
    fn is_at_rest(&self) -> bool {
        true
    }

    /// Checks whether the resource is available. If so, returns true: the waiter is settled or
    /// idle, and claims next. Else queues the waiter and returns false.
    ///
    /// A waiter is `resumed` if it has left the queue to run signal handlers and comes back. It
    /// goes to the front.
    ///
    /// # Safety
    /// The waiter stays in place until it has left the queue again.
    #[must_use]
    unsafe fn enqueue(&self, waiter: &Waiter, resumed: bool) -> bool;

    /// Takes the resource and leaves the queue (true), or stays in it (false): the waiter then
    /// parks again. To be called after an unpark, or when `enqueue` has returned true.
    ///
    /// A waiter that was granted the resource always gets it. A waiter that was dismissed does not,
    /// and [`Waiter::is_dismissed`] says so.
    ///
    /// # Safety
    /// The waiter was queued here and has not left. Or it was settled, or `enqueue` has returned
    /// true, and it has not claimed.
    #[must_use]
    unsafe fn claim(&self, waiter: &Waiter) -> bool;

    /// Leaves the queue for good, because the deadline has passed. Also because of a signal, unless
    /// waiters stay in the queue then.
    ///
    /// # Safety
    /// The waiter was queued here and has not left.
    unsafe fn cancel(&self, waiter: &Waiter) -> Cancelled;

    /// Puts the waiter back into the queue after a fork, in the child.
    ///
    /// A signal handler of the waiter's own thread has forked the process while the waiter was to
    /// stay in the queue. In the child the waiter is in no queue. It goes back to the front, unless
    /// it has been settled or notified. To be implemented if waiters stay in the queue.
    ///
    /// # Safety
    /// The waiter was queued here before the fork and had not left.
    unsafe fn requeue(&self, waiter: &Waiter) {
        let _ = waiter;
        debug_assert!(!Self::STAYS_QUEUED_DURING_SIGNALS);
    }

    /// Leaves the queue because a signal handler has raised, if waiters stay in the queue
    /// meanwhile. A notification that came in the meantime has to go to another thread.
    ///
    /// # Safety
    /// As [`Awaitable::cancel`].
    unsafe fn abandon(&self, waiter: &Waiter) {
        // SAFETY: as the caller promises. A settled waiter claims, and has left after that as well.
        unsafe {
            if self.cancel(waiter) == Cancelled::Settled {
                let _left = self.claim(waiter);
            }
        }
    }
}
