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

use core::ptr;
use core::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use pyo3_ffi::{self as ffi, PyObject};

use crate::capi::call::call_method;
use crate::capi::compat;
use crate::capi::errors::{Raised, runtime_error};
use crate::capi::refs::drop_ref;
use crate::runtime::blocking;
use crate::runtime::state::State;
use crate::runtime::try_arc::RawArc;
use crate::sync::{Awaitable, Event, Mutex, spin};
use crate::thread_module::start::Boot;

/// The event by which a thread says that it runs.
pub struct Waiting {
    /// The `_started` of the `Thread` object; null if there is none. If it is not null, this
    /// reference and the next one belong to the new thread.
    pub started: *mut PyObject,
    /// The name of the attribute `_ident`. That is None in a `Thread` that has not been started.
    pub ident: *mut PyObject,
    /// The primitive inside `started` if that is a native event, else null.
    event: *const Event,
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
    /// # Safety
    /// Attached; `module` belongs to this interpreter; `function` is the function that the thread
    /// will call.
    pub unsafe fn of(module: *const State, function: *mut PyObject) -> Waiting {
        let mut waiting = Waiting {
            started: ptr::null_mut(),
            ident: ptr::null_mut(),
            event: ptr::null(),
            failure: AtomicU8::new(Failure::Ended as u8),
        };
        // SAFETY: as the caller promises.
        unsafe {
            waiting.started = starting_event(module, function);
            if !waiting.started.is_null() {
                ffi::Py_INCREF((*module).ident_name);
                waiting.ident = (*module).ident_name;
                waiting.event = ((*module).event_inside)(module, waiting.started);
            }
        }
        waiting
    }

    /// Whether the starter can be told, without Python code, that the thread has failed.
    pub fn can_fail(&self) -> bool {
        !self.event.is_null()
    }

