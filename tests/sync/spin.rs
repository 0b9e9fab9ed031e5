//! Looking before a sleep: what is learned, and that waits are right with it.

use std::cell::{Cell, UnsafeCell};
use std::convert::Infallible;
use std::thread;
use std::time::Duration;

use rthread::sync::spin::{Habits, Place, WakeUps, has_company};
use rthread::sync::{Awaitable, Caller, Condition, Event, Lock, Waited, Waiter, wait_with};

use crate::{Counter, ROUNDS, THREADS, deadline};

/// A thread that looks before it sleeps.
struct Looking;

/// To be changed under a lock.
fn counter() -> Counter {
    Counter(UnsafeCell::new(0))
}

fn value(counter: &Counter) -> usize {
    // SAFETY: the caller has the lock, or there is no other thread any more.
    unsafe { *counter.0.get() }
}

fn add_one(counter: &Counter) {
    // SAFETY: as above.
    unsafe { *counter.0.get() += 1 };
}

impl Caller for Looking {
    type Raised = Infallible;
    const SPINS: bool = true;

    unsafe fn run_signal_handlers(&self) -> Result<(), Infallible> {
        Ok(())
    }
}

fn wait<T: Awaitable>(what: &T) -> Waited {
    // SAFETY: the waiter outlives this call, and is in no queue.
    let Ok(waited) = unsafe { wait_with(&Looking, &Waiter::new(), what, None, false, false) };
    waited
}

/// How often one wait looks that is ready after so many looks.
fn looks(habits: &Habits, place: Place, ready_after: u32) -> u32 {
    let looks = Cell::new(0);
    let _looked = habits.spin(place, || {
        looks.set(looks.get() + 1);
        looks.get() > ready_after
    });
    looks.get()
}

#[test]
fn what_is_in_vain_is_done_ever_less_often() {
    if !has_company() {
        return;
    }
    let (habits, place) = (Habits::new(), Place::new(0x1000));
    let tries = |waits: u32| (0..waits).filter(|_| looks(&habits, place, u32::MAX) > 1).count();
    assert!(tries(1) == 1, "it is tried at first");
    assert!(tries(1_000) < 20);
    assert!(tries(10_000) <= 4);
    // But it is tried again, and when it helps it is done every time.
    while looks(&habits, place, 3) < 4 {}
    for _ in 0..100 {
        assert_eq!(looks(&habits, place, 3), 4);
    }
    // Then a few may be in vain before the next pause.
    assert!(tries(5) == 5);
    assert!(tries(1_000) < 30);
}

#[test]
fn where_an_answer_is_expected_it_is_tried_soon() {
    if !has_company() {
        return;
    }
    let (habits, place) = (Habits::new(), Place::new(0x3000));
    for _ in 0..10_000 {
        looks(&habits, place, u32::MAX);
    }
    let tries = |waits: u32| (0..waits).filter(|_| looks(&habits, place, u32::MAX) > 1).count();
    habits.expect(place);
    assert_eq!(tries(16), 1);
    // And as seldom as before if that was in vain, too.
    assert_eq!(tries(1_000), 0);
}

#[test]
fn places_learn_for_themselves() {
    if !has_company() {
        return;
    }
    let habits = Habits::new();
    let (here, there) = (Place::new(0x2000), Place::new(0x2000).other());
    for _ in 0..100 {
        looks(&habits, here, u32::MAX);
    }
    assert_eq!(looks(&habits, there, 3), 4);
}

#[test]
fn a_moment_is_longer_than_a_wake_up_takes() {
    let seen = WakeUps::new();
    for _ in 0..100 {
        seen.took(Duration::from_micros(8));
    }
    assert!(
        seen.moment() >= Duration::from_micros(16) && seen.moment() < Duration::from_micros(24)
    );
    // A machine that is busy now and then does not change it, one that is slow does.
    seen.took(Duration::from_millis(3));
    assert!(seen.moment() < Duration::from_micros(24));
    for _ in 0..1_000 {
        seen.took(Duration::from_micros(30));
    }
    assert!(seen.moment() > Duration::from_micros(50));
}

#[test]
fn a_lock_that_is_looked_at_lets_one_in_at_a_time() {
    let (lock, counter) = (Lock::new(), counter());
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for round in 0..ROUNDS {
                    assert!(lock.try_acquire() || wait(&lock) == Waited::Got);
                    add_one(&counter);
                    assert_eq!(lock.release(), Ok(()));
                    if round % 64 == 0 {
                        thread::yield_now();
                    }
                }
            });
        }
    });
    assert_eq!(value(&counter), THREADS * ROUNDS);
    assert!(!lock.is_locked() && !lock.has_waiters());
}

#[test]
fn two_that_take_turns_lose_no_notification() {
    let (lock, condition, turn) = (Lock::new(), Condition::new(), counter());
    let play = |me: usize| {
        for _ in 0..ROUNDS / 4 {
            assert!(lock.try_acquire() || wait(&lock) == Waited::Got);
            while value(&turn) % 2 != me {
                let waiter = Waiter::new();
                // SAFETY: the waiter has left the queue when the wait is over.
                unsafe {
                    assert!(!condition.enqueue(&waiter, false));
                    assert_eq!(lock.release(), Ok(()));
                    let far = deadline(60_000);
                    let waited = wait_with(&Looking, &waiter, &condition, far, false, true);
                    assert_eq!(waited, Ok(Waited::Got));
                }
                assert!(lock.try_acquire() || wait(&lock) == Waited::Got);
            }
            add_one(&turn);
            assert!(condition.notify(1));
            assert_eq!(lock.release(), Ok(()));
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| play(0));
        scope.spawn(|| play(1));
    });
    assert_eq!(value(&turn), ROUNDS / 4 * 2);
}

/// Each wakes the next: so all have to claim, also those that come in between.
#[test]
fn an_event_reaches_all_of_many() {
    for _ in 0..20 {
        let event = Event::new();
        thread::scope(|scope| {
            for number in 0..50 {
                let event = &event;
                scope.spawn(move || {
                    if number % 3 == 0 {
                        let _ = rthread::sync::wait(event, deadline(1));
                    }
                    assert!(event.is_set() || wait(event) == Waited::Got);
                });
            }
            thread::sleep(Duration::from_millis(2));
            assert!(event.set());
        });
    }
}

/// The main thread, of which signals are expected: counts how often it looked for them.
struct Main(Cell<u32>);

impl Caller for Main {
    type Raised = Infallible;
    const SPINS: bool = true;

    unsafe fn run_signal_handlers(&self) -> Result<(), Infallible> {
        self.0.set(self.0.get() + 1);
        Ok(())
    }
}

/// A signal that comes during a look interrupts no system call.
#[test]
fn a_look_in_vain_is_followed_by_one_for_signals() {
    // What earlier waits have brought may be shared with another place: not by all of these.
    let events: [Event; 16] = std::array::from_fn(|_| Event::new());
    let mut looked = 0;
    for event in &events {
        let main = Main(Cell::new(0));
        // SAFETY: the waiter outlives this call, and is in no queue.
        let Ok(waited) =
            unsafe { wait_with(&main, &Waiter::new(), event, deadline(5), true, false) };
        assert_eq!(waited, Waited::TimedOut);
        // A signal of another test may have come as well; but it is not done again and again.
        assert!(main.0.get() <= 2);
        looked += main.0.get();
    }
    assert!(looked > 0 || !has_company());
}
