//! The native classes of an interpreter, and facts about the classes and names that they depend on.

use core::ffi::CStr;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use crate::capi::compat::NamespaceWatch;
use crate::capi::errors::Raised;
use crate::capi::field::{ClassField, Field};
use crate::capi::object::{Answer, Attached, Borrowed, Class, Dict, Exception};
use crate::runtime::state::State;

/// The native classes, followed by the exceptions that belong to them. Indexes into the arrays of
/// [`Natives`].
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Kind {
    Condition,
    Event,
    Semaphore,
    BoundedSemaphore,
    Barrier,
    Queue,
    LifoQueue,
    PriorityQueue,
    SimpleQueue,
    BrokenBarrierError,
    Empty,
    Full,
    ShutDown,
}

impl Kind {
    /// The native classes.
    pub const CLASSES: [Kind; 9] = [
        Kind::Condition,
        Kind::Event,
        Kind::Semaphore,
        Kind::BoundedSemaphore,
        Kind::Barrier,
        Kind::Queue,
        Kind::LifoQueue,
        Kind::PriorityQueue,
        Kind::SimpleQueue,
    ];

    /// Their names in their modules: the classes, then the exceptions.
    pub const NAMES: [&CStr; COUNT] = [
        c"Condition",
        c"Event",
        c"Semaphore",
        c"BoundedSemaphore",
        c"Barrier",
        c"Queue",
        c"LifoQueue",
        c"PriorityQueue",
        c"SimpleQueue",
        c"BrokenBarrierError",
        c"Empty",
        c"Full",
        c"ShutDown",
    ];
}

/// The number of kinds.
pub const COUNT: usize = Kind::ShutDown as usize + 1;

