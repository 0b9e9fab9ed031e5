//! Notices when a program changes a class or a namespace.

use core::sync::atomic::{AtomicU32, Ordering};

use pyo3_ffi::{self as ffi, PyObject, PyTypeObject};

unsafe extern "C-unwind" {
    fn _PyType_Lookup(class: *mut PyTypeObject, name: *mut PyObject) -> *mut PyObject;
    #[cfg(Py_3_12)]
    fn PyUnstable_Type_AssignVersionTag(class: *mut PyTypeObject) -> core::ffi::c_int;
    #[cfg(Py_3_12)]
    fn PyDict_AddWatcher(callback: DictWatcher) -> core::ffi::c_int;
    #[cfg(Py_3_12)]
    fn PyDict_ClearWatcher(watcher: core::ffi::c_int) -> core::ffi::c_int;
    #[cfg(Py_3_12)]
    fn PyDict_Watch(watcher: core::ffi::c_int, dict: *mut PyObject) -> core::ffi::c_int;
}

#[cfg(Py_3_12)]
type DictWatcher = unsafe extern "C" fn(
    core::ffi::c_int,
    *mut PyObject,
    *mut PyObject,
    *mut PyObject,
) -> core::ffi::c_int;

/// The version tag of a class: the number that CPython gave to the present contents of the class
/// and its bases. 0 if it has none. Another class, or the same class after a change, has another
/// number.
///
/// # Safety
/// A valid type.
#[inline]
pub unsafe fn class_version(class: *mut PyTypeObject) -> u32 {
    // SAFETY: as the caller promises. On free-threaded builds other threads change the field, so it
    // is read as an atomic.
    unsafe {
        #[cfg(not(Py_3_12))]
        {
            // Up to 3.11 the number stays in the field after it has become invalid.
            const VALID_VERSION_TAG: core::ffi::c_ulong = 1 << 19;
            if (*class).tp_flags & VALID_VERSION_TAG == 0 {
                return 0;
            }
        }
        AtomicU32::from_ptr(&raw mut (*class).tp_version_tag).load(Ordering::Relaxed)
    }
}

/// The version tag of a class. A class that has none is given one. 0 if CPython gives the class no
/// more: a class gets a limited number of them.
///
/// # Safety
/// Attached; a valid type; an interned string.
pub unsafe fn assign_class_version(class: *mut PyTypeObject, name: *mut PyObject) -> u32 {
    // SAFETY: as the caller promises. The borrowed result is not used.
    unsafe {
        #[cfg(Py_3_12)]
        {
            let _ = name;
            PyUnstable_Type_AssignVersionTag(class);
        }
        #[cfg(not(Py_3_12))]
        _PyType_Lookup(class, name);
        class_version(class)
    }
}

/// The type of the attribute that a class has under this name; null if it has none.
///
/// # Safety
/// Attached; a valid type and a string.
pub unsafe fn type_of_class_attribute(
    class: *mut PyTypeObject,
    name: *mut PyObject,
) -> *mut PyTypeObject {
    // SAFETY: as the caller promises. The borrowed reference is used at once.
    unsafe {
        let found = _PyType_Lookup(class, name);
        if found.is_null() { core::ptr::null_mut() } else { ffi::Py_TYPE(found) }
    }
}

/// `dict[key]` as a new reference; null if there is no such key. Waits until no thread is in the
/// middle of a change of the dict.
///
/// # Safety
/// Attached; a dict; a string.
pub unsafe fn dict_get_settled(
    dict: *mut PyObject,
    key: *mut PyObject,
) -> Result<*mut PyObject, crate::capi::errors::Raised> {
    #[cfg(Py_GIL_DISABLED)]
    // SAFETY: as the caller promises. The section is not moved before it is ended.
    unsafe {
        // A watcher is called before the change, and the change is made under the dict's lock.
        let mut section = core::mem::MaybeUninit::<ffi::PyCriticalSection>::uninit();
        ffi::PyCriticalSection_Begin(section.as_mut_ptr(), dict);
        let found = crate::capi::compat::dict_get(dict, key);
        ffi::PyCriticalSection_End(section.as_mut_ptr());
        found
    }
    #[cfg(not(Py_GIL_DISABLED))]
    // SAFETY: as the caller promises.
    unsafe {
        crate::capi::compat::dict_get(dict, key)
    }
}

