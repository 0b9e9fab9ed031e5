//! Frees chains of objects, each kept alive by the one before, without a frame for each of them.
//!
//! To free an object may free the next one, from within. Up to 3.13 it is for every type to see that
//! this does not go on until the C stack is full; from 3.14 on the interpreter looks at the stack
//! before it frees anything. CPython's own means for that changes with nearly every version, so this
//! one is ours: from some depth on an object is put off until the outermost is done. Classes made by
//! Python code have CPython's, whose depth is its own; a chain may go through both.

use core::cell::Cell;
use core::ptr;

use pyo3_ffi::{self as ffi, PyObject, PyThreadState};

use crate::compat;

/// How deep objects may be freed inside of each other before the rest is put off.
const DEPTH: u32 = 40;

/// A `tp_dealloc`.
pub type Dealloc = unsafe extern "C-unwind" fn(*mut PyObject);

/// What a thread is about to free.
#[derive(Clone, Copy)]
struct Nesting {
    /// With which state: to free an object may run code of another interpreter, which begins anew.
    thread: *mut PyThreadState,
    depth: u32,
    /// The objects that have been put off, linked as `compat` can.
    rest: *mut PyObject,
}

thread_local! {
    static NESTING: Cell<Nesting> = const {
        Cell::new(Nesting { thread: ptr::null_mut(), depth: 0, rest: ptr::null_mut() })
    };
}

/// Frees an object by `body`, now or later. `own` is the `tp_dealloc` that calls this.
///
/// # Safety
/// As `body`; the object is of a type that the collector knows.
#[inline]
pub unsafe fn free_with(object: *mut PyObject, own: Dealloc, body: Dealloc) {
    // SAFETY: as the caller promises. An object of a derived class is CPython's to put off, before it
    // gets here.
    unsafe {
        let is_whole =
            (*ffi::Py_TYPE(object)).tp_dealloc.is_some_and(|its| ptr::fn_addr_eq(its, own));
        if compat::DEALLOCS_NEST && is_whole {
            free_nested(object, body);
        } else {
            body(object);
        }
    }
}

/// # Safety
/// As [`free_with`], for an object that is not of a derived class.
unsafe fn free_nested(object: *mut PyObject, body: Dealloc) {
    let outside = NESTING.get();
    let thread = compat::thread_state();
    let inside = if outside.thread == thread {
        Nesting { depth: outside.depth + 1, ..outside }
    } else {
        Nesting { thread, depth: 1, rest: ptr::null_mut() }
    };
    // SAFETY: as the caller promises.
    unsafe {
        if inside.depth > DEPTH {
            compat::put_off(object, outside.rest);
            NESTING.set(Nesting { rest: object, ..outside });
            return;
        }
        NESTING.set(inside);
        body(object);
        if inside.depth > 1 {
            NESTING.set(Nesting { depth: outside.depth, ..NESTING.get() });
            return;
        }
        loop {
            let first = NESTING.get().rest;
            if first.is_null() {
                break;
            }
            NESTING.set(Nesting { rest: compat::next_put_off(first), ..inside });
            if let Some(dealloc) = (*ffi::Py_TYPE(first)).tp_dealloc {
                dealloc(first);
            }
        }
    }
    NESTING.set(outside);
}
