//! A thread from its first job to its end.

use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::Ordering;
use core::time::Duration;
use std::sync::Arc;

use pyo3_ffi::{self as ffi, PyThreadState};

use crate::capi::call::PyObject_Call;
use crate::capi::compat::{self, Kept};
use crate::capi::refs::drop_ref;
use crate::runtime::idle_threads::{self, Next, Worker};
use crate::runtime::lifetime::{Entered, Lifetime};
use crate::runtime::os_thread::inherited::Mask;
use crate::runtime::os_thread::{self, OsThread, Run};
use crate::runtime::sentinels;
use crate::runtime::shutdown::Epoch;
use crate::runtime::try_arc::RawArc;
use crate::sync::{fork, wait};
use crate::thread_module::start::late_failure::{self, Failure};
use crate::thread_module::start::{ATTEMPTS, Boot, LITTLE, PLENTY, drop_arguments};

/// The whole life of a thread: its job, and further ones if it is kept.
///
/// No value with a destructor lives in these frames while Python code runs: up to 3.13 the
/// interpreter ends daemon threads by unwinding their stacks from the inside.
pub struct ThreadLife;

impl Run for ThreadLife {
    unsafe fn run(boot: *mut c_void) {
        // SAFETY: as the caller promises.
        unsafe { run(boot) };
    }
}

unsafe fn run(boot: *mut c_void) {
    let mut worker: Option<RawArc<Worker>> = None;
    let mut next = boot;
    loop {
        // SAFETY: what `start` gave us; called once for each job.
        unsafe {
            if !run_job(RawArc::from_ptr(next), &mut worker) {
                break;
            }
            // It is kept, so it has a worker.
            let Some(kept) = worker.map(|place| place.get()) else { break };
            match kept.wait() {
                Next::Job(job) => {
                    kept.inherit();
                    next = job;
                }
                Next::End => {
                    if let Some((state, lifetime)) = kept.take_state() {
                        end_state(state, lifetime);
                    }
                    idle_threads::leave(kept.thread);
                    break;
                }
            }
        }
    }
    if let Some(worker) = worker {
        // SAFETY: the thread's own reference.
        unsafe { drop(worker.into_arc()) };
    }
}

// The functions below that are not to be inlined use thread-local variables. Where those are may be looked
// up long before they are used, and in a new thread that takes memory, which ends the process if there is
// none: `make_state` sees to it first.

/// Does one job. True if the thread is kept, and may have been given the next job already.
///
/// # Safety
/// What `start` gave the thread, which is given back; called once.
#[inline(never)]
unsafe fn run_job(place: RawArc<Boot>, worker: &mut Option<RawArc<Worker>>) -> bool {
    // SAFETY: as the caller promises.
    let boot = unsafe { place.get() };
    if boot.handle.is_some() {
        wait(&boot.published, None);
    }
    // SAFETY: as above; called once.
    let begun = unsafe { begin(place, *worker) };
    boot.lifetime.closing.has_begun();
    let _ = boot.has_state.set();
    let mut is_kept = false;
    let (state, is_attached) = match begun {
        Begun::With(state) => (state, false),
        Begun::Again(state) => (state, true),
        Begun::Not => (ptr::null_mut(), false),
    };
    if !state.is_null() {
        sentinels::thread_begins(state);
        // SAFETY: a state of this thread that is as new.
        unsafe {
            let ended = run_attached(place, worker, state, is_attached);
            is_kept = keep(boot, *worker, ended);
        }
        sentinels::thread_ended();
    }
    // There is no Python any more. Last, because a join may return now: nothing of the job is left.
    if let Some(handle) = &boot.handle {
        handle.set_exiting();
    }
    if boot.owns_thread && !is_kept {
        // SAFETY: no other thread knows of it.
        unsafe { OsThread::current().detach() };
    }
    // SAFETY: ours.
    unsafe { drop(place.into_arc()) };
    is_kept
}

/// How a job has ended: with the state kept, and where the end of the thread is counted then; or without
/// one.
type Ended = Option<(Kept, Epoch)>;

/// Keeps the thread for another job, if it may be. Its state is gone or is kept afterwards.
///
/// # Safety
/// By the thread of the job, detached.
#[inline(never)]
unsafe fn keep(boot: &Boot, place: Option<RawArc<Worker>>, ended: Ended) -> bool {
    let limit = boot.lifetime.kept_threads.load(Ordering::Relaxed);
    let is_possible = limit > 0 && boot.epoch == fork::epoch() && !boot.lifetime.closing.is_near();
    let mut is_kept = false;
    if let (true, Some(place)) = (is_possible, place) {
        let mask = Mask::block_all();
        // SAFETY: the thread has a reference.
        let worker = unsafe { place.get() };
        if let Some((kept, _)) = ended {
            worker.keep_state(kept, boot.interpreter, Arc::clone(&boot.lifetime));
        }
        let disown = || boot.handle.as_ref().map_or(boot.owns_thread, |handle| handle.disown());
        // SAFETY: as above.
        is_kept = unsafe { idle_threads::keep(place, limit, disown) };
        if !is_kept {
            drop(worker.take_state());
            mask.restore();
        }
    }
    if let Some((kept, counted)) = ended {
        if is_kept {
            boot.lifetime.closing.has_left(counted);
        } else {
            // SAFETY: this thread's state, detached. Nothing was done to it.
            unsafe {
                compat::attach_first(kept.state);
                compat::take_up(kept);
                boot.lifetime.delete_state(kept.state, counted);
            }
        }
    }
    is_kept
}

