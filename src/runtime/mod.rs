//! The part of rthread that each interpreter has: its state, the waits of its threads, its
//! lifetime.

pub mod blocking;
pub mod deadlocks;
pub mod idle_threads;
pub mod lifetime;
pub mod natives;
pub mod os_thread;
pub mod sentinels;
pub mod shutdown;
pub mod sites;
pub mod state;
pub mod subject;
pub mod thread_values;
pub mod try_arc;
