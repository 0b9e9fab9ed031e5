//! The owners of locks.

use std::thread;

use rthread::sync::{
    Awaitable, Cancelled, Lock, NotLocked, Owner, Parked, ReentrantLock, TIME_TO_BE_FAIR, Waiter,
    registry, wait,
};

#[cfg(unix)]
use crate::fork::in_child;
use crate::{acquire, deadline, until};

/// A thread that does not exist.
const OTHER: Owner = Owner::numbered(40_000);
/// So many waits are counted.
const MOST_WAITS: usize = 255;

/// The calling thread, which has a number.
pub fn this_thread() -> Owner {
    let me = registry::this_thread();
    assert_ne!(me, Owner::NONE);
    me
}

fn check_held(lock: &Lock, owner: Owner) {
    assert!(lock.is_locked());
    assert_eq!(lock.owner(), owner);
}

fn check_free(lock: &Lock) {
    assert!(!lock.is_locked());
    assert_eq!(lock.owner(), Owner::NONE);
}

/// A lock of another thread, and a waiter of this one. What happens to the lock while the waiter is
/// in the queue, and in what way the waiter leaves it, says `then`.
fn with_waiter(owner: Owner, then: impl FnOnce(&Lock, &Waiter)) {
    let _number = this_thread();
    let (lock, waiter) = (Lock::new(), Waiter::new());
    assert!(lock.try_acquire_as(owner));
    // SAFETY: the waiter outlives its time in the queue.
    assert!(!unsafe { lock.enqueue(&waiter, false) });
    check_held(&lock, owner);
    then(&lock, &waiter);
    assert!(!lock.has_waiters());
}

/// Takes the lock for a waiter that can have it, and releases it.
fn claim(lock: &Lock, waiter: &Waiter, owner: Owner) {
    // SAFETY: the waiter has not left the queue, or the lock was handed off to it.
    assert!(unsafe { lock.claim(waiter) });
    check_held(lock, owner);
    lock.release().unwrap();
    check_free(lock);
}

#[test]
fn a_thread_that_takes_a_lock_is_its_owner() {
    let lock = Lock::new();
    check_free(&lock);
    let me = this_thread();
    for owner in [me, me.by_with(), OTHER, Owner::NONE] {
        assert!(lock.try_acquire_as(owner));
        check_held(&lock, owner);
        assert_eq!(lock.owner().number(), owner.number());
        assert_eq!(lock.owner().is_by_with(), owner == me.by_with());
        assert!(!lock.try_acquire_as(OTHER));
        check_held(&lock, owner);
        lock.release().unwrap();
        check_free(&lock);
        assert_eq!(lock.release(), Err(NotLocked));
        check_free(&lock);
    }
    assert!(lock.try_acquire());
    check_held(&lock, Owner::NONE);
}

#[test]
fn a_thread_that_is_alone_with_a_lock_is_its_owner() {
    let (lock, me) = (Lock::new(), this_thread());
    for owner in [me, me.by_with()] {
        // SAFETY: no other thread knows the lock.
        unsafe {
            assert!(lock.try_acquire_alone(owner) && !lock.try_acquire_alone(OTHER));
            check_held(&lock, owner);
            assert!(lock.release_alone() && !lock.release_alone());
            check_free(&lock);
        }
        // Either way of taking goes with either way of releasing.
        // SAFETY: as above.
        unsafe {
            assert!(lock.try_acquire_as(owner) && lock.release_alone());
            check_free(&lock);
            assert!(lock.try_acquire_alone(owner));
        }
        lock.release().unwrap();
        check_free(&lock);
    }
}

#[test]
fn an_owner_is_marked_while_it_has_the_lock() {
    let (lock, me) = (Lock::new(), this_thread());
    lock.mark_owner(me.by_with());
    check_free(&lock);
    assert!(lock.try_acquire_as(me));
    lock.mark_owner(OTHER.by_with());
    check_held(&lock, me);
    lock.mark_owner(me.by_with());
    check_held(&lock, me.by_with());
    lock.release().unwrap();
    check_free(&lock);
    assert!(lock.try_acquire());
    lock.mark_owner(Owner::NONE.by_with());
    check_held(&lock, Owner::NONE);
}

#[test]
fn a_waiter_that_is_woken_and_claims_is_the_owner() {
    let me = this_thread();
    for owner in [OTHER, OTHER.by_with()] {
        with_waiter(owner, |lock, waiter| {
            lock.release().unwrap();
            check_free(lock);
            claim(lock, waiter, me);
        });
    }
}

#[test]
fn a_waiter_that_a_lock_is_handed_off_to_is_the_owner() {
    let me = this_thread();
    for owner in [OTHER, OTHER.by_with()] {
        with_waiter(owner, |lock, waiter| {
            thread::sleep(TIME_TO_BE_FAIR);
            lock.release().unwrap();
            check_free(lock);
            assert!(!lock.try_acquire_as(OTHER));
            check_free(lock);
            claim(lock, waiter, me);
        });
    }
}

#[test]
fn a_waiter_that_finds_the_lock_free_is_the_owner() {
    let (lock, me) = (Lock::new(), this_thread());
    let waiter = Waiter::new();
    assert_eq!(waiter.owner(), me);
    // SAFETY: the waiter outlives its time with the lock.
    assert!(unsafe { lock.enqueue(&waiter, false) });
    check_free(&lock);
    claim(&lock, &waiter, me);
}

/// A thread that is faster than the waiter is the owner, and after that the waiter.
#[test]
fn a_newcomer_that_is_faster_is_the_owner() {
    let me = this_thread();
    with_waiter(OTHER, |lock, waiter| {
        lock.release().unwrap();
        let newcomer = Owner::numbered(OTHER.number() + 1).by_with();
        // If the machine was slow, the lock was handed off.
        if lock.try_acquire_as(newcomer) {
            // SAFETY: the waiter is in the queue.
            assert!(!unsafe { lock.claim(waiter) });
            check_held(lock, newcomer);
            lock.release().unwrap();
        }
        check_free(lock);
        claim(lock, waiter, me);
    });
}

