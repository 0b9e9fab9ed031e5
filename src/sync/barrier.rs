//! A barrier: a fixed number of threads wait for each other, again and again.
//!
//! The threads of one round get a number each, from zero up, in the order of their arrival. The
//! last one may have work to do before the round ends: its *turn*. Threads that come meanwhile
//! belong to the next round, and wait at the *entrance*. During a turn the round is complete. A
//! time-out does not break it any more: that thread has to wait for the end of the turn.
//!
//! A round that ends stores its *verdict* in each of its waiters, all under one queue lock. Only
//! then the waiters are woken. A waiter follows its verdict when it leaves later, because it was
//! woken or because its deadline has passed. The next round may be over before the last waiter of
//! this one is awake, and has no effect on it.
//!
//! # The state words
//!
//! `state` says which threads get in. `acting` is zero, or says that a turn is under way: bit 0 is
//! set then, and the bits above are the fork epoch in which the turn began.
//!
//! | `state` | `acting` | `count` | meaning |
//! |---|---|---|---|
//! | Retired | 0 | 0 | all zero: a barrier that is not begun |
//! | Whole | 0 | below `parties` | a round: so many of its threads have come |
//! | Whole | not 0 | up to `parties` | the last thread has its turn, others wait at the entrance |
//! | Broken | 0 | 0 | broken: threads that come are refused until a reset |
//! | Retired | 0 | any | retired |
//! | Retired | not 0 | up to `parties` | retired during a turn, which is not over |
//!
//! - `state`: under the queue lock, except in [`Barrier::begin`]. It is also read without the lock.
//! - `acting`: under the queue lock. Set by the last thread of a round, cleared at the end of the
//!   round. In the child of a fork it may be set for a thread that does not exist there, see
//!   [`Barrier::is_in_turn`].
//! - `actor`: under the queue lock, together with setting `acting`.
//! - `count`: under the queue lock. Each arrival adds one. The end of the round sets it to zero. A
//!   thread that leaves because a signal handler has raised takes itself off.
//! - `parties`: from zero by compare-exchange, once.
//! - The word of the wait list: the number of the round, modulo 2^32. The end of a round adds one,
//!   under the queue lock.

use core::ptr;

use super::event::Event;
use super::fork;
use super::parker::Wake;
use super::primitive::{AtomicU32, Ordering, const_unless_modelled};
use super::retire::{Retire, Ticket, Tickets};
use super::wait_list::{LockedList, WaitList};
use super::waiter::{Awaitable, Cancelled, Phase, Waiter};

/// Which threads get in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum BarrierState {
    /// None. The barrier is not begun yet, see [`Barrier::begin`], or it is retired, see
    /// [`Barrier::retire`].
    Retired = 0,
    /// All threads. During a turn they have to wait at the entrance.
    Whole = 1,
    /// None, until a reset.
    Broken = 2,
}

/// How a round ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Verdict {
    /// It has not ended.
    None = 0,
    /// All threads came, and the last one had its turn.
    Passed = 1,
    /// The barrier was broken or reset.
    Broken = 2,
    /// The barrier was retired: the waiter has a ticket.
    Retired = 3,
}

/// The answer to a thread that comes to a barrier.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// The thread is in the queue, and this is its number: it has to wait.
    Wait(u32),
    /// The thread is the last one, and has its turn.
    Last(Turn),
    /// The last thread of the round before has its turn. Wait for [`Barrier::entrance`] and come
    /// again.
    Later,
    /// The barrier is broken.
    Broken,
    /// The barrier is retired.
    Retired,
}

/// The answer to a thread at the end of its turn.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnEnd {
    /// The round has ended with the turn.
    InTime,
    /// The round was over before: the barrier was broken or reset.
    Over,
    /// The barrier was retired during the turn: the round has to be ended on the object that goes
    /// on with it.
    Retired,
}

/// The last state of a barrier that was retired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BarrierRemains {
    /// Whole or broken.
    pub state: BarrierState,
    /// How many threads of the round had come.
    pub count: u32,
    /// Whether one of them was the last, and had its turn.
    pub acting: bool,
}

/// The round that the last thread acts for. The thread gives it to [`Barrier::open`] or
/// [`Barrier::spoil`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    round: u32,
    /// The thread's own number.
    pub number: u32,
}

