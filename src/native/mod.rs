//! The classes of `threading` and `queue` in Rust, in the place of those written in Python.
//!
//! A native object does what its Python counterpart does, and nothing else. Whatever it does not
//! do itself (an unusual argument, a warning, a repr) is left to the function of the Python class,
//! which is called with the native object. And when somebody reaches for a part that a native
//! object does not have, such as the condition inside an event, or derives a class that replaces
//! such a part, the object *opens*: from then on it is what the Python class makes of it, with
//! attributes in its dict, and the threads that wait for it go on waiting there (see `open`).

use core::ffi::CStr;
use core::ptr;

use pyo3_ffi::{self as ffi, PyObject, PyTypeObject};

use crate::compat::Raised;
use crate::module::State;
use crate::object::{self, raise};
use crate::sync::Event;

mod arguments;
mod barrier;
mod condition;
mod event;
mod heap;
mod items;
mod open;
mod priority;
mod pure;
mod queue;
mod queue_parts;
mod semaphore;
mod simple_queue;
mod transfer;

/// The classes, then the exceptions that go with them: places in the arrays of [`Natives`].
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Kind {
    Condition,
    Event,
    Semaphore,
    BoundedSemaphore,
    Barrier,
    Queue,
    LifoQueue,
    PriorityQueue,
    SimpleQueue,
    BrokenBarrierError,
    Empty,
    Full,
    ShutDown,
}

type Make = unsafe fn(&Making) -> Result<*mut PyTypeObject, Raised>;

/// What there is to make, and what else each takes: the base, what it opens to, what it raises.
/// That comes first, where it is made here.
const KINDS: &[(Kind, &CStr, Make, &[Kind])] = &[
    (Kind::Condition, c"Condition", condition::make_type, &[]),
    (Kind::Event, c"Event", event::make_type, &[Kind::Condition]),
    (Kind::Semaphore, c"Semaphore", semaphore::make_type, &[Kind::Condition]),
    (Kind::BoundedSemaphore, c"BoundedSemaphore", semaphore::make_bounded_type, &[Kind::Semaphore]),
    (Kind::Barrier, c"Barrier", barrier::make_type, &[Kind::Condition, Kind::BrokenBarrierError]),
    (
        Kind::Queue,
        c"Queue",
        queue::make_type,
        &[Kind::Condition, Kind::Empty, Kind::Full, Kind::ShutDown],
    ),
    (Kind::LifoQueue, c"LifoQueue", queue::make_lifo_type, &[Kind::Queue]),
    (Kind::PriorityQueue, c"PriorityQueue", queue::make_priority_type, &[Kind::Queue]),
    (Kind::SimpleQueue, c"SimpleQueue", simple_queue::make_type, &[Kind::Empty]),
];

/// Exceptions that are raised by native classes and made by others.
const EXCEPTIONS: &[(Kind, &CStr)] = &[
    (Kind::BrokenBarrierError, c"BrokenBarrierError"),
    (Kind::Empty, c"Empty"),
    (Kind::Full, c"Full"),
    (Kind::ShutDown, c"ShutDown"),
];

const COUNT: usize = KINDS.len() + EXCEPTIONS.len();

// Both tables are in the order of `Kind`, without gaps: their indexes are its values.
const _: () = {
    let mut index = 0;
    while index < COUNT {
        let kind =
            if index < KINDS.len() { KINDS[index].0 } else { EXCEPTIONS[index - KINDS.len()].0 };
        assert!(kind as usize == index);
        index += 1;
    }
};

/// The native types of one interpreter and the classes that they stand in for. References are
/// owned; null until they are made.
pub struct Natives {
    pub types: [*mut PyTypeObject; COUNT],
    pub pure: [*mut PyObject; COUNT],
}

impl Natives {
    pub const NONE: Natives =
        Natives { types: [ptr::null_mut(); COUNT], pure: [ptr::null_mut(); COUNT] };

    /// All references.
    pub fn objects(&mut self) -> impl Iterator<Item = &mut *mut PyObject> {
        let types = self.types.iter_mut().map(|class| {
            // SAFETY: every type is an object; a pointer to one is laid out like the other.
            unsafe { &mut *ptr::from_mut(class).cast::<*mut PyObject>() }
        });
        types.chain(&mut self.pure)
    }
}

/// What is inside of an event, if it is a native one; null if not. Valid as long as that is.
///
/// # Safety
/// Attached; a valid object, and this interpreter's module.
pub unsafe fn event_inside(module: *const State, object: *mut PyObject) -> *const Event {
    // SAFETY: as the caller promises; the type says what it is.
    unsafe {
        if ffi::Py_TYPE(object) == (*module).natives.types[Kind::Event as usize] {
            event::inside(object)
        } else {
            ptr::null()
        }
    }
}

