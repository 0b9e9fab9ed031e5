//! Events.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use rthread::sync::{Awaitable, Event, Waited, Waiter};

use crate::waits::{Endless, Hurried, Interrupted, Limited, Raising, wait, wait_as, wait_queued};
use crate::{model, spawn};

/// An event, and what was done before it was set.
struct Shared {
    event: Event,
    done: UnsafeCell<bool>,
}

// SAFETY: written before the event is set and read after; that is what the model checks.
unsafe impl Sync for Shared {}
// SAFETY: as above.
unsafe impl Send for Shared {}

#[test]
fn all_waiters_go_on() {
    for how in [Limited, Interrupted, Raising] {
        model(move || {
            let event = Arc::new(Event::new());
            let threads = [Endless, how].map(|how| spawn(&event, move |event| wait(event, how)));
            assert!(event.set());
            let [patient, other] = threads.map(|thread| thread.join().unwrap());
            assert!(patient && (other || how.ends()));
        });
    }
}

#[test]
fn what_was_done_before_is_seen_after() {
    model(|| {
        let shared = Arc::new(Shared { event: Event::new(), done: UnsafeCell::new(false) });
        let see = |shared: &Shared| {
            assert!(shared.event.is_set() || wait(&shared.event, Endless));
            // SAFETY: no thread writes any more; the model checks that.
            shared.done.with(|done| assert!(unsafe { *done }));
        };
        let thread = spawn(&shared, see);
        let other = spawn(&shared, see);
        // SAFETY: no thread reads before the event is set.
        shared.done.with_mut(|done| unsafe { *done = true });
        assert!(shared.event.set());
        thread.join().unwrap();
        other.join().unwrap();
    });
}

/// The one that waits while the event is set and cleared was meant, and the one that comes
/// afterwards was not.
#[test]
fn a_clear_takes_nothing_back() {
    model(|| {
        let event = Arc::new(Event::new());
        let waiter = Waiter::new();
        // SAFETY: the waiter outlives this, and leaves the queue.
        unsafe { assert!(!event.enqueue(&waiter, false)) };
        let thread = spawn(&event, |event| event.set() && event.clear());
        // SAFETY: as above.
        unsafe {
            while !event.claim(&waiter) {
                waiter.park(None, false);
            }
        }
        assert!(thread.join().unwrap());
        assert_eq!(wait_as(&Waiter::new(), &*event, Limited), Ok(Waited::TimedOut));
    });
}

/// The second has got what it waits for, even if no thread has woken it and its time is up.
#[test]
fn a_set_is_for_all_at_once() {
    for how in [Limited, Hurried] {
        model(move || {
            let event = Arc::new(Event::new());
            let [first, second] = [Waiter::new(), Waiter::new()];
            // SAFETY: both outlive the model's run, and have left the queue at its end.
            unsafe {
                assert!(!event.enqueue(&first, false) && !event.enqueue(&second, false));
            }
            assert!(event.set() && event.clear());
            assert_eq!(wait_queued(&second, &*event, how), Ok(Waited::Got));
            assert_eq!(wait_queued(&first, &*event, Endless), Ok(Waited::Got));
        });
    }
}

/// The first is woken, clears the event and waits again while the other still looks for waiters; or
/// it looks for the next to wake itself.
#[test]
fn a_set_is_not_for_waiters_that_come_after_a_clear() {
    model(|| {
        let event = Arc::new(Event::new());
        let thread = spawn(&event, Event::set);
        assert!(wait(&*event, Endless));
        assert!(event.clear());
        assert_eq!(wait_as(&Waiter::new(), &*event, Limited), Ok(Waited::TimedOut));
        assert!(thread.join().unwrap());
    });
    model(|| {
        let shared = Arc::new((Event::new(), Waiter::new()));
        let (event, waiter) = &*shared;
        // SAFETY: the waiter outlives the model's run, and has left the queue at its end.
        unsafe { assert!(!event.enqueue(waiter, false)) };
        assert!(event.set() && event.clear());
        let thread = spawn(&shared, |(event, waiter)| wait_queued(waiter, event, Endless));
        assert_eq!(wait_as(&Waiter::new(), event, Limited), Ok(Waited::TimedOut));
        assert_eq!(thread.join().unwrap(), Ok(Waited::Got));
    });
}
