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
//! The order itself is in `sync::wait_with`, where a model checker can look at it.
//!
//! No value with a destructor lives in these frames: up to 3.13 attaching may end the thread by
//! unwinding its stack. The waiter is on the heap for the same reason: should the thread end while
//! it waits to attach, the queue keeps pointing at memory that is leaked and not reused.

use core::ptr::NonNull;
use core::time::Duration;
use std::time::Instant;

use pyo3_ffi as ffi;

use crate::capi::compat::{self, PyEval_RestoreThread, PyEval_SaveThread};
use crate::capi::errors::{Raised, raise};
pub use crate::sync::Waited;
use crate::sync::spin::{self, Looked, Place};
use crate::sync::{
    Answer, Awaitable, Caller, Deadline, Event, Lock, Ticket, Waiter, turns, wait_with,
};

/// How long to leave others alone until there may be more memory.
pub const UNTIL_MEMORY: Duration = Duration::from_millis(1);

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

/// Waits for `what`, which the caller has just failed to get. `Err` if a signal handler raised,
/// and then nothing was taken.
///
/// # Safety
/// Attached; the caller holds a reference to the object that `what` is part of.
#[cold]
#[inline(never)]
pub unsafe fn wait<T: Awaitable>(
    what: &T,
    timeout: Timeout,
    signals: Signals,
) -> Result<Waited, Raised> {
    if timeout == Timeout::Zero {
        return Ok(Waited::TimedOut);
    }
    // SAFETY: as the caller promises.
    unsafe { wait_until(what, deadline(timeout), signals) }
}

/// [`wait`] for callers that need the deadline for more than this.
///
/// # Safety
/// As [`wait`].
pub unsafe fn wait_until<T: Awaitable>(
    what: &T,
    deadline: Deadline,
    signals: Signals,
) -> Result<Waited, Raised> {
    // SAFETY: as the caller promises; the waiter is in no queue before and after.
    unsafe {
        refuse_at_shutdown()?;
        let waiter = NewWaiter::allocate()?;
        let outcome = wait_as(waiter.get(), what, deadline, signals, false);
        waiter.free();
        outcome
    }
}

/// [`wait_until`], and the ticket that the waiter was left if what it waited for was retired
/// meanwhile; it is the caller's. `Err` if the wait has not begun.
///
/// # Safety
/// As [`wait`].
pub unsafe fn wait_with_ticket<T: Awaitable>(
    what: &T,
    deadline: Deadline,
    signals: Signals,
) -> Result<(Result<Waited, Raised>, Option<Ticket>), Raised> {
    // SAFETY: as the caller promises; the waiter is in no queue before and after.
    unsafe {
        refuse_at_shutdown()?;
        let waiter = NewWaiter::allocate()?;
        let outcome = wait_as(waiter.get(), what, deadline, signals, false);
        let ticket = waiter.get().ticket();
        waiter.free();
        Ok((outcome, ticket))
    }
}

/// [`wait`] for a waiter that the caller has put into the queue. It has left it afterwards.
///
/// # Safety
/// As [`wait`], and the waiter is in the queue of `what`.
pub unsafe fn wait_queued<T: Awaitable>(
    waiter: &NewWaiter,
    what: &T,
    deadline: Deadline,
    signals: Signals,
) -> Result<Waited, Raised> {
    // SAFETY: as the caller promises.
    unsafe { wait_as(waiter.get(), what, deadline, signals, true) }
}

/// Waits for an event that is bound to come. Takes no memory, and signals have to wait.
///
/// # Safety
/// As [`wait`].
pub unsafe fn wait_for_event(event: &Event) {
    // SAFETY: as the caller promises; attached again with the same state. The waiter is gone by
    // then.
    unsafe {
        let state = PyEval_SaveThread();
        crate::sync::wait(event, None);
        PyEval_RestoreThread(state);
    }
}

/// Takes a lock that the caller has to have, also where there is no memory for a waiter: it then
/// looks from time to time. Signals wait until then. `Err` only where this version refuses to block
/// at shutdown.
///
/// # Safety
/// As [`wait`].
pub unsafe fn take_back(lock: &Lock) -> Result<(), Raised> {
    if lock.try_acquire() {
        return Ok(());
    }
    // SAFETY: as the caller promises; attached again with the same state.
    unsafe {
        refuse_at_shutdown()?;
        if wait(lock, Timeout::Never, Signals::Defer).is_ok() {
            return Ok(());
        }
        ffi::PyErr_Clear();
        while !lock.try_acquire() {
            pause(UNTIL_MEMORY);
        }
    }
    Ok(())
}

/// Leaves others alone for a while.
///
/// # Safety
/// Attached.
pub unsafe fn pause(span: Duration) {
    // SAFETY: attached, as the caller promises; attached again with the same state.
    unsafe {
        let state = PyEval_SaveThread();
        std::thread::sleep(span);
        PyEval_RestoreThread(state);
    }
}

