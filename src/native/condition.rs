//! `threading.Condition`.
//!
//! Native over rthread's own locks. Over any other lock the object is open from the start: then
//! the Python class does everything, with whatever methods the lock has.

use core::ffi::{CStr, c_int, c_void};
use core::mem::offset_of;
use core::ptr;
use core::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;

use pyo3_ffi::{self as ffi, Py_ssize_t, PyObject, PyTypeObject};

use super::open::{self, Openable};
use super::{Kind, Making, arguments, pure};
use crate::blocking::{self, NewWaiter, Signals, Timeout, Waited};
use crate::compat::{self, Raised};
use crate::module::State;
use crate::object::{self, Call, Doc, Function, Like, PLAIN, Property, Type, drop_ref};
use crate::sync::{Awaitable, Condition, Deadline, Lock, NotOwned, ReentrantLock, Saved};
use crate::{lock, rlock};

#[repr(C)]
struct ConditionObject {
    base: PyObject,
    condition: Condition,
    /// One of ours, unless the object is open.
    lock: *mut PyObject,
    /// A [`Mode`].
    mode: AtomicU8,
    dict: *mut PyObject,
    weakrefs: *mut PyObject,
}

/// What a condition is made of. Zero: of the parts in its dict, if it has any yet.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Mode {
    OverLock = 1,
    OverRLock = 2,
}

/// The lock of a native condition.
#[derive(Clone, Copy)]
enum Held<'a> {
    Lock(&'a Lock),
    RLock(&'a ReentrantLock),
}

impl Held<'_> {
    /// Whether the calling thread has the lock; of a plain lock: whether anybody has.
    fn is_owned(self) -> bool {
        match self {
            Held::Lock(lock) => lock.is_locked(),
            Held::RLock(lock) => lock.is_owned_by(compat::thread_ident()),
        }
    }

    /// Gives it up, however often it was taken.
    fn release_all(self) -> Result<Saved, NotOwned> {
        match self {
            Held::Lock(lock) => match lock.release() {
                Ok(()) => Ok(Saved { count: 1, owner: 0 }),
                Err(_) => Err(NotOwned),
            },
            Held::RLock(lock) => lock.release_all(),
        }
    }

    /// Takes it back, and lets signals wait until then (gh-118433).
    ///
    /// # Safety
    /// Attached; the caller keeps the lock alive.
    unsafe fn restore(self, saved: Saved) -> Result<(), Raised> {
        let inner = match self {
            Held::Lock(lock) => lock,
            Held::RLock(lock) => lock.lock(),
        };
        if !inner.try_acquire() {
            // SAFETY: as the caller promises.
            unsafe { blocking::wait(inner, Timeout::Never, Signals::Defer)? };
        }
        if let Held::RLock(lock) = self {
            lock.restore(saved);
        }
        Ok(())
    }
}

const METHODS: &[Function] = &[
    Function {
        name: c"acquire",
        call: Call::FastKeywords(acquire),
        doc: Doc::PythonOr(c"Acquire the lock of the condition, with the lock's own arguments."),
    },
    Function {
        name: c"release",
        call: Call::NoArgs(release),
        doc: Doc::PythonOr(c"release($self)\n--\n\nRelease the lock of the condition."),
    },
    Function {
        name: c"locked",
        call: Call::NoArgs(locked),
        doc: Doc::PythonOr(
            c"locked($self)\n--\n\nWhether the lock of the condition is locked.\n\n\
            A method of the class from CPython 3.14 on, there as the lock's own.",
        ),
    },
    Function::python(c"__enter__", Call::NoArgs(enter)),
    Function::python(c"__exit__", Call::Fast(exit)),
    Function::python(c"wait", Call::FastKeywords(wait)),
    Function::python(c"wait_for", Call::FastKeywords(wait_for)),
    Function::python(c"notify", Call::FastKeywords(notify)),
    Function::python(c"notify_all", Call::NoArgs(notify_all)),
    Function::python(c"notifyAll", Call::NoArgs(notify_all_old)),
    Function::python(c"_is_owned", Call::NoArgs(is_owned)),
    Function::python(c"_release_save", Call::NoArgs(release_save)),
    Function::python(c"_acquire_restore", Call::Object(acquire_restore)),
    Function::python(c"_at_fork_reinit", Call::NoArgs(at_fork_reinit)),
];

