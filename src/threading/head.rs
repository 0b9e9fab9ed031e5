//! The head of every native object. It tells whether native code or the Python class serves the
//! object.

use core::ptr;
use core::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use pyo3_ffi::{self as ffi, Py_ssize_t, PyObject, PyTypeObject};

use crate::capi::compat;
use crate::capi::errors::Raised;
use crate::capi::refs::drop_ref;
use crate::runtime::natives::{Fitness, Kind};
use crate::runtime::state::State;
use crate::threading::lookups;

/// Which code serves an object.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// The Python class does everything, with the attributes in the dict. A new object is in this
    /// phase until `__init__` makes it native.
    Python = 0,
    /// The state is in the primitive.
    Native = 1,
    /// One thread is changing the phase. It runs no Python code until that is done, so a thread
    /// that waits for it cannot block it.
    Changing = 2,
}

/// The beginning of every native object. All zero bytes are phase `Python`.
#[repr(C)]
pub struct Head {
    base: PyObject,
    /// The version of the object's class in which that was last found fit, see [`Fitness`].
    class_version: AtomicU32,
    phase: AtomicU8,
    /// Whether the object's class replaces a method that other methods call through the object.
    replaces_called: AtomicU8,
}

impl Head {
    /// Returns the head of an object.
    ///
    /// # Safety
    /// A native object, which outlives the result.
    #[inline]
    pub unsafe fn of<'a>(object: *mut PyObject) -> &'a Head {
        // SAFETY: as the caller promises: every native object begins with one.
        unsafe { &*object.cast::<Head>() }
    }

