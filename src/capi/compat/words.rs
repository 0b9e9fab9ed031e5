//! The arguments that each version accepts, and its texts for wrong ones.

use core::ffi::{CStr, c_char, c_int};
use core::ptr;

use pyo3_ffi::{self as ffi, Py_ssize_t, PyObject, PyTypeObject};

#[cfg(not(Py_3_15))]
use crate::capi::compat::PyArg_ParseTuple;
use crate::capi::errors::{Raised, raise};
use crate::sync::Saved;

/// Up to 3.11 the `blocking` of `acquire` is an int ("i"). From 3.12 on it is any object with a
/// truth value ("p").
pub const ACQUIRE_FORMAT: &CStr = if cfg!(Py_3_12) { c"|pO:acquire" } else { c"|iO:acquire" };

/// Up to 3.14 the errors of `acquire_lock` call it `acquire`.
pub const ACQUIRE_LOCK_FORMAT: &CStr =
    if cfg!(Py_3_15) { c"|pO:acquire_lock" } else { ACQUIRE_FORMAT };

/// From 3.12 on starting a thread raises an audit event.
pub const START_IS_AUDITED: bool = cfg!(Py_3_12);

/// The text for a negative time-out.
pub const NEGATIVE_TIMEOUT: &CStr = if cfg!(Py_3_13) {
    c"timeout value must be a non-negative number"
} else {
    c"timeout value must be positive"
};

/// Up to 3.14 `__enter__` is another name of `acquire` and takes the same arguments, and `__exit__`
/// takes any number of them. From 3.15 on `__enter__` takes none and `__exit__` takes three.
pub const WITH_TAKES_ANY_ARGUMENTS: bool = !cfg!(Py_3_15);

/// Refuses keywords to an `__exit__` that takes any number of arguments. The stock method takes its
/// arguments as a tuple, and the errors of such a method name it without its class.
///
/// # Safety
/// Attached; `kwnames` is a tuple or null.
#[inline]
pub unsafe fn refuse_exit_keywords(kwnames: *mut PyObject) -> Result<(), Raised> {
    // SAFETY: as the caller promises.
    unsafe {
        if kwnames.is_null() || ffi::PyTuple_GET_SIZE(kwnames) == 0 {
            return Ok(());
        }
        raise(ffi::PyExc_TypeError, c"__exit__() takes no keyword arguments");
    }
    Err(Raised)
}

/// Refuses a wrong number of arguments of the `__exit__` that takes three. Returns null with the
/// exception set.
///
/// # Safety
/// Attached; the number is not three.
#[cold]
#[inline(never)]
pub unsafe fn refuse_exit(nargs: Py_ssize_t) -> *mut PyObject {
    // SAFETY: attached, as the caller promises.
    let _refused = unsafe { _PyArg_CheckPositional(c"__exit__".as_ptr(), nargs, 3, 3) };
    ptr::null_mut()
}

/// Up to 3.13 `_release_save` also releases a lock that another thread holds.
pub const RELEASE_SAVE_CHECKS_OWNER: bool = cfg!(Py_3_14);

/// Whether the repr of an RLock calls it locked. From 3.14 on it does if the lock is held, up to
/// 3.13 if the count is not zero. The two differ after `_acquire_restore((0, …))`.
pub const fn rlock_is_called_locked(is_locked: bool, count: u64) -> bool {
    if cfg!(Py_3_14) { is_locked } else { count > 0 }
}

/// Up to 3.14 `_acquire_restore` gets its argument in a tuple, from 3.15 on as the object itself.
pub const ACQUIRE_RESTORE_TAKES_OBJECT: bool = cfg!(Py_3_15);

unsafe extern "C-unwind" {
    fn _PyArg_NoKeywords(name: *const c_char, kwargs: *mut PyObject) -> c_int;
    fn _PyArg_CheckPositional(
        name: *const c_char,
        nargs: Py_ssize_t,
        min: Py_ssize_t,
        max: Py_ssize_t,
    ) -> c_int;
    #[cfg(Py_3_15)]
    fn _PyArg_NoPositional(name: *const c_char, args: *mut PyObject) -> c_int;
}

/// Refuses all arguments of a call, as of `lock()`, with this version's text.
///
/// # Safety
/// Attached; a tuple, and a dict or null.
pub unsafe fn refuse_arguments(
    name: &CStr,
    args: *mut PyObject,
    kwargs: *mut PyObject,
) -> Result<(), Raised> {
    #[cfg(Py_3_15)]
    // SAFETY: as the caller promises. CPython's macros accept null without a call.
    let accepted = unsafe {
        (args.is_null() || _PyArg_NoPositional(name.as_ptr(), args) != 0)
            && (kwargs.is_null() || _PyArg_NoKeywords(name.as_ptr(), kwargs) != 0)
    };
    #[cfg(not(Py_3_15))]
    // SAFETY: as the caller promises.
    let accepted = unsafe {
        (kwargs.is_null() || _PyArg_NoKeywords(name.as_ptr(), kwargs) != 0)
            && _PyArg_CheckPositional(name.as_ptr(), ffi::PyTuple_GET_SIZE(args), 0, 0) != 0
    };
    if accepted { Ok(()) } else { Err(Raised) }
}

