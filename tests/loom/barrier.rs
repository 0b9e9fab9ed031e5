//! Barriers: those of one round leave together, and all know how it ended.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU32, Ordering};
use loom::thread::JoinHandle;
use rthread::sync::{Barrier, BarrierState, Verdict};

use crate::waits::{Endless, Hurried, Interrupted, Limited, Patience, Raising, meet};
use crate::{model, model_within, spawn};

type Met = Result<u32, Verdict>;

fn barrier() -> Arc<Barrier> {
    Arc::new(Barrier::new(2))
}

fn pass(barrier: &Barrier, how: Patience) -> Met {
    meet(barrier, how, || true)
}

fn passer(barrier: &Arc<Barrier>, how: Patience) -> JoinHandle<Met> {
    spawn(barrier, move |barrier| pass(barrier, how))
}

#[test]
fn two_meet() {
    model(|| {
        let barrier = barrier();
        let thread = passer(&barrier, Endless);
        let own = pass(&barrier, Interrupted).unwrap();
        assert_eq!(thread.join().unwrap().unwrap() + own, 1);
        assert_eq!(barrier.count(), 0);
    });
}

/// No thread leaves before the other has come, and each sees what the other did before.
#[test]
fn two_meet_again() {
    model(|| {
        let shared = Arc::new((Barrier::new(2), [AtomicU32::new(0), AtomicU32::new(0)]));
        let twice = |(barrier, come): &(Barrier, [AtomicU32; 2])| {
            for round in come {
                round.fetch_add(1, Ordering::Relaxed);
                if barrier.pass().is_none() {
                    pass(barrier, Endless).unwrap();
                }
                assert_eq!(round.load(Ordering::Relaxed), 2);
            }
        };
        let thread = spawn(&shared, twice);
        twice(&shared);
        thread.join().unwrap();
        assert_eq!(shared.0.count(), 0);
    });
}

/// The action of the last one is over before any thread leaves, and runs once.
#[test]
fn the_turn_comes_before_any_thread_leaves() {
    for works in [true, false] {
        model(move || {
            let shared = Arc::new((Barrier::new(2), AtomicU32::new(0)));
            let run = move |(barrier, turns): &(Barrier, AtomicU32)| {
                let met = meet(barrier, Endless, || {
                    turns.fetch_add(1, Ordering::Relaxed);
                    works
                });
                assert_eq!(turns.load(Ordering::Relaxed), 1);
                assert_eq!(met.is_ok(), works);
            };
            let thread = spawn(&shared, run);
            run(&shared);
            thread.join().unwrap();
        });
    }
}

/// Each is the last of a round of its own, and one turn is over before the next begins.
#[test]
fn a_thread_that_comes_in_the_turn_waits_at_the_entrance() {
    model(|| {
        let shared = Arc::new((Barrier::new(1), UnsafeCell::new(0)));
        let run = |(barrier, turns): &(Barrier, UnsafeCell<u32>)| {
            let met = meet(barrier, Endless, || {
                // SAFETY: the model reports a second access at the same time.
                turns.with_mut(|turns| unsafe { *turns += 1 });
                true
            });
            assert_eq!(met, Ok(0));
        };
        let thread = spawn(&shared, run);
        run(&shared);
        thread.join().unwrap();
        // SAFETY: all threads have been joined.
        shared.1.with(|turns| assert_eq!(unsafe { *turns }, 2));
    });
}

#[test]
fn a_time_out_breaks_it_for_both_or_for_none() {
    for how in [Limited, Hurried] {
        model(move || {
            let barrier = barrier();
            let thread = passer(&barrier, how);
            let own = pass(&barrier, Endless);
            assert_eq!(thread.join().unwrap().is_ok(), own.is_ok());
            let state = if own.is_ok() { BarrierState::Whole } else { BarrierState::Broken };
            assert_eq!(barrier.state(), state);
        });
    }
}

/// Once the last one has its turn the round is complete, and a time-out comes too late.
#[test]
fn a_turn_that_has_begun_is_not_broken_by_a_time_out() {
    for how in [Limited, Hurried] {
        model(move || {
            let shared = Arc::new((Barrier::new(2), AtomicU32::new(0)));
            let run = |(barrier, turns): &(Barrier, AtomicU32), how| {
                meet(barrier, how, || {
                    turns.fetch_add(1, Ordering::Relaxed);
                    true
                })
            };
            let thread = spawn(&shared, move |shared| run(shared, how));
            let own = run(&shared, Endless);
            let met = [own, thread.join().unwrap()];
            let turns = shared.1.load(Ordering::Relaxed);
            assert!(met.iter().all(|met| met.is_ok() == (turns == 1)));
        });
    }
}

