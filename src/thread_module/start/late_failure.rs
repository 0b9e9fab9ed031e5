//! Reports a start that fails late to the starter of a `threading.Thread`.
//!
//! `Thread.start` waits for the event `_started`, which the new thread sets. If the thread fails
//! before that, for example because there is no memory, stock waits for ever (gh-140746). Here a
//! thread that fails puts itself into a list, and sets the event. The native `Event.wait` finds the
//! thread in the list, and raises (see [`check_started`]). The wait itself stays where stock has
//! it: after the call that starts the thread, and outside of its `try`. So signal handlers and
//! asynchronous exceptions raise from it as on stock.
//!
//! A handler that raises ends the wait, and the thread goes on. Therefore a thread without memory
//! fails only while another thread waits for it. Otherwise it tries again until there is memory.
//! Nothing can be raised from the wait for an event that is written in Python.

use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use crate::capi::errors::Raised;
use crate::capi::object::{Attached, Borrowed, Dict, Exception, Owned, release};
use crate::runtime::blocking;
use crate::runtime::state::State;
use crate::runtime::try_arc::RawArc;
use crate::sync::{Awaitable, Event, Mutex, spin};
use crate::thread_module::start::Boot;
use crate::thread_module::start::given::Given;

/// The wait of a starter for its thread.
pub struct Waiting {
    /// The primitive inside the event by which the thread says that it runs, if that event is a
    /// native one. [`Given`] has the reference to it.
    event: Option<NonNull<Event>>,
    /// A [`Failure`] as a number.
    failure: AtomicU8,
}

/// Why a thread has failed.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Failure {
    /// It came to its end before it said that it runs. It drops its arguments itself.
    Ended,
    /// There was no memory for its state. Its arguments are dropped with the [`Boot`].
    NoMemory,
    /// The interpreter is ending. Its arguments are leaked.
    Finalizing,
}

/// Threads that have failed, while their starters do not know it yet. The list goes through
/// [`Boot::next`], and owns a reference to each `Boot` in it.
static FAILED: Mutex<List> = Mutex::new(List(ptr::null_mut()));

/// The number of threads in the list. Every wait for an event reads it.
static COUNT: AtomicUsize = AtomicUsize::new(0);

struct List(*mut core::ffi::c_void);

// SAFETY: the list consists of `Boot`s, which are made for sharing.
unsafe impl Send for List {}

impl Waiting {
    /// `started` is the event, if there is one.
    pub fn of(py: Attached<'_>, state: &State, started: Option<Borrowed<'_>>) -> Waiting {
        let event = started.and_then(|started| (state.event_inside)(py, state, started));
        Waiting { event: event.map(NonNull::from), failure: AtomicU8::new(Failure::Ended as u8) }
    }

    /// Whether the starter can be told, without Python code, that the thread has failed.
    pub fn can_fail(&self) -> bool {
        self.event.is_some()
    }

    fn event(&self) -> Option<&Event> {
        // SAFETY: a part of the event object, which is alive.
        self.event.map(|event| unsafe { event.as_ref() })
    }

    /// Notes that the thread will run soon, so that a thread that waits for it spins for a moment
    /// before it sleeps.
    pub fn expect(&self) {
        if let Some(event) = self.event() {
            spin::expect(event.place());
        }
    }

    /// Whether a thread waits for this one to run, and can be told that it has failed.
    pub fn is_awaited(&self) -> bool {
        self.event().is_some_and(Event::is_awaited)
    }
}

/// Called by the new thread: it will not run. False if the starter cannot be told without Python
/// code.
pub fn fail(place: RawArc<Boot>, failure: Failure) -> bool {
    // SAFETY: the calling thread is one of its owners.
    let (boot, another) = unsafe { (place.get(), place.upgrade()) };
    let waiting = &boot.waiting;
    let (Some(event), Some(another)) = (waiting.event(), another) else { return false };
    waiting.failure.store(failure as u8, Ordering::Relaxed);
    another.into_raw();
    {
        let mut failed = FAILED.lock();
        boot.next.store(failed.0, Ordering::Relaxed);
        failed.0 = place.into_ptr();
        COUNT.fetch_add(1, Ordering::Release);
    }
    if event.set() {
        return true;
    }
    // The event has become one that is written in Python.
    if let Some(place) = boot.given.started().and_then(take_failed) {
        // SAFETY: the reference that is taken out is the one that was put in.
        unsafe { drop(place.into_arc()) };
    }
    false
}

/// Takes the thread with this event out of the list.
fn take_failed(started: Borrowed<'_>) -> Option<RawArc<Boot>> {
    let mut failed = FAILED.lock();
    let mut before: Option<RawArc<Boot>> = None;
    let mut next = failed.0;
    while !next.is_null() {
        // SAFETY: the list owns what is in it, so that is alive under the list's mutex.
        let (place, boot) = unsafe {
            let place = RawArc::<Boot>::from_ptr(next);
            (place, place.get())
        };
        next = boot.next.load(Ordering::Relaxed);
        if boot.given.started() == Some(started) {
            match before {
                // SAFETY: as above.
                Some(before) => unsafe { before.get() }.next.store(next, Ordering::Relaxed),
                None => failed.0 = next,
            }
            COUNT.fetch_sub(1, Ordering::Relaxed);
            return Some(place);
        }
        before = Some(place);
    }
    None
}

/// Called after a wait for a native event, however the wait ended. Raises if the event belongs to a
/// thread that has failed. If an exception is set already, it stays.
#[inline]
pub fn check_started(py: Attached<'_>, event: Borrowed<'_>) -> Result<(), Raised> {
    if COUNT.load(Ordering::Acquire) == 0 {
        return Ok(());
    }
    check_failed(py, event)
}

