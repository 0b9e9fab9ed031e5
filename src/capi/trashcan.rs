//! Frees chains of objects, each kept alive by the one before, without a frame for each of them.
//!
//! To free an object may free the next one, from within. Up to 3.13 it is for every type to see that
//! this does not go on until the C stack is full; from 3.14 on the interpreter looks at the stack
//! before it frees anything. CPython's own means for that changes with nearly every version, so this
//! one is ours: from some depth on an object is put off until the outermost is done. Classes made by
//! Python code have CPython's as well, which in 3.13 counts to thousands: too many for frames like ours.

use core::cell::Cell;
use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

use pyo3_ffi::{self as ffi, PyObject, PyThreadState, PyTypeObject};

use crate::capi::compat;
use crate::capi::errors::Raised;
use crate::capi::refs::drop_ref;

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

/// The `tp_dealloc` of classes that Python code makes: the same for all of them. It calls that of the
/// native base last, and touches the object no more.
static PYTHON_DEALLOC: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());

/// To be called before any object is freed.
///
/// # Safety
/// Attached.
pub unsafe fn prepare() -> Result<(), Raised> {
    if !compat::DEALLOCS_NEST {
        return Ok(());
    }
    // SAFETY: attached; the new reference is given back.
    unsafe {
        let (base, dict) = (ptr::null_mut(), ptr::null_mut());
        let class = ffi::PyErr_NewException(c"rthread.Specimen".as_ptr(), base, dict);
        if class.is_null() {
            return Err(Raised);
        }
        if let Some(dealloc) = (*class.cast::<PyTypeObject>()).tp_dealloc {
            PYTHON_DEALLOC.store(dealloc as *mut c_void, Ordering::Relaxed);
        }
        drop_ref(class);
    }
    Ok(())
}

/// Frees an object by `body`, now or later. `own` is the `tp_dealloc` that calls this.
///
/// # Safety
/// As `body`; the object is of a type that the collector knows.
#[inline]
pub unsafe fn free_with(object: *mut PyObject, own: Dealloc, body: Dealloc) {
    // SAFETY: as the caller promises.
    unsafe {
        if compat::DEALLOCS_NEST
            && (ptr::fn_addr_eq(dealloc_of(ffi::Py_TYPE(object)), own) || is_derived(object))
        {
            free_nested(object, body);
        } else {
            body(object);
        }
    }
}

/// # Safety
/// A valid type.
unsafe fn dealloc_of(class: *mut PyTypeObject) -> ffi::destructor {
    // SAFETY: as the caller promises; every type that is ready has one.
    unsafe { (*class).tp_dealloc.unwrap_unchecked() }
}

/// Whether an object is of a class that Python code has made.
///
/// # Safety
/// A valid object.
unsafe fn is_derived(object: *mut PyObject) -> bool {
    // SAFETY: as the caller promises.
    let dealloc = unsafe { dealloc_of(ffi::Py_TYPE(object)) };
    dealloc as *mut c_void == PYTHON_DEALLOC.load(Ordering::Relaxed)
}

/// # Safety
/// As [`free_with`], for an object of the type itself or of a class derived by Python code.
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
            free_rest(first);
        }
    }
    NESTING.set(outside);
}

/// # Safety
/// An object that has been put off.
unsafe fn free_rest(object: *mut PyObject) {
    // SAFETY: as the caller promises. What a derived class does has been done before it was put off: its
    // native base comes next.
    unsafe {
        let mut class = ffi::Py_TYPE(object);
        while dealloc_of(class) as *mut c_void == PYTHON_DEALLOC.load(Ordering::Relaxed) {
            class = (*class).tp_base;
        }
        dealloc_of(class)(object);
    }
}
