//! The state of the module `rthread._rthread`: one for each interpreter.

use core::ptr;
use core::sync::atomic::AtomicIsize;
use std::sync::{Arc, OnceLock};

use pyo3_ffi::{self as ffi, PyObject, PyTypeObject};

use crate::capi::errors::{Raised, raise};
use crate::runtime::lifetime::Lifetime;
use crate::runtime::natives::Natives;
use crate::sync::Event;

/// The primitive inside of a native event; null if the object is none.
pub type EventInside = unsafe fn(module: *const State, object: *mut PyObject) -> *const Event;

/// Declares the state, of which the collector has to know every reference: a field of the first two
/// groups is visited and cleared, and begins as null.
macro_rules! state {
    (
        types { $($(#[$type_doc:meta])* $type:ident,)* }
        objects { $($(#[$object_doc:meta])* $object:ident,)* }
        others { $($(#[$other_doc:meta])* $other:ident: $other_type:ty,)* }
    ) => {
        /// What the functions of one interpreter's module share. References are owned.
        pub struct State {
            /// Whether the rest has been written: CPython hands out zeroed memory.
            pub live: bool,
            $($(#[$type_doc])* pub $type: *mut PyTypeObject,)*
            $($(#[$object_doc])* pub $object: *mut PyObject,)*
            $($(#[$other_doc])* pub $other: $other_type,)*
        }

        impl State {
            /// A state without references.
            fn with($($other: $other_type,)*) -> State {
                State {
                    live: true,
                    $($type: ptr::null_mut(),)*
                    $($object: ptr::null_mut(),)*
                    $($other,)*
                }
            }

            /// All references.
            pub fn objects(&mut self) -> impl Iterator<Item = &mut *mut PyObject> {
                fn of(class: &mut *mut PyTypeObject) -> &mut *mut PyObject {
                    // SAFETY: every type is an object; a pointer to one is laid out like the other.
                    unsafe { &mut *ptr::from_mut(class).cast() }
                }
                [$(of(&mut self.$type),)* $(&mut self.$object,)*]
                    .into_iter()
                    .chain(self.natives.objects())
            }
        }
    };
}

state! {
    types {
        lock_type,
        rlock_type,
        local_type,
        handle_type,
        tss_type,
        key_type,
        sentinel_type,
        /// The stock type: one for both, so that a hook takes what either module makes.
        excepthook_type,
    }
    objects {
        /// The `_thread` that the interpreter came with.
        stock,
        /// Where in a thread state's dict the thread's sentinel is.
        slot,
        /// Names of attributes that every start of a thread looks at.
        qualname_name,
        started_name,
        ident_name,
    }
    others {
        /// How many threads that we started are running. Outlives the module: threads have it too.
        count: Arc<AtomicIsize>,
        /// How long the interpreter lives. Outlives the module as well.
        lifetime: Arc<Lifetime>,
        /// The native classes, made when they are asked for.
        natives: Natives,
        /// How a thread that begins finds the event by which it says so.
        event_inside: EventInside,
        /// The longest name of a thread that the platform takes, in bytes.
        name_limit: usize,
    }
}

impl State {
    /// A state without references.
    pub fn new(lifetime: Arc<Lifetime>, event_inside: EventInside) -> State {
        State::with(Arc::new(AtomicIsize::new(0)), lifetime, Natives::none(), event_inside, 0)
    }

    /// The state of a module.
    ///
    /// # Safety
    /// Attached; `module` is one of ours, initialised.
    #[inline]
    pub unsafe fn of(module: *mut PyObject) -> *const State {
        // SAFETY: as the caller promises.
        unsafe { ffi::PyModule_GetState(module).cast() }
    }

    /// The state of the module that made a type, or one of its bases.
    ///
    /// # Safety
    /// Attached; a valid type that has one of ours as a base.
    pub unsafe fn of_type(class: *mut PyTypeObject) -> Result<*const State, Raised> {
        // PyType_GetModuleByDef does this from 3.11 on.
        // SAFETY: a base is a type or null; only heap types may be asked for their module.
        unsafe {
            let mut base = class;
            while !base.is_null() && ffi::PyType_GetFlags(base) & ffi::Py_TPFLAGS_HEAPTYPE != 0 {
                let module = ffi::PyType_GetModule(base);
                if module.is_null() {
                    ffi::PyErr_Clear();
                } else if DEFINITION
                    .get()
                    .is_some_and(|ours| ffi::PyModule_GetDef(module) == ours.0)
                {
                    return Ok(State::of(module));
                }
                base = (*base).tp_base;
            }
            raise(ffi::PyExc_TypeError, c"not a type of rthread");
        }
        Err(Raised)
    }
}

struct Definition(*mut ffi::PyModuleDef);

// SAFETY: CPython guards it; we only compare its address.
unsafe impl Send for Definition {}
// SAFETY: as above.
unsafe impl Sync for Definition {}

static DEFINITION: OnceLock<Definition> = OnceLock::new();

/// The definition of the module, which lives for ever; `make` is called once.
pub fn definition_or(make: impl FnOnce() -> ffi::PyModuleDef) -> *mut ffi::PyModuleDef {
    DEFINITION.get_or_init(|| Definition(Box::leak(Box::new(make())))).0
}
