//! A record of a thread: its identifiers, and what it waits for at this moment.
//!
//! The thread itself writes its record, and any thread reads it. So does another process
//! (`runtime::tables`), so the layout is fixed.
//!
//! # When a pointer may be followed
//!
//! A wait names the object and the primitive that its thread waits for. Both are alive as long as
//! the wait is in the record. A thread begins and ends its waits while it is attached. So a reader
//! may follow the pointers while no other thread can attach: with a GIL whenever it has the GIL,
//! else while the world is stopped. Any other reader has to expect that the memory has been freed.

use core::ptr;
use std::time::Instant;

use super::join_state::JoinState;
use super::lock::Lock;
use super::owner::Owner;
use super::primitive::{AtomicPtr, AtomicU32, AtomicU64, Ordering, fence};
use super::reentrant::ReentrantLock;

/// Why a thread waits. The numbers are part of the layout that other processes read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum WaitKind {
    /// It does not wait.
    None = 0,
    /// For a `Lock`.
    Lock = 1,
    /// For a `ReentrantLock`.
    RLock = 2,
    /// For a `Lock` that its owner releases when it ends.
    Sentinel = 3,
    /// For the end of a thread: a `JoinState`.
    Join = 4,
    /// For a notification.
    Condition = 5,
    /// For an event.
    Event = 6,
    /// For a permit.
    Semaphore = 7,
    /// For the other threads of a barrier.
    Barrier = 8,
    /// For an item.
    QueueGet = 9,
    /// For a place.
    QueuePut = 10,
    /// For the end of all tasks of a queue.
    QueueJoin = 11,
    /// Until a new thread runs.
    Start = 12,
    /// For the interpreter: its end, or memory.
    Interpreter = 13,
}

impl WaitKind {
    fn from_bits(bits: u32) -> WaitKind {
        match bits {
            1 => WaitKind::Lock,
            2 => WaitKind::RLock,
            3 => WaitKind::Sentinel,
            4 => WaitKind::Join,
            5 => WaitKind::Condition,
            6 => WaitKind::Event,
            7 => WaitKind::Semaphore,
            8 => WaitKind::Barrier,
            9 => WaitKind::QueueGet,
            10 => WaitKind::QueuePut,
            11 => WaitKind::QueueJoin,
            12 => WaitKind::Start,
            13 => WaitKind::Interpreter,
            _ => WaitKind::None,
        }
    }

    /// Whether one thread has what is waited for.
    #[must_use]
    pub fn has_owner(self) -> bool {
        matches!(self, WaitKind::Lock | WaitKind::RLock | WaitKind::Sentinel | WaitKind::Join)
    }
}

/// How far a thread is in a wait. The numbers are part of the layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Stage {
    /// It runs, as far as the record tells.
    Running = 0,
    /// It waits.
    Waiting = 1,
    /// It waits no more, and attaches: it waits for the GIL, if there is one.
    Attaching = 2,
    /// It runs signal handlers, and goes on waiting after that.
    InHandlers = 3,
}

/// One wait of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Why the thread waits.
    pub kind: WaitKind,
    /// The object that the program knows; null if there is none. Never followed here.
    pub object: *const (),
    /// The primitive: for [`WaitKind::Lock`] and [`WaitKind::Sentinel`] a `Lock`, for [`WaitKind::RLock`] a
    /// `ReentrantLock`, for [`WaitKind::Join`] a `JoinState`. Null for other kinds.
    pub resource: *const (),
    /// When the wait began, in nanoseconds of the system's monotonic clock.
    pub since: u64,
    /// Whether the wait has a deadline.
    pub timed: bool,
    /// The interpreter in which the thread waits. Never followed here.
    pub interpreter: *const (),
}

impl Wait {
    /// No wait.
    pub const NONE: Wait = Wait {
        kind: WaitKind::None,
        object: ptr::null(),
        resource: ptr::null(),
        since: 0,
        timed: false,
        interpreter: ptr::null(),
    };
}