#[test]
fn a_waiter_that_gives_up_leaves_the_owner_alone() {
    for owner in [OTHER, OTHER.by_with()] {
        with_waiter(owner, |lock, waiter| {
            assert_eq!(waiter.park(deadline(0), false), Parked::TimedOut);
            // SAFETY: the waiter is in the queue.
            assert_eq!(unsafe { lock.cancel(waiter) }, Cancelled::Left);
            check_held(lock, owner);
            lock.release().unwrap();
            check_free(lock);
        });
    }
}

#[test]
fn a_thread_that_has_waited_is_the_owner() {
    let lock = Lock::new();
    acquire(&lock);
    let owner = thread::scope(|scope| {
        let waits = scope.spawn(|| {
            let me = this_thread();
            assert!(wait(&lock, None));
            check_held(&lock, me);
            me
        });
        until(|| lock.has_waiters());
        lock.release().unwrap();
        waits.join().unwrap()
    });
    check_held(&lock, owner);
    assert_ne!(owner, this_thread());
}

#[test]
fn a_lock_that_is_renewed_has_no_owner() {
    let lock = Lock::new();
    lock.mark_sentinel();
    assert!(lock.try_acquire_as(OTHER.by_with()));
    let renewed = lock.renewed();
    assert!(renewed.is_sentinel());
    check_free(&renewed);
    check_held(&lock, OTHER.by_with());
}

#[test]
fn a_reentrant_lock_knows_its_owner_by_number() {
    let (lock, me) = (ReentrantLock::new(), this_thread());
    assert!(lock.try_acquire(1, me) && lock.try_acquire(1, me));
    assert_eq!(lock.inner_owner(), me);
    assert!(!lock.try_acquire(2, OTHER) && lock.inner_owner() == me);
    assert!(lock.release(1).is_ok() && lock.inner_owner() == me);
    assert!(lock.release(1).is_ok() && lock.inner_owner() == Owner::NONE);
    // SAFETY: no other thread knows the lock.
    unsafe {
        assert!(lock.try_acquire_alone(2, OTHER) && lock.inner_owner() == OTHER);
        assert!(lock.release_alone(2).is_ok() && lock.inner_owner() == Owner::NONE);
    }
    assert!(lock.try_acquire(1, me) && lock.release_all().is_ok());
    assert_eq!(lock.inner_owner(), Owner::NONE);
    assert!(lock.try_acquire(1, me));
    assert_eq!(lock.renewed().inner_owner(), Owner::NONE);
}

/// While a wait is announced, the lock is not used without atomic steps. All waits end, and then it
/// is again.
#[test]
fn waits_are_counted() {
    let lock = Lock::new();
    for _ in 1..MOST_WAITS {
        lock.begin();
    }
    for _ in 1..MOST_WAITS {
        // SAFETY: no other thread knows the lock.
        assert!(!unsafe { lock.try_acquire_alone(OTHER) });
        lock.end();
    }
    // SAFETY: as above.
    assert!(unsafe { lock.try_acquire_alone(OTHER) && lock.release_alone() });
}

#[test]
fn a_wait_count_that_is_full_stays_so() {
    for extra in [0, 1, 1000] {
        let lock = Lock::new();
        let owner = OTHER.by_with();
        assert!(lock.try_acquire_as(owner));
        for _ in 0..MOST_WAITS + extra {
            lock.begin();
        }
        check_held(&lock, owner);
        for _ in 0..MOST_WAITS + extra {
            lock.end();
        }
        check_held(&lock, owner);
        // SAFETY: no other thread knows the lock.
        assert!(!unsafe { lock.release_alone() });
        lock.release().unwrap();
        check_free(&lock);
        // SAFETY: as above.
        assert!(!unsafe { lock.try_acquire_alone(owner) } && !unsafe { lock.release_alone() });
        // The lock works as before.
        let me = this_thread();
        thread::scope(|scope| {
            assert!(lock.try_acquire_as(me));
            scope.spawn(|| {
                until(|| lock.has_waiters());
                lock.release().unwrap();
            });
            assert!(!lock.try_acquire_as(me) && wait(&lock, deadline(60_000)));
        });
        check_held(&lock, me);
        lock.release().unwrap();
        check_free(&lock);
    }
}

/// A lock that was held or handed off when the process forked, and one that has waiters.
#[cfg(unix)]
#[test]
fn a_child_releases_a_lock_of_any_owner() {
    let me = this_thread();
    for owner in [me, OTHER, OTHER.by_with()] {
        with_waiter(owner, |lock, waiter| {
            assert!(in_child(|| {
                registry::after_fork_in_child();
                check_held(lock, owner);
                lock.release().unwrap();
                check_free(lock);
                assert!(lock.try_acquire_as(me.by_with()));
                check_held(lock, me.by_with());
                lock.release().unwrap();
                check_free(lock);
                true
            }));
            assert!(in_child(|| {
                registry::after_fork_in_child();
                let renewed = lock.renewed();
                check_free(&renewed);
                true
            }));
            thread::sleep(TIME_TO_BE_FAIR);
            lock.release().unwrap();
            // The lock was handed off to a waiter that does not exist in the child.
            assert!(in_child(|| {
                registry::after_fork_in_child();
                check_free(lock);
                assert!(lock.try_acquire_as(me));
                check_held(lock, me);
                lock.release().unwrap();
                check_free(lock);
                true
            }));
            claim(lock, waiter, me);
        });
    }
}
