//! Interpreters and thread states: access to them, and whether they are ending.

use core::ffi::c_int;
#[cfg(all(Py_3_12, not(Py_3_13)))]
use core::ffi::c_void;

use pyo3_ffi::{self as ffi, PyInterpreterState, PyObject, PyThreadState};

use crate::capi::compat::PyEval_AcquireThread;

unsafe extern "C" {
    #[cfg(Py_3_13)]
    fn Py_IsFinalizing() -> c_int;
    #[cfg(not(Py_3_13))]
    fn _Py_IsFinalizing() -> c_int;
    #[cfg(Py_3_13)]
    fn PyThreadState_GetUnchecked() -> *mut PyThreadState;
    #[cfg(not(Py_3_13))]
    fn _PyThreadState_UncheckedGet() -> *mut PyThreadState;
    #[cfg(all(Py_3_11, not(Py_3_12)))]
    fn _PyThreadState_Prealloc(interpreter: *mut PyInterpreterState) -> *mut PyThreadState;
    #[cfg(all(Py_3_11, not(Py_3_12)))]
    fn _PyThreadState_SetCurrent(state: *mut PyThreadState);
}

/// The interpreter of the calling thread.
///
/// # Safety
/// Attached.
pub unsafe fn interpreter() -> *mut PyInterpreterState {
    // SAFETY: attached, as the caller promises.
    unsafe { ffi::PyInterpreterState_Get() }
}

/// The main interpreter.
pub fn main_interpreter() -> *mut PyInterpreterState {
    unsafe extern "C" {
        fn PyInterpreterState_Main() -> *mut PyInterpreterState;
    }
    // SAFETY: reads a global pointer.
    unsafe { PyInterpreterState_Main() }
}

/// Whether this interpreter may start threads. A sub-interpreter that was made without
/// `allow_threads`, up to 3.11 as "isolated", may not.
///
/// # Safety
/// Attached.
pub unsafe fn threads_allowed() -> bool {
    // SAFETY: attached, as the caller promises.
    if unsafe { interpreter() } == main_interpreter() {
        return true;
    }
    #[cfg(all(Py_3_12, not(Py_3_13)))]
    {
        const RTFLAGS_THREADS: core::ffi::c_ulong = 1 << 10;
        unsafe extern "C" {
            fn _PyInterpreterState_HasFeature(
                interpreter: *mut PyInterpreterState,
                feature: core::ffi::c_ulong,
            ) -> c_int;
        }
        // SAFETY: attached.
        unsafe { _PyInterpreterState_HasFeature(interpreter(), RTFLAGS_THREADS) != 0 }
    }
    #[cfg(Py_3_13)]
    // SAFETY: attached.
    unsafe {
        // The flag is no longer exported. A failure to read it is no reason to refuse a thread.
        let allowed = configured_to_allow_threads().unwrap_or(true);
        ffi::PyErr_Clear();
        allowed
    }
    #[cfg(not(Py_3_12))]
    {
        unsafe extern "C" {
            fn _PyInterpreterState_GetConfig(
                interpreter: *mut PyInterpreterState,
            ) -> *const ffi::PyConfig;
        }
        // SAFETY: attached; the config is part of the interpreter.
        unsafe { (*_PyInterpreterState_GetConfig(interpreter()))._isolated_interpreter == 0 }
    }
}

/// The value of `allow_threads` in `_interpreters.get_config` for the calling interpreter. None if
/// it cannot be read.
///
/// # Safety
/// Attached. An exception may be set afterwards.
#[cfg(Py_3_13)]
unsafe fn configured_to_allow_threads() -> Option<bool> {
    use crate::capi::refs::drop_ref;
    // SAFETY: attached; new references are given back.
    unsafe {
        let module = ffi::PyImport_ImportModule(c"_interpreters".as_ptr());
        if module.is_null() {
            return None;
        }
        let id = ffi::PyInterpreterState_GetID(interpreter());
        let config = ffi::PyObject_CallMethod(module, c"get_config".as_ptr(), c"L".as_ptr(), id);
        drop_ref(module);
        if config.is_null() {
            return None;
        }
        let allowed = ffi::PyObject_GetAttrString(config, c"allow_threads".as_ptr());
        drop_ref(config);
        if allowed.is_null() {
            return None;
        }
        let answer = ffi::PyObject_IsTrue(allowed);
        drop_ref(allowed);
        (answer >= 0).then_some(answer != 0)
    }
}

