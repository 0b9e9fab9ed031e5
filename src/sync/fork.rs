//! What a fork does to wait queues.
//!
//! Of the threads of a process only the forking one exists in the child. A queue that had waiters
//! then holds nodes of threads that are gone, and its guard may be held by one of them. There is
//! no list of all queues to walk; instead each queue remembers the epoch it was last used in, and
//! one that is met with an older epoch is empty and unguarded (see [`Guard`](super::guard::Guard)).
//! What a word beside it says of waiters is then void as well: a lock is not reserved for one any
//! more, and what a waiter was granted and has not claimed is taken back (see `grants`).

#[cfg(not(modelled))]
mod count {
    use core::sync::atomic::{AtomicU32, Ordering};

    static EPOCH: AtomicU32 = AtomicU32::new(0);

    // Relaxed: it changes only in a child that has one thread.
    #[inline]
    pub fn get() -> u32 {
        EPOCH.load(Ordering::Relaxed)
    }

    pub fn set(epoch: u32) {
        EPOCH.store(epoch, Ordering::Relaxed);
    }
}

/// The threads of a model share one real one. It is the model that says when it is a child: no
/// other of its threads does anything after that.
#[cfg(modelled)]
mod count {
    use core::cell::Cell;

    thread_local! {
        static EPOCH: Cell<u32> = const { Cell::new(0) };
    }

    pub fn get() -> u32 {
        EPOCH.get()
    }

    pub fn set(epoch: u32) {
        EPOCH.set(epoch);
    }
}

/// The number of forks between the first process and this one, modulo 2^30.
#[inline]
pub(crate) fn epoch() -> u32 {
    count::get()
}

/// Makes every wait queue of the process empty. To be called in the child, before anything else.
pub fn after_fork_in_child() {
    count::set((count::get() + 1) & (u32::MAX >> 2));
}

/// Each execution of a model begins in the first process.
#[cfg(modelled)]
pub fn begin_execution() {
    count::set(0);
}
