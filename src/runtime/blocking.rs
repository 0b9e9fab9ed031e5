//! Waits of Python threads: detach, wait, attach, run signal handlers.
//!
//! The order of a wait, and the reasons:
//!
//! 1. The caller tries once while attached. Usually that succeeds.
//! 2. Detach, enqueue, sleep. A thread that slept while attached would stop all other threads.
//! 3. Attach again, and only *then* claim. With a GIL this order matters. A thread that claimed a
//!    lock first would hold it while it waits for the GIL. The thread that has the GIL would then
//!    find the lock taken and detach, again and again.
//! 4. After a signal: leave the queue, attach and run the handlers, one of which may use the same
//!    object. Then enqueue at the front, with the rest of the time. Where a notification could be
//!    lost meanwhile (`STAYS_QUEUED_DURING_SIGNALS`) the waiter stays in the queue.
//!
//! The steps themselves are in [`wait_with`] (`sync::protocol`), which has no Python in it and is
//! model-checked.
//!
//! Some waits do not take these steps. [`wait_for_event`], [`pause`], the join of an operating
//! system's thread (`os_thread`), `lifetime` and `idle_threads` detach by themselves and run no
//! signal handlers. A thread that waits for a `sync::Mutex` stays attached: those are held for a
//! moment only.
//!
//! These are *plain old frames* (RFC 2945): no value with a destructor lives in them. Up to 3.13
//! attaching may end the thread by unwinding its stack. The waiter is on the heap for the same
//! reason. If the thread ends while it waits to attach, the queue keeps a pointer to the waiter.
//! Its memory is then leaked, and never reused.

use core::ptr::NonNull;
use core::time::Duration;
use std::time::Instant;

use crate::capi::compat::{self, PyEval_RestoreThread, PyEval_SaveThread};
use crate::capi::errors::{Raised, raise};
use crate::capi::object::Attached;
pub use crate::sync::Waited;
use crate::sync::spin::{self, Looked, Place};
use crate::sync::{
    Answer, Awaitable, Caller, Deadline, Event, Lock, Ticket, Waiter, turns, wait_with,
};

/// How long to wait before asking again for memory.
pub const UNTIL_MEMORY: Duration = Duration::from_millis(1);

/// How long a caller is ready to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timeout {
    /// Not at all.
    Zero,
    /// For at most this long.
    For(Duration),
    /// Without a limit.
    Never,
}

/// Whether signal handlers run during a wait of the main thread.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Signals {
    /// They run. A handler that raises ends the wait.
    Handle,
    /// They run when the wait is over (gh-118433).
    Defer,
}

/// Waits for `what`, after the caller has failed to get it at once. `Err` if a signal handler
/// raised, or if the wait could not begin; then nothing was taken.
#[cold]
#[inline(never)]
pub fn wait<T: Awaitable>(
    py: Attached<'_>,
    what: &T,
    timeout: Timeout,
    signals: Signals,
) -> Result<Waited, Raised> {
    if timeout == Timeout::Zero {
        return Ok(Waited::TimedOut);
    }
    let deadline = deadline(timeout);
    if compat::IS_FREE_THREADED && spin::has_company() && what.try_for_a_moment() {
        return Ok(Waited::Got);
    }
    wait_until(py, what, deadline, signals)
}

/// [`wait`] with a deadline.
pub fn wait_until<T: Awaitable>(
    py: Attached<'_>,
    what: &T,
    deadline: Deadline,
    signals: Signals,
) -> Result<Waited, Raised> {
    refuse_at_shutdown(py)?;
    let waiter = NewWaiter::allocate(py)?;
    // SAFETY: the waiter is on the heap, and in no queue before and after.
    unsafe {
        let outcome = wait_as(py, waiter.get(), what, deadline, signals, false);
        waiter.free();
        outcome
    }
}

/// [`wait_until`], and the ticket that the waiter was left if `what` was retired during the wait.
/// The ticket belongs to the caller. The outer `Err` means that the wait has not begun.
pub fn wait_with_ticket<T: Awaitable>(
    py: Attached<'_>,
    what: &T,
    deadline: Deadline,
    signals: Signals,
) -> Result<(Result<Waited, Raised>, Option<Ticket>), Raised> {
    refuse_at_shutdown(py)?;
    let waiter = NewWaiter::allocate(py)?;
    // SAFETY: the waiter is on the heap, and in no queue before and after.
    unsafe {
        let outcome = wait_as(py, waiter.get(), what, deadline, signals, false);
        let ticket = waiter.get().ticket();
        waiter.free();
        Ok((outcome, ticket))
    }
}

/// [`wait_until`] for a waiter that the caller has already put into the queue. Afterwards the
/// waiter is in no queue.
///
/// # Safety
/// The waiter is in the queue of `what`.
pub unsafe fn wait_queued<T: Awaitable>(
    py: Attached<'_>,
    waiter: &NewWaiter,
    what: &T,
    deadline: Deadline,
    signals: Signals,
) -> Result<Waited, Raised> {
    // SAFETY: as the caller promises; the waiter is on the heap.
    unsafe { wait_as(py, waiter.get(), what, deadline, signals, true) }
}

