//! The differences between CPython versions. No other code knows one version from another.
//!
//! Some functions are declared here although PyO3 declares them too, for two reasons.
//!
//! - A function that may run Python code or attach must be `C-unwind`. Up to 3.13 the interpreter
//!   ends daemon threads at shutdown by unwinding them from inside such a call, and the unwinding
//!   passes through rthread's frames.
//! - A few functions are private to CPython. Every version from 3.10 to 3.15 exports them, and they
//!   are the only source of the exact texts of CPython's errors.

use core::ffi::{CStr, c_char, c_int, c_long, c_void};
use core::ptr::{self, NonNull};

use pyo3_ffi::{self as ffi, Py_ssize_t, PyObject, PyThreadState, PyTypeObject};

mod calls;
mod classes;
mod frames;
mod gil;
mod interpreters;
mod kept;
mod published;
mod sharing;
mod trash;
mod visit;
mod words;

pub use crate::capi::compat::calls::*;
pub use crate::capi::compat::classes::*;
pub use crate::capi::compat::frames::*;
pub use crate::capi::compat::gil::*;
pub use crate::capi::compat::interpreters::*;
pub use crate::capi::compat::kept::*;
pub use crate::capi::compat::published::runtime;
pub use crate::capi::compat::sharing::*;
pub use crate::capi::compat::trash::*;
pub use crate::capi::compat::visit::*;
pub use crate::capi::compat::words::*;
use crate::capi::errors::Raised;
use crate::capi::refs::Py_DecRef;

unsafe extern "C-unwind" {
    pub fn PyEval_SaveThread() -> *mut PyThreadState;
    pub fn PyEval_RestoreThread(state: *mut PyThreadState);
    pub fn PyEval_AcquireThread(state: *mut PyThreadState);
    pub fn PyThreadState_Clear(state: *mut PyThreadState);
    pub fn PyThreadState_DeleteCurrent();
    pub fn PyArg_ParseTuple(args: *mut PyObject, format: *const c_char, ...) -> c_int;
    pub fn PyArg_UnpackTuple(
        args: *mut PyObject,
        name: *const c_char,
        min: Py_ssize_t,
        max: Py_ssize_t,
        ...
    ) -> c_int;
    pub fn PySys_Audit(event: *const c_char, format: *const c_char, ...) -> c_int;
    pub fn PyObject_RichCompareBool(
        left: *mut PyObject,
        right: *mut PyObject,
        operator: c_int,
    ) -> c_int;
    fn Py_MakePendingCalls() -> c_int;
    #[cfg(Py_3_12)]
    fn PyErr_CheckSignals() -> c_int;
    pub fn PyVectorcall_Call(
        callable: *mut PyObject,
        args: *mut PyObject,
        kwargs: *mut PyObject,
    ) -> *mut PyObject;
    pub fn PyObject_SetAttr(
        object: *mut PyObject,
        name: *mut PyObject,
        value: *mut PyObject,
    ) -> c_int;
    pub fn PyObject_GenericSetAttr(
        object: *mut PyObject,
        name: *mut PyObject,
        value: *mut PyObject,
    ) -> c_int;
    pub fn PyObject_GetAttr(object: *mut PyObject, name: *mut PyObject) -> *mut PyObject;
    pub fn PyMethod_New(function: *mut PyObject, object: *mut PyObject) -> *mut PyObject;

    pub fn _PyObject_GenericGetAttrWithDict(
        object: *mut PyObject,
        name: *mut PyObject,
        dict: *mut PyObject,
        suppress: c_int,
    ) -> *mut PyObject;
    pub fn _PyObject_GenericSetAttrWithDict(
        object: *mut PyObject,
        name: *mut PyObject,
        value: *mut PyObject,
        dict: *mut PyObject,
    ) -> c_int;
    fn _PyTime_FromSecondsObject(time: *mut i64, object: *mut PyObject, round: c_int) -> c_int;
    fn _PyOS_IsMainThread() -> c_int;

    #[cfg(Py_3_13)]
    fn PyErr_FormatUnraisable(format: *const c_char, ...);
    #[cfg(not(Py_3_13))]
    fn _PyErr_WriteUnraisableMsg(message: *const c_char, object: *mut PyObject);
    #[cfg(Py_3_13)]
    fn PyDict_GetItemRef(
        dict: *mut PyObject,
        key: *mut PyObject,
        result: *mut *mut PyObject,
    ) -> c_int;
    // Public since 3.15. Before, it was exported for CPython's own extension modules.
    #[cfg(Py_3_14)]
    #[cfg_attr(not(Py_3_15), link_name = "_PySys_GetOptionalAttrString")]
    fn PySys_GetOptionalAttrString(name: *const c_char, value: *mut *mut PyObject) -> c_int;
    #[cfg(Py_3_13)]
    fn PyWeakref_GetRef(reference: *mut PyObject, result: *mut *mut PyObject) -> c_int;

    #[cfg(all(not(target_os = "linux"), Py_3_13))]
    fn PyThread_get_thread_ident_ex() -> u64;
    #[cfg(all(not(target_os = "linux"), not(Py_3_13)))]
    fn PyThread_get_thread_ident() -> core::ffi::c_ulong;
    pub fn PyThread_get_thread_native_id() -> core::ffi::c_ulong;
    fn PyThread_get_stacksize() -> usize;
    pub fn PyMethod_Function(method: *mut PyObject) -> *mut PyObject;
    pub fn PyMethod_Self(method: *mut PyObject) -> *mut PyObject;
    static mut PyMethod_Type: PyTypeObject;
}

