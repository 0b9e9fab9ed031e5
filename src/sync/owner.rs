//! The number of the calling thread, as a lock stores it.
//!
//! A lock stores the number of its owner in its word, in the same step that takes the lock. So the
//! number has to be at hand in an instruction or two. `thread_local!` in a shared library calls a
//! function, so on x86-64 with glibc the variable is declared here in the initial-exec model of the
//! ELF ABI for thread-local storage: it lies at a fixed distance from the thread pointer.

use core::ptr::NonNull;

use super::record::Record;

/// The owner's number is in the high half of the word of a lock.
const SHIFT: u32 = 16;
/// The owner took the lock by a `with` statement.
const BY_WITH: u32 = 1 << 6;
/// The owner has recorded where it took the lock, see `held`.
const RECORDED: u32 = 1 << 7;
const NUMBER: u32 = u32::MAX << SHIFT;

/// The bits of a lock's word that describe its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner(u32);

impl Owner {
    /// No owner, or one that is not known.
    pub const NONE: Owner = Owner(0);

    /// All bits of an owner.
    pub(super) const MASK: u32 = NUMBER | BY_WITH | RECORDED;

    /// The thread with this number.
    #[must_use]
    pub const fn numbered(number: u32) -> Owner {
        Owner(number << SHIFT)
    }

    /// The calling thread, if a lock can be taken the usual way. [`Owner::NONE`] if the thread has
    /// no number yet, or if it is recorded where locks are taken.
    #[inline]
    #[must_use]
    pub fn this_thread() -> Owner {
        Owner(own::owner())
    }

    /// The calling thread; [`Owner::NONE`] if it has no number yet.
    #[inline]
    #[must_use]
    pub fn known() -> Owner {
        match Owner::this_thread() {
            Owner::NONE => own_record().map_or(Owner::NONE, |own| Owner::numbered(own.number())),
            owner => owner,
        }
    }

    /// The same thread, which records where it takes the lock.
    #[must_use]
    pub const fn recorded(self) -> Owner {
        Owner(self.0 | RECORDED)
    }

    /// Whether the owner has recorded where it took the lock.
    #[must_use]
    pub const fn is_recorded(self) -> bool {
        self.0 & RECORDED != 0
    }

    /// The same thread, as one that takes the lock by a `with` statement.
    #[inline]
    #[must_use]
    pub const fn by_with(self) -> Owner {
        Owner(self.0 | BY_WITH)
    }

    /// The owner in the word of a lock.
    pub(super) const fn in_word(word: u32) -> Owner {
        Owner(word & Owner::MASK)
    }

    /// The bits.
    #[inline]
    pub(super) const fn bits(self) -> u32 {
        self.0
    }

    /// The number of the thread; 0 if it is not known.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0 >> SHIFT
    }

    /// Whether the lock was taken by a `with` statement.
    #[must_use]
    pub const fn is_by_with(self) -> bool {
        self.0 & BY_WITH != 0
    }
}

/// The record of the calling thread; None if it has none yet.
#[inline]
#[must_use]
pub fn own_record() -> Option<&'static Record> {
    // SAFETY: a thread's record stays valid, see `registry`.
    NonNull::new(own::record()).map(|record| unsafe { record.as_ref() })
}

/// Sets the calling thread as an owner, and its record. Returns where the first is.
#[cfg(not(modelled))]
pub(super) fn set_own(owner: Owner, record: *mut Record) -> *mut u32 {
    own::set(owner.0, record);
    own::place()
}

#[cfg(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu", not(modelled)))]
mod own {
    use core::arch::{asm, global_asm};

    use crate::sync::record::Record;

    // Sixteen bytes: the owner's bits, four bytes that are not used, and the record.
    global_asm!(
        ".pushsection .tbss.rthread_this_thread, \"awT\", @nobits",
        ".globl rthread_this_thread",
        ".hidden rthread_this_thread",
        ".type rthread_this_thread, @object",
        ".size rthread_this_thread, 16",
        ".p2align 4",
        "rthread_this_thread:",
        ".zero 16",
        ".popsection",
    );

    #[inline]
    pub fn owner() -> u32 {
        let owner;
        // SAFETY: reads the variable above.
        unsafe {
            asm!(
                "mov {place}, qword ptr [rip + rthread_this_thread@GOTTPOFF]",
                "mov {owner:e}, dword ptr fs:[{place}]",
                place = out(reg) _,
                owner = lateout(reg) owner,
                options(readonly, nostack, preserves_flags),
            );
        }
        owner
    }

    #[inline]
    pub fn record() -> *mut Record {
        let record;
        // SAFETY: reads the variable above.
        unsafe {
            asm!(
                "mov {place}, qword ptr [rip + rthread_this_thread@GOTTPOFF]",
                "mov {record}, qword ptr fs:[{place} + 8]",
                place = out(reg) _,
                record = lateout(reg) record,
                options(readonly, nostack, preserves_flags),
            );
        }
        record
    }

    pub fn place() -> *mut u32 {
        let place;
        // SAFETY: computes the address of the variable above: the thread pointer is at the address
        // that it points to.
        unsafe {
            asm!(
                "mov {place}, qword ptr [rip + rthread_this_thread@GOTTPOFF]",
                "add {place}, qword ptr fs:[0]",
                place = out(reg) place,
                options(readonly, nostack),
            );
        }
        place
    }

    pub fn set(owner: u32, record: *mut Record) {
        // SAFETY: writes the variable above.
        unsafe {
            asm!(
                "mov {place}, qword ptr [rip + rthread_this_thread@GOTTPOFF]",
                "mov dword ptr fs:[{place}], {owner:e}",
                "mov qword ptr fs:[{place} + 8], {record}",
                place = out(reg) _,
                owner = in(reg) owner,
                record = in(reg) record,
                options(nostack, preserves_flags),
            );
        }
    }
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu", not(modelled))))]
mod own {
    use core::cell::Cell;
    use core::ptr;

    use crate::sync::record::Record;

    #[derive(Clone, Copy)]
    #[repr(C)]
    struct Own {
        owner: u32,
        record: *mut Record,
    }

    // The threads of a model share one real thread: there the variable is that of all of them.
    std::thread_local! {
        static OWN: Cell<Own> = const { Cell::new(Own { owner: 0, record: ptr::null_mut() }) };
    }

    #[inline]
    pub fn owner() -> u32 {
        OWN.get().owner
    }

    #[inline]
    pub fn record() -> *mut Record {
        OWN.get().record
    }

    #[cfg(not(modelled))]
    pub fn place() -> *mut u32 {
        OWN.with(|own| own.as_ptr().cast())
    }

    #[cfg(not(modelled))]
    pub fn set(owner: u32, record: *mut Record) {
        OWN.set(Own { owner, record });
    }
}
