//! Starting threads: `start_new_thread` and `start_joinable_thread`.

use core::ffi::{c_int, c_void};
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicIsize, Ordering};
use std::sync::Arc;

use pyo3_ffi::{self as ffi, PyInterpreterState, PyObject};

use crate::compat::{self, PyEval_RestoreThread, PyEval_SaveThread, Raised};
use crate::handle::{self, Handle};
use crate::module::State;
use crate::object::{drop_ref, raise, runtime_error};
use crate::sentinel;
use crate::sync::{Event, wait};

pub use os::OsThread;

#[cfg_attr(unix, path = "thread/unix.rs")]
#[cfg_attr(windows, path = "thread/windows.rs")]
mod os;

/// What a new thread is given. Shared with its starter until `ready`.
struct Boot {
    interpreter: *mut PyInterpreterState,
    /// How many threads of this interpreter run.
    count: Arc<AtomicIsize>,
    /// The three references belong to the new thread as soon as `ready` is set and not `failed`.
    function: *mut PyObject,
    args: *mut PyObject,
    /// May be null.
    kwargs: *mut PyObject,
    handle: Arc<Handle>,
    /// The thread has a state and will run, or has failed.
    ready: Event,
    failed: AtomicBool,
}

// SAFETY: the interpreter and the Python objects are only used while attached; the rest is made
// for sharing.
unsafe impl Send for Boot {}
// SAFETY: as above.
unsafe impl Sync for Boot {}

/// Starts a thread that calls `function(*args, **kwargs)`. Returns when it has a thread state, or
/// with an exception set and nothing left behind.
///
/// # Safety
/// Attached; valid objects; `module` is this interpreter's.
unsafe fn start(
    module: *const State,
    function: *mut PyObject,
    args: *mut PyObject,
    kwargs: *mut PyObject,
    handle: &Arc<Handle>,
    daemon: bool,
) -> Result<(), Raised> {
    // SAFETY: as the caller promises.
    unsafe {
        if !compat::threads_allowed() {
            runtime_error(c"thread is not supported for isolated subinterpreters");
            return Err(Raised);
        }
        if let Some(exception) = compat::start_refused_at_shutdown() {
            raise(exception, c"can't create new thread at interpreter shutdown");
            return Err(Raised);
        }
        if !handle.begin_start() {
            runtime_error(c"thread already started");
            return Err(Raised);
        }
        let interpreter = compat::interpreter();
        if !daemon {
            // Before the start: the thread may be over before we are back.
            handle.await_at_exit(Some(interpreter));
        }
        let boot = Arc::new(Boot {
            interpreter,
            count: Arc::clone(&(*module).count),
            function,
            args,
            kwargs,
            handle: Arc::clone(handle),
            ready: Event::new(),
            failed: AtomicBool::new(false),
        });
        for object in [function, args, kwargs] {
            ffi::Py_XINCREF(object);
        }
        let theirs = Arc::into_raw(Arc::clone(&boot));
        if !os::spawn(run, theirs.cast_mut().cast(), compat::stack_size()) {
            drop(Arc::from_raw(theirs));
            handle.set_failed();
            drop_arguments(&boot);
            runtime_error(c"can't start new thread");
            return Err(Raised);
        }
        wait_until_ready(&boot.ready);
        if boot.failed.load(Ordering::Acquire) {
            drop_arguments(&boot);
            ffi::PyErr_NoMemory();
            return Err(Raised);
        }
    }
    Ok(())
}

/// Detached, so that the new thread can attach and run while this one is still waking up: the two
/// go on at the same time, and a `Thread.start()` finds its thread running already. Signals have
/// to wait: the thread exists, the start cannot be undone.
///
/// # Safety
/// Attached.
unsafe fn wait_until_ready(ready: &Event) {
    // SAFETY: attached, and attached again with the same state.
    unsafe {
        let state = PyEval_SaveThread();
        wait(ready, None);
        PyEval_RestoreThread(state);
    }
}

