//! Whole waits as `blocking` makes them, for the models of both checkers: with time-outs, and with
//! signals whose handlers return or raise.

use std::ptr;
use std::time::{Duration, Instant};

use rthread::sync::{
    Accepted, Arrival, Awaitable, Barrier, Caller, Channel, Condition, Deadline, Get, Item, Lock,
    Owner, Put, Ring, Semaphore, Taken, TurnEnd, Verdict, Waited, Waiter, wait_with,
};

/// What may happen to a thread while it waits, besides getting what it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Nothing.
    Endless,
    /// Its time is up.
    Limited,
    /// A signal handler runs.
    Interrupted,
    /// A signal handler runs, and the time is up.
    Hurried,
    /// A signal handler raises.
    Raising,
}
pub use Patience::{Endless, Hurried, Interrupted, Limited, Raising};

impl Patience {
    /// A model has no clock: that there is a deadline is all it needs to know.
    fn deadline(self) -> Deadline {
        matches!(self, Limited | Hurried).then(|| Instant::now() + Duration::from_secs(3600))
    }

    /// The deadline of the wait, and whether signals interrupt it.
    pub fn limits(self) -> (Deadline, bool) {
        (self.deadline(), self.is_interruptible())
    }

    fn is_interruptible(self) -> bool {
        matches!(self, Interrupted | Hurried | Raising)
    }

    /// Whether the wait may end without what it was for.
    pub fn ends(self) -> bool {
        matches!(self, Limited | Hurried | Raising)
    }
}

#[derive(Debug, PartialEq, Eq)]
pub struct Raised;

/// The main thread of an interpreter, whose handlers raise or do not.
impl Caller for Patience {
    type Raised = Raised;
    const SPINS: bool = false;

    unsafe fn run_signal_handlers(&self) -> Result<(), Raised> {
        if *self == Raising { Err(Raised) } else { Ok(()) }
    }
}

/// Waits with a waiter of the caller's making.
pub fn wait_as<T: Awaitable>(waiter: &Waiter, what: &T, how: Patience) -> Result<Waited, Raised> {
    // SAFETY: it is in no queue yet.
    unsafe { wait_whole(waiter, what, how, false) }
}

/// Waits with a waiter that is in the queue.
pub fn wait_queued<T: Awaitable>(
    waiter: &Waiter,
    what: &T,
    how: Patience,
) -> Result<Waited, Raised> {
    // SAFETY: as the caller says.
    unsafe { wait_whole(waiter, what, how, true) }
}

unsafe fn wait_whole<T: Awaitable>(
    waiter: &Waiter,
    what: &T,
    how: Patience,
    queued: bool,
) -> Result<Waited, Raised> {
    let (deadline, interruptible) = how.limits();
    // SAFETY: the waiter outlives this call, and is in the queue if it is `queued`.
    let waited = unsafe { wait_with(&how, waiter, what, deadline, interruptible, queued) };
    assert!(how.ends() || !matches!(waited, Ok(Waited::TimedOut) | Err(Raised)));
    waited
}

/// Waits. Whether it got what it waited for.
pub fn wait<T: Awaitable>(what: &T, how: Patience) -> bool {
    wait_as(&Waiter::new(), what, how) == Ok(Waited::Got)
}

pub fn acquire(lock: &Lock, how: Patience) -> bool {
    lock.try_acquire() || wait(lock, how)
}

/// [`acquire`] as the thread with this number.
pub fn acquire_as(lock: &Lock, me: Owner, how: Patience) -> bool {
    lock.try_acquire_as(me) || wait_as(&Waiter::of(me), lock, how) == Ok(Waited::Got)
}

pub fn take(semaphore: &Semaphore, how: Patience) -> bool {
    semaphore.try_acquire() || wait(semaphore, how)
}

/// Waits to be notified, as `Condition.wait` does: the lock is held before and after.
pub fn wait_for(condition: &Condition, lock: &Lock, how: Patience) -> Result<Waited, Raised> {
    let waiter = Waiter::new();
    // SAFETY: the waiter outlives the wait, and has left the queue at its end.
    assert!(!unsafe { condition.enqueue(&waiter, false) });
    lock.release().unwrap();
    let waited = wait_queued(&waiter, condition, how);
    assert!(acquire(lock, Endless));
    waited
}

/// Comes to a barrier whose last one has `action` to do in its turn, which may fail: the number,
/// or how it ended.
pub fn meet(barrier: &Barrier, how: Patience, action: impl Fn() -> bool) -> Result<u32, Verdict> {
    let waiter = Waiter::new();
    loop {
        // SAFETY: the waiter outlives this call, and is in the queue when the wait begins.
        return match unsafe { barrier.arrive(&waiter) } {
            Arrival::Last(turn) => {
                let works = action();
                match if works { barrier.open(turn) } else { barrier.spoil(turn) } {
                    TurnEnd::InTime if works => Ok(turn.number),
                    TurnEnd::InTime | TurnEnd::Over => Err(Verdict::Broken),
                    TurnEnd::Retired => Err(Verdict::Retired),
                }
            }
            Arrival::Wait(number) => {
                match (wait_queued(&waiter, barrier, how), Barrier::verdict(&waiter)) {
                    (Ok(Waited::Got), Verdict::Passed) => Ok(number),
                    (_, verdict) => Err(verdict),
                }
            }
            Arrival::Later => {
                wait(barrier.entrance(), Endless);
                continue;
            }
            Arrival::Broken => Err(Verdict::Broken),
            Arrival::Retired => Err(Verdict::Retired),
        };
    }
}

pub fn item(number: usize) -> Item {
    Item::new(ptr::without_provenance_mut(number)).unwrap()
}

pub fn put(channel: &Channel, number: usize, how: Patience) -> bool {
    let done = match channel.try_put(item(number)) {
        Accepted::Full => wait(&Put::new(channel, item(number)), how),
        accepted => accepted == Accepted::Done,
    };
    let limit = channel.limit();
    assert!(limit == 0 || channel.edit(Ring::len) <= limit.unsigned_abs());
    done
}

pub fn get(channel: &Channel, how: Patience) -> Option<usize> {
    match channel.try_get() {
        Taken::Item(item) => Some(item.addr().get()),
        Taken::Empty => {
            let get = Get::new(channel);
            wait(&get, how).then(|| get.item().unwrap().addr().get())
        }
        Taken::ShutDown | Taken::Retired => None,
    }
}
