//! The values of an object, by the keys of threads (see `keys`).
//!
//! The table is not a dict. Without a GIL a dict has a lock inside, and CPython hands such a lock
//! to a waiting thread. That thread may be stopped after the hand-off, before it knows. If a fork
//! has stopped it, the lock stays held for ever in the child. The locks of this table do not have
//! this problem: a thread that holds one is attached, does very little, and runs no Python code. So
//! neither a fork nor the collector can stop it at that time.

use core::ffi::c_int;
use core::ptr::NonNull;
use std::alloc::{Layout, alloc, dealloc};

use crate::capi::compat;
use crate::capi::entry::Visitor;
use crate::capi::errors::Raised;
use crate::capi::object::{Attached, Borrowed, Owned, release};
use crate::runtime::thread_values::address_map::{ByAddress, by_address, choose};
use crate::sync::{Mutex, MutexGuard};

/// How many threads can use the values at the same time, at best. A power of two.
const SHARDS: usize = if compat::IS_FREE_THREADED { 8 } else { 1 };

/// How many entries are dropped at a time.
const BATCH: usize = 32;

/// The entry of one thread.
struct Entry {
    key: Owned,
    value: Owned,
    /// The weak reference that drops the value when the thread ends, if there is one.
    watch: Option<Owned>,
}

impl Entry {
    /// Drops the references of an entry that is in no map any more. This may run Python code.
    fn release(self, py: Attached<'_>) {
        // The watch first. So its callback is not called for a value that is gone.
        release(self.watch, py);
        self.value.release(py);
        self.key.release(py);
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
    /// From [`Values::new`], and not used any more. References that it still has are leaked.
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

    /// The value; None if there is none.
    #[inline]
    pub fn get(&self, py: Attached<'_>, key: Borrowed<'_>) -> Option<Owned> {
        self.shard(key).get(&address(key)).map(|entry| entry.value.borrow().own(py))
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
                return Ok(Some(core::mem::replace(&mut entry.value, value.own(py))));
            }
            if shard.try_reserve(1).is_ok() {
                let entry = Entry { key: key.own(py), value: value.own(py), watch: None };
                shard.insert(address(key), entry);
                return Ok(None);
            }
        }
        Err(py.no_memory())
    }

    /// Stores `watch` next to the value, if that is still there.
    pub fn watch(&self, py: Attached<'_>, key: Borrowed<'_>, watch: Owned) {
        let surplus = match self.shard(key).get_mut(&address(key)) {
            Some(entry) => entry.watch.replace(watch),
            None => Some(watch),
        };
        release(surplus, py);
    }

    /// Removes the value and its watch, if there are any. Then calls `left`, and drops them after
    /// that.
    pub fn remove(&self, py: Attached<'_>, key: Borrowed<'_>, left: impl Fn()) {
        let removed = self.shard(key).remove(&address(key));
        left();
        if let Some(entry) = removed {
            entry.release(py);
        }
    }

    /// Drops all values and watches. Calls `left` each time when some have left the table and have
    /// not been dropped yet. Other threads may do the same at the same time, and may set new
    /// values.
    pub fn clear(&self, py: Attached<'_>, left: impl Fn()) {
        let mut batch = [const { None }; BATCH];
        for shard in &self.0 {
            loop {
                let count = shard.take_some(&mut batch);
                if count > 0 {
                    left();
                }
                for place in &mut batch[..count] {
                    if let Some(entry) = place.take() {
                        entry.release(py);
                    }
                }
                if count < BATCH {
                    break;
                }
            }
        }
    }

    /// Shows the collector the values.
    pub fn visit(&self, visitor: Visitor<'_>) -> c_int {
        for shard in &self.0 {
            for Entry { value, watch, .. } in shard.0.lock().values() {
                let references = [Some(value.borrow()), watch.as_ref().map(Owned::borrow)];
                let stop = visitor.visit_all(&references);
                if stop != 0 {
                    return stop;
                }
            }
        }
        0
    }
}

impl Shard {
    /// Takes entries out, as many as fit into a batch, and returns their number. It does not take
    /// out the whole map. The interpreter may unwind the code that runs when an entry is dropped, so
    /// no value with a destructor may be in that frame.
    fn take_some(&self, batch: &mut [Option<Entry>; BATCH]) -> usize {
        let mut shard = self.0.lock();
        let taken = batch.iter_mut().zip(shard.extract_if(|_, _| true));
        taken.map(|(place, (_, entry))| *place = Some(entry)).count()
    }
}