// The type of the keyword list differs: `char **` up to 3.12, `char * const *` from 3.13 on. One
// declaration serves all versions, because the call is the same.
unsafe extern "C-unwind" {
    pub fn PyArg_ParseTupleAndKeywords(
        args: *mut PyObject,
        kwargs: *mut PyObject,
        format: *const c_char,
        keywords: *const *const c_char,
        ...
    ) -> c_int;
}

/// Does the pending work that the interpreter does when it enters a Python function: signal
/// handlers, and from 3.12 on a collection that is due.
///
/// A method that takes a lock calls this before it takes the lock. Otherwise the collection would
/// run while the lock is held, and a finalizer that asks for the lock would wait for ever.
///
/// Up to 3.11 this does nothing. There a collection runs when an object is allocated, and the other
/// pending work runs one instruction later anyway.
///
/// # Safety
/// Attached.
#[inline]
pub unsafe fn run_pending_at_entry() -> Result<(), Raised> {
    #[cfg(Py_3_12)]
    // SAFETY: attached, as the caller promises.
    if unsafe { may_be_pending() && PyErr_CheckSignals() < 0 } {
        return Err(Raised);
    }
    Ok(())
}

/// Whether work may be pending that the interpreter does between two instructions. A quick check.
///
/// # Safety
/// Attached.
#[cfg(Py_3_12)]
#[inline]
unsafe fn may_be_pending() -> bool {
    // From 3.13 on the lowest byte of the fourth field of the thread state, a public struct, says
    // so.
    #[cfg(Py_3_13)]
    {
        const EVENTS: usize = 0xff;
        // SAFETY: attached, so there is a state. Other threads change the field, so it is read as
        // an atomic.
        unsafe {
            let state = thread_state().cast::<core::sync::atomic::AtomicUsize>();
            (*state.add(3)).load(core::sync::atomic::Ordering::Relaxed) & EVENTS != 0
        }
    }
    #[cfg(not(Py_3_13))]
    true
}

/// Whether an object is a bound method of Python's own type for that (`types.MethodType`).
///
/// # Safety
/// Attached; a valid object.
pub unsafe fn is_method(object: *mut PyObject) -> bool {
    // SAFETY: as the caller promises.
    unsafe { ffi::Py_TYPE(object) == &raw mut PyMethod_Type }
}

/// The least alignment of memory from [`raw_malloc`].
pub const RAW_ALIGNMENT: usize = 8;

/// Memory from CPython's raw allocator; `None` if there is none. Needs no thread state. Must not be
/// called while a queue lock is held: tracemalloc may attach, to find out which code asks for the
/// memory.
pub fn raw_malloc(size: usize) -> Option<NonNull<c_void>> {
    // SAFETY: any size will do.
    NonNull::new(unsafe { ffi::PyMem_RawMalloc(size) })
}

/// # Safety
/// From [`raw_malloc`], and not used any more.
pub unsafe fn raw_free(memory: NonNull<c_void>) {
    // SAFETY: as the caller promises.
    unsafe { ffi::PyMem_RawFree(memory.as_ptr()) };
}

/// `_PyTime_ROUND_TIMEOUT`: rounds away from zero, so that a wait is never too short.
const ROUND_TIMEOUT: c_int = 3;

