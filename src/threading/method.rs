//! The methods of native classes, which stand in for the functions of the Python classes.
//!
//! A [`Method`] is called like a C function and looks like the Python function that it stands for.
//! It binds to a true bound method. Every attribute (`__code__`, `__defaults__`, `__doc__`) is that
//! of the Python function. Where rthread has put a function of its own in the place of the
//! interpreter's, the attributes are those of the interpreter's function.
//!
//! A method serves objects that are native. Any other object, and every call that the native code
//! leaves to Python, goes on to the Python function, with the very same arguments.

use core::ffi::{CStr, c_int, c_void};
use core::mem::{self, offset_of};
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use pyo3_ffi::{self as ffi, Py_ssize_t, PyObject, PyTypeObject};

use crate::capi::compat;
use crate::capi::errors::Raised;
use crate::capi::refs::{self, drop_ref, visit_all};
use crate::capi::types::{self, Call, Collected, Like, PLAIN, Property, Type};
use crate::runtime::natives::Kind;
use crate::runtime::state::State;
use crate::threading::class::{self, Making};
use crate::threading::head::{self, Head, Phase};

/// The result of native code that leaves a call to the Python function.
pub const LEFT_TO_PYTHON: *mut PyObject = ptr::without_provenance_mut(1);

/// A method that a native class has in the place of a Python function.
#[derive(Clone, Copy)]
pub struct Native {
    name: &'static CStr,
    call: Call,
    /// Some versions of the Python class do not have it.
    is_optional: bool,
}

/// A method that the Python class has in every version.
pub const fn native(name: &'static CStr, call: Call) -> Native {
    Native { name, call, is_optional: false }
}

/// A method that the native class has only where the Python class has it.
pub const fn optional(name: &'static CStr, call: Call) -> Native {
    Native { name, call, is_optional: true }
}

/// Finds the attribute that an object has in the place of a function of its class. Takes the object
/// and the function. Returns a new reference, null with an exception set, or [`LEFT_TO_PYTHON`].
pub type OfObject = unsafe fn(*mut PyObject, *mut PyObject) -> *mut PyObject;

/// Names for which materialized objects of a class may have attributes of their own.
pub struct OfObjects {
    pub names: &'static [&'static CStr],
    pub get: OfObject,
}

/// `tp_vectorcall` and the like.
type Entry = unsafe extern "C-unwind" fn(
    *mut PyObject,
    *const *mut PyObject,
    usize,
    *mut PyObject,
) -> *mut PyObject;

/// See the module's documentation.
#[repr(C)]
struct Method {
    base: PyObject,
    entry: Entry,
    call: Call,
    /// The version of a class that the method was found to serve. Usually that class is `class`.
    fit_version: AtomicU32,
    /// The native class of the objects that the method serves, owned. Null only while the method is
    /// freed.
    class: *mut PyTypeObject,
    /// Lives as long as the class.
    state: *const State,
    /// The Python function, owned.
    python: *mut PyObject,
    /// The function that gives the method its attributes, owned. Usually the same as `python`.
    seen: *mut PyObject,
    /// Whether a program has changed the code of `seen`. From then on that function does the work.
    is_changed: AtomicBool,
    /// Set if an object may have an attribute of its own in the place of this method.
    of_object: Option<OfObject>,
    weakrefs: *mut PyObject,
}

/// Attributes of a [`Method`] that are not the Python function's.
const OWN: &[&CStr] = &[c"__get__", c"__call__", c"__reduce__", c"__reduce_ex__"];

/// Attributes that decide what a Python function does.
const CODE: &[&CStr] = &[c"__code__", c"__defaults__", c"__kwdefaults__"];

/// For code that bypasses `tp_getattro`, as pydoc does.
const PROPERTIES: &[Property] =
    &[of_function(c"__doc__"), of_function(c"__name__"), of_function(c"__qualname__")];

const fn of_function(name: &'static CStr) -> Property {
    Property { name, get: get_of_function, set: None, doc: None }
}

