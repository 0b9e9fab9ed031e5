//! `_thread.RLock`.

use core::ffi::c_void;
use core::mem::offset_of;
use core::ptr;

use pyo3_ffi::{self as ffi, Py_ssize_t, PyObject, PyTypeObject};

use crate::capi::errors::{Raised, runtime_error};
use crate::capi::refs::drop_ref;
use crate::capi::types::{self, Call, Function, Like, PLAIN, Type};
use crate::capi::{compat, stock};
use crate::runtime::blocking::{self, Signals, Timeout, Waited};
use crate::sync::{NotOwned, ReentrantLock, ThreadId};
use crate::thread_module::acquire_args;

#[repr(C)]
struct RLockObject {
    base: PyObject,
    lock: ReentrantLock,
    weakrefs: *mut PyObject,
}

const METHODS: &[Function] = &[
    Function::stock(c"acquire", Call::FastKeywords(acquire)),
    Function::stock(c"release", Call::NoArgs(release)),
    Function::stock(c"locked", Call::NoArgs(locked)),
    Function::stock(c"_is_owned", Call::NoArgs(is_owned)),
    Function::stock(
        c"_acquire_restore",
        if compat::ACQUIRE_RESTORE_TAKES_OBJECT {
            Call::Object(acquire_restore)
        } else {
            Call::VarArgs(acquire_restore)
        },
    ),
    Function::stock(c"_release_save", Call::NoArgs(release_save)),
    Function::stock(c"_recursion_count", Call::NoArgs(recursion_count)),
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
    // SAFETY: the slots are of the kinds that their numbers say, and expect an RLockObject.
    unsafe {
        let like = stock::type_named(stock_module, c"RLock");
        let made = Type {
            name: c"_thread.RLock",
            size: size_of::<RLockObject>(),
            weakrefs: Some(offset_of!(RLockObject, weakrefs)),
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
/// `object` is an RLockObject, and outlives the result.
#[inline]
pub unsafe fn of<'a>(object: *mut PyObject) -> &'a ReentrantLock {
    // SAFETY: as the caller promises.
    unsafe { &(*object.cast::<RLockObject>()).lock }
}

unsafe extern "C-unwind" fn new(
    class: *mut PyTypeObject,
    args: *mut PyObject,
    kwargs: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called by CPython with valid arguments; all zero is a free lock.
    unsafe {
        if compat::refuse_rlock_arguments(class, args, kwargs).is_err() {
            return ptr::null_mut();
        }
        types::allocate(class)
    }
}

unsafe extern "C-unwind" fn dealloc(slf: *mut PyObject) {
    // SAFETY: called by CPython when no reference to the object is left.
    unsafe {
        ffi::PyObject_GC_UnTrack(slf.cast());
        if !(*slf.cast::<RLockObject>()).weakrefs.is_null() {
            ffi::PyObject_ClearWeakRefs(slf);
        }
        types::free(slf);
    }
}

unsafe extern "C-unwind" fn repr(slf: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by CPython with an RLockObject; the format takes two strings, two unsigned
    // long longs and a pointer.
    unsafe {
        let lock = of(slf);
        let is_locked = compat::rlock_is_called_locked(lock.is_locked(), lock.count());
        let state = if is_locked { c"locked" } else { c"unlocked" };
        ffi::PyUnicode_FromFormat(
            c"<%s %s object owner=%llu count=%llu at %p>".as_ptr(),
            state.as_ptr(),
            types::type_name(slf),
            lock.owner(),
            lock.count(),
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
    // SAFETY: called by CPython, attached, with an RLockObject that it keeps alive.
    unsafe {
        let Ok(timeout) = acquire_args::acquire(args, nargs, kwnames, compat::ACQUIRE_FORMAT)
        else {
            return ptr::null_mut();
        };
        let lock = of(slf);
        let me = compat::thread_ident();
        let taken = if compat::IS_FREE_THREADED {
            lock.try_acquire(me)
        } else {
            // The thread holds the GIL. Other threads begin and end their waits with the GIL.
            lock.try_acquire_alone(me)
        };
        if taken {
            return compat::bool_object(true);
        }
        acquire_contended(slf, me, timeout)
    }
}

/// The only place where a use is noted. So a lock without contention is never switched to deferred
/// reference counting, and is freed as soon as it is dropped. Neither is a lock of a derived class,
/// because its attributes may be large.
#[cold]
unsafe fn acquire_contended(slf: *mut PyObject, me: ThreadId, timeout: Timeout) -> *mut PyObject {
    // SAFETY: as in `acquire`.
    unsafe {
        if is_plain(slf) {
            compat::note_use(slf);
        }
        let lock = of(slf);
        match blocking::wait(lock.lock(), timeout, Signals::Handle) {
            Ok(Waited::Got) => lock.adopt(me),
            Ok(_) => return compat::bool_object(false),
            Err(Raised) => return ptr::null_mut(),
        }
    }
    compat::bool_object(true)
}

/// Whether the object is not of a derived class: such a class has a dealloc of its own.
unsafe fn is_plain(slf: *mut PyObject) -> bool {
    let own: unsafe extern "C-unwind" fn(*mut PyObject) = dealloc;
    // SAFETY: an RLockObject, as every caller promises.
    let its = unsafe { (*ffi::Py_TYPE(slf)).tp_dealloc };
    its.is_some_and(|its| ptr::fn_addr_eq(its, own))
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
    // SAFETY: called by CPython, attached, with an RLockObject.
    unsafe {
        let me = compat::thread_ident();
        let released = if compat::IS_FREE_THREADED {
            of(slf).release(me)
        } else {
            // As in `acquire`.
            of(slf).release_alone(me)
        };
        match released {
            Ok(()) => compat::none(),
            Err(_) => not_acquired(),
        }
    }
}

/// A function of its own, so that the usual case needs no registers to be saved.
#[cold]
#[inline(never)]
unsafe fn not_acquired() -> *mut PyObject {
    // SAFETY: attached, as every caller is.
    unsafe { runtime_error(c"cannot release un-acquired lock") }
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
    // SAFETY: called by CPython with an RLockObject.
    compat::bool_object(unsafe { of(slf) }.is_locked())
}

unsafe extern "C-unwind" fn is_owned(slf: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by CPython with an RLockObject.
    compat::bool_object(unsafe { of(slf) }.is_owned_by(compat::thread_ident()))
}

unsafe extern "C-unwind" fn recursion_count(slf: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with an RLockObject.
    unsafe {
        let lock = of(slf);
        let mine = lock.is_owned_by(compat::thread_ident());
        ffi::PyLong_FromUnsignedLongLong(if mine { lock.count() } else { 0 })
    }
}

/// `_release_save`.
///
/// # Safety
/// Attached, with an object of this type.
pub unsafe extern "C-unwind" fn release_save(
    slf: *mut PyObject,
    _: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with an RLockObject.
    unsafe {
        let lock = of(slf);
        let allowed =
            !compat::RELEASE_SAVE_CHECKS_OWNER || lock.is_owned_by(compat::thread_ident());
        match if allowed { lock.release_all() } else { Err(NotOwned) } {
            Ok(saved) => compat::saved_to_tuple(saved),
            Err(NotOwned) => runtime_error(c"cannot release un-acquired lock"),
        }
    }
}

/// Takes the lock back after a wait. Signal handlers run only after that. A program that waits for
/// a condition may rely on holding the lock afterwards, even if the wait raises an exception
/// (gh-118433).
unsafe extern "C-unwind" fn acquire_restore(
    slf: *mut PyObject,
    args: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with an RLockObject that it keeps alive.
    unsafe {
        let Ok(saved) = compat::saved_from_args(args) else { return ptr::null_mut() };
        let lock = of(slf);
        if blocking::take_back(lock.lock()).is_err() {
            return ptr::null_mut();
        }
        lock.restore(saved);
    }
    compat::none()
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
    // SAFETY: called by CPython with an RLockObject, in a process with one thread.
    unsafe {
        let renewed = of(slf).renewed();
        (&raw mut (*slf.cast::<RLockObject>()).lock).write(renewed);
    }
    compat::none()
}
