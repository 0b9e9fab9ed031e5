//! How a native object becomes the Python object that it stands for.
//!
//! That happens when a program reaches for a part that a native object does not have, such as the
//! condition inside an event or the dict with everything, when it replaces a method of the object, or
//! calls `__init__` again.
//!
//! 1. The parts are made, by the Python class's own `__init__`: conditions, locks, and for each thread
//!    that waits a lock in the `_waiters` of its condition, as the thread itself would have put there
//!    (see [`ticket`](crate::threading::ticket)). Any Python code may run meanwhile.
//! 2. One thread begins the change ([`Head::begin_change`]). From here on it runs no Python code.
//! 3. The primitive is *retired*, under its own guard: that fixes the last state, and hands each
//!    waiter its lock. No thread uses the primitive after that.
//! 4. The parts and the last state are put into the dict, and the change ends.
//!
//! A thread that comes meanwhile finds the primitive retired, goes on to the Python function, and
//! waits for the end of the change as soon as it reads an attribute. So it sees all of the state or,
//! before, none of the change; and a notification finds the waiters in the order in which they came.

use core::cell::Cell;
use core::ffi::{CStr, c_int, c_void};
use core::ptr;

use pyo3_ffi::{self as ffi, Py_ssize_t, PyObject};

use crate::capi::call::PyObject_Call;
use crate::capi::compat;
use crate::capi::errors::{Raised, raise_no_attribute};
use crate::capi::refs::drop_ref;
use crate::capi::types::Property;
use crate::runtime::natives::Kind;
use crate::runtime::state::State;
use crate::sync::Ticket;
use crate::threading::head::{Head, Phase};
use crate::threading::python_class;

/// The most conditions that a class has.
pub const CONDITIONS: usize = 3;

/// A number for each condition: waiters, or tickets used.
pub type Counts = [usize; CONDITIONS];

/// How retiring went.
pub enum Retirement {
    /// So many tickets of each condition belong to waiters now.
    Done(Counts),
    /// So many are needed; nothing has changed.
    Need(Counts),
}

/// The values of the attributes that hold the last state, in the order of [`Materialize::STATE`]:
/// new references. Null for one that could not be made, with an exception, or that is not needed.
pub type Values = [*mut PyObject; 3];

/// A native class.
pub trait Materialize {
    /// The attributes that hold the state.
    const STATE: &'static [&'static CStr];

    /// What the Python side makes of an object like this one: a new tuple, see `rthread._native`.
    ///
    /// # Safety
    /// Attached; `slf` is an object of the class.
    unsafe fn parts(slf: *mut PyObject, state: *const State, tickets: Counts) -> *mut PyObject;

    /// Ends the primitive inside. Runs no Python code.
    ///
    /// # Safety
    /// As [`Materialize::parts`]; `dict` holds the parts; this thread is changing the object.
    unsafe fn retire(
        slf: *mut PyObject,
        dict: *mut PyObject,
        tickets: [&[Ticket]; CONDITIONS],
        values: &mut Values,
    ) -> Retirement;
}

thread_local! {
    /// The object that this thread is changing.
    static CHANGING: Cell<*mut PyObject> = const { Cell::new(ptr::null_mut()) };
}

/// The phase of an object, once no other thread is changing it.
unsafe fn phase(slf: *mut PyObject) -> Phase {
    // SAFETY: attached and a native object, as every caller promises.
    unsafe {
        let head = Head::of(slf);
        match head.phase() {
            // Strange keys in its dict have code of their own.
            Phase::Changing if CHANGING.get() == slf => Phase::Python,
            Phase::Changing => head.settled_phase(),
            phase => phase,
        }
    }
}

/// Makes the object a Python one, if it is not.
///
/// # Safety
/// Attached; `slf` is an object of the class.
pub unsafe fn materialize<T: Materialize>(slf: *mut PyObject) -> Result<(), Raised> {
    // SAFETY: as the caller promises; new references are given back.
    unsafe {
        if phase(slf) != Phase::Native {
            return Ok(());
        }
        let state = State::of_type(ffi::Py_TYPE(slf))?;
        let dict = dict(slf)?;
        let mut tickets = [0; CONDITIONS];
        let done = loop {
            let parts = T::parts(slf, state, tickets);
            let Ok(parts) = Parts::of(parts) else { break Err(Raised) };
            let change = change_with::<T>(slf, dict, &parts);
            parts.end();
            match change {
                Ok(None) => break Ok(()),
                Ok(Some(needed)) => tickets = needed,
                Err(Raised) => break Err(Raised),
            }
        };
        drop_ref(dict);
        done
    }
}

