//! The owner in the word of a lock: the thread that holds the lock, and none while it is free.

use loom::sync::Arc;
use rthread::sync::{Awaitable, Lock, Owner, Waited, Waiter};

use crate::waits::{Endless, Hurried, Interrupted, Limited, Patience, Raising, wait_as};
use crate::{model, model_within, spawn};

/// A thread that takes the lock.
#[derive(Clone, Copy)]
struct Taker {
    number: u32,
    how: Patience,
    /// It counts as one that has waited for long.
    overdue: bool,
    /// It takes the lock by a `with` statement.
    by_with: bool,
}

impl Taker {
    fn new(number: u32, how: Patience) -> Taker {
        Taker { number, how, overdue: false, by_with: false }
    }

    fn me(self) -> Owner {
        Owner::numbered(self.number)
    }

    /// The thread as the owner of the lock.
    fn owner(self) -> Owner {
        if self.by_with { self.me().by_with() } else { self.me() }
    }

    fn take(self, lock: &Lock) -> bool {
        if lock.try_acquire_as(self.owner()) {
            return true;
        }
        let waiter =
            if self.overdue { Waiter::overdue_of(self.me()) } else { Waiter::of(self.me()) };
        let got = wait_as(&waiter, lock, self.how) == Ok(Waited::Got);
        assert!(got || self.how.ends());
        if got && self.by_with {
            lock.mark_owner(self.owner());
        }
        got
    }

    /// Takes the lock and releases it. False if the thread has given up.
    fn run(self, lock: &Lock) -> bool {
        let got = self.take(lock);
        if got {
            self.release(lock);
        } else {
            assert_ne!(lock.owner().number(), self.number);
        }
        got
    }

    fn release(self, lock: &Lock) {
        assert_eq!(lock.owner(), self.owner());
        assert!(lock.is_locked());
        lock.release().unwrap();
        assert_ne!(lock.owner().number(), self.number);
    }
}

/// All threads have been joined.
fn check(lock: &Lock) {
    assert!(!lock.is_locked() && !lock.has_waiters());
    assert_eq!(lock.owner(), Owner::NONE);
    let last = Taker::new(9, Endless);
    assert!(last.run(lock));
}

#[test]
fn a_lock_has_the_owner_that_holds_it() {
    model(|| {
        let lock = Arc::new(Lock::new());
        let other = Taker { by_with: true, ..Taker::new(1, Endless) };
        let thread = spawn(&lock, move |lock| other.run(lock));
        let own = Taker::new(2, Endless);
        assert!(own.run(&lock) && own.run(&lock));
        assert!(thread.join().unwrap());
        check(&lock);
    });
}

#[test]
fn of_three_threads_each_is_the_owner_in_turn() {
    model_within(2, || {
        let lock = Arc::new(Lock::new());
        let threads = [1, 2].map(|number| {
            let taker = Taker { by_with: number == 1, ..Taker::new(number, Endless) };
            spawn(&lock, move |lock| taker.run(lock))
        });
        assert!(Taker::new(3, Endless).run(&lock));
        for thread in threads {
            assert!(thread.join().unwrap());
        }
        check(&lock);
    });
}

#[test]
fn a_hand_off_is_to_the_next_owner() {
    model(|| {
        let lock = Arc::new(Lock::new());
        let other = Taker { overdue: true, by_with: true, ..Taker::new(1, Endless) };
        let thread = spawn(&lock, move |lock| other.run(lock));
        let own = Taker { overdue: true, ..Taker::new(2, Endless) };
        assert!(own.run(&lock) && own.run(&lock));
        assert!(thread.join().unwrap());
        check(&lock);
    });
}

/// The other thread gives up at the moment when it is woken, or handed the lock.
fn gives_up(how: Patience) {
    for overdue in [false, true] {
        model(move || {
            let lock = Arc::new(Lock::new());
            let hasty = Taker { overdue, ..Taker::new(1, how) };
            let thread = spawn(&lock, move |lock| hasty.run(lock));
            assert!(Taker { by_with: true, ..Taker::new(2, Endless) }.run(&lock));
            thread.join().unwrap();
            check(&lock);
        });
    }
}

#[test]
fn a_time_out_leaves_no_owner() {
    gives_up(Limited);
}

#[test]
fn an_interruption_leaves_no_owner() {
    gives_up(Interrupted);
    gives_up(Hurried);
}

#[test]
fn a_handler_that_raises_leaves_no_owner() {
    gives_up(Raising);
}

/// Two wait, and one gives up: the lock is that of the other one, or of none.
#[test]
fn of_two_waiters_the_one_that_stays_is_the_owner() {
    for how in [Limited, Raising] {
        model_within(2, move || {
            let lock = Arc::new(Lock::new());
            let first = Taker::new(3, Endless);
            assert!(first.take(&lock));
            let threads = [Taker::new(1, Endless), Taker::new(2, how)]
                .map(|taker| spawn(&lock, move |lock| taker.run(lock)));
            first.release(&lock);
            let [patient, _hasty] = threads.map(|thread| thread.join().unwrap());
            assert!(patient);
            check(&lock);
        });
    }
}

/// A bare lock, which any thread may release. The thread that has taken it does not mark it as its
/// own after that.
#[test]
fn the_mark_of_a_with_statement_is_for_its_own_hold() {
    model(|| {
        let lock = Arc::new(Lock::new());
        let [one, two] = [1, 2].map(Owner::numbered);
        assert!(lock.try_acquire_as(one));
        let thread = spawn(&lock, move |lock| {
            lock.release().unwrap();
            assert_eq!(lock.owner(), Owner::NONE);
            assert!(lock.try_acquire_as(two));
            assert_eq!(lock.owner(), two);
        });
        lock.mark_owner(one.by_with());
        thread.join().unwrap();
        assert_eq!(lock.owner(), two);
        lock.mark_owner(two.by_with());
        assert_eq!(lock.owner(), two.by_with());
        lock.release().unwrap();
        lock.mark_owner(two.by_with());
        check(&lock);
    });
}

/// Two threads release a lock that was taken once, while a third one waits for it.
#[test]
fn a_release_by_another_thread_takes_the_owner_off() {
    model_within(2, || {
        let lock = Arc::new(Lock::new());
        assert!(lock.try_acquire_as(Owner::numbered(1).by_with()));
        let taker = Taker::new(2, Endless);
        let waiter = spawn(&lock, move |lock| assert!(taker.take(lock)));
        let release = |lock: &Lock| lock.release().is_ok();
        let other = spawn(&lock, release);
        let released = [release(&lock), other.join().unwrap()];
        waiter.join().unwrap();
        assert!(released.contains(&true));
        // If both threads had something to release, the second hold was that of the waiter.
        if released != [true, true] {
            taker.release(&lock);
        }
        check(&lock);
    });
}

/// The owner is in the bits above the wait count.
#[test]
fn more_waits_than_can_be_counted_leave_the_owner_alone() {
    const ALMOST_ALL: usize = 253;
    model_within(2, || {
        let lock = Arc::new(Lock::new());
        let owner = Owner::numbered(1).by_with();
        assert!(lock.try_acquire_as(owner));
        for _ in 0..ALMOST_ALL {
            lock.begin();
        }
        let waits = move |lock: &Lock| {
            lock.begin();
            lock.begin();
            assert_eq!(lock.owner(), owner);
            lock.end();
            lock.end();
        };
        let thread = spawn(&lock, waits);
        waits(&lock);
        thread.join().unwrap();
        assert_eq!(lock.owner(), owner);
        assert!(lock.is_locked() && lock.release().is_ok());
        assert_eq!(lock.owner(), Owner::NONE);
    });
}
