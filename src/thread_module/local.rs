//! `_thread._local`: an object with separate attributes for each thread.

#[cfg(not(Py_GIL_DISABLED))]
use core::cell::Cell;
use core::ffi::{c_int, c_void};
use core::mem::offset_of;
#[cfg(not(Py_GIL_DISABLED))]
use core::ptr;

use pyo3_ffi as ffi;
#[cfg(not(Py_GIL_DISABLED))]
use pyo3_ffi::PyObject;

use crate::capi::collected::{self, Collected};
#[cfg(not(Py_GIL_DISABLED))]
use crate::capi::compat;
use crate::capi::entry::{Instance, New, This, Visitor, entry};
use crate::capi::errors::Raised;
use crate::capi::field::{Field, WeakRefs};
use crate::capi::object::values::Order;
use crate::capi::object::{
    Answer, Attached, Borrowed, Class, Dict, Exception, Owned, OwnedClass, Tuple, release,
};
use crate::capi::stock;
use crate::capi::types::{Like, PLAIN, Type};
use crate::runtime::state::State;
use crate::runtime::thread_values::keys::{self, Current, Owner, Owning, owner};

#[repr(C)]
struct LocalObject {
    /// The table in it has one dict of attributes for each thread.
    owner: Owner,
    /// The arguments that `__init__` gets in every thread: a tuple.
    args: Field,
    /// A dict, if there are any.
    kwargs: Field,
    /// Valid as long as the type, which every instance keeps alive. Written before other threads
    /// have the object.
    state: *const State,
    /// The dict of the thread that has used the object last. It makes a look-up in the table
    /// unnecessary.
    last: Last,
}

/// Exists only with a GIL, under which one thread at a time uses it. Without a GIL there would be
/// contention between all threads that use the object.
#[cfg(not(Py_GIL_DISABLED))]
struct Last {
    /// Only compared. When a thread ends, its dict leaves the table, and `retire` forgets it here
    /// too.
    thread: Cell<*mut ffi::PyThreadState>,
    key: Cell<*mut PyObject>,
    /// Owned.
    dict: Cell<*mut PyObject>,
}

#[cfg(Py_GIL_DISABLED)]
struct Last;

#[cfg(not(Py_GIL_DISABLED))]
impl Last {
    /// The calling thread's dict, or None if another thread's dict is remembered.
    #[inline]
    fn get(&self, py: Attached<'_>) -> Option<Owned> {
        if self.thread.get() != compat::thread_state() {
            return None;
        }
        // SAFETY: the reference is owned, and with a GIL no other thread drops it meanwhile.
        Some(unsafe { Borrowed::assume(self.dict.get()) }.own(py))
    }

    /// Remembers the calling thread's dict.
    fn set(&self, py: Attached<'_>, current: Current<'_>, dict: Borrowed<'_>) {
        self.forget(py);
        self.dict.set(dict.own(py).into_raw());
        self.key.set(current.key().as_ptr());
        self.thread.set(compat::thread_state());
    }

    fn forget(&self, py: Attached<'_>) {
        self.thread.set(ptr::null_mut());
        self.key.set(ptr::null_mut());
        // SAFETY: the reference was owned.
        release(unsafe { py.own_if_any(self.dict.replace(ptr::null_mut())) }, py);
    }

    fn is_of(&self, key: Borrowed<'_>) -> bool {
        self.key.get() == key.as_ptr()
    }

    fn dict(&self) -> Option<Borrowed<'_>> {
        // SAFETY: the reference is owned. Only the collector calls this, and no other code changes
        // the field meanwhile.
        unsafe { Borrowed::assume_if_any(self.dict.get()) }
    }
}

#[cfg(Py_GIL_DISABLED)]
impl Last {
    #[inline]
    fn get(&self, _: Attached<'_>) -> Option<Owned> {
        None
    }

    fn set(&self, _: Attached<'_>, _: Current<'_>, _: Borrowed<'_>) {}

    fn forget(&self, _: Attached<'_>) {}

    fn is_of(&self, _: Borrowed<'_>) -> bool {
        false
    }

    fn dict(&self) -> Option<Borrowed<'_>> {
        None
    }
}

// SAFETY: laid out by C's rules, and begins with an `Owner`, which begins with the header; all zero
// bytes are a valid object.
unsafe impl Instance for LocalObject {}

// SAFETY: it begins with an `Owner`.
unsafe impl Owning for LocalObject {}

type Local<'py> = This<'py, LocalObject>;

impl LocalObject {
    fn state(&self) -> &State {
        // SAFETY: see the field.
        unsafe { &*self.state }
    }

