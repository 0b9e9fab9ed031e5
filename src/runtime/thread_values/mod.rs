//! Values that belong to an object and a thread.

pub mod address_map;
pub mod keys;
pub mod recent;
pub mod table;
