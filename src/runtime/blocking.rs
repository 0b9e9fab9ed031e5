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
//! Every wait of a Python thread is in the record of the thread as long as it lasts, with the
//! object that it is for (`subject`). Before a wait without a deadline for what another thread has,
//! the thread looks whether the wait would close a circle (`deadlocks`).
//!
//! Some waits do not take these steps. [`wait_for_event`], [`pause`], and the join of an operating
//! system's thread run no signal handlers. They are in the record as well ([`detached`]).
//! `lifetime` and `idle_threads` wait where a thread has no thread state. A thread that waits for a
//! `sync::Mutex` stays attached: those are held for a moment only.
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
use crate::runtime::deadlocks;
pub use crate::runtime::subject::Subject;
pub use crate::sync::Waited;
use crate::sync::spin::{self, Looked, Place};
use crate::sync::{
    Answer, Awaitable, Caller, Deadline, Event, Lock, Outer, Record, Ticket, Wait, WaitStage,
    Waiter, nanoseconds, registry, turns, wait_with,
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
    subject: Subject<'_>,
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
    refuse_at_shutdown(py)?;
    let waiter = NewWaiter::allocate(py)?;
    // SAFETY: the waiter is on the heap, and in no queue before and after.
    unsafe {
        let outcome = wait_as(py, waiter.get(), what, subject, deadline, signals, false);
        waiter.free();
        outcome
    }
}

/// [`wait`] with a deadline, and the ticket that the waiter was left if `what` was retired during
/// the wait. The ticket belongs to the caller. The outer `Err` means that the wait has not begun.
pub fn wait_with_ticket<T: Awaitable>(
    py: Attached<'_>,
    what: &T,
    subject: Subject<'_>,
    deadline: Deadline,
    signals: Signals,
) -> Result<(Result<Waited, Raised>, Option<Ticket>), Raised> {
    refuse_at_shutdown(py)?;
    let waiter = NewWaiter::allocate(py)?;
    // SAFETY: the waiter is on the heap, and in no queue before and after.
    unsafe {
        let outcome = wait_as(py, waiter.get(), what, subject, deadline, signals, false);
        let ticket = waiter.get().ticket();
        waiter.free();
        Ok((outcome, ticket))
    }
}

/// [`wait`] with a deadline, for a waiter that the caller has already put into the queue. Afterwards the
/// waiter is in no queue.
///
/// # Safety
/// The waiter is in the queue of `what`.
pub unsafe fn wait_queued<T: Awaitable>(
    py: Attached<'_>,
    waiter: &NewWaiter,
    what: &T,
    subject: Subject<'_>,
    deadline: Deadline,
    signals: Signals,
) -> Result<Waited, Raised> {
    // SAFETY: as the caller promises; the waiter is on the heap.
    unsafe { wait_as(py, waiter.get(), what, subject, deadline, signals, true) }
}

/// Waits for an event that is certain to come. Needs no memory. Signal handlers do not run
/// meanwhile.
pub fn wait_for_event(py: Attached<'_>, event: &Event, subject: Subject<'_>) {
    // The waiter, which is on the stack, is gone when the thread attaches.
    detached(py, subject, || {
        let _ = crate::sync::wait(event, None);
    });
}

/// Takes a lock that the caller must get. If there is no memory for a waiter, it tries from time to
/// time. Signal handlers run only after that. `Err` only if this version refuses to block at
/// shutdown.
pub fn take_back(py: Attached<'_>, lock: &Lock, subject: Subject<'_>) -> Result<(), Raised> {
    let me = registry::this_thread();
    if lock.try_acquire_as(me) {
        return Ok(());
    }
    refuse_at_shutdown(py)?;
    if wait(py, lock, subject, Timeout::Never, Signals::Defer).is_ok() {
        return Ok(());
    }
    py.clear_error();
    while !lock.try_acquire_as(me) {
        pause(py, UNTIL_MEMORY);
    }
    Ok(())
}

