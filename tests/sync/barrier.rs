//! Barriers.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rthread::sync::{
    Arrival, Awaitable, Barrier, BarrierState, Caller, Cancelled, TurnEnd, Verdict, Waited, Waiter,
    wait, wait_with,
};

use crate::{THREADS, deadline, until};

/// A whole wait: the number, or how it ended.
pub fn pass(barrier: &Barrier, until: Option<Instant>) -> Result<u32, Verdict> {
    loop {
        let waiter = Waiter::new();
        // SAFETY: the waiter outlives the loop's turn, and has left the queue at its end.
        unsafe {
            match barrier.arrive(&waiter) {
                Arrival::Last(turn) if barrier.open(turn) == TurnEnd::InTime => {
                    return Ok(turn.number);
                }
                Arrival::Last(_) | Arrival::Broken => return Err(Verdict::Broken),
                Arrival::Retired => return Err(Verdict::Retired),
                Arrival::Later => assert!(wait(barrier.entrance(), deadline(60_000))),
                Arrival::Wait(number) => {
                    let waited = wait_with(&Patient, &waiter, barrier, until, false, true);
                    return match (waited, Barrier::verdict(&waiter)) {
                        (Ok(Waited::Got), Verdict::Passed) => Ok(number),
                        (_, other) => Err(other),
                    };
                }
            }
        }
    }
}

/// A thread without an interpreter.
struct Patient;

impl Caller for Patient {
    type Raised = Infallible;
    const SPINS: bool = false;

    unsafe fn run_signal_handlers(&self) -> Result<(), Infallible> {
        Ok(())
    }
}

pub fn arrive(barrier: &Barrier, waiter: &Waiter) -> Arrival {
    // SAFETY: the tests keep their waiters until these have left.
    unsafe { barrier.arrive(waiter) }
}

#[test]
fn each_thread_has_a_number_and_none_laps() {
    const ROUNDS: usize = 3_000;
    let barrier = Barrier::new(THREADS as u32);
    let sum = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for round in 0..ROUNDS {
                    let number = barrier.pass().map_or_else(|| pass(&barrier, None), Ok);
                    sum.fetch_add(number.unwrap() as usize, Ordering::Relaxed);
                    pass(&barrier, None).unwrap();
                    let whole = THREADS * (THREADS - 1) / 2;
                    assert_eq!(sum.load(Ordering::Relaxed), (round + 1) * whole);
                    pass(&barrier, None).unwrap();
                }
            });
        }
    });
    assert_eq!((barrier.count(), barrier.state()), (0, BarrierState::Whole));
}

/// More threads than make a round, so that a round may be over before the one before has left.
#[test]
fn more_threads_than_parties() {
    let barrier = Barrier::new(2);
    let passed = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..THREADS + 1 {
            scope.spawn(|| {
                while barrier.pass().is_some() || pass(&barrier, None).is_ok() {
                    passed.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        until(|| passed.load(Ordering::Relaxed) > 20_000);
        assert!(barrier.abort());
    });
    assert_eq!((barrier.count(), passed.into_inner() % 2), (0, 0));
}

#[test]
fn broken_and_mended_at_random() {
    let barrier = Barrier::new(3);
    let left = AtomicUsize::new(0);
    thread::scope(|scope| {
        for index in 0..3_u64 {
            let (barrier, left) = (&barrier, &left);
            scope.spawn(move || {
                for round in 0..2_000_u64 {
                    let patience = Duration::from_micros((round * 7 + index * 13) % 90);
                    if pass(barrier, Some(Instant::now() + patience)) == Err(Verdict::Broken) {
                        thread::yield_now();
                    }
                }
                left.fetch_add(1, Ordering::Relaxed);
            });
        }
        until(|| {
            assert!(barrier.abort());
            thread::yield_now();
            assert!(barrier.reset());
            left.load(Ordering::Relaxed) == 3
        });
    });
    assert_eq!((barrier.count(), barrier.state()), (0, BarrierState::Whole));
}

/// The steps, by hand: a verdict stays what it was, whatever the barrier does later.
#[test]
fn a_time_out_that_is_noticed_late_breaks_nothing() {
    let barrier = Barrier::new(3);
    let [early, late, next, last] = [(); 4].map(|()| Waiter::new());
    assert_eq!(arrive(&barrier, &early), Arrival::Wait(0));
    assert_eq!(arrive(&barrier, &late), Arrival::Wait(1));
    let Arrival::Last(turn) = arrive(&barrier, &last) else { panic!("not the last") };
    assert_eq!(arrive(&barrier, &next), Arrival::Later);
    assert_eq!(barrier.open(turn), TurnEnd::InTime);
    assert_eq!((barrier.open(turn), barrier.spoil(turn)), (TurnEnd::Over, TurnEnd::Over));
    assert_eq!(arrive(&barrier, &next), Arrival::Wait(0));
    // SAFETY: all of them are where they were.
    unsafe {
        assert!(barrier.cancel(&late) == Cancelled::Settled && barrier.claim(&late));
        assert!(barrier.claim(&early) && !barrier.claim(&next));
        assert_eq!(Barrier::verdict(&late), Verdict::Passed);
        assert_eq!(barrier.state(), BarrierState::Whole);
        // One in time does.
        assert!(barrier.cancel(&next) == Cancelled::Left);
    }
    assert_eq!((barrier.state(), barrier.count()), (BarrierState::Broken, 0));
    assert_eq!(arrive(&barrier, &next), Arrival::Broken);
}

#[test]
fn a_time_out_during_a_turn_waits_for_its_end() {
    let barrier = Barrier::new(2);
    thread::scope(|scope| {
        let waiter = scope.spawn(|| pass(&barrier, deadline(200)));
        until(|| barrier.count() == 1);
        let Arrival::Last(turn) = arrive(&barrier, &Waiter::new()) else { panic!("not the last") };
        thread::sleep(Duration::from_millis(230));
        assert!(!waiter.is_finished());
        assert_eq!(barrier.open(turn), TurnEnd::InTime);
        assert_eq!(waiter.join().unwrap(), Ok(0));
    });
}

#[test]
fn one_that_has_to_leave_is_not_counted() {
    let barrier = Barrier::new(2);
    let waiter = Waiter::new();
    assert_eq!(arrive(&barrier, &waiter), Arrival::Wait(0));
    // SAFETY: it is in the queue.
    unsafe { barrier.abandon(&waiter) };
    assert_eq!((barrier.state(), barrier.count()), (BarrierState::Whole, 0));
    assert_eq!(barrier.pass(), None);
}
