//! The numbers of threads, and the table of all threads.

use std::collections::HashSet;
use std::ptr;
#[cfg(unix)]
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use rthread::sync::{Owner, Record, WaitStage, Waiter, own_record, registry};

#[cfg(unix)]
use crate::fork::in_child;
use crate::owners::this_thread;
#[cfg(unix)]
use crate::until;

/// The record of the calling thread.
pub fn this_record() -> &'static Record {
    registry::this_record().unwrap()
}

/// Runs `step` in another thread, to its end.
pub fn elsewhere<T: Send>(step: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| scope.spawn(step).join().unwrap())
}

#[test]
fn a_thread_has_one_number() {
    let me = this_thread();
    assert_eq!((this_thread(), Owner::this_thread(), Owner::known()), (me, me, me));
    assert_eq!(Waiter::new().owner(), me);
    let record = this_record();
    assert_eq!((record.number(), record.stage()), (me.number(), WaitStage::Running));
    assert!(ptr::eq(own_record().unwrap(), record));
    assert!(ptr::eq(registry::record_of(me.number()).unwrap(), record));
    assert!(registry::records().any(|one| ptr::eq(one, record)));
    if cfg!(unix) {
        assert_eq!(registry::number_of(record.ident()), me.number());
    }
}

#[test]
fn a_thread_has_no_number_before_it_needs_one() {
    elsewhere(|| {
        assert_eq!((Owner::this_thread(), Owner::known()), (Owner::NONE, Owner::NONE));
        assert!(own_record().is_none());
        assert_eq!(Waiter::new().owner(), Owner::NONE);
        let me = this_thread();
        assert_eq!(Owner::this_thread(), me);
    });
}

#[test]
fn threads_have_different_numbers() {
    let me = this_thread();
    elsewhere(|| {
        let other = this_thread();
        assert_ne!(me, other);
        assert!(this_record().ident() != 0 || cfg!(not(unix)));
        assert_eq!(registry::record_of(me.number()).unwrap().number(), me.number());
        assert_eq!(registry::record_of(other.number()).unwrap().number(), other.number());
    });
}

#[test]
fn a_thread_that_ends_frees_its_number() {
    let numbers = [(); 3].map(|()| elsewhere(|| this_thread().number()));
    for number in numbers {
        assert!(registry::record_of(number).is_none());
        assert!(registry::records().all(|record| record.number() != number));
        assert!(!registry::was_left_behind(number));
    }
    assert_eq!(HashSet::from(numbers).len(), numbers.len());
    assert!(registry::record_of(0).is_none());
    assert!(registry::record_of(u32::MAX).is_none());
}

#[test]
fn a_thread_that_goes_on_after_its_end_gets_another_number() {
    elsewhere(|| {
        let first = this_thread();
        registry::thread_ends();
        assert_eq!((Owner::this_thread(), Owner::known()), (Owner::NONE, Owner::NONE));
        assert!(registry::record_of(first.number()).is_none());
        let second = this_thread();
        assert_ne!(first, second);
        registry::thread_ends();
        registry::thread_ends();
    });
}

/// In a child, because the other tests need numbers as well.
#[cfg(unix)]
#[test]
fn a_number_is_used_again_after_all_others() {
    assert!(in_child(|| {
        registry::after_fork_in_child();
        let me = this_thread();
        let mut seen = HashSet::from([me.number()]);
        let lives = thread::spawn(|| {
            let number = this_thread().number();
            thread::park();
            number
        });
        until(|| registry::records().count() == 2);
        let alive: HashSet<u32> = registry::records().map(Record::number).collect();
        registry::thread_ends();
        // Of all numbers but 0 one is that of the other thread.
        let all = registry::NUMBERS - 2;
        for _ in 1..all {
            let number = this_thread().number();
            registry::thread_ends();
            if !seen.insert(number) || number == 0 {
                return false;
            }
        }
        let first_again = this_thread().number();
        lives.thread().unpark();
        let other = lives.join().unwrap();
        first_again == me.number() && alive.contains(&other) && !seen.contains(&other)
    }));
}

#[cfg(unix)]
#[test]
fn in_a_child_only_the_thread_that_has_forked_has_a_number() {
    let me = this_thread();
    let (record, ident) = (this_record(), this_record().ident());
    let number_of_other = AtomicU32::new(0);
    thread::scope(|scope| {
        let lives = scope.spawn(|| {
            number_of_other.store(this_thread().number(), Ordering::Relaxed);
            thread::park();
        });
        until(|| number_of_other.load(Ordering::Relaxed) != 0);
        let ended = elsewhere(|| this_thread().number());
        let others: Vec<u32> = registry::records()
            .map(Record::number)
            .filter(|&number| number != me.number())
            .collect();
        assert!(in_child(|| {
            registry::after_fork_in_child();
            let alone = registry::records().map(Record::number).eq([me.number()]);
            let same = this_thread() == me && ptr::eq(this_record(), record);
            let left = others.iter().all(|&number| {
                registry::record_of(number).is_none() && registry::was_left_behind(number)
            });
            // A thread of the child is not taken for one of the parent.
            let new = elsewhere(|| this_thread().number());
            alone
                && same
                && left
                && record.ident() == ident
                && (cfg!(not(target_os = "linux")) || record.native_id() == std::process::id())
                && !registry::was_left_behind(new)
        }));
        lives.thread().unpark();
        assert!(others.contains(&number_of_other.load(Ordering::Relaxed)));
        assert!(!others.contains(&ended));
    });
    assert_eq!(this_thread(), me);
}
