//! Making the native classes.

use core::ffi::CStr;
use core::ptr;

use pyo3_ffi::{self as ffi, PyObject};

use crate::capi::compat;
use crate::capi::entry::Module;
use crate::capi::errors::Raised;
use crate::capi::field::Field;
use crate::capi::object::{Answer, Attached, Borrowed, Class, Dict, Exception, OwnedClass, Tuple};
use crate::runtime::natives::{COUNT, Helper, Kind, Namespace, gone};
use crate::runtime::state::State;
use crate::threading::class::Making;
use crate::threading::queue::{self, simple_queue};
use crate::threading::{barrier, condition, event, head, method, semaphore};

type Make = fn(&Making<'_>) -> Result<OwnedClass, Raised>;

/// The native classes, and the kinds that each class needs: its base, the classes that it is
/// materialized with, the exceptions that it raises. A needed class that is made here comes before
/// the class that needs it.
const CLASSES: [(Kind, Make, &[Kind]); Kind::CLASSES.len()] = [
    (Kind::Condition, condition::make_type, &[]),
    (Kind::Event, event::make_type, &[Kind::Condition]),
    (Kind::Semaphore, semaphore::make_type, &[Kind::Condition]),
    (Kind::BoundedSemaphore, semaphore::make_bounded_type, &[Kind::Semaphore]),
    (Kind::Barrier, barrier::make_type, &[Kind::Condition, Kind::BrokenBarrierError]),
    (Kind::Queue, queue::make_type, &[Kind::Condition, Kind::Empty, Kind::Full, Kind::ShutDown]),
    (Kind::LifoQueue, queue::make_lifo_type, &[Kind::Queue]),
    (Kind::PriorityQueue, queue::make_priority_type, &[Kind::Queue]),
    (Kind::SimpleQueue, simple_queue::make_type, &[Kind::Empty]),
];

// The table is in the order of `Kind`, so that the value of a kind is its index.
const _: () = {
    let mut index = 0;
    while index < CLASSES.len() {
        assert!(CLASSES[index].0 as usize == index);
        index += 1;
    }
};

/// `__make_native__(classes, helpers)`: makes native types. `classes` is a dict of Python classes
/// by their names. A native type is made for each of them, unless that is done already. `helpers`
/// is a dict of the functions of `rthread._native` that help native classes. Returns a dict of the
/// types.
pub fn make_native(py: Attached<'_>, module: Module<'_>, args: Tuple<'_>) -> Answer {
    let (mut classes, mut helpers) = (ptr::null_mut::<PyObject>(), ptr::null_mut::<PyObject>());
    // SAFETY: attached; the variables are of the types that the format asks for. They are dicts
    // then, which the tuple keeps alive.
    let (classes, helpers) = unsafe {
        let dict = &raw mut ffi::PyDict_Type;
        if compat::PyArg_ParseTuple(
            args.object().as_ptr(),
            c"O!O!:__make_native__".as_ptr(),
            dict,
            &raw mut classes,
            dict,
            &raw mut helpers,
        ) == 0
        {
            return Err(Raised);
        }
        (Dict::assume(Borrowed::assume(classes)), Dict::assume(Borrowed::assume(helpers)))
    };
    let made = py.dict()?;
    // SAFETY: a new dict.
    let filled = fill(py, module, classes, helpers, unsafe { Dict::assume(made.borrow()) });
    match filled {
        Ok(()) => Ok(made),
        Err(Raised) => {
            made.release(py);
            Err(Raised)
        }
    }
}

/// An entry of a dict that was given, or that is in one.
fn given<'a>(dict: Dict<'a>, name: &CStr) -> Option<Borrowed<'a>> {
    // SAFETY: `rthread._native` makes these dicts for one call, and changes them only afterwards.
    unsafe { dict.peek(name) }
}

/// The entry of `helpers` under this name. Raises `TypeError` if there is none.
fn helper<'a>(py: Attached<'_>, helpers: Dict<'a>, name: &CStr) -> Result<Borrowed<'a>, Raised> {
    given(helpers, name).ok_or_else(|| py.raise(Exception::Type, c"a helper is missing"))
}

/// Fills a field if it is empty.
fn keep(py: Attached<'_>, field: &Field, object: Borrowed<'_>) {
    if field.get().is_none() {
        field.fill(py, object.own(py));
    }
}