const PROPERTIES: &[Property] = &[
    Property { name: c"_lock", get: get_lock, set: Some(open::set::<ConditionObject>), doc: None },
    Property {
        name: c"_waiters",
        get: get_waiters,
        set: Some(open::set::<ConditionObject>),
        doc: None,
    },
    open::DICT,
];

/// Makes the type. A new reference.
///
/// # Safety
/// Attached.
pub unsafe fn make_type(making: &Making) -> Result<*mut PyTypeObject, Raised> {
    // SAFETY: the slots are what their numbers say and expect a ConditionObject.
    unsafe {
        Type {
            name: c"threading.Condition",
            size: size_of::<ConditionObject>(),
            weakrefs: Some(offset_of!(ConditionObject, weakrefs)),
            dict: Some(offset_of!(ConditionObject, dict)),
            flags: ffi::Py_TPFLAGS_HAVE_GC | ffi::Py_TPFLAGS_BASETYPE,
            like: Like::Python(making.docs),
            methods: METHODS,
            properties: PROPERTIES,
            slots: &[
                (ffi::Py_tp_new, new as *mut c_void),
                (ffi::Py_tp_init, init as *mut c_void),
                (ffi::Py_tp_dealloc, dealloc as *mut c_void),
                (ffi::Py_tp_repr, repr as *mut c_void),
                (ffi::Py_tp_traverse, traverse as *mut c_void),
                (ffi::Py_tp_clear, clear_references as *mut c_void),
            ],
            ..PLAIN
        }
        .make(making.module)
    }
}

/// # Safety
/// `slf` is a ConditionObject, and outlives the result.
#[inline]
unsafe fn this<'a>(slf: *mut PyObject) -> &'a ConditionObject {
    // SAFETY: as the caller promises.
    unsafe { &*slf.cast::<ConditionObject>() }
}

/// The lock, unless the object is open.
///
/// # Safety
/// `slf` is a ConditionObject, and outlives the result.
#[inline]
unsafe fn held<'a>(slf: *mut PyObject) -> Option<Held<'a>> {
    // SAFETY: as the caller promises; the mode says what the lock is, and is set after it.
    unsafe {
        let this = this(slf);
        match this.mode.load(Ordering::Acquire) {
            mode if mode == Mode::OverLock as u8 => Some(Held::Lock(lock::of(this.lock))),
            mode if mode == Mode::OverRLock as u8 => Some(Held::RLock(rlock::of(this.lock))),
            _ => None,
        }
    }
}

impl Openable for ConditionObject {
    unsafe fn is_open(slf: *mut PyObject) -> bool {
        // SAFETY: as the caller promises.
        unsafe { held(slf) }.is_none()
    }

    /// A native one has all that a Python one has, and only ends: its lock cannot be replaced.
    unsafe fn open(slf: *mut PyObject) -> Result<(), Raised> {
        // SAFETY: as the caller promises.
        unsafe {
            if Self::is_open(slf) {
                return Ok(());
            }
            object::raise(ffi::PyExc_AttributeError, c"the lock of a condition cannot be replaced");
        }
        Err(Raised)
    }
}

/// A condition over a plain lock that is held: a new reference, or null with an exception set.
///
/// # Safety
/// Attached; `like` is a native object.
pub unsafe fn make_held(like: *mut PyObject) -> *mut PyObject {
    // SAFETY: as the caller promises; the new reference is given back.
    unsafe {
        let inner = make_held_lock(like);
        if inner.is_null() {
            return inner;
        }
        let made = make_over(like, inner);
        drop_ref(inner);
        made
    }
}

