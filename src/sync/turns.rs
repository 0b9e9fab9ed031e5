//! For threads that take turns, as those do that share a GIL. The *turn* is the right to run, and
//! one thread has it at a time. This module brings the turn quickly from a thread to the thread
//! that it has answered. To *answer* a waiter is to signal it, see `Waiter::signal`.
//!
//! A waiter that was answered cannot go on before the thread that answered it lets others run. If
//! that is likely to be soon, the waiter spins until then, and does not sleep for its turn. If the
//! other thread runs on the same processor, a spin would keep that thread from running. Then the
//! waiter yields the processor instead.
//!
//! Another thread may want the turn as well: a thread that computes, and sleeps until it has the
//! turn. It loses against threads that spin, and gets a chance now and then. Once it has the turn,
//! it keeps the turn as long as the interpreter lets it, some milliseconds. Two threads that hand
//! work to each other would then wait for it at each step: when one of them has its turn again, the
//! other one sleeps, and takes as long to wake up as the computing thread does. So a thread that
//! had to wait for its turn keeps it until the thread that it has answered is awake.

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use core::time::Duration;
use std::sync::OnceLock;
use std::time::Instant;

use super::spin::{self, Habits, Looked, Place};

/// The number of the processor that the calling thread runs on at this moment, counted from one.
/// Zero if the system cannot tell.
pub fn processor() -> u32 {
    #[cfg(target_os = "linux")]
    // SAFETY: the function has no conditions.
    let number = unsafe { libc::sched_getcpu() };
    #[cfg(not(target_os = "linux"))]
    let number = -1;
    u32::try_from(number + 1).unwrap_or(0)
}

/// Whether the calling thread runs on this processor at this moment. False if the system cannot
/// tell.
#[must_use]
pub fn is_here(number: u32) -> bool {
    number != 0 && number == processor()
}

/// Notes of a thread about its last steps.
///
/// Several threads may share one of these. A thread that loses a note, or uses a note of another
/// thread, only loses a moment. It is not a thread-local variable: the first use of such a variable
/// in a thread allocates memory, and the process ends if there is none.
#[repr(align(64))]
struct Mine {
    /// The thread that was answered last waits on the same processor.
    answered_here: AtomicBool,
    /// This thread has to keep its turn for the thread that it answered last, which slept.
    keeps: AtomicBool,
    /// The value of [`WOKEN`] at that answer.
    before: AtomicU32,
}

const MINES_LOG: u32 = 6;

impl Mine {
    const fn new() -> Mine {
        Mine {
            answered_here: AtomicBool::new(false),
            keeps: AtomicBool::new(false),
            before: AtomicU32::new(0),
        }
    }

    /// The notes of the calling thread.
    fn get() -> &'static Mine {
        static MINES: [Mine; 1 << MINES_LOG] = [const { Mine::new() }; 1 << MINES_LOG];
        // Fibonacci hashing: the numbers of threads of one kind are at equal distances.
        let hash = (thread() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        &MINES[(hash >> (64 - MINES_LOG)) as usize]
    }
}

/// A number that identifies the calling thread.
#[cfg(unix)]
fn thread() -> usize {
    // SAFETY: the function has no conditions.
    unsafe { libc::pthread_self() as usize }
}

#[cfg(not(unix))]
fn thread() -> usize {
    thread_local!(static HERE: u8 = const { 0 });
    HERE.with(|here| core::ptr::from_ref(here).addr())
}

/// A wait for a turn that takes this long means that another thread computes.
const LONG: Duration = Duration::from_millis(1);

/// For how many answers the turn is kept after such a wait.
const KEPT: u32 = 32;

/// For how many more answers the turn is kept. A lost update does no harm.
pub struct Keeping(AtomicU32);

static KEEPING: Keeping = Keeping::new();

impl Keeping {
    /// For none: no thread has had to wait for a long time.
    #[expect(clippy::new_without_default, reason = "for a static")]
    pub const fn new() -> Keeping {
        Keeping(AtomicU32::new(0))
    }

