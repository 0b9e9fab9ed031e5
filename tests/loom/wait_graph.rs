//! Deadlocks: of the threads that wait in a circle one finds it, and no thread finds another one.

use std::cell::Cell;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

use loom::sync::Arc;
use loom::sync::atomic::AtomicUsize;
use rthread::sync::{
    Holder, JoinState, Record, ReentrantLock, Threads, Wait, WaitKind, WaitStage, circle_of,
};

use crate::threads::{All, HERE, Outcome, Thread, World, ident_of};
use crate::waits::Endless;
use crate::{model, model_within, spawn};

/// How it went with a thread that wanted a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Got,
    /// It would sleep. So its wait stays in its record for ever.
    Sleeps,
    /// It has found a circle.
    Found,
}
use Fate::{Found, Got, Sleeps};

fn get(thread: Thread, lock: usize) -> Fate {
    if thread.try_get(lock) { Got } else { sleep(thread, &thread.wait_for(lock)) }
}

fn sleep(thread: Thread, wait: &Wait) -> Fate {
    let outer = thread.record.begin_wait(wait);
    if !thread.finds_circle() {
        return Sleeps;
    }
    thread.record.end_wait(&outer);
    Found
}

/// Takes one lock and then another one, and releases both. A thread that finds a circle releases
/// the lock that it has.
fn take_both(thread: Thread, [first, second]: [usize; 2]) -> Fate {
    let fate = get(thread, first);
    if fate != Got {
        return fate;
    }
    let fate = get(thread, second);
    if fate == Got {
        thread.release(second);
    }
    if fate != Sleeps {
        thread.release(first);
    }
    fate
}

/// A thread that has a lock from the beginning.
fn with_lock<const COUNT: usize>(world: &World<COUNT>, number: u32, lock: usize) -> Thread<'_> {
    let thread = world.thread(number);
    assert!(thread.try_get(lock));
    thread
}

