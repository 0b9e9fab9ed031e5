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
use crate::capi::refs::{drop_ref, visit_all};
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
    /// # Safety
    /// Attached; the entry is in no map any more. This may run Python code.
    unsafe fn drop(self) {
        // The watch first. So its callback is not called for a value that is gone.
        // SAFETY: attached, and the references are owned.
        unsafe {
            drop_ref(self.watch);
            drop_ref(self.value);
            drop_ref(self.key);
        }
    }
}

/// Some of the entries. Each shard has a cache line of its own.
#[repr(align(64))]
struct Shard(Mutex<ByAddress<Entry>>);

// SAFETY: any attached thread may drop the references.
unsafe impl Sync for Shard {}

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

    fn shard(&self, key: *mut PyObject) -> MutexGuard<'_, ByAddress<Entry>> {
        self.0[choose(key.addr(), SHARDS)].0.lock()
    }

    /// The value as a new reference; null if there is none.
    ///
    /// # Safety
    /// Attached.
    #[inline]
    pub unsafe fn get(&self, key: *mut PyObject) -> *mut PyObject {
        match self.shard(key).get(&key.addr()) {
            Some(entry) => {
                // SAFETY: attached, as the caller promises. The map owns a reference.
                unsafe { ffi::Py_INCREF(entry.value) };
                entry.value
            }
            None => ptr::null_mut(),
        }
    }

    /// Sets the value. Returns the earlier value as a new reference; null if there was none. None
    /// if there is no memory.
    ///
    /// # Safety
    /// Attached; valid objects.
    pub unsafe fn set(&self, key: *mut PyObject, value: *mut PyObject) -> Option<*mut PyObject> {
        let mut shard = self.shard(key);
        // SAFETY: attached and valid, as the caller promises.
        unsafe {
            if let Some(entry) = shard.get_mut(&key.addr()) {
                ffi::Py_INCREF(value);
                return Some(core::mem::replace(&mut entry.value, value));
            }
            shard.try_reserve(1).ok()?;
            ffi::Py_INCREF(key);
            ffi::Py_INCREF(value);
        }
        shard.insert(key.addr(), Entry { key, value, ..NOTHING });
        Some(ptr::null_mut())
    }

    /// Stores `watch` next to the value, if that is still there. The reference to `watch` passes to
    /// this function.
    ///
    /// # Safety
    /// Attached; a valid object.
    pub unsafe fn watch(&self, key: *mut PyObject, watch: *mut PyObject) {
        let surplus = match self.shard(key).get_mut(&key.addr()) {
            Some(entry) => core::mem::replace(&mut entry.watch, watch),
            None => watch,
        };
        // SAFETY: attached, as the caller promises, and the reference is owned.
        unsafe { drop_ref(surplus) };
    }

    /// Removes the value and its watch, if there are any. Then calls `left`, and drops them after
    /// that.
    ///
    /// # Safety
    /// Attached.
    pub unsafe fn remove(&self, key: *mut PyObject, left: impl Fn()) {
        let removed = self.shard(key).remove(&key.addr());
        left();
        // SAFETY: as the caller promises.
        unsafe { removed.unwrap_or(NOTHING).drop() };
    }

    /// Drops all values and watches. Calls `left` each time when some have left the table and have
    /// not been dropped yet. Other threads may do the same at the same time, and may set new
    /// values.
    ///
    /// # Safety
    /// Attached.
    pub unsafe fn clear(&self, left: impl Fn()) {
        for shard in &self.0 {
            loop {
                let (batch, count) = shard.take_some();
                if count > 0 {
                    left();
                }
                for entry in &batch[..count] {
                    // SAFETY: as the caller promises.
                    unsafe { entry.drop() };
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
