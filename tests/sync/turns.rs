//! Threads of which one runs at a time: when the processor is left to others, and a turn is kept.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rthread::sync::spin::{Looked, Place, has_company};
use rthread::sync::turns::{self, Keeping, Manners};

/// Longer than other threads of this program would have the processor for.
const LOST: Duration = Duration::from_millis(2);

/// A thread whose processor is lost each time that it leaves it to others.
fn lose(manners: &Manners, place: usize) -> Looked {
    let asked = Cell::new(0);
    manners.let_run(Place::new(place), || {
        if asked.replace(asked.get() + 1) > 0 {
            thread::sleep(LOST);
        }
        false
    })
}

/// How many of so many waits leave the processor to others.
fn tries(manners: &Manners, waits: usize, once: impl Fn(&Manners, usize) -> Looked) -> usize {
    (0..waits).filter(|_| once(manners, anything()) != Looked::NotAtAll).count()
}

/// A thing that was not waited for yet, so that nothing has been learned about it.
fn anything() -> usize {
    static LAST: AtomicUsize = AtomicUsize::new(0);
    LAST.fetch_add(8, Ordering::Relaxed)
}

#[test]
fn a_processor_that_is_lost_is_left_to_others_ever_less_often() {
    let manners = Manners::new();
    assert_eq!(tries(&manners, 1, lose), 1, "it is tried at first");
    assert_eq!(tries(&manners, 2, lose), 0);
    assert_eq!(tries(&manners, 1, lose), 1, "and again");
    assert_eq!(tries(&manners, 4, lose), 0);
    assert!(tries(&manners, 5_000, lose) < 15);
}

#[test]
fn what_is_ready_costs_nothing_and_what_goes_well_is_done_each_time() {
    let manners = Manners::new();
    let well = |manners: &Manners, place: usize| manners.let_run(Place::new(place), || true);
    assert_eq!(tries(&manners, 1_000, well), 1_000);
    // A loss is forgiven when it has gone well for a while.
    assert_eq!(lose(&manners, anything()), Looked::InVain);
    assert_eq!(tries(&manners, 2, well), 0);
    assert_eq!(tries(&manners, 100, well), 100);
    assert_eq!(lose(&manners, anything()), Looked::InVain);
    assert_eq!(tries(&manners, 2, well), 0);
    assert_eq!(tries(&manners, 1, well), 1);
}

#[test]
fn a_thread_that_answers_one_on_its_own_processor_does_not_keep_it_from_running() {
    if !has_company() {
        return;
    }
    let _keeps = turns::answers(true, true);
    assert!(turns::keeps_from_running());
    assert!(!turns::keeps_from_running(), "it is asked once for each answer");
    let _keeps = turns::answers(false, true);
    assert!(!turns::keeps_from_running());
}

#[test]
fn a_turn_is_kept_for_some_answers_after_a_long_wait_for_it() {
    let keeping = Keeping::new();
    let kept = || (0..1_000).filter(|_| keeping.answers()).count();
    assert_eq!(kept(), 0);
    keeping.waited(Duration::from_micros(5));
    assert_eq!(kept(), 0);
    keeping.waited(Duration::from_millis(5));
    assert!((1..100).contains(&kept()));
    assert_eq!(kept(), 0);
}

/// Nothing wakes up here.
#[test]
fn a_turn_that_is_kept_is_let_go_after_a_moment() {
    for asleep in [false, true] {
        turns::waited(Duration::from_millis(5));
        let _keeps = turns::answers(false, asleep);
        turns::keep_until_woken();
    }
}

#[test]
fn the_processor_of_a_thread_is_known_on_linux() {
    assert_eq!(turns::processor() != 0, cfg!(target_os = "linux"));
    assert!(!turns::is_here(0));
}
