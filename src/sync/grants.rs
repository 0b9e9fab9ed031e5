//! Waiters that have been granted something, and have not claimed it.
//!
//! Should the thread of such a waiter never come, because it does not exist in the child of a fork
//! or because an interpreter that is being finalized lets no thread attach, then the grant has to
//! be taken back.
//!
//! The child of a fork reads this list as it was at the moment of the fork, which may be in the
//! middle of a change: the queue lock may have been held by a thread that is gone. Therefore the list
//! *is* the chain from `newest` along `next`, and each change of it takes effect with one store
//! into that chain. A waiter is complete before the store that links it in, and the one that it
//! leads to is in the list already; taking one out is a store as well, of a link around it. The
//! links back are there to find that place quickly, and the child does not look at them.

use core::ptr;

use super::primitive::{AtomicPtr, Ordering, const_unless_modelled};
use super::waiter::Waiter;

/// See the module's documentation. Only to be touched under the queue lock of the primitive.
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

    /// Whether there is none; without the queue lock this is a guess.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.newest.load(Ordering::Relaxed).is_null()
    }

    /// Adds a waiter that has been granted something, and has all that belongs to it.
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
        // Release: where the waiter is found it is found complete.
        self.newest.store(node, Ordering::Release);
    }

    /// Takes a waiter out, wherever it is.
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

    /// The waiter that was granted something last.
    pub(super) fn newest(&self) -> Option<&Waiter> {
        // SAFETY: null, or a waiter of the list. Its thread takes the queue lock, which the caller
        // holds, and takes it out before it goes; a thread that has ceased to be in the child of a
        // fork has left its waiter behind, on the heap.
        unsafe { self.newest.load(Ordering::Acquire).as_ref() }
    }
}
