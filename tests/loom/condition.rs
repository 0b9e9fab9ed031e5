//! Conditions: a notification is for a thread that goes on.

use loom::sync::Arc;
use rthread::sync::{Awaitable, Condition, Lock, Waited, Waiter};

use crate::waits::{
    Endless, Hurried, Interrupted, Limited, Patience, Raising, acquire, wait_for, wait_queued,
};
use crate::{model, spawn};

type Shared = (Lock, Condition);

fn shared() -> Arc<Shared> {
    Arc::new((Lock::new(), Condition::new()))
}

fn notify((lock, condition): &Shared, count: usize) {
    assert!(acquire(lock, Endless));
    assert!(condition.notify(count));
    lock.release().unwrap();
}

#[test]
fn a_notification_goes_to_a_waiter() {
    model(|| {
        let shared = shared();
        let (lock, condition) = &*shared;
        assert!(lock.try_acquire());
        let thread = spawn(&shared, |shared| notify(shared, 1));
        assert_eq!(wait_for(condition, lock, Endless), Ok(Waited::Got));
        lock.release().unwrap();
        thread.join().unwrap();
    });
}

/// Two wait, and one is notified while the first gives up: it is the one or the other. A lost
/// notification would leave the second asleep for ever.
fn notify_against(how: Patience) {
    model(move || {
        let condition = Arc::new(Condition::new());
        let [hasty, patient] = [Waiter::new(), Waiter::new()];
        // SAFETY: both outlive the model's run, and have left the queue at its end.
        unsafe {
            assert!(!condition.enqueue(&hasty, false) && !condition.enqueue(&patient, false));
        }
        let thread = spawn(&condition, |condition| condition.notify(1));
        if wait_queued(&hasty, &*condition, how) == Ok(Waited::Got) {
            assert!(condition.notify(1));
        } else {
            assert!(how.ends());
        }
        assert_eq!(wait_queued(&patient, &*condition, Endless), Ok(Waited::Got));
        thread.join().unwrap();
        assert_eq!(condition.waiters(), 0);
    });
}

#[test]
fn notify_against_time_out() {
    notify_against(Limited);
}

#[test]
fn notify_against_interruption() {
    notify_against(Interrupted);
    notify_against(Hurried);
}

#[test]
fn notify_against_a_handler_that_raises() {
    notify_against(Raising);
}

#[test]
fn all_waiters_are_notified() {
    model(|| {
        let condition = Arc::new(Condition::new());
        let [first, second] = [Waiter::new(), Waiter::new()];
        // SAFETY: both outlive the model's run, and have left the queue at its end.
        unsafe {
            assert!(!condition.enqueue(&first, false) && !condition.enqueue(&second, false));
        }
        let thread = spawn(&condition, |condition| condition.notify(usize::MAX));
        for waiter in [&first, &second] {
            assert_eq!(wait_queued(waiter, &*condition, Interrupted), Ok(Waited::Got));
        }
        thread.join().unwrap();
        assert_eq!(condition.waiters(), 0);
    });
}

/// Each that was notified wakes the next, also the one whose handler raises.
#[test]
fn all_waiters_are_notified_although_a_handler_raises() {
    model(|| {
        let condition = Arc::new(Condition::new());
        let [hasty, patient] = [Waiter::new(), Waiter::new()];
        // SAFETY: both outlive the model's run, and have left the queue at its end.
        unsafe {
            assert!(!condition.enqueue(&hasty, false) && !condition.enqueue(&patient, false));
        }
        let thread = spawn(&condition, |condition| condition.notify(usize::MAX));
        let _raised = wait_queued(&hasty, &*condition, Raising);
        assert_eq!(wait_queued(&patient, &*condition, Endless), Ok(Waited::Got));
        assert!(thread.join().unwrap());
        assert_eq!(condition.waiters(), 0);
    });
}

/// The second has been notified together with the first, even if it has not been woken yet.
#[test]
fn a_notification_for_two_is_for_both_at_once() {
    for how in [Limited, Hurried] {
        model(move || {
            let condition = Arc::new(Condition::new());
            let [first, second] = [Waiter::new(), Waiter::new()];
            // SAFETY: both outlive the model's run, and have left the queue at its end.
            unsafe {
                assert!(!condition.enqueue(&first, false) && !condition.enqueue(&second, false));
            }
            assert!(condition.notify(2));
            assert_eq!(condition.waiters(), 0);
            assert_eq!(wait_queued(&second, &*condition, how), Ok(Waited::Got));
            assert_eq!(wait_queued(&first, &*condition, Endless), Ok(Waited::Got));
        });
    }
}
