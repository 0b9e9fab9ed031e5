//! The lifetime of an interpreter, for threads that are about to enter it.
//!
//! A thread makes its own thread state, which is possible only while the interpreter exists. The
//! starter does not wait for that. So the interpreter may end while many threads are about to make
//! their states. The two sides follow a protocol:
//!
//! - The thread first counts itself as entering, and only then asks whether the interpreter is
//!   over. If it is, the thread ends, with or without a state. The thread asks again after it has
//!   made a state: finalization does not know a state that is made during it. Without a GIL nothing
//!   would then stop the thread from running Python code in an interpreter that is partly
//!   destroyed.
//! - The interpreter, when it clears its objects, says that it is over, and waits for the threads
//!   that are entering. They only need the interpreter to exist still. Where the interpreter's
//!   memory is freed in the end, it also waits for threads that were waiting to attach and found it
//!   ending.
//!
//! Without a GIL more is needed, see `runtime::shutdown`. A fork complicates both:
//!
//! - A thread that makes its state can do so during a fork. Neither a GIL nor the stop of all
//!   threads prevents it. The thread may hold locks of the interpreter then, which no thread
//!   releases in the child. There the clearing of the states of dead threads waits for such a lock
//!   for ever (`HEAD_LOCK` up to 3.11, the pool of bytecode indices in 3.14).
//! - Without a GIL a thread that clears its own state can be stopped in the middle. The child then
//!   clears the state once more, removes it from a list that it is not on (`_Py_brc_remove_thread`,
//!   seen in 3.14), and crashes.
//!
//! So a thread that is about to fork announces the fork, and waits for threads that are making or
//! clearing their states. Other threads wait for the fork before they begin to do either.

use core::cell::Cell;
use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use core::time::Duration;
use std::sync::Arc;

use pyo3_ffi::{self as ffi, PyInterpreterState, PyObject, PyThreadState};

use crate::capi::compat;
use crate::capi::errors::Raised;
use crate::capi::object::{Attached, Borrowed, Dict, release};
use crate::capi::trashcan;
use crate::runtime::blocking::{self, Subject};
use crate::runtime::idle_threads;
use crate::runtime::shutdown::{self, Closing, Epoch};
use crate::sync::turns;

/// How many threads, of any interpreter, are making their states.
static ENTERING: AtomicUsize = AtomicUsize::new(0);

/// How many threads are clearing their states. Counted only without a GIL.
static CLEARING: AtomicUsize = AtomicUsize::new(0);

/// How many forks are announced and have not happened yet.
static FORKING: AtomicUsize = AtomicUsize::new(0);

/// How many forks have been announced so far; and the value of that number when a thread had waited
/// too long. No thread waits for a fork that is overdue in this sense.
static ANNOUNCED: AtomicUsize = AtomicUsize::new(0);
static OVERDUE: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// The forks that the calling thread is in the middle of, one bit each, the innermost in the
    /// lowest bit: a hook may fork during a fork. A bit is set while its fork is counted in
    /// [`FORKING`].
    static FORKS: Cell<u64> = const { Cell::new(0) };

    /// One while the calling thread is counted in [`CLEARING`], else zero. Finalizers run
    /// meanwhile, and may fork.
    static CLEARS: Cell<usize> = const { Cell::new(0) };
}

/// How long to wait before looking again.
pub const MOMENT: Duration = Duration::from_micros(100);

/// How many moments a thread waits for a fork, and a fork for threads that clear their states. If
/// it takes longer, the other side may itself be waiting for this thread: in a hook, in a finalizer
/// or for a lock. Going on may leave a lock held in the child, but waiting on would hang here.
const PATIENCE: usize = 10_000;

/// How long threads get to end before they are counted again. How often in a row the number has to
/// stay the same until no more threads are expected to end. How often to count at most.
const LEAVING: Duration = Duration::from_millis(5);
const CALM: usize = 3;
const LOOKS: usize = 200;

