//! Items on their way from threads that put to threads that get, with or without a limit.
//!
//! Items are handed over directly. A put that finds waiting getters gives the item to the getter
//! that has waited longest. A get from a full channel lets in the item of the putter that has
//! waited longest. So a waiter cannot be overtaken for ever, and a thread that wakes up never finds
//! that another thread was faster. Outside of the queue lock:
//!
//! - threads wait to get only while the buffer is empty;
//! - threads wait to put only while it is full, or while [`Channel::set_limit`] lets them in one by
//!   one. Newcomers then queue behind them.
//!
//! An item enters or leaves in `try_put`, `try_get` or a claim, never in
//! [`Awaitable::enqueue`](super::Awaitable::enqueue) or [`cancel`](super::Awaitable::cancel). A
//! Python thread runs these two while it is detached. Then the garbage collector may be reading the
//! items. An item that comes meanwhile does it no harm. But if an item disappears while it counts,
//! it takes that item for garbage. And the process may be forked: the child would lose an item, or
//! not count it.
//!
//! A getter that was given an item and has not claimed it is in the list of grants. In the child of
//! a fork its thread does not exist, and the item goes back to the front.
//!
//! # The flags
//!
//! | SHUT | RETIRED | meaning |
//! |---|---|---|
//! | 0 | 0 | in use |
//! | 1 | 0 | shut down: nothing can be put, the items in the channel can still be got |
//! | 0 | 1 | retired while it was in use |
//! | 1 | 1 | retired after it was shut down |
//!
//! SHUT and RETIRED are set under the queue lock. LIFO, which gives the order of the items, is
//! independent of them, and set without the queue lock. No flag is ever cleared.

// Not from `primitive`: the queue lock orders all of this, and the model checker need not check it.
use core::sync::atomic::{AtomicIsize, AtomicU32, AtomicU64, Ordering};

use super::grants::Grants;
use super::parker::Wake;
use super::primitive::const_unless_modelled;
use super::queue_lock::{Held, QueueLock};
use super::ring::{Item, Items, Ring};
use super::wait_list::List;
use super::waiter::{Cancelled, Phase, Waiter};

mod retire;
mod undo;
mod waits;

pub use retire::{PerList, Remains};
pub use waits::{Get, Join, Put};

/// Nothing can be put any more. The items in the channel can still be got.
const SHUT: u32 = 1;
/// The channel is retired, see [`Channel::retire`].
const RETIRED: u32 = 2;
/// The last item comes out first. Else the first one does.
const LIFO: u32 = 4;

/// The result of a put.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// The item is in the channel, or was given to a thread that waited for it.
    Done,
    /// The channel is full.
    Full,
    /// The channel has been shut down.
    ShutDown,
    /// The channel has been retired.
    Retired,
    /// There is no memory for the item.
    NoMemory,
}

/// The result of a get.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// An item.
    Item(Item),
    /// There is no item at the moment.
    Empty,
    /// There is no item, and none will come: the channel has been shut down.
    ShutDown,
    /// The channel has been retired.
    Retired,
}

/// The reason why [`Channel::task_done`] did nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotDone {
    /// It was called more often than items were put.
    TooMany,
    /// The channel has been retired.
    Retired,
}

/// See the module's documentation. All zero is empty, without a limit, first in and first out.
#[repr(C)]
pub struct Channel {
    queue_lock: QueueLock,
    /// SHUT, RETIRED and LIFO. See the module's documentation.
    flags: AtomicU32,
    ring: Ring,
    /// No limit if it is not positive.
    limit: AtomicIsize,
    /// For how many items `task_done` is still to be called.
    unfinished: AtomicU64,
    /// How often `unfinished` has become zero while a thread waited for that.
    rounds: AtomicU32,
    /// How many threads wait, are about to wait, or have never come back from a wait: see
    /// [`Channel::try_put_alone`].
    outside: AtomicU32,
    getters: List,
    putters: List,
    joiners: List,
    /// Getters that have been given an item, which is their note, and have not claimed it.
    grants: Grants,
}

impl Default for Channel {
    fn default() -> Channel {
        Channel::new()
    }
}

impl Channel {
    const_unless_modelled! {
        /// An empty channel without a limit, first in and first out.
        pub fn new() -> Channel {
            Channel {
                queue_lock: QueueLock::new(),
                flags: AtomicU32::new(0),
                ring: Ring::new(),
                limit: AtomicIsize::new(0),
                unfinished: AtomicU64::new(0),
                rounds: AtomicU32::new(0),
                outside: AtomicU32::new(0),
                getters: List::new(),
                putters: List::new(),
                joiners: List::new(),
                grants: Grants::new(),
            }
        }
    }

