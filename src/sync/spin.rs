//! Looking for something for a moment before sleeping.
//!
//! To be woken takes several microseconds, and many times that if the processor has gone to sleep as
//! well; a thread that runs on another processor often answers sooner. Two threads that take turns
//! are in one of two states: both look, and a turn takes a microsecond; or both sleep, and each
//! waits for the other's wake-up. To get from the second to the first, a thread has to look for
//! longer than a wake-up takes.
//!
//! Looking costs processor time, and is worth it only where an answer comes. What waits brought is
//! remembered for each place, that is, for each object that is waited for: where looking was in
//! vain, more and more waits do without before it is tried again. Places share what is remembered
//! if their addresses happen to fall together; all threads share it. A lost update does no harm.

use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use core::time::Duration;
use std::time::Instant;

/// How long a moment is, in wake-ups of this machine.
const WAKE_UPS: u32 = 2;
/// In nanoseconds: what a wake-up is taken to last before one has been seen, the least and the most.
const WAKE_UP: u32 = 20_000;
const SHORTEST: u32 = 5_000;
const LONGEST: u32 = 40_000;

/// How long a wake-up takes, where the processor has time for it.
pub struct WakeUps(AtomicU32);

impl WakeUps {
    /// None has been seen.
    #[expect(clippy::new_without_default, reason = "it begins with an assumption")]
    pub const fn new() -> WakeUps {
        WakeUps(AtomicU32::new(WAKE_UP))
    }

    /// A thread that slept has been woken, and it took so long. A machine that has other things to
    /// do is late, which says nothing: so what is short counts at once, and what is long by and by.
    pub fn took(&self, span: Duration) {
        let span = u32::try_from(span.as_nanos()).unwrap_or(u32::MAX).clamp(SHORTEST, LONGEST);
        let old = self.0.load(Ordering::Relaxed);
        let new = if span < old { old - (old - span) / 4 } else { old + (span - old) / 64 };
        self.0.store(new, Ordering::Relaxed);
    }

    /// How long a thread looks.
    pub fn moment(&self) -> Duration {
        Duration::from_nanos(u64::from(self.0.load(Ordering::Relaxed)) * u64::from(WAKE_UPS))
    }
}

static SEEN: WakeUps = WakeUps::new();

/// A thread that slept has been woken, and it took so long.
pub fn took(span: Duration) {
    SEEN.took(span);
}

/// How often to look between two looks at the clock.
const LOOKS: u32 = 16;

/// For how many waits in vain a place is forgiven: at most, and after each success so many more.
const CREDIT: u32 = 8;
const SUCCESS: u32 = 2;
/// How many waits do without after the first one in vain, and at most. Powers of two.
const FEWEST: u32 = 4;
const MOST: u32 = 12;

/// How many waits do without at most where an answer is expected, and how many moments such a look takes:
/// a thread that was woken runs for a while before it answers.
const EXPECTED: u32 = 15;
const MOMENTS: u32 = 3;

const PLACES_LOG: u32 = 10;

/// What waits have brought, by place.
pub struct Habits([AtomicU32; 1 << PLACES_LOG]);

static HABITS: Habits = Habits::new();

/// What waits at a place have brought: packed into 32 bits.
#[derive(Clone, Copy)]
struct Habit {
    /// How many of the next waits do not look.
    skip: u32,
    /// How often in a row it was in vain.
    vain: u32,
    /// How often it may be in vain before the next pause.
    credit: u32,
    /// An answer is expected.
    expected: bool,
}

const EXPECTED_BIT: u32 = 1 << 23;

impl Habit {
    fn unpack(word: u32) -> Habit {
        let expected = word & EXPECTED_BIT != 0;
        Habit { skip: word & 0xffff, vain: word >> 16 & 0x7f, credit: word >> 24, expected }
    }

    fn pack(self) -> u32 {
        let expected = if self.expected { EXPECTED_BIT } else { 0 };
        self.skip | self.vain << 16 | expected | self.credit << 24
    }

    fn after(self, success: bool) -> Habit {
        if success {
            let credit = (self.credit + SUCCESS).min(CREDIT);
            return Habit { skip: 0, vain: 0, credit, expected: false };
        }
        if self.credit > 0 {
            return Habit { credit: self.credit - 1, expected: false, ..self };
        }
        let skip = 1 << (FEWEST + self.vain).min(MOST);
        Habit { skip, vain: (self.vain + 1).min(MOST), credit: 0, expected: false }
    }
}

