//! Starting threads: `start_new_thread` and `start_joinable_thread`.

use core::ffi::{c_int, c_void};
use core::mem::ManuallyDrop;
use core::ptr;
use core::sync::atomic::{AtomicIsize, AtomicPtr, Ordering};
use std::sync::Arc;

use pyo3_ffi::{self as ffi, PyInterpreterState, PyObject};

use crate::capi::compat;
use crate::capi::errors::{Raised, raise, runtime_error};
use crate::capi::refs::drop_ref;
use crate::runtime::lifetime::{self, Lifetime};
use crate::runtime::shutdown::Start;
use crate::runtime::state::State;
use crate::runtime::try_arc::TryArc;
use crate::runtime::{blocking, idle_threads, os_thread};
use crate::sync::{Event, fork};
use crate::thread_module::handle::{self, Handle};
use crate::thread_module::start::late_failure::Waiting;
use crate::thread_module::start::reserve::Reserve;
use crate::thread_module::start::run::ThreadLife;

mod late_failure;
mod reserve;
mod run;

pub use late_failure::{after_fork, before_fork, check_started};

/// How much memory must be available before a thread makes its state. `PLENTY` is more than it
/// needs. `LITTLE` is used when the reserve has been given back already.
const PLENTY: usize = 32 << 10;
const LITTLE: usize = 4096;

/// How often a new thread tries to get memory before it fails, if another thread waits for it.
const ATTEMPTS: u32 = 10;

/// The data that a new thread is given, and shares with its starter.
struct Boot {
    interpreter: *mut PyInterpreterState,
    /// The number of running threads that this interpreter has started through rthread.
    count: Arc<AtomicIsize>,
    lifetime: Arc<Lifetime>,
    /// The three references belong to the new thread.
    function: *mut PyObject,
    args: *mut PyObject,
    /// May be null.
    kwargs: *mut PyObject,
    /// None for a thread that cannot be joined.
    handle: Option<TryArc<Handle>>,
    /// Finalization of the interpreter does not wait for it.
    daemon: bool,
    /// It has no handle, and owns the operating system's thread itself.
    owns_thread: bool,
    /// The stack size that was asked for; and the fork epoch of the process, see `sync::fork`.
    stack: usize,
    epoch: u32,
    /// The starter is about to fork, and waits until the thread has its state.
    within_fork: bool,
    waiting: Waiting,
    reserve: Reserve,
    /// Set when the handle says that the thread runs. The thread waits for this before it begins.
    published: Event,
    /// Set when the thread has a thread state, or will never have one.
    has_state: Event,
    /// The next one in the list of threads that have failed.
    next: AtomicPtr<c_void>,
}

// SAFETY: the interpreter and the Python objects are used only while attached. The rest is made for
// sharing.
unsafe impl Send for Boot {}
// SAFETY: as above.
unsafe impl Sync for Boot {}

/// Starts a thread that calls `function(*args, **kwargs)`. Returns its identifier. On error an
/// exception is set, and nothing is left of the thread.
///
/// # Safety
/// Attached; valid objects; `module` belongs to this interpreter.
unsafe fn start(
    module: *const State,
    function: *mut PyObject,
    args: *mut PyObject,
    kwargs: *mut PyObject,
    handle: Option<&TryArc<Handle>>,
    daemon: bool,
) -> Result<u64, Raised> {
    // SAFETY: as the caller promises.
    unsafe {
        let interpreter = compat::interpreter();
        let within_fork = lifetime::is_within_fork();
        let lifetime = &(*module).lifetime;
        let may_be_kept = lifetime.kept_threads.load(Ordering::Relaxed) > 0;
        let waiting = Waiting::of(module, function);
        let waited_for = [waiting.started, waiting.ident];
        let reserve = if waiting.can_fail() {
            Reserve::none()
        } else if let Some(reserve) = Reserve::new() {
            reserve
        } else {
            waited_for.into_iter().for_each(|object| drop_ref(object));
            ffi::PyErr_NoMemory();
            return Err(Raised);
        };
        let boot = TryArc::new(Boot {
            interpreter,
            count: Arc::clone(&(*module).count),
            lifetime: Arc::clone(lifetime),
            function,
            args,
            kwargs,
            handle: handle.cloned(),
            daemon,
            owns_thread: handle.is_none() && may_be_kept,
            stack: compat::stack_size(),
            epoch: fork::epoch(),
            within_fork,
            waiting,
            reserve,
            published: Event::new(),
            has_state: Event::new(),
            next: AtomicPtr::new(ptr::null_mut()),
        });
        let Some(boot) = boot else {
            reserve.give_back();
            waited_for.into_iter().for_each(|object| drop_ref(object));
            ffi::PyErr_NoMemory();
            return Err(Raised);
        };
        for object in [function, args, kwargs] {
            ffi::Py_XINCREF(object);
        }
        let theirs = boot.clone().into_raw();
        // A wait may end this thread by unwinding it, so this frame must not have a value with a
        // destructor.
        let ours = boot.into_raw();
        let boot = ours.get();
        let closing = &boot.lifetime.closing;
        let start = closing.begin();
        let worker = if may_be_kept { idle_threads::claim(boot.stack, interpreter) } else { None };
        let started = match &worker {
            Some(worker) => Some((worker.thread, worker.ident)),
            // A thread that may be kept is started joinable, because it is joined when it ends.
            None => {
                let spawn = || {
                    os_thread::spawn::<ThreadLife>(
                        theirs.into_ptr(),
                        handle.is_some() || may_be_kept,
                        boot.stack,
                    )
                };
                // Kept threads with another stack size may be the reason why there is no room.
                spawn().or_else(|| if idle_threads::drain() { spawn() } else { None })
            }
        };
        let Some((thread, ident)) = started else {
            closing.give_up();
            drop(theirs.into_arc());
            boot.reserve.give_back();
            drop_arguments(boot);
            drop(ours.into_arc());
            runtime_error(c"can't start new thread");
            return Err(Raised);
        };
        if let Some(handle) = handle {
            handle.set_running(thread, ident);
            let _ = boot.published.set();
        }
        if let Some(worker) = worker {
            // The thread begins soon. The program will probably wait for that, and later for its
            // end.
            boot.waiting.expect();
            if let Some(handle) = handle {
                handle.expect();
            }
            worker.give(theirs.into_ptr());
        }
        if start == Start::Last || within_fork || interpreter != compat::main_interpreter() {
            // A sub-interpreter may end at any time, and must know the new thread before that. The
            // main interpreter ends with the process, and a start waits only near that end.
            blocking::wait_for_event(&boot.has_state);
        }
        drop(ours.into_arc());
        Ok(ident)
    }
}

