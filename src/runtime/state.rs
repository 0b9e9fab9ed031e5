//! The state of the module `rthread._rthread`. Each interpreter has one.

use core::cell::Cell;
use core::sync::atomic::AtomicIsize;
use std::sync::{Arc, OnceLock};

use pyo3_ffi as ffi;

use crate::capi::entry::Module;
use crate::capi::errors::Raised;
use crate::capi::field::{ClassField, Field};
use crate::capi::object::{Attached, Borrowed, Class, Exception};
use crate::runtime::lifetime::Lifetime;
use crate::runtime::natives::Natives;
use crate::sync::Event;

/// A function that returns the primitive inside a native event; None if the object is not a native
/// event.
pub type EventInside = for<'a> fn(Attached<'_>, &State, Borrowed<'a>) -> Option<&'a Event>;

/// Declares the state. The collector has to know every reference in it. So the fields of the first
/// two groups are visited and cleared.
macro_rules! state {
    (
        types { $($(#[$type_doc:meta])* $type:ident,)* }
        objects { $($(#[$object_doc:meta])* $object:ident,)* }
        others { $($(#[$other_doc:meta])* $other:ident: $other_type:ty,)* }
    ) => {
        /// The data that the functions of one interpreter's module share.
        pub struct State {
            /// Whether the other fields have been written. CPython provides zeroed memory.
            pub live: bool,
            $($(#[$type_doc])* pub $type: ClassField,)*
            $($(#[$object_doc])* pub $object: Field,)*
            $($(#[$other_doc])* pub $other: $other_type,)*
        }

        impl State {
            /// A state without references.
            fn with($($other: $other_type,)*) -> State {
                State {
                    live: true,
                    $($type: ClassField::empty(),)*
                    $($object: Field::empty(),)*
                    $($other,)*
                }
            }

            /// All references.
            pub fn fields(&self) -> impl Iterator<Item = &Field> {
                [$(self.$type.as_field(),)* $(&self.$object,)*]
                    .into_iter()
                    .chain(self.natives.fields())
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
        /// The platform's limit for the name of a thread, in bytes. Written before other threads
        /// use the module.
        name_limit: Cell<usize>,
    }
}

impl State {
    /// A state without references.
    pub fn new(lifetime: Arc<Lifetime>, event_inside: EventInside) -> State {
        let (count, limit) = (Arc::new(AtomicIsize::new(0)), Cell::new(0));
        State::with(count, lifetime, Natives::none(), event_inside, limit)
    }

    /// The state of a module.
    #[inline]
    #[must_use]
    pub fn of(module: Module<'_>) -> &State {
        // SAFETY: the module of rthread, with its state filled; the state lives as long.
        unsafe { &*ffi::PyModule_GetState(module.object().as_ptr()).cast() }
    }

    /// The state of the module that made a class or one of its bases, which keeps the module alive.
    pub fn of_class<'a>(py: Attached<'_>, class: Class<'a>) -> Result<&'a State, Raised> {
        // From 3.11 on `PyType_GetModuleByDef` does the same.
        let mut base = Some(class);
        while let Some(class) = base.filter(|base| base.flags() & ffi::Py_TPFLAGS_HEAPTYPE != 0) {
            // SAFETY: attached; only heap types may be asked for their module, which they have a
            // reference to. A module of this definition is rthread's.
            unsafe {
                match Borrowed::assume_if_any(ffi::PyType_GetModule(class.as_ptr())) {
                    Some(module) if is_ours(module) => {
                        return Ok(State::of(Module::assume(module)));
                    }
                    Some(_) => {}
                    None => py.clear_error(),
                }
            }
            base = class.base();
        }
        Err(py.raise(Exception::Type, c"not a type of rthread"))
    }

    /// [`State::of_class`] for the class of an object.
    pub fn of_object<'a>(py: Attached<'_>, object: Borrowed<'a>) -> Result<&'a State, Raised> {
        State::of_class(py, object.class())
    }
}

/// Whether a module is one of rthread's.
fn is_ours(module: Borrowed<'_>) -> bool {
    // SAFETY: the module is alive.
    let definition = unsafe { ffi::PyModule_GetDef(module.as_ptr()) };
    DEFINITION.get().is_some_and(|ours| definition == ours.0)
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
