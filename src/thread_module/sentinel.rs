//! `_set_sentinel`: a lock that is released when the calling thread's state is gone.

use core::ptr;
use core::sync::atomic::Ordering;

use pyo3_ffi::{self as ffi, PyObject};

use crate::capi::errors::Raised;
use crate::capi::refs::drop_ref;
use crate::capi::types;
use crate::runtime::sentinels;
use crate::runtime::state::State;
use crate::runtime::thread_values::keys;
use crate::sync::{Awaitable, spin};
use crate::thread_module::lock::LockObject;

/// `_set_sentinel()`: makes the calling thread's new sentinel lock, which is not held. An earlier
/// one will not be released any more, as in the stock function.
///
/// # Safety
/// Attached; `module` is the extension module.
pub unsafe extern "C-unwind" fn set_sentinel(
    module: *mut PyObject,
    _: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called by CPython with the module. A new lock is a valid LockObject.
    unsafe {
        let state = State::of(module);
        let object = types::allocate::<LockObject>((*state).lock_type);
        if object.is_null() {
            return ptr::null_mut();
        }
        let lock = &(*object).lock;
        lock.mark_sentinel();
        let lifetime = &(*state).lifetime;
        if lifetime.kept_threads.load(Ordering::Relaxed) > 0 {
            // A kept thread ends sooner than other threads, so a thread that waits for its end
            // should spin for a moment before it sleeps.
            spin::expect(lock.place());
        }
        match sentinels::replace(lock, |name, ours| keys::replace_lock(state, name, ours)) {
            Some(Ok(())) => object.cast(),
            Some(Err(Raised)) => {
                drop_ref(object.cast());
                ptr::null_mut()
            }
            None => {
                drop_ref(object.cast());
                ffi::PyErr_NoMemory()
            }
        }
    }
}
