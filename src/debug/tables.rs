//! The tables that other processes read: where the records of the threads are, and how to read them.
//!
//! `rthread dump PID` finds the symbol `rthread_tables` of the shared library in the memory of the
//! process, and reads on from there. Nothing of the process runs for that. The layout has a number;
//! a reader refuses one that it does not know.

use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use crate::capi::compat;
use crate::sync::{JoinState, Lock, ReentrantLock, fork, registry};

/// The number of this layout, and of that of `sync::Record`.
const LAYOUT: u32 = 1;
const FREE_THREADED: u32 = 1;

/// See the module's documentation. The addresses are filled in when the module is made.
#[repr(C)]
pub struct Tables {
    magic: [u8; 8],
    layout: u32,
    size: u32,
    version: [u8; 16],
    python: AtomicU32,
    flags: u32,
    slots: AtomicPtr<()>,
    slot_count: u32,
    unused: u32,
    runtime: AtomicPtr<()>,
    epoch: AtomicPtr<u32>,
    lock_word: u32,
    rlock_owner: u32,
    rlock_count: u32,
    join_ident: u32,
    /// Where the largest number is that a thread has had.
    largest: AtomicPtr<u32>,
    /// Where the number is that was given out last when this process was made by a fork.
    forked_at: AtomicPtr<u32>,
}

const fn version() -> [u8; 16] {
    let text = env!("CARGO_PKG_VERSION").as_bytes();
    assert!(text.len() < 16);
    let mut version = [0; 16];
    let mut at = 0;
    while at < text.len() {
        version[at] = text[at];
        at += 1;
    }
    version
}

/// Read by other processes.
#[unsafe(no_mangle)]
#[used]
#[allow(non_upper_case_globals, reason = "a symbol of a C library")]
pub static rthread_tables: Tables = Tables {
    magic: *b"rthread\0",
    layout: LAYOUT,
    size: size_of::<Tables>() as u32,
    version: version(),
    python: AtomicU32::new(0),
    flags: if compat::IS_FREE_THREADED { FREE_THREADED } else { 0 },
    slots: AtomicPtr::new(ptr::null_mut()),
    slot_count: registry::NUMBERS as u32,
    unused: 0,
    runtime: AtomicPtr::new(ptr::null_mut()),
    epoch: AtomicPtr::new(ptr::null_mut()),
    lock_word: Lock::WORD_AT as u32,
    rlock_owner: ReentrantLock::OWNER_AT as u32,
    rlock_count: ReentrantLock::COUNT_AT as u32,
    join_ident: JoinState::IDENT_AT as u32,
    largest: AtomicPtr::new(ptr::null_mut()),
    forked_at: AtomicPtr::new(ptr::null_mut()),
};

/// Fills in the addresses.
pub fn publish() {
    let (slots, largest, forked_at) = registry::places();
    let tables = &rthread_tables;
    tables.slots.store(slots.cast_mut(), Ordering::Relaxed);
    tables.largest.store(largest.cast_mut(), Ordering::Relaxed);
    tables.forked_at.store(forked_at.cast_mut(), Ordering::Relaxed);
    tables.epoch.store(fork::epoch_at().cast_mut(), Ordering::Relaxed);
    tables.runtime.store(compat::runtime().cast_mut(), Ordering::Relaxed);
    tables.python.store(compat::version_number(), Ordering::Release);
}