/// See the module's documentation. All zero is a barrier that is not begun.
#[repr(C)]
pub struct Barrier {
    /// Its word is the number of the round, changed under the queue lock.
    queue: WaitList,
    /// Cleared when a turn begins. Set when it ends, or when the barrier is retired during it.
    entrance: Event,
    /// How many threads make a round.
    parties: AtomicU32,
    /// How many threads of this round have come.
    count: AtomicU32,
    /// A [`BarrierState`].
    state: AtomicU32,
    /// Whether a turn is under way: zero, or twice the fork epoch in which the turn began, plus
    /// one. Under the queue lock.
    acting: AtomicU32,
    /// The number of the thread that has the turn, or had the last one, as `fork` counts threads.
    /// Under the queue lock.
    actor: AtomicU32,
}

impl Barrier {
    const_unless_modelled! {
        /// A barrier for this number of threads, at least one.
        pub fn new(parties: u32) -> Barrier {
            Barrier {
                queue: WaitList::new(),
                entrance: Event::new(),
                parties: AtomicU32::new(parties),
                count: AtomicU32::new(0),
                state: AtomicU32::new(BarrierState::Whole as u32),
                acting: AtomicU32::new(0),
                actor: AtomicU32::new(0),
            }
        }
    }

    /// The first of two steps that make a barrier out of zeros: says how many threads make a round.
    /// True for one thread, the first that calls this.
    #[must_use]
    pub fn claim_parties(&self, parties: u32) -> bool {
        let order = Ordering::Relaxed;
        self.parties.compare_exchange(0, parties, order, order).is_ok()
    }

    /// The second step: lets threads in. A thread that finds the barrier whole also sees all that
    /// happened before this call.
    pub fn begin(&self) {
        self.set_state(BarrierState::Whole);
    }

    /// How many threads make a round.
    pub fn parties(&self) -> u32 {
        self.parties.load(Ordering::Relaxed)
    }

    /// How many threads of this round have come.
    pub fn count(&self) -> u32 {
        self.count.load(Ordering::Relaxed)
    }

    /// Which threads get in at this moment.
    #[inline]
    pub fn state(&self) -> BarrierState {
        match self.state.load(Ordering::Acquire) {
            0 => BarrierState::Retired,
            1 => BarrierState::Whole,
            _ => BarrierState::Broken,
        }
    }

    /// Whether the last thread of a round has its turn at this moment. A thread that does not exist
    /// in the child of a fork has no turn.
    #[must_use]
    pub fn is_in_turn(&self) -> bool {
        let order = Ordering::Relaxed;
        self.is_acting() && fork::is_here((self.acting.load(order) >> 1, self.actor.load(order)))
    }

    /// Set at the end of a turn, for the threads that wait at the entrance.
    pub fn entrance(&self) -> &Event {
        &self.entrance
    }

    /// Comes to the barrier as the last thread, with no work for its turn: the round ends. Returns
    /// the number of the thread. `None` if the thread would not be the last one or would not get
    /// in, and then nothing has changed.
    #[inline]
    #[must_use]
    pub fn pass(&self) -> Option<u32> {
        let queue = self.queue.lock_queue();
        let number = self.count();
        if self.state() != BarrierState::Whole || self.is_acting() || number + 1 < self.parties() {
            queue.release();
            return None;
        }
        self.end_round(queue, BarrierState::Whole, Verdict::Passed);
        Some(number)
    }

    /// Comes to the barrier.
    ///
    /// # Safety
    /// If the answer is [`Arrival::Wait`] the waiter is in the queue, and has to stay in place
    /// until it has left, as after [`Awaitable::enqueue`].
    pub unsafe fn arrive(&self, waiter: &Waiter) -> Arrival {
        let queue = self.queue.lock_queue();
        let arrival = match self.state() {
            BarrierState::Broken => Arrival::Broken,
            BarrierState::Retired => Arrival::Retired,
            BarrierState::Whole if self.is_acting() => Arrival::Later,
            BarrierState::Whole => {
                let number = self.count();
                self.count.store(number + 1, Ordering::Relaxed);
                if number + 1 >= self.parties() {
                    let (epoch, thread) = fork::here();
                    self.actor.store(thread, Ordering::Relaxed);
                    self.acting.store(epoch << 1 | 1, Ordering::Relaxed);
                    let _live = self.entrance.clear();
                    Arrival::Last(Turn { round: self.round(), number })
                } else {
                    note(waiter, Verdict::None);
                    // SAFETY: the caller keeps the waiter in place; it is in no queue yet.
                    unsafe { queue.push(waiter, false) };
                    Arrival::Wait(number)
                }
            }
        };
        queue.release();
        arrival
    }