    /// A thread has waited for its turn for this time.
    pub fn waited(&self, span: Duration) {
        if span >= LONG {
            self.0.store(KEPT, Ordering::Relaxed);
        }
    }

    /// Whether the turn is kept for the answer that is given now.
    #[must_use]
    pub fn answers(&self) -> bool {
        let left = self.0.load(Ordering::Relaxed);
        if left > 0 {
            self.0.store(left - 1, Ordering::Relaxed);
        }
        left > 0
    }
}

/// How long the turn is kept at most.
const KEEP: Duration = Duration::from_micros(100);
/// How long the other thread spins for it at most.
const LOOK: Duration = Duration::from_micros(200);

/// How many threads have been woken so far.
static WOKEN: AtomicU32 = AtomicU32::new(0);

/// The calling thread answers a waiter. `here`: the waiter waits on the same processor. `asleep`:
/// it sleeps, else it spins. Returns whether the calling thread keeps its turn until the waiter is
/// awake.
#[must_use]
pub fn answers(here: bool, asleep: bool) -> bool {
    let mine = Mine::get();
    mine.answered_here.store(here, Ordering::Relaxed);
    let keeps = KEEPING.answers();
    if keeps && asleep {
        mine.before.store(WOKEN.load(Ordering::Relaxed), Ordering::Relaxed);
        mine.keeps.store(true, Ordering::Relaxed);
    }
    keeps
}

/// The calling thread has been woken.
pub fn is_woken() {
    WOKEN.fetch_add(1, Ordering::Relaxed);
}

/// Whether the calling thread would keep the thread that it answered last from running, if it spins
/// and does not sleep. This is so if that thread waits on the same processor: other processes may
/// have all other processors, and then it has to run on this one. To be called once after each
/// answer.
#[must_use]
pub fn keeps_from_running() -> bool {
    let mine = Mine::get();
    let answered_here = mine.answered_here.load(Ordering::Relaxed);
    if answered_here {
        mine.answered_here.store(false, Ordering::Relaxed);
    }
    answered_here || !spin::has_company()
}

/// A thread that is away from the processor for longer than this has lost it to another process.
const LOST: Duration = Duration::from_micros(200);
/// How many times the thread does not yield after it has lost the processor: the largest number, as
/// a power of two.
const MOST: u32 = 15;
/// How many yields in a row have to go well until one loss is forgiven.
const WELL: u32 = 16;

/// The results of yielding the processor.
pub struct Manners {
    /// Three counters in a word of 32 bits. Any thread stores a new word, after it has yielded or
    /// when it does not yield.
    ///
    /// | bits | meaning |
    /// |---|---|
    /// | 0 to 15 | how many times not to yield |
    /// | 16 to 23 | how many losses |
    /// | 24 to 31 | how many yields in a row went well |
    word: AtomicU32,
    habits: Habits,
}

static MANNERS: Manners = Manners::new();

impl Manners {
    /// No result is known.
    #[expect(clippy::new_without_default, reason = "for a static")]
    pub const fn new() -> Manners {
        Manners { word: AtomicU32::new(0), habits: Habits::new() }
    }

    /// Yields the processor to the threads that have to run on it, until `ready`, for a moment, if
    /// that is likely to help.
    ///
    /// These threads run at once; a sleep and a wake-up take longer. But if another process wants
    /// the processor too, it then has the processor for some milliseconds.
    pub fn let_run(&self, place: Place, mut ready: impl FnMut() -> bool) -> Looked {
        let word = self.word.load(Ordering::Relaxed);
        let (skip, losses, well) = (word & 0xffff, word >> 16 & 0xff, word >> 24);
        if skip > 0 {
            self.word.store(word - 1, Ordering::Relaxed);
            return Looked::NotAtAll;
        }
        let mut lost = false;
        let looked = self.habits.look(place, || {
            if ready() {
                return true;
            }
            let begun = Instant::now();
            let mut before = begun;
            loop {
                std::thread::yield_now();
                let found = ready();
                let now = Instant::now();
                lost = now - before > LOST;
                if found || lost || now - begun > spin::moment() {
                    return found;
                }
                before = now;
            }
        });
        let next = if lost {
            let losses = (losses + 1).min(MOST);
            (1 << losses) | losses << 16
        } else if looked != Looked::Found {
            word
        } else if well + 1 < WELL {
            losses << 16 | (well + 1) << 24
        } else {
            losses.saturating_sub(1) << 16
        };
        self.word.store(next, Ordering::Relaxed);
        looked
    }
}

