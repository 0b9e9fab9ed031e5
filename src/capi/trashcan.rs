//! Frees long chains of objects, in which each object keeps the next one alive, without using a
//! stack frame for each of them.
//!
//! Freeing an object may free the next one from within. Up to 3.13 each type has to make sure that
//! such nesting does not overflow the C stack. From 3.14 on the interpreter checks the stack before
//! it frees an object.
//!
//! CPython's own mechanism changes with nearly every version, so rthread has this one: beyond a
//! certain depth an object is *put off*, and freed when the outermost dealloc is done. Classes made
//! by Python code have CPython's mechanism as well. In 3.13 that allows thousands of levels, which
//! is too many for frames as large as rthread's.

use core::cell::Cell;
use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

use pyo3_ffi::{self as ffi, PyObject, PyThreadState, PyTypeObject};

use crate::capi::compat;
use crate::capi::errors::Raised;
use crate::capi::refs::drop_ref;

/// How deep deallocs may nest before further objects are put off.
const DEPTH: u32 = 40;

/// A `tp_dealloc`.
pub type Dealloc = unsafe extern "C-unwind" fn(*mut PyObject);

/// The nested deallocs of a thread.
#[derive(Clone, Copy)]
struct Nesting {
    /// The thread state that they run with. A dealloc may run code of another interpreter, in which
    /// the nesting begins anew.
    thread: *mut PyThreadState,
    depth: u32,
    /// The objects that have been put off, linked by `compat::put_off`.
    rest: *mut PyObject,
}

thread_local! {
    static NESTING: Cell<Nesting> = const {
        Cell::new(Nesting { thread: ptr::null_mut(), depth: 0, rest: ptr::null_mut() })
    };
}

/// The `tp_dealloc` of classes made by Python code, which is the same for all of them. It calls the
/// `tp_dealloc` of the native base last, and does not use the object after that.
static PYTHON_DEALLOC: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());

/// Must be called before any object is freed.
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

/// Frees an object with `body`, now or later. `own` is the `tp_dealloc` that calls this function.
///
/// # Safety
/// As for `body`. The object is of a type with GC support.
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
    // SAFETY: as the caller promises. Every type that is ready has one.
    unsafe { (*class).tp_dealloc.unwrap_unchecked() }
}

/// Whether the class of an object was made by Python code.
///
/// # Safety
/// A valid object.
unsafe fn is_derived(object: *mut PyObject) -> bool {
    // SAFETY: as the caller promises.
    let dealloc = unsafe { dealloc_of(ffi::Py_TYPE(object)) };
    dealloc as *mut c_void == PYTHON_DEALLOC.load(Ordering::Relaxed)
}

/// # Safety
/// As [`free_with`]. The object is of the type itself, or of a class that Python code has derived
/// from it.
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
    // SAFETY: as the caller promises. The dealloc of the derived class did its own work before the
    // object was put off, and the dealloc of the native base is the next step.
    unsafe {
        let mut class = ffi::Py_TYPE(object);
        while dealloc_of(class) as *mut c_void == PYTHON_DEALLOC.load(Ordering::Relaxed) {
            class = (*class).tp_base;
        }
        dealloc_of(class)(object);
    }
}
