//! Python values that belong to one object and one thread, and are dropped when either of them
//! goes.
//!
//! `_local` and `TSS` keep the values in the object (see `table`). So the garbage collector sees
//! them as part of the object, and can collect a cycle through them. The thread state only holds
//! two objects, which refer to no value and to no owner. One is the *key*, under which the objects
//! store the thread's values. The other is the *sentinel*, which is freed when the thread state is
//! cleared. For each value the owner keeps a weak reference to the sentinel, with a callback that
//! drops the value.
//!
//! There are two objects and not one, because finalizers that run while the state is cleared may
//! still read their values. At that time the weak references to the sentinel are gone, but the key
//! still works. CPython's own `_local` has the same pair for the same reason (bpo-3710, gh-127266).

use core::cell::Cell;
use core::ffi::{c_int, c_void};
use core::mem::offset_of;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicUsize, Ordering};

use pyo3_ffi::{self as ffi, PyObject, PyThreadState, PyTypeObject};

use crate::capi::compat;
use crate::capi::errors::{Raised, runtime_error};
use crate::capi::object::{Attached, Borrowed, Owned};
use crate::capi::refs::{clear, drop_ref};
use crate::capi::static_tables::Definition;
use crate::capi::types::{self, Like, PLAIN, Type};
use crate::runtime::sentinels;
use crate::runtime::state::State;
use crate::runtime::thread_values::recent::{Edition, Recent};
use crate::runtime::thread_values::table::Values;

/// The calling thread's key and sentinel. Both are borrowed from the thread state.
#[derive(Clone, Copy)]
pub struct Current {
    thread: *mut PyThreadState,
    module: *const State,
    key: *mut PyObject,
    /// Null while the thread state is being cleared.
    sentinel: *mut PyObject,
    /// The value of [`DEATHS`] when this was looked up.
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
    /// Remembers the result of the look-up in the thread state's dict. Valid only for the thread
    /// state for which it was made: a thread of the operating system may have several states, one
    /// for each interpreter.
    static CURRENT: Cell<Current> = const { Cell::new(NOBODY) };
}

/// How many sentinels have been freed. Up to 3.12 the threads that call into a sub-interpreter take
/// turns with one thread state, and each of them may have remembered its result. The thread that
/// ends the interpreter cannot tell the others, and the next thread state may have the same
/// address. So all threads look up again.
static DEATHS: AtomicUsize = AtomicUsize::new(0);

/// The key. The tables store values under its address.
#[repr(C)]
struct Key {
    base: PyObject,
    recent: Recent,
}

/// The sentinel. It owns a reference to the key.
#[repr(C)]
struct Sentinel {
    base: PyObject,
    weakrefs: *mut PyObject,
    key: *mut PyObject,
    /// The thread state that it belongs to. Only compared.
    thread: *mut PyThreadState,
    module: *const State,
    /// The lock that `_set_sentinel` has made in this thread.
    lock: sentinels::Name,
    /// Whether rthread has started the thread. Such a thread releases the lock itself, after its
    /// state is gone, unless it is stopped before.
    ours: bool,
}

/// Makes the types of keys and sentinels. Returns new references.
///
/// # Safety
/// Attached.
pub unsafe fn make_types(
    module: *mut PyObject,
) -> Result<(*mut PyTypeObject, *mut PyTypeObject), Raised> {
    // SAFETY: the slots are of the kinds that their numbers say, and expect these structs.
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

/// The calling thread's key and sentinel. They are made at the first use.
///
/// # Safety
/// Attached; `module` is the state of the module in this interpreter.
#[inline]
pub unsafe fn current(module: *const State) -> Result<Current, Raised> {
    let current = CURRENT.get();
    // While the thread state is being cleared, the remembered result is right, because the state
    // still exists. A look-up is not possible then, because the dict is gone.
    // Relaxed: a thread that reuses an address has synchronised with the thread that gave it back.
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
    // SAFETY: attached. The dict is borrowed from the thread state, the sentinel from the dict, and
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
    // SAFETY: attached. The types were made for these structs. They are null if the module has been
    // cleared at the end of the interpreter.
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

/// Stores the name of the lock from `_set_sentinel` for the calling thread. Returns the earlier
/// name.
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
            // The thread state is being cleared.
            return Ok(sentinels::NONE);
        }
        (*sentinel).ours = ours;
        Ok(core::mem::replace(&mut (*sentinel).lock, lock))
    }
}

unsafe extern "C-unwind" fn key_dealloc(slf: *mut PyObject) {
    // SAFETY: called by CPython when no reference to the object is left.
    unsafe { types::free(slf) };
}

unsafe extern "C-unwind" fn sentinel_dealloc(slf: *mut PyObject) {
    // SAFETY: called by CPython when no reference to the object is left.
    unsafe {
        let sentinel = slf.cast::<Sentinel>();
        // Finalizers that run below may read their values. The key must be found for that, but no
        // new weak reference to the sentinel can be made any more.
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
        // A daemon thread that finalization has stopped cannot release the lock itself.
        if !(*sentinel).ours || compat::is_finalizing() {
            sentinels::release((*sentinel).lock);
        }
        clear(&mut (*sentinel).key);
        types::free(slf);
    }
}

/// Called with an owner, and with the key of the thread for which the owner loses its value.
pub type Retire = unsafe fn(*mut PyObject, *mut PyObject);

impl Current {
    /// Whether the thread state is being cleared.
    pub fn is_ending(&self) -> bool {
        self.sentinel.is_null()
    }

