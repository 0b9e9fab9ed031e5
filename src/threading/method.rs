//! The methods of native classes, which stand in for the functions of the Python classes.
//!
//! A [`Method`] is called like a C function and looks like the Python function that it stands for.
//! It binds to a true bound method. Every attribute (`__code__`, `__defaults__`, `__doc__`) is that
//! of the Python function. Where rthread has put a function of its own in the place of the
//! interpreter's, the attributes are those of the interpreter's function.
//!
//! A method serves objects that are native. Any other object, and every call that the native code
//! leaves to Python, goes on to the Python function, with the very same arguments.

use core::ffi::{CStr, c_void};
use core::mem::offset_of;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use pyo3_ffi::{self as ffi, Py_ssize_t, PyObject};

use crate::capi::collected::{self, Collected};
use crate::capi::compat;
use crate::capi::entry::{Header, Instance, IntoResult, New, This, Visitor, entry};
use crate::capi::errors::Raised;
use crate::capi::field::{ClassField, Field, WeakRefs};
use crate::capi::object::{
    Answer, Attached, Borrowed, Class, Dict, Exception, Owned, OwnedClass, Tuple,
};
use crate::capi::types::{self, Call, Fast, FastKeywords, Like, NoArgs, PLAIN, Property, Type};
use crate::runtime::natives::{Kind, gone};
use crate::runtime::state::State;
use crate::threading::class::Making;
use crate::threading::head::{self, Head, Phase};
use crate::threading::reply::LEFT;

