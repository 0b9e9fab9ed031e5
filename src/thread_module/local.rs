//! `_thread._local`: an object with separate attributes for each thread.

use core::ffi::{c_int, c_void};
use core::mem::offset_of;
use core::ptr;

use pyo3_ffi::{self as ffi, PyObject, PyTypeObject};

use crate::capi::errors::{Raised, raise};
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
    thread: *mut ffi::PyThreadState,
    key: *mut PyObject,
    dict: *mut PyObject,
}

#[cfg(Py_GIL_DISABLED)]
struct Last;

impl Last {
    /// The calling thread's dict as a new reference, or null if another thread's dict is
    /// remembered.
    #[inline]
    unsafe fn get(&self) -> *mut PyObject {
        #[cfg(not(Py_GIL_DISABLED))]
        if self.thread == compat::thread_state() {
            // SAFETY: attached, and the reference is owned.
            unsafe { ffi::Py_INCREF(self.dict) };
            return self.dict;
        }
        ptr::null_mut()
    }

    /// # Safety
    /// Attached; `dict` belongs to the calling thread.
    unsafe fn set(&mut self, current: Current, dict: *mut PyObject) {
        #[cfg(not(Py_GIL_DISABLED))]
        // SAFETY: attached. A thread that is ending is not remembered: nothing would report that
        // its state is gone.
        unsafe {
            if !current.is_ending() {
                self.forget();
                ffi::Py_INCREF(dict);
                *self = Last { thread: compat::thread_state(), key: current.key, dict };
            }
        }
        #[cfg(Py_GIL_DISABLED)]
        let _ = (current, dict);
    }

    /// # Safety
    /// Attached.
    unsafe fn forget(&mut self) {
        #[cfg(not(Py_GIL_DISABLED))]
        // SAFETY: attached, and the reference is owned.
        unsafe {
            self.thread = ptr::null_mut();
            self.key = ptr::null_mut();
            clear(&mut self.dict);
        }
    }

    fn dict(&self) -> *mut PyObject {
        #[cfg(not(Py_GIL_DISABLED))]
        return self.dict;
        #[cfg(Py_GIL_DISABLED)]
        ptr::null_mut()
    }
}

/// A thread ends, and its dict is dropped. (Without a GIL no dict is remembered.)
unsafe fn retire(slf: *mut PyObject, key: *mut PyObject) {
    #[cfg(not(Py_GIL_DISABLED))]
    // SAFETY: attached; called by the table, with the LocalObject that the table is in.
    unsafe {
        let last = &mut (*slf.cast::<LocalObject>()).last;
        if last.key == key {
            last.forget();
        }
    }
    #[cfg(Py_GIL_DISABLED)]
    let _ = (slf, key);
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
                (ffi::Py_tp_getattro, get_attribute as *mut c_void),
                (ffi::Py_tp_setattro, set_attribute as *mut c_void),
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
        let ready = (*object).owner.table.fill(Some(retire)).is_ok()
            && keys::current(module)
                .and_then(|current| make_dict(object, current))
                .map(|dict| drop_ref(dict))
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
        (*local).last.forget();
        (*local).owner.table.clear();
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
        (*slf.cast::<LocalObject>()).owner.table.end();
        types::free(slf);
    }
}

/// Makes an empty dict for the calling thread. Returns a new reference.
unsafe fn make_dict(local: *mut LocalObject, current: Current) -> Result<*mut PyObject, Raised> {
    // SAFETY: attached; a valid LocalObject.
    unsafe {
        let dict = ffi::PyDict_New();
        if dict.is_null() {
            return Err(Raised);
        }
        match (*local).owner.table.insert(local.cast(), current, dict) {
            Ok(before) => {
                drop_ref(before);
                Ok(dict)
            }
            Err(Raised) => {
                drop_ref(dict);
                Err(Raised)
            }
        }
    }
}

/// The calling thread's dict as a new reference.
#[inline]
unsafe fn dict_of(local: *mut LocalObject) -> Result<*mut PyObject, Raised> {
    // SAFETY: attached; a valid LocalObject.
    unsafe {
        let dict = (*local).last.get();
        if dict.is_null() { dict_from_table(local) } else { Ok(dict) }
    }
}

unsafe fn dict_from_table(local: *mut LocalObject) -> Result<*mut PyObject, Raised> {
    // SAFETY: attached; a valid LocalObject.
    unsafe {
        let current = keys::current((*local).module)?;
        let mut dict = (*local).owner.table.get_again(current);
        if dict.is_null() {
            dict = first_use(local, current)?;
        }
        (*local).last.set(current, dict);
        Ok(dict)
    }
}

/// The first use of the object by a thread: makes its dict, and runs `__init__` once more for it.
/// Returns the dict as a new reference.
#[cold]
unsafe fn first_use(local: *mut LocalObject, current: Current) -> Result<*mut PyObject, Raised> {
    // SAFETY: attached; a valid LocalObject.
    unsafe {
        let dict = make_dict(local, current)?;
        let class = ffi::Py_TYPE(local.cast());
        let failed = !compat::inherits_init(class)
            && (*class)
                .tp_init
                .is_some_and(|init| init(local.cast(), (*local).args, (*local).kwargs) < 0);
        if failed {
            // Removed, so that the next use tries again.
            (*local).owner.table.remove(local.cast(), current.key);
            drop_ref(dict);
            return Err(Raised);
        }
        Ok(dict)
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
unsafe fn look_up(
    local: *mut LocalObject,
    dict: *mut PyObject,
    name: *mut PyObject,
) -> Result<*mut PyObject, Raised> {
    // SAFETY: attached; valid objects.
    unsafe {
        if is_dict(name)? {
            ffi::Py_INCREF(dict);
            return Ok(dict);
        }
        if ffi::Py_TYPE(local.cast()) == (*(*local).module).local_type {
            // In this very class only `__class__` and similar attributes could take precedence over
            // the dict.
            let value = compat::dict_get(dict, name)?;
            if !value.is_null() {
                return Ok(value);
            }
        }
        Ok(compat::_PyObject_GenericGetAttrWithDict(local.cast(), name, dict, 0))
    }
}

unsafe extern "C-unwind" fn get_attribute(
    slf: *mut PyObject,
    name: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a LocalObject and a name.
    unsafe {
        let local = slf.cast::<LocalObject>();
        let Ok(dict) = dict_of(local) else { return ptr::null_mut() };
        let value = look_up(local, dict, name).unwrap_or(ptr::null_mut());
        ffi::Py_DECREF(dict);
        value
    }
}

unsafe extern "C-unwind" fn set_attribute(
    slf: *mut PyObject,
    name: *mut PyObject,
    value: *mut PyObject,
) -> c_int {
    // SAFETY: called by CPython, attached, with a LocalObject, a name, and an object or null.
    unsafe {
        let Ok(dict) = dict_of(slf.cast()) else { return -1 };
        let result = match is_dict(name) {
            Ok(false) => compat::_PyObject_GenericSetAttrWithDict(slf, name, value, dict),
            Ok(true) => {
                ffi::PyErr_Format(
                    ffi::PyExc_AttributeError,
                    c"'%.100s' object attribute %R is read-only".as_ptr(),
                    types::type_name(slf),
                    name,
                );
                -1
            }
            Err(Raised) => -1,
        };
        ffi::Py_DECREF(dict);
        result
    }
}
