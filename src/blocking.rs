//! The only place that detaches, waits, attaches and runs signal handlers.
//!
//! The order of a wait, and why:
//!
//! 1. The caller tries once while attached. Most of the time that is all.
//! 2. Detach, queue, sleep. Whoever sleeps while attached stops everybody else.
//! 3. Attach again and only *then* take what was waited for. With a GIL the order matters: a thread
//!    that took the lock first would sit on it while it waits for the GIL, and the thread that has
//!    the GIL would run into the lock, detach, and so on at every turn.
//! 4. After a signal: leave the queue, attach, run the handlers (one of them may use the very
//!    object), and go back to the front of the queue with what is left of the time.
//!
//! No value with a destructor lives in these frames: up to 3.13 attaching may end the thread by
//! unwinding its stack. The waiter is on the heap for the same reason: should the thread end while
//! it waits to attach, the queue keeps pointing at memory that is leaked and not reused.

use core::ptr::NonNull;
use core::time::Duration;
use std::alloc::{Layout, alloc, dealloc};
use std::time::Instant;

use pyo3_ffi as ffi;

use crate::compat::{self, PyEval_RestoreThread, PyEval_SaveThread, Raised};
use crate::object::raise;
use crate::sync::{Awaitable, Deadline, Parked, Waiter};

/// How long a caller is ready to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timeout {
    /// Not at all.
    Zero,
    /// For at most this long.
    For(Duration),
    /// Until it has what it waits for.
    Never,
}

/// Whether signal handlers run during a wait of the main thread.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Signals {
    /// Yes; one that raises ends the wait.
    Handle,
    /// No: they run when the wait is over (gh-118433).
    Defer,
}

/// What happened while the thread was detached.
enum Rest {
    /// It may claim what it waits for.
    Ready,
    TimedOut,
    Interrupted,
}

/// Waits for `what`, which the caller has just failed to get. False if the time was up; `Err` if a
/// signal handler raised, and then nothing was taken.
///
/// # Safety
/// Attached; the caller holds a reference to the object that `what` is part of.
#[cold]
#[inline(never)]
pub unsafe fn wait<T: Awaitable>(
    what: &T,
    timeout: Timeout,
    signals: Signals,
) -> Result<bool, Raised> {
    if timeout != Timeout::Zero
        && let Some(exception) = compat::acquire_refused_at_shutdown()
    {
        // SAFETY: attached.
        unsafe { raise(exception, c"cannot acquire lock at interpreter finalization") };
        return Err(Raised);
    }
    let deadline = match timeout {
        Timeout::Zero => return Ok(false),
        // A moment beyond what the clock can say never comes.
        Timeout::For(span) => Instant::now().checked_add(span),
        Timeout::Never => None,
    };
    let Some(waiter) = allocate_waiter() else {
        // SAFETY: attached.
        unsafe { ffi::PyErr_NoMemory() };
        return Err(Raised);
    };
    // SAFETY: the waiter is valid until it is freed below, when it has left the queue.
    let outcome = unsafe { wait_as(waiter.as_ref(), what, deadline, signals) };
    // SAFETY: made by `allocate_waiter`, and out of every queue.
    unsafe { free_waiter(waiter) };
    outcome
}

/// # Safety
/// As [`wait`]; the waiter stays in place until this returns, or for ever if it does not.
unsafe fn wait_as<T: Awaitable>(
    waiter: &Waiter,
    what: &T,
    deadline: Deadline,
    signals: Signals,
) -> Result<bool, Raised> {
    // Other threads have no signal to look for, so nothing need wake them.
    let interruptible = signals == Signals::Handle && compat::is_main_thread();
    let mut queued = false;
    let mut resumed = false;
    loop {
        // SAFETY: attached, and attached again with the same state. In between no Python object
        // is touched but `what`, which the caller keeps alive.
        let rest = unsafe {
            let state = PyEval_SaveThread();
            let rest = rest(waiter, what, deadline, interruptible, queued, resumed);
            PyEval_RestoreThread(state);
            rest
        };
        match rest {
            Rest::TimedOut => return Ok(false),
            Rest::Ready => {
                // SAFETY: it is in the queue still, or was granted what it waits for.
                if unsafe { what.claim(waiter) } {
                    return Ok(true);
                }
                queued = true;
            }
            Rest::Interrupted => {
                // SAFETY: attached.
                unsafe { compat::run_signal_handlers()? };
                queued = false;
                resumed = true;
            }
        }
    }
}

/// The detached part of a wait.
///
/// # Safety
/// As [`wait_as`]; `queued` says whether the waiter is in the queue already.
unsafe fn rest<T: Awaitable>(
    waiter: &Waiter,
    what: &T,
    deadline: Deadline,
    interruptible: bool,
    queued: bool,
    resumed: bool,
) -> Rest {
    // SAFETY: the waiter stays in place, is queued once, and has left the queue whenever this
    // returns anything but Ready.
    unsafe {
        if !queued && what.enqueue(waiter, resumed) {
            return Rest::Ready;
        }
        match waiter.park(deadline, interruptible) {
            Parked::Unparked => Rest::Ready,
            // Handed over at the last moment: then it is ours, whatever else happened.
            _ if what.cancel(waiter) => Rest::Ready,
            Parked::TimedOut => Rest::TimedOut,
            Parked::Interrupted => Rest::Interrupted,
        }
    }
}

/// Out of memory is an exception here, not the end of the process.
fn allocate_waiter() -> Option<NonNull<Waiter>> {
    // SAFETY: a waiter has a size.
    let waiter = NonNull::new(unsafe { alloc(Layout::new::<Waiter>()) })?.cast::<Waiter>();
    // SAFETY: fresh memory of the right layout.
    unsafe { waiter.write(Waiter::new()) };
    Some(waiter)
}

/// # Safety
/// The waiter came from [`allocate_waiter`] and nobody else knows it any more.
unsafe fn free_waiter(waiter: NonNull<Waiter>) {
    // SAFETY: as the caller promises.
    unsafe {
        waiter.drop_in_place();
        dealloc(waiter.as_ptr().cast(), Layout::new::<Waiter>());
    }
}
