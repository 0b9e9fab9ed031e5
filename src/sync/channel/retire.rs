//! The end of a channel.

use core::sync::atomic::Ordering;

use super::super::retire::{Retire, Ticket, Tickets};
use super::super::ring::Items;
use super::super::wait_list::List;
use super::super::waiter::{Phase, Waiter};
use super::{Channel, RETIRED, SHUT};

/// The last state of a channel that was retired.
pub struct Remains {
    /// The items that were in it.
    pub items: Items,
    /// For how many items `task_done` was still to be called.
    pub unfinished: u64,
    /// Whether it was shut down.
    pub is_shut_down: bool,
    /// How many items would have fit in; no limit if not positive.
    pub limit: isize,
}

/// A number for each kind of waiters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerList {
    /// For threads that wait for an item.
    pub getters: usize,
    /// For threads that wait for room. The item of each still belongs to its caller.
    pub putters: usize,
    /// For threads that wait for the work on all items to be done.
    pub joiners: usize,
}

impl Channel {
    /// Ends the channel for good, see [`Retire`].
    ///
    /// A getter that was given an item has it. A putter has put its item if that was let in. A
    /// joiner has got the end of its round if the last `task_done` has come, even if that has not
    /// reached it yet.
    ///
    /// In a channel that has been shut down, getters and putters are about to be dismissed anyway.
    /// They have no tickets, and find out at once that they go on with another object.
    pub fn retire(
        &self,
        getters: &[Ticket],
        putters: &[Ticket],
        joiners: &[Ticket],
    ) -> Retire<Remains, PerList> {
        let held = self.hold();
        let flags = self.flags();
        if flags & RETIRED != 0 {
            held.release();
            return Retire::Already;
        }
        let needed = PerList {
            getters: self.getters.iter().filter(|_| flags & SHUT == 0).count(),
            putters: self.putters.iter().filter(|_| flags & SHUT == 0).count(),
            joiners: self.joiners.iter().filter(|joiner| !self.is_over(joiner)).count(),
        };
        if needed.getters > getters.len()
            || needed.putters > putters.len()
            || needed.joiners > joiners.len()
        {
            held.release();
            return Retire::NeedTickets(needed);
        }
        // Release pairs with the Acquire in `is_retired`.
        self.flags.fetch_or(RETIRED, Ordering::Release);
        let mut handed = [getters, putters, joiners].map(Tickets::new);
        let [to_getters, to_putters, to_joiners] = &mut handed;
        self.dismiss_all(&self.getters, (flags & SHUT == 0).then_some(to_getters));
        self.dismiss_all(&self.putters, (flags & SHUT == 0).then_some(to_putters));
        self.end_all_joins(to_joiners);
        let remains = Remains {
            items: self.ring.take(),
            unfinished: self.unfinished(),
            is_shut_down: flags & SHUT != 0,
            limit: self.limit(),
        };
        held.release();
        let used = PerList {
            getters: handed[0].used(getters),
            putters: handed[1].used(putters),
            joiners: handed[2].used(joiners),
        };
        Retire::Done { state: remains, used }
    }

    /// Keeps items of a retired channel that the caller could not put elsewhere. The caller gets
    /// them with [`Channel::take_all`].
    pub fn keep(&self, items: Items) {
        let held = self.hold();
        self.ring.keep(items);
        held.release();
    }

    /// Dismisses all waiters of a list, with tickets or without. Under the queue lock.
    fn dismiss_all(&self, list: &List, mut tickets: Option<&mut Tickets<'_>>) {
        while let Some(first) = list.front() {
            // SAFETY: it is the front of the list.
            unsafe { list.remove(first) };
            let wake = match &mut tickets {
                Some(tickets) => tickets.dismiss(first),
                None => first.dismiss(None),
            };
            wake.send();
        }
    }

    /// Lets the joiners go on that need not wait any more, and dismisses the others with tickets.
    /// Under the queue lock.
    fn end_all_joins(&self, tickets: &mut Tickets<'_>) {
        while let Some(first) = self.joiners.front() {
            let over = self.is_over(first);
            // SAFETY: it is the front of the list.
            unsafe { self.joiners.remove(first) };
            let wake = if over { first.signal(Phase::Granted) } else { tickets.dismiss(first) };
            wake.send();
        }
    }

    /// Whether all work has been done since the joiner came.
    #[must_use]
    pub(super) fn is_over(&self, joiner: &Waiter) -> bool {
        let round = self.rounds.load(Ordering::Relaxed);
        joiner.note.load(Ordering::Relaxed).addr() != round as usize
    }
}
