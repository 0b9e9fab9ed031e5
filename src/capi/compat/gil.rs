//! Lets a thread see whether the GIL is free.

#[cfg(all(Py_3_13, not(Py_GIL_DISABLED)))]
mod known {
    use core::ptr;
    use core::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

    use pyo3_ffi::{self as ffi, PyInterpreterState, PyThreadState};

    use super::super::published;

    /// The index at which the offsets of an interpreter's fields begin. The three constants after
    /// it are relative to it.
    const INTERPRETER: usize = 6;
    const GIL: usize = if cfg!(Py_3_14) { 9 } else { 8 };
    const LOCKED: usize = GIL + 3;
    const HOLDER: usize = GIL + 4;

    /// Values of `POINTER_AT`: not searched yet, and not found.
    const UNKNOWN: usize = usize::MAX;
    const NOWHERE: usize = usize::MAX - 1;
    /// The offset in an interpreter of the pointer to the GIL, and the offset in the GIL of its
    /// flag.
    static POINTER_AT: AtomicUsize = AtomicUsize::new(UNKNOWN);
    static FLAG_AT: AtomicUsize = AtomicUsize::new(0);

    /// The flag of an interpreter's GIL; null if its place is not known.
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
        // SAFETY: `find` has verified that the pointer is there.
        unsafe {
            let gil = interpreter.byte_add(at).cast::<*mut u8>().read();
            gil.add(FLAG_AT.load(Ordering::Relaxed)).cast()
        }
    }

    /// Finds the offsets. They are believed only if they describe the GIL that the calling thread
    /// holds.
    unsafe fn find(interpreter: *mut PyInterpreterState) -> usize {
        let Some(table) = published::table() else { return NOWHERE };
        let field = |index: usize| table[INTERPRETER + index] as usize;
        let size = field(0);
        if field(GIL) + size_of::<usize>() > size || field(LOCKED).max(field(HOLDER)) > 4096 {
            return NOWHERE;
        }
        // SAFETY: every published number has been checked: the offsets lie within the objects that
        // they belong to.
        unsafe {
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

/// The GIL of an interpreter, for threads that do not hold it.
#[derive(Clone, Copy)]
pub struct Gil {
    #[cfg(all(Py_3_13, not(Py_GIL_DISABLED)))]
    flag: *const core::sync::atomic::AtomicI32,
}

impl Gil {
    /// The GIL of the calling thread's interpreter, if there is one.
    ///
    /// # Safety
    /// Attached.
    #[inline]
    pub unsafe fn of_this_interpreter() -> Gil {
        Gil {
            #[cfg(all(Py_3_13, not(Py_GIL_DISABLED)))]
            // SAFETY: attached, as the caller promises.
            flag: unsafe { known::flag(crate::capi::compat::interpreter()) },
        }
    }

    /// Whether no thread holds the GIL. `None` if this interpreter does not publish that. Only for
    /// threads of the same interpreter.
    #[inline]
    pub fn is_free(self) -> Option<bool> {
        #[cfg(all(Py_3_13, not(Py_GIL_DISABLED)))]
        {
            use core::sync::atomic::Ordering;
            // SAFETY: the GIL lives as long as the interpreter, and the interpreter lives as long
            // as its threads.
            unsafe { self.flag.as_ref() }.map(|flag| flag.load(Ordering::Relaxed) == 0)
        }
        #[cfg(not(all(Py_3_13, not(Py_GIL_DISABLED))))]
        None
    }
}