/// Drops the references to what the thread calls.
///
/// # Safety
/// Attached; the references are the caller's.
unsafe fn drop_arguments(boot: &Boot) {
    for object in [boot.function, boot.args, boot.kwargs] {
        // SAFETY: as the caller promises.
        unsafe { drop_ref(object) };
    }
}

/// The whole life of a thread.
///
/// No value with a destructor lives in this frame while Python code runs: up to 3.13 the
/// interpreter ends daemon threads by unwinding their stacks from the inside.
unsafe extern "C-unwind" fn run(boot: *mut c_void) {
    let boot = boot.cast_const().cast::<Boot>();
    // SAFETY: the reference that `start` gave us; it is given back at the end of this function.
    let shared = unsafe { &*boot };
    // SAFETY: the interpreter exists as long as the starter waits for `ready`. The thread state is
    // made here because it remembers the thread it was made in.
    let state = unsafe { ffi::PyThreadState_New(shared.interpreter) };
    if state.is_null() {
        shared.handle.set_failed();
        shared.failed.store(true, Ordering::Release);
        shared.ready.set();
        os::detach_current();
        // SAFETY: our reference.
        unsafe { drop(Arc::from_raw(boot)) };
        return;
    }
    sentinel::thread_begins();
    shared.handle.set_running(os::current());
    shared.ready.set();
    // SAFETY: a fresh state of this thread. This may be the end of the thread, if the interpreter
    // is shutting down: then what it was given is leaked, as there is nobody to drop it.
    unsafe { compat::PyEval_AcquireThread(state) };
    shared.count.fetch_add(1, Ordering::Relaxed);
    // SAFETY: attached.
    unsafe {
        call(shared);
        drop_arguments(shared);
        shared.count.fetch_sub(1, Ordering::Relaxed);
        compat::PyThreadState_Clear(state);
        compat::PyThreadState_DeleteCurrent();
    }
    // From here on there is no Python. The order: who waits for the thread may go on when nothing
    // of it is left.
    sentinel::thread_ended();
    shared.handle.set_exiting();
    // SAFETY: our reference.
    unsafe { drop(Arc::from_raw(boot)) };
}

/// Calls the function; SystemExit is silent, any other exception is reported.
///
/// # Safety
/// Attached.
unsafe fn call(boot: &Boot) {
    // SAFETY: attached; the references are ours.
    unsafe {
        let result = compat::PyObject_Call(boot.function, boot.args, boot.kwargs);
        if !result.is_null() {
            drop_ref(result);
        } else if ffi::PyErr_ExceptionMatches(ffi::PyExc_SystemExit) != 0 {
            ffi::PyErr_Clear();
        } else {
            compat::unraisable_in_thread(boot.function);
        }
    }
}

/// `start_new_thread(function, args, kwargs={})`: the new thread's identifier.
///
/// # Safety
/// Called by CPython with the module and a tuple.
pub unsafe extern "C-unwind" fn start_new_thread(
    module: *mut PyObject,
    arguments: *mut PyObject,
) -> *mut PyObject {
    let mut function: *mut PyObject = ptr::null_mut();
    let mut args: *mut PyObject = ptr::null_mut();
    let mut kwargs: *mut PyObject = ptr::null_mut();
    // SAFETY: attached; the variables are the pointers that the call fills in.
    unsafe {
        if compat::PyArg_UnpackTuple(
            arguments,
            c"start_new_thread".as_ptr(),
            2,
            3,
            &raw mut function,
            &raw mut args,
            &raw mut kwargs,
        ) == 0
        {
            return ptr::null_mut();
        }
        if ffi::PyCallable_Check(function) == 0 {
            return raise(ffi::PyExc_TypeError, c"first arg must be callable");
        }
        if ffi::PyTuple_Check(args) == 0 {
            return raise(ffi::PyExc_TypeError, c"2nd arg must be a tuple");
        }
        if !kwargs.is_null() && ffi::PyDict_Check(kwargs) == 0 {
            return raise(ffi::PyExc_TypeError, c"optional 3rd arg must be a dictionary");
        }
        let named = if kwargs.is_null() { ffi::Py_None() } else { kwargs };
        if compat::PySys_Audit(
            c"_thread.start_new_thread".as_ptr(),
            c"OOO".as_ptr(),
            function,
            args,
            named,
        ) < 0
        {
            return ptr::null_mut();
        }
        let handle = Handle::new();
        match start(State::of(module), function, args, kwargs, &handle, true) {
            Ok(()) => ffi::PyLong_FromUnsignedLongLong(handle.ident()),
            Err(Raised) => ptr::null_mut(),
        }
    }
}

