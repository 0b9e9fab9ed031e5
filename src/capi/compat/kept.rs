//! Thread states that wait for their thread's next job.
//!
//! Most of the end of a thread without a GIL is the end of its state: 3.14 gives up five heaps of memory
//! there, and looks through those of other threads up to a thousand times for each. A state that is as
//! good as new is therefore kept. The interpreter has no function that makes a state new, so this reads
//! the fields that a new state would have empty, and a state in which one of them is not goes the usual
//! way. Other versions, and builds with a GIL, make a new state for each job: that costs a microsecond.
//!
//! While the state is kept, the interpreter has to take its thread for ended:
//!
//! - `PyThreadState_SetAsyncExc` and `sys._current_frames` go by [`Fields::thread_id`], which is zero then;
//! - an object that the thread has made, and another thread drops, waits for the thread to hear of that
//!   (`Python/brc.c`), as long as the table of threads has it. The number by which that table finds a
//!   thread is therefore one that no thread has, as if the thread were not in it. It is changed under the
//!   lock of that part of the table, as the interpreter does when it takes a thread out.
//!
//! Where these fields are is believed only if what is there is what has to be there: the table's list
//! links the state with itself, and the number is the calling thread's.

#[cfg(all(Py_3_14, not(Py_3_15), Py_GIL_DISABLED, target_os = "linux"))]
mod known {
    use core::ffi::{c_int, c_ulong, c_void};
    use core::ptr;

    use pyo3_ffi::{self as ffi, PyInterpreterState, PyObject, PyThreadState};

    use super::super::{interpreter, main_interpreter, thread_ident};

    unsafe extern "C" {
        /// The state of the runtime. It begins with where debuggers find what
        /// (Include/internal/pycore_debug_offsets.h).
        static _PyRuntime: [u64; 64];
    }

    unsafe extern "C-unwind" {
        fn PyMutex_Lock(mutex: *mut u8);
        fn PyMutex_Unlock(mutex: *mut u8);
    }

    const COOKIE: u64 = u64::from_ne_bytes(*b"xdebugpy");
    /// Which of the published numbers these are: the sizes of an interpreter and of a thread state, and
    /// where in the latter its identifier is.
    const INTERPRETER_SIZE: usize = 6;
    const STATE_SIZE: usize = 22;
    const THREAD_ID_AT: usize = 27;

    /// What of a state is public (Include/cpython/pystate.h), as far as it is looked at.
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

    /// What follows the public part (Include/internal/pycore_tstate.h), up to the heaps.
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

    /// The entry of a thread in the table of those that own objects (Include/internal/pycore_brc.h).
    #[repr(C)]
    struct Entry {
        link: Link,
        thread: usize,
        queue: *mut c_void,
        own_queue: *mut c_void,
    }

    /// How far behind the public part the entry is.
    const ENTRY_AT: usize = 14624;
    /// How many parts the table has; the number of a thread says in which it is.
    const PARTS: usize = 257;

    /// Where the parts of a state are, of which the public one is known.
    struct Parts {
        more: *mut More,
        entry: *mut Entry,
        lock: *mut u8,
    }

    /// Where the parts are, if this interpreter has them where 3.14 has them.
    ///
    /// # Safety
    /// A state of the calling thread, which is attached with it. `thread` is what the entry has to have.
    unsafe fn parts(state: *mut PyThreadState, thread: usize) -> Option<Parts> {
        // SAFETY: a static of the interpreter's, larger than this. What it says is compared with what is
        // known before anything behind the public part is looked at.
        unsafe {
            let published = _PyRuntime;
            let field = |index: usize| published[index] as usize;
            let base = field(STATE_SIZE);
            if published[0] != COOKIE
                || published[1] >> 16 != ffi::Py_Version >> 16
                || field(THREAD_ID_AT) != core::mem::offset_of!(Fields, thread_id)
                || base < size_of::<Fields>()
                || base > 2048
            {
                return None;
            }
            let more = state.byte_add(base).cast::<More>();
            let entry = state.byte_add(base + ENTRY_AT).cast::<Entry>();
            let root = root_of(entry, state, thread)?;
            Some(Parts { more, entry, lock: root.byte_sub(size_of::<usize>()).cast() })
        }
    }

    /// The head of the list in which an entry is, if it is one.
    ///
    /// # Safety
    /// As [`parts`]; the memory belongs to the state.
    unsafe fn root_of(
        entry: *mut Entry,
        state: *mut PyThreadState,
        thread: usize,
    ) -> Option<*mut Link> {
        // SAFETY: the entry is looked at first; only if it has the number of the thread are its links
        // followed.
        unsafe {
            if (*entry).thread != thread {
                return None;
            }
            // In the list there are the entries of other threads, which may go at any moment, and the
            // head, which is a part of the interpreter. A thread enters at the end, before the head.
            let interpreter = (*state.cast::<Fields>()).interpreter;
            let next = (*entry).link.next;
            let offset = next.addr().wrapping_sub(interpreter.addr());
            let is_head = offset < _PyRuntime[INTERPRETER_SIZE] as usize;
            (is_head && next.is_aligned() && (*next).previous == &raw mut (*entry).link)
                .then_some(next)
        }
    }

    /// The number of the calling thread in the table: where its thread-local storage is.
    fn thread_number() -> usize {
        let number: usize;
        #[cfg(target_arch = "x86_64")]
        // SAFETY: reads the register that holds it, which points at itself.
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

    /// A number of the same part of the table that no thread has: those of threads are even.
    fn absent(number: usize) -> usize {
        number.wrapping_add(PARTS)
    }

    /// Whether nothing was done with a state that a new one would not have, and nothing is pending.
    ///
    /// # Safety
    /// A state of the calling thread, or one that is kept; attached.
    pub unsafe fn is_as_new(state: *mut PyThreadState) -> bool {
        // SAFETY: as the caller promises. Other threads may set some of these at any moment, as in a
        // state that is new: nothing is told of the order of the two.
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

    /// Makes the dict of the calling thread empty.
    ///
    /// # Safety
    /// Attached. Runs Python code.
    unsafe fn clear_dict(fields: *mut Fields) -> bool {
        /// What is destroyed may put something in again.
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

    /// A state that is kept for the calling thread.
    #[derive(Clone, Copy)]
    pub struct Kept {
        pub state: *mut PyThreadState,
        /// The lock of the part of the table in which the thread is.
        lock: *mut u8,
    }

    /// Makes the calling thread's state one that can be kept, if that can be done: to be detached next,
    /// and to be taken up by the same thread. Nothing of the program's is left in it, and the interpreter
    /// does not find it.
    ///
    /// # Safety
    /// Attached with this state; no Python code of the thread is running. Runs Python code.
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
            none_is_queued.then_some(Kept { state, lock })
        }
    }

    /// The interpreter knows the thread again. False if the state is not as new any more: a thread may have
    /// set trace functions for all.
    ///
    /// # Safety
    /// Attached with this state, which was set down by this thread, and nothing done yet.
    pub unsafe fn take_up(kept: Kept) -> bool {
        // SAFETY: as the caller promises. That the entry is where it is has been seen.
        unsafe {
            let base = _PyRuntime[STATE_SIZE] as usize;
            let entry = kept.state.byte_add(base + ENTRY_AT).cast::<Entry>();
            PyMutex_Lock(kept.lock);
            (*entry).thread = thread_number();
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

    /// No state is kept.
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
