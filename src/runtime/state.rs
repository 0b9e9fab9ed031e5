//! The state of the module `rthread._rthread`. Each interpreter has one.

use core::ptr;
use core::sync::atomic::AtomicIsize;
use std::sync::{Arc, OnceLock};

use pyo3_ffi::{self as ffi, PyObject, PyTypeObject};

use crate::capi::errors::{Raised, raise};
use crate::runtime::lifetime::Lifetime;
use crate::runtime::natives::Natives;
use crate::sync::Event;

/// A function that returns the primitive inside a native event; null if the object is not a native
/// event.
pub type EventInside = unsafe fn(module: *const State, object: *mut PyObject) -> *const Event;

/// Declares the state. The collector has to know every reference in it. So the fields of the first
/// two groups begin as null, and are visited and cleared.
macro_rules! state {
    (
        types { $($(#[$type_doc:meta])* $type:ident,)* }
        objects { $($(#[$object_doc:meta])* $object:ident,)* }
        others { $($(#[$other_doc:meta])* $other:ident: $other_type:ty,)* }
    ) => {
        /// The data that the functions of one interpreter's module share. References are owned.
        pub struct State {
            /// Whether the other fields have been written. CPython provides zeroed memory.
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
                    // SAFETY: every type is an object, so a pointer to a type can be used as a
                    // pointer to an object.
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
        /// The stock type. Both modules use the same one, so that a hook accepts the arguments from
        /// either.
        excepthook_type,
    }
    objects {
        /// The stock `_thread` module.
        stock,
        /// The key in a thread state's dict under which the sentinel of `thread_values::keys` is
        /// stored.
        slot,
        /// Names of attributes that every start of a thread reads.
        qualname_name,
        started_name,
        ident_name,
    }
    others {
        /// The number of running threads that rthread has started. The threads share it, so it may
        /// outlive the module.
        count: Arc<AtomicIsize>,
        /// The lifetime of the interpreter. It may outlive the module too.
        lifetime: Arc<Lifetime>,
        /// The native classes of `threading` and `queue`. They are made on request.
        natives: Natives,
        /// Finds the event by which a new thread says that it runs. `threading` provides the
        /// function.
        event_inside: EventInside,
        /// The platform's limit for the name of a thread, in bytes.
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
    /// Attached; `module` is `rthread._rthread`, and its state has been filled.
    #[inline]
    pub unsafe fn of(module: *mut PyObject) -> *const State {
        // SAFETY: as the caller promises.
        unsafe { ffi::PyModule_GetState(module).cast() }
    }

    /// The state of the module that made a type or one of its bases.
    ///
    /// # Safety
    /// Attached; a valid type that has one of rthread's types as a base.
    pub unsafe fn of_type(class: *mut PyTypeObject) -> Result<*const State, Raised> {
        // From 3.11 on `PyType_GetModuleByDef` does the same.
        // SAFETY: a base is a type or null. Only heap types may be asked for their module.
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

// SAFETY: CPython guards the definition. Here only its address is compared.
unsafe impl Send for Definition {}
// SAFETY: as above.
unsafe impl Sync for Definition {}

static DEFINITION: OnceLock<Definition> = OnceLock::new();

/// The definition of the module, which lives for ever. `make` is called once.
pub fn definition_or(make: impl FnOnce() -> ffi::PyModuleDef) -> *mut ffi::PyModuleDef {
    DEFINITION.get_or_init(|| Definition(Box::leak(Box::new(make())))).0
}
