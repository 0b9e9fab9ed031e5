//! `threading.Condition`.
//!
//! Native over rthread's own locks. Over any other lock the object is open from the start: then
//! the Python class does everything, with whatever methods the lock has.

use core::ffi::{CStr, c_int, c_void};
use core::mem::offset_of;
use core::ptr;
use core::sync::atomic::{AtomicU8, Ordering};

use pyo3_ffi::{self as ffi, Py_ssize_t, PyObject, PyTypeObject};

use super::open::{self, Openable};
use super::{Kind, Making, pure};
use crate::compat::{self, Raised};
use crate::module::State;
use crate::object::{self, Call, Collected, Doc, Function, Like, PLAIN, Property, Type, drop_ref};
use crate::sync::Condition;
use crate::{args, lock, rlock};

mod inner;
mod parts;
mod waiting;

pub use parts::{make_held, make_held_lock, make_over, release_held, release_held_lock};

use inner::Held;
use waiting::{check_owned, notify, wait, wait_for};

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
    Function {
        name: c"__reduce_ex__",
        call: Call::Object(reduce),
        doc: Doc::Own(
            c"__reduce_ex__($self, protocol, /)\n--\n\nLike the lock of the condition: not at all.",
        ),
    },
];

/// What a derived class may replace: the Python class calls these to handle the lock.
const HOOKS: [&CStr; 3] = [c"_is_owned", c"_release_save", c"_acquire_restore"];

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
            vectorcall: Some(vectorcall),
            slots: &[
                (ffi::Py_tp_new, new as *mut c_void),
                (ffi::Py_tp_init, init as *mut c_void),
                (ffi::Py_tp_dealloc, object::dealloc::<ConditionObject> as *mut c_void),
                (ffi::Py_tp_repr, repr as *mut c_void),
                (ffi::Py_tp_traverse, object::traverse::<ConditionObject> as *mut c_void),
                (ffi::Py_tp_clear, object::clear_all::<ConditionObject> as *mut c_void),
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

/// `Condition(…)`, for `Condition()` without detours.
unsafe extern "C-unwind" fn vectorcall(
    class: *mut PyObject,
    args: *const *mut PyObject,
    nargsf: Py_ssize_t,
    kwnames: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with the type; the highest bit of the number of arguments
    // is a flag. Nobody else has the new objects.
    unsafe {
        let nargs = nargsf & Py_ssize_t::MAX;
        let made = object::allocate::<ConditionObject>(class.cast());
        if made.is_null() {
            return ptr::null_mut();
        }
        let done = if nargs == 0 && kwnames.is_null() {
            State::of_type(class.cast()).is_ok_and(|state| {
                (*made).lock = object::allocate((*state).rlock_type);
                (*made).mode.store(Mode::OverRLock as u8, Ordering::Release);
                !(*made).lock.is_null()
            })
        } else {
            args::tuple_and_dict(ptr::null_mut(), args, nargs, kwnames).is_ok_and(
                |(positional, keywords)| {
                    let status = init(made.cast(), positional, keywords);
                    drop_ref(positional);
                    drop_ref(keywords);
                    status == 0
                },
            )
        };
        if done {
            return made.cast();
        }
        // Open again: what it would need its lock for is not to be done any more.
        (*made).mode.store(0, Ordering::Release);
        drop_ref(made.cast());
    }
    ptr::null_mut()
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
        let Ok(replaced) = pure::replaces(slf, Kind::Condition, &HOOKS) else { return -1 };
        if given.is_null() || !fresh || replaced {
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

impl Collected for ConditionObject {
    unsafe fn weakrefs(slf: *mut PyObject) -> *mut PyObject {
        // SAFETY: as the caller promises.
        unsafe { (*slf.cast::<ConditionObject>()).weakrefs }
    }

    unsafe fn visit(slf: *mut PyObject, visit: ffi::visitproc, arg: *mut c_void) -> c_int {
        // SAFETY: as the caller promises.
        unsafe { object::visit_all(&[this(slf).dict, this(slf).lock], visit, arg) }
    }

    unsafe fn clear(slf: *mut PyObject) {
        // SAFETY: as the caller promises.
        unsafe {
            object::clear(&mut (*slf.cast::<ConditionObject>()).dict);
        }
    }

    /// Not in `clear`: the lock refers to nothing, so it is in no cycle, and finalizers may still
    /// use it.
    unsafe fn end(slf: *mut PyObject) {
        // SAFETY: as the caller promises.
        unsafe {
            object::clear(&mut (*slf.cast::<ConditionObject>()).lock);
        }
    }
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
            Some(Held::Lock(lock)) if lock.try_acquire() => compat::bool_object(true),
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
            Some(Held::Lock(lock)) if nargs == 3 && lock.release().is_ok() => compat::none(),
            Some(_) if nargs == 3 => release(slf, ptr::null_mut()),
            _ => pure::call(slf, Kind::Condition, c"__exit__", args, nargs, ptr::null_mut()),
        }
    }
}

unsafe extern "C-unwind" fn notify_all(slf: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a ConditionObject.
    unsafe {
        // A derived class may have a notify() of its own.
        let held =
            if object::is_of_python_class::<ConditionObject>(slf) { None } else { held(slf) };
        let Some(held) = held else {
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

/// A condition cannot be pickled because its lock cannot, which says so in its own words. An open
/// one is like any other object.
unsafe extern "C-unwind" fn reduce(slf: *mut PyObject, protocol: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a ConditionObject; the method of `object` is given
    // the object itself.
    unsafe {
        let name = c"__reduce_ex__";
        if !ConditionObject::is_open(slf) {
            return of_lock(slf, name, &protocol, 1, ptr::null_mut());
        }
        let base = (&raw mut ffi::PyBaseObject_Type).cast();
        object::call_method(base, name, [slf, protocol].as_ptr(), 2, ptr::null_mut())
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
