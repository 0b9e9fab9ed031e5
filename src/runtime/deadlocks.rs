//! Finds out whether a wait would close a circle of threads that wait for each other, and tells the
//! program.
//!
//! The search itself is in `sync::wait_graph`. It follows the wait of the calling thread to the
//! owner, to the wait of that thread, and so on. In nearly all cases the owner does not wait, and
//! the search ends there.

use core::cell::Cell;
use core::sync::atomic::{AtomicBool, Ordering};

use crate::capi::compat;
use crate::capi::errors::Raised;
use crate::capi::object::{self, Answer, Attached, Borrowed, Owned};
use crate::sync::{Edge, Holder, Record, Threads, Wait, WaitStage, circle_of, registry};

/// Whether an interpreter of the process wants to be told of deadlocks.
static LOOKED_FOR: AtomicBool = AtomicBool::new(false);

/// Whether a program wants to be told of deadlocks.
#[inline]
pub fn are_looked_for() -> bool {
    LOOKED_FOR.load(Ordering::Relaxed)
}

/// Whether a wait can be part of a deadlock.
#[inline]
pub fn is_possible(wait: &Wait) -> bool {
    !wait.timed && wait.kind.has_owner()
}

/// The function of this interpreter that is told of deadlocks is in the interpreter's dict, under
/// this name.
const HOOK: &core::ffi::CStr = c"rthread.on_deadlock";

/// Sets the function that is told of deadlocks in this interpreter. None to look for none.
pub fn set_hook(py: Attached<'_>, hook: Option<Borrowed<'_>>) -> Result<(), Raised> {
    let dict = py.interpreter_dict()?;
    match hook {
        Some(hook) => {
            dict.set_named(py, HOOK, hook)?;
            LOOKED_FOR.store(true, Ordering::Relaxed);
        }
        None => {
            let none = py.none();
            let set = dict.set_named(py, HOOK, none.borrow());
            none.release(py);
            set?;
            if py.is_in_main_interpreter() {
                LOOKED_FOR.store(false, Ordering::Relaxed);
            }
        }
    }
    Ok(())
}

/// One thread of a circle, for the program.
struct Member {
    edge: Edge,
    object: Option<Owned>,
}

/// Looks for a circle that the calling thread closes with its wait, which is in its record already.
/// If there is one, and no thread outside of it can end it, the program is told. `Err` if the
/// program has raised an exception, and `may_raise`.
#[cold]
pub fn look(py: Attached<'_>, record: &Record, wait: &Wait, may_raise: bool) -> Result<(), Raised> {
    let mut told = Vec::new();
    loop {
        let Some(circle) = find(py, record.number(), wait) else { return Ok(()) };
        let numbers: Vec<u32> = circle.iter().map(|member| member.edge.number).collect();
        if numbers == told {
            release_all(py, circle);
            return Ok(());
        }
        // While the program is told, this thread does not wait, and another circle may be closed.
        told = numbers;
        tell(py, record, circle, may_raise)?;
    }
}

/// The circle that the thread closes with its wait, if no thread outside of it can end it.
fn find(py: Attached<'_>, number: u32, wait: &Wait) -> Option<Vec<Member>> {
    let is_blind = Cell::new(false);
    let found = circle_of(number, wait.interpreter, Live { own: wait, is_blind: &is_blind });
    if found.is_none() && !is_blind.get() {
        return None;
    }
    let circle = py.with_world_stopped(|| {
        let edges = circle_of(number, wait.interpreter, Stopped)?;
        let is_certain = edges.iter().all(|edge| edge.holder.is_certain);
        // SAFETY: the pointers may be followed: no thread can end its wait now.
        let own = |edge: Edge| unsafe { Member { edge, object: object_of(py, &edge.wait) } };
        is_certain.then(|| edges.into_iter().map(own).collect::<Vec<_>>())
    });
    circle.flatten()
}

fn release_all(py: Attached<'_>, circle: Vec<Member>) {
    for member in circle {
        object::release(member.object, py);
    }
}

/// A new reference to the object of a wait.
///
/// # Safety
/// The wait cannot end before this returns.
pub unsafe fn object_of(py: Attached<'_>, wait: &Wait) -> Option<Owned> {
    // SAFETY: null, or an object that is alive as long as the wait.
    let object = unsafe { Borrowed::assume_if_any(wait.object.cast_mut().cast()) };
    object.map(|object| object.own(py))
}

/// Calls the function of the program. While it runs, the calling thread does not wait.
fn tell(
    py: Attached<'_>,
    record: &Record,
    circle: Vec<Member>,
    may_raise: bool,
) -> Result<(), Raised> {
    let outer = record.begin_wait(&Wait::NONE);
    record.set_stage(WaitStage::Running);
    let told = call_hook(py, &circle, may_raise);
    release_all(py, circle);
    record.end_wait(&outer);
    match told {
        Err(Raised) if !may_raise => {
            // SAFETY: attached, with an exception set.
            unsafe { pyo3_ffi::PyErr_WriteUnraisable(core::ptr::null_mut()) };
            Ok(())
        }
        told => told,
    }
}