/// What it takes to make a type.
pub struct Making {
    pub module: *mut PyObject,
    /// The docstrings of the Python class, as [`object::Like::Python`] wants them.
    pub docs: *mut PyObject,
}

/// `__make_native__(classes, docs)`: makes those native types that have a class of their name in
/// `classes`, a dict, and are not made yet. `docs` is a dict of dicts of docstrings. Returns a dict
/// of types.
///
/// # Safety
/// Called by CPython with the module and a tuple.
pub unsafe extern "C-unwind" fn make_native(
    module: *mut PyObject,
    args: *mut PyObject,
) -> *mut PyObject {
    let mut classes: *mut PyObject = ptr::null_mut();
    let mut docs: *mut PyObject = ptr::null_mut();
    // SAFETY: attached; the variables are what the format wants.
    unsafe {
        let dict = &raw mut ffi::PyDict_Type;
        if crate::compat::PyArg_ParseTuple(
            args,
            c"O!O!:__make_native__".as_ptr(),
            dict,
            &raw mut classes,
            dict,
            &raw mut docs,
        ) == 0
        {
            return ptr::null_mut();
        }
        let made = ffi::PyDict_New();
        if made.is_null() || fill(module, classes, docs, made).is_err() {
            object::drop_ref(made);
            return ptr::null_mut();
        }
        made
    }
}

/// The name of what has this place in the arrays.
fn name_at(index: usize) -> &'static CStr {
    KINDS.get(index).map_or_else(|| EXCEPTIONS[index - KINDS.len()].1, |kind| kind.1)
}

/// Raises unless all of `classes` are classes, the exceptions are exceptions, and what is to be
/// made of them has what it takes: a native object relies on that.
///
/// # Safety
/// Attached; both are dicts.
unsafe fn check(
    state: *const State,
    classes: *mut PyObject,
    docs: *mut PyObject,
) -> Result<(), Raised> {
    // SAFETY: as the caller promises.
    unsafe {
        for index in 0..COUNT {
            let class = ffi::PyDict_GetItemString(classes, name_at(index).as_ptr());
            if class.is_null() {
                continue;
            }
            let Some((_, name, _, needs)) = KINDS.get(index) else {
                if ffi::PyExceptionClass_Check(class) == 0 {
                    raise(ffi::PyExc_TypeError, c"not an exception class");
                    return Err(Raised);
                }
                continue;
            };
            let docs = ffi::PyDict_GetItemString(docs, name.as_ptr());
            if docs.is_null() || ffi::PyDict_Check(docs) == 0 {
                raise(ffi::PyExc_TypeError, c"docs must be a dict of dicts");
                return Err(Raised);
            }
            if ffi::PyType_Check(class) == 0 {
                raise(ffi::PyExc_TypeError, c"not a class");
                return Err(Raised);
            }
            for &need in *needs {
                let need = need as usize;
                let natives = &(*state).natives;
                let made = if need < KINDS.len() {
                    natives.types[need].cast()
                } else {
                    natives.pure[need]
                };
                let given = ffi::PyDict_GetItemString(classes, name_at(need).as_ptr());
                if given.is_null() && made.is_null() {
                    raise(ffi::PyExc_TypeError, c"a class that another one needs is missing");
                    return Err(Raised);
                }
            }
        }
    }
    Ok(())
}

unsafe fn fill(
    module: *mut PyObject,
    classes: *mut PyObject,
    docs: *mut PyObject,
    made: *mut PyObject,
) -> Result<(), Raised> {
    // SAFETY: as in `make_native`; what is stored in the state is owned by it.
    unsafe {
        let state = State::of(module).cast_mut();
        check(state, classes, docs)?;
        for index in 0..COUNT {
            let name = name_at(index);
            let class = ffi::PyDict_GetItemString(classes, name.as_ptr());
            if class.is_null() {
                continue;
            }
            if (*state).natives.pure[index].is_null() {
                ffi::Py_INCREF(class);
                (*state).natives.pure[index] = class;
            }
            let Some((_, _, make, _)) = KINDS.get(index) else { continue };
            if (*state).natives.types[index].is_null() {
                let docs = ffi::PyDict_GetItemString(docs, name.as_ptr());
                (*state).natives.types[index] = make(&Making { module, docs })?;
            }
            let class = (*state).natives.types[index].cast();
            if ffi::PyDict_SetItemString(made, name.as_ptr(), class) < 0 {
                return Err(Raised);
            }
        }
    }
    Ok(())
}
