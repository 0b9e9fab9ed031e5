//! The waits for a channel: for an item, for room, and for the end of all work.

use core::cell::Cell;
use core::ptr;
use core::sync::atomic::Ordering;

use super::super::ring::Item;
#[cfg(not(modelled))]
use super::super::spin;
use super::super::waiter::{Awaitable, Cancelled, Phase, Waiter};
use super::{Accepted, Channel, RETIRED, SHUT, Taken, send};

/// A wait for an item.
pub struct Get<'a> {
    channel: &'a Channel,
    item: Cell<Option<Item>>,
    resumed: Cell<bool>,
}

impl<'a> Get<'a> {
    /// A wait that has not begun.
    pub fn new(channel: &'a Channel) -> Get<'a> {
        Get { channel, item: Cell::new(None), resumed: Cell::new(false) }
    }

    /// The item, if the wait was successful.
    #[must_use]
    pub fn item(&self) -> Option<Item> {
        self.item.get()
    }
}

// SAFETY: a waiter is reachable only through the list, between push and remove, and every access to
// it is made under the queue lock. `claim` and `cancel` take the queue lock before the waiter may
// be freed.
unsafe impl Awaitable for Get<'_> {
    fn begin(&self) {
        self.channel.count_outside(1);
    }

    fn end(&self) {
        self.channel.count_outside(-1);
    }

    #[cfg(not(modelled))]
    fn place(&self) -> spin::Place {
        spin::Place::new(ptr::from_ref(self.channel).addr())
    }

    /// If there is an item, `claim` takes it and not this.
    unsafe fn enqueue(&self, waiter: &Waiter, resumed: bool) -> bool {
        let channel = self.channel;
        self.resumed.set(resumed);
        let held = channel.hold();
        let wait = channel.flags() & (SHUT | RETIRED) == 0 && channel.ring.is_empty();
        if wait {
            // SAFETY: the caller keeps the waiter in place; it is in no list yet.
            unsafe { channel.getters.push(waiter, resumed) };
        } else {
            waiter.set_phase(Phase::Idle);
        }
        held.release();
        !wait
    }

    unsafe fn claim(&self, waiter: &Waiter) -> bool {
        let channel = self.channel;
        let held = channel.hold();
        let mut wake = None;
        match waiter.phase() {
            Phase::Granted => {
                let note = waiter.note.load(Ordering::Relaxed);
                self.item.set(Item::new(note));
                // SAFETY: it was given the item by another thread, and has not claimed it.
                unsafe { channel.grants.remove(waiter) };
            }
            // It is in no list yet.
            Phase::Idle => {
                let taken;
                (taken, wake) = channel.take();
                match taken {
                    Taken::Item(item) => {
                        self.item.set(Some(item));
                        waiter.set_phase(Phase::Granted);
                    }
                    // Another thread was faster.
                    // SAFETY: the caller keeps the waiter in place; it is in no list yet.
                    Taken::Empty => unsafe { channel.getters.push(waiter, self.resumed.get()) },
                    Taken::ShutDown | Taken::Retired => waiter.set_phase(Phase::Dismissed),
                }
            }
            _ => {}
        }
        let settled = waiter.is_settled();
        held.release();
        send(wake);
        settled
    }

    unsafe fn cancel(&self, waiter: &Waiter) -> Cancelled {
        // SAFETY: as the caller promises.
        unsafe { self.channel.leave(&self.channel.getters, waiter) }
    }
}

/// A wait for room for an item.
pub struct Put<'a> {
    channel: &'a Channel,
    item: Item,
    failed: Cell<bool>,
    resumed: Cell<bool>,
}