/// Whether one interpreter is over, and what threads have to know before that.
pub struct Lifetime {
    over: AtomicBool,
    pub closing: Closing,
    /// How many threads that have ended may be kept for the next starts in this interpreter.
    pub kept_threads: AtomicUsize,
}

/// The result of [`Lifetime::enter`].
pub enum Entered {
    /// A state, which is not attached yet.
    State(*mut PyThreadState),
    /// No state, because there is no memory.
    NoMemory,
    /// No state, or one that must not be used: the interpreter is ending.
    Over,
}

impl Lifetime {
    /// The lifetime of the calling interpreter, which begins now.
    pub fn new(py: Attached<'_>) -> Result<Arc<Lifetime>, Raised> {
        // SAFETY: attached.
        unsafe { trashcan::prepare()? };
        // Not an `Arc` until the end, so that this frame has no value with a destructor.
        let lifetime = Arc::into_raw(Arc::new(Lifetime {
            over: AtomicBool::new(false),
            closing: Closing::new(),
            kept_threads: AtomicUsize::new(0),
        }));
        // SAFETY: the reference of this function is taken back at its end. The other one is for the
        // interpreter.
        unsafe {
            Arc::increment_strong_count(lifetime);
            let given = give_to_interpreter(py, lifetime);
            let lifetime = Arc::from_raw(lifetime);
            given.map(|()| lifetime)
        }
    }

    /// Makes a state of the calling thread. The thread waits for a fork that is about to come. It
    /// must not if the forking thread waits for it, which `within_fork` says. Finalization does not
    /// wait for a `daemon`.
    ///
    /// # Safety
    /// This is the lifetime of `interpreter`. The thread has no state in it.
    pub unsafe fn enter(
        &self,
        interpreter: *mut PyInterpreterState,
        daemon: bool,
        within_fork: bool,
    ) -> Entered {
        // Counted before the check: either `end` waits for this thread, or this thread sees that
        // the interpreter is over. The same order serves the forks.
        if within_fork {
            ENTERING.fetch_add(1, Ordering::SeqCst);
        } else {
            count_between_forks(&ENTERING, || std::thread::sleep(MOMENT));
        }
        let entered = if self.is_over() {
            Entered::Over
        } else {
            // SAFETY: the interpreter exists as long as this thread is counted.
            let state = unsafe { compat::new_thread_state(interpreter, daemon) };
            if state.is_null() {
                Entered::NoMemory
            } else if self.is_over() {
                // The state must not be touched any more, so it is leaked.
                Entered::Over
            } else {
                Entered::State(state)
            }
        };
        ENTERING.fetch_sub(1, Ordering::SeqCst);
        entered
    }

    /// The calling thread has come to its end, and is about to drop its function and arguments.
    /// This is the lifetime of `interpreter`, to which the thread is attached. The result is to be
    /// passed to [`Lifetime::delete_state`]. This may end the thread.
    pub fn begin_exit(&self, py: Attached<'_>, interpreter: *mut PyInterpreterState) -> Epoch {
        self.closing.leave(py, interpreter)
    }

    /// Clears and deletes the calling thread's state.
    ///
    /// # Safety
    /// Attached with `state`; afterwards no state is attached. `counted` is from
    /// [`Lifetime::begin_exit`], or the epoch in which the thread was counted by
    /// [`Closing::count_leaving`]. This may end the thread.
    pub unsafe fn delete_state(&self, state: *mut PyThreadState, counted: Epoch) {
        if !compat::IS_FREE_THREADED {
            // SAFETY: as the caller promises.
            unsafe { give_up(state) };
            // Tells a thread that waits for this one, and may be spinning, that the GIL has been
            // released.
            turns::let_others_run();
            return;
        }
        // No fork may come while the state is cleared.
        // SAFETY: attached until the state is given up.
        count_between_forks(&CLEARING, || blocking::pause(unsafe { Attached::assume() }, MOMENT));
        CLEARS.set(1);
        // SAFETY: as the caller promises.
        unsafe { give_up(state) };
        CLEARS.set(0);
        CLEARING.fetch_sub(1, Ordering::SeqCst);
        self.closing.has_left(counted);
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst) || compat::is_finalizing()
    }
}

