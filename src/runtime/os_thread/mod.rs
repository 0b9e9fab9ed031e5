//! Threads of the operating system.

use core::ffi::c_void;

pub mod inherited;
#[cfg_attr(unix, path = "unix.rs")]
#[cfg_attr(windows, path = "windows.rs")]
mod platform;

pub use inherited::Inherited;
pub use platform::*;

/// The code that a new thread runs, from its beginning to its end.
pub trait Run {
    /// # Safety
    /// As the caller of `spawn` promises. The frame may be unwound.
    unsafe fn run(argument: *mut c_void);
}