/// Waits for an event that is certain to come. Needs no memory. Signal handlers do not run
/// meanwhile.
pub fn wait_for_event(_: Attached<'_>, event: &Event) {
    // SAFETY: attached again with the same state. The waiter, which is on the stack, is gone before
    // that.
    unsafe {
        let state = PyEval_SaveThread();
        let _ = crate::sync::wait(event, None);
        PyEval_RestoreThread(state);
    }
}

/// Takes a lock that the caller must get. If there is no memory for a waiter, it tries from time to
/// time. Signal handlers run only after that. `Err` only if this version refuses to block at
/// shutdown.
pub fn take_back(py: Attached<'_>, lock: &Lock) -> Result<(), Raised> {
    if lock.try_acquire() {
        return Ok(());
    }
    refuse_at_shutdown(py)?;
    if wait(py, lock, Timeout::Never, Signals::Defer).is_ok() {
        return Ok(());
    }
    py.clear_error();
    while !lock.try_acquire() {
        pause(py, UNTIL_MEMORY);
    }
    Ok(())
}

/// Detaches, sleeps for `span`, and attaches again.
pub fn pause(_: Attached<'_>, span: Duration) {
    // SAFETY: attached, and attached again with the same state.
    unsafe {
        let state = PyEval_SaveThread();
        std::thread::sleep(span);
        PyEval_RestoreThread(state);
    }
}

/// Tells `sync` how many waiters to wake at once: as many as can run Python code at a time.
pub fn prepare() {
    // With a GIL one thread runs, while another one may be waking up.
    let threads = if compat::IS_FREE_THREADED { spin::processors() + 1 } else { 2 };
    crate::sync::wake_at_once(u32::try_from(threads).unwrap_or(u32::MAX));
}

/// The deadline of a wait that begins now. A time beyond the range of the clock means that there is
/// no deadline.
pub fn deadline(timeout: Timeout) -> Deadline {
    match timeout {
        Timeout::Zero => Some(Instant::now()),
        Timeout::For(span) => Instant::now().checked_add(span),
        Timeout::Never => None,
    }
}

/// Raises where this version refuses to block at shutdown.
pub fn refuse_at_shutdown(_: Attached<'_>) -> Result<(), Raised> {
    if let Some(exception) = compat::acquire_refused_at_shutdown() {
        // SAFETY: attached; an exception class of the interpreter.
        unsafe { raise(exception, c"cannot acquire lock at interpreter finalization") };
        return Err(Raised);
    }
    Ok(())
}

/// # Safety
/// The waiter stays in place until this returns, or for ever if it does not return. `queued` says
/// whether the waiter is in the queue already.
unsafe fn wait_as<T: Awaitable>(
    py: Attached<'_>,
    waiter: &Waiter,
    what: &T,
    deadline: Deadline,
    signals: Signals,
    queued: bool,
) -> Result<Waited, Raised> {
    // Only the main thread runs signal handlers, so only its sleep has to be interrupted.
    let interruptible = signals == Signals::Handle && compat::is_main_thread();
    // SAFETY: attached.
    let caller = Python { py, gil: unsafe { compat::Gil::of_this_interpreter() } };
    what.begin();
    // SAFETY: as the caller promises; the methods of `Python` are called while it is attached.
    let waited = unsafe { wait_with(&caller, waiter, what, deadline, interruptible, queued) };
    what.end();
    waited
}

/// A thread that is attached. Implements the steps of a wait for it.
struct Python<'py> {
    py: Attached<'py>,
    gil: compat::Gil,
}

impl Caller for Python<'_> {
    type Raised = Raised;
    const SPINS: bool = true;

    fn await_turn(&self, place: Place, answer: Answer) {
        // Without a GIL there is no turn to wait for (`sync::turns`).
        if compat::IS_FREE_THREADED {
            return;
        }
        let is_free = || self.gil.is_free().unwrap_or_else(|| turns::era() != answer.era);
        // A place of its own: the success of spinning here is remembered apart from that of
        // spinning before the sleep.
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
        // SAFETY: attached, and attached again with the same state. In between no Python object is
        // touched except the one that is waited for, which the caller keeps alive.
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
        self.py.run_signal_handlers()
    }
}

/// A waiter on the heap. Dropping it does not free it: if the thread ends during the wait, a queue
/// may still point to the waiter.
pub struct NewWaiter(NonNull<Waiter>);

impl NewWaiter {
    /// Allocates a waiter. If there is no memory, MemoryError is raised and the process goes on.
    pub fn allocate(py: Attached<'_>) -> Result<NewWaiter, Raised> {
        const { assert!(align_of::<Waiter>() <= compat::RAW_ALIGNMENT) };
        let Some(memory) = compat::raw_malloc(size_of::<Waiter>()) else {
            return Err(py.no_memory());
        };
        let waiter = memory.cast::<Waiter>();
        // SAFETY: fresh memory of this size, aligned for any C type.
        unsafe { waiter.write(Waiter::new()) };
        Ok(NewWaiter(waiter))
    }

    /// The waiter.
    pub fn get(&self) -> &Waiter {
        // SAFETY: valid until [`NewWaiter::free`], which consumes `self`.
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