/// Makes a capsule around the lifetime, and puts it into the dict of the interpreter. That dict is
/// cleared with the interpreter. At that time its modules are gone and its threads are stopped.
///
/// # Safety
/// A reference to the lifetime passes to this function.
unsafe fn give_to_interpreter(py: Attached<'_>, theirs: *const Lifetime) -> Result<(), Raised> {
    // SAFETY: attached. CPython calls the function like a C function. The only difference is that
    // it may be unwound.
    let capsule = unsafe {
        let end = core::mem::transmute::<
            unsafe extern "C-unwind" fn(*mut PyObject),
            unsafe extern "C" fn(*mut PyObject),
        >(end);
        py.own(ffi::PyCapsule_New(theirs.cast_mut().cast(), ptr::null(), Some(end)))
    };
    let Ok(capsule) = capsule else {
        // SAFETY: as the caller promises.
        drop(unsafe { Arc::from_raw(theirs) });
        return Err(Raised);
    };
    // If anything fails from here on, the destructor of the capsule ends this lifetime, which no
    // other code knows.
    // SAFETY: made above.
    let stored = unsafe { store(py, theirs, capsule.borrow()) };
    capsule.release(py);
    if stored.is_err() && !py.error_is_set() {
        return Err(py.no_memory());
    }
    stored
}

/// Puts the capsule into the dict of the interpreter, and registers it with `shutdown`.
///
/// # Safety
/// A capsule around the lifetime.
unsafe fn store(
    py: Attached<'_>,
    theirs: *const Lifetime,
    capsule: Borrowed<'_>,
) -> Result<(), Raised> {
    // SAFETY: attached; the interpreter owns its dict.
    let (dict, key) = unsafe {
        let dict = ffi::PyInterpreterState_GetDict(py.interpreter());
        let dict = Borrowed::assume_if_any(dict).map(|dict| Dict::assume(dict));
        (dict, py.own(ffi::PyLong_FromVoidPtr(theirs.cast_mut().cast::<c_void>())))
    };
    let stored = match (dict, &key) {
        (Some(dict), Ok(key)) => dict.set(py, key.borrow(), capsule),
        _ => Err(Raised),
    };
    // SAFETY: as the caller promises.
    let registered = stored.and_then(|()| unsafe { shutdown::register(py, capsule) });
    release(key.ok(), py);
    registered
}

/// The lifetime in a capsule, which owns a reference to it.
///
/// # Safety
/// A capsule from [`Lifetime::new`].
pub unsafe fn in_capsule(_: Attached<'_>, capsule: Borrowed<'_>) -> *const Lifetime {
    // SAFETY: attached; a capsule without a name.
    unsafe { ffi::PyCapsule_GetPointer(capsule.as_ptr(), ptr::null()).cast() }
}

/// # Safety
/// Attached with `state`, which does not exist afterwards.
unsafe fn give_up(state: *mut PyThreadState) {
    // SAFETY: as the caller promises.
    unsafe {
        compat::PyThreadState_Clear(state);
        compat::PyThreadState_DeleteCurrent();
    }
}

/// Counts the calling thread in `those`, so that a fork waits for it. If a fork is about to come,
/// the thread is counted after the fork.
fn count_between_forks(those: &AtomicUsize, pause: impl Fn()) {
    those.fetch_add(1, Ordering::SeqCst);
    let mut patience = PATIENCE;
    while is_fork_near() {
        if patience == 0 {
            // For all threads: the next one does not wait for the same forks.
            OVERDUE.fetch_max(ANNOUNCED.load(Ordering::SeqCst), Ordering::SeqCst);
            return;
        }
        those.fetch_sub(1, Ordering::SeqCst);
        pause();
        patience -= 1;
        those.fetch_add(1, Ordering::SeqCst);
    }
}

