//! The starter that waits for a new thread, and is told if there will be none.

use core::ptr;
use core::time::Duration;

use pyo3_ffi::{self as ffi, PyObject};

use crate::compat::{self, PyEval_RestoreThread, PyEval_SaveThread};
use crate::module::State;
use crate::native;
use crate::object::{self, drop_ref};
use crate::sync::Event;

/// Who waits for a thread to say that it runs: `Thread.start`. If the thread never gets so far,
/// that would wait for ever (gh-140746).
pub struct Waiting {
    /// The thread's `_started`. Null if nobody waits; else both references are the new thread's.
    pub started: *mut PyObject,
    /// Its `_ident` is None then.
    pub ident: *mut PyObject,
    /// What is inside of `started` if that is one of ours, else null.
    event: *const Event,
}

impl Waiting {
    /// # Safety
    /// Attached; `module` is this interpreter's; `function` is what a thread is to call.
    pub unsafe fn of(module: *const State, function: *mut PyObject) -> Waiting {
        // SAFETY: as the caller promises.
        unsafe {
            let started = starting_event(module, function);
            if started.is_null() {
                return Waiting { started, ident: ptr::null_mut(), event: ptr::null() };
            }
            ffi::Py_INCREF((*module).ident_name);
            let event = native::event_inside(module, started);
            Waiting { started, ident: (*module).ident_name, event }
        }
    }

    /// Lets the starter go on; false if it has to be done in Python, or is nobody.
    pub fn end_without_state(&self) -> bool {
        // SAFETY: `started`, of which it is a part, is alive.
        unsafe { self.event.as_ref() }.is_some_and(Event::set)
    }

    /// The thread's function has failed: tells the starter, if it still waits. Keeps no exception.
    ///
    /// # Safety
    /// Attached; no exception is set; `function` is what the thread called.
    #[cold]
    pub unsafe fn end(&self, function: *mut PyObject) {
        if self.started.is_null() {
            return;
        }
        // SAFETY: as the caller promises; the references are ours; new ones are given back.
        unsafe {
            if is_set(self.started) {
                return;
            }
            let thread = compat::PyMethod_Self(function);
            if ffi::PyObject_SetAttr(thread, self.ident, ffi::Py_None()) < 0 {
                ffi::PyErr_Clear();
            }
            if self.end_without_state() {
                return;
            }
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
                let state = PyEval_SaveThread();
                std::thread::sleep(Duration::from_millis(1));
                PyEval_RestoreThread(state);
            }
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
        let name = ffi::PyObject_GetAttr(plain, (*module).name_name);
        let is_start = !name.is_null()
            && ffi::PyUnicode_Check(name) != 0
            && ffi::PyUnicode_CompareWithASCIIString(name, c"_bootstrap".as_ptr()) == 0;
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