/// Changes the object. The number of tickets that are needed, if they are not enough.
///
/// # Safety
/// As [`materialize`]; the dict is the object's.
unsafe fn change_with<T: Materialize>(
    slf: *mut PyObject,
    dict: *mut PyObject,
    parts: &Parts,
) -> Result<Option<Counts>, Raised> {
    // SAFETY: as the caller promises.
    unsafe {
        let mut keys = [ptr::null_mut(); 3];
        for (key, name) in keys.iter_mut().zip(T::STATE) {
            *key = ffi::PyUnicode_InternFromString(name.as_ptr());
            if key.is_null() {
                keys.into_iter().for_each(|key| drop_ref(key));
                return Err(Raised);
            }
        }
        let head = Head::of(slf);
        while !head.begin_change(Phase::Native) {
            if phase(slf) == Phase::Python {
                // Another thread was first.
                keys.into_iter().for_each(|key| drop_ref(key));
                return Ok(None);
            }
        }
        let outer = CHANGING.replace(slf);
        let (end, result) = change::<T>(slf, dict, parts, keys);
        head.end_change(end);
        CHANGING.set(outer);
        keys.into_iter().for_each(|key| drop_ref(key));
        result
    }
}

/// # Safety
/// As [`change_with`], and this thread is changing the object.
unsafe fn change<T: Materialize>(
    slf: *mut PyObject,
    dict: *mut PyObject,
    parts: &Parts,
    keys: [*mut PyObject; 3],
) -> (Phase, Result<Option<Counts>, Raised>) {
    // SAFETY: as the caller promises. A waiter owns the ticket that it gets; the others are given
    // back.
    unsafe {
        // First, because it may find no memory: up to here nothing has happened. The attributes that
        // the object has already come after the parts, as if `__init__` had set these.
        if ffi::PyDict_Update(parts.dict, dict) < 0
            || ffi::PyObject_GenericSetDict(slf, parts.dict, ptr::null_mut()) < 0
        {
            return (Phase::Native, Err(Raised));
        }
        let former = dict;
        let dict = parts.dict;
        let mut values = [ptr::null_mut(); 3];
        let tickets = [0, 1, 2].map(|index| parts.tickets(index));
        for ticket in tickets.iter().copied().flatten() {
            ffi::Py_INCREF(ticket.as_ptr().cast());
        }
        let retirement = T::retire(slf, dict, tickets, &mut values);
        let (used, needed) = match retirement {
            Retirement::Done(used) => (used, None),
            Retirement::Need(needed) => ([0; CONDITIONS], Some(needed)),
        };
        for (index, &used) in used.iter().enumerate() {
            for ticket in &tickets[index][used..] {
                ffi::Py_DECREF(ticket.as_ptr().cast());
                if needed.is_none() {
                    parts.forget_last(index);
                }
            }
        }
        if needed.is_some() {
            // What is set before the next attempt has to be found by that.
            let put_back = ffi::PyObject_GenericSetDict(slf, former, ptr::null_mut());
            return (Phase::Native, if put_back < 0 { Err(Raised) } else { Ok(needed) });
        }
        let mut result = Ok(None);
        for (index, _) in T::STATE.iter().enumerate() {
            let stored = if values[index].is_null() {
                ffi::PyErr_Occurred().is_null()
            } else {
                ffi::PyDict_SetItem(dict, keys[index], values[index]) == 0
            };
            drop_ref(values[index]);
            if !stored {
                result = Err(Raised);
            }
        }
        (Phase::Python, result)
    }
}

/// What `rthread._native` has made of an object: a tuple of a dict, and for each condition a tuple of
/// the deque of its waiters and a tuple of tickets.
struct Parts {
    made: *mut PyObject,
    dict: *mut PyObject,
}

impl Parts {
    /// Takes the reference, which may be null if making it raised.
    unsafe fn of(made: *mut PyObject) -> Result<Parts, Raised> {
        if made.is_null() {
            return Err(Raised);
        }
        // SAFETY: attached; our own Python code makes them so.
        Ok(Parts { made, dict: unsafe { ffi::PyTuple_GET_ITEM(made, 0) } })
    }

    unsafe fn condition(&self, index: usize) -> *mut PyObject {
        let place = index as Py_ssize_t + 1;
        // SAFETY: as in `of`.
        unsafe {
            if place < ffi::PyTuple_GET_SIZE(self.made) {
                ffi::PyTuple_GET_ITEM(self.made, place)
            } else {
                ptr::null_mut()
            }
        }
    }

