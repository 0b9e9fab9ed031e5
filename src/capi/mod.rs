//! CPython's C interface: references, errors, calls, types, and the differences between versions.

pub mod args;
pub mod call;
pub mod collected;
pub mod compat;
pub mod entry;
pub mod errors;
pub mod field;
pub mod object;
pub mod refs;
pub mod static_tables;
pub mod stock;
pub mod trashcan;
pub mod types;
