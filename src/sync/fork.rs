//! What a fork does to wait queues.
//!
//! Of the threads of a process only the forking one exists in the child. A queue that had waiters
//! then holds nodes of threads that are gone, and its guard may be held by one of them. There is
//! no list of all queues to walk; instead each queue remembers the epoch it was last used in, and
//! one that is met with an older epoch is empty and unguarded (see [`QueueLock`](super::queue_lock::QueueLock)).
//! What a word beside it says of waiters is then void as well: a lock is not reserved for one any
//! more, and what a waiter was granted and has not claimed is taken back (see `grants`).

use core::cell::Cell;
use core::{mem, ptr};

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

/// Numbers of threads. A thread keeps its own in the child of a fork.
#[cfg(not(modelled))]
mod thread {
    use core::cell::Cell;
    use core::sync::atomic::{AtomicU32, Ordering};

    static LAST: AtomicU32 = AtomicU32::new(0);
    /// The thread that has made this process by a fork; zero in the first one.
    static FORKED: AtomicU32 = AtomicU32::new(0);

    std::thread_local! {
        static OWN: Cell<u32> = const { Cell::new(0) };
    }

    pub fn own() -> u32 {
        if OWN.get() == 0 {
            OWN.set(LAST.fetch_add(1, Ordering::Relaxed) + 1);
        }
        OWN.get()
    }

    pub fn forked() -> u32 {
        FORKED.load(Ordering::Relaxed)
    }

    pub fn note_fork() {
        FORKED.store(own(), Ordering::Relaxed);
    }
}

/// In a model the thread that forks has begun nothing that goes on in the child.
#[cfg(modelled)]
mod thread {
    pub fn own() -> u32 {
        1
    }

    pub fn forked() -> u32 {
        0
    }

    pub fn note_fork() {}
}

/// The epoch, and the number of the calling thread: for something that it begins now.
pub(super) fn here() -> (u32, u32) {
    (epoch(), thread::own())
}

/// Whether a thread that was once told this by [`here`] is a thread of this process: no fork has come
/// since, or it was the one that forked, each time.
pub(super) fn is_here((then, number): (u32, u32)) -> bool {
    then == epoch() || number == thread::forked()
}

/// A wait whose thread runs signal handlers, and whose waiter stays in its queue meanwhile.
struct Staying {
    /// Puts the waiter back into the queue. Valid as long as this is.
    requeue: *const dyn Fn(),
    /// The wait that was interrupted before, whose handler has come to this one; or null.
    outer: *const Staying,
}

std::thread_local! {
    /// Of this thread, the innermost. A thread that is unwound out of a handler leaves it behind,
    /// and looks at it no more.
    static STAYING: Cell<*const Staying> = const { Cell::new(ptr::null()) };
}

/// Runs signal handlers while a waiter of this thread stays in a queue. If one of them forks, the
/// queue is empty in the child, where this thread goes on waiting: there `requeue` is called first.
pub(super) fn run_while_queued<R>(requeue: &dyn Fn(), run: impl FnOnce() -> R) -> R {
    let requeue: *const (dyn Fn() + '_) = requeue;
    // SAFETY: only the lifetime changes. It is used while this function runs, in the same thread.
    let requeue = unsafe { mem::transmute::<*const (dyn Fn() + '_), *const dyn Fn()>(requeue) };
    let staying = Staying { requeue, outer: STAYING.get() };
    STAYING.set(&staying);
    let result = run();
    STAYING.set(staying.outer);
    result
}

/// The number of forks between the first process and this one, modulo 2^30.
#[inline]
pub(crate) fn epoch() -> u32 {
    count::get()
}

/// Makes every wait queue of the process empty but for the waiters of this thread. To be called in
/// the child, before anything else.
pub fn after_fork_in_child() {
    count::set((count::get() + 1) & (u32::MAX >> 2));
    thread::note_fork();
    let mut next = STAYING.get();
    // SAFETY: null, or on the stack of this thread, whose handler has forked.
    while let Some(staying) = unsafe { next.as_ref() } {
        // From the latest to the earliest, each to the front.
        // SAFETY: as above.
        unsafe { (*staying.requeue)() };
        next = staying.outer;
    }
}

/// Each execution of a model begins in the first process.
#[cfg(modelled)]
pub fn begin_execution() {
    count::set(0);
}
