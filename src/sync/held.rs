//! Where locks were taken, and where they were made. Recorded on request.
//!
//! A *site* is a place in the program: a file, a function and a line. It has a number, which is
//! found by the instruction that is executed there. A thread keeps the sites of the locks that it
//! has taken in a table of its own, by the address of the lock. An entry is not removed when the
//! lock is released: the word of a lock says whether its owner has recorded where it took the lock,
//! and the next entry for the same address takes the place of the old one.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::collections::HashMap;

use super::mutex::Mutex;

/// Whether sites are recorded.
static RECORDING: AtomicBool = AtomicBool::new(false);

/// Whether sites are recorded.
#[inline]
#[must_use]
pub fn is_recording() -> bool {
    RECORDING.load(Ordering::Relaxed)
}

pub(super) fn set_recording(on: bool) {
    RECORDING.store(on, Ordering::Relaxed);
}

/// A place in the program.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Site {
    /// The name of the file, as the code has it.
    pub file: String,
    /// The name of the function.
    pub function: String,
    /// The line, 0 if it is not known.
    pub line: u32,
}

/// The number of a site; 0 is none.
pub type SiteNumber = u32;

/// All sites, by number less one, by instruction, and by themselves. They stay for good.
struct Sites {
    numbers: Option<HashMap<u64, SiteNumber>>,
    of_sites: Option<HashMap<Site, SiteNumber>>,
    sites: Vec<Site>,
    /// Where locks were made, by the address of the lock.
    made: Option<HashMap<usize, SiteNumber>>,
}

static SITES: Mutex<Sites> =
    Mutex::new(Sites { numbers: None, of_sites: None, sites: Vec::new(), made: None });

impl Sites {
    /// The number of a site.
    fn number(&mut self, site: Site) -> SiteNumber {
        if let Some(&number) = self.of_sites.as_ref().and_then(|numbers| numbers.get(&site)) {
            return number;
        }
        self.sites.push(site.clone());
        let number = self.sites.len() as SiteNumber;
        self.of_sites.get_or_insert_default().insert(site, number);
        number
    }
}

/// Keeps the tables consistent across a fork.
pub fn before_fork() {
    SITES.lock_before_fork();
}

/// # Safety
/// After [`before_fork`], in the same thread, once in each process.
pub unsafe fn after_fork() {
    // SAFETY: as the caller promises.
    unsafe { SITES.unlock_after_fork() };
}

/// The site with this number.
#[must_use]
pub fn site(number: SiteNumber) -> Option<Site> {
    let index = (number as usize).checked_sub(1)?;
    SITES.lock().sites.get(index).cloned()
}

fn known(instruction: u64) -> Option<SiteNumber> {
    SITES.lock().numbers.as_ref()?.get(&instruction).copied()
}

fn add(instruction: u64, site: Site) -> SiteNumber {
    let mut sites = SITES.lock();
    let number = sites.number(site);
    sites.numbers.get_or_insert_default().insert(instruction, number);
    number
}

/// The number of the site with this instruction. `describe` is called for a new one.
fn number_of(instruction: u64, describe: impl FnOnce() -> Option<Site>) -> SiteNumber {
    if instruction == 0 {
        return 0;
    }
    match known(instruction) {
        Some(number) => number,
        // Not under the mutex: to describe a site runs code of the interpreter.
        None => describe().map_or(0, |site| add(instruction, site)),
    }
}

/// Notes where the lock at this address was made.
pub fn is_made(lock: usize, site: Option<Site>) {
    let mut sites = SITES.lock();
    let number = site.map_or(0, |site| sites.number(site));
    sites.made.get_or_insert_default().insert(lock, number);
}

/// Where the lock at this address was made, if that was recorded.
#[must_use]
pub fn made_at(lock: usize) -> Option<Site> {
    let number = SITES.lock().made.as_ref()?.get(&lock).copied()?;
    site(number)
}