/// A plain lock that is held: a new reference, or null with an exception set.
///
/// # Safety
/// Attached; `like` is a native object.
pub unsafe fn make_held_lock(like: *mut PyObject) -> *mut PyObject {
    // SAFETY: as the caller promises; nobody else has the new object.
    unsafe {
        let Ok(state) = State::of_type(ffi::Py_TYPE(like)) else { return ptr::null_mut() };
        let made = object::allocate::<PyObject>((*state).lock_type);
        if !made.is_null() {
            lock::of(made).try_acquire();
        }
        made
    }
}

/// A condition over a plain lock: a new reference, or null with an exception set. If the lock is
/// not one of ours, it is an open one.
///
/// # Safety
/// Attached; `like` is a native object, `inner` a valid one.
pub unsafe fn make_over(like: *mut PyObject, inner: *mut PyObject) -> *mut PyObject {
    // SAFETY: as the caller promises.
    unsafe {
        let Ok(state) = State::of_type(ffi::Py_TYPE(like)) else { return ptr::null_mut() };
        let class = (*state).natives.types[Kind::Condition as usize];
        let args = ffi::PyTuple_New(1);
        if args.is_null() {
            return args;
        }
        ffi::Py_INCREF(inner);
        ffi::PyTuple_SET_ITEM(args, 0, inner);
        let made = compat::PyObject_Call(class.cast(), args, ptr::null_mut());
        drop_ref(args);
        made
    }
}

/// Releases a lock from [`make_held_lock`].
///
/// # Safety
/// Attached; `like` is a native object, `inner` a valid one.
pub unsafe fn release_held_lock(like: *mut PyObject, inner: *mut PyObject) {
    // SAFETY: only a lock of ours is looked into, as in `release_held`.
    unsafe {
        if let Ok(state) = State::of_type(ffi::Py_TYPE(like))
            && ffi::Py_TYPE(inner) == (*state).lock_type
        {
            let _ = lock::of(inner).release();
        }
    }
}

/// Releases the lock of a condition from [`make_held`].
///
/// # Safety
/// Attached; a valid object.
pub unsafe fn release_held(condition: *mut PyObject) {
    // SAFETY: only our own condition is looked into. Whatever else somebody has put in its place
    // is not held by us.
    unsafe {
        if ffi::Py_TYPE(condition) == type_of(condition)
            && let Some(Held::Lock(lock)) = held(condition)
        {
            let _ = lock.release();
        }
    }
}

/// The native type, if `condition` is one of ours; null if not.
unsafe fn type_of(condition: *mut PyObject) -> *mut PyTypeObject {
    // SAFETY: attached; a valid object.
    unsafe {
        match State::of_type(ffi::Py_TYPE(condition)) {
            Ok(state) => (*state).natives.types[Kind::Condition as usize],
            Err(Raised) => {
                ffi::PyErr_Clear();
                ptr::null_mut()
            }
        }
    }
}

unsafe extern "C-unwind" fn new(
    class: *mut PyTypeObject,
    _: *mut PyObject,
    _: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called by CPython; all zero is an open condition that has no parts yet.
    unsafe { object::allocate(class) }
}

