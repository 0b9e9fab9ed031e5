//! A thread sleeps until another thread wakes it: one contract, one file for each platform.
//!
//! A [`Parker`] stores one wake-up. `park` takes it, or sleeps until there is one, until the
//! deadline has passed, or until a signal handler has run in the sleeping thread.
//!
//! An unpark has two steps, because the parker may cease to exist as soon as its thread can see the
//! wake-up. [`Parker::signal`] stores the wake-up, and must be called while the queue lock keeps
//! the sleeper in place. [`Wake::send`] wakes the sleeper, and may be called after that.

/// The reason why [`Waiter::park`](super::Waiter::park) returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parked {
    /// Another thread has called unpark.
    Unparked,
    /// The deadline has passed.
    TimedOut,
    /// A signal handler has run in this thread. Only if the caller asked for this.
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
