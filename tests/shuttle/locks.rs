//! Locks and semaphores that many fight over.

use std::sync::Arc;

use rthread::sync::{Lock, Owner, ReentrantLock, Semaphore};

use crate::waits::{Endless, Hurried, Interrupted, Limited, Raising, acquire_as, take};
use crate::{Room, crowd, model, one_of};

const ANY: [crate::Patience; 5] = [Endless, Limited, Interrupted, Hurried, Raising];
const ROUNDS: usize = 3;

#[test]
fn a_lock_among_six() {
    model(|| {
        let shared = Arc::new((Lock::new(), Room::default()));
        let visits = crowd(6, &shared, |(lock, room), number| {
            let me = Owner::numbered(number as u32 + 1);
            let mut visits = 0;
            for _ in 0..ROUNDS {
                if acquire_as(lock, me, one_of(&ANY)) {
                    room.visit(1);
                    lock.mark_owner(me.by_with());
                    assert_eq!(lock.owner(), me.by_with());
                    lock.release().unwrap();
                    visits += 1;
                }
            }
            visits
        });
        let (lock, room) = &*shared;
        assert!(!lock.is_locked() && !lock.has_waiters() && lock.owner() == Owner::NONE);
        assert_eq!(room.visits(), visits.iter().sum());
        assert!(lock.try_acquire());
    });
}

#[test]
fn a_reentrant_lock_among_four() {
    model(|| {
        let shared = Arc::new((ReentrantLock::new(), Room::default()));
        crowd(4, &shared, |(lock, room), number| {
            let me = number as u64 + 1;
            let owner = Owner::numbered(number as u32 + 1);
            for _ in 0..ROUNDS {
                if !lock.try_acquire(me, owner) {
                    if !acquire_as(lock.lock(), owner, one_of(&ANY)) {
                        continue;
                    }
                    lock.adopt(me);
                }
                assert!(lock.try_acquire(me, owner));
                room.visit(1);
                assert_eq!(lock.inner_owner(), owner);
                let saved = lock.release_all().unwrap();
                assert_eq!((saved.count, saved.owner), (2, me));
                assert!(acquire_as(lock.lock(), owner, Endless));
                lock.restore(saved);
                room.visit(1);
                lock.release(me).unwrap();
                assert!(lock.is_owned_by(me));
                lock.release(me).unwrap();
            }
        });
        let (lock, _) = &*shared;
        assert!(!lock.is_locked() && !lock.lock().has_waiters() && lock.owner() == 0);
    });
}

#[test]
fn two_of_six_at_a_time() {
    model(|| {
        let shared = Arc::new((Semaphore::new(2), Room::default()));
        let visits = crowd(6, &shared, |(semaphore, room), _| {
            let mut visits = 0;
            for _ in 0..ROUNDS {
                if take(semaphore, one_of(&ANY)) {
                    room.visit(2);
                    semaphore.release(1, 2).unwrap();
                    visits += 1;
                }
            }
            visits
        });
        let (semaphore, room) = &*shared;
        assert_eq!(semaphore.value(), Some(2));
        assert_eq!(room.visits(), visits.iter().sum());
    });
}

/// One releases for all at once, and no thread may be left behind.
#[test]
fn one_release_for_five() {
    model(|| {
        let shared = Arc::new(Semaphore::new(0));
        let got = crowd(6, &shared, |semaphore, number| {
            if number == 0 {
                semaphore.release(2, u64::MAX).unwrap();
                semaphore.release(3, u64::MAX).unwrap();
                return 0;
            }
            // Threads that give up leave theirs to no other; it is there in the end.
            let how = if number > 3 { one_of(&ANY) } else { Endless };
            u64::from(take(semaphore, how))
        });
        assert_eq!(shared.value(), Some(5 - got.iter().sum::<u64>()));
    });
}
