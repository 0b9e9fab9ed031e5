//! The classes of `threading` and `queue` in Rust, in the place of those written in Python.
//!
//! A native object does what its Python counterpart does, and nothing else. A call that it does not
//! serve itself (an unusual argument, a warning, a repr) is left to the function of the Python class,
//! which is called with the native object (see `method`). And when a program reaches for a part that
//! a native object does not have, such as the condition inside an event, or replaces such a part in a
//! class or an object, the object is *materialized*: from then on it is what the Python class makes
//! of it, with attributes in its dict, and its waiters are waiters of that (see `materialize`).

use core::ffi::CStr;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicU32};

use pyo3_ffi::{self as ffi, PyObject, PyTypeObject};

use crate::compat::{self, Raised};
use crate::module::State;
use crate::object::{self, raise};
use crate::sync::Event;

use head::Fitnesses;
use lookups::{Lookups, Namespace};

mod arguments;
mod barrier;
mod class;
mod condition;
mod event;
mod head;
mod heap;
mod items;
mod lookups;
mod materialize;
mod method;
mod priority;
mod put_get;
mod python_class;
mod queue;
mod semaphore;
mod simple_queue;
mod ticket;

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
    pub python: [*mut PyObject; COUNT],
    /// The type of their methods.
    method_type: *mut PyTypeObject,
    /// `__init__` of the Python classes.
    inits: [*mut PyObject; COUNT],
    /// Dicts of the attributes that must be a native class's own, see [`head`].
    snapshots: [*mut PyObject; COUNT],
    /// What the class of conditions was made with, a dict.
    condition_dict: *mut PyObject,
    /// Its version when it was last found whole.
    condition_version: AtomicU32,
    /// What is known of classes derived from them.
    fitnesses: Fitnesses,
    /// Whether a program has changed the code of a Python function.
    altered: AtomicBool,
    /// Python functions that make the parts of objects, see [`materialize`].
    recipes: [*mut PyObject; COUNT],
    /// Python functions, by [`Helper`].
    helpers: [*mut PyObject; Helper::NAMES.len()],
    lookups: Lookups,
}

impl Natives {
    /// None made yet.
    pub const fn none() -> Natives {
        Natives {
            types: [ptr::null_mut(); COUNT],
            python: [ptr::null_mut(); COUNT],
            method_type: ptr::null_mut(),
            inits: [ptr::null_mut(); COUNT],
            snapshots: [ptr::null_mut(); COUNT],
            condition_dict: ptr::null_mut(),
            condition_version: AtomicU32::new(0),
            fitnesses: Fitnesses::new(),
            altered: AtomicBool::new(false),
            recipes: [ptr::null_mut(); COUNT],
            helpers: [ptr::null_mut(); Helper::NAMES.len()],
            lookups: Lookups::none(),
        }
    }

    /// All references.
    pub fn objects(&mut self) -> impl Iterator<Item = &mut *mut PyObject> {
        let types = self.types.iter_mut().chain([&mut self.method_type]).map(|class| {
            // SAFETY: every type is an object; a pointer to one is laid out like the other.
            unsafe { &mut *ptr::from_mut(class).cast::<*mut PyObject>() }
        });
        types
            .chain(&mut self.python)
            .chain(&mut self.inits)
            .chain(&mut self.snapshots)
            .chain(&mut self.recipes)
            .chain([&mut self.condition_dict])
            .chain(&mut self.helpers)
            .chain(self.lookups.objects())
    }

    /// Before the references are dropped.
    ///
    /// # Safety
    /// Attached, in the interpreter of the module.
    pub unsafe fn end(&mut self) {
        // SAFETY: as the caller promises.
        unsafe { self.lookups.end() };
    }
}

/// The primitive inside of an event, if it is a native one; null if not. Valid as long as that is.
///
/// # Safety
/// Attached; a valid object, and this interpreter's module.
pub unsafe fn event_inside(module: *const State, object: *mut PyObject) -> *const Event {
    // SAFETY: as the caller promises; the type says what it is.
    unsafe {
        if ffi::Py_TYPE(object) == (*module).natives.types[Kind::Event as usize]
            && class::is_of_phase_native(object)
        {
            event::inside(object)
        } else {
            ptr::null()
        }
    }
}

/// What is done in Python for native objects, in `rthread._native`.
#[derive(Clone, Copy)]
#[repr(usize)]
pub enum Helper {
    /// Goes on with a wait, see [`ticket`].
    Resume,
    /// Goes on with the wait of a condition, and takes its lock back.
    ResumeCondition,
    /// Nothing: on the way in the interpreter does what is pending, see [`ticket::run_pending`].
    Checkpoint,
    /// Goes on with the wait of a thread that a barrier has counted.
    RejoinBarrier,
    /// Ends such a wait.
    LeaveBarrier,
    /// Ends the turn of a barrier's last thread.
    EndTurn,
}

