//! Locks that their owner may take again.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use rthread::sync::{NotOwned, Owner, ReentrantLock};

use crate::waits::{Endless, acquire_as};
use crate::{model, spawn};

struct Shared {
    lock: ReentrantLock,
    count: UnsafeCell<usize>,
}

// SAFETY: the number is changed under the lock; that is what the model checks.
unsafe impl Sync for Shared {}
// SAFETY: as above.
unsafe impl Send for Shared {}

/// The thread with this identifier, by its number.
fn numbered(me: u64) -> Owner {
    Owner::numbered(me as u32)
}

impl Shared {
    fn new() -> Arc<Shared> {
        Arc::new(Shared { lock: ReentrantLock::new(), count: UnsafeCell::new(0) })
    }

    fn acquire(&self, me: u64) {
        if !self.lock.try_acquire(me, numbered(me)) {
            assert!(acquire_as(self.lock.lock(), numbered(me), Endless));
            self.lock.adopt(me);
        }
        self.check_owner(me);
        // SAFETY: this thread holds the lock.
        self.count.with_mut(|count| unsafe { *count += 1 });
    }

    fn check_owner(&self, me: u64) {
        assert!(self.lock.is_owned_by(me));
        assert_eq!(self.lock.inner_owner(), numbered(me));
    }

    fn check(&self, count: usize) {
        assert!(!self.lock.is_locked() && !self.lock.lock().has_waiters());
        assert_eq!((self.lock.owner(), self.lock.count()), (0, 0));
        assert_eq!(self.lock.inner_owner(), Owner::NONE);
        // SAFETY: all threads have been joined.
        self.count.with(|seen| assert_eq!(unsafe { *seen }, count));
    }
}

#[test]
fn the_owner_takes_it_again_and_no_other_thread() {
    model(|| {
        let shared = Shared::new();
        let run = |shared: &Shared, me| {
            shared.acquire(me);
            shared.acquire(me);
            assert_eq!(shared.lock.count(), 2);
            shared.lock.release(me).unwrap();
            shared.check_owner(me);
            shared.lock.release(me).unwrap();
            assert_eq!(shared.lock.release(me), Err(NotOwned));
        };
        let thread = spawn(&shared, move |shared| run(shared, 1));
        run(&shared, 2);
        thread.join().unwrap();
        shared.check(4);
    });
}

#[test]
fn only_the_owner_releases() {
    model(|| {
        let shared = Shared::new();
        let thread = spawn(&shared, |shared| {
            assert_eq!(shared.lock.release(1), Err(NotOwned));
            assert!(!shared.lock.is_owned_by(1));
        });
        shared.acquire(2);
        shared.acquire(2);
        shared.lock.release(2).unwrap();
        shared.check_owner(2);
        shared.lock.release(2).unwrap();
        thread.join().unwrap();
        shared.check(2);
    });
}

/// What a condition does around its wait.
#[test]
fn released_at_once_and_taken_back_as_often() {
    model(|| {
        let shared = Shared::new();
        let run = |shared: &Shared, me| {
            shared.acquire(me);
            shared.acquire(me);
            let saved = shared.lock.release_all().unwrap();
            assert_eq!((saved.count, saved.owner), (2, me));
            assert!(acquire_as(shared.lock.lock(), numbered(me), Endless));
            shared.lock.restore(saved);
            shared.check_owner(me);
            shared.lock.release(me).unwrap();
            shared.lock.release(me).unwrap();
        };
        let thread = spawn(&shared, move |shared| run(shared, 1));
        run(&shared, 2);
        thread.join().unwrap();
        shared.check(4);
    });
}
