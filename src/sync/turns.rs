//! For threads of which one runs at a time, as those that share a GIL do: how a turn gets quickly
//! from a thread to the one that it has answered.
//!
//! A waiter that is answered cannot go on before the thread that has answered lets others run. If
//! that is soon, the waiter looks until then instead of sleeping for its turn. It finds out here
//! whether that is likely: not if the other thread sleeps or runs on the same processor.
//!
//! Another thread may want the turn as well, one that computes and sleeps until it has it. It loses
//! against threads that look, and gets a chance now and then. Once it has its turn it keeps it for
//! as long as the interpreter lets it, some milliseconds. Two threads that hand something to each
//! other would wait for it at each step: when one of them has its turn again, the other one sleeps,
//! and takes as long to wake up as the computing thread does. So a thread that had to wait for its
//! turn keeps it until the thread that it has answered is awake.

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use core::time::Duration;
use std::sync::OnceLock;
use std::time::Instant;

use super::spin::{self, Habits, Looked, Place};

/// The number of the processor that the calling thread runs on at this moment, counted from one;
/// zero if that cannot be had.
pub fn processor() -> u32 {
    #[cfg(target_os = "linux")]
    // SAFETY: has no conditions.
    let number = unsafe { libc::sched_getcpu() };
    #[cfg(not(target_os = "linux"))]
    let number = -1;
    u32::try_from(number + 1).unwrap_or(0)
}

/// Whether the calling thread runs on this one at this moment; no if that cannot be had.
pub fn is_here(number: u32) -> bool {
    number != 0 && number == processor()
}

/// What a thread remembers of its last steps. Several threads may share one of these: what one forgets
/// or takes for its own then costs a moment. Not a thread-local variable: the first use of one in a
/// thread takes memory, which ends the process where there is none.
#[repr(align(64))]
struct Mine {
    /// The thread that it answered last waits on its own processor.
    answered_here: AtomicBool,
    /// It is to wait for the thread that it answered last, which slept,
    keeps: AtomicBool,
    /// and so many had woken up then.
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

    /// The calling thread's.
    fn get() -> &'static Mine {
        static MINES: [Mine; 1 << MINES_LOG] = [const { Mine::new() }; 1 << MINES_LOG];
        // Fibonacci hashing: threads of one kind lie at the same distance from each other.
        let hash = (thread() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        &MINES[(hash >> (64 - MINES_LOG)) as usize]
    }
}

/// A number that the calling thread has and no other.
#[cfg(unix)]
fn thread() -> usize {
    // SAFETY: has no conditions.
    unsafe { libc::pthread_self() as usize }
}

#[cfg(not(unix))]
fn thread() -> usize {
    thread_local!(static HERE: u8 = const { 0 });
    HERE.with(|here| core::ptr::from_ref(here).addr())
}

/// A wait for a turn of this length means that another thread computes.
const LONG: Duration = Duration::from_millis(1);

/// After such a wait: for how many answers the turn is kept.
const KEPT: u32 = 32;

/// For how many answers more the turn is kept. A lost update does no harm.
pub struct Keeping(AtomicU32);

static KEEPING: Keeping = Keeping::new();

impl Keeping {
    /// For none: no thread has had to wait long.
    #[expect(clippy::new_without_default, reason = "for a static")]
    pub const fn new() -> Keeping {
        Keeping(AtomicU32::new(0))
    }

    /// A thread has waited for its turn for so long.
    pub fn waited(&self, span: Duration) {
        if span >= LONG {
            self.0.store(KEPT, Ordering::Relaxed);
        }
    }

    /// Whether the turn is kept for the answer that is given now.
    pub fn answers(&self) -> bool {
        let left = self.0.load(Ordering::Relaxed);
        if left > 0 {
            self.0.store(left - 1, Ordering::Relaxed);
        }
        left > 0
    }
}

/// How long at most, and how long at most the other thread looks for it.
const KEEP: Duration = Duration::from_micros(100);
const LOOK: Duration = Duration::from_micros(200);

/// How many threads have been woken.
static WOKEN: AtomicU32 = AtomicU32::new(0);

/// The calling thread answers one that waits `here`, on its own processor, or elsewhere; asleep, or
/// looking. Whether it will keep its turn until that one is awake.
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

/// Whether the calling thread keeps the one that it answered last from running, as long as it looks
/// instead of sleeping: if other processes have all other processors, it is to run here. Asked
/// once after each answer.
pub fn keeps_from_running() -> bool {
    let mine = Mine::get();
    let answered_here = mine.answered_here.load(Ordering::Relaxed);
    if answered_here {
        mine.answered_here.store(false, Ordering::Relaxed);
    }
    answered_here || !spin::has_company()
}

/// Who is away from the processor for longer than this has lost it to another process.
const LOST: Duration = Duration::from_micros(200);
/// How many times the processor is not left to others after it was lost: a power of two, at most.
const MOST: u32 = 15;
/// How often in a row it has to go well until the next loss is forgiven a little.
const WELL: u32 = 16;

/// What leaving the processor to others has brought.
pub struct Manners {
    /// How often not to; how many losses; how often in a row it went well.
    word: AtomicU32,
    habits: Habits,
}

static MANNERS: Manners = Manners::new();

impl Manners {
    /// Nothing has been learned.
    #[expect(clippy::new_without_default, reason = "for a static")]
    pub const fn new() -> Manners {
        Manners { word: AtomicU32::new(0), habits: Habits::new() }
    }

    /// Leaves the processor to the threads that are to run on it until `ready`, for a moment, if
    /// that is likely to help. They run at once, where a sleep and a wake-up take longer. But where
    /// another process wants the processor too, it has it for some milliseconds then.
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

/// [`Manners::let_run`] with what that has brought.
pub fn let_run(place: Place, ready: impl FnMut() -> bool) -> Looked {
    MANNERS.let_run(place, ready)
}

/// The calling thread has waited for its turn for so long.
pub fn waited(span: Duration) {
    KEEPING.waited(span);
}

/// The calling thread is about to let others run: keeps its turn for a moment more, if it is to.
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

/// For the thread that the turn is kept for: looks until it is free.
pub fn await_kept(here: bool, is_free: impl FnMut() -> bool) -> Looked {
    if look_once(LOOK, here, is_free) { Looked::Found } else { Looked::InVain }
}

/// Looks whether `ready` for this long, whatever waits have brought. Lets those run meanwhile that
/// are to run on the same processor, if that is where it has to become ready.
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

/// Raised by each thread that has let others run. A thread that answers a waiter notes it with the
/// answer: when it has changed, some thread has let others run since.
static ERA: AtomicU32 = AtomicU32::new(0);

/// The calling thread has let others run.
pub fn let_others_run() {
    ERA.fetch_add(1, Ordering::Relaxed);
}

/// To be compared with a later one.
pub fn era() -> u32 {
    ERA.load(Ordering::Relaxed)
}

/// For how long threads may hand a turn to each other before others get a chance.
const BURST: Duration = Duration::from_micros(700);
/// Turns that are further apart than this leave room for others anyway.
const PAUSE: Duration = Duration::from_micros(100);
/// How long others get a chance: long enough for a thread to be woken.
const CHANCE: Duration = Duration::from_micros(20);

/// A thread that has looked for its turn has found it free, and is about to take it. Threads that
/// hand it to each other this way are always faster than one that sleeps until it is free, so they
/// leave it free for a moment now and then.
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
