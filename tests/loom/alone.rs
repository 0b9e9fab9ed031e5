//! Channels and locks of threads that take turns, as with a GIL: used without guard and atomic steps.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};

use loom::sync::{Arc, Mutex, MutexGuard};
use rthread::sync::{
    Accepted, Awaitable, Caller, Channel, Deadline, Get, Lock, Owner, Put, Taken, Waited, Waiter,
    wait_with,
};

use crate::waits::{Endless, Interrupted, Limited, Patience, Raised, Raising, item};
use crate::{model, spawn};

/// A channel and a lock, and whose turn it is.
struct Shared {
    turn: Mutex<()>,
    channel: Channel,
    lock: Lock,
    /// Whether a thread has the lock. Not seen by the model checker: the turn is what orders this.
    is_held: AtomicBool,
}

fn shared() -> Shared {
    Shared {
        turn: Mutex::new(()),
        channel: Channel::new(),
        lock: Lock::new(),
        is_held: AtomicBool::new(false),
    }
}

fn limited(limit: isize) -> Arc<Shared> {
    let shared = shared();
    assert!(shared.channel.set_limit(limit));
    Arc::new(shared)
}

/// The thread that the model begins with, as the owner of a lock that it takes by `with`.
const OWN: Owner = Owner::numbered(1).by_with();
/// The thread that it starts.
const OTHER: Owner = Owner::numbered(2);

/// A thread that has its turn but in the waits.
struct InTurn<'a> {
    shared: &'a Shared,
    turn: RefCell<Option<MutexGuard<'a, ()>>>,
    me: Owner,
    how: Patience,
}

impl Caller for InTurn<'_> {
    type Raised = Raised;
    const SPINS: bool = false;

    unsafe fn detached<R>(&self, step: impl FnOnce() -> R) -> R {
        self.turn.take();
        let result = step();
        self.turn.replace(Some(self.shared.turn.lock().unwrap()));
        result
    }

    unsafe fn run_signal_handlers(&self) -> Result<(), Raised> {
        if self.how == Raising { Err(Raised) } else { Ok(()) }
    }
}

impl<'a> InTurn<'a> {
    fn new(shared: &'a Shared, how: Patience) -> InTurn<'a> {
        InTurn::of(OWN, shared, how)
    }

    fn of(me: Owner, shared: &'a Shared, how: Patience) -> InTurn<'a> {
        InTurn { shared, turn: RefCell::new(Some(shared.turn.lock().unwrap())), me, how }
    }

    fn wait<T: Awaitable>(&self, what: &T) -> bool {
        let (deadline, interruptible): (Deadline, bool) = self.how.limits();
        what.begin();
        // SAFETY: the waiter outlives the wait, and is in no queue.
        let waited =
            unsafe { wait_with(self, &Waiter::of(self.me), what, deadline, interruptible, false) };
        what.end();
        waited == Ok(Waited::Got)
    }

    fn get(&self) -> Option<usize> {
        // SAFETY: it is its turn, and all others do the same.
        match unsafe { self.shared.channel.try_get_alone() } {
            Taken::Item(item) => Some(item.addr().get()),
            _ => {
                let get = Get::new(&self.shared.channel);
                if self.wait(&get) { get.item().map(|item| item.addr().get()) } else { None }
            }
        }
    }

    /// Takes the lock, lets other threads have their turn, and releases it. False if it was not to
    /// be had.
    fn use_lock(&self) -> bool {
        let Shared { lock, is_held, .. } = self.shared;
        // SAFETY: it is its turn, and all others do the same.
        let got = unsafe { lock.try_acquire_alone(self.me) };
        if !got && !lock.try_acquire_as(self.me) && !self.wait(lock) {
            return false;
        }
        assert!(!is_held.swap(true, Ordering::Relaxed));
        assert_eq!(lock.owner(), self.me);
        // SAFETY: it is its turn before and after.
        unsafe { self.detached(|| ()) };
        assert!(is_held.swap(false, Ordering::Relaxed));
        assert_eq!(lock.owner(), self.me);
        // SAFETY: as above.
        assert!(unsafe { lock.release_alone() } || lock.release().is_ok());
        assert_eq!(lock.owner(), Owner::NONE);
        true
    }

    fn put(&self, number: usize) -> bool {
        // SAFETY: as above.
        match unsafe { self.shared.channel.try_put_alone(item(number)) } {
            Accepted::Done => true,
            _ => self.wait(&Put::new(&self.shared.channel, item(number))),
        }
    }
}

#[test]
fn an_item_reaches_a_waiter() {
    for how in [Endless, Interrupted] {
        model(move || {
            let shared = limited(0);
            let thread = spawn(&shared, move |shared| InTurn::new(shared, how).get());
            assert!(InTurn::new(&shared, Endless).put(7));
            assert_eq!(thread.join().unwrap(), Some(7));
        });
    }
}

#[test]
fn a_getter_that_gives_up_leaves_the_item() {
    for how in [Limited, Raising] {
        model(move || {
            let shared = limited(0);
            let thread = spawn(&shared, move |shared| InTurn::new(shared, how).get());
            assert!(InTurn::new(&shared, Endless).put(7));
            let got = thread.join().unwrap();
            let left = shared.channel.len();
            assert_eq!(left, usize::from(got.is_none()));
        });
    }
}

#[test]
fn one_place_is_used_by_all_in_turn() {
    model(|| {
        let shared = limited(1);
        let thread = spawn(&shared, |shared| {
            let putter = InTurn::new(shared, Endless);
            assert!(putter.put(1) && putter.put(2));
        });
        let getter = InTurn::new(&shared, Endless);
        assert_eq!((getter.get(), getter.get()), (Some(1), Some(2)));
        drop(getter);
        thread.join().unwrap();
    });
}

#[test]
fn a_lock_is_held_by_one_thread_at_a_time() {
    for how in [Endless, Interrupted] {
        model(move || {
            let shared = Arc::new(shared());
            let thread = spawn(&shared, move |shared| InTurn::of(OTHER, shared, how).use_lock());
            let again = InTurn::of(OWN, &shared, Endless);
            assert!(again.use_lock() && again.use_lock());
            drop(again);
            assert!(thread.join().unwrap());
        });
    }
}

#[test]
fn a_waiter_that_gives_up_leaves_the_lock_free() {
    for how in [Limited, Raising] {
        model(move || {
            let shared = Arc::new(shared());
            let thread = spawn(&shared, move |shared| InTurn::of(OTHER, shared, how).use_lock());
            assert!(InTurn::of(OWN, &shared, Endless).use_lock());
            let _had = thread.join().unwrap();
            assert!(InTurn::of(OWN, &shared, Endless).use_lock());
        });
    }
}
