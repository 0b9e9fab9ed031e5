//! Locks and waiting without Python: builds and tests without an interpreter.
//!
//! A wait consists of three steps, so that a caller can act between them. A thread that waits for a
//! [`Lock`] or an [`Event`]
//!
//! - puts a [`Waiter`] into the queue ([`Awaitable::enqueue`]),
//! - sleeps ([`Waiter::park`]),
//! - and then takes the resource ([`Awaitable::claim`]) or gives up ([`Awaitable::cancel`]).
//!
//! The Python side detaches from the interpreter before the first step and attaches again before
//! the third. [`wait_with`] runs the steps, and its [`Caller`] says how to detach and attach.
//! [`wait`] is the same loop for callers that have no interpreter.

mod barrier;
mod channel;
mod condition;
mod event;
pub mod fork;
mod grants;
#[cfg(not(modelled))]
pub mod held;
mod join_state;
mod lock;
mod mutex;
mod owner;
mod parker;
mod primitive;
mod protocol;
mod queue_lock;
mod record;
mod reentrant;
#[cfg(not(modelled))]
pub mod registry;
mod retire;
mod ring;
mod semaphore;
#[cfg(not(modelled))]
pub mod spin;
#[cfg(not(modelled))]
pub mod turns;
mod wait_graph;
mod wait_list;
mod waiter;

pub use barrier::{Arrival, Barrier, BarrierRemains, BarrierState, Turn, TurnEnd, Verdict};
pub use channel::{Accepted, Channel, Get, Join, NotDone, PerList, Put, Remains, Taken};
pub use condition::Condition;
pub use event::Event;
pub use join_state::{JoinState, Stage};
pub use lock::{Lock, NotLocked, TIME_TO_BE_FAIR};
pub use mutex::{Mutex, MutexGuard};
pub use owner::{Owner, own_record};
pub use parker::Parked;
pub use protocol::{Caller, Waited, wait, wait_as, wait_with};
pub use record::{Holder, Outer, Record, Stage as WaitStage, Wait, WaitKind, nanoseconds};
pub use reentrant::{NotOwned, ReentrantLock, Saved, ThreadId};
pub use retire::{Retire, Ticket};
pub use ring::{Item, Items, Pile, Ring};
pub use semaphore::{NotReleased, Semaphore};
pub use wait_graph::{Edge, Threads, circle_of};
pub use wait_list::WaitList;
#[cfg(not(modelled))]
pub use wait_list::wake_at_once;
#[cfg(not(modelled))]
pub use waiter::Answer;
pub use waiter::{Awaitable, Cancelled, Deadline, Waiter};
