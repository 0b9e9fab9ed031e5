//! The head of every native object. It tells whether native code or the Python class serves the
//! object.

use core::ffi::{CStr, c_int};
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32, Ordering};
use core::time::Duration;

use pyo3_ffi::{self as ffi, PyObject};

use crate::capi::collected::Collected;
use crate::capi::entry::{Header, Instance, This, Visitor};
use crate::capi::errors::Raised;
use crate::capi::field::WeakRefs;
use crate::capi::object::{Answer, Attached, Borrowed, Class, Dict, release};
use crate::runtime::blocking;
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
    base: Header,
    /// The version of the object's class in which that was last found fit, see [`Fitness`].
    class_version: AtomicU32,
    phase: AtomicU8,
    /// Whether the object's class replaces a method that other methods call through the object.
    replaces_called: AtomicU8,
    /// The dict of attributes, owned; null if there is none. CPython knows its offset, and makes
    /// and replaces the dict.
    pub dict: AtomicPtr<PyObject>,
    pub weakrefs: WeakRefs,
}

// SAFETY: the first field is the header of an object; all zero bytes are a valid head.
unsafe impl Instance for Head {}

/// The layout of a native object.
///
/// # Safety
/// `repr(C)`, and the struct begins with a [`Head`].
pub unsafe trait Headed: Instance {}

// SAFETY: it is one.
unsafe impl Headed for Head {}

/// The references of a native object beside those of its head.
pub trait NativeObject: Headed {
    /// Visits them. A result that is not zero ends the traversal.
    fn visit_more(&self, _: Visitor<'_>) -> c_int {
        0
    }

    /// Drops those through which the object can be in a cycle, see [`Collected::clear`].
    fn clear_more(_: This<'_, Self>, _: Attached<'_>)
    where
        Self: Sized,
    {
    }

    /// Drops the others, see [`Collected::end`].
    fn end_more(&mut self, _: Attached<'_>) {}
}

impl<T: NativeObject> Collected for T {
    fn weakrefs(&self) -> &WeakRefs {
        &head_of(self).weakrefs
    }

    fn visit(&self, visitor: Visitor<'_>) -> c_int {
        match head_of(self).visit(visitor) {
            0 => self.visit_more(visitor),
            stop => stop,
        }
    }

    fn clear(this: This<'_, Self>, py: Attached<'_>) {
        this.head().clear(py);
        T::clear_more(this, py);
    }

    fn end(&mut self, py: Attached<'_>) {
        self.end_more(py);
    }
}

fn head_of<T: Headed>(object: &T) -> &Head {
    // SAFETY: the struct begins with a head, as the trait promises.
    unsafe { &*ptr::from_ref(object).cast::<Head>() }
}

impl<'a, T: Headed> This<'a, T> {
    /// The head of the object.
    #[inline]
    #[must_use]
    pub fn head(self) -> &'a Head {
        self.as_native().get()
    }

    /// The object as any native object.
    #[inline]
    #[must_use]
    pub fn as_native(self) -> This<'a, Head> {
        // SAFETY: the struct begins with a head, as the trait promises.
        unsafe { This::assume(self.object().as_ptr()) }
    }
}