/// Runs threads and `own`, each of which may begin: their results.
///
/// loom changes the order of two steps if it finds that they depend on each other. Of the earlier
/// ones it knows only the last step at each object. A thread reads its own record before it changes
/// it, and so hides that another thread has read it before. So all threads take a step at one
/// object.
fn together<S: 'static, T: 'static, U, const OTHERS: usize>(
    shared: &Arc<S>,
    others: [impl FnOnce(&S) -> T + 'static; OTHERS],
    own: impl FnOnce(&S) -> U,
) -> ([T; OTHERS], U) {
    let start = Arc::new(AtomicUsize::new(0));
    let others = others.map(|other| {
        let start = Arc::clone(&start);
        spawn(shared, move |shared| {
            start.fetch_add(1, Ordering::Relaxed);
            other(shared)
        })
    });
    start.fetch_add(1, Ordering::Relaxed);
    let own = own(shared);
    (others.map(|other| other.join().unwrap()), own)
}

/// Explores `check`, which tells what became of its threads. A circle is found in some execution.
fn model_that_finds<const COUNT: usize>(
    preemptions: usize,
    check: impl Fn() -> [Fate; COUNT] + Send + Sync + 'static,
) {
    let found = std::sync::Arc::new(AtomicBool::new(false));
    let note = std::sync::Arc::clone(&found);
    model_within(preemptions, move || {
        let fates = check();
        assert_ne!(fates, [Sleeps; COUNT]);
        // The others were in their waits when a thread found them there.
        assert!(!fates.contains(&Found) || !fates.contains(&Got));
        note.fetch_or(fates.contains(&Found), Ordering::Relaxed);
    });
    assert!(found.load(Ordering::Relaxed));
}

#[test]
fn of_two_threads_one_finds_the_circle() {
    model_that_finds(3, || {
        let world = Arc::new(World::<2>::new());
        let ([other], own) =
            together(&world, [|world: &World<2>| take_both(world.thread(1), [0, 1])], |world| {
                take_both(world.thread(2), [1, 0])
            });
        [other, own]
    });
}

#[test]
fn of_three_threads_one_finds_the_circle() {
    model_that_finds(2, || {
        let world = Arc::new(World::<3>::new());
        let own = with_lock(&world, 3, 2);
        let others = [1, 2].map(|number| {
            let lock = number as usize;
            with_lock(&world, number, lock - 1);
            move |world: &World<3>| get(world.thread(number), lock)
        });
        let ([first, second], own) = together(&world, others, |_| get(own, 0));
        [first, second, own]
    });
}

/// The threads sleep. The model reports a deadlock that no thread finds.
#[test]
fn no_thread_sleeps_for_ever() {
    model_within(3, || {
        let world = Arc::new(World::<2>::new());
        let run = |world: &World<2>, number, [first, second]: [usize; 2]| {
            let thread = world.thread(number);
            assert_eq!(thread.get(first, Endless), Outcome::Got);
            if thread.get(second, Endless) == Outcome::Got {
                thread.release(second);
            }
            thread.release(first);
        };
        let other = [move |world: &World<2>| run(world, 1, [0, 1])];
        together(&world, other, |world| run(world, 2, [1, 0]));
        world.check();
    });
}

/// An `RLock` and a thread that is joined name the owner by its identifier.
#[test]
fn a_circle_may_go_through_any_owner() {
    type Shared = (World<2>, ReentrantLock, JoinState);
    model_that_finds(3, || {
        let shared: Arc<Shared> = Arc::new((World::new(), ReentrantLock::new(), JoinState::new()));
        shared.2.set_foreign(ident_of(2));
        let joins = |(world, rlock, joined): &Shared| {
            let thread = world.thread(1);
            if !rlock.try_acquire(ident_of(1), thread.me()) {
                return Got;
            }
            let resource = ptr::from_ref(joined).cast();
            sleep(thread, &Wait { kind: WaitKind::Join, resource, ..Wait::NONE })
        };
        let ([other], own) = together(&shared, [joins], |(world, rlock, _)| {
            let thread = world.thread(2);
            if rlock.try_acquire(ident_of(2), thread.me()) {
                return Got;
            }
            let resource = ptr::from_ref(rlock).cast();
            sleep(thread, &Wait { kind: WaitKind::RLock, resource, ..Wait::NONE })
        });
        [other, own]
    });
}

/// One thread has the lock 0 and wants the lock 1. The other one, which may have a lock at first,
/// does what `run` says. There is no circle at any time, and none is found.
fn model_without_circle(first: Option<usize>, run: impl Fn(Thread) + Copy + Send + Sync + 'static) {
    model_without_circle_within(3, first, run);
}

fn model_without_circle_within(
    preemptions: usize,
    first: Option<usize>,
    run: impl Fn(Thread) + Copy + Send + Sync + 'static,
) {
    model_within(preemptions, move || {
        let world = Arc::new(World::<2>::new());
        let own = with_lock(&world, 1, 0);
        assert!(first.is_none_or(|lock| world.thread(2).try_get(lock)));
        let other = [move |world: &World<2>| run(world.thread(2))];
        together(&world, other, |_| assert_ne!(get(own, 1), Found));
    });
}

/// A thread that runs a signal handler during its wait takes a lock there. It looks again when it
/// goes on waiting.
#[test]
fn a_lock_that_a_handler_has_taken_closes_a_circle() {
    model_that_finds(3, || {
        let world = Arc::new(World::<2>::new());
        let own = with_lock(&world, 1, 0);
        let handles = |world: &World<2>| {
            let thread = world.thread(2);
            let _outer = thread.record.begin_wait(&thread.wait_for(0));
            thread.record.set_stage(WaitStage::InHandlers);
            let _got = thread.try_get(1);
            thread.record.set_stage(WaitStage::Waiting);
            if thread.finds_circle() { Found } else { Sleeps }
        };
        let ([other], own) = together(&world, [handles], |_| get(own, 1));
        [other, own]
    });
}

/// The handler releases the lock again. So there is no circle at any time.
#[test]
fn a_thread_in_a_signal_handler_is_not_blocked() {
    model_without_circle(None, |thread| {
        let _outer = thread.record.begin_wait(&thread.wait_for(0));
        thread.record.set_stage(WaitStage::InHandlers);
        if thread.try_get(1) {
            thread.release(1);
        }
        thread.record.set_stage(WaitStage::Waiting);
        assert!(!thread.finds_circle());
    });
}

/// A handler that has a lock waits for something else, and then the thread is in its handler again.
#[test]
fn a_wait_in_a_signal_handler_is_not_that_around_it() {
    model_without_circle_within(1, None, |thread| {
        let _outer = thread.record.begin_wait(&thread.wait_for(0));
        thread.record.set_stage(WaitStage::InHandlers);
        if thread.try_get(1) {
            let inner = Wait { kind: WaitKind::Event, ..Wait::NONE };
            let outer = thread.record.begin_wait(&inner);
            thread.record.end_wait(&outer);
            thread.release(1);
        }
    });
}

/// A thread that waits for the first lock has none.
#[test]
fn the_same_order_is_no_circle() {
    fn take_in_order(thread: Thread) {
        for lock in [0, 1] {
            assert_eq!(thread.get(lock, Endless), Outcome::Got);
        }
        for lock in [0, 1] {
            thread.release(lock);
        }
    }
    model_within(2, || {
        let world = Arc::new(World::<2>::new());
        let own = with_lock(&world, 1, 0);
        let other = [|world: &World<2>| take_in_order(world.thread(2))];
        together(&world, other, |_| {
            own.release(0);
            take_in_order(own);
        });
        world.check();
    });
}

#[test]
fn a_wait_with_a_deadline_is_in_no_circle() {
    model_without_circle(Some(1), |thread| {
        let outer = thread.record.begin_wait(&Wait { timed: true, ..thread.wait_for(0) });
        assert!(!thread.finds_circle());
        thread.record.end_wait(&outer);
        thread.release(1);
    });
}

/// A signal handler has raised: the thread ends its wait, and takes a lock after that.
#[test]
fn a_thread_that_has_given_up_waits_no_more() {
    model_without_circle(None, |thread| {
        let outer = thread.record.begin_wait(&thread.wait_for(0));
        thread.record.end_wait(&outer);
        let _got = thread.try_get(1);
    });
}

/// A thread releases its lock, and waits for the other one after that.
#[test]
fn a_thread_that_has_released_its_lock_is_in_no_circle() {
    model_without_circle(Some(1), |thread| {
        thread.release(1);
        assert_eq!(sleep(thread, &thread.wait_for(0)), Sleeps);
    });
}

/// The same twice, so that each walk may meet another wait of the other thread.
#[test]
fn waits_one_after_the_other_are_no_circle() {
    model_without_circle(Some(1), |thread| {
        thread.release(1);
        let outer = thread.record.begin_wait(&thread.wait_for(0));
        thread.record.end_wait(&outer);
        if thread.try_get(1) {
            thread.release(1);
        }
        let _outer = thread.record.begin_wait(&thread.wait_for(0));
    });
}

/// Any thread may release a bare lock. So a circle may end at any moment: then both threads get
/// what they want, or one of them has found the circle before.
#[test]
fn a_third_thread_may_open_a_circle() {
    model_within(1, || {
        let world = Arc::new(World::<3>::new());
        let own = with_lock(&world, 1, 0);
        with_lock(&world, 2, 1);
        // It may be another thread's, or free.
        let release = |world: &World<3>| drop(world.locks[0].release());
        let others = [2, 3].map(|number| {
            move |world: &World<3>| {
                let thread = world.thread(number);
                if number == 3 {
                    return release(world);
                }
                if thread.get(0, Endless) == Outcome::Got {
                    release(world);
                }
                thread.release(1);
            }
        });
        together(&world, others, |world| {
            if own.get(1, Endless) == Outcome::Got {
                own.release(1);
            }
            release(world);
        });
        world.check();
    });
}

#[test]
fn a_path_into_a_circle_of_others_ends() {
    model(|| {
        let world = World::<3>::new();
        let threads = [1, 2, 3].map(|number| with_lock(&world, number, number as usize - 1));
        for (thread, lock) in threads.into_iter().zip([1, 2, 1]) {
            let _outer = thread.record.begin_wait(&thread.wait_for(lock));
        }
        let [outside, inside, other] = threads;
        assert!(!outside.finds_circle());
        assert!(inside.finds_circle() && other.finds_circle());
    });
}

/// Threads of which one has another wait from the walk with this number on.
#[derive(Clone, Copy)]
struct Changing<'a> {
    records: &'a [Record],
    walks: &'a Cell<usize>,
    change: usize,
}

