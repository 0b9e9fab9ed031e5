//! How one thread sleeps until another wakes it: one contract, one file per platform.
//!
//! A [`Parker`] holds one wake-up. `park` takes it, or sleeps until there is one, the deadline has
//! passed, or a signal handler has run in the sleeping thread. `unpark` comes in two steps because
//! the parker may cease to exist as soon as its thread can see the wake-up: [`Parker::signal`]
//! stores it and must happen while the sleeper is still held in place by the queue's guard;
//! [`Wake::send`] then wakes the sleeper and may come after that.

/// Why [`Waiter::park`](super::Waiter::park) returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parked {
    /// Somebody called unpark.
    Unparked,
    /// The deadline has passed.
    TimedOut,
    /// A signal handler has run in this thread (only if the caller asked to be told).
    Interrupted,
}

#[cfg(all(
    any(target_os = "linux", target_os = "android"),
    not(rthread_portable_parker),
    not(modelled)
))]
mod futex;
#[cfg(all(
    any(target_os = "linux", target_os = "android"),
    not(rthread_portable_parker),
    not(modelled)
))]
pub(crate) use futex::{Parker, Wake, queue_lock_wait, queue_lock_wake};

#[cfg(all(
    any(not(any(target_os = "linux", target_os = "android")), rthread_portable_parker),
    not(modelled)
))]
mod portable;
#[cfg(all(
    any(not(any(target_os = "linux", target_os = "android")), rthread_portable_parker),
    not(modelled)
))]
pub(crate) use portable::{Parker, Wake, queue_lock_wait, queue_lock_wake};

#[cfg(modelled)]
mod model;
#[cfg(shuttle)]
pub(crate) use model::chance::happens as is_late;
#[cfg(modelled)]
pub(crate) use model::{Parker, Wake, queue_lock_wait, queue_lock_wake};
