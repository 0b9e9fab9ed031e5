//! A first-in, first-out queue of waiting threads that lives in the object they wait for.
//!
//! Sixteen bytes, of which four are lent to the primitive built on top: the nodes are the waiters
//! themselves, and the guard is a word-sized mutex. Nothing is global, so waiting for one object
//! never disturbs another, and nothing needs repair after a fork (see `fork`).

use core::ptr;

use super::fork;
use super::parker::{Wake, guard_wait, guard_wake};
use super::primitive::{AtomicPtr, AtomicU32, Ordering, const_unless_loom};
use super::waiter::{Phase, Waiter};

/// The low bits of the guard: a mutex in three states, as in Rust's standard library.
const FREE: u32 = 0;
const HELD: u32 = 1;
/// Held, and somebody may sleep until it is free.
const CONTENDED: u32 = 2;
const STATE: u32 = 3;
const EPOCH_SHIFT: u32 = 2;

/// How often to look before sleeping: a guard is held for some ten instructions.
const SPINS: u32 = 100;

/// See the module's documentation.
#[repr(C)]
pub struct WaitQueue {
    /// Belongs to the primitive. The queue neither reads nor writes it.
    pub(super) word: AtomicU32,
    /// The state of the mutex, and above it the fork epoch of its last use.
    guard: AtomicU32,
    /// The first waiter, or null. The nodes form a ring. Only touched under the guard.
    head: AtomicPtr<Waiter>,
}

impl WaitQueue {
    const_unless_loom! {
        /// An empty queue and a word of zero. All bytes are zero.
        pub(super) fn new() -> WaitQueue {
            WaitQueue {
                word: AtomicU32::new(0),
                guard: AtomicU32::new(0),
                head: AtomicPtr::new(ptr::null_mut()),
            }
        }
    }

    /// Takes the guard. Nothing that can block, and no Python code, may run while it is held.
    #[inline]
    pub(super) fn guard(&self) -> Queue<'_> {
        let epoch = fork::epoch() << EPOCH_SHIFT;
        if self
            .guard
            .compare_exchange(epoch | FREE, epoch | HELD, Ordering::Acquire, Ordering::Relaxed)
            .is_err()
        {
            self.guard_contended(epoch);
        }
        Queue { owner: self, epoch }
    }

    #[cold]
    fn guard_contended(&self, epoch: u32) {
        let mut spins = 0;
        let mut take = HELD;
        loop {
            let seen = self.guard.load(Ordering::Relaxed);
            let stale = seen & !STATE != epoch;
            if stale || seen & STATE == FREE {
                // A guard of an older epoch is free whatever it says: its holder and its waiters
                // were threads of the process that this one was forked from.
                if self
                    .guard
                    .compare_exchange(seen, epoch | take, Ordering::Acquire, Ordering::Relaxed)
                    .is_ok()
                {
                    if stale {
                        self.head.store(ptr::null_mut(), Ordering::Relaxed);
                    }
                    return;
                }
                continue;
            }
            if cfg!(not(loom)) && spins < SPINS {
                spins += 1;
                core::hint::spin_loop();
                continue;
            }
            // Whoever has slept must leave the guard contended: it cannot know whether it was the
            // last to sleep.
            take = CONTENDED;
            if seen & STATE == CONTENDED
                || self
                    .guard
                    .compare_exchange(seen, epoch | CONTENDED, Ordering::Relaxed, Ordering::Relaxed)
                    .is_ok()
            {
                guard_wait(&self.guard, epoch | CONTENDED);
            }
        }
    }
}

/// A queue whose guard is held: until [`Queue::release`].
///
/// No `Drop`: code that may be unwound by the interpreter holds one across no call that can, and
/// an explicit release says where the critical section ends.
pub(super) struct Queue<'a> {
    owner: &'a WaitQueue,
    epoch: u32,
}

impl<'a> Queue<'a> {
    pub(super) fn release(self) {
        let before = self.owner.guard.swap(self.epoch | FREE, Ordering::Release);
        if before & STATE == CONTENDED {
            guard_wake(&self.owner.guard);
        }
    }

    /// Releases the guard, then wakes. In this order, so that the woken find the guard free.
    pub(super) fn release_and_wake(self, wake: Option<Wake>) {
        self.release();
        if let Some(wake) = wake {
            wake.send();
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.head().is_null()
    }

    pub(super) fn front(&self) -> Option<&'a Waiter> {
        // SAFETY: a node in the queue is alive: its owner takes the guard, which we hold, and
        // unlinks it before it goes (the contract of `Awaitable`).
        unsafe { self.head().as_ref() }
    }

    /// Links the waiter in: at the front if it was there before, else at the back.
    ///
    /// # Safety
    /// The waiter is in no queue, and stays alive and in place until it has been removed.
    pub(super) unsafe fn push(&self, waiter: &Waiter, front: bool) {
        let node = ptr::from_ref(waiter).cast_mut();
        waiter.set_phase(Phase::Queued);
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

    /// Takes the waiter out.
    ///
    /// # Safety
    /// The waiter is in this queue.
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
        }
    }

    // Relaxed in both: the guard orders every access.
    fn head(&self) -> *mut Waiter {
        self.owner.head.load(Ordering::Relaxed)
    }

    fn set_head(&self, node: *mut Waiter) {
        self.owner.head.store(node, Ordering::Relaxed);
    }
}
