//! The only place that knows one CPython version from another.
//!
//! Two reasons why functions are declared here although PyO3 has them. Those that may run Python
//! code or attach must be `C-unwind`: up to 3.13 the interpreter ends daemon threads at shutdown
//! by unwinding them from inside such a call, and that has to pass through our frames. And a few
//! are private to CPython, but exported by every version from 3.10 to 3.15 and the only source of
//! the exact words of its errors.

use core::ffi::{CStr, c_char, c_int, c_long, c_void};
use core::ptr::{self, NonNull};

use pyo3_ffi::{self as ffi, Py_ssize_t, PyObject, PyThreadState, PyTypeObject};

mod calls;
mod classes;
mod gil;
mod interpreters;
mod kept;
mod sharing;
mod trash;
mod words;

pub use crate::capi::compat::calls::*;
pub use crate::capi::compat::classes::*;
pub use crate::capi::compat::gil::*;
pub use crate::capi::compat::interpreters::*;
pub use crate::capi::compat::kept::*;
pub use crate::capi::compat::sharing::*;
pub use crate::capi::compat::trash::*;
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
    // Public since 3.15, and before that exported for extension modules of CPython's own.
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

// `-R` style exceptions of `PyArg_ParseTupleAndKeywords`: its keyword list is `char **` up to 3.12
// and `char * const *` from 3.13 on; the call is the same.
unsafe extern "C-unwind" {
    pub fn PyArg_ParseTupleAndKeywords(
        args: *mut PyObject,
        kwargs: *mut PyObject,
        format: *const c_char,
        keywords: *const *const c_char,
        ...
    ) -> c_int;
}

/// Does the work that the interpreter does when it enters a Python function, if any is pending:
/// signal handlers, and from 3.12 on the collection that is due. To be called by a method that takes
/// a lock, before it does: a finalizer that runs afterwards may ask for that lock. Up to 3.11
/// collections run where objects are made, and there is nothing to be done here that would not be
/// done one instruction later.
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

/// Whether there is something to be done between two instructions, as far as that can be seen at a
/// glance.
///
/// # Safety
/// Attached.
#[cfg(Py_3_12)]
#[inline]
unsafe fn may_be_pending() -> bool {
    // In these versions the fourth field of a public struct says so, in its lowest byte.
    #[cfg(Py_3_13)]
    {
        const EVENTS: usize = 0xff;
        // SAFETY: attached, so there is a state; the field is changed by other threads.
        unsafe {
            let state = thread_state().cast::<core::sync::atomic::AtomicUsize>();
            (*state.add(3)).load(core::sync::atomic::Ordering::Relaxed) & EVENTS != 0
        }
    }
    #[cfg(not(Py_3_13))]
    true
}

/// Whether an object is a bound method of a Python class.
///
/// # Safety
/// Attached; a valid object.
pub unsafe fn is_method(object: *mut PyObject) -> bool {
    // SAFETY: as the caller promises.
    unsafe { ffi::Py_TYPE(object) == &raw mut PyMethod_Type }
}

/// What memory from [`raw_malloc`] is aligned to, at least.
pub const RAW_ALIGNMENT: usize = 8;

/// Memory from CPython's raw allocator, `None` if there is none. May be called without a thread
/// state, but not under a guard: tracemalloc may attach to see who asks.
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

/// `_PyTime_ROUND_TIMEOUT`: away from zero, so that a wait is never too short.
const ROUND_TIMEOUT: c_int = 3;

/// A number of seconds, int or float, as nanoseconds; `Err` with an exception set, in CPython's
/// words.
///
/// # Safety
/// Attached, `seconds` is a valid object.
pub unsafe fn nanoseconds(seconds: *mut PyObject) -> Result<i64, Raised> {
    let mut time = 0;
    // SAFETY: both pointers are valid, as the caller promises.
    if unsafe { _PyTime_FromSecondsObject(&mut time, seconds, ROUND_TIMEOUT) } < 0 {
        return Err(Raised);
    }
    Ok(time)
}

/// Whether Python code of several threads runs at the same time.
pub const IS_FREE_THREADED: bool = cfg!(Py_GIL_DISABLED);

/// Runs signal handlers and pending calls if this is the thread for it. The call that stock locks
/// make when a signal interrupts them.
///
/// # Safety
/// Attached.
pub unsafe fn run_signal_handlers() -> Result<(), Raised> {
    // SAFETY: attached, as the caller promises.
    if unsafe { Py_MakePendingCalls() } < 0 { Err(Raised) } else { Ok(()) }
}

