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

use pyo3_ffi::{self as ffi, PyObject, PyThreadState};

use crate::capi::compat;
use crate::capi::entry::{Header, Instance, New, This, Visitor};
use crate::capi::errors::Raised;
use crate::capi::field::{Field, WeakRefs};
use crate::capi::object::{Answer, Attached, Borrowed, Dict, Owned, OwnedClass, Tuple};
use crate::capi::static_tables::Definition;
use crate::capi::types::{self, Like, PLAIN, Type};
use crate::runtime::natives::gone;
use crate::runtime::sentinels;
use crate::runtime::state::State;
use crate::runtime::thread_values::recent::{Edition, Recent};
use crate::runtime::thread_values::table::Values;

/// The calling thread's key and sentinel. Both are borrowed from the thread state, which keeps them
/// until it is cleared.
#[derive(Clone, Copy)]
pub struct Current<'py> {
    key: This<'py, Key>,
    /// None while the thread state is being cleared.
    sentinel: Option<This<'py, Sentinel>>,
}

/// A [`Current`] that was looked up earlier.
#[derive(Clone, Copy)]
struct Remembered {
    thread: *mut PyThreadState,
    module: *const State,
    key: *mut PyObject,
    /// Null while the thread state is being cleared.
    sentinel: *mut PyObject,
    /// The value of [`DEATHS`] when this was looked up.
    deaths: usize,
}

const NOTHING: Remembered = Remembered {
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
    static CURRENT: Cell<Remembered> = const { Cell::new(NOTHING) };
}

/// How many sentinels have been freed. Up to 3.12 the threads that call into a sub-interpreter take
/// turns with one thread state, and each of them may have remembered its result. The thread that
/// ends the interpreter cannot tell the others, and the next thread state may have the same
/// address. So all threads look up again.
static DEATHS: AtomicUsize = AtomicUsize::new(0);

/// The key. The tables store values under its address.
#[repr(C)]
struct Key {
    base: Header,
    recent: Recent,
}

// SAFETY: laid out by C's rules, and begins with the header; all zero bytes are a valid key.
unsafe impl Instance for Key {}

/// The sentinel.
#[repr(C)]
struct Sentinel {
    base: Header,
    weakrefs: WeakRefs,
    key: Field,
    /// The thread state that it belongs to. Only compared.
    thread: *mut PyThreadState,
    /// Only compared.
    module: *const State,
    /// The lock that `_set_sentinel` has made in this thread.
    lock: Cell<sentinels::Name>,
    /// Whether rthread has started the thread. Such a thread releases the lock itself, after its
    /// state is gone, unless it is stopped before.
    ours: Cell<bool>,
}

// SAFETY: laid out by C's rules, and begins with the header; all zero bytes are a valid sentinel.
unsafe impl Instance for Sentinel {}

/// Makes the types of keys and sentinels.
pub fn make_types(
    py: Attached<'_>,
    module: Borrowed<'_>,
) -> Result<(OwnedClass, OwnedClass), Raised> {
    let key = Type {
        name: c"rthread._ThreadKey",
        size: size_of::<Key>(),
        flags: ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION | ffi::Py_TPFLAGS_IMMUTABLETYPE,
        like: Like::Nothing(c"Stands for a thread in the dicts of thread-local values."),
        slots: &[(ffi::Py_tp_dealloc, key_dealloc as *mut c_void)],
        ..PLAIN
    };
    let sentinel = Type {
        name: c"rthread._ThreadSentinel",
        size: size_of::<Sentinel>(),
        weakrefs: Some(offset_of!(Sentinel, weakrefs)),
        flags: ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION | ffi::Py_TPFLAGS_IMMUTABLETYPE,
        like: Like::Nothing(c"Dies with the state of its thread."),
        slots: &[(ffi::Py_tp_dealloc, sentinel_dealloc as *mut c_void)],
        ..PLAIN
    };
    // SAFETY: the slots are of the kinds that their numbers say, and expect a `Key`.
    let key = unsafe { key.make(py, module)? };
    // SAFETY: the same, with a `Sentinel`.
    match unsafe { sentinel.make(py, module) } {
        Ok(sentinel) => Ok((key, sentinel)),
        Err(raised) => {
            key.release(py);
            Err(raised)
        }
    }
}