/// Adds flags to a type that has no instances yet.
///
/// # Safety
/// Attached; a type that no other thread has.
pub unsafe fn add_type_flags(class: *mut PyTypeObject, flags: core::ffi::c_ulong) {
    // SAFETY: as the caller promises.
    unsafe {
        #[cfg(Py_GIL_DISABLED)]
        (*class).tp_flags.fetch_or(flags, Ordering::Relaxed);
        #[cfg(not(Py_GIL_DISABLED))]
        {
            (*class).tp_flags |= flags;
        }
    }
}

/// Notices changes of the namespaces that it watches.
///
/// From 3.12 on CPython calls a function before a watched dict changes. Up to 3.11 each dict has a
/// version number (PEP 509).
pub struct NamespaceWatch {
    #[cfg(Py_3_12)]
    watcher: core::sync::atomic::AtomicI32,
}

/// The number of changes so far, of all watched namespaces of all interpreters.
#[cfg(Py_3_12)]
static CHANGES: AtomicU32 = AtomicU32::new(1);

#[cfg(Py_3_12)]
unsafe extern "C" fn count_change(
    _event: core::ffi::c_int,
    _dict: *mut PyObject,
    _key: *mut PyObject,
    _value: *mut PyObject,
) -> core::ffi::c_int {
    CHANGES.fetch_add(1, Ordering::Release);
    0
}

impl NamespaceWatch {
    /// A watch of no namespace.
    #[must_use]
    pub const fn none() -> NamespaceWatch {
        NamespaceWatch {
            #[cfg(Py_3_12)]
            watcher: core::sync::atomic::AtomicI32::new(-1),
        }
    }

    /// Starts to watch a namespace.
    ///
    /// # Safety
    /// Attached, in the interpreter that the dict belongs to.
    pub unsafe fn add(&self, dict: *mut PyObject) {
        #[cfg(Py_3_12)]
        // SAFETY: as the caller promises. If CPython has no free watcher, no change is noticed, and
        // the names are looked up at each use.
        unsafe {
            let mut watcher = self.watcher.load(Ordering::Relaxed);
            if watcher < 0 {
                watcher = PyDict_AddWatcher(count_change);
                self.watcher.store(watcher, Ordering::Relaxed);
            }
            if watcher < 0 || PyDict_Watch(watcher, dict) < 0 {
                ffi::PyErr_Clear();
                self.end();
            }
        }
        #[cfg(not(Py_3_12))]
        let _ = dict;
    }

    /// Stops watching.
    ///
    /// # Safety
    /// Attached, in the same interpreter.
    pub unsafe fn end(&self) {
        #[cfg(Py_3_12)]
        // SAFETY: as the caller promises.
        unsafe {
            let watcher = self.watcher.swap(-1, Ordering::Relaxed);
            if watcher >= 0 && PyDict_ClearWatcher(watcher) < 0 {
                ffi::PyErr_Clear();
            }
        }
    }

    /// Whether changes are noticed.
    pub fn tells(&self) -> bool {
        #[cfg(Py_3_12)]
        {
            self.watcher.load(Ordering::Relaxed) >= 0
        }
        #[cfg(not(Py_3_12))]
        true
    }

    /// A number that differs after each change of a watched namespace. It is meaningful only if the
    /// watch [tells]. `dicts` returns the watched namespaces.
    ///
    /// [tells]: NamespaceWatch::tells
    ///
    /// # Safety
    /// Attached; valid dicts or null.
    #[inline]
    pub unsafe fn version<const N: usize>(
        &self,
        dicts: impl FnOnce() -> [*mut PyObject; N],
    ) -> u64 {
        #[cfg(Py_3_12)]
        {
            let _ = dicts;
            u64::from(CHANGES.load(Ordering::Acquire))
        }
        #[cfg(not(Py_3_12))]
        {
            // The versions of all dicts come from one counter that only grows. So the largest of
            // them differs after any change.
            dicts()
                .into_iter()
                .filter(|dict| !dict.is_null())
                // SAFETY: as the caller promises.
                .map(|dict| unsafe { (*dict.cast::<ffi::PyDictObject>()).ma_version_tag })
                .max()
                .unwrap_or(0)
        }
    }
}
