//! `_set_sentinel`: a lock that is released when the calling thread's state is gone.
//!
//! Up to 3.12 the interpreter calls a hook for that when it deletes a thread state, and `threading`
//! joins its threads with it; from 3.13 on there is neither. Here a thread that rthread started
//! releases its sentinel itself, after its state has been deleted. For any other thread the end of
//! the per-thread sentinel object does, which is part of clearing the state (see `per_thread`), and
//! so it does for a daemon thread whose state the interpreter clears at its own end.
//!
//! At that moment nobody is attached, so no reference can be held: the table below knows the locks
//! by address, and a lock that dies takes itself out of it. The next sentinel may be where that one
//! was, before the thread of the dead one ends; so a thread knows the number of its own as well.

use core::cell::Cell;
use core::ptr;

use pyo3_ffi::PyThreadState;

use crate::capi::compat;
use crate::runtime::thread_values::address_map::{ByAddress, by_address};
use crate::sync::{Lock, Mutex};

/// A sentinel, which may have died. All zero for none.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Name {
    address: usize,
    /// Never used twice.
    number: u64,
}

pub const NONE: Name = Name { address: 0, number: 0 };

struct Sentinels {
    /// The numbers of those that are alive and whose threads are, by address.
    numbers: ByAddress<u64>,
    /// The latest.
    number: u64,
}

static SENTINELS: Mutex<Sentinels> = Mutex::new(Sentinels { numbers: by_address(), number: 0 });

impl Sentinels {
    /// Nothing if there is no memory.
    fn insert(&mut self, address: usize) -> Option<Name> {
        self.numbers.try_reserve(1).ok()?;
        self.number += 1;
        self.numbers.insert(address, self.number);
        Some(Name { address, number: self.number })
    }

    /// Whether it was there: it is alive, then, for as long as the table is locked.
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
    /// The thread state that rthread made for this thread, if it started it, and that state's
    /// sentinel. In other interpreters the thread has other states.
    static THREAD: Cell<(*mut PyThreadState, Name)> = const { Cell::new(NOT_OURS) };
}

/// Before anything else in a thread of ours, with its state.
///
/// Not inlined: where the variable is may be looked up long before it is used, and that takes
/// memory.
#[inline(never)]
pub fn thread_begins(state: *mut PyThreadState) {
    THREAD.set((state, NONE));
}

/// After the last thing in a thread of ours: its state is gone.
pub fn thread_ended() {
    release(THREAD.replace(NOT_OURS).1);
}

/// A lock that is about to be freed is no sentinel any more.
#[cold]
pub fn forget(lock: &Lock) {
    SENTINELS.lock().numbers.remove(&ptr::from_ref(lock).addr());
}

/// Releases this sentinel, if it is alive. It may have been released by hand.
pub fn release(name: Name) {
    if name == NONE {
        return;
    }
    let mut sentinels = SENTINELS.lock();
    if sentinels.remove(name) {
        // SAFETY: it was in the table, so it has not been freed, and `forget` waits for the table.
        let lock = unsafe { &*ptr::with_exposed_provenance::<Lock>(name.address) };
        let _ = lock.release();
    }
}

/// Keeps the table whole across a fork.
pub fn before_fork() {
    SENTINELS.lock_before_fork();
}

/// # Safety
/// After [`before_fork`], in the same thread, once in each process.
pub unsafe fn after_fork() {
    // SAFETY: as the caller promises.
    unsafe { SENTINELS.unlock_after_fork() };
}

/// A lock is the calling thread's sentinel from now on, and an earlier one is not any more. None if
/// there is no memory.
///
/// # Safety
/// Attached. `file` keeps the name where a thread finds it that rthread has not started, and gives
/// the earlier one; it is told whether the thread is one of rthread's.
pub unsafe fn replace<E>(
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
