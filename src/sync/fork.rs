//! The effect of a fork on wait queues.
//!
//! In the child of a fork only one thread of the process exists: the thread that forked. A queue
//! that had waiters then holds nodes of threads that do not exist, and one of them may hold its
//! queue lock. There is no list of all queues. Instead each queue remembers the *fork epoch* of its
//! last use. A queue with an older epoch is empty, and its queue lock is free (see
//! `QueueLock`).
//!
//! The bits of a state word that refer to waiters are void then as well. A lock is no longer handed
//! off to a waiter, and a grant that was not claimed is taken back (see `grants`).

use core::cell::Cell;
use core::{mem, ptr};

#[cfg(not(modelled))]
mod count {
    use core::sync::atomic::{AtomicU32, Ordering};

    static EPOCH: AtomicU32 = AtomicU32::new(0);

    // Relaxed: the epoch changes only in a child that has one thread.
    #[inline]
    pub fn get() -> u32 {
        EPOCH.load(Ordering::Relaxed)
    }

    pub fn set(epoch: u32) {
        EPOCH.store(epoch, Ordering::Relaxed);
    }

    pub fn place() -> *const u32 {
        EPOCH.as_ptr()
    }
}

/// The threads of a model share one real thread. The model says when it is the child of a fork.
/// After that only one of its threads goes on.
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

/// Numbers of threads. A thread keeps its number in the child of a fork.
#[cfg(not(modelled))]
mod thread {
    use core::cell::Cell;
    use core::sync::atomic::{AtomicU32, Ordering};

    static LAST: AtomicU32 = AtomicU32::new(0);
    /// The thread that has made this process by a fork; zero in the first process.
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

/// In a model the thread that forks has begun no action that goes on in the child.
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

/// The epoch and the number of the calling thread, to be stored with an action that it begins now.
pub(super) fn here() -> (u32, u32) {
    (epoch(), thread::own())
}

/// Whether the thread that got this from [`here`] exists in this process. It does if no fork has
/// come since. It also does if it is the thread that forked, because that one keeps its number.
#[must_use]
pub(super) fn is_here((then, number): (u32, u32)) -> bool {
    then == epoch() || number == thread::forked()
}

/// A wait in which the thread runs signal handlers while its waiter stays in the queue.
struct Staying {
    /// Puts the waiter back into the queue. Valid as long as this object.
    requeue: *const dyn Fn(),
    /// The wait that was interrupted before: its handler has begun this one. Or null.
    outer: *const Staying,
}

std::thread_local! {
    /// The innermost one of this thread. If the stack is unwound out of a handler, the pointer
    /// stays as it is, and the thread does not read it any more.
    static STAYING: Cell<*const Staying> = const { Cell::new(ptr::null()) };
}

/// Runs signal handlers while a waiter of this thread stays in a queue.
///
/// If a handler forks, the queue is empty in the child, and this thread goes on waiting there. So
/// in the child `requeue` is called first.
pub(super) fn run_while_queued<R>(requeue: &dyn Fn(), run: impl FnOnce() -> R) -> R {
    let requeue: *const (dyn Fn() + '_) = requeue;
    // SAFETY: only the lifetime changes. The pointer is used only while this function runs, in the
    // same thread.
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

/// Where the epoch is, for other processes.
#[cfg(not(modelled))]
#[must_use]
pub fn epoch_at() -> *const u32 {
    count::place()
}

/// Makes every wait queue of the process empty, except for the waiters of this thread. To be called
/// in the child, before any other use of `sync`.
pub fn after_fork_in_child() {
    count::set((count::get() + 1) & (u32::MAX >> 2));
    thread::note_fork();
    let mut next = STAYING.get();
    // SAFETY: null, or on the stack of this thread, because its handler has forked.
    while let Some(staying) = unsafe { next.as_ref() } {
        // From the latest wait to the earliest, each to the front.
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
