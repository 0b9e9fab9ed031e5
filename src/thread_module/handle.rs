//! `_thread._ThreadHandle`: a thread that can be joined.

use core::cell::Cell;
use core::ffi::c_void;
use core::mem::{ManuallyDrop, offset_of};
use core::ptr;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use pyo3_ffi::{self as ffi, PyInterpreterState, PyObject, PyTypeObject};

use crate::capi::errors::{Raised, raise, runtime_error};
use crate::capi::refs::drop_ref;
use crate::capi::types::{self, Call, Function, Like, PLAIN, Property, Type};
use crate::capi::{compat, stock};
use crate::runtime::blocking::{self, Signals, Timeout, Waited};
use crate::runtime::os_thread::OsThread;
use crate::runtime::state::State;
use crate::runtime::try_arc::{RawArc, TryArc};
use crate::sync::{Awaitable, JoinState, Mutex, Stage, spin};

/// A thread, shared by the thread itself, its Python handle and the threads that wait for it.
///
/// It owns the operating system's thread. Exactly one of a join, `_set_done` and the drop of the
/// last reference joins or detaches that thread.
pub struct Handle {
    join_state: JoinState,
    /// The interpreter that waits for the thread at exit, by its address; 0 for none.
    awaited_by: AtomicU64,
    links: Links,
}

/// All handles, for a fork and for `_shutdown`. The list goes through the handles themselves, so
/// adding one needs no memory. A handle leaves the list when it is dropped. So every handle in the
/// list is valid while the mutex is held, but may have lost its last owner.
static HANDLES: Mutex<List> = Mutex::new(List { first: None });

struct List {
    first: Option<RawArc<Handle>>,
}

// SAFETY: handles are made for sharing.
unsafe impl Send for List {}

/// The links of a handle in the list. Accessed under the list's mutex.
struct Links {
    is_listed: Cell<bool>,
    next: Cell<Option<RawArc<Handle>>>,
    previous: Cell<Option<RawArc<Handle>>>,
}

// SAFETY: accessed under the mutex of the list. The flag is the exception: it is written before the
// handle is shared.
unsafe impl Send for Links {}
// SAFETY: as above.
unsafe impl Sync for Links {}

impl List {
    fn add(&mut self, place: RawArc<Handle>) {
        // SAFETY: the new handle is not shared yet, and the first one is in the list.
        unsafe {
            place.get().links.is_listed.set(true);
            place.get().links.next.set(self.first);
            if let Some(first) = self.first {
                first.get().links.previous.set(Some(place));
            }
        }
        self.first = Some(place);
    }

    fn remove(&mut self, links: &Links) {
        // SAFETY: the neighbours of a handle in the list are in the list too.
        unsafe {
            match links.previous.get() {
                Some(previous) => previous.get().links.next.set(links.next.get()),
                None => self.first = links.next.get(),
            }
            if let Some(next) = links.next.get() {
                next.get().links.previous.set(links.previous.get());
            }
        }
    }

    fn places(&self) -> impl Iterator<Item = RawArc<Handle>> {
        // SAFETY: in the list, as above.
        core::iter::successors(self.first, |place| unsafe { place.get() }.links.next.get())
    }
}

impl Handle {
    /// Makes a handle of a thread that is not started. None if there is no memory.
    pub fn new() -> Option<TryArc<Handle>> {
        let handle = TryArc::new(Handle {
            join_state: JoinState::new(),
            awaited_by: AtomicU64::new(0),
            links: Links {
                is_listed: Cell::new(false),
                next: Cell::new(None),
                previous: Cell::new(None),
            },
        })?;
        HANDLES.lock().add(handle.as_raw());
        Some(handle)
    }

    /// The identifier of the thread; 0 before it runs.
    pub fn ident(&self) -> u64 {
        self.join_state.ident()
    }

    /// Claims the right to start the thread. False if another thread has claimed it before.
    pub fn begin_start(&self) -> bool {
        self.join_state.begin_start()
    }

    /// Called by the starter, before the thread runs any Python code.
    pub fn set_running(&self, os_thread: OsThread, ident: u64) {
        self.join_state.set_running(os_thread.to_bits(), ident);
    }

    /// There is no thread, or it does not exist any more, so a join returns at once. The start has
    /// failed, or this is the child of a fork.
    pub fn abandon(&self) {
        self.await_at_exit(None);
        self.join_state.abandon();
    }

