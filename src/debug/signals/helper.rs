//! The helper: the thread that waits for signals.
//!
//! It is a thread of the operating system alone. It never attaches, so nothing that a program does can
//! keep it from its work. For a report it starts a reporter (`reporter`). If the report is not there
//! in time, because a thread keeps the GIL, the helper writes what can be told without Python
//! (`records`).
//!
//! The helper ends before a fork, and comes back after it: from 3.12 on CPython warns at a fork if
//! the process has another thread.

use core::ffi::{c_int, c_void};
use core::mem::MaybeUninit;
use core::ptr;
use core::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};

use crate::capi::compat;
use crate::debug::signals::handler::{self, Set};
use crate::debug::signals::records::{self, Missing};
use crate::debug::signals::reporter::{self, Outcome};
use crate::debug::signals::semaphore;
use crate::runtime::lifetime::MOMENT;
use crate::runtime::os_thread::inherited::Mask;
use crate::runtime::os_thread::{self, OsThread, Run};
use crate::sync::Mutex;

/// The size of its stack.
const STACK: usize = 256 << 10;

/// How often a thread that forks looks whether the helper is idle.
const LOOKS: u32 = 200;

/// What the helper does: one of the numbers below.
static STATE: AtomicU32 = AtomicU32::new(IDLE);
/// It waits for a signal.
const IDLE: u32 = 0;
/// It serves a signal.
const BUSY: u32 = 1;
/// It was told to end.
const ENDING: u32 = 2;

/// The helper; 0 if there is none. Changed under the mutex.
static HELPER: AtomicU64 = AtomicU64::new(0);
static CHANGE: Mutex<()> = Mutex::new(());

/// The number of the helper for the operating system; 0 if it is not known.
static NATIVE_ID: AtomicI32 = AtomicI32::new(0);

/// Starts the helper, if there is none. False if it could not be started.
pub fn start() -> bool {
    let _held = CHANGE.lock();
    if HELPER.load(Ordering::Relaxed) != 0 {
        return true;
    }
    if !semaphore::is_made() && !semaphore::make() {
        return false;
    }
    STATE.store(IDLE, Ordering::Relaxed);
    // The new thread inherits the mask.
    let mask = Mask::block_all();
    // SAFETY: the argument is not used.
    let started = unsafe { os_thread::spawn::<Helper>(ptr::null_mut(), true, STACK) };
    mask.restore();
    let Some((thread, _)) = started else { return false };
    HELPER.store(thread.to_bits(), Ordering::Relaxed);
    true
}

/// Ends the helper, unless it is at work. Afterwards the operating system knows nothing of it.
pub fn end_if_idle() {
    let _held = CHANGE.lock();
    let helper = HELPER.load(Ordering::Relaxed);
    if helper == 0 || !tell_to_end() {
        return;
    }
    semaphore::post();
    // SAFETY: this is its only owner. It does not attach, so it may be awaited attached.
    unsafe { OsThread::from_bits(helper).join() };
    HELPER.store(0, Ordering::Relaxed);
    await_exit(NATIVE_ID.swap(0, Ordering::Relaxed));
    await_exit(reporter::take_native_id());
}

/// Tells the helper to end. False if it is at work, and will be for more than a moment.
fn tell_to_end() -> bool {
    (0..LOOKS).any(|look| {
        let told = STATE.compare_exchange(IDLE, ENDING, Ordering::AcqRel, Ordering::Relaxed);
        if told.is_err() && look + 1 < LOOKS && reporter::ends_soon() {
            std::thread::sleep(MOMENT);
        }
        told.is_ok()
    })
}

/// The system still counts a thread for a moment after it has ended.
fn await_exit(native_id: c_int) {
    #[cfg(target_os = "linux")]
    for _ in 0..10_000 {
        // SAFETY: no signal is sent.
        if unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), native_id, 0) } != 0 {
            break;
        }
        std::thread::yield_now();
    }
    #[cfg(not(target_os = "linux"))]
    let _ = native_id;
}

/// No other thread changes anything during the fork.
pub fn before_fork() {
    CHANGE.lock_before_fork();
}

/// # Safety
/// After [`before_fork`], in the same thread.
pub unsafe fn after_fork() {
    // SAFETY: as the caller promises.
    unsafe { CHANGE.unlock_after_fork() };
}

/// In the child of a fork there is no helper and no reporter.
pub fn after_fork_in_child() {
    if semaphore::is_made() {
        handler::forget_pending();
        reporter::forget();
        HELPER.store(0, Ordering::Relaxed);
        NATIVE_ID.store(0, Ordering::Relaxed);
        semaphore::make();
    }
}

struct Helper;

impl Run for Helper {
    unsafe fn run(_: *mut c_void) {
        // The first use of a thread-local variable would end the process if there were no memory.
        if os_thread::has_memory(reporter::PLENTY) {
            name_thread();
            let_faults_through();
            work();
        }
    }
}

/// Serves signals until the helper is told to end.
#[inline(never)]
fn work() {
    loop {
        semaphore::wait();
        if STATE.compare_exchange(IDLE, BUSY, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            return;
        }
        while serve(reporter::report(handler::take_pending())) {}
        STATE.store(IDLE, Ordering::Release);
    }
}

/// Deals with the outcome of a report. False if there is nothing left to do.
fn serve(outcome: Outcome) -> bool {
    match outcome {
        Outcome::Nothing => false,
        Outcome::Written(signals) => {
            handler::take_default_actions(signals);
            true
        }
        Outcome::Failed(signals, why) => {
            write_records(signals, why);
            true
        }
        // The reporter goes on, and writes when it can.
        Outcome::Late(signals, Some(why)) => {
            write_records(signals, why);
            false
        }
        Outcome::Late(signals, None) => {
            handler::take_default_actions(signals);
            false
        }
    }
}

fn write_records(signals: Set, why: Missing) {
    let hidden = [NATIVE_ID.load(Ordering::Relaxed), reporter::native_id()];
    handler::files(signals).for_each(|file| records::write(file, why, hidden));
    handler::take_default_actions(signals);
}

/// The helper blocks all signals, and so do the reporters. But a fault that a thread blocks ends the
/// process without a word, also from faulthandler.
fn let_faults_through() {
    // SAFETY: the set is made before it is used.
    unsafe {
        let mut faults = MaybeUninit::uninit();
        libc::sigemptyset(faults.as_mut_ptr());
        for signal in [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGABRT] {
            libc::sigaddset(faults.as_mut_ptr(), signal);
        }
        libc::pthread_sigmask(libc::SIG_UNBLOCK, faults.as_ptr(), ptr::null_mut());
    }
}

fn name_thread() {
    // SAFETY: there is nothing to promise.
    let native_id = unsafe { compat::PyThread_get_thread_native_id() };
    NATIVE_ID.store(native_id as c_int, Ordering::Relaxed);
    // The reporters inherit the name.
    #[cfg(target_os = "linux")]
    // SAFETY: a text with a NUL at its end.
    unsafe {
        libc::prctl(libc::PR_SET_NAME, c"rthread-dump".as_ptr());
    }
    #[cfg(target_vendor = "apple")]
    // SAFETY: as above.
    unsafe {
        libc::pthread_setname_np(c"rthread-dump".as_ptr());
    }
}