unsafe extern "C-unwind" fn get_of_function(
    slf: *mut PyObject,
    name: *mut c_void,
) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a Method and the name of a property.
    unsafe { ffi::PyObject_GetAttrString((*slf.cast::<Method>()).seen, name.cast()) }
}

/// Makes the type of methods. Returns a new reference.
///
/// # Safety
/// Attached.
pub unsafe fn make_type(module: *mut PyObject) -> Result<*mut PyTypeObject, Raised> {
    const METHODS: &[types::Function] = &[
        types::Function {
            name: c"__reduce__",
            call: Call::NoArgs(reduce),
            doc: types::Doc::Own(c"__reduce__($self, /)\n--\n\nBy its name, as any function."),
        },
        types::Function {
            name: c"__reduce_ex__",
            call: Call::Object(reduce),
            doc: types::Doc::Own(
                c"__reduce_ex__($self, protocol, /)\n--\n\nBy its name, as any function.",
            ),
        },
    ];
    // SAFETY: each slot is of the kind that its number says, and expects a Method. The flags and
    // the offset are set before the type has any object.
    unsafe {
        let made = Type {
            name: c"builtins.function",
            size: size_of::<Method>(),
            weakrefs: Some(offset_of!(Method, weakrefs)),
            flags: ffi::Py_TPFLAGS_HAVE_GC | ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION,
            // The type has no docstring of its own, because that would hide the property `__doc__`.
            like: Like::Stock(ptr::null_mut()),
            methods: METHODS,
            properties: PROPERTIES,
            slots: &[
                (ffi::Py_tp_dealloc, types::dealloc::<Method> as *mut c_void),
                (ffi::Py_tp_traverse, types::traverse::<Method> as *mut c_void),
                (ffi::Py_tp_clear, types::clear_all::<Method> as *mut c_void),
                (ffi::Py_tp_call, compat::PyVectorcall_Call as *mut c_void),
                (ffi::Py_tp_descr_get, bind as *mut c_void),
                (ffi::Py_tp_getattro, get_attribute as *mut c_void),
                (ffi::Py_tp_setattro, set_attribute as *mut c_void),
                (ffi::Py_tp_repr, repr as *mut c_void),
            ],
            ..PLAIN
        }
        .make(module)?;
        (*made).tp_vectorcall_offset = offset_of!(Method, entry) as Py_ssize_t;
        types::set_short_name(made, c"function");
        // The type is immutable, because the interpreter specialises its instructions only for such
        // descriptors.
        let flags =
            ffi::Py_TPFLAGS_HAVE_VECTORCALL | METHOD_DESCRIPTOR | ffi::Py_TPFLAGS_IMMUTABLETYPE;
        compat::add_type_flags(made, flags);
        Ok(made)
    }
}

/// `Py_TPFLAGS_METHOD_DESCRIPTOR`: the interpreter does not bind the method, but calls it with the
/// object in front of the arguments.
const METHOD_DESCRIPTOR: core::ffi::c_ulong = 1 << 17;

/// Puts native methods into a native class of this kind. Skips those that the Python class does not
/// have.
///
/// # Safety
/// Attached; no other thread has the class.
pub unsafe fn install(
    class: *mut PyTypeObject,
    kind: Kind,
    methods: &[Native],
    of_objects: Option<&OfObjects>,
    making: &Making,
) -> Result<(), Raised> {
    // SAFETY: as the caller promises; new references are released.
    unsafe {
        for &Native { name, call, is_optional } in methods {
            let key = ffi::PyUnicode_InternFromString(name.as_ptr());
            if key.is_null() {
                return Err(Raised);
            }
            let of_object = of_objects.filter(|of| of.names.contains(&name)).map(|of| of.get);
            let done = install_one(class, kind, key, call, is_optional, of_object, making);
            drop_ref(key);
            done?;
        }
    }
    Ok(())
}

