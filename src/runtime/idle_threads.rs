//! Finished threads that are kept for the next start. ARCHITECTURE.md has a summary ("kept
//! thread").
//!
//! A kept thread waits here for its next job, without an interpreter. It has no thread state, or
//! one that is detached and as good as new (`compat::set_down`). For the program it has ended. It
//! really ends when it had nothing to do for [`IDLE`], when [`drain`] is called, or after a job
//! after which it may not be kept.
//!
//! The operating system's thread always has exactly one owner. The owner is the handle of its job,
//! or the job itself if that has no handle, or the pool while the thread is kept. A kept thread
//! that ends leaves itself in the pool, to be joined by the next one that ends, or by `drain`. So
//! after `drain` the operating system knows none of these threads any more. A fork needs this,
//! because CPython warns at a fork if the process has other threads.

use core::cell::{Cell, UnsafeCell};
use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use core::time::Duration;
use std::sync::Arc;
use std::time::Instant;

use pyo3_ffi::PyInterpreterState;

use crate::capi::compat::{self, Gil, Kept};
use crate::capi::object::Attached;
use crate::runtime::blocking::{self, Subject};
use crate::runtime::lifetime::{Lifetime, MOMENT};
use crate::runtime::os_thread::{Inherited, OsThread};
use crate::runtime::try_arc::{RawArc, TryArc};
use crate::sync::spin::{self, Looked, Place as Spot};
use crate::sync::{Awaitable, Caller, Deadline, Event, Mutex, Waiter, fork, turns, wait_with};

/// How long a thread is kept without a job.
const IDLE: Duration = Duration::from_secs(1);

/// How many moments `drain` waits for the next thread to end.
const PATIENCE: usize = 10_000;

/// How many starts were served by kept threads, and how many of those threads had kept their
/// states.
static STARTS: AtomicUsize = AtomicUsize::new(0);
static WITH_STATE: AtomicUsize = AtomicUsize::new(0);

/// A thread that can be kept.
pub struct Worker {
    pub thread: OsThread,
    /// Its identifier, and the number that the operating system gave it.
    pub ident: u64,
    native: core::ffi::c_ulong,
    /// The stack size that was asked for.
    stack: usize,
    /// Set when there is a job, or when the thread has to end.
    wake: Event,
    /// The argument of its next job; null if the thread has to end.
    job: AtomicPtr<c_void>,
    /// The attributes that the job inherits from its starter. The starter writes it before it sets
    /// `wake`, and the thread reads it afterwards.
    inherited: UnsafeCell<Option<Inherited>>,
    /// The GIL that the starter holds, and the era (`sync::turns`) when it gave the job. Written
    /// and read like `inherited`.
    turn: Cell<Option<(Gil, u32)>>,
    /// The state that the thread has kept, with its interpreter and lifetime. The thread writes it
    /// while the worker is in no list.
    state: Cell<Option<(Kept, *mut PyInterpreterState, *const Lifetime)>>,
    /// Accessed under the mutex of the pool.
    is_listed: Cell<bool>,
    next: Cell<Option<RawArc<Worker>>>,
}

// SAFETY: a field that is not made for sharing is accessed under the mutex of the pool, or as its
// comment says.
unsafe impl Send for Worker {}
// SAFETY: as above.
unsafe impl Sync for Worker {}

struct Pool {
    /// The kept threads, the latest first. The list owns a reference to each of its workers.
    first: Option<RawArc<Worker>>,
    count: usize,
    /// How many threads were taken out of the list in order to end, and have not ended yet.
    leaving: usize,
    /// How many forks are announced and not over.
    forks: usize,
    /// The thread that was the last to end. It has not been joined.
    ended: Option<OsThread>,
}

// SAFETY: workers are made for sharing.
unsafe impl Send for Pool {}

static POOL: Mutex<Pool> =
    Mutex::new(Pool { first: None, count: 0, leaving: 0, forks: 0, ended: None });

impl Pool {
    fn add(&mut self, worker: RawArc<Worker>) {
        // SAFETY: valid, because the caller passes a reference on to the list.
        let listed = unsafe { worker.get() };
        listed.is_listed.set(true);
        listed.next.set(self.first.replace(worker));
        self.count += 1;
    }

    /// Takes the first fitting worker out of the list. The list's reference to it passes to the
    /// caller.
    fn take(&mut self, fits: impl Fn(&Worker) -> bool) -> Option<RawArc<Worker>> {
        let mut before: Option<RawArc<Worker>> = None;
        let mut at = self.first;
        while let Some(place) = at {
            // SAFETY: workers in the list are valid under its mutex.
            unsafe {
                let worker = place.get();
                at = worker.next.get();
                if fits(worker) {
                    match before {
                        Some(before) => before.get().next.set(at),
                        None => self.first = at,
                    }
                    worker.is_listed.set(false);
                    self.count -= 1;
                    return Some(place);
                }
            }
            before = Some(place);
        }
        None
    }
}

