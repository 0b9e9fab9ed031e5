//! A lock that its owner may take again: the base of `_thread.RLock`.

use super::lock::{Lock, NotLocked};
use super::owner::Owner;
use super::primitive::{AtomicU64, Ordering, const_unless_modelled};

/// Identifies a thread. Zero means no thread.
pub type ThreadId = u64;

/// The calling thread does not own the lock.
#[derive(Debug, PartialEq, Eq)]
pub struct NotOwned;

/// The owner and the count of a lock: the result of `release_all` and the argument of `restore`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Saved {
    /// How often the owner had taken the lock.
    pub count: u64,
    /// The owner.
    pub owner: ThreadId,
}

/// A [`Lock`] with an owner and a count. All zero is a free lock.
///
/// Owner and count are written by the thread that holds the lock, and read by any thread. Relaxed
/// is enough for both questions that a reader may have. A thread that reads its own id as the owner
/// has written it itself. Any other answer is out of date at once anyway.
#[repr(C)]
pub struct ReentrantLock {
    lock: Lock,
    owner: AtomicU64,
    count: AtomicU64,
}

impl Default for ReentrantLock {
    fn default() -> ReentrantLock {
        ReentrantLock::new()
    }
}

impl ReentrantLock {
    /// Where the owner is in a lock, in bytes.
    pub const OWNER_AT: usize = core::mem::offset_of!(ReentrantLock, owner);
    /// Where the count is in a lock, in bytes.
    pub const COUNT_AT: usize = core::mem::offset_of!(ReentrantLock, count);

    const_unless_modelled! {
        /// A free lock.
        pub fn new() -> ReentrantLock {
            ReentrantLock { lock: Lock::new(), owner: AtomicU64::new(0), count: AtomicU64::new(0) }
        }
    }

    /// The lock to wait for. A thread that gets it calls [`ReentrantLock::adopt`].
    pub fn lock(&self) -> &Lock {
        &self.lock
    }

    /// Takes the lock if it is free or `me` owns it. True if that is so. `owner` is the same thread
    /// by its number.
    #[inline]
    #[must_use]
    pub fn try_acquire(&self, me: ThreadId, owner: Owner) -> bool {
        self.try_acquire_by(me, |lock| lock.try_acquire_as(owner))
    }

    /// [`ReentrantLock::try_acquire`] without an atomic step.
    ///
    /// # Safety
    /// As [`Lock::try_acquire_alone`].
    #[inline]
    #[must_use]
    pub unsafe fn try_acquire_alone(&self, me: ThreadId, owner: Owner) -> bool {
        self.try_acquire_by(
            me,
            // SAFETY: as the caller promises.
            |lock| unsafe { lock.try_acquire_alone(owner) || try_acquire(lock, owner) },
        )
    }

    #[inline]
    fn try_acquire_by(&self, me: ThreadId, take: impl FnOnce(&Lock) -> bool) -> bool {
        if self.is_owned_by(me) {
            // A count of 2^64 is out of reach: it would take a century.
            self.count.store(self.count() + 1, Ordering::Relaxed);
            true
        } else if take(&self.lock) {
            self.adopt(me);
            true
        } else {
            false
        }
    }

    /// Makes `me` the owner. The calling thread has just got [`ReentrantLock::lock`].
    #[inline]
    pub fn adopt(&self, me: ThreadId) {
        self.owner.store(me, Ordering::Relaxed);
        self.count.store(1, Ordering::Relaxed);
    }

    /// Undoes one acquire.
    ///
    /// # Errors
    /// [`NotOwned`], and nothing has changed.
    #[inline]
    pub fn release(&self, me: ThreadId) -> Result<(), NotOwned> {
        self.release_by(me, Lock::release)
    }

    /// [`ReentrantLock::release`] without an atomic step.
    ///
    /// # Errors
    /// As [`ReentrantLock::release`].
    ///
    /// # Safety
    /// As [`Lock::try_acquire_alone`].
    #[inline]
    pub unsafe fn release_alone(&self, me: ThreadId) -> Result<(), NotOwned> {
        // SAFETY: as the caller promises.
        self.release_by(
            me,
            |lock| if unsafe { lock.release_alone() } { Ok(()) } else { release(lock) },
        )
    }

    #[inline]
    fn release_by(
        &self,
        me: ThreadId,
        release: impl FnOnce(&Lock) -> Result<(), NotLocked>,
    ) -> Result<(), NotOwned> {
        if !self.is_owned_by(me) {
            return Err(NotOwned);
        }
        match self.count() {
            0 | 1 => self.free(release),
            count => self.count.store(count - 1, Ordering::Relaxed),
        }
        Ok(())
    }

    /// Undoes every acquire at once, by whichever thread it was made. Returns the owner and the
    /// count.
    ///
    /// # Errors
    /// [`NotOwned`] if the lock is free, and nothing has changed.
    pub fn release_all(&self) -> Result<Saved, NotOwned> {
        let saved = Saved { count: self.count(), owner: self.owner() };
        if saved.count == 0 {
            return Err(NotOwned);
        }
        self.free(Lock::release);
        Ok(saved)
    }

    /// Gives the lock the count and the owner that it had before. This thread has just got the
    /// lock.
    pub fn restore(&self, saved: Saved) {
        self.owner.store(saved.owner, Ordering::Relaxed);
        self.count.store(saved.count, Ordering::Relaxed);
    }

    #[inline]
    fn free(&self, release: impl FnOnce(&Lock) -> Result<(), NotLocked>) {
        // The owner first: once the lock is released, another thread may write the owner.
        self.owner.store(0, Ordering::Relaxed);
        self.count.store(0, Ordering::Relaxed);
        // This fails only if the state was forged through `restore`; then the lock is free already.
        let _ = release(&self.lock);
    }

    /// A free lock to replace this one, see [`Lock::renewed`].
    #[must_use]
    pub fn renewed(&self) -> ReentrantLock {
        ReentrantLock { lock: self.lock.renewed(), ..ReentrantLock::new() }
    }

    /// Whether `me` holds the lock.
    #[inline]
    #[must_use]
    pub fn is_owned_by(&self, me: ThreadId) -> bool {
        self.owner() == me
    }

    /// Whether a thread holds the lock at this moment.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.lock.is_locked()
    }

    /// The thread that holds the lock at this moment; zero for none.
    #[inline]
    pub fn owner(&self) -> ThreadId {
        self.owner.load(Ordering::Relaxed)
    }

    /// The owner by its number, if it is known.
    pub fn inner_owner(&self) -> Owner {
        self.lock.owner()
    }

    /// How often the owner has taken the lock.
    #[inline]
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

/// Not inlined: so the usual path needs no registers to be saved.
#[cold]
#[inline(never)]
fn try_acquire(lock: &Lock, owner: Owner) -> bool {
    lock.try_acquire_as(owner)
}

/// As [`try_acquire`].
#[cold]
#[inline(never)]
fn release(lock: &Lock) -> Result<(), NotLocked> {
    lock.release()
}
