//! `_thread._ThreadHandle`: a thread to wait for.

use core::ffi::c_void;
use core::mem::{ManuallyDrop, offset_of};
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use pyo3_ffi::{self as ffi, PyInterpreterState, PyObject, PyTypeObject};

use crate::blocking::{self, Signals, Timeout, Waited};
use crate::compat::{self, Raised};
use crate::module::State;
use crate::object::{self, Call, Function, Like, PLAIN, Property, Type};
use crate::stock;
use crate::sync::{Event, Lock, Mutex};
use crate::thread::OsThread;

/// ```text
///                    start             there is a thread          join, is_done, _set_done
///   NotStarted ───────────────▶ Starting ────────────────▶ Running ─────────────▶ Done
///                                   │                                               ▲
///                                   └──────────── the start failed ─────────────────┘
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd)]
#[repr(u8)]
enum Phase {
    NotStarted = 0,
    Starting = 1,
    Running = 2,
    Done = 3,
}

/// One thread, shared between the thread itself, its Python handle and whoever waits for it.
///
/// It owns the operating system's thread: exactly one of a join, `_set_done` and the drop of the
/// last reference joins or detaches it.
pub struct Handle {
    phase: AtomicU8,
    ident: AtomicU64,
    /// The operating system's thread, meaningful while `owns_os_thread`.
    os_thread: AtomicU64,
    owns_os_thread: AtomicBool,
    /// Set when the thread has nothing left to do but to return to the operating system, or when
    /// its start failed. From then on its ident may belong to another thread.
    exiting: Event,
    /// Held by whoever ends `owns_os_thread`.
    finish: Lock,
    /// Whether the interpreter waits for the thread at exit; then also in which interpreter.
    awaited_by: AtomicU64,
}

/// All handles, for the fork and for `_shutdown`.
static HANDLES: Mutex<BTreeMap<usize, Weak<Handle>>> = Mutex::new(BTreeMap::new());

impl Handle {
    /// A handle whose thread is not started.
    pub fn new() -> Arc<Handle> {
        let handle = Arc::new(Handle {
            phase: AtomicU8::new(Phase::NotStarted as u8),
            ident: AtomicU64::new(0),
            os_thread: AtomicU64::new(0),
            owns_os_thread: AtomicBool::new(false),
            exiting: Event::new(),
            finish: Lock::new(),
            awaited_by: AtomicU64::new(0),
        });
        HANDLES.lock().insert(handle.address(), Arc::downgrade(&handle));
        handle
    }

    fn address(&self) -> usize {
        ptr::from_ref(self).addr()
    }

