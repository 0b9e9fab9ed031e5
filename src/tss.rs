//! `rthread.TSS`: CPython's Thread Specific Storage API (PEP 539) as an object.
//!
//! The platform's slot holds a borrowed pointer, so that `get` is one call; the table owns the
//! values, so that they are dropped with their thread or with the key.

use core::ffi::{c_int, c_void};
use core::mem::offset_of;
use core::ptr;

use pyo3_ffi::{self as ffi, PyObject, PyTypeObject};

use crate::compat::{self, Raised};
use crate::module::State;
use crate::object::{self, Call, Doc, Function, Like, PLAIN, Property, Type, drop_ref};
use crate::per_thread::{self, Owner};
use crate::sync::{Lock, wait};

#[repr(C)]
struct TssObject {
    owner: Owner,
    /// Keeps `delete` in one thread from dropping what `get` in another is about to return. No
    /// Python code runs under it.
    guard: Lock,
    key: ffi::Py_tss_t,
    module: *const State,
}

const METHODS: &[Function] = &[
    Function {
        name: c"create",
        call: Call::NoArgs(create),
        doc: Doc::Own(
            c"create($self, /)\n--\n\n\
            Create the key. Every thread's value is None at first.\n\n\
            A key that is created already stays as it is. Raises RuntimeError if the platform\n\
            has no more keys.",
        ),
    },
    Function {
        name: c"set",
        call: Call::Object(set),
        doc: Doc::Own(
            c"set($self, value, /)\n--\n\n\
            Set the calling thread's value.\n\n\
            It is dropped when the thread ends, when it is set again or when the key is deleted.\n\
            Raises RuntimeError if the key is not created.",
        ),
    },
    Function {
        name: c"get",
        call: Call::NoArgs(get),
        doc: Doc::Own(
            c"get($self, /)\n--\n\n\
            Return the calling thread's value, None if it has set none.\n\n\
            Raises RuntimeError if the key is not created.",
        ),
    },
    Function {
        name: c"delete",
        call: Call::NoArgs(delete),
        doc: Doc::Own(
            c"delete($self, /)\n--\n\n\
            Delete the key and drop the values of all threads.\n\n\
            Does nothing if the key is not created. It can be created again.",
        ),
    },
];

const DOC: &core::ffi::CStr = c"TSS()\n--\n\n\
    Thread specific storage: one value for each thread.\n\n\
    A new object has no key yet: create() makes it, and delete() gives it back to the platform.\n\
    See PyThread_tss_create() in CPython's C API, and PEP 539.";

/// Makes the type. A new reference.
///
/// # Safety
/// Attached.
pub unsafe fn make_type(module: *mut PyObject) -> Result<*mut PyTypeObject, Raised> {
    // SAFETY: the slots are what their numbers say and expect a TssObject.
    unsafe {
        Type {
            name: c"rthread.TSS",
            size: size_of::<TssObject>(),
            weakrefs: Some(offset_of!(TssObject, owner.weakrefs)),
            flags: ffi::Py_TPFLAGS_HAVE_GC | ffi::Py_TPFLAGS_IMMUTABLETYPE,
            like: Like::Nothing(DOC),
            methods: METHODS,
            properties: &[Property {
                name: c"is_created",
                get: is_created,
                set: None,
                doc: Some(c"Whether the key is created: set() and get() work."),
            }],
            slots: &[
                (ffi::Py_tp_new, new as *mut c_void),
                (ffi::Py_tp_dealloc, dealloc as *mut c_void),
                (ffi::Py_tp_repr, repr as *mut c_void),
                (ffi::Py_tp_traverse, traverse as *mut c_void),
                (ffi::Py_tp_clear, clear_values as *mut c_void),
            ],
            ..PLAIN
        }
        .make(module)
    }
}

impl TssObject {
    /// # Safety
    /// No Python code may run, nothing may detach, until `unguard`.
    unsafe fn guard(&self) {
        if !self.guard.try_acquire() {
            wait(&self.guard, None);
        }
    }

    unsafe fn unguard(&self) {
        let _ = self.guard.release();
    }
}

unsafe fn key_of(tss: *mut TssObject) -> *mut ffi::Py_tss_t {
    // SAFETY: a valid TssObject.
    unsafe { &raw mut (*tss).key }
}

unsafe extern "C-unwind" fn new(
    class: *mut PyTypeObject,
    args: *mut PyObject,
    kwargs: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called by CPython with valid arguments; all zero is a valid TssObject.
    unsafe {
        if compat::refuse_arguments(c"TSS", args, kwargs).is_err() {
            return ptr::null_mut();
        }
        let Ok(module) = State::of_type(class) else { return ptr::null_mut() };
        let tss = object::allocate::<TssObject>(class);
        if tss.is_null() {
            return ptr::null_mut();
        }
        (*tss).key = ffi::Py_tss_NEEDS_INIT;
        (*tss).module = module;
        if (*tss).owner.table.fill(Some(retire)).is_err() {
            drop_ref(tss.cast());
            return ptr::null_mut();
        }
        tss.cast()
    }
}