#[cold]
fn check_failed(py: Attached<'_>, started: Borrowed<'_>) -> Result<(), Raised> {
    let Some(place) = take_failed(started) else { return Ok(()) };
    let raised = py.error_is_set();
    let pending = py.take_exception();
    // SAFETY: the reference that the list owned belongs to this function now.
    let boot = unsafe { place.get() };
    // As after any other failed start, the thread counts as not started.
    if let Some(event) = boot.waiting.event() {
        let _ = event.clear();
    }
    if let Some(handle) = &boot.handle {
        handle.reap(py);
        handle.abandon();
    }
    match boot.waiting.failure.load(Ordering::Relaxed) {
        failure if failure == Failure::NoMemory as u8 => {
            leave_limbo(py, boot.given.function());
            // SAFETY: the thread has left its references, and is over.
            unsafe { boot.given.release(py) };
        }
        failure if failure == Failure::Ended as u8 => {
            // SAFETY: `end_failed` has left a reference.
            unsafe { Owned::assume(started.as_ptr()) }.release(py);
        }
        _ => {}
    }
    // SAFETY: as above.
    unsafe { drop(place.into_arc()) };
    if raised {
        pending.restore(py);
        return Err(Raised);
    }
    pending.forget(py);
    Err(py.runtime_error(c"can't start new thread"))
}

/// Called by the new thread at its end. If it has never said that it runs, it has failed. No
/// exception is set before or afterwards. The calling thread owns the `Boot`, and has not dropped
/// its arguments.
pub fn end(py: Attached<'_>, place: RawArc<Boot>) {
    // SAFETY: the calling thread is one of its owners.
    let boot = unsafe { place.get() };
    let runs = match (boot.waiting.event(), boot.given.started()) {
        // Not by calling the method: that may find no memory, and the thread would be taken for one
        // that has failed.
        (Some(event), _) => event.is_set(),
        (None, Some(started)) => is_set(py, started),
        (None, None) => true,
    };
    if !runs {
        end_failed(py, place, &boot.given);
    }
}

#[cold]
fn end_failed(py: Attached<'_>, place: RawArc<Boot>, given: &Given) {
    let Some((thread, started, ident)) = given.thread() else { return };
    let none = py.none();
    if thread.set_attribute(py, ident, Some(none.borrow())).is_err() {
        py.clear_error();
    }
    none.release(py);
    leave_limbo(py, given.function());
    // The list needs a reference of its own, because the thread drops its reference next.
    let another = started.own(py);
    if fail(place, Failure::Ended) {
        let _listed = another.into_raw();
        return;
    }
    another.release(py);
    // The starter waits in Python code, where nothing can be raised: it only sees that the thread
    // is over. The call can fail for lack of memory. Then it is repeated, because the starter waits
    // for it.
    loop {
        let done = started.call_method_named(py, c"set", &[]);
        let lacks_memory = done.is_err() && py.has_raised(Exception::Memory);
        release(done.ok(), py);
        py.clear_error();
        if !lacks_memory {
            return;
        }
        blocking::pause(py, blocking::UNTIL_MEMORY);
    }
}

/// Keeps the list whole across a fork.
pub fn before_fork() {
    FAILED.lock_before_fork();
}

/// # Safety
/// After [`before_fork`], in the same thread, once in each process.
pub unsafe fn after_fork() {
    // SAFETY: as the caller promises.
    unsafe { FAILED.unlock_after_fork() };
}

/// Takes a thread out of `threading`'s dict of threads that are about to run. No exception is set
/// afterwards.
fn leave_limbo(py: Attached<'_>, bootstrap: Borrowed<'_>) {
    if let Some((function, thread)) = bootstrap.method_parts()
        && let Some(globals) = function.function_globals(py)
        && let Ok(Some(limbo)) = globals.get_named(py, c"_limbo")
    {
        let _ = Dict::of(limbo.borrow()).map(|dict| dict.remove(py, thread));
        limbo.release(py);
    }
    py.clear_error();
}

/// Whether an event is set. False if that cannot be found out.
fn is_set(py: Attached<'_>, event: Borrowed<'_>) -> bool {
    let set = event.call_method_named(py, c"is_set", &[]);
    let truth = set.as_ref().is_ok_and(|set| set.borrow().truth(py).unwrap_or(false));
    release(set.ok(), py);
    py.clear_error();
    truth
}

/// The attribute `_started` of a `Thread`, if `function` is its `_bootstrap`.
pub fn starting_event(py: Attached<'_>, state: &State, function: Borrowed<'_>) -> Option<Owned> {
    let (plain, thread) = function.method_parts()?;
    let started = match state.started_name.get() {
        Some(name) if is_bootstrap(py, state, plain) => thread.attribute(py, name),
        _ => Err(Raised),
    };
    if started.is_err() {
        py.clear_error();
    }
    started.ok()
}

/// Whether a function is the `Thread._bootstrap` of `threading` or of `rthread.threading`. A
/// function of another class may have the same name, and a `_started` of another meaning. An
/// exception may be set afterwards.
fn is_bootstrap(py: Attached<'_>, state: &State, plain: Borrowed<'_>) -> bool {
    let Some(globals) = plain.function_globals(py) else { return false };
    let Some(qualname) = state.qualname_name.get() else { return false };
    let Ok(name) = plain.attribute(py, qualname) else { return false };
    let is_named_so = name.borrow().is_text(c"Thread._bootstrap");
    name.release(py);
    is_named_so
        && [c"threading", c"rthread.threading"].iter().any(|name| {
            let Some(found) = py.imported(name) else { return false };
            let names = found.borrow().module_dict(py);
            let is_its_own = names.is_some_and(|names| names.object() == globals.object());
            found.release(py);
            is_its_own
        })
}