pub use crate::threading::reply::{LEFT_TO_PYTHON, Outcome, Reply, reply};

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
/// and the function.
pub type OfObject = fn(Attached<'_>, This<'_, Head>, Borrowed<'_>) -> Outcome;

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

/// The ways in which a method calls native code. All zero bytes are the first one.
#[derive(Clone, Copy)]
#[repr(C, u8)]
enum Code {
    /// It does not: every call is left to Python.
    None,
    NoArgs(NoArgs),
    Object(NoArgs),
    Fast(Fast),
    FastKeywords(FastKeywords),
}

impl Code {
    fn of(call: Call) -> Code {
        match call {
            Call::NoArgs(call) => Code::NoArgs(call),
            Call::Object(call) => Code::Object(call),
            Call::Fast(call) => Code::Fast(call),
            Call::FastKeywords(call) => Code::FastKeywords(call),
            Call::ClassObject(_) | Call::VarArgs(_) | Call::VarArgsKeywords(_) => Code::None,
        }
    }
}

/// See the module's documentation.
#[repr(C)]
struct Method {
    base: Header,
    /// CPython calls it.
    entry: Option<Entry>,
    code: Code,
    /// The version of a class that the method was found to serve. Usually that class is `class`.
    fit_version: AtomicU32,
    /// The native class of the objects that the method serves. Empty only while the method is
    /// freed.
    class: ClassField,
    /// Lives as long as the class. Written when the method is made.
    state: *const State,
    /// The Python function.
    python: Field,
    /// The function that gives the method its attributes. Usually the same as `python`.
    seen: Field,
    /// Whether a program has changed the code of `seen`. From then on that function does the work.
    is_changed: AtomicBool,
    /// Set if an object may have an attribute of its own in the place of this method.
    of_object: Option<OfObject>,
    weakrefs: WeakRefs,
}

// SAFETY: the struct begins with the header. All other bytes zero: no function, nothing in the
// fields, and `Code::None`.
unsafe impl Instance for Method {}

impl Method {
    /// The state of the module.
    #[inline]
    fn state(&self) -> &State {
        // SAFETY: written when the method was made; the class keeps the module alive.
        unsafe { &*self.state }
    }

    /// The Python function.
    fn python(&self, py: Attached<'_>) -> Result<Borrowed<'_>, Raised> {
        self.python.get().ok_or_else(|| gone(py))
    }

    /// The function that gives the method its attributes.
    fn seen(&self, py: Attached<'_>) -> Result<Borrowed<'_>, Raised> {
        self.seen.get().ok_or_else(|| gone(py))
    }
}

/// Attributes of a [`Method`] that are not the Python function's.
const OWN: &[&CStr] = &[c"__get__", c"__call__", c"__reduce__", c"__reduce_ex__"];

/// Attributes that decide what a Python function does.
const CODE: &[&CStr] = &[c"__code__", c"__defaults__", c"__kwdefaults__"];

/// For code that bypasses `tp_getattro`, as pydoc does.
const PROPERTIES: &[Property] =
    &[of_function(c"__doc__"), of_function(c"__name__"), of_function(c"__qualname__")];

const fn of_function(name: &'static CStr) -> Property {
    Property { name, get: entry!(named_getter, get_of_function: Method), set: None, doc: None }
}

fn get_of_function(py: Attached<'_>, this: This<'_, Method>, name: &CStr) -> Answer {
    this.seen(py)?.attribute_named(py, name)
}

/// Makes the type of methods.
pub fn make_type(py: Attached<'_>, module: Borrowed<'_>) -> Result<OwnedClass, Raised> {
    const METHODS: &[types::Function] = &[
        types::Function {
            name: c"__reduce__",
            call: Call::NoArgs(entry!(no_args, reduce: Method)),
            doc: types::Doc::Own(c"__reduce__($self, /)\n--\n\nBy its name, as any function."),
        },
        types::Function {
            name: c"__reduce_ex__",
            // The protocol makes no difference.
            call: Call::Object(entry!(no_args, reduce: Method)),
            doc: types::Doc::Own(
                c"__reduce_ex__($self, protocol, /)\n--\n\nBy its name, as any function.",
            ),
        },
    ];
    // SAFETY: each slot is of the kind that its number says, and expects a Method.
    let made = unsafe {
        Type {
            name: c"builtins.function",
            size: size_of::<Method>(),
            weakrefs: Some(offset_of!(Method, weakrefs)),
            flags: ffi::Py_TPFLAGS_HAVE_GC | ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION,
            // The type has no docstring of its own, because that would hide the property `__doc__`.
            like: Like::Stock(None),
            methods: METHODS,
            properties: PROPERTIES,
            slots: &[
                (ffi::Py_tp_dealloc, collected::dealloc::<Method> as *mut c_void),
                (ffi::Py_tp_traverse, collected::traverse::<Method> as *mut c_void),
                (ffi::Py_tp_clear, collected::clear_all::<Method> as *mut c_void),
                (ffi::Py_tp_call, compat::PyVectorcall_Call as *mut c_void),
                (ffi::Py_tp_descr_get, descr_get as *mut c_void),
                (ffi::Py_tp_getattro, entry!(getattr, get_attribute: Method) as *mut c_void),
                (ffi::Py_tp_setattro, entry!(setattr, set_attribute: Method) as *mut c_void),
                (ffi::Py_tp_repr, entry!(repr, repr: Method) as *mut c_void),
            ],
            ..PLAIN
        }
        .make(py, module)?
    };
    let class = made.borrow().as_ptr();
    // SAFETY: the flags and the offset are set before the type has any object.
    unsafe {
        (*class).tp_vectorcall_offset = offset_of!(Method, entry) as Py_ssize_t;
        types::set_short_name(class, c"function");
        // The type is immutable, because the interpreter specialises its instructions only for such
        // descriptors.
        let flags =
            ffi::Py_TPFLAGS_HAVE_VECTORCALL | METHOD_DESCRIPTOR | ffi::Py_TPFLAGS_IMMUTABLETYPE;
        compat::add_type_flags(class, flags);
    }
    Ok(made)
}

/// `Py_TPFLAGS_METHOD_DESCRIPTOR`: the interpreter does not bind the method, but calls it with the
/// object in front of the arguments.
const METHOD_DESCRIPTOR: core::ffi::c_ulong = 1 << 17;

/// Puts native methods into a native class of this kind, which no other thread has. Skips those
/// that the Python class does not have.
pub fn install(
    py: Attached<'_>,
    class: Class<'_>,
    kind: Kind,
    methods: &[Native],
    of_objects: Option<&OfObjects>,
    making: &Making<'_>,
) -> Result<(), Raised> {
    for method in methods {
        let key = py.name(method.name)?;
        let of_object = of_objects.filter(|of| of.names.contains(&method.name)).map(|of| of.get);
        let done = install_one(py, class, kind, key.borrow(), method, of_object, making);
        key.release(py);
        done?;
    }
    Ok(())
}

fn install_one(
    py: Attached<'_>,
    class: Class<'_>,
    kind: Kind,
    key: Borrowed<'_>,
    method: &Native,
    of_object: Option<OfObject>,
    making: &Making<'_>,
) -> Result<(), Raised> {
    let state = State::of(making.module);
    let python = state.natives.python(kind).ok_or_else(|| gone(py))?;
    let found = match python.attribute(py, key) {
        Ok(found) => found,
        // The Python class has no such method.
        Err(Raised) if method.is_optional && py.has_raised(Exception::Attribute) => {
            py.clear_error();
            return Ok(());
        }
        Err(Raised) => return Err(Raised),
    };
    let pair = making.adapt.call(py, &[found.borrow(), class.object()]);
    found.release(py);
    let pair = pair?;
    let done = match Tuple::of(pair.borrow()).map(Tuple::items) {
        Some(&[function, seen]) => {
            if key.is_text(c"__init__") {
                state.natives.inits[kind as usize].fill(py, function.own(py));
            }
            set_method(py, class, key, method.call, of_object, state, [function, seen])
        }
        _ => Err(py.raise(Exception::Type, c"a function is not adapted to a pair of functions")),
    };
    pair.release(py);
    done
}

/// Makes a method and stores it in the class.
fn set_method(
    py: Attached<'_>,
    class: Class<'_>,
    key: Borrowed<'_>,
    call: Call,
    of_object: Option<OfObject>,
    state: &State,
    [function, seen]: [Borrowed<'_>; 2],
) -> Result<(), Raised> {
    let method_type = state.natives.method_type.get().ok_or_else(|| gone(py))?;
    // SAFETY: the type was made for methods.
    let mut made = unsafe { New::<Method>::allocate(py, method_type)? };
    made.entry = Some(enter);
    made.code = Code::of(call);
    made.class.fill(py, class.own(py));
    made.state = state;
    made.python.fill(py, function.own(py));
    made.seen.fill(py, seen.own(py));
    made.of_object = of_object;
    let object = made.this().object();
    // Many threads call the method, and each call changes its reference count.
    object.enable_deferred_refcount(py);
    let done = class.object().set_attribute(py, key, Some(object));
    made.release(py);
    done
}

impl Collected for Method {
    fn weakrefs(&self) -> &WeakRefs {
        &self.weakrefs
    }

    fn visit(&self, visitor: Visitor<'_>) -> core::ffi::c_int {
        visitor.visit_all(&[self.class.as_field().get(), self.python.get(), self.seen.get()])
    }

    /// There is nothing to clear. Each reference cycle with a method leads through the dict of its
    /// class, and the collector clears that dict.
    fn clear(_: This<'_, Method>, _: Attached<'_>) {}

    fn end(&mut self, py: Attached<'_>) {
        self.class.as_field().clear(py);
        self.python.clear(py);
        self.seen.clear(py);
    }
}

/// The object as a native one, if the method serves it natively.
#[inline]
fn served<'a>(
    py: Attached<'_>,
    method: This<'_, Method>,
    object: Borrowed<'a>,
) -> Option<This<'a, Head>> {
    let version = object.class().version();
    if version != 0 && version == method.fit_version.load(Ordering::Relaxed) {
        // SAFETY: no two classes share a version, so an object of a class with the noted version
        // begins with a `Head`.
        let this = unsafe { This::<Head>::assume(object.as_ptr()) };
        let is_served = this.phase() == Phase::Native && head::is_world_usual(py, method.state());
        return is_served.then_some(this);
    }
    served_after_a_look(py, method, object, version)
}

#[inline(never)]
fn served_after_a_look<'a>(
    py: Attached<'_>,
    method: This<'_, Method>,
    object: Borrowed<'a>,
    version: u32,
) -> Option<This<'a, Head>> {
    let this = as_ours(method, object)?;
    if !head::is_native(py, this, method.state()) {
        return None;
    }
    // A version that is newer than the check is not noted here. Nor is a class that replaces a
    // called method: that is noted in each object.
    if version == this.class_version() && !this.replaces_called() {
        let noted = method.fit_version.load(Ordering::Relaxed);
        if noted == 0 || Some(object.class()) == method.class.get() {
            method.fit_version.store(version, Ordering::Relaxed);
        }
    }
    Some(this)
}

