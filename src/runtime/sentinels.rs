//! The locks of `_set_sentinel`: such a lock is released when the state of the thread that made it
//! is gone.
//!
//! Up to 3.12 the interpreter calls a hook for this when it deletes a thread state, and `threading`
//! joins its threads with the lock. From 3.13 on there is neither. In rthread a thread that rthread
//! has started releases its lock itself, after its state has been deleted. For any other thread the
//! sentinel object in the thread state does it (see `thread_values::keys`). That object is freed
//! when the state is cleared. The object also serves a daemon thread if finalization clears its
//! state.
//!
//! A thread that releases its lock is not attached any more, so it cannot hold a reference.
//! Therefore the table below knows the locks by address, and a lock that is freed is removed from
//! the table. A new lock may get the address of a freed one before the thread of that one ends. So
//! each lock also has a number, which its thread remembers.

use core::cell::Cell;
use core::ptr;

use pyo3_ffi::PyThreadState;

use crate::capi::compat;
use crate::capi::object::Attached;
use crate::runtime::thread_values::address_map::{ByAddress, by_address};
use crate::sync::{Lock, Mutex};

/// The name of a sentinel lock, which may have been freed. All zero for none.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Name {
    address: usize,
    /// The number of the lock, which is never used again.
    number: u64,
}

pub const NONE: Name = Name { address: 0, number: 0 };

struct Sentinels {
    /// The numbers of the locks that still exist and are still to be released by their threads, by
    /// address.
    numbers: ByAddress<u64>,
    /// The last number that was used.
    number: u64,
}

static SENTINELS: Mutex<Sentinels> = Mutex::new(Sentinels { numbers: by_address(), number: 0 });

impl Sentinels {
    /// None if there is no memory.
    fn insert(&mut self, address: usize) -> Option<Name> {
        self.numbers.try_reserve(1).ok()?;
        self.number += 1;
        self.numbers.insert(address, self.number);
        Some(Name { address, number: self.number })
    }

    /// Removes a lock. True if it was in the table; then it is not freed as long as the table is
    /// locked.
    fn remove(&mut self, name: Name) -> bool {
        let found = self.numbers.get(&name.address) == Some(&name.number);
        if found {
            self.numbers.remove(&name.address);
        }
        found
    }
}

const NOT_OURS: (*mut PyThreadState, Name) = (ptr::null_mut(), NONE);

thread_local! {
    /// The thread state that rthread has made for this thread, if rthread has started it, and the
    /// sentinel lock of that state. In other interpreters the thread has other states.
    static THREAD: Cell<(*mut PyThreadState, Name)> = const { Cell::new(NOT_OURS) };
}

/// To be called first in a thread that rthread has started, with its state.
///
/// Not inlined: the compiler may look up the address of a thread-local variable long before its
/// use, and the first look-up in a thread takes memory.
#[inline(never)]
pub fn thread_begins(state: *mut PyThreadState) {
    THREAD.set((state, NONE));
}

/// To be called last in a thread that rthread has started, when its state is gone.
pub fn thread_ended() {
    release(THREAD.replace(NOT_OURS).1);
}

/// A sentinel lock is about to be freed.
#[cold]
pub fn forget(lock: &Lock) {
    SENTINELS.lock().numbers.remove(&ptr::from_ref(lock).addr());
}

/// Releases a sentinel lock if it still exists. The program may have released it already.
pub fn release(name: Name) {
    if name == NONE {
        return;
    }
    let mut sentinels = SENTINELS.lock();
    if sentinels.remove(name) {
        // SAFETY: the lock was in the table, so it has not been freed, and `forget` waits for the
        // table.
        let lock = unsafe { &*ptr::with_exposed_provenance::<Lock>(name.address) };
        let _ = lock.release();
    }
}

/// Keeps the table consistent across a fork.
pub fn before_fork() {
    SENTINELS.lock_before_fork();
}

/// # Safety
/// After [`before_fork`], in the same thread, once in each process.
pub unsafe fn after_fork() {
    // SAFETY: as the caller promises.
    unsafe { SENTINELS.unlock_after_fork() };
}

/// Makes a lock the calling thread's sentinel lock. An earlier one will not be released any more.
/// None if there is no memory. `file` stores the name for the end of a thread that rthread has not
/// started, and returns the earlier name. Its second argument says whether rthread has started the
/// thread.
pub fn replace<E>(
    _: Attached<'_>,
    lock: &Lock,
    file: impl FnOnce(Name, bool) -> Result<Name, E>,
) -> Option<Result<(), E>> {
    let address = ptr::from_ref(lock).expose_provenance();
    let name = SENTINELS.lock().insert(address)?;
    let mine = compat::thread_state();
    let ours = THREAD.get().0 == mine;
    Some(file(name, ours).map(|filed| {
        let earlier = if ours { THREAD.replace((mine, name)).1 } else { filed };
        if earlier != NONE {
            SENTINELS.lock().remove(earlier);
        }
    }))
}
