//! Interpreters and the states of threads: which there are, and whether they end.

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

/// Whether this interpreter may start threads: one that was made without `allow_threads`, before
/// 3.12 as "isolated", may not.
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
        // No longer exported. Whatever goes wrong here is no reason to refuse.
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

/// What `_interpreters.get_config` says of the calling interpreter.
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

/// The calling thread's state, or null. Not dereferenced by anybody here, only compared.
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

/// `_PyThreadState_NewBound(interpreter, whence)`: `PyThreadState_New` calls it with "unknown".
///
/// From 3.15 on the end of an interpreter waits for threads whose states say that they are not daemons
/// of `_thread`, and looks at nothing else (gh-136003). The function is exported, for a module that
/// tests the interpreter; it is looked up by name at run time, so that this one loads without it.
#[cfg(Py_3_15)]
fn states_with_whence() -> Option<MakeState> {
    use std::sync::OnceLock;
    static FOUND: OnceLock<Option<MakeState>> = OnceLock::new();
    *FOUND.get_or_init(|| {
        #[cfg(unix)]
        // SAFETY: a name that ends with a NUL; null if the process has none of it, else a function
        // of this type.
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

/// A state for the calling thread, which has none of this interpreter; null if there is no memory. To
/// be attached with [`attach_first`]. The end of the interpreter does not wait for a `daemon`.
///
/// # Safety
/// The interpreter is there, and stays so.
pub unsafe fn new_thread_state(
    interpreter: *mut PyInterpreterState,
    daemon: bool,
) -> *mut PyThreadState {
    #[cfg(Py_3_15)]
    if let Some(make) = states_with_whence() {
        /// `_PyThreadState_WHENCE_THREADING`, and `…_THREADING_DAEMON`.
        const WHENCE: [c_int; 2] = [3, 6];
        // SAFETY: as the caller promises.
        return unsafe { make(interpreter, WHENCE[usize::from(daemon)]) };
    }
    #[cfg(not(Py_3_15))]
    let _ = daemon;
    // The first half of `PyThreadState_New` of 3.11, which does not ask whether it got a state.
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

/// Attaches a fresh state of the calling thread. This may be the end of the thread, if the interpreter
/// is shutting down.
///
/// # Safety
/// From [`new_thread_state`]; attached to nothing.
pub unsafe fn attach_first(state: *mut PyThreadState) {
    // SAFETY: as the caller promises.
    unsafe {
        PyEval_AcquireThread(state);
        // The other half. It looks into the state, which the end of the interpreter may have freed
        // as long as nothing is attached (stock crashes now and then).
        #[cfg(all(Py_3_11, not(Py_3_12)))]
        _PyThreadState_SetCurrent(state);
    }
}

/// Whether a thread that is on its way into the interpreter, and finds that it has to end instead,
/// may look at the main interpreter when that is freed: 3.10 does, since it mended gh-96387. From
/// 3.11 on the main interpreter is never freed.
pub const LATE_THREADS_NEED_INTERPRETER: bool = cfg!(not(Py_3_11));

/// Whether the end of the interpreter looks for threads by their states: a thread that has been started
/// and has none yet would be cut off.
pub const ENDS_AWAIT_STATES: bool = cfg!(Py_3_15);

/// Whether the interpreter has begun to shut down for good.
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

/// Whether the interpreter ends, as far as this version tells: 3.12 does so before the atexit
/// callbacks run, the others when those are done.
///
/// # Safety
/// Attached.
pub unsafe fn is_ending() -> bool {
    // SAFETY: attached, as the caller promises.
    is_finalizing() || unsafe { is_interpreter_finalizing() }
}

/// From which version on `start_new_thread` refuses to start threads at shutdown, with what.
///
/// # Safety
/// Attached.
pub unsafe fn start_refused_at_shutdown() -> Option<*mut PyObject> {
    // SAFETY: attached, as the caller promises.
    let refused = cfg!(Py_3_12) && (is_finalizing() || unsafe { is_interpreter_finalizing() });
    refused.then(finalization_error)
}

/// 3.12 has a flag of its own for this, which is set before the atexit callbacks run, and nothing
/// that tells it: it is read where every 3.12 keeps it, if what is around it is as expected.
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
    // SAFETY: attached; the struct is larger than its beginning.
    unsafe {
        let interpreter = interpreter();
        let id = ffi::PyInterpreterState_GetID(interpreter);
        let beginning = &*interpreter.cast::<Beginning>();
        beginning.id == id && beginning.initialized == 1 && beginning.finalizing == 1
    }
}

/// Whether a sub-interpreter ends.
///
/// # Safety
/// Attached.
#[cfg(Py_3_13)]
unsafe fn is_interpreter_finalizing() -> bool {
    unsafe extern "C" {
        fn _Py_IsInterpreterFinalizing(interpreter: *mut PyInterpreterState) -> c_int;
    }
    // SAFETY: attached, so the interpreter is there.
    unsafe { _Py_IsInterpreterFinalizing(interpreter()) != 0 }
}

#[cfg(not(Py_3_12))]
unsafe fn is_interpreter_finalizing() -> bool {
    false
}

/// From 3.14 on joining a running thread at shutdown raises instead of hanging (gh-123940).
pub fn join_refused_at_shutdown() -> Option<*mut PyObject> {
    if cfg!(Py_3_14) && is_finalizing() { Some(finalization_error()) } else { None }
}

/// From 3.15 on acquiring a lock that is held raises at shutdown instead of hanging: only
/// the finalizing thread can attach then, so nobody can release it.
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
