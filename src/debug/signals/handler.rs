//! The signals that ask for a report, and the C handler for them.
//!
//! The handler may interrupt any code of the program. So it takes only steps that are allowed there:
//! atomic ones, `sem_post`, `sigaction`, `pthread_self`. It notes the signal, and wakes the helper
//! thread (`helper`).
//!
//! With `chain` the handler also calls the function that handled the signal before. That function
//! may put itself in the place of this handler: faulthandler does. The handler then goes back to its
//! place. If there was no function before, the helper takes the system's default action for the
//! signal, after the report. *The handler itself* would end the program before the report.
//!
//! Other code may have installed a handler of its own since, and call this one from there. So this
//! handler must work after `unregister`, too: it passes the signal on then.

use core::cell::UnsafeCell;
use core::ffi::{c_int, c_void};
use core::mem::MaybeUninit;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, AtomicUsize, Ordering};

use crate::debug::signals::semaphore;
use crate::sync::Mutex;

/// The number of signals, with 0, which is none. A set of signals is a `u64`.
pub const SIGNALS: usize = 65;

/// A set of signals.
pub type Set = u64;

/// The signals that have come, and that the helper does not know of yet.
static PENDING: AtomicU64 = AtomicU64::new(0);

/// Protects registrations.
static CHANGE: Mutex<()> = Mutex::new(());

/// Where a report goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct File {
    pub fd: c_int,
    /// The device and the number of the file when it was registered.
    pub device: u64,
    pub inode: u64,
}

impl File {
    /// The file of a descriptor; None if it is closed.
    pub fn of(fd: c_int) -> Option<File> {
        let mut found = MaybeUninit::<libc::stat>::uninit();
        // SAFETY: the call fills the struct if it succeeds.
        let found = unsafe {
            if libc::fstat(fd, found.as_mut_ptr()) != 0 {
                return None;
            }
            found.assume_init()
        };
        #[allow(clippy::unnecessary_cast, reason = "the types are not the same everywhere")]
        let (device, inode) = (found.st_dev as u64, found.st_ino as u64);
        Some(File { fd, device, inode })
    }

    /// Whether the descriptor still is that of this file. The standard ones are believed: programs
    /// redirect them. *Another* descriptor may be that of a database by now.
    fn is_open(self) -> bool {
        self.fd <= libc::STDERR_FILENO || File::of(self.fd) == Some(self)
    }
}

/// A signal.
struct Slot {
    is_registered: AtomicBool,
    chain: AtomicBool,
    fd: AtomicI32,
    device: AtomicU64,
    inode: AtomicU64,
    /// The function that handled the signal before, if it takes three arguments; else 0. Then the
    /// other field has a function that takes one, or `SIG_DFL` or `SIG_IGN`.
    with_info: AtomicUsize,
    plain: AtomicUsize,
    /// Whether the signal may come again while that function runs.
    nests: AtomicBool,
    /// The thread that is calling that function.
    caller: AtomicUsize,
    /// How the signal was handled before. Used under the mutex.
    action: UnsafeCell<MaybeUninit<libc::sigaction>>,
}

// SAFETY: `action` is used under the mutex.
unsafe impl Sync for Slot {}

static SLOTS: [Slot; SIGNALS] = [const {
    Slot {
        is_registered: AtomicBool::new(false),
        chain: AtomicBool::new(false),
        fd: AtomicI32::new(-1),
        device: AtomicU64::new(0),
        inode: AtomicU64::new(0),
        with_info: AtomicUsize::new(0),
        plain: AtomicUsize::new(libc::SIG_DFL),
        nests: AtomicBool::new(false),
        caller: AtomicUsize::new(0),
        action: UnsafeCell::new(MaybeUninit::uninit()),
    }
}; SIGNALS];

impl Slot {
    fn file(&self) -> File {
        File {
            fd: self.fd.load(Ordering::Relaxed),
            device: self.device.load(Ordering::Relaxed),
            inode: self.inode.load(Ordering::Relaxed),
        }
    }
}

