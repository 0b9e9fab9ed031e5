//! The starter of a `threading.Thread`, which waits until the new thread has said that it runs.
//!
//! `Thread.start` does so itself, and for ever if the thread fails before it gets so far, as it does
//! without memory (gh-140746). So the wait is made here, where a failure can end it and be raised:
//! `start` then does what it does when no thread can be had. Its own wait finds the event set.

use core::ptr;
use core::sync::atomic::{AtomicBool, Ordering};

use pyo3_ffi::{self as ffi, PyObject};

use crate::blocking;
use crate::compat;
use crate::module::State;
use crate::native;
use crate::object::{self, drop_ref};
use crate::sync::Event;

/// The event by which a thread says that it runs.
pub struct Waiting {
    /// The thread's `_started`. Null if nobody waits; else both references are the new thread's.
    pub started: *mut PyObject,
    /// Its `_ident` is None if it has not been started.
    pub ident: *mut PyObject,
    /// What is inside of `started` if that is one of ours, else null.
    event: *const Event,
    failed: AtomicBool,
}

impl Waiting {
    /// # Safety
    /// Attached; `module` is this interpreter's; `function` is what a thread is to call.
    pub unsafe fn of(module: *const State, function: *mut PyObject) -> Waiting {
        let mut waiting = Waiting {
            started: ptr::null_mut(),
            ident: ptr::null_mut(),
            event: ptr::null(),
            failed: AtomicBool::new(false),
        };
        // SAFETY: as the caller promises.
        unsafe {
            waiting.started = starting_event(module, function);
            if !waiting.started.is_null() {
                ffi::Py_INCREF((*module).ident_name);
                waiting.ident = (*module).ident_name;
                waiting.event = native::event_inside(module, waiting.started);
            }
        }
        waiting
    }

    /// Whether the starter can be told that the thread has failed.
    pub fn can_fail(&self) -> bool {
        !self.event.is_null()
    }

    /// By the starter: waits until the thread runs, or has failed. False if it has failed. Signals
    /// have to wait, too: the start cannot be undone. An event that is written in Python is left to
    /// whoever called the starter.
    ///
    /// # Safety
    /// Attached; `started`, if there is one, is a reference of the caller's that is given back.
    pub unsafe fn wait(&self, started: *mut PyObject) -> bool {
        // SAFETY: as the caller promises; `event` is a part of `started`.
        unsafe {
            let mut runs = true;
            if let Some(event) = self.event.as_ref() {
                if !event.is_set() {
                    blocking::wait_for_event(event);
                }
                runs = !self.failed.load(Ordering::Acquire);
                if !runs {
                    // As after any other start that failed: it has not been started.
                    event.clear();
                }
            }
            drop_ref(started);
            runs
        }
    }

    /// By the new thread: it will not run. False if nobody who waits can be told without Python.
    pub fn fail(&self) -> bool {
        // SAFETY: `started`, of which it is a part, is alive.
        let event = unsafe { self.event.as_ref() };
        self.failed.store(event.is_some(), Ordering::Release);
        event.is_some_and(Event::set)
    }

    /// By the new thread, at its end: if it never said that it runs, it has failed. Keeps no
    /// exception.
    ///
    /// # Safety
    /// Attached; no exception is set; `function` is what the thread called.
    pub unsafe fn end(&self, function: *mut PyObject) {
        // SAFETY: as the caller promises.
        unsafe {
            let runs = match self.event.as_ref() {
                // Not by its method, which may find no memory: it would be said to have failed.
                Some(event) => event.is_set(),
                None => self.started.is_null() || is_set(self.started),
            };
            if !runs {
                self.end_failed(function);
            }
        }
    }

    #[cold]
    unsafe fn end_failed(&self, function: *mut PyObject) {
        // SAFETY: as the caller of `end` promises; the references are ours; new ones are given back.
        unsafe {
            let thread = compat::PyMethod_Self(function);
            if ffi::PyObject_SetAttr(thread, self.ident, ffi::Py_None()) < 0 {
                ffi::PyErr_Clear();
            }
            if self.fail() {
                return;
            }
            // It waits in Python, and nothing can be raised there: all it sees is that the thread
            // is over.
            leave_limbo(function);
            // Only for want of memory can it fail: the starter has to wait until there is more.
            loop {
                let done =
                    object::call_method(self.started, c"set", ptr::null(), 0, ptr::null_mut());
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
}

/// Takes a thread out of those that are about to run.
unsafe fn leave_limbo(bootstrap: *mut PyObject) {
    // SAFETY: attached, as every caller promises; a method of a Python function; borrowed
    // references.
    unsafe {
        let globals = ffi::PyFunction_GetGlobals(compat::PyMethod_Function(bootstrap));
        let limbo = ffi::PyDict_GetItemString(globals, c"_limbo".as_ptr());
        if !limbo.is_null() && ffi::PyDict_DelItem(limbo, compat::PyMethod_Self(bootstrap)) < 0 {
            ffi::PyErr_Clear();
        }
    }
}

/// Whether an event is set; not, if it cannot be told.
unsafe fn is_set(event: *mut PyObject) -> bool {
    // SAFETY: attached, as every caller promises; the new reference is given back.
    unsafe {
        let set = object::call_method(event, c"is_set", ptr::null(), 0, ptr::null_mut());
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
        if ffi::PyFunction_Check(plain) == 0 {
            return ptr::null_mut();
        }
        let name = ffi::PyObject_GetAttr(plain, (*module).qualname_name);
        let is_start = !name.is_null()
            && ffi::PyUnicode_Check(name) != 0
            && ffi::PyUnicode_CompareWithASCIIString(name, c"Thread._bootstrap".as_ptr()) == 0;
        drop_ref(name);
        let started = if is_start {
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
