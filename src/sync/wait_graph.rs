//! Deadlocks: threads that wait for each other in a circle.
//!
//! A thread that waits for a lock, an RLock or the end of a thread waits for the thread that has
//! it. So each thread has one edge at most, to another thread, and a search follows one path.
//!
//! A thread searches after it has written its own wait into its record. Of the threads that close a
//! circle one writes its wait last, and that one finds the circle.
//!
//! Where threads do not take turns, the records change during the search. So the path is walked
//! twice, and counts if both walks agree in all waits and owners. A thread of the path has then
//! been in the same wait from the time when the first walk came by. As long as it waits it takes
//! and releases no lock. So each owner of the first walk was still the owner when that walk ended,
//! and all edges existed at that moment.

use super::primitive::{Ordering, fence};
use super::record::{Holder, Record, Wait};

/// One thread of a circle, and what it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The number of the thread.
    pub number: u32,
    /// The identifier of the thread.
    pub ident: u64,
    /// What it waits for.
    pub wait: Wait,
    /// The number of the wait.
    pub serial: u32,
    /// The thread that has it.
    pub holder: Holder,
}

/// Reads the records of threads, and what they point to.
pub trait Threads<'a>: Copy {
    /// The record of the thread with this number.
    fn record_of(self, number: u32) -> Option<&'a Record>;

    /// The number of the thread with this identifier; 0 if there is none.
    fn number_of(self, ident: u64) -> u32;

    /// [`Wait::holder`].
    fn holder_of(self, wait: &Wait) -> Option<Holder>;
}

/// The circle that begins and ends with the thread `first`, which waits in `interpreter`. The edges
/// are those of `first`, of the thread that it waits for, and so on. None if there is no circle, or
/// if it does not go through `first`.
///
/// To be called by `first`, after it has begun its wait, or while no thread can begin or end a
/// wait.
pub fn circle_of<'a>(
    first: u32,
    interpreter: *const (),
    threads: impl Threads<'a>,
) -> Option<Vec<Edge>> {
    // The wait of this thread is visible to all that begin their waits after this, and this thread
    // sees the waits of all others.
    fence(Ordering::SeqCst);
    // Without memory at first: in nearly all cases there is no circle.
    let length = length(first, interpreter, threads)?;
    let mut edges = Vec::with_capacity(length);
    let mut number = first;
    for _ in 0..length {
        let (edge, next) = step(number, interpreter, threads)?;
        edges.push(edge);
        number = next;
    }
    let mut again = first;
    for seen in &edges {
        let (edge, next) = step(again, interpreter, threads)?;
        if edge != *seen {
            return None;
        }
        again = next;
    }
    (number == first && again == first).then_some(edges)
}

/// What a thread waits for, and the number of the thread that has it.
fn step<'a>(number: u32, interpreter: *const (), threads: impl Threads<'a>) -> Option<(Edge, u32)> {
    let record = threads.record_of(number)?;
    let (wait, serial) = record.blocked(number, interpreter)?;
    let holder = threads.holder_of(&wait)?;
    let next = match holder.number {
        0 => threads.number_of(holder.ident),
        next => next,
    };
    Some((Edge { number, ident: record.ident(), wait, serial, holder }, next))
}

/// The number of steps from a thread back to itself. A path may run into a circle of other threads.
/// So it remembers a thread from time to time, and ends if it meets that one again.
fn length<'a>(first: u32, interpreter: *const (), threads: impl Threads<'a>) -> Option<usize> {
    let (mut steps, mut remembered, mut next_to_remember) = (0, first, 2);
    let mut number = first;
    loop {
        number = step(number, interpreter, threads)?.1;
        steps += 1;
        if number == first {
            return Some(steps);
        }
        if number == remembered {
            return None;
        }
        if steps == next_to_remember {
            (remembered, next_to_remember) = (number, steps * 2);
        }
    }
}
