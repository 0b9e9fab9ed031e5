//! `sync` under the model checker shuttle: random schedules of programs that are too large for loom,
//! with time-outs, interruptions and handlers that raise at random. `make check-models` runs them;
//! `RTHREAD_SCHEDULES=100000` says how many schedules each program gets.
#![cfg(shuttle)]

#[path = "../models/report.rs"]
mod report;
#[path = "../models/threads.rs"]
mod threads;
#[path = "../models/waits.rs"]
mod waits;

mod deadlocks;
mod locks;
mod meetings;
mod queues;

use std::cell::Cell;
use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use report::{Explored, report};
use shuttle::rand::{Rng, thread_rng};
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::thread::{self, JoinHandle};
use shuttle::{Config, Runner};
use waits::Patience;

/// How many schedules a program gets unless the environment says so.
const SCHEDULES: usize = 4000;
/// The random priorities of every other schedule change so often.
const DEPTH: usize = 4;

thread_local! {
    /// How many threads the execution has that runs. The threads of a model share one real one.
    static THREADS: Cell<usize> = const { Cell::new(0) };
}

/// Half of the schedules choose the next thread at every step, and half give each thread a priority
/// and change that now and then: such find what needs one thread to be late for long.
fn model(check: impl Fn() + Sync + Send + 'static) {
    let wanted = env::var("RTHREAD_SCHEDULES").map_or(SCHEDULES, |count| count.parse().unwrap());
    let check = Arc::new(check);
    explore(RandomScheduler::new(wanted.div_ceil(2)), &check);
    explore(PctScheduler::new(DEPTH, wanted.div_ceil(2)), &check);
}

fn explore<F: Fn() + Sync + Send + 'static>(how: impl Scheduler + 'static, check: &Arc<F>) {
    let mut config = Config::new();
    // It warns that it takes all atomics for sequentially consistent: the weaker orders are loom's.
    config.silence_warnings = true;
    let check = Arc::clone(check);
    let executions = Runner::new(how, config).run(move || {
        THREADS.set(1);
        check();
    });
    report("shuttle", Explored { threads: THREADS.get(), preemptions: 0, executions });
}

/// Another thread that has its share of `shared`.
fn spawn<S: Send + Sync + 'static, T: Send + 'static>(
    shared: &Arc<S>,
    run: impl FnOnce(&S) -> T + Send + 'static,
) -> JoinHandle<T> {
    THREADS.set(THREADS.get() + 1);
    let shared = Arc::clone(shared);
    thread::spawn(move || run(&shared))
}

/// As many threads that do the same, each with its number; what they return.
fn crowd<S: Send + Sync + 'static, T: Send + 'static>(
    count: usize,
    shared: &Arc<S>,
    run: impl Fn(&S, usize) -> T + Copy + Send + 'static,
) -> Vec<T> {
    let threads: Vec<_> =
        (0..count).map(|number| spawn(shared, move |shared| run(shared, number))).collect();
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}

/// Any of these.
fn one_of(choices: &[Patience]) -> Patience {
    choices[thread_rng().gen_range(0..choices.len())]
}

/// Counts the threads inside, and lets others run meanwhile.
#[derive(Default)]
struct Room {
    inside: AtomicUsize,
    visits: AtomicUsize,
}

impl Room {
    fn visit(&self, most: usize) {
        assert!(self.inside.fetch_add(1, Ordering::Relaxed) < most);
        thread::yield_now();
        self.visits.fetch_add(1, Ordering::Relaxed);
        self.inside.fetch_sub(1, Ordering::Relaxed);
    }

    fn visits(&self) -> usize {
        self.visits.load(Ordering::Relaxed)
    }
}