/// Something that is waited for, as far as the memory of waits is concerned.
#[derive(Clone, Copy)]
pub struct Place(usize);

impl Place {
    /// The place with this address, or another number that tells it from others.
    pub const fn new(address: usize) -> Place {
        Place(address)
    }

    /// Another place for waits of another kind for the same thing.
    pub const fn other(self) -> Place {
        Place(!self.0)
    }

    /// Another one, for what comes after such a wait.
    pub const fn later(self) -> Place {
        Place(self.0 ^ 0x5555_5555)
    }

    fn number(self) -> usize {
        // Fibonacci hashing: the high bits of the product depend on all bits of the address.
        let hash = (self.0 as u64 >> 3).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (hash >> (64 - PLACES_LOG)) as usize
    }
}

/// What looking has brought.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looked {
    /// It was not likely to help.
    NotAtAll,
    /// For the whole moment, and it was not ready.
    InVain,
    /// It was ready.
    Found,
}

impl Habits {
    /// Nothing has been learned.
    #[expect(clippy::new_without_default, reason = "four kilobytes, for a static")]
    pub const fn new() -> Habits {
        Habits([const { AtomicU32::new(0) }; 1 << PLACES_LOG])
    }

    /// Looks whether `ready` for a moment, if that is likely to help.
    pub fn spin(&self, place: Place, ready: impl FnMut() -> bool) -> Looked {
        if has_company() {
            self.look_for(place, |moments| spin_for(moment() * moments, ready))
        } else {
            Looked::NotAtAll
        }
    }

    /// Looks in this way, if that is likely to help.
    pub fn look(&self, place: Place, found: impl FnOnce() -> bool) -> Looked {
        self.look_for(place, |_| found())
    }

    /// `found` is told for how many moments to look.
    fn look_for(&self, place: Place, found: impl FnOnce(u32) -> bool) -> Looked {
        let cell = &self.0[place.number()];
        let habit = Habit::unpack(cell.load(Ordering::Relaxed));
        if habit.skip > 0 {
            let skip = habit.skip - 1;
            cell.store(Habit { skip, ..habit }.pack(), Ordering::Relaxed);
            return Looked::NotAtAll;
        }
        let found = found(if habit.expected { MOMENTS } else { 1 });
        cell.store(habit.after(found).pack(), Ordering::Relaxed);
        if found { Looked::Found } else { Looked::InVain }
    }
}

/// How long a thread looks.
pub fn moment() -> Duration {
    SEEN.moment()
}

impl Habits {
    /// An answer at this place is likely to come soon, whatever earlier waits have brought: the next look
    /// is one of the next few waits, and takes longer.
    pub fn expect(&self, place: Place) {
        let cell = &self.0[place.number()];
        let habit = Habit::unpack(cell.load(Ordering::Relaxed));
        let skip = habit.skip.min(EXPECTED);
        cell.store(Habit { skip, expected: true, ..habit }.pack(), Ordering::Relaxed);
    }
}

/// [`Habits::expect`] for what all waits have brought, and for what comes after such a wait.
pub fn expect(place: Place) {
    HABITS.expect(place);
    HABITS.expect(place.later());
}

/// [`Habits::spin`] with what all waits have brought.
pub fn spin(place: Place, ready: impl FnMut() -> bool) -> Looked {
    HABITS.spin(place, ready)
}

/// Looks whether `ready` for at most this long. Whether it is.
pub fn spin_for(span: Duration, mut ready: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    loop {
        for _ in 0..LOOKS {
            if ready() {
                return true;
            }
            core::hint::spin_loop();
        }
        if begun.elapsed() >= span {
            return false;
        }
    }
}

/// Whether more than one thread can run at a time.
pub fn has_company() -> bool {
    processors() > 1
}

/// How many threads can run at a time, by affinity and quota. Asked once.
pub fn processors() -> usize {
    static PROCESSORS: AtomicUsize = AtomicUsize::new(0);
    let known = PROCESSORS.load(Ordering::Relaxed);
    if known > 0 {
        return known;
    }
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    PROCESSORS.store(count, Ordering::Relaxed);
    count
}