/// The calling thread's key and sentinel. They are made at the first use.
#[inline]
pub fn current<'py>(py: Attached<'py>, state: &State) -> Result<Current<'py>, Raised> {
    let remembered = CURRENT.get();
    // While the thread state is being cleared, the remembered result is right, because the state
    // still exists. A look-up is not possible then, because the dict is gone.
    // Relaxed: a thread that reuses an address has synchronised with the thread that gave it back.
    if remembered.thread == compat::thread_state()
        && ptr::eq(remembered.module, state)
        && (remembered.deaths == DEATHS.load(Ordering::Relaxed) || remembered.sentinel.is_null())
    {
        // SAFETY: this thread state still exists, and its objects were looked up.
        return Ok(unsafe { remembered.current(py) });
    }
    look_up(py, state)
}

impl Remembered {
    /// # Safety
    /// The objects are those of the calling thread's state.
    #[inline]
    unsafe fn current<'py>(self, _: Attached<'py>) -> Current<'py> {
        // SAFETY: as the caller promises. The thread state keeps them until it is cleared, and the
        // thread is attached.
        unsafe {
            Current {
                key: This::assume(self.key),
                sentinel: (!self.sentinel.is_null()).then(|| This::assume(self.sentinel)),
            }
        }
    }
}

#[cold]
fn look_up<'py>(py: Attached<'py>, state: &State) -> Result<Current<'py>, Raised> {
    // SAFETY: attached; a dict, borrowed from the thread state, or null.
    let dict = unsafe {
        Borrowed::assume_if_any(ffi::PyThreadState_GetDict()).map(|dict| Dict::assume(dict))
    };
    let Some(dict) = dict else {
        return Err(py.runtime_error(c"no thread state to keep thread-local values in"));
    };
    let Some(slot) = state.slot.get() else { return Err(gone(py)) };
    let found = match dict.get(py, slot)? {
        Some(sentinel) => sentinel,
        None => {
            let sentinel = make_sentinel(py, state)?;
            if let Err(raised) = dict.set(py, slot, sentinel.borrow()) {
                sentinel.release(py);
                return Err(raised);
            }
            sentinel
        }
    };
    // The dict keeps the sentinel, and the sentinel keeps the key.
    let sentinel = found.borrow().as_ptr();
    found.release(py);
    let remembered = Remembered {
        thread: compat::thread_state(),
        module: state,
        // SAFETY: only sentinels are under this key of the dict.
        key: unsafe { This::<Sentinel>::assume(sentinel) }.key.as_ptr(),
        sentinel,
        deaths: DEATHS.load(Ordering::Relaxed),
    };
    CURRENT.set(remembered);
    // SAFETY: the objects were found in the thread state's dict.
    Ok(unsafe { remembered.current(py) })
}

fn make_sentinel(py: Attached<'_>, state: &State) -> Answer {
    let (Some(sentinel_type), Some(key_type)) = (state.sentinel_type.get(), state.key_type.get())
    else {
        return Err(gone(py));
    };
    // SAFETY: the type was made for this struct.
    let mut sentinel = unsafe { New::<Sentinel>::allocate(py, sentinel_type)? };
    // SAFETY: as above.
    match unsafe { New::<Key>::allocate(py, key_type) } {
        Ok(key) => sentinel.key.fill_first(key.into_owned()),
        Err(raised) => {
            sentinel.release(py);
            return Err(raised);
        }
    }
    sentinel.thread = compat::thread_state();
    sentinel.module = state;
    Ok(sentinel.into_owned())
}

