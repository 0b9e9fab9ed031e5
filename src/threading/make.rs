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

/// What there is to make, and what else each takes: the base, what it materializes to, what it
/// raises. That comes first, where it is made here.
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

// The table is in the order of `Kind`: its indexes are its values.
const _: () = {
    let mut index = 0;
    while index < CLASSES.len() {
        assert!(CLASSES[index].0 as usize == index);
        index += 1;
    }
};

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
            drop_ref(made);
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

/// Raises unless all of `classes` are classes, the exceptions are exceptions, and what is to be
/// made of them has what it takes: a native object relies on that.
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
