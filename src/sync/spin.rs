//! Spinning: checking for a moment whether a wait is over, before the thread sleeps.
//!
//! A wake-up takes several microseconds, and many times that if the processor has gone to sleep as
//! well. A thread that runs on another processor often answers sooner. Two threads that hand work
//! to each other are in one of two states: both spin, and a step takes a microsecond; or both
//! sleep, and each waits for the other's wake-up. To get from the second state to the first, a
//! thread has to spin for longer than a wake-up takes.
//!
//! Spinning costs processor time, and pays only if the answer comes. So the result is remembered
//! for each *place*, that is, for each object that a thread waits for. After spins without success,
//! more and more waits do not spin before it is tried again. Places share one memory if their
//! addresses have the same hash, and so do all threads. A lost update does no harm.

use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use core::time::Duration;
use std::time::Instant;

/// The length of a moment, in wake-ups of this machine.
const WAKE_UPS: u32 = 2;
/// The assumed length of a wake-up before the first one was measured, in nanoseconds.
const WAKE_UP: u32 = 20_000;
/// The least length of a wake-up, in nanoseconds.
const SHORTEST: u32 = 5_000;
/// The largest length of a wake-up, in nanoseconds.
const LONGEST: u32 = 40_000;

/// The measured length of a wake-up on a processor that is not busy with other work.
pub struct WakeUps(AtomicU32);

impl WakeUps {
    /// No wake-up has been measured.
    #[expect(clippy::new_without_default, reason = "it begins with an assumption")]
    pub const fn new() -> WakeUps {
        WakeUps(AtomicU32::new(WAKE_UP))
    }

    /// A thread that slept has been woken, and the wake-up took this long.
    ///
    /// On a busy machine a wake-up is late, and that says nothing about its own length. So a short
    /// time counts at once, and a long one little by little.
    pub fn took(&self, span: Duration) {
        let span = u32::try_from(span.as_nanos()).unwrap_or(u32::MAX).clamp(SHORTEST, LONGEST);
        let old = self.0.load(Ordering::Relaxed);
        let new = if span < old { old - (old - span) / 4 } else { old + (span - old) / 64 };
        self.0.store(new, Ordering::Relaxed);
    }

    /// How long a thread spins.
    pub fn moment(&self) -> Duration {
        Duration::from_nanos(u64::from(self.0.load(Ordering::Relaxed)) * u64::from(WAKE_UPS))
    }
}

static SEEN: WakeUps = WakeUps::new();

/// A thread that slept has been woken, and the wake-up took this long.
pub fn took(span: Duration) {
    SEEN.took(span);
}

/// How many checks a spin makes between two readings of the clock.
const LOOKS: u32 = 16;

/// How many spins without success at a place have no consequence, at most.
const CREDIT: u32 = 8;
/// How many more of them each success allows.
const SUCCESS: u32 = 2;
/// How many waits do not spin in the first pause, as a power of two.
const FEWEST: u32 = 4;
/// How many waits do not spin in the longest pause, as a power of two.
const MOST: u32 = 12;

/// How many waits do not spin, at most, if an answer is expected.
const EXPECTED: u32 = 15;
/// How many moments a spin takes if an answer is expected: a thread that was woken runs for a while
/// before it answers.
const MOMENTS: u32 = 3;

const PLACES_LOG: u32 = 10;

/// The results of waits, by place.
pub struct Habits([AtomicU32; 1 << PLACES_LOG]);

static HABITS: Habits = Habits::new();

/// The results of the waits at a place. They are packed into a word of 32 bits:
///
/// | bits | meaning |
/// |---|---|
/// | 0 to 15 | `skip` |
/// | 16 to 22 | `vain` |
/// | 23 | `expected` |
/// | 24 to 31 | `credit` |
///
/// Any thread stores a new word: after a spin, instead of a spin, and in [`Habits::expect`].
#[derive(Clone, Copy)]
struct Habit {
    /// How many of the next waits do not spin: a pause.
    skip: u32,
    /// How many pauses there were since the last success. Not counted beyond [`MOST`].
    vain: u32,
    /// How many spins may fail before the next pause.
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

/// An object that threads wait for, as far as the memory of spins is concerned.
#[derive(Clone, Copy)]
pub struct Place(usize);

impl Place {
    /// The place with this address, or with another number that identifies it.
    pub const fn new(address: usize) -> Place {
        Place(address)
    }

    /// Another place, for waits of another kind for the same object.
    pub const fn other(self) -> Place {
        Place(!self.0)
    }

    /// Another place, for the time after a wait at this one.
    pub const fn later(self) -> Place {
        Place(self.0 ^ 0x5555_5555)
    }

    fn number(self) -> usize {
        // Fibonacci hashing: the high bits of the product depend on all bits of the address.
        let hash = (self.0 as u64 >> 3).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (hash >> (64 - PLACES_LOG)) as usize
    }
}

/// The result of a spin.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looked {
    /// There was no spin, because it was not likely to help.
    NotAtAll,
    /// The spin took the whole moment, and the wait was not over.
    InVain,
    /// The wait was over.
    Found,
}

impl Habits {
    /// No result is known.
    #[expect(clippy::new_without_default, reason = "four kilobytes, for a static")]
    pub const fn new() -> Habits {
        Habits([const { AtomicU32::new(0) }; 1 << PLACES_LOG])
    }

    /// Spins for a moment until `ready`, if that is likely to help.
    pub fn spin(&self, place: Place, ready: impl FnMut() -> bool) -> Looked {
        if has_company() {
            self.look_for(place, |moments| spin_for(moment() * moments, ready))
        } else {
            Looked::NotAtAll
        }
    }

    /// Spins with `found`, if that is likely to help.
    pub fn look(&self, place: Place, found: impl FnOnce() -> bool) -> Looked {
        self.look_for(place, |_| found())
    }

    /// `found` gets the number of moments to spin.
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

/// How long a thread spins.
pub fn moment() -> Duration {
    SEEN.moment()
}

impl Habits {
    /// Says that an answer at this place is likely to come soon, in spite of earlier results. Then
    /// one of the next few waits spins, and its spin takes longer.
    pub fn expect(&self, place: Place) {
        let cell = &self.0[place.number()];
        let habit = Habit::unpack(cell.load(Ordering::Relaxed));
        let skip = habit.skip.min(EXPECTED);
        cell.store(Habit { skip, expected: true, ..habit }.pack(), Ordering::Relaxed);
    }
}

/// [`Habits::expect`] with the memory of all waits, for this place and for the time after a wait at
/// it.
pub fn expect(place: Place) {
    HABITS.expect(place);
    HABITS.expect(place.later());
}

/// [`Habits::spin`] with the memory of all waits.
pub fn spin(place: Place, ready: impl FnMut() -> bool) -> Looked {
    HABITS.spin(place, ready)
}

/// Spins until `ready`, for at most this time. Whether it became ready.
#[must_use]
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
#[must_use]
pub fn has_company() -> bool {
    processors() > 1
}

/// How many threads can run at a time, by affinity and quota. Determined once.
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
