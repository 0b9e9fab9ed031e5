//! Making native classes, and their `__init__`.

use core::ffi::{CStr, c_int, c_void};
use core::mem::{self, offset_of};

use pyo3_ffi::{self as ffi, Py_ssize_t, PyObject, PyTypeObject};

use crate::capi::collected::{self, Collected};
use crate::capi::entry::{Args, IntoResult, Module, New, This, entry, into_status};
use crate::capi::errors::Raised;
use crate::capi::object::{
    self, Answer, Attached, Borrowed, Dict, Exception, Owned, OwnedClass, Tuple, release,
};
use crate::capi::types::{
    self, Call, Doc, FastKeywords, Function, Like, Property, Type, VarArgsKeywords,
};
use crate::runtime::natives::{Fitness, Kind, gone};
use crate::runtime::state::State;
use crate::threading::head::{self, Head, Headed, Phase};
use crate::threading::method::{self, LEFT_TO_PYTHON, Native, OfObjects, Outcome, Reply};
use crate::threading::{arguments, materialize};

/// The arguments for making a native class.
pub struct Making<'a> {
    pub py: Attached<'a>,
    pub module: Module<'a>,
    /// A Python function. It gives a new class the attributes that the Python class has beside its
    /// methods.
    pub finish: Borrowed<'a>,
    /// A Python function. It adapts a function of the Python class to the native class.
    pub adapt: Borrowed<'a>,
}

/// A class with an `__init__` of `N` arguments.
pub trait NativeClass<const N: usize> {
    /// The layout of the objects.
    type Object: Headed;
    /// The names of the arguments.
    const ARGUMENTS: [&'static CStr; N];
    /// Attributes that `__init__` of the Python class sets.
    const PARTS: &'static [&'static CStr];

    /// Fills in the state of a new native object, which this thread is changing, from these
    /// arguments, each None if it was not given. Returns false, with nothing changed, if they are
    /// not ordinary ones and the Python class has to read them. Runs no Python code.
    fn begin(
        py: Attached<'_>,
        this: This<'_, Self::Object>,
        given: [Option<Borrowed<'_>>; N],
    ) -> Result<bool, Raised>;
}

/// A method that is always left to the Python function. It is in the table so that the native class
/// has a method of that name.
pub const PYTHON: Call = Call::NoArgs(entry!(no_args, left_to_python: Head));

fn left_to_python(_: Attached<'_>, _: This<'_, Head>) -> Outcome {
    LEFT_TO_PYTHON
}

pub type Slot<R> = unsafe extern "C-unwind" fn(*mut PyObject, *mut PyObject, *mut PyObject) -> R;

/// The description of a native class. All its functions expect objects of the same layout.
pub struct Class<'a> {
    /// The name with its module.
    pub name: &'static CStr,
    /// The name without its module.
    pub short_name: &'static CStr,
    pub kind: Kind,
    /// The base; None for `object`.
    pub base: Option<object::Class<'a>>,
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
    /// Makes the type. Its objects are laid out as `T`.
    pub fn make<T: Collected + Headed>(self, making: &Making<'_>) -> Result<OwnedClass, Raised> {
        let py = making.py;
        let slots = [
            (ffi::Py_tp_dealloc, collected::dealloc::<T> as *mut c_void),
            (ffi::Py_tp_traverse, collected::traverse::<T> as *mut c_void),
            (ffi::Py_tp_clear, collected::clear_all::<T> as *mut c_void),
        ];
        // A class with a native base inherits the methods and the slot.
        let (setters, setattr): (&[Function], _) = match self.base {
            None => (SETTERS, Some(slot_of_python_setattr(py)?)),
            // SAFETY: the class is alive.
            Some(base) => (&[], unsafe { (*base.as_ptr()).tp_setattro }),
        };
        // SAFETY: each slot is of the kind that its number says; every `T` begins with a `Head`.
        let made = unsafe {
            Type {
                name: self.name,
                size: size_of::<T>(),
                weakrefs: Some(offset_of!(Head, weakrefs)),
                dict: Some(offset_of!(Head, dict)),
                flags: ffi::Py_TPFLAGS_HAVE_GC | ffi::Py_TPFLAGS_BASETYPE,
                like: Like::Nothing(c""),
                base: self.base,
                methods: &[self.builtin, setters].concat(),
                properties: self.properties,
                vectorcall: self.vectorcall,
                slots: &slots,
            }
            .make(py, making.module.object())?
        };
        if finish(made.borrow(), &self, making).is_err() {
            made.release(py);
            return Err(Raised);
        }
        let class = made.borrow().as_ptr();
        // SAFETY: no other thread has the type before it is finished. CPython calls `tp_init` with
        // these arguments. The only difference is that it may be unwound.
        unsafe {
            (*class).tp_setattro = setattr;
            // This slot and the method `__init__` do the same.
            (*class).tp_init = Some(mem::transmute::<Slot<c_int>, ffi::initproc>(self.init));
            types::set_short_name(class, self.short_name);
        }
        Ok(made)
    }
}

