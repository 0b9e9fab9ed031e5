//! Threads that keep their waits in records and look for circles, as `deadlocks` and `blocking` do,
//! for the models of both checkers.

use std::array;
use std::ptr;

use rthread::sync::{
    Caller, Edge, Holder, Lock, Owner, Record, Threads, Wait, WaitKind, WaitStage, Waited, Waiter,
    circle_of, wait_with,
};

use crate::waits::{Patience, Raising};

/// The interpreter in which all threads wait.
pub const HERE: *const () = ptr::null();

/// The identifier of a thread.
pub fn ident_of(number: u32) -> u64 {
    u64::from(number) + 100
}

/// As many locks as threads, which have the numbers from 1 up.
pub struct World<const COUNT: usize> {
    pub locks: [Lock; COUNT],
    pub records: [Record; COUNT],
}

impl<const COUNT: usize> World<COUNT> {
    pub fn new() -> World<COUNT> {
        let record = |index: usize| Record::of(index as u32 + 1, ident_of(index as u32 + 1));
        World { locks: array::from_fn(|_| Lock::new()), records: array::from_fn(record) }
    }

    pub fn thread(&self, number: u32) -> Thread<'_> {
        let record = &self.records[number as usize - 1];
        Thread { number, record, locks: &self.locks, all: All(&self.records) }
    }

    /// All threads have been joined.
    pub fn check(&self) {
        for lock in &self.locks {
            assert!(!lock.is_locked() && !lock.has_waiters());
            assert_eq!(lock.owner(), Owner::NONE);
        }
        for record in &self.records {
            assert_eq!((record.wait().kind, record.stage()), (WaitKind::None, WaitStage::Running));
        }
    }
}

/// All threads of a model.
#[derive(Clone, Copy)]
pub struct All<'a>(pub &'a [Record]);

impl<'a> Threads<'a> for All<'a> {
    fn record_of(self, number: u32) -> Option<&'a Record> {
        self.0.get((number as usize).checked_sub(1)?)
    }

    fn number_of(self, ident: u64) -> u32 {
        self.0.iter().find(|record| record.ident() == ident).map_or(0, Record::number)
    }

    fn holder_of(self, wait: &Wait) -> Option<Holder> {
        // SAFETY: the locks are alive as long as the model.
        unsafe { wait.holder() }
    }
}

/// How the wait of a thread has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Got,
    /// The time is up, or a signal handler has raised.
    GaveUp,
    /// The wait would have closed a circle.
    Found,
}
use Outcome::{Found, GaveUp, Got};

/// A thread, and its steps.
#[derive(Clone, Copy)]
pub struct Thread<'a> {
    pub number: u32,
    pub record: &'a Record,
    locks: &'a [Lock],
    all: All<'a>,
}

impl Thread<'_> {
    pub fn me(self) -> Owner {
        Owner::numbered(self.number)
    }

    pub fn try_get(self, lock: usize) -> bool {
        self.locks[lock].try_acquire_as(self.me())
    }

    pub fn release(self, lock: usize) {
        self.locks[lock].release().unwrap();
    }

    /// A wait without a deadline.
    pub fn wait_for(self, lock: usize) -> Wait {
        let resource = ptr::from_ref(&self.locks[lock]).cast();
        Wait { kind: WaitKind::Lock, resource, ..Wait::NONE }
    }

    /// Whether the thread is in a circle. To be called after it has begun its wait.
    pub fn finds_circle(self) -> bool {
        let circle = circle_of(self.number, HERE, self.all);
        if let Some(circle) = &circle {
            self.check(circle);
        }
        circle.is_some()
    }

    /// Each thread waits for the next one, and the last one for the first one, which has looked.
    fn check(self, circle: &[Edge]) {
        assert_eq!((circle[0].number, circle[0].wait), (self.number, self.record.wait()));
        for (index, edge) in circle.iter().enumerate() {
            let next = circle[(index + 1) % circle.len()];
            assert_ne!(edge.number, next.number);
            assert_eq!(edge.ident, ident_of(edge.number));
            let holder = edge.holder;
            assert!(holder.number == next.number || holder.ident == next.ident);
        }
    }

    /// Wants a lock, and sleeps until it gets it, unless the wait closes a circle.
    pub fn get(self, lock: usize, how: Patience) -> Outcome {
        if self.try_get(lock) {
            return Got;
        }
        let (deadline, interruptible) = how.limits();
        let timed = deadline.is_some();
        let outer = self.record.begin_wait(&Wait { timed, ..self.wait_for(lock) });
        let (sleeper, waiter) = (Sleeper { thread: self, timed, how }, Waiter::of(self.me()));
        let waited = sleeper.look().and_then(|()| {
            // SAFETY: the waiter outlives this call, and is in no queue.
            unsafe {
                wait_with(&sleeper, &waiter, &self.locks[lock], deadline, interruptible, false)
            }
        });
        self.record.end_wait(&outer);
        match waited {
            Ok(Waited::Got) => Got,
            Ok(_) => GaveUp,
            Err(outcome) => outcome,
        }
    }
}

/// A thread in a wait.
struct Sleeper<'a> {
    thread: Thread<'a>,
    timed: bool,
    how: Patience,
}

impl Sleeper<'_> {
    fn look(&self) -> Result<(), Outcome> {
        if !self.timed && self.thread.finds_circle() { Err(Found) } else { Ok(()) }
    }
}

impl Caller for Sleeper<'_> {
    type Raised = Outcome;
    const SPINS: bool = false;

    unsafe fn detached<R>(&self, step: impl FnOnce() -> R) -> R {
        self.thread.record.set_stage(WaitStage::Waiting);
        let result = step();
        self.thread.record.set_stage(WaitStage::Attaching);
        result
    }

    unsafe fn run_signal_handlers(&self) -> Result<(), Outcome> {
        self.thread.record.set_stage(WaitStage::InHandlers);
        let ran = if self.how == Raising { Err(GaveUp) } else { Ok(()) };
        self.thread.record.set_stage(WaitStage::Waiting);
        ran.and_then(|()| self.look())
    }
}