fn slot(signal: c_int) -> Option<&'static Slot> {
    usize::try_from(signal).ok().filter(|&signal| signal > 0).and_then(|at| SLOTS.get(at))
}

fn bit(signal: c_int) -> Set {
    1 << (signal - 1)
}

/// The numbers of the signals in a set.
fn members(set: Set) -> impl Iterator<Item = c_int> {
    (1..SIGNALS as c_int).filter(move |&signal| set & bit(signal) != 0)
}

/// Whether a signal is registered.
pub fn is_any_registered() -> bool {
    SLOTS.iter().any(|slot| slot.is_registered.load(Ordering::Relaxed))
}

/// The open files of those signals of a set that are registered, each once.
pub fn files(set: Set) -> impl Iterator<Item = c_int> {
    let file = |signal| {
        let slot = slot(signal)?;
        slot.is_registered.load(Ordering::Relaxed).then(|| slot.file())
    };
    members(set).filter_map(move |signal| {
        let own = file(signal)?;
        let is_first = members(set & (bit(signal) - 1)).all(|other| file(other) != Some(own));
        (is_first && own.is_open()).then_some(own.fd)
    })
}

/// Takes all signals that have come.
pub fn take_pending() -> Set {
    PENDING.swap(0, Ordering::AcqRel)
}

/// No other thread changes a registration during the fork.
pub fn before_fork() {
    CHANGE.lock_before_fork();
}

/// # Safety
/// After [`before_fork`], in the same thread.
pub unsafe fn after_fork() {
    // SAFETY: as the caller promises.
    unsafe { CHANGE.unlock_after_fork() };
}

/// Forgets the signals that have come: in the child of a fork they are those of the parent.
pub fn forget_pending() {
    PENDING.store(0, Ordering::Relaxed);
}

/// How a signal is handled now.
fn action_of(signal: c_int) -> Option<libc::sigaction> {
    let mut action = MaybeUninit::uninit();
    // SAFETY: the call fills the struct if it succeeds.
    unsafe {
        let got = libc::sigaction(signal, ptr::null(), action.as_mut_ptr());
        (got == 0).then(|| action.assume_init())
    }
}

fn is_own(action: &libc::sigaction) -> bool {
    action.sa_sigaction == handle as *const () as usize
}

fn is_function(action: &libc::sigaction) -> bool {
    !matches!(action.sa_sigaction, libc::SIG_DFL | libc::SIG_IGN)
}

/// How this handler handles a signal that was handled as `before`.
fn own_action(before: &libc::sigaction, chain: bool) -> libc::sigaction {
    let calls_it = chain && is_function(before);
    let restarts = !calls_it || before.sa_flags & libc::SA_RESTART != 0;
    // SAFETY: all zero is a valid value, with an empty set of signals.
    let mut own: libc::sigaction = unsafe { core::mem::zeroed() };
    own.sa_sigaction = handle as *const () as usize;
    own.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    if restarts {
        // Otherwise system calls of the program would fail. But the interpreter's own handler
        // counts on that: the main thread is to notice the signal.
        own.sa_flags |= libc::SA_RESTART;
    }
    if calls_it {
        own.sa_mask = before.sa_mask;
    }
    own
}

