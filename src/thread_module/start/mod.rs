//! Starting threads: `start_new_thread` and `start_joinable_thread`.

use core::ffi::{c_int, c_void};
use core::mem::ManuallyDrop;
use core::ptr;
use core::sync::atomic::{AtomicIsize, AtomicPtr, Ordering};
use std::sync::Arc;

use pyo3_ffi::{self as ffi, PyInterpreterState, PyObject};

use crate::capi::compat;
use crate::capi::entry::Module;
use crate::capi::errors::{Raised, raise};
use crate::capi::object::{Answer, Attached, Borrowed, Dict, Exception, Owned, Tuple, release};
use crate::runtime::blocking::{self, Subject};
use crate::runtime::lifetime::{self, Lifetime};
use crate::runtime::shutdown::Start;
use crate::runtime::state::State;
use crate::runtime::try_arc::TryArc;
use crate::runtime::{idle_threads, natives, os_thread};
use crate::sync::{Event, fork};
use crate::thread_module::handle::{self, Handle};
use crate::thread_module::start::given::Given;
use crate::thread_module::start::late_failure::Waiting;
use crate::thread_module::start::reserve::Reserve;
use crate::thread_module::start::run::ThreadLife;

mod given;
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
    given: Given,
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
fn start(
    py: Attached<'_>,
    state: &State,
    function: Borrowed<'_>,
    args: Tuple<'_>,
    kwargs: Option<Dict<'_>>,
    handle: Option<&TryArc<Handle>>,
    daemon: bool,
) -> Result<u64, Raised> {
    let interpreter = py.interpreter();
    let within_fork = lifetime::is_within_fork();
    let may_be_kept = state.lifetime.kept_threads.load(Ordering::Relaxed) > 0;
    let given = Given::new(py, state, function, args, kwargs);
    let waiting = Waiting::of(py, state, given.started());
    let reserve = if waiting.can_fail() {
        Reserve::none()
    } else if let Some(reserve) = Reserve::new() {
        reserve
    } else {
        // SAFETY: there is no thread.
        unsafe { given.release(py) };
        return Err(py.no_memory());
    };
    let boot = TryArc::new(Boot {
        interpreter,
        count: Arc::clone(&state.count),
        lifetime: Arc::clone(&state.lifetime),
        given,
        handle: handle.cloned(),
        daemon,
        owns_thread: handle.is_none() && may_be_kept,
        // SAFETY: attached.
        stack: unsafe { compat::stack_size() },
        epoch: fork::epoch(),
        within_fork,
        waiting,
        reserve,
        published: Event::new(),
        has_state: Event::new(),
        next: AtomicPtr::new(ptr::null_mut()),
    });
    let Some(boot) = boot else {
        // SAFETY: there is no thread.
        unsafe {
            reserve.give_back();
            given.release(py);
        }
        return Err(py.no_memory());
    };
    let theirs = boot.clone().into_raw();
    // A wait may end this thread by unwinding it, so this frame must not have a value with a
    // destructor.
    let ours = boot.into_raw();
    // SAFETY: this function owns a reference until it returns.
    let boot = unsafe { ours.get() };
    let closing = &boot.lifetime.closing;
    let start = closing.begin(py);
    let worker = if may_be_kept { idle_threads::claim(py, boot.stack, interpreter) } else { None };
    let started = match &worker {
        Some(worker) => Some((worker.thread, worker.ident)),
        // A thread that may be kept is started joinable, because it is joined when it ends.
        None => {
            let joinable = handle.is_some() || may_be_kept;
            // SAFETY: the new thread takes the reference over. It is started at most once.
            let spawn = || unsafe {
                os_thread::spawn::<ThreadLife>(theirs.into_ptr(), joinable, boot.stack)
            };
            // Kept threads with another stack size may be the reason why there is no room.
            spawn().or_else(|| if idle_threads::drain(py) { spawn() } else { None })
        }
    };
    let Some((thread, ident)) = started else {
        closing.give_up();
        // SAFETY: there is no thread. Both references are this function's.
        unsafe {
            drop(theirs.into_arc());
            boot.reserve.give_back();
            boot.given.release(py);
            drop(ours.into_arc());
        }
        return Err(py.runtime_error(c"can't start new thread"));
    };
    if let Some(handle) = handle {
        handle.set_running(thread, ident);
        let _ = boot.published.set();
    }
    if let Some(worker) = worker {
        // The thread begins soon. The program will probably wait for that, and later for its end.
        boot.waiting.expect();
        if let Some(handle) = handle {
            handle.expect();
        }
        worker.give(theirs.into_ptr());
    }
    if start == Start::Last || within_fork || interpreter != compat::main_interpreter() {
        // A sub-interpreter may end at any time, and must know the new thread before that. The main
        // interpreter ends with the process, and a start waits only near that end.
        blocking::wait_for_event(py, &boot.has_state, Subject::START);
    }
    // SAFETY: the reference is this function's.
    unsafe { drop(ours.into_arc()) };
    Ok(ident)
}

