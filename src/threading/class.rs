//! Making native classes, and their `__init__`.

use core::ffi::{CStr, c_int, c_void};
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

use pyo3_ffi::{self as ffi, Py_ssize_t, PyObject, PyTypeObject};

use crate::capi::call::{PyObject_Call, tuple_and_dict};
use crate::capi::compat;
use crate::capi::errors::{Raised, raise};
use crate::capi::refs::drop_ref;
use crate::capi::types::{
    self, Call, Collected, Doc, FastKeywords, Function, Like, Property, Type,
};
use crate::runtime::natives::{Fitness, Kind};
use crate::runtime::state::State;
use crate::threading::head::{self, Head, Phase};
use crate::threading::method::{self, LEFT_TO_PYTHON, Native, OfObjects};
use crate::threading::{arguments, materialize, python_class};

/// The arguments for making a native class.
pub struct Making {
    pub module: *mut PyObject,
    /// A Python function, borrowed. It gives a new class the attributes that the Python class has
    /// beside its methods.
    pub finish: *mut PyObject,
    /// A Python function, borrowed. It adapts a function of the Python class to the native class.
    pub adapt: *mut PyObject,
}

/// A class with an `__init__` of `N` arguments.
pub trait NativeClass<const N: usize> {
    /// The names of the arguments.
    const ARGUMENTS: [&'static CStr; N];
    /// Attributes that `__init__` of the Python class sets.
    const PARTS: &'static [&'static CStr];

    /// Fills in the state of a new native object from these arguments, each null if it was not
    /// given. Returns false, with nothing changed, if they are not ordinary ones and the Python
    /// class has to read them.
    ///
    /// # Safety
    /// Attached; `slf` is an object of the class that this thread is changing. Runs no Python code.
    unsafe fn begin(slf: *mut PyObject, given: [*mut PyObject; N]) -> Result<bool, Raised>;

    /// The place of an object's dict.
    ///
    /// # Safety
    /// `slf` is an object of the class.
    unsafe fn dict(slf: *mut PyObject) -> *mut *mut PyObject;
}

/// A method that is always left to the Python function. It is in the table so that the native class
/// has a method of that name.
pub const PYTHON: Call = Call::NoArgs(left_to_python);

unsafe extern "C-unwind" fn left_to_python(_: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    LEFT_TO_PYTHON
}

pub type Slot<R> = unsafe extern "C-unwind" fn(*mut PyObject, *mut PyObject, *mut PyObject) -> R;
/// The description of a native class.
pub struct Class<'a> {
    /// The name with its module.
    pub name: &'static CStr,
    /// The name without its module.
    pub short_name: &'static CStr,
    pub kind: Kind,
    pub weakrefs: usize,
    pub dict: usize,
    /// Borrowed; null for `object`.
    pub base: *mut PyTypeObject,
    /// The methods that stand in for those of the Python class.
    pub methods: &'a [Native],
    /// Methods for which an object may have an attribute of its own.
    pub of_objects: Option<&'a OfObjects>,
    /// Methods that the Python class does not have.
    pub builtin: &'a [Function],
    pub properties: &'a [Property],
    pub init: Slot<c_int>,
    pub vectorcall: Option<FastKeywords>,
}

impl Class<'_> {
    /// Makes the type. Its objects are laid out as `T`. Returns a new reference.
    ///
    /// # Safety
    /// Attached; the struct is described as it is.
    pub unsafe fn make<T: Collected>(self, making: &Making) -> Result<*mut PyTypeObject, Raised> {
        // SAFETY: as the caller promises; each slot is of the kind that its number says; no other
        // thread has the type before it is finished.
        unsafe {
            let slots = [
                (ffi::Py_tp_dealloc, types::dealloc::<T> as *mut c_void),
                (ffi::Py_tp_traverse, types::traverse::<T> as *mut c_void),
                (ffi::Py_tp_clear, types::clear_all::<T> as *mut c_void),
            ];
            // A class with a native base inherits the methods and the slot.
            let (setters, setattr): (&[Function], _) = match self.base.is_null() {
                true => (SETTERS, Some(slot_of_python_setattr()?)),
                false => (&[], (*self.base).tp_setattro),
            };
            let made = Type {
                name: self.name,
                size: size_of::<T>(),
                weakrefs: Some(self.weakrefs),
                dict: Some(self.dict),
                flags: ffi::Py_TPFLAGS_HAVE_GC | ffi::Py_TPFLAGS_BASETYPE,
                like: Like::Nothing(c""),
                base: self.base,
                methods: &[self.builtin, setters].concat(),
                properties: self.properties,
                vectorcall: self.vectorcall,
                slots: &slots,
            }
            .make(making.module)?;
            let finished = finish(made, &self, making);
            if finished.is_err() {
                drop_ref(made.cast());
                return Err(Raised);
            }
            (*made).tp_setattro = setattr;
            // This slot and the method `__init__` do the same.
            (*made).tp_init = Some(core::mem::transmute::<Slot<c_int>, ffi::initproc>(self.init));
            types::set_short_name(made, self.short_name);
            Ok(made)
        }
    }
}