    fn phase(&self) -> Phase {
        // Acquire pairs with the Release in `set_phase`: ident and thread belong to the phase.
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::NotStarted,
            1 => Phase::Starting,
            2 => Phase::Running,
            _ => Phase::Done,
        }
    }

    fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Release);
    }

    /// The identifier of the thread, 0 before it runs.
    pub fn ident(&self) -> u64 {
        self.ident.load(Ordering::Relaxed)
    }

    /// Claims the right to start the thread; false if somebody did before.
    pub fn begin_start(&self) -> bool {
        self.phase
            .compare_exchange(
                Phase::NotStarted as u8,
                Phase::Starting as u8,
                Ordering::AcqRel,
                Ordering::Relaxed,
            )
            .is_ok()
    }

    /// By the starter, before the thread runs any Python code.
    pub fn set_running(&self, os_thread: OsThread, ident: u64) {
        self.ident.store(ident, Ordering::Relaxed);
        self.os_thread.store(os_thread.to_bits(), Ordering::Relaxed);
        self.owns_os_thread.store(true, Ordering::Relaxed);
        self.set_phase(Phase::Running);
    }

    /// The start failed: there is no thread, and a join returns at once.
    pub fn set_failed(&self) {
        self.await_at_exit(None);
        self.set_phase(Phase::Done);
        self.exiting.set();
    }

    /// Lets `_shutdown` of an interpreter wait for the thread, or no longer.
    pub fn await_at_exit(&self, interpreter: Option<*mut PyInterpreterState>) {
        let address = interpreter.map_or(0, |interpreter| interpreter.addr() as u64);
        self.awaited_by.store(address, Ordering::Release);
    }

    /// The last thing the thread does: its state is gone, a join may return now.
    pub fn set_exiting(&self) {
        self.await_at_exit(None);
        self.exiting.set();
    }

    /// In the child of a fork, for the handle of a thread that is gone: done, nothing to join.
    fn abandon(&self) {
        self.await_at_exit(None);
        self.owns_os_thread.store(false, Ordering::Relaxed);
        // Not freed by force: a fork made it new, its epoch is over. Whoever held it is gone.
        self.set_phase(Phase::Done);
        self.exiting.set();
    }

    /// Joins or detaches the operating system's thread, whoever comes first. Blocks while another
    /// one does.
    ///
    /// # Safety
    /// Attached; the caller holds a reference.
    unsafe fn finish(&self, how: unsafe fn(OsThread) -> bool) -> Result<(), Raised> {
        if self.phase() == Phase::Done {
            return Ok(());
        }
        // SAFETY: as the caller promises.
        unsafe {
            if !self.finish.try_acquire() {
                blocking::wait(&self.finish, Timeout::Never, Signals::Defer)?;
            }
            let owned = self.owns_os_thread.swap(false, Ordering::Relaxed);
            let ended = !owned || how(OsThread::from_bits(self.os_thread.load(Ordering::Relaxed)));
            self.set_phase(Phase::Done);
            let _ = self.finish.release();
            if !ended {
                object::runtime_error(c"Failed joining thread");
                return Err(Raised);
            }
        }
        Ok(())
    }

    /// Waits until the thread has ended. False if the time was up.
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

    /// [`Handle::join`] for a thread that may be just about to run. A start that fails ends the
    /// wait too.
    ///
    /// # Safety
    /// As [`Handle::join`].
    unsafe fn join_begun(&self, timeout: Timeout) -> Result<bool, Raised> {
        // SAFETY: as the caller promises.
        unsafe {
            if !self.exiting.is_set() {
                // Only now: once it exits, another thread, perhaps this one, may have its ident.
                if self.ident() == compat::thread_ident() {
                    object::runtime_error(c"Cannot join current thread");
                    return Err(Raised);
                }
                if let Some(exception) = compat::join_refused_at_shutdown() {
                    object::raise(exception, c"cannot join thread at interpreter shutdown");
                    return Err(Raised);
                }
                if blocking::wait(&self.exiting, timeout, Signals::Handle)? != Waited::Got {
                    return Ok(false);
                }
            }
            self.finish(OsThread::join_detached)?;
        }
        Ok(true)
    }

    unsafe fn check_started(&self) -> Result<(), Raised> {
        if self.phase() < Phase::Running {
            // SAFETY: attached, as every caller promises.
            unsafe { object::runtime_error(c"thread not started") };
            return Err(Raised);
        }
        Ok(())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        HANDLES.lock().remove(&self.address());
        if *self.owns_os_thread.get_mut() {
            // SAFETY: it was started joinable, and nobody else has joined or detached it.
            unsafe { OsThread::from_bits(*self.os_thread.get_mut()).detach() };
        }
    }
}

