//! Starting threads: `start_new_thread` and `start_joinable_thread`.

use core::ffi::{c_int, c_void};
use core::mem::ManuallyDrop;
use core::ptr;
use core::sync::atomic::{AtomicIsize, Ordering};
use core::time::Duration;
use std::sync::Arc;

use pyo3_ffi::{self as ffi, PyInterpreterState, PyObject, PyThreadState};

use crate::compat::{self, PyEval_RestoreThread, PyEval_SaveThread, Raised};
use crate::handle::{self, Handle};
use crate::life::{Entered, Life};
use crate::module::State;
use crate::object::{drop_ref, raise, runtime_error};
use crate::sentinel;
use crate::sync::{Event, wait};

pub use os::OsThread;

#[cfg_attr(unix, path = "thread/unix.rs")]
#[cfg_attr(windows, path = "thread/windows.rs")]
mod os;

/// More than a thread state takes. The starter sets it aside and the new thread gives it back just
/// before it makes its state, so that running out of memory is the starter's exception. Without it
/// the starter would have to wait for every thread to say that it has a state.
const RESERVE: usize = if cfg!(Py_GIL_DISABLED) { 64 << 10 } else { 16 << 10 };

/// What a new thread is given, and shares with its starter.
struct Boot {
    interpreter: *mut PyInterpreterState,
    /// How many threads of this interpreter run.
    count: Arc<AtomicIsize>,
    life: Arc<Life>,
    /// The three references belong to the new thread.
    function: *mut PyObject,
    args: *mut PyObject,
    /// May be null.
    kwargs: *mut PyObject,
    /// None for a thread that nobody can join.
    handle: Option<Arc<Handle>>,
    reserve: Reserve,
    /// The handle says that the thread runs: it may.
    published: Event,
    /// The thread has a thread state, or never will.
    has_state: Event,
}

// SAFETY: the interpreter and the Python objects are only used while attached; the rest is made
// for sharing.
unsafe impl Send for Boot {}
// SAFETY: as above.
unsafe impl Sync for Boot {}

/// Memory that is set aside.
struct Reserve(*mut c_void);

impl Reserve {
    fn new() -> Option<Reserve> {
        // SAFETY: any size will do.
        let memory = unsafe { libc::malloc(RESERVE) };
        (!memory.is_null()).then_some(Reserve(memory))
    }

    /// # Safety
    /// Called once.
    unsafe fn give_back(&self) {
        // SAFETY: from malloc, and freed once.
        unsafe { libc::free(self.0) };
    }
}

/// Starts a thread that calls `function(*args, **kwargs)`: its identifier; or an exception is set,
/// and nothing is left behind.
///
/// # Safety
/// Attached; valid objects; `module` is this interpreter's.
unsafe fn start(
    module: *const State,
    function: *mut PyObject,
    args: *mut PyObject,
    kwargs: *mut PyObject,
    handle: Option<&Arc<Handle>>,
) -> Result<u64, Raised> {
    // SAFETY: as the caller promises.
    unsafe {
        let Some(reserve) = Reserve::new() else {
            ffi::PyErr_NoMemory();
            return Err(Raised);
        };
        let interpreter = compat::interpreter();
        let boot = Arc::new(Boot {
            interpreter,
            count: Arc::clone(&(*module).count),
            life: Arc::clone(&(*module).life),
            function,
            args,
            kwargs,
            handle: handle.cloned(),
            reserve,
            published: Event::new(),
            has_state: Event::new(),
        });
        for object in [function, args, kwargs] {
            ffi::Py_XINCREF(object);
        }
        let theirs = Arc::into_raw(Arc::clone(&boot));
        let Some((thread, ident)) =
            os::spawn(theirs.cast_mut().cast(), handle.is_some(), compat::stack_size())
        else {
            drop(Arc::from_raw(theirs));
            boot.reserve.give_back();
            drop_arguments(&boot);
            runtime_error(c"can't start new thread");
            return Err(Raised);
        };
        if let Some(handle) = handle {
            handle.set_running(thread, ident);
            boot.published.set();
        }
        if interpreter != compat::main_interpreter() {
            // Not dropped where the wait unwinds: see `blocking`.
            let boot = ManuallyDrop::new(boot);
            wait_for_state(&boot.has_state);
            drop(ManuallyDrop::into_inner(boot));
        }
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
    handle: &Arc<Handle>,
    daemon: bool,
) -> Result<(), Raised> {
    // SAFETY: as the caller promises.
    unsafe {
        if !handle.begin_start() {
            runtime_error(c"thread already started");
            return Err(Raised);
        }
        if !daemon {
            // Before the start: the thread may be over before we are back.
            handle.await_at_exit(Some(compat::interpreter()));
        }
        match start(module, function, args, ptr::null_mut(), Some(handle)) {
            Ok(_) => Ok(()),
            Err(Raised) => {
                handle.set_failed();
                Err(Raised)
            }
        }
    }
}

/// Whether this interpreter may start threads, and still does.
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

/// Before a sub-interpreter may end, its new thread has to be one that it knows of. The main
/// interpreter ends with the process. Signals have to wait: the start cannot be undone.
///
/// # Safety
/// Attached.
#[cold]
unsafe fn wait_for_state(has_state: &Event) {
    // SAFETY: attached, and attached again with the same state.
    unsafe {
        let state = PyEval_SaveThread();
        wait(has_state, None);
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
    if shared.handle.is_some() {
        wait(&shared.published, None);
    }
    // SAFETY: as above; called once.
    let state = unsafe { make_state(shared) };
    shared.has_state.set();
    if !state.is_null() {
        sentinel::thread_begins();
        // SAFETY: a fresh state of this thread.
        unsafe { run_attached(shared, state) };
        sentinel::thread_ended();
    }
    // There is no Python any more. Last, because a join may return now: nothing of the thread is
    // left.
    if let Some(handle) = &shared.handle {
        handle.set_exiting();
    }
    // SAFETY: our reference.
    unsafe { drop(Arc::from_raw(boot)) };
}

/// This thread's state, made here because it remembers the thread that it was made in. Null if the
/// interpreter ends: the arguments are leaked then, as nobody may drop them.
///
/// # Safety
/// Called once.
unsafe fn make_state(boot: &Boot) -> *mut PyThreadState {
    // SAFETY: as the caller promises; set by the starter.
    unsafe { boot.reserve.give_back() };
    loop {
        // SAFETY: a new thread, and the life of that interpreter.
        match unsafe { boot.life.enter(boot.interpreter) } {
            Entered::State(state) => return state,
            Entered::Over => return ptr::null_mut(),
            // Somebody else got what we set aside. There is nobody to tell: try until there is
            // more.
            Entered::NoMemory => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}

/// The part of a thread's life that has a thread state.
///
/// # Safety
/// `state` is a fresh state of this thread.
unsafe fn run_attached(boot: &Boot, state: *mut PyThreadState) {
    // SAFETY: as the caller promises. Attaching may be the end of the thread, if the interpreter
    // is shutting down.
    unsafe {
        compat::PyEval_AcquireThread(state);
        boot.count.fetch_add(1, Ordering::Relaxed);
        call(boot);
        drop_arguments(boot);
        boot.count.fetch_sub(1, Ordering::Relaxed);
        compat::PyThreadState_Clear(state);
        compat::PyThreadState_DeleteCurrent();
    }
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
        match start(State::of(module), function, args, kwargs, None) {
            Ok(ident) => ffi::PyLong_FromUnsignedLongLong(ident),
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
        // Not dropped where the start unwinds: see `blocking`.
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
