//! CPython's `_thread` in Rust: the extension module `rthread._rthread`.
//!
//! ARCHITECTURE.md says how the parts fit together. A folder uses only itself and the folders above
//! it in this list:
//!
//! - `sync`: locks and waiting, without Python;
//! - `capi`: CPython's C interface; `capi::compat` alone knows one CPython version from another;
//! - `runtime`: the part that each interpreter has: its state, its waits, its lifetime;
//! - `thread_module`: the functions and types of `_thread`;
//! - `threading`: the classes of `threading` and `queue`;
//! - `debug`: which thread waits for what, and which thread has it;
//! - `module`: makes the types, fills the state and publishes the names.

pub mod sync;

#[cfg(feature = "python")]
mod capi;
#[cfg(feature = "python")]
mod debug;
#[cfg(feature = "python")]
mod module;
#[cfg(feature = "python")]
mod runtime;
#[cfg(feature = "python")]
mod thread_module;
#[cfg(feature = "python")]
mod threading;
