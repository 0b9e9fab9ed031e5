//! `_set_sentinel`: a lock that is released when the calling thread's state is gone.

use core::sync::atomic::Ordering;

use crate::capi::entry::Module;
use crate::capi::errors::Raised;
use crate::capi::object::{Answer, Attached};
use crate::runtime::sentinels;
use crate::runtime::state::State;
use crate::runtime::thread_values::keys;
use crate::sync::{Awaitable, spin};
use crate::thread_module::lock;

/// `_set_sentinel()`: makes the calling thread's new sentinel lock, which is not held. An earlier
/// one will not be released any more, as in the stock function.
pub fn set_sentinel(py: Attached<'_>, module: Module<'_>) -> Answer {
    let state = State::of(module);
    let object = lock::allocate(py, state)?;
    let lock = &object.lock;
    lock.mark_sentinel();
    if state.lifetime.kept_threads.load(Ordering::Relaxed) > 0 {
        // A kept thread ends sooner than other threads, so a thread that waits for its end should
        // spin for a moment before it sleeps.
        spin::expect(lock.place());
    }
    match sentinels::replace(py, lock, |name, ours| keys::replace_lock(py, state, name, ours)) {
        Some(Ok(())) => Ok(object.into_owned()),
        Some(Err(Raised)) => {
            object.release(py);
            Err(Raised)
        }
        None => {
            object.release(py);
            Err(py.no_memory())
        }
    }
}
