//! Keeps the start and the exit of threads apart from the finalization of their interpreter. That
//! is needed on free-threaded builds, because of three races:
//!
//! - Finalization frees the states of all other threads. The interpreter's table of threads that
//!   may still read freed memory (`Python/qsbr.c`, seen in 3.14) keeps pointing to those states. A
//!   thread that makes its state at that time may find the table full. The table then grows, and
//!   writes into the freed states. Such a thread cannot be stopped, because it has no state yet.
//! - A thread that clears its state can be stopped in the middle. Finalization then clears the
//!   state once more, and crashes, as in the child of a fork (see `runtime::lifetime`).
//! - A thread that drops its function and arguments informs the owners of these objects, under a
//!   lock of the interpreter (`Python/brc.c`). The lock may be handed to the thread while it waits,
//!   and the thread may be stopped before it knows. Finalization then waits for the lock for ever.
//!
//! So an atexit callback keeps them apart:
//!
//! - It waits for threads that have been started and have no state yet, and for threads that are
//!   dropping their arguments or clearing their states.
//! - From then on a start by another thread blocks, and so does a thread that has come to its end,
//!   until finalization stops it. They do not block for ever: a later atexit callback may be
//!   waiting for the thread that is to be started, or for the one that is to end.
//! - A start by the thread that runs the callbacks waits until the new thread has its state.
//!
//! With a GIL there is no such table, and threads are not stopped at such places. But from 3.15 on
//! finalization waits for non-daemon threads, and knows them only by their states (gh-136003). So
//! there too the callback waits for threads that have been started and have no state yet. Every
//! later start waits until its thread has a state, as if the starter had made it. Other versions do
//! nothing of this.

use core::ffi::{CStr, c_void};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use std::sync::OnceLock;
use std::time::Instant;

use pyo3_ffi::{self as ffi, PyInterpreterState, PyObject};

use crate::capi::compat;
use crate::capi::errors::Raised;
use crate::capi::object::{Answer, Attached, Borrowed};
use crate::capi::static_tables::Definition;
use crate::runtime::blocking::{self, Subject};
use crate::runtime::idle_threads;
use crate::runtime::lifetime::{self, MOMENT};
use crate::sync::{Event, fork};

/// How long threads are blocked after the callback is done.
const HELD_UP: Duration = Duration::from_secs(1);

/// How many moments the callback waits for the next thread to get its state, or to get rid of it.
/// There may be no memory for a state, and a finalizer that runs at the end of a thread may wait
/// for something.
const PATIENCE: usize = 10_000;

/// The bits of [`Closing::in_transition`] that hold the number of threads.
const COUNT: u64 = u32::MAX as u64;

/// Whether threads that have no state yet must be counted, for finalization to wait for them.
const COUNTS_STARTS: bool = compat::IS_FREE_THREADED || compat::ENDS_AWAIT_STATES;

/// The facts that the threads of an interpreter and its finalization share.
pub struct Closing {
    /// The callback is running, or has run.
    near: AtomicBool,
    end: OnceLock<End>,
    /// The number of threads that have been started and have no state yet, or that are at their
    /// end. The bits above it hold the fork epoch in which they were counted: threads of an older
    /// epoch do not exist in this process.
    in_transition: AtomicU64,
}

/// A fork epoch, see `sync::fork`.
pub type Epoch = u32;

/// An end of the interpreter that is near.
struct End {
    /// The thread that runs the callbacks.
    thread: u64,
    /// The fork epoch of its process.
    epoch: Epoch,
    /// The callback is done.
    done: Event,
    /// The time until which threads are blocked. Set when the callback is done.
    held_up: OnceLock<Instant>,
}

/// How the starter of a thread has to proceed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// In the usual way.
    Usual,
    /// The end of the interpreter is near: the starter waits until the new thread has its state.
    Last,
}

impl Closing {
    pub const fn new() -> Closing {
        Closing {
            near: AtomicBool::new(false),
            end: OnceLock::new(),
            in_transition: AtomicU64::new(0),
        }
    }

    /// A thread is about to be started. To be followed by [`Closing::give_up`], or in the new
    /// thread by [`Closing::has_begun`]. This may block, and then end the calling thread.
    pub fn begin(&self, py: Attached<'_>) -> Start {
        if !COUNTS_STARTS {
            return Start::Usual;
        }
        // Counted before the check: either the callback waits for this thread, or this thread sees
        // that the end is near.
        self.count();
        if !self.near.load(Ordering::SeqCst) {
            return Start::Usual;
        }
        if compat::ENDS_AWAIT_STATES && !compat::IS_FREE_THREADED {
            return Start::Last;
        }
        self.give_up();
        let start = match self.end() {
            Some(end) if end.thread == compat::thread_ident() => Start::Last,
            end => {
                block_until_finalized(py, end);
                Start::Usual
            }
        };
        self.count();
        start
    }

    /// The calling thread is about to drop its function and arguments, and then to clear its state
    /// of `interpreter`. To be followed by [`Closing::has_left`] with the result. This may block,
    /// and then end the thread.
    pub fn leave(&self, py: Attached<'_>, interpreter: *mut PyInterpreterState) -> Epoch {
        if !compat::IS_FREE_THREADED {
            return fork::epoch();
        }
        self.count();
        // Only the main interpreter stops its threads. A sub-interpreter must have none when it
        // ends.
        if self.near.load(Ordering::SeqCst) && interpreter == compat::main_interpreter() {
            self.has_left(fork::epoch());
            block_until_finalized(py, self.end());
            self.count();
        }
        fork::epoch()
    }

