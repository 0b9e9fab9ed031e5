//! Python values that belong to one object and one thread, and go when either goes.
//!
//! `_local` and `TSS` keep them themselves (see `values`), so that the garbage collector sees them as
//! part of the object and a cycle through them can be collected. What the thread state holds are
//! two objects without references to anything: a *key*, under which the objects file the thread's
//! values, and a *sentinel*, whose death says that the thread state is being cleared. For each
//! value the owner keeps a weak reference to the sentinel with a callback that drops the value.
//!
//! Two objects, not one, because finalizers that run while the state is cleared may still read
//! their values: the sentinel's weak references are gone by then, the key works. CPython's own
//! `_local` has the same pair, for the same reason (bpo-3710, gh-127266).

use core::cell::Cell;
use core::ffi::{c_int, c_void};
use core::mem::offset_of;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicUsize, Ordering};

use pyo3_ffi::{self as ffi, PyObject, PyThreadState, PyTypeObject};

use crate::capi::compat;
use crate::capi::errors::{Raised, runtime_error};
use crate::capi::refs::{clear, drop_ref};
use crate::capi::static_tables::Definition;
use crate::capi::types::{self, Like, PLAIN, Type};
use crate::runtime::sentinels;
use crate::runtime::state::State;
use crate::runtime::thread_values::recent::{Edition, Recent};
use crate::runtime::thread_values::table::Values;

/// The calling thread's key and sentinel, both borrowed from the thread state.
#[derive(Clone, Copy)]
pub struct Current {
    thread: *mut PyThreadState,
    module: *const State,
    pub key: *mut PyObject,
    /// Null while the thread state is being cleared.
    sentinel: *mut PyObject,
    /// [`DEATHS`] when this was looked up.
    deaths: usize,
}

const NOBODY: Current = Current {
    thread: ptr::null_mut(),
    module: ptr::null(),
    key: ptr::null_mut(),
    sentinel: ptr::null_mut(),
    deaths: 0,
};

thread_local! {
    /// Saves a look into the thread state's dict. Right only for the thread state it was made for:
    /// one operating system thread may have several, one for each interpreter.
    static CURRENT: Cell<Current> = const { Cell::new(NOBODY) };
}

/// How many sentinels have died. Up to 3.12 the threads that call into a sub-interpreter take turns
/// with one thread state, and each may have saved its look. The one that ends the interpreter cannot
/// tell the others, and the next thread state may get the address of this one: so all look again.
static DEATHS: AtomicUsize = AtomicUsize::new(0);

/// The key. Its address is what the tables file values under.
#[repr(C)]
struct Key {
    base: PyObject,
    recent: Recent,
}

/// The sentinel. It owns the key.
#[repr(C)]
struct Sentinel {
    base: PyObject,
    weakrefs: *mut PyObject,
    key: *mut PyObject,
    /// Whose it is; compared only.
    thread: *mut PyThreadState,
    module: *const State,
    /// What `_set_sentinel` made in this thread.
    lock: sentinels::Name,
    /// Whether the thread is ours: it releases that itself, later, if it lives to do so.
    ours: bool,
}

/// Makes the types of keys and sentinels. New references.
///
/// # Safety
/// Attached.
pub unsafe fn make_types(
    module: *mut PyObject,
) -> Result<(*mut PyTypeObject, *mut PyTypeObject), Raised> {
    // SAFETY: the slots are what their numbers say and expect these structs.
    unsafe {
        let key = Type {
            name: c"rthread._ThreadKey",
            size: size_of::<Key>(),
            flags: ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION | ffi::Py_TPFLAGS_IMMUTABLETYPE,
            like: Like::Nothing(c"Stands for a thread in the dicts of thread-local values."),
            slots: &[(ffi::Py_tp_dealloc, key_dealloc as *mut c_void)],
            ..PLAIN
        }
        .make(module)?;
        let sentinel = Type {
            name: c"rthread._ThreadSentinel",
            size: size_of::<Sentinel>(),
            weakrefs: Some(offset_of!(Sentinel, weakrefs)),
            flags: ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION | ffi::Py_TPFLAGS_IMMUTABLETYPE,
            like: Like::Nothing(c"Dies with the state of its thread."),
            slots: &[(ffi::Py_tp_dealloc, sentinel_dealloc as *mut c_void)],
            ..PLAIN
        }
        .make(module);
        match sentinel {
            Ok(sentinel) => Ok((key, sentinel)),
            Err(raised) => {
                drop_ref(key.cast());
                Err(raised)
            }
        }
    }
}

/// The calling thread's key and sentinel, made if need be.
///
/// # Safety
/// Attached; `module` is the state of the module in this interpreter.
#[inline]
pub unsafe fn current(module: *const State) -> Result<Current, Raised> {
    let current = CURRENT.get();
    // A state that is being cleared is there for sure, and it has no dict to look into any more.
    // Relaxed: whoever reuses an address has synchronised with whoever gave it back.
    if current.thread == compat::thread_state()
        && current.module == module
        && (current.deaths == DEATHS.load(Ordering::Relaxed) || current.is_ending())
    {
        return Ok(current);
    }
    // SAFETY: as the caller promises.
    unsafe { look_up(module) }
}