/// Stores the Python functions that help native classes, and the objects that the names of
/// `threading` and `queue` are expected to hold.
fn take_helpers(py: Attached<'_>, state: &State, helpers: Dict<'_>) -> Result<(), Raised> {
    let natives = &state.natives;
    for (field, name) in natives.helpers.iter().zip(Helper::NAMES) {
        keep(py, field, helper(py, helpers, name)?);
    }
    for (namespace, names, expected) in [
        (Namespace::Threading, c"threading", c"threading_expected"),
        (Namespace::Queue, c"queue", c"queue_expected"),
    ] {
        let (Some(names), Some(expected)) = (given(helpers, names), given(helpers, expected))
        else {
            continue;
        };
        let (Some(names), Some(expected)) = (Dict::of(names), Dict::of(expected)) else {
            return Err(py.raise(Exception::Type, c"names must be dicts"));
        };
        natives.lookups.expect(py, namespace, names, expected);
    }
    Ok(())
}

/// Raises `TypeError` unless all of `classes` fit: a class is a class, an exception is an exception
/// class, and the kinds that a class needs are given or were made before. A native object relies on
/// that.
fn check(py: Attached<'_>, state: &State, classes: Dict<'_>) -> Result<(), Raised> {
    let natives = &state.natives;
    for index in 0..COUNT {
        let Some(class) = given(classes, Kind::NAMES[index]) else { continue };
        let Some((_, _, needs)) = CLASSES.get(index) else {
            if !class.is_exception_class() {
                return Err(py.raise(Exception::Type, c"not an exception class"));
            }
            continue;
        };
        // The methods of built-in types, such as `dict`, accept only objects of their own type.
        if Class::of(class).is_none_or(|class| class.flags() & ffi::Py_TPFLAGS_HEAPTYPE == 0) {
            return Err(py.raise(Exception::Type, c"not a class of a program's"));
        }
        for &need in *needs {
            let made = match CLASSES.get(need as usize) {
                Some(_) => natives.class(need).map(Class::object),
                None => natives.python(need),
            };
            if given(classes, Kind::NAMES[need as usize]).or(made).is_none() {
                let words = c"a class that another one needs is missing";
                return Err(py.raise(Exception::Type, words));
            }
        }
    }
    Ok(())
}

fn fill(
    py: Attached<'_>,
    module: Module<'_>,
    classes: Dict<'_>,
    helpers: Dict<'_>,
    made: Dict<'_>,
) -> Result<(), Raised> {
    let state = State::of(module);
    let natives = &state.natives;
    check(py, state, classes)?;
    take_helpers(py, state, helpers)?;
    if natives.method_type.get().is_none() {
        natives.method_type.fill(py, method::make_type(py, module.object())?);
    }
    let making = Making {
        py,
        module,
        finish: helper(py, helpers, c"finish")?,
        adapt: helper(py, helpers, c"adapt")?,
    };
    let recipes = Dict::of(helper(py, helpers, c"recipes")?);
    for (index, name) in Kind::NAMES.iter().enumerate().skip(CLASSES.len()) {
        if let Some(class) = given(classes, name) {
            keep(py, &natives.python[index], class);
        }
    }
    for (index, &(kind, make, _)) in CLASSES.iter().enumerate() {
        let name = Kind::NAMES[index];
        let Some(class) = given(classes, name) else { continue };
        keep(py, &natives.python[index], class);
        if let Some(recipe) = recipes.and_then(|recipes| given(recipes, name)) {
            keep(py, &natives.recipes[index], recipe);
        }
        if natives.class(kind).is_none() {
            natives.types[index].fill(py, make(&making)?);
            note_attributes(py, state, kind)?;
        }
        let class = natives.class(kind).ok_or_else(|| gone(py))?;
        made.set_named(py, name, class.object())?;
    }
    Ok(())
}

/// Stores the facts about a new native class by which its objects are served natively or not.
fn note_attributes(py: Attached<'_>, state: &State, kind: Kind) -> Result<(), Raised> {
    let natives = &state.natives;
    let class = natives.class(kind).ok_or_else(|| gone(py))?;
    let base = class.base().and_then(|base| head::kind_of(base, state));
    if let Some(init) = base.and_then(|base| natives.inits[base as usize].get()) {
        keep(py, &natives.inits[kind as usize], init);
    }
    let base = base.and_then(|base| natives.snapshots[base as usize].get()).and_then(Dict::of);
    natives.snapshots[kind as usize].fill(py, head::snapshot(py, class, kind, base)?);
    if kind == Kind::Condition
        && let Some(attributes) = class.dict()
    {
        natives.condition_dict.fill(py, attributes.copy(py)?);
    }
    Ok(())
}