/// The methods `__setattr__` and `__delattr__`, as a class written in Python has them. With a
/// `tp_setattro` of our own, `object.__setattr__` would refuse these objects: "can't apply this
/// __setattr__ to Event object".
const SETTERS: &[Function] = &[
    Function {
        name: c"__setattr__",
        call: Call::VarArgs(materialize::set_attribute),
        doc: Doc::Own(
            c"__setattr__($self, name, value, /)\n--\n\nImplement setattr(self, name, value).",
        ),
    },
    Function {
        name: c"__delattr__",
        call: Call::VarArgs(materialize::delete_attribute),
        doc: Doc::Own(c"__delattr__($self, name, /)\n--\n\nImplement delattr(self, name)."),
    },
];

/// Returns the `tp_setattro` that the interpreter gives to a class with a `__setattr__` in Python.
/// That slot calls the `__setattr__` of the class.
unsafe fn slot_of_python_setattr() -> Result<ffi::setattrofunc, Raised> {
    // SAFETY: attached, as in `make`; the format takes two strings and an object. The function is
    // the interpreter's, and outlives the class.
    unsafe {
        let class = ffi::PyObject_CallFunction(
            (&raw mut ffi::PyType_Type).cast(),
            c"s(){sO}".as_ptr(),
            c"Setting".as_ptr(),
            c"__setattr__".as_ptr(),
            ffi::Py_None(),
        );
        if class.is_null() {
            return Err(Raised);
        }
        let slot = (*class.cast::<PyTypeObject>()).tp_setattro;
        drop_ref(class);
        slot.ok_or_else(|| {
            raise(ffi::PyExc_SystemError, c"a class without tp_setattro");
            Raised
        })
    }
}

/// Gives a new class its methods, and the other attributes of the Python class.
unsafe fn finish(made: *mut PyTypeObject, class: &Class, making: &Making) -> Result<(), Raised> {
    // SAFETY: attached, as in `make`.
    unsafe {
        let state = State::of(making.module);
        let python = (*state).natives.python[class.kind as usize];
        method::install(made, class.kind, class.methods, class.of_objects, making)?;
        let rest = making.finish;
        let args = [made.cast(), python];
        let done = compat::vectorcall(rest, args.as_ptr(), 2, ptr::null_mut());
        drop_ref(done);
        if done.is_null() { Err(Raised) } else { Ok(()) }
    }
}

/// Whether the object's state is in the primitive, that is, whether its phase is [`Phase::Native`].
///
/// # Safety
/// A native object.
#[inline]
pub unsafe fn is_of_phase_native(slf: *mut PyObject) -> bool {
    // SAFETY: as the caller promises.
    unsafe { Head::of(slf) }.phase() == Phase::Native
}

/// `tp_init`.
///
/// # Safety
/// Called by CPython with an object of the class, a tuple, and a dict or null.
pub unsafe extern "C-unwind" fn init_slot<T: NativeClass<N>, const N: usize>(
    slf: *mut PyObject,
    args: *mut PyObject,
    kwargs: *mut PyObject,
) -> c_int {
    // SAFETY: as the caller promises.
    unsafe {
        if let Some(given) = arguments::bind_tuple(args, kwargs, T::ARGUMENTS) {
            match init::<T, N>(slf, given) {
                Ok(true) => return 0,
                Ok(false) => {}
                Err(Raised) => return -1,
            }
        }
        init_in_python(slf, args, kwargs)
    }
}

/// The method `__init__`.
///
/// # Safety
/// Called, attached, with an object of the class.
pub unsafe extern "C-unwind" fn init_method<T: NativeClass<N>, const N: usize>(
    slf: *mut PyObject,
    args: *const *mut PyObject,
    nargs: Py_ssize_t,
    kwnames: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: as the caller promises.
    unsafe {
        let Some(given) = arguments::bind(args, nargs, kwnames, T::ARGUMENTS) else {
            return LEFT_TO_PYTHON;
        };
        match init::<T, N>(slf, given) {
            Ok(true) => compat::none(),
            Ok(false) => LEFT_TO_PYTHON,
            Err(Raised) => ptr::null_mut(),
        }
    }
}