/// The next step of a kept thread.
pub enum Next {
    /// The argument of a job.
    Job(*mut c_void),
    /// It ends.
    End,
}

/// A kept thread as a caller of [`wait_with`]: it has no interpreter, and spins for a moment before
/// it sleeps.
struct Idle;

impl Caller for Idle {
    type Raised = core::convert::Infallible;
    const SPINS: bool = true;

    unsafe fn run_signal_handlers(&self) -> Result<(), Self::Raised> {
        Ok(())
    }
}

impl Worker {
    /// Makes a worker for the calling thread. None if there is no memory.
    pub fn new(stack: usize) -> Option<TryArc<Worker>> {
        TryArc::new(Worker {
            thread: OsThread::current(),
            ident: compat::thread_ident(),
            // SAFETY: there is nothing to promise.
            native: unsafe { compat::PyThread_get_thread_native_id() },
            stack,
            wake: Event::new(),
            job: AtomicPtr::new(ptr::null_mut()),
            inherited: UnsafeCell::new(None),
            turn: Cell::new(None),
            state: Cell::new(None),
            is_listed: Cell::new(false),
            next: Cell::new(None),
        })
    }

    /// Gives a job to a thread that was claimed.
    pub fn give(&self, job: *mut c_void) {
        self.job.store(job, Ordering::Relaxed);
        let _ = self.wake.set();
    }

    /// Called by the thread before it attaches. Waits until its starter has released the GIL, if
    /// that is likely to be soon. A thread that slept instead would need one more wake-up.
    pub fn await_turn(&self) {
        if compat::IS_FREE_THREADED {
            return;
        }
        let Some((gil, era)) = self.turn.take() else { return };
        let place = Spot::new(ptr::from_ref(self).addr()).later();
        let is_free = || gil.is_free().unwrap_or_else(|| turns::era() != era);
        if spin::spin(place, is_free) == Looked::Found {
            turns::give_others_a_chance();
        }
    }

    /// Called by the thread: takes the state out, if one was kept.
    pub fn take_state(&self) -> Option<(Kept, Arc<Lifetime>)> {
        let (kept, _, lifetime) = self.state.take()?;
        // SAFETY: `keep_state` has left a reference.
        Some((kept, unsafe { Arc::from_raw(lifetime) }))
    }

    /// Called by the thread before it is kept: leaves its state here.
    pub fn keep_state(
        &self,
        kept: Kept,
        interpreter: *mut PyInterpreterState,
        lifetime: Arc<Lifetime>,
    ) {
        self.state.set(Some((kept, interpreter, Arc::into_raw(lifetime))));
    }

    /// Called by the thread, which is in the list or was in it. Returns when there is a job, or
    /// when the thread has to end.
    ///
    /// Not inlined, see `thread_module::start::run`.
    #[inline(never)]
    pub fn wait(&self) -> Next {
        spin::expect(self.wake.place());
        if !self.sleep(Instant::now().checked_add(IDLE)) {
            let mut pool = POOL.lock();
            if self.is_listed.get() {
                // SAFETY: in the list, which owns a reference to it. The thread owns another one,
                // so the worker stays valid.
                unsafe {
                    pool.take(|worker| ptr::eq(worker, self)).map(|place| drop(place.into_arc()))
                };
                pool.leaving += 1;
                self.count_leaving();
                return Next::End;
            }
            drop(pool);
            // The thread was claimed just before its time was up: the job is about to come.
            self.sleep(None);
        }
        let _ = self.wake.clear();
        let job = self.job.load(Ordering::Relaxed);
        if job.is_null() { Next::End } else { Next::Job(job) }
    }

    fn sleep(&self, deadline: Deadline) -> bool {
        let waiter = Waiter::new();
        // SAFETY: the waiter outlives this call, and nothing unwinds this frame.
        let Ok(waited) = unsafe { wait_with(&Idle, &waiter, &self.wake, deadline, false, false) };
        waited == blocking::Waited::Got
    }

    /// Counts a thread that is about to clear its kept state, so that finalization waits for it.
    fn count_leaving(&self) {
        if let Some((_, _, lifetime)) = self.state.get() {
            // SAFETY: the worker owns a reference to the lifetime.
            unsafe { (*lifetime).closing.count_leaving() };
        }
    }

    /// Called by the thread: takes over from its starter all that a new thread would inherit.
    pub fn inherit(&self) {
        // SAFETY: the starter wrote it before it set the event. No other thread writes it before
        // the next job.
        if let Some(inherited) = unsafe { (*self.inherited.get()).take() } {
            inherited.apply();
        }
    }
}

/// Whether one more thread may be kept, if `limit` threads may be kept in all. The answer may be
/// out of date when the thread is about to be kept.
pub fn may_keep(limit: usize) -> bool {
    limit > 0 && {
        let pool = POOL.lock();
        pool.count < limit && pool.forks == 0
    }
}

