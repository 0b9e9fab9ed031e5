//! `threading.Condition`.
//!
//! A condition is native if its lock is one of rthread's own. With any other lock it stays in phase
//! `Python`: then the Python class does everything, with whatever methods the lock has.

use core::ffi::{CStr, c_int, c_void};
use core::mem::offset_of;
use core::ptr;

use pyo3_ffi::{self as ffi, Py_ssize_t, PyObject, PyTypeObject};

use crate::capi::call::call_method;
use crate::capi::compat;
use crate::capi::errors::Raised;
use crate::capi::refs::{self, drop_ref, visit_all};
use crate::capi::types::{self, Call, Collected, Doc, Function, Property};
use crate::runtime::natives::Kind;
use crate::runtime::state::State;
use crate::sync::{Condition, Retire, Ticket};
use crate::thread_module::{lock, rlock};
use crate::threading::class::{self, Making, NativeClass};
use crate::threading::condition::waiting::{notify, wait, wait_for};
use crate::threading::head::Head;
use crate::threading::materialize::{self, Counts, Materialize, Retirement, Values};
use crate::threading::method::{LEFT_TO_PYTHON, Native, OfObjects, native};

mod cond_lock;
mod waiting;

pub use crate::threading::condition::cond_lock::CondLock;

#[repr(C)]
struct ConditionObject {
    head: Head,
    condition: Condition,
    /// The lock, one of rthread's own. Null if the object has never been native.
    lock: *mut PyObject,
    /// The kind of the lock. Written before the object becomes native.
    over: Over,
    dict: *mut PyObject,
    weakrefs: *mut PyObject,
}

/// The kind of a native condition's lock.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Over {
    Lock = 0,
    RLock = 1,
}

const METHODS: &[Native] = &[
    native(c"__init__", Call::FastKeywords(class::init_method::<ConditionObject, 1>)),
    native(c"__enter__", Call::NoArgs(enter)),
    native(c"__exit__", Call::Fast(exit)),
    native(c"wait", Call::FastKeywords(wait)),
    native(c"wait_for", Call::FastKeywords(wait_for)),
    native(c"notify", Call::FastKeywords(notify)),
    native(c"notify_all", Call::NoArgs(notify_all)),
    native(c"notifyAll", class::PYTHON),
    native(c"_is_owned", Call::NoArgs(is_owned)),
    native(c"_release_save", Call::NoArgs(release_save)),
    native(c"_acquire_restore", Call::Object(acquire_restore)),
    native(c"_at_fork_reinit", Call::NoArgs(at_fork_reinit)),
    native(c"__repr__", class::PYTHON),
];

/// Attributes that a condition in phase `Python` takes from its lock.
const OF_LOCK: &[Function] = &[
    Function {
        name: c"acquire",
        call: Call::FastKeywords(acquire),
        doc: Doc::Own(c"Acquire the lock of the condition, with the lock's own arguments."),
    },
    Function {
        name: c"release",
        call: Call::NoArgs(release),
        doc: Doc::Own(c"release($self)\n--\n\nRelease the lock of the condition."),
    },
    Function {
        name: c"locked",
        call: Call::NoArgs(locked),
        doc: Doc::Own(c"locked($self)\n--\n\nWhether the lock of the condition is locked."),
    },
];

const PROPERTIES: &[Property] = &[
    Property {
        name: c"_lock",
        get: get_lock,
        set: Some(materialize::set::<ConditionObject>),
        doc: None,
    },
    materialize::part::<ConditionObject>(c"_waiters"),
    materialize::dict_property::<ConditionObject>(),
];

/// Makes the type. Returns a new reference.
///
/// # Safety
/// Attached.
pub unsafe fn make_type(making: &Making) -> Result<*mut PyTypeObject, Raised> {
    let builtin = if compat::CONDITION_HAS_LOCKED { OF_LOCK } else { &OF_LOCK[..2] };
    // SAFETY: the struct is described as it is.
    unsafe {
        class::Class {
            name: c"threading.Condition",
            short_name: c"Condition",
            kind: Kind::Condition,
            weakrefs: offset_of!(ConditionObject, weakrefs),
            dict: offset_of!(ConditionObject, dict),
            base: ptr::null_mut(),
            methods: METHODS,
            of_objects: Some(&FROM_LOCK),
            builtin,
            properties: PROPERTIES,
            init: class::init_slot::<ConditionObject, 1>,
            vectorcall: Some(class::vectorcall::<ConditionObject, 1>),
        }
        .make::<ConditionObject>(making)
    }
}

