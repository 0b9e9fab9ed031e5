//! `_set_sentinel`: a lock that is released when the calling thread's state is gone.
//!
//! Up to 3.12 the interpreter calls a hook for that when it deletes a thread state, and `threading`
//! joins its threads with it; from 3.13 on there is neither. Here a thread that rthread started
//! releases its sentinel itself, after its state has been deleted. For any other thread the end of
//! the per-thread sentinel object does, which is part of clearing the state (see `per_thread`).
//!
//! At that moment nobody is attached, so no reference can be held: the table below knows the locks
//! by address, and a lock that dies takes itself out of it.

use core::cell::Cell;
use core::hash::{BuildHasherDefault, Hasher};
use core::ptr;
use std::collections::HashSet;

use pyo3_ffi::{self as ffi, PyObject, PyThreadState};

use crate::compat::{self, Raised};
use crate::lock::LockObject;
use crate::module::State;
use crate::sync::{Lock, Mutex};
use crate::{object, per_thread};

/// The addresses of all sentinels that are alive and whose threads are.
static SENTINELS: Mutex<HashSet<usize, BuildHasherDefault<Address>>> =
    Mutex::new(HashSet::with_hasher(BuildHasherDefault::new()));

/// Spreads addresses, whose low bits are all alike. A hash set and not a tree: it can be asked
/// whether there is memory for one more.
#[derive(Default)]
struct Address(u64);

impl Hasher for Address {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_usize(usize::from(byte));
        }
    }

    fn write_usize(&mut self, address: usize) {
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        self.0 = (self.0 ^ address as u64).wrapping_mul(ODD).rotate_left(32);
    }
}

const NOT_OURS: (*mut PyThreadState, usize) = (ptr::null_mut(), 0);

thread_local! {
    /// The thread state that rthread made for this thread, if it started it, and the address of that
    /// state's sentinel or 0. In other interpreters the thread has other states.
    static THREAD: Cell<(*mut PyThreadState, usize)> = const { Cell::new(NOT_OURS) };
}

/// Before anything else in a thread of ours, with its state.
pub fn thread_begins(state: *mut PyThreadState) {
    THREAD.set((state, 0));
}

/// After the last thing in a thread of ours: its state is gone.
pub fn thread_ended() {
    release(THREAD.replace(NOT_OURS).1);
}

/// A lock that is about to be freed is no sentinel any more.
#[cold]
pub fn forget(lock: &Lock) {
    SENTINELS.lock().remove(&ptr::from_ref(lock).addr());
}

/// Releases the sentinel at this address, if it is alive. It may have been released by hand.
pub fn release(address: usize) {
    if address == 0 {
        return;
    }
    let mut sentinels = SENTINELS.lock();
    if sentinels.remove(&address) {
        // SAFETY: it is in the table, so it has not been freed, and `forget` waits for the table.
        let lock = unsafe { &*ptr::with_exposed_provenance::<Lock>(address) };
        let _ = lock.release();
    }
}

/// `_set_sentinel()`: the calling thread's new sentinel, not locked. An earlier one is not
/// released any more, as in the stock function.
///
/// # Safety
/// Attached; `module` is the extension module.
pub unsafe extern "C-unwind" fn set_sentinel(
    module: *mut PyObject,
    _: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called by CPython with the module; a fresh lock is a valid LockObject.
    unsafe {
        let state = State::of(module);
        let object = object::allocate::<LockObject>((*state).lock_type);
        if object.is_null() {
            return ptr::null_mut();
        }
        let lock = &(*object).lock;
        let address = ptr::from_ref(lock).expose_provenance();
        lock.tag();
        if !insert(address) {
            object::drop_ref(object.cast());
            return ffi::PyErr_NoMemory();
        }
        let (ours, earlier) = THREAD.get();
        let earlier = if ours == compat::thread_state() {
            THREAD.set((ours, address));
            earlier
        } else {
            match per_thread::replace_lock(state, address) {
                Ok(earlier) => earlier,
                Err(Raised) => {
                    object::drop_ref(object.cast());
                    return ptr::null_mut();
                }
            }
        };
        if earlier != 0 {
            SENTINELS.lock().remove(&earlier);
        }
        object.cast()
    }
}

/// False if there is no memory.
fn insert(address: usize) -> bool {
    let mut sentinels = SENTINELS.lock();
    sentinels.try_reserve(1).is_ok() && sentinels.insert(address)
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
