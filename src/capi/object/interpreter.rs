//! The interpreter and its threads: pending work, finalization, reference counts shared by threads,
//! and calls with words or steps that differ between versions.

use core::ffi::CStr;

use pyo3_ffi::{self as ffi, Py_ssize_t, PyInterpreterState};

use crate::capi::compat;
use crate::capi::errors::Raised;
use crate::capi::object::{Answer, Attached, Borrowed, Class, Dict, Owned, Tuple};

impl Attached<'_> {
    /// Does the pending work that the interpreter does when it enters a Python function
    /// (`compat::run_pending_at_entry`).
    #[inline]
    pub fn run_pending_at_entry(self) -> Result<(), Raised> {
        // SAFETY: attached.
        unsafe { compat::run_pending_at_entry() }
    }

    /// Runs signal handlers and pending calls, if this thread is the one that does that.
    pub fn run_signal_handlers(self) -> Result<(), Raised> {
        // SAFETY: attached.
        unsafe { compat::run_signal_handlers() }
    }

    /// Whether threads that are not attached may never attach again (`compat::is_ending`).
    #[must_use]
    pub fn is_ending(self) -> bool {
        // SAFETY: attached.
        unsafe { compat::is_ending() }
    }

    /// Whether the calling thread belongs to the main interpreter.
    #[must_use]
    pub fn is_in_main_interpreter(self) -> bool {
        // SAFETY: attached.
        unsafe { compat::interpreter() == compat::main_interpreter() }
    }

    /// Refuses all arguments of a call, as of `lock()`, in this version's words.
    pub fn refuse_arguments(
        self,
        name: &CStr,
        args: Tuple<'_>,
        kwargs: Option<Dict<'_>>,
    ) -> Result<(), Raised> {
        let kwargs = super::as_ptr(kwargs.map(Dict::object));
        // SAFETY: attached; a tuple, and a dict or null.
        unsafe { compat::refuse_arguments(name, args.object().as_ptr(), kwargs) }
    }

    /// Refuses the arguments of `RLock()` where this version does
    /// (`compat::refuse_rlock_arguments`).
    pub fn refuse_rlock_arguments(
        self,
        class: Class<'_>,
        args: Tuple<'_>,
        kwargs: Option<Dict<'_>>,
    ) -> Result<(), Raised> {
        let kwargs = super::as_ptr(kwargs.map(Dict::object));
        let args = args.object().as_ptr();
        // SAFETY: attached; a class, a tuple, and a dict or null.
        unsafe { compat::refuse_rlock_arguments(class.as_ptr(), args, kwargs) }
    }

    /// Refuses keywords to an `__exit__` that takes any number of arguments
    /// (`compat::refuse_exit_keywords`).
    #[inline]
    pub fn refuse_exit_keywords(self, names: Option<Tuple<'_>>) -> Result<(), Raised> {
        // SAFETY: attached; a tuple or null.
        unsafe { compat::refuse_exit_keywords(super::as_ptr(names.map(Tuple::object))) }
    }

    /// Refuses a wrong number of arguments of the `__exit__` that takes three. Never returns an
    /// object.
    #[inline]
    pub fn refuse_exit(self, count: Py_ssize_t) -> Answer {
        // SAFETY: attached; null, with an exception set.
        unsafe { self.own(compat::refuse_exit(count)) }
    }

    /// Raises TypeError: `function() argument must be expected, not …`.
    #[cold]
    pub fn bad_argument(
        self,
        function: &CStr,
        argument: &CStr,
        expected: &CStr,
        given: Borrowed<'_>,
    ) -> Raised {
        // SAFETY: attached; the object is alive.
        unsafe { compat::bad_argument(function, argument, expected, given.as_ptr()) };
        Raised
    }

    /// The interpreter of the calling thread.
    #[inline]
    #[must_use]
    pub fn interpreter(self) -> *mut PyInterpreterState {
        // SAFETY: attached.
        unsafe { compat::interpreter() }
    }

    /// The instruction at which the Python code of this thread is (`compat::instruction`).
    #[inline]
    #[must_use]
    pub fn instruction(self) -> u64 {
        // SAFETY: attached.
        unsafe { compat::instruction() }
    }

    /// File, function and line of the Python code that calls (`compat::caller`).
    #[must_use]
    pub fn caller(self, but: &[&CStr]) -> Option<(String, String, u32)> {
        // SAFETY: attached.
        unsafe { compat::caller(but) }
    }

    /// Takes a step while no other thread of the interpreter can attach
    /// (`compat::with_world_stopped`).
    pub fn with_world_stopped<R>(self, step: impl FnOnce() -> R) -> Option<R> {
        // SAFETY: attached.
        unsafe { compat::with_world_stopped(step) }
    }

    /// Shows all objects that the collector knows to `look` (`compat::visit_objects`).
    pub fn visit_objects(self, look: &mut dyn FnMut(Borrowed<'_>)) -> bool {
        // SAFETY: attached; the collector shows objects that are alive.
        unsafe { compat::visit_objects(&mut |object| look(Borrowed::assume(object))) }
    }

    /// A dict for data of extension modules, which lives as long as the interpreter.
    pub fn interpreter_dict(self) -> Result<Dict<'static>, Raised> {
        // SAFETY: attached; the interpreter keeps the dict, or there is none.
        unsafe {
            match Borrowed::assume_if_any(ffi::PyInterpreterState_GetDict(self.interpreter())) {
                Some(dict) => Ok(Dict::assume(dict)),
                None => Err(self.runtime_error(c"the interpreter has no dict for data")),
            }
        }
    }
}

