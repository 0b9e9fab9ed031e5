//! How a native object is materialized, that is, becomes the Python object that it stands for.
//!
//! This happens when a program uses an attribute that a native object does not have, such as the
//! condition inside an event or the dict of all attributes. It also happens when a program replaces
//! a method of the object, or calls `__init__` again.
//!
//! 1. The attributes are made by the Python class's own `__init__`: conditions and locks. For each
//!    thread that waits, a lock is put into the `_waiters` of its condition. The thread itself
//!    would have put one there (see [`ticket`](crate::threading::ticket)). Any Python code may run
//!    meanwhile.
//! 2. One thread begins the change ([`Head::begin_change`]). From here on it runs no Python code.
//!    The attributes become the dict of the object.
//! 3. The primitive is *retired* under its queue lock. That fixes the last state, and gives each
//!    waiter its ticket. No thread uses the primitive after that.
//! 4. The last state is put into the dict, and the change ends.
//!
//! A thread that uses the object during the change finds the primitive retired. It goes on to the
//! Python function, and waits for the end of the change as soon as it reads an attribute. So a
//! thread sees either nothing of the change or all of the state. And a notification finds the
//! waiters in the order in which they came.

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

/// The largest number of conditions of any class.
pub const CONDITIONS: usize = 3;

/// A number for each condition: of its waiters, or of the tickets used.
pub type Counts = [usize; CONDITIONS];

/// The result of [`Materialize::retire`].
pub enum Retirement {
    /// The primitive is retired. So many tickets of each condition belong to waiters now.
    Done(Counts),
    /// So many tickets are needed. Nothing has changed.
    Need(Counts),
}

/// The values of the attributes that hold the last state, as new references in the order of
/// [`Materialize::STATE`]. A value is null if it could not be made, with an exception set, or if it
/// is not needed.
pub type Values = [*mut PyObject; 3];

/// A native class with objects that can be materialized.
pub trait Materialize {
    /// The names of the attributes that hold the state.
    const STATE: &'static [&'static CStr];

    /// Lets the Python side make the attributes of an object like this one. Returns a new tuple,
    /// see `rthread._native`.
    ///
    /// # Safety
    /// Attached; `slf` is an object of the class.
    unsafe fn parts(slf: *mut PyObject, state: *const State, tickets: Counts) -> *mut PyObject;

    /// Retires the primitive of the object. Runs no Python code.
    ///
    /// # Safety
    /// As [`Materialize::parts`]; `dict` holds the attributes; this thread is changing the object.
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

/// Returns the phase of an object. Waits while another thread is changing it.
unsafe fn phase(slf: *mut PyObject) -> Phase {
    // SAFETY: attached and a native object, as every caller promises.
    unsafe {
        let head = Head::of(slf);
        match head.phase() {
            // This thread is changing the object. It can get here all the same: a key in the dict
            // may be of a type that has code of its own.
            Phase::Changing if CHANGING.get() == slf => Phase::Python,
            Phase::Changing => head.settled_phase(),
            phase => phase,
        }
    }
}

/// Materializes the object, unless the Python class serves it already.
///
/// # Safety
/// Attached; `slf` is an object of the class.
pub unsafe fn materialize<T: Materialize>(slf: *mut PyObject) -> Result<(), Raised> {
    // SAFETY: as the caller promises; new references are released.
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

/// Changes the object. Returns the number of tickets that are needed, if there are not enough.
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
    // SAFETY: as the caller promises. A waiter owns the ticket that it gets; the others are
    // released.
    unsafe {
        // This comes first, because it may find no memory, and nothing has changed up to here. The
        // attributes that the object has already come after the new ones, as if `__init__` had set
        // the new ones before.
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
            // The next attempt reads the former dict. So an attribute that is set before that must
            // go into it.
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

/// The attributes of an object, as `rthread._native` makes them. `made` is a tuple of a dict, and
/// for each condition a tuple of the deque of its waiters and a tuple of tickets.
struct Parts {
    made: *mut PyObject,
    dict: *mut PyObject,
}

impl Parts {
    /// Takes the reference to the tuple. It is null if making the tuple has raised.
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
        // SAFETY: as in `of`; the items of a tuple are an array of pointers that are not null, and
        // live as long as the tuple.
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

    /// Removes the last lock from the deque. No waiter has got its ticket.
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

/// Calls the Python function that makes the attributes of an object of this kind. Returns a new
/// tuple. Takes the reference to `args`, a tuple, or null if making it has raised.
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

/// Returns the dict of an object that has one, as a new reference.
///
/// # Safety
/// Attached; a valid object.
pub unsafe fn dict(slf: *mut PyObject) -> Result<*mut PyObject, Raised> {
    // SAFETY: as the caller promises.
    let dict = unsafe { ffi::PyObject_GenericGetDict(slf, ptr::null_mut()) };
    if dict.is_null() { Err(Raised) } else { Ok(dict) }
}

/// Whether the dict of an object has one of these names. If so, the Python class has initialised
/// the object, or the object has been materialized.
///
/// # Safety
/// Attached; a native object with this dict or null.
pub unsafe fn has_parts(dict: *mut PyObject, names: &[&CStr]) -> Result<bool, Raised> {
    if dict.is_null() {
        return Ok(false);
    }
    // SAFETY: as the caller promises. The dict is kept alive while keys with code of their own are
    // compared.
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

/// `__dict__`. Reading it materializes the object: `vars()` and `copy.copy()` look for attributes
/// there.
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

/// An attribute that only a materialized object has.
pub const fn part<T: Materialize>(name: &'static CStr) -> Property {
    Property { name, get: get::<T>, set: Some(set::<T>), doc: None }
}

/// A getter that materializes the object and then reads the attribute from its dict. The closure is
/// the name.
///
/// # Safety
/// Called by CPython with an object of the class.
pub unsafe extern "C-unwind" fn get<T: Materialize>(
    slf: *mut PyObject,
    name: *mut c_void,
) -> *mut PyObject {
    // SAFETY: attached; the closure is the name of the property, for ever; new references are
    // released.
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

/// A setter that materializes the object and then sets the attribute in its dict.
///
/// # Safety
/// Called by CPython with an object of the class, a value or null, and the name.
pub unsafe extern "C-unwind" fn set<T: Materialize>(
    slf: *mut PyObject,
    value: *mut PyObject,
    name: *mut c_void,
) -> c_int {
    // SAFETY: attached; the closure is the name of the property, for ever; new references are
    // released.
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

/// `__setattr__`. An object is materialized when a program replaces one of its methods. Then every
/// method of the Python class finds the replacement.
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

/// Calls the method of `object`, which raises in the interpreter's words.
///
/// # Safety
/// Attached; an object, and a tuple of another number of arguments than the method takes.
#[cold]
unsafe fn refuse_arguments(name: &CStr, slf: *mut PyObject, args: *mut PyObject) -> *mut PyObject {
    // SAFETY: as the caller promises; new references are released.
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
                // Reading `__dict__` materializes the object, whatever its class is.
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
