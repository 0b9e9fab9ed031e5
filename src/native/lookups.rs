//! Names that the Python classes look up in their modules at each use.
//!
//! `threading` and `queue` read `Lock`, `Condition`, `_time`, `Empty` and others from their
//! namespaces whenever they make or raise something, and programs replace these names. A native
//! class does its work only while they are what the interpreter or rthread put there.

use core::ffi::CStr;
use core::ptr;
use core::sync::atomic::{AtomicU64, Ordering};

use pyo3_ffi::{self as ffi, PyObject};

use crate::compat::{self, NamespaceWatch, Raised};
use crate::module::State;
use crate::object;

/// No version of a namespace.
const NEVER: u64 = u64::MAX;

/// A namespace.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Namespace {
    Threading = 0,
    Queue = 1,
}

/// The names of both namespaces, with the objects that may stand there.
pub struct Lookups {
    watch: NamespaceWatch,
    namespaces: [Names; 2],
    /// The version of the namespaces in which all names were last found as expected.
    checked: AtomicU64,
}

struct Names {
    /// The namespace, a dict, owned; null if its module has no native classes yet.
    dict: *mut PyObject,
    /// A dict of tuples, owned: by name, the objects of which one has to be there. An empty one means
    /// that the name must not be there: it would hide one of the interpreter's own.
    expected: *mut PyObject,
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

/// Whether all names that the Python classes look up are what the interpreter or rthread put there.
///
/// # Safety
/// Attached; the state of the module.
#[inline]
pub unsafe fn are_as_expected(state: *const State) -> bool {
    // SAFETY: as the caller promises.
    unsafe {
        let lookups = &(*state).natives.lookups;
        let [threading, queue] = &lookups.namespaces;
        let version = lookups.watch.version(&[threading.dict, queue.dict]);
        if version == lookups.checked.load(Ordering::Relaxed) {
            return true;
        }
        look(lookups, version)
    }
}

#[cold]
unsafe fn look(lookups: &Lookups, version: u64) -> bool {
    // The version was read before: a change that comes meanwhile makes it another one.
    // SAFETY: attached, as in `are_as_expected`.
    if !lookups.namespaces.iter().all(|names| unsafe { holds(names) }) {
        // The interpreter clears its modules at the end. What is left is no program's doing.
        return compat::is_finalizing();
    }
    if lookups.watch.tells() {
        lookups.checked.store(version, Ordering::Relaxed);
    }
    true
}

/// Whether all names of a namespace are as expected.
unsafe fn holds(names: &Names) -> bool {
    // SAFETY: attached, as in `are_as_expected`; the names are borrowed from a dict that nothing
    // changes.
    unsafe {
        if names.dict.is_null() {
            return true;
        }
        let (mut position, mut name, mut allowed) = (0, ptr::null_mut(), ptr::null_mut());
        while ffi::PyDict_Next(names.expected, &mut position, &mut name, &mut allowed) != 0 {
            let Ok(found) = compat::dict_get_settled(names.dict, name) else {
                ffi::PyErr_Clear();
                return false;
            };
            object::drop_ref(found);
            let count = ffi::PyTuple_GET_SIZE(allowed);
            let is_absent = found.is_null() && count == 0;
            // Only compared: it may be gone by now.
            let is_known = (0..count).any(|index| ffi::PyTuple_GET_ITEM(allowed, index) == found);
            if !is_absent && !is_known {
                return false;
            }
        }
    }
    true
}

/// The object that a namespace has under this name at the moment: a new reference, or null if there
/// is none.
///
/// # Errors
/// With an exception: there is no memory, or a look-up of the program's has raised.
///
/// # Safety
/// Attached; the state of the module.
pub unsafe fn find(
    state: *const State,
    namespace: Namespace,
    name: &CStr,
) -> Result<*mut PyObject, Raised> {
    // SAFETY: as the caller promises; the new reference is given back.
    unsafe {
        let dict = (*state).natives.lookups.namespaces[namespace as usize].dict;
        if dict.is_null() {
            return Ok(ptr::null_mut());
        }
        let key = ffi::PyUnicode_InternFromString(name.as_ptr());
        if key.is_null() {
            return Err(Raised);
        }
        let found = compat::dict_get(dict, key);
        object::drop_ref(key);
        found
    }
}