/// # Safety
/// `slf` is a ConditionObject, and outlives the result.
#[inline]
unsafe fn this<'a>(slf: *mut PyObject) -> &'a ConditionObject {
    // SAFETY: as the caller promises.
    unsafe { &*slf.cast::<ConditionObject>() }
}

/// Returns the lock.
///
/// # Safety
/// `slf` is a ConditionObject that is native, or was when the call began, and outlives the result.
#[inline]
unsafe fn lock_of<'a>(slf: *mut PyObject) -> CondLock<'a> {
    // SAFETY: as the caller promises; the fields are set before the object becomes native, and the
    // lock stays as long as the object.
    unsafe {
        let this = this(slf);
        match this.over {
            Over::Lock => CondLock::Lock(lock::of(this.lock)),
            Over::RLock => CondLock::RLock(rlock::of(this.lock)),
        }
    }
}

/// The attributes that a condition in phase `Python` takes from its lock, if the lock has them.
const FROM_LOCK: OfObjects = OfObjects {
    names: &[c"_is_owned", c"_release_save", c"_acquire_restore"],
    get: lock_attribute,
};

/// Returns the attribute that a condition with a re-entrant lock takes from the lock, in the place
/// of this function: a new reference.
///
/// # Safety
/// Attached; a native ConditionObject and a Python function.
unsafe fn lock_attribute(slf: *mut PyObject, function: *mut PyObject) -> *mut PyObject {
    // SAFETY: as the caller promises; the new reference is released.
    unsafe {
        if matches!(this(slf).over, Over::Lock) {
            return LEFT_TO_PYTHON;
        }
        let name = ffi::PyObject_GetAttrString(function, c"__name__".as_ptr());
        if name.is_null() {
            return name;
        }
        let found = compat::PyObject_GetAttr(this(slf).lock, name);
        drop_ref(name);
        found
    }
}

/// Takes the lock of a new condition that no other thread has, if it is a plain lock.
///
/// # Safety
/// Attached; a valid object or null.
pub unsafe fn hold_lock(condition: *mut PyObject) {
    // SAFETY: as the caller promises; only a condition of ours is looked into.
    unsafe {
        if condition.is_null() {
            return;
        }
        let Ok(state) = State::of_type(ffi::Py_TYPE(condition)) else {
            ffi::PyErr_Clear();
            return;
        };
        if ffi::Py_TYPE(condition) == (*state).natives.types[Kind::Condition as usize]
            && !this(condition).lock.is_null()
            && let CondLock::Lock(lock) = lock_of(condition)
        {
            // The lock is free: no other thread has it.
            let _taken = lock.try_acquire();
        }
    }
}

impl Materialize for ConditionObject {
    const STATE: &'static [&'static CStr] = &[];

    unsafe fn parts(slf: *mut PyObject, state: *const State, tickets: Counts) -> *mut PyObject {
        // SAFETY: as the caller promises; the format takes two objects and a number.
        unsafe {
            let args = ffi::Py_BuildValue(c"(OOn)".as_ptr(), slf, this(slf).lock, tickets[0]);
            materialize::make_parts(state, Kind::Condition, args)
        }
    }

    unsafe fn retire(
        slf: *mut PyObject,
        _: *mut PyObject,
        tickets: [&[Ticket]; materialize::CONDITIONS],
        _: &mut Values,
    ) -> Retirement {
        // SAFETY: as the caller promises.
        match unsafe { this(slf) }.condition.retire(tickets[0]) {
            Retire::Done { used, .. } => Retirement::Done([used, 0, 0]),
            Retire::NeedTickets(needed) => Retirement::Need([needed, 0, 0]),
            Retire::Already => Retirement::Done([0; materialize::CONDITIONS]),
        }
    }
}