/// [`Manners::let_run`] with the results of all threads.
pub fn let_run(place: Place, ready: impl FnMut() -> bool) -> Looked {
    MANNERS.let_run(place, ready)
}

/// The calling thread has waited for its turn for this time.
pub fn waited(span: Duration) {
    KEEPING.waited(span);
}

/// The calling thread is about to let others run. If it has to keep its turn, it does so until a
/// thread has been woken, for `KEEP` at most.
pub fn keep_until_woken() {
    let mine = Mine::get();
    if !mine.keeps.load(Ordering::Relaxed) {
        return;
    }
    mine.keeps.store(false, Ordering::Relaxed);
    let before = mine.before.load(Ordering::Relaxed);
    let here = mine.answered_here.load(Ordering::Relaxed);
    let _woken = look_once(KEEP, here, || WOKEN.load(Ordering::Relaxed) != before);
}

/// For the thread that the turn is kept for: spins until the turn is free.
pub fn await_kept(here: bool, is_free: impl FnMut() -> bool) -> Looked {
    if look_once(LOOK, here, is_free) { Looked::Found } else { Looked::InVain }
}

/// Spins until `ready`, for at most this time, whatever earlier results are. If the other thread is
/// on the same processor (`here`), yields the processor to it meanwhile.
fn look_once(span: Duration, here: bool, mut ready: impl FnMut() -> bool) -> bool {
    if !here {
        return spin::spin_for(span, ready);
    }
    let begun = Instant::now();
    while !ready() {
        if begun.elapsed() > span {
            return false;
        }
        std::thread::yield_now();
    }
    true
}

/// Increased by each thread that has let others run. A thread that answers a waiter notes this
/// number with the answer. If the number has changed later, a thread has let others run since the
/// answer.
static ERA: AtomicU32 = AtomicU32::new(0);

/// The calling thread has let others run.
pub fn let_others_run() {
    ERA.fetch_add(1, Ordering::Relaxed);
}

/// The number at this moment, to be compared with a later one.
pub fn era() -> u32 {
    ERA.load(Ordering::Relaxed)
}

/// How long threads may hand the turn to each other before others get a chance.
const BURST: Duration = Duration::from_micros(700);
/// Turns that are further apart than this leave others enough room.
const PAUSE: Duration = Duration::from_micros(100);
/// How long the chance lasts: long enough for a thread to be woken.
const CHANCE: Duration = Duration::from_micros(20);

/// Leaves the turn free for a moment, now and then. To be called by a thread that has spun for its
/// turn and is about to take it. Threads that hand the turn to each other in this way are always
/// faster than a thread that sleeps until the turn is free.
pub fn give_others_a_chance() {
    static BEGUN: AtomicU64 = AtomicU64::new(0);
    static LAST: AtomicU64 = AtomicU64::new(0);
    static START: OnceLock<Instant> = OnceLock::new();
    let now = START.get_or_init(Instant::now).elapsed().as_nanos() as u64;
    let since = |then: &AtomicU64| now.saturating_sub(then.load(Ordering::Relaxed));
    if since(&LAST) > PAUSE.as_nanos() as u64 {
        BEGUN.store(now, Ordering::Relaxed);
    }
    LAST.store(now, Ordering::Relaxed);
    if since(&BEGUN) > BURST.as_nanos() as u64 {
        BEGUN.store(now, Ordering::Relaxed);
        std::thread::sleep(CHANCE);
    }
}