    /// A kept thread is about to clear its state. It is not blocked: the thread that ends it waits
    /// for that. To be followed by [`Closing::has_left`].
    pub fn count_leaving(&self) {
        if compat::IS_FREE_THREADED {
            self.count();
        }
    }

    /// Whether the end of the interpreter is near, as far as the callback has said so.
    pub fn is_near(&self) -> bool {
        self.near.load(Ordering::SeqCst)
    }

    /// The calling thread has no state any more. `counted` is the epoch in which it was counted: a
    /// finalizer may have forked since then.
    pub fn has_left(&self, counted: Epoch) {
        if compat::IS_FREE_THREADED && counted == fork::epoch() {
            self.in_transition.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// The end that was noted in this process. One noted before a fork does not count in the child:
    /// the child's own end is still to come, and is not noted again.
    fn end(&self) -> Option<&End> {
        self.end.get().filter(|end| end.epoch == fork::epoch())
    }

    /// The thread could not be started.
    pub fn give_up(&self) {
        self.has_begun();
    }

    /// Called by the new thread: it has a state, or will never have one.
    pub fn has_begun(&self) {
        if COUNTS_STARTS {
            self.in_transition.fetch_sub(1, Ordering::SeqCst);
        }
    }

    fn count(&self) {
        let epoch = u64::from(fork::epoch()) << COUNT.count_ones();
        let one_more = |found| Some(if found & !COUNT == epoch { found + 1 } else { epoch + 1 });
        let _ = self.in_transition.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_more);
    }

    /// The number of threads of this process that have no state yet or are at their end.
    fn in_transition(&self) -> u64 {
        let found = self.in_transition.load(Ordering::SeqCst);
        if found >> COUNT.count_ones() == u64::from(fork::epoch()) { found & COUNT } else { 0 }
    }

    /// The end is near. Waits until every thread that has been started has a state, and every
    /// thread at its end has cleared its state. Called by the thread that ends the interpreter.
    fn close(&self, py: Attached<'_>) {
        let (thread, epoch) = (compat::thread_ident(), fork::epoch());
        let end = self.end.get_or_init(|| End {
            thread,
            epoch,
            done: Event::new(),
            held_up: OnceLock::new(),
        });
        self.near.store(true, Ordering::SeqCst);
        idle_threads::drain(py);
        let mut in_transition = self.in_transition();
        let mut patience = PATIENCE;
        while in_transition > 0 && patience > 0 {
            blocking::pause(py, MOMENT);
            let before = core::mem::replace(&mut in_transition, self.in_transition());
            patience = if before == in_transition { patience - 1 } else { PATIENCE };
        }
        // Once more: one of the threads that were counted may have been kept since the first call.
        idle_threads::drain(py);
        end.held_up.get_or_init(|| Instant::now() + HELD_UP);
        let _ = end.done.set();
    }
}

/// Blocks until finalization stops the calling thread. Returns if that does not happen in time, or
/// if no end has been noted.
#[cold]
fn block_until_finalized(py: Attached<'_>, end: Option<&End>) {
    let Some(end) = end else { return };
    blocking::wait_for_event(py, &end.done, Subject::INTERPRETER);
    if let Some(until) = end.held_up.get() {
        blocking::pause(py, until.saturating_duration_since(Instant::now()));
    }
}

/// Registers the callback that is called when the end of the calling interpreter is near.
///
/// # Safety
/// `lifetime` is a capsule around the lifetime of the calling interpreter.
pub unsafe fn register(py: Attached<'_>, lifetime: Borrowed<'_>) -> Result<(), Raised> {
    static CLOSE: Definition = Definition::new(c"close", ffi::METH_NOARGS, close as *mut c_void);
    if !COUNTS_STARTS {
        return Ok(());
    }
    let atexit = import_unseen(py, c"atexit")?;
    let done = CLOSE.register(py, Some(lifetime), atexit.borrow(), c"register", None);
    atexit.release(py);
    done
}

/// Imports a module of the interpreter. If the program had not imported it, it is removed from
/// `sys.modules` again, so that the program sees no difference.
fn import_unseen(py: Attached<'_>, name: &'static CStr) -> Answer {
    // SAFETY: attached; the interpreter owns the dict and keeps it.
    let (modules, known) = unsafe {
        let modules = ffi::PyImport_GetModuleDict();
        (modules, ffi::PyMapping_HasKeyString(modules, name.as_ptr()) != 0)
    };
    let module = py.import(name)?;
    // SAFETY: as above.
    if !known && unsafe { ffi::PyMapping_DelItemString(modules, name.as_ptr().cast_mut()) } < 0 {
        // Another thread has removed it.
        py.clear_error();
    }
    Ok(module)
}

unsafe extern "C-unwind" fn close(lifetime: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with the capsule that `register` has bound. It lives as
    // long as the call.
    let (py, lifetime) = unsafe {
        let py = Attached::assume();
        (py, &*lifetime::in_capsule(py, Borrowed::assume(lifetime)))
    };
    lifetime.closing.close(py);
    py.none().into_raw()
}
