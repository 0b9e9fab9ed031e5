//! Threads that wait for each other: events, conditions, barriers, and the end of a thread.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rthread::sync::{Barrier, Condition, Event, JoinState, Lock, Stage, Waited};

use crate::waits::{
    Endless, Hurried, Interrupted, Limited, Raising, acquire, meet, wait, wait_for,
};
use crate::{Room, crowd, model, one_of, spawn};

/// A waiter is woken by a set, though it is cleared at once; and the last one is not cleared.
#[test]
fn an_event_that_is_set_again_and_again() {
    model(|| {
        let shared = Arc::new((Event::new(), AtomicBool::new(false)));
        crowd(6, &shared, |(event, over), number| {
            if number > 0 {
                let how = one_of(&[Endless, Limited, Interrupted, Hurried, Raising]);
                while !(wait(event, how) && over.load(Ordering::Relaxed)) {
                    // A schedule may prefer this thread to the one that it waits for.
                    shuttle::thread::yield_now();
                }
                return;
            }
            for _ in 0..3 {
                assert!(event.set());
                shuttle::thread::yield_now();
                assert!(event.clear());
            }
            over.store(true, Ordering::Relaxed);
            assert!(event.set());
        });
        assert!(shared.0.is_set());
    });
}

/// A buffer for two, with a lock and two conditions, as people write it.
#[derive(Default)]
struct Buffer {
    lock: Lock,
    not_full: Condition,
    not_empty: Condition,
    count: AtomicUsize,
    room: Room,
}

impl Buffer {
    /// Changes the count when it may be, and notifies one of the others. Threads that give up try
    /// again, and have to see what they could have been notified of.
    fn change(&self, put: bool) {
        let (own, others) =
            if put { (&self.not_full, &self.not_empty) } else { (&self.not_empty, &self.not_full) };
        assert!(acquire(&self.lock, Endless));
        let may = |count: usize| if put { count < 2 } else { count > 0 };
        while !may(self.count.load(Ordering::Relaxed)) {
            let how = one_of(&[Endless, Endless, Interrupted, Limited, Hurried, Raising]);
            let waited = wait_for(own, &self.lock, how);
            assert_ne!(waited, Ok(Waited::Dismissed));
        }
        self.room.visit(1);
        if put {
            self.count.fetch_add(1, Ordering::Relaxed);
        } else {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
        assert!(others.notify(1));
        self.lock.release().unwrap();
    }
}

#[test]
fn a_buffer_between_three_and_three() {
    model(|| {
        let buffer = Arc::new(Buffer::default());
        crowd(6, &buffer, |buffer, number| {
            for _ in 0..3 {
                buffer.change(number % 2 == 0);
            }
        });
        assert_eq!(buffer.count.load(Ordering::Relaxed), 0);
        assert_eq!((buffer.not_full.waiters(), buffer.not_empty.waiters()), (0, 0));
        assert_eq!(buffer.room.visits(), 18);
    });
}

#[test]
fn four_meet_three_times() {
    model(|| {
        let shared = Arc::new((Barrier::new(4), AtomicUsize::new(0)));
        let numbers = crowd(4, &shared, |(barrier, turns), _| {
            [(); 3].map(|()| {
                let action = || {
                    turns.fetch_add(1, Ordering::Relaxed);
                    shuttle::thread::yield_now();
                    true
                };
                meet(barrier, one_of(&[Endless, Interrupted]), action).unwrap()
            })
        });
        for round in 0..3 {
            let seen: BTreeSet<u32> = numbers.iter().map(|numbers| numbers[round]).collect();
            assert_eq!(seen, BTreeSet::from([0, 1, 2, 3]));
        }
        assert_eq!(shared.1.load(Ordering::Relaxed), 3);
    });
}

/// Whatever breaks the barrier and makes it whole again, a round passes for all of its threads or
/// for none.
#[test]
fn a_barrier_that_is_broken_and_reset() {
    model(|| {
        let barrier = Arc::new(Barrier::new(2));
        let passed = crowd(6, &barrier, |barrier, number| match number {
            0 => {
                assert!(barrier.abort() && barrier.reset());
                0
            }
            1 => {
                assert!(barrier.reset());
                0
            }
            _ => {
                let how = one_of(&[Limited, Hurried]);
                (0..2).filter(|_| meet(barrier, how, || true).is_ok()).count()
            }
        });
        assert_eq!(passed.iter().sum::<usize>() % 2, 0);
        assert_eq!(barrier.count(), 0);
    });
}

/// One thread that ends, and five that wait for that.
#[test]
fn five_join_one() {
    model(|| {
        let shared = Arc::new((JoinState::new(), AtomicUsize::new(0)));
        let (life, _) = &*shared;
        assert!(life.begin_start());
        life.set_running(1, 7);
        let thread = spawn(&shared, |(life, _)| {
            shuttle::thread::yield_now();
            assert!(life.exiting().set());
        });
        let joined = crowd(5, &shared, |(life, ends), _| {
            let how = one_of(&[Endless, Limited, Interrupted, Raising]);
            if !wait(life.exiting(), how) {
                return false;
            }
            let end = |_| {
                shuttle::thread::yield_now();
                ends.fetch_add(1, Ordering::Relaxed) == 0
            };
            let wait = |lock: &Lock| if wait(lock, Endless) { Ok(()) } else { Err(()) };
            assert_eq!(life.end(wait, end), Ok(true));
            assert_eq!(ends.load(Ordering::Relaxed), 1);
            true
        });
        thread.join().unwrap();
        let (life, ends) = &*shared;
        let over = joined.contains(&true);
        assert_eq!(ends.load(Ordering::Relaxed), usize::from(over));
        assert_eq!(life.stage() == Stage::Done, over);
        assert_eq!(life.disown().is_some(), !over);
    });
}
