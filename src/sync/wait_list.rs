//! A first-in, first-out queue of waiting threads. It is a part of the object that they wait for.
//!
//! It takes sixteen bytes. The nodes are the waiters themselves, the queue lock is a mutex of one
//! word, and four bytes are lent to the primitive that is built on top. Nothing is global: a wait
//! for one object never disturbs another one, and nothing needs repair after a fork (see `fork`).

use core::ptr;
use std::time::Instant;

use super::parker::Wake;
use super::primitive::{AtomicPtr, AtomicU32, Ordering, const_unless_modelled};
use super::queue_lock::{Held, QueueLock};
use super::waiter::{Phase, Waiter};

/// Waiters in the order of their arrival: a ring, known by its first node. Only to be used under
/// the queue lock of the object that it belongs to.
pub(super) struct List {
    head: AtomicPtr<Waiter>,
}

impl List {
    const_unless_modelled! {
        /// An empty list. All bytes are zero.
        pub(super) fn new() -> List {
            List { head: AtomicPtr::new(ptr::null_mut()) }
        }
    }

    /// Makes the list empty and does not touch its nodes: their threads do not exist any more.
    pub(super) fn forget(&self) {
        self.set_head(ptr::null_mut());
    }

    #[must_use]
    pub(super) fn is_empty(&self) -> bool {
        self.head().is_null()
    }

    #[must_use]
    pub(super) fn front(&self) -> Option<&Waiter> {
        // SAFETY: a node in the list is alive. Before its owner frees it, the owner takes the queue
        // lock, which the caller holds now, and unlinks it (the contract of `Awaitable`).
        unsafe { self.head().as_ref() }
    }

    /// The waiters from the first to the last.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Waiter> {
        let first = self.head();
        core::iter::successors(self.front(), move |waiter| {
            let next = waiter.next.load(Ordering::Relaxed);
            // SAFETY: as in `front`.
            if next == first { None } else { unsafe { next.as_ref() } }
        })
    }

    /// Links the waiter in: at the front if `front`, for a waiter that was in the queue before;
    /// else at the back.
    ///
    /// # Safety
    /// The waiter is in no list, and stays alive and in place until it has been removed.
    pub(super) unsafe fn push(&self, waiter: &Waiter, front: bool) {
        let node = ptr::from_ref(waiter).cast_mut();
        waiter.begin();
        match self.front() {
            None => {
                waiter.next.store(node, Ordering::Relaxed);
                waiter.previous.store(node, Ordering::Relaxed);
                self.set_head(node);
            }
            Some(first) => {
                let last = first.previous.load(Ordering::Relaxed);
                waiter.next.store(ptr::from_ref(first).cast_mut(), Ordering::Relaxed);
                waiter.previous.store(last, Ordering::Relaxed);
                first.previous.store(node, Ordering::Relaxed);
                // SAFETY: `last` is a node of the ring, alive as in `front`.
                unsafe { (*last).next.store(node, Ordering::Relaxed) };
                if front {
                    self.set_head(node);
                }
            }
        }
    }

    /// Unlinks the waiter.
    ///
    /// # Safety
    /// The waiter is in this list.
    pub(super) unsafe fn remove(&self, waiter: &Waiter) {
        let node = ptr::from_ref(waiter).cast_mut();
        let next = waiter.next.load(Ordering::Relaxed);
        if next == node {
            self.set_head(ptr::null_mut());
            return;
        }
        let previous = waiter.previous.load(Ordering::Relaxed);
        // SAFETY: both are nodes of the ring, alive as in `front`.
        unsafe {
            (*previous).next.store(next, Ordering::Relaxed);
            (*next).previous.store(previous, Ordering::Relaxed);
        }
        if self.head() == node {
            self.set_head(next);
            // SAFETY: as above.
            waiter.pass_on_delay(unsafe { &*next });
        }
    }

    // Relaxed in both: the queue lock orders every access.
    fn head(&self) -> *mut Waiter {
        self.head.load(Ordering::Relaxed)
    }

    fn set_head(&self, node: *mut Waiter) {
        self.head.store(node, Ordering::Relaxed);
    }
}

/// See the module's documentation.
#[repr(C)]
pub struct WaitList {
    /// Belongs to the primitive. The wait list neither reads nor writes it.
    pub(super) word: AtomicU32,
    queue_lock: QueueLock,
    list: List,
}

/// How many waiters are woken at a time, of those that may go on. Each of them wakes the next when
/// it claims. At least two: one may have to run a signal handler before it claims.
#[cfg(not(modelled))]
static AT_ONCE: core::sync::atomic::AtomicU32 = core::sync::atomic::AtomicU32::new(2);