/// Stores the name of the lock from `_set_sentinel` for the calling thread. Returns the earlier
/// name.
pub fn replace_lock(
    py: Attached<'_>,
    state: &State,
    lock: sentinels::Name,
    ours: bool,
) -> Result<sentinels::Name, Raised> {
    let Some(sentinel) = current(py, state)?.sentinel else {
        // The thread state is being cleared.
        return Ok(sentinels::NONE);
    };
    sentinel.ours.set(ours);
    Ok(sentinel.lock.replace(lock))
}

unsafe extern "C-unwind" fn key_dealloc(slf: *mut PyObject) {
    // SAFETY: called by CPython when no reference to the object is left.
    unsafe { types::free(slf) };
}

unsafe extern "C-unwind" fn sentinel_dealloc(slf: *mut PyObject) {
    // SAFETY: called by CPython, attached, when no reference to the object is left.
    let (py, sentinel) = unsafe { (Attached::assume(), This::<Sentinel>::assume(slf)) };
    // Finalizers that run below may read their values. The key must be found for that, but no new
    // weak reference to the sentinel can be made any more.
    let Sentinel { thread, module, .. } = *sentinel;
    let key = sentinel.key.as_ptr();
    if thread == compat::thread_state() {
        CURRENT.set(Remembered { thread, module, key, ..NOTHING });
    }
    // SAFETY: attached; this is the place of the object, to which there is no reference.
    unsafe { sentinel.weakrefs.end(slf) };
    if CURRENT.get().key == key {
        CURRENT.set(NOTHING);
    }
    DEATHS.fetch_add(1, Ordering::Relaxed);
    // A daemon thread that finalization has stopped cannot release the lock itself.
    if !sentinel.ours.get() || compat::is_finalizing() {
        sentinels::release(sentinel.lock.get());
    }
    sentinel.key.clear(py);
    // SAFETY: attached; the object is not used any more.
    unsafe { types::free(slf) };
}

impl<'py> Current<'py> {
    /// Whether the thread state is being cleared.
    #[must_use]
    pub fn is_ending(self) -> bool {
        self.sentinel.is_none()
    }

    /// The object under which tables store the thread's values.
    #[inline]
    #[must_use]
    pub fn key(self) -> Borrowed<'py> {
        self.key.object()
    }
}

