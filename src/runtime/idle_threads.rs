//! Finished threads that are kept for the next start: see "Kept threads" in ARCHITECTURE.md.
//!
//! A kept thread waits here for its next job, without an interpreter: it has no thread state, or one that
//! is detached and to which nothing was done (`compat::set_down`). For the program it has ended. Three
//! things end it: nothing to do for [`IDLE`], [`drain`], and a job after which it may not be kept.
//!
//! The operating system's thread is always owned by exactly one: by the handle of its job, by its job if
//! that has no handle, or, while it is kept, by the pool. A kept thread that ends leaves itself to the next
//! one, or to `drain`, to be joined: after `drain` the system does not know any of them any more, as a fork
//! needs it, which warns of other threads.

use core::cell::{Cell, UnsafeCell};
use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use core::time::Duration;
use std::sync::Arc;
use std::time::Instant;

use pyo3_ffi::PyInterpreterState;

use crate::capi::compat::{self, Gil, Kept};
use crate::runtime::blocking;
use crate::runtime::lifetime::{Lifetime, MOMENT};
use crate::runtime::os_thread::{Inherited, OsThread};
use crate::runtime::try_arc::{RawArc, TryArc};
use crate::sync::spin::{self, Looked, Place as Spot};
use crate::sync::{Awaitable, Caller, Deadline, Event, Mutex, Waiter, fork, turns, wait_with};

/// How long a thread is kept.
const IDLE: Duration = Duration::from_secs(1);

/// How many moments `drain` waits for the next thread to end.
const PATIENCE: usize = 10_000;

/// How many threads were started on kept ones, and how many of these had kept their state.
static STARTS: AtomicUsize = AtomicUsize::new(0);
static WITH_STATE: AtomicUsize = AtomicUsize::new(0);

/// A thread that can be kept.
pub struct Worker {
    pub thread: OsThread,
    /// Its identifier, and that of the operating system.
    pub ident: u64,
    native: core::ffi::c_ulong,
    /// The stack size that it was asked for.
    stack: usize,
    /// There is a job, or it has to end.
    wake: Event,
    /// What its next job is started with; null if it has to end.
    job: AtomicPtr<c_void>,
    /// What the job gets of its starter. Written before `wake` is set, read by the thread after.
    inherited: UnsafeCell<Option<Inherited>>,
    /// The GIL that the starter has, and when it had it. As above.
    turn: Cell<Option<(Gil, u32)>>,
    /// Its state, and of which interpreter. Written by the thread while it is in no list.
    state: Cell<Option<(Kept, *mut PyInterpreterState, *const Lifetime)>>,
    /// Accessed under the mutex of the pool.
    is_listed: Cell<bool>,
    next: Cell<Option<RawArc<Worker>>>,
}

// SAFETY: what is not made for sharing is accessed under the mutex of the pool, or as its comment says.
unsafe impl Send for Worker {}
// SAFETY: as above.
unsafe impl Sync for Worker {}

struct Pool {
    /// The threads that are kept, the latest first: a list that owns its workers.
    first: Option<RawArc<Worker>>,
    count: usize,
    /// How many were kept and have not ended yet.
    leaving: usize,
    /// How many forks are about to come.
    forks: usize,
    /// The last that has ended and is not joined.
    ended: Option<OsThread>,
}

// SAFETY: workers are made for sharing.
unsafe impl Send for Pool {}

static POOL: Mutex<Pool> =
    Mutex::new(Pool { first: None, count: 0, leaving: 0, forks: 0, ended: None });

impl Pool {
    fn add(&mut self, worker: RawArc<Worker>) {
        // SAFETY: the caller gives a reference to the list.
        let listed = unsafe { worker.get() };
        listed.is_listed.set(true);
        listed.next.set(self.first.replace(worker));
        self.count += 1;
    }

    /// Takes the first worker out that is fit; its reference is the caller's.
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

/// What a kept thread does next.
pub enum Next {
    /// What a job is started with.
    Job(*mut c_void),
    /// It ends.
    End,
}

/// A thread that is kept waits without an interpreter, and looks for a moment first.
struct Idle;

impl Caller for Idle {
    type Raised = core::convert::Infallible;
    const SPINS: bool = true;

