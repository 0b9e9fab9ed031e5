//! A mutex around a value, for rthread's own tables.
//!
//! It is made of a [`Lock`], because it has to survive a fork. The mutexes of Rust's libraries do
//! not: they keep parked threads in a global table (parking_lot), or cannot be released by force in
//! the child.

use core::cell::UnsafeCell;
use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut};

use super::lock::Lock;
use super::primitive::const_unless_modelled;
use super::protocol::wait;

/// Gives one thread at a time access to a value.
pub struct Mutex<T> {
    lock: Lock,
    value: UnsafeCell<T>,
}

// SAFETY: the lock lets one thread at a time reach the value. So sharing the mutex moves the value
// between threads, and never shares the value.
unsafe impl<T: Send> Sync for Mutex<T> {}

impl<T> Mutex<T> {
    const_unless_modelled! {
        /// A free mutex.
        pub fn new(value: T) -> Mutex<T> {
            Mutex { lock: Lock::new(), value: UnsafeCell::new(value) }
        }
    }

    /// Waits for the mutex. For short critical sections that run no Python code.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        if !self.lock.try_acquire() {
            let _ = wait(&self.lock, None);
        }
        MutexGuard { mutex: self }
    }

    /// Keeps the mutex locked across a fork, until [`Mutex::unlock_after_fork`].
    pub fn lock_before_fork(&self) {
        let _ = ManuallyDrop::new(self.lock());
    }

    /// Undoes [`Mutex::lock_before_fork`], in the parent and in the child.
    ///
    /// # Safety
    /// This thread called `lock_before_fork`, and has not undone it in this process.
    pub unsafe fn unlock_after_fork(&self) {
        let released = self.lock.release();
        debug_assert!(released.is_ok());
    }
}

/// Access to the value of a [`Mutex`]; dropping it releases the mutex.
pub struct MutexGuard<'a, T> {
    mutex: &'a Mutex<T>,
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: this thread holds the lock.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: this thread holds the lock, and the guard is borrowed mutably.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        let released = self.mutex.lock.release();
        debug_assert!(released.is_ok());
    }
}
