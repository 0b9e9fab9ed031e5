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
use core::sync::atomic::Ordering;

use pyo3_ffi::PyObject;

use crate::capi::entry::{IntoResult, This, entry, into_status};
use crate::capi::errors::Raised;
use crate::capi::object::{
    Answer, Attached, Borrowed, Class, Dict, Exception, Owned, Tuple, release,
};
use crate::capi::types::{Call, Property};
use crate::runtime::natives::{Kind, gone};
use crate::runtime::state::State;
use crate::sync::Ticket;
use crate::threading::head::{Head, Headed, Phase};

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

/// The largest number of attributes that hold the last state.
const STATES: usize = 3;

/// The values of the attributes that hold the last state, in the order of [`Materialize::STATE`]. A
/// value is None if it could not be made, with an exception set, or if it is not needed.
pub type Values = [Option<Owned>; STATES];

/// A native class with objects that can be materialized.
pub trait Materialize: Headed + Sized {
    /// The names of the attributes that hold the state.
    const STATE: &'static [&'static CStr];

    /// Lets the Python side make the attributes of an object like this one. Returns a tuple, see
    /// `rthread._native`.
    fn parts(py: Attached<'_>, this: This<'_, Self>, state: &State, tickets: Counts) -> Answer;

    /// Retires the primitive of the object, which this thread is changing. Runs no Python code.
    /// `dict` holds the attributes.
    fn retire(
        py: Attached<'_>,
        this: This<'_, Self>,
        dict: Dict<'_>,
        tickets: [&[Ticket]; CONDITIONS],
        values: &mut Values,
    ) -> Retirement;
}

thread_local! {
    /// The address of the object that this thread is changing.
    static CHANGING: Cell<*mut PyObject> = const { Cell::new(ptr::null_mut()) };
}

/// Returns the phase of an object. Waits while another thread is changing it.
fn phase(py: Attached<'_>, this: This<'_, Head>) -> Phase {
    match this.phase() {
        // This thread is changing the object. It can get here all the same: a key in the dict may
        // be of a type that has code of its own.
        Phase::Changing if CHANGING.get() == this.object().as_ptr() => Phase::Python,
        Phase::Changing => this.settled_phase(py),
        phase => phase,
    }
}

/// Materializes the object, unless the Python class serves it already.
pub fn materialize<T: Materialize>(py: Attached<'_>, this: This<'_, T>) -> Result<(), Raised> {
    if phase(py, this.as_native()) != Phase::Native {
        return Ok(());
    }
    let state = State::of_object(py, this.object())?;
    let dict = OwnDict::of(py, this.object())?;
    let mut tickets = [0; CONDITIONS];
    let done = loop {
        let Ok(parts) = T::parts(py, this, state, tickets) else { break Err(Raised) };
        let change = change_with(py, this, dict.get(), &Parts(parts.borrow()));
        parts.release(py);
        match change {
            Ok(None) => break Ok(()),
            Ok(Some(needed)) => tickets = needed,
            Err(Raised) => break Err(Raised),
        }
    };
    dict.release(py);
    done
}

/// The names of the attributes that hold the last state.
type Keys = [Option<Owned>; STATES];

/// Changes the object, which has this dict. Returns the number of tickets that are needed, if there
/// are not enough.
fn change_with<T: Materialize>(
    py: Attached<'_>,
    this: This<'_, T>,
    dict: Dict<'_>,
    parts: &Parts<'_>,
) -> Result<Option<Counts>, Raised> {
    let mut keys: Keys = [const { None }; STATES];
    let result = match make_keys(py, T::STATE, &mut keys) {
        Ok(()) => change_named(py, this, dict, parts, &keys),
        Err(Raised) => Err(Raised),
    };
    for key in &mut keys {
        release(key.take(), py);
    }
    result
}

fn make_keys(py: Attached<'_>, names: &[&CStr], keys: &mut Keys) -> Result<(), Raised> {
    for (key, name) in keys.iter_mut().zip(names) {
        *key = Some(py.name(name)?);
    }
    Ok(())
}