#[cold]
unsafe fn look_up(module: *const State) -> Result<Current, Raised> {
    // SAFETY: attached; the dict is borrowed from the thread state, the sentinel from the dict,
    // the key from the sentinel.
    unsafe {
        let dict = ffi::PyThreadState_GetDict();
        if dict.is_null() {
            runtime_error(c"no thread state to keep thread-local values in");
            return Err(Raised);
        }
        let mut sentinel = ffi::PyDict_GetItemWithError(dict, (*module).slot);
        if sentinel.is_null() {
            if !ffi::PyErr_Occurred().is_null() {
                return Err(Raised);
            }
            sentinel = make_sentinel(module)?.cast();
            let stored = ffi::PyDict_SetItem(dict, (*module).slot, sentinel);
            ffi::Py_DECREF(sentinel);
            if stored < 0 {
                return Err(Raised);
            }
        }
        let current = Current {
            thread: compat::thread_state(),
            module,
            key: (*sentinel.cast::<Sentinel>()).key,
            sentinel,
            deaths: DEATHS.load(Ordering::Relaxed),
        };
        CURRENT.set(current);
        Ok(current)
    }
}

unsafe fn make_sentinel(module: *const State) -> Result<*mut Sentinel, Raised> {
    // SAFETY: attached; the types were made for these structs. They are gone when the module has
    // been torn down at the very end.
    unsafe {
        if (*module).sentinel_type.is_null() {
            runtime_error(c"the interpreter has shut down");
            return Err(Raised);
        }
        let sentinel = types::allocate::<Sentinel>((*module).sentinel_type);
        if sentinel.is_null() {
            return Err(Raised);
        }
        (*sentinel).key = types::allocate((*module).key_type);
        if (*sentinel).key.is_null() {
            drop_ref(sentinel.cast());
            return Err(Raised);
        }
        (*sentinel).thread = compat::thread_state();
        (*sentinel).module = module;
        Ok(sentinel)
    }
}

/// Files the lock of `_set_sentinel` for the calling thread; gives the one before.
///
/// # Safety
/// As [`current`].
pub unsafe fn replace_lock(
    module: *const State,
    lock: sentinels::Name,
    ours: bool,
) -> Result<sentinels::Name, Raised> {
    // SAFETY: as the caller promises.
    unsafe {
        let sentinel = current(module)?.sentinel.cast::<Sentinel>();
        if sentinel.is_null() {
            // The thread ends while we speak.
            return Ok(sentinels::NONE);
        }
        (*sentinel).ours = ours;
        Ok(core::mem::replace(&mut (*sentinel).lock, lock))
    }
}

unsafe extern "C-unwind" fn key_dealloc(slf: *mut PyObject) {
    // SAFETY: called by CPython when nobody has the object any more.
    unsafe { types::free(slf) };
}

unsafe extern "C-unwind" fn sentinel_dealloc(slf: *mut PyObject) {
    // SAFETY: called by CPython when nobody has the object any more.
    unsafe {
        let sentinel = slf.cast::<Sentinel>();
        // Finalizers that run below may look for their values: the key has to be found, but no
        // weak reference to the dying sentinel can be made.
        let Sentinel { thread, module, key, .. } = *sentinel;
        if thread == compat::thread_state() {
            CURRENT.set(Current { thread, module, key, ..NOBODY });
        }
        if !(*sentinel).weakrefs.is_null() {
            ffi::PyObject_ClearWeakRefs(slf);
        }
        if CURRENT.get().key == key {
            CURRENT.set(NOBODY);
        }
        DEATHS.fetch_add(1, Ordering::Relaxed);
        // A daemon thread of ours that has been stopped will not come to do that.
        if !(*sentinel).ours || compat::is_finalizing() {
            sentinels::release((*sentinel).lock);
        }
        clear(&mut (*sentinel).key);
        types::free(slf);
    }
}

/// Told of an owner and of the key whose value it loses.
pub type Retire = unsafe fn(*mut PyObject, *mut PyObject);

impl Current {
    /// Whether the thread state is being cleared.
    pub fn is_ending(&self) -> bool {
        self.sentinel.is_null()
    }
}

/// The values of one object.
#[repr(C)]
pub struct Table {
    /// None in an object that is not complete.
    values: Option<NonNull<Values>>,
    /// Called before a value is dropped.
    retire: Option<Retire>,
    edition: Edition,
}

/// How every object with a table begins.
#[repr(C)]
pub struct Owner {
    pub base: PyObject,
    pub weakrefs: *mut PyObject,
    pub table: Table,
}

impl Table {
    /// Makes room for values. On failure the owner's dealloc cleans up.
    ///
    /// # Safety
    /// Attached; the table is all zero.
    pub unsafe fn fill(&mut self, retire: Option<Retire>) -> Result<(), Raised> {
        self.values = Values::new();
        self.retire = retire;
        self.edition.renew();
        // SAFETY: attached, as the caller promises.
        self.values.map(|_| ()).ok_or_else(|| unsafe { no_memory() })
    }

