//! How a start that fails late reaches the starter of a `threading.Thread`.
//!
//! `Thread.start` waits for `_started`, which the new thread sets, and waits for ever if the thread
//! fails before that, as it does without memory (gh-140746). So a thread that fails puts itself into
//! a list and sets the event; the native `Event.wait` finds it there and raises (see
//! [`check_started`]). The wait itself stays where stock has it, after the call of the starter and
//! outside of its `try`: signal handlers and asynchronous exceptions come out of it as on stock.
//!
//! A handler that raises ends the wait, and the thread goes on. A thread without memory is therefore
//! a failure only while a thread waits for it; else it tries until there is more. An event that is
//! written in Python takes no part.

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
    /// The thread's `_started`. Null if there is none; else both references are the new thread's.
    pub started: *mut PyObject,
    /// Its `_ident` is None if it has not been started.
    pub ident: *mut PyObject,
    /// The primitive inside of `started` if that is a native event, else null.
    event: *const Event,
    /// A [`Failure`].
    failure: AtomicU8,
}

/// Why a thread has failed.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Failure {
    /// It came to its end before it said that it runs. It drops its arguments itself.
    Ended,
    /// There was no memory for its state. Its arguments go with the [`Boot`].
    NoMemory,
    /// The interpreter ends. Its arguments are leaked.
    Finalizing,
}

/// The threads that have failed, and whose starters have not heard of it yet: a list through
/// [`Boot::next`], which owns what is in it.
static FAILED: Mutex<List> = Mutex::new(List(ptr::null_mut()));

/// How many they are: every wait for an event asks.
static COUNT: AtomicUsize = AtomicUsize::new(0);

struct List(*mut core::ffi::c_void);

// SAFETY: a list of boots, which are made for sharing.
unsafe impl Send for List {}

impl Waiting {
    /// # Safety
    /// Attached; `module` is this interpreter's; `function` is what a thread is to call.
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

    /// Whether the starter can be told that the thread has failed.
    pub fn can_fail(&self) -> bool {
        !self.event.is_null()
    }

    fn event(&self) -> Option<&Event> {
        // SAFETY: `started`, of which it is a part, is alive.
        unsafe { self.event.as_ref() }
    }

    /// A thread that waits for this one to run is not going to wait for long.
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

/// By the new thread: it will not run. False if the starter cannot be told without Python.
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
    // It has become an event that is written in Python.
    // SAFETY: `started` is alive, and what is taken out is the reference that went in.
    unsafe {
        if let Some(place) = take_failed(waiting.started) {
            drop(place.into_arc());
        }
    }
    false
}

/// Takes the thread whose event this is out of those that have failed.
///
/// # Safety
/// `started` is alive.
unsafe fn take_failed(started: *mut PyObject) -> Option<RawArc<Boot>> {
    let mut failed = FAILED.lock();
    let mut before: Option<RawArc<Boot>> = None;
    let mut next = failed.0;
    while !next.is_null() {
        // SAFETY: what is in the list is owned by it, and so alive under its mutex.
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

/// After a wait for a native event, however it ended: raises if it is the event of a thread that has
/// failed. An exception that is set already stays.
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
    // SAFETY: as the caller of `check_started` promises; what the list owned is ours.
    unsafe {
        let Some(place) = take_failed(started) else { return Ok(()) };
        let raised = !ffi::PyErr_Occurred().is_null();
        let pending = compat::take_exception();
        let boot = place.get();
        // As after any other start that failed: it has not been started.
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

/// By the new thread, at its end: if it never said that it runs, it has failed. Keeps no exception.
///
/// # Safety
/// Attached; no exception is set; the calling thread owns it, and has not dropped its arguments.
pub unsafe fn end(place: RawArc<Boot>) {
    // SAFETY: as the caller promises.
    unsafe {
        let waiting = &place.get().waiting;
        let runs = match waiting.event() {
            // Not by its method, which may find no memory: it would be said to have failed.
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
    // SAFETY: as the caller of `end` promises; the references are ours; new ones are given back.
    unsafe {
        let boot = place.get();
        let waiting = &boot.waiting;
        let thread = compat::PyMethod_Self(boot.function);
        if ffi::PyObject_SetAttr(thread, waiting.ident, ffi::Py_None()) < 0 {
            ffi::PyErr_Clear();
        }
        leave_limbo(boot.function);
        // The list has a reference of its own: the thread's is dropped next.
        ffi::Py_INCREF(waiting.started);
        if fail(place, Failure::Ended) {
            return;
        }
        ffi::Py_DECREF(waiting.started);
        // The starter waits in Python, and nothing can be raised there: all it sees is that the
        // thread is over. Only for want of memory can it fail: the starter has to wait until there
        // is more.
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

/// Takes a thread out of those that are about to run.
unsafe fn leave_limbo(bootstrap: *mut PyObject) {
    // SAFETY: attached, as every caller promises; a method of a Python function, whose globals live
    // as long as that; the new reference is given back.
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

/// Whether an event is set; not, if it cannot be told.
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

/// The `_started` of a `Thread` whose `_bootstrap` this is: a new reference, or null.
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

/// Whether a function is `Thread._bootstrap` of `threading`, or of rthread's own. Another class may
/// be called so, and mean something else by `_started`.
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
