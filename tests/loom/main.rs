//! `sync` under the model checker: every interleaving of two or three threads, within a bound on
//! preemptions. Run with `RUSTFLAGS="--cfg loom" cargo test --no-default-features --test loom`.
#![cfg(loom)]

mod primitives;

mod channel;

use std::time::{Duration, Instant};

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use rthread::sync::{Event, Lock, Waiter, wait, wait_as};

fn model(check: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(check);
}

/// A deadline: the model's parker times out at once when there is one.
fn impatient() -> Option<Instant> {
    Some(Instant::now() + Duration::from_secs(3600))
}

/// A lock and a number that only the lock protects: the model reports any unordered access.
struct Shared {
    lock: Lock,
    count: UnsafeCell<usize>,
}

// SAFETY: the number is changed under the lock; that is what the model checks.
unsafe impl Sync for Shared {}
// SAFETY: as above.
unsafe impl Send for Shared {}

impl Shared {
    fn new() -> Arc<Shared> {
        Arc::new(Shared { lock: Lock::new(), count: UnsafeCell::new(0) })
    }

    fn count_up(&self) {
        // SAFETY: the caller holds the lock.
        self.count.with_mut(|count| unsafe { *count += 1 });
        self.lock.release().unwrap();
    }

    fn acquire(&self, waiter: &Waiter) {
        assert!(self.lock.try_acquire() || wait_as(waiter, &self.lock, None));
    }

    fn total(&self) -> usize {
        assert!(!self.lock.is_locked() && !self.lock.has_waiters());
        // SAFETY: all threads have been joined.
        self.count.with(|count| unsafe { *count })
    }
}

#[test]
fn mutual_exclusion_and_no_lost_wake_up() {
    model(|| {
        let shared = Shared::new();
        let other = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            other.acquire(&Waiter::new());
            other.count_up();
        });
        shared.acquire(&Waiter::new());
        shared.count_up();
        thread.join().unwrap();
        assert_eq!(shared.total(), 2);
    });
}

#[test]
fn hand_off_to_a_waiter_that_is_due() {
    model(|| {
        let shared = Shared::new();
        let other = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            other.acquire(&Waiter::overdue());
            other.count_up();
        });
        for _ in 0..2 {
            shared.acquire(&Waiter::overdue());
            shared.count_up();
        }
        thread.join().unwrap();
        assert_eq!(shared.total(), 3);
    });
}

#[test]
fn hand_off_against_time_out() {
    model(|| {
        let shared = Shared::new();
        let other = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            if other.lock.try_acquire() || wait_as(&Waiter::overdue(), &other.lock, impatient()) {
                other.count_up();
            }
        });
        shared.acquire(&Waiter::new());
        shared.count_up();
        thread.join().unwrap();
        assert!((1..=2).contains(&shared.total()));
    });
}

#[test]
fn a_waiter_that_gives_up_passes_its_wake_up_on() {
    model(|| {
        let shared = Shared::new();
        assert!(shared.lock.try_acquire());
        let threads: Vec<_> = [None, impatient()]
            .into_iter()
            .map(|deadline| {
                let other = Arc::clone(&shared);
                thread::spawn(move || {
                    if wait(&other.lock, deadline) {
                        other.count_up();
                    }
                })
            })
            .collect();
        shared.count_up();
        for thread in threads {
            thread.join().unwrap();
        }
        assert!((2..=3).contains(&shared.total()));
    });
}

#[test]
fn release_by_another_thread() {
    model(|| {
        let shared = Shared::new();
        assert!(shared.lock.try_acquire());
        let other = Arc::clone(&shared);
        let thread = thread::spawn(move || other.lock.release().unwrap());
        assert!(wait(&shared.lock, None));
        shared.count_up();
        thread.join().unwrap();
        assert_eq!(shared.total(), 1);
    });
}

#[test]
fn an_event_wakes_whoever_waits() {
    model(|| {
        let event = Arc::new(Event::new());
        let threads: Vec<_> = [None, impatient()]
            .into_iter()
            .map(|deadline| {
                let event = Arc::clone(&event);
                thread::spawn(move || wait(&*event, deadline) || deadline.is_some())
            })
            .collect();
        event.set();
        for thread in threads {
            assert!(thread.join().unwrap());
        }
    });
}
