//! A whole wait: the steps of [`Awaitable`], and the actions of a caller between them.

use core::convert::Infallible;

use super::fork;
use super::parker::Parked;
use super::waiter::{Awaitable, Cancelled, Deadline, Waiter};

/// How a wait ended.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// The thread has got the resource.
    Got,
    /// The deadline has passed.
    TimedOut,
    /// The waiter was dismissed. The object knows the reason. If the object was retired, the waiter
    /// has a [`Waiter::ticket`].
    Dismissed,
}

/// The caller of a wait, and its actions between the steps.
///
/// A wait keeps nothing on its stack that has a destructor: the methods called here may end the
/// thread and unwind its stack.
pub trait Caller {
    /// The error of a signal handler that has raised.
    type Raised;

    /// Whether to spin for a moment before the thread parks.
    const SPINS: bool;

    /// Runs `step`, which may block. A Python caller detaches for it, so that other threads can
    /// run.
    ///
    /// # Safety
    /// The caller of the wait has promised the conditions of this method.
    unsafe fn detached<R>(&self, step: impl FnOnce() -> R) -> R {
        step()
    }

    /// Called detached, when the waiter has been answered. If the threads that have answered will
    /// probably let the caller go on soon, waits for that moment without sleeping.
    #[cfg(not(modelled))]
    fn await_turn(&self, place: super::spin::Place, answer: super::waiter::Answer) {
        let _ = (place, answer);
    }

    /// Runs the signal handlers that are due. An error ends the wait.
    ///
    /// # Safety
    /// As [`Caller::detached`].
    unsafe fn run_signal_handlers(&self) -> Result<(), Self::Raised>;
}

/// A caller that has no interpreter and runs no signal handlers.
struct NoInterpreter;

impl Caller for NoInterpreter {
    type Raised = Infallible;
    const SPINS: bool = false;

    unsafe fn run_signal_handlers(&self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// The result of the part of a wait in which the thread is detached.
enum Rest {
    /// The waiter may claim.
    Ready,
    TimedOut,
    Interrupted,
}

/// Waits without an interpreter and without signal handlers. True if the thread got the resource,
/// false if the deadline passed or the waiter was dismissed.
#[must_use]
pub fn wait<T: Awaitable + ?Sized>(what: &T, deadline: Deadline) -> bool {
    wait_as(&Waiter::new(), what, deadline)
}

/// [`wait`] with a waiter that the caller has made.
#[must_use]
pub fn wait_as<T: Awaitable + ?Sized>(waiter: &Waiter, what: &T, deadline: Deadline) -> bool {
    // SAFETY: the waiter outlives this call and is in no queue yet. This caller has nothing to
    // detach.
    let Ok(waited) = unsafe { wait_with(&NoInterpreter, waiter, what, deadline, false, false) };
    waited == Waited::Got
}

/// Waits for `what`, and runs signal handlers if the wait is `interruptible`. `Err` if a handler
/// raised, and then nothing was taken. The waiter is in no queue afterwards.
///
/// # Safety
/// The waiter stays in place until this returns, or for ever if this does not return. `queued` says
/// whether the waiter is in the queue already. The conditions of the caller's own methods hold.
#[inline]
pub unsafe fn wait_with<C: Caller, T: Awaitable + ?Sized>(
    caller: &C,
    waiter: &Waiter,
    what: &T,
    mut deadline: Deadline,
    interruptible: bool,
    mut queued: bool,
) -> Result<Waited, C::Raised> {
    let mut resumed = false;
    loop {
        // SAFETY: as the caller promises. The waiter is in the queue if it is `queued`.
        let rest = unsafe {
            caller.detached(|| {
                if !queued && what.enqueue(waiter, resumed) {
                    Rest::Ready
                } else {
                    sleep(caller, waiter, what, &mut deadline, interruptible)
                }
            })
        };
        match rest {
            Rest::TimedOut => return Ok(Waited::TimedOut),
            Rest::Ready => {
                // SAFETY: the waiter is still in the queue, or was settled.
                if unsafe { what.claim(waiter) } {
                    let dismissed = waiter.is_dismissed();
                    return Ok(if dismissed { Waited::Dismissed } else { Waited::Got });
                }
                queued = true;
            }
            Rest::Interrupted => {
                queued = T::STAYS_QUEUED_DURING_SIGNALS;
                resumed = true;
                // SAFETY: as the caller promises. The waiter is in the queue if it stays there for
                // signals.
                unsafe {
                    let run = || caller.run_signal_handlers();
                    let requeue = || what.requeue(waiter);
                    let ran = if queued { fork::run_while_queued(&requeue, run) } else { run() };
                    if let Err(raised) = ran {
                        if queued {
                            what.abandon(waiter);
                        }
                        return Err(raised);
                    }
                }
            }
        }
    }
}

/// # Safety
/// The waiter is in the queue. It has left the queue if the deadline passed. After an interruption
/// it has left, unless it stays in the queue for signals.
#[inline]
unsafe fn sleep<C: Caller, T: Awaitable + ?Sized>(
    caller: &C,
    waiter: &Waiter,
    what: &T,
    deadline: &mut Deadline,
    interruptible: bool,
) -> Rest {
    let rest = if look(caller, waiter, what) {
        Rest::Ready
    } else {
        // SAFETY: as the caller promises.
        unsafe { park(waiter, what, deadline, interruptible) }
    };
    if let Rest::Ready = rest {
        await_turn(caller, waiter, what);
    }
    rest
}

#[cfg(not(modelled))]
fn look<C: Caller, T: Awaitable + ?Sized>(_: &C, waiter: &Waiter, what: &T) -> bool {
    C::SPINS && waiter.spin(what)
}

#[cfg(not(modelled))]
fn await_turn<C: Caller, T: Awaitable + ?Sized>(caller: &C, waiter: &Waiter, what: &T) {
    caller.await_turn(what.place(), waiter.answer());
}

/// In a model a moment has no length, so there is no spinning.
#[cfg(modelled)]
fn look<C: Caller, T: Awaitable + ?Sized>(_: &C, _: &Waiter, _: &T) -> bool {
    false
}

#[cfg(modelled)]
fn await_turn<C: Caller, T: Awaitable + ?Sized>(_: &C, _: &Waiter, _: &T) {}

/// # Safety
/// As `sleep`.
#[inline]
unsafe fn park<T: Awaitable + ?Sized>(
    waiter: &Waiter,
    what: &T,
    deadline: &mut Deadline,
    interruptible: bool,
) -> Rest {
    loop {
        let parked = waiter.park(*deadline, interruptible);
        match parked {
            Parked::Unparked => return Rest::Ready,
            Parked::Interrupted if T::STAYS_QUEUED_DURING_SIGNALS => return Rest::Interrupted,
            Parked::TimedOut | Parked::Interrupted => {}
        }
        // SAFETY: as the caller promises.
        match unsafe { what.cancel(waiter) } {
            // The waiter was granted the resource at the last moment. It claims, although the
            // deadline has passed or a signal has come.
            Cancelled::Settled => return Rest::Ready,
            Cancelled::Left if parked == Parked::TimedOut => return Rest::TimedOut,
            Cancelled::Left => return Rest::Interrupted,
            Cancelled::Stays => *deadline = None,
        }
    }
}