/// Waits for the threads that the interpreter has to wait for, but for the calling one. An
/// exception, such as Ctrl-C, ends the wait.
///
/// # Safety
/// Attached.
pub unsafe fn join_all() -> Result<(), Raised> {
    // SAFETY: as the caller promises.
    unsafe {
        let mine = compat::interpreter().addr() as u64;
        let me = compat::thread_ident();
        while let Some(handle) = next_awaited(mine, me) {
            // Not dropped where the wait unwinds: see `blocking`.
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

fn next_awaited(interpreter: u64, me: u64) -> Option<Arc<Handle>> {
    all_handles().into_iter().find(|handle| {
        handle.awaited_by.load(Ordering::Acquire) == interpreter && handle.ident() != me
    })
}

/// References to all handles. Any of them may be the last by now, and dropping that takes the
/// table: so the table is free again when they are.
fn all_handles() -> Vec<Arc<Handle>> {
    HANDLES.lock().values().filter_map(Weak::upgrade).collect()
}

/// Keeps the table whole across a fork.
pub fn before_fork() {
    HANDLES.lock_before_fork();
}

/// # Safety
/// After [`before_fork`], in the same thread, once in each process.
pub unsafe fn after_fork_in_parent() {
    // SAFETY: as the caller promises.
    unsafe { HANDLES.unlock_after_fork() };
}

/// Only the calling thread is left: the others' handles are done, those not started stay.
///
/// # Safety
/// As [`after_fork_in_parent`].
pub unsafe fn after_fork_in_child() {
    // SAFETY: as the caller promises.
    unsafe { HANDLES.unlock_after_fork() };
    let me = compat::thread_ident();
    for handle in all_handles() {
        if handle.phase() != Phase::NotStarted && handle.ident() != me {
            handle.abandon();
        }
    }
}

#[repr(C)]
pub struct HandleObject {
    base: PyObject,
    weakrefs: *mut PyObject,
    /// From `Arc::into_raw`; the object owns one reference.
    handle: *const Handle,
}

const METHODS: &[Function] = &[
    Function::stock(c"join", Call::VarArgs(join)),
    Function::stock(c"_set_done", Call::NoArgs(set_done)),
    Function::stock(c"is_done", Call::NoArgs(is_done)),
];

/// Makes the type, also where stock has none. A new reference.
///
/// # Safety
/// Attached; `stock_module` is the stock module.
pub unsafe fn make_type(
    module: *mut PyObject,
    stock_module: *mut PyObject,
) -> Result<*mut PyTypeObject, Raised> {
    // SAFETY: the slots are what their numbers say and expect a HandleObject.
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
                (ffi::Py_tp_traverse, object::traverse_type as *mut c_void),
            ],
            ..PLAIN
        }
        .make(module);
        object::drop_ref(like.cast());
        made
    }
}

const _: () = assert!(offset_of!(HandleObject, base) == 0);

/// A new handle object, not started.
///
/// # Safety
/// Attached; `class` is the handle type.
pub unsafe fn make(class: *mut PyTypeObject) -> *mut PyObject {
    // SAFETY: as the caller promises; the pointer is set before anybody sees the object.
    unsafe {
        let object = object::allocate::<HandleObject>(class);
        if !object.is_null() {
            (*object).handle = Arc::into_raw(Handle::new());
        }
        object.cast()
    }
}

/// A reference to the handle inside an object.
///
/// # Safety
/// `object` is a HandleObject.
pub unsafe fn share(object: *mut PyObject) -> Arc<Handle> {
    // SAFETY: the object owns a reference, so the count is at least one.
    unsafe {
        let handle = (*object.cast::<HandleObject>()).handle;
        Arc::increment_strong_count(handle);
        Arc::from_raw(handle)
    }
}

/// # Safety
/// `object` is a HandleObject, and outlives the result.
unsafe fn of<'a>(object: *mut PyObject) -> &'a Handle {
    // SAFETY: the object owns a reference.
    unsafe { &*(*object.cast::<HandleObject>()).handle }
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
    // SAFETY: called by CPython when nobody has the object any more; the reference is its own.
    unsafe {
        ffi::PyObject_GC_UnTrack(slf.cast());
        drop(Arc::from_raw((*slf.cast::<HandleObject>()).handle));
        object::free(slf);
    }
}

unsafe extern "C-unwind" fn repr(slf: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by CPython with a HandleObject; the format takes a string and an unsigned
    // long long.
    unsafe {
        ffi::PyUnicode_FromFormat(
            c"<%s object: ident=%llu>".as_ptr(),
            object::type_name(slf),
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
                // Negative means for ever here, as in the stock method; `Thread.join` never asks.
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
        if !handle.exiting.is_set() {
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
        handle.exiting.set();
    }
    compat::none()
}

/// `_make_thread_handle(ident)`: for a thread that rthread did not start, such as the main one.
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
            return object::raise(ffi::PyExc_TypeError, c"ident must be an integer");
        }
        let ident = ffi::PyLong_AsUnsignedLongLong(ident);
        if !ffi::PyErr_Occurred().is_null() {
            return ptr::null_mut();
        }
        let object = make((*State::of(module)).handle_type);
        if !object.is_null() {
            of(object).ident.store(ident, Ordering::Relaxed);
            of(object).set_phase(Phase::Running);
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
