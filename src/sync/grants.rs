//! Waiters that have been granted an item or a permit, and have not claimed it.
//!
//! The thread of such a waiter may never claim: it does not exist in the child of a fork, or an
//! interpreter that is being finalized lets no thread attach. Then the grant has to be taken back.
//!
//! The child of a fork reads this list in the state at the moment of the fork. That may be in the
//! middle of a change: the queue lock may have been held by a thread that does not exist in the
//! child. Therefore the list *is* the chain from `newest` along `next`, and each change takes
//! effect with one store into that chain:
//!
//! - A waiter is complete before the store that links it in, and its successor is in the list
//!   already.
//! - A waiter is taken out by the store of a link around it.
//!
//! The links back only serve to find that place quickly. The child does not read them.

use core::ptr;

use super::primitive::{AtomicPtr, Ordering, const_unless_modelled};
use super::waiter::Waiter;

/// See the module's documentation. Only to be used under the queue lock of the primitive.
pub(super) struct Grants {
    newest: AtomicPtr<Waiter>,
}

impl Grants {
    const_unless_modelled! {
        /// No waiter. All bytes are zero.
        pub(super) fn new() -> Grants {
            Grants { newest: AtomicPtr::new(ptr::null_mut()) }
        }
    }

    /// Whether no waiter has a grant. Without the queue lock this is a guess.
    #[inline]
    #[must_use]
    pub(super) fn is_empty(&self) -> bool {
        self.newest.load(Ordering::Relaxed).is_null()
    }

    /// Adds a waiter that has been granted an item or a permit. Its data are complete.
    ///
    /// # Safety
    /// The waiter is in no list, and stays alive and in place until it has been taken out.
    #[inline]
    pub(super) unsafe fn push(&self, waiter: &Waiter) {
        let node = ptr::from_ref(waiter).cast_mut();
        let older = self.newest.load(Ordering::Relaxed);
        waiter.next.store(older, Ordering::Relaxed);
        waiter.previous.store(ptr::null_mut(), Ordering::Relaxed);
        // SAFETY: null, or a waiter of the list, which is alive.
        if let Some(older) = unsafe { older.as_ref() } {
            older.previous.store(node, Ordering::Relaxed);
        }
        // Release: a reader that finds the waiter also finds its data.
        self.newest.store(node, Ordering::Release);
    }

    /// Takes a waiter out, from any position.
    ///
    /// # Safety
    /// The waiter is in this list.
    #[inline]
    pub(super) unsafe fn remove(&self, waiter: &Waiter) {
        let older = waiter.next.load(Ordering::Relaxed);
        let newer = waiter.previous.load(Ordering::Relaxed);
        // SAFETY: null, or waiters of the list, which are alive.
        unsafe {
            match newer.as_ref() {
                Some(newer) => newer.next.store(older, Ordering::Release),
                None => self.newest.store(older, Ordering::Release),
            }
            if let Some(older) = older.as_ref() {
                older.previous.store(newer, Ordering::Relaxed);
            }
        }
    }

    /// The waiter with the latest grant.
    #[must_use]
    pub(super) fn newest(&self) -> Option<&Waiter> {
        // SAFETY: null, or a waiter of the list, which is alive. Its thread takes the queue lock,
        // which the caller holds now, and takes the waiter out before it frees it. A thread that
        // does not exist in the child of a fork has left its waiter on the heap.
        unsafe { self.newest.load(Ordering::Acquire).as_ref() }
    }
}
