//! `_thread.lock`.

use core::ffi::c_void;
use core::mem::offset_of;
use core::ptr;

use pyo3_ffi::{self as ffi, Py_ssize_t, PyObject, PyTypeObject};

use crate::capi::errors::{Raised, runtime_error};
use crate::capi::refs::drop_ref;
use crate::capi::types::{self, Call, Function, Like, PLAIN, Type};
use crate::capi::{compat, stock};
use crate::runtime::blocking::{self, Signals, Timeout, Waited};
use crate::runtime::sentinels;
use crate::sync::Lock;
use crate::thread_module::acquire_args;

/// Not larger than the stock object: 56 bytes with the collector's header.
#[repr(C)]
pub struct LockObject {
    base: PyObject,
    pub lock: Lock,
    weakrefs: *mut PyObject,
}

#[cfg(not(Py_GIL_DISABLED))]
const _: () = assert!(size_of::<LockObject>() <= 40 || cfg!(rthread_portable_parker));

const METHODS: &[Function] = &[
    Function::stock(c"acquire_lock", Call::FastKeywords(acquire_lock)),
    Function::stock(c"acquire", Call::FastKeywords(acquire)),
    Function::stock(c"release_lock", Call::NoArgs(release)),
    Function::stock(c"release", Call::NoArgs(release)),
    Function::stock(c"locked_lock", Call::NoArgs(locked)),
    Function::stock(c"locked", Call::NoArgs(locked)),
    Function::stock(
        c"__enter__",
        if compat::WITH_TAKES_ANY_ARGUMENTS {
            Call::FastKeywords(acquire)
        } else {
            Call::NoArgs(enter)
        },
    ),
    Function::stock(
        c"__exit__",
        if compat::WITH_TAKES_ANY_ARGUMENTS {
            Call::FastKeywords(exit_with_any)
        } else {
            Call::Fast(exit_with_three)
        },
    ),
    Function::stock(c"_at_fork_reinit", Call::NoArgs(at_fork_reinit)),
];

/// Makes the type. Returns a new reference.
///
/// # Safety
/// Attached; `stock_module` is the stock module.
pub unsafe fn make_type(
    module: *mut PyObject,
    stock_module: *mut PyObject,
) -> Result<*mut PyTypeObject, Raised> {
    // SAFETY: the slots are of the kinds that their numbers say, and expect a LockObject.
    unsafe {
        let like = stock::type_named(stock_module, c"LockType");
        let made = Type {
            name: c"_thread.lock",
            size: size_of::<LockObject>(),
            weakrefs: Some(offset_of!(LockObject, weakrefs)),
            flags: ffi::Py_TPFLAGS_HAVE_GC,
            like: Like::Stock(like),
            methods: METHODS,
            slots: &[
                (ffi::Py_tp_new, new as *mut c_void),
                (ffi::Py_tp_dealloc, dealloc as *mut c_void),
                (ffi::Py_tp_repr, repr as *mut c_void),
                (ffi::Py_tp_traverse, types::traverse_type as *mut c_void),
            ],
            ..PLAIN
        }
        .make(module);
        drop_ref(like.cast());
        made
    }
}

/// The lock inside `object`.
///
/// # Safety
/// `object` is a LockObject, and outlives the result.
#[inline]
pub unsafe fn of<'a>(object: *mut PyObject) -> &'a Lock {
    // SAFETY: as the caller promises.
    unsafe { &(*object.cast::<LockObject>()).lock }
}

/// Tries to take the lock without an atomic step. False without a GIL, and if the lock is held or
/// other threads may be using it.
///
/// # Safety
/// Attached.
#[inline]
#[must_use]
pub unsafe fn is_taken_alone(lock: &Lock) -> bool {
    // SAFETY: the calling thread holds the GIL. Other threads begin and end their waits with the
    // GIL. Only a sentinel lock is released without it, and such a lock is marked.
    !compat::IS_FREE_THREADED && unsafe { lock.try_acquire_alone() }
}

unsafe extern "C-unwind" fn new(
    class: *mut PyTypeObject,
    args: *mut PyObject,
    kwargs: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called by CPython with valid arguments; all zero is a free lock.
    unsafe {
        if compat::refuse_arguments(c"lock", args, kwargs).is_err() {
            return ptr::null_mut();
        }
        types::allocate(class)
    }
}

unsafe extern "C-unwind" fn dealloc(slf: *mut PyObject) {
    // SAFETY: called by CPython when no reference to the object is left.
    unsafe {
        ffi::PyObject_GC_UnTrack(slf.cast());
        if of(slf).is_sentinel() {
            sentinels::forget(of(slf));
        }
        if !(*slf.cast::<LockObject>()).weakrefs.is_null() {
            ffi::PyObject_ClearWeakRefs(slf);
        }
        types::free(slf);
    }
}