/// Converts a number of seconds, an int or a float, to nanoseconds. `Err` with CPython's own
/// exception set.
///
/// # Safety
/// Attached; `seconds` is a valid object.
pub unsafe fn nanoseconds(seconds: *mut PyObject) -> Result<i64, Raised> {
    let mut time = 0;
    // SAFETY: both pointers are valid, as the caller promises.
    if unsafe { _PyTime_FromSecondsObject(&mut time, seconds, ROUND_TIMEOUT) } < 0 {
        return Err(Raised);
    }
    Ok(time)
}

/// Whether several threads can run Python code at the same time.
pub const IS_FREE_THREADED: bool = cfg!(Py_GIL_DISABLED);

/// Runs signal handlers and pending calls, if the calling thread is the one that does this. Stock
/// locks make the same call when a signal interrupts them.
///
/// # Safety
/// Attached.
pub unsafe fn run_signal_handlers() -> Result<(), Raised> {
    // SAFETY: attached, as the caller promises.
    if unsafe { Py_MakePendingCalls() } < 0 { Err(Raised) } else { Ok(()) }
}

/// Whether signal handlers run in the calling thread.
pub fn is_main_thread() -> bool {
    // SAFETY: compares the calling thread's identifier with a global variable. There is nothing to
    // promise.
    unsafe { _PyOS_IsMainThread() != 0 }
}

/// The identifier that `signal.pthread_kill` and `sys._current_frames` use.
#[inline]
pub fn thread_ident() -> u64 {
    // Same result as `PyThread_get_thread_ident`, without the call: a re-entrant lock needs the
    // identifier twice for every `with`. A test compares the two.
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    {
        let ident: u64;
        // The value of `pthread_self()`, in glibc and in musl. The register points to the thread's
        // control block, and the first word of that block is its own address.
        // SAFETY: reads memory that every thread has.
        unsafe {
            core::arch::asm!("mov {}, fs:[0]", out(reg) ident, options(pure, readonly, nostack, preserves_flags));
        }
        ident
    }
    #[cfg(all(target_os = "linux", not(target_arch = "x86_64")))]
    // SAFETY: needs nothing.
    unsafe {
        libc::pthread_self()
    }
    #[cfg(all(not(target_os = "linux"), Py_3_13))]
    // SAFETY: needs nothing.
    unsafe {
        PyThread_get_thread_ident_ex()
    }
    #[cfg(all(not(target_os = "linux"), not(Py_3_13)))]
    // SAFETY: needs nothing.
    unsafe {
        u64::from(PyThread_get_thread_ident())
    }
}

/// The size set with `stack_size()`; 0 for the platform's default.
///
/// # Safety
/// Attached.
pub unsafe fn stack_size() -> usize {
    // SAFETY: attached, as the caller promises.
    unsafe { PyThread_get_stacksize() }
}

/// Reports the exception that ended a thread to `sys.unraisablehook`, with this version's text.
///
/// # Safety
/// Attached, an exception is set, `function` is a valid object.
pub unsafe fn unraisable_in_thread(function: *mut PyObject) {
    #[cfg(Py_3_13)]
    // SAFETY: as the caller promises; %R takes an object.
    unsafe {
        PyErr_FormatUnraisable(c"Exception ignored in thread started by %R".as_ptr(), function);
    }
    #[cfg(not(Py_3_13))]
    // SAFETY: as the caller promises.
    unsafe {
        _PyErr_WriteUnraisableMsg(c"in thread started by".as_ptr(), function);
    }
}

/// Handles an exception that interrupts the joins of `_shutdown`. Up to 3.13 it is reported. 3.14
/// also says where it came from. From 3.15 on it leaves `_shutdown`.
///
/// # Safety
/// Attached, an exception is set.
pub unsafe fn raised_in_shutdown() -> Result<(), Raised> {
    if cfg!(Py_3_15) {
        return Err(Raised);
    }
    #[cfg(Py_3_14)]
    // SAFETY: as the caller promises; the format has no arguments.
    unsafe {
        PyErr_FormatUnraisable(
            c"Exception ignored while joining a thread in _thread._shutdown()".as_ptr(),
        );
    }
    #[cfg(not(Py_3_14))]
    // SAFETY: as the caller promises.
    unsafe {
        ffi::PyErr_WriteUnraisable(ptr::null_mut());
    }
    Ok(())
}

