//! All threads that have a number.
//!
//! A thread gets its number when it first takes a lock or waits, and its record from a pool. At its
//! end the record goes back to the pool, and the number is not used again before all others have
//! been used. So a lock that is still held by a thread that has ended is not taken for the lock of
//! a new thread. A record is never freed, so a pointer to it stays valid.

use core::alloc::Layout;
use core::cell::Cell;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use super::fork;
use super::held::{HeldTable, Site, forget_made, is_recording, set_recording, site};
use super::owner::{Owner, own_record, set_own};
use super::queue_lock::{Held, QueueLock};
use super::record::Record;

/// How many numbers there are, with 0, which is that of no thread.
pub const NUMBERS: usize = 1 << 16;

/// The records of the threads, by number; null where there is no thread.
static SLOTS: [AtomicPtr<Record>; NUMBERS] = [const { AtomicPtr::new(ptr::null_mut()) }; NUMBERS];
/// The number that was given out last.
static LAST: AtomicU32 = AtomicU32::new(0);
/// The largest number that was given out.
static LARGEST: AtomicU32 = AtomicU32::new(0);

/// Records of threads that have ended.
struct Pool {
    queue_lock: QueueLock,
    first: Cell<*mut Record>,
}

// SAFETY: the list is used under the queue lock.
unsafe impl Sync for Pool {}

static POOL: Pool = Pool { queue_lock: QueueLock::new(), first: Cell::new(ptr::null_mut()) };

impl Pool {
    /// Takes the queue lock, under which the list changes, and the place where each thread reads its
    /// own bits.
    fn hold(&self) -> Held<'_> {
        let held = self.queue_lock.hold();
        if held.is_stale() {
            // A thread of the parent process may have been in the middle of a change.
            self.first.set(ptr::null_mut());
        }
        held
    }

    fn take(&self) -> Option<NonNull<Record>> {
        let held = self.hold();
        let first = NonNull::new(self.first.get());
        if let Some(first) = first {
            // SAFETY: a record stays valid.
            self.first.set(unsafe { first.as_ref() }.next.load(Ordering::Relaxed));
        }
        held.release();
        first.or_else(allocate)
    }

    fn give_back(&self, record: &Record) {
        let held = self.hold();
        record.next.store(self.first.get(), Ordering::Relaxed);
        self.first.set(ptr::from_ref(record).cast_mut());
        held.release();
    }
}

/// A new record; None if there is no memory.
fn allocate() -> Option<NonNull<Record>> {
    // SAFETY: the layout has a size.
    let record = NonNull::new(unsafe { std::alloc::alloc(Layout::new::<Record>()) })?.cast();
    // SAFETY: fresh memory for a record.
    unsafe { record.write(Record::new()) };
    Some(record)
}

/// Ends the record of a thread when the thread ends.
struct AtEnd;

impl Drop for AtEnd {
    fn drop(&mut self) {
        thread_ends();
    }
}

std::thread_local! {
    static AT_END: AtEnd = const { AtEnd };
}

/// The calling thread as an owner. Gives the thread a number if it has none. [`Owner::NONE`] if
/// there is no memory, or no number is left, or the thread is about to end.
#[inline]
pub fn this_thread() -> Owner {
    match Owner::this_thread() {
        Owner::NONE => this_thread_slowly(),
        owner => owner,
    }
}

#[cold]
#[inline(never)]
fn this_thread_slowly() -> Owner {
    let _ = this_record();
    Owner::known()
}

/// The record of the calling thread; as [`this_thread`].
#[inline]
#[must_use]
pub fn this_record() -> Option<&'static Record> {
    own_record().or_else(thread_begins)
}

#[cold]
#[inline(never)]
fn thread_begins() -> Option<&'static Record> {
    // The first use of the variable takes memory, and the process would end if there were none.
    if !has_memory() || AT_END.try_with(|_| ()).is_err() {
        return None;
    }
    let place = POOL.take()?;
    // SAFETY: a record stays valid.
    let record = unsafe { place.as_ref() };
    let Some(number) = file(place) else {
        POOL.give_back(record);
        return None;
    };
    record.begin(number, ident(), native_id());
    let held = POOL.hold();
    let own = set_own(as_read(number), place.as_ptr());
    record.own.store(own, Ordering::Relaxed);
    held.release();
    Some(record)
}

fn has_memory() -> bool {
    const PLENTY: usize = 16 << 10;
    // SAFETY: any size is valid, and the memory is freed once.
    unsafe {
        let memory = core::hint::black_box(libc::malloc(PLENTY));
        libc::free(memory);
        !memory.is_null()
    }
}

/// Puts a record into the next free slot.
fn file(record: NonNull<Record>) -> Option<u32> {
    for _ in 1..NUMBERS {
        let number = LAST.fetch_add(1, Ordering::Relaxed) % (NUMBERS as u32 - 1) + 1;
        let (none, some) = (ptr::null_mut(), record.as_ptr());
        // Release: a reader that finds the record finds it in order.
        if SLOTS[number as usize]
            .compare_exchange(none, some, Ordering::Release, Ordering::Relaxed)
            .is_ok()
        {
            LARGEST.fetch_max(number, Ordering::Relaxed);
            return Some(number);
        }
    }
    None
}

