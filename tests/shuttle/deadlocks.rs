//! Threads that wait for each other in circles, and find them.

use std::sync::Arc;

use rthread::sync::Lock;
use shuttle::rand::{Rng, thread_rng};

use crate::threads::Outcome::{Found, GaveUp, Got};
use crate::threads::{Outcome, Thread, World};
use crate::waits::{Endless, Hurried, Interrupted, Limited, Patience, Raising};
use crate::{crowd, model, one_of};

const ANY: [Patience; 5] = [Endless, Limited, Interrupted, Hurried, Raising];
/// A wait that ends by a release, or because the circle is found.
const PATIENT: [Patience; 2] = [Endless, Interrupted];
const ROUNDS: usize = 3;
/// So many threads, and as many locks.
const COUNT: usize = 5;

type Philosophers = World<COUNT>;

/// Takes one lock and then another one, and releases both.
fn take_both(thread: Thread, [first, second]: [usize; 2], how: &[Patience]) -> Outcome {
    let outcome = thread.get(first, one_of(how));
    if outcome != Got {
        return outcome;
    }
    let outcome = thread.get(second, one_of(how));
    if outcome == Got {
        thread.release(second);
    }
    thread.release(first);
    outcome
}

fn philosophers(run: impl Fn(&Philosophers, usize) + Copy + Send + 'static) {
    let world = Arc::new(World::new());
    crowd(COUNT, &world, run);
    world.check();
}

/// Each has a lock and wants that of the next one. The model reports threads that sleep for ever.
#[test]
fn each_circle_of_five_is_found() {
    model(|| {
        philosophers(|world, index| {
            let thread = world.thread(index as u32 + 1);
            for _ in 0..ROUNDS {
                let outcome = take_both(thread, [index, (index + 1) % COUNT], &PATIENT);
                assert_ne!(outcome, GaveUp);
            }
        });
    });
}

#[test]
fn locks_in_one_order_make_no_circle() {
    model(|| {
        philosophers(|world, index| {
            let thread = world.thread(index as u32 + 1);
            for _ in 0..ROUNDS {
                let first = thread_rng().gen_range(0..COUNT - 1);
                let second = thread_rng().gen_range(first + 1..COUNT);
                assert_ne!(take_both(thread, [first, second], &ANY), Found);
            }
        });
    });
}

/// Any thread may release a bare lock. Here one thread releases the locks of the others.
#[test]
fn circles_that_another_thread_opens_are_found_or_end() {
    model(|| {
        philosophers(|world, index| {
            let release = |lock: &Lock| drop(lock.release());
            if index == 0 {
                for _ in 0..ROUNDS {
                    release(&world.locks[thread_rng().gen_range(0..COUNT)]);
                }
                return;
            }
            let thread = world.thread(index as u32 + 1);
            let locks = [index, index % (COUNT - 1) + 1];
            for _ in 0..ROUNDS {
                if thread.get(locks[0], one_of(&PATIENT)) == Got {
                    if thread.get(locks[1], one_of(&PATIENT)) == Got {
                        release(&world.locks[locks[1]]);
                    }
                    release(&world.locks[locks[0]]);
                }
            }
        });
    });
}