/// `dict[key]` as a new reference; null if there is no such key.
///
/// # Safety
/// Attached, `dict` is a dict, `key` is hashable.
#[inline]
pub unsafe fn dict_get(dict: *mut PyObject, key: *mut PyObject) -> Result<*mut PyObject, Raised> {
    #[cfg(Py_3_13)]
    {
        let mut value = ptr::null_mut();
        // SAFETY: as the caller promises.
        if unsafe { PyDict_GetItemRef(dict, key, &mut value) } < 0 {
            return Err(Raised);
        }
        Ok(value)
    }
    #[cfg(not(Py_3_13))]
    {
        // SAFETY: as the caller promises. The borrowed reference is made a new one before any other
        // code can run.
        unsafe {
            let value = ffi::PyDict_GetItemWithError(dict, key);
            if value.is_null() {
                return if ffi::PyErr_Occurred().is_null() { Ok(value) } else { Err(Raised) };
            }
            ffi::Py_INCREF(value);
            Ok(value)
        }
    }
}

/// [`dict_get`] with the key as a C string.
///
/// # Safety
/// Attached, `dict` is a dict.
pub unsafe fn dict_get_named(dict: *mut PyObject, name: &CStr) -> Result<*mut PyObject, Raised> {
    // SAFETY: as the caller promises; the new reference is given back.
    unsafe {
        let key = ffi::PyUnicode_FromString(name.as_ptr());
        if key.is_null() {
            return Err(Raised);
        }
        let value = dict_get(dict, key);
        Py_DecRef(key);
        value
    }
}

/// An attribute of `sys` as a new reference; null if there is none. `PySys_GetObject` would return
/// a borrowed reference. Without a GIL another thread may replace the attribute, and free the
/// object, at any moment.
///
/// # Safety
/// Attached, no exception is set.
pub unsafe fn sys_attribute(name: &CStr) -> Result<*mut PyObject, Raised> {
    #[cfg(Py_3_14)]
    {
        let mut value = ptr::null_mut();
        // SAFETY: as the caller promises.
        let found = unsafe { PySys_GetOptionalAttrString(name.as_ptr(), &mut value) };
        if found < 0 { Err(Raised) } else { Ok(value) }
    }
    #[cfg(not(Py_3_14))]
    // SAFETY: as the caller promises. The borrowed reference is made a new one before any other
    // code can run.
    unsafe {
        let value = ffi::PySys_GetObject(name.as_ptr());
        ffi::Py_XINCREF(value);
        Ok(value)
    }
}

/// A module that has been imported already, as a new reference. Null if it has not, or with an
/// exception set.
///
/// # Safety
/// Attached.
pub unsafe fn imported_module(name: &CStr) -> *mut PyObject {
    // SAFETY: attached; the new reference is given back.
    unsafe {
        let key = ffi::PyUnicode_FromString(name.as_ptr());
        if key.is_null() {
            return ptr::null_mut();
        }
        let module = ffi::PyImport_GetModule(key);
        Py_DecRef(key);
        module
    }
}

/// The object that a weak reference refers to, as a new reference; null if it is gone.
///
/// # Safety
/// Attached, `reference` is a weak reference.
pub unsafe fn weakref_get(reference: *mut PyObject) -> *mut PyObject {
    #[cfg(Py_3_13)]
    {
        let mut object = ptr::null_mut();
        // SAFETY: as the caller promises.
        if unsafe { PyWeakref_GetRef(reference, &mut object) } < 0 {
            // Fails only for an object that is no weak reference.
            // SAFETY: attached.
            unsafe { ffi::PyErr_Clear() };
        }
        object
    }
    #[cfg(not(Py_3_13))]
    {
        // SAFETY: as the caller promises. The borrowed reference is made a new one at once.
        unsafe {
            let object = ffi::PyWeakref_GetObject(reference);
            if object.is_null() || object == ffi::Py_None() {
                ffi::PyErr_Clear();
                return ptr::null_mut();
            }
            ffi::Py_INCREF(object);
            object
        }
    }
}

/// `True` or `False` as a new reference.
#[inline]
pub fn bool_object(value: bool) -> *mut PyObject {
    // SAFETY: both are static objects.
    unsafe {
        let object = if value { ffi::Py_True() } else { ffi::Py_False() };
        immortal(object)
    }
}

/// `None` as a new reference.
#[inline]
pub fn none() -> *mut PyObject {
    // SAFETY: a static object.
    unsafe { immortal(ffi::Py_None()) }
}

#[inline]
unsafe fn immortal(object: *mut PyObject) -> *mut PyObject {
    // From 3.12 on these objects are immortal (PEP 683), and their references are not counted.
    #[cfg(not(Py_3_12))]
    // SAFETY: a valid object, and attached.
    unsafe {
        ffi::Py_INCREF(object);
    }
    object
}