    /// None if the collector has cleared the object.
    fn args(&self) -> Option<Tuple<'_>> {
        // SAFETY: see the field.
        self.args.get().map(|args| unsafe { Tuple::assume(args) })
    }

    fn kwargs(&self) -> Option<Dict<'_>> {
        // SAFETY: see the field.
        self.kwargs.get().map(|kwargs| unsafe { Dict::assume(kwargs) })
    }
}

impl Collected for LocalObject {
    fn weakrefs(&self) -> &WeakRefs {
        &self.owner.weakrefs
    }

    fn visit(&self, visitor: Visitor<'_>) -> c_int {
        match visitor.visit_all(&[self.args.get(), self.kwargs.get(), self.last.dict()]) {
            0 => self.owner.table.visit(visitor),
            stop => stop,
        }
    }

    fn clear(this: This<'_, Self>, py: Attached<'_>) {
        this.args.clear(py);
        this.kwargs.clear(py);
        this.last.forget(py);
        this.owner.table.clear(py);
    }

    fn end(&mut self, _: Attached<'_>) {
        self.owner.table.end();
    }
}

/// A thread ends, and its dict is dropped. (Without a GIL no dict is remembered.)
fn retire(py: Attached<'_>, owner: This<'_, Owner>, key: Borrowed<'_>) {
    // SAFETY: only the tables of `LocalObject`s have this function.
    let local = unsafe { Local::assume(owner.object().as_ptr()) };
    if local.last.is_of(key) {
        local.last.forget(py);
    }
}

/// Makes the type. `stock_module` is the stock module.
pub fn make_type(
    py: Attached<'_>,
    module: Borrowed<'_>,
    stock_module: Borrowed<'_>,
) -> Result<OwnedClass, Raised> {
    let like = stock::type_named(py, stock_module, c"_local");
    let local = Type {
        name: c"_thread._local",
        size: size_of::<LocalObject>(),
        weakrefs: Some(offset_of!(LocalObject, owner.weakrefs)),
        flags: ffi::Py_TPFLAGS_HAVE_GC,
        like: Like::Stock(like.as_ref().map(OwnedClass::borrow)),
        slots: &[
            (ffi::Py_tp_new, entry!(new, new) as *mut c_void),
            (ffi::Py_tp_dealloc, collected::dealloc::<LocalObject> as *mut c_void),
            (ffi::Py_tp_traverse, collected::traverse::<LocalObject> as *mut c_void),
            (ffi::Py_tp_clear, collected::clear_all::<LocalObject> as *mut c_void),
            (ffi::Py_tp_getattro, entry!(getattr, get_attribute: LocalObject) as *mut c_void),
            (ffi::Py_tp_setattro, entry!(setattr, set_attribute: LocalObject) as *mut c_void),
        ],
        ..PLAIN
    };
    // SAFETY: the slots are of the kinds that their numbers say, and expect a `LocalObject`.
    let made = unsafe { local.make(py, module) };
    release(like.map(OwnedClass::into_object), py);
    made
}

fn new(py: Attached<'_>, class: Class<'_>, args: Tuple<'_>, kwargs: Option<Dict<'_>>) -> Answer {
    if class.inherits_init() && (!args.is_empty() || kwargs.is_some_and(|kw| !kw.is_empty())) {
        return Err(py.raise(Exception::Type, c"Initialization arguments are not supported"));
    }
    let state = State::of_class(py, class)?;
    // SAFETY: the class was made for this struct, or is derived from it.
    let mut local = unsafe { New::<LocalObject>::allocate(py, class)? };
    local.this().object().enable_deferred_refcount(py);
    local.args.fill_first(args.object().own(py));
    if let Some(kwargs) = kwargs {
        local.kwargs.fill_first(kwargs.object().own(py));
    }
    local.state = state;
    match prepare(py, &mut local, state) {
        Ok(()) => Ok(local.into_owned()),
        Err(raised) => {
            local.release(py);
            Err(raised)
        }
    }
}

/// Fills the table of a new object.
fn prepare(py: Attached<'_>, local: &mut New<LocalObject>, state: &State) -> Result<(), Raised> {
    local.owner.table.fill(py, Some(retire))?;
    // The creating thread gets its dict now, because `type.__call__` runs its `__init__` next.
    let dict = make_dict(py, local.this(), keys::current(py, state)?)?;
    dict.release(py);
    Ok(())
}

