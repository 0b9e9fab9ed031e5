//! The end of a primitive: its state and its waiters move to another object.
//!
//! A primitive is *retired* in one step, under its queue lock. From then on its methods answer that
//! it is retired, and no waiter is in its queue. A waiter that has left without the resource has a
//! [`Ticket`], and goes on waiting with it. The tickets are given in the order of the queue.
//!
//! The caller makes the tickets beforehand, so that a ticket can be used before its waiter is
//! awake. So there is no moment at which a notification would find no waiter.

use core::ptr::NonNull;
use core::slice;

use super::parker::Wake;
use super::waiter::Waiter;

/// An opaque pointer of the caller that a retired primitive gives to a waiter.
pub type Ticket = NonNull<()>;

/// The result of retiring a primitive. Its state has the type `S`; `N` counts tickets.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub enum Retire<S, N = usize> {
    /// The primitive is retired now.
    Done {
        /// The last state of the primitive.
        state: S,
        /// How many of the tickets, from the first on, now belong to waiters. They are in the order
        /// of the queue.
        used: N,
    },
    /// The primitive was retired before, and nothing has changed.
    Already,
    /// There are too few tickets: so many are needed. Nothing has changed.
    NeedTickets(N),
}

/// The tickets that have not been given to a waiter.
pub(super) struct Tickets<'a>(slice::Iter<'a, Ticket>);

impl<'a> Tickets<'a> {
    pub(super) fn new(tickets: &'a [Ticket]) -> Tickets<'a> {
        Tickets(tickets.iter())
    }

    /// Dismisses a waiter that has just left the queue, with the next ticket. The caller has
    /// checked that there are enough.
    pub(super) fn dismiss(&mut self, waiter: &Waiter) -> Wake {
        waiter.dismiss(self.0.next().copied())
    }

    /// How many of the tickets `all` have been given to waiters.
    pub(super) fn used(&self, all: &[Ticket]) -> usize {
        all.len() - self.0.len()
    }
}
