//! The life of a thread, from its first job to its end.

use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::Ordering;
use core::time::Duration;
use std::sync::Arc;

use pyo3_ffi::PyThreadState;

use crate::capi::compat::{self, Kept};
use crate::capi::errors::Raised;
use crate::capi::object::{Attached, Exception, Owned, release};
use crate::runtime::idle_threads::{self, Next, Worker};
use crate::runtime::lifetime::{Entered, Lifetime};
use crate::runtime::os_thread::inherited::Mask;
use crate::runtime::os_thread::{self, OsThread, Run};
use crate::runtime::sentinels;
use crate::runtime::shutdown::Epoch;
use crate::runtime::subject::note_name;
use crate::runtime::try_arc::RawArc;
use crate::sync::{fork, registry, wait};
use crate::thread_module::start::late_failure::{self, Failure};
use crate::thread_module::start::{ATTEMPTS, Boot, LITTLE, PLENTY};

/// The whole life of a thread: its first job, and further jobs if the thread is kept.
///
/// These are *plain old frames*: no value with a destructor lives in them while Python code runs.
/// Up to 3.13 the interpreter ends daemon threads by unwinding their stacks from the inside.
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
        // SAFETY: the argument from `start`; called once for each job.
        if !unsafe { run_job(RawArc::from_ptr(next), &mut worker) } {
            break;
        }
        // A thread that is kept has a worker.
        // SAFETY: the thread owns a reference to it.
        let Some(kept) = worker.map(|place| unsafe { place.get() }) else { break };
        match kept.wait() {
            Next::Job(job) => {
                kept.inherit();
                next = job;
            }
            Next::End => {
                if let Some((state, lifetime)) = kept.take_state() {
                    // SAFETY: the state that this thread has kept. `wait` has counted the thread.
                    unsafe { end_state(state, lifetime) };
                }
                idle_threads::leave(kept.thread);
                break;
            }
        }
    }
    if let Some(worker) = worker {
        // SAFETY: the thread's own reference.
        unsafe { drop(worker.into_arc()) };
    }
}

// Some functions below must not be inlined, because they use thread-local variables. The compiler
// may look up the address of such a variable long before its use. In a new thread the first look-up
// takes memory, and the process ends if there is none. `make_state` first makes sure that there is.

/// Does one job. True if the thread is kept; then another thread may have given it the next job
/// already.
///
/// # Safety
/// `place` is what `start` gave the thread, and passes to this function. Called once for each job.
#[inline(never)]
unsafe fn run_job(place: RawArc<Boot>, worker: &mut Option<RawArc<Worker>>) -> bool {
    // SAFETY: as the caller promises.
    let boot = unsafe { place.get() };
    if boot.handle.is_some() {
        let _ = wait(&boot.published, None);
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
        // SAFETY: a state of this thread, as good as new.
        unsafe {
            let ended = run_attached(place, worker, state, is_attached);
            is_kept = keep(boot, *worker, ended);
        }
        sentinels::thread_ended();
    }
    // For the program the thread has ended.
    registry::thread_ends();
    // The thread has no Python state any more. The event is set at the end, because a join may
    // return now, and nothing of the job may be left then.
    if let Some(handle) = &boot.handle {
        handle.set_exiting();
    }
    if boot.owns_thread && !is_kept {
        // SAFETY: no other thread knows this thread.
        unsafe { OsThread::current().detach() };
    }
    // SAFETY: the reference belongs to this function.
    unsafe { drop(place.into_arc()) };
    is_kept
}

/// How a job has ended: with the thread state kept, and the epoch in which the thread's exit is
/// counted; or None, if the state is gone.
type Ended = Option<(Kept, Epoch)>;

/// Keeps the thread for another job, if it may be kept. Afterwards its state is kept with it, or is
/// gone.
///
/// # Safety
/// Called by the thread of the job, detached.
#[inline(never)]
unsafe fn keep(boot: &Boot, place: Option<RawArc<Worker>>, ended: Ended) -> bool {
    let limit = boot.lifetime.kept_threads.load(Ordering::Relaxed);
    let is_possible = limit > 0 && boot.epoch == fork::epoch() && !boot.lifetime.closing.is_near();
    let mut is_kept = false;
    if let (true, Some(place)) = (is_possible, place) {
        let mask = Mask::block_all();
        // SAFETY: the thread owns a reference.
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
            // SAFETY: this thread's state, detached, and not used since.
            unsafe {
                compat::attach_first(kept.state);
                compat::take_up(kept);
                boot.lifetime.delete_state(kept.state, counted);
            }
        }
    }
    is_kept
}

/// Gets a thread state for a job.
///
/// # Safety
/// Called once for each job.
unsafe fn begin(place: RawArc<Boot>, worker: Option<RawArc<Worker>>) -> Begun {
    // SAFETY: the worker belongs to the thread.
    if let Some((kept, lifetime)) = worker.and_then(|worker| unsafe { worker.get() }.take_state()) {
        drop(lifetime);
        // SAFETY: the thread owns `place` until the job is done.
        let boot = unsafe { place.get() };
        // SAFETY: the thread has kept the state, detached. Attaching may end the thread.
        unsafe {
            compat::attach_first(kept.state);
            if compat::take_up(kept) {
                boot.reserve.keep();
                return Begun::Again(kept.state);
            }
            boot.lifetime.closing.count_leaving();
            give_up(boot, kept);
        }
    }
    // SAFETY: as the caller promises.
    unsafe { make_state(place) }
}