    /// The turn is over: ends the round, and its waiters pass.
    pub fn open(&self, turn: Turn) -> TurnEnd {
        self.end_turn(turn, BarrierState::Whole, Verdict::Passed)
    }

    /// The turn has failed: breaks the barrier.
    pub fn spoil(&self, turn: Turn) -> TurnEnd {
        self.end_turn(turn, BarrierState::Broken, Verdict::Broken)
    }

    fn end_turn(&self, turn: Turn, state: BarrierState, verdict: Verdict) -> TurnEnd {
        let queue = self.queue.lock_queue();
        if !self.is_acting() || self.round() != turn.round {
            queue.release();
            return TurnEnd::Over;
        }
        if self.state() == BarrierState::Retired {
            queue.release();
            return TurnEnd::Retired;
        }
        self.end_round(queue, state, verdict);
        TurnEnd::InTime
    }

    /// Breaks the barrier: its waiters are dismissed, and threads that come are refused until
    /// [`Barrier::reset`]. False if it is retired.
    #[must_use]
    pub fn abort(&self) -> bool {
        self.restart(BarrierState::Broken)
    }

    /// Makes the barrier empty and whole, and dismisses its waiters. False if it is retired.
    #[must_use]
    pub fn reset(&self) -> bool {
        self.restart(BarrierState::Whole)
    }

    fn restart(&self, state: BarrierState) -> bool {
        let queue = self.queue.lock_queue();
        if self.state() == BarrierState::Retired {
            queue.release();
            return false;
        }
        self.end_round(queue, state, Verdict::Broken);
        true
    }

    /// Ends the barrier for good, see [`Retire`].
    ///
    /// The waiters of the round have tickets, also if the last thread has its turn. That thread
    /// learns of it at the end of the turn. A waiter that has its verdict leaves by the verdict. A
    /// thread at the entrance is let in, and finds the barrier retired.
    ///
    /// Neither the count nor the round changes. So the end of a turn can tell whether its round was
    /// over before.
    pub fn retire(&self, tickets: &[Ticket]) -> Retire<BarrierRemains> {
        let queue = self.queue.lock_queue();
        let state = self.state();
        let undecided = || queue.iter().filter(|waiter| !is_decided(waiter));
        let needed = undecided().count();
        if state == BarrierState::Retired || needed > tickets.len() {
            queue.release();
            let already = state == BarrierState::Retired;
            return if already { Retire::Already } else { Retire::NeedTickets(needed) };
        }
        self.set_state(BarrierState::Retired);
        let mut handed = Tickets::new(tickets);
        // The waiters of an earlier round are in front of these, and are being woken.
        while let Some(first) = undecided().next() {
            note(first, Verdict::Retired);
            // SAFETY: it is in the queue.
            unsafe { queue.remove(first) };
            handed.dismiss(first).send();
        }
        let remains = BarrierRemains { state, count: self.count(), acting: self.is_in_turn() };
        if self.is_acting() {
            let _live = self.entrance.set();
        }
        queue.release();
        Retire::Done { state: remains, used: handed.used(tickets) }
    }

    /// The verdict of a waiter that has left.
    pub fn verdict(waiter: &Waiter) -> Verdict {
        match waiter.note.load(Ordering::Relaxed).addr() {
            0 => Verdict::None,
            1 => Verdict::Passed,
            2 => Verdict::Broken,
            _ => Verdict::Retired,
        }
    }

    // Data that are used only under the queue lock need no order of their own. The state is read
    // without it too. Release and Acquire make the steps before `begin` visible.

    fn set_state(&self, state: BarrierState) {
        self.state.store(state as u32, Ordering::Release);
    }

    fn is_acting(&self) -> bool {
        self.acting.load(Ordering::Relaxed) != 0
    }

    fn round(&self) -> u32 {
        self.queue.word.load(Ordering::Relaxed)
    }

    /// Ends the round: its waiters get this verdict, and the barrier goes on in this state. The
    /// barrier must not be retired.
    #[inline]
    fn end_round(&self, queue: LockedList<'_>, state: BarrierState, verdict: Verdict) {
        if self.is_acting() {
            self.acting.store(0, Ordering::Relaxed);
            // Under the queue lock: the last one of the next round clears it.
            let _live = self.entrance.set();
        }
        // The state first. A thread does this while it is detached if its deadline has passed, so
        // the process may be forked in the middle. The child then finds a broken barrier that still
        // counts the threads of the round, as a barrier of the Python class does until they have
        // left.
        self.set_state(state);
        self.queue.word.store(self.round().wrapping_add(1), Ordering::Relaxed);
        self.count.store(0, Ordering::Relaxed);
        if queue.is_empty() {
            queue.release();
        } else {
            self.send_away(queue, verdict);
        }
    }