/// [`start`] for a thread that can be joined.
fn start_joinable(
    py: Attached<'_>,
    state: &State,
    function: Borrowed<'_>,
    args: Tuple<'_>,
    handle: &TryArc<Handle>,
    daemon: bool,
) -> Result<(), Raised> {
    if !handle.begin_start() {
        return Err(py.runtime_error(c"thread already started"));
    }
    if !daemon {
        // Before the start, because the thread may end before `start` returns.
        handle.await_at_exit(Some(py.interpreter()));
    }
    match start(py, state, function, args, None, Some(handle), daemon) {
        Ok(_) => Ok(()),
        Err(Raised) => {
            handle.abandon();
            Err(Raised)
        }
    }
}

/// Whether this interpreter may start threads, and is not shutting down.
fn check_allowed(py: Attached<'_>) -> Result<(), Raised> {
    // SAFETY: attached.
    if !unsafe { compat::threads_allowed() } {
        let words = c"thread is not supported for isolated subinterpreters";
        return Err(py.runtime_error(words));
    }
    // SAFETY: attached; an exception class of the interpreter.
    unsafe {
        if let Some(exception) = compat::start_refused_at_shutdown() {
            raise(exception, c"can't create new thread at interpreter shutdown");
            return Err(Raised);
        }
    }
    Ok(())
}

/// `start_new_thread(function, args, kwargs={})`: starts a thread, and returns its identifier.
pub fn start_new_thread(py: Attached<'_>, module: Module<'_>, arguments: Tuple<'_>) -> Answer {
    let mut function: *mut PyObject = ptr::null_mut();
    let mut args: *mut PyObject = ptr::null_mut();
    let mut kwargs: *mut PyObject = ptr::null_mut();
    // SAFETY: attached; the call writes to these pointers. The tuple keeps the objects alive.
    let (function, args, kwargs) = unsafe {
        if compat::PyArg_UnpackTuple(
            arguments.object().as_ptr(),
            c"start_new_thread".as_ptr(),
            2,
            3,
            &raw mut function,
            &raw mut args,
            &raw mut kwargs,
        ) == 0
        {
            return Err(Raised);
        }
        let [function, args] = [function, args].map(|object| Borrowed::assume(object));
        (function, args, Borrowed::assume_if_any(kwargs))
    };
    function.want_callable(py, c"first arg must be callable")?;
    let Some(args) = Tuple::of(args) else {
        return Err(py.raise(Exception::Type, c"2nd arg must be a tuple"));
    };
    let keywords = kwargs.and_then(Dict::of);
    if kwargs.is_some() && keywords.is_none() {
        return Err(py.raise(Exception::Type, c"optional 3rd arg must be a dictionary"));
    }
    if compat::START_IS_AUDITED {
        let none = py.none();
        let named = kwargs.unwrap_or(none.borrow());
        // SAFETY: attached; the format takes three objects.
        let allowed = py.check(unsafe {
            compat::PySys_Audit(
                c"_thread.start_new_thread".as_ptr(),
                c"OOO".as_ptr(),
                function.as_ptr(),
                args.object().as_ptr(),
                named.as_ptr(),
            )
        });
        none.release(py);
        allowed?;
    }
    check_allowed(py)?;
    // When the thread runs it is too late to fail. So memory for an int of the identifier's size is
    // allocated first.
    let room = py.unsigned(1 << 59)?;
    let started = start(py, State::of(module), function, args, keywords, None, true);
    room.release(py);
    started.map(|ident| number(py, ident))
}

