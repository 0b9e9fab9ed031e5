//! The values that a thread has used recently, on free-threaded builds. A look-up here takes no
//! lock.
//!
//! They are stored in the thread's key (see `keys`). So only that thread reads and writes them, and
//! they go with the thread state. The references are not owned. Two rules make a value safe to use:
//!
//! - Each table has an *edition*, a number that no other table has had. A table that loses a value
//!   gets a new edition, after the value has left the table and before its reference is dropped. A
//!   value is valid only under the edition in which it was found.
//! - A value is used only if the calling thread *owns* it, in the sense of biased reference
//!   counting (`compat::incref_if_owned`). While that thread runs native code no other thread can
//!   free the value. A reference that another thread drops is handed to the owner, which frees the
//!   object later.
//!
//! So if another thread clears the table during a look-up, the result is as if it had cleared the
//! table afterwards. With a GIL there is nothing of this: `thread_module::local` remembers the last
//! thread there.

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
    use crate::capi::object::{Attached, Owned};

    /// The number of places. At best a thread can use so many tables in turn, and find each value
    /// here. A power of two.
    const PLACES: usize = 8;

    /// The edition for the next table that is made or loses a value. The first edition is 1,
    /// because all zero is a place without a value.
    static NEXT: AtomicUsize = AtomicUsize::new(1);

    /// The edition of a table.
    pub struct Edition(AtomicUsize);

    impl Edition {
        /// To be called when the table is made, and after a value has left it.
        pub fn renew(&self) {
            // Relaxed: only the numbers have to differ.
            let next = NEXT.fetch_add(1, Ordering::Relaxed);
            // Release: a thread that reads the new edition does not find the lost value in the
            // table any more.
            self.0.store(next, Ordering::Release);
        }
    }

    #[derive(Clone, Copy)]
    struct Place {
        edition: usize,
        value: *mut PyObject,
    }

    const NOTHING: Place = Place { edition: 0, value: ptr::null_mut() };

    /// All zero means no values.
    pub struct Recent([Cell<Place>; PLACES]);

    impl Recent {
        /// The calling thread's value in a table; None if it has none. `find` looks it up in the
        /// table.
        ///
        /// # Safety
        /// `self` belongs to the calling thread, and `edition` to the table.
        #[inline]
        pub unsafe fn get(
            &self,
            _: Attached<'_>,
            edition: &Edition,
            find: impl FnOnce() -> Option<Owned>,
        ) -> Option<Owned> {
            // Acquire pairs with the Release of `renew`. The load comes before the look-up in the
            // table, so a value that is found there is not older than this edition.
            let edition = edition.0.load(Ordering::Acquire);
            let place = &self.0[edition % PLACES];
            let Place { edition: known, value } = place.get();
            // SAFETY: attached. The table owned the value in this edition. If another thread has
            // taken the value out since, then either the calling thread owns the value, which keeps
            // it from being freed, or the value is not used. See the documentation of this module.
            if known == edition && unsafe { compat::incref_if_owned(value) } {
                // SAFETY: the new reference.
                return Some(unsafe { Owned::assume(value) });
            }
            let found = find();
            place.set(match &found {
                Some(value) => Place { edition, value: value.borrow().as_ptr() },
                None => NOTHING,
            });
            found
        }

        /// To be called when the calling thread has replaced its value in a table.
        pub fn forget(&self, edition: &Edition) {
            // Relaxed: if another thread renews the edition at the same time, the place becomes
            // invalid anyway.
            self.0[edition.0.load(Ordering::Relaxed) % PLACES].set(NOTHING);
        }
    }

    const _: () = assert!(PLACES.is_power_of_two());
}

#[cfg(not(Py_GIL_DISABLED))]
mod without_editions {
    use crate::capi::object::{Attached, Owned};

    pub struct Edition;

    impl Edition {
        pub fn renew(&self) {}
    }

    pub struct Recent;

    impl Recent {
        /// # Safety
        /// None.
        #[inline]
        pub unsafe fn get(
            &self,
            _: Attached<'_>,
            _: &Edition,
            find: impl FnOnce() -> Option<Owned>,
        ) -> Option<Owned> {
            find()
        }

        pub fn forget(&self, _: &Edition) {}
    }
}