fn change_named<T: Materialize>(
    py: Attached<'_>,
    this: This<'_, T>,
    dict: Dict<'_>,
    parts: &Parts<'_>,
    keys: &Keys,
) -> Result<Option<Counts>, Raised> {
    while !this.head().begin_change(Phase::Native) {
        if phase(py, this.as_native()) == Phase::Python {
            // Another thread was first.
            return Ok(None);
        }
    }
    let outer = CHANGING.replace(this.object().as_ptr());
    let (end, result) = change(py, this, dict, parts, keys);
    this.head().end_change(end);
    CHANGING.set(outer);
    result
}

/// [`change_with`] for an object that this thread is changing.
fn change<T: Materialize>(
    py: Attached<'_>,
    this: This<'_, T>,
    former: Dict<'_>,
    parts: &Parts<'_>,
    keys: &Keys,
) -> (Phase, Result<Option<Counts>, Raised>) {
    let object = this.object();
    let dict = parts.dict();
    // This comes first, because it may find no memory, and nothing has changed up to here. The
    // attributes that the object has already come after the new ones, as if `__init__` had set the
    // new ones before.
    if dict.update(py, former).is_err() || object.set_own_dict(py, Some(dict.object())).is_err() {
        return (Phase::Native, Err(Raised));
    }
    let mut values: Values = [const { None }; STATES];
    let tickets = [0, 1, 2].map(|index| parts.tickets(index));
    // A waiter owns the ticket that it gets. The references to the others are dropped below.
    for ticket in tickets.iter().copied().flatten() {
        let _given = ticket.own(py).into_raw();
    }
    let retirement = T::retire(py, this, dict, tickets.map(as_tickets), &mut values);
    let (used, needed) = match retirement {
        Retirement::Done(used) => (used, None),
        Retirement::Need(needed) => ([0; CONDITIONS], Some(needed)),
    };
    for (index, &used) in used.iter().enumerate() {
        for ticket in &tickets[index][used..] {
            // SAFETY: the reference from above, which no waiter has got.
            unsafe { Owned::assume(ticket.as_ptr()) }.release(py);
            if needed.is_none() {
                parts.forget_last(py, index);
            }
        }
    }
    if needed.is_some() {
        // The next attempt reads the former dict. So an attribute that is set before that must go
        // into it.
        let put_back = object.set_own_dict(py, Some(former.object()));
        return (Phase::Native, put_back.map(|()| needed));
    }
    let mut result = Ok(None);
    for (value, key) in values.iter_mut().zip(keys).take(T::STATE.len()) {
        let stored = match (&*value, key) {
            (Some(value), Some(key)) => dict.set(py, key.borrow(), value.borrow()).is_ok(),
            _ => !py.error_is_set(),
        };
        release(value.take(), py);
        if !stored {
            result = Err(Raised);
        }
    }
    (Phase::Python, result)
}

/// Tickets as the primitives keep them: pointers to tuples.
fn as_tickets<'a>(tickets: &'a [Borrowed<'_>]) -> &'a [Ticket] {
    // SAFETY: both are pointers that are not null.
    unsafe { &*(ptr::from_ref(tickets) as *const [Ticket]) }
}

const _: () = assert!(size_of::<Ticket>() == size_of::<Borrowed<'_>>());

/// The attributes of an object, as `rthread._native` makes them: a tuple of a dict, and for each
/// condition a tuple of the deque of its waiters and a tuple of tickets.
struct Parts<'a>(Borrowed<'a>);

impl<'a> Parts<'a> {
    fn items(&self) -> &'a [Borrowed<'a>] {
        // SAFETY: our own Python code makes them so.
        unsafe { Tuple::assume(self.0) }.items()
    }

    fn dict(&self) -> Dict<'a> {
        // SAFETY: as above.
        unsafe { Dict::assume(self.items()[0]) }
    }

    /// The deque of the waiters of a condition, and the tickets.
    fn condition(&self, index: usize) -> Option<[Borrowed<'a>; 2]> {
        // SAFETY: as above.
        let condition = unsafe { Tuple::assume(*self.items().get(index + 1)?) };
        condition.items().try_into().ok()
    }

    fn tickets(&self, index: usize) -> &'a [Borrowed<'a>] {
        match self.condition(index) {
            // SAFETY: as above.
            Some([_, tickets]) => unsafe { Tuple::assume(tickets) }.items(),
            None => &[],
        }
    }

    /// Removes the last lock from the deque. No waiter has got its ticket.
    fn forget_last(&self, py: Attached<'_>, index: usize) {
        let Some([deque, _]) = self.condition(index) else { return };
        // The method of a deque runs no Python code, and its result is a lock that the ticket still
        // refers to.
        let popped = py.name(c"pop").and_then(|name| {
            let popped = Borrowed::call_method(py, name.borrow(), [deque]);
            name.release(py);
            popped
        });
        match popped {
            Ok(popped) => popped.release(py),
            Err(Raised) => py.clear_error(),
        }
    }
}

