//! `sync` on real threads, without an interpreter. Both parkers go through all of this: see
//! `make rust-test`.

#![cfg(not(any(loom, shuttle)))]

mod barrier;
mod channel;
mod condition;
#[cfg(unix)]
mod deadlocks;
#[cfg(unix)]
mod fork;
mod numbers;
mod owners;
mod records;
mod retire;
mod semaphore;
#[cfg(unix)]
mod signals;
mod spin;
mod turns;

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rthread::sync::{
    Awaitable, Cancelled, Event, Lock, Mutex, NotLocked, Owner, Parked, ReentrantLock, Saved,
    TIME_TO_BE_FAIR, Waiter, wait,
};

const THREADS: usize = 4;
const ROUNDS: usize = 20_000;

/// A number that only a lock protects.
struct Counter(UnsafeCell<usize>);

// SAFETY: the tests change it under the lock that they test.
unsafe impl Sync for Counter {}

fn deadline(milliseconds: u64) -> Option<Instant> {
    Some(Instant::now() + Duration::from_millis(milliseconds))
}

fn acquire(lock: &Lock) {
    assert!(lock.try_acquire() || wait(lock, None));
}

fn until(condition: impl Fn() -> bool) {
    while !condition() {
        thread::yield_now();
    }
}

#[test]
fn objects_are_small() {
    assert_eq!(size_of::<Lock>(), 16);
    assert_eq!(size_of::<Event>(), 16);
    assert_eq!(size_of::<ReentrantLock>(), 32);
}

#[test]
fn one_thread_at_a_time() {
    let lock = Lock::new();
    let counter = Counter(UnsafeCell::new(0));
    let shared = &counter;
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    acquire(&lock);
                    // SAFETY: we hold the lock.
                    unsafe { *shared.0.get() += 1 };
                    lock.release().unwrap();
                }
            });
        }
    });
    assert_eq!(counter.0.into_inner(), THREADS * ROUNDS);
    assert!(!lock.is_locked() && !lock.has_waiters());
}

#[test]
fn time_outs_among_waiters_lose_no_wake_up() {
    let lock = Lock::new();
    let (served, late) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for index in 0..THREADS {
            let (lock, served, late) = (&lock, &served, &late);
            scope.spawn(move || {
                for round in 0..2_000_u64 {
                    let patience = Duration::from_micros((round * 7 + index as u64 * 13) % 60);
                    if lock.try_acquire() || wait(lock, Some(Instant::now() + patience)) {
                        lock.release().unwrap();
                        served.fetch_add(1, Ordering::Relaxed);
                    } else {
                        late.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(served.into_inner() + late.into_inner(), THREADS * 2_000);
    assert!(!lock.is_locked() && !lock.has_waiters());
    assert!(lock.try_acquire());
}

#[test]
fn only_a_locked_lock_is_released() {
    let lock = Lock::new();
    assert_eq!(lock.release(), Err(NotLocked));
    assert!(lock.try_acquire());
    assert!(!lock.try_acquire());
    assert_eq!(lock.release(), Ok(()));
    assert_eq!(lock.release(), Err(NotLocked));
}

#[test]
fn any_thread_releases() {
    let lock = Lock::new();
    acquire(&lock);
    thread::scope(|scope| {
        scope.spawn(|| {
            until(|| lock.has_waiters());
            lock.release().unwrap();
        });
        acquire(&lock);
    });
    assert!(lock.is_locked());
}

#[test]
fn a_deadline_that_has_passed_does_not_wait() {
    let lock = Lock::new();
    acquire(&lock);
    assert!(!wait(&lock, Some(Instant::now())));
    let begin = Instant::now();
    assert!(!wait(&lock, deadline(30)));
    assert!(begin.elapsed() >= Duration::from_millis(30));
    assert!(!lock.has_waiters());
}

/// The holder never leaves the lock free for longer than it takes to take it again, so only a
/// hand-off can serve the waiter.
#[test]
fn a_waiter_is_served_while_another_thread_hammers() {
    let lock = Lock::new();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                acquire(&lock);
                thread::sleep(TIME_TO_BE_FAIR / 20);
                lock.release().unwrap();
            }
        });
        for _ in 0..50 {
            acquire(&lock);
            lock.release().unwrap();
        }
        stop.store(true, Ordering::Relaxed);
    });
}