    fn values(&self) -> Option<&Values> {
        // SAFETY: they live as long as the owner.
        self.values.map(|values| unsafe { values.as_ref() })
    }

    /// The value of this thread as a new reference, null if it has none.
    ///
    /// # Safety
    /// Attached.
    #[inline]
    pub unsafe fn get(&self, key: *mut PyObject) -> *mut PyObject {
        // SAFETY: as the caller promises.
        self.values().map_or(ptr::null_mut(), |values| unsafe { values.get(key) })
    }

    /// [`Table::get`] for values that are set once for each thread: what the thread has used last is
    /// found without a lock.
    ///
    /// # Safety
    /// Attached; `current` is the calling thread's.
    #[inline]
    pub unsafe fn get_again(&self, current: Current) -> *mut PyObject {
        // SAFETY: as the caller promises; every key is a Key.
        unsafe {
            let recent = &(*current.key.cast::<Key>()).recent;
            recent.get(&self.edition, || self.get(current.key))
        }
    }

    /// Sets the value of this thread and sees to it that it goes with the thread. The value before
    /// as a new reference, null if there was none.
    ///
    /// # Safety
    /// Attached; `owner` is the object that this table is part of, and complete.
    pub unsafe fn insert(
        &self,
        owner: *mut PyObject,
        current: Current,
        value: *mut PyObject,
    ) -> Result<*mut PyObject, Raised> {
        let Some(values) = self.values() else { return Ok(ptr::null_mut()) };
        // SAFETY: attached; all objects are valid.
        unsafe {
            let before = values.set(current.key, value).ok_or_else(|| no_memory())?;
            if !before.is_null() {
                (*current.key.cast::<Key>()).recent.forget(&self.edition);
            }
            if before.is_null() && !current.is_ending() {
                let watch = make_watch(owner, current);
                if watch.is_null() {
                    self.remove(owner, current.key);
                    return Err(Raised);
                }
                values.watch(current.key, watch);
            }
            Ok(before)
        }
    }

    /// Drops a thread's value. An exception that is set stays set.
    ///
    /// # Safety
    /// Attached.
    pub unsafe fn remove(&self, owner: *mut PyObject, key: *mut PyObject) {
        // SAFETY: attached; all objects are valid.
        unsafe {
            let pending = compat::take_exception();
            if let Some(retire) = self.retire {
                retire(owner, key);
            }
            if let Some(values) = self.values() {
                values.remove(key, || self.edition.renew());
            }
            compat::restore_exception(pending);
        }
    }

    /// Drops the values of all threads. The table stays usable; other threads may be using it.
    ///
    /// # Safety
    /// Attached.
    pub unsafe fn clear(&self) {
        if let Some(values) = self.values() {
            // SAFETY: as the caller promises.
            unsafe { values.clear(|| self.edition.renew()) };
        }
    }

    /// # Safety
    /// Called by the collector.
    pub unsafe fn traverse(&self, visit: ffi::visitproc, arg: *mut c_void) -> c_int {
        // SAFETY: as the caller promises.
        self.values().map_or(0, |values| unsafe { values.traverse(visit, arg) })
    }

    /// Drops everything.
    ///
    /// # Safety
    /// Attached; the owner is about to be freed.
    pub unsafe fn end(&mut self) {
        // SAFETY: as the caller promises.
        unsafe {
            self.clear();
            if let Some(values) = self.values.take() {
                Values::free(values);
            }
        }
    }
}

/// # Safety
/// Attached.
unsafe fn no_memory() -> Raised {
    // SAFETY: as the caller promises.
    unsafe { ffi::PyErr_NoMemory() };
    Raised
}

/// A weak reference to the thread's sentinel whose callback drops the thread's value. It refers to
/// the owner weakly too: an owner and its own watches would be a cycle.
unsafe fn make_watch(owner: *mut PyObject, current: Current) -> *mut PyObject {
    static DROP_VALUE: Definition =
        Definition::new(c"drop_value", ffi::METH_O, drop_value as *mut c_void);
    // SAFETY: attached; all objects are valid.
    unsafe {
        let owner = ffi::PyWeakref_NewRef(owner, ptr::null_mut());
        if owner.is_null() {
            return ptr::null_mut();
        }
        let pair = ffi::PyTuple_Pack(2, owner, current.key);
        drop_ref(owner);
        if pair.is_null() {
            return ptr::null_mut();
        }
        let callback = DROP_VALUE.bind(pair);
        drop_ref(pair);
        if callback.is_null() {
            return ptr::null_mut();
        }
        let watch = ffi::PyWeakref_NewRef(current.sentinel, callback);
        drop_ref(callback);
        watch
    }
}

/// The callback of a watch: the thread with this key ends.
unsafe extern "C-unwind" fn drop_value(pair: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by CPython, attached; `pair` is what `make_watch` packed.
    unsafe {
        let object = compat::weakref_get(ffi::PyTuple_GET_ITEM(pair, 0));
        if !object.is_null() {
            let table = &(*object.cast::<Owner>()).table;
            table.remove(object, ffi::PyTuple_GET_ITEM(pair, 1));
            drop_ref(object);
        }
    }
    compat::none()
}