/// Registers a signal, or changes its registration. `Err` with the system's number of the error,
/// and nothing has changed.
pub fn register(signal: c_int, file: File, chain: bool) -> Result<(), c_int> {
    let error = || std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EINVAL);
    let slot = slot(signal).ok_or(libc::EINVAL)?;
    let _held = CHANGE.lock();
    let now = action_of(signal).ok_or_else(error)?;
    // The handler may run as soon as it is installed, so it is given everything before.
    slot.fd.store(file.fd, Ordering::Relaxed);
    slot.device.store(file.device, Ordering::Relaxed);
    slot.inode.store(file.inode, Ordering::Relaxed);
    slot.chain.store(chain, Ordering::Relaxed);
    // SAFETY: under the mutex. If this handler is installed, the action before was written when it
    // was installed.
    let before = unsafe {
        let before = &mut *slot.action.get();
        if !is_own(&now) {
            before.write(now);
        }
        before.assume_init_ref()
    };
    let takes_info = is_function(before) && before.sa_flags & libc::SA_SIGINFO != 0;
    let function = before.sa_sigaction;
    slot.with_info.store(if takes_info { function } else { 0 }, Ordering::Relaxed);
    slot.plain.store(if takes_info { libc::SIG_IGN } else { function }, Ordering::Relaxed);
    slot.nests.store(before.sa_flags & libc::SA_NODEFER != 0, Ordering::Relaxed);
    let was_registered = slot.is_registered.swap(true, Ordering::Release);
    let own = own_action(before, chain);
    // SAFETY: a complete action.
    if unsafe { libc::sigaction(signal, &raw const own, ptr::null_mut()) } != 0 {
        let number = error();
        slot.is_registered.store(was_registered, Ordering::Relaxed);
        return Err(number);
    }
    Ok(())
}

/// Ends the registration of a signal. False if there was none. The signal is handled as before the
/// registration, unless other code has installed a handler since.
pub fn unregister(signal: c_int) -> bool {
    let Some(slot) = slot(signal) else { return false };
    let _held = CHANGE.lock();
    if !slot.is_registered.swap(false, Ordering::Relaxed) {
        return false;
    }
    if action_of(signal).is_some_and(|now| is_own(&now)) {
        // SAFETY: under the mutex; written at the registration.
        unsafe {
            let before = (*slot.action.get()).assume_init_ref();
            libc::sigaction(signal, ptr::from_ref(before), ptr::null_mut());
        }
    }
    true
}

/// The handler. It may be unwound, as far as the function before may be.
unsafe extern "C-unwind" fn handle(signal: c_int, info: *mut libc::siginfo_t, at: *mut c_void) {
    let Some(slot) = slot(signal) else { return };
    // SAFETY: the place of the calling thread's `errno`, which the interrupted code may be about to
    // read.
    unsafe {
        let errno = errno_place();
        let error = *errno;
        // Acquire: the rest of the registration is visible.
        let is_registered = slot.is_registered.load(Ordering::Acquire);
        if is_registered {
            PENDING.fetch_or(bit(signal), Ordering::Release);
        }
        if !is_registered || slot.chain.load(Ordering::Relaxed) {
            call_before(slot, signal, info, at);
        }
        // Last: faulthandler walks through all thread states, and the reporter makes one.
        if is_registered {
            semaphore::post();
        }
        *errno = error;
    }
}

/// Calls the function that handled the signal before, if there was one.
///
/// # Safety
/// Called by the handler, with its arguments.
unsafe fn call_before(slot: &Slot, signal: c_int, info: *mut libc::siginfo_t, at: *mut c_void) {
    type WithInfo = unsafe extern "C-unwind" fn(c_int, *mut libc::siginfo_t, *mut c_void);
    type Plain = unsafe extern "C-unwind" fn(c_int);
    let with_info = slot.with_info.load(Ordering::Relaxed);
    let plain = slot.plain.load(Ordering::Relaxed);
    if with_info == 0 && matches!(plain, libc::SIG_DFL | libc::SIG_IGN) {
        return;
    }
    // SAFETY: there is nothing to promise.
    let this_thread = unsafe { libc::pthread_self() } as usize;
    // A function that was installed after this handler, and before the signal was registered once
    // more, may call this handler. Otherwise they would call each other for ever.
    if slot.caller.load(Ordering::Relaxed) == this_thread {
        return;
    }
    let outer = slot.caller.swap(this_thread, Ordering::Relaxed);
    let before = action_of(signal);
    // faulthandler raises the signal once more, for the function before it. Not this whole handler may
    // be interrupted by its signal: with many signals it would use up the stack.
    let nests = slot.nests.load(Ordering::Relaxed);
    // SAFETY: functions of these types.
    unsafe {
        if nests {
            change_mask(libc::SIG_UNBLOCK, signal);
        }
        if with_info == 0 {
            core::mem::transmute::<usize, Plain>(plain)(signal);
        } else {
            core::mem::transmute::<usize, WithInfo>(with_info)(signal, info, at);
        }
        if nests {
            change_mask(libc::SIG_BLOCK, signal);
        }
    }
    slot.caller.store(outer, Ordering::Relaxed);
    if let Some(own) = before.filter(is_own)
        && slot.is_registered.load(Ordering::Relaxed)
        && action_of(signal).is_some_and(|now| !is_own(&now))
    {
        // SAFETY: a complete action.
        unsafe { libc::sigaction(signal, &raw const own, ptr::null_mut()) };
    }
}

