//! What was granted to threads that never come for it: in the child of a fork, and where an
//! interpreter lets no thread attach any more.

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rthread::sync::{
    Accepted, Arrival, Awaitable, Barrier, Caller, Channel, Get, Lock, Put, Retire, Semaphore,
    TIME_TO_BE_FAIR, Taken, Turn, TurnEnd, Waited, Waiter, fork, wait, wait_with,
};

use crate::channel::{get, item, numbers};
use crate::{THREADS, acquire, deadline, until};

/// Runs `check` in a child process, which calls nothing but `sync`. Whether it was content, and did
/// not panic.
pub fn in_child(check: impl FnOnce() -> bool) -> bool {
    // SAFETY: the child needs no other thread, and ends without running what belongs to the parent.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            fork::after_fork_in_child();
            let content = catch_unwind(AssertUnwindSafe(check)).unwrap_or(false);
            libc::_exit(i32::from(!content));
        }
        let mut status = -1;
        assert_eq!(libc::waitpid(child, &mut status, 0), child);
        status == 0
    }
}

/// Two getters that have been given an item each and not claimed it, and two items in the buffer;
/// what `then` finds, and then they claim.
fn with_two_given(channel: &Channel, then: impl FnOnce()) {
    let [first, second, third] = [(); 3].map(|()| Waiter::new());
    let gets = [(); 3].map(|()| Get::new(channel));
    // SAFETY: the waiters stay where they are, and leave.
    unsafe {
        for (get, waiter) in gets.iter().zip([&first, &second, &third]) {
            assert!(!get.enqueue(waiter, false));
        }
        for number in 1..=5 {
            assert_eq!(channel.try_put(item(number)), Accepted::Done);
        }
        // One of those in the middle has come for its own.
        assert!(gets[1].claim(&second));
        then();
        assert!(gets[0].claim(&first) && gets[2].claim(&third));
    }
    assert_eq!(gets.map(|get| get.item()), [1, 2, 3].map(|number| Some(item(number))));
    assert_eq!(numbers(channel.take_all()), [4, 5]);
}

#[test]
fn a_child_finds_items_that_were_on_their_way_in_order() {
    let channel = Channel::new();
    with_two_given(&channel, || {
        assert!(in_child(|| channel.len() == 4 && numbers(channel.take_all()) == [1, 3, 4, 5]));
        assert!(in_child(|| {
            channel.try_put(item(6)) == Accepted::Done
                && numbers(channel.take_all()) == [1, 3, 4, 5, 6]
                && channel.unfinished() == 6
        }));
        assert!(in_child(|| get(&channel, deadline(60_000)) == Some(1)));
        assert!(in_child(|| !channel.is_empty()));
        assert_eq!(channel.len(), 2);
    });
}

#[test]
fn a_child_gets_the_last_item_first_if_that_is_the_order() {
    let channel = Channel::new();
    channel.reverse();
    with_two_given(&channel, || {
        assert!(in_child(|| {
            [5, 4, 3, 1].map(|number| Taken::Item(item(number)))
                == [(); 4].map(|()| channel.try_get())
        }));
    });
}

#[test]
fn a_grandchild_finds_what_the_child_did_not_touch() {
    let channel = Channel::new();
    with_two_given(&channel, || {
        assert!(in_child(|| in_child(|| channel.try_get() == Taken::Item(item(1)))));
        assert!(in_child(|| {
            channel.try_get() == Taken::Item(item(1))
                && in_child(|| channel.try_get() == Taken::Item(item(3)))
        }));
    });
}

/// A semaphore with a waiter that has been granted one of two permits, and not claimed it.
fn with_one_granted(then: impl FnOnce(&Semaphore)) {
    let semaphore = Semaphore::new(0);
    let waiter = Waiter::new();
    thread::sleep(TIME_TO_BE_FAIR);
    // SAFETY: the waiter stays where it is, and leaves.
    unsafe {
        assert!(!semaphore.enqueue(&waiter, false));
        semaphore.release(2, 2).unwrap();
        assert_eq!(semaphore.value(), Some(1));
        then(&semaphore);
        assert!(semaphore.claim(&waiter));
    }
}

