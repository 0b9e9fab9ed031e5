//! The record of a thread: its waits, and their times.

use std::ptr;
use std::time::{Duration, Instant};

use rthread::sync::{Lock, Wait, WaitKind, WaitStage, nanoseconds, registry};

use crate::numbers::{elsewhere, this_record};

#[test]
fn a_point_in_time_is_that_of_the_systems_clock() {
    let first = nanoseconds(Instant::now());
    let now = Instant::now();
    let at = nanoseconds(now);
    assert!(at >= first);
    for nanos in [1, 999, 1_000_000, 86_400_000_000_000] {
        let span = Duration::from_nanos(nanos);
        assert_eq!(nanoseconds(now + span), at + nanos);
    }
    // Times before the first one are the same.
    let early = now.checked_sub(Duration::from_secs(1)).map(nanoseconds);
    assert!(early.is_none_or(|early| early <= at));
    #[cfg(target_os = "linux")]
    {
        let before = monotonic();
        let at = nanoseconds(Instant::now());
        assert!(before <= at);
    }
}

#[cfg(target_os = "linux")]
fn monotonic() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock exists; the result goes into a local variable.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// A signal handler waits during a wait of its thread.
#[test]
fn a_wait_within_a_wait_gives_it_back() {
    elsewhere(|| {
        let record = this_record();
        let state = || (record.wait(), record.stage());
        assert_eq!(state(), (Wait::NONE, WaitStage::Running));
        let lock = Lock::new();
        let resource = ptr::from_ref(&lock).cast();
        let outer = Wait { kind: WaitKind::Lock, resource, since: 1, ..Wait::NONE };
        let inner = Wait { kind: WaitKind::Event, object: resource, timed: true, ..Wait::NONE };
        let mut serials = vec![record.serial()];
        let no_wait = record.begin_wait(&outer);
        serials.push(record.serial());
        assert_eq!(state(), (outer, WaitStage::Waiting));
        record.set_stage(WaitStage::InHandlers);
        assert_eq!(state(), (outer, WaitStage::InHandlers));
        let outer_wait = record.begin_wait(&inner);
        serials.push(record.serial());
        assert_eq!(state(), (inner, WaitStage::Waiting));
        record.set_stage(WaitStage::Attaching);
        record.end_wait(&outer_wait);
        serials.push(record.serial());
        assert_eq!(state(), (outer, WaitStage::InHandlers));
        record.set_stage(WaitStage::Waiting);
        record.end_wait(&no_wait);
        serials.push(record.serial());
        assert_eq!(state(), (Wait::NONE, WaitStage::Running));
        // Each step has another number, and none of them is that of a change.
        assert!(serials.iter().all(|serial| serial % 2 == 0));
        assert!(serials.windows(2).all(|pair| pair[0] < pair[1]));
    });
}

/// A thread is blocked if it waits without a deadline, in this interpreter, for a resource that has
/// an owner, and does not run a signal handler.
#[test]
fn only_some_waits_block_a_thread() {
    elsewhere(|| {
        let record = this_record();
        let number = record.number();
        let here = ptr::from_ref(&number).cast();
        let blocked = |wait: Wait, stage| {
            let outer = record.begin_wait(&wait);
            record.set_stage(stage);
            let serial = record.serial();
            let seen = record.blocked(number, here);
            assert!(seen.is_none_or(|seen| seen == (wait, serial)));
            assert!(record.blocked(number + 1, here).is_none());
            assert!(record.blocked(number, ptr::null()).is_none());
            record.end_wait(&outer);
            assert!(record.blocked(number, here).is_none());
            seen.is_some()
        };
        let of = |kind| Wait { kind, interpreter: here, ..Wait::NONE };
        for kind in [WaitKind::Lock, WaitKind::RLock, WaitKind::Sentinel, WaitKind::Join] {
            assert!(kind.has_owner());
            for stage in [WaitStage::Waiting, WaitStage::Attaching] {
                assert!(blocked(of(kind), stage));
            }
            assert!(!blocked(of(kind), WaitStage::InHandlers));
            assert!(!blocked(Wait { timed: true, ..of(kind) }, WaitStage::Waiting));
        }
        for kind in [
            WaitKind::None,
            WaitKind::Condition,
            WaitKind::Event,
            WaitKind::Semaphore,
            WaitKind::Barrier,
            WaitKind::QueueGet,
            WaitKind::QueuePut,
            WaitKind::QueueJoin,
            WaitKind::Start,
            WaitKind::Interpreter,
        ] {
            assert!(!kind.has_owner() && !blocked(of(kind), WaitStage::Waiting));
        }
    });
}

#[test]
fn a_record_of_a_thread_that_has_ended_tells_nothing() {
    elsewhere(|| {
        let record = this_record();
        let number = record.number();
        let wait = Wait { kind: WaitKind::RLock, since: 1, ..Wait::NONE };
        let _outer = record.begin_wait(&wait);
        assert!(record.blocked(number, ptr::null()).is_some());
        registry::thread_ends();
        assert!(record.blocked(number, ptr::null()).is_none());
    });
}