/// The calling thread has ended, as far as the program can tell. If it takes a lock after this, it
/// gets another number.
pub fn thread_ends() {
    let Some(record) = own_record() else { return };
    let number = record.number();
    let held = POOL.hold();
    record.own.store(ptr::null_mut(), Ordering::Relaxed);
    held.release();
    set_own(Owner::NONE, ptr::null_mut());
    record.end();
    SLOTS[number as usize].store(ptr::null_mut(), Ordering::Relaxed);
    POOL.give_back(record);
}

/// What a thread reads as its own bits. While it is recorded where locks are taken, that is nothing:
/// then no thread takes a lock the usual way.
fn as_read(number: u32) -> Owner {
    if is_recording() { Owner::NONE } else { Owner::numbered(number) }
}

/// Records from now on where locks are taken and made, or does so no more.
pub fn record_sites(on: bool) {
    let held = POOL.hold();
    set_recording(on);
    for record in records() {
        let own = record.own.load(Ordering::Relaxed);
        if !own.is_null() {
            // SAFETY: a variable of a thread, which does not end while this holds the queue lock.
            let own = unsafe { AtomicU32::from_ptr(own) };
            own.store(as_read(record.number()).bits(), Ordering::Relaxed);
        }
    }
    held.release();
    if !on {
        forget_made();
    }
}

/// The table of the locks that the calling thread has taken. None if there is no memory.
#[must_use]
pub fn own_held_table() -> Option<&'static HeldTable> {
    let record = this_record()?;
    let mut place = record.held.load(Ordering::Relaxed).cast::<HeldTable>();
    if place.is_null() {
        // SAFETY: the layout has a size.
        place = unsafe { std::alloc::alloc(Layout::new::<HeldTable>()) }.cast();
        let table = NonNull::new(place)?;
        // SAFETY: fresh memory for a table. It belongs to the record, which is never freed.
        unsafe { table.write(HeldTable::new()) };
        record.held.store(place.cast(), Ordering::Release);
    }
    // SAFETY: the table of the record.
    unsafe { place.as_ref() }
}

/// Where the thread with this number took the lock at this address, and when.
#[must_use]
pub fn taken_at(number: u32, lock: usize) -> Option<(Site, u64)> {
    let table = record_of(number)?.held.load(Ordering::Acquire).cast::<HeldTable>();
    // SAFETY: null, or the table of the record.
    let (number, since) = unsafe { table.as_ref() }?.taken_at(lock)?;
    Some((site(number)?, since))
}

/// In the child of a fork: only the calling thread exists. The records of the others are leaked,
/// because a thread may have been in the middle of a change of its own.
pub fn after_fork_in_child() {
    let own = own_record();
    for number in 1..=LARGEST.load(Ordering::Relaxed) {
        if own.is_none_or(|own| own.number() != number) {
            SLOTS[number as usize].store(ptr::null_mut(), Ordering::Relaxed);
        }
    }
    if let Some(own) = own {
        own.goes_on_after_fork(native_id());
    }
    FORKED_AT.store(LAST.load(Ordering::Relaxed), Ordering::Relaxed);
}

/// The number that was given out last when this process was made by a fork; 0 in any other process.
static FORKED_AT: AtomicU32 = AtomicU32::new(0);

/// Whether a thread with this number, which does not exist, was left behind by a fork.
#[must_use]
pub fn was_left_behind(number: u32) -> bool {
    fork::epoch() != 0 && number != 0 && number <= FORKED_AT.load(Ordering::Relaxed)
}

/// The record of a thread; None if there is no thread with this number.
#[must_use]
pub fn record_of(number: u32) -> Option<&'static Record> {
    // Acquire pairs with the Release in `file`.
    let place = SLOTS.get(number as usize)?.load(Ordering::Acquire);
    // SAFETY: a record stays valid.
    let record = unsafe { place.as_ref() }?;
    (record.number() == number).then_some(record)
}

/// All threads, by number.
pub fn records() -> impl Iterator<Item = &'static Record> {
    (1..=LARGEST.load(Ordering::Relaxed)).filter_map(record_of)
}

/// The number of a thread with this identifier; 0 if there is none.
#[must_use]
pub fn number_of(ident: u64) -> u32 {
    records().find(|record| record.ident() == ident).map_or(0, Record::number)
}

/// The addresses of the slots, of the largest number, and of the last one before a fork, for other
/// processes.
#[must_use]
pub fn places() -> (*const (), *const u32, *const u32) {
    (ptr::from_ref(&SLOTS).cast(), LARGEST.as_ptr(), FORKED_AT.as_ptr())
}

/// The identifier of the calling thread, as CPython's `PyThread_get_thread_ident`.
fn ident() -> u64 {
    #[cfg(unix)]
    // SAFETY: there is nothing to promise.
    #[allow(clippy::unnecessary_cast, reason = "it is not u64 everywhere")]
    return (unsafe { libc::pthread_self() }) as u64;
    #[cfg(not(unix))]
    0
}

/// The number of the calling thread for the operating system; 0 if it is not known.
fn native_id() -> u32 {
    #[cfg(target_os = "linux")]
    // SAFETY: there is nothing to promise.
    return (unsafe { libc::syscall(libc::SYS_gettid) }) as u32;
    #[cfg(not(target_os = "linux"))]
    0
}
