//! Windows threads. Untested: the project has no Windows machine.

use core::ffi::c_void;
use core::ptr;

use crate::compat::{PyEval_RestoreThread, PyEval_SaveThread};

/// What a thread runs.
pub type Entry = unsafe extern "C-unwind" fn(*mut c_void);

type Handle = *mut c_void;

const INFINITE: u32 = u32::MAX;
const DUPLICATE_SAME_ACCESS: u32 = 2;
const STACK_SIZE_PARAM_IS_A_RESERVATION: u32 = 0x0001_0000;

unsafe extern "system" {
    fn CloseHandle(handle: Handle) -> i32;
    fn WaitForSingleObject(handle: Handle, milliseconds: u32) -> u32;
    fn GetCurrentProcess() -> Handle;
    fn GetCurrentThread() -> Handle;
    fn DuplicateHandle(
        source_process: Handle,
        source: Handle,
        target_process: Handle,
        target: *mut Handle,
        access: u32,
        inherit: i32,
        options: u32,
    ) -> i32;
}

unsafe extern "C" {
    /// Not CreateThread: the C runtime wants to know its threads.
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
    /// As a number, so that it can be kept in an atomic.
    pub fn to_bits(self) -> u64 {
        self.0.expose_provenance() as u64
    }

    /// From [`OsThread::to_bits`].
    pub fn from_bits(bits: u64) -> OsThread {
        OsThread(ptr::with_exposed_provenance_mut(bits as usize))
    }

    /// Joins it, detached from the interpreter. False on error.
    ///
    /// # Safety
    /// Attached; nobody else joins or detaches the thread.
    pub unsafe fn join_detached(self) -> bool {
        // SAFETY: as the caller promises; attached again with the same state.
        unsafe {
            let state = PyEval_SaveThread();
            let joined = WaitForSingleObject(self.0, INFINITE) == 0;
            PyEval_RestoreThread(state);
            CloseHandle(self.0) != 0 && joined
        }
    }

    /// Lets it end by itself. False on error.
    ///
    /// # Safety
    /// Nobody else joins or detaches the thread.
    pub unsafe fn detach(self) -> bool {
        // SAFETY: as the caller promises.
        unsafe { CloseHandle(self.0) != 0 }
    }
}

/// The calling thread: a handle of its own, to be closed by a join or a detach.
pub fn current() -> OsThread {
    let mut handle = ptr::null_mut();
    // SAFETY: both pseudo handles are always valid.
    unsafe {
        DuplicateHandle(
            GetCurrentProcess(),
            GetCurrentThread(),
            GetCurrentProcess(),
            &mut handle,
            0,
            0,
            DUPLICATE_SAME_ACCESS,
        );
    }
    OsThread(handle)
}

/// Nobody will join the calling thread: nothing to do, no handle of it is open.
pub fn detach_current() {}

/// Starts a thread with a stack of this size, 0 for the default. False if it cannot.
///
/// # Safety
/// `entry(argument)` may be called in another thread, once.
pub unsafe fn spawn(entry: Entry, argument: *mut c_void, stack: usize) -> bool {
    struct Start {
        entry: Entry,
        argument: *mut c_void,
    }
    unsafe extern "system-unwind" fn trampoline(start: *mut c_void) -> u32 {
        // SAFETY: the box that `spawn` gave away.
        let Start { entry, argument } = *unsafe { Box::from_raw(start.cast::<Start>()) };
        // SAFETY: as the caller of `spawn` promised.
        unsafe { entry(argument) };
        0
    }
    let Ok(stack) = u32::try_from(stack) else { return false };
    // SAFETY: the entry has the platform's calling convention; the handle that comes back is ours
    // to close, the thread opens one of its own.
    unsafe {
        let start = Box::into_raw(Box::new(Start { entry, argument }));
        let thread = _beginthreadex(
            ptr::null_mut(),
            stack,
            trampoline,
            start.cast(),
            STACK_SIZE_PARAM_IS_A_RESERVATION,
            ptr::null_mut(),
        );
        if thread == 0 {
            drop(Box::from_raw(start));
            return false;
        }
        CloseHandle(ptr::with_exposed_provenance_mut(thread));
        true
    }
}