#[test]
fn a_child_finds_permits_that_were_on_their_way() {
    with_one_granted(|semaphore| {
        assert!(in_child(|| semaphore.value() == Some(2)));
        assert!(in_child(|| semaphore.try_acquire() && semaphore.try_acquire()));
        assert!(in_child(|| semaphore.release(1, 2).is_err() && semaphore.release(1, 3).is_ok()));
        assert!(in_child(|| semaphore.retire(&[]) == Retire::Done { state: 2, used: 0 }));
        assert!(semaphore.try_acquire());
        assert!(in_child(|| wait(semaphore, deadline(60_000)) && !semaphore.try_acquire()));
    });
}

#[test]
fn what_is_taken_back_is_not_claimed_any_more() {
    let channel = Channel::new();
    let semaphore = Semaphore::new(0);
    let [getter, waiter] = [(); 2].map(|()| Waiter::new());
    let get = Get::new(&channel);
    thread::sleep(TIME_TO_BE_FAIR);
    // SAFETY: the waiters stay where they are, and leave.
    unsafe {
        assert!(!get.enqueue(&getter, false) && !semaphore.enqueue(&waiter, false));
        assert_eq!((channel.take_back(), semaphore.take_back()), (0, 0));
        assert_eq!(channel.try_put(item(1)), Accepted::Done);
        semaphore.release(1, 1).unwrap();
        assert_eq!((channel.take_back(), semaphore.take_back()), (1, 1));
        assert_eq!((channel.take_back(), semaphore.take_back()), (0, 0));
        assert_eq!((channel.len(), semaphore.value()), (1, Some(1)));
        assert!(get.claim(&getter) && semaphore.claim(&waiter));
    }
    assert!(getter.is_dismissed() && waiter.is_dismissed() && get.item().is_none());
    assert_eq!((channel.len(), semaphore.value()), (1, Some(1)));
}

#[test]
fn items_are_taken_back_from_a_retired_channel_too() {
    let channel = Channel::new();
    let getter = Waiter::new();
    let get = Get::new(&channel);
    // SAFETY: the waiter stays where it is, and leaves.
    unsafe {
        assert!(!get.enqueue(&getter, false));
        assert_eq!(channel.try_put(item(1)), Accepted::Done);
        assert!(matches!(channel.retire(&[], &[], &[]), Retire::Done { .. }));
        assert!(in_child(|| numbers(channel.take_all()) == [1]));
        assert_eq!(channel.take_back(), 1);
        assert_eq!(numbers(channel.take_all()), [1]);
        assert!(get.claim(&getter));
    }
}

/// A thread of an interpreter: attached while it has the lock.
struct Attached<'a>(&'a Lock);

impl Caller for Attached<'_> {
    type Raised = Infallible;
    const SPINS: bool = false;

    unsafe fn detached<R>(&self, step: impl FnOnce() -> R) -> R {
        self.0.release().unwrap();
        let result = step();
        acquire(self.0);
        result
    }

    unsafe fn run_signal_handlers(&self) -> Result<(), Infallible> {
        Ok(())
    }
}

impl Attached<'_> {
    fn wait(&self, what: &impl Awaitable, until: Option<Instant>) -> bool {
        // SAFETY: the waiter outlives this call, and is in no queue yet; attached.
        let waited = unsafe { wait_with(self, &Waiter::new(), what, until, false, false) };
        waited == Ok(Waited::Got)
    }
}

/// A time that is over soon: sometimes at once, sometimes after something has come.
fn soon(round: usize) -> Option<Instant> {
    Some(Instant::now() + Duration::from_micros(round as u64 * 7 % 60))
}

