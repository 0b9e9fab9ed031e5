//! CPython's C interface: references, errors, calls, types, and the differences between versions.

pub mod call;
pub mod compat;
pub mod errors;
pub mod object;
pub mod refs;
pub mod static_tables;
pub mod stock;
pub mod trashcan;
pub mod types;
