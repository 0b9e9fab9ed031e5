//! Making the native classes.

use core::ffi::CStr;
use core::ptr;

use pyo3_ffi::{self as ffi, PyObject, PyTypeObject};

use crate::capi::compat;
use crate::capi::errors::{Raised, raise};
use crate::capi::refs::drop_ref;
use crate::runtime::natives::{COUNT, Helper, Kind, Namespace};
use crate::runtime::state::State;
use crate::threading::class::Making;
use crate::threading::queue::{self, simple_queue};
use crate::threading::{barrier, condition, event, head, method, semaphore};

type Make = unsafe fn(&Making) -> Result<*mut PyTypeObject, Raised>;

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
///
/// # Safety
/// Called by CPython with the module and a tuple.
pub unsafe extern "C-unwind" fn make_native(
    module: *mut PyObject,
    args: *mut PyObject,
) -> *mut PyObject {
    let mut classes: *mut PyObject = ptr::null_mut();
    let mut helpers: *mut PyObject = ptr::null_mut();
    // SAFETY: attached; the variables are of the types that the format asks for.
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
            drop_ref(made);
            return ptr::null_mut();
        }
        made
    }
}

/// Returns the entry of `helpers` under this name, borrowed. Raises `TypeError` if there is none.
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

/// Stores a new reference in `place` if that is null.
unsafe fn keep(place: &mut *mut PyObject, object: *mut PyObject) {
    if place.is_null() {
        // SAFETY: attached, and a valid object, as the callers promise.
        unsafe { ffi::Py_INCREF(object) };
        *place = object;
    }
}

/// Stores the Python functions that help native classes, and the objects that the names of
/// `threading` and `queue` are expected to hold.
///
/// # Safety
/// Attached; `helpers` is a dict.
unsafe fn take_helpers(state: *mut State, helpers: *mut PyObject) -> Result<(), Raised> {
    // SAFETY: as the caller promises; the state owns each reference that it takes.
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

/// Raises `TypeError` unless all of `classes` fit: a class is a class, an exception is an exception
/// class, and the kinds that a class needs are given or were made before. A native object relies on
/// that.
///
/// # Safety
/// Attached; a dict.
unsafe fn check(state: *const State, classes: *mut PyObject) -> Result<(), Raised> {
    // SAFETY: as the caller promises.
    unsafe {
        for index in 0..COUNT {
            let class = ffi::PyDict_GetItemString(classes, Kind::NAMES[index].as_ptr());
            if class.is_null() {
                continue;
            }
            let Some((_, _, needs)) = CLASSES.get(index) else {
                if ffi::PyExceptionClass_Check(class) == 0 {
                    raise(ffi::PyExc_TypeError, c"not an exception class");
                    return Err(Raised);
                }
                continue;
            };
            // The methods of built-in types, such as `dict`, accept only objects of their own type.
            if ffi::PyType_Check(class) == 0
                || ffi::PyType_GetFlags(class.cast()) & ffi::Py_TPFLAGS_HEAPTYPE == 0
            {
                raise(ffi::PyExc_TypeError, c"not a class of a program's");
                return Err(Raised);
            }
            for &need in *needs {
                let need = need as usize;
                let natives = &(*state).natives;
                let made = if need < CLASSES.len() {
                    natives.types[need].cast()
                } else {
                    natives.python[need]
                };
                let given = ffi::PyDict_GetItemString(classes, Kind::NAMES[need].as_ptr());
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
    // SAFETY: as in `make_native`; the state owns each object that is stored in it.
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
        for (index, name) in Kind::NAMES.iter().enumerate().skip(CLASSES.len()) {
            let class = ffi::PyDict_GetItemString(classes, name.as_ptr());
            if !class.is_null() {
                keep(&mut (*state).natives.python[index], class);
            }
        }
        for (index, &(kind, make, _)) in CLASSES.iter().enumerate() {
            let name = Kind::NAMES[index];
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
                let base = CLASSES.iter().position(|&(kind, ..)| {
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
