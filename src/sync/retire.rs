//! The end of a primitive whose state and waiters move elsewhere.
//!
//! A primitive is *retired* under its queue lock, at once: from then on its methods say that it is, and
//! no waiter is in its queue any more. Each waiter that left without having got what it waited for
//! has a [`Ticket`] instead, in the order of the queue, and goes on waiting by that. The caller
//! makes the tickets beforehand, in such a way that one can be used before its waiter is awake:
//! so there is no moment at which a notification would find no waiter.

use core::ptr::NonNull;
use core::slice;

use super::parker::Wake;
use super::waiter::Waiter;

/// What a retired primitive leaves to a waiter: an opaque pointer of the caller's.
pub type Ticket = NonNull<()>;

/// What came of retiring a primitive of state `S`, with tickets counted by `N`.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub enum Retire<S, N = usize> {
    /// It is retired now.
    Done {
        /// What it was.
        state: S,
        /// How many of the tickets, from the first on, now belong to waiters, in the order of the
        /// queue.
        used: N,
    },
    /// It was retired before, and nothing has changed.
    Already,
    /// So many waiters are there; nothing has changed.
    NeedTickets(N),
}

/// Tickets that are being handed out.
pub(super) struct Tickets<'a>(slice::Iter<'a, Ticket>);

impl<'a> Tickets<'a> {
    pub(super) fn new(tickets: &'a [Ticket]) -> Tickets<'a> {
        Tickets(tickets.iter())
    }

    /// Sends away a waiter that has just left the queue, with the next ticket. The caller has seen
    /// that there are enough.
    pub(super) fn dismiss(&mut self, waiter: &Waiter) -> Wake {
        waiter.dismiss(self.0.next().copied())
    }

    /// How many of them have been handed out.
    pub(super) fn used(&self, all: &[Ticket]) -> usize {
        all.len() - self.0.len()
    }
}
