//! A place where a fixed number of threads wait for each other, again and again.
//!
//! The threads of one round leave with a number each, from zero up in the order in which they
//! came. The last one may have something to do before anybody leaves (its *turn*); whoever comes
//! meanwhile belongs to the next round and waits at the entrance. During a turn the round is
//! complete: a time-out does not break it any more, it only has to wait how the turn ends.
//!
//! A round that ends writes down for each of its waiters how (its *verdict*), all under one queue lock,
//! and only then wakes them one by one. Whoever leaves later, because it was woken or because its
//! time was up, goes by the verdict. So what happens to the next round, which may be over before
//! the last one of this is awake, does not concern it.

use core::ptr;

use super::event::Event;
use super::fork;
use super::parker::Wake;
use super::primitive::{AtomicU32, Ordering, const_unless_modelled};
use super::retire::{Retire, Ticket, Tickets};
use super::wait_list::{LockedList, WaitList};
use super::waiter::{Awaitable, Cancelled, Phase, Waiter};

/// Who gets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum BarrierState {
    /// None: it is not made yet, see [`Barrier::begin`], or no more, see [`Barrier::retire`].
    Retired = 0,
    /// Whoever comes; during a turn they have to wait at the entrance.
    Whole = 1,
    /// Nobody until it is reset.
    Broken = 2,
}

/// How a round ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Verdict {
    /// Not yet.
    None = 0,
    /// All came, and the last one took its turn.
    Passed = 1,
    /// The barrier was broken or reset.
    Broken = 2,
    /// The barrier was retired: the waiter has a ticket.
    Retired = 3,
}

/// What a thread that comes to a barrier is told.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It is in the queue now, and the number is its own: wait.
    Wait(u32),
    /// It is the last one, and has its turn.
    Last(Turn),
    /// The last one of the round before has its turn: wait for [`Barrier::entrance`], come again.
    Later,
    /// The barrier is broken.
    Broken,
    /// The barrier is retired.
    Retired,
}

/// What a thread is told whose turn is over.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnEnd {
    /// Its round has ended with it.
    InTime,
    /// The round was over before: the barrier was broken or reset.
    Over,
    /// The barrier was retired during the turn: the round is to be ended where it goes on.
    Retired,
}

/// What a barrier was when it was retired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BarrierRemains {
    /// Whole or broken.
    pub state: BarrierState,
    /// How many threads of the round had come.
    pub count: u32,
    /// Whether one of them was the last, and had its turn.
    pub acting: bool,
}

/// Which round the last thread acts for. To be given back to [`Barrier::open`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    round: u32,
    /// The thread's own number.
    pub number: u32,
}

/// See the module's documentation. All zero is a barrier that can be begun.
#[repr(C)]
pub struct Barrier {
    /// The word is the number of the round, under the queue lock.
    queue: WaitList,
    entrance: Event,
    parties: AtomicU32,
    count: AtomicU32,
    state: AtomicU32,
    /// Whether the last one has its turn: zero, or one more than twice the epoch in which that began.
    /// Under the queue lock.
    acting: AtomicU32,
    /// The number of the thread that has, or had, the last turn. Under the queue lock.
    actor: AtomicU32,
}

