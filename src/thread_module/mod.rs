//! The functions and types of `_thread`.

pub mod acquire_args;
pub mod excepthook;
pub mod fork;
pub mod functions;
pub mod handle;
pub mod local;
pub mod lock;
pub mod lock_type;
pub mod os_thread_name;
pub mod rlock;
pub mod sentinel;
pub mod start;
pub mod tss;