/// Takes the system's default action for those signals of a set that are to be passed on, and that
/// no function handled before. Called by the helper, which has blocked all signals.
pub fn take_default_actions(set: Set) {
    for signal in members(set) {
        let Some(slot) = slot(signal) else { continue };
        if slot.is_registered.load(Ordering::Relaxed)
            && slot.chain.load(Ordering::Relaxed)
            && slot.plain.load(Ordering::Relaxed) == libc::SIG_DFL
            && !is_ignored_by_default(signal)
        {
            take_default_action(signal);
        }
    }
}

/// Whether the default action is to do nothing. The default action must not even be installed for
/// such a signal: one that arrives at that moment would be lost, and no report made.
const fn is_ignored_by_default(signal: c_int) -> bool {
    #[cfg(any(target_vendor = "apple", target_os = "freebsd", target_os = "openbsd"))]
    let here = matches!(signal, libc::SIGIO | libc::SIGINFO);
    #[cfg(not(any(target_vendor = "apple", target_os = "freebsd", target_os = "openbsd")))]
    let here = false;
    // The system lets a process go on at SIGCONT before it looks at the action.
    here || matches!(signal, libc::SIGCHLD | libc::SIGCONT | libc::SIGURG | libc::SIGWINCH)
}

fn take_default_action(signal: c_int) {
    let _held = CHANGE.lock();
    let Some(now) = action_of(signal).filter(is_own) else { return };
    // SAFETY: complete actions. The signal comes before `pthread_kill` returns: it is
    // sent to the calling thread, which does not block it.
    unsafe {
        let mut default: libc::sigaction = core::mem::zeroed();
        default.sa_sigaction = libc::SIG_DFL;
        libc::sigaction(signal, &raw const default, ptr::null_mut());
        change_mask(libc::SIG_UNBLOCK, signal);
        libc::pthread_kill(libc::pthread_self(), signal);
        // The default was to stop the process, and it goes on now.
        change_mask(libc::SIG_BLOCK, signal);
        libc::sigaction(signal, &raw const now, ptr::null_mut());
    }
}

/// Blocks a signal in the calling thread, or no longer blocks it.
fn change_mask(how: c_int, signal: c_int) {
    let mut only = MaybeUninit::uninit();
    // SAFETY: the set is made before it is used.
    unsafe {
        libc::sigemptyset(only.as_mut_ptr());
        libc::sigaddset(only.as_mut_ptr(), signal);
        libc::pthread_sigmask(how, only.as_ptr(), ptr::null_mut());
    }
}

/// Where the calling thread's `errno` is.
pub unsafe fn errno_place() -> *mut c_int {
    #[cfg(any(target_os = "solaris", target_os = "illumos"))]
    use libc::___errno as place;
    #[cfg(any(target_os = "android", target_os = "netbsd", target_os = "openbsd"))]
    use libc::__errno as place;
    #[cfg(any(target_os = "linux", target_os = "emscripten", target_os = "hurd"))]
    use libc::__errno_location as place;
    #[cfg(any(target_vendor = "apple", target_os = "freebsd", target_os = "dragonfly"))]
    use libc::__error as place;
    // SAFETY: there is nothing to promise.
    unsafe { place() }
}
