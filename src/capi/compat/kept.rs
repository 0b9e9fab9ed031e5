//! Thread states that are kept until their thread's next job.
//!
//! Without a GIL most of the time that a thread takes to end is spent on clearing its state. 3.14
//! abandons four memory heaps there. After each it searches, up to a thousand times, the memory
//! that ended threads have left. So a state is kept for the next job if it is as good as new.
//!
//! The interpreter has no function that makes a state new again. Therefore this code reads the
//! fields that are empty in a new state. If one of them is not empty, the state is cleared in the
//! usual way. Other versions, and builds with a GIL, make a new state for each job, which takes a
//! microsecond.
//!
//! While a state is kept, the interpreter must treat its thread as ended:
//!
//! - `PyThreadState_SetAsyncExc` and `sys._current_frames` go by `Fields::thread_id`. It is zero
//!   meanwhile.
//! - An object that the thread has made may be dropped by another thread. As long as the
//!   interpreter's table of owners (`Python/brc.c`) has the owner, the object waits for the owner
//!   to process it. So the number in the thread's entry is changed to a number that no thread has,
//!   and the table does not find the thread. The change is made under the lock of that part of the
//!   table, like the interpreter's own removal of a thread.
//!
//! The offsets of these fields are believed only if the memory there has the expected values: the
//! list of the table links back to the entry, and the entry has the calling thread's number.

#[cfg(all(Py_3_14, not(Py_3_15), Py_GIL_DISABLED, target_os = "linux"))]
mod known {
    use core::ffi::{c_int, c_ulong, c_void};
    use core::ptr;

    use pyo3_ffi::{self as ffi, PyInterpreterState, PyObject, PyThreadState};

    use super::super::{interpreter, main_interpreter, published, thread_ident};

    unsafe extern "C-unwind" {
        fn PyMutex_Lock(mutex: *mut u8);
        fn PyMutex_Unlock(mutex: *mut u8);
    }

    /// Indexes of published numbers: the size of an interpreter, the size of a thread state, and
    /// the offset of the identifier in a thread state.
    const INTERPRETER_SIZE: usize = 6;
    const STATE_SIZE: usize = 22;
    const THREAD_ID_AT: usize = 27;

    /// The public part of a thread state (Include/cpython/pystate.h), up to the last field that is
    /// used.
    #[repr(C)]
    struct Fields {
        previous: *mut c_void,
        next: *mut c_void,
        interpreter: *mut PyInterpreterState,
        eval_breaker: usize,
        status: u32,
        holds_gil: c_int,
        whence: c_int,
        state: c_int,
        recursion_remaining: c_int,
        recursion_limit: c_int,
        recursion_headroom: c_int,
        tracing: c_int,
        what_event: c_int,
        current_frame: *mut c_void,
        profile_function: *mut c_void,
        trace_function: *mut c_void,
        profile_object: *mut PyObject,
        trace_object: *mut PyObject,
        current_exception: *mut PyObject,
        exception_stack: *const ExceptionItem,
        dict: *mut PyObject,
        gilstate_counter: c_int,
        async_exception: *mut PyObject,
        thread_id: c_ulong,
        native_thread_id: c_ulong,
        delete_later: *mut PyObject,
        critical_section: usize,
        origin_tracking_depth: c_int,
        async_generator_first: *mut PyObject,
        async_generator_finalizer: *mut PyObject,
        context: *mut PyObject,
        context_version: u64,
        id: u64,
        stack_chunk: *mut c_void,
        stack_top: *mut c_void,
        stack_limit: *mut c_void,
        exception: ExceptionItem,
        executor: *mut PyObject,
        dict_version: u64,
        local_key: *mut PyObject,
        local_sentinel: *mut PyObject,
    }

    #[repr(C)]
    struct ExceptionItem {
        value: *mut PyObject,
        previous: *const ExceptionItem,
    }

    const _: () = assert!(core::mem::offset_of!(Fields, thread_id) == 152);
    const _: () = assert!(core::mem::offset_of!(Fields, local_sentinel) == 296);

    /// The part that follows the public one (Include/internal/pycore_tstate.h), up to the heaps.
    #[repr(C)]
    struct More {
        refcount: isize,
        stack: [usize; 3],
        running_loop: *mut PyObject,
        running_task: *mut PyObject,
        tasks: Link,
    }

    #[repr(C)]
    struct Link {
        next: *mut Link,
        previous: *mut Link,
    }

    /// A thread's entry in the table of threads that own objects (Include/internal/pycore_brc.h).
    #[repr(C)]
    struct Entry {
        link: Link,
        thread: usize,
        queue: *mut c_void,
        own_queue: *mut c_void,
    }

    /// The offset of the entry, counted from the end of the public part.
    const ENTRY_AT: usize = 14624;
    /// The number of parts of the table. A thread is in the part that its number, modulo this,
    /// selects.
    const PARTS: usize = 257;