/// The object as a native one, if it is of the method's class or of a class derived from it.
fn as_ours<'a>(method: This<'_, Method>, object: Borrowed<'a>) -> Option<This<'a, Head>> {
    let is_ours = method.class.get().is_some_and(|class| object.class().is_derived_from(class));
    // SAFETY: every object of a native class begins with a `Head`.
    is_ours.then(|| unsafe { This::assume(object.as_ptr()) })
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
        let (py, method) = (Attached::assume(), This::<Method>::assume(callable));
        let nargs = count_of(nargsf);
        if nargs > 0 && served(py, method, Borrowed::assume(*args)).is_some() {
            let (slf, rest, count) = (*args, args.add(1), nargs as Py_ssize_t - 1);
            let result = match method.code {
                Code::FastKeywords(call) => call(slf, rest, count, kwnames),
                Code::NoArgs(call) if kwnames.is_null() && count == 0 => call(slf, ptr::null_mut()),
                Code::Object(call) if kwnames.is_null() && count == 1 => call(slf, *rest),
                Code::Fast(call) if kwnames.is_null() => call(slf, rest, count),
                _ => LEFT.as_ptr(),
            };
            if result != LEFT.as_ptr() {
                return result;
            }
        }
        in_python(py, method, args, nargsf, kwnames)
    }
}

