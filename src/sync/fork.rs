//! What a fork does to wait queues.
//!
//! Of the threads of a process only the forking one exists in the child. A queue that had waiters
//! then holds nodes of threads that are gone, and its guard may be held by one of them. There is
//! no list of all queues to walk; instead each queue remembers the epoch it was last used in, and
//! one that is met with an older epoch is empty and unguarded (see `queue::Guard`). What a word
//! beside it says of waiters is then void as well: a lock is not reserved for one any more.

use super::primitive::Ordering;

#[cfg(not(modelled))]
static EPOCH: super::primitive::AtomicU32 = super::primitive::AtomicU32::new(0);

/// The number of forks between the first process and this one, modulo 2^30.
#[inline]
pub(crate) fn epoch() -> u32 {
    #[cfg(not(modelled))]
    {
        // Relaxed: it changes only in a child that has one thread.
        EPOCH.load(Ordering::Relaxed)
    }
    #[cfg(modelled)]
    {
        let _ = Ordering::Relaxed;
        0
    }
}

/// Makes every wait queue of the process empty. To be called in the child, before anything else.
#[cfg(not(modelled))]
pub fn after_fork_in_child() {
    let next = (EPOCH.load(Ordering::Relaxed) + 1) & (u32::MAX >> 2);
    EPOCH.store(next, Ordering::Relaxed);
}