    /// Pointers to the parts of a state that are not public, and to the lock of the thread's part
    /// of the table.
    struct Parts {
        more: *mut More,
        entry: *mut Entry,
        lock: *mut u8,
    }

    /// Finds the parts of a state, if this interpreter has them where 3.14 has them.
    ///
    /// # Safety
    /// A state of the calling thread, which is attached with it. `thread` is the number that the
    /// entry must have.
    unsafe fn parts(state: *mut PyThreadState, thread: usize) -> Option<Parts> {
        let table = published::table()?;
        let base = table[STATE_SIZE] as usize;
        if table[THREAD_ID_AT] as usize != core::mem::offset_of!(Fields, thread_id)
            || base < size_of::<Fields>()
            || base > 2048
        {
            return None;
        }
        // SAFETY: the published numbers have been compared with known ones before memory after the
        // public part is read.
        unsafe {
            let more = state.byte_add(base).cast::<More>();
            let entry = state.byte_add(base + ENTRY_AT).cast::<Entry>();
            let size = table[INTERPRETER_SIZE] as usize;
            let root = root_of(entry, state, size, thread)?;
            Some(Parts { more, entry, lock: root.byte_sub(size_of::<usize>()).cast() })
        }
    }

    /// The head of the list that an entry is in. None if the entry is not in a list.
    ///
    /// # Safety
    /// As [`parts`]; the memory belongs to the state.
    unsafe fn root_of(
        entry: *mut Entry,
        state: *mut PyThreadState,
        interpreter_size: usize,
        thread: usize,
    ) -> Option<*mut Link> {
        // SAFETY: the entry's number is read first. Its links are followed only if the number is
        // the thread's.
        unsafe {
            if (*entry).thread != thread {
                return None;
            }
            // The list has the head, which is a part of the interpreter, and entries of other
            // threads, which may disappear at any moment. A new entry is inserted at the end,
            // before the head. So only an entry that is followed by the head can be verified.
            let interpreter = (*state.cast::<Fields>()).interpreter;
            let next = (*entry).link.next;
            let offset = next.addr().wrapping_sub(interpreter.addr());
            let is_head = offset < interpreter_size;
            (is_head && next.is_aligned() && (*next).previous == &raw mut (*entry).link)
                .then_some(next)
        }
    }

    /// The calling thread's number in the table: the address of its thread-local storage. 0 if it
    /// is not known how to read it.
    fn thread_number() -> usize {
        let number: usize;
        #[cfg(target_arch = "x86_64")]
        // SAFETY: reads the word that the register points to, which is the address of that word
        // itself.
        unsafe {
            core::arch::asm!("mov {}, fs:0", out(reg) number, options(nostack, readonly, preserves_flags));
        }
        #[cfg(target_arch = "aarch64")]
        // SAFETY: reads the register that holds it.
        unsafe {
            core::arch::asm!("mrs {}, tpidr_el0", out(reg) number, options(nostack, nomem, preserves_flags));
        }
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        {
            number = 0;
        }
        number
    }

    /// A number that no thread has, in the same part of the table. Numbers of threads are even, and
    /// this one is odd.
    fn absent(number: usize) -> usize {
        number.wrapping_add(PARTS)
    }

    /// Whether a state has nothing that a new state would not have, and nothing is pending in it.
    ///
    /// # Safety
    /// Attached. A state of the calling thread, or one that is kept.
    pub unsafe fn is_as_new(state: *mut PyThreadState) -> bool {
        // SAFETY: as the caller promises. Other threads may set some of these fields at any moment.
        // The same can happen to a new state, so the order of the two does not matter.
        unsafe {
            let fields = state.cast::<Fields>();
            let read = |field: *const *mut PyObject| field.read_volatile().is_null();
            let exception = (*fields).exception.value;
            (*fields).current_frame.is_null()
                && (&raw const (*fields).profile_function).read_volatile().is_null()
                && (&raw const (*fields).trace_function).read_volatile().is_null()
                && read(&raw const (*fields).profile_object)
                && read(&raw const (*fields).trace_object)
                && read(&raw const (*fields).async_exception)
                && (*fields).current_exception.is_null()
                && ptr::eq((*fields).exception_stack, &raw const (*fields).exception)
                && (*fields).exception.previous.is_null()
                && (exception.is_null() || exception == ffi::Py_None())
                && (*fields).tracing == 0
                && (*fields).gilstate_counter == 1
                && (*fields).delete_later.is_null()
                && (*fields).critical_section == 0
                && (*fields).origin_tracking_depth == 0
                && (*fields).async_generator_first.is_null()
                && (*fields).async_generator_finalizer.is_null()
                && (*fields).context.is_null()
                && (*fields).executor.is_null()
                && (*fields).local_key.is_null()
                && (*fields).local_sentinel.is_null()
                && (*fields).recursion_remaining == (*fields).recursion_limit
        }
    }

