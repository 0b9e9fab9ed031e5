//! `_thread._local`: an object with separate attributes for each thread.

#[cfg(not(Py_GIL_DISABLED))]
use core::cell::Cell;
use core::ffi::{c_int, c_void};
use core::mem::offset_of;
use core::ptr;

use pyo3_ffi::{self as ffi, PyObject, PyTypeObject};

use crate::capi::errors::{Raised, raise};
use crate::capi::object::{Answer, Attached, Borrowed, Instance, Owned, This, entry, release};
use crate::capi::refs::{clear, drop_ref};
use crate::capi::types::{self, Like, PLAIN, Type};
use crate::capi::{compat, stock, trashcan};
use crate::runtime::state::State;
use crate::runtime::thread_values::keys::{self, Current, Owner};

#[repr(C)]
struct LocalObject {
    /// The table in it has one dict of attributes for each thread.
    owner: Owner,
    /// The arguments that `__init__` gets in every thread.
    args: *mut PyObject,
    kwargs: *mut PyObject,
    /// Valid as long as the type, which every instance keeps alive.
    module: *const State,
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
    /// The calling thread's dict as a new reference, or None if another thread's dict is
    /// remembered.
    #[inline]
    fn get(&self, py: Attached<'_>) -> Option<Owned> {
        if self.thread.get() != compat::thread_state() {
            return None;
        }
        // SAFETY: the reference is owned, and with a GIL no other thread drops it meanwhile.
        Some(unsafe { Borrowed::assume(self.dict.get()) }.own(py))
    }

    /// Remembers the calling thread's dict.
    fn set(&self, py: Attached<'_>, current: Current, dict: Borrowed<'_>) {
        // A thread that is ending is not remembered: nothing would report that its state is gone.
        if !current.is_ending() {
            self.forget(py);
            self.dict.set(dict.own(py).into_raw());
            self.key.set(current.key().as_ptr());
            self.thread.set(compat::thread_state());
        }
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

    fn dict(&self) -> *mut PyObject {
        self.dict.get()
    }
}

#[cfg(Py_GIL_DISABLED)]
impl Last {
    #[inline]
    fn get(&self, _: Attached<'_>) -> Option<Owned> {
        None
    }

    fn set(&self, _: Attached<'_>, _: Current, _: Borrowed<'_>) {}

