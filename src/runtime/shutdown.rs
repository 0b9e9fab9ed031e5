//! The last threads that begin or end before an interpreter ends that has no GIL.
//!
//! It ends by freeing the states of all other threads, while its table of those who may still read
//! what is about to be freed (`Python/qsbr.c`, seen in 3.14) goes on pointing at them. A thread that
//! makes its state just then, and finds the table full, has it grow, and that writes into what has
//! been freed. Nobody can stop such a thread: it has no state yet. A thread that clears its state can
//! be stopped, but in the midst of it, and then the end clears the state once more, which crashes as
//! in the child of a fork (see `interpreter`). And a thread that drops what it was started with tells
//! the owner, under a lock of the interpreter's (`Python/brc.c`); if it has to wait for that, and is
//! stopped before it knows that it has been given it, the end waits for the lock for ever. So an atexit
//! callback keeps them apart:
//!
//! - it waits for those who have been started and have no state yet, and for those who are dropping
//!   what they were started with or clearing their states;
//! - from then on a start by another thread is held up, and so is a thread that has come to its end,
//!   until the end of the interpreter ends it. Not for ever: a later callback may be waiting for what
//!   the one starts, or for the other;
//! - a start by the thread that runs the callbacks waits until the new thread has its state.
//!
//! With a GIL there is no such table, and threads are not stopped there. From 3.15 on the end waits for
//! threads that are no daemons, but knows them by their states (gh-136003), so there as well the callback
//! waits for those who have been started and have none yet, and every later start waits for the state of
//! its thread, as if it were made by the starter. Else nothing of this is done.

use core::ffi::{CStr, c_void};
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use std::sync::OnceLock;
use std::time::Instant;

use pyo3_ffi::{self as ffi, PyInterpreterState, PyObject};

use crate::capi::compat;
use crate::capi::errors::Raised;
use crate::capi::static_tables::Definition;
use crate::runtime::lifetime::{Lifetime, MOMENT};
use crate::runtime::{blocking, idle_threads};
use crate::sync::{Event, fork};

/// How long threads are held up when the callback is done.
const HELD_UP: Duration = Duration::from_secs(1);

/// How many moments the callback waits for the next thread to have its state, or to be rid of it:
/// there may be no memory for one, and what is destroyed with the other may wait for something.
const PATIENCE: usize = 10_000;

/// The part of [`Closing::in_transition`] that counts.
const COUNT: u64 = u32::MAX as u64;

/// Whether the end of an interpreter has to hear of threads that have no state yet.
const COUNTS_STARTS: bool = compat::IS_FREE_THREADED || compat::ENDS_AWAIT_STATES;

/// What the threads of one interpreter and its end know of each other.
pub struct Closing {
    /// The callback has run, or runs.
    near: AtomicBool,
    end: OnceLock<End>,
    /// How many threads have been started and have no state yet, or are at their end; above that, the
    /// epoch of forks in which they were counted: those of an older one are not there any more.
    in_transition: AtomicU64,
}

/// Counts forks, see `sync::fork`.
pub type Epoch = u32;

/// The end that is near.
struct End {
    /// The thread that runs the callbacks.
    thread: u64,
    /// In which process.
    epoch: Epoch,
    /// The callback is done.
    done: Event,
    /// Threads are held up until then; known when the callback is done.
    held_up: OnceLock<Instant>,
}