/// Makes an empty dict for the calling thread.
fn make_dict(py: Attached<'_>, local: Local<'_>, current: Current<'_>) -> Answer {
    let dict = py.dict()?;
    match Owner::insert(py, owner(local), current, dict.borrow()) {
        Ok(before) => {
            release(before, py);
            Ok(dict)
        }
        Err(raised) => {
            dict.release(py);
            Err(raised)
        }
    }
}

/// The calling thread's dict.
#[inline]
fn dict_of(py: Attached<'_>, local: Local<'_>) -> Answer {
    match local.last.get(py) {
        Some(dict) => Ok(dict),
        None => dict_from_table(py, local),
    }
}

fn dict_from_table(py: Attached<'_>, local: Local<'_>) -> Answer {
    let current = keys::current(py, local.state())?;
    let dict = match local.owner.table.get_again(py, current) {
        Some(dict) => dict,
        None => first_use(py, local, current)?,
    };
    // A thread that is ending is not remembered: nothing would report that its state is gone.
    if !current.is_ending() {
        local.last.set(py, current, dict.borrow());
    }
    Ok(dict)
}

/// The first use of the object by a thread: makes its dict, and runs `__init__` once more for it.
#[cold]
fn first_use(py: Attached<'_>, local: Local<'_>, current: Current<'_>) -> Answer {
    let dict = make_dict(py, local, current)?;
    if init_again(py, local).is_err() {
        // Removed, so that the next use tries again.
        Owner::remove(py, owner(local), current.key());
        dict.release(py);
        return Err(Raised);
    }
    Ok(dict)
}

/// Calls `__init__` with the arguments of the constructor, if the class has one of its own.
fn init_again(py: Attached<'_>, local: Local<'_>) -> Result<(), Raised> {
    let object = local.object();
    match local.args() {
        Some(args) if !object.class().inherits_init() => object.call_init(py, args, local.kwargs()),
        _ => Ok(()),
    }
}

/// Whether the name of an attribute is `__dict__`. The name may be any object, because a program
/// can call `__getattribute__` directly.
#[inline]
fn is_dict(py: Attached<'_>, name: Borrowed<'_>) -> Result<bool, Raised> {
    match name.exact_string_length() {
        Some(length) => Ok(length == "__dict__".len() && name.is_text(c"__dict__")),
        None => equals_dict(py, name),
    }
}

#[cold]
fn equals_dict(py: Attached<'_>, name: Borrowed<'_>) -> Result<bool, Raised> {
    let dict = py.name(c"__dict__")?;
    let equal = name.compare(py, Order::Equal, dict.borrow());
    dict.release(py);
    equal
}

/// The second part of `get_attribute`, after the dict has been found.
fn look_up(py: Attached<'_>, local: Local<'_>, dict: &Owned, name: Borrowed<'_>) -> Answer {
    if is_dict(py, name)? {
        return Ok(dict.borrow().own(py));
    }
    let (object, dict) = (local.object(), as_dict(dict));
    if Some(object.class()) == local.state().local_type.get() {
        // In this very class only `__class__` and similar attributes could take precedence over the
        // dict.
        if let Some(value) = dict.get(py, name)? {
            return Ok(value);
        }
    }
    object.attribute_with_dict(py, name, dict)
}

/// The second part of `set_attribute`.
fn store(
    py: Attached<'_>,
    local: Local<'_>,
    dict: &Owned,
    name: Borrowed<'_>,
    value: Option<Borrowed<'_>>,
) -> Result<(), Raised> {
    if is_dict(py, name)? {
        return Err(py.read_only_attribute(local.object(), name));
    }
    local.object().set_attribute_with_dict(py, name, value, as_dict(dict))
}

/// The result of [`dict_of`] as a dict.
fn as_dict(dict: &Owned) -> Dict<'_> {
    // SAFETY: the values in the table are made by `make_dict`.
    unsafe { Dict::assume(dict.borrow()) }
}

fn get_attribute(py: Attached<'_>, local: Local<'_>, name: Borrowed<'_>) -> Answer {
    let dict = dict_of(py, local)?;
    let value = look_up(py, local, &dict, name);
    dict.release(py);
    value
}

/// `value` is None if the attribute is deleted.
fn set_attribute(
    py: Attached<'_>,
    local: Local<'_>,
    name: Borrowed<'_>,
    value: Option<Borrowed<'_>>,
) -> Result<(), Raised> {
    let dict = dict_of(py, local)?;
    let result = store(py, local, &dict, name, value);
    dict.release(py);
    result
}