impl<'a> Put<'a> {
    /// A wait that has not begun. The item belongs to the caller unless the wait is successful.
    pub fn new(channel: &'a Channel, item: Item) -> Put<'a> {
        Put { channel, item, failed: Cell::new(false), resumed: Cell::new(false) }
    }

    /// Puts the waiter into the list. Under the queue lock.
    ///
    /// # Safety
    /// The waiter is in no list, and stays in place until it has left this one.
    unsafe fn queue(&self, waiter: &Waiter) {
        waiter.note.store(self.item.as_ptr(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { self.channel.putters.push(waiter, self.resumed.get()) };
    }

    /// Whether the waiter was dismissed because there is no memory.
    #[must_use]
    pub fn is_out_of_memory(&self) -> bool {
        self.failed.get()
    }
}

// SAFETY: as for `Get`.
unsafe impl Awaitable for Put<'_> {
    fn begin(&self) {
        self.channel.count_outside(1);
    }

    fn end(&self) {
        self.channel.count_outside(-1);
    }

    #[cfg(not(modelled))]
    fn place(&self) -> spin::Place {
        spin::Place::new(ptr::from_ref(self.channel).addr()).other()
    }

    /// If there is room, `claim` puts the item there and not this.
    unsafe fn enqueue(&self, waiter: &Waiter, resumed: bool) -> bool {
        let channel = self.channel;
        self.resumed.set(resumed);
        let held = channel.hold();
        let open = channel.flags() & (SHUT | RETIRED) == 0;
        let wait = open && channel.getters.is_empty() && channel.is_full();
        if wait {
            // SAFETY: the caller keeps the waiter in place; it is in no list yet.
            unsafe { self.queue(waiter) };
        } else {
            waiter.set_phase(Phase::Idle);
        }
        held.release();
        !wait
    }

    unsafe fn claim(&self, waiter: &Waiter) -> bool {
        let channel = self.channel;
        let held = channel.hold();
        let mut wake = None;
        // It is in no list yet.
        if waiter.phase() == Phase::Idle {
            let accepted;
            (accepted, wake) = channel.accept(self.item);
            match accepted {
                Accepted::Done => waiter.set_phase(Phase::Granted),
                // Another thread was faster.
                // SAFETY: the caller keeps the waiter in place; it is in no list yet.
                Accepted::Full => unsafe { self.queue(waiter) },
                Accepted::ShutDown | Accepted::Retired | Accepted::NoMemory => {
                    self.failed.set(accepted == Accepted::NoMemory);
                    waiter.set_phase(Phase::Dismissed);
                }
            }
        }
        let settled = waiter.is_settled();
        held.release();
        send(wake);
        settled
    }

    unsafe fn cancel(&self, waiter: &Waiter) -> Cancelled {
        // SAFETY: as the caller promises.
        unsafe { self.channel.leave(&self.channel.putters, waiter) }
    }
}

/// A wait for the work on all items to be done.
pub struct Join<'a> {
    channel: &'a Channel,
}

impl<'a> Join<'a> {
    /// A wait that has not begun.
    pub fn new(channel: &'a Channel) -> Join<'a> {
        Join { channel }
    }
}

// SAFETY: as for `Get`.
unsafe impl Awaitable for Join<'_> {
    fn begin(&self) {
        self.channel.count_outside(1);
    }

    fn end(&self) {
        self.channel.count_outside(-1);
    }

    // There may be new work when the handlers are done, and the end would be missed.
    const STAYS_QUEUED_DURING_SIGNALS: bool = true;

    unsafe fn enqueue(&self, waiter: &Waiter, resumed: bool) -> bool {
        let channel = self.channel;
        let held = channel.hold();
        let settled = if channel.flags() & RETIRED != 0 {
            waiter.set_phase(Phase::Dismissed);
            true
        } else if channel.unfinished() == 0 {
            waiter.set_phase(Phase::Granted);
            true
        } else {
            let round = channel.rounds.load(Ordering::Relaxed);
            let round = ptr::without_provenance_mut(round as usize);
            waiter.note.store(round, Ordering::Relaxed);
            // SAFETY: the caller keeps the waiter in place; it is in no list yet.
            unsafe { channel.joiners.push(waiter, resumed) };
            false
        };
        held.release();
        settled
    }

    unsafe fn requeue(&self, waiter: &Waiter) {
        let channel = self.channel;
        let held = channel.hold();
        if channel.is_over(waiter) && !waiter.is_settled() {
            waiter.signal(Phase::Granted).send();
        }
        if !waiter.is_settled() {
            // SAFETY: as the caller promises; it is in no list of this process.
            unsafe { channel.joiners.push(waiter, true) };
        }
        held.release();
    }

    unsafe fn claim(&self, waiter: &Waiter) -> bool {
        self.channel.is_settled(waiter)
    }

    unsafe fn cancel(&self, waiter: &Waiter) -> Cancelled {
        // SAFETY: as the caller promises.
        unsafe { self.channel.leave(&self.channel.joiners, waiter) }
    }
}
