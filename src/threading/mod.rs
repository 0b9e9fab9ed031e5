//! The classes of `threading` and `queue` in Rust, in the place of those written in Python.
//!
//! A native object does what its Python counterpart does, and nothing else. A call that it does not
//! serve itself (an unusual argument, a warning, a repr) is left to the function of the Python class,
//! which is called with the native object (see `method`). And when a program reaches for a part that
//! a native object does not have, such as the condition inside an event, or replaces such a part in a
//! class or an object, the object is *materialized*: from then on it is what the Python class makes
//! of it, with attributes in its dict, and its waiters are waiters of that (see `materialize`).

mod arguments;
mod barrier;
mod class;
mod condition;
mod event;
mod head;
mod lookups;
mod make;
mod materialize;
mod method;
mod python_class;
mod queue;
mod semaphore;
mod ticket;

pub use event::event_inside;
pub use make::make_native;