    unsafe fn tickets(&self, index: usize) -> &[Ticket] {
        // SAFETY: as in `of`; a tuple's items are an array of pointers that are not null, and live
        // as long as it.
        unsafe {
            let condition = self.condition(index);
            if condition.is_null() {
                return &[];
            }
            let tickets = ffi::PyTuple_GET_ITEM(condition, 1);
            let count = ffi::PyTuple_GET_SIZE(tickets) as usize;
            let items = (&raw const (*tickets.cast::<ffi::PyTupleObject>()).ob_item);
            core::slice::from_raw_parts(items.cast(), count)
        }
    }

    /// Takes the lock of a ticket that no waiter got out of the deque.
    unsafe fn forget_last(&self, index: usize) {
        // SAFETY: as in `of`; the method of a deque runs no Python code, and its result is a lock
        // that the ticket still refers to.
        unsafe {
            let name = ffi::PyUnicode_InternFromString(c"pop".as_ptr());
            let deque = ffi::PyTuple_GET_ITEM(self.condition(index), 0);
            let popped = if name.is_null() {
                name
            } else {
                ffi::PyObject_VectorcallMethod(name, &deque, 1, ptr::null_mut())
            };
            if popped.is_null() {
                ffi::PyErr_Clear();
            }
            drop_ref(name);
            drop_ref(popped);
        }
    }

    unsafe fn end(self) {
        // SAFETY: attached; the reference is ours.
        unsafe { drop_ref(self.made) };
    }
}

/// Calls what makes the parts of objects of this kind: a new tuple. Takes the arguments, a tuple, or
/// null if making it raised.
///
/// # Safety
/// Attached; the state of the module.
pub unsafe fn make_parts(state: *const State, kind: Kind, args: *mut PyObject) -> *mut PyObject {
    // SAFETY: as the caller promises.
    unsafe {
        if args.is_null() {
            return args;
        }
        let recipe = (*state).natives.recipes[kind as usize];
        let made = PyObject_Call(recipe, args, ptr::null_mut());
        drop_ref(args);
        made
    }
}

/// The dict of an object that has one, as a new reference.
///
/// # Safety
/// Attached; a valid object.
pub unsafe fn dict(slf: *mut PyObject) -> Result<*mut PyObject, Raised> {
    // SAFETY: as the caller promises.
    let dict = unsafe { ffi::PyObject_GenericGetDict(slf, ptr::null_mut()) };
    if dict.is_null() { Err(Raised) } else { Ok(dict) }
}

/// Whether the dict of an object has one of these names: then it has been a Python object already.
///
/// # Safety
/// Attached; a native object with this dict or null.
pub unsafe fn has_parts(dict: *mut PyObject, names: &[&CStr]) -> Result<bool, Raised> {
    if dict.is_null() {
        return Ok(false);
    }
    // SAFETY: as the caller promises; kept alive while names with code of their own are compared.
    unsafe {
        ffi::Py_INCREF(dict);
        let mut found = Ok(false);
        for name in names {
            let key = ffi::PyUnicode_InternFromString(name.as_ptr());
            let there = if key.is_null() { -1 } else { ffi::PyDict_Contains(dict, key) };
            drop_ref(key);
            if there != 0 {
                found = if there < 0 { Err(Raised) } else { Ok(true) };
                break;
            }
        }
        drop_ref(dict);
        found
    }
}

/// `__dict__`, which shows what an object is made of: `vars()` and `copy.copy()` look there.
pub const fn dict_property<T: Materialize>() -> Property {
    Property { name: c"__dict__", get: get_dict::<T>, set: Some(set_dict::<T>), doc: None }
}

unsafe extern "C-unwind" fn get_dict<T: Materialize>(
    slf: *mut PyObject,
    _: *mut c_void,
) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with an object of the class.
    unsafe {
        if materialize::<T>(slf).is_err() {
            return ptr::null_mut();
        }
        ffi::PyObject_GenericGetDict(slf, ptr::null_mut())
    }
}

unsafe extern "C-unwind" fn set_dict<T: Materialize>(
    slf: *mut PyObject,
    value: *mut PyObject,
    _: *mut c_void,
) -> c_int {
    // SAFETY: called by CPython, attached, with an object of the class.
    unsafe {
        if materialize::<T>(slf).is_err() {
            return -1;
        }
        ffi::PyObject_GenericSetDict(slf, value, ptr::null_mut())
    }
}

/// An attribute that only a Python object has.
pub const fn part<T: Materialize>(name: &'static CStr) -> Property {
    Property { name, get: get::<T>, set: Some(set::<T>), doc: None }
}