/// How a thread is started.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// As any other.
    Usual,
    /// Near the end of the interpreter: it has to wait until the new thread has its state.
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

    /// A thread is about to be started. To be followed by [`Closing::give_up`], or by
    /// [`Closing::has_begun`] in the new thread.
    ///
    /// # Safety
    /// Attached. To be held up may be the end of the thread.
    pub unsafe fn begin(&self) -> Start {
        if !COUNTS_STARTS {
            return Start::Usual;
        }
        // In this order: either the callback waits for this one, or is heard of.
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
                // SAFETY: attached, as the caller promises.
                unsafe { block_until_finalized(end) };
                Start::Usual
            }
        };
        self.count();
        start
    }

    /// The calling thread is about to drop what it was started with, and then to clear its state of
    /// `interpreter`. To be followed by [`Closing::has_left`] with what this gives.
    ///
    /// # Safety
    /// As [`Closing::begin`].
    pub unsafe fn leave(&self, interpreter: *mut PyInterpreterState) -> Epoch {
        if !compat::IS_FREE_THREADED {
            return fork::epoch();
        }
        self.count();
        // A sub-interpreter does not stop its threads: it must not have any when it ends.
        if self.near.load(Ordering::SeqCst) && interpreter == compat::main_interpreter() {
            self.has_left(fork::epoch());
            // SAFETY: as the caller promises.
            unsafe { block_until_finalized(self.end()) };
            self.count();
        }
        fork::epoch()
    }

    /// A thread that was kept is about to clear its state. It is not held up: what ends it waits for that.
    /// To be followed by [`Closing::has_left`].
    pub fn count_leaving(&self) {
        if compat::IS_FREE_THREADED {
            self.count();
        }
    }

    /// Whether the end of the interpreter is near, as far as it is told.
    pub fn is_near(&self) -> bool {
        self.near.load(Ordering::SeqCst)
    }

    /// It has no state any more. What was destroyed with that may have forked.
    pub fn has_left(&self, counted: Epoch) {
        if compat::IS_FREE_THREADED && counted == fork::epoch() {
            self.in_transition.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Of this process: the child of a fork has its end before it, and is not told of it again.
    fn end(&self) -> Option<&End> {
        self.end.get().filter(|end| end.epoch == fork::epoch())
    }

    /// No thread could be started.
    pub fn give_up(&self) {
        self.has_begun();
    }

    /// By the new thread: it has a state, or never will.
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

    /// How many threads of this process are on their way in or out.
    fn in_transition(&self) -> u64 {
        let found = self.in_transition.load(Ordering::SeqCst);
        if found >> COUNT.count_ones() == u64::from(fork::epoch()) { found & COUNT } else { 0 }
    }

    /// The end is near: returns when everybody who has been started has a state, and everybody who
    /// clears one has none.
    ///
    /// # Safety
    /// Attached, by the thread that ends the interpreter.
    unsafe fn close(&self) {
        let (thread, epoch) = (compat::thread_ident(), fork::epoch());
        let end = self.end.get_or_init(|| End {
            thread,
            epoch,
            done: Event::new(),
            held_up: OnceLock::new(),
        });
        self.near.store(true, Ordering::SeqCst);
        // SAFETY: as the caller promises.
        unsafe { idle_threads::drain() };
        let mut in_transition = self.in_transition();
        let mut patience = PATIENCE;
        while in_transition > 0 && patience > 0 {
            // SAFETY: as the caller promises.
            unsafe { blocking::pause(MOMENT) };
            let before = core::mem::replace(&mut in_transition, self.in_transition());
            patience = if before == in_transition { patience - 1 } else { PATIENCE };
        }
        // Once more: a thread that was counted may have been kept after the first time.
        // SAFETY: as the caller promises.
        unsafe { idle_threads::drain() };
        end.held_up.get_or_init(|| Instant::now() + HELD_UP);
        let _ = end.done.set();
    }
}

/// Returns when there is nothing to wait for any more, if the calling thread is there still.
///
/// # Safety
/// As [`Closing::begin`].
#[cold]
unsafe fn block_until_finalized(end: Option<&End>) {
    let Some(end) = end else { return };
    // SAFETY: as the caller promises.
    unsafe {
        blocking::wait_for_event(&end.done);
        if let Some(until) = end.held_up.get() {
            blocking::pause(until.saturating_duration_since(Instant::now()));
        }
    }
}

/// Has the calling interpreter say when its end is near.
///
/// # Safety
/// Attached; `lifetime` is a capsule around the lifetime of the calling interpreter.
pub unsafe fn register(lifetime: *mut PyObject) -> Result<(), Raised> {
    static CLOSE: Definition = Definition::new(c"close", ffi::METH_NOARGS, close as *mut c_void);
    if !COUNTS_STARTS {
        return Ok(());
    }
    // SAFETY: as the caller promises.
    unsafe { CLOSE.register(lifetime, import_unseen(c"atexit"), c"register", None) }
}

/// Imports a module of the interpreter's own, and leaves it to the program to find it imported or not.
///
/// # Safety
/// Attached.
unsafe fn import_unseen(name: &'static CStr) -> *mut PyObject {
    // SAFETY: attached, as the caller promises.
    unsafe {
        let modules = ffi::PyImport_GetModuleDict();
        let known = ffi::PyMapping_HasKeyString(modules, name.as_ptr()) != 0;
        let module = ffi::PyImport_ImportModule(name.as_ptr());
        if !module.is_null()
            && !known
            && ffi::PyMapping_DelItemString(modules, name.as_ptr().cast_mut()) < 0
        {
            // Somebody else has.
            ffi::PyErr_Clear();
        }
        module
    }
}

unsafe extern "C-unwind" fn close(lifetime: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with what `register` has bound; the capsule lives as long
    // as the call.
    unsafe {
        let lifetime = ffi::PyCapsule_GetPointer(lifetime, ptr::null()).cast::<Lifetime>();
        (*lifetime).closing.close();
    }
    compat::none()
}