/// Whether the calling thread is between the two hooks of a fork.
pub fn is_within_fork() -> bool {
    FORKS.get() != 0
}

/// Whether a fork is about to come that is not overdue.
fn is_fork_near() -> bool {
    FORKING.load(Ordering::SeqCst) > 0
        && ANNOUNCED.load(Ordering::SeqCst) != OVERDUE.load(Ordering::SeqCst)
}

/// The destructor of the capsule. CPython calls it when it clears the interpreter.
unsafe extern "C-unwind" fn end(capsule: *mut PyObject) {
    // SAFETY: called by CPython, attached, with the capsule.
    let (py, theirs) = unsafe {
        let py = Attached::assume();
        (py, in_capsule(py, Borrowed::assume(capsule)))
    };
    // SAFETY: the capsule owns a reference to the lifetime.
    unsafe { (*theirs).over.store(true, Ordering::SeqCst) };
    wait_for_those_who_enter(py);
    if compat::LATE_THREADS_NEED_INTERPRETER && compat::is_finalizing() {
        idle_threads::drain(py);
        wait_for_those_who_leave(py);
    }
    // SAFETY: as above; the capsule is about to be freed.
    drop(unsafe { Arc::from_raw(theirs) });
}

/// Returns when no thread is making a state.
fn wait_for_those_who_enter(py: Attached<'_>) {
    if ENTERING.load(Ordering::SeqCst) > 0 {
        // Detached during the wait: without a GIL, one of the threads may want to stop all others
        // for a moment.
        blocking::detached(py, Subject::INTERPRETER, || {
            while ENTERING.load(Ordering::SeqCst) > 0 {
                std::thread::sleep(MOMENT);
            }
        });
    }
}

/// Returns when no more threads end. Called when the interpreter ends, for the threads that were
/// waiting to attach at that time: each of them finds out that it has to end. No further thread
/// gets that far, because it is refused earlier.
fn wait_for_those_who_leave(py: Attached<'_>) {
    let mut threads = thread_count();
    let mut calm = 0;
    let mut looks = 0;
    while threads != 1 && calm < CALM && looks < LOOKS {
        // Detached during the pause, so that each of the threads gets the GIL, ends, and lets the
        // next one have it.
        blocking::pause(py, LEAVING);
        let left = core::mem::replace(&mut threads, thread_count());
        calm = if left == threads { calm + 1 } else { 0 };
        looks += 1;
    }
}

/// The number of threads of the process; 0 if the system does not tell.
fn thread_count() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

/// Announces a fork of the calling thread. The other threads are still running.
pub fn before_fork(py: Attached<'_>) {
    // First, because a kept thread that clears its state waits for forks.
    idle_threads::announce_fork(py);
    FORKS.set(FORKS.get() << 1 | 1);
    ANNOUNCED.fetch_add(1, Ordering::SeqCst);
    FORKING.fetch_add(1, Ordering::SeqCst);
    wait_for_those_who_enter(py);
    let mut patience = PATIENCE;
    while CLEARING.load(Ordering::SeqCst) > CLEARS.get() && patience > 0 {
        blocking::pause(py, MOMENT);
        patience -= 1;
    }
}

/// The calling thread has forked, or has tried to. To be called before any Python code runs. A fork
/// that is not made by Python was not announced.
pub fn has_forked() {
    let forks = FORKS.get();
    if forks & 1 == 1 {
        FORKS.set(forks & !1);
        FORKING.fetch_sub(1, Ordering::SeqCst);
        idle_threads::fork_is_over();
    }
}

/// A fork that the calling thread has announced is over, even if it did not come.
pub fn after_fork_in_parent() {
    has_forked();
    FORKS.set(FORKS.get() >> 1);
}

/// In the child of a fork no other thread is making or clearing a state.
pub fn after_fork_in_child() {
    FORKS.set(0);
    FORKING.store(0, Ordering::SeqCst);
    ENTERING.store(0, Ordering::SeqCst);
    CLEARING.store(CLEARS.get(), Ordering::SeqCst);
}