/// Declares the data of the native classes, of which the collector has to know every reference: a
/// field of the first four groups is visited and cleared.
macro_rules! natives {
    (
        type_tables { $($(#[$type_table_doc:meta])* $type_table:ident,)* }
        types { $($(#[$type_doc:meta])* $type:ident,)* }
        tables { $($(#[$table_doc:meta])* $table:ident: $length:expr,)* }
        objects { $($(#[$object_doc:meta])* $object:ident,)* }
        others { $($(#[$other_doc:meta])* $other:ident: $other_type:ty = $init:expr,)* }
    ) => {
        /// The native types of one interpreter, and the Python classes that they stand in for.
        /// The fields are empty until the classes are made.
        pub struct Natives {
            $($(#[$type_table_doc])* pub $type_table: [ClassField; COUNT],)*
            $($(#[$type_doc])* pub $type: ClassField,)*
            $($(#[$table_doc])* pub $table: [Field; $length],)*
            $($(#[$object_doc])* pub $object: Field,)*
            $($(#[$other_doc])* pub $other: $other_type,)*
            pub lookups: Lookups,
        }

        impl Natives {
            /// No class is made yet.
            pub const fn none() -> Natives {
                Natives {
                    $($type_table: [const { ClassField::empty() }; COUNT],)*
                    $($type: ClassField::empty(),)*
                    $($table: [const { Field::empty() }; $length],)*
                    $($object: Field::empty(),)*
                    $($other: $init,)*
                    lookups: Lookups::none(),
                }
            }

            /// All references.
            pub fn fields(&self) -> impl Iterator<Item = &Field> {
                let types = core::iter::empty()
                    $(.chain(&self.$type_table))*
                    .chain([$(&self.$type,)*]);
                types
                    .map(ClassField::as_field)
                    $(.chain(&self.$table))*
                    .chain([$(&self.$object,)*])
                    .chain(self.lookups.fields())
            }
        }
    };
}

natives! {
    type_tables {
        types,
    }
    types {
        /// The type of the methods of native classes.
        method_type,
    }
    tables {
        python: COUNT,
        /// The `__init__` functions of the Python classes.
        inits: COUNT,
        /// Dicts of attributes. A class serves its objects natively only if it has these very
        /// attributes, see `threading::head`.
        snapshots: COUNT,
        /// Python functions that make the attributes of an object, see `threading::materialize`.
        recipes: COUNT,
        /// Python functions, indexed by [`Helper`].
        helpers: Helper::NAMES.len(),
    }
    objects {
        /// The attributes that the native class of conditions was made with: a dict.
        condition_dict,
    }
    others {
        /// The version of that class when all these attributes were last found in it.
        condition_version: AtomicU32 = AtomicU32::new(0),
        /// The fitness of classes derived from native ones.
        fitnesses: Fitnesses = Fitnesses::new(),
        /// Whether a program has changed the code of a Python function.
        altered: AtomicBool = AtomicBool::new(false),
    }
}

impl Natives {
    /// To be called before the references are dropped.
    pub fn end(&self, py: Attached<'_>) {
        self.lookups.end(py);
    }

    /// The native class of this kind.
    #[inline]
    #[must_use]
    pub fn class(&self, kind: Kind) -> Option<Class<'_>> {
        self.types[kind as usize].get()
    }

    /// The Python class, or the exception, of this kind.
    #[must_use]
    pub fn python(&self, kind: Kind) -> Option<Borrowed<'_>> {
        self.python[kind as usize].get()
    }

    /// Calls a function of `rthread._native`.
    pub fn call(&self, py: Attached<'_>, helper: Helper, args: &[Borrowed<'_>]) -> Answer {
        match self.helpers[helper as usize].get() {
            Some(function) => function.call(py, args),
            None => Err(gone(py)),
        }
    }
}

/// Raises RuntimeError, because the collector has taken the module apart.
#[cold]
pub fn gone(py: Attached<'_>) -> Raised {
    py.raise(Exception::Runtime, c"the interpreter has shut down")
}

/// Functions in the Python module `rthread._native` that native objects call.
#[derive(Clone, Copy)]
#[repr(usize)]
pub enum Helper {
    /// Continues a wait, see `threading::ticket`.
    Resume,
    /// Continues the wait of a condition, and takes its lock back.
    ResumeCondition,
    /// Does nothing. The interpreter does its pending work when it enters the function, see
    /// `threading::ticket::run_pending`.
    Checkpoint,
    /// Continues the wait of a thread that a barrier has counted.
    RejoinBarrier,
    /// Ends the wait of a thread that a barrier has counted.
    LeaveBarrier,
    /// Ends the turn of the last thread to arrive at a barrier.
    EndTurn,
}

impl Helper {
    pub const NAMES: [&CStr; 6] = [
        c"resume",
        c"resume_condition",
        c"checkpoint",
        c"rejoin_barrier",
        c"leave_barrier",
        c"end_turn",
    ];

    /// Calls the function. `of` is an object of a native class.
    pub fn call(self, py: Attached<'_>, of: Borrowed<'_>, args: &[Borrowed<'_>]) -> Answer {
        State::of_object(py, of)?.natives.call(py, self, args)
    }
}

/// How far a class fits the native methods.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Fitness {
    /// It has every attribute that the native class has.
    Fit = 1,
    /// It replaces a method that other methods call through the object. Calls of those other
    /// methods are left to the Python class.
    ReplacesCalled = 2,
    /// It replaces an attribute by which the Python class works, or the way in which attributes are
    /// found.
    Unfit = 3,
}

/// The fitness of classes, as far as it is known, stored by their versions. No two classes have the
/// same version.
pub struct Fitnesses([AtomicU64; PLACES]);

const PLACES: usize = 64;

impl Fitnesses {
    /// Nothing is known yet.
    pub const fn new() -> Fitnesses {
        Fitnesses([const { AtomicU64::new(0) }; PLACES])
    }

    pub fn find(&self, version: u32) -> Option<Fitness> {
        let found = self.0[version as usize % PLACES].load(Ordering::Relaxed);
        if found >> 8 != u64::from(version) {
            return None;
        }
        match found & 0xff {
            1 => Some(Fitness::Fit),
            2 => Some(Fitness::ReplacesCalled),
            3 => Some(Fitness::Unfit),
            _ => None,
        }
    }

    pub fn store(&self, version: u32, fitness: Fitness) {
        let entry = u64::from(version) << 8 | fitness as u64;
        self.0[version as usize % PLACES].store(entry, Ordering::Relaxed);
    }
}

/// Not the version of any namespace.
pub const NEVER: u64 = u64::MAX;

/// A module with names that native classes depend on.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Namespace {
    Threading = 0,
    Queue = 1,
}

/// The names that are checked in both namespaces, with the objects that they may have.
pub struct Lookups {
    pub watch: NamespaceWatch,
    pub namespaces: [Names; 2],
    /// The version of the namespaces at the last check, if all names were as expected.
    pub checked: AtomicU64,
}

pub struct Names {
    /// The dict of the namespace. Empty if its module has no native classes yet.
    dict: Field,
    /// A dict, which nothing changes. For each name it has a tuple of objects, one of which the name must have. An
    /// empty tuple means that the name must not exist in the module, because it would hide a
    /// builtin.
    expected: Field,
}

impl Names {
    const fn none() -> Names {
        Names { dict: Field::empty(), expected: Field::empty() }
    }

    /// The dict of the namespace.
    #[inline]
    #[must_use]
    pub fn dict(&self) -> Option<Dict<'_>> {
        // SAFETY: `Lookups::expect` takes a dict.
        self.dict.get().map(|dict| unsafe { Dict::assume(dict) })
    }

    /// The names and the objects that they may have; see the field.
    #[must_use]
    pub fn expected(&self) -> Option<Dict<'_>> {
        // SAFETY: as above.
        self.expected.get().map(|expected| unsafe { Dict::assume(expected) })
    }
}

impl Lookups {
    /// Checks no namespace.
    pub const fn none() -> Lookups {
        Lookups {
            watch: NamespaceWatch::none(),
            namespaces: [Names::none(), Names::none()],
            checked: AtomicU64::new(NEVER),
        }
    }

    /// All references.
    pub fn fields(&self) -> impl Iterator<Item = &Field> {
        self.namespaces.iter().flat_map(|names| [&names.dict, &names.expected])
    }

    /// Starts to check a namespace for these names and objects. The values of `expected` are
    /// tuples, and it is never changed.
    pub fn expect(
        &self,
        py: Attached<'_>,
        namespace: Namespace,
        dict: Dict<'_>,
        expected: Dict<'_>,
    ) {
        let names = &self.namespaces[namespace as usize];
        if names.dict().is_some() {
            return;
        }
        names.expected.fill(py, expected.object().own(py));
        names.dict.fill(py, dict.object().own(py));
        // SAFETY: attached; a dict of this interpreter.
        unsafe { self.watch.add(dict.object().as_ptr()) };
        self.checked.store(NEVER, Ordering::Relaxed);
    }

    /// Stops watching. To be called before the references are dropped.
    pub fn end(&self, _: Attached<'_>) {
        // SAFETY: attached.
        unsafe { self.watch.end() };
    }

    /// A number that differs after each change of a watched namespace.
    #[inline]
    #[must_use]
    pub fn version(&self, _: Attached<'_>) -> u64 {
        let [threading, queue] = &self.namespaces;
        // SAFETY: attached; dicts or null.
        unsafe { self.watch.version(|| [threading.dict.as_ptr(), queue.dict.as_ptr()]) }
    }
}