impl Head {
    /// The phase. Everything that was done before the change to this phase is visible.
    #[inline]
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Python,
            1 => Phase::Native,
            _ => Phase::Changing,
        }
    }

    /// Whether the object's state is in the primitive, that is, whether its phase is
    /// [`Phase::Native`].
    #[inline]
    pub fn is_native_phase(&self) -> bool {
        self.phase() == Phase::Native
    }

    /// The version of the object's class in which that was last found fit; zero if it never was.
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

    /// The phase. Waits while a thread is changing it.
    pub fn settled_phase(&self, py: Attached<'_>) -> Phase {
        loop {
            match self.phase() {
                Phase::Changing => blocking::pause(py, CHANGE_TAKES),
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

    /// Visits the reference to the dict, for the collector.
    fn visit(&self, visitor: Visitor<'_>) -> c_int {
        // SAFETY: the object owns the reference, and nothing replaces it during the traversal.
        visitor.visit(unsafe { Borrowed::assume_if_any(self.dict.load(Ordering::Relaxed)) })
    }

    /// Drops the dict of an object that no thread can reach any more.
    fn clear(&self, py: Attached<'_>) {
        let dict = self.dict.load(Ordering::Acquire);
        if !dict.is_null() {
            self.dict.store(ptr::null_mut(), Ordering::Relaxed);
            // SAFETY: the object owned the reference.
            release(unsafe { py.own_if_any(dict) }, py);
        }
    }
}

/// How long to sleep before looking again at an object that another thread is changing.
const CHANGE_TAKES: Duration = Duration::from_micros(20);

/// Whether native code serves this object at present. Its phase is `Native`, and neither its class
/// nor a base has replaced something that the Python class relies on (see also [`is_world_usual`]).
/// The state is that of the object's module.
#[inline]
pub fn is_native(py: Attached<'_>, object: This<'_, Head>, state: &State) -> bool {
    if !object.is_native_phase() {
        return false;
    }
    let version = object.object().class().version();
    let is_fit = version == object.class_version() && version != 0;
    (is_fit || check_class(py, object, state)) && is_world_usual(py, state)
}

/// Whether nothing is replaced that all classes rely on: the names that they look up, and the class
/// of conditions, of which the Python classes make attributes.
#[inline]
pub fn is_world_usual(py: Attached<'_>, state: &State) -> bool {
    let natives = &state.natives;
    let checked = natives.condition_version.load(Ordering::Relaxed);
    let is_checked = checked != 0
        && natives.class(Kind::Condition).is_some_and(|class| class.version() == checked);
    (is_checked || is_condition_whole(py, state)) && lookups::are_as_expected(py, state)
}

/// Whether the native class of conditions still has each attribute that it was made with. Its ways
/// to make objects and to find attributes must be the original ones, too.
#[cold]
fn is_condition_whole(py: Attached<'_>, state: &State) -> bool {
    let natives = &state.natives;
    // Without a native class, it is still to be made, or `threading` has a class that is not the
    // interpreter's.
    let Some(class) = natives.class(Kind::Condition) else { return true };
    let Some(original) = natives.condition_dict.get().and_then(Dict::of) else { return false };
    // The version is read first. A change that comes after that gives the class another version.
    let version = version_of(py, class, state);
    // An attribute that was added does no harm. An example is `__annotations__`, which is added
    // when a program reads it. Only names that stand for slots matter, so the slots are checked.
    if !class.finds_attributes_generically() || class.new_slot() != Class::base_object().new_slot()
    {
        return false;
    }
    let Some(attributes) = class.dict() else { return false };
    // SAFETY: nothing changes the dict of the original.
    for (name, value) in unsafe { original.entries() } {
        let Ok(found) = attributes.get(py, name) else {
            py.clear_error();
            return false;
        };
        let is_same = found.as_ref().is_some_and(|found| found.borrow() == value);
        release(found, py);
        if !is_same {
            return false;
        }
    }
    natives.condition_version.store(version, Ordering::Relaxed);
    true
}

/// The version of a class, which is given one if it has none; 0 if it gets no more.
fn version_of(py: Attached<'_>, class: Class<'_>, state: &State) -> u32 {
    state.qualname_name.get().map_or(0, |name| class.assign_version(py, name))
}

#[cold]
fn check_class(py: Attached<'_>, object: This<'_, Head>, state: &State) -> bool {
    match fitness(py, object.object().class(), state) {
        Ok(fitness) => note_fitness(object.get(), fitness),
        // A class that raises when it is examined is not fit.
        Err(Raised) => {
            py.clear_error();
            false
        }
    }
}

/// Notes in the object the fitness that was found for its class. Returns whether the class is fit.
pub fn note_fitness(head: &Head, (fitness, version): (Fitness, u32)) -> bool {
    if fitness == Fitness::Unfit {
        return false;
    }
    head.replaces_called.store(u8::from(fitness == Fitness::ReplacesCalled), Ordering::Relaxed);
    head.class_version.store(version, Ordering::Relaxed);
    true
}

/// The fitness of a class, and the version of the class for which that holds. The version is 0 if
/// the class has none. The state is that of the class's module.
pub fn fitness(
    py: Attached<'_>,
    class: Class<'_>,
    state: &State,
) -> Result<(Fitness, u32), Raised> {
    let natives = &state.natives;
    // The version is read first. A change that comes after that gives the class another version.
    let mut version = class.version();
    if version == 0 {
        version = version_of(py, class, state);
    }
    if version != 0
        && let Some(found) = natives.fitnesses.find(version)
    {
        return Ok((found, version));
    }
    let fitness = look_at(py, class, state)?;
    if version != 0 {
        natives.fitnesses.store(version, fitness);
    }
    Ok((fitness, version))
}

/// The kind of a class: that of the first native class among the class itself and its bases. The
/// state is that of the class's module.
pub fn kind_of(class: Class<'_>, state: &State) -> Option<Kind> {
    let mut base = Some(class);
    while let Some(class) = base {
        for kind in Kind::CLASSES {
            if state.natives.class(kind) == Some(class) {
                return Some(kind);
            }
        }
        base = class.base();
    }
    None
}

/// Whether a class finds and sets attributes in the same way as the native class that it is derived
/// from.
fn finds_attributes_as_made(
    py: Attached<'_>,
    class: Class<'_>,
    native: Class<'_>,
) -> Result<bool, Raised> {
    for name in [c"__setattr__", c"__delattr__"] {
        let found = class.object().attribute_named(py, name)?;
        let Ok(own) = native.object().attribute_named(py, name) else {
            found.release(py);
            return Err(Raised);
        };
        let is_same = found.borrow() == own.borrow();
        found.release(py);
        own.release(py);
        if !is_same {
            return Ok(false);
        }
    }
    Ok(class.finds_attributes_generically())
}

#[cold]
fn look_at(py: Attached<'_>, class: Class<'_>, state: &State) -> Result<Fitness, Raised> {
    let natives = &state.natives;
    let Some(kind) = kind_of(class, state) else { return Ok(Fitness::Unfit) };
    let Some(native) = natives.class(kind) else { return Ok(Fitness::Unfit) };
    let finds_as_made = finds_attributes_as_made(py, class, native)?;
    if !finds_as_made || natives.altered.load(Ordering::Relaxed) {
        return Ok(Fitness::Unfit);
    }
    let snapshot = natives.snapshots[kind as usize].get().and_then(Dict::of);
    let Some(snapshot) = snapshot else { return Ok(Fitness::Unfit) };
    let mut fitness = Fitness::Fit;
    // SAFETY: nothing changes a snapshot.
    for (name, entry) in unsafe { snapshot.entries() } {
        let found = class.object().attribute_if_any(py, name)?;
        let is_same = found.as_ref().is_some_and(|found| found.borrow() == entry);
        release(found, py);
        if is_same {
            continue;
        }
        if !name.is_one_of(called(kind)) {
            return Ok(Fitness::Unfit);
        }
        fitness = Fitness::ReplacesCalled;
    }
    Ok(fitness)
}

/// Methods that other methods call through the object. If a class replaces one of them, those other
/// methods are left to Python (see [`Fitness::ReplacesCalled`]).
fn called(kind: Kind) -> &'static [&'static CStr] {
    match kind {
        Kind::Condition => &[c"wait", c"notify"],
        Kind::Semaphore | Kind::BoundedSemaphore => &[c"release"],
        Kind::Queue | Kind::LifoQueue | Kind::PriorityQueue => &[c"put", c"get"],
        _ => &[],
    }
}

/// Methods that no other method calls. A class may replace them, and all others work as before.
fn uncalled(kind: Kind) -> &'static [&'static CStr] {
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

/// A new dict of attributes of a native class of this kind, which no other thread has yet. Its
/// objects are native only while they find all of these unchanged in their class. `base` is the
/// dict of the class that it is derived from.
pub fn snapshot(py: Attached<'_>, class: Class<'_>, kind: Kind, base: Option<Dict<'_>>) -> Answer {
    let made = base.map_or_else(|| py.dict(), |base| base.copy(py))?;
    // SAFETY: a new dict.
    let all = unsafe { Dict::assume(made.borrow()) };
    match add_attributes(py, all, class, kind) {
        Ok(()) => Ok(made),
        Err(Raised) => {
            made.release(py);
            Err(Raised)
        }
    }
}

/// Adds the attributes of a class itself to a snapshot.
fn add_attributes(
    py: Attached<'_>,
    all: Dict<'_>,
    class: Class<'_>,
    kind: Kind,
) -> Result<(), Raised> {
    let Some(attributes) = class.dict() else { return Ok(()) };
    // SAFETY: no other thread has the class.
    for (name, value) in unsafe { attributes.entries() } {
        if !is_special(name) && !name.is_one_of(uncalled(kind)) {
            all.set(py, name, value)?;
        }
    }
    Ok(())
}

/// Whether a name begins with two underscores. The Python class does not rely on such names: those
/// are the interpreter's.
fn is_special(name: Borrowed<'_>) -> bool {
    // SAFETY: a string of at least two characters, where these are read.
    name.is_string()
        && unsafe {
            ffi::PyUnicode_GetLength(name.as_ptr()) > 1
                && [0, 1]
                    .into_iter()
                    .all(|index| ffi::PyUnicode_ReadChar(name.as_ptr(), index) == u32::from(b'_'))
        }
}
