//! What was granted and not claimed, and is taken back: each item and each permit is in one place.

use loom::sync::Arc;
use rthread::sync::{
    Accepted, Awaitable, Channel, Get, Lock, Put, Semaphore, Taken, Waited, Waiter, fork,
};

use crate::waits::{Endless, Hurried, Interrupted, Limited, acquire, item, wait_queued};
use crate::{model, model_within, spawn};

/// Queues a waiter. Each outlives the execution, and has left at its end.
fn queue(what: &impl Awaitable, waiter: &Waiter) {
    // SAFETY: as said.
    assert!(!unsafe { what.enqueue(waiter, false) });
}

#[test]
fn an_item_is_claimed_or_taken_back() {
    for how in [Endless, Limited, Interrupted, Hurried] {
        model_within(2, move || {
            let channel = Arc::new(Channel::new());
            let (waiter, get) = (Waiter::new(), Get::new(&channel));
            queue(&get, &waiter);
            let putter = spawn(&channel, |channel| channel.try_put(item(1)));
            let taker = spawn(&channel, Channel::take_back);
            let waited = wait_queued(&waiter, &get, how).unwrap();
            assert_eq!(putter.join().unwrap(), Accepted::Done);
            let taken_back = taker.join().unwrap();
            assert_eq!(get.item().is_some(), waited == Waited::Got);
            assert_eq!(channel.len(), usize::from(waited != Waited::Got));
            assert_eq!(taken_back, usize::from(waited == Waited::Dismissed));
        });
    }
}

#[test]
fn a_permit_is_claimed_or_taken_back() {
    for how in [Endless, Limited, Interrupted, Hurried] {
        model_within(2, move || {
            let semaphore = Arc::new(Semaphore::new(0));
            let waiter = Waiter::overdue();
            queue(&*semaphore, &waiter);
            let releaser = spawn(&semaphore, |semaphore| semaphore.release(1, 1));
            let taker = spawn(&semaphore, Semaphore::take_back);
            let waited = wait_queued(&waiter, &*semaphore, how).unwrap();
            assert_eq!(releaser.join().unwrap(), Ok(()));
            let taken_back = taker.join().unwrap();
            assert_eq!(semaphore.value(), Some(u64::from(waited != Waited::Got)));
            assert_eq!(taken_back, u64::from(waited == Waited::Dismissed));
        });
    }
}

/// Three getters are given an item each, one of them claims it, and the others are taken back.
#[test]
fn items_that_are_taken_back_are_in_front_in_their_order() {
    for claims in 0..3 {
        model(move || {
            let channel = Arc::new(Channel::new());
            let waiters = [(); 3].map(|()| Waiter::new());
            let gets = [(); 3].map(|()| Get::new(&channel));
            for (get, waiter) in gets.iter().zip(&waiters) {
                queue(get, waiter);
            }
            let putter = spawn(&channel, |channel| {
                (1..=4).for_each(|number| {
                    assert_eq!(channel.try_put(item(number)), Accepted::Done);
                });
            });
            assert_eq!(wait_queued(&waiters[claims], &gets[claims], Endless), Ok(Waited::Got));
            putter.join().unwrap();
            assert_eq!(channel.take_back(), 2);
            for number in (1..=4).filter(|&number| number != claims + 1) {
                assert_eq!(channel.try_get(), Taken::Item(item(number)));
            }
        });
    }
}

/// A process with an interpreter: threads have its lock while they put and claim and fork.
struct Process<T> {
    interpreter: Lock,
    shared: T,
}

impl<T> Process<T> {
    fn new(shared: T) -> Arc<Process<T>> {
        Arc::new(Process { interpreter: Lock::new(), shared })
    }

    fn attached<R>(&self, run: impl FnOnce(&T) -> R) -> R {
        assert!(acquire(&self.interpreter, Endless));
        let result = run(&self.shared);
        self.interpreter.release().unwrap();
        result
    }
}

/// The process forks before, between and after two puts, while one getter has left the queue and
/// another is in there, or has been given an item. No thread does anything after the fork.
#[test]
fn the_child_of_a_fork_has_what_was_put_and_not_got() {
    model(|| {
        let process = Process::new(Channel::new());
        let channel = &process.shared;
        let [leaves, stays] = [(); 2].map(|()| Waiter::new());
        let gets = [(); 2].map(|()| Get::new(channel));
        queue(&gets[0], &leaves);
        queue(&gets[1], &stays);
        let putter = spawn(&process, |process| {
            process.attached(|channel| channel.try_put(item(1)) == Accepted::Done)
                && process.attached(|channel| channel.try_put(item(2)) == Accepted::Done)
        });
        let got = process.attached(|_| {
            // SAFETY: it is in the queue or has been given an item.
            let claimed = unsafe { gets[0].claim(&leaves) };
            usize::from(claimed)
        });
        assert!(putter.join().unwrap());
        fork::after_fork_in_child();
        assert_eq!(channel.len(), 2 - got);
        for number in 1 + got..=2 {
            assert_eq!(channel.try_get(), Taken::Item(item(number)));
        }
        assert_eq!((channel.try_get(), channel.unfinished()), (Taken::Empty, 2));
    });
}

#[test]
fn the_child_of_a_fork_has_the_permits_that_were_not_taken() {
    model(|| {
        let process = Process::new(Semaphore::new(0));
        let semaphore = &process.shared;
        let [leaves, stays] = [(); 2].map(|()| Waiter::overdue());
        queue(semaphore, &leaves);
        queue(semaphore, &stays);
        let releaser = spawn(&process, |process| {
            process.attached(|semaphore| semaphore.release(1, 2).is_ok())
                && process.attached(|semaphore| semaphore.release(1, 2).is_ok())
        });
        // SAFETY: it is in the queue or has been granted a permit.
        let got = process.attached(|semaphore| u64::from(unsafe { semaphore.claim(&leaves) }));
        assert!(releaser.join().unwrap());
        fork::after_fork_in_child();
        assert_eq!(semaphore.value(), Some(2 - got));
        assert_eq!(semaphore.release(1, 2).is_ok(), got == 1);
        assert!(semaphore.try_acquire() && semaphore.try_acquire() && !semaphore.try_acquire());
    });
}

/// A thread that joins a queue is detached: it leaves everything where it is until it claims.
#[test]
fn a_thread_that_joins_a_queue_takes_nothing_and_puts_nothing() {
    model(|| {
        let shared = Arc::new((Channel::new(), Semaphore::new(1)));
        let (channel, semaphore) = &*shared;
        assert!(channel.set_limit(1));
        let [putter, acquirer] = [(); 2].map(|()| Waiter::new());
        let put = Put::new(channel, item(1));
        let looker = spawn(&shared, |(channel, semaphore)| (channel.len(), semaphore.value()));
        // SAFETY: both stay in place, and have left at the end.
        unsafe {
            assert!(put.enqueue(&putter, false) && semaphore.enqueue(&acquirer, false));
            assert_eq!(looker.join().unwrap(), (0, Some(1)));
            assert_eq!((channel.len(), channel.unfinished(), semaphore.value()), (0, 0, Some(1)));
            assert!(put.claim(&putter) && semaphore.claim(&acquirer));
        }
        assert_eq!((channel.len(), channel.unfinished(), semaphore.value()), (1, 1, Some(0)));
    });
}