/// [`start`] for a thread that can be joined.
///
/// # Safety
/// As [`start`].
unsafe fn start_joinable(
    module: *const State,
    function: *mut PyObject,
    args: *mut PyObject,
    handle: &TryArc<Handle>,
    daemon: bool,
) -> Result<(), Raised> {
    // SAFETY: as the caller promises.
    unsafe {
        if !handle.begin_start() {
            runtime_error(c"thread already started");
            return Err(Raised);
        }
        if !daemon {
            // Before the start, because the thread may end before `start` returns.
            handle.await_at_exit(Some(compat::interpreter()));
        }
        match start(module, function, args, ptr::null_mut(), Some(handle), daemon) {
            Ok(_) => Ok(()),
            Err(Raised) => {
                handle.abandon();
                Err(Raised)
            }
        }
    }
}

/// Whether this interpreter may start threads, and is not shutting down.
///
/// # Safety
/// Attached.
unsafe fn check_allowed() -> Result<(), Raised> {
    // SAFETY: attached, as the caller promises.
    unsafe {
        if !compat::threads_allowed() {
            runtime_error(c"thread is not supported for isolated subinterpreters");
            return Err(Raised);
        }
        if let Some(exception) = compat::start_refused_at_shutdown() {
            raise(exception, c"can't create new thread at interpreter shutdown");
            return Err(Raised);
        }
    }
    Ok(())
}

/// Drops the references to the function, to its arguments and to the event.
///
/// # Safety
/// Attached; the references are the caller's.
unsafe fn drop_arguments(boot: &Boot) {
    let waiting = &boot.waiting;
    for object in [boot.function, boot.args, boot.kwargs, waiting.started, waiting.ident] {
        // SAFETY: as the caller promises.
        unsafe { drop_ref(object) };
    }
}

/// `start_new_thread(function, args, kwargs={})`: starts a thread, and returns its identifier.
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
    // SAFETY: attached; the call writes to these pointers.
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
        if compat::START_IS_AUDITED
            && compat::PySys_Audit(
                c"_thread.start_new_thread".as_ptr(),
                c"OOO".as_ptr(),
                function,
                args,
                named,
            ) < 0
        {
            return ptr::null_mut();
        }
        if check_allowed().is_err() {
            return ptr::null_mut();
        }
        // When the thread runs it is too late to fail. So memory for an int of the identifier's
        // size is allocated first.
        let room = ffi::PyLong_FromUnsignedLongLong(1 << 59);
        if room.is_null() {
            return ptr::null_mut();
        }
        let started = start(State::of(module), function, args, kwargs, None, true);
        drop_ref(room);
        match started {
            Ok(ident) => number(ident),
            Err(Raised) => ptr::null_mut(),
        }
    }
}

/// Makes an int that the caller must get: if there is no memory for it, waits until there is.
unsafe fn number(value: u64) -> *mut PyObject {
    loop {
        // SAFETY: attached, as the caller is.
        unsafe {
            let number = ffi::PyLong_FromUnsignedLongLong(value);
            if !number.is_null() {
                return number;
            }
            ffi::PyErr_Clear();
            blocking::pause(blocking::UNTIL_MEMORY);
        }
    }
}

/// `start_joinable_thread(function, handle=None, daemon=True)`: starts a thread, and returns its
/// handle.
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
    // SAFETY: attached; the variables have the types that the format expects.
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
        // Not dropped if the start unwinds this frame, see `runtime::blocking`.
        let handle = ManuallyDrop::new(handle::share(object));
        let started = check_allowed()
            .and_then(|()| start_joinable(state, function, nothing, &handle, daemon != 0));
        drop(ManuallyDrop::into_inner(handle));
        drop_ref(nothing);
        if started.is_err() {
            drop_ref(object);
            return ptr::null_mut();
        }
        object
    }
}

/// `_count()`: the number of running Python threads except the main one: rthread's and the stock
/// module's.
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
        let theirs = crate::capi::stock::call((*state).stock, c"_count", nothing);
        drop_ref(nothing);
        if theirs.is_null() {
            return ptr::null_mut();
        }
        let sum = ffi::PyLong_AsSsize_t(theirs) + (*state).count.load(Ordering::Relaxed);
        drop_ref(theirs);
        ffi::PyLong_FromSsize_t(sum)
    }
}
