//! Semaphores, conditions and barriers.

use loom::sync::Arc;
use loom::thread;
use rthread::sync::{
    Arrival, Awaitable, Barrier, Condition, Lock, Parked, Semaphore, Verdict, Waiter, wait,
};

use crate::{impatient, model};

const FREE: u64 = u64::MAX;

#[test]
fn one_release_lets_two_in() {
    model(|| {
        let semaphore = Arc::new(Semaphore::new(0));
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let semaphore = Arc::clone(&semaphore);
                thread::spawn(move || assert!(semaphore.try_acquire() || wait(&*semaphore, None)))
            })
            .collect();
        semaphore.release(2, FREE).unwrap();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(semaphore.value(), Some(0));
    });
}

#[test]
fn a_release_that_comes_with_a_time_out_is_not_lost() {
    model(|| {
        let semaphore = Arc::new(Semaphore::new(0));
        let threads: Vec<_> = [None, impatient()]
            .into_iter()
            .map(|deadline| {
                let semaphore = Arc::clone(&semaphore);
                thread::spawn(move || {
                    if wait(&*semaphore, deadline) {
                        semaphore.release(1, 1).unwrap();
                    } else {
                        assert!(deadline.is_some());
                    }
                })
            })
            .collect();
        semaphore.release(1, FREE).unwrap();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(semaphore.value(), Some(1));
    });
}

#[test]
fn a_semaphore_that_is_closed_keeps_nobody() {
    model(|| {
        let semaphore = Arc::new(Semaphore::new(0));
        let other = Arc::clone(&semaphore);
        let thread = thread::spawn(move || u64::from(wait(&*other, None)));
        let released = u64::from(semaphore.release(1, FREE).is_ok());
        let left = semaphore.close().unwrap();
        assert_eq!(thread.join().unwrap() + left, released);
    });
}

/// Waits to be notified; the lock is held before and after.
fn wait_for(condition: &Condition, lock: &Lock) -> bool {
    let waiter = Waiter::new();
    // SAFETY: the waiter outlives this call, and has left the queue at its end.
    let notified = unsafe {
        condition.enqueue(&waiter, false);
        lock.release().unwrap();
        waiter.park(None, false);
        condition.claim(&waiter)
    };
    assert!(lock.try_acquire() || wait(lock, None));
    notified
}

/// Two wait, and one is notified while the first gives up: it is the one or the other. A lost
/// notification would leave the second asleep for ever.
#[test]
fn a_notification_that_comes_with_a_time_out_is_not_lost() {
    model(|| {
        let condition = Arc::new(Condition::new());
        let [hasty, patient] = [Waiter::new(), Waiter::new()];
        // SAFETY: both outlive the model's run, and have left the queue at its end.
        unsafe {
            condition.enqueue(&hasty, false);
            condition.enqueue(&patient, false);
            let other = Arc::clone(&condition);
            let thread = thread::spawn(move || other.notify(1));
            let notified = match hasty.park(impatient(), false) {
                Parked::TimedOut => condition.cancel(&hasty),
                _ => condition.claim(&hasty),
            };
            if notified {
                condition.notify(1);
            }
            assert_eq!(patient.park(None, false), Parked::Unparked);
            assert!(condition.claim(&patient));
            thread.join().unwrap();
        }
        assert_eq!(condition.waiters(), 0);
    });
}

#[test]
fn a_notification_goes_to_one_that_can_use_it() {
    model(|| {
        let shared = Arc::new((Lock::new(), Condition::new()));
        let (lock, condition) = &*shared;
        assert!(lock.try_acquire());
        let other = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            let (lock, condition) = &*other;
            assert!(lock.try_acquire() || wait(lock, None));
            condition.notify(1);
            lock.release().unwrap();
        });
        assert!(wait_for(condition, lock));
        lock.release().unwrap();
        thread.join().unwrap();
    });
}

/// A whole wait: the number, or how it ended.
fn pass(barrier: &Barrier, patient: bool) -> Result<u32, Verdict> {
    let waiter = Waiter::new();
    // SAFETY: the waiter outlives this call, and has left the queue at its end.
    unsafe {
        match barrier.arrive(&waiter) {
            Arrival::Last(turn) if barrier.open(turn) => Ok(turn.number),
            Arrival::Wait(number) => {
                let deadline = if patient { None } else { impatient() };
                while match waiter.park(deadline, false) {
                    Parked::TimedOut if !barrier.cancel(&waiter) => return Err(Verdict::None),
                    _ => !barrier.claim(&waiter),
                } {}
                match Barrier::verdict(&waiter) {
                    Verdict::Passed => Ok(number),
                    other => Err(other),
                }
            }
            Arrival::Later => panic!("there are only two"),
            _ => Err(Verdict::Broken),
        }
    }
}

#[test]
fn two_meet_at_a_barrier() {
    model(|| {
        let barrier = Arc::new(Barrier::new(2));
        let other = Arc::clone(&barrier);
        let thread = thread::spawn(move || pass(&other, true).unwrap());
        let own = pass(&barrier, true).unwrap();
        assert_eq!(thread.join().unwrap() + own, 1);
        assert_eq!(barrier.count(), 0);
    });
}

#[test]
fn two_meet_again() {
    model(|| {
        let barrier = Arc::new(Barrier::new(2));
        let other = Arc::clone(&barrier);
        let meet = |barrier: &Barrier| {
            for _ in 0..2 {
                if barrier.pass().is_none() {
                    pass(barrier, true).unwrap();
                }
            }
        };
        let thread = thread::spawn(move || meet(&other));
        meet(&barrier);
        thread.join().unwrap();
        assert_eq!(barrier.count(), 0);
    });
}

#[test]
fn both_pass_or_both_are_told_that_it_is_broken() {
    model(|| {
        let barrier = Arc::new(Barrier::new(2));
        let other = Arc::clone(&barrier);
        let thread = thread::spawn(move || pass(&other, false));
        let own = pass(&barrier, true);
        assert_eq!(thread.join().unwrap().is_ok(), own.is_ok());
    });
}

#[test]
fn whoever_waits_is_sent_away() {
    for reset_first in [false, true] {
        model(move || {
            let barrier = Arc::new(Barrier::new(2));
            let other = Arc::clone(&barrier);
            let thread = thread::spawn(move || pass(&other, true));
            // A reset before it comes is not for it.
            if reset_first {
                barrier.reset();
            }
            barrier.abort();
            assert_eq!(thread.join().unwrap(), Err(Verdict::Broken));
        });
    }
}

#[test]
fn a_round_against_an_abort() {
    model(|| {
        let barrier = Arc::new(Barrier::new(2));
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let barrier = Arc::clone(&barrier);
                thread::spawn(move || pass(&barrier, true).is_ok())
            })
            .collect();
        barrier.abort();
        let [first, second] = threads.try_into().unwrap_or_else(|_| unreachable!());
        assert_eq!(first.join().unwrap(), second.join().unwrap());
    });
}