/// The steps of three waits, by hand in one thread: the longest waiter is handed the lock first,
/// and one that gave up and came back goes before all others.
#[test]
fn waiters_are_served_in_order() {
    let lock = Lock::new();
    acquire(&lock);
    let [first, second, third] = [Waiter::new(), Waiter::new(), Waiter::new()];
    thread::sleep(TIME_TO_BE_FAIR);
    // SAFETY: the waiters stay where they are, and each is queued once, and claimed or cancelled
    // while it is.
    unsafe {
        assert!(!lock.enqueue(&first, false) && !lock.enqueue(&second, false));
        assert!(!lock.enqueue(&third, true));
        for waiter in [&third, &first, &second] {
            // The next hand-off comes so much later.
            thread::sleep(TIME_TO_BE_FAIR);
            lock.release().unwrap();
            // Handed over: free, but for one waiter only.
            assert!(!lock.is_locked() && !lock.try_acquire());
            assert_eq!(lock.release(), Err(NotLocked));
            assert_eq!(waiter.park(deadline(60_000), false), Parked::Unparked);
            assert!(lock.claim(waiter));
        }
    }
    lock.release().unwrap();
    assert!(!lock.is_locked() && !lock.has_waiters());
}

/// A waiter that has waited long is only woken if the lock was handed off a moment ago, to whatever
/// waiter. It keeps its place, and is handed the lock when that moment is over.
#[test]
fn hand_offs_are_apart() {
    let lock = Lock::new();
    for _ in 0..1000 {
        acquire(&lock);
        let [first, second, third] = [Waiter::new(), Waiter::new(), Waiter::new()];
        thread::sleep(TIME_TO_BE_FAIR);
        // SAFETY: as above.
        unsafe {
            for waiter in [&first, &second, &third] {
                assert!(!lock.enqueue(waiter, false));
            }
            lock.release().unwrap();
            assert!(!lock.try_acquire() && lock.claim(&first));
            // The second one leaves, so that the third one is at the front.
            assert!(lock.cancel(&second) == Cancelled::Left);
            lock.release().unwrap();
            let was_free = lock.try_acquire();
            if was_free {
                assert!(!lock.claim(&third));
                thread::sleep(TIME_TO_BE_FAIR);
                // Its retry timer has ended: it finds the lock taken, and asks for the next wake-up.
                assert!(!lock.claim(&third));
                lock.release().unwrap();
                assert!(!lock.try_acquire());
            }
            assert!(lock.claim(&third));
            lock.release().unwrap();
            if was_free {
                return;
            }
            // The machine was so slow that the moment was over.
        }
    }
    panic!("each hand-off is followed by another one at once");
}

/// A lock that becomes free is taken without a wait, but not while a waiter is queued.
#[test]
fn a_moment_is_enough_where_no_thread_waits() {
    let lock = Lock::new();
    acquire(&lock);
    assert!(!lock.try_for_a_moment());
    thread::scope(|scope| {
        scope.spawn(|| while !lock.try_for_a_moment() {});
        thread::sleep(TIME_TO_BE_FAIR);
        lock.release().unwrap();
    });
    assert!(lock.is_locked());
    let waiter = Waiter::new();
    // SAFETY: the waiter outlives its place in the queue.
    unsafe {
        assert!(!lock.enqueue(&waiter, false));
        lock.release().unwrap();
        assert!(!lock.try_for_a_moment() && !lock.is_locked());
        assert!(lock.claim(&waiter));
    }
    lock.release().unwrap();
    assert!(lock.try_for_a_moment());
    lock.release().unwrap();
}

/// A waiter that has not waited long is only woken: a faster thread gets the lock, and then it
/// goes on waiting at its place.
#[test]
fn newcomers_may_be_faster_at_first() {
    let lock = Lock::new();
    let mut tries = 0;
    loop {
        acquire(&lock);
        let waiter = Waiter::new();
        // SAFETY: as above.
        unsafe {
            assert!(!lock.enqueue(&waiter, false));
            lock.release().unwrap();
            assert_eq!(waiter.park(deadline(60_000), false), Parked::Unparked);
            if !lock.try_acquire() {
                // The machine was so slow that it counted as long.
                assert!(lock.claim(&waiter));
                lock.release().unwrap();
                tries += 1;
                assert!(tries < 1000);
                continue;
            }
            assert!(!lock.claim(&waiter) && lock.has_waiters());
            assert!(lock.cancel(&waiter) == Cancelled::Left && !lock.has_waiters());
        }
        lock.release().unwrap();
        return;
    }
}

#[test]
fn a_tag_changes_nothing_else() {
    let lock = Lock::new();
    lock.mark_sentinel();
    assert!(lock.is_sentinel() && !lock.is_locked());
    assert!(lock.try_acquire());
    assert!(!lock.try_acquire());
    assert!(lock.release().is_ok() && lock.is_sentinel());
    assert_eq!(lock.release(), Err(NotLocked));
}

