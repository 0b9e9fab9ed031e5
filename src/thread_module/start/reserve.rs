//! What a starter sets aside, so that its thread finds memory to begin with.

use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

use crate::runtime::os_thread;

/// More than a thread takes before it runs Python code. The starter sets it aside and the new
/// thread gives it back if there is no memory to make its state, so that running out of it is the
/// starter's exception; else it is kept for the next start. Without it the starter would have to
/// wait for the thread to say that it has a state; one that waits anyway sets nothing aside.
const RESERVE: usize = 128 << 10;

/// Memory that is set aside, or null.
#[derive(Clone, Copy)]
pub struct Reserve(*mut c_void);

/// One that was not needed.
static SPARE: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());

impl Reserve {
    /// For a start that can tell its starter when it finds no memory.
    pub const fn none() -> Reserve {
        Reserve(ptr::null_mut())
    }

    /// None if there is no memory.
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
    /// It is not used any more.
    pub unsafe fn keep(&self) {
        let (order, none) = (Ordering::Release, ptr::null_mut());
        if SPARE.compare_exchange(none, self.0, order, Ordering::Relaxed).is_err() {
            // SAFETY: as the caller promises.
            unsafe { self.give_back() };
        }
    }

    /// # Safety
    /// It is not used any more.
    pub unsafe fn give_back(&self) {
        if !self.0.is_null() {
            // SAFETY: as the caller promises.
            unsafe { os_thread::give_back(self.0, RESERVE) };
        }
    }
}
