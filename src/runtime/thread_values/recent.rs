//! The values that a thread has used last, on free-threaded builds: a look into them takes no lock.
//!
//! They are in the thread's key (see `per_thread`), so only that thread reads and writes them, and they
//! go with the state of the thread. No reference is owned. Two things make a value safe to use:
//!
//! - Each table has an *edition*, a number that no table has had before. A table that loses a value gets
//!   a new edition after the value has left it and before its reference is dropped. A value counts only
//!   under the edition in which it was found.
//! - The value is used only if the calling thread owns it in the sense of free-threaded reference counts
//!   (`compat::incref_if_owned`). While that thread runs native code no other thread can free it: a
//!   reference that another thread drops is handed to the owner, which frees the object later.
//!
//! So a table that is cleared by another thread in the midst of a look was cleared after the look. With a
//! GIL all of this is nothing: `local` remembers the last thread there.

#[cfg(Py_GIL_DISABLED)]
pub use with_editions::Edition;
#[cfg(Py_GIL_DISABLED)]
pub use with_editions::Recent;
#[cfg(not(Py_GIL_DISABLED))]
pub use without_editions::Edition;
#[cfg(not(Py_GIL_DISABLED))]
pub use without_editions::Recent;

#[cfg(Py_GIL_DISABLED)]
mod with_editions {
    use core::cell::Cell;
    use core::ptr;
    use core::sync::atomic::{AtomicUsize, Ordering};

    use pyo3_ffi::PyObject;

    use crate::capi::compat;

    /// How many tables a thread may use in turns. A power of two.
    const PLACES: usize = 8;

    /// The edition of the next table that is made or loses a value. The first is 1: all zero is a
    /// place without a value.
    static NEXT: AtomicUsize = AtomicUsize::new(1);

    /// The edition of a table.
    pub struct Edition(AtomicUsize);

    impl Edition {
        /// To be called when the table is made, and after a value has left it.
        pub fn renew(&self) {
            // Relaxed: only the numbers have to differ.
            let next = NEXT.fetch_add(1, Ordering::Relaxed);
            // Release: a thread that reads the new edition does not find the lost value any more.
            self.0.store(next, Ordering::Release);
        }
    }

    #[derive(Clone, Copy)]
    struct Place {
        edition: usize,
        value: *mut PyObject,
    }

    const NOTHING: Place = Place { edition: 0, value: ptr::null_mut() };

    /// All zero is without values.
    pub struct Recent([Cell<Place>; PLACES]);

    impl Recent {
        /// The calling thread's value in a table as a new reference, null if it has none; `find`
        /// looks into the table.
        ///
        /// # Safety
        /// Attached; this belongs to the calling thread, and `edition` to the table.
        #[inline]
        pub unsafe fn get(
            &self,
            edition: &Edition,
            find: impl FnOnce() -> *mut PyObject,
        ) -> *mut PyObject {
            // Acquire pairs with the Release of `renew`; it comes before the look into the table, so
            // what that finds is not from before this edition.
            let edition = edition.0.load(Ordering::Acquire);
            let place = &self.0[edition % PLACES];
            let Place { edition: known, value } = place.get();
            // SAFETY: attached. The table owned the value in this edition. If another thread has
            // taken it out since, the calling thread still keeps it from being freed, or does not own
            // it; see the module's documentation.
            if known == edition && unsafe { compat::incref_if_owned(value) } {
                return value;
            }
            let value = find();
            place.set(if value.is_null() { NOTHING } else { Place { edition, value } });
            value
        }

        /// To be called when the calling thread has replaced its value in a table.
        ///
        /// # Safety
        /// As [`Recent::get`].
        pub unsafe fn forget(&self, edition: &Edition) {
            // Relaxed: if another thread renews the edition meanwhile, the place does not count.
            self.0[edition.0.load(Ordering::Relaxed) % PLACES].set(NOTHING);
        }
    }

    const _: () = assert!(PLACES.is_power_of_two());
}

#[cfg(not(Py_GIL_DISABLED))]
mod without_editions {
    use pyo3_ffi::PyObject;

    pub struct Edition;

    impl Edition {
        pub fn renew(&self) {}
    }

    pub struct Recent;

    impl Recent {
        /// # Safety
        /// None: there is nothing to go wrong.
        #[inline]
        pub unsafe fn get(
            &self,
            _: &Edition,
            find: impl FnOnce() -> *mut PyObject,
        ) -> *mut PyObject {
            find()
        }

        /// # Safety
        /// None: there is nothing to forget.
        pub unsafe fn forget(&self, _: &Edition) {}
    }
}