    /// From now on the last item comes out first.
    pub fn reverse(&self) {
        self.flags.fetch_or(LIFO, Ordering::Relaxed);
    }

    #[inline]
    fn hold(&self) -> Held<'_> {
        let held = self.queue_lock.hold();
        if held.is_stale() {
            self.forget();
        }
        held
    }

    /// For the child of a fork, in which no other thread exists: no thread waits. The items stay,
    /// and those that were given to a getter and not claimed come back.
    #[cold]
    fn forget(&self) {
        self.getters.forget();
        self.putters.forget();
        self.joiners.forget();
        self.take_back_granted();
    }

    /// Takes back the items that were given to getters and not claimed. Returns their number.
    ///
    /// For an interpreter that lets none of the waiting threads attach any more. If one of them
    /// attaches all the same, it finds that its waiter was dismissed. The items go to the front, in
    /// the order in which they were put. From a retired channel the caller gets them with
    /// [`Channel::take_all`].
    pub fn take_back(&self) -> usize {
        if self.grants.is_empty() {
            return 0;
        }
        let held = self.hold();
        let count = self.take_back_granted();
        held.release();
        count
    }

    /// Whether there are items that were given to getters and have not been claimed so far.
    #[inline]
    #[must_use]
    pub fn has_granted(&self) -> bool {
        !self.grants.is_empty()
    }

    /// [`Channel::take_back`], under the queue lock.
    #[cold]
    fn take_back_granted(&self) -> usize {
        let mut count = 0;
        while let Some(getter) = self.grants.newest() {
            // From the newest grant to the oldest, so that the oldest item comes to the front. If
            // there is no memory, the rest stays in the list of grants, for the next attempt.
            let item = Item::new(getter.note.load(Ordering::Relaxed));
            if !item.is_none_or(|item| self.ring.push_front(item)) {
                break;
            }
            // SAFETY: it is the newest of the list.
            unsafe { self.grants.remove(getter) };
            getter.set_phase(Phase::Dismissed);
            count += 1;
        }
        count
    }

    /// Whether there are items that were given to threads that do not exist in this process. This
    /// is so until the first use of the queue lock in this process.
    #[inline]
    fn has_orphans(&self) -> bool {
        !self.grants.is_empty() && self.queue_lock.is_stale()
    }

    #[inline]
    fn flags(&self) -> u32 {
        self.flags.load(Ordering::Relaxed)
    }

    /// Whether [`Channel::retire`] was called.
    #[inline]
    #[must_use]
    pub fn is_retired(&self) -> bool {
        self.flags.load(Ordering::Acquire) & RETIRED != 0
    }

    /// Whether [`Channel::shut_down`] was called.
    #[inline]
    #[must_use]
    pub fn is_shut_down(&self) -> bool {
        self.flags() & SHUT != 0
    }

    /// How many items there are at this moment.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        if self.has_orphans() {
            self.hold().release();
        }
        self.ring.len()
    }

    /// Whether there are no items at this moment.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many items fit in; no limit if it is not positive.
    #[inline]
    pub fn limit(&self) -> isize {
        self.limit.load(Ordering::Relaxed)
    }

    /// For how many items `task_done` is still to be called.
    pub fn unfinished(&self) -> u64 {
        self.unfinished.load(Ordering::Relaxed)
    }

    fn has_room(&self) -> bool {
        let limit = self.limit();
        limit <= 0 || self.ring.len() < limit.unsigned_abs()
    }

    /// Puts an item, if that is possible at once.
    #[inline]
    pub fn try_put(&self, item: Item) -> Accepted {
        let held = self.hold();
        let (accepted, wake) = self.accept(item);
        held.release();
        send(wake);
        accepted
    }

    /// [`Channel::try_put`] without the queue lock, if no other thread can use the channel at this
    /// moment.
    ///
    /// # Safety
    /// Threads take turns, as with a GIL (see `turns`), and the caller has its turn. Every other
    /// thread that uses the channel has its turn then too, except in a wait for which
    /// [`Awaitable::begin`](super::Awaitable::begin) was called.
    #[inline]
    pub unsafe fn try_put_alone(&self, item: Item) -> Accepted {
        if self.outside.load(Ordering::Relaxed) > 0 {
            return self.try_put(item);
        }
        // No thread waits, so there is none to wake.
        self.accept(item).0
    }

    /// [`Channel::try_get`] without the queue lock.
    ///
    /// # Safety
    /// As [`Channel::try_put_alone`].
    #[inline]
    pub unsafe fn try_get_alone(&self) -> Taken {
        if self.outside.load(Ordering::Relaxed) > 0 {
            return self.try_get();
        }
        self.take().0
    }

    /// The calling thread begins a wait, or has ended it.
    fn count_outside(&self, change: i32) {
        self.outside.fetch_add(change.cast_unsigned(), Ordering::Relaxed);
    }

    #[inline(always)]
    fn accept(&self, item: Item) -> (Accepted, Option<Wake>) {
        let flags = self.flags();
        if flags & (SHUT | RETIRED) != 0 {
            let retired = flags & RETIRED != 0;
            return (if retired { Accepted::Retired } else { Accepted::ShutDown }, None);
        }
        if let Some(getter) = self.getters.front() {
            self.count_one();
            return (Accepted::Done, Some(self.grant(getter, item)));
        }
        if self.is_full() {
            return (Accepted::Full, None);
        }
        if !self.ring.push(item) {
            return (Accepted::NoMemory, None);
        }
        self.count_one();
        (Accepted::Done, None)
    }

    /// Puts an item where the next get takes it. Under the queue lock. False if there is no memory.
    fn return_to_front(&self, item: Item) -> bool {
        if self.flags() & LIFO == 0 { self.ring.push_front(item) } else { self.ring.push(item) }
    }

    /// Gives an item to the first getter. Under the queue lock.
    #[inline]
    fn grant(&self, getter: &Waiter, item: Item) -> Wake {
        getter.note.store(item.as_ptr(), Ordering::Relaxed);
        // SAFETY: it is the front of the list, and after that in no list.
        unsafe {
            self.getters.remove(getter);
            self.grants.push(getter);
        }
        getter.signal(Phase::Granted)
    }

    /// Whether a put has to wait, if no getter waits.
    #[inline]
    fn is_full(&self) -> bool {
        !self.has_room() || !self.putters.is_empty()
    }

    #[inline]
    fn count_one(&self) {
        self.unfinished.store(self.unfinished() + 1, Ordering::Relaxed);
    }

    /// Gets an item, if there is one.
    #[inline]
    pub fn try_get(&self) -> Taken {
        let held = self.hold();
        let (taken, wake) = self.take();
        held.release();
        send(wake);
        taken
    }

    #[inline(always)]
    fn take(&self) -> (Taken, Option<Wake>) {
        let flags = self.flags();
        if flags & RETIRED != 0 {
            return (Taken::Retired, None);
        }
        let item = if flags & LIFO == 0 { self.ring.pop_front() } else { self.ring.pop_back() };
        match item {
            Some(item) => {
                let wake = self.admit();
                self.ring.shrink();
                (Taken::Item(item), wake)
            }
            None if flags & SHUT != 0 => (Taken::ShutDown, None),
            None => (Taken::Empty, None),
        }
    }

    /// Lets in the item of the first putter, if there is one and it fits in.
    #[inline]
    fn admit(&self) -> Option<Wake> {
        let putter = self.putters.front()?;
        let item = Item::new(putter.note.load(Ordering::Relaxed))?;
        // A waiter that is still in the list of a channel that was shut down is about to be
        // dismissed.
        if self.flags() & SHUT != 0 || !self.has_room() || !self.ring.push(item) {
            return None;
        }
        self.count_one();
        // SAFETY: it is the front of the list.
        unsafe { self.putters.remove(putter) };
        Some(putter.signal(Phase::Granted))
    }

    /// Whether a thread waits to put.
    #[must_use]
    pub fn has_putters(&self) -> bool {
        let held = self.hold();
        let found = !self.putters.is_empty();
        held.release();
        found
    }

    /// Changes how many items fit in. False if the channel is retired.
    #[must_use]
    pub fn set_limit(&self, limit: isize) -> bool {
        let mut held = self.hold();
        if self.flags() & RETIRED != 0 {
            held.release();
            return false;
        }
        self.limit.store(limit, Ordering::Relaxed);
        while let Some(wake) = self.admit() {
            held.release();
            wake.send();
            held = self.hold();
        }
        held.release();
        true
    }

    /// Counts an item that was put by way of [`Channel::edit`]. To be called in there.
    pub fn count_edited(&self) {
        self.count_one();
    }

    /// Says that the work on an item is done. If no work is left, the joiners go on.
    ///
    /// # Errors
    /// [`NotDone`], and nothing has changed.
    pub fn task_done(&self) -> Result<(), NotDone> {
        let held = self.hold();
        let failed = if self.flags() & RETIRED != 0 {
            Some(NotDone::Retired)
        } else if self.unfinished() == 0 {
            Some(NotDone::TooMany)
        } else {
            None
        };
        if let Some(error) = failed {
            held.release();
            return Err(error);
        }
        let ended = self.finish(1);
        held.release();
        self.end_joins(ended);
        Ok(())
    }

    /// [`Channel::task_done`] for this number of items, or for all if there are fewer.
    pub fn tasks_done(&self, count: u64) {
        let held = self.hold();
        let ended = self.finish(count);
        held.release();
        self.end_joins(ended);
    }

    /// Counts the work on so many items as done. Returns the round that has ended by that, if a
    /// joiner waits for it. Under the queue lock.
    fn finish(&self, count: u64) -> Option<u32> {
        let left = self.unfinished().saturating_sub(count);
        self.unfinished.store(left, Ordering::Relaxed);
        if left > 0 || self.joiners.is_empty() {
            return None;
        }
        Some(self.rounds.fetch_add(1, Ordering::Relaxed))
    }

    /// Lets the joiners of this round and of earlier ones go on. Others may wait for the next one
    /// already.
    fn end_joins(&self, round: Option<u32>) {
        let Some(round) = round else { return };
        self.empty(&self.joiners, Phase::Granted, |waiter| {
            let since = waiter.note.load(Ordering::Relaxed).addr() as u32;
            round.wrapping_sub(since) < u32::MAX / 2
        });
    }

    /// Takes waiters out from the front, as long as they are `meant`.
    fn empty(&self, list: &List, how: Phase, meant: impl Fn(&Waiter) -> bool) {
        loop {
            // One at a time, so that each is woken while the queue lock is free.
            let held = self.hold();
            let Some(first) = list.front().filter(|first| meant(first)) else {
                held.release();
                return;
            };
            // SAFETY: it is the front of the list.
            unsafe { list.remove(first) };
            let wake = first.signal(how);
            held.release();
            wake.send();
        }
    }

    /// From now on nothing can be put, and no thread waits to put or get: those waiters are
    /// dismissed.
    ///
    /// With `discard`, the items in the channel are taken out and count as done. Returns the items
    /// that were taken out; the caller has to drop them. `None` if the channel is retired.
    #[must_use]
    pub fn shut_down(&self, discard: bool) -> Option<Items> {
        let held = self.hold();
        if self.flags() & RETIRED != 0 {
            held.release();
            return None;
        }
        self.flags.fetch_or(SHUT, Ordering::Relaxed);
        let nothing = Ring::new();
        let items = if discard { self.ring.take() } else { nothing.take() };
        let ended = if discard { self.finish(items.len() as u64) } else { None };
        held.release();
        self.end_joins(ended);
        // No waiter is added to these lists any more.
        self.empty(&self.getters, Phase::Dismissed, |_| true);
        self.empty(&self.putters, Phase::Dismissed, |_| true);
        Some(items)
    }

    /// Takes out all items, in every state of the channel. Threads that wait for room go on
    /// waiting.
    pub fn take_all(&self) -> Items {
        let held = self.hold();
        let items = self.ring.take();
        held.release();
        items
    }

    /// Gives access to the items, with the queue lock held. For a caller that keeps them in its own
    /// order, and calls neither `try_put` nor `try_get`. Only this may change the items then,
    /// because other threads may read them.
    pub fn edit<T>(&self, edit: impl FnOnce(&Ring) -> T) -> T {
        let held = self.hold();
        let result = edit(&self.ring);
        held.release();
        result
    }

    /// Calls `look` for each item as long as it returns zero, with the queue lock held. Returns its
    /// last result.
    pub fn visit(&self, mut look: impl FnMut(Item) -> i32) -> i32 {
        let held = self.hold();
        let stop = self.ring.iter().map(&mut look).find(|&stop| stop != 0);
        held.release();
        stop.unwrap_or(0)
    }

    /// Takes a waiter out, unless it has been settled.
    ///
    /// # Safety
    /// The waiter is in the list if it is not settled.
    unsafe fn leave(&self, list: &List, waiter: &Waiter) -> Cancelled {
        let held = self.hold();
        let settled = waiter.is_settled();
        if !settled {
            // SAFETY: as the caller promises.
            unsafe { list.remove(waiter) };
        }
        held.release();
        if settled { Cancelled::Settled } else { Cancelled::Left }
    }

    fn is_settled(&self, waiter: &Waiter) -> bool {
        let held = self.hold();
        let settled = waiter.is_settled();
        held.release();
        settled
    }
}

#[inline]
fn send(wake: Option<Wake>) {
    if let Some(wake) = wake {
        wake.send();
    }
}