    /// Returns the phase. Everything that was done before the change to this phase is visible.
    #[inline]
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Python,
            1 => Phase::Native,
            _ => Phase::Changing,
        }
    }

    /// Returns the version of the object's class in which that was last found fit; zero if it never
    /// was.
    #[inline]
    pub fn class_version(&self) -> u32 {
        self.class_version.load(Ordering::Relaxed)
    }

    /// Begins a change. Returns false if the object is not, or no longer, in the phase `from`.
    #[must_use]
    pub fn begin_change(&self, from: Phase) -> bool {
        let (from, to) = (from as u8, Phase::Changing as u8);
        self.phase.compare_exchange(from, to, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Ends a change that this thread has begun.
    pub fn end_change(&self, to: Phase) {
        self.phase.store(to as u8, Ordering::Release);
    }

    /// Returns the phase. Waits while a thread is changing it.
    ///
    /// # Safety
    /// Attached.
    pub unsafe fn settled_phase(&self) -> Phase {
        loop {
            match self.phase() {
                // SAFETY: attached, as the caller promises.
                Phase::Changing => unsafe { crate::runtime::blocking::pause(CHANGE_TAKES) },
                phase => return phase,
            }
        }
    }

    /// Whether the object's class replaces a method that other methods call through the object.
    /// Only meaningful for an object that [`is_native`].
    #[inline]
    pub fn replaces_called(&self) -> bool {
        self.replaces_called.load(Ordering::Relaxed) != 0
    }
}

/// How long to sleep before looking again at an object that another thread is changing.
const CHANGE_TAKES: core::time::Duration = core::time::Duration::from_micros(20);

/// Whether native code serves this object at present. Its phase is `Native`, and neither its class
/// nor a base has replaced something that the Python class relies on (see also [`is_world_usual`]).
///
/// # Safety
/// Attached; a native object, and the state of its module.
#[inline]
pub unsafe fn is_native(object: *mut PyObject, state: *const State) -> bool {
    // SAFETY: as the caller promises.
    unsafe {
        let head = Head::of(object);
        if head.phase() != Phase::Native {
            return false;
        }
        let version = compat::class_version(ffi::Py_TYPE(object));
        let is_fit = version == head.class_version() && version != 0;
        (is_fit || check_class(object, state)) && is_world_usual(state)
    }
}

/// Whether nothing is replaced that all classes rely on: the names that they look up, and the class
/// of conditions, of which the Python classes make attributes.
///
/// # Safety
/// Attached; the state of a module with native classes.
#[inline]
pub unsafe fn is_world_usual(state: *const State) -> bool {
    // SAFETY: as the caller promises.
    unsafe {
        let natives = &(*state).natives;
        let class = natives.types[Kind::Condition as usize];
        let checked = natives.condition_version.load(Ordering::Relaxed);
        ((checked != 0 && compat::class_version(class) == checked) || is_condition_whole(state))
            && lookups::are_as_expected(state)
    }
}

/// Whether the native class of conditions still has each attribute that it was made with. Its ways
/// to make objects and to find attributes must be the original ones, too.
#[cold]
unsafe fn is_condition_whole(state: *const State) -> bool {
    // SAFETY: attached, as in `is_world_usual`; nothing changes the dict of the original.
    unsafe {
        let natives = &(*state).natives;
        let class = natives.types[Kind::Condition as usize];
        let original = natives.condition_dict;
        if class.is_null() || original.is_null() {
            // There is no native class: it is still to be made, or `threading` has a class that is
            // not the interpreter's.
            return class.is_null();
        }
        // The version is read first. A change that comes after that gives the class another
        // version.
        let version = compat::assign_class_version(class, (*state).qualname_name);
        // An attribute that was added does no harm. An example is `__annotations__`, which is added
        // when a program reads it. Only names that stand for slots matter, so the slots are
        // checked.
        let base = &raw const ffi::PyBaseObject_Type;
        if !finds_attributes_generically(class)
            || (*class).tp_new.map(|new| new as usize) != (*base).tp_new.map(|new| new as usize)
        {
            return false;
        }
        let (mut position, mut name, mut value) = (0, ptr::null_mut(), ptr::null_mut());
        while ffi::PyDict_Next(original, &mut position, &mut name, &mut value) != 0 {
            let Ok(found) = compat::dict_get((*class).tp_dict, name) else {
                ffi::PyErr_Clear();
                return false;
            };
            drop_ref(found);
            if found != value {
                return false;
            }
        }
        natives.condition_version.store(version, Ordering::Relaxed);
        true
    }
}

#[cold]
unsafe fn check_class(object: *mut PyObject, state: *const State) -> bool {
    // SAFETY: as in `is_native`. A class that raises when it is examined is not fit.
    unsafe {
        match fitness(ffi::Py_TYPE(object), state) {
            Ok(fitness) => note_fitness(object, fitness),
            Err(Raised) => {
                ffi::PyErr_Clear();
                false
            }
        }
    }
}

/// Notes in the object the fitness that was found for its class. Returns whether the class is fit.
///
/// # Safety
/// A native object.
pub unsafe fn note_fitness(object: *mut PyObject, found: (Fitness, u32)) -> bool {
    // SAFETY: as the caller promises.
    let head = unsafe { Head::of(object) };
    let (fitness, version) = found;
    if fitness == Fitness::Unfit {
        return false;
    }
    head.replaces_called.store(u8::from(fitness == Fitness::ReplacesCalled), Ordering::Relaxed);
    head.class_version.store(version, Ordering::Relaxed);
    true
}

/// Returns the fitness of a class, and the version of the class for which that holds. The version
/// is 0 if the class has none.
///
/// # Safety
/// Attached; a native class or one derived from one, and the state of its module.
pub unsafe fn fitness(
    class: *mut PyTypeObject,
    state: *const State,
) -> Result<(Fitness, u32), Raised> {
    // SAFETY: as the caller promises.
    unsafe {
        let natives = &(*state).natives;
        // The version is read first. A change that comes after that gives the class another
        // version.
        let mut version = compat::class_version(class);
        if version == 0 {
            version = compat::assign_class_version(class, (*state).qualname_name);
        }
        if version != 0
            && let Some(found) = natives.fitnesses.find(version)
        {
            return Ok((found, version));
        }
        let fitness = look_at(class, state)?;
        if version != 0 {
            natives.fitnesses.store(version, fitness);
        }
        Ok((fitness, version))
    }
}

/// Returns the kind of a class: that of the first native class among the class itself and its
/// bases.
///
/// # Safety
/// Attached; a native class or one derived from one, and the state of its module.
pub unsafe fn kind_of(class: *mut PyTypeObject, state: *const State) -> Option<Kind> {
    // SAFETY: as the caller promises; a base is a type or null.
    unsafe {
        let mut base = class;
        while !base.is_null() {
            for kind in Kind::CLASSES {
                if (*state).natives.types[kind as usize] == base {
                    return Some(kind);
                }
            }
            base = (*base).tp_base;
        }
    }
    None
}

/// Whether a class finds and sets attributes in the same way as the native class that it is derived
/// from.
///
/// # Safety
/// Attached; valid types.
unsafe fn finds_attributes_as_made(
    class: *mut PyTypeObject,
    native: *mut PyTypeObject,
) -> Result<bool, Raised> {
    // SAFETY: as the caller promises; new references are released.
    unsafe {
        for name in [c"__setattr__", c"__delattr__"] {
            let [found, own] =
                [class, native].map(|of| ffi::PyObject_GetAttrString(of.cast(), name.as_ptr()));
            drop_ref(found);
            drop_ref(own);
            if found.is_null() || own.is_null() {
                return Err(Raised);
            }
            if found != own {
                return Ok(false);
            }
        }
        Ok(finds_attributes_generically(class))
    }
}

/// # Safety
/// A valid type.
unsafe fn finds_attributes_generically(class: *mut PyTypeObject) -> bool {
    let generic = ffi::PyObject_GenericGetAttr as *const () as usize;
    // SAFETY: as the caller promises.
    unsafe { (*class).tp_getattro.is_some_and(|get| get as usize == generic) }
}

#[cold]
unsafe fn look_at(class: *mut PyTypeObject, state: *const State) -> Result<Fitness, Raised> {
    // SAFETY: as in `fitness`; the names are borrowed from a dict that nothing changes; new
    // references are released.
    unsafe {
        let Some(kind) = kind_of(class, state) else { return Ok(Fitness::Unfit) };
        let native = (*state).natives.types[kind as usize];
        let finds_as_made = finds_attributes_as_made(class, native)?;
        if !finds_as_made || (*state).natives.altered.load(Ordering::Relaxed) {
            return Ok(Fitness::Unfit);
        }
        let mut fitness = Fitness::Fit;
        let snapshot = (*state).natives.snapshots[kind as usize];
        let (mut position, mut name, mut entry) = (0, ptr::null_mut(), ptr::null_mut());
        while ffi::PyDict_Next(snapshot, &mut position, &mut name, &mut entry) != 0 {
            let found = compat::PyObject_GetAttr(class.cast(), name);
            if found.is_null() {
                if ffi::PyErr_ExceptionMatches(ffi::PyExc_AttributeError) == 0 {
                    return Err(Raised);
                }
                ffi::PyErr_Clear();
            }
            drop_ref(found);
            if found == entry {
                continue;
            }
            if !is_named(name, called(kind)) {
                return Ok(Fitness::Unfit);
            }
            fitness = Fitness::ReplacesCalled;
        }
        Ok(fitness)
    }
}

/// Methods that other methods call through the object. If a class replaces one of them, those other
/// methods are left to Python (see [`Fitness::ReplacesCalled`]).
fn called(kind: Kind) -> &'static [&'static core::ffi::CStr] {
    match kind {
        Kind::Condition => &[c"wait", c"notify"],
        Kind::Semaphore | Kind::BoundedSemaphore => &[c"release"],
        Kind::Queue | Kind::LifoQueue | Kind::PriorityQueue => &[c"put", c"get"],
        _ => &[],
    }
}