unsafe fn install_one(
    class: *mut PyTypeObject,
    kind: Kind,
    key: *mut PyObject,
    call: Call,
    is_optional: bool,
    of_object: Option<OfObject>,
    making: &Making,
) -> Result<(), Raised> {
    // SAFETY: as in `install`; all fields are written before anything can see the object.
    unsafe {
        let state = State::of(making.module).cast_mut();
        let python = (*state).natives.python[kind as usize];
        let found = compat::PyObject_GetAttr(python, key);
        if found.is_null() {
            // The Python class has no such method.
            if !is_optional || ffi::PyErr_ExceptionMatches(ffi::PyExc_AttributeError) == 0 {
                return Err(Raised);
            }
            ffi::PyErr_Clear();
            return Ok(());
        }
        let args = [found, class.cast()];
        let pair = compat::vectorcall(making.adapt, args.as_ptr(), 2, ptr::null_mut());
        drop_ref(found);
        if pair.is_null() {
            return Err(Raised);
        }
        // The pair is a tuple that our own Python code has made.
        let (function, seen) = (ffi::PyTuple_GET_ITEM(pair, 0), ffi::PyTuple_GET_ITEM(pair, 1));
        ffi::Py_INCREF(function);
        ffi::Py_INCREF(seen);
        drop_ref(pair);
        if ffi::PyUnicode_CompareWithASCIIString(key, c"__init__".as_ptr()) == 0 {
            ffi::Py_INCREF(function);
            (*state).natives.inits[kind as usize] = function;
        }
        let made = types::allocate::<Method>((*state).natives.method_type);
        if made.is_null() {
            drop_ref(function);
            drop_ref(seen);
            return Err(Raised);
        }
        (*made).entry = enter;
        (*made).call = call;
        ffi::Py_INCREF(class.cast());
        (*made).class = class;
        (*made).state = state;
        (*made).python = function;
        (*made).seen = seen;
        (*made).of_object = of_object;
        // Many threads call the method, and each call changes its reference count.
        compat::enable_deferred_refcount(made.cast());
        let set = compat::PyObject_SetAttr(class.cast(), key, made.cast());
        drop_ref(made.cast());
        if set < 0 { Err(Raised) } else { Ok(()) }
    }
}

impl Collected for Method {
    unsafe fn weakrefs(slf: *mut PyObject) -> *mut PyObject {
        // SAFETY: as the caller promises.
        unsafe { (*slf.cast::<Method>()).weakrefs }
    }

    unsafe fn visit(slf: *mut PyObject, visit: ffi::visitproc, arg: *mut c_void) -> c_int {
        // SAFETY: as the caller promises.
        unsafe {
            let this = &*slf.cast::<Method>();
            visit_all(&[this.class.cast(), this.python, this.seen], visit, arg)
        }
    }

    /// There is nothing to clear. Each reference cycle with a method leads through the dict of its
    /// class, and the collector clears that dict.
    unsafe fn clear(_: *mut PyObject) {}

    unsafe fn end(slf: *mut PyObject) {
        // SAFETY: as the caller promises.
        unsafe {
            let this = &mut *slf.cast::<Method>();
            drop_ref(mem::replace(&mut this.class, ptr::null_mut()).cast());
            refs::clear(&mut this.python);
            refs::clear(&mut this.seen);
        }
    }
}

/// Whether the method serves this object natively.
///
/// # Safety
/// Attached; valid objects.
#[inline]
unsafe fn serves(method: &Method, object: *mut PyObject) -> bool {
    // SAFETY: as the caller promises. No two classes share a version, so an object of a class with
    // the noted version begins with a `Head`.
    unsafe {
        let version = compat::class_version(ffi::Py_TYPE(object));
        if version != 0 && version == method.fit_version.load(Ordering::Relaxed) {
            return Head::of(object).phase() == Phase::Native && head::is_world_usual(method.state);
        }
        serves_after_a_look(method, object, version)
    }
}

