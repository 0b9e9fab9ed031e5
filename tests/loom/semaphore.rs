//! Semaphores: what is given back is taken, and taken once.

use loom::sync::Arc;
use rthread::sync::{NotReleased, Semaphore, Waited, Waiter};

use crate::waits::{Endless, Hurried, Interrupted, Limited, Patience, Raising, take, wait_as};
use crate::{model, model_within, spawn};

const FREE: u64 = u64::MAX;

fn semaphore(value: u64) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(value))
}

#[test]
fn one_release_lets_two_in() {
    model(|| {
        let semaphore = semaphore(0);
        let threads =
            [(); 2].map(|()| spawn(&semaphore, |semaphore| assert!(take(semaphore, Endless))));
        semaphore.release(2, FREE).unwrap();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(semaphore.value(), Some(0));
    });
}

#[test]
fn no_more_get_in_than_there_is_room_for() {
    model_within(2, || {
        let shared = Arc::new((Semaphore::new(1), loom::cell::UnsafeCell::new(0)));
        let run = |(semaphore, inside): &(Semaphore, loom::cell::UnsafeCell<u32>)| {
            assert!(take(semaphore, Endless));
            // SAFETY: the model reports a second access at the same time.
            inside.with_mut(|count| unsafe { *count += 1 });
            semaphore.release(1, 1).unwrap();
        };
        let threads = [(); 2].map(|()| spawn(&shared, run));
        run(&shared);
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(shared.0.value(), Some(1));
        assert_eq!(shared.0.release(1, 1), Err(NotReleased::TooMany));
        // SAFETY: all threads have been joined.
        shared.1.with(|count| assert_eq!(unsafe { *count }, 3));
    });
}

#[test]
fn one_that_is_due_is_served_before_newcomers() {
    model(|| {
        let semaphore = semaphore(0);
        let thread = spawn(&semaphore, |semaphore| {
            wait_as(&Waiter::overdue(), semaphore, Endless) == Ok(Waited::Got)
        });
        semaphore.release(1, FREE).unwrap();
        let taken = semaphore.try_acquire();
        if taken {
            semaphore.release(1, FREE).unwrap();
        }
        assert!(thread.join().unwrap());
        assert_eq!(semaphore.value(), Some(0));
    });
}

/// Two wait for one, and one of them may give up; the one that gets it gives it back.
fn release_against(how: Patience, overdue: bool) {
    model(move || {
        let semaphore = semaphore(0);
        let threads = [Endless, how].map(|how| {
            spawn(&semaphore, move |semaphore| {
                let waiter = if overdue { Waiter::overdue() } else { Waiter::new() };
                let got = wait_as(&waiter, semaphore, how) == Ok(Waited::Got);
                assert!(got || how.ends());
                if got {
                    semaphore.release(1, 1).unwrap();
                }
            })
        });
        semaphore.release(1, FREE).unwrap();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(semaphore.value(), Some(1));
    });
}

#[test]
fn release_against_time_out() {
    release_against(Limited, false);
    release_against(Limited, true);
}

#[test]
fn release_against_interruption() {
    release_against(Interrupted, false);
    release_against(Hurried, true);
}

#[test]
fn release_against_a_handler_that_raises() {
    release_against(Raising, false);
    release_against(Raising, true);
}
