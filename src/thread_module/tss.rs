//! `rthread.TSS`: CPython's Thread Specific Storage API (PEP 539) as an object.
//!
//! It does not use the platform's own storage slots. Such a slot belongs to a thread of the
//! operating system, while a value here belongs to a thread state. In sub-interpreters the two are
//! not the same: up to 3.12 the threads that call into one take turns with its state. A slot would
//! then outlive its value.

use core::ffi::{c_int, c_void};
use core::mem::offset_of;
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};

use pyo3_ffi::{self as ffi, PyObject, PyTypeObject};

use crate::capi::errors::Raised;
use crate::capi::object::{Answer, Attached, Borrowed, Instance, This, entry, release};
use crate::capi::refs::drop_ref;
use crate::capi::types::{self, Call, Doc, Function, Like, PLAIN, Property, Type};
use crate::capi::{compat, trashcan};
use crate::runtime::state::State;
use crate::runtime::thread_values::keys::{self, Current, Owner};

#[repr(C)]
struct TssObject {
    owner: Owner,
    /// Odd while the key is created. Each `create` or `delete` that changes this adds one.
    life: AtomicUsize,
    module: *const State,
}

const METHODS: &[Function] = &[
    Function {
        name: c"create",
        call: Call::NoArgs(entry!(no_args, create: TssObject)),
        doc: Doc::Own(
            c"create($self, /)\n--\n\n\
            Create the key. Every thread's value is None at first.\n\n\
            A key that is created already stays as it is.",
        ),
    },
    Function {
        name: c"set",
        call: Call::Object(entry!(object, set: TssObject)),
        doc: Doc::Own(
            c"set($self, value, /)\n--\n\n\
            Set the calling thread's value.\n\n\
            It is dropped when the thread ends, when it is set again or when the key is deleted.\n\
            Raises RuntimeError if the key is not created.",
        ),
    },
    Function {
        name: c"get",
        call: Call::NoArgs(entry!(no_args, get: TssObject)),
        doc: Doc::Own(
            c"get($self, /)\n--\n\n\
            Return the calling thread's value, None if it has set none.\n\n\
            Raises RuntimeError if the key is not created.",
        ),
    },
    Function {
        name: c"delete",
        call: Call::NoArgs(entry!(no_args, delete: TssObject)),
        doc: Doc::Own(
            c"delete($self, /)\n--\n\n\
            Delete the key and drop the values of all threads.\n\n\
            Does nothing if the key is not created. It can be created again.",
        ),
    },
];

const DOC: &core::ffi::CStr = c"TSS()\n--\n\n\
    Thread specific storage: one value for each thread.\n\n\
    A new object has no key yet: create() makes it, and delete() drops it with all values.\n\
    See PyThread_tss_create() in CPython's C API, and PEP 539.";

/// Makes the type. Returns a new reference.
///
/// # Safety
/// Attached.
pub unsafe fn make_type(module: *mut PyObject) -> Result<*mut PyTypeObject, Raised> {
    // SAFETY: the slots are of the kinds that their numbers say, and expect a TssObject.
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
                get: entry!(getter, is_created: TssObject),
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

// SAFETY: laid out by C's rules, and begins with an `Owner`, which begins with the header.
unsafe impl Instance for TssObject {}

impl TssObject {
    /// The number of the key's present life; None if the key is not created.
    fn life(&self) -> Option<usize> {
        Some(self.life.load(Ordering::SeqCst)).filter(|&life| is_odd(life))
    }

    /// The calling thread's key in the tables of values.
    fn current(&self) -> Result<Current, Raised> {
        // SAFETY: a method is called attached; the state lives as long as the type.
        unsafe { keys::current(self.module) }
    }

    /// Makes the key created or not created, by going on to the next number.
    fn set_created(&self, created: bool) {
        // Fails, without a change, if the key is in that condition already.
        let _ = self.life.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |life| {
            (is_odd(life) != created).then_some(life.wrapping_add(1))
        });
    }
}

fn is_odd(life: usize) -> bool {
    life % 2 == 1
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
        let tss = types::allocate::<TssObject>(class);
        if tss.is_null() {
            return ptr::null_mut();
        }
        (*tss).module = module;
        if (*tss).owner.table.fill(Attached::assume(), None).is_err() {
            drop_ref(tss.cast());
            return ptr::null_mut();
        }
        tss.cast()
    }
}

unsafe extern "C-unwind" fn dealloc(slf: *mut PyObject) {
    // SAFETY: called by CPython when the last reference is gone.
    unsafe { trashcan::free_with(slf, dealloc, dealloc_now) };
}

unsafe extern "C-unwind" fn dealloc_now(slf: *mut PyObject) {
    // SAFETY: as in `dealloc`.
    unsafe {
        let tss = slf.cast::<TssObject>();
        ffi::PyObject_GC_UnTrack(slf.cast());
        if !(*tss).owner.weakrefs.is_null() {
            ffi::PyObject_ClearWeakRefs(slf);
        }
        (*tss).owner.table.end(Attached::assume());
        types::free(slf);
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

/// Called by the collector to break a cycle. Does the same as `delete`. Afterwards only finalizers
/// can use the object, and they find it without a key.
unsafe extern "C-unwind" fn clear_values(slf: *mut PyObject) -> c_int {
    // SAFETY: called by the collector with a TssObject.
    unsafe {
        let tss = slf.cast::<TssObject>();
        (*tss).set_created(false);
        (*tss).owner.table.clear(Attached::assume());
    }
    0
}

fn not_created(py: Attached<'_>) -> Raised {
    py.runtime_error(c"TSS key is not created: call create() first")
}

unsafe extern "C-unwind" fn repr(slf: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by CPython with a TssObject; the format takes two strings and a pointer.
    unsafe {
        let created = (*slf.cast::<TssObject>()).life().is_some();
        let state = if created { c"created" } else { c"not created" };
        ffi::PyUnicode_FromFormat(
            c"<%s %s object at %p>".as_ptr(),
            state.as_ptr(),
            types::type_name(slf),
            slf,
        )
    }
}

fn is_created(py: Attached<'_>, this: This<'_, TssObject>) -> Answer {
    Ok(py.bool(this.life().is_some()))
}

fn create(py: Attached<'_>, this: This<'_, TssObject>) -> Answer {
    this.set_created(true);
    Ok(py.none())
}

fn get(py: Attached<'_>, this: This<'_, TssObject>) -> Answer {
    if this.life().is_none() {
        return Err(not_created(py));
    }
    let current = this.current()?;
    Ok(this.owner.table.get(py, current.key()).unwrap_or_else(|| py.none()))
}

fn set(py: Attached<'_>, this: This<'_, TssObject>, value: Borrowed<'_>) -> Answer {
    let life = this.life().ok_or_else(|| not_created(py))?;
    let table = &this.owner.table;
    let current = this.current()?;
    let before = table.insert(py, this.object(), current, value)?;
    // A `delete` in another thread may have cleared the table before this value was stored. A
    // `delete` that comes later finds the value in the table.
    let result = if this.life() == Some(life) {
        Ok(py.none())
    } else {
        table.remove(py, this.object(), current.key());
        Err(not_created(py))
    };
    // At the very end: if a finalizer of the old value calls get(), it finds the new one.
    release(before, py);
    result
}

fn delete(py: Attached<'_>, this: This<'_, TssObject>) -> Answer {
    // Finalizers run while the table is cleared. They find an object without a key.
    this.set_created(false);
    this.owner.table.clear(py);
    Ok(py.none())
}