/// Calls the Python function with the very same arguments. A native object that is not served,
/// because something was replaced, is materialized first. Only then does it have all attributes
/// that the function may look for.
///
/// # Safety
/// As many arguments as `vectorcall` defines, all alive.
#[cold]
unsafe fn in_python(
    py: Attached<'_>,
    method: This<'_, Method>,
    args: *const *mut PyObject,
    nargsf: usize,
    kwnames: *mut PyObject,
) -> *mut PyObject {
    let is_changed = method.is_changed.load(Ordering::Relaxed);
    let function = if is_changed { &method.seen } else { &method.python }.as_ptr();
    let count = count_of(nargsf);
    // SAFETY: attached; the first argument exists where it is read or passed over. The method has
    // both functions until it is freed.
    unsafe {
        let own = if count > 0 { settle(py, method, Borrowed::assume(*args)) } else { Ok(None) };
        match own {
            Ok(None) => compat::vectorcall(function, args, nargsf, kwnames),
            Ok(Some(own)) => {
                let callable = own.borrow().as_ptr();
                let result = compat::vectorcall(callable, args.add(1), count - 1, kwnames);
                own.release(py);
                result
            }
            Err(Raised) => ptr::null_mut(),
        }
    }
}

/// Materializes a native object if the method does not serve it. Returns the attribute of the
/// object that then stands in the place of the method, if the object has one from its lock.
///
/// A caller also needs that attribute if another thread has materialized the object after the
/// caller found the method in the class. The class's own `_is_owned` would report an RLock that the
/// caller holds as not held.
fn settle(
    py: Attached<'_>,
    method: This<'_, Method>,
    object: Borrowed<'_>,
) -> Result<Option<Owned>, Raised> {
    let Some(this) = as_ours(method, object) else { return Ok(None) };
    let stays = if this.is_native_phase() {
        served(py, method, object).is_some()
    } else {
        method.of_object.is_none() || this.class_version() == 0
    };
    if stays {
        return Ok(None);
    }
    let dict = object.attribute_named(py, c"__dict__")?;
    let own = match (method.of_object, Dict::of(dict.borrow())) {
        (None, _) => Ok(None),
        (Some(_), Some(dict)) => own_attribute(py, method, dict),
        (Some(_), None) => Err(py.raise(Exception::System, c"`__dict__` is not a dict")),
    };
    dict.release(py);
    own
}

