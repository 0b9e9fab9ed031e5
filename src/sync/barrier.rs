//! A place where a fixed number of threads wait for each other, again and again.
//!
//! The threads of one round leave with a number each, from zero up in the order in which they
//! came. The last one may have something to do before anybody leaves (its *turn*); whoever comes
//! meanwhile belongs to the next round and waits at the entrance.

use core::ptr;

use super::event::Event;
use super::primitive::{AtomicU32, Ordering, const_unless_loom};
use super::queue::{Queue, WaitQueue};
use super::waiter::{Awaitable, Phase, Waiter};

/// What a barrier does at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum BarrierState {
    /// Waits for threads.
    Filling = 0,
    /// All are there, and the last one takes its turn.
    Acting = 1,
    /// Nobody passes until it is reset.
    Broken = 2,
    /// It is no more, see [`Barrier::close`].
    Closed = 3,
}

/// What a thread that comes to a barrier is told.
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
    /// The barrier has been closed.
    Closed,
}

/// Which round the last thread acts for. To be given back to [`Barrier::open`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    round: u32,
    /// The thread's own number.
    pub number: u32,
}

/// See the module's documentation.
#[repr(C)]
pub struct Barrier {
    /// The word is the number of the round, under the guard.
    queue: WaitQueue,
    entrance: Event,
    parties: AtomicU32,
    count: AtomicU32,
    state: AtomicU32,
}

impl Barrier {
    const_unless_loom! {
        /// A barrier for so many threads.
        pub fn new(parties: u32) -> Barrier {
            Barrier {
                queue: WaitQueue::new(),
                entrance: Event::new(),
                parties: AtomicU32::new(parties),
                count: AtomicU32::new(0),
                state: AtomicU32::new(BarrierState::Filling as u32),
            }
        }
    }

    /// How many threads make a round.
    pub fn parties(&self) -> u32 {
        self.parties.load(Ordering::Relaxed)
    }

    /// How many threads of this round have come.
    pub fn count(&self) -> u32 {
        self.count.load(Ordering::Relaxed)
    }

    /// What it does at the moment.
    pub fn state(&self) -> BarrierState {
        // Relaxed: an answer that is out of date at once; under the guard it is exact.
        match self.state.load(Ordering::Relaxed) {
            0 => BarrierState::Filling,
            1 => BarrierState::Acting,
            2 => BarrierState::Broken,
            _ => BarrierState::Closed,
        }
    }

    /// Set when nobody has a turn any more.
    pub fn entrance(&self) -> &Event {
        &self.entrance
    }

    /// Comes to the barrier.
    ///
    /// # Safety
    /// If the answer is [`Arrival::Wait`] the waiter is in the queue, and has to stay where it is
    /// until it has left, as after [`Awaitable::enqueue`].
    pub unsafe fn arrive(&self, waiter: &Waiter) -> Arrival {
        let queue = self.queue.guard();
        let arrival = match self.state() {
            BarrierState::Acting => Arrival::Later,
            BarrierState::Broken => Arrival::Broken,
            BarrierState::Closed => Arrival::Closed,
            BarrierState::Filling => {
                let number = self.count();
                self.count.store(number + 1, Ordering::Relaxed);
                let round = self.queue.word.load(Ordering::Relaxed);
                if number + 1 >= self.parties() {
                    self.set_state(BarrierState::Acting);
                    self.entrance.clear();
                    Arrival::Last(Turn { round, number })
                } else {
                    // SAFETY: the caller keeps the waiter in place; it is in no queue yet.
                    unsafe { queue.push(waiter, false) };
                    let round = ptr::without_provenance_mut(round as usize);
                    waiter.note.store(round, Ordering::Relaxed);
                    Arrival::Wait(number)
                }
            }
        };
        queue.release();
        arrival
    }

    /// The turn is over: lets everybody go. False if the barrier was broken, reset or closed
    /// meanwhile.
    pub fn open(&self, turn: Turn) -> bool {
        let queue = self.queue.guard();
        let in_time = self.state() == BarrierState::Acting
            && self.queue.word.load(Ordering::Relaxed) == turn.round;
        if in_time {
            self.end_round(queue, BarrierState::Filling, Phase::Granted);
        } else {
            queue.release();
        }
        in_time
    }