impl<'a> Borrowed<'a> {
    /// Notes a use of an object that several threads may share (`compat::note_use`). The object is
    /// a GC object.
    #[inline]
    pub fn note_use(self, _: Attached<'_>) {
        // SAFETY: attached; the object is alive. All objects of rthread's types that are shared are
        // GC objects.
        unsafe { compat::note_use(self.as_ptr()) };
    }

    /// Switches a GC object to deferred reference counting, on free-threaded builds.
    pub fn enable_deferred_refcount(self, _: Attached<'_>) {
        // SAFETY: attached; the object is alive.
        unsafe { compat::enable_deferred_refcount(self.as_ptr()) };
    }

    /// Whether it is a bound method of Python's own type for that.
    #[must_use]
    pub fn is_method(self) -> bool {
        // SAFETY: the object is alive.
        unsafe { compat::is_method(self.as_ptr()) }
    }

    /// The function and the object of a bound method; None for any other object.
    #[must_use]
    pub fn method_parts(self) -> Option<(Borrowed<'a>, Borrowed<'a>)> {
        // SAFETY: a bound method keeps both alive.
        self.is_method().then(|| unsafe {
            (
                Borrowed::assume(compat::PyMethod_Function(self.as_ptr())),
                Borrowed::assume(compat::PyMethod_Self(self.as_ptr())),
            )
        })
    }

    /// A new bound method of the function `self`.
    pub fn bind_method(self, py: Attached<'_>, object: Borrowed<'_>) -> Answer {
        // SAFETY: attached; the objects are alive.
        unsafe { py.own(compat::PyMethod_New(self.as_ptr(), object.as_ptr())) }
    }

    /// A new weak reference to the object, with a callback.
    pub fn weak_reference(self, py: Attached<'_>, callback: Option<Borrowed<'_>>) -> Answer {
        let callback = super::as_ptr(callback);
        // SAFETY: attached; the objects are alive.
        unsafe { py.own(ffi::PyWeakref_NewRef(self.as_ptr(), callback)) }
    }

    /// The object that a weak reference refers to; None if it is gone.
    #[must_use = "the reference must be released"]
    pub fn referent(self, py: Attached<'_>) -> Option<Owned> {
        // SAFETY: attached; the object is alive. The result is a new reference or null.
        unsafe { py.own_if_any(compat::weakref_get(self.as_ptr())) }
    }

    /// A time in seconds, an int or a float, in nanoseconds.
    pub fn nanoseconds(self, _: Attached<'_>) -> Result<i64, Raised> {
        // SAFETY: attached; the object is alive.
        unsafe { compat::nanoseconds(self.as_ptr()) }
    }
}

impl Class<'_> {
    /// Whether the class inherits the `__init__` of `object`.
    #[must_use]
    pub fn inherits_init(self) -> bool {
        // SAFETY: the class is alive.
        unsafe { compat::inherits_init(self.as_ptr()) }
    }
}