impl Helper {
    const NAMES: [&CStr; 6] = [
        c"resume",
        c"resume_condition",
        c"checkpoint",
        c"rejoin_barrier",
        c"leave_barrier",
        c"end_turn",
    ];

    /// Calls the function: a new reference, or null with an exception set.
    ///
    /// # Safety
    /// Attached; a native object, and valid objects.
    pub unsafe fn call(self, of: *mut PyObject, args: &[*mut PyObject]) -> *mut PyObject {
        // SAFETY: as the caller promises.
        unsafe {
            let Ok(state) = State::of_type(ffi::Py_TYPE(of)) else { return ptr::null_mut() };
            let function = (*state).natives.helpers[self as usize];
            compat::vectorcall(function, args.as_ptr(), args.len(), ptr::null_mut())
        }
    }
}

/// Raises the exception that a module has under the name of this kind at the moment, without
/// arguments; null for the caller to return.
///
/// # Safety
/// Attached; a native object.
#[cold]
pub unsafe fn raise_named(of: *mut PyObject, namespace: Namespace, kind: Kind) -> *mut PyObject {
    // SAFETY: as the caller promises; new references are given back.
    unsafe {
        let Ok(state) = State::of_type(ffi::Py_TYPE(of)) else { return ptr::null_mut() };
        let Ok(found) = lookups::find(state, namespace, name_at(kind as usize)) else {
            return ptr::null_mut();
        };
        let python = (*state).natives.python[kind as usize];
        let exception = if found.is_null() { python } else { found };
        if exception.is_null() {
            ffi::PyErr_SetNone(ffi::PyExc_RuntimeError);
        } else if ffi::PyExceptionClass_Check(exception) != 0 {
            ffi::PyErr_SetNone(exception);
        } else if ffi::PyExceptionInstance_Check(exception) != 0 {
            ffi::PyErr_SetObject(ffi::Py_TYPE(exception).cast(), exception);
        } else {
            raise(ffi::PyExc_TypeError, c"exceptions must derive from BaseException");
        }
        object::drop_ref(found);
    }
    ptr::null_mut()
}

/// What it takes to make a type.
pub struct Making {
    pub module: *mut PyObject,
    /// A Python function that gives a new class what the Python class has beside its methods:
    /// borrowed.
    finish: *mut PyObject,
    /// A Python function that makes a function of the Python class one of the native class.
    adapt: *mut PyObject,
}

/// `__make_native__(classes, helpers)`: makes those native types that have a class of their name in
/// `classes`, a dict, and are not made yet. `helpers` is a dict of what `rthread._native` does for
/// them. Returns a dict of types.
///
/// # Safety
/// Called by CPython with the module and a tuple.
pub unsafe extern "C-unwind" fn make_native(
    module: *mut PyObject,
    args: *mut PyObject,
) -> *mut PyObject {
    let mut classes: *mut PyObject = ptr::null_mut();
    let mut helpers: *mut PyObject = ptr::null_mut();
    // SAFETY: attached; the variables are what the format wants.
    unsafe {
        let dict = &raw mut ffi::PyDict_Type;
        if compat::PyArg_ParseTuple(
            args,
            c"O!O!:__make_native__".as_ptr(),
            dict,
            &raw mut classes,
            dict,
            &raw mut helpers,
        ) == 0
        {
            return ptr::null_mut();
        }
        let made = ffi::PyDict_New();
        if made.is_null() || fill(module, classes, helpers, made).is_err() {
            object::drop_ref(made);
            return ptr::null_mut();
        }
        made
    }
}

/// What `helpers` has under this name, borrowed; `TypeError` if it has nothing.
unsafe fn helper(helpers: *mut PyObject, name: &CStr) -> Result<*mut PyObject, Raised> {
    // SAFETY: attached; a dict, as the callers promise.
    unsafe {
        let found = ffi::PyDict_GetItemString(helpers, name.as_ptr());
        if found.is_null() {
            raise(ffi::PyExc_TypeError, c"a helper is missing");
            return Err(Raised);
        }
        Ok(found)
    }
}

/// Puts a new reference into an empty place.
unsafe fn keep(place: &mut *mut PyObject, object: *mut PyObject) {
    if place.is_null() {
        // SAFETY: attached, and a valid object, as the callers promise.
        unsafe { ffi::Py_INCREF(object) };
        *place = object;
    }
}

