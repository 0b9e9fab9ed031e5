//! `_thread._ThreadHandle`: a thread that can be joined.

use core::cell::Cell;
use core::ffi::c_void;
use core::mem::ManuallyDrop;
use core::ptr;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use pyo3_ffi::{self as ffi, PyInterpreterState, PyObject};

use crate::capi::entry::{Header, Instance, Module, New, This};
use crate::capi::errors::{Raised, raise};
use crate::capi::object::{
    Answer, Attached, Borrowed, Class, Dict, Exception, OwnedClass, Tuple, release,
};
use crate::capi::types::{self, Call, Function, Like, PLAIN, Property, Type};
use crate::capi::{compat, stock};
use crate::entry;
use crate::runtime::blocking::{self, Signals, Subject, Timeout, Waited};
use crate::runtime::natives;
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

/// How the operating system's thread ends.
#[derive(Clone, Copy)]
enum Finish {
    Join,
    Detach,
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
    fn finish(&self, py: Attached<'_>, how: Finish) -> Result<(), Raised> {
        let subject = Subject::INTERPRETER;
        let ended = self.join_state.end(
            |lock| blocking::wait(py, lock, subject, Timeout::Never, Signals::Defer).map(|_| ()),
            |bits| {
                let thread = OsThread::from_bits(bits);
                match how {
                    // SAFETY: the number is that of a thread that no other thread joins or
                    // detaches.
                    Finish::Join => blocking::detached(py, subject, || unsafe { thread.join() }),
                    // SAFETY: as above.
                    Finish::Detach => unsafe { thread.detach() },
                }
            },
        )?;
        if ended { Ok(()) } else { Err(py.runtime_error(c"Failed joining thread")) }
    }

    /// Waits for a thread that is about to end, and joins it. Signals do not end the wait. No
    /// exception is set before or afterwards.
    pub fn reap(&self, py: Attached<'_>) {
        blocking::wait_for_event(py, self.join_state.exiting(), Subject::INTERPRETER);
        if self.finish(py, Finish::Join).is_err() {
            py.clear_error();
        }
    }

    /// Waits until the thread has ended. False if the time is up before.
    pub fn join(
        &self,
        py: Attached<'_>,
        object: Borrowed<'_>,
        timeout: Timeout,
    ) -> Result<bool, Raised> {
        self.check_started(py)?;
        self.join_begun(py, Some(object), timeout)
    }

    /// [`Handle::join`] for a thread that may be about to run. If its start fails, the wait ends
    /// too.
    fn join_begun(
        &self,
        py: Attached<'_>,
        object: Option<Borrowed<'_>>,
        timeout: Timeout,
    ) -> Result<bool, Raised> {
        if !self.join_state.exiting().is_set() {
            // Checked only while the thread runs: after its end another thread, perhaps this one,
            // may have its identifier.
            if self.ident() == compat::thread_ident() {
                return Err(py.runtime_error(c"Cannot join current thread"));
            }
            if let Some(exception) = compat::join_refused_at_shutdown() {
                // SAFETY: attached; an exception class of the interpreter.
                unsafe { raise(exception, c"cannot join thread at interpreter shutdown") };
                return Err(Raised);
            }
            let exiting = self.join_state.exiting();
            let subject = Subject::join(&self.join_state, object);
            if blocking::wait(py, exiting, subject, timeout, Signals::Handle)? != Waited::Got {
                return Ok(false);
            }
        }
        self.finish(py, Finish::Join)?;
        Ok(true)
    }