/// The attribute in the dict of an object that stands in the place of a method.
fn own_attribute(
    py: Attached<'_>,
    method: This<'_, Method>,
    dict: Dict<'_>,
) -> Result<Option<Owned>, Raised> {
    let name = method.python(py)?.attribute_named(py, c"__name__")?;
    let found = dict.get(py, name.borrow());
    name.release(py);
    let Some(found) = found? else { return Ok(None) };
    let parts = found.borrow();
    if parts.method_parts().is_some_and(|(function, _)| function == method.object()) {
        // A program has put the method itself there.
        found.release(py);
        return Ok(None);
    }
    Ok(Some(found))
}

/// The number of positional arguments, without the flag beside it.
#[inline]
fn count_of(nargsf: usize) -> usize {
    nargsf & (usize::MAX >> 1)
}

/// `tp_descr_get`.
unsafe extern "C-unwind" fn descr_get(
    slf: *mut PyObject,
    object: *mut PyObject,
    _: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a Method, and an object or null.
    unsafe {
        let (this, object) = (This::assume(slf), Borrowed::assume_if_any(object));
        bind(Attached::assume(), this, object).into_result()
    }
}

/// Binds as a Python function does.
#[inline]
fn bind(py: Attached<'_>, this: This<'_, Method>, object: Option<Borrowed<'_>>) -> Answer {
    let Some(object) = object.filter(|object| !object.is_none()) else {
        return Ok(this.object().own(py));
    };
    if let Some(of_object) = this.of_object {
        if let Some(own) = settle(py, this, object)? {
            return Ok(own);
        }
        if let Some(served) = served(py, this, object)
            && let Some(of_lock) = of_object(py, served, this.python(py)?)?.into_owned()
        {
            return Ok(of_lock);
        }
    }
    this.object().bind_method(py, object)
}

fn get_attribute(py: Attached<'_>, this: This<'_, Method>, name: Borrowed<'_>) -> Answer {
    if name.is_one_of(OWN) {
        return this.object().generic_attribute(py, name);
    }
    this.seen(py)?.attribute(py, name)
}

fn set_attribute(
    py: Attached<'_>,
    this: This<'_, Method>,
    name: Borrowed<'_>,
    value: Option<Borrowed<'_>>,
) -> Result<(), Raised> {
    this.seen(py)?.set_attribute(py, name, value)?;
    if name.is_one_of(CODE) {
        this.is_changed.store(true, Ordering::Relaxed);
        // Other native methods also do the work of this function. From now on no object is served
        // natively.
        this.state().natives.altered.store(true, Ordering::Relaxed);
        if let Some(class) = this.class.get() {
            class.is_modified(py);
        }
    }
    Ok(())
}

fn repr(py: Attached<'_>, this: This<'_, Method>) -> Answer {
    let name = reduce(py, this)?;
    let text = py.repr_of_function(name.borrow(), this.object());
    name.release(py);
    text
}

/// Returns the qualified name. Pickling and copying use it.
fn reduce(py: Attached<'_>, this: This<'_, Method>) -> Answer {
    this.seen(py)?.attribute_named(py, c"__qualname__")
}