    fn event(&self) -> Option<&Event> {
        // SAFETY: the event is a part of `started`, which is alive.
        unsafe { self.event.as_ref() }
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
    // SAFETY: `started` is alive. The reference that is taken out is the one that was put in.
    unsafe {
        if let Some(place) = take_failed(waiting.started) {
            drop(place.into_arc());
        }
    }
    false
}

/// Takes the thread with this event out of the list.
///
/// # Safety
/// `started` is alive.
unsafe fn take_failed(started: *mut PyObject) -> Option<RawArc<Boot>> {
    let mut failed = FAILED.lock();
    let mut before: Option<RawArc<Boot>> = None;
    let mut next = failed.0;
    while !next.is_null() {
        // SAFETY: the list owns what is in it, so that is alive under the list's mutex.
        unsafe {
            let place = RawArc::<Boot>::from_ptr(next);
            next = place.get().next.load(Ordering::Relaxed);
            if place.get().waiting.started == started {
                match before {
                    Some(before) => before.get().next.store(next, Ordering::Relaxed),
                    None => failed.0 = next,
                }
                COUNT.fetch_sub(1, Ordering::Relaxed);
                return Some(place);
            }
            before = Some(place);
        }
    }
    None
}

/// Called after a wait for a native event, however the wait ended. Raises if the event belongs to a
/// thread that has failed. If an exception is set already, it stays.
///
/// # Safety
/// Attached; `event` is a native event.
#[inline]
pub unsafe fn check_started(event: *mut PyObject) -> Result<(), Raised> {
    if COUNT.load(Ordering::Acquire) == 0 {
        return Ok(());
    }
    // SAFETY: as the caller promises.
    unsafe { check_failed(event) }
}

#[cold]
unsafe fn check_failed(started: *mut PyObject) -> Result<(), Raised> {
    // SAFETY: as the caller of `check_started` promises. The references that the list owned belong
    // to this function now.
    unsafe {
        let Some(place) = take_failed(started) else { return Ok(()) };
        let raised = !ffi::PyErr_Occurred().is_null();
        let pending = compat::take_exception();
        let boot = place.get();
        // As after any other failed start, the thread counts as not started.
        if let Some(event) = boot.waiting.event() {
            let _ = event.clear();
        }
        if let Some(handle) = &boot.handle {
            handle.reap();
            handle.abandon();
        }
        match boot.waiting.failure.load(Ordering::Relaxed) {
            failure if failure == Failure::NoMemory as u8 => {
                leave_limbo(boot.function);
                crate::thread_module::start::drop_arguments(boot);
            }
            failure if failure == Failure::Ended as u8 => drop_ref(started),
            _ => {}
        }
        drop(place.into_arc());
        if raised {
            compat::restore_exception(pending);
        } else {
            runtime_error(c"can't start new thread");
        }
        Err(Raised)
    }
}

/// Called by the new thread at its end. If it has never said that it runs, it has failed. No
/// exception is set afterwards.
///
/// # Safety
/// Attached; no exception is set. The calling thread owns the `Boot`, and has not dropped its
/// arguments.
pub unsafe fn end(place: RawArc<Boot>) {
    // SAFETY: as the caller promises.
    unsafe {
        let waiting = &place.get().waiting;
        let runs = match waiting.event() {
            // Not by calling the method: that may find no memory, and the thread would be taken for
            // one that has failed.
            Some(event) => event.is_set(),
            None => waiting.started.is_null() || is_set(waiting.started),
        };
        if !runs {
            end_failed(place);
        }
    }
}

#[cold]
unsafe fn end_failed(place: RawArc<Boot>) {
    // SAFETY: as the caller of `end` promises. The references belong to this thread; new ones are
    // given back.
    unsafe {
        let boot = place.get();
        let waiting = &boot.waiting;
        let thread = compat::PyMethod_Self(boot.function);
        if ffi::PyObject_SetAttr(thread, waiting.ident, ffi::Py_None()) < 0 {
            ffi::PyErr_Clear();
        }
        leave_limbo(boot.function);
        // The list needs a reference of its own, because the thread drops its reference next.
        ffi::Py_INCREF(waiting.started);
        if fail(place, Failure::Ended) {
            return;
        }
        ffi::Py_DECREF(waiting.started);
        // The starter waits in Python code, where nothing can be raised: it only sees that the
        // thread is over. The call can fail for lack of memory. Then it is repeated, because the
        // starter waits for it.
        loop {
            let done = call_method(waiting.started, c"set", ptr::null(), 0, ptr::null_mut());
            drop_ref(done);
            if !done.is_null() || ffi::PyErr_ExceptionMatches(ffi::PyExc_MemoryError) == 0 {
                ffi::PyErr_Clear();
                return;
            }
            ffi::PyErr_Clear();
            blocking::pause(blocking::UNTIL_MEMORY);
        }
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

/// Takes a thread out of `threading`'s dict of threads that are about to run.
unsafe fn leave_limbo(bootstrap: *mut PyObject) {
    // SAFETY: attached, as every caller promises. `bootstrap` is a method of a Python function, and
    // the function keeps its globals alive. The new reference is given back.
    unsafe {
        let globals = ffi::PyFunction_GetGlobals(compat::PyMethod_Function(bootstrap));
        if let Ok(limbo) = compat::dict_get_named(globals, c"_limbo") {
            if !limbo.is_null() && ffi::PyDict_Check(limbo) != 0 {
                ffi::PyDict_DelItem(limbo, compat::PyMethod_Self(bootstrap));
            }
            drop_ref(limbo);
        }
        ffi::PyErr_Clear();
    }
}

/// Whether an event is set. False if that cannot be found out.
unsafe fn is_set(event: *mut PyObject) -> bool {
    // SAFETY: attached, as every caller promises; the new reference is given back.
    unsafe {
        let set = call_method(event, c"is_set", ptr::null(), 0, ptr::null_mut());
        let truth = if set.is_null() { -1 } else { ffi::PyObject_IsTrue(set) };
        drop_ref(set);
        ffi::PyErr_Clear();
        truth > 0
    }
}

/// The attribute `_started` of a `Thread`, if `function` is its `_bootstrap`. Returns a new
/// reference, or null.
unsafe fn starting_event(module: *const State, function: *mut PyObject) -> *mut PyObject {
    // SAFETY: attached, as every caller promises; the new reference is given back.
    unsafe {
        if !compat::is_method(function) {
            return ptr::null_mut();
        }
        let plain = compat::PyMethod_Function(function);
        let started = if is_bootstrap(module, plain) {
            ffi::PyObject_GetAttr(compat::PyMethod_Self(function), (*module).started_name)
        } else {
            ptr::null_mut()
        };
        if started.is_null() {
            ffi::PyErr_Clear();
        }
        started
    }
}

/// Whether a function is the `Thread._bootstrap` of `threading` or of `rthread.threading`. A
/// function of another class may have the same name, and a `_started` of another meaning.
///
/// # Safety
/// Attached. An exception may be set afterwards.
unsafe fn is_bootstrap(module: *const State, plain: *mut PyObject) -> bool {
    // SAFETY: attached, as every caller promises; new references are given back.
    unsafe {
        if ffi::PyFunction_Check(plain) == 0 {
            return false;
        }
        let name = ffi::PyObject_GetAttr(plain, (*module).qualname_name);
        let is_named_so = !name.is_null()
            && ffi::PyUnicode_Check(name) != 0
            && ffi::PyUnicode_CompareWithASCIIString(name, c"Thread._bootstrap".as_ptr()) == 0;
        drop_ref(name);
        if !is_named_so {
            return false;
        }
        let globals = ffi::PyFunction_GetGlobals(plain);
        [c"threading", c"rthread.threading"].iter().any(|name| {
            let found = compat::imported_module(name);
            let is_its_own = !found.is_null()
                && ffi::PyModule_Check(found) != 0
                && ffi::PyModule_GetDict(found) == globals;
            drop_ref(found);
            is_its_own
        })
    }
}