/// The thread that has what another one waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its number; 0 if only its identifier is known.
    pub number: u32,
    /// Its identifier; 0 if only its number is known.
    pub ident: u64,
    /// Whether no other thread can end the wait.
    pub is_certain: bool,
}

/// The length of a name, in words of eight bytes.
const NAME: usize = 4;
const TIMED: u32 = 1;

/// See the module's documentation. All zero is a record of no thread.
#[repr(C, align(64))]
pub struct Record {
    unused: u32,
    number: AtomicU32,
    ident: AtomicU64,
    native_id: AtomicU32,
    epoch: AtomicU32,
    stage: AtomicU32,
    kind: AtomicU32,
    object: AtomicPtr<()>,
    resource: AtomicPtr<()>,
    since: AtomicU64,
    /// Odd while the thread changes its wait.
    serial: AtomicU32,
    flags: AtomicU32,
    name: [AtomicU64; NAME],
    /// Where the thread reads its bits as an owner, see `owner`. Null if there is no thread.
    pub(super) own: AtomicPtr<u32>,
    /// The locks that the thread has taken, if that is recorded: a `HeldTable`.
    pub(super) held: AtomicPtr<()>,
    interpreter: AtomicPtr<()>,
    /// The next record of the pool.
    pub(super) next: AtomicPtr<Record>,
}

#[cfg(all(target_pointer_width = "64", not(modelled)))]
const _: () = assert!(size_of::<Record>() == 128);

impl Record {
    /// A record of no thread.
    pub(super) fn new() -> Record {
        Record {
            unused: 0,
            number: AtomicU32::new(0),
            ident: AtomicU64::new(0),
            native_id: AtomicU32::new(0),
            epoch: AtomicU32::new(0),
            stage: AtomicU32::new(0),
            kind: AtomicU32::new(0),
            object: AtomicPtr::new(ptr::null_mut()),
            resource: AtomicPtr::new(ptr::null_mut()),
            since: AtomicU64::new(0),
            serial: AtomicU32::new(0),
            flags: AtomicU32::new(0),
            name: core::array::from_fn(|_| AtomicU64::new(0)),
            own: AtomicPtr::new(ptr::null_mut()),
            held: AtomicPtr::new(ptr::null_mut()),
            interpreter: AtomicPtr::new(ptr::null_mut()),
            next: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// The record of a thread of a model. There is no registry in a model.
    #[cfg(modelled)]
    pub fn of(number: u32, ident: u64) -> Record {
        let (number, ident) = (AtomicU32::new(number), AtomicU64::new(ident));
        Record { number, ident, ..Record::new() }
    }

    /// The thread ends, and the record becomes that of another thread, in a model.
    #[cfg(modelled)]
    pub fn pass_to(&self, number: u32, ident: u64) {
        self.end();
        self.begin(number, ident, 0);
    }

    /// The record becomes that of a thread, which has this number.
    pub(super) fn begin(&self, number: u32, ident: u64, native_id: u32) {
        self.store(&Wait::NONE);
        self.set_stage(Stage::Running);
        for word in &self.name {
            word.store(0, Ordering::Relaxed);
        }
        self.ident.store(ident, Ordering::Relaxed);
        self.native_id.store(native_id, Ordering::Relaxed);
        self.epoch.store(super::fork::epoch(), Ordering::Relaxed);
        self.number.store(number, Ordering::Release);
    }

    /// The thread has ended. From now on no reader takes the record for that of the thread.
    pub(super) fn end(&self) {
        self.number.store(0, Ordering::Relaxed);
        self.store(&Wait::NONE);
    }

    /// In the child of a fork: the thread has forked, and is another one for the system.
    #[cfg(not(modelled))]
    pub(super) fn goes_on_after_fork(&self, native_id: u32) {
        self.native_id.store(native_id, Ordering::Relaxed);
        self.epoch.store(super::fork::epoch(), Ordering::Relaxed);
    }

    /// The number of the thread; 0 if the record is that of no thread.
    pub fn number(&self) -> u32 {
        self.number.load(Ordering::Acquire)
    }

    /// The identifier of the thread.
    pub fn ident(&self) -> u64 {
        self.ident.load(Ordering::Relaxed)
    }

    /// Sets the name of the thread, which is cut if it is too long. To be called by the thread
    /// itself.
    pub fn set_name(&self, name: &str) {
        let mut end = name.len().min(NAME * 8);
        while !name.is_char_boundary(end) {
            end -= 1;
        }
        let mut bytes = [0; NAME * 8];
        bytes[..end].copy_from_slice(&name.as_bytes()[..end]);
        for (word, bytes) in self.name.iter().zip(bytes.chunks_exact(8)) {
            let bytes = bytes.try_into().unwrap_or_default();
            word.store(u64::from_ne_bytes(bytes), Ordering::Relaxed);
        }
    }

    /// The number of the thread for the operating system.
    pub fn native_id(&self) -> u32 {
        self.native_id.load(Ordering::Relaxed)
    }

    /// How far the thread is in its wait.
    pub fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Relaxed) {
            1 => Stage::Waiting,
            2 => Stage::Attaching,
            3 => Stage::InHandlers,
            _ => Stage::Running,
        }
    }