/// Clears and deletes a kept state that is not as good as new any more.
///
/// # Safety
/// Attached with this state.
#[inline(never)]
unsafe fn give_up(boot: &Boot, kept: Kept) {
    // SAFETY: as the caller promises.
    unsafe { boot.lifetime.delete_state(kept.state, fork::epoch()) };
}

/// Clears and deletes the state of a kept thread that ends.
///
/// # Safety
/// The state belongs to the calling thread, and is detached. The thread was counted by
/// `Closing::count_leaving`.
#[inline(never)]
unsafe fn end_state(kept: Kept, lifetime: Arc<Lifetime>) {
    // Attaching may end the thread by unwinding it, so no value with a destructor may be in this
    // frame.
    let lifetime = Arc::into_raw(lifetime);
    // SAFETY: as the caller promises. The reference to the lifetime is taken back once.
    unsafe {
        compat::attach_first(kept.state);
        compat::take_up(kept);
        (*lifetime).delete_state(kept.state, fork::epoch());
        drop(Arc::from_raw(lifetime));
    }
}

/// How a thread begins a job.
enum Begun {
    /// With a new state, which is not attached.
    With(*mut PyThreadState),
    /// Attached, with the state that it had kept.
    Again(*mut PyThreadState),
    /// It does not begin. Its starter is told, if that is possible.
    Not,
}

/// Makes this thread's state. That is done in the new thread, because a state remembers the thread
/// in which it was made.
///
/// # Safety
/// Called once.
unsafe fn make_state(place: RawArc<Boot>) -> Begun {
    // SAFETY: the thread owns `place` until it ends.
    let boot = unsafe { place.get() };
    // A reserve that is not needed is not given back to the system: that takes longer than the rest
    // of a start.
    let mut reserve = Some(&boot.reserve);
    let mut attempts = 0;
    loop {
        if os_thread::has_memory(if reserve.is_some() { PLENTY } else { LITTLE }) {
            // Called here for its use of a thread-local variable, the first one of rthread in this
            // thread. The platform allocates memory for all of them then, and ends the process if
            // there is none.
            sentinels::thread_begins(ptr::null_mut());
            // From now on the thread has a number.
            let _ = registry::this_thread();
            // SAFETY: a new thread, and the lifetime of that interpreter.
            match unsafe { boot.lifetime.enter(boot.interpreter, boot.daemon, boot.within_fork) } {
                Entered::NoMemory => {}
                entered => {
                    if let Some(reserve) = reserve {
                        // SAFETY: set aside by the starter, and not given back yet.
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
        // Other threads have used the memory that was given back.
        attempts += 1;
        if attempts >= ATTEMPTS
            && boot.waiting.is_awaited()
            && late_failure::fail(place, Failure::NoMemory)
        {
            return Begun::Not;
        }
        // No thread can be told, so try again until there is memory.
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The part of a job for which the thread needs a thread state.
///
/// # Safety
/// `state` belongs to this thread, and is as good as new.
#[inline(never)]
unsafe fn run_attached(
    place: RawArc<Boot>,
    worker: &mut Option<RawArc<Worker>>,
    state: *mut PyThreadState,
    is_attached: bool,
) -> Ended {
    // SAFETY: the thread owns `place` until it ends.
    let boot = unsafe { place.get() };
    if !is_attached {
        if let Some(worker) = worker {
            // SAFETY: the worker belongs to the thread.
            unsafe { worker.get() }.await_turn();
        }
        // SAFETY: as the caller promises. During finalization this may end the thread.
        unsafe { compat::attach_first(state) };
    }
    // SAFETY: attached until the state is set down or deleted.
    let py = unsafe { Attached::assume() };
    boot.count.fetch_add(1, Ordering::Relaxed);
    call(py, boot);
    late_failure::end(py, place);
    let counted = boot.lifetime.begin_exit(py, boot.interpreter);
    // SAFETY: the references belong to this thread, which is through with them.
    unsafe { boot.given.release(py) };
    boot.count.fetch_sub(1, Ordering::Relaxed);
    if idle_threads::may_keep(boot.lifetime.kept_threads.load(Ordering::Relaxed)) {
        // Now, while attached: if allocations are traced, an allocation attaches.
        if worker.is_none() {
            *worker = Worker::new(boot.stack).map(|worker| worker.into_raw());
        }
        if worker.is_some()
            // SAFETY: attached with this state.
            && let Some(kept) = unsafe { compat::set_down(state) }
        {
            // SAFETY: as above. No Python object is used afterwards.
            unsafe { compat::PyEval_SaveThread() };
            return Some((kept, counted));
        }
    }
    // SAFETY: attached with this state; `counted` is from `begin_exit`.
    unsafe { boot.lifetime.delete_state(state, counted) };
    None
}

/// Calls the function. SystemExit is ignored, any other exception is reported.
fn call(py: Attached<'_>, boot: &Boot) {
    let given = &boot.given;
    if let Some((thread, _, _)) = given.thread() {
        let name = thread.attribute_named(py, c"_name");
        note_name(py, name.as_ref().ok().map(Owned::borrow));
        release(name.ok(), py);
    }
    match given.function().call_with(py, given.args(), given.kwargs()) {
        Ok(result) => result.release(py),
        Err(Raised) if py.has_raised(Exception::SystemExit) => py.clear_error(),
        // SAFETY: attached, with an exception set; the function is alive.
        Err(Raised) => unsafe { compat::unraisable_in_thread(given.function().as_ptr()) },
    }
}