#[inline(never)]
unsafe fn serves_after_a_look(method: &Method, object: *mut PyObject, version: u32) -> bool {
    // SAFETY: as in `serves`.
    unsafe {
        if !is_ours(method, object) || !head::is_native(object, method.state) {
            return false;
        }
        let head = Head::of(object);
        // A version that is newer than the check is not noted here. Nor is a class that replaces a
        // called method: that is noted in each object.
        if version == head.class_version() && !head.replaces_called() {
            let noted = method.fit_version.load(Ordering::Relaxed);
            if noted == 0 || ffi::Py_TYPE(object) == method.class {
                method.fit_version.store(version, Ordering::Relaxed);
            }
        }
        true
    }
}

/// Whether an object is of the method's class or of a class derived from it, and so begins with a
/// [`Head`].
///
/// # Safety
/// Attached; valid objects.
unsafe fn is_ours(method: &Method, object: *mut PyObject) -> bool {
    // SAFETY: as the caller promises.
    unsafe {
        let class = ffi::Py_TYPE(object);
        class == method.class || ffi::PyType_IsSubtype(class, method.class) != 0
    }
}

/// Calls a method, with its arguments in an array.
unsafe extern "C-unwind" fn enter(
    callable: *mut PyObject,
    args: *const *mut PyObject,
    nargsf: usize,
    kwnames: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a Method and as many arguments.
    unsafe {
        let method = &*callable.cast::<Method>();
        let nargs = count_of(nargsf);
        if nargs > 0 && serves(method, *args) {
            let (slf, rest, count) = (*args, args.add(1), nargs as Py_ssize_t - 1);
            let result = match method.call {
                Call::FastKeywords(call) => call(slf, rest, count, kwnames),
                Call::NoArgs(call) if kwnames.is_null() && count == 0 => call(slf, ptr::null_mut()),
                Call::Object(call) if kwnames.is_null() && count == 1 => call(slf, *rest),
                Call::Fast(call) if kwnames.is_null() => call(slf, rest, count),
                _ => LEFT_TO_PYTHON,
            };
            if result != LEFT_TO_PYTHON {
                return result;
            }
        }
        in_python(method, args, nargsf, kwnames)
    }
}

/// Calls the Python function with the very same arguments. A native object that is not served,
/// because something was replaced, is materialized first. Only then does it have all attributes
/// that the function may look for.
#[cold]
unsafe fn in_python(
    method: &Method,
    args: *const *mut PyObject,
    nargsf: usize,
    kwnames: *mut PyObject,
) -> *mut PyObject {
    let is_changed = method.is_changed.load(Ordering::Relaxed);
    let function = if is_changed { method.seen } else { method.python };
    // SAFETY: called, attached, with as many arguments; the new reference is released.
    unsafe {
        let own = if count_of(nargsf) > 0 { settle(method, *args) } else { Ok(ptr::null_mut()) };
        match own {
            Ok(own) if own.is_null() => compat::vectorcall(function, args, nargsf, kwnames),
            Ok(own) => {
                let result = compat::vectorcall(own, args.add(1), count_of(nargsf) - 1, kwnames);
                drop_ref(own);
                result
            }
            Err(Raised) => ptr::null_mut(),
        }
    }
}