unsafe extern "C-unwind" fn init(
    slf: *mut PyObject,
    args: *mut PyObject,
    kwargs: *mut PyObject,
) -> c_int {
    // SAFETY: called by CPython with a ConditionObject, a tuple, and a dict or null.
    unsafe {
        let dict = this(slf).dict;
        let fresh = this(slf).lock.is_null()
            && (dict.is_null() || ffi::PyDict_GetItemString(dict, c"_lock".as_ptr()).is_null());
        let given = match (ffi::PyTuple_GET_SIZE(args), kwargs.is_null()) {
            (0, true) => ffi::Py_None(),
            (1, true) => ffi::PyTuple_GET_ITEM(args, 0),
            (0, false) if ffi::PyDict_Size(kwargs) == 1 => {
                ffi::PyDict_GetItemString(kwargs, c"lock".as_ptr())
            }
            _ => ptr::null_mut(),
        };
        let Ok(state) = State::of_type(ffi::Py_TYPE(slf)) else { return -1 };
        if given.is_null() || !fresh {
            return pure::init(slf, Kind::Condition, args, kwargs);
        }
        let (mode, lock) = if given == ffi::Py_None() {
            (Mode::OverRLock, object::allocate::<PyObject>((*state).rlock_type))
        } else if ffi::Py_TYPE(given) == (*state).lock_type {
            (Mode::OverLock, given)
        } else if ffi::Py_TYPE(given) == (*state).rlock_type {
            (Mode::OverRLock, given)
        } else {
            return pure::init(slf, Kind::Condition, args, kwargs);
        };
        if lock.is_null() {
            return -1;
        }
        if lock == given {
            ffi::Py_INCREF(lock);
        }
        (*slf.cast::<ConditionObject>()).lock = lock;
        this(slf).mode.store(mode as u8, Ordering::Release);
    }
    0
}

unsafe extern "C-unwind" fn dealloc(slf: *mut PyObject) {
    // SAFETY: called by CPython when nobody has the object any more.
    unsafe {
        ffi::PyObject_GC_UnTrack(slf.cast());
        let this = slf.cast::<ConditionObject>();
        if !(*this).weakrefs.is_null() {
            ffi::PyObject_ClearWeakRefs(slf);
        }
        object::clear(&mut (*this).dict);
        object::clear(&mut (*this).lock);
        object::free(slf);
    }
}

unsafe extern "C-unwind" fn traverse(
    slf: *mut PyObject,
    visit: ffi::visitproc,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: called by the collector with a ConditionObject.
    unsafe { object::visit_all(slf, &[this(slf).dict, this(slf).lock], visit, arg) }
}

/// The lock stays: it refers to nothing, so it is in no cycle, and finalizers may still use it.
unsafe extern "C-unwind" fn clear_references(slf: *mut PyObject) -> c_int {
    // SAFETY: called by the collector with a ConditionObject.
    unsafe { object::clear(&mut (*slf.cast::<ConditionObject>()).dict) };
    0
}

unsafe extern "C-unwind" fn repr(slf: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by CPython with a ConditionObject.
    unsafe { pure::call_no_args(slf, Kind::Condition, c"__repr__") }
}

/// Calls a method of the lock that an open condition was made with.
unsafe fn of_lock(
    slf: *mut PyObject,
    name: &CStr,
    args: *const *mut PyObject,
    nargs: Py_ssize_t,
    kwnames: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: as the callers promise; new references are given back.
    unsafe {
        let lock = ffi::PyObject_GetAttrString(slf, c"_lock".as_ptr());
        if lock.is_null() {
            return ptr::null_mut();
        }
        let result = object::call_method(lock, name, args, nargs, kwnames);
        drop_ref(lock);
        result
    }
}

unsafe extern "C-unwind" fn acquire(
    slf: *mut PyObject,
    args: *const *mut PyObject,
    nargs: Py_ssize_t,
    kwnames: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a ConditionObject that it keeps alive.
    unsafe {
        match held(slf) {
            Some(Held::Lock(_)) => lock::acquire(this(slf).lock, args, nargs, kwnames),
            Some(Held::RLock(_)) => rlock::acquire(this(slf).lock, args, nargs, kwnames),
            None => of_lock(slf, c"acquire", args, nargs, kwnames),
        }
    }
}

unsafe extern "C-unwind" fn release(slf: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a ConditionObject.
    unsafe {
        match held(slf) {
            Some(Held::Lock(_)) => lock::release(this(slf).lock, ptr::null_mut()),
            Some(Held::RLock(_)) => rlock::release(this(slf).lock, ptr::null_mut()),
            None => of_lock(slf, c"release", ptr::null(), 0, ptr::null_mut()),
        }
    }
}