/// Tells the waits how many threads can run Python code at a time.
pub fn prepare() {
    // With a GIL one runs, and another may be on its way to it meanwhile.
    let threads = if compat::IS_FREE_THREADED { spin::processors() + 1 } else { 2 };
    crate::sync::wake_at_once(u32::try_from(threads).unwrap_or(u32::MAX));
}

/// When a wait that begins now ends. A moment beyond what the clock can say never comes.
pub fn deadline(timeout: Timeout) -> Deadline {
    match timeout {
        Timeout::Zero => Some(Instant::now()),
        Timeout::For(span) => Instant::now().checked_add(span),
        Timeout::Never => None,
    }
}

/// Raises where this version refuses to block at shutdown.
///
/// # Safety
/// Attached.
pub unsafe fn refuse_at_shutdown() -> Result<(), Raised> {
    if let Some(exception) = compat::acquire_refused_at_shutdown() {
        // SAFETY: attached.
        unsafe { raise(exception, c"cannot acquire lock at interpreter finalization") };
        return Err(Raised);
    }
    Ok(())
}

/// # Safety
/// As [`wait`]; the waiter stays in place until this returns, or for ever if it does not; `queued`
/// says whether it is in the queue already.
unsafe fn wait_as<T: Awaitable>(
    waiter: &Waiter,
    what: &T,
    deadline: Deadline,
    signals: Signals,
    queued: bool,
) -> Result<Waited, Raised> {
    // Other threads have no signal to look for, so nothing need wake them.
    let interruptible = signals == Signals::Handle && compat::is_main_thread();
    // SAFETY: as the caller promises; attached.
    unsafe {
        let caller = Python { gil: compat::Gil::of_this_interpreter() };
        what.begin();
        let waited = wait_with(&caller, waiter, what, deadline, interruptible, queued);
        what.end();
        waited
    }
}

/// A thread that is attached.
struct Python {
    gil: compat::Gil,
}

impl Caller for Python {
    type Raised = Raised;
    const SPINS: bool = true;

    fn await_turn(&self, place: Place, answer: Answer) {
        // The thread that has answered does not run where this one does.
        if compat::IS_FREE_THREADED {
            return;
        }
        let is_free = || self.gil.is_free().unwrap_or_else(|| turns::era() != answer.era);
        // Another number for the same object: what is to be learned is another thing.
        let place = place.later();
        let here = turns::is_here(answer.processor);
        let looked = if answer.keeps_turn {
            turns::await_kept(here, is_free)
        } else if here {
            turns::let_run(place, is_free)
        } else {
            spin::spin(place, is_free)
        };
        if looked == Looked::Found {
            turns::give_others_a_chance();
        }
    }

    unsafe fn detached<R>(&self, step: impl FnOnce() -> R) -> R {
        // SAFETY: attached, and attached again with the same state. In between no Python object
        // is touched but the one waited for, which the caller keeps alive.
        unsafe {
            if compat::IS_FREE_THREADED {
                let state = PyEval_SaveThread();
                let result = step();
                PyEval_RestoreThread(state);
                return result;
            }
            turns::keep_until_woken();
            let state = PyEval_SaveThread();
            turns::let_others_run();
            let result = step();
            let begun = Instant::now();
            PyEval_RestoreThread(state);
            turns::waited(begun.elapsed());
            result
        }
    }

    unsafe fn run_signal_handlers(&self) -> Result<(), Raised> {
        // SAFETY: attached.
        unsafe { compat::run_signal_handlers() }
    }
}

/// A waiter on the heap. Not freed by being dropped: should the thread end while it waits, a queue
/// may still know it.
pub struct NewWaiter(NonNull<Waiter>);

impl NewWaiter {
    /// Out of memory is an exception here, not the end of the process.
    ///
    /// # Safety
    /// Attached.
    pub unsafe fn allocate() -> Result<NewWaiter, Raised> {
        const { assert!(align_of::<Waiter>() <= compat::RAW_ALIGNMENT) };
        // SAFETY: fresh memory of this size, aligned for anything of C's.
        unsafe {
            let Some(memory) = compat::raw_malloc(size_of::<Waiter>()) else {
                ffi::PyErr_NoMemory();
                return Err(Raised);
            };
            let waiter = memory.cast::<Waiter>();
            waiter.write(Waiter::new());
            Ok(NewWaiter(waiter))
        }
    }

    /// The waiter.
    pub fn get(&self) -> &Waiter {
        // SAFETY: valid until it is freed, which takes `self`.
        unsafe { self.0.as_ref() }
    }

    /// # Safety
    /// The waiter is in no queue.
    pub unsafe fn free(self) {
        // SAFETY: as the caller promises; made by `allocate`.
        unsafe {
            self.0.drop_in_place();
            compat::raw_free(self.0.cast());
        }
    }
}