/// `start_joinable_thread(function, handle=None, daemon=True)`: the handle.
///
/// # Safety
/// Called by CPython with the module, a tuple, and a dict or null.
pub unsafe extern "C-unwind" fn start_joinable_thread(
    module: *mut PyObject,
    args: *mut PyObject,
    kwargs: *mut PyObject,
) -> *mut PyObject {
    let keywords = [c"function".as_ptr(), c"handle".as_ptr(), c"daemon".as_ptr(), ptr::null()];
    let (mut function, mut given) = (ptr::null_mut::<PyObject>(), ptr::null_mut::<PyObject>());
    let mut daemon: c_int = 1;
    // SAFETY: attached; the variables are of the types that the format wants.
    unsafe {
        let state = State::of(module);
        if compat::PyArg_ParseTupleAndKeywords(
            args,
            kwargs,
            c"O|Op:start_joinable_thread".as_ptr(),
            keywords.as_ptr(),
            &raw mut function,
            &raw mut given,
            &raw mut daemon,
        ) == 0
        {
            return ptr::null_mut();
        }
        if ffi::PyCallable_Check(function) == 0 {
            return raise(ffi::PyExc_TypeError, c"thread function must be callable");
        }
        if given.is_null() {
            given = ffi::Py_None();
        }
        if given != ffi::Py_None() && ffi::Py_TYPE(given) != (*state).handle_type {
            return raise(ffi::PyExc_TypeError, c"'handle' must be a _ThreadHandle");
        }
        if compat::PySys_Audit(
            c"_thread.start_joinable_thread".as_ptr(),
            c"OiO".as_ptr(),
            function,
            daemon,
            given,
        ) < 0
        {
            return ptr::null_mut();
        }
        let object = if given == ffi::Py_None() {
            handle::make((*state).handle_type)
        } else {
            ffi::Py_INCREF(given);
            given
        };
        let nothing = ffi::PyTuple_New(0);
        if object.is_null() || nothing.is_null() {
            drop_ref(object);
            drop_ref(nothing);
            return ptr::null_mut();
        }
        let handle = handle::share(object);
        let started = start(state, function, nothing, ptr::null_mut(), &handle, daemon != 0);
        drop_ref(nothing);
        if started.is_err() {
            drop_ref(object);
            return ptr::null_mut();
        }
        object
    }
}

/// `_count()`: the Python threads that run, but for the main one: ours and the stock module's.
///
/// # Safety
/// Called by CPython with the module.
pub unsafe extern "C-unwind" fn count(module: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: attached; new references are given back.
    unsafe {
        let state = State::of(module);
        let nothing = ffi::PyTuple_New(0);
        if nothing.is_null() {
            return ptr::null_mut();
        }
        let theirs = crate::stock::call((*state).stock, c"_count", nothing);
        drop_ref(nothing);
        if theirs.is_null() {
            return ptr::null_mut();
        }
        let sum = ffi::PyLong_AsSsize_t(theirs) + (*state).count.load(Ordering::Relaxed);
        drop_ref(theirs);
        ffi::PyLong_FromSsize_t(sum)
    }
}