    fn check_started(&self, py: Attached<'_>) -> Result<(), Raised> {
        if self.join_state.stage() < Stage::Running {
            return Err(py.runtime_error(c"thread not started"));
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
fn join_all(py: Attached<'_>) -> Result<(), Raised> {
    let mine = py.interpreter().addr() as u64;
    let me = compat::thread_ident();
    while let Some(handle) = next_awaited(mine, me) {
        // Not dropped if the wait unwinds this frame, see `runtime::blocking`.
        let handle = ManuallyDrop::new(handle);
        let joined = handle.join_begun(py, None, Timeout::Never);
        drop(ManuallyDrop::into_inner(handle));
        if joined.is_err() {
            // SAFETY: attached, with an exception set.
            return unsafe { compat::raised_in_shutdown() };
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
    base: Header,
    /// None only while the object is being made.
    handle: Option<TryArc<Handle>>,
}

// SAFETY: begins with the header; all other bytes zero are an object without a handle.
unsafe impl Instance for HandleObject {}

impl HandleObject {
    fn handle(&self) -> &Handle {
        // SAFETY: a complete object has a handle, and keeps it.
        unsafe { self.handle.as_deref().unwrap_unchecked() }
    }
}

const METHODS: &[Function] = &[
    Function::stock(c"join", Call::VarArgs(entry!(var_args, join: HandleObject))),
    Function::stock(c"_set_done", Call::NoArgs(entry!(no_args, set_done: HandleObject))),
    Function::stock(c"is_done", Call::NoArgs(entry!(no_args, is_done: HandleObject))),
];

const PROPERTIES: &[Property] = &[Property {
    name: c"ident",
    get: entry!(getter, get_ident: HandleObject),
    set: None,
    doc: None,
}];

/// Makes the type, also if the stock module has none.
pub fn make_type(
    py: Attached<'_>,
    module: Borrowed<'_>,
    stock_module: Borrowed<'_>,
) -> Result<OwnedClass, Raised> {
    let like = stock::type_named(py, stock_module, c"_ThreadHandle");
    let description = Type {
        name: c"_thread._ThreadHandle",
        size: size_of::<HandleObject>(),
        flags: ffi::Py_TPFLAGS_HAVE_GC,
        like: Like::Stock(like.as_ref().map(OwnedClass::borrow)),
        methods: METHODS,
        properties: PROPERTIES,
        slots: &[
            (ffi::Py_tp_new, entry!(new, new) as *mut c_void),
            (ffi::Py_tp_dealloc, dealloc as *mut c_void),
            (ffi::Py_tp_repr, entry!(repr, repr: HandleObject) as *mut c_void),
            (ffi::Py_tp_traverse, types::traverse_type as *mut c_void),
        ],
        ..PLAIN
    };
    // SAFETY: the slots are of the kinds that their numbers say, and expect a HandleObject.
    let made = unsafe { description.make(py, module) };
    release(like.map(OwnedClass::into_object), py);
    made
}

/// Makes a handle object, not started.
pub fn make(py: Attached<'_>, state: &State) -> Answer {
    make_for(py, state).map(New::into_owned)
}

fn make_for(py: Attached<'_>, state: &State) -> Result<New<HandleObject>, Raised> {
    match state.handle_type.get() {
        // SAFETY: the handle type.
        Some(class) => unsafe { make_of(py, class) },
        None => Err(natives::gone(py)),
    }
}

/// # Safety
/// `class` is the handle type.
unsafe fn make_of(py: Attached<'_>, class: Class<'_>) -> Result<New<HandleObject>, Raised> {
    // SAFETY: as the caller promises. The object gets its handle before other code can reach it.
    let mut object = unsafe { New::<HandleObject>::allocate(py, class)? };
    object.handle = Handle::new();
    if object.handle.is_none() {
        object.release(py);
        return Err(py.no_memory());
    }
    Ok(object)
}

/// An owned reference to the handle in an object.
///
/// # Safety
/// `object` is a HandleObject.
pub unsafe fn share(object: Borrowed<'_>) -> TryArc<Handle> {
    // SAFETY: as the caller promises. A complete object has a handle.
    unsafe { This::<HandleObject>::assume(object.as_ptr()).handle.clone().unwrap_unchecked() }
}

fn new(py: Attached<'_>, class: Class<'_>, _: Tuple<'_>, _: Option<Dict<'_>>) -> Answer {
    // SAFETY: the handle type, which has no subclasses.
    unsafe { make_of(py, class) }.map(New::into_owned)
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

fn repr(py: Attached<'_>, this: This<'_, HandleObject>) -> Answer {
    let name = this.object().class().name();
    let ident = this.handle().ident();
    // SAFETY: attached; the format takes a string and an unsigned long long.
    unsafe {
        let format = c"<%s object: ident=%llu>";
        py.own(ffi::PyUnicode_FromFormat(format.as_ptr(), name.as_ptr(), ident))
    }
}

fn get_ident(py: Attached<'_>, this: This<'_, HandleObject>) -> Answer {
    py.unsigned(this.handle().ident())
}

fn join(py: Attached<'_>, this: This<'_, HandleObject>, args: Tuple<'_>) -> Answer {
    let mut seconds: *mut PyObject = ptr::null_mut();
    // SAFETY: attached; the format expects an object. The tuple keeps it alive.
    let seconds = unsafe {
        let args = args.object().as_ptr();
        if compat::PyArg_ParseTuple(args, c"|O:join".as_ptr(), &raw mut seconds) == 0 {
            return Err(Raised);
        }
        Borrowed::assume_if_any(seconds)
    };
    let timeout = match seconds.filter(|seconds| !seconds.is_none()) {
        None => Timeout::Never,
        Some(seconds) => match seconds.nanoseconds(py)? {
            0 => Timeout::Zero,
            // A negative number means no limit here, as in the stock method. `Thread.join` never
            // passes one.
            span => u64::try_from(span)
                .map_or(Timeout::Never, |span| Timeout::For(Duration::from_nanos(span))),
        },
    };
    this.handle().join(py, this.object(), timeout)?;
    Ok(py.none())
}

fn is_done(py: Attached<'_>, this: This<'_, HandleObject>) -> Answer {
    let handle = this.handle();
    let has_ended = handle.join_state.exiting().is_set();
    if has_ended {
        handle.finish(py, Finish::Join)?;
    }
    Ok(py.bool(has_ended))
}

fn set_done(py: Attached<'_>, this: This<'_, HandleObject>) -> Answer {
    let handle = this.handle();
    handle.check_started(py)?;
    handle.finish(py, Finish::Detach)?;
    let _ = handle.join_state.exiting().set();
    Ok(py.none())
}

/// `_make_thread_handle(ident)`: a handle for a thread that rthread has not started, such as the
/// main thread.
pub fn make_thread_handle(py: Attached<'_>, module: Module<'_>, ident: Borrowed<'_>) -> Answer {
    if !ident.is_int() {
        return Err(py.raise(Exception::Type, c"ident must be an integer"));
    }
    let ident = ident.to_unsigned(py)?;
    let object = make_for(py, State::of(module))?;
    object.this().handle().join_state.set_foreign(ident);
    Ok(object.into_owned())
}

/// `_shutdown()`.
pub fn shutdown(py: Attached<'_>, _: Module<'_>) -> Answer {
    join_all(py)?;
    Ok(py.none())
}