    /// To be called by the thread itself.
    #[inline]
    pub fn set_stage(&self, stage: Stage) {
        // Release pairs with the fence in `is_still`: a reader that finds the thread waiting again
        // finds released what a signal handler has released.
        self.stage.store(stage as u32, Ordering::Release);
        // As in `end_wait`, for the locks that a signal handler takes.
        fence(Ordering::Release);
    }

    /// The number of the wait: it changes with each one.
    pub fn serial(&self) -> u32 {
        self.serial.load(Ordering::Relaxed)
    }

    /// The wait of the thread. Parts of it may be those of another wait, unless the reader may
    /// follow the pointers, or [`Record::serial`] is even and the same before and after.
    pub fn wait(&self) -> Wait {
        // Acquire pairs with the Release in `store`: the rest of the wait is visible.
        let kind = WaitKind::from_bits(self.kind.load(Ordering::Acquire));
        if kind == WaitKind::None {
            // The rest is that of the wait before, whose object may be gone.
            return Wait::NONE;
        }
        Wait {
            kind,
            object: self.object.load(Ordering::Relaxed),
            resource: self.resource.load(Ordering::Relaxed),
            since: self.since.load(Ordering::Relaxed),
            timed: self.flags.load(Ordering::Relaxed) & TIMED != 0,
            interpreter: self.interpreter.load(Ordering::Relaxed),
        }
    }

    /// Begins a wait, which may be within another one: a signal handler waits. Returns the wait
    /// before, for [`Record::end_wait`]. To be called by the thread itself, attached.
    #[inline]
    pub fn begin_wait(&self, wait: &Wait) -> Outer {
        let outer = if self.kind.load(Ordering::Relaxed) == WaitKind::None as u32 {
            None
        } else {
            Some((self.wait(), self.stage()))
        };
        self.store(wait);
        self.set_stage(Stage::Waiting);
        Outer(outer)
    }

    /// Ends the wait that began last, and goes back to the wait before. To be called by the thread
    /// itself, attached.
    #[inline]
    pub fn end_wait(&self, outer: &Outer) {
        if let Some((wait, stage)) = &outer.0 {
            self.set_stage(*stage);
            self.store(wait);
        } else {
            self.set_stage(Stage::Running);
            let serial = self.serial.load(Ordering::Relaxed);
            self.kind.store(WaitKind::None as u32, Ordering::Release);
            self.serial.store(serial.wrapping_add(2), Ordering::Release);
        }
        // Pairs with the fence in `is_still`: a thread that finds this one as the owner of a lock
        // that it takes after this finds that it waits no more.
        fence(Ordering::Release);
    }