    /// The object under which tables store the thread's values.
    #[inline]
    pub fn key(&self) -> Borrowed<'_> {
        // SAFETY: the thread state has a reference until it is cleared, and the thread is attached.
        unsafe { Borrowed::assume(self.key) }
    }

    fn recent(&self) -> &Recent {
        // SAFETY: as in `key`. Every key is a `Key`.
        unsafe { &(*self.key.cast::<Key>()).recent }
    }
}

/// The values of one object.
#[repr(C)]
pub struct Table {
    /// None while the object is being made.
    values: Option<NonNull<Values>>,
    /// Called before a value is dropped.
    retire: Option<Retire>,
    edition: Edition,
}

/// The beginning of every object that has a table.
#[repr(C)]
pub struct Owner {
    pub base: PyObject,
    pub weakrefs: *mut PyObject,
    pub table: Table,
}

impl Table {
    /// Makes room for values. After a failure the owner's dealloc cleans up.
    ///
    /// # Safety
    /// The table is all zero, and no other thread has it.
    pub unsafe fn fill(&mut self, py: Attached<'_>, retire: Option<Retire>) -> Result<(), Raised> {
        self.values = Values::new();
        self.retire = retire;
        self.edition.renew();
        self.values.map(|_| ()).ok_or_else(|| py.no_memory())
    }

    fn values(&self) -> Option<&Values> {
        // SAFETY: the values live as long as the owner.
        self.values.map(|values| unsafe { values.as_ref() })
    }

    /// The calling thread's value as a new reference; None if it has none.
    #[inline]
    pub fn get(&self, py: Attached<'_>, key: Borrowed<'_>) -> Option<Owned> {
        self.values()?.get(py, key)
    }

    /// [`Table::get`] for values that are set once for each thread. A value that the thread has
    /// used recently is found without a lock.
    #[inline]
    pub fn get_again(&self, py: Attached<'_>, current: Current) -> Option<Owned> {
        let find = || self.get(py, current.key()).map_or(ptr::null_mut(), Owned::into_raw);
        // SAFETY: attached; the key belongs to the calling thread. The result is a new reference.
        unsafe { py.own_if_any(current.recent().get(&self.edition, find)) }
    }

    /// Sets the calling thread's value, and makes sure that it is dropped when the thread ends.
    /// Returns the earlier value; None if there was none. `owner` is the complete object that has
    /// this table.
    pub fn insert(
        &self,
        py: Attached<'_>,
        owner: Borrowed<'_>,
        current: Current,
        value: Borrowed<'_>,
    ) -> Result<Option<Owned>, Raised> {
        let Some(values) = self.values() else { return Ok(None) };
        let key = current.key();
        if let Some(before) = values.set(py, key, value)? {
            // SAFETY: the key belongs to the calling thread.
            unsafe { current.recent().forget(&self.edition) };
            return Ok(Some(before));
        }
        if !current.is_ending() {
            // SAFETY: attached; all objects are valid.
            match unsafe { py.own(make_watch(owner.as_ptr(), current)) } {
                Ok(watch) => values.watch(py, key, watch),
                Err(raised) => {
                    self.remove(py, owner, key);
                    return Err(raised);
                }
            }
        }
        Ok(None)
    }

    /// Drops a thread's value. If an exception is set, it stays set.
    pub fn remove(&self, py: Attached<'_>, owner: Borrowed<'_>, key: Borrowed<'_>) {
        // SAFETY: attached; `owner` is the object that has this table.
        unsafe {
            let pending = compat::take_exception();
            if let Some(retire) = self.retire {
                retire(owner.as_ptr(), key.as_ptr());
            }
            if let Some(values) = self.values() {
                values.remove(py, key, || self.edition.renew());
            }
            compat::restore_exception(pending);
        }
    }

    /// Drops the values of all threads. The table stays usable, and other threads may be using it.
    pub fn clear(&self, py: Attached<'_>) {
        if let Some(values) = self.values() {
            values.clear(py, || self.edition.renew());
        }
    }

    /// # Safety
    /// Called by the collector.
    pub unsafe fn traverse(&self, visit: ffi::visitproc, arg: *mut c_void) -> c_int {
        // SAFETY: as the caller promises.
        self.values().map_or(0, |values| unsafe { values.traverse(visit, arg) })
    }

    /// Drops all values and frees the memory.
    ///
    /// # Safety
    /// The owner is about to be freed.
    pub unsafe fn end(&mut self, py: Attached<'_>) {
        self.clear(py);
        if let Some(values) = self.values.take() {
            // SAFETY: as the caller promises; cleared.
            unsafe { Values::free(values) };
        }
    }
}

/// A weak reference to the thread's sentinel, with a callback that drops the thread's value. The
/// callback refers to the owner weakly too. Otherwise the owner and its own watches would be a
/// cycle.
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

/// The callback of a watch: the thread with this key is ending.
unsafe extern "C-unwind" fn drop_value(pair: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by CPython, attached; `pair` is what `make_watch` packed.
    unsafe {
        let object = compat::weakref_get(ffi::PyTuple_GET_ITEM(pair, 0));
        let py = Attached::assume();
        if let Some(owner) = py.own_if_any(object) {
            let table = &(*object.cast::<Owner>()).table;
            let key = Borrowed::assume(ffi::PyTuple_GET_ITEM(pair, 1));
            table.remove(py, owner.borrow(), key);
            owner.release(py);
        }
    }
    compat::none()
}
