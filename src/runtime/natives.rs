//! The native classes of an interpreter, and what is known of the classes and names around them.

use core::ffi::CStr;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use pyo3_ffi::{self as ffi, PyObject, PyTypeObject};

use crate::capi::compat::{self, NamespaceWatch};
use crate::runtime::state::State;

/// The classes, then the exceptions that go with them: places in the arrays of [`Natives`].
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

    /// What they are called in their modules, the classes and then the exceptions.
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

/// How many kinds there are.
pub const COUNT: usize = Kind::ShutDown as usize + 1;

/// The native types of one interpreter and the classes that they stand in for. References are
/// owned; null until they are made.
pub struct Natives {
    pub types: [*mut PyTypeObject; COUNT],
    pub python: [*mut PyObject; COUNT],
    /// The type of their methods.
    pub method_type: *mut PyTypeObject,
    /// `__init__` of the Python classes.
    pub inits: [*mut PyObject; COUNT],
    /// Dicts of the attributes that must be a native class's own, see [`head`].
    pub snapshots: [*mut PyObject; COUNT],
    /// What the class of conditions was made with, a dict.
    pub condition_dict: *mut PyObject,
    /// Its version when it was last found whole.
    pub condition_version: AtomicU32,
    /// What is known of classes derived from them.
    pub fitnesses: Fitnesses,
    /// Whether a program has changed the code of a Python function.
    pub altered: AtomicBool,
    /// Python functions that make the parts of objects, see [`materialize`].
    pub recipes: [*mut PyObject; COUNT],
    /// Python functions, by [`Helper`].
    pub helpers: [*mut PyObject; Helper::NAMES.len()],
    pub lookups: Lookups,
}

impl Natives {
    /// None made yet.
    pub const fn none() -> Natives {
        Natives {
            types: [ptr::null_mut(); COUNT],
            python: [ptr::null_mut(); COUNT],
            method_type: ptr::null_mut(),
            inits: [ptr::null_mut(); COUNT],
            snapshots: [ptr::null_mut(); COUNT],
            condition_dict: ptr::null_mut(),
            condition_version: AtomicU32::new(0),
            fitnesses: Fitnesses::new(),
            altered: AtomicBool::new(false),
            recipes: [ptr::null_mut(); COUNT],
            helpers: [ptr::null_mut(); Helper::NAMES.len()],
            lookups: Lookups::none(),
        }
    }

    /// All references.
    pub fn objects(&mut self) -> impl Iterator<Item = &mut *mut PyObject> {
        let types = self.types.iter_mut().chain([&mut self.method_type]).map(|class| {
            // SAFETY: every type is an object; a pointer to one is laid out like the other.
            unsafe { &mut *ptr::from_mut(class).cast::<*mut PyObject>() }
        });
        types
            .chain(&mut self.python)
            .chain(&mut self.inits)
            .chain(&mut self.snapshots)
            .chain(&mut self.recipes)
            .chain([&mut self.condition_dict])
            .chain(&mut self.helpers)
            .chain(self.lookups.objects())
    }

    /// Before the references are dropped.
    ///
    /// # Safety
    /// Attached, in the interpreter of the module.
    pub unsafe fn end(&mut self) {
        // SAFETY: as the caller promises.
        unsafe { self.lookups.end() };
    }
}

/// What is done in Python for native objects, in `rthread._native`.
#[derive(Clone, Copy)]
#[repr(usize)]
pub enum Helper {
    /// Goes on with a wait, see [`ticket`].
    Resume,
    /// Goes on with the wait of a condition, and takes its lock back.
    ResumeCondition,
    /// Nothing: on the way in the interpreter does what is pending, see [`ticket::run_pending`].
    Checkpoint,
    /// Goes on with the wait of a thread that a barrier has counted.
    RejoinBarrier,
    /// Ends such a wait.
    LeaveBarrier,
    /// Ends the turn of a barrier's last thread.
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

    /// Calls the function: a new reference, or null with an exception set.
    ///
    /// # Safety
    /// Attached; a native object, and valid objects.
    pub unsafe fn call(self, of: *mut PyObject, args: &[*mut PyObject]) -> *mut PyObject {
        // SAFETY: as the caller promises.
        unsafe {
            let Ok(state) = State::of_type(ffi::Py_TYPE(of)) else { return ptr::null_mut() };
            let function = (*state).natives.helpers[self as usize];
            compat::vectorcall(function, args.as_ptr(), args.len(), ptr::null_mut())
        }
    }
}

/// What a class is for native objects.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Fitness {
    /// It has what the native class has.
    Fit = 1,
    /// It replaces a method that others call by way of the object: those are left to Python.
    ReplacesCalled = 2,
    /// It replaces something by which the Python class works, or how attributes are found.
    Unfit = 3,
}

/// What was found of classes, by their versions, which no two classes share.
pub struct Fitnesses([AtomicU64; PLACES]);

const PLACES: usize = 64;

impl Fitnesses {
    /// Nothing yet.
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

/// No version of a namespace.
pub const NEVER: u64 = u64::MAX;

/// A namespace.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Namespace {
    Threading = 0,
    Queue = 1,
}

/// The names of both namespaces, with the objects that may stand there.
pub struct Lookups {
    pub watch: NamespaceWatch,
    pub namespaces: [Names; 2],
    /// The version of the namespaces in which all names were last found as expected.
    pub checked: AtomicU64,
}

pub struct Names {
    /// The namespace, a dict, owned; null if its module has no native classes yet.
    pub dict: *mut PyObject,
    /// A dict of tuples, owned: by name, the objects of which one has to be there. An empty one means
    /// that the name must not be there: it would hide one of the interpreter's own.
    pub expected: *mut PyObject,
}

impl Names {
    const fn none() -> Names {
        Names { dict: ptr::null_mut(), expected: ptr::null_mut() }
    }
}

impl Lookups {
    /// Of no namespace.
    pub const fn none() -> Lookups {
        Lookups {
            watch: NamespaceWatch::NONE,
            namespaces: [Names::none(), Names::none()],
            checked: AtomicU64::new(NEVER),
        }
    }

    /// All references.
    pub fn objects(&mut self) -> impl Iterator<Item = &mut *mut PyObject> {
        self.namespaces.iter_mut().flat_map(|names| [&mut names.dict, &mut names.expected])
    }

    /// Expects these objects in a namespace from now on.
    ///
    /// # Safety
    /// Attached; two dicts, the second one of tuples, which nothing changes.
    pub unsafe fn expect(
        &mut self,
        namespace: Namespace,
        dict: *mut PyObject,
        expected: *mut PyObject,
    ) {
        let names = &mut self.namespaces[namespace as usize];
        if !names.dict.is_null() {
            return;
        }
        // SAFETY: as the caller promises.
        unsafe {
            ffi::Py_INCREF(dict);
            ffi::Py_INCREF(expected);
            names.dict = dict;
            names.expected = expected;
            self.watch.add(dict);
            self.checked.store(NEVER, Ordering::Relaxed);
        }
    }

    /// Watches nothing any more, before the references are dropped.
    ///
    /// # Safety
    /// Attached, in the interpreter of the module.
    pub unsafe fn end(&mut self) {
        // SAFETY: as the caller promises.
        unsafe { self.watch.end() };
    }
}
