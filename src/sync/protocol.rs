//! A whole wait: the steps of [`Awaitable`], and what a caller does between them.

use core::convert::Infallible;

use super::fork;
use super::parker::Parked;
use super::waiter::{Awaitable, Cancelled, Deadline, Waiter};

/// How a wait ended.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// With what was waited for.
    Got,
    /// The time was up.
    TimedOut,
    /// The thread was sent away; the object knows why, and has left a [`Waiter::ticket`] if it was
    /// retired.
    Dismissed,
}

/// Who waits, and what it does between the steps.
///
/// A wait keeps nothing on its stack that has a destructor: what is called here may end the thread
/// by unwinding it.
pub trait Caller {
    /// What a signal handler has raised.
    type Raised;

    /// Whether to look for a moment before going to sleep.
    const SPINS: bool;

    /// Takes a step for which the caller must not keep others from running.
    ///
    /// # Safety
    /// The caller of the wait has promised whatever this needs.
    unsafe fn detached<R>(&self, step: impl FnOnce() -> R) -> R {
        step()
    }

    /// Called detached, with the answer: waits until the caller can go on without
    /// sleeping for those that have answered, if that is likely to be soon.
    #[cfg(not(modelled))]
    fn await_turn(&self, place: super::spin::Place, answer: super::waiter::Answer) {
        let _ = (place, answer);
    }

    /// Lets the handlers of the signals run that have come. An error ends the wait.
    ///
    /// # Safety
    /// As [`Caller::detached`].
    unsafe fn run_signal_handlers(&self) -> Result<(), Self::Raised>;
}

/// A caller that has no interpreter, and does not look for signals.
struct Nobody;

impl Caller for Nobody {
    type Raised = Infallible;
    const SPINS: bool = false;

    unsafe fn run_signal_handlers(&self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// What happened while the thread was detached.
enum Rest {
    /// It may claim what it waits for.
    Ready,
    TimedOut,
    Interrupted,
}

/// Waits without an interpreter and without looking for signals. True if it got what it waited
/// for, false if the deadline passed or it was sent away.
pub fn wait<T: Awaitable + ?Sized>(what: &T, deadline: Deadline) -> bool {
    wait_as(&Waiter::new(), what, deadline)
}

/// [`wait`] with a waiter of the caller's making.
pub fn wait_as<T: Awaitable + ?Sized>(waiter: &Waiter, what: &T, deadline: Deadline) -> bool {
    // SAFETY: the waiter outlives this call, and is in no queue yet; there is nobody to detach.
    let Ok(waited) = unsafe { wait_with(&Nobody, waiter, what, deadline, false, false) };
    waited == Waited::Got
}

/// Waits for `what`, and calls signal handlers if the wait is `interruptible`. `Err` if one raised,
/// and then nothing was taken. The waiter is in no queue afterwards.
///
/// # Safety
/// The waiter stays in place until this returns, or for ever if it does not; `queued` says whether
/// it is in the queue already. And whatever the caller's own methods ask for.
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
        // SAFETY: as the caller promises; it is in the queue if it is `queued`.
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
                // SAFETY: it is in the queue still, or was settled.
                if unsafe { what.claim(waiter) } {
                    let dismissed = waiter.is_dismissed();
                    return Ok(if dismissed { Waited::Dismissed } else { Waited::Got });
                }
                queued = true;
            }
            Rest::Interrupted => {
                queued = T::STAYS_QUEUED_DURING_SIGNALS;
                resumed = true;
                // SAFETY: as the caller promises; in the queue if it stays in there.
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
/// The waiter is in the queue. It has left it when the time was up, or after an interruption unless
/// it stays.
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

/// Where a moment has no length, there is no looking.
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
            // Handed over at the last moment: then it is ours, whatever else happened.
            Cancelled::Settled => return Rest::Ready,
            Cancelled::Left if parked == Parked::TimedOut => return Rest::TimedOut,
            Cancelled::Left => return Rest::Interrupted,
            Cancelled::Stays => *deadline = None,
        }
    }
}
