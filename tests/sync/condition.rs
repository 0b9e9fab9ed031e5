//! Conditions. The lock that goes with one is the test's.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rthread::sync::{Awaitable, Cancelled, Condition, Lock, Parked, Waiter};

use crate::{THREADS, acquire, deadline};

/// Releases the lock, waits, and takes the lock again.
fn wait(condition: &Condition, lock: &Lock, until: Option<Instant>) -> bool {
    let waiter = Waiter::new();
    // SAFETY: the waiter outlives this call, and has left the queue at its end.
    let notified = unsafe {
        assert!(!condition.enqueue(&waiter, false));
        lock.release().unwrap();
        match waiter.park(until, false) {
            Parked::TimedOut => condition.cancel(&waiter) == Cancelled::Settled,
            _ => condition.claim(&waiter),
        }
    };
    acquire(lock);
    notified
}

#[test]
fn the_longest_waiters_are_woken() {
    let condition = Condition::new();
    let waiters = [Waiter::new(), Waiter::new(), Waiter::new()];
    // SAFETY: the waiters stay where they are, and each is queued once and leaves once.
    unsafe {
        for waiter in &waiters {
            assert!(!condition.enqueue(waiter, false));
        }
        assert_eq!(condition.waiters(), 3);
        assert!(condition.notify(0));
        assert_eq!(condition.waiters(), 3);
        assert!(condition.notify(2));
        assert_eq!(condition.waiters(), 1);
        assert!(
            condition.claim(&waiters[0]) && condition.cancel(&waiters[1]) == Cancelled::Settled
        );
        assert!(!condition.claim(&waiters[2]) && condition.cancel(&waiters[2]) == Cancelled::Left);
    }
    assert_eq!(condition.waiters(), 0);
    assert!(condition.notify(usize::MAX));
}

#[test]
fn one_that_cannot_use_its_notification_passes_it_on() {
    let condition = Condition::new();
    let [first, second] = [Waiter::new(), Waiter::new()];
    // SAFETY: as above.
    unsafe {
        assert!(!condition.enqueue(&first, false) && !condition.enqueue(&second, false));
        assert!(condition.notify(1));
        condition.abandon(&first);
        assert_eq!(second.park(deadline(60_000), false), Parked::Unparked);
        assert!(condition.claim(&second));
    }
}

/// A bounded buffer: nothing is lost between threads that give up now and then.
#[test]
fn a_number_that_threads_hand_on() {
    const EACH: usize = 2_000;
    let (lock, condition) = (Lock::new(), Condition::new());
    let (there, taken) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for index in 0..THREADS {
            let (lock, condition, there, taken) = (&lock, &condition, &there, &taken);
            scope.spawn(move || {
                for round in 0..EACH {
                    acquire(lock);
                    while there.load(Ordering::Relaxed) == 0 {
                        let patience = Duration::from_micros((round * 7 + index * 13) as u64 % 90);
                        wait(condition, lock, Some(Instant::now() + patience));
                    }
                    there.fetch_sub(1, Ordering::Relaxed);
                    taken.fetch_add(1, Ordering::Relaxed);
                    lock.release().unwrap();
                }
            });
            scope.spawn(move || {
                for _ in 0..EACH {
                    acquire(lock);
                    there.fetch_add(1, Ordering::Relaxed);
                    assert!(condition.notify(1));
                    lock.release().unwrap();
                }
            });
        }
    });
    assert_eq!((there.into_inner(), taken.into_inner()), (0, THREADS * EACH));
    assert_eq!(condition.waiters(), 0);
}