/// The methods `__setattr__` and `__delattr__`, as a class written in Python has them. With a
/// `tp_setattro` of our own, `object.__setattr__` would refuse these objects: "can't apply this
/// __setattr__ to Event object".
const SETTERS: &[Function] = &[
    Function {
        name: c"__setattr__",
        call: materialize::SET_ATTRIBUTE,
        doc: Doc::Own(
            c"__setattr__($self, name, value, /)\n--\n\nImplement setattr(self, name, value).",
        ),
    },
    Function {
        name: c"__delattr__",
        call: materialize::DELETE_ATTRIBUTE,
        doc: Doc::Own(c"__delattr__($self, name, /)\n--\n\nImplement delattr(self, name)."),
    },
];

/// Returns the `tp_setattro` that the interpreter gives to a class with a `__setattr__` in Python.
/// That slot calls the `__setattr__` of the class.
fn slot_of_python_setattr(py: Attached<'_>) -> Result<ffi::setattrofunc, Raised> {
    // SAFETY: attached; the format takes two strings and an object. The result is a new reference
    // to a class. The function in the slot is the interpreter's, and outlives the class.
    let (class, slot) = unsafe {
        let class = py.own(ffi::PyObject_CallFunction(
            object::Class::base_type().object().as_ptr(),
            c"s(){sO}".as_ptr(),
            c"Setting".as_ptr(),
            c"__setattr__".as_ptr(),
            ffi::Py_None(),
        ))?;
        let slot = (*class.borrow().as_ptr().cast::<PyTypeObject>()).tp_setattro;
        (class, slot)
    };
    class.release(py);
    slot.ok_or_else(|| py.raise(Exception::System, c"a class without tp_setattro"))
}

/// Gives a new class its methods, and the other attributes of the Python class.
fn finish(made: object::Class<'_>, class: &Class<'_>, making: &Making<'_>) -> Result<(), Raised> {
    let py = making.py;
    let natives = &State::of(making.module).natives;
    let python = natives.python(class.kind).ok_or_else(|| gone(py))?;
    method::install(py, made, class.kind, class.methods, class.of_objects, making)?;
    making.finish.call(py, &[made.object(), python])?.release(py);
    Ok(())
}

/// `tp_init`.
///
/// # Safety
/// Called by CPython with an object of the class, a tuple, and a dict or null.
pub unsafe extern "C-unwind" fn init_slot<C: NativeClass<N>, const N: usize>(
    slf: *mut PyObject,
    args: *mut PyObject,
    kwargs: *mut PyObject,
) -> c_int {
    // SAFETY: as the caller promises; attached.
    unsafe {
        let this = This::<C::Object>::assume(slf);
        let args = Tuple::assume(Borrowed::assume(args));
        let kwargs = Borrowed::assume_if_any(kwargs).map(|kwargs| Dict::assume(kwargs));
        into_status(init_with_tuple::<C, N>(Attached::assume(), this, args, kwargs))
    }
}

#[inline]
fn init_with_tuple<C: NativeClass<N>, const N: usize>(
    py: Attached<'_>,
    this: This<'_, C::Object>,
    args: Tuple<'_>,
    kwargs: Option<Dict<'_>>,
) -> Result<(), Raised> {
    if let Some(given) = arguments::bind_tuple(py, args, kwargs, C::ARGUMENTS)
        && init::<C, N>(py, this, given)?
    {
        return Ok(());
    }
    init_in_python(py, this.object(), args, kwargs)
}

/// The method `__init__`.
///
/// # Safety
/// Called, attached, with an object of the class and as many arguments.
pub unsafe extern "C-unwind" fn init_method<C: NativeClass<N>, const N: usize>(
    slf: *mut PyObject,
    args: *const *mut PyObject,
    nargs: Py_ssize_t,
    kwnames: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: as the caller promises.
    unsafe {
        let this = This::<C::Object>::assume(slf);
        let args = Args::assume(args, nargs, kwnames);
        init_with_array::<C, N>(Attached::assume(), this, args).into_result()
    }
}

#[inline]
fn init_with_array<C: NativeClass<N>, const N: usize>(
    py: Attached<'_>,
    this: This<'_, C::Object>,
    args: Args<'_>,
) -> Outcome {
    match arguments::bind(args, C::ARGUMENTS) {
        Some(given) if init::<C, N>(py, this, given)? => Reply::none(py),
        _ => LEFT_TO_PYTHON,
    }
}