/// How the thread comes to the state for a job.
///
/// # Safety
/// Called once for each job.
unsafe fn begin(place: RawArc<Boot>, worker: Option<RawArc<Worker>>) -> Begun {
    // SAFETY: the thread's own until the job is done; a worker is the thread's own.
    unsafe {
        if let Some((kept, lifetime)) = worker.and_then(|worker| worker.get().take_state()) {
            drop(lifetime);
            let boot = place.get();
            // Attaching may be the end of the thread.
            compat::attach_first(kept.state);
            if compat::take_up(kept) {
                boot.reserve.keep();
                return Begun::Again(kept.state);
            }
            boot.lifetime.closing.count_leaving();
            give_up(boot, kept);
        }
        make_state(place)
    }
}

/// Gives up a state that turned out to be used.
///
/// # Safety
/// Attached with it.
#[inline(never)]
unsafe fn give_up(boot: &Boot, kept: Kept) {
    // SAFETY: as the caller promises.
    unsafe { boot.lifetime.delete_state(kept.state, fork::epoch()) };
}

/// Gives up the state of a thread that ends.
///
/// # Safety
/// The calling thread's, detached; it is counted among those that leave.
#[inline(never)]
unsafe fn end_state(kept: Kept, lifetime: Arc<Lifetime>) {
    // Attaching may be the end of the thread: nothing with a destructor is in the way.
    let lifetime = Arc::into_raw(lifetime);
    // SAFETY: as the caller promises; the lifetime is taken back once.
    unsafe {
        compat::attach_first(kept.state);
        compat::take_up(kept);
        (*lifetime).delete_state(kept.state, fork::epoch());
        drop(Arc::from_raw(lifetime));
    }
}

/// How a thread begins.
enum Begun {
    /// With a fresh state, which is not attached.
    With(*mut PyThreadState),
    /// Attached, with the state that it had kept.
    Again(*mut PyThreadState),
    /// It does not: its starter is told, if that can be.
    Not,
}

/// This thread's state, made here because it remembers the thread that it was made in.
///
/// # Safety
/// Called once.
unsafe fn make_state(place: RawArc<Boot>) -> Begun {
    // SAFETY: the thread's own until it ends.
    let boot = unsafe { place.get() };
    // Not given back where it is not needed: that takes longer than all the rest of a start.
    let mut reserve = Some(&boot.reserve);
    let mut attempts = 0;
    loop {
        if os_thread::has_memory(if reserve.is_some() { PLENTY } else { LITTLE }) {
            // Here, as it is the first use of a thread-local variable of ours: the platform makes
            // room for all of them, and ends the process if it cannot.
            sentinels::thread_begins(ptr::null_mut());
            // SAFETY: a new thread, and the lifetime of that interpreter.
            match unsafe { boot.lifetime.enter(boot.interpreter, boot.daemon, boot.within_fork) } {
                Entered::NoMemory => {}
                entered => {
                    if let Some(reserve) = reserve {
                        // SAFETY: set aside by the starter, and not given back.
                        unsafe { reserve.keep() };
                    }
                    if let Entered::State(state) = entered {
                        return Begun::With(state);
                    }
                    late_failure::fail(place, Failure::Finalizing);
                    return Begun::Not;
                }
            }
        }
        if let Some(reserve) = reserve.take() {
            // SAFETY: set aside by the starter.
            unsafe { reserve.give_back() };
            continue;
        }
        // Another thread got what was set aside.
        attempts += 1;
        if attempts >= ATTEMPTS
            && boot.waiting.is_awaited()
            && late_failure::fail(place, Failure::NoMemory)
        {
            return Begun::Not;
        }
        // There is no thread to tell: try until there is more.
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The part of a job that has a thread state.
///
/// # Safety
/// `state` is this thread's, and as new.
#[inline(never)]
unsafe fn run_attached(
    place: RawArc<Boot>,
    worker: &mut Option<RawArc<Worker>>,
    state: *mut PyThreadState,
    is_attached: bool,
) -> Ended {
    // SAFETY: the thread's own until it ends.
    let boot = unsafe { place.get() };
    // SAFETY: as the caller promises. Attaching may be the end of the thread, if the interpreter
    // is shutting down.
    unsafe {
        if !is_attached {
            if let Some(worker) = worker {
                worker.get().await_turn();
            }
            compat::attach_first(state);
        }
        boot.count.fetch_add(1, Ordering::Relaxed);
        call(boot);
        late_failure::end(place);
        let counted = boot.lifetime.begin_exit(boot.interpreter);
        drop_arguments(boot);
        boot.count.fetch_sub(1, Ordering::Relaxed);
        if idle_threads::may_keep(boot.lifetime.kept_threads.load(Ordering::Relaxed)) {
            // Now: where allocations are traced, to ask for memory attaches.
            if worker.is_none() {
                *worker = Worker::new(boot.stack).map(|worker| worker.into_raw());
            }
            if worker.is_some()
                && let Some(kept) = compat::set_down(state)
            {
                compat::PyEval_SaveThread();
                return Some((kept, counted));
            }
        }
        boot.lifetime.delete_state(state, counted);
    }
    None
}

/// Calls the function; SystemExit is silent, any other exception is reported.
///
/// # Safety
/// Attached.
unsafe fn call(boot: &Boot) {
    // SAFETY: attached; the references are ours.
    unsafe {
        let result = PyObject_Call(boot.function, boot.args, boot.kwargs);
        if !result.is_null() {
            drop_ref(result);
        } else if ffi::PyErr_ExceptionMatches(ffi::PyExc_SystemExit) != 0 {
            ffi::PyErr_Clear();
        } else {
            compat::unraisable_in_thread(boot.function);
        }
    }
}
