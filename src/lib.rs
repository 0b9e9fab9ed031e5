//! CPython's `_thread` in Rust: the extension module `rthread._rthread`.
//!
//! ARCHITECTURE.md says how the parts fit together. In short: `sync` knows no Python; one file for
//! each thing that Python sees; `blocking` is the only place that waits, `compat` the only one
//! that knows one CPython version from another.

pub mod sync;

#[cfg(feature = "python")]
mod args;
#[cfg(feature = "python")]
mod blocking;
#[cfg(feature = "python")]
mod by_address;
#[cfg(feature = "python")]
mod closing;
#[cfg(feature = "python")]
mod compat;
#[cfg(feature = "python")]
mod excepthook;
#[cfg(feature = "python")]
mod fork;
#[cfg(feature = "python")]
mod handle;
#[cfg(feature = "python")]
mod info;
#[cfg(feature = "python")]
mod interpreter;
#[cfg(feature = "python")]
mod kept;
#[cfg(feature = "python")]
mod local;
#[cfg(feature = "python")]
mod lock;
#[cfg(feature = "python")]
mod module;
#[cfg(feature = "python")]
mod names;
#[cfg(feature = "python")]
mod native;
#[cfg(feature = "python")]
mod object;
#[cfg(feature = "python")]
mod per_thread;
#[cfg(feature = "python")]
mod recent;
#[cfg(feature = "python")]
mod rlock;
#[cfg(feature = "python")]
mod sentinel;
#[cfg(feature = "python")]
mod shared;
#[cfg(feature = "python")]
mod stock;
#[cfg(feature = "python")]
mod tables;
#[cfg(feature = "python")]
mod thread;
#[cfg(feature = "python")]
mod trashcan;
#[cfg(feature = "python")]
mod tss;
#[cfg(feature = "python")]
mod values;