unsafe extern "C-unwind" fn locked(slf: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a ConditionObject.
    unsafe {
        match held(slf) {
            Some(Held::Lock(lock)) => compat::bool_object(lock.is_locked()),
            Some(Held::RLock(lock)) => compat::bool_object(lock.is_locked()),
            None => of_lock(slf, c"locked", ptr::null(), 0, ptr::null_mut()),
        }
    }
}

unsafe extern "C-unwind" fn enter(slf: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a ConditionObject.
    unsafe {
        compat::note_use(slf);
        match held(slf) {
            Some(_) => acquire(slf, ptr::null(), 0, ptr::null_mut()),
            None => pure::call_no_args(slf, Kind::Condition, c"__enter__"),
        }
    }
}

unsafe extern "C-unwind" fn exit(
    slf: *mut PyObject,
    args: *const *mut PyObject,
    nargs: Py_ssize_t,
) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a ConditionObject.
    unsafe {
        match held(slf) {
            Some(_) if nargs == 3 => release(slf, ptr::null_mut()),
            _ => pure::call(slf, Kind::Condition, c"__exit__", args, nargs, ptr::null_mut()),
        }
    }
}

unsafe extern "C-unwind" fn wait(
    slf: *mut PyObject,
    args: *const *mut PyObject,
    nargs: Py_ssize_t,
    kwnames: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a ConditionObject that it keeps alive.
    unsafe {
        let bound = arguments::bind(args, nargs, kwnames, [c"timeout"]);
        let (Some([seconds]), Some(held)) = (bound, held(slf)) else {
            return pure::call(slf, Kind::Condition, c"wait", args, nargs, kwnames);
        };
        if check_owned(held, c"cannot wait on un-acquired lock").is_err() {
            return ptr::null_mut();
        }
        let waited = arguments::timeout(seconds).and_then(|timeout| {
            wait_until(slf, held, blocking::deadline(timeout), timeout == Timeout::Zero)
        });
        match waited {
            Ok(waited) => compat::bool_object(waited == Waited::Got),
            Err(Raised) => ptr::null_mut(),
        }
    }
}

unsafe fn check_owned(held: Held<'_>, message: &CStr) -> Result<(), Raised> {
    if !held.is_owned() {
        // SAFETY: attached, as every caller promises.
        unsafe { object::runtime_error(message) };
        return Err(Raised);
    }
    Ok(())
}

/// Releases the lock, waits to be notified, and takes the lock back, whatever happens.
///
/// # Safety
/// Attached; the caller keeps the object alive.
unsafe fn wait_until(
    slf: *mut PyObject,
    held: Held<'_>,
    deadline: Deadline,
    is_poll: bool,
) -> Result<Waited, Raised> {
    // SAFETY: as the caller promises. The waiter leaves the queue before it is freed, and before
    // the lock is asked for again.
    unsafe {
        let condition = &this(slf).condition;
        if !is_poll {
            blocking::refuse_at_shutdown()?;
        }
        let waiter = NewWaiter::allocate()?;
        condition.enqueue(waiter.get(), false);
        let Ok(saved) = held.release_all() else {
            condition.forgo(waiter.get());
            waiter.free();
            object::runtime_error(c"cannot release un-acquired lock");
            return Err(Raised);
        };
        let waited = if !is_poll {
            blocking::wait_queued(&waiter, condition, deadline, Signals::Handle)
        } else if condition.cancel(waiter.get()) {
            Ok(Waited::Got)
        } else {
            Ok(Waited::TimedOut)
        };
        waiter.free();
        if waited.is_ok() {
            return held.restore(saved).and(waited);
        }
        // The exception of a signal handler waits until we have the lock.
        let pending = compat::take_exception();
        if held.restore(saved).is_ok() {
            compat::restore_exception(pending);
        } else {
            compat::forget_exception(pending);
        }
        Err(Raised)
    }
}

