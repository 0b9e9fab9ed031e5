//! `_set_sentinel`: a lock that is released when the calling thread's state is gone.
//!
//! Up to 3.12 the interpreter calls a hook for that when it deletes a thread state, and `threading`
//! joins its threads with it; from 3.13 on there is neither. Here a thread that rthread started
//! releases its sentinel itself, after its state has been deleted. For any other thread the end of
//! the per-thread sentinel object does, which is part of clearing the state (see `per_thread`), and
//! so it does for a daemon thread whose state the interpreter clears at its own end.
//!
//! At that moment nobody is attached, so no reference can be held: the table below knows the locks
//! by address, and a lock that dies takes itself out of it.

use core::cell::Cell;
use core::ptr;
use std::collections::BTreeSet;

use pyo3_ffi::PyObject;

use crate::lock::LockObject;
use crate::module::State;
use crate::sync::{Lock, Mutex};
use crate::{object, per_thread};

/// The addresses of all sentinels that are alive and whose threads are.
static SENTINELS: Mutex<BTreeSet<usize>> = Mutex::new(BTreeSet::new());

thread_local! {
    /// Whether rthread started this thread, and its sentinel's address or 0.
    static THREAD: Cell<(bool, usize)> = const { Cell::new((false, 0)) };
}

/// Before anything else in a thread of ours.
pub fn thread_begins() {
    THREAD.set((true, 0));
}

/// After the last thing in a thread of ours: its state is gone.
pub fn thread_ended() {
    release(THREAD.replace((false, 0)).1);
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
        let ours = THREAD.get().0;
        let Ok(earlier) = per_thread::replace_lock(state, address, ours) else {
            object::drop_ref(object.cast());
            return ptr::null_mut();
        };
        let earlier = if ours { THREAD.replace((true, address)).1 } else { earlier };
        lock.tag();
        let mut sentinels = SENTINELS.lock();
        sentinels.remove(&earlier);
        sentinels.insert(address);
        drop(sentinels);
        object.cast()
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
