//! Whether the GIL is taken.

#[cfg(all(Py_3_13, not(Py_GIL_DISABLED)))]
mod published {
    use core::ptr;
    use core::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

    use pyo3_ffi::{self as ffi, PyInterpreterState, PyThreadState};

    unsafe extern "C" {
        /// The state of the runtime. It begins with where debuggers find what
        /// (Include/internal/pycore_debug_offsets.h).
        static _PyRuntime: [u64; 64];
    }

    const COOKIE: u64 = u64::from_ne_bytes(*b"xdebugpy");
    /// Where the offsets of an interpreter's fields begin, and which of them these are.
    const INTERPRETER: usize = 6;
    const GIL: usize = if cfg!(Py_3_14) { 9 } else { 8 };
    const LOCKED: usize = GIL + 3;
    const HOLDER: usize = GIL + 4;

    /// Not asked yet; or not to be found.
    const UNKNOWN: usize = usize::MAX;
    const NOWHERE: usize = usize::MAX - 1;
    /// The offset of the pointer to the GIL in an interpreter, and of the flag in the GIL.
    static POINTER_AT: AtomicUsize = AtomicUsize::new(UNKNOWN);
    static FLAG_AT: AtomicUsize = AtomicUsize::new(0);

    /// The flag of the GIL of an interpreter; null if there is no knowing.
    ///
    /// # Safety
    /// Attached, with this interpreter.
    pub unsafe fn flag(interpreter: *mut PyInterpreterState) -> *const AtomicI32 {
        let mut at = POINTER_AT.load(Ordering::Acquire);
        if at == UNKNOWN {
            // SAFETY: as the caller promises.
            at = unsafe { find(interpreter) };
            POINTER_AT.store(at, Ordering::Release);
        }
        if at == NOWHERE {
            return ptr::null();
        }
        // SAFETY: `find` has seen that this is where the pointer is.
        unsafe {
            let gil = interpreter.byte_add(at).cast::<*mut u8>().read();
            gil.add(FLAG_AT.load(Ordering::Relaxed)).cast()
        }
    }

    /// Believes what is published only if it is so of the GIL that the calling thread has.
    unsafe fn find(interpreter: *mut PyInterpreterState) -> usize {
        // SAFETY: a static of the interpreter's, larger than this. What it says is looked at
        // before it is followed: the offsets lie within the object that they are about.
        unsafe {
            let published = _PyRuntime;
            let version = published[1] >> 16;
            let field = |index: usize| published[INTERPRETER + index] as usize;
            let size = field(0);
            if published[0] != COOKIE
                || version != ffi::Py_Version >> 16
                || field(GIL) + size_of::<usize>() > size
                || field(LOCKED).max(field(HOLDER)) > 4096
            {
                return NOWHERE;
            }
            let gil = interpreter.byte_add(field(GIL)).cast::<*mut u8>().read();
            let locked = gil.add(field(LOCKED)).cast::<i32>().read_volatile();
            let holder = gil.add(field(HOLDER)).cast::<*mut PyThreadState>().read_volatile();
            if locked != 1 || holder != ffi::PyThreadState_Get() {
                return NOWHERE;
            }
            FLAG_AT.store(field(LOCKED), Ordering::Relaxed);
            field(GIL)
        }
    }
}

/// The GIL of an interpreter, to be looked at by threads that do not have it.
#[derive(Clone, Copy)]
pub struct Gil {
    #[cfg(all(Py_3_13, not(Py_GIL_DISABLED)))]
    flag: *const core::sync::atomic::AtomicI32,
}

impl Gil {
    /// The one that the calling thread has, if there is one.
    ///
    /// # Safety
    /// Attached.
    #[inline]
    pub unsafe fn of_this_interpreter() -> Gil {
        Gil {
            #[cfg(all(Py_3_13, not(Py_GIL_DISABLED)))]
            // SAFETY: attached, as the caller promises.
            flag: unsafe { published::flag(crate::capi::compat::interpreter()) },
        }
    }

    /// Whether no thread has it; `None` if this interpreter does not tell. For threads of its own
    /// interpreter.
    #[inline]
    pub fn is_free(self) -> Option<bool> {
        #[cfg(all(Py_3_13, not(Py_GIL_DISABLED)))]
        {
            use core::sync::atomic::Ordering;
            // SAFETY: the GIL lives as long as the interpreter, and that as long as its threads.
            unsafe { self.flag.as_ref() }.map(|flag| flag.load(Ordering::Relaxed) == 0)
        }
        #[cfg(not(all(Py_3_13, not(Py_GIL_DISABLED))))]
        None
    }
}
