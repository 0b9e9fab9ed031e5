//! The work that rthread does at a fork.
//!
//! The handlers are registered with the operating system, and not only with `os.register_at_fork`,
//! for two reasons. First, they must run before `threading`'s own hook, which expects the handles
//! of dead threads to be done. If a program has imported `threading` before rthread, that hook was
//! registered first. Second, they also cover forks that Python does not know of.
//!
//! `os.register_at_fork` is used as well, for the work that has to be done while the other threads
//! still run.

use core::ffi::c_void;
use core::sync::atomic::{AtomicU64, Ordering};
#[cfg(unix)]
use std::sync::Once;

use pyo3_ffi::{self as ffi, PyObject};

use crate::capi::compat;
use crate::capi::errors::Raised;
use crate::capi::object::Attached;
use crate::capi::static_tables::{self, Definition};
#[cfg(unix)]
use crate::runtime::idle_threads;
use crate::runtime::lifetime;
#[cfg(unix)]
use crate::runtime::sentinels;
#[cfg(unix)]
use crate::sync;
#[cfg(unix)]
use crate::thread_module::handle;
#[cfg(unix)]
use crate::thread_module::start;

/// In the child of a fork: the identifier of the thread that called fork. 0 in any other process.
static SURVIVOR: AtomicU64 = AtomicU64::new(0);

/// The identifier of the one thread that is older than its process. 0 if there is none.
pub fn survivor() -> u64 {
    SURVIVOR.load(Ordering::Relaxed)
}

/// Registers the handlers, once in a process.
#[cfg(unix)]
pub fn register() {
    unsafe extern "C" fn prepare() {
        // Locks the tables, so that no other thread is in the middle of a change.
        handle::before_fork();
        start::before_fork();
        idle_threads::before_fork();
        sentinels::before_fork();
        static_tables::before_fork();
        sync::held::before_fork();
    }
    unsafe extern "C" fn parent() {
        // SAFETY: `prepare` ran in this thread.
        unsafe {
            sync::held::after_fork();
            static_tables::after_fork();
            sentinels::after_fork();
            idle_threads::after_fork_in_parent();
            start::after_fork();
            handle::after_fork_in_parent();
        }
        lifetime::has_forked();
    }
    unsafe extern "C" fn child() {
        // First, because every queue may hold waiters of dead threads, including the queues of the
        // tables' locks.
        sync::fork::after_fork_in_child();
        sync::registry::after_fork_in_child();
        SURVIVOR.store(compat::thread_ident(), Ordering::Relaxed);
        // SAFETY: `prepare` ran in this thread.
        unsafe {
            sync::held::after_fork();
            static_tables::after_fork();
            sentinels::after_fork();
            idle_threads::after_fork_in_child();
            start::after_fork();
            handle::after_fork_in_child();
            lifetime::after_fork_in_child();
        }
    }
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        // SAFETY: the handlers stay loaded, because extension modules are never unloaded. The call
        // fails only without memory. Then a fork leaves the handles of dead threads unfinished.
        unsafe { libc::pthread_atfork(Some(prepare), Some(parent), Some(child)) };
    });
}

/// There is no fork on this platform.
#[cfg(not(unix))]
pub fn register() {}

/// Registers Python hooks for the forks of the calling interpreter: one that runs before a fork,
/// while other threads can run, and one that runs in the parent afterwards. A program may run these
/// hooks, and make its child by other means.
pub fn register_in_python(py: Attached<'_>) -> Result<(), Raised> {
    static BEFORE: Definition =
        Definition::new(c"before_fork", ffi::METH_NOARGS, before_fork as *mut c_void);
    static AFTER: Definition =
        Definition::new(c"after_fork", ffi::METH_NOARGS, after_fork as *mut c_void);
    if cfg!(not(unix)) {
        return Ok(());
    }
    for (definition, when) in [(&BEFORE, c"before"), (&AFTER, c"after_in_parent")] {
        let module = py.import(c"posix")?;
        let (this, registry) = (None, c"register_at_fork");
        let done = definition.register(py, this, module.borrow(), registry, Some(when));
        module.release(py);
        done?;
    }
    Ok(())
}

unsafe extern "C-unwind" fn before_fork(_: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by CPython, attached.
    lifetime::before_fork(unsafe { Attached::assume() });
    compat::none()
}

unsafe extern "C-unwind" fn after_fork(_: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    lifetime::after_fork_in_parent();
    compat::none()
}