    unsafe fn run_signal_handlers(&self) -> Result<(), Self::Raised> {
        Ok(())
    }
}

impl Worker {
    /// For the calling thread; none if there is no memory.
    pub fn new(stack: usize) -> Option<TryArc<Worker>> {
        TryArc::new(Worker {
            thread: OsThread::current(),
            ident: compat::thread_ident(),
            // SAFETY: needs nothing.
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

    /// Gives a thread that was claimed its job.
    pub fn give(&self, job: *mut c_void) {
        self.job.store(job, Ordering::Relaxed);
        let _ = self.wake.set();
    }

    /// By the thread, before it attaches: waits for its starter to leave the GIL, if that is likely to be
    /// soon. One that sleeps for it needs another wake-up.
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

    /// By the thread: its state, if it has kept one.
    pub fn take_state(&self) -> Option<(Kept, Arc<Lifetime>)> {
        let (kept, _, lifetime) = self.state.take()?;
        // SAFETY: left by `keep_state`.
        Some((kept, unsafe { Arc::from_raw(lifetime) }))
    }

    /// By the thread, before it is kept.
    pub fn keep_state(
        &self,
        kept: Kept,
        interpreter: *mut PyInterpreterState,
        lifetime: Arc<Lifetime>,
    ) {
        self.state.set(Some((kept, interpreter, Arc::into_raw(lifetime))));
    }

    /// By the thread, which is in the list or was: returns when there is a job, or when it has to end.
    ///
    /// Not inlined, see `start::run`.
    #[inline(never)]
    pub fn wait(&self) -> Next {
        spin::expect(self.wake.place());
        if !self.sleep(Instant::now().checked_add(IDLE)) {
            let mut pool = POOL.lock();
            if self.is_listed.get() {
                // SAFETY: in the list, which had a reference; the thread has another.
                unsafe {
                    pool.take(|worker| ptr::eq(worker, self)).map(|place| drop(place.into_arc()))
                };
                pool.leaving += 1;
                self.count_leaving();
                return Next::End;
            }
            drop(pool);
            // Claimed at the last moment.
            self.sleep(None);
        }
        let _ = self.wake.clear();
        let job = self.job.load(Ordering::Relaxed);
        if job.is_null() { Next::End } else { Next::Job(job) }
    }

    fn sleep(&self, deadline: Deadline) -> bool {
        let waiter = Waiter::new();
        // SAFETY: the waiter outlives this call, and there is nothing to unwind it.
        let Ok(waited) = unsafe { wait_with(&Idle, &waiter, &self.wake, deadline, false, false) };
        waited == blocking::Waited::Got
    }

    /// The end of the interpreter waits for a thread that gives up its state.
    fn count_leaving(&self) {
        if let Some((_, _, lifetime)) = self.state.get() {
            // SAFETY: the worker owns a reference.
            unsafe { (*lifetime).closing.count_leaving() };
        }
    }

    /// By the thread: makes it what its starter is, as far as a new thread is.
    pub fn inherit(&self) {
        // SAFETY: written before the event was set, and by no other thread until the next job.
        if let Some(inherited) = unsafe { (*self.inherited.get()).take() } {
            inherited.apply();
        }
    }
}

/// Whether one more thread may be kept, where `limit` may be in all. It may not be so any more when it
/// comes to that.
pub fn may_keep(limit: usize) -> bool {
    limit > 0 && {
        let pool = POOL.lock();
        pool.count < limit && pool.forks == 0
    }
}

/// By the calling thread, whose worker this is: keeps it, if `disown` finds that nothing else owns it.
/// Another thread may give it its next job from here on. It has blocked all signals.
///
/// # Safety
/// The thread has a reference to the worker.
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

/// A kept thread for a job in this interpreter with this stack size, as its starter would make it; the
/// caller gives it the job.
///
/// # Safety
/// Attached to this interpreter.
pub unsafe fn claim(stack: usize, interpreter: *mut PyInterpreterState) -> Option<TryArc<Worker>> {
    let fits = |worker: &Worker| {
        worker.stack == stack && worker.state.get().is_none_or(|(_, of, _)| of == interpreter)
    };
    loop {
        let place = POOL.lock().take(fits)?;
        // SAFETY: the reference was the list's. The thread waits for its job.
        let worker = unsafe { place.into_arc() };
        if let Some(inherited) = Inherited::for_thread(worker.native) {
            STARTS.fetch_add(1, Ordering::Relaxed);
            if worker.state.get().is_some() {
                WITH_STATE.fetch_add(1, Ordering::Relaxed);
            }
            // SAFETY: the thread does not read it before the event is set.
            unsafe { *worker.inherited.get() = Some(inherited) };
            // SAFETY: attached, as the caller promises.
            worker.turn.set(Some((unsafe { Gil::of_this_interpreter() }, turns::era())));
            return Some(worker);
        }
        // It cannot be made like its starter.
        POOL.lock().leaving += 1;
        worker.count_leaving();
        worker.give(ptr::null_mut());
    }
}

/// By a thread that was kept and has no state any more, as the last thing it does.
pub fn leave(thread: OsThread) {
    let before = {
        let mut pool = POOL.lock();
        pool.leaving -= 1;
        pool.ended.replace(thread)
    };
    if let Some(before) = before {
        // SAFETY: the pool owned it.
        unsafe { before.join() };
    }
}

/// Ends all kept threads, and returns when they have ended. False if there were none.
///
/// # Safety
/// Attached.
pub unsafe fn drain() -> bool {
    {
        let pool = POOL.lock();
        if pool.first.is_none() && pool.leaving == 0 && pool.ended.is_none() {
            return false;
        }
    }
    // SAFETY: attached, as the caller promises; attached again with the same state. In between no Python
    // object is touched.
    unsafe {
        let state = compat::PyEval_SaveThread();
        end_all();
        compat::PyEval_RestoreThread(state);
    }
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
        // SAFETY: the reference was the list's.
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
        // SAFETY: the pool owned it.
        unsafe { ended.join() };
    }
}

/// How many threads are kept; how many starts were served by kept threads, and how many of these by threads
/// with a state.
pub fn numbers() -> [usize; 3] {
    let kept = POOL.lock().count;
    [kept, STARTS.load(Ordering::Relaxed), WITH_STATE.load(Ordering::Relaxed)]
}

/// A fork is about to come: no thread is kept until it is over.
///
/// # Safety
/// Attached.
pub unsafe fn announce_fork() {
    POOL.lock().forks += 1;
    // SAFETY: as the caller promises.
    unsafe { drain() };
}

/// The fork is over, in the parent.
pub fn fork_is_over() {
    let mut pool = POOL.lock();
    pool.forks = pool.forks.saturating_sub(1);
}

/// Keeps the pool whole across a fork.
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

/// None of the kept threads is there.
///
/// # Safety
/// As [`after_fork_in_parent`].
#[cfg(unix)]
pub unsafe fn after_fork_in_child() {
    // SAFETY: as the caller promises.
    unsafe { POOL.unlock_after_fork() };
    *POOL.lock() = Pool { first: None, count: 0, leaving: 0, forks: 0, ended: None };
}