impl<'a> Threads<'a> for Changing<'a> {
    fn record_of(self, number: u32) -> Option<&'a Record> {
        if number == 1 {
            self.walks.set(self.walks.get() + 1);
            if self.walks.get() == self.change {
                let outer = self.records[1].begin_wait(&Wait::NONE);
                self.records[1].end_wait(&outer);
            }
        }
        All(self.records).record_of(number)
    }

    fn number_of(self, ident: u64) -> u32 {
        All(self.records).number_of(ident)
    }

    fn holder_of(self, wait: &Wait) -> Option<Holder> {
        All(self.records).holder_of(wait)
    }
}

/// The last walk meets the same threads, but one of them has ended its wait and begun one that
/// looks the same. It may have released its lock in between.
#[test]
fn waits_of_different_times_are_no_circle() {
    model(|| {
        let world = World::<2>::new();
        for (number, lock) in [(1, 0), (2, 1)] {
            let thread = with_lock(&world, number, lock);
            let _outer = thread.record.begin_wait(&thread.wait_for(1 - lock));
        }
        let circle_if = |change| {
            let (records, walks) = (&world.records, Cell::new(0));
            circle_of(1, HERE, Changing { records, walks: &walks, change })
        };
        assert_eq!(
            [1, 2, 3, 4].map(|change| circle_if(change).is_some()),
            [true, true, false, true]
        );
    });
}

