//! CPython's `_thread` in Rust: the extension module `rthread._rthread`.
//!
//! ARCHITECTURE.md says how the parts fit together. In short: `sync` knows no Python; one file for
//! each thing that Python sees; `blocking` is the only place that waits, `compat` the only one
//! that knows one CPython version from another.

pub mod sync;

#[cfg(feature = "python")]
mod capi;
#[cfg(feature = "python")]
mod module;
#[cfg(feature = "python")]
mod runtime;
#[cfg(feature = "python")]
mod thread_module;
#[cfg(feature = "python")]
mod threading;
