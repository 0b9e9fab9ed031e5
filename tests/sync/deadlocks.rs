//! Threads that wait for each other: one of each circle finds it, and no thread is alone with a
//! circle that does not exist.

use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rthread::sync::{
    Holder, JoinState, Lock, Owner, Record, ReentrantLock, Threads, Wait, WaitKind, circle_of,
    registry, wait,
};

use crate::{THREADS, until};

/// The interpreter of these threads. No other test waits in it.
static HERE: u8 = 0;

fn here() -> *const () {
    ptr::from_ref(&HERE).cast()
}

/// The threads of this process.
#[derive(Clone, Copy)]
struct Live;

impl Threads<'static> for Live {
    fn record_of(self, number: u32) -> Option<&'static Record> {
        registry::record_of(number)
    }

    fn number_of(self, ident: u64) -> u32 {
        registry::number_of(ident)
    }

    fn holder_of(self, wait: &Wait) -> Option<Holder> {
        // SAFETY: the locks are alive until all threads have ended.
        unsafe { wait.holder() }
    }
}

fn wait_for(kind: WaitKind, resource: *const ()) -> Wait {
    Wait { kind, resource, interpreter: here(), ..Wait::NONE }
}

/// Takes the lock. False if the calling thread would wait in a circle of this length.
fn take(lock: &Lock, me: Owner) -> Result<(), usize> {
    if lock.try_acquire_as(me) {
        return Ok(());
    }
    let record = registry::this_record().unwrap();
    let outer = record.begin_wait(&wait_for(WaitKind::Lock, ptr::from_ref(lock).cast()));
    let circle = circle_of(me.number(), here(), Live);
    let result = match circle {
        Some(circle) => {
            assert!(circle.iter().all(|edge| !edge.holder.is_certain));
            Err(circle.len())
        }
        None => {
            assert!(wait(lock, None));
            assert_eq!(lock.owner(), me);
            Ok(())
        }
    };
    record.end_wait(&outer);
    result
}

/// Threads that take two of as many locks, each in the order that `of` gives. Returns the number of
/// circles that they have found.
fn circles(rounds: usize, of: impl Fn(usize, usize) -> [usize; 2] + Sync) -> usize {
    let locks: [Lock; THREADS] = [const { Lock::new() }; THREADS];
    let found = AtomicUsize::new(0);
    thread::scope(|scope| {
        for index in 0..THREADS {
            let (locks, found, of) = (&locks, &found, &of);
            scope.spawn(move || {
                let me = registry::this_thread();
                for round in 0..rounds {
                    let [first, second] = of(index, round);
                    take(&locks[first], me).unwrap();
                    match take(&locks[second], me) {
                        Ok(()) => locks[second].release().unwrap(),
                        Err(length) => {
                            assert!((2..=THREADS).contains(&length));
                            found.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                    locks[first].release().unwrap();
                }
            });
        }
    });
    assert!(locks.iter().all(|lock| !lock.is_locked() && !lock.has_waiters()));
    found.into_inner()
}

/// Each thread wants its own lock and that of its neighbour, on either side. If a circle were
/// missed, the threads would sleep for ever.
#[test]
fn each_circle_is_found() {
    let mut found = 0;
    while found == 0 {
        found = circles(2000, |index, round| {
            let other = (index + 1 + round % (THREADS - 1)) % THREADS;
            [index, other]
        });
    }
}

#[test]
fn locks_that_are_taken_in_one_order_make_no_circle() {
    let found = circles(2000, |index, round| {
        let first = (index + round) % (THREADS - 1);
        [first, first + 1 + (index * round) % (THREADS - 1 - first)]
    });
    assert_eq!(found, 0);
}

/// A lock taken by `with`, an `RLock`, a sentinel and a thread that is joined.
#[test]
fn a_circle_goes_through_every_kind_of_owner() {
    let (lock, rlock, sentinel) = (Lock::new(), ReentrantLock::new(), Lock::new());
    let joined = JoinState::new();
    sentinel.mark_sentinel();
    let end = Lock::new();
    assert!(end.try_acquire());
    let waiting = AtomicUsize::new(0);
    let stays = |wait: &Wait| {
        let record = registry::this_record().unwrap();
        let outer = record.begin_wait(wait);
        assert!(circle_of(record.number(), here(), Live).is_none());
        waiting.fetch_add(1, Ordering::Relaxed);
        assert!(end.try_acquire() || rthread::sync::wait(&end, None));
        end.release().unwrap();
        record.end_wait(&outer);
    };
    thread::scope(|scope| {
        // This thread has the lock. The next ones each have what the one before them waits for.
        let me = registry::this_thread();
        assert!(lock.try_acquire_as(me.by_with()));
        scope.spawn(|| {
            let own = registry::this_record().unwrap();
            assert!(rlock.try_acquire(own.ident(), registry::this_thread()));
            stays(&wait_for(WaitKind::Lock, ptr::from_ref(&lock).cast()));
        });
        until(|| waiting.load(Ordering::Relaxed) == 1);
        scope.spawn(|| {
            assert!(sentinel.try_acquire_as(registry::this_thread()));
            stays(&wait_for(WaitKind::RLock, ptr::from_ref(&rlock).cast()));
        });
        until(|| waiting.load(Ordering::Relaxed) == 2);
        scope.spawn(|| {
            joined.set_foreign(registry::this_record().unwrap().ident());
            stays(&wait_for(WaitKind::Sentinel, ptr::from_ref(&sentinel).cast()));
        });
        until(|| waiting.load(Ordering::Relaxed) == 3);
        let record = registry::this_record().unwrap();
        let outer = record.begin_wait(&wait_for(WaitKind::Join, ptr::from_ref(&joined).cast()));
        let circle = circle_of(me.number(), here(), Live).unwrap();
        let kinds = circle.iter().map(|edge| edge.wait.kind).collect::<Vec<_>>();
        let expected = [WaitKind::Join, WaitKind::Sentinel, WaitKind::RLock, WaitKind::Lock];
        assert_eq!(kinds, expected);
        assert!(circle.iter().all(|edge| edge.holder.is_certain));
        for (index, edge) in circle.iter().enumerate() {
            let next = circle[(index + 1) % circle.len()];
            assert!([0, next.number].contains(&edge.holder.number));
            assert!([0, next.ident].contains(&edge.holder.ident));
        }
        // A thread that is about to end is waited for by its number no more.
        assert!(joined.exiting().set());
        assert!(circle_of(me.number(), here(), Live).is_none());
        record.end_wait(&outer);
        end.release().unwrap();
    });
}