/// Whether signal handlers run in the calling thread.
pub fn is_main_thread() -> bool {
    // SAFETY: compares the calling thread's id with a global; needs nothing.
    unsafe { _PyOS_IsMainThread() != 0 }
}

/// The identifier that `signal.pthread_kill` and `sys._current_frames` use.
#[inline]
pub fn thread_ident() -> u64 {
    // What PyThread_get_thread_ident returns, without the detour: a re-entrant lock asks twice for
    // every `with`. The tests compare the two.
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    {
        let ident: u64;
        // What pthread_self() is there, in glibc and in musl: the first word of the block that the
        // register points to is the address of that block.
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

/// The stack size set by `stack_size`, 0 for the platform's.
///
/// # Safety
/// Attached.
pub unsafe fn stack_size() -> usize {
    // SAFETY: attached, as the caller promises.
    unsafe { PyThread_get_stacksize() }
}

/// Reports the exception that ended a thread through `sys.unraisablehook`, in this version's words.
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

/// What `_shutdown` does with an exception in its join: up to 3.13 it reports it, in 3.14 it also
/// says where, from 3.15 on it lets it out.
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

/// `dict[key]` as a new reference, null if absent.
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
        // SAFETY: as the caller promises; the borrowed reference is made our own before anything
        // else can run.
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

/// [`dict_get`] by a name.
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

/// An attribute of `sys` as a new reference, null if absent. `PySys_GetObject` borrows it, and without
/// a GIL another thread may replace and free it at any moment.
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
    // SAFETY: as the caller promises; the borrowed reference is made our own before anything else
    // can run.
    unsafe {
        let value = ffi::PySys_GetObject(name.as_ptr());
        ffi::Py_XINCREF(value);
        Ok(value)
    }
}

/// A module that is imported already, as a new reference; null if it is not, or an exception is set.
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

/// What a weak reference refers to, as a new reference, null if it is gone.
///
/// # Safety
/// Attached, `reference` is a weak reference.
pub unsafe fn weakref_get(reference: *mut PyObject) -> *mut PyObject {
    #[cfg(Py_3_13)]
    {
        let mut object = ptr::null_mut();
        // SAFETY: as the caller promises.
        if unsafe { PyWeakref_GetRef(reference, &mut object) } < 0 {
            // Only for something that is no weak reference.
            // SAFETY: attached.
            unsafe { ffi::PyErr_Clear() };
        }
        object
    }
    #[cfg(not(Py_3_13))]
    {
        // SAFETY: as the caller promises; borrowed, and made our own at once.
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
    // From 3.12 on (PEP 683) they are not counted.
    #[cfg(not(Py_3_12))]
    // SAFETY: a valid object, and attached.
    unsafe {
        ffi::Py_INCREF(object);
    }
    object
}

/// The C definition behind a built-in function or method, null for anything else.
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
    // SAFETY: the exact types say which struct it is; both are part of CPython's public headers.
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

/// The module's slots beside `exec`: it needs no GIL, and runs in every interpreter.
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

/// Simulates the arrival of a signal; false if there is no such signal.
pub fn interrupt(signal: c_int) -> bool {
    unsafe extern "C" {
        fn PyErr_SetInterruptEx(signal: c_int) -> c_int;
    }
    // SAFETY: async-signal-safe, needs nothing.
    unsafe { PyErr_SetInterruptEx(signal) == 0 }
}

// A sanity check of what every identifier goes through.
const _: () = assert!(size_of::<c_long>() <= size_of::<u64>());

/// An exception that was set, or none.
#[cfg(Py_3_12)]
pub type Pending = *mut PyObject;
/// An exception that was set, or none.
#[cfg(not(Py_3_12))]
pub type Pending = [*mut PyObject; 3];

/// Takes the exception that is set, if any, out of the thread state.
///
/// # Safety
/// Attached; it goes back through [`restore_exception`].
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

/// Undoes [`take_exception`].
///
/// # Safety
/// Attached, no exception is set.
pub unsafe fn restore_exception(pending: Pending) {
    #[cfg(Py_3_12)]
    // SAFETY: attached; null clears.
    unsafe {
        ffi::PyErr_SetRaisedException(pending);
    }
    #[cfg(not(Py_3_12))]
    // SAFETY: attached; null clears.
    unsafe {
        ffi::PyErr_Restore(pending[0], pending[1], pending[2]);
    }
}

/// Drops what [`take_exception`] gave.
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
