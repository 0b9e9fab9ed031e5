//! How long an interpreter lives, for the threads that are about to join it.
//!
//! A thread makes its own state, which it can only do while the interpreter is there. The starter
//! does not wait for that, so the interpreter may end meanwhile, with many such threads on their
//! way. Neither side can do without the other's word:
//!
//! - a thread says that it is at it, and only then asks whether the interpreter ends; if so it
//!   leaves, with or without a state. It asks again when it has one: a state that is made while
//!   the interpreter ends is known to nobody there, and without a GIL nothing would stop its
//!   thread from running Python code among the ruins;
//! - the interpreter, when it clears what it owns, says that it is over and waits for those who
//!   are at it. They need nothing from it but that it is still there. Where the interpreter is
//!   freed in the end, it also waits for threads that found it ending while they waited to attach.
//!
//! Without a GIL that is not enough (see `closing`), and a fork is a third party. Neither a GIL nor the
//! stop of all threads keeps a thread that makes its state from doing so in the midst of a fork, with
//! locks of the interpreter's which nobody releases in the child: clearing the states of the dead
//! threads waits for them there for ever (`HEAD_LOCK` up to 3.11, the pool of bytecode indices in
//! 3.14). Without a GIL a thread that clears its own state can be stopped in the midst of it, and what
//! the child does then is to clear it once more: it takes the state off a list that it is not on
//! (`_Py_brc_remove_thread`, seen in 3.14), and crashes. So a thread that is about to fork says so,
//! waits for those who are at either, and the others wait for the fork.

use core::cell::Cell;
use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use core::time::Duration;
use std::sync::Arc;

use pyo3_ffi::{self as ffi, PyInterpreterState, PyObject, PyThreadState};

use crate::capi::compat::{self, PyEval_RestoreThread, PyEval_SaveThread};
use crate::capi::errors::Raised;
use crate::capi::refs::drop_ref;
use crate::capi::trashcan;
use crate::runtime::shutdown::{self, Closing, Epoch};
use crate::runtime::{blocking, idle_threads};
use crate::sync::turns;

/// How many threads, of whatever interpreter, are making their states.
static ENTERING: AtomicUsize = AtomicUsize::new(0);

/// How many threads are clearing their states; counted without a GIL only.
static CLEARING: AtomicUsize = AtomicUsize::new(0);

/// How many forks are about to come.
static FORKING: AtomicUsize = AtomicUsize::new(0);

/// How many forks have been announced, in all; and how many had been when a thread has waited for one
/// too long: none of these is waited for any more.
static ANNOUNCED: AtomicUsize = AtomicUsize::new(0);
static OVERDUE: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// The forks in which the calling thread is, as bits, the innermost one last: a hook may fork in the
    /// middle of a fork. Set while it is counted in [`FORKING`].
    static FORKS: Cell<u64> = const { Cell::new(0) };

    /// How many of those who clear their states are the calling thread, one at most: what it
    /// destroys may fork.
    static CLEARS: Cell<usize> = const { Cell::new(0) };
}

/// How long to leave others alone before looking again.
pub const MOMENT: Duration = Duration::from_micros(100);

/// How many moments a thread waits for a fork, and a fork for threads that end. One that takes longer
/// may be waiting for this very thread, in a hook, a finalizer or for a lock: better a lock lost in
/// the child, maybe, than a hang here.
const PATIENCE: usize = 10_000;

/// How long to let threads leave before they are counted again; how often nobody may have left
/// until nobody is taken to be on the way; and how often to look at most.
const LEAVING: Duration = Duration::from_millis(5);
const CALM: usize = 3;
const LOOKS: usize = 200;

/// Whether one interpreter is over.
pub struct Lifetime {
    over: AtomicBool,
    pub closing: Closing,
    /// How many threads that have ended may be kept for the next starts in this interpreter.
    pub kept_threads: AtomicUsize,
}

/// What a thread that wanted a state has got.
pub enum Entered {
    /// One that is attached to nothing yet.
    State(*mut PyThreadState),
    /// None, for want of memory.
    NoMemory,
    /// None, or none to be used: the interpreter ends.
    Over,
}

