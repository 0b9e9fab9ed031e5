//! What happens to rthread in a fork.
//!
//! Registered with the operating system and not with `os.register_at_fork`: it has to come before
//! `threading`'s own hook, which expects the handles of dead threads to be done, and whoever
//! imported `threading` before rthread has registered that one first. It also covers forks that
//! Python does not know of.

use core::sync::atomic::{AtomicU64, Ordering};
#[cfg(unix)]
use std::sync::Once;

#[cfg(unix)]
use crate::{compat, handle, interpreter, sentinel, sync, tables};

/// The thread that called fork, in the child; 0 in a process that is not one.
static SURVIVOR: AtomicU64 = AtomicU64::new(0);

/// The one thread of this process that is older than it, by its identifier.
pub fn survivor() -> u64 {
    SURVIVOR.load(Ordering::Relaxed)
}

/// Registers the handlers, once in a process.
#[cfg(unix)]
pub fn register() {
    unsafe extern "C" fn prepare() {
        // No other thread may be in the middle of changing the tables.
        handle::before_fork();
        sentinel::before_fork();
        tables::before_fork();
    }
    unsafe extern "C" fn parent() {
        // SAFETY: `prepare` ran in this thread.
        unsafe {
            tables::after_fork();
            sentinel::after_fork();
            handle::after_fork_in_parent();
        }
    }
    unsafe extern "C" fn child() {
        // First: every queue, those of the tables' locks among them, may hold dead threads.
        sync::fork::after_fork_in_child();
        SURVIVOR.store(compat::thread_ident(), Ordering::Relaxed);
        // SAFETY: `prepare` ran in this thread.
        unsafe {
            tables::after_fork();
            sentinel::after_fork();
            handle::after_fork_in_child();
            interpreter::after_fork_in_child();
        }
    }
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        // SAFETY: the handlers stay loaded: extension modules are never unloaded. It fails only
        // without memory, and then forks leave the handles of dead threads unfinished.
        unsafe { libc::pthread_atfork(Some(prepare), Some(parent), Some(child)) };
    });
}

/// There is no fork.
#[cfg(not(unix))]
pub fn register() {}
