//! Windows threads. Untested: the project has no Windows machine.

use core::ffi::c_void;
use core::ptr;

use super::Run;

type Handle = *mut c_void;

const INFINITE: u32 = u32::MAX;
const STACK_SIZE_PARAM_IS_A_RESERVATION: u32 = 0x0001_0000;

unsafe extern "system" {
    fn CloseHandle(handle: Handle) -> i32;
    fn WaitForSingleObject(handle: Handle, milliseconds: u32) -> u32;
}

unsafe extern "C" {
    /// Used instead of `CreateThread`, because the C runtime has to know its threads.
    fn _beginthreadex(
        security: *mut c_void,
        stack: u32,
        entry: unsafe extern "system-unwind" fn(*mut c_void) -> u32,
        argument: *mut c_void,
        flags: u32,
        id: *mut u32,
    ) -> usize;
}

/// A thread that was started joinable.
#[derive(Clone, Copy)]
pub struct OsThread(Handle);

impl OsThread {
    /// The thread as a number, which can be stored in an atomic.
    pub fn to_bits(self) -> u64 {
        self.0.expose_provenance() as u64
    }

    /// The thread of a number from [`OsThread::to_bits`].
    pub fn from_bits(bits: u64) -> OsThread {
        OsThread(ptr::with_exposed_provenance_mut(bits as usize))
    }

    /// Never used: on Windows no thread is kept.
    pub fn current() -> OsThread {
        OsThread(ptr::null_mut())
    }

    /// Joins the thread, without an interpreter. False on error.
    ///
    /// # Safety
    /// Not attached; no other thread joins or detaches this one.
    pub unsafe fn join(self) -> bool {
        // SAFETY: as the caller promises.
        unsafe { WaitForSingleObject(self.0, INFINITE) == 0 && CloseHandle(self.0) != 0 }
    }

    /// Detaches the thread: nothing joins it, and the system frees it when it ends. False on error.
    ///
    /// # Safety
    /// No other thread joins or detaches this one.
    pub unsafe fn detach(self) -> bool {
        // SAFETY: as the caller promises.
        unsafe { CloseHandle(self.0) != 0 }
    }
}

/// Allocates memory to be set aside.
pub fn set_aside(size: usize) -> Option<*mut c_void> {
    // SAFETY: any size is valid.
    let memory = unsafe { libc::malloc(size) };
    (!memory.is_null()).then_some(memory)
}

/// # Safety
/// From [`set_aside`], and called once.
pub unsafe fn give_back(memory: *mut c_void, _: usize) {
    // SAFETY: as the caller promises.
    unsafe { libc::free(memory) };
}

/// Whether memory for a thread-local variable is available. It needs none here.
pub fn has_memory(_size: usize) -> bool {
    true
}

/// Starts a thread that calls `R::run(argument)`. `stack` is the stack size, 0 for the default.
/// Returns the thread and its identifier, or None if the thread cannot be started.
///
/// # Safety
/// `R::run(argument)` may be called once, in another thread.
pub unsafe fn spawn<R: Run>(
    argument: *mut c_void,
    joinable: bool,
    stack: usize,
) -> Option<(OsThread, u64)> {
    unsafe extern "system-unwind" fn entry<R: Run>(argument: *mut c_void) -> u32 {
        // SAFETY: as the caller of `spawn` promised.
        unsafe { R::run(argument) };
        0
    }
    let stack = u32::try_from(stack).ok()?;
    let mut ident = 0;
    // SAFETY: the entry function has the platform's calling convention. The handle belongs to this
    // function, which closes it or passes it on.
    unsafe {
        let flags = STACK_SIZE_PARAM_IS_A_RESERVATION;
        let thread =
            _beginthreadex(ptr::null_mut(), stack, entry::<R>, argument, flags, &mut ident);
        if thread == 0 {
            return None;
        }
        let thread = OsThread(ptr::with_exposed_provenance_mut(thread));
        if !joinable {
            thread.detach();
        }
        Some((thread, u64::from(ident)))
    }
}
