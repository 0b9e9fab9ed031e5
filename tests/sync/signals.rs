//! Signals that come while a thread waits.

use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rthread::sync::{
    Arrival, Awaitable, Barrier, Caller, Channel, Condition, Event, Join, TurnEnd, Verdict, Waited,
    Waiter, fork, wait_with,
};

use crate::barrier::arrive;
use crate::channel::put;
use crate::{deadline, until};

/// What a handler has raised.
#[derive(Debug, PartialEq, Eq)]
struct Raised;

/// A main thread. Its handler does this when there is something to do, and may raise.
struct Main<F>(F);

impl<F: Fn() -> Result<(), Raised>> Caller for Main<F> {
    type Raised = Raised;
    const SPINS: bool = false;

    unsafe fn run_signal_handlers(&self) -> Result<(), Raised> {
        (self.0)()
    }
}

extern "C" fn ignore(_: libc::c_int) {}

/// A thread that can be interrupted.
#[derive(Default)]
struct Target(AtomicU64);

impl Target {
    /// This thread is it.
    fn begin(&self) {
        // SAFETY: a handler that does nothing; without SA_RESTART it ends a system call.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = ignore as extern "C" fn(libc::c_int) as usize;
            assert_eq!(libc::sigaction(libc::SIGUSR1, &action, ptr::null_mut()), 0);
            self.0.store(libc::pthread_self() as u64, Ordering::Release);
        }
    }

    /// Sends signals until that is enough: one that comes between two looks is missed.
    fn interrupt_until(&self, enough: impl Fn() -> bool) {
        until(|| self.0.load(Ordering::Acquire) != 0);
        while !enough() {
            // SAFETY: the thread has not been joined.
            unsafe {
                libc::pthread_kill(self.0.load(Ordering::Acquire) as libc::pthread_t, libc::SIGUSR1)
            };
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Its time is up during the turn of the last one, so that it cannot break the barrier any more. It
/// waits for the end of the turn, and hears signals.
#[test]
fn a_thread_that_times_out_in_a_turn_is_interrupted() {
    for raises in [true, false] {
        let barrier = Barrier::new(2);
        let (target, runs, handled) =
            (Target::default(), AtomicBool::new(false), AtomicBool::new(false));
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let waiter = Waiter::new();
                assert_eq!(arrive(&barrier, &waiter), Arrival::Wait(0));
                target.begin();
                let main = Main(|| {
                    if !runs.load(Ordering::Acquire) {
                        return Ok(());
                    }
                    handled.store(true, Ordering::Release);
                    if raises { Err(Raised) } else { Ok(()) }
                });
                // SAFETY: the waiter is in the queue, and outlives the wait.
                let waited =
                    unsafe { wait_with(&main, &waiter, &barrier, deadline(10), true, true) };
                (waited, Barrier::verdict(&waiter))
            });
            until(|| barrier.count() == 1);
            let last = Waiter::new();
            let Arrival::Last(turn) = arrive(&barrier, &last) else { panic!("not the last") };
            thread::sleep(Duration::from_millis(30));
            assert!(!thread.is_finished());
            runs.store(true, Ordering::Release);
            target.interrupt_until(|| handled.load(Ordering::Acquire));
            if raises {
                assert_eq!(thread.join().unwrap(), (Err(Raised), Verdict::None));
                assert_eq!(barrier.count(), 1);
                assert_eq!(barrier.open(turn), TurnEnd::InTime);
            } else {
                assert!(!thread.is_finished());
                assert_eq!(barrier.open(turn), TurnEnd::InTime);
                assert_eq!(thread.join().unwrap(), (Ok(Waited::Got), Verdict::Passed));
            }
        });
    }
}

/// The handler of a thread that waits forks. In the child it does what the wait is for, and the
/// thread, which is the same one, goes on there.
fn forks_in_handler<T: Awaitable + Sync>(
    what: &T,
    waiter: &Waiter,
    queued: bool,
    end: impl Fn(&T) -> bool + Sync,
) {
    let (target, child) = (Target::default(), AtomicI32::new(-1));
    let main = Main(|| {
        if child.load(Ordering::Acquire) == -1 {
            // SAFETY: the child calls nothing but `sync` and `_exit`.
            let forked = unsafe { libc::fork() };
            child.store(forked, Ordering::Release);
            if forked == 0 {
                fork::after_fork_in_child();
                return if end(what) { Ok(()) } else { Err(Raised) };
            }
        }
        Ok(())
    });
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            target.begin();
            // SAFETY: the waiter is in the queue if it is `queued`, and outlives the wait.
            let waited = unsafe { wait_with(&main, waiter, what, deadline(60_000), true, queued) };
            if child.load(Ordering::Acquire) == 0 {
                // SAFETY: ends the child without running what belongs to the parent.
                unsafe { libc::_exit(i32::from(waited != Ok(Waited::Got))) };
            }
            waited
        });
        target.interrupt_until(|| child.load(Ordering::Acquire) != -1);
        let mut status = -1;
        let child = child.load(Ordering::Acquire);
        // SAFETY: our child, and a place for its status.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        assert_eq!(status, 0);
        assert!(end(what));
        assert_eq!(thread.join().unwrap(), Ok(Waited::Got));
    });
}

#[test]
fn a_wait_goes_on_in_the_child_that_its_handler_has_forked() {
    let waiters = [(); 4].map(|()| Waiter::new());
    forks_in_handler(&Event::new(), &waiters[0], false, |event| event.set() && event.clear());
    forks_in_handler(&Condition::new(), &waiters[1], false, |condition| {
        condition.waiters() == 1 && condition.notify(1) && condition.waiters() == 0
    });
    let barrier = Barrier::new(2);
    assert_eq!(arrive(&barrier, &waiters[2]), Arrival::Wait(0));
    forks_in_handler(&barrier, &waiters[2], true, |barrier| barrier.pass() == Some(1));
    let channel = Channel::new();
    assert!(put(&channel, 1, None));
    let join = Join::new(&channel);
    forks_in_handler(&join, &waiters[3], false, |_| channel.task_done().is_ok());
}
