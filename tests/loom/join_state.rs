//! The life of a thread: one start, one join, and no join that returns too early.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread::JoinHandle;
use rthread::sync::{JoinState, Stage};

use crate::waits::{Endless, Limited, Patience, Raising, wait};
use crate::{model, model_within, spawn};

const IDENT: u64 = 7;

/// A thread and what the operating system has of it: all that can be had of it once.
struct Handle {
    life: JoinState,
    os_thread: UnsafeCell<Option<JoinHandle<()>>>,
    ended: UnsafeCell<u32>,
}

// SAFETY: what is in the cells belongs to the thread that joins; that is what the model checks.
unsafe impl Sync for Handle {}
// SAFETY: as above.
unsafe impl Send for Handle {}

impl Handle {
    fn new() -> Arc<Handle> {
        let (os_thread, ended) = (UnsafeCell::new(None), UnsafeCell::new(0));
        Arc::new(Handle { life: JoinState::new(), os_thread, ended })
    }

    /// With a thread that ends at once.
    fn started() -> Arc<Handle> {
        let handle = Handle::new();
        assert!(handle.life.begin_start());
        handle.life.set_running(1, IDENT);
        let thread = spawn(&handle, |handle| {
            assert!(handle.life.exiting().set());
        });
        // SAFETY: only the thread knows the handle as well, and it does not look.
        handle.os_thread.with_mut(|place| unsafe { *place = Some(thread) });
        handle
    }

    /// What the operating system does: the thread is gone afterwards.
    fn join_os_thread(&self, bits: u64) -> bool {
        assert_eq!((bits, self.life.ident()), (1, IDENT));
        // SAFETY: the model reports a second access at the same time.
        let thread = self.os_thread.with_mut(|place| unsafe { (*place).take() });
        thread.expect("it was joined twice").join().unwrap();
        // SAFETY: as above.
        self.ended.with_mut(|count| unsafe { *count += 1 });
        true
    }

    fn end(&self) {
        let waited = self.life.end(
            |lock| if wait(lock, Endless) { Ok(()) } else { Err(()) },
            |bits| self.join_os_thread(bits),
        );
        assert_eq!(waited, Ok(true));
    }

    /// As `_ThreadHandle.join`: whether the thread has ended.
    fn join(&self, how: Patience) -> bool {
        let exiting = self.life.exiting();
        let over = exiting.is_set() || wait(exiting, how);
        if over {
            self.end();
            self.check_ended();
        }
        assert!(over || how.ends());
        over
    }

    fn check_ended(&self) {
        assert_eq!(self.life.stage(), Stage::Done);
        // SAFETY: the model reports an access that is not ordered after the join.
        self.ended.with(|count| assert_eq!(unsafe { *count }, 1));
    }
}

#[test]
fn of_two_starts_one_is_allowed() {
    model(|| {
        let handle = Handle::new();
        let start = |handle: &Handle| u32::from(handle.life.begin_start());
        let thread = spawn(&handle, start);
        assert_eq!(start(&handle) + thread.join().unwrap(), 1);
    });
}

#[test]
fn two_join_at_once() {
    model_within(2, || {
        let handle = Handle::started();
        let joiner = spawn(&handle, |handle| handle.join(Endless));
        handle.join(Endless);
        joiner.join().unwrap();
    });
}

#[test]
fn a_waiter_that_gives_up_leaves_it_to_the_other() {
    for how in [Limited, Raising] {
        model_within(2, move || {
            let handle = Handle::started();
            let joiner = spawn(&handle, move |handle| handle.join(how));
            handle.join(Endless);
            joiner.join().unwrap();
            handle.check_ended();
        });
    }
}

/// `is_done` may find that it is for it to join.
#[test]
fn a_join_and_a_thread_that_only_looks() {
    model_within(2, || {
        let handle = Handle::started();
        let joiner = spawn(&handle, |handle| handle.join(Endless));
        if handle.life.exiting().is_set() {
            handle.end();
            handle.check_ended();
        }
        joiner.join().unwrap();
        handle.check_ended();
    });
}

/// The last reference joins what was not joined.
#[test]
fn the_last_thread_ends_it_if_no_other_has() {
    model(|| {
        let handle = Handle::started();
        let joiner = spawn(&handle, |handle| handle.join(Limited));
        let joined = joiner.join().unwrap();
        let left = handle.life.disown();
        assert_eq!(left.is_some(), !joined);
        if let Some(bits) = left {
            handle.join_os_thread(bits);
        }
    });
}

#[test]
fn a_start_that_fails_ends_all_joins() {
    model(|| {
        let handle = Handle::new();
        assert!(handle.life.begin_start());
        let joiners = [(); 2].map(|()| {
            spawn(&handle, |handle| {
                assert!(wait(handle.life.exiting(), Endless));
                handle.life.end(|_| Err(()), |_| unreachable!("there is no thread")).unwrap()
            })
        });
        handle.life.abandon();
        assert!(joiners.map(|joiner| joiner.join().unwrap()).iter().all(|&ended| ended));
        assert_eq!(handle.life.stage(), Stage::Done);
    });
}

/// A thread that sees another one run sees its ident.
#[test]
fn a_thread_that_runs_is_known() {
    model(|| {
        let handle = Handle::new();
        let looker = spawn(&handle, |handle| {
            if handle.life.stage() == Stage::Running {
                assert_eq!(handle.life.ident(), IDENT);
            }
        });
        assert!(handle.life.begin_start());
        handle.life.set_running(1, IDENT);
        looker.join().unwrap();
    });
}
