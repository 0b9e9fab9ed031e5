//! Which thread waits for what, and which thread has it: what the package `rthread.debug` asks for.

mod locks;
mod memory;
mod places;
#[cfg(unix)]
mod signals;
mod tables;
mod threads;

use crate::capi::entry::Module;
use crate::capi::errors::Raised;
use crate::capi::object::{Answer, Attached, Borrowed};
use crate::runtime::deadlocks;

pub use locks::{held_locks, owner};
pub use memory::read_memory;
pub use places::{made_at, record_sites, taken_at};
#[cfg(unix)]
pub use signals::{register_signal, unregister_signal};
pub use tables::publish;
pub use threads::{is_left_behind, threads};

/// `__on_deadlock__(hook)`.
pub fn on_deadlock(py: Attached<'_>, _: Module<'_>, hook: Borrowed<'_>) -> Answer {
    let hook = if hook.is_none() {
        None
    } else {
        hook.want_callable(py, c"the hook must be callable or None")?;
        Some(hook)
    };
    let set: Result<(), Raised> = deadlocks::set_hook(py, hook);
    set.map(|()| py.none())
}
