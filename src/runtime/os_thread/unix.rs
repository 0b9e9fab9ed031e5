//! POSIX threads.

use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ptr;

use super::Run;

/// The stack size for platforms with a default that is too small for the interpreter; as in
/// CPython.
const DEFAULT_STACK: usize = if cfg!(target_vendor = "apple") {
    16 << 20
} else if cfg!(any(target_os = "freebsd", target_env = "musl")) {
    4 << 20
} else {
    0
};

/// A thread that was started joinable.
#[derive(Clone, Copy)]
pub struct OsThread(libc::pthread_t);

impl OsThread {
    /// The thread as a number, which can be stored in an atomic.
    pub fn to_bits(self) -> u64 {
        #[allow(clippy::unnecessary_cast, reason = "it is not u64 everywhere")]
        (self.0 as u64)
    }

    /// The thread of a number from [`OsThread::to_bits`].
    pub fn from_bits(bits: u64) -> OsThread {
        OsThread(bits as libc::pthread_t)
    }

    /// The calling thread.
    pub fn current() -> OsThread {
        // SAFETY: there is nothing to promise.
        OsThread(unsafe { libc::pthread_self() })
    }

    /// Joins the thread, without an interpreter. False on error.
    ///
    /// # Safety
    /// Not attached; no other thread joins or detaches this one.
    pub unsafe fn join(self) -> bool {
        // SAFETY: as the caller promises.
        unsafe { libc::pthread_join(self.0, ptr::null_mut()) == 0 }
    }

    /// Detaches the thread: nothing joins it, and the system frees it when it ends. False on error.
    ///
    /// # Safety
    /// No other thread joins or detaches this one.
    pub unsafe fn detach(self) -> bool {
        // SAFETY: as the caller promises.
        unsafe { libc::pthread_detach(self.0) == 0 }
    }
}

/// Allocates memory to be set aside. Not with malloc: after it is freed, the allocator would keep
/// it in the heap of the calling thread. A new thread has a heap of its own, and would not find the
/// memory.
pub fn set_aside(size: usize) -> Option<*mut c_void> {
    // SAFETY: a new mapping, of a size that is not zero.
    let memory = unsafe {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let private = libc::MAP_PRIVATE | libc::MAP_ANON;
        libc::mmap(ptr::null_mut(), size, access, private, -1, 0)
    };
    (memory != libc::MAP_FAILED).then_some(memory)
}

/// # Safety
/// From [`set_aside`], with the same size, and called once.
pub unsafe fn give_back(memory: *mut c_void, size: usize) {
    // SAFETY: as the caller promises.
    unsafe { libc::munmap(memory, size) };
}

/// Whether so much memory is available at this moment.
pub fn has_memory(size: usize) -> bool {
    // SAFETY: any size is valid. The memory is freed once, and null may be freed.
    unsafe {
        // The compiler could remove an allocation that is not used, and assume that it succeeded.
        let memory = core::hint::black_box(libc::malloc(size));
        libc::free(memory);
        !memory.is_null()
    }
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
    unsafe extern "C-unwind" fn entry<R: Run>(argument: *mut c_void) -> *mut c_void {
        // SAFETY: as the caller of `spawn` promised.
        unsafe { R::run(argument) };
        ptr::null_mut()
    }

    let stack = if stack == 0 { DEFAULT_STACK } else { stack };
    let state =
        if joinable { libc::PTHREAD_CREATE_JOINABLE } else { libc::PTHREAD_CREATE_DETACHED };
    let mut attributes = MaybeUninit::uninit();
    let mut thread = MaybeUninit::uninit();
    // SAFETY: the attributes are initialised before they are used, and destroyed afterwards. The
    // entry function has C's calling convention, except that it may be unwound.
    unsafe {
        if libc::pthread_attr_init(attributes.as_mut_ptr()) != 0 {
            return None;
        }
        let started = libc::pthread_attr_setdetachstate(attributes.as_mut_ptr(), state) == 0
            && (stack == 0 || libc::pthread_attr_setstacksize(attributes.as_mut_ptr(), stack) == 0)
            && libc::pthread_create(
                thread.as_mut_ptr(),
                attributes.as_ptr(),
                core::mem::transmute::<
                    unsafe extern "C-unwind" fn(*mut c_void) -> *mut c_void,
                    extern "C" fn(*mut c_void) -> *mut c_void,
                >(entry::<R>),
                argument,
            ) == 0;
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
        // CPython uses the `pthread_t` as the thread's identifier.
        started.then(|| OsThread(thread.assume_init())).map(|thread| (thread, thread.to_bits()))
    }
}