/// Materializes a native object if the method does not serve it. Returns the attribute of the
/// object that then stands in the place of the method, if the object has one from its lock; else
/// null.
///
/// A caller also needs that attribute if another thread has materialized the object after the
/// caller found the method in the class. The class's own `_is_owned` would report an RLock that the
/// caller holds as not held.
unsafe fn settle(method: &Method, object: *mut PyObject) -> Result<*mut PyObject, Raised> {
    // SAFETY: attached, with valid objects, as in `enter`; an object of the class, or of one
    // derived from it, begins with a `Head`; new references are released.
    unsafe {
        if !is_ours(method, object) {
            return Ok(ptr::null_mut());
        }
        let stays = if class::is_of_phase_native(object) {
            serves(method, object)
        } else {
            method.of_object.is_none() || Head::of(object).class_version() == 0
        };
        if stays {
            return Ok(ptr::null_mut());
        }
        let dict = ffi::PyObject_GetAttrString(object, c"__dict__".as_ptr());
        if dict.is_null() {
            return Err(Raised);
        }
        let mut own = Ok(ptr::null_mut());
        if method.of_object.is_some() {
            let name = ffi::PyObject_GetAttrString(method.python, c"__name__".as_ptr());
            own = if name.is_null() { Err(Raised) } else { compat::dict_get(dict, name) };
            drop_ref(name);
            if let Ok(found) = own
                && !found.is_null()
                && compat::is_method(found)
                && compat::PyMethod_Function(found) == ptr::from_ref(method).cast_mut().cast()
            {
                // A program has put the method itself there.
                drop_ref(found);
                own = Ok(ptr::null_mut());
            }
        }
        drop_ref(dict);
        own
    }
}

/// The number of positional arguments, without the flag beside it.
#[inline]
fn count_of(nargsf: usize) -> usize {
    nargsf & (usize::MAX >> 1)
}

/// Binds as a Python function does.
unsafe extern "C-unwind" fn bind(
    slf: *mut PyObject,
    object: *mut PyObject,
    _: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a Method, and an object or null.
    unsafe {
        if object.is_null() || object == ffi::Py_None() {
            ffi::Py_INCREF(slf);
            return slf;
        }
        let this = &*slf.cast::<Method>();
        if let Some(of_object) = this.of_object {
            match settle(this, object) {
                Ok(own) if !own.is_null() => return own,
                Ok(_) => {}
                Err(Raised) => return ptr::null_mut(),
            }
            if serves(this, object) {
                let of_lock = of_object(object, this.python);
                if of_lock != LEFT_TO_PYTHON {
                    return of_lock;
                }
            }
        }
        compat::PyMethod_New(slf, object)
    }
}

unsafe fn is_one_of(name: *mut PyObject, names: &[&CStr]) -> bool {
    // SAFETY: attached, as the callers promise.
    unsafe {
        ffi::PyUnicode_Check(name) != 0
            && names
                .iter()
                .any(|own| ffi::PyUnicode_CompareWithASCIIString(name, own.as_ptr()) == 0)
    }
}

unsafe extern "C-unwind" fn get_attribute(
    slf: *mut PyObject,
    name: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a Method and a name.
    unsafe {
        if is_one_of(name, OWN) {
            return ffi::PyObject_GenericGetAttr(slf, name);
        }
        compat::PyObject_GetAttr((*slf.cast::<Method>()).seen, name)
    }
}

unsafe extern "C-unwind" fn set_attribute(
    slf: *mut PyObject,
    name: *mut PyObject,
    value: *mut PyObject,
) -> c_int {
    // SAFETY: called by CPython, attached, with a Method, a name, and a value or null.
    unsafe {
        let this = &*slf.cast::<Method>();
        let done = compat::PyObject_SetAttr(this.seen, name, value);
        if done == 0 && is_one_of(name, CODE) {
            this.is_changed.store(true, Ordering::Relaxed);
            // Other native methods also do the work of this function. From now on no object is
            // served natively.
            (*this.state).natives.altered.store(true, Ordering::Relaxed);
            ffi::PyType_Modified(this.class);
        }
        done
    }
}

unsafe extern "C-unwind" fn repr(slf: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a Method; the new reference is released.
    unsafe {
        let name = reduce(slf, ptr::null_mut());
        if name.is_null() {
            return name;
        }
        let text = ffi::PyUnicode_FromFormat(c"<function %S at %p>".as_ptr(), name, slf);
        drop_ref(name);
        text
    }
}

/// Returns the qualified name. Pickling and copying use it.
unsafe extern "C-unwind" fn reduce(slf: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a Method.
    unsafe { ffi::PyObject_GetAttrString((*slf.cast::<Method>()).seen, c"__qualname__".as_ptr()) }
}