unsafe extern "C-unwind" fn repr(slf: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by CPython with a LockObject; the format takes two strings and a pointer.
    unsafe {
        let state = if of(slf).is_locked() { c"locked" } else { c"unlocked" };
        ffi::PyUnicode_FromFormat(
            c"<%s %s object at %p>".as_ptr(),
            state.as_ptr(),
            types::type_name(slf),
            slf,
        )
    }
}

/// `acquire`.
///
/// # Safety
/// Attached, with an object of this type.
pub unsafe extern "C-unwind" fn acquire(
    slf: *mut PyObject,
    args: *const *mut PyObject,
    nargs: Py_ssize_t,
    kwnames: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a LockObject that it keeps alive.
    unsafe {
        match acquire_args::acquire(args, nargs, kwnames, compat::ACQUIRE_FORMAT) {
            Ok(timeout) => acquire_within(slf, timeout),
            Err(Raised) => ptr::null_mut(),
        }
    }
}

unsafe extern "C-unwind" fn acquire_lock(
    slf: *mut PyObject,
    args: *const *mut PyObject,
    nargs: Py_ssize_t,
    kwnames: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: as in `acquire`.
    unsafe {
        match acquire_args::acquire(args, nargs, kwnames, compat::ACQUIRE_LOCK_FORMAT) {
            Ok(timeout) => acquire_within(slf, timeout),
            Err(Raised) => ptr::null_mut(),
        }
    }
}

#[inline]
unsafe fn acquire_within(slf: *mut PyObject, timeout: Timeout) -> *mut PyObject {
    // SAFETY: as in `acquire`.
    unsafe {
        if is_taken_alone(of(slf)) {
            return compat::bool_object(true);
        }
        acquire_shared(slf, timeout)
    }
}

/// With a GIL this is a function of its own, so that the usual case needs no registers to be saved.
#[cfg_attr(not(Py_GIL_DISABLED), cold, inline(never))]
unsafe fn acquire_shared(slf: *mut PyObject, timeout: Timeout) -> *mut PyObject {
    // SAFETY: as in `acquire`.
    unsafe {
        if of(slf).try_acquire() {
            return compat::bool_object(true);
        }
        acquire_contended(slf, timeout)
    }
}

/// The only place where a use is noted. So a lock without contention is never switched to deferred
/// reference counting, and is freed as soon as it is dropped.
#[cold]
unsafe fn acquire_contended(slf: *mut PyObject, timeout: Timeout) -> *mut PyObject {
    // SAFETY: as in `acquire`.
    unsafe {
        compat::note_use(slf);
        match blocking::wait(of(slf), timeout, Signals::Handle) {
            Ok(waited) => compat::bool_object(waited == Waited::Got),
            Err(Raised) => ptr::null_mut(),
        }
    }
}

unsafe extern "C-unwind" fn enter(slf: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: a call of `acquire` without arguments.
    unsafe { acquire(slf, ptr::null(), 0, ptr::null_mut()) }
}

/// `release`.
///
/// # Safety
/// Attached, with an object of this type.
pub unsafe extern "C-unwind" fn release(slf: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a LockObject.
    unsafe {
        // As in `is_taken_alone`.
        if !compat::IS_FREE_THREADED && of(slf).release_alone() {
            return compat::none();
        }
        release_shared(slf)
    }
}

/// As [`acquire_shared`].
#[cfg_attr(not(Py_GIL_DISABLED), cold, inline(never))]
unsafe fn release_shared(slf: *mut PyObject) -> *mut PyObject {
    // SAFETY: as in `release`.
    unsafe {
        match of(slf).release() {
            Ok(()) => compat::none(),
            Err(_) => runtime_error(c"release unlocked lock"),
        }
    }
}

unsafe extern "C-unwind" fn exit_with_any(
    slf: *mut PyObject,
    _: *const *mut PyObject,
    _: Py_ssize_t,
    kwnames: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: as `release`, which ignores its second argument.
    unsafe {
        match compat::refuse_exit_keywords(kwnames) {
            Ok(()) => release(slf, ptr::null_mut()),
            Err(Raised) => ptr::null_mut(),
        }
    }
}

unsafe extern "C-unwind" fn exit_with_three(
    slf: *mut PyObject,
    _: *const *mut PyObject,
    nargs: Py_ssize_t,
) -> *mut PyObject {
    // SAFETY: as `release`, which ignores its second argument.
    unsafe { if nargs == 3 { release(slf, ptr::null_mut()) } else { compat::refuse_exit(nargs) } }
}

unsafe extern "C-unwind" fn locked(slf: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a LockObject.
    unsafe { compat::bool_object(of(slf).is_locked()) }
}

/// Overwrites the lock with a free one. It cannot be released, because the threads that held it or
/// waited for it do not exist any more.
///
/// # Safety
/// Attached, with an object of this type.
pub unsafe extern "C-unwind" fn at_fork_reinit(
    slf: *mut PyObject,
    _: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called by CPython with a LockObject, in a process with one thread.
    unsafe {
        let renewed = of(slf).renewed();
        (&raw mut (*slf.cast::<LockObject>()).lock).write(renewed);
    }
    compat::none()
}
