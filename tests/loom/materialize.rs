//! What retiring is for: an event becomes an object that has a flag, a lock, and a lock for each
//! waiter, as Python's event has, while threads wait for it and set it.

use std::ptr::NonNull;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use rthread::sync::{Awaitable, Event, Lock, Retire, Ticket, Waited, Waiter};

use crate::waits::{Endless, Interrupted, acquire, wait_as, wait_queued};
use crate::{model_within, spawn};

/// The state of the object that the event becomes: the flag, and the waiters by their number.
#[derive(Default)]
struct Inside {
    flag: bool,
    waiters: Vec<usize>,
}

struct Object {
    event: Event,
    lock: Lock,
    inside: UnsafeCell<Inside>,
    /// What a waiter of each number waits for.
    locks: [Lock; 2],
}

// SAFETY: what is inside is reached under the lock; that is what the model checks.
unsafe impl Sync for Object {}
// SAFETY: as above.
unsafe impl Send for Object {}

impl Object {
    fn new() -> Arc<Object> {
        let locks = [Lock::new(), Lock::new()];
        assert!(locks.iter().all(Lock::try_acquire));
        let inside = UnsafeCell::new(Inside::default());
        Arc::new(Object { event: Event::new(), lock: Lock::new(), inside, locks })
    }

    fn with<T>(&self, run: impl FnOnce(&mut Inside) -> T) -> T {
        assert!(acquire(&self.lock, Endless));
        // SAFETY: under the lock.
        let result = self.inside.with_mut(|inside| run(unsafe { &mut *inside }));
        self.lock.release().unwrap();
        result
    }

    /// Becomes the object that can be looked into, if it is not yet.
    fn look(&self) {
        self.with(|inside| {
            let mut tickets = Vec::new();
            loop {
                match self.event.retire(&tickets) {
                    Retire::Done { state, used } => {
                        inside.flag = state;
                        inside.waiters = (0..used).collect();
                        return;
                    }
                    Retire::Already => return,
                    Retire::NeedTickets(count) => {
                        tickets = self.locks[..count].iter().map(ticket).collect();
                    }
                }
            }
        });
    }

    fn set(&self) {
        if !self.event.set() {
            self.with(|inside| {
                inside.flag = true;
                for number in inside.waiters.drain(..) {
                    self.locks[number].release().unwrap();
                }
            });
        }
    }

    fn clear(&self) {
        if !self.event.clear() {
            self.with(|inside| inside.flag = false);
        }
    }

    /// Goes on waiting after the event, if that is to be.
    fn go_on(&self, waiter: &Waiter, waited: Waited) {
        if waited == Waited::Got {
            return;
        }
        let own = match waiter.ticket() {
            Some(ticket) => self.locks.iter().position(|lock| self::ticket(lock) == ticket),
            None => self.with(|inside| {
                let number = inside.waiters.len();
                (!inside.flag).then(|| inside.waiters.push(number)).map(|()| number)
            }),
        };
        if let Some(number) = own {
            assert!(acquire(&self.locks[number], Endless));
        }
    }
}

/// A pointer to the lock of a waiter.
fn ticket(lock: &Lock) -> Ticket {
    NonNull::from(lock).cast()
}

/// A thread that waits when an event is looked into while it is set and cleared again.
#[test]
fn an_event_that_is_looked_into_loses_no_wake_up() {
    for how in [Endless, Interrupted] {
        model_within(2, move || {
            let object = Object::new();
            let waiter = Waiter::new();
            // SAFETY: it outlives the execution, and has left at its end.
            assert!(!unsafe { object.event.enqueue(&waiter, false) });
            let looker = spawn(&object, Object::look);
            let setter = spawn(&object, |object| {
                object.set();
                object.clear();
            });
            object.go_on(&waiter, wait_queued(&waiter, &object.event, how).unwrap());
            looker.join().unwrap();
            setter.join().unwrap();
            object.with(|inside| assert!(!inside.flag && inside.waiters.is_empty()));
        });
    }
}

#[test]
fn a_thread_that_comes_while_an_event_is_looked_into_waits_for_the_right_thing() {
    model_within(2, || {
        let object = Object::new();
        let comer = spawn(&object, |object| {
            let waiter = Waiter::new();
            object.go_on(&waiter, wait_as(&waiter, &object.event, Endless).unwrap());
        });
        let looker = spawn(&object, Object::look);
        object.set();
        comer.join().unwrap();
        looker.join().unwrap();
        object.with(|inside| assert!(inside.flag && inside.waiters.is_empty()));
    });
}