/// Makes a new object native. Returns false if the Python class has to initialise the object: it is
/// not new, or its class, the arguments or the names that `__init__` looks up are not the usual
/// ones.
///
/// # Safety
/// Attached; an object of the class.
unsafe fn init<T: NativeClass<N>, const N: usize>(
    slf: *mut PyObject,
    given: [*mut PyObject; N],
) -> Result<bool, Raised> {
    // SAFETY: as the caller promises.
    unsafe {
        let class = ffi::Py_TYPE(slf);
        let state = State::of_type(class)?;
        let fitness = head::fitness(class, state)?;
        if fitness.0 == Fitness::Unfit || !head::is_world_usual(state) {
            return Ok(false);
        }
        let dict = AtomicPtr::from_ptr(T::dict(slf)).load(Ordering::Acquire);
        if materialize::has_parts(dict, T::PARTS)? {
            return Ok(false);
        }
        let head = Head::of(slf);
        if !head.begin_change(Phase::Python) {
            return Ok(false);
        }
        let begun = T::begin(slf, given);
        let native = matches!(begun, Ok(true)) && head::note_fitness(slf, fitness);
        head.end_change(if native { Phase::Native } else { Phase::Python });
        begun.map(|_| native)
    }
}

/// Calls `__init__` of the Python class. From then on the Python class serves the object.
///
/// # Safety
/// Attached; a native object; a tuple, and a dict or null.
#[cold]
unsafe fn init_in_python(slf: *mut PyObject, args: *mut PyObject, kwargs: *mut PyObject) -> c_int {
    // SAFETY: as the caller promises; new references are released.
    unsafe {
        let class = ffi::Py_TYPE(slf);
        let Ok(state) = State::of_type(class) else { return -1 };
        let Some(kind) = head::kind_of(class, state) else { return -1 };
        let all = python_class::with_first(slf, args);
        if all.is_null() {
            return -1;
        }
        let result = PyObject_Call((*state).natives.inits[kind as usize], all, kwargs);
        drop_ref(all);
        drop_ref(result);
        if result.is_null() { -1 } else { 0 }
    }
}

/// `tp_vectorcall`: makes an object without a tuple of its arguments. This is done only while the
/// class has its original `__new__` and `__init__`.
///
/// # Safety
/// Called by CPython, attached, with the type; `T` is the struct of its objects, and all zero is a
/// valid one.
pub unsafe extern "C-unwind" fn vectorcall<T: NativeClass<N>, const N: usize>(
    class: *mut PyObject,
    args: *const *mut PyObject,
    nargsf: Py_ssize_t,
    kwnames: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: as the caller promises; the highest bit of the number of arguments is a flag; no
    // other thread has the new object.
    unsafe {
        let nargs = nargsf & Py_ssize_t::MAX;
        let own: Slot<c_int> = init_slot::<T, N>;
        let is_own = |init: ffi::initproc| init as usize == own as usize;
        let new = |class: *mut PyTypeObject| (*class).tp_new.map(|new| new as usize);
        if (*class.cast::<PyTypeObject>()).tp_init.is_some_and(is_own)
            && new(class.cast()) == new(&raw mut ffi::PyBaseObject_Type)
            && let Some(given) = arguments::bind(args, nargs, kwnames, T::ARGUMENTS)
        {
            let made = types::allocate::<PyObject>(class.cast());
            if made.is_null() {
                return made;
            }
            match init::<T, N>(made, given) {
                Ok(true) => return made,
                Ok(false) => drop_ref(made),
                Err(Raised) => {
                    drop_ref(made);
                    return ptr::null_mut();
                }
            }
        }
        call_type(class, args, nargs, kwnames)
    }
}

/// Makes an object as the interpreter does for a type without `tp_vectorcall`.
#[cold]
unsafe fn call_type(
    class: *mut PyObject,
    args: *const *mut PyObject,
    nargs: Py_ssize_t,
    kwnames: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: attached, as in `vectorcall`; new references are released.
    unsafe {
        let Ok((args, kwargs)) = tuple_and_dict(ptr::null_mut(), args, nargs, kwnames) else {
            return ptr::null_mut();
        };
        let made = match (*ffi::Py_TYPE(class)).tp_call {
            Some(call) => call(class, args, kwargs),
            None => ptr::null_mut(),
        };
        drop_ref(args);
        drop_ref(kwargs);
        made
    }
}
