//! What a new thread gets of the one that starts it: signal mask, name, processors, scheduling.
//!
//! A thread that is kept for the next start is given the same. Where that cannot be done, because a thread
//! may not raise its own priority again, a new one is started.

#[cfg(target_os = "linux")]
mod linux {
    use core::mem::{MaybeUninit, zeroed};

    use libc::{c_char, c_long, c_ulong, pid_t};

    /// The longest name of a thread, with the NUL at its end.
    const NAME: usize = 16;

    /// As the system call has it, from Linux 3.14 on.
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

    /// New threads do not get the scheduling of their starter.
    const RESET_ON_FORK: u64 = 1;

    /// What the thread sets itself.
    pub struct Inherited {
        mask: libc::sigset_t,
        name: [c_char; NAME],
    }

    impl Inherited {
        /// By the starter: makes a waiting thread its like, and gives it the rest. None if that cannot be
        /// done.
        pub fn for_thread(native: c_ulong) -> Option<Inherited> {
            let thread = pid_t::try_from(native).ok()?;
            if !copy_scheduling(thread) || !copy_processors(thread) {
                return None;
            }
            let mut mask = MaybeUninit::uninit();
            let mut name = [0; NAME];
            // SAFETY: a null set changes nothing; the name is as long as the system wants it.
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

        /// By the thread.
        pub fn apply(&self) {
            // SAFETY: a name with a NUL at its end, and a set of signals.
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
                        // SAFETY: as the system call wants it; the last argument has no meaning yet.
                        unsafe {
                            libc::syscall(libc::SYS_sched_setattr, thread, &raw const mine, 0) == 0
                        }
                    })
            }
            _ => false,
        }
    }

    /// Of a thread, 0 for the calling one.
    fn scheduling(thread: pid_t) -> Option<Scheduling> {
        // SAFETY: all zero is a valid value; the size is that of what the call writes into.
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
        // SAFETY: all zero is an empty set; the size is that of a set.
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

/// Nothing is known of other systems: no thread is kept there.
#[cfg(not(target_os = "linux"))]
pub struct Inherited;

#[cfg(not(target_os = "linux"))]
impl Inherited {
    /// None, as it is not known how.
    pub fn for_thread(_: core::ffi::c_ulong) -> Option<Inherited> {
        None
    }

    /// Does nothing.
    pub fn apply(&self) {}
}

/// The signals that a thread lets through.
#[cfg(unix)]
pub struct Mask(libc::sigset_t);

#[cfg(unix)]
impl Mask {
    /// Blocks all signals in the calling thread: one that waits for its next job takes none.
    pub fn block_all() -> Mask {
        use core::mem::MaybeUninit;
        let (mut all, mut before) = (MaybeUninit::uninit(), MaybeUninit::zeroed());
        // SAFETY: both are written before they are read, or were zero, an empty set.
        unsafe {
            libc::sigfillset(all.as_mut_ptr());
            libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
            Mask(before.assume_init())
        }
    }

    /// Lets them through that were let through before.
    pub fn restore(&self) {
        // SAFETY: a set of signals.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, core::ptr::null_mut());
        }
    }
}

/// There are no masks.
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