#[test]
fn an_event_lets_all_waiters_through() {
    let event = Event::new();
    assert!(!wait(&event, Some(Instant::now())));
    thread::scope(|scope| {
        let waiters: Vec<_> =
            (0..THREADS).map(|_| scope.spawn(|| wait(&event, deadline(60_000)))).collect();
        assert!(event.set());
        for waiter in waiters {
            assert!(waiter.join().unwrap());
        }
    });
    assert!(event.is_set() && wait(&event, Some(Instant::now())));
}

#[test]
fn an_event_that_is_set_while_waiters_give_up() {
    for round in 0..200 {
        let event = Event::new();
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    let patience = Duration::from_micros(round);
                    if !wait(&event, Some(Instant::now() + patience)) {
                        assert!(wait(&event, None));
                    }
                });
            }
            assert!(event.set());
        });
    }
}

#[test]
fn a_reentrant_lock_counts() {
    let lock = ReentrantLock::new();
    assert!(lock.release(1).is_err() && lock.release_all().is_err());
    assert!(lock.try_acquire(1, Owner::NONE) && lock.try_acquire(1, Owner::NONE));
    assert!(!lock.try_acquire(2, Owner::NONE) && lock.release(2).is_err());
    assert_eq!((lock.owner(), lock.count()), (1, 2));
    assert_eq!(lock.release_all(), Ok(Saved { count: 2, owner: 1 }));
    assert!(!lock.is_locked() && lock.try_acquire(2, Owner::NONE));
    assert!(lock.release(2).is_ok() && lock.try_acquire(1, Owner::NONE));
    lock.restore(Saved { count: 2, owner: 1 });
    assert!(lock.release(1).is_ok() && lock.is_locked());
    assert!(lock.release(1).is_ok() && !lock.is_locked());
}

#[test]
fn a_mutex_gives_one_thread_at_a_time_its_value() {
    let total = Mutex::new(0);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    *total.lock() += 1;
                }
            });
        }
    });
    assert_eq!(*total.lock(), THREADS * ROUNDS);
}

/// The child finds a lock that was being handed to a thread that exists no more.
#[cfg(unix)]
#[test]
fn a_child_process_gets_what_was_reserved() {
    let forked = |check: fn(&Lock) -> bool| {
        let (lock, waiter) = (Lock::new(), Waiter::new());
        // SAFETY: the waiter outlives its time with the lock.
        unsafe {
            assert!(lock.enqueue(&waiter, false));
            assert!(!lock.is_locked() && !lock.try_acquire());
            // The child calls nothing but `sync`, which needs no other thread, and `_exit`.
            let child = libc::fork();
            if child == 0 {
                rthread::sync::fork::after_fork_in_child();
                libc::_exit(i32::from(!(check(&lock) && lock.release().is_ok())));
            }
            let mut status = -1;
            assert_eq!(libc::waitpid(child, &mut status, 0), child);
            assert_eq!(status, 0);
            assert!(!lock.try_acquire() && lock.claim(&waiter));
        }
        lock.release().unwrap();
    };
    forked(Lock::try_acquire);
    forked(|lock| wait(lock, deadline(5000)));
    forked(|lock| lock.release() == Err(NotLocked) && lock.try_acquire());
}

/// The child finds a lock with waiters that exist no more, in a queue on memory that is its own
/// copy, and has to be able to use it.
#[cfg(unix)]
#[test]
fn a_child_process_finds_empty_queues() {
    static LOCK: Lock = Lock::new();
    static TABLE: Mutex<u32> = Mutex::new(0);
    acquire(&LOCK);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                acquire(&LOCK);
                LOCK.release().unwrap();
            });
        }
        until(|| LOCK.has_waiters());
        TABLE.lock_before_fork();
        // SAFETY: the child calls nothing but `sync`, which needs no other thread, and `_exit`.
        let child = unsafe { libc::fork() };
        if child == 0 {
            rthread::sync::fork::after_fork_in_child();
            // SAFETY: this thread locked it before the fork.
            unsafe { TABLE.unlock_after_fork() };
            let fine = LOCK.release().is_ok()
                && LOCK.try_acquire()
                && !wait(&LOCK, deadline(5))
                && LOCK.release().is_ok()
                && !LOCK.has_waiters()
                && *TABLE.lock() == 0;
            // SAFETY: ends the child without running what belongs to the parent.
            unsafe { libc::_exit(i32::from(!fine)) };
        }
        // SAFETY: as in the child.
        unsafe { TABLE.unlock_after_fork() };
        let mut status = -1;
        // SAFETY: our child, and a place for its status.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        assert_eq!(status, 0);
        LOCK.release().unwrap();
    });
}