    /// Breaks the barrier: who waits and who comes is sent away until [`Barrier::reset`].
    pub fn abort(&self) -> bool {
        self.change(BarrierState::Broken)
    }

    /// Makes the barrier empty and whole; who waits is sent away.
    pub fn reset(&self) -> bool {
        self.change(BarrierState::Filling)
    }

    /// The turn ended badly: breaks the barrier, unless its round is over already.
    pub fn spoil(&self, turn: Turn) {
        let queue = self.queue.guard();
        if self.state() == BarrierState::Acting
            && self.queue.word.load(Ordering::Relaxed) == turn.round
        {
            self.end_round(queue, BarrierState::Broken, Phase::Dismissed);
        } else {
            queue.release();
        }
    }

    /// Ends the barrier for good: sends everybody away, and lets nobody in. Its last state; `None`
    /// if somebody else was first.
    pub fn close(&self) -> Option<BarrierState> {
        let before = self.state();
        self.change(BarrierState::Closed).then_some(before)
    }

    /// Ends the round and goes on in this state. False if the barrier is closed.
    fn change(&self, state: BarrierState) -> bool {
        let queue = self.queue.guard();
        if self.state() == BarrierState::Closed {
            queue.release();
            return false;
        }
        self.end_round(queue, state, Phase::Dismissed);
        true
    }

    fn set_state(&self, state: BarrierState) {
        self.state.store(state as u32, Ordering::Relaxed);
    }

    /// Takes everybody out who is in this round; the next one begins in this state.
    fn end_round<'a>(&'a self, mut queue: Queue<'a>, state: BarrierState, how: Phase) {
        if self.state() == BarrierState::Acting {
            // Under the guard: the last one of the next round clears it.
            self.entrance.set();
        }
        let round = self.queue.word.load(Ordering::Relaxed);
        self.queue.word.store(round.wrapping_add(1), Ordering::Relaxed);
        self.count.store(0, Ordering::Relaxed);
        self.set_state(state);
        // One at a time, so that each is woken with the guard free. Those of the next round, who
        // may come while this goes on, are behind them.
        let this_round = ptr::without_provenance_mut(round as usize);
        while let Some(first) =
            queue.front().filter(|first| first.note.load(Ordering::Relaxed) == this_round)
        {
            // SAFETY: it is the front of the queue.
            unsafe { queue.remove(first) };
            let wake = first.signal(how);
            queue.release_and_wake(Some(wake));
            queue = self.queue.guard();
        }
        queue.release();
    }
}

// SAFETY: a waiter is reachable through the queue only, between push and remove, and every access
// to it is made under the guard; claim and cancel take the guard before the waiter may go.
unsafe impl Awaitable for Barrier {
    // It has been counted; the round goes on without waiting for its signal handlers.
    const STAYS: bool = true;

    /// Not used: [`Barrier::arrive`] queues.
    unsafe fn enqueue(&self, _: &Waiter, _: bool) -> bool {
        false
    }

    unsafe fn claim(&self, waiter: &Waiter) -> bool {
        let queue = self.queue.guard();
        let settled = waiter.is_settled();
        queue.release();
        settled
    }

    /// A thread that does not wait any longer breaks the barrier.
    unsafe fn cancel(&self, waiter: &Waiter) -> bool {
        let queue = self.queue.guard();
        if waiter.is_settled() {
            queue.release();
            return true;
        }
        // SAFETY: not settled, so it is in the queue still.
        unsafe { queue.remove(waiter) };
        self.end_round(queue, BarrierState::Broken, Phase::Dismissed);
        false
    }

    /// A thread that has to leave for another reason is not counted any more.
    unsafe fn forgo(&self, waiter: &Waiter) {
        let queue = self.queue.guard();
        if !waiter.is_settled() {
            // SAFETY: not settled, so it is in the queue still.
            unsafe { queue.remove(waiter) };
            self.count.store(self.count().saturating_sub(1), Ordering::Relaxed);
        }
        queue.release();
    }
}