unsafe extern "C-unwind" fn wait_for(
    slf: *mut PyObject,
    args: *const *mut PyObject,
    nargs: Py_ssize_t,
    kwnames: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a ConditionObject that it keeps alive.
    unsafe {
        let bound = arguments::bind(args, nargs, kwnames, [c"predicate", c"timeout"]);
        match (bound, held(slf)) {
            // A derived class may have a wait() of its own.
            (Some([predicate, seconds]), Some(held))
                if !predicate.is_null()
                    && arguments::is_plain_timeout(seconds)
                    && ffi::Py_TYPE(slf) == type_of(slf) =>
            {
                wait_for_predicate(slf, held, predicate, seconds)
            }
            _ => pure::call(slf, Kind::Condition, c"wait_for", args, nargs, kwnames),
        }
    }
}

/// # Safety
/// As `wait_for`.
unsafe fn wait_for_predicate(
    slf: *mut PyObject,
    held: Held<'_>,
    predicate: *mut PyObject,
    seconds: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: as the caller promises; the result of the last call is given to the caller.
    unsafe {
        let mut deadline: Option<Deadline> = None;
        loop {
            let result = object::call_no_args(predicate);
            if result.is_null() {
                return result;
            }
            let truth = ffi::PyObject_IsTrue(result);
            if truth != 0 {
                if truth < 0 {
                    drop_ref(result);
                    return ptr::null_mut();
                }
                return result;
            }
            // The clock starts after the first look, and the first wait is made in any case.
            let (until, expired, is_poll) = match deadline {
                Some(until) => (until, until.is_some_and(|at| at <= Instant::now()), false),
                None => match arguments::timeout(seconds) {
                    Ok(timeout) => (blocking::deadline(timeout), false, timeout == Timeout::Zero),
                    Err(Raised) => {
                        drop_ref(result);
                        return ptr::null_mut();
                    }
                },
            };
            deadline = Some(until);
            if expired {
                return result;
            }
            drop_ref(result);
            if check_owned(held, c"cannot wait on un-acquired lock").is_err()
                || wait_until(slf, held, until, is_poll).is_err()
            {
                return ptr::null_mut();
            }
        }
    }
}

unsafe extern "C-unwind" fn notify(
    slf: *mut PyObject,
    args: *const *mut PyObject,
    nargs: Py_ssize_t,
    kwnames: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a ConditionObject.
    unsafe {
        let bound = arguments::bind(args, nargs, kwnames, [c"n"]);
        let (Some([count]), Some(held)) = (bound, held(slf)) else {
            return pure::call(slf, Kind::Condition, c"notify", args, nargs, kwnames);
        };
        if check_owned(held, c"cannot notify on un-acquired lock").is_err() {
            return ptr::null_mut();
        }
        match how_many(&this(slf).condition, count) {
            Ok(count) => this(slf).condition.notify(count),
            Err(Raised) => return ptr::null_mut(),
        }
    }
    compat::none()
}

/// The argument of `notify`: any number, looked at only if somebody waits.
unsafe fn how_many(condition: &Condition, count: *mut PyObject) -> Result<usize, Raised> {
    if count.is_null() {
        return Ok(1);
    }
    let waiters = condition.waiters();
    if waiters == 0 {
        return Ok(0);
    }
    // SAFETY: attached, as every caller promises; a valid object.
    unsafe {
        if ffi::PyLong_Check(count) != 0 {
            // Too large for a machine number is as good as the largest, or the smallest.
            let count = ffi::PyNumber_AsSsize_t(count, ptr::null_mut());
            return Ok(usize::try_from(count).unwrap_or(0));
        }
        let mut less = 0;
        while less < waiters {
            let number = ffi::PyLong_FromSize_t(less);
            let more = ffi::PyObject_RichCompareBool(count, number, ffi::Py_GT);
            drop_ref(number);
            match more {
                0 => break,
                1 => less += 1,
                _ => return Err(Raised),
            }
        }
        Ok(less)
    }
}