/// The calling thread's state, or null. In this file it is only compared, never dereferenced.
#[inline]
pub fn thread_state() -> *mut PyThreadState {
    #[cfg(Py_3_13)]
    // SAFETY: needs nothing.
    unsafe {
        PyThreadState_GetUnchecked()
    }
    #[cfg(not(Py_3_13))]
    // SAFETY: needs nothing.
    unsafe {
        _PyThreadState_UncheckedGet()
    }
}

/// `_PyThreadState_NewBound(interpreter, whence)`. `PyThreadState_New` calls it with "unknown" as
/// `whence`.
///
/// From 3.15 on the finalization of an interpreter waits for non-daemon threads. It knows them only
/// by `whence` in their states (gh-136003). CPython exports the function for a module that tests
/// the interpreter. It is looked up by name at run time, so that rthread can be loaded without it.
#[cfg(Py_3_15)]
fn states_with_whence() -> Option<MakeState> {
    use std::sync::OnceLock;
    static FOUND: OnceLock<Option<MakeState>> = OnceLock::new();
    *FOUND.get_or_init(|| {
        #[cfg(unix)]
        // SAFETY: the name ends with a NUL. The result is null if the process has no such function,
        // else a function of this type.
        unsafe {
            let name = c"_PyThreadState_NewBound".as_ptr();
            let found = libc::dlsym(libc::RTLD_DEFAULT, name);
            core::mem::transmute::<*mut core::ffi::c_void, Option<MakeState>>(found)
        }
        #[cfg(not(unix))]
        None
    })
}

#[cfg(Py_3_15)]
type MakeState = unsafe extern "C" fn(*mut PyInterpreterState, c_int) -> *mut PyThreadState;

/// Makes a state for the calling thread, which has none in this interpreter. Null if there is no
/// memory. The state is to be attached with [`attach_first`]. The finalization of the interpreter
/// does not wait for a `daemon`.
///
/// # Safety
/// The interpreter exists until this returns.
pub unsafe fn new_thread_state(
    interpreter: *mut PyInterpreterState,
    daemon: bool,
) -> *mut PyThreadState {
    #[cfg(Py_3_15)]
    if let Some(make) = states_with_whence() {
        /// `_PyThreadState_WHENCE_THREADING` and `_PyThreadState_WHENCE_THREADING_DAEMON`.
        const WHENCE: [c_int; 2] = [3, 6];
        // SAFETY: as the caller promises.
        return unsafe { make(interpreter, WHENCE[usize::from(daemon)]) };
    }
    #[cfg(not(Py_3_15))]
    let _ = daemon;
    // The first half of 3.11's `PyThreadState_New`, which does not check whether it got a state.
    #[cfg(all(Py_3_11, not(Py_3_12)))]
    // SAFETY: as the caller promises.
    unsafe {
        _PyThreadState_Prealloc(interpreter)
    }
    #[cfg(not(all(Py_3_11, not(Py_3_12))))]
    // SAFETY: as the caller promises.
    unsafe {
        ffi::PyThreadState_New(interpreter)
    }
}

/// Attaches a new state of the calling thread. During finalization this may end the thread.
///
/// # Safety
/// From [`new_thread_state`], or detached by this thread; no state is attached.
pub unsafe fn attach_first(state: *mut PyThreadState) {
    // SAFETY: as the caller promises.
    unsafe {
        PyEval_AcquireThread(state);
        // The second half of `PyThreadState_New`. It reads the state. As long as the state is not
        // attached, finalization may have freed it: stock does this half before it attaches, and
        // crashes now and then.
        #[cfg(all(Py_3_11, not(Py_3_12)))]
        _PyThreadState_SetCurrent(state);
    }
}

/// Whether a thread may still read the main interpreter when the interpreter is freed. This
/// concerns threads that are about to attach and find that they have to end. 3.10 reads it since
/// the fix of gh-96387. From 3.11 on the main interpreter is never freed.
pub const LATE_THREADS_NEED_INTERPRETER: bool = cfg!(not(Py_3_11));

