//! The small functions: identifiers, a new lock, `exit`, interrupting the main thread, the stack
//! size, kept threads.

use core::ffi::c_int;
use core::ptr;
use core::sync::atomic::Ordering;

use pyo3_ffi::{self as ffi, PyObject};

use crate::capi::errors::raise;
use crate::capi::refs::drop_ref;
use crate::capi::{compat, stock, types};
use crate::runtime::idle_threads;
use crate::runtime::state::State;

/// `get_ident()`.
///
/// # Safety
/// Called by CPython.
pub unsafe extern "C-unwind" fn get_ident(_: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: attached.
    unsafe { ffi::PyLong_FromUnsignedLongLong(compat::thread_ident()) }
}

/// `get_native_id()`.
///
/// # Safety
/// Called by CPython.
pub unsafe extern "C-unwind" fn get_native_id(_: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: attached.
    unsafe { ffi::PyLong_FromUnsignedLong(compat::PyThread_get_thread_native_id()) }
}

/// `allocate_lock()`.
///
/// # Safety
/// Called by CPython with the module.
pub unsafe extern "C-unwind" fn allocate_lock(
    module: *mut PyObject,
    _: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: attached; all zero is a free lock.
    unsafe { types::allocate((*State::of(module)).lock_type) }
}

/// `exit()`.
///
/// # Safety
/// Called by CPython.
pub unsafe extern "C-unwind" fn exit(_: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: attached.
    unsafe { ffi::PyErr_SetNone(ffi::PyExc_SystemExit) };
    ptr::null_mut()
}

/// `interrupt_main(signum=signal.SIGINT)`.
///
/// # Safety
/// Called by CPython with a tuple.
pub unsafe extern "C-unwind" fn interrupt_main(
    _: *mut PyObject,
    args: *mut PyObject,
) -> *mut PyObject {
    let mut signal: c_int = libc::SIGINT;
    // SAFETY: attached; the format expects an int.
    unsafe {
        if compat::PyArg_ParseTuple(args, c"|i:signum".as_ptr(), &raw mut signal) == 0 {
            return ptr::null_mut();
        }
        if !compat::interrupt(signal) {
            return raise(ffi::PyExc_ValueError, c"signal number out of range");
        }
    }
    compat::none()
}

/// `stack_size([size])`. The setting belongs to the interpreter, and applies to the stock module's
/// threads and to rthread's. The limits are the interpreter's too. So the stock function checks and
/// sets it.
///
/// # Safety
/// Called by CPython with the module and a tuple.
pub unsafe extern "C-unwind" fn stack_size(
    module: *mut PyObject,
    args: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: attached.
    unsafe { stock::call((*State::of(module)).stock, c"stack_size", args) }
}

/// Calls a stock function without arguments, for a fact that only the interpreter's internals know.
unsafe fn ask(module: *mut PyObject, name: &core::ffi::CStr) -> *mut PyObject {
    // SAFETY: attached; the new reference is given back.
    unsafe {
        let nothing = ffi::PyTuple_New(0);
        if nothing.is_null() {
            return ptr::null_mut();
        }
        let answer = stock::call((*State::of(module)).stock, name, nothing);
        drop_ref(nothing);
        answer
    }
}

/// `daemon_threads_allowed()`: a flag of the interpreter.
///
/// # Safety
/// Called by CPython with the module.
pub unsafe extern "C-unwind" fn daemon_threads_allowed(
    module: *mut PyObject,
    _: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: attached.
    unsafe { ask(module, c"daemon_threads_allowed") }
}

/// `_get_main_thread_ident()`: a value that the interpreter keeps, and that changes at a fork.
///
/// # Safety
/// Called by CPython with the module.
pub unsafe extern "C-unwind" fn get_main_thread_ident(
    module: *mut PyObject,
    _: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: attached.
    unsafe { ask(module, c"_get_main_thread_ident") }
}

/// `_is_main_interpreter()`.
///
/// # Safety
/// Called by CPython.
pub unsafe extern "C-unwind" fn is_main_interpreter(
    _: *mut PyObject,
    _: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: attached.
    compat::bool_object(unsafe { compat::interpreter() } == compat::main_interpreter())
}

/// `__keep_threads__(number)`: how many finished threads may be kept for the next starts.
///
/// # Safety
/// Called by CPython with the module and a tuple.
pub unsafe extern "C-unwind" fn keep_threads(
    module: *mut PyObject,
    args: *mut PyObject,
) -> *mut PyObject {
    let mut number: ffi::Py_ssize_t = 0;
    // SAFETY: attached; the format expects a Py_ssize_t.
    unsafe {
        if compat::PyArg_ParseTuple(args, c"n:__keep_threads__".as_ptr(), &raw mut number) == 0 {
            return ptr::null_mut();
        }
        let Ok(number) = usize::try_from(number) else {
            return raise(ffi::PyExc_ValueError, c"a number of threads is not negative");
        };
        // On other systems it is not known how to give a kept thread the attributes of its starter.
        let number = if cfg!(target_os = "linux") { number } else { 0 };
        let state = &*State::of(module);
        state.lifetime.kept_threads.store(number, Ordering::Relaxed);
        if number == 0 {
            idle_threads::drain();
        }
    }
    compat::none()
}

/// `__kept_threads__()`: see `idle_threads::numbers`.
///
/// # Safety
/// Called by CPython.
pub unsafe extern "C-unwind" fn kept_threads(_: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    let [kept, starts, with_state] = idle_threads::numbers();
    // SAFETY: attached; the format takes three integers of this size.
    unsafe { ffi::Py_BuildValue(c"nnn".as_ptr(), kept, starts, with_state) }
}