/// The C definition of a built-in function or method; null for any other object.
///
/// # Safety
/// `object` is a valid object.
pub unsafe fn method_def(object: *mut PyObject) -> *mut ffi::PyMethodDef {
    #[repr(C)]
    struct MethodDescriptor {
        base: PyObject,
        d_type: *mut PyTypeObject,
        d_name: *mut PyObject,
        d_qualname: *mut PyObject,
        d_method: *mut ffi::PyMethodDef,
    }
    // SAFETY: the exact type says which struct the object is. Both structs are in CPython's public
    // headers.
    unsafe {
        if ffi::Py_TYPE(object) == &raw mut ffi::PyMethodDescr_Type {
            (*object.cast::<MethodDescriptor>()).d_method
        } else if ffi::Py_TYPE(object) == &raw mut ffi::PyCFunction_Type {
            (*object.cast::<ffi::PyCFunctionObject>()).m_ml
        } else {
            ptr::null_mut()
        }
    }
}

/// The slots of the module: `exec`, and the statements that it needs no GIL and works in every
/// interpreter.
pub fn module_slots(exec: *mut c_void) -> Vec<ffi::PyModuleDef_Slot> {
    #[allow(unused_mut, reason = "3.10 and 3.11 know no other slots")]
    let mut slots = vec![ffi::PyModuleDef_Slot { slot: ffi::Py_mod_exec, value: exec }];
    #[cfg(Py_3_12)]
    slots.push(ffi::PyModuleDef_Slot {
        slot: ffi::Py_mod_multiple_interpreters,
        value: ffi::Py_MOD_PER_INTERPRETER_GIL_SUPPORTED,
    });
    #[cfg(Py_3_13)]
    slots.push(ffi::PyModuleDef_Slot { slot: ffi::Py_mod_gil, value: ffi::Py_MOD_GIL_NOT_USED });
    slots.push(ffi::PyModuleDef_Slot { slot: 0, value: ptr::null_mut() });
    slots
}

/// Simulates the arrival of a signal. False if there is no such signal.
pub fn interrupt(signal: c_int) -> bool {
    unsafe extern "C" {
        fn PyErr_SetInterruptEx(signal: c_int) -> c_int;
    }
    // SAFETY: async-signal-safe; there is nothing to promise.
    unsafe { PyErr_SetInterruptEx(signal) == 0 }
}

// Every identifier of a thread fits into 64 bits; up to 3.12 it is a C `unsigned long`.
const _: () = assert!(size_of::<c_long>() <= size_of::<u64>());

/// The exception that was set; null if there was none.
#[cfg(Py_3_12)]
pub type Pending = *mut PyObject;
/// The exception that was set, as its class, value and traceback; null if there was none.
#[cfg(not(Py_3_12))]
pub type Pending = [*mut PyObject; 3];

/// Takes the exception out of the thread state, if one is set.
///
/// # Safety
/// Attached. The result is passed to [`restore_exception`] or [`forget_exception`].
pub unsafe fn take_exception() -> Pending {
    #[cfg(Py_3_12)]
    // SAFETY: attached.
    unsafe {
        ffi::PyErr_GetRaisedException()
    }
    #[cfg(not(Py_3_12))]
    {
        let [mut class, mut value, mut traceback] = [ptr::null_mut(); 3];
        // SAFETY: attached.
        unsafe { ffi::PyErr_Fetch(&mut class, &mut value, &mut traceback) };
        [class, value, traceback]
    }
}

/// Puts the exception back that [`take_exception`] has taken out.
///
/// # Safety
/// Attached, no exception is set.
pub unsafe fn restore_exception(pending: Pending) {
    #[cfg(Py_3_12)]
    // SAFETY: attached; null means no exception.
    unsafe {
        ffi::PyErr_SetRaisedException(pending);
    }
    #[cfg(not(Py_3_12))]
    // SAFETY: attached; null means no exception.
    unsafe {
        ffi::PyErr_Restore(pending[0], pending[1], pending[2]);
    }
}

/// Drops the exception that [`take_exception`] has taken out.
///
/// # Safety
/// Attached; the references are the caller's.
pub unsafe fn forget_exception(pending: Pending) {
    #[cfg(Py_3_12)]
    let pending = [pending];
    for object in pending {
        // SAFETY: as the caller promises.
        unsafe { crate::capi::refs::drop_ref(object) };
    }
}