unsafe extern "C-unwind" fn notify_all(slf: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a ConditionObject.
    unsafe {
        let Some(held) = held(slf) else {
            return pure::call_no_args(slf, Kind::Condition, c"notify_all");
        };
        if check_owned(held, c"cannot notify on un-acquired lock").is_err() {
            return ptr::null_mut();
        }
        this(slf).condition.notify(usize::MAX);
    }
    compat::none()
}

/// Warns that it is deprecated.
unsafe extern "C-unwind" fn notify_all_old(slf: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a ConditionObject.
    unsafe { pure::call_no_args(slf, Kind::Condition, c"notifyAll") }
}

unsafe extern "C-unwind" fn is_owned(slf: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a ConditionObject.
    unsafe {
        match held(slf) {
            Some(held) => compat::bool_object(held.is_owned()),
            None => pure::call_no_args(slf, Kind::Condition, c"_is_owned"),
        }
    }
}

unsafe extern "C-unwind" fn release_save(slf: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a ConditionObject.
    unsafe {
        match held(slf) {
            Some(Held::Lock(_)) => release(slf, ptr::null_mut()),
            Some(Held::RLock(_)) => rlock::release_save(this(slf).lock, ptr::null_mut()),
            None => pure::call_no_args(slf, Kind::Condition, c"_release_save"),
        }
    }
}

unsafe extern "C-unwind" fn acquire_restore(
    slf: *mut PyObject,
    state: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a ConditionObject that it keeps alive.
    unsafe {
        match held(slf) {
            Some(Held::Lock(_)) => {
                let acquired = acquire(slf, ptr::null(), 0, ptr::null_mut());
                if acquired.is_null() {
                    return acquired;
                }
                drop_ref(acquired);
                compat::none()
            }
            Some(Held::RLock(_)) => of_lock(slf, c"_acquire_restore", &state, 1, ptr::null_mut()),
            None => {
                let null = ptr::null_mut();
                pure::call(slf, Kind::Condition, c"_acquire_restore", &state, 1, null)
            }
        }
    }
}

/// For the child of a fork: nobody waits any more, and the lock is free.
unsafe extern "C-unwind" fn at_fork_reinit(slf: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by CPython with a ConditionObject, in a process with one thread.
    unsafe {
        let own = &raw mut (*slf.cast::<ConditionObject>()).condition;
        match held(slf) {
            Some(Held::Lock(_)) => {
                own.write(Condition::new());
                lock::at_fork_reinit(this(slf).lock, ptr::null_mut())
            }
            Some(Held::RLock(_)) => {
                own.write(Condition::new());
                rlock::at_fork_reinit(this(slf).lock, ptr::null_mut())
            }
            None => pure::call_no_args(slf, Kind::Condition, c"_at_fork_reinit"),
        }
    }
}

unsafe extern "C-unwind" fn get_lock(slf: *mut PyObject, name: *mut c_void) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a ConditionObject.
    unsafe {
        if ConditionObject::is_open(slf) {
            return open::get::<ConditionObject>(slf, name);
        }
        ffi::Py_INCREF(this(slf).lock);
        this(slf).lock
    }
}

/// As many as there are, for those who ask for the length; there is nothing to be seen of them.
unsafe extern "C-unwind" fn get_waiters(slf: *mut PyObject, name: *mut c_void) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a ConditionObject; the tuple is filled before
    // anybody has it.
    unsafe {
        if ConditionObject::is_open(slf) {
            return open::get::<ConditionObject>(slf, name);
        }
        let count = this(slf).condition.waiters() as Py_ssize_t;
        let waiters = ffi::PyTuple_New(count);
        if !waiters.is_null() {
            for index in 0..count {
                ffi::PyTuple_SET_ITEM(waiters, index, compat::none());
            }
        }
        waiters
    }
}
