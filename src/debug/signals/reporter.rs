//! The reporter: a thread that makes one report, with Python stacks.
//!
//! It makes a thread state, calls the package's function, deletes the state, and then writes. The
//! helper starts it, so no Python thread waits for signals. *Otherwise* `sys._current_frames`,
//! debuggers and `uninstall` would see one more thread, and the end of the interpreter and the child
//! of a fork would have to deal with it. A report that is being written at the end of the
//! interpreter, or at a fork, is not in the way of either: its thread is not attached.
//!
//! A thread blocked in `write` blocks the reporters of further signals. It does not block the
//! program.

use core::ffi::{CStr, c_int, c_void};
use core::ptr;
use core::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, AtomicU64, Ordering};
use core::time::Duration;
use std::sync::Arc;
use std::time::Instant;

use crate::capi::compat;
use crate::capi::errors::Raised;
use crate::capi::object::{Attached, Borrowed, release};
use crate::debug::signals::handler::{self, Set};
use crate::debug::signals::output;
use crate::debug::signals::records::Missing;
use crate::runtime::lifetime::{Entered, Lifetime};
use crate::runtime::os_thread::{self, Run};
use crate::sync::{Event, fork, registry, wait};

/// How long the helper waits for a report.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// How much memory there must be when a thread begins.
pub const PLENTY: usize = 32 << 10;

/// How far the reporter is: one of the numbers below.
static PHASE: AtomicU32 = AtomicU32::new(NONE);
/// There is no reporter.
const NONE: u32 = 0;
/// It attaches.
const ATTACHING: u32 = 1;
/// It makes the report.
const ASKING: u32 = 2;
/// It writes.
const WRITING: u32 = 3;
/// It has ended, or has only to say so.
const ENDED: u32 = 4;

/// The signals for which a report is wanted.
static WANTED: AtomicU64 = AtomicU64::new(0);
/// The signals for which the reporter makes a report.
static TAKEN: AtomicU64 = AtomicU64::new(0);
/// The reason why the last reporter has written nothing, as a number; 0 if it has written.
static FAILURE: AtomicU32 = AtomicU32::new(0);
/// The number of the last reporter for the operating system.
static NATIVE_ID: AtomicI32 = AtomicI32::new(0);
/// Set when the reporter has ended.
static DONE: Event = Event::new();

/// The lifetime of the main interpreter. The reference is never released, because a reporter may be
/// about to use it.
static LIFETIME: AtomicPtr<Lifetime> = AtomicPtr::new(ptr::null_mut());

/// The function that makes a report is in the interpreter's dict, under this name.
const FUNCTION: &CStr = c"rthread.report";

/// How a report has ended.
pub enum Outcome {
    /// There was none to make.
    Nothing,
    /// It was written.
    Written(Set),
    /// There will be none.
    Failed(Set, Missing),
    /// It is not ready yet, for this reason; or it is, and being written.
    Late(Set, Option<Missing>),
}

/// Whether this interpreter has a function that makes a report.
pub fn has_function(py: Attached<'_>) -> Result<bool, Raised> {
    let function = py.interpreter_dict()?.get_named(py, FUNCTION)?;
    let is_set = function.is_some();
    release(function, py);
    Ok(is_set)
}

/// Sets the function that makes a report as bytes, in this interpreter, which has this lifetime.
pub fn set_function(
    py: Attached<'_>,
    function: Borrowed<'_>,
    lifetime: &Arc<Lifetime>,
) -> Result<(), Raised> {
    py.interpreter_dict()?.set_named(py, FUNCTION, function)?;
    if !ptr::eq(LIFETIME.load(Ordering::Relaxed), Arc::as_ptr(lifetime)) {
        let lifetime = Arc::into_raw(Arc::clone(lifetime)).cast_mut();
        LIFETIME.store(lifetime, Ordering::Release);
    }
    Ok(())
}

/// Has a report made for some signals, and for those that wait for one already. Called by the helper.
pub fn report(signals: Set) -> Outcome {
    WANTED.fetch_or(signals, Ordering::AcqRel);
    let all = || WANTED.load(Ordering::Acquire) | TAKEN.load(Ordering::Acquire);
    if WANTED.load(Ordering::Acquire) == 0 {
        return Outcome::Nothing;
    }
    if matches!(PHASE.load(Ordering::Acquire), NONE | ENDED) && !start() {
        return Outcome::Failed(WANTED.swap(0, Ordering::AcqRel), Missing::Thread);
    }
    let is_done = wait(&DONE, Instant::now().checked_add(PATIENCE));
    match PHASE.load(Ordering::Acquire) {
        ATTACHING if !is_done => Outcome::Late(all(), Some(Missing::Turn)),
        ASKING if !is_done => Outcome::Late(all(), Some(Missing::Time)),
        WRITING if !is_done => Outcome::Late(TAKEN.load(Ordering::Acquire), None),
        _ => {
            let taken = TAKEN.swap(0, Ordering::AcqRel);
            match Missing::of(FAILURE.load(Ordering::Acquire)) {
                None => Outcome::Written(taken),
                // It may have failed before it has taken the signals.
                Some(why) => Outcome::Failed(taken | WANTED.swap(0, Ordering::AcqRel), why),
            }
        }
    }
}

