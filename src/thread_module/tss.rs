//! `rthread.TSS`: CPython's Thread Specific Storage API (PEP 539) as an object.
//!
//! It does not use the platform's own storage slots. Such a slot belongs to a thread of the
//! operating system, while a value here belongs to a thread state. In sub-interpreters the two are
//! not the same: up to 3.12 the threads that call into one take turns with its state. A slot would
//! then outlive its value.

use core::ffi::{CStr, c_int, c_void};
use core::mem::offset_of;
use core::sync::atomic::{AtomicUsize, Ordering};

use pyo3_ffi as ffi;

use crate::capi::collected::{self, Collected};
use crate::capi::entry::{Instance, New, This, Visitor, entry};
use crate::capi::errors::Raised;
use crate::capi::field::WeakRefs;
use crate::capi::object::{Answer, Attached, Borrowed, Class, Dict, OwnedClass, Tuple, release};
use crate::capi::types::{Call, Doc, Function, Like, PLAIN, Property, Type};
use crate::runtime::state::State;
use crate::runtime::thread_values::keys::{self, Current, Owner, Owning, owner};

#[repr(C)]
struct TssObject {
    owner: Owner,
    /// Odd while the key is created. Each `create` or `delete` that changes this adds one.
    life: AtomicUsize,
    /// Valid as long as the type, which every instance keeps alive. Written before other threads
    /// have the object.
    state: *const State,
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

const DOC: &CStr = c"TSS()\n--\n\n\
    Thread specific storage: one value for each thread.\n\n\
    A new object has no key yet: create() makes it, and delete() drops it with all values.\n\
    See PyThread_tss_create() in CPython's C API, and PEP 539.";

/// Makes the type.
pub fn make_type(py: Attached<'_>, module: Borrowed<'_>) -> Result<OwnedClass, Raised> {
    let tss = Type {
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
            (ffi::Py_tp_new, entry!(new, new) as *mut c_void),
            (ffi::Py_tp_dealloc, collected::dealloc::<TssObject> as *mut c_void),
            (ffi::Py_tp_repr, entry!(repr, repr: TssObject) as *mut c_void),
            (ffi::Py_tp_traverse, collected::traverse::<TssObject> as *mut c_void),
            (ffi::Py_tp_clear, collected::clear_all::<TssObject> as *mut c_void),
        ],
        ..PLAIN
    };
    // SAFETY: the slots are of the kinds that their numbers say, and expect a `TssObject`.
    unsafe { tss.make(py, module) }
}

// SAFETY: laid out by C's rules, and begins with an `Owner`, which begins with the header; all zero
// bytes are a valid object.
unsafe impl Instance for TssObject {}

// SAFETY: it begins with an `Owner`.
unsafe impl Owning for TssObject {}

impl Collected for TssObject {
    fn weakrefs(&self) -> &WeakRefs {
        &self.owner.weakrefs
    }

    fn visit(&self, visitor: Visitor<'_>) -> c_int {
        self.owner.table.visit(visitor)
    }

    /// Does the same as `delete`. Afterwards only finalizers can use the object, and they find it
    /// without a key.
    fn clear(this: This<'_, Self>, py: Attached<'_>) {
        this.set_created(false);
        this.owner.table.clear(py);
    }

    fn end(&mut self, _: Attached<'_>) {
        self.owner.table.end();
    }
}

impl TssObject {
    /// The number of the key's present life; None if the key is not created.
    fn life(&self) -> Option<usize> {
        Some(self.life.load(Ordering::SeqCst)).filter(|&life| is_odd(life))
    }

    /// The calling thread's key in the tables of values.
    fn current<'py>(&self, py: Attached<'py>) -> Result<Current<'py>, Raised> {
        // SAFETY: see the field.
        keys::current(py, unsafe { &*self.state })
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

fn new(py: Attached<'_>, class: Class<'_>, args: Tuple<'_>, kwargs: Option<Dict<'_>>) -> Answer {
    py.refuse_arguments(c"TSS", args, kwargs)?;
    let state = State::of_class(py, class)?;
    // SAFETY: the class was made for this struct, or is derived from it.
    let mut tss = unsafe { New::<TssObject>::allocate(py, class)? };
    tss.state = state;
    match tss.owner.table.fill(py, None) {
        Ok(()) => Ok(tss.into_owned()),
        Err(raised) => {
            tss.release(py);
            Err(raised)
        }
    }
}

fn not_created(py: Attached<'_>) -> Raised {
    py.runtime_error(c"TSS key is not created: call create() first")
}

fn repr(py: Attached<'_>, this: This<'_, TssObject>) -> Answer {
    let state = if this.life().is_some() { c"created" } else { c"not created" };
    py.repr_with_state(state, this.object())
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
    let current = this.current(py)?;
    Ok(this.owner.table.get(py, current.key()).unwrap_or_else(|| py.none()))
}

fn set(py: Attached<'_>, this: This<'_, TssObject>, value: Borrowed<'_>) -> Answer {
    let life = this.life().ok_or_else(|| not_created(py))?;
    let current = this.current(py)?;
    let before = Owner::insert(py, owner(this), current, value)?;
    // A `delete` in another thread may have cleared the table before this value was stored. A
    // `delete` that comes later finds the value in the table.
    let result = if this.life() == Some(life) {
        Ok(py.none())
    } else {
        Owner::remove(py, owner(this), current.key());
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