/// Makes an int that the caller must get: if there is no memory for it, waits until there is.
fn number(py: Attached<'_>, value: u64) -> Owned {
    loop {
        if let Ok(number) = py.unsigned(value) {
            return number;
        }
        py.clear_error();
        blocking::pause(py, blocking::UNTIL_MEMORY);
    }
}

/// `start_joinable_thread(function, handle=None, daemon=True)`: starts a thread, and returns its
/// handle.
pub fn start_joinable_thread(
    py: Attached<'_>,
    module: Module<'_>,
    args: Tuple<'_>,
    kwargs: Option<Dict<'_>>,
) -> Answer {
    let state = State::of(module);
    let keywords = [c"function".as_ptr(), c"handle".as_ptr(), c"daemon".as_ptr(), ptr::null()];
    let (mut function, mut given) = (ptr::null_mut::<PyObject>(), ptr::null_mut::<PyObject>());
    let mut daemon: c_int = 1;
    // SAFETY: attached; the variables have the types that the format expects. The arguments are
    // alive until the call returns.
    let (function, given) = unsafe {
        if compat::PyArg_ParseTupleAndKeywords(
            args.object().as_ptr(),
            crate::capi::object::as_ptr(kwargs.map(Dict::object)),
            c"O|Op:start_joinable_thread".as_ptr(),
            keywords.as_ptr(),
            &raw mut function,
            &raw mut given,
            &raw mut daemon,
        ) == 0
        {
            return Err(Raised);
        }
        (Borrowed::assume(function), Borrowed::assume_if_any(given))
    };
    function.want_callable(py, c"thread function must be callable")?;
    let given = given.filter(|given| !given.is_none());
    if given.is_some_and(|given| Some(given.class()) != state.handle_type.get()) {
        return Err(py.raise(Exception::Type, c"'handle' must be a _ThreadHandle"));
    }
    let none = py.none();
    // SAFETY: attached; the format takes an object, an int and an object.
    let allowed = py.check(unsafe {
        compat::PySys_Audit(
            c"_thread.start_joinable_thread".as_ptr(),
            c"OiO".as_ptr(),
            function.as_ptr(),
            daemon,
            given.unwrap_or(none.borrow()).as_ptr(),
        )
    });
    none.release(py);
    allowed?;
    let object = given.map_or_else(|| handle::make(py, state), |given| Ok(given.own(py)));
    let nothing = py.tuple(&[]);
    let (object, nothing) = match (object, nothing) {
        (Ok(object), Ok(nothing)) => (object, nothing),
        (object, nothing) => {
            release(object.ok(), py);
            release(nothing.ok(), py);
            return Err(Raised);
        }
    };
    // SAFETY: a new tuple.
    let empty = unsafe { Tuple::assume(nothing.borrow()) };
    // Not dropped if the start unwinds this frame, see `runtime::blocking`.
    // SAFETY: a handle object.
    let handle = ManuallyDrop::new(unsafe { handle::share(object.borrow()) });
    let started = check_allowed(py)
        .and_then(|()| start_joinable(py, state, function, empty, &handle, daemon != 0));
    drop(ManuallyDrop::into_inner(handle));
    nothing.release(py);
    match started {
        Ok(()) => Ok(object),
        Err(Raised) => {
            object.release(py);
            Err(Raised)
        }
    }
}

/// `_count()`: the number of running Python threads except the main one: rthread's and the stock
/// module's.
pub fn count(py: Attached<'_>, module: Module<'_>) -> Answer {
    let state = State::of(module);
    let Some(stock) = state.stock.get() else { return Err(natives::gone(py)) };
    let theirs = stock.call_method_named(py, c"_count", &[])?;
    // SAFETY: attached; the object is alive.
    let number = unsafe { ffi::PyLong_AsSsize_t(theirs.borrow().as_ptr()) };
    theirs.release(py);
    py.signed((number + state.count.load(Ordering::Relaxed)) as i64)
}