/// Whether a class inherits the `__init__` of `object`.
///
/// # Safety
/// A valid type.
pub unsafe fn inherits_init(class: *mut PyTypeObject) -> bool {
    // SAFETY: as the caller promises. The interpreter compares the same two addresses.
    unsafe {
        (*class).tp_init.map(|init| init as usize)
            == ffi::PyBaseObject_Type.tp_init.map(|init| init as usize)
    }
}

/// Refuses the arguments of `RLock()` where this version does: up to 3.14 they are ignored. From
/// 3.15 on they are refused, unless a subclass has an `__init__` of its own.
///
/// # Safety
/// Attached; a type, a tuple, and a dict or null.
pub unsafe fn refuse_rlock_arguments(
    class: *mut PyTypeObject,
    args: *mut PyObject,
    kwargs: *mut PyObject,
) -> Result<(), Raised> {
    // SAFETY: as the caller promises.
    unsafe {
        if cfg!(Py_3_15) && inherits_init(class) {
            refuse_arguments(c"RLock", args, kwargs)
        } else {
            Ok(())
        }
    }
}

/// Reads `(count, owner)` from the arguments of `_acquire_restore`. Up to 3.13 the count may be any
/// int, of which the low bits are used. From 3.14 on a count that does not fit is an error.
///
/// # Safety
/// Attached. `args` is what CPython passed: up to 3.14 a tuple of arguments, from 3.15 on the
/// argument itself.
pub unsafe fn saved_from_args(args: *mut PyObject) -> Result<Saved, Raised> {
    unsafe extern "C-unwind" {
        #[cfg(Py_3_15)]
        fn PyArg_Parse(argument: *mut PyObject, format: *const c_char, ...) -> c_int;
    }
    #[cfg(Py_3_14)]
    let (mut count, mut owner): (Py_ssize_t, u64) = (0, 0);
    #[cfg(all(Py_3_13, not(Py_3_14)))]
    let (mut count, mut owner): (core::ffi::c_ulong, u64) = (0, 0);
    #[cfg(not(Py_3_13))]
    let (mut count, mut owner): (core::ffi::c_ulong, core::ffi::c_ulong) = (0, 0);
    #[cfg(Py_3_15)]
    // SAFETY: as the caller promises. The format expects a Py_ssize_t and an unsigned long long.
    let parsed = unsafe {
        PyArg_Parse(args, c"(nK):_acquire_restore".as_ptr(), &raw mut count, &raw mut owner)
    };
    #[cfg(not(Py_3_15))]
    let format = if cfg!(Py_3_14) {
        c"(nK):_acquire_restore"
    } else if cfg!(Py_3_13) {
        c"(kK):_acquire_restore"
    } else {
        c"(kk):_acquire_restore"
    };
    #[cfg(not(Py_3_15))]
    // SAFETY: as the caller promises. The variables have the types that the format expects.
    let parsed = unsafe { PyArg_ParseTuple(args, format.as_ptr(), &raw mut count, &raw mut owner) };
    if parsed == 0 {
        return Err(Raised);
    }
    #[allow(
        clippy::useless_conversion,
        clippy::unnecessary_cast,
        reason = "c_ulong is not u64 everywhere"
    )]
    Ok(Saved { count: count as u64, owner: u64::from(owner) })
}

/// The tuple `(count, owner)` that `_release_save` returns.
///
/// # Safety
/// Attached.
pub unsafe fn saved_to_tuple(saved: Saved) -> *mut PyObject {
    // SAFETY: attached; the format takes two unsigned long longs.
    unsafe { ffi::Py_BuildValue(c"KK".as_ptr(), saved.count, saved.owner) }
}

/// Raises TypeError: `function() argument must be expected, not …`. Returns null.
///
/// # Safety
/// Attached; `given` is a valid object.
pub unsafe fn bad_argument(
    function: &CStr,
    argument: &CStr,
    expected: &CStr,
    given: *mut PyObject,
) -> *mut PyObject {
    unsafe extern "C" {
        fn _PyArg_BadArgument(
            function: *const c_char,
            argument: *const c_char,
            expected: *const c_char,
            given: *mut PyObject,
        );
    }
    // SAFETY: as the caller promises.
    unsafe {
        _PyArg_BadArgument(function.as_ptr(), argument.as_ptr(), expected.as_ptr(), given);
    }
    ptr::null_mut()
}

/// From 3.14 on a condition has the `locked` method of its lock.
pub const CONDITION_HAS_LOCKED: bool = cfg!(Py_3_14);
