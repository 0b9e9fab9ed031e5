//! The values of an object, by the keys of threads (see `keys`).
//!
//! The table is not a dict. Without a GIL a dict has a lock inside, and CPython hands such a lock
//! to a waiting thread. That thread may be stopped after the hand-off, before it knows. If a fork
//! has stopped it, the lock stays held for ever in the child. The locks of this table do not have
//! this problem: a thread that holds one is attached, does very little, and runs no Python code. So
//! neither a fork nor the collector can stop it at that time.

use core::ffi::{c_int, c_void};
use core::ptr::{self, NonNull};
use std::alloc::{Layout, alloc, dealloc};

use pyo3_ffi::{self as ffi, PyObject};

use crate::capi::compat;
use crate::capi::errors::Raised;
use crate::capi::object::{Attached, Borrowed, Owned, release};
use crate::capi::refs::visit_all;
use crate::runtime::thread_values::address_map::{ByAddress, by_address, choose};
use crate::sync::{Mutex, MutexGuard};

/// How many threads can use the values at the same time, at best. A power of two.
const SHARDS: usize = if compat::IS_FREE_THREADED { 8 } else { 1 };

/// How many entries are dropped at a time.
const BATCH: usize = 32;

/// The entry of one thread. The references are owned.
#[derive(Clone, Copy)]
struct Entry {
    key: *mut PyObject,
    value: *mut PyObject,
    /// The weak reference that drops the value when the thread ends; null if there is none.
    watch: *mut PyObject,
}

const NOTHING: Entry =
    Entry { key: ptr::null_mut(), value: ptr::null_mut(), watch: ptr::null_mut() };

impl Entry {
    /// Drops the references of an entry that is in no map any more. This may run Python code.
    fn drop(self, py: Attached<'_>) {
        // The watch first. So its callback is not called for a value that is gone.
        for reference in [self.watch, self.value, self.key] {
            // SAFETY: the entry owns its references, and is dropped once.
            release(unsafe { py.own_if_any(reference) }, py);
        }
    }
}

/// Some of the entries. Each shard has a cache line of its own.
#[repr(align(64))]
struct Shard(Mutex<ByAddress<Entry>>);

// SAFETY: any attached thread may drop the references.
unsafe impl Sync for Shard {}

/// The map's name for a key.
fn address(key: Borrowed<'_>) -> usize {
    key.as_ptr().addr()
}

/// The values of one object.
pub struct Values([Shard; SHARDS]);

impl Values {
    /// Makes an empty table. None if there is no memory. To be freed with [`Values::free`].
    pub fn new() -> Option<NonNull<Values>> {
        // SAFETY: the size is not zero.
        let values = NonNull::new(unsafe { alloc(Layout::new::<Values>()) })?.cast::<Values>();
        // SAFETY: fresh memory with this layout.
        unsafe { values.write(Values([const { Shard(Mutex::new(by_address())) }; SHARDS])) };
        Some(values)
    }

    /// # Safety
    /// From [`Values::new`], [cleared](Values::clear), and not used any more.
    pub unsafe fn free(values: NonNull<Values>) {
        // SAFETY: as the caller promises.
        unsafe {
            values.drop_in_place();
            dealloc(values.as_ptr().cast(), Layout::new::<Values>());
        }
    }

    fn shard(&self, key: Borrowed<'_>) -> MutexGuard<'_, ByAddress<Entry>> {
        self.0[choose(address(key), SHARDS)].0.lock()
    }

    /// The value as a new reference; None if there is none.
    #[inline]
    pub fn get(&self, py: Attached<'_>, key: Borrowed<'_>) -> Option<Owned> {
        let shard = self.shard(key);
        // SAFETY: the map owns a reference, and no entry leaves it while the shard is locked.
        shard.get(&address(key)).map(|entry| unsafe { Borrowed::assume(entry.value) }.own(py))
    }

    /// Sets the value. Returns the earlier value; None if there was none.
    ///
    /// # Errors
    /// There is no memory.
    pub fn set(
        &self,
        py: Attached<'_>,
        key: Borrowed<'_>,
        value: Borrowed<'_>,
    ) -> Result<Option<Owned>, Raised> {
        {
            let mut shard = self.shard(key);
            if let Some(entry) = shard.get_mut(&address(key)) {
                let before = core::mem::replace(&mut entry.value, value.own(py).into_raw());
                // SAFETY: the map has owned it.
                return Ok(unsafe { py.own_if_any(before) });
            }
            if shard.try_reserve(1).is_ok() {
                let (key_ref, value) = (key.own(py).into_raw(), value.own(py).into_raw());
                shard.insert(address(key), Entry { key: key_ref, value, ..NOTHING });
                return Ok(None);
            }
        }
        Err(py.no_memory())
    }

    /// Stores `watch` next to the value, if that is still there.
    pub fn watch(&self, py: Attached<'_>, key: Borrowed<'_>, watch: Owned) {
        let watch = watch.into_raw();
        let surplus = match self.shard(key).get_mut(&address(key)) {
            Some(entry) => core::mem::replace(&mut entry.watch, watch),
            None => watch,
        };
        // SAFETY: either the map or the caller has owned it.
        release(unsafe { py.own_if_any(surplus) }, py);
    }

    /// Removes the value and its watch, if there are any. Then calls `left`, and drops them after
    /// that.
    pub fn remove(&self, py: Attached<'_>, key: Borrowed<'_>, left: impl Fn()) {
        let removed = self.shard(key).remove(&address(key));
        left();
        removed.unwrap_or(NOTHING).drop(py);
    }

    /// Drops all values and watches. Calls `left` each time when some have left the table and have
    /// not been dropped yet. Other threads may do the same at the same time, and may set new
    /// values.
    pub fn clear(&self, py: Attached<'_>, left: impl Fn()) {
        for shard in &self.0 {
            loop {
                let (batch, count) = shard.take_some();
                if count > 0 {
                    left();
                }
                for entry in &batch[..count] {
                    entry.drop(py);
                }
                if count < BATCH {
                    break;
                }
            }
        }
    }

    /// # Safety
    /// Called by the collector.
    pub unsafe fn traverse(&self, visit: ffi::visitproc, arg: *mut c_void) -> c_int {
        for shard in &self.0 {
            for Entry { value, watch, .. } in shard.0.lock().values() {
                // SAFETY: as the caller promises.
                let stop = unsafe { visit_all(&[*value, *watch], visit, arg) };
                if stop != 0 {
                    return stop;
                }
            }
        }
        0
    }
}

impl Shard {
    /// Takes entries out, as many as fit into a batch. It does not take out the whole map. The
    /// interpreter may unwind the code that runs when an entry is dropped, so no value with a
    /// destructor may be in that frame.
    fn take_some(&self) -> ([Entry; BATCH], usize) {
        let mut batch = [NOTHING; BATCH];
        let mut shard = self.0.lock();
        let taken = batch.iter_mut().zip(shard.extract_if(|_, _| true));
        let count = taken.map(|(place, (_, entry))| *place = entry).count();
        (batch, count)
    }
}