    /// Lets `_shutdown` of an interpreter wait for the thread; with None no interpreter waits.
    pub fn await_at_exit(&self, interpreter: Option<*mut PyInterpreterState>) {
        let address = interpreter.map_or(0, |interpreter| interpreter.addr() as u64);
        self.awaited_by.store(address, Ordering::Release);
    }

    /// Notes that the thread will probably end soon, so that a thread that joins it spins for a
    /// moment before it sleeps.
    pub fn expect(&self) {
        spin::expect(self.join_state.exiting().place());
    }

    /// Called by the thread when it is kept for another start: from then on a join has no operating
    /// system's thread to join. False if the handle does not own that thread.
    pub fn disown(&self) -> bool {
        self.join_state.disown().is_some()
    }

    /// The last step of the thread: its state is gone, and a join may return now.
    pub fn set_exiting(&self) {
        self.await_at_exit(None);
        let _ = self.join_state.exiting().set();
    }

    /// Joins or detaches the operating system's thread with `how`, unless that has been done.
    /// Blocks while another thread is doing it.
    ///
    /// # Safety
    /// Attached; the caller holds a reference.
    unsafe fn finish(&self, how: unsafe fn(OsThread) -> bool) -> Result<(), Raised> {
        // SAFETY: as the caller promises. The number is that of a thread that no other thread joins
        // or detaches.
        let ended = self.join_state.end(
            |lock| unsafe { blocking::wait(lock, Timeout::Never, Signals::Defer).map(|_| ()) },
            |bits| unsafe { how(OsThread::from_bits(bits)) },
        )?;
        if !ended {
            // SAFETY: attached.
            unsafe { runtime_error(c"Failed joining thread") };
            return Err(Raised);
        }
        Ok(())
    }

    /// Waits for a thread that is about to end, and joins it. Signals do not end the wait.
    ///
    /// # Safety
    /// Attached; the caller holds a reference; no exception is set.
    pub unsafe fn reap(&self) {
        // SAFETY: as the caller promises.
        unsafe {
            blocking::wait_for_event(self.join_state.exiting());
            if self.finish(OsThread::join_detached).is_err() {
                ffi::PyErr_Clear();
            }
        }
    }

    /// Waits until the thread has ended. False if the time is up before.
    ///
    /// # Safety
    /// Attached; the caller holds a reference.
    pub unsafe fn join(&self, timeout: Timeout) -> Result<bool, Raised> {
        // SAFETY: as the caller promises.
        unsafe {
            self.check_started()?;
            self.join_begun(timeout)
        }
    }

    /// [`Handle::join`] for a thread that may be about to run. If its start fails, the wait ends
    /// too.
    ///
    /// # Safety
    /// As [`Handle::join`].
    unsafe fn join_begun(&self, timeout: Timeout) -> Result<bool, Raised> {
        // SAFETY: as the caller promises.
        unsafe {
            if !self.join_state.exiting().is_set() {
                // Checked only while the thread runs: after its end another thread, perhaps this
                // one, may have its identifier.
                if self.ident() == compat::thread_ident() {
                    runtime_error(c"Cannot join current thread");
                    return Err(Raised);
                }
                if let Some(exception) = compat::join_refused_at_shutdown() {
                    raise(exception, c"cannot join thread at interpreter shutdown");
                    return Err(Raised);
                }
                if blocking::wait(self.join_state.exiting(), timeout, Signals::Handle)?
                    != Waited::Got
                {
                    return Ok(false);
                }
            }
            self.finish(OsThread::join_detached)?;
        }
        Ok(true)
    }

    unsafe fn check_started(&self) -> Result<(), Raised> {
        if self.join_state.stage() < Stage::Running {
            // SAFETY: attached, as every caller promises.
            unsafe { runtime_error(c"thread not started") };
            return Err(Raised);
        }
        Ok(())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.links.is_listed.get() {
            HANDLES.lock().remove(&self.links);
        }
        if let Some(bits) = self.join_state.disown() {
            // SAFETY: the thread was started joinable, and no other code has joined or detached it.
            unsafe { OsThread::from_bits(bits).detach() };
        }
    }
}