/// Takes over what the Python side does for native classes.
///
/// # Safety
/// Attached; `helpers` is a dict.
unsafe fn take_helpers(state: *mut State, helpers: *mut PyObject) -> Result<(), Raised> {
    // SAFETY: as the caller promises; what is taken is owned by the state.
    unsafe {
        let natives = &mut (*state).natives;
        for (place, name) in natives.helpers.iter_mut().zip(Helper::NAMES) {
            keep(place, helper(helpers, name)?);
        }
        for (namespace, names, expected) in [
            (Namespace::Threading, c"threading", c"threading_expected"),
            (Namespace::Queue, c"queue", c"queue_expected"),
        ] {
            let names = ffi::PyDict_GetItemString(helpers, names.as_ptr());
            let expected = ffi::PyDict_GetItemString(helpers, expected.as_ptr());
            if names.is_null() || expected.is_null() {
                continue;
            }
            if ffi::PyDict_Check(names) == 0 || ffi::PyDict_Check(expected) == 0 {
                raise(ffi::PyExc_TypeError, c"names must be dicts");
                return Err(Raised);
            }
            natives.lookups.expect(namespace, names, expected);
        }
    }
    Ok(())
}

/// The name of what has this place in the arrays.
fn name_at(index: usize) -> &'static CStr {
    KINDS.get(index).map_or_else(|| EXCEPTIONS[index - KINDS.len()].1, |kind| kind.1)
}

/// Raises unless all of `classes` are classes, the exceptions are exceptions, and what is to be
/// made of them has what it takes: a native object relies on that.
///
/// # Safety
/// Attached; a dict.
unsafe fn check(state: *const State, classes: *mut PyObject) -> Result<(), Raised> {
    // SAFETY: as the caller promises.
    unsafe {
        for index in 0..COUNT {
            let class = ffi::PyDict_GetItemString(classes, name_at(index).as_ptr());
            if class.is_null() {
                continue;
            }
            let Some((_, _, _, needs)) = KINDS.get(index) else {
                if ffi::PyExceptionClass_Check(class) == 0 {
                    raise(ffi::PyExc_TypeError, c"not an exception class");
                    return Err(Raised);
                }
                continue;
            };
            // `dict` and its like have methods that take none but their own objects.
            if ffi::PyType_Check(class) == 0
                || ffi::PyType_GetFlags(class.cast()) & ffi::Py_TPFLAGS_HEAPTYPE == 0
            {
                raise(ffi::PyExc_TypeError, c"not a class of a program's");
                return Err(Raised);
            }
            for &need in *needs {
                let need = need as usize;
                let natives = &(*state).natives;
                let made = if need < KINDS.len() {
                    natives.types[need].cast()
                } else {
                    natives.python[need]
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
    helpers: *mut PyObject,
    made: *mut PyObject,
) -> Result<(), Raised> {
    // SAFETY: as in `make_native`; what is stored in the state is owned by it.
    unsafe {
        let state = State::of(module).cast_mut();
        check(state, classes)?;
        take_helpers(state, helpers)?;
        if (*state).natives.method_type.is_null() {
            (*state).natives.method_type = method::make_type(module)?;
        }
        let making = Making {
            module,
            finish: helper(helpers, c"finish")?,
            adapt: helper(helpers, c"adapt")?,
        };
        let recipes = helper(helpers, c"recipes")?;
        for (index, &(_, name)) in EXCEPTIONS.iter().enumerate() {
            let class = ffi::PyDict_GetItemString(classes, name.as_ptr());
            if !class.is_null() {
                keep(&mut (*state).natives.python[KINDS.len() + index], class);
            }
        }
        for (index, &(kind, name, make, _)) in KINDS.iter().enumerate() {
            let class = ffi::PyDict_GetItemString(classes, name.as_ptr());
            if class.is_null() {
                continue;
            }
            keep(&mut (*state).natives.python[index], class);
            let recipe = ffi::PyDict_GetItemString(recipes, name.as_ptr());
            if !recipe.is_null() {
                keep(&mut (*state).natives.recipes[index], recipe);
            }
            if (*state).natives.types[index].is_null() {
                let class = make(&making)?;
                (*state).natives.types[index] = class;
                let base = KINDS.iter().position(|&(kind, ..)| {
                    (*state).natives.types[kind as usize] == (*class).tp_base
                });
                if let Some(base) = base {
                    let init = (*state).natives.inits[base];
                    keep(&mut (*state).natives.inits[index], init);
                }
                let base = base.map_or(ptr::null_mut(), |base| (*state).natives.snapshots[base]);
                (*state).natives.snapshots[index] = head::snapshot(class, kind, base)?;
                if kind == Kind::Condition {
                    (*state).natives.condition_dict = ffi::PyDict_Copy((*class).tp_dict);
                    if (*state).natives.condition_dict.is_null() {
                        return Err(Raised);
                    }
                }
            }
            let class = (*state).natives.types[index].cast();
            if ffi::PyDict_SetItemString(made, name.as_ptr(), class) < 0 {
                return Err(Raised);
            }
        }
    }
    Ok(())
}