/// Detaches, sleeps for `span`, and attaches again.
pub fn pause(py: Attached<'_>, span: Duration) {
    detached(py, Subject::INTERPRETER, || std::thread::sleep(span));
}

/// Detaches, takes a step that waits, and attaches again. The step touches no Python object. Signal
/// handlers do not run meanwhile.
pub fn detached<R>(py: Attached<'_>, subject: Subject<'_>, step: impl FnOnce() -> R) -> R {
    let record = registry::this_record();
    let wait = subject.wait(py, nanoseconds(Instant::now()), false);
    let outer = record.map(|record| record.begin_wait(&wait));
    // SAFETY: attached, and attached again with the same state.
    let result = unsafe {
        let state = PyEval_SaveThread();
        let result = step();
        PyEval_RestoreThread(state);
        result
    };
    end_wait(record, outer.as_ref());
    result
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
    subject: Subject<'_>,
    deadline: Deadline,
    signals: Signals,
    queued: bool,
) -> Result<Waited, Raised> {
    // Only the main thread runs signal handlers, so only its sleep has to be interrupted.
    let interruptible = signals == Signals::Handle && compat::is_main_thread();
    what.begin();
    let record = registry::this_record();
    let wait = subject.wait(py, nanoseconds(waiter.since()), deadline.is_some());
    let outer = record.map(|record| record.begin_wait(&wait));
    // SAFETY: attached.
    let gil = unsafe { compat::Gil::of_this_interpreter() };
    let caller = Python { py, gil, record, wait, may_raise: signals == Signals::Handle };
    let waited = caller.look_for_deadlock().and_then(|()| {
        // SAFETY: as the caller promises; the methods of `Python` are called while it is attached.
        unsafe { wait_with(&caller, waiter, what, deadline, interruptible, queued) }
    });
    end_wait(record, outer.as_ref());
    what.end();
    waited
}

fn end_wait(record: Option<&Record>, outer: Option<&Outer>) {
    if let (Some(record), Some(outer)) = (record, outer) {
        record.end_wait(outer);
    }
}

/// A thread that is attached. Implements the steps of a wait for it.
struct Python<'py> {
    py: Attached<'py>,
    gil: compat::Gil,
    record: Option<&'static Record>,
    /// The wait, as it is in the record.
    wait: Wait,
    /// Whether an exception may end the wait.
    may_raise: bool,
}

impl Python<'_> {
    /// `Err` if the wait would close a circle of threads that wait for each other, and the program
    /// wants an exception then.
    #[inline]
    fn look_for_deadlock(&self) -> Result<(), Raised> {
        match self.record {
            Some(record) if deadlocks::are_looked_for() && deadlocks::is_possible(&self.wait) => {
                deadlocks::look(self.py, record, &self.wait, self.may_raise)
            }
            _ => Ok(()),
        }
    }

    fn set_stage(&self, stage: WaitStage) {
        if let Some(record) = self.record {
            record.set_stage(stage);
        }
    }
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
            self.set_stage(WaitStage::Waiting);
            if compat::IS_FREE_THREADED {
                let state = PyEval_SaveThread();
                let result = step();
                self.set_stage(WaitStage::Attaching);
                PyEval_RestoreThread(state);
                return result;
            }
            turns::keep_until_woken();
            let state = PyEval_SaveThread();
            turns::let_others_run();
            let result = step();
            self.set_stage(WaitStage::Attaching);
            let begun = Instant::now();
            PyEval_RestoreThread(state);
            turns::waited(begun.elapsed());
            result
        }
    }

    unsafe fn run_signal_handlers(&self) -> Result<(), Raised> {
        self.set_stage(WaitStage::InHandlers);
        let ran = self.py.run_signal_handlers();
        self.set_stage(WaitStage::Waiting);
        // A handler may have taken a lock.
        ran.and_then(|()| self.look_for_deadlock())
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