unsafe extern "C-unwind" fn dealloc(slf: *mut PyObject) {
    // SAFETY: called by CPython when nobody has the object any more.
    unsafe {
        let tss = slf.cast::<TssObject>();
        ffi::PyObject_GC_UnTrack(slf.cast());
        if !(*tss).owner.weakrefs.is_null() {
            ffi::PyObject_ClearWeakRefs(slf);
        }
        ffi::PyThread_tss_delete(key_of(tss));
        (*tss).owner.table.clear();
        object::free(slf);
    }
}

unsafe extern "C-unwind" fn traverse(
    slf: *mut PyObject,
    visit: ffi::visitproc,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: called by the collector with a TssObject.
    unsafe {
        match visit(ffi::Py_TYPE(slf).cast(), arg) {
            0 => (*slf.cast::<TssObject>()).owner.table.traverse(visit, arg),
            stop => stop,
        }
    }
}

/// The collector breaks a cycle: as `delete`, and nobody can call anything afterwards but
/// finalizers, which find the key gone.
unsafe extern "C-unwind" fn clear_values(slf: *mut PyObject) -> c_int {
    // SAFETY: called by the collector with a TssObject.
    unsafe {
        let tss = slf.cast::<TssObject>();
        ffi::PyThread_tss_delete(key_of(tss));
        (*tss).owner.table.clear();
    }
    0
}

/// A thread ends: its slot must not outlive its value. Nobody else can reach the slot, so the
/// thread has to be the calling one; the slot of a thread that is gone is gone too.
unsafe fn retire(slf: *mut PyObject, key: *mut PyObject) {
    if per_thread::is_of_another_thread(key) {
        return;
    }
    // SAFETY: called by the table with the TssObject that it is part of.
    unsafe {
        let tss = slf.cast::<TssObject>();
        (*tss).guard();
        if ffi::PyThread_tss_is_created(key_of(tss)) != 0 {
            ffi::PyThread_tss_set(key_of(tss), ptr::null_mut());
        }
        (*tss).unguard();
    }
}

unsafe fn not_created() -> *mut PyObject {
    // SAFETY: attached.
    unsafe { object::runtime_error(c"TSS key is not created: call create() first") }
}

unsafe extern "C-unwind" fn repr(slf: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by CPython with a TssObject; the format takes two strings and a pointer.
    unsafe {
        let created = ffi::PyThread_tss_is_created(key_of(slf.cast())) != 0;
        let state = if created { c"created" } else { c"not created" };
        ffi::PyUnicode_FromFormat(
            c"<%s %s object at %p>".as_ptr(),
            state.as_ptr(),
            object::type_name(slf),
            slf,
        )
    }
}

unsafe extern "C-unwind" fn is_created(slf: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    // SAFETY: called by CPython with a TssObject.
    compat::bool_object(unsafe { ffi::PyThread_tss_is_created(key_of(slf.cast())) != 0 })
}

unsafe extern "C-unwind" fn create(slf: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a TssObject.
    unsafe {
        let tss = slf.cast::<TssObject>();
        (*tss).guard();
        let failed = ffi::PyThread_tss_create(key_of(tss)) != 0;
        (*tss).unguard();
        if failed {
            return object::runtime_error(c"can't create TSS key: the platform has no more");
        }
    }
    compat::none()
}

unsafe extern "C-unwind" fn get(slf: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a TssObject. Under the guard the table owns what
    // the slot points to.
    unsafe {
        let tss = slf.cast::<TssObject>();
        (*tss).guard();
        let created = ffi::PyThread_tss_is_created(key_of(tss)) != 0;
        let value = if created {
            ffi::PyThread_tss_get(key_of(tss)).cast::<PyObject>()
        } else {
            ptr::null_mut()
        };
        ffi::Py_XINCREF(value);
        (*tss).unguard();
        match (created, value.is_null()) {
            (false, _) => not_created(),
            (true, true) => compat::none(),
            (true, false) => value,
        }
    }
}

unsafe extern "C-unwind" fn set(slf: *mut PyObject, value: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a TssObject and an object.
    unsafe {
        let tss = slf.cast::<TssObject>();
        let Ok(current) = per_thread::current((*tss).module) else { return ptr::null_mut() };
        let Ok(before) = (*tss).owner.table.get(current.key) else { return ptr::null_mut() };
        // The slot changes first: a finalizer of the old value that calls get() finds the new one.
        (*tss).guard();
        let created = ffi::PyThread_tss_is_created(key_of(tss)) != 0;
        let stored = created && ffi::PyThread_tss_set(key_of(tss), value.cast()) == 0;
        (*tss).unguard();
        let result = if !created {
            not_created()
        } else if !stored {
            ffi::PyErr_NoMemory()
        } else {
            let kept = if before.is_null() {
                (*tss).owner.table.insert(slf, current, value).map(|watch| drop_ref(watch))
            } else {
                (*tss).owner.table.replace(current.key, value)
            };
            match kept {
                Ok(()) => compat::none(),
                Err(Raised) => {
                    ffi::PyThread_tss_set(key_of(tss), before.cast());
                    ptr::null_mut()
                }
            }
        };
        drop_ref(before);
        result
    }
}

unsafe extern "C-unwind" fn delete(slf: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a TssObject.
    unsafe {
        let tss = slf.cast::<TssObject>();
        (*tss).guard();
        ffi::PyThread_tss_delete(key_of(tss));
        (*tss).unguard();
        // Finalizers run here; they find an object without a key.
        (*tss).owner.table.empty();
    }
    compat::none()
}
