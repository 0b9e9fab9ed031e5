//! All atomics of `sync` are imported from here, so that a model checker can replace them.
//!
//! `--cfg loom` tries every order of the steps of a small program, weak memory included. `--cfg
//! shuttle` tries random orders of a large program; there all threads see each step at once.
//! Neither has a clock or a kernel. Both set `modelled`, see `build.rs`.

#[cfg(not(modelled))]
pub(crate) use core::sync::atomic as checked;

#[cfg(loom)]
pub(crate) use loom::{lazy_static, sync as model, sync::atomic as checked};

#[cfg(shuttle)]
pub(crate) use shuttle::{lazy_static, sync as model, sync::atomic as checked};

pub(crate) use checked::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering, fence};

/// Declares a `const fn`. Under a model checker it is an ordinary `fn`, because the atomics of a
/// model checker register themselves at run time.
macro_rules! const_unless_modelled {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($args:tt)*) -> $ret:ty $body:block) => {
        #[cfg(not(modelled))]
        $(#[$meta])*
        $vis const fn $name($($args)*) -> $ret $body
        #[cfg(modelled)]
        $(#[$meta])*
        $vis fn $name($($args)*) -> $ret $body
    };
}
pub(crate) use const_unless_modelled;