/// Called with an owner, and with the key of the thread for which the owner loses its value.
pub type Retire = fn(Attached<'_>, This<'_, Owner>, Borrowed<'_>);

/// The values of one object.
#[repr(C)]
pub struct Table {
    /// None while the object is being made.
    values: Option<NonNull<Values>>,
    /// Called before a value is dropped.
    retire: Option<Retire>,
    edition: Edition,
}

impl Table {
    /// Makes room for values. After a failure the owner's dealloc cleans up. The table is all zero.
    pub fn fill(&mut self, py: Attached<'_>, retire: Option<Retire>) -> Result<(), Raised> {
        self.values = Values::new();
        self.retire = retire;
        self.edition.renew();
        self.values.map(|_| ()).ok_or_else(|| py.no_memory())
    }

    fn values(&self) -> Option<&Values> {
        // SAFETY: the values live as long as the table, until `end`.
        self.values.map(|values| unsafe { values.as_ref() })
    }

    /// The calling thread's value; None if it has none.
    #[inline]
    pub fn get(&self, py: Attached<'_>, key: Borrowed<'_>) -> Option<Owned> {
        self.values()?.get(py, key)
    }

    /// [`Table::get`] for values that are set once for each thread. A value that the thread has
    /// used recently is found without a lock.
    #[inline]
    pub fn get_again(&self, py: Attached<'_>, current: Current<'_>) -> Option<Owned> {
        let find = || self.get(py, current.key());
        // SAFETY: the key belongs to the calling thread, and the edition to this table.
        unsafe { current.key.recent.get(py, &self.edition, find) }
    }

    /// Drops the values of all threads. The table stays usable, and other threads may be using it.
    pub fn clear(&self, py: Attached<'_>) {
        if let Some(values) = self.values() {
            values.clear(py, || self.edition.renew());
        }
    }

    /// Shows the collector the values.
    pub fn visit(&self, visitor: Visitor<'_>) -> c_int {
        self.values().map_or(0, |values| values.visit(visitor))
    }

    /// Frees the memory, after [`Table::clear`]. The owner is about to be freed.
    pub fn end(&mut self) {
        if let Some(values) = self.values.take() {
            // SAFETY: made by `fill`, and taken out of the table, which no thread uses.
            unsafe { Values::free(values) };
        }
    }
}

/// The beginning of every object that has a table.
#[repr(C)]
pub struct Owner {
    base: Header,
    pub weakrefs: WeakRefs,
    pub table: Table,
}

// SAFETY: laid out by C's rules, and begins with the header; all zero bytes are an owner without
// values.
unsafe impl Instance for Owner {}

/// The layout of an object that has a table.
///
/// # Safety
/// `repr(C)`, and the struct begins with an [`Owner`].
pub unsafe trait Owning: Instance {}

/// An object as any object that has a table.
#[inline]
#[must_use]
pub fn owner<T: Owning>(this: This<'_, T>) -> This<'_, Owner> {
    // SAFETY: the struct begins with an owner, as the trait promises.
    unsafe { This::assume(this.object().as_ptr()) }
}

impl Owner {
    /// Sets the calling thread's value, and makes sure that it is dropped when the thread ends.
    /// Returns the earlier value; None if there was none.
    pub fn insert(
        py: Attached<'_>,
        this: This<'_, Owner>,
        current: Current<'_>,
        value: Borrowed<'_>,
    ) -> Result<Option<Owned>, Raised> {
        let table = &this.get().table;
        let Some(values) = table.values() else { return Ok(None) };
        let key = current.key();
        if let Some(before) = values.set(py, key, value)? {
            current.key.recent.forget(&table.edition);
            return Ok(Some(before));
        }
        if let Some(sentinel) = current.sentinel {
            match make_watch(py, this, key, sentinel) {
                Ok(watch) => values.watch(py, key, watch),
                Err(raised) => {
                    Owner::remove(py, this, key);
                    return Err(raised);
                }
            }
        }
        Ok(None)
    }

    /// Drops a thread's value. If an exception is set, it stays set.
    pub fn remove(py: Attached<'_>, this: This<'_, Owner>, key: Borrowed<'_>) {
        let table = &this.get().table;
        let pending = py.take_exception();
        if let Some(retire) = table.retire {
            retire(py, this, key);
        }
        if let Some(values) = table.values() {
            values.remove(py, key, || table.edition.renew());
        }
        pending.restore(py);
    }
}

/// A weak reference to the thread's sentinel, with a callback that drops the thread's value. The
/// callback refers to the owner weakly too. Otherwise the owner and its own watches would be a
/// cycle.
fn make_watch(
    py: Attached<'_>,
    owner: This<'_, Owner>,
    key: Borrowed<'_>,
    sentinel: This<'_, Sentinel>,
) -> Answer {
    static DROP_VALUE: Definition =
        Definition::new(c"drop_value", ffi::METH_O, drop_value as *mut c_void);
    let owner = owner.object().weak_reference(py, None)?;
    let pair = py.tuple(&[owner.borrow(), key]);
    owner.release(py);
    let pair = pair?;
    let callback = DROP_VALUE.bind(py, Some(pair.borrow()));
    pair.release(py);
    let callback = callback?;
    let watch = sentinel.object().weak_reference(py, Some(callback.borrow()));
    callback.release(py);
    watch
}

/// The callback of a watch: the thread with this key is ending.
unsafe extern "C-unwind" fn drop_value(pair: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by CPython, attached; `pair` is the tuple that `make_watch` has made.
    let (py, pair) = unsafe { (Attached::assume(), Tuple::assume(Borrowed::assume(pair))) };
    if let &[reference, key] = pair.items()
        && let Some(object) = reference.referent(py)
    {
        // SAFETY: `make_watch` has put an owner into the pair.
        let owner = unsafe { This::<Owner>::assume(object.borrow().as_ptr()) };
        Owner::remove(py, owner, key);
        object.release(py);
    }
    py.none().into_raw()
}
