//! Channels of threads that take turns, as with a GIL: used without their guard.

use std::cell::RefCell;

use loom::sync::{Arc, Mutex, MutexGuard};
use rthread::sync::{
    Accepted, Awaitable, Caller, Channel, Deadline, Get, Put, Taken, Waited, Waiter, wait_with,
};

use crate::waits::{Endless, Interrupted, Limited, Patience, Raised, Raising, item};
use crate::{model, spawn};

/// A channel, and whose turn it is.
struct Shared {
    turn: Mutex<()>,
    channel: Channel,
}

fn limited(limit: isize) -> Arc<Shared> {
    let shared = Shared { turn: Mutex::new(()), channel: Channel::new() };
    assert!(shared.channel.set_limit(limit));
    Arc::new(shared)
}

/// A thread that has its turn but in the waits.
struct InTurn<'a> {
    shared: &'a Shared,
    turn: RefCell<Option<MutexGuard<'a, ()>>>,
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
        InTurn { shared, turn: RefCell::new(Some(shared.turn.lock().unwrap())), how }
    }

    fn wait<T: Awaitable>(&self, what: &T) -> bool {
        let (deadline, interruptible): (Deadline, bool) = self.how.limits();
        what.begin();
        // SAFETY: the waiter outlives the wait, and is in no queue.
        let waited =
            unsafe { wait_with(self, &Waiter::new(), what, deadline, interruptible, false) };
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

    fn put(&self, number: usize) -> bool {
        // SAFETY: as above.
        match unsafe { self.shared.channel.try_put_alone(item(number)) } {
            Accepted::Done => true,
            _ => self.wait(&Put::new(&self.shared.channel, item(number))),
        }
    }
}

#[test]
fn an_item_reaches_one_who_waits() {
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
fn one_who_gives_up_leaves_the_item() {
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