    /// Stores the verdict in all waiters that have none, and wakes those that have one.
    fn send_away<'a>(&'a self, queue: LockedList<'a>, verdict: Verdict) {
        for waiter in queue.iter().filter(|waiter| Barrier::verdict(waiter) == Verdict::None) {
            note(waiter, verdict);
        }
        // Waiters of an earlier round may still be in front, and those of the next are behind.
        self.queue.let_some_go(queue, next);
    }

    /// True if the waiter has left the queue, or has its verdict and leaves now.
    ///
    /// # Safety
    /// The waiter was queued here.
    unsafe fn leave(queue: &LockedList<'_>, waiter: &Waiter) -> bool {
        if !waiter.is_settled() {
            if !is_decided(waiter) {
                return false;
            }
            // SAFETY: not settled, so it is in the queue still.
            unsafe { queue.remove(waiter) };
            waiter.set_phase(phase_of(waiter));
        }
        true
    }
}

fn note(waiter: &Waiter, verdict: Verdict) {
    waiter.note.store(ptr::without_provenance_mut(verdict as usize), Ordering::Relaxed);
}

/// Takes out the first waiter if it has its verdict.
fn next(queue: &LockedList<'_>) -> Option<Wake> {
    queue.let_go(|first| is_decided(first).then(|| phase_of(first)))
}

fn is_decided(waiter: &Waiter) -> bool {
    Barrier::verdict(waiter) != Verdict::None
}

fn phase_of(waiter: &Waiter) -> Phase {
    match Barrier::verdict(waiter) {
        Verdict::Passed => Phase::Granted,
        _ => Phase::Dismissed,
    }
}

// SAFETY: a waiter is reachable only through the queue, between push and remove, and every access
// to it is made under the queue lock. `claim` and `cancel` take the queue lock before the waiter
// may be freed.
unsafe impl Awaitable for Barrier {
    // The waiter has been counted: the round goes on and does not wait for its signal handlers.
    const STAYS_QUEUED_DURING_SIGNALS: bool = true;

    /// Not used: [`Barrier::arrive`] puts the waiter into the queue.
    unsafe fn enqueue(&self, _: &Waiter, _: bool) -> bool {
        false
    }

    /// The waiter is still counted.
    unsafe fn requeue(&self, waiter: &Waiter) {
        let queue = self.queue.lock_queue();
        if is_decided(waiter) && !waiter.is_settled() {
            waiter.signal(phase_of(waiter)).send();
        }
        if !waiter.is_settled() {
            // SAFETY: as the caller promises; it is in no queue of this process.
            unsafe { queue.push(waiter, true) };
        }
        queue.release();
    }

    unsafe fn claim(&self, waiter: &Waiter) -> bool {
        let queue = self.queue.lock_queue();
        // SAFETY: as the caller promises.
        let left = unsafe { Barrier::leave(&queue, waiter) };
        let wake = if left { next(&queue) } else { None };
        queue.release_and_wake(wake);
        left
    }

    /// Breaks the barrier, because a thread gives up. During a turn it is too late for that: the
    /// thread waits until the turn is over or a signal handler raises.
    unsafe fn cancel(&self, waiter: &Waiter) -> Cancelled {
        let queue = self.queue.lock_queue();
        // SAFETY: as the caller promises.
        if unsafe { Barrier::leave(&queue, waiter) } {
            queue.release();
            return Cancelled::Settled;
        }
        if self.is_acting() {
            queue.release();
            return Cancelled::Stays;
        }
        // SAFETY: not settled, so it is in the queue still.
        unsafe { queue.remove(waiter) };
        self.end_round(queue, BarrierState::Broken, Verdict::Broken);
        Cancelled::Left
    }

    /// Takes the waiter off the count: its thread leaves because a signal handler has raised.
    unsafe fn abandon(&self, waiter: &Waiter) {
        let queue = self.queue.lock_queue();
        // SAFETY: as the caller promises. If it is not settled, it is still in the queue.
        unsafe {
            if !Barrier::leave(&queue, waiter) {
                queue.remove(waiter);
                self.count.store(self.count().saturating_sub(1), Ordering::Relaxed);
            }
        }
        let wake = next(&queue);
        queue.release_and_wake(wake);
    }
}