impl Barrier {
    const_unless_modelled! {
        /// A barrier for so many threads, at least one.
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

    /// The first of two steps that make a barrier of zeros: says how many threads make a round.
    /// True for one thread, and only if nobody was told so before.
    #[must_use]
    pub fn claim_parties(&self, parties: u32) -> bool {
        let order = Ordering::Relaxed;
        self.parties.compare_exchange(0, parties, order, order).is_ok()
    }

    /// The second: lets threads in. Whoever finds the barrier whole sees what happened before.
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

    /// Who gets in at the moment.
    #[inline]
    pub fn state(&self) -> BarrierState {
        match self.state.load(Ordering::Acquire) {
            0 => BarrierState::Retired,
            1 => BarrierState::Whole,
            _ => BarrierState::Broken,
        }
    }

    /// Whether the last thread of a round has its turn at this moment. A thread that a fork has left
    /// behind has none.
    #[must_use]
    pub fn is_in_turn(&self) -> bool {
        let order = Ordering::Relaxed;
        self.is_acting() && fork::is_here((self.acting.load(order) >> 1, self.actor.load(order)))
    }

    /// Set when nobody has a turn any more.
    pub fn entrance(&self) -> &Event {
        &self.entrance
    }

    /// Comes to the barrier as the last one that has nothing to do in its turn: everybody goes.
    /// Its number; `None` if it would not be the last one or not get in, and nothing has changed.
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
    /// If the answer is [`Arrival::Wait`] the waiter is in the queue, and has to stay where it is
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

    /// The turn is over: lets all threads of the round go.
    pub fn open(&self, turn: Turn) -> TurnEnd {
        self.end_turn(turn, BarrierState::Whole, Verdict::Passed)
    }

    /// The turn ended badly: breaks the barrier.
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

    /// Breaks the barrier: threads that wait and threads that come are sent away until
    /// [`Barrier::reset`]. False if it is retired.
    #[must_use]
    pub fn abort(&self) -> bool {
        self.restart(BarrierState::Broken)
    }

    /// Makes the barrier empty and whole; threads that wait are sent away. False if it is retired.
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
    /// The waiters of the round have tickets, also while the last one has its turn, which learns of
    /// it at the end of the turn. A waiter that has its verdict leaves by that. A thread at the
    /// entrance is let in, and finds the barrier retired. Neither the count nor the round changes:
    /// so a turn that was over before is told from the one that was not.
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
        // Those of a round that is over are in front of them, and are being woken.
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

    /// How the wait of a waiter ended that has left.
    pub fn verdict(waiter: &Waiter) -> Verdict {
        match waiter.note.load(Ordering::Relaxed).addr() {
            0 => Verdict::None,
            1 => Verdict::Passed,
            2 => Verdict::Broken,
            _ => Verdict::Retired,
        }
    }

    // What is read and written under the queue lock needs no order of its own; the state is read
    // without it too, and says what `begin` has made visible.

    fn set_state(&self, state: BarrierState) {
        self.state.store(state as u32, Ordering::Release);
    }

    fn is_acting(&self) -> bool {
        self.acting.load(Ordering::Relaxed) != 0
    }

    fn round(&self) -> u32 {
        self.queue.word.load(Ordering::Relaxed)
    }

    /// Ends the round: its threads leave with this verdict. Goes on in this state. The barrier is
    /// not retired.
    #[inline]
    fn end_round(&self, queue: LockedList<'_>, state: BarrierState, verdict: Verdict) {
        if self.is_acting() {
            self.acting.store(0, Ordering::Relaxed);
            // Under the queue lock: the last one of the next round clears it.
            let _live = self.entrance.set();
        }
        // The state first: a thread whose time is up does this while it is detached. A process that
        // is forked in the middle of it finds a broken barrier that still counts those threads, as
        // it is until they have left.
        self.set_state(state);
        self.queue.word.store(self.round().wrapping_add(1), Ordering::Relaxed);
        self.count.store(0, Ordering::Relaxed);
        if queue.is_empty() {
            queue.release();
        } else {
            self.send_away(queue, verdict);
        }
    }

    /// Writes the verdict down for all who have none, and wakes whoever has one.
    fn send_away<'a>(&'a self, queue: LockedList<'a>, verdict: Verdict) {
        for waiter in queue.iter().filter(|waiter| Barrier::verdict(waiter) == Verdict::None) {
            note(waiter, verdict);
        }
        // Those of an earlier round may be there still, and those of the next are behind them.
        self.queue.let_some_go(queue, next);
    }

    /// Whether the waiter has left the queue or, having its verdict, leaves it now.
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

// SAFETY: a waiter is reachable through the queue only, between push and remove, and every access
// to it is made under the queue lock; claim and cancel take the queue lock before the waiter may go.
unsafe impl Awaitable for Barrier {
    // It has been counted; the round goes on without waiting for its signal handlers.
    const STAYS_QUEUED_DURING_SIGNALS: bool = true;

    /// Not used: [`Barrier::arrive`] queues.
    unsafe fn enqueue(&self, _: &Waiter, _: bool) -> bool {
        false
    }

    /// It is counted still.
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

    /// A thread that does not wait any longer breaks the barrier. During a turn it is too late for
    /// that, and the thread waits on until the turn is over, or a signal handler raises.
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

    /// A thread that has to leave for another reason is not counted any more.
    unsafe fn abandon(&self, waiter: &Waiter) {
        let queue = self.queue.lock_queue();
        // SAFETY: as the caller promises; not settled means that it is in the queue still.
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
