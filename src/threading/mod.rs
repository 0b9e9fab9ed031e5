//! The classes of `threading` and `queue` in Rust. They stand in for the classes that are written
//! in Python.
//!
//! A native object behaves as an object of the Python class does. Native code does not serve every
//! call: one with an unusual argument, one that warns or a repr is left to the function of the
//! Python class, which is called with the native object (see `method`).
//!
//! An object is *materialized* when a program uses an attribute that a native object does not have,
//! such as the condition inside an event. The same happens when a program replaces such an
//! attribute in a class or an object. From then on the Python class serves the object, with
//! attributes in its dict, and the waiters of the object wait there (see `materialize`).

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
mod queue;
mod reply;
mod semaphore;
mod ticket;

pub use event::event_inside;
pub use make::make_native;