/// Waits for all threads that the interpreter waits for at exit, except the calling one. An
/// exception, such as KeyboardInterrupt, ends the wait.
///
/// # Safety
/// Attached.
pub unsafe fn join_all() -> Result<(), Raised> {
    // SAFETY: as the caller promises.
    unsafe {
        let mine = compat::interpreter().addr() as u64;
        let me = compat::thread_ident();
        while let Some(handle) = next_awaited(mine, me) {
            // Not dropped if the wait unwinds this frame, see `runtime::blocking`.
            let handle = ManuallyDrop::new(handle);
            let joined = handle.join_begun(Timeout::Never);
            drop(ManuallyDrop::into_inner(handle));
            if joined.is_err() {
                return compat::raised_in_shutdown();
            }
        }
    }
    Ok(())
}

fn next_awaited(interpreter: u64, me: u64) -> Option<TryArc<Handle>> {
    HANDLES.lock().places().find_map(|place| {
        // SAFETY: in the list, and its mutex is held. At most one reference is made, and it is
        // returned: dropping the last reference here would lock the mutex once more.
        unsafe {
            let handle = place.get();
            let awaited = handle.awaited_by.load(Ordering::Acquire) == interpreter;
            if awaited && handle.ident() != me { place.upgrade() } else { None }
        }
    })
}

/// Keeps the list consistent across a fork.
pub fn before_fork() {
    HANDLES.lock_before_fork();
}

/// # Safety
/// After [`before_fork`], in the same thread, once in each process.
pub unsafe fn after_fork_in_parent() {
    // SAFETY: as the caller promises.
    unsafe { HANDLES.unlock_after_fork() };
}

/// Only the calling thread is left. The handles of the other threads are done, those of threads
/// that were not started stay as they are.
///
/// # Safety
/// As [`after_fork_in_parent`].
pub unsafe fn after_fork_in_child() {
    // SAFETY: as the caller promises.
    unsafe { HANDLES.unlock_after_fork() };
    let me = compat::thread_ident();
    for place in HANDLES.lock().places() {
        // SAFETY: in the list, and its mutex is held.
        let handle = unsafe { place.get() };
        if handle.join_state.stage() != Stage::NotStarted && handle.ident() != me {
            handle.abandon();
        }
    }
}

#[repr(C)]
pub struct HandleObject {
    base: PyObject,
    weakrefs: *mut PyObject,
    /// None only while the object is being made.
    handle: Option<TryArc<Handle>>,
}

const METHODS: &[Function] = &[
    Function::stock(c"join", Call::VarArgs(join)),
    Function::stock(c"_set_done", Call::NoArgs(set_done)),
    Function::stock(c"is_done", Call::NoArgs(is_done)),
];

/// Makes the type, also if the stock module has none. Returns a new reference.
///
/// # Safety
/// Attached; `stock_module` is the stock module.
pub unsafe fn make_type(
    module: *mut PyObject,
    stock_module: *mut PyObject,
) -> Result<*mut PyTypeObject, Raised> {
    // SAFETY: the slots are of the kinds that their numbers say, and expect a HandleObject.
    unsafe {
        let like = stock::type_named(stock_module, c"_ThreadHandle");
        let made = Type {
            name: c"_thread._ThreadHandle",
            size: size_of::<HandleObject>(),
            flags: ffi::Py_TPFLAGS_HAVE_GC,
            like: Like::Stock(like),
            methods: METHODS,
            properties: &[Property { name: c"ident", get: get_ident, set: None, doc: None }],
            slots: &[
                (ffi::Py_tp_new, new as *mut c_void),
                (ffi::Py_tp_dealloc, dealloc as *mut c_void),
                (ffi::Py_tp_repr, repr as *mut c_void),
                (ffi::Py_tp_traverse, types::traverse_type as *mut c_void),
            ],
            ..PLAIN
        }
        .make(module);
        drop_ref(like.cast());
        made
    }
}

const _: () = assert!(offset_of!(HandleObject, base) == 0);

/// Makes a handle object, not started. Returns a new reference, or null with an exception set.
///
/// # Safety
/// Attached; `class` is the handle type.
pub unsafe fn make(class: *mut PyTypeObject) -> *mut PyObject {
    // SAFETY: as the caller promises. All zero is an object without a handle. It gets its handle
    // before other code can reach it.
    unsafe {
        let object = types::allocate::<HandleObject>(class);
        if object.is_null() {
            return ptr::null_mut();
        }
        (*object).handle = Handle::new();
        if (*object).handle.is_none() {
            drop_ref(object.cast());
            return ffi::PyErr_NoMemory();
        }
        object.cast()
    }
}

/// An owned reference to the handle in an object.
///
/// # Safety
/// `object` is a HandleObject.
pub unsafe fn share(object: *mut PyObject) -> TryArc<Handle> {
    // SAFETY: a complete object has a handle.
    unsafe { (*object.cast::<HandleObject>()).handle.clone().unwrap_unchecked() }
}