impl NativeClass<1> for ConditionObject {
    const ARGUMENTS: [&'static CStr; 1] = [c"lock"];
    const PARTS: &'static [&'static CStr] = &[c"_lock", c"_waiters"];

    unsafe fn begin(slf: *mut PyObject, given: [*mut PyObject; 1]) -> Result<bool, Raised> {
        // SAFETY: as the caller promises: no other thread looks at the fields.
        unsafe {
            let [given] = given;
            let state = State::of_type(ffi::Py_TYPE(slf))?;
            if !this(slf).lock.is_null() {
                // The condition has been native before.
                return Ok(false);
            }
            let class = if given.is_null() { ptr::null_mut() } else { ffi::Py_TYPE(given) };
            let (over, lock) = if given.is_null() || given == ffi::Py_None() {
                (Over::RLock, types::allocate::<PyObject>((*state).rlock_type))
            } else if class == (*state).lock_type {
                (Over::Lock, given)
            } else if class == (*state).rlock_type {
                (Over::RLock, given)
            } else {
                return Ok(false);
            };
            if lock.is_null() {
                return Err(Raised);
            }
            if lock == given {
                ffi::Py_INCREF(lock);
            }
            let own = slf.cast::<ConditionObject>();
            (*own).lock = lock;
            (*own).over = over;
        }
        Ok(true)
    }

    unsafe fn dict(slf: *mut PyObject) -> *mut *mut PyObject {
        // SAFETY: as the caller promises.
        unsafe { &raw mut (*slf.cast::<ConditionObject>()).dict }
    }
}

impl Collected for ConditionObject {
    unsafe fn weakrefs(slf: *mut PyObject) -> *mut PyObject {
        // SAFETY: as the caller promises.
        unsafe { (*slf.cast::<ConditionObject>()).weakrefs }
    }

    unsafe fn visit(slf: *mut PyObject, visit: ffi::visitproc, arg: *mut c_void) -> c_int {
        // SAFETY: as the caller promises.
        unsafe { visit_all(&[this(slf).dict, this(slf).lock], visit, arg) }
    }

    unsafe fn clear(slf: *mut PyObject) {
        // SAFETY: as the caller promises.
        unsafe {
            refs::clear(&mut (*slf.cast::<ConditionObject>()).dict);
        }
    }

    /// The lock is not dropped in `clear`. It refers to no object, so it is in no reference cycle,
    /// and finalizers may still use it.
    unsafe fn end(slf: *mut PyObject) {
        // SAFETY: as the caller promises.
        unsafe {
            refs::clear(&mut (*slf.cast::<ConditionObject>()).lock);
        }
    }
}

/// Calls a method of the lock of a condition that is not native.
unsafe fn of_lock(
    slf: *mut PyObject,
    name: &CStr,
    args: *const *mut PyObject,
    nargs: Py_ssize_t,
    kwnames: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: as the callers promise; new references are released.
    unsafe {
        let lock = ffi::PyObject_GetAttrString(slf, c"_lock".as_ptr());
        if lock.is_null() {
            return ptr::null_mut();
        }
        let result = call_method(lock, name, args, nargs, kwnames);
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
        if !class::is_of_phase_native(slf) {
            return of_lock(slf, c"acquire", args, nargs, kwnames);
        }
        match this(slf).over {
            Over::Lock => lock::acquire(this(slf).lock, args, nargs, kwnames),
            Over::RLock => rlock::acquire(this(slf).lock, args, nargs, kwnames),
        }
    }
}

unsafe extern "C-unwind" fn release(slf: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a ConditionObject.
    unsafe {
        if !class::is_of_phase_native(slf) {
            return of_lock(slf, c"release", ptr::null(), 0, ptr::null_mut());
        }
        release_lock(slf)
    }
}

/// Releases the lock of a native condition.
unsafe fn release_lock(slf: *mut PyObject) -> *mut PyObject {
    // SAFETY: as in `release`.
    unsafe {
        match this(slf).over {
            Over::Lock => lock::release(this(slf).lock, ptr::null_mut()),
            Over::RLock => rlock::release(this(slf).lock, ptr::null_mut()),
        }
    }
}