/// Whether the reporter needs only a moment more, if its file takes the report.
pub fn ends_soon() -> bool {
    matches!(PHASE.load(Ordering::Acquire), NONE | WRITING | ENDED)
}

/// The number of the reporter for the operating system, which is forgotten.
pub fn take_native_id() -> c_int {
    NATIVE_ID.swap(0, Ordering::Relaxed)
}

/// The number of the reporter for the operating system; 0 if it is not known.
pub fn native_id() -> c_int {
    NATIVE_ID.load(Ordering::Relaxed)
}

/// In the child of a fork there is no reporter.
pub fn forget() {
    let _ = DONE.clear();
    WANTED.store(0, Ordering::Relaxed);
    TAKEN.store(0, Ordering::Relaxed);
    PHASE.store(NONE, Ordering::Relaxed);
}

/// Starts a reporter. The thread inherits the helper's mask: it handles no signals, and a closed pipe
/// does not end the process.
fn start() -> bool {
    if PHASE.load(Ordering::Acquire) == ENDED {
        let _ = wait(&DONE, None);
        let _ = DONE.clear();
    }
    TAKEN.store(0, Ordering::Relaxed);
    PHASE.store(ATTACHING, Ordering::Release);
    // SAFETY: the argument is not used.
    let started = unsafe { os_thread::spawn::<Reporter>(ptr::null_mut(), false, 0) };
    if started.is_none() {
        PHASE.store(NONE, Ordering::Release);
    }
    started.is_some()
}

/// A copy of the report, from `malloc`. None of its frames has a destructor: these are *plain old
/// frames*, because attaching may end the thread.
struct Text(*mut c_void, usize);

struct Reporter;

impl Run for Reporter {
    unsafe fn run(_: *mut c_void) {
        // SAFETY: there is nothing to promise.
        let native_id = unsafe { compat::PyThread_get_thread_native_id() };
        NATIVE_ID.store(native_id as c_int, Ordering::Relaxed);
        let made = if os_thread::has_memory(PLENTY) { make() } else { Err(Missing::Memory) };
        if let Ok(Text(at, size)) = made {
            PHASE.store(WRITING, Ordering::Release);
            // SAFETY: the copy, which is not used afterwards.
            unsafe {
                let text = core::slice::from_raw_parts(at.cast::<u8>(), size);
                handler::files(TAKEN.load(Ordering::Acquire)).for_each(|file| {
                    output::write(file, text);
                });
                libc::free(at);
            }
        }
        let failure = made.err().map_or(0, |why| why as u32);
        FAILURE.store(failure, Ordering::Release);
        PHASE.store(ENDED, Ordering::Release);
        let _ = DONE.set();
    }
}

/// Makes the report.
///
/// Not inlined: it uses thread-local variables, which take memory, see `thread_module::start`.
#[inline(never)]
fn make() -> Result<Text, Missing> {
    // SAFETY: never freed; set before there is a helper.
    let lifetime = unsafe { &*LIFETIME.load(Ordering::Acquire) };
    // The end of the interpreter waits for this thread, or this thread sees that the end is near.
    let epoch = fork::epoch();
    lifetime.closing.count_leaving();
    if lifetime.closing.is_near() {
        lifetime.closing.has_left(epoch);
        return Err(Missing::Interpreter);
    }
    // SAFETY: the lifetime of the main interpreter, in which this new thread has no state.
    let state = match unsafe { lifetime.enter(compat::main_interpreter(), true, false) } {
        Entered::State(state) => state,
        Entered::NoMemory => {
            lifetime.closing.has_left(epoch);
            return Err(Missing::Memory);
        }
        Entered::Over => {
            lifetime.closing.has_left(epoch);
            return Err(Missing::Interpreter);
        }
    };
    // SAFETY: made above. During finalization this may end the thread.
    let py = unsafe {
        compat::attach_first(state);
        Attached::assume()
    };
    PHASE.store(ASKING, Ordering::Release);
    TAKEN.store(WANTED.swap(0, Ordering::AcqRel), Ordering::Release);
    let made = ask(py);
    // SAFETY: attached with this state.
    unsafe { lifetime.delete_state(state, epoch) };
    registry::thread_ends();
    made
}

/// Calls the package's function.
fn ask(py: Attached<'_>) -> Result<Text, Missing> {
    let function = py.interpreter_dict().and_then(|dict| dict.get_named(py, FUNCTION));
    let Ok(Some(function)) = function else {
        py.clear_error();
        return Err(Missing::Interpreter);
    };
    let answer = function.borrow().call(py, &[]);
    function.release(py);
    let Ok(answer) = answer else {
        py.clear_error();
        return Err(Missing::Error);
    };
    let text = answer.borrow().bytes().map_or(Err(Missing::Error), copy);
    answer.release(py);
    text
}

fn copy(bytes: &[u8]) -> Result<Text, Missing> {
    // SAFETY: any size is valid. The copy is as large as the bytes.
    unsafe {
        let at = libc::malloc(bytes.len());
        if at.is_null() {
            return Err(Missing::Memory);
        }
        ptr::copy_nonoverlapping(bytes.as_ptr(), at.cast(), bytes.len());
        Ok(Text(at, bytes.len()))
    }
}
