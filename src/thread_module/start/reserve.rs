//! Memory that a starter sets aside, so that its thread finds some to begin with.

use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

use crate::runtime::os_thread;

/// The size of a reserve: more than a thread needs before it runs Python code.
///
/// The starter sets the reserve aside. If the new thread finds no memory for its state, it gives
/// the reserve back to the system, and tries again. So a lack of memory is an exception in the
/// starter. A reserve that was not needed is kept for the next start.
///
/// Without a reserve the starter would have to wait until the thread has a state. A starter that
/// waits anyway sets nothing aside.
const RESERVE: usize = 128 << 10;

/// Memory that was set aside, or null.
#[derive(Clone, Copy)]
pub struct Reserve(*mut c_void);

/// A reserve that was not needed, or null.
static SPARE: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());

impl Reserve {
    /// No reserve, for a start that can tell its starter when it finds no memory.
    pub const fn none() -> Reserve {
        Reserve(ptr::null_mut())
    }

    /// Takes the spare reserve, or sets memory aside. None if there is no memory.
    pub fn new() -> Option<Reserve> {
        let spare = SPARE.swap(ptr::null_mut(), Ordering::Acquire);
        if spare.is_null() {
            os_thread::set_aside(RESERVE).map(Reserve)
        } else {
            Some(Reserve(spare))
        }
    }

    /// Keeps it for the next start.
    ///
    /// # Safety
    /// The reserve is not used any more.
    pub unsafe fn keep(&self) {
        let (order, none) = (Ordering::Release, ptr::null_mut());
        if SPARE.compare_exchange(none, self.0, order, Ordering::Relaxed).is_err() {
            // SAFETY: as the caller promises.
            unsafe { self.give_back() };
        }
    }

    /// # Safety
    /// The reserve is not used any more.
    pub unsafe fn give_back(&self) {
        if !self.0.is_null() {
            // SAFETY: as the caller promises.
            unsafe { os_thread::give_back(self.0, RESERVE) };
        }
    }
}