fn call_hook(py: Attached<'_>, circle: &[Member], may_raise: bool) -> Result<(), Raised> {
    let dict = py.interpreter_dict()?;
    let Some(hook) = dict.get_named(py, HOOK)? else { return Ok(()) };
    let told = if hook.borrow().is_none() {
        Ok(())
    } else {
        list(py, circle, |member| {
            let Edge { number, ident, wait, .. } = member.edge;
            let numbers = [u64::from(number), ident, wait.kind as u64];
            tuple_of(py, &numbers, member.object.as_ref().map(Owned::borrow))
        })
        .and_then(|circle| {
            let result = hook.borrow().call(py, &[circle.borrow(), py.truth_value(may_raise)]);
            circle.release(py);
            result.map(|result| result.release(py))
        })
    };
    hook.release(py);
    told
}

/// A new tuple of numbers and, at its end, an object or None.
pub fn tuple_of(py: Attached<'_>, numbers: &[u64], last: Option<Borrowed<'_>>) -> Answer {
    let mut owned = Vec::with_capacity(numbers.len() + 1);
    for &number in numbers {
        match py.unsigned(number) {
            Ok(number) => owned.push(number),
            Err(Raised) => {
                owned.into_iter().for_each(|object| object.release(py));
                return Err(Raised);
            }
        }
    }
    owned.push(last.map_or_else(|| py.none(), |object| object.own(py)));
    let items: Vec<_> = owned.iter().map(Owned::borrow).collect();
    let tuple = py.tuple(&items);
    drop(items);
    owned.into_iter().for_each(|object| object.release(py));
    tuple
}

/// A new list of the objects that `make` makes.
pub fn list<T>(py: Attached<'_>, of: &[T], make: impl Fn(&T) -> Answer) -> Answer {
    let list = py.list()?;
    for item in of {
        let added = make(item).and_then(|object| {
            let added = list.borrow().append(py, object.borrow());
            object.release(py);
            added
        });
        if added.is_err() {
            list.release(py);
            return Err(Raised);
        }
    }
    Ok(list)
}

/// The threads of this process, while they run.
#[derive(Clone, Copy)]
struct Live<'a> {
    /// The wait of the calling thread.
    own: &'a Wait,
    /// Set if the owner of a wait could not be read.
    is_blind: &'a Cell<bool>,
}

impl Threads<'static> for Live<'_> {
    fn record_of(self, number: u32) -> Option<&'static Record> {
        registry::record_of(number)
    }

    fn number_of(self, ident: u64) -> u32 {
        registry::number_of(ident)
    }

    fn holder_of(self, wait: &Wait) -> Option<Holder> {
        if !compat::IS_FREE_THREADED || wait == self.own {
            // SAFETY: with a GIL no other thread can end its wait, because this one has the GIL. The
            // calling thread does not end its own.
            return unsafe { wait.holder() };
        }
        peek(wait, self.is_blind)
    }
}

/// The owner of the primitive of a wait that may end at any moment. So the memory of the primitive
/// may have been given back. The system copies it, if it is there.
#[cfg(target_os = "linux")]
pub fn peek(wait: &Wait, is_blind: &Cell<bool>) -> Option<Holder> {
    use core::mem::MaybeUninit;

    use crate::sync::{JoinState, Lock, ReentrantLock, WaitKind};

    union Copy {
        _lock: core::mem::ManuallyDrop<Lock>,
        _rlock: core::mem::ManuallyDrop<ReentrantLock>,
        _thread: core::mem::ManuallyDrop<JoinState>,
    }
    let size = match wait.kind {
        WaitKind::Lock | WaitKind::Sentinel => size_of::<Lock>(),
        WaitKind::RLock => size_of::<ReentrantLock>(),
        WaitKind::Join => size_of::<JoinState>(),
        _ => return None,
    };
    let mut copy = MaybeUninit::<Copy>::zeroed();
    let to = libc::iovec { iov_base: copy.as_mut_ptr().cast(), iov_len: size };
    let from = libc::iovec { iov_base: wait.resource.cast_mut().cast(), iov_len: size };
    // SAFETY: the system checks both addresses, and writes to the copy.
    let read =
        unsafe { libc::process_vm_readv(libc::getpid(), &raw const to, 1, &raw const from, 1, 0) };
    if read != size as isize {
        let error = std::io::Error::last_os_error().raw_os_error();
        is_blind.set(is_blind.get() || error != Some(libc::EFAULT));
        return None;
    }
    // SAFETY: the copy has the bytes of the primitive, or of something else that has taken its
    // place; any bytes are valid for its atomics.
    unsafe { Wait { resource: copy.as_ptr().cast(), ..*wait }.holder() }
}

/// Elsewhere the threads have to be stopped first.
#[cfg(not(target_os = "linux"))]
pub fn peek(_: &Wait, is_blind: &Cell<bool>) -> Option<Holder> {
    is_blind.set(true);
    None
}

/// The threads of this process, while none can begin or end a wait.
#[derive(Clone, Copy)]
pub struct Stopped;

impl Threads<'static> for Stopped {
    fn record_of(self, number: u32) -> Option<&'static Record> {
        registry::record_of(number)
    }

    fn number_of(self, ident: u64) -> u32 {
        registry::number_of(ident)
    }

    fn holder_of(self, wait: &Wait) -> Option<Holder> {
        // SAFETY: no thread ends its wait.
        unsafe { wait.holder() }
    }
}
