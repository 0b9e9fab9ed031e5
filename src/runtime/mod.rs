//! An interpreter's part of rthread: its state, how its threads wait, how long it lives.

pub mod blocking;
pub mod idle_threads;
pub mod lifetime;
pub mod natives;
pub mod os_thread;
pub mod sentinels;
pub mod shutdown;
pub mod state;
pub mod thread_values;
pub mod try_arc;
