//! The small functions: identifiers, a new lock, `exit`, interrupting the main thread, the stack
//! size, kept threads.

use core::ffi::{CStr, c_int};
use core::sync::atomic::Ordering;

use pyo3_ffi as ffi;

use crate::capi::entry::{Module, New};
use crate::capi::errors::Raised;
use crate::capi::object::{Answer, Attached, Borrowed, Exception, Tuple};
use crate::capi::{compat, stock};
use crate::runtime::idle_threads;
use crate::runtime::natives::gone;
use crate::runtime::state::State;
use crate::thread_module::lock;

/// `get_ident()`.
#[inline]
pub fn get_ident(py: Attached<'_>, _: Module<'_>) -> Answer {
    py.unsigned(compat::thread_ident())
}

/// `get_native_id()`.
pub fn get_native_id(py: Attached<'_>, _: Module<'_>) -> Answer {
    // SAFETY: attached; a new reference.
    unsafe { py.own(ffi::PyLong_FromUnsignedLong(compat::PyThread_get_thread_native_id())) }
}

/// `allocate_lock()`.
#[inline]
pub fn allocate_lock(py: Attached<'_>, module: Module<'_>) -> Answer {
    lock::allocate(py, State::of(module)).map(New::into_owned)
}

/// `exit()`.
pub fn exit(py: Attached<'_>, _: Module<'_>) -> Answer {
    Err(py.raise_class(Exception::SystemExit.class()))
}

/// `interrupt_main(signum=signal.SIGINT)`.
pub fn interrupt_main(py: Attached<'_>, _: Module<'_>, args: Tuple<'_>) -> Answer {
    let mut signal: c_int = libc::SIGINT;
    let args = args.object().as_ptr();
    // SAFETY: attached; a tuple; the format expects an int.
    if unsafe { compat::PyArg_ParseTuple(args, c"|i:signum".as_ptr(), &raw mut signal) } == 0 {
        return Err(Raised);
    }
    if !compat::interrupt(signal) {
        return Err(py.raise(Exception::Value, c"signal number out of range"));
    }
    Ok(py.none())
}

/// The stock module.
fn stock_module<'a>(py: Attached<'_>, module: Module<'a>) -> Result<Borrowed<'a>, Raised> {
    State::of(module).stock.get().ok_or_else(|| gone(py))
}

/// `stack_size([size])`. The setting belongs to the interpreter, and applies to the stock module's
/// threads and to rthread's. The limits are the interpreter's too. So the stock function checks and
/// sets it.
pub fn stack_size(py: Attached<'_>, module: Module<'_>, args: Tuple<'_>) -> Answer {
    stock::call(py, stock_module(py, module)?, c"stack_size", args)
}

/// Calls a stock function without arguments, for a fact that only the interpreter's internals know.
fn ask(py: Attached<'_>, module: Module<'_>, name: &CStr) -> Answer {
    let stock = stock_module(py, module)?;
    let nothing = py.tuple(&[])?;
    // SAFETY: a new tuple.
    let args = unsafe { Tuple::assume(nothing.borrow()) };
    let answer = stock::call(py, stock, name, args);
    nothing.release(py);
    answer
}

/// `daemon_threads_allowed()`: a flag of the interpreter.
pub fn daemon_threads_allowed(py: Attached<'_>, module: Module<'_>) -> Answer {
    ask(py, module, c"daemon_threads_allowed")
}

/// `_get_main_thread_ident()`: a value that the interpreter keeps, and that changes at a fork.
pub fn get_main_thread_ident(py: Attached<'_>, module: Module<'_>) -> Answer {
    ask(py, module, c"_get_main_thread_ident")
}

/// `_is_main_interpreter()`.
pub fn is_main_interpreter(py: Attached<'_>, _: Module<'_>) -> Answer {
    Ok(py.bool(py.is_in_main_interpreter()))
}

/// `__keep_threads__(number)`: how many finished threads may be kept for the next starts.
pub fn keep_threads(py: Attached<'_>, module: Module<'_>, args: Tuple<'_>) -> Answer {
    let mut number: ffi::Py_ssize_t = 0;
    let (args, format) = (args.object().as_ptr(), c"n:__keep_threads__".as_ptr());
    // SAFETY: attached; a tuple; the format expects a Py_ssize_t.
    if unsafe { compat::PyArg_ParseTuple(args, format, &raw mut number) } == 0 {
        return Err(Raised);
    }
    let Ok(number) = usize::try_from(number) else {
        return Err(py.raise(Exception::Value, c"a number of threads is not negative"));
    };
    // On other systems it is not known how to give a kept thread the attributes of its starter.
    let number = if cfg!(target_os = "linux") { number } else { 0 };
    State::of(module).lifetime.kept_threads.store(number, Ordering::Relaxed);
    if number == 0 {
        idle_threads::drain(py);
    }
    Ok(py.none())
}

/// `__kept_threads__()`: see `idle_threads::numbers`.
pub fn kept_threads(py: Attached<'_>, _: Module<'_>) -> Answer {
    py.numbers(&idle_threads::numbers().map(|number| number as i64))
}