    #[inline]
    fn store(&self, wait: &Wait) {
        let serial = self.serial.load(Ordering::Relaxed);
        self.serial.store(serial.wrapping_add(1), Ordering::Release);
        // Pairs with the fence in `is_still`: a reader that has read any part of the new wait finds
        // the odd number.
        fence(Ordering::Release);
        self.kind.store(WaitKind::None as u32, Ordering::Release);
        self.interpreter.store(wait.interpreter.cast_mut(), Ordering::Release);
        self.object.store(wait.object.cast_mut(), Ordering::Relaxed);
        self.resource.store(wait.resource.cast_mut(), Ordering::Relaxed);
        self.since.store(wait.since, Ordering::Relaxed);
        self.flags.store(if wait.timed { TIMED } else { 0 }, Ordering::Relaxed);
        self.kind.store(wait.kind as u32, Ordering::Release);
        self.serial.store(serial.wrapping_add(2), Ordering::Release);
    }

    /// What the thread `number` waits for without a deadline, in this interpreter, if that has an
    /// owner. The second result is the number of the wait.
    pub fn blocked(&self, number: u32, interpreter: *const ()) -> Option<(Wait, u32)> {
        // Acquire: the wait is read after this.
        let serial = self.serial.load(Ordering::Acquire);
        let wait = self.wait();
        let is_blocked = wait.kind.has_owner()
            && !wait.timed
            && wait.interpreter == interpreter
            && self.number() == number
            && self.stage() != Stage::InHandlers;
        (is_blocked && serial & 1 == 0 && self.is_still(serial)).then_some((wait, serial))
    }

    /// Whether the thread is in the wait with this number, after its parts have been read.
    fn is_still(&self, serial: u32) -> bool {
        fence(Ordering::Acquire);
        self.serial.load(Ordering::Relaxed) == serial
    }
}

/// The wait that a thread goes back to, if there is one.
#[derive(Clone, Copy)]
pub struct Outer(Option<(Wait, Stage)>);

impl Wait {
    /// The thread that has what is waited for. None if no thread has it, or it is not known.
    ///
    /// # Safety
    /// The pointers may be followed, see the module's documentation.
    pub unsafe fn holder(&self) -> Option<Holder> {
        match self.kind {
            WaitKind::Lock | WaitKind::Sentinel => {
                // SAFETY: as the caller promises.
                let owner = unsafe { &*self.resource.cast::<Lock>() }.owner();
                let is_certain = owner.is_by_with() || self.kind == WaitKind::Sentinel;
                Some(Holder { number: known(owner)?, ident: 0, is_certain })
            }
            WaitKind::RLock => {
                // SAFETY: as the caller promises.
                let lock = unsafe { &*self.resource.cast::<ReentrantLock>() };
                let ident = lock.owner();
                let number = lock.inner_owner().number();
                (ident != 0).then_some(Holder { number, ident, is_certain: true })
            }
            WaitKind::Join => {
                // SAFETY: as the caller promises.
                let thread = unsafe { &*self.resource.cast::<JoinState>() };
                let ident = if thread.exiting().is_set() { 0 } else { thread.ident() };
                (ident != 0).then_some(Holder { number: 0, ident, is_certain: true })
            }
            _ => None,
        }
    }
}

fn known(owner: Owner) -> Option<u32> {
    (owner != Owner::NONE).then(|| owner.number()).filter(|&number| number != 0)
}

/// A point in time in nanoseconds of the system's monotonic clock.
#[cfg(not(modelled))]
#[inline]
#[must_use]
pub fn nanoseconds(time: Instant) -> u64 {
    use std::sync::OnceLock;
    // The first wait of the process may have begun before this is set.
    static BASE: OnceLock<(Instant, u64)> = OnceLock::new();
    let (base, at) = BASE.get_or_init(|| (Instant::now(), now()));
    let span = time.saturating_duration_since(*base);
    at + span.as_secs() * 1_000_000_000 + u64::from(span.subsec_nanos())
}

/// The system's monotonic clock, in nanoseconds.
#[cfg(all(unix, not(modelled)))]
fn now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock exists everywhere; the result goes into a local variable.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Elsewhere the clock begins with the first wait.
#[cfg(all(not(unix), not(modelled)))]
fn now() -> u64 {
    0
}

/// In a model there is no time.
#[cfg(modelled)]
#[must_use]
pub fn nanoseconds(_: Instant) -> u64 {
    0
}