    fn forget(&self, _: Attached<'_>) {}

    fn is_of(&self, _: Borrowed<'_>) -> bool {
        false
    }

    fn dict(&self) -> *mut PyObject {
        ptr::null_mut()
    }
}

// SAFETY: laid out by C's rules, and begins with an `Owner`, which begins with the header.
unsafe impl Instance for LocalObject {}

type Local<'py> = This<'py, LocalObject>;

/// A thread ends, and its dict is dropped. (Without a GIL no dict is remembered.)
unsafe fn retire(slf: *mut PyObject, key: *mut PyObject) {
    // SAFETY: attached; called by the table, with the LocalObject that the table is in and a key.
    let (py, local, key) =
        unsafe { (Attached::assume(), Local::assume(slf), Borrowed::assume(key)) };
    if local.last.is_of(key) {
        local.last.forget(py);
    }
}

/// Makes the type. Returns a new reference.
///
/// # Safety
/// Attached; `stock_module` is the stock module.
pub unsafe fn make_type(
    module: *mut PyObject,
    stock_module: *mut PyObject,
) -> Result<*mut PyTypeObject, Raised> {
    // SAFETY: the slots are of the kinds that their numbers say, and expect a LocalObject.
    unsafe {
        let like = stock::type_named(stock_module, c"_local");
        let made = Type {
            name: c"_thread._local",
            size: size_of::<LocalObject>(),
            weakrefs: Some(offset_of!(LocalObject, owner.weakrefs)),
            flags: ffi::Py_TPFLAGS_HAVE_GC,
            like: Like::Stock(like),
            slots: &[
                (ffi::Py_tp_new, new as *mut c_void),
                (ffi::Py_tp_dealloc, dealloc as *mut c_void),
                (ffi::Py_tp_traverse, traverse as *mut c_void),
                (ffi::Py_tp_clear, clear_local as *mut c_void),
                (ffi::Py_tp_getattro, entry!(object, get_attribute: LocalObject) as *mut c_void),
                (ffi::Py_tp_setattro, entry!(setattr, set_attribute: LocalObject) as *mut c_void),
            ],
            ..PLAIN
        }
        .make(module);
        drop_ref(like.cast());
        made
    }
}

unsafe extern "C-unwind" fn new(
    class: *mut PyTypeObject,
    args: *mut PyObject,
    kwargs: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called by CPython with valid arguments; all zero is a valid LocalObject.
    unsafe {
        if compat::inherits_init(class) && any(args, kwargs) {
            return raise(ffi::PyExc_TypeError, c"Initialization arguments are not supported");
        }
        let Ok(module) = State::of_type(class) else { return ptr::null_mut() };
        let object = types::allocate::<LocalObject>(class);
        if object.is_null() {
            return ptr::null_mut();
        }
        compat::enable_deferred_refcount(object.cast());
        ffi::Py_XINCREF(args);
        ffi::Py_XINCREF(kwargs);
        (*object).args = args;
        (*object).kwargs = kwargs;
        (*object).module = module;
        // The creating thread gets its dict now, because `type.__call__` runs its `__init__` next.
        let py = Attached::assume();
        let ready = (*object).owner.table.fill(py, Some(retire)).is_ok()
            && keys::current(module)
                .and_then(|current| make_dict(py, Local::assume(object.cast()), current))
                .map(|dict| dict.release(py))
                .is_ok();
        if !ready {
            drop_ref(object.cast());
            return ptr::null_mut();
        }
        object.cast()
    }
}

/// Whether there are any arguments.
unsafe fn any(args: *mut PyObject, kwargs: *mut PyObject) -> bool {
    // SAFETY: a tuple, and a dict or null.
    unsafe {
        (!args.is_null() && ffi::PyTuple_GET_SIZE(args) > 0)
            || (!kwargs.is_null() && ffi::PyDict_Size(kwargs) > 0)
    }
}

unsafe extern "C-unwind" fn traverse(
    slf: *mut PyObject,
    visit: ffi::visitproc,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: called by the collector with a LocalObject.
    unsafe {
        let local = slf.cast::<LocalObject>();
        let last = (*local).last.dict();
        for object in [ffi::Py_TYPE(slf).cast(), (*local).args, (*local).kwargs, last] {
            if !object.is_null() {
                let stop = visit(object, arg);
                if stop != 0 {
                    return stop;
                }
            }
        }
        (*local).owner.table.traverse(visit, arg)
    }
}

unsafe extern "C-unwind" fn clear_local(slf: *mut PyObject) -> c_int {
    // SAFETY: called by the collector or by dealloc with a LocalObject.
    unsafe {
        let local = slf.cast::<LocalObject>();
        clear(&mut (*local).args);
        clear(&mut (*local).kwargs);
        (*local).last.forget(Attached::assume());
        (*local).owner.table.clear(Attached::assume());
    }
    0
}

unsafe extern "C-unwind" fn dealloc(slf: *mut PyObject) {
    // SAFETY: called by CPython when the last reference is gone.
    unsafe { trashcan::free_with(slf, dealloc, dealloc_now) };
}

unsafe extern "C-unwind" fn dealloc_now(slf: *mut PyObject) {
    // SAFETY: as in `dealloc`.
    unsafe {
        ffi::PyObject_GC_UnTrack(slf.cast());
        // First: code that runs below must not reach the dying object through a weak reference.
        if !(*slf.cast::<LocalObject>()).owner.weakrefs.is_null() {
            ffi::PyObject_ClearWeakRefs(slf);
        }
        clear_local(slf);
        (*slf.cast::<LocalObject>()).owner.table.end(Attached::assume());
        types::free(slf);
    }
}

/// Makes an empty dict for the calling thread. Returns a new reference.
fn make_dict(py: Attached<'_>, local: Local<'_>, current: Current) -> Answer {
    let dict = py.dict()?;
    match local.owner.table.insert(py, local.object(), current, dict.borrow()) {
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

/// The calling thread's dict as a new reference.
#[inline]
fn dict_of(py: Attached<'_>, local: Local<'_>) -> Answer {
    match local.last.get(py) {
        Some(dict) => Ok(dict),
        None => dict_from_table(py, local),
    }
}

fn dict_from_table(py: Attached<'_>, local: Local<'_>) -> Answer {
    // SAFETY: attached; the state lives as long as the type.
    let current = unsafe { keys::current(local.module) }?;
    let dict = match local.owner.table.get_again(py, current) {
        Some(dict) => dict,
        None => first_use(py, local, current)?,
    };
    local.last.set(py, current, dict.borrow());
    Ok(dict)
}

/// The first use of the object by a thread: makes its dict, and runs `__init__` once more for it.
/// Returns the dict as a new reference.
#[cold]
fn first_use(py: Attached<'_>, local: Local<'_>, current: Current) -> Answer {
    let dict = make_dict(py, local, current)?;
    if init_again(py, local).is_err() {
        // Removed, so that the next use tries again.
        local.owner.table.remove(py, local.object(), current.key());
        dict.release(py);
        return Err(Raised);
    }
    Ok(dict)
}

/// Calls `__init__` with the arguments of the constructor, if the class has one of its own.
fn init_again(_: Attached<'_>, local: Local<'_>) -> Result<(), Raised> {
    // SAFETY: attached; a valid object and its class, and arguments that it owns.
    unsafe {
        let object = local.object().as_ptr();
        let class = ffi::Py_TYPE(object);
        let failed = !compat::inherits_init(class)
            && (*class).tp_init.is_some_and(|init| init(object, local.args, local.kwargs) < 0);
        if failed { Err(Raised) } else { Ok(()) }
    }
}

/// Whether the name of an attribute is `__dict__`. The name may be any object, because a program
/// can call `__getattribute__` directly.
#[inline]
unsafe fn is_dict(name: *mut PyObject) -> Result<bool, Raised> {
    const LENGTH: ffi::Py_ssize_t = "__dict__".len() as ffi::Py_ssize_t;
    // SAFETY: attached, a valid object.
    unsafe {
        if ffi::PyUnicode_CheckExact(name) == 0 {
            return equals_dict(name);
        }
        Ok(ffi::PyUnicode_GET_LENGTH(name) == LENGTH
            && ffi::PyUnicode_CompareWithASCIIString(name, c"__dict__".as_ptr()) == 0)
    }
}

#[cold]
unsafe fn equals_dict(name: *mut PyObject) -> Result<bool, Raised> {
    // SAFETY: attached, a valid object; the new reference is given back.
    unsafe {
        let dict = ffi::PyUnicode_InternFromString(c"__dict__".as_ptr());
        if dict.is_null() {
            return Err(Raised);
        }
        let equal = ffi::PyObject_RichCompareBool(name, dict, ffi::Py_EQ);
        drop_ref(dict);
        if equal < 0 { Err(Raised) } else { Ok(equal != 0) }
    }
}

/// The second part of `get_attribute`, after the dict has been found.
fn look_up(py: Attached<'_>, local: Local<'_>, dict: &Owned, name: Borrowed<'_>) -> Answer {
    // SAFETY: attached; valid objects; the results are new references, or null.
    unsafe {
        if is_dict(name.as_ptr())? {
            return Ok(dict.borrow().own(py));
        }
        let (object, dict) = (local.object().as_ptr(), dict.borrow().as_ptr());
        if ffi::Py_TYPE(object) == (*local.module).local_type {
            // In this very class only `__class__` and similar attributes could take precedence over
            // the dict.
            if let Some(value) = py.own_if_any(compat::dict_get(dict, name.as_ptr())?) {
                return Ok(value);
            }
        }
        py.own(compat::_PyObject_GenericGetAttrWithDict(object, name.as_ptr(), dict, 0))
    }
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
    // SAFETY: attached; valid objects.
    let result = unsafe {
        let (object, name) = (local.object().as_ptr(), name.as_ptr());
        let value = value.map_or(ptr::null_mut(), Borrowed::as_ptr);
        match is_dict(name) {
            Ok(false) => {
                let dict = dict.borrow().as_ptr();
                match compat::_PyObject_GenericSetAttrWithDict(object, name, value, dict) {
                    0 => Ok(()),
                    _ => Err(Raised),
                }
            }
            Ok(true) => {
                ffi::PyErr_Format(
                    ffi::PyExc_AttributeError,
                    c"'%.100s' object attribute %R is read-only".as_ptr(),
                    types::type_name(object),
                    name,
                );
                Err(Raised)
            }
            Err(raised) => Err(raised),
        }
    };
    dict.release(py);
    result
}