/// Forgets where locks were made: while nothing is recorded, others take their addresses.
pub(super) fn forget_made() {
    SITES.lock().made = None;
}

const ENTRIES: usize = 128;
/// How many entries are looked at for an address.
const TRIES: usize = 8;

/// One lock that a thread has taken.
struct Entry {
    lock: AtomicUsize,
    site: AtomicU32,
    /// In nanoseconds of the system's monotonic clock.
    since: AtomicU64,
}

/// The sites of the instructions that the thread has met lately.
struct Lately {
    instruction: u64,
    site: SiteNumber,
}

/// The locks that a thread has taken. Written by the thread alone, and read by any.
pub struct HeldTable {
    entries: [Entry; ENTRIES],
    lately: [UnsafeCell<Lately>; ENTRIES],
    next: AtomicUsize,
}

// SAFETY: `lately` is used by the thread alone that the table belongs to.
unsafe impl Sync for HeldTable {}

impl HeldTable {
    /// An empty table.
    pub(super) fn new() -> HeldTable {
        HeldTable {
            entries: core::array::from_fn(|_| Entry {
                lock: AtomicUsize::new(0),
                site: AtomicU32::new(0),
                since: AtomicU64::new(0),
            }),
            lately: core::array::from_fn(|_| UnsafeCell::new(Lately { instruction: 0, site: 0 })),
            next: AtomicUsize::new(0),
        }
    }

    fn places(lock: usize) -> impl Iterator<Item = usize> {
        let first = hash(lock as u64);
        (0..TRIES).map(move |index| (first + index) % ENTRIES)
    }

    /// Notes that the thread has taken a lock. To be called by the thread itself.
    pub fn is_taken(
        &self,
        lock: usize,
        instruction: u64,
        since: u64,
        describe: impl FnOnce() -> Option<Site>,
    ) {
        let site = self.number_of(instruction, describe);
        let is_usable = |&place: &usize| {
            let at = self.entries[place].lock.load(Ordering::Relaxed);
            at == lock || at == 0
        };
        let place = HeldTable::places(lock).find(is_usable).unwrap_or_else(|| {
            // All are in use, or were: the next one in turn is given up.
            let turn = self.next.load(Ordering::Relaxed);
            self.next.store(turn.wrapping_add(1), Ordering::Relaxed);
            (hash(lock as u64) + turn % TRIES) % ENTRIES
        });
        let entry = &self.entries[place];
        entry.lock.store(0, Ordering::Release);
        entry.site.store(site, Ordering::Relaxed);
        entry.since.store(since, Ordering::Relaxed);
        entry.lock.store(lock, Ordering::Release);
    }

    #[inline]
    fn number_of(&self, instruction: u64, describe: impl FnOnce() -> Option<Site>) -> SiteNumber {
        // SAFETY: only this thread uses it, and nothing below does so again meanwhile.
        let lately = unsafe { &mut *self.lately[hash(instruction)].get() };
        if lately.instruction == instruction && lately.site != 0 {
            return lately.site;
        }
        let site = number_of(instruction, describe);
        // SAFETY: as above. `describe` may have taken locks, so the reference is made anew.
        unsafe { self.lately[hash(instruction)].get().write(Lately { instruction, site }) };
        site
    }

    /// The site at which the thread took a lock, and when. It is that of the present hold only if
    /// the word of the lock says that it was recorded.
    #[must_use]
    pub fn taken_at(&self, lock: usize) -> Option<(SiteNumber, u64)> {
        let mut entries = HeldTable::places(lock).map(|place| &self.entries[place]);
        let entry = entries.find(|entry| entry.lock.load(Ordering::Acquire) == lock)?;
        Some((entry.site.load(Ordering::Relaxed), entry.since.load(Ordering::Relaxed)))
    }
}

/// An index into a table: Fibonacci hashing.
fn hash(key: u64) -> usize {
    ((key >> 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 57) as usize % ENTRIES
}