/// Keeps the calling thread, to which the worker belongs. `disown` takes the operating system's
/// thread from its owner. If it returns false, the thread is not kept. From here on another thread
/// may give this one its next job. The thread has blocked all signals.
///
/// # Safety
/// The calling thread owns a reference to the worker.
pub unsafe fn keep(worker: RawArc<Worker>, limit: usize, disown: impl FnOnce() -> bool) -> bool {
    let mut pool = POOL.lock();
    if pool.count >= limit || pool.forks > 0 || !disown() {
        return false;
    }
    // SAFETY: as the caller promises.
    let Some(listed) = (unsafe { worker.upgrade() }) else { return false };
    pool.add(listed.into_raw());
    true
}

/// Claims a kept thread for a job in this interpreter, which is the caller's. It has this stack
/// size, and inherits the same from the caller as a new thread. The caller then gives it the job.
/// None if no kept thread fits.
pub fn claim(
    _: Attached<'_>,
    stack: usize,
    interpreter: *mut PyInterpreterState,
) -> Option<TryArc<Worker>> {
    let fits = |worker: &Worker| {
        worker.stack == stack && worker.state.get().is_none_or(|(_, of, _)| of == interpreter)
    };
    loop {
        let place = POOL.lock().take(fits)?;
        // SAFETY: the list's reference passes to this function. The thread waits for its job.
        let worker = unsafe { place.into_arc() };
        if let Some(inherited) = Inherited::for_thread(worker.native) {
            STARTS.fetch_add(1, Ordering::Relaxed);
            if worker.state.get().is_some() {
                WITH_STATE.fetch_add(1, Ordering::Relaxed);
            }
            // SAFETY: the thread does not read this before the event is set.
            unsafe { *worker.inherited.get() = Some(inherited) };
            // SAFETY: attached.
            worker.turn.set(Some((unsafe { Gil::of_this_interpreter() }, turns::era())));
            return Some(worker);
        }
        // The thread cannot be made like its starter, so it has to end.
        POOL.lock().leaving += 1;
        worker.count_leaving();
        worker.give(ptr::null_mut());
    }
}

/// Called by a thread that was kept and has no state any more, just before it ends.
pub fn leave(thread: OsThread) {
    let before = {
        let mut pool = POOL.lock();
        pool.leaving -= 1;
        pool.ended.replace(thread)
    };
    if let Some(before) = before {
        // SAFETY: the pool was its only owner.
        unsafe { before.join() };
    }
}

/// Ends all kept threads, and returns when they have ended. False if there was none.
pub fn drain(py: Attached<'_>) -> bool {
    {
        let pool = POOL.lock();
        if pool.first.is_none() && pool.leaving == 0 && pool.ended.is_none() {
            return false;
        }
    }
    blocking::detached(py, Subject::INTERPRETER, end_all);
    true
}

fn end_all() {
    let epoch = fork::epoch();
    loop {
        let place = {
            let mut pool = POOL.lock();
            let place = pool.take(|_| true);
            if place.is_some() {
                pool.leaving += 1;
            }
            place
        };
        // SAFETY: the list's reference passes to this function.
        let Some(worker) = place.map(|place| unsafe { place.into_arc() }) else { break };
        worker.count_leaving();
        worker.give(ptr::null_mut());
    }
    let mut patience = PATIENCE;
    let ended = loop {
        {
            let mut pool = POOL.lock();
            if pool.leaving == 0 || patience == 0 || fork::epoch() != epoch {
                break pool.ended.take();
            }
        }
        std::thread::sleep(MOMENT);
        patience -= 1;
    };
    if let Some(ended) = ended {
        // SAFETY: the pool was its only owner.
        unsafe { ended.join() };
    }
}

/// How many threads are kept; how many starts were served by kept threads; and how many of these
/// threads had kept their states.
pub fn numbers() -> [usize; 3] {
    let kept = POOL.lock().count;
    [kept, STARTS.load(Ordering::Relaxed), WITH_STATE.load(Ordering::Relaxed)]
}

/// A fork is about to come. No thread is kept until it is over.
pub fn announce_fork(py: Attached<'_>) {
    POOL.lock().forks += 1;
    drain(py);
}

/// The fork is over. Called in the parent.
pub fn fork_is_over() {
    let mut pool = POOL.lock();
    pool.forks = pool.forks.saturating_sub(1);
}

/// Keeps the pool consistent across a fork.
#[cfg(unix)]
pub fn before_fork() {
    POOL.lock_before_fork();
}

/// # Safety
/// After [`before_fork`], in the same thread.
#[cfg(unix)]
pub unsafe fn after_fork_in_parent() {
    // SAFETY: as the caller promises.
    unsafe { POOL.unlock_after_fork() };
}

/// The kept threads do not exist in the child.
///
/// # Safety
/// As [`after_fork_in_parent`].
#[cfg(unix)]
pub unsafe fn after_fork_in_child() {
    // SAFETY: as the caller promises.
    unsafe { POOL.unlock_after_fork() };
    *POOL.lock() = Pool { first: None, count: 0, leaving: 0, forks: 0, ended: None };
}