impl Lifetime {
    /// The lifetime of the calling interpreter, from now on.
    ///
    /// # Safety
    /// Attached.
    pub unsafe fn new() -> Result<Arc<Lifetime>, Raised> {
        // SAFETY: attached, as the caller promises.
        unsafe { trashcan::prepare()? };
        let lifetime = Arc::new(Lifetime {
            over: AtomicBool::new(false),
            closing: Closing::new(),
            kept_threads: AtomicUsize::new(0),
        });
        let theirs = Arc::into_raw(Arc::clone(&lifetime));
        // SAFETY: attached; new references are given back. What is in the interpreter's dict dies
        // when the interpreter is cleared: its modules are gone then and its threads stopped.
        unsafe {
            // It is called like a C function, and may be unwound.
            let end = core::mem::transmute::<
                unsafe extern "C-unwind" fn(*mut PyObject),
                unsafe extern "C" fn(*mut PyObject),
            >(end);
            let capsule = ffi::PyCapsule_New(theirs.cast_mut().cast(), ptr::null(), Some(end));
            if capsule.is_null() {
                drop(Arc::from_raw(theirs));
                return Err(Raised);
            }
            // Whatever goes wrong from here on, the capsule ends what nobody else knows.
            let dict = ffi::PyInterpreterState_GetDict(compat::interpreter());
            let key = ffi::PyLong_FromVoidPtr(theirs.cast_mut().cast::<c_void>());
            let stored = if dict.is_null() || key.is_null() {
                -1
            } else {
                ffi::PyDict_SetItem(dict, key, capsule)
            };
            let registered = if stored < 0 { Err(Raised) } else { shutdown::register(capsule) };
            drop_ref(key);
            drop_ref(capsule);
            if registered.is_err() {
                if ffi::PyErr_Occurred().is_null() {
                    ffi::PyErr_NoMemory();
                }
                return Err(Raised);
            }
        }
        Ok(lifetime)
    }

    /// Makes a state of the calling thread, which may be a `daemon`. A fork that is about to come is
    /// waited for unless its thread waits for this one (`within_fork`).
    ///
    /// # Safety
    /// This is the lifetime of `interpreter`; the thread has no state of it.
    pub unsafe fn enter(
        &self,
        interpreter: *mut PyInterpreterState,
        daemon: bool,
        within_fork: bool,
    ) -> Entered {
        // In this order, in all threads alike: either `end` waits for this one, or is heard of. The
        // same goes for forks.
        if within_fork {
            ENTERING.fetch_add(1, Ordering::SeqCst);
        } else {
            count_between_forks(&ENTERING, || std::thread::sleep(MOMENT));
        }
        let entered = if self.is_over() {
            Entered::Over
        } else {
            // SAFETY: the interpreter is there as long as this thread is counted.
            let state = unsafe { compat::new_thread_state(interpreter, daemon) };
            if state.is_null() {
                Entered::NoMemory
            } else if self.is_over() {
                // Not to be touched any more, and so left behind.
                Entered::Over
            } else {
                Entered::State(state)
            }
        };
        ENTERING.fetch_sub(1, Ordering::SeqCst);
        entered
    }

    /// The calling thread has come to its end, and is about to drop what it was started with. To be
    /// followed by [`Lifetime::delete_state`] with what this gives.
    ///
    /// # Safety
    /// This is the lifetime of `interpreter`; attached to it. This may be the end of the thread.
    pub unsafe fn begin_exit(&self, interpreter: *mut PyInterpreterState) -> Epoch {
        // SAFETY: as the caller promises.
        unsafe { self.closing.leave(interpreter) }
    }

    /// Gives up the calling thread's state.
    ///
    /// # Safety
    /// Attached with `state`, to none afterwards; `counted` is from [`Lifetime::begin_exit`]. This
    /// may be the end of the thread.
    pub unsafe fn delete_state(&self, state: *mut PyThreadState, counted: Epoch) {
        // SAFETY: as the caller promises.
        unsafe {
            if !compat::IS_FREE_THREADED {
                give_up(state);
                // A thread that joins this one may look for that.
                turns::let_others_run();
                return;
            }
            // No fork may come in the midst of it.
            count_between_forks(&CLEARING, || blocking::pause(MOMENT));
            CLEARS.set(1);
            give_up(state);
            CLEARS.set(0);
            CLEARING.fetch_sub(1, Ordering::SeqCst);
            self.closing.has_left(counted);
        }
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst) || compat::is_finalizing()
    }
}

/// # Safety
/// Attached with `state`, which is gone afterwards.
unsafe fn give_up(state: *mut PyThreadState) {
    // SAFETY: as the caller promises.
    unsafe {
        compat::PyThreadState_Clear(state);
        compat::PyThreadState_DeleteCurrent();
    }
}

