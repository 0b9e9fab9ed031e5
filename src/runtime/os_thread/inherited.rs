//! The attributes that a new thread inherits from its starter: signal mask, name, processors,
//! scheduling.
//!
//! A kept thread that gets a new job is given the same attributes. If that is not possible, a new
//! thread is started. For example, a thread may not be allowed to raise its priority again.

#[cfg(target_os = "linux")]
mod linux {
    use core::mem::{MaybeUninit, zeroed};

    use libc::{c_char, c_long, c_ulong, pid_t};

    /// The largest size of a thread's name, with the NUL at its end.
    const NAME: usize = 16;

    /// The struct of the system calls `sched_getattr` and `sched_setattr`, which Linux has since
    /// 3.14.
    #[repr(C)]
    #[derive(Clone, Copy, PartialEq, Eq)]
    struct Scheduling {
        size: u32,
        policy: u32,
        flags: u64,
        nice: i32,
        priority: u32,
        runtime: u64,
        deadline: u64,
        period: u64,
    }

    /// A flag: new threads do not inherit the scheduling of their starter.
    const RESET_ON_FORK: u64 = 1;

    /// The attributes that the thread sets itself.
    pub struct Inherited {
        mask: libc::sigset_t,
        name: [c_char; NAME],
    }

    impl Inherited {
        /// Called by the starter. Gives a waiting thread the starter's scheduling and processors,
        /// and returns the attributes that the thread has to set itself. None if that is not
        /// possible.
        pub fn for_thread(native: c_ulong) -> Option<Inherited> {
            let thread = pid_t::try_from(native).ok()?;
            if !copy_scheduling(thread) || !copy_processors(thread) {
                return None;
            }
            let mut mask = MaybeUninit::uninit();
            let mut name = [0; NAME];
            // SAFETY: a null set changes nothing. The buffer for the name has the size that the
            // system call expects.
            unsafe {
                let null = core::ptr::null();
                if libc::pthread_sigmask(libc::SIG_SETMASK, null, mask.as_mut_ptr()) != 0
                    || libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) != 0
                {
                    return None;
                }
                Some(Inherited { mask: mask.assume_init(), name })
            }
        }

        /// Called by the thread: sets the attributes.
        pub fn apply(&self) {
            // SAFETY: a name with a NUL at its end, and a valid set of signals.
            unsafe {
                libc::prctl(libc::PR_SET_NAME, self.name.as_ptr());
                libc::pthread_sigmask(
                    libc::SIG_SETMASK,
                    &raw const self.mask,
                    core::ptr::null_mut(),
                );
            }
        }
    }

    fn copy_scheduling(thread: pid_t) -> bool {
        match (scheduling(0), scheduling(thread)) {
            (Some(mine), Some(theirs)) => {
                mine.flags & RESET_ON_FORK == 0
                    && (mine == theirs || {
                        // SAFETY: the arguments that the system call expects. The last one has no
                        // meaning yet.
                        unsafe {
                            libc::syscall(libc::SYS_sched_setattr, thread, &raw const mine, 0) == 0
                        }
                    })
            }
            _ => false,
        }
    }

    /// The scheduling of a thread; 0 means the calling one.
    fn scheduling(thread: pid_t) -> Option<Scheduling> {
        // SAFETY: all zero is a valid value. The size is that of the struct that the call writes.
        unsafe {
            let mut found: Scheduling = zeroed();
            let size = size_of::<Scheduling>() as c_long;
            let answer =
                libc::syscall(libc::SYS_sched_getattr, thread, &raw mut found, size, 0 as c_long);
            (answer == 0).then_some(found)
        }
    }

    fn copy_processors(thread: pid_t) -> bool {
        const SIZE: usize = size_of::<libc::cpu_set_t>();
        // SAFETY: all zero is an empty set. The size is that of a set.
        unsafe {
            let (mut mine, mut theirs): (libc::cpu_set_t, libc::cpu_set_t) = (zeroed(), zeroed());
            libc::sched_getaffinity(0, SIZE, &raw mut mine) == 0
                && libc::sched_getaffinity(thread, SIZE, &raw mut theirs) == 0
                && (libc::CPU_EQUAL(&mine, &theirs)
                    || libc::sched_setaffinity(thread, SIZE, &raw const mine) == 0)
        }
    }
}

#[cfg(target_os = "linux")]
pub use linux::Inherited;

/// On other systems no thread is kept, because it is not known how to copy the attributes.
#[cfg(not(target_os = "linux"))]
pub struct Inherited;

#[cfg(not(target_os = "linux"))]
impl Inherited {
    /// Always none.
    pub fn for_thread(_: core::ffi::c_ulong) -> Option<Inherited> {
        None
    }

    /// Does nothing.
    pub fn apply(&self) {}
}

/// A set of signals to be blocked: a signal mask.
#[cfg(unix)]
pub struct Mask(libc::sigset_t);

#[cfg(unix)]
impl Mask {
    /// Blocks all signals in the calling thread. So a thread that waits for its next job handles
    /// none.
    pub fn block_all() -> Mask {
        use core::mem::MaybeUninit;
        let (mut all, mut before) = (MaybeUninit::uninit(), MaybeUninit::zeroed());
        // SAFETY: both sets are written before they are read, or were zero, which is an empty set.
        unsafe {
            libc::sigfillset(all.as_mut_ptr());
            libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
            Mask(before.assume_init())
        }
    }

    /// Sets the mask that the thread had before.
    pub fn restore(&self) {
        // SAFETY: a valid set of signals.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, core::ptr::null_mut());
        }
    }
}

/// There are no signal masks on this platform.
#[cfg(not(unix))]
pub struct Mask;

#[cfg(not(unix))]
impl Mask {
    /// Does nothing.
    pub fn block_all() -> Mask {
        Mask
    }

    /// Does nothing.
    pub fn restore(&self) {}
}
