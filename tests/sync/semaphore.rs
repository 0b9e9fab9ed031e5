//! Semaphores.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rthread::sync::{
    Awaitable, Cancelled, NotReleased, Parked, Semaphore, TIME_TO_BE_FAIR, Waiter, wait,
};

use crate::{ROUNDS, THREADS, deadline, until};

const FREE: u64 = u64::MAX;

fn acquire(semaphore: &Semaphore) {
    assert!(semaphore.try_acquire() || wait(semaphore, None));
}

#[test]
fn it_counts() {
    let semaphore = Semaphore::new(2);
    assert!(semaphore.try_acquire() && semaphore.try_acquire() && !semaphore.try_acquire());
    assert_eq!(semaphore.release(3, FREE), Ok(()));
    assert_eq!(semaphore.value(), Some(3));
    assert!(!wait(&Semaphore::new(0), Some(Instant::now())));
}

#[test]
fn it_has_bounds() {
    let semaphore = Semaphore::new(1);
    assert_eq!(semaphore.release(1, 1), Err(NotReleased::TooMany));
    assert_eq!(semaphore.release(2, 2), Err(NotReleased::TooMany));
    assert_eq!(semaphore.release(u64::MAX, FREE), Err(NotReleased::TooMany));
    assert_eq!(semaphore.release(Semaphore::MAX, FREE), Err(NotReleased::TooMany));
    assert_eq!(semaphore.value(), Some(1));
    assert_eq!(semaphore.release(Semaphore::MAX - 1, FREE), Ok(()));
    assert_eq!(semaphore.value(), Some(Semaphore::MAX));
    assert!(semaphore.try_acquire());
}

#[test]
fn never_more_than_allowed() {
    const ALLOWED: usize = 2;
    let semaphore = Semaphore::new(ALLOWED as u64);
    let inside = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    acquire(&semaphore);
                    assert!(inside.fetch_add(1, Ordering::Relaxed) < ALLOWED);
                    inside.fetch_sub(1, Ordering::Relaxed);
                    semaphore.release(1, ALLOWED as u64).unwrap();
                }
            });
        }
    });
    assert_eq!(semaphore.value(), Some(ALLOWED as u64));
}

/// What was released is taken once, or still there, whatever time-outs come in between.
#[test]
fn as_many_get_in_as_were_let_in() {
    const EACH: u64 = 2_000;
    let semaphore = Semaphore::new(0);
    let (taken, done) = (AtomicU64::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for index in 0..THREADS as u64 {
            let (semaphore, taken, done) = (&semaphore, &taken, &done);
            scope.spawn(move || {
                let mut round = 0;
                while done.load(Ordering::Relaxed) < 2 {
                    round += 1;
                    let patience = Duration::from_micros((round * 7 + index * 13) % 60);
                    if wait(semaphore, Some(Instant::now() + patience)) {
                        taken.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        for _ in 0..2 {
            scope.spawn(|| {
                for number in 0..EACH {
                    semaphore.release(number % 3 + 1, FREE).unwrap();
                }
                done.fetch_add(1, Ordering::Relaxed);
            });
        }
    });
    let given = 2 * (0..EACH).map(|number| number % 3 + 1).sum::<u64>();
    assert_eq!(taken.into_inner() + semaphore.value().unwrap(), given);
}

/// By hand: threads that have waited long are given what is released, in their order; one that gave
/// up after it was given something has it.
#[test]
fn waiters_are_served_in_order() {
    let semaphore = Semaphore::new(0);
    let waiters = [Waiter::new(), Waiter::new(), Waiter::new()];
    thread::sleep(TIME_TO_BE_FAIR);
    // SAFETY: the waiters stay where they are, and each is queued once, and claimed or cancelled
    // while it is.
    unsafe {
        for waiter in &waiters {
            assert!(!semaphore.enqueue(waiter, false));
        }
        semaphore.release(2, FREE).unwrap();
        assert!(!semaphore.try_acquire() && semaphore.value() == Some(0));
        assert!(
            semaphore.cancel(&waiters[0]) == Cancelled::Settled && semaphore.claim(&waiters[0])
        );
        assert_eq!(waiters[1].park(deadline(60_000), false), Parked::Unparked);
        assert!(semaphore.claim(&waiters[1]));
        assert!(semaphore.cancel(&waiters[2]) == Cancelled::Left);
    }
    semaphore.release(1, FREE).unwrap();
    assert_eq!(semaphore.value(), Some(1));
}

#[test]
fn a_value_that_is_set_wakes_no_waiter() {
    let semaphore = Semaphore::new(0);
    let waiter = Waiter::new();
    // SAFETY: as above.
    unsafe {
        assert!(!semaphore.enqueue(&waiter, false));
        assert!(semaphore.set_value(5));
        assert_eq!(waiter.park(deadline(1), false), Parked::TimedOut);
        assert!(semaphore.cancel(&waiter) == Cancelled::Left);
    }
    assert_eq!(semaphore.value(), Some(5));
}

#[test]
fn one_release_for_several() {
    let semaphore = Semaphore::new(0);
    let inside = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                acquire(&semaphore);
                inside.fetch_add(1, Ordering::Relaxed);
            });
        }
        semaphore.release(THREADS as u64 - 1, FREE).unwrap();
        until(|| inside.load(Ordering::Relaxed) == THREADS - 1);
        semaphore.release(1, FREE).unwrap();
    });
    assert_eq!(semaphore.value(), Some(0));
}