/// Calls the Python function that makes the attributes of an object of this kind. `args` is a
/// tuple.
pub fn make_parts(py: Attached<'_>, state: &State, kind: Kind, args: Answer) -> Answer {
    let args = args?;
    let recipe = state.natives.recipes[kind as usize].get();
    let made = match (recipe, Tuple::of(args.borrow())) {
        (Some(recipe), Some(args)) => recipe.call_with(py, args, None),
        (None, _) => Err(gone(py)),
        (_, None) => Err(py.raise(Exception::Type, c"the arguments are not a tuple")),
    };
    args.release(py);
    made
}

/// The dict of an object, with a reference to it.
struct OwnDict(Owned);

impl OwnDict {
    /// The dict of an object that has one. It is made if it does not exist yet.
    fn of(py: Attached<'_>, object: Borrowed<'_>) -> Result<OwnDict, Raised> {
        object.own_dict(py).map(OwnDict)
    }

    /// The dict of a native object, if it exists.
    fn existing(py: Attached<'_>, head: &Head) -> Option<OwnDict> {
        // SAFETY: the object has a reference to its dict.
        let dict = unsafe { Borrowed::assume_if_any(head.dict.load(Ordering::Acquire)) };
        dict.map(|dict| OwnDict(dict.own(py)))
    }

    fn get(&self) -> Dict<'_> {
        // SAFETY: an object has nothing else in the place of its dict.
        unsafe { Dict::assume(self.0.borrow()) }
    }

    fn release(self, py: Attached<'_>) {
        self.0.release(py);
    }
}

/// Whether the dict of an object has one of these names. If so, the Python class has initialised
/// the object, or the object has been materialized.
pub fn has_parts(py: Attached<'_>, head: &Head, names: &[&CStr]) -> Result<bool, Raised> {
    // The dict is kept alive while keys with code of their own are compared.
    let Some(dict) = OwnDict::existing(py, head) else { return Ok(false) };
    let found = has_one(py, dict.get(), names);
    dict.release(py);
    found
}

fn has_one(py: Attached<'_>, dict: Dict<'_>, names: &[&CStr]) -> Result<bool, Raised> {
    for name in names {
        let key = py.name(name)?;
        let found = dict.contains(py, key.borrow());
        key.release(py);
        if found? {
            return Ok(true);
        }
    }
    Ok(false)
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
    let (py, this) = unsafe { (Attached::assume(), This::<T>::assume(slf)) };
    materialize(py, this).and_then(|()| this.object().own_dict(py)).into_result()
}

unsafe extern "C-unwind" fn set_dict<T: Materialize>(
    slf: *mut PyObject,
    value: *mut PyObject,
    _: *mut c_void,
) -> c_int {
    // SAFETY: called by CPython, attached, with an object of the class, and a value or null.
    let (py, this, value) =
        unsafe { (Attached::assume(), This::<T>::assume(slf), Borrowed::assume_if_any(value)) };
    into_status(materialize(py, this).and_then(|()| this.object().set_own_dict(py, value)))
}

/// An attribute that only a materialized object has.
pub const fn part<T: Materialize>(name: &'static CStr) -> Property {
    Property { name, get: get_part::<T>, set: Some(set_part::<T>), doc: None }
}

unsafe extern "C-unwind" fn get_part<T: Materialize>(
    slf: *mut PyObject,
    name: *mut c_void,
) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with an object of the class. The closure is the name of
    // the property, for ever.
    let (py, this, name) =
        unsafe { (Attached::assume(), This::<T>::assume(slf), CStr::from_ptr(name.cast())) };
    get(py, this, name).into_result()
}