/// The one whose handler raises is not counted any more, so another takes its place; unless it was
/// the other one's turn meanwhile, or the two have met.
#[test]
fn a_waiter_with_a_handler_that_raises_makes_room_for_another() {
    model_within(2, || {
        let barrier = barrier();
        let raiser = passer(&barrier, Raising);
        let other = passer(&barrier, Endless);
        let first = raiser.join().unwrap();
        let own = if first == Err(Verdict::None) { pass(&barrier, Limited).ok() } else { None };
        let second = other.join().unwrap().ok();
        match (first.ok().or(own), second) {
            (Some(number), Some(other)) => assert_eq!(number + other, 1),
            (met, _) => assert_eq!(met, None),
        }
        assert_eq!(barrier.count(), 0);
    });
}

#[test]
fn an_abort_sends_all_waiters_away() {
    for reset_first in [false, true] {
        model(move || {
            let barrier = barrier();
            let thread = passer(&barrier, Endless);
            // A reset before it comes is not for it.
            if reset_first {
                assert!(barrier.reset());
            }
            assert!(barrier.abort());
            assert_eq!(thread.join().unwrap(), Err(Verdict::Broken));
            assert_eq!(pass(&barrier, Endless), Err(Verdict::Broken));
        });
    }
}

#[test]
fn an_abort_is_for_both_or_for_none() {
    model(|| {
        let barrier = barrier();
        let threads = [passer(&barrier, Endless), passer(&barrier, Endless)];
        assert!(barrier.abort());
        let [first, second] = threads.map(|thread| thread.join().unwrap().is_ok());
        assert_eq!(first, second);
    });
}

/// One that was sent away by the reset comes again.
#[test]
fn a_barrier_that_was_reset_is_as_new() {
    model(|| {
        let barrier = barrier();
        let thread = spawn(&barrier, |barrier| {
            pass(barrier, Endless).or_else(|verdict| {
                assert_eq!(verdict, Verdict::Broken);
                pass(barrier, Endless)
            })
        });
        assert!(barrier.reset());
        let own = pass(&barrier, Endless).unwrap();
        assert_eq!(thread.join().unwrap().unwrap() + own, 1);
        assert_eq!((barrier.count(), barrier.state()), (0, BarrierState::Whole));
    });
}

#[test]
fn an_abort_in_the_turn_reaches_both() {
    model_within(2, || {
        let barrier = barrier();
        let thread = spawn(&barrier, |barrier| meet(barrier, Endless, || barrier.abort()));
        let own = meet(&barrier, Endless, || barrier.abort());
        assert_eq!((thread.join().unwrap(), own), (Err(Verdict::Broken), Err(Verdict::Broken)));
        assert_eq!(barrier.state(), BarrierState::Broken);
    });
}

/// A reset ends the turn of the one, and its late end is not the end of the other's.
#[test]
fn a_turn_of_a_round_that_is_over_ends_no_other() {
    model(|| {
        let barrier = Arc::new(Barrier::new(1));
        let thread = spawn(&barrier, |barrier| {
            assert!(barrier.reset());
            assert_eq!(pass(barrier, Endless), Ok(0));
        });
        let own = pass(&barrier, Endless);
        assert!(matches!(own, Ok(0) | Err(Verdict::Broken)));
        thread.join().unwrap();
    });
}

/// Each that leaves wakes the next, also the one whose handler raises.
#[test]
fn an_abort_reaches_all_of_three() {
    for how in [Endless, Raising] {
        model_within(2, move || {
            let barrier = Arc::new(Barrier::new(3));
            let threads = [passer(&barrier, how), passer(&barrier, Endless)];
            assert!(barrier.abort());
            let [first, second] = threads.map(|thread| thread.join().unwrap());
            // One that raises leaves without a verdict.
            assert!(matches!(first, Err(Verdict::Broken | Verdict::None)));
            assert_eq!(second, Err(Verdict::Broken));
        });
    }
}