/// # Safety
/// `object` is a HandleObject, and outlives the result.
unsafe fn of<'a>(object: *mut PyObject) -> &'a Handle {
    // SAFETY: a complete object has a handle, and keeps it.
    unsafe { (*object.cast::<HandleObject>()).handle.as_deref().unwrap_unchecked() }
}

unsafe extern "C-unwind" fn new(
    class: *mut PyTypeObject,
    _: *mut PyObject,
    _: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called by CPython with the handle type, which has no subclasses.
    unsafe { make(class) }
}

unsafe extern "C-unwind" fn dealloc(slf: *mut PyObject) {
    // SAFETY: called by CPython when no reference to the object is left. The object owns the
    // reference to the handle.
    unsafe {
        ffi::PyObject_GC_UnTrack(slf.cast());
        drop((*slf.cast::<HandleObject>()).handle.take());
        types::free(slf);
    }
}

unsafe extern "C-unwind" fn repr(slf: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by CPython with a HandleObject; the format takes a string and an unsigned
    // long long.
    unsafe {
        ffi::PyUnicode_FromFormat(
            c"<%s object: ident=%llu>".as_ptr(),
            types::type_name(slf),
            of(slf).ident(),
        )
    }
}

unsafe extern "C-unwind" fn get_ident(slf: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a HandleObject.
    unsafe { ffi::PyLong_FromUnsignedLongLong(of(slf).ident()) }
}

unsafe extern "C-unwind" fn join(slf: *mut PyObject, args: *mut PyObject) -> *mut PyObject {
    let mut seconds: *mut PyObject = ptr::null_mut();
    // SAFETY: called by CPython, attached, with a HandleObject and a tuple.
    unsafe {
        if compat::PyArg_ParseTuple(args, c"|O:join".as_ptr(), &raw mut seconds) == 0 {
            return ptr::null_mut();
        }
        let timeout = if seconds.is_null() || seconds == ffi::Py_None() {
            Timeout::Never
        } else {
            match compat::nanoseconds(seconds) {
                Err(Raised) => return ptr::null_mut(),
                Ok(0) => Timeout::Zero,
                // A negative number means no limit here, as in the stock method. `Thread.join`
                // never passes one.
                Ok(span) => u64::try_from(span)
                    .map_or(Timeout::Never, |span| Timeout::For(Duration::from_nanos(span))),
            }
        };
        match of(slf).join(timeout) {
            Ok(_) => compat::none(),
            Err(Raised) => ptr::null_mut(),
        }
    }
}

unsafe extern "C-unwind" fn is_done(slf: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a HandleObject that it keeps alive.
    unsafe {
        let handle = of(slf);
        if !handle.join_state.exiting().is_set() {
            return compat::bool_object(false);
        }
        match handle.finish(OsThread::join_detached) {
            Ok(()) => compat::bool_object(true),
            Err(Raised) => ptr::null_mut(),
        }
    }
}

unsafe extern "C-unwind" fn set_done(slf: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a HandleObject that it keeps alive.
    unsafe {
        let handle = of(slf);
        if handle.check_started().is_err() || handle.finish(OsThread::detach).is_err() {
            return ptr::null_mut();
        }
        let _ = handle.join_state.exiting().set();
    }
    compat::none()
}

/// `_make_thread_handle(ident)`: a handle for a thread that rthread has not started, such as the
/// main thread.
///
/// # Safety
/// Called by CPython with the module and an object.
pub unsafe extern "C-unwind" fn make_thread_handle(
    module: *mut PyObject,
    ident: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: attached; valid objects.
    unsafe {
        if ffi::PyLong_Check(ident) == 0 {
            return raise(ffi::PyExc_TypeError, c"ident must be an integer");
        }
        let ident = ffi::PyLong_AsUnsignedLongLong(ident);
        if !ffi::PyErr_Occurred().is_null() {
            return ptr::null_mut();
        }
        let object = make((*State::of(module)).handle_type);
        if !object.is_null() {
            of(object).join_state.set_foreign(ident);
        }
        object
    }
}

/// `_shutdown()`.
///
/// # Safety
/// Called by CPython.
pub unsafe extern "C-unwind" fn shutdown(_: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: attached.
    match unsafe { join_all() } {
        Ok(()) => compat::none(),
        Err(Raised) => ptr::null_mut(),
    }
}
