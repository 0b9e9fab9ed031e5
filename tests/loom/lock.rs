//! Locks: mutual exclusion, wake-ups, hand-off.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use rthread::sync::{Lock, Mutex, NotLocked, Waited, Waiter};

use crate::waits::{Endless, Hurried, Interrupted, Limited, Patience, Raising, acquire, wait_as};
use crate::{model, model_within, spawn};

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

    fn held() -> Arc<Shared> {
        let shared = Shared::new();
        assert!(shared.lock.try_acquire());
        shared
    }

    fn count_up(&self) {
        // SAFETY: the caller holds the lock.
        self.count.with_mut(|count| unsafe { *count += 1 });
        self.lock.release().unwrap();
    }

    /// Counts if it gets the lock, as a thread that has just come, or as one that has waited long.
    fn run(&self, how: Patience, overdue: bool) -> bool {
        let waiter = if overdue { Waiter::overdue() } else { Waiter::new() };
        let got = self.lock.try_acquire() || wait_as(&waiter, &self.lock, how) == Ok(Waited::Got);
        if got {
            self.count_up();
        }
        assert!(got || how.ends());
        got
    }

    /// Every thread that got it has counted, and nothing is left of the others.
    fn check(&self, counted: usize) {
        assert!(!self.lock.is_locked() && !self.lock.has_waiters());
        // SAFETY: all threads have been joined.
        self.count.with(|count| assert_eq!(unsafe { *count }, counted));
        assert_eq!(self.lock.release(), Err(NotLocked));
        assert!(self.lock.try_acquire());
    }
}

#[test]
fn mutual_exclusion_and_no_lost_wake_up() {
    model(|| {
        let shared = Shared::new();
        let thread = spawn(&shared, |shared| shared.run(Endless, false));
        shared.run(Endless, false);
        thread.join().unwrap();
        shared.check(2);
    });
}

#[test]
fn mutual_exclusion_of_three() {
    model_within(2, || {
        let shared = Shared::new();
        let threads = [(); 2].map(|()| spawn(&shared, |shared| shared.run(Endless, false)));
        shared.run(Endless, false);
        for thread in threads {
            thread.join().unwrap();
        }
        shared.check(3);
    });
}

#[test]
fn hand_off_to_a_waiter_that_is_due() {
    model(|| {
        let shared = Shared::new();
        let thread = spawn(&shared, |shared| shared.run(Endless, true));
        shared.run(Endless, true);
        shared.run(Endless, true);
        thread.join().unwrap();
        shared.check(3);
    });
}

fn hand_off_against(how: Patience) {
    model(move || {
        let shared = Shared::new();
        let thread = spawn(&shared, move |shared| shared.run(how, true));
        shared.run(Endless, false);
        shared.check(1 + usize::from(thread.join().unwrap()));
    });
}

#[test]
fn hand_off_against_time_out() {
    hand_off_against(Limited);
}

#[test]
fn hand_off_against_interruption() {
    hand_off_against(Interrupted);
    hand_off_against(Hurried);
}

#[test]
fn hand_off_against_a_handler_that_raises() {
    hand_off_against(Raising);
}

/// Two wait, and one gives up at the moment when it is woken: then the other is.
fn gives_up(how: Patience) {
    model(move || {
        let shared = Shared::held();
        let threads =
            [Endless, how].map(|how| spawn(&shared, move |shared| shared.run(how, false)));
        shared.count_up();
        let counted = threads.map(|thread| usize::from(thread.join().unwrap()));
        shared.check(1 + counted.iter().sum::<usize>());
    });
}

#[test]
fn a_waiter_that_times_out_passes_its_wake_up_on() {
    gives_up(Limited);
}

#[test]
fn a_waiter_with_a_handler_that_raises_passes_its_wake_up_on() {
    gives_up(Raising);
}

/// It leaves the queue for its handlers and comes back to the front.
#[test]
fn a_waiter_that_is_interrupted_delays_no_other() {
    gives_up(Interrupted);
}

#[test]
fn release_by_another_thread() {
    model(|| {
        let shared = Shared::held();
        let thread = spawn(&shared, |shared| shared.count_up());
        assert!(acquire(&shared.lock, Endless));
        shared.count_up();
        thread.join().unwrap();
        shared.check(2);
    });
}

#[test]
fn of_two_releases_at_once_one_fails() {
    model(|| {
        let shared = Shared::held();
        let waiter = spawn(&shared, |shared| acquire(&shared.lock, Limited));
        let release = |shared: &Shared| u32::from(shared.lock.release().is_ok());
        let other = spawn(&shared, release);
        let released = release(&shared) + other.join().unwrap();
        // The waiter may have taken it in between: then both releases may be right.
        let taken = waiter.join().unwrap();
        assert!(released == 1 || released == 2 && taken);
        assert_eq!(shared.lock.is_locked(), released == 1 && taken);
    });
}

#[test]
fn a_mutex_gives_its_value_to_one_at_a_time() {
    model(|| {
        let mutex = Arc::new(Mutex::new(UnsafeCell::new(0)));
        let add = |mutex: &Mutex<UnsafeCell<u32>>| {
            // SAFETY: the model reports a second access at the same time.
            mutex.lock().with_mut(|count| unsafe { *count += 1 });
        };
        let thread = spawn(&mutex, add);
        add(&mutex);
        thread.join().unwrap();
        // SAFETY: as above.
        mutex.lock().with(|count| assert_eq!(unsafe { *count }, 2));
    });
}