/// Counts the calling thread among those for whom a fork waits; if there is one, after that.
fn count_between_forks(those: &AtomicUsize, pause: impl Fn()) {
    those.fetch_add(1, Ordering::SeqCst);
    let mut patience = PATIENCE;
    while is_fork_near() {
        if patience == 0 {
            // Once for all: the next thread does not wait for the same forks.
            OVERDUE.fetch_max(ANNOUNCED.load(Ordering::SeqCst), Ordering::SeqCst);
            return;
        }
        those.fetch_sub(1, Ordering::SeqCst);
        pause();
        patience -= 1;
        those.fetch_add(1, Ordering::SeqCst);
    }
}

/// Whether the calling thread has announced a fork that is still to come.
pub fn is_within_fork() -> bool {
    FORKS.get() != 0
}

/// Whether a fork is about to come that is not overdue.
fn is_fork_near() -> bool {
    FORKING.load(Ordering::SeqCst) > 0
        && ANNOUNCED.load(Ordering::SeqCst) != OVERDUE.load(Ordering::SeqCst)
}

/// The interpreter is being cleared.
unsafe extern "C-unwind" fn end(capsule: *mut PyObject) {
    // SAFETY: called by CPython, attached, with the capsule, which owns its reference.
    unsafe {
        let lifetime = ffi::PyCapsule_GetPointer(capsule, ptr::null()).cast::<Lifetime>();
        (*lifetime).over.store(true, Ordering::SeqCst);
        wait_for_those_who_enter();
        if compat::LATE_THREADS_NEED_INTERPRETER && compat::is_finalizing() {
            idle_threads::drain();
            wait_for_those_who_leave();
        }
        drop(Arc::from_raw(lifetime));
    }
}

/// Returns when nobody is making a state.
///
/// # Safety
/// Attached.
unsafe fn wait_for_those_who_enter() {
    if ENTERING.load(Ordering::SeqCst) > 0 {
        // SAFETY: attached, as the caller promises. Detached meanwhile: without a GIL, one of them
        // may want to stop all others for a moment.
        unsafe {
            let state = PyEval_SaveThread();
            while ENTERING.load(Ordering::SeqCst) > 0 {
                std::thread::sleep(MOMENT);
            }
            PyEval_RestoreThread(state);
        }
    }
}

/// Returns when the threads that were waiting to attach when the end began have found out that they
/// have to end. Nobody else comes any more: whoever does so later is told at the door.
///
/// # Safety
/// Attached, and the interpreter ends.
unsafe fn wait_for_those_who_leave() {
    let mut threads = thread_count();
    let mut calm = 0;
    let mut looks = 0;
    while threads != 1 && calm < CALM && looks < LOOKS {
        // SAFETY: attached, as the caller promises. Detached meanwhile: each of them is let in, and
        // ends, and lets the next one in.
        unsafe { blocking::pause(LEAVING) };
        let left = core::mem::replace(&mut threads, thread_count());
        calm = if left == threads { calm + 1 } else { 0 };
        looks += 1;
    }
}

/// How many threads the process has; 0 where the system does not say.
fn thread_count() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

/// The calling thread is about to fork, and the other threads run still.
///
/// # Safety
/// Attached.
pub unsafe fn before_fork() {
    // First: a thread that gives up its state waits for forks.
    // SAFETY: as the caller promises.
    unsafe { idle_threads::announce_fork() };
    FORKS.set(FORKS.get() << 1 | 1);
    ANNOUNCED.fetch_add(1, Ordering::SeqCst);
    FORKING.fetch_add(1, Ordering::SeqCst);
    // SAFETY: as the caller promises.
    unsafe { wait_for_those_who_enter() };
    let mut patience = PATIENCE;
    while CLEARING.load(Ordering::SeqCst) > CLEARS.get() && patience > 0 {
        // SAFETY: as the caller promises.
        unsafe { blocking::pause(MOMENT) };
        patience -= 1;
    }
}

/// By the thread that has forked, or has tried to: before any Python code runs. A program that forks
/// without Python has announced none.
pub fn has_forked() {
    let forks = FORKS.get();
    if forks & 1 == 1 {
        FORKS.set(forks & !1);
        FORKING.fetch_sub(1, Ordering::SeqCst);
        idle_threads::fork_is_over();
    }
}

/// By the thread that has announced a fork, when that is over, also if no fork came of it.
pub fn after_fork_in_parent() {
    has_forked();
    FORKS.set(FORKS.get() >> 1);
}

/// In the child of a fork nobody else is at anything.
pub fn after_fork_in_child() {
    FORKS.set(0);
    FORKING.store(0, Ordering::SeqCst);
    ENTERING.store(0, Ordering::SeqCst);
    CLEARING.store(CLEARS.get(), Ordering::SeqCst);
}