/// The objects of another interpreter may not be touched.
#[test]
fn a_wait_in_another_interpreter_is_in_no_circle() {
    model(|| {
        let world = World::<2>::new();
        let elsewhere = ptr::from_ref(&world).cast();
        for (number, lock, interpreter) in [(1, 0, HERE), (2, 1, elsewhere)] {
            let thread = with_lock(&world, number, lock);
            let wait = Wait { interpreter, ..thread.wait_for(1 - lock) };
            let _outer = thread.record.begin_wait(&wait);
        }
        assert!(!world.thread(1).finds_circle());
        assert_eq!(circle_of(2, elsewhere, All(&world.records)), None);
    });
}

/// A reader gets a wait as it was at some moment, or none.
#[test]
fn a_wait_is_read_whole_or_not_at_all() {
    type Shared = (World<1>, ReentrantLock);
    fn waits((world, rlock): &Shared) -> [Wait; 2] {
        let first = Wait { since: 1, ..world.thread(1).wait_for(0) };
        let resource = ptr::from_ref(rlock).cast();
        [first, Wait { kind: WaitKind::RLock, resource, since: 2, ..first }]
    }
    let met = std::sync::Arc::new([false, false].map(AtomicBool::new));
    let note = std::sync::Arc::clone(&met);
    model_within(2, move || {
        let shared: Arc<Shared> = Arc::new((World::new(), ReentrantLock::new()));
        let writes = |shared: &Shared| {
            let [first, second] = waits(shared);
            let record = &shared.0.records[0];
            let _outer = record.begin_wait(&first);
            let outer = record.begin_wait(&second);
            record.end_wait(&outer);
        };
        together(&shared, [writes], |shared| {
            if let Some((wait, _)) = shared.0.records[0].blocked(1, HERE) {
                let index = waits(shared).iter().position(|&one| one == wait);
                note[index.expect("a mixture")].store(true, Ordering::Relaxed);
            }
        });
    });
    assert!(met.iter().all(|met| met.load(Ordering::Relaxed)));
}

/// A reader that does not look at the number of the wait finds the first wait whole as well.
#[test]
fn the_kind_of_a_wait_comes_last() {
    model(|| {
        let world = Arc::new(World::<1>::new());
        let writes = |world: &World<1>| {
            let thread = world.thread(1);
            let _outer = thread.record.begin_wait(&thread.wait_for(0));
        };
        together(&world, [writes], |world| {
            let thread = world.thread(1);
            let wait = thread.record.wait();
            assert!(wait.kind == WaitKind::None || wait == thread.wait_for(0));
        });
    });
}

/// A record that the next thread has got is not read for the one before.
#[test]
fn a_wait_is_that_of_the_thread_that_has_the_record() {
    model(|| {
        let world = Arc::new(World::<1>::new());
        let passes_on = |world: &World<1>| {
            let thread = world.thread(1);
            thread.record.pass_to(2, ident_of(2));
            let _outer = thread.record.begin_wait(&thread.wait_for(0));
        };
        together(&world, [passes_on], |world| {
            assert_eq!(world.records[0].blocked(1, HERE), None);
        });
    });
}