unsafe extern "C-unwind" fn set_part<T: Materialize>(
    slf: *mut PyObject,
    value: *mut PyObject,
    name: *mut c_void,
) -> c_int {
    // SAFETY: as in `get_part`, with a value or null.
    let (py, this, value, name) = unsafe {
        let (this, value) = (This::<T>::assume(slf), Borrowed::assume_if_any(value));
        (Attached::assume(), this, value, CStr::from_ptr(name.cast()))
    };
    into_status(set(py, this, value, name))
}

/// Materializes the object and then reads the attribute from its dict.
pub fn get<T: Materialize>(py: Attached<'_>, this: This<'_, T>, name: &CStr) -> Answer {
    materialize(py, this)?;
    let key = py.name(name)?;
    let value = get_from_dict(py, this.object(), key.borrow());
    key.release(py);
    value
}

fn get_from_dict(py: Attached<'_>, object: Borrowed<'_>, key: Borrowed<'_>) -> Answer {
    let dict = OwnDict::of(py, object)?;
    let value = dict.get().get(py, key);
    dict.release(py);
    value?.ok_or_else(|| py.no_attribute(object, key))
}

/// Materializes the object and then sets the attribute in its dict, or deletes it.
pub fn set<T: Materialize>(
    py: Attached<'_>,
    this: This<'_, T>,
    value: Option<Borrowed<'_>>,
    name: &CStr,
) -> Result<(), Raised> {
    materialize(py, this)?;
    let dict = OwnDict::of(py, this.object())?;
    let done = match value {
        Some(value) => dict.get().set_named(py, name, value),
        None => dict.get().remove_named(py, name),
    };
    dict.release(py);
    if done.is_err() && value.is_none() {
        py.clear_error();
        return Err(py.raise(Exception::Attribute, name));
    }
    done
}

/// `__setattr__`. An object is materialized when a program replaces one of its methods. Then every
/// method of the Python class finds the replacement.
pub const SET_ATTRIBUTE: Call = Call::VarArgs(entry!(var_args, set_attribute: Head));

fn set_attribute(py: Attached<'_>, this: This<'_, Head>, args: Tuple<'_>) -> Answer {
    match args.items() {
        &[name, value] => change_attribute(py, this, name, Some(value)),
        _ => refuse_arguments(py, c"__setattr__", this.object(), args),
    }
}

/// `__delattr__`.
pub const DELETE_ATTRIBUTE: Call = Call::VarArgs(entry!(var_args, delete_attribute: Head));

fn delete_attribute(py: Attached<'_>, this: This<'_, Head>, args: Tuple<'_>) -> Answer {
    match args.items() {
        &[name] => change_attribute(py, this, name, None),
        _ => refuse_arguments(py, c"__delattr__", this.object(), args),
    }
}

/// Calls the method of `object` with another number of arguments than it takes. It raises in the
/// interpreter's words.
#[cold]
fn refuse_arguments(
    py: Attached<'_>,
    name: &CStr,
    object: Borrowed<'_>,
    args: Tuple<'_>,
) -> Answer {
    let method = Class::base_object().object().attribute_named(py, name)?;
    let result = args.with_first(py, object).and_then(|all| {
        // SAFETY: a new tuple.
        let result = method.borrow().call_with(py, unsafe { Tuple::assume(all.borrow()) }, None);
        all.release(py);
        result
    });
    method.release(py);
    result
}

fn change_attribute(
    py: Attached<'_>,
    this: This<'_, Head>,
    name: Borrowed<'_>,
    value: Option<Borrowed<'_>>,
) -> Answer {
    let object = this.object();
    if this.phase() != Phase::Python && name.is_string() {
        let found = object.class().type_of_attribute(py, name);
        if !found.is_none_or(Class::is_data_descriptor) {
            // Reading `__dict__` materializes the object, whatever its class is.
            object.attribute_named(py, c"__dict__")?.release(py);
        }
    }
    object.set_generic_attribute(py, name, value)?;
    Ok(py.none())
}