/// A getter for an attribute that only a Python object has, and for those of a Python object. The
/// closure is the name.
///
/// # Safety
/// Called by CPython with an object of the class.
pub unsafe extern "C-unwind" fn get<T: Materialize>(
    slf: *mut PyObject,
    name: *mut c_void,
) -> *mut PyObject {
    // SAFETY: attached; the closure is the name of the property, for ever; new references are given
    // back.
    unsafe {
        if materialize::<T>(slf).is_err() {
            return ptr::null_mut();
        }
        let key = ffi::PyUnicode_InternFromString(CStr::from_ptr(name.cast()).as_ptr());
        if key.is_null() {
            return key;
        }
        let value = match dict(slf) {
            Ok(dict) => {
                let value = compat::dict_get(dict, key);
                drop_ref(dict);
                value
            }
            Err(Raised) => Err(Raised),
        };
        let value = match value {
            Ok(value) if value.is_null() => raise_no_attribute(slf, key),
            Ok(value) => value,
            Err(Raised) => ptr::null_mut(),
        };
        drop_ref(key);
        value
    }
}

/// A setter for an attribute that only a Python object has, and for those of a Python object.
///
/// # Safety
/// Called by CPython with an object of the class, a value or null, and the name.
pub unsafe extern "C-unwind" fn set<T: Materialize>(
    slf: *mut PyObject,
    value: *mut PyObject,
    name: *mut c_void,
) -> c_int {
    // SAFETY: attached; the closure is the name of the property, for ever; new references are given
    // back.
    unsafe {
        let name = CStr::from_ptr(name.cast());
        if materialize::<T>(slf).is_err() {
            return -1;
        }
        let Ok(dict) = dict(slf) else { return -1 };
        let mut done = if value.is_null() {
            ffi::PyDict_DelItemString(dict, name.as_ptr())
        } else {
            ffi::PyDict_SetItemString(dict, name.as_ptr(), value)
        };
        drop_ref(dict);
        if done < 0 && value.is_null() {
            ffi::PyErr_Clear();
            ffi::PyErr_SetString(ffi::PyExc_AttributeError, name.as_ptr());
            done = -1;
        }
        done
    }
}

/// `__setattr__`: an object of which a method is replaced becomes a Python one, where every method
/// finds it.
///
/// # Safety
/// Called by CPython with an object of the class and a tuple.
pub unsafe extern "C-unwind" fn set_attribute(
    slf: *mut PyObject,
    args: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: attached, as CPython promises; there are as many arguments.
    unsafe {
        if ffi::PyTuple_GET_SIZE(args) != 2 {
            return refuse_arguments(c"__setattr__", slf, args);
        }
        change_attribute(slf, ffi::PyTuple_GET_ITEM(args, 0), ffi::PyTuple_GET_ITEM(args, 1))
    }
}

/// `__delattr__`.
///
/// # Safety
/// Called by CPython with an object of the class and a tuple.
pub unsafe extern "C-unwind" fn delete_attribute(
    slf: *mut PyObject,
    args: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: attached, as CPython promises; there are as many arguments.
    unsafe {
        if ffi::PyTuple_GET_SIZE(args) != 1 {
            return refuse_arguments(c"__delattr__", slf, args);
        }
        change_attribute(slf, ffi::PyTuple_GET_ITEM(args, 0), ptr::null_mut())
    }
}

/// Has the method of `object` raise, in the interpreter's words.
///
/// # Safety
/// Attached; an object, and a tuple of another number of arguments than the method takes.
#[cold]
unsafe fn refuse_arguments(name: &CStr, slf: *mut PyObject, args: *mut PyObject) -> *mut PyObject {
    // SAFETY: as the caller promises; new references are given back.
    unsafe {
        let method =
            ffi::PyObject_GetAttrString((&raw mut ffi::PyBaseObject_Type).cast(), name.as_ptr());
        let all = python_class::with_first(slf, args);
        let mut result = ptr::null_mut();
        if !method.is_null() && !all.is_null() {
            result = PyObject_Call(method, all, ptr::null_mut());
        }
        drop_ref(method);
        drop_ref(all);
        result
    }
}

/// # Safety
/// Attached; a native object, a name, and a value or null.
unsafe fn change_attribute(
    slf: *mut PyObject,
    name: *mut PyObject,
    value: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: as the caller promises.
    unsafe {
        if Head::of(slf).phase() != Phase::Python && ffi::PyUnicode_Check(name) != 0 {
            let found = compat::type_of_class_attribute(ffi::Py_TYPE(slf), name);
            let is_data = found.is_null() || (*found).tp_descr_set.is_some();
            if !is_data {
                // Asking for the dict makes it one, whichever class it is of.
                let dict = ffi::PyObject_GetAttrString(slf, c"__dict__".as_ptr());
                if dict.is_null() {
                    return ptr::null_mut();
                }
                drop_ref(dict);
            }
        }
        if compat::PyObject_GenericSetAttr(slf, name, value) < 0 {
            return ptr::null_mut();
        }
    }
    compat::none()
}
