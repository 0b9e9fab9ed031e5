//! Reports that a signal asks for: `rthread.debug.register`.
//!
//! The C handler (`handler`) notes the signal and wakes the helper (`helper`), which has a reporter
//! make the report (`reporter`), or writes what can be told without Python (`records`). So a report
//! comes also when the main thread waits for a lock, and when a thread keeps the GIL.

mod handler;
mod helper;
mod output;
mod records;
mod reporter;
mod semaphore;

use core::ffi::{c_int, c_void};
use core::ptr;
use std::sync::Once;

use pyo3_ffi::{self as ffi, PyObject};

use crate::capi::compat;
use crate::capi::entry::Module;
use crate::capi::errors::Raised;
use crate::capi::object::{Answer, Attached, Borrowed, Tuple};
use crate::capi::static_tables::Definition;
use crate::debug::signals::handler::File;
use crate::runtime::state::State;

/// `__register_signal__(signum, fd, chain, report)`.
pub fn register_signal(py: Attached<'_>, module: Module<'_>, args: Tuple<'_>) -> Answer {
    let (mut signal, mut fd, mut chain): (c_int, c_int, c_int) = (0, 0, 0);
    let mut function: *mut PyObject = ptr::null_mut();
    // SAFETY: attached; a tuple; the format expects these types. The tuple keeps the object alive.
    let function = unsafe {
        let format = c"iipO:__register_signal__".as_ptr();
        let args = args.object().as_ptr();
        let (signal, fd, chain) = (&raw mut signal, &raw mut fd, &raw mut chain);
        if compat::PyArg_ParseTuple(args, format, signal, fd, chain, &raw mut function) == 0 {
            return Err(Raised);
        }
        Borrowed::assume(function)
    };
    function.want_callable(py, c"the report must be callable")?;
    if !py.is_in_main_interpreter() {
        return Err(py.runtime_error(c"signals are for the main interpreter"));
    }
    let Some(file) = File::of(fd) else { return Err(system_error(py)) };
    if !reporter::has_function(py)? {
        attend_forks(py)?;
    }
    reporter::set_function(py, function, &State::of(module).lifetime)?;
    if !helper::start() {
        return Err(py.runtime_error(c"can't start new thread"));
    }
    match handler::register(signal, file, chain != 0) {
        Ok(()) => Ok(py.none()),
        Err(error) => {
            // SAFETY: attached; the number of the error is where the function looks for it.
            unsafe { *handler::errno_place() = error };
            Err(system_error(py))
        }
    }
}

fn system_error(_: Attached<'_>) -> Raised {
    // SAFETY: attached.
    unsafe { ffi::PyErr_SetFromErrno(ffi::PyExc_OSError) };
    Raised
}

/// `__unregister_signal__(signum)`.
pub fn unregister_signal(py: Attached<'_>, _: Module<'_>, signal: Borrowed<'_>) -> Answer {
    let signal = signal.to_unsigned(py)?;
    let was_registered = c_int::try_from(signal).is_ok_and(handler::unregister);
    if was_registered && !handler::is_any_registered() {
        helper::end_if_idle();
    }
    Ok(py.bool(was_registered))
}

/// Lets the helper end before a fork, and come back after it.
fn attend_forks(py: Attached<'_>) -> Result<(), Raised> {
    static HOOKS: [Definition; 3] = [
        Definition::new(c"before_fork", ffi::METH_NOARGS, before_fork as *mut c_void),
        Definition::new(c"after_fork", ffi::METH_NOARGS, after_fork_in_parent as *mut c_void),
        Definition::new(c"after_fork", ffi::METH_NOARGS, after_fork_in_child as *mut c_void),
    ];
    static REGISTERED: Once = Once::new();
    unsafe extern "C" fn prepare() {
        helper::before_fork();
        handler::before_fork();
    }
    unsafe extern "C" fn parent() {
        // SAFETY: `prepare` ran in this thread.
        unsafe {
            handler::after_fork();
            helper::after_fork();
        }
    }
    unsafe extern "C" fn child() {
        // SAFETY: as above.
        unsafe { parent() };
        // Here, because signals that come before the Python hooks run are those of the child.
        helper::after_fork_in_child();
    }
    // SAFETY: the handlers stay loaded, because extension modules are never unloaded.
    REGISTERED.call_once(|| unsafe {
        libc::pthread_atfork(Some(prepare), Some(parent), Some(child));
    });
    for (hook, when) in HOOKS.iter().zip([c"before", c"after_in_parent", c"after_in_child"]) {
        let module = py.import(c"posix")?;
        let done = hook.register(py, None, module.borrow(), c"register_at_fork", Some(when));
        module.release(py);
        done?;
    }
    Ok(())
}

unsafe extern "C-unwind" fn before_fork(_: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    helper::end_if_idle();
    compat::none()
}

unsafe extern "C-unwind" fn after_fork_in_parent(
    _: *mut PyObject,
    _: *mut PyObject,
) -> *mut PyObject {
    extern "C" fn later(_: *mut c_void) -> c_int {
        return_helper();
        0
    }
    // 3.13 counts the threads only after these hooks. So in the main thread, which may be the only
    // one, the helper comes back one instruction later.
    // SAFETY: attached; the function may be called at any time.
    let is_put_off = compat::is_main_thread()
        && unsafe { ffi::Py_AddPendingCall(Some(later), ptr::null_mut()) } == 0;
    if !is_put_off {
        return_helper();
    }
    compat::none()
}

unsafe extern "C-unwind" fn after_fork_in_child(
    _: *mut PyObject,
    _: *mut PyObject,
) -> *mut PyObject {
    return_helper();
    compat::none()
}

/// Starts the helper, if a signal is registered. If that fails, a signal has no effect.
fn return_helper() {
    if handler::is_any_registered() {
        helper::start();
    }
}