    /// Makes the dict of the calling thread's state empty. False if it does not stay empty.
    ///
    /// # Safety
    /// Attached. Runs Python code.
    unsafe fn clear_dict(fields: *mut Fields) -> bool {
        /// How often to try. A finalizer may put something into the dict again.
        const ATTEMPTS: usize = 3;
        // SAFETY: attached; the state keeps its dict.
        unsafe {
            let dict = (*fields).dict;
            if dict.is_null() {
                return true;
            }
            for _ in 0..ATTEMPTS {
                if ffi::PyDict_Size(dict) == 0 {
                    break;
                }
                ffi::PyDict_Clear(dict);
            }
            ffi::PyDict_Size(dict) == 0
        }
    }

    /// A state that is kept for a later job of the same thread.
    #[derive(Clone, Copy)]
    pub struct Kept {
        pub state: *mut PyThreadState,
        entry: *mut Entry,
        /// The lock of the part of the table that the thread's entry is in.
        lock: *mut u8,
    }

    /// Prepares the calling thread's state to be kept. None if that is not possible. Afterwards the
    /// caller detaches, and later the same thread calls [`take_up`]. The state then has nothing
    /// left of the program, and the interpreter does not find the thread.
    ///
    /// # Safety
    /// Attached with this state; the thread runs no Python code. This may run Python code.
    pub unsafe fn set_down(state: *mut PyThreadState) -> Option<Kept> {
        // SAFETY: as the caller promises.
        unsafe {
            let number = thread_number();
            if number == 0 || interpreter() != main_interpreter() {
                return None;
            }
            let Parts { more, entry, lock } = parts(state, number)?;
            let fields = state.cast::<Fields>();
            if !clear_dict(fields) || !is_as_new(state) {
                return None;
            }
            let tasks = &raw mut (*more).tasks;
            if !(*more).running_loop.is_null()
                || !(*more).running_task.is_null()
                || (*tasks).next != tasks
                || (*tasks).previous != tasks
            {
                return None;
            }
            PyMutex_Lock(lock);
            let none_is_queued = (*entry).queue.is_null() && (*entry).own_queue.is_null();
            if none_is_queued {
                (*entry).thread = absent(number);
            }
            PyMutex_Unlock(lock);
            if none_is_queued {
                (&raw mut (*fields).thread_id).write_volatile(0);
            }
            none_is_queued.then_some(Kept { state, entry, lock })
        }
    }

    /// Makes the thread known to the interpreter again. False if the state is no longer as new:
    /// another thread may have set trace functions for all threads.
    ///
    /// # Safety
    /// Attached with this state. It was set down by this thread, and has not been used since.
    pub unsafe fn take_up(kept: Kept) -> bool {
        // SAFETY: as the caller promises. `set_down` has verified the place of the entry.
        unsafe {
            PyMutex_Lock(kept.lock);
            (*kept.entry).thread = thread_number();
            PyMutex_Unlock(kept.lock);
            let fields = kept.state.cast::<Fields>();
            (&raw mut (*fields).thread_id).write_volatile(thread_ident());
            is_as_new(kept.state)
        }
    }
}

#[cfg(all(Py_3_14, not(Py_3_15), Py_GIL_DISABLED, target_os = "linux"))]
pub use known::Kept;
#[cfg(all(Py_3_14, not(Py_3_15), Py_GIL_DISABLED, target_os = "linux"))]
pub use known::set_down;
#[cfg(all(Py_3_14, not(Py_3_15), Py_GIL_DISABLED, target_os = "linux"))]
pub use known::take_up;

#[cfg(not(all(Py_3_14, not(Py_3_15), Py_GIL_DISABLED, target_os = "linux")))]
mod unknown {
    use pyo3_ffi::PyThreadState;

    /// Never made here: no state is kept.
    #[derive(Clone, Copy)]
    pub struct Kept {
        pub state: *mut PyThreadState,
    }

    /// # Safety
    /// None.
    pub unsafe fn set_down(_: *mut PyThreadState) -> Option<Kept> {
        None
    }

    /// # Safety
    /// None.
    pub unsafe fn take_up(_: Kept) -> bool {
        false
    }
}

#[cfg(not(all(Py_3_14, not(Py_3_15), Py_GIL_DISABLED, target_os = "linux")))]
pub use unknown::Kept;
#[cfg(not(all(Py_3_14, not(Py_3_15), Py_GIL_DISABLED, target_os = "linux")))]
pub use unknown::set_down;
#[cfg(not(all(Py_3_14, not(Py_3_15), Py_GIL_DISABLED, target_os = "linux")))]
pub use unknown::take_up;