/// Makes a new object native. Returns false if the Python class has to initialise the object: it is
/// not new, or its class, the arguments or the names that `__init__` looks up are not the usual
/// ones.
fn init<C: NativeClass<N>, const N: usize>(
    py: Attached<'_>,
    this: This<'_, C::Object>,
    given: [Option<Borrowed<'_>>; N],
) -> Result<bool, Raised> {
    let class = this.object().class();
    let state = State::of_class(py, class)?;
    let fitness = head::fitness(py, class, state)?;
    if fitness.0 == Fitness::Unfit || !head::is_world_usual(py, state) {
        return Ok(false);
    }
    let head = this.head();
    if materialize::has_parts(py, head, C::PARTS)? || !head.begin_change(Phase::Python) {
        return Ok(false);
    }
    let begun = C::begin(py, this, given);
    let native = matches!(begun, Ok(true)) && head::note_fitness(head, fitness);
    head.end_change(if native { Phase::Native } else { Phase::Python });
    begun.map(|_| native)
}

/// Calls `__init__` of the Python class. From then on the Python class serves the object.
#[cold]
fn init_in_python(
    py: Attached<'_>,
    object: Borrowed<'_>,
    args: Tuple<'_>,
    kwargs: Option<Dict<'_>>,
) -> Result<(), Raised> {
    let class = object.class();
    let state = State::of_class(py, class)?;
    let init = head::kind_of(class, state)
        .and_then(|kind| state.natives.inits[kind as usize].get())
        .ok_or_else(|| gone(py))?;
    let all = args.with_first(py, object)?;
    // SAFETY: a new tuple.
    let result = init.call_with(py, unsafe { Tuple::assume(all.borrow()) }, kwargs);
    all.release(py);
    result?.release(py);
    Ok(())
}

/// `tp_vectorcall`: makes an object without a tuple of its arguments. This is done only while the
/// class has its original `__new__` and `__init__`.
///
/// # Safety
/// Called by CPython, attached, with the type and as many arguments. The type was made for objects
/// of this layout.
pub unsafe extern "C-unwind" fn vectorcall<C: NativeClass<N>, const N: usize>(
    class: *mut PyObject,
    args: *const *mut PyObject,
    nargsf: Py_ssize_t,
    kwnames: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: as the caller promises; the highest bit of the number of arguments is a flag.
    unsafe {
        let class = object::Class::assume(class.cast());
        let args = Args::assume(args, nargsf & Py_ssize_t::MAX, kwnames);
        construct::<C, N>(Attached::assume(), class, args).into_result()
    }
}

#[inline]
fn construct<C: NativeClass<N>, const N: usize>(
    py: Attached<'_>,
    class: object::Class<'_>,
    args: Args<'_>,
) -> Answer {
    let own: Slot<c_int> = init_slot::<C, N>;
    if class.init_slot() == own as *const c_void
        && class.new_slot() == object::Class::base_object().new_slot()
        && let Some(given) = arguments::bind(args, C::ARGUMENTS)
    {
        // SAFETY: the function in `tp_init` tells that the class was made for these objects.
        let made = unsafe { New::<C::Object>::allocate(py, class)? };
        match init::<C, N>(py, made.this(), given) {
            Ok(true) => return Ok(made.into_owned()),
            Ok(false) => made.release(py),
            Err(Raised) => {
                made.release(py);
                return Err(Raised);
            }
        }
    }
    call_type(py, class, args)
}

/// Makes an object as the interpreter does for a type without `tp_vectorcall`.
#[cold]
fn call_type(py: Attached<'_>, class: object::Class<'_>, args: Args<'_>) -> Answer {
    let (args, kwargs) = args.to_tuple_and_dict(py)?;
    let made = {
        let args = args.borrow().as_ptr();
        let kwargs = object::as_ptr(kwargs.as_ref().map(Owned::borrow));
        let class = class.object();
        // SAFETY: attached; a class, a tuple, and a dict or null. The slot may run Python code, and
        // so it may be unwound. Its type is the same otherwise.
        unsafe {
            match (*class.class().as_ptr()).tp_call {
                Some(call) => {
                    let call = mem::transmute::<ffi::ternaryfunc, VarArgsKeywords>(call);
                    py.own(call(class.as_ptr(), args, kwargs))
                }
                None => Err(py.raise(Exception::Type, c"a class that cannot be called")),
            }
        }
    };
    args.release(py);
    release(kwargs, py);
    made
}
