//! `sync` under the model checker loom: every interleaving of two or three threads, within a bound
//! on preemptions. `make check-models` runs them, and breaks `sync` in many ways to see that they
//! notice (tests/models/mutants).
#![cfg(loom)]

#[path = "../models/report.rs"]
mod report;
#[path = "../models/threads.rs"]
mod threads;
#[path = "../models/waits.rs"]
mod waits;

mod alone;
mod barrier;
mod channel;
mod condition;
mod event;
mod grants;
mod join_state;
mod lock;
mod materialize;
mod owners;
mod reentrant;
mod retire;
mod semaphore;
mod wait_graph;

use std::cell::Cell;
use std::env;
use std::sync::atomic::{AtomicUsize, Ordering};

use loom::sync::Arc;
use loom::thread::JoinHandle;
use report::{Explored, report};

thread_local! {
    /// How many threads the execution has that runs. The threads of a model share one real one.
    static THREADS: Cell<usize> = const { Cell::new(0) };
}

/// An execution with more steps and choices has no end.
const BRANCHES: usize = 4000;

/// Checks every execution with at most three preemptions.
fn model<F: Fn() + Sync + Send + 'static>(check: F) {
    model_within(3, check);
}

/// `RTHREAD_PREEMPTIONS` overrides the bound.
fn model_within<F: Fn() + Sync + Send + 'static>(preemptions: usize, check: F) {
    let wanted = env::var("RTHREAD_PREEMPTIONS").ok().map(|count| count.parse().unwrap());
    let preemptions = wanted.unwrap_or(preemptions);
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = BRANCHES;
    let executions = std::sync::Arc::new(AtomicUsize::new(0));
    let count = std::sync::Arc::clone(&executions);
    builder.check(move || {
        THREADS.set(1);
        rthread::sync::fork::begin_execution();
        count.fetch_add(1, Ordering::Relaxed);
        check();
    });
    let executions = executions.load(Ordering::Relaxed);
    report("loom", Explored { threads: THREADS.get(), preemptions, executions });
}

/// Another thread that has its share of `shared`.
fn spawn<S: 'static, T: 'static>(
    shared: &Arc<S>,
    run: impl FnOnce(&S) -> T + 'static,
) -> JoinHandle<T> {
    THREADS.set(THREADS.get() + 1);
    let shared = Arc::clone(shared);
    loom::thread::spawn(move || run(&shared))
}