/// Threads put and get at any moment while the process forks. As with an interpreter, no thread is
/// attached then but the one that forks; the others join and leave the queues. In the child, what
/// was put and not got is there in the order in which it was put, and counted.
#[test]
fn a_fork_at_any_moment_loses_no_item() {
    let (channel, interpreter) = (Channel::new(), Lock::new());
    let (stop, puts, gets) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let lost = AtomicUsize::new(0);
    assert!(channel.set_limit(2));
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (channel, interpreter, stop) = (&channel, &interpreter, &stop);
            let (puts, gets) = (&puts, &gets);
            scope.spawn(move || {
                let thread_state = Attached(interpreter);
                acquire(interpreter);
                for round in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let get = Get::new(channel);
                    let number = round * THREADS + thread + 1;
                    if thread % 2 == 0 {
                        let put = Put::new(channel, item(number));
                        if thread_state.wait(&put, soon(round)) {
                            puts.fetch_add(1, Ordering::Relaxed);
                        }
                    } else if thread_state.wait(&get, soon(round)) {
                        assert!(get.item().is_some());
                        gets.fetch_add(1, Ordering::Relaxed);
                    }
                }
                interpreter.release().unwrap();
            });
        }
        for round in 0..300 {
            until(|| puts.load(Ordering::Relaxed) > round);
            acquire(&interpreter);
            // Putters that were let in, and have not attached since.
            let (put, got) = (puts.load(Ordering::Relaxed), gets.load(Ordering::Relaxed));
            let fine = in_child(|| {
                let counted = channel.unfinished() as usize;
                let left = numbers(channel.take_all());
                let in_order = |thread: usize| {
                    let own = left.iter().filter(|&number| (number - 1) % THREADS == thread);
                    own.is_sorted()
                };
                counted >= put && left.len() == counted - got && in_order(0) && in_order(2)
            });
            interpreter.release().unwrap();
            if !fine {
                lost.fetch_add(1, Ordering::Relaxed);
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(lost.into_inner(), 0);
}

#[test]
fn a_fork_at_any_moment_loses_no_permit() {
    let (semaphore, interpreter) = (Semaphore::new(2), Lock::new());
    let (stop, holders, turns) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let lost = AtomicUsize::new(0);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (semaphore, interpreter) = (&semaphore, &interpreter);
            let (stop, holders, turns) = (&stop, &holders, &turns);
            scope.spawn(move || {
                let thread_state = Attached(interpreter);
                acquire(interpreter);
                for round in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    if thread_state.wait(semaphore, soon(round * THREADS + thread)) {
                        holders.fetch_add(1, Ordering::Relaxed);
                        turns.fetch_add(1, Ordering::Relaxed);
                        // Some hold it for as long as makes the others due.
                        let span = if round % 16 == 0 { TIME_TO_BE_FAIR } else { Duration::ZERO };
                        // SAFETY: attached.
                        unsafe { thread_state.detached(|| thread::sleep(span)) };
                        holders.fetch_sub(1, Ordering::Relaxed);
                        semaphore.release(1, 2).unwrap();
                    }
                }
                interpreter.release().unwrap();
            });
        }
        for round in 0..300 {
            until(|| turns.load(Ordering::Relaxed) > round);
            acquire(&interpreter);
            let held = holders.load(Ordering::Relaxed) as u64;
            let fine = in_child(|| semaphore.value() == Some(2 - held));
            interpreter.release().unwrap();
            if !fine {
                lost.fetch_add(1, Ordering::Relaxed);
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!((lost.into_inner(), semaphore.value()), (0, Some(2)));
}

/// Begins the turn of the last thread of a round.
fn begin_turn(barrier: &Barrier) -> Turn {
    // SAFETY: a barrier of one thread does not queue it.
    match unsafe { barrier.arrive(&Waiter::new()) } {
        Arrival::Last(turn) => turn,
        arrival => panic!("{arrival:?}"),
    }
}

#[test]
fn a_turn_is_over_in_a_child_of_another_thread_only() {
    let (own, others) = (Barrier::new(1), Barrier::new(1));
    let turn = begin_turn(&own);
    let other = thread::scope(|scope| scope.spawn(|| begin_turn(&others)).join().unwrap());
    let forked = || {
        own.is_in_turn()
            && !others.is_in_turn()
            && others.reset()
            && own.open(turn) == TurnEnd::InTime
            && begin_turn(&others) != turn
            && others.is_in_turn()
    };
    assert!(in_child(forked));
    // The child of a child, by the same thread and by another one.
    assert!(in_child(|| in_child(forked)));
    assert!(in_child(|| {
        thread::scope(|scope| scope.spawn(|| in_child(|| !own.is_in_turn())).join().unwrap())
    }));
    assert!(own.is_in_turn() && others.is_in_turn());
    assert_eq!([own.open(turn), others.open(other)], [TurnEnd::InTime; 2]);
}