/// Whether finalization finds the threads to wait for by their states. It would cut off a thread
/// that has been started and has no state yet.
pub const ENDS_AWAIT_STATES: bool = cfg!(Py_3_15);

/// Whether the runtime is finalizing. From then on only the finalizing thread can attach.
pub fn is_finalizing() -> bool {
    #[cfg(Py_3_13)]
    // SAFETY: reads a global flag.
    unsafe {
        Py_IsFinalizing() != 0
    }
    #[cfg(not(Py_3_13))]
    // SAFETY: reads a global flag.
    unsafe {
        _Py_IsFinalizing() != 0
    }
}

/// Whether the interpreter is ending, as far as this version tells. 3.12 says so before the atexit
/// callbacks run, the other versions when they are done.
///
/// # Safety
/// Attached.
pub unsafe fn is_ending() -> bool {
    // SAFETY: attached, as the caller promises.
    is_finalizing() || unsafe { is_interpreter_finalizing() }
}

/// The exception with which `start_new_thread` refuses to start a thread at shutdown. None if it
/// does not refuse: up to 3.11 it never does.
///
/// # Safety
/// Attached.
pub unsafe fn start_refused_at_shutdown() -> Option<*mut PyObject> {
    // SAFETY: attached, as the caller promises.
    let refused = cfg!(Py_3_12) && (is_finalizing() || unsafe { is_interpreter_finalizing() });
    refused.then(finalization_error)
}

/// Whether 3.12's own flag for this is set. CPython sets it before the atexit callbacks run, and
/// exports no function that reads it. So it is read at the offset that it has in every 3.12, and
/// only believed if the fields around it have the expected values.
///
/// # Safety
/// Attached.
#[cfg(all(Py_3_12, not(Py_3_13)))]
unsafe fn is_interpreter_finalizing() -> bool {
    #[repr(C)]
    struct Beginning {
        next: *mut PyInterpreterState,
        id: i64,
        id_refcount: i64,
        requires_idref: c_int,
        id_mutex: *mut c_void,
        initialized: c_int,
        finalizing: c_int,
    }
    // SAFETY: attached, so the interpreter exists. The real struct is larger than this beginning of
    // it.
    unsafe {
        let interpreter = interpreter();
        let id = ffi::PyInterpreterState_GetID(interpreter);
        let beginning = &*interpreter.cast::<Beginning>();
        beginning.id == id && beginning.initialized == 1 && beginning.finalizing == 1
    }
}

/// Whether the calling interpreter is ending.
///
/// # Safety
/// Attached.
#[cfg(Py_3_13)]
unsafe fn is_interpreter_finalizing() -> bool {
    unsafe extern "C" {
        fn _Py_IsInterpreterFinalizing(interpreter: *mut PyInterpreterState) -> c_int;
    }
    // SAFETY: attached, so the interpreter exists.
    unsafe { _Py_IsInterpreterFinalizing(interpreter()) != 0 }
}

#[cfg(not(Py_3_12))]
unsafe fn is_interpreter_finalizing() -> bool {
    false
}

/// The exception with which a join of a running thread is refused at shutdown. From 3.14 on the
/// join raises instead of waiting for ever (gh-123940).
pub fn join_refused_at_shutdown() -> Option<*mut PyObject> {
    if cfg!(Py_3_14) && is_finalizing() { Some(finalization_error()) } else { None }
}

/// The exception with which `acquire` of a held lock is refused at shutdown. From 3.15 on it raises
/// instead of waiting for ever: only the finalizing thread can attach then, so no other thread can
/// release the lock.
pub fn acquire_refused_at_shutdown() -> Option<*mut PyObject> {
    if cfg!(Py_3_15) && is_finalizing() { Some(finalization_error()) } else { None }
}

fn finalization_error() -> *mut PyObject {
    #[cfg(Py_3_13)]
    {
        unsafe extern "C" {
            static mut PyExc_PythonFinalizationError: *mut PyObject;
        }
        // SAFETY: set once when the interpreter starts.
        unsafe { PyExc_PythonFinalizationError }
    }
    #[cfg(not(Py_3_13))]
    // SAFETY: set once when the interpreter starts.
    unsafe {
        ffi::PyExc_RuntimeError
    }
}
