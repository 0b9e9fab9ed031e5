//! Looking for something for a moment before sleeping.
//!
//! To be woken takes several microseconds, and many times that if the processor has gone to sleep as
//! well; a thread that runs on another processor often answers sooner. Spinning is only worth its
//! price where that is so, and every thread finds out for itself: it goes on as long as it pays,
//! and else tries again now and then.

use core::cell::Cell;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use std::time::Instant;

/// How long a moment is: several times what two threads on two processors need to take turns.
const MOMENT: Duration = Duration::from_micros(8);

/// How often to look between two looks at the clock.
const LOOKS: u32 = 16;

/// A success is worth so many failures.
const SUCCESS: i32 = 2;
/// As many as that are remembered.
const MOST: i32 = 8;
/// After so many waits without spinning it is tried again.
const PAUSE: i32 = 32;

thread_local! {
    /// What spinning has brought lately; below zero: how many waits to go without.
    static CREDIT: Cell<i32> = const { Cell::new(MOST) };
}

/// Looks whether `ready` for a moment, if that is likely to help. Whether it is.
pub fn spin(ready: impl Fn() -> bool) -> bool {
    let credit = CREDIT.get();
    if credit < 0 || !has_company() {
        CREDIT.set(credit + 1);
        return ready();
    }
    if spin_for(MOMENT, ready) {
        CREDIT.set((credit + SUCCESS).min(MOST));
        return true;
    }
    CREDIT.set(if credit == 0 { -PAUSE } else { credit - 1 });
    false
}

/// Looks whether `ready` for at most this long. Whether it is.
pub fn spin_for(span: Duration, ready: impl Fn() -> bool) -> bool {
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

/// Whether more than one thread can run at a time. Asked once.
pub fn has_company() -> bool {
    static PROCESSORS: AtomicUsize = AtomicUsize::new(0);
    match PROCESSORS.load(Ordering::Relaxed) {
        0 => {
            let count = std::thread::available_parallelism().map_or(1, usize::from);
            PROCESSORS.store(count, Ordering::Relaxed);
            count > 1
        }
        count => count > 1,
    }
}