/// Methods that no other method calls. A class may replace them, and all others work as before.
fn uncalled(kind: Kind) -> &'static [&'static core::ffi::CStr] {
    match kind {
        Kind::Condition => &[c"acquire", c"release", c"locked", c"wait_for", c"notify_all"],
        Kind::Event => &[c"is_set", c"set", c"clear", c"wait"],
        Kind::Semaphore | Kind::BoundedSemaphore => &[c"acquire"],
        Kind::Barrier => &[c"wait", c"reset", c"abort", c"parties", c"n_waiting", c"broken"],
        Kind::Queue | Kind::LifoQueue | Kind::PriorityQueue => &[
            c"put_nowait",
            c"get_nowait",
            c"qsize",
            c"empty",
            c"full",
            c"task_done",
            c"join",
            c"shutdown",
        ],
        _ => &[],
    }
}

/// # Safety
/// Attached; a string.
unsafe fn is_named(name: *mut PyObject, names: &[&core::ffi::CStr]) -> bool {
    // SAFETY: as the caller promises.
    names
        .iter()
        .any(|known| unsafe { ffi::PyUnicode_CompareWithASCIIString(name, known.as_ptr()) == 0 })
}

/// Returns a new dict of attributes of a native class. Its objects are native only while they find
/// all of these unchanged in their class.
///
/// # Safety
/// Attached; `class` is the native class of this kind; `base` is the dict of the class that it is
/// derived from, or null.
pub unsafe fn snapshot(
    class: *mut PyTypeObject,
    kind: Kind,
    base: *mut PyObject,
) -> Result<*mut PyObject, Raised> {
    // SAFETY: as the caller promises; a heap type has a dict, and no other thread has the class.
    unsafe {
        let made = if base.is_null() { ffi::PyDict_New() } else { ffi::PyDict_Copy(base) };
        if made.is_null() {
            return Err(Raised);
        }
        let (mut position, mut name, mut value) =
            (0 as Py_ssize_t, ptr::null_mut(), ptr::null_mut());
        while ffi::PyDict_Next((*class).tp_dict, &mut position, &mut name, &mut value) != 0 {
            // The Python class does not rely on names that begin with two underscores: those are
            // the interpreter's.
            let special = ffi::PyUnicode_ReadChar(name, 0) == u32::from(b'_')
                && ffi::PyUnicode_GetLength(name) > 1
                && ffi::PyUnicode_ReadChar(name, 1) == u32::from(b'_');
            if special || is_named(name, uncalled(kind)) {
                continue;
            }
            if ffi::PyDict_SetItem(made, name, value) < 0 {
                drop_ref(made);
                return Err(Raised);
            }
        }
        Ok(made)
    }
}