unsafe extern "C-unwind" fn locked(slf: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a ConditionObject.
    unsafe {
        if !class::is_of_phase_native(slf) {
            return of_lock(slf, c"locked", ptr::null(), 0, ptr::null_mut());
        }
        compat::bool_object(match lock_of(slf) {
            CondLock::Lock(lock) => lock.is_locked(),
            CondLock::RLock(lock) => lock.is_locked(),
        })
    }
}

unsafe extern "C-unwind" fn enter(slf: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called, attached, with a native ConditionObject. `run_pending_at_entry` may have
    // materialized it, and then it may have another lock.
    unsafe {
        if compat::run_pending_at_entry().is_err() {
            return ptr::null_mut();
        }
        if !class::is_of_phase_native(slf) {
            return LEFT_TO_PYTHON;
        }
        match this(slf).over {
            Over::Lock => lock::acquire(this(slf).lock, ptr::null(), 0, ptr::null_mut()),
            Over::RLock => rlock::acquire(this(slf).lock, ptr::null(), 0, ptr::null_mut()),
        }
    }
}

unsafe extern "C-unwind" fn exit(
    slf: *mut PyObject,
    _: *const *mut PyObject,
    nargs: Py_ssize_t,
) -> *mut PyObject {
    // SAFETY: called, attached, with a native ConditionObject.
    unsafe { if nargs == 3 { release_lock(slf) } else { LEFT_TO_PYTHON } }
}

unsafe extern "C-unwind" fn notify_all(slf: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called, attached, with a native ConditionObject.
    unsafe {
        // A derived class may have a notify() of its own.
        if Head::of(slf).replaces_called() || !lock_of(slf).is_owned() {
            return LEFT_TO_PYTHON;
        }
        if this(slf).condition.notify(usize::MAX) { compat::none() } else { LEFT_TO_PYTHON }
    }
}

unsafe extern "C-unwind" fn is_owned(slf: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called, attached, with a native ConditionObject.
    compat::bool_object(unsafe { lock_of(slf) }.is_owned())
}

unsafe extern "C-unwind" fn release_save(slf: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called, attached, with a native ConditionObject.
    unsafe {
        match this(slf).over {
            Over::Lock => lock::release(this(slf).lock, ptr::null_mut()),
            Over::RLock => rlock::release_save(this(slf).lock, ptr::null_mut()),
        }
    }
}

unsafe extern "C-unwind" fn acquire_restore(
    slf: *mut PyObject,
    saved: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called, attached, with a native ConditionObject that the caller keeps alive.
    unsafe {
        match this(slf).over {
            Over::Lock => {
                let null = ptr::null_mut();
                let acquired = lock::acquire(this(slf).lock, ptr::null(), 0, null);
                if acquired.is_null() {
                    return acquired;
                }
                drop_ref(acquired);
                compat::none()
            }
            Over::RLock => {
                let (name, null) = (c"_acquire_restore", ptr::null_mut());
                call_method(this(slf).lock, name, &saved, 1, null)
            }
        }
    }
}

/// For the child of a fork: removes all waiters, and makes the lock free.
unsafe extern "C-unwind" fn at_fork_reinit(slf: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called with a native ConditionObject, in a process with one thread.
    unsafe {
        (&raw mut (*slf.cast::<ConditionObject>()).condition).write(Condition::new());
        match this(slf).over {
            Over::Lock => lock::at_fork_reinit(this(slf).lock, ptr::null_mut()),
            Over::RLock => rlock::at_fork_reinit(this(slf).lock, ptr::null_mut()),
        }
    }
}

unsafe extern "C-unwind" fn get_lock(slf: *mut PyObject, name: *mut c_void) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a ConditionObject.
    unsafe {
        if !class::is_of_phase_native(slf) {
            return materialize::get::<ConditionObject>(slf, name);
        }
        ffi::Py_INCREF(this(slf).lock);
        this(slf).lock
    }
}