/// Says how many woken threads can run at a time. To be called once, before any wait.
#[cfg(not(modelled))]
pub fn wake_at_once(threads: u32) {
    AT_ONCE.store(threads.max(2), Ordering::Relaxed);
}

#[cfg(not(modelled))]
fn at_once() -> u32 {
    AT_ONCE.load(Ordering::Relaxed)
}

/// One, so that a model with two waiters tries every case.
#[cfg(modelled)]
fn at_once() -> u32 {
    1
}

impl WaitList {
    /// Where the word is in a wait list, in bytes.
    pub(super) const WORD_AT: usize = core::mem::offset_of!(WaitList, word);

    const_unless_modelled! {
        /// An empty queue and a word of zero. All bytes are zero.
        pub(super) fn new() -> WaitList {
            WaitList { word: AtomicU32::new(0), queue_lock: QueueLock::new(), list: List::new() }
        }
    }

    /// Whether the queue was last used in another process, or never. No waiter of this process is
    /// in it then.
    #[must_use]
    pub(super) fn is_stale(&self) -> bool {
        self.queue_lock.is_stale()
    }

    /// Takes the queue lock. While it is held, the thread must not block and must not run Python
    /// code.
    #[inline]
    pub(super) fn lock_queue(&self) -> LockedList<'_> {
        let held = self.queue_lock.hold();
        if held.is_stale() {
            self.list.forget();
        }
        LockedList { list: &self.list, held }
    }

    /// Wakes some of the waiters that may go on. `wake` is called under the queue lock and picks
    /// the next one. The wake-up is sent after the queue lock is released. Each waiter wakes the
    /// next when it claims.
    pub(super) fn let_some_go<'a>(
        &'a self,
        mut queue: LockedList<'a>,
        wake: impl Fn(&LockedList<'a>) -> Option<Wake>,
    ) {
        for _ in 0..at_once() {
            let Some(next) = wake(&queue) else { break };
            queue.release_and_wake(Some(next));
            queue = self.lock_queue();
        }
        queue.release();
    }
}

/// A wait list with its queue lock held, until [`LockedList::release`].
pub(super) struct LockedList<'a> {
    list: &'a List,
    held: Held<'a>,
}

impl<'a> LockedList<'a> {
    /// Whether this is the first use of the queue in this process.
    #[must_use]
    pub(super) fn is_stale(&self) -> bool {
        self.held.is_stale()
    }

    pub(super) fn release(self) {
        self.held.release();
    }

    /// Releases the queue lock, then wakes. In this order, so that the woken thread finds the queue
    /// lock free.
    pub(super) fn release_and_wake(self, wake: Option<Wake>) {
        self.release();
        if let Some(wake) = wake {
            wake.send();
        }
    }

    /// Takes out the first waiter if `phase` gives it a phase to wake up in. `None` if the queue is
    /// empty or that waiter stays.
    #[must_use]
    pub(super) fn let_go(&self, phase: impl FnOnce(&Waiter) -> Option<Phase>) -> Option<Wake> {
        let first = self.front()?;
        let phase = phase(first)?;
        // SAFETY: it is the front of the queue.
        unsafe { self.list.remove(first) };
        Some(first.signal(phase))
    }

    /// The time for which the first waiter has waited counts from now. So does that of the next
    /// one, should the first one leave. To be called after a hand-off.
    ///
    /// A thread that gets a resource by a hand-off is in most cases asleep, and the resource lies
    /// idle until it has woken up. If many threads have waited for long, and each of them were given
    /// the resource by a hand-off, there would be nothing but such pauses.
    pub(super) fn let_first_count_from_now(&self) {
        if let Some(first) = self.front() {
            first.count_from(Instant::now());
        }
    }

    #[must_use]
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    #[must_use]
    pub(super) fn front(&self) -> Option<&'a Waiter> {
        self.list.front()
    }

    /// The waiters from the first to the last.
    pub(super) fn iter(&self) -> impl Iterator<Item = &'a Waiter> {
        self.list.iter()
    }

    /// [`List::push`].
    ///
    /// # Safety
    /// As there.
    pub(super) unsafe fn push(&self, waiter: &Waiter, front: bool) {
        // SAFETY: as the caller promises.
        unsafe { self.list.push(waiter, front) };
    }

    /// [`List::remove`].
    ///
    /// # Safety
    /// As there.
    pub(super) unsafe fn remove(&self, waiter: &Waiter) {
        // SAFETY: as the caller promises.
        unsafe { self.list.remove(waiter) };
    }
}
