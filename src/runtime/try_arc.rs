//! A value that several own, as in an `Arc`; but to have no memory for it is not the end.

use core::ops::Deref;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering, fence};

use crate::capi::compat;

#[repr(C)]
struct Inner<T> {
    owners: AtomicUsize,
    value: T,
}

/// One of the owners.
pub struct TryArc<T>(NonNull<Inner<T>>);

/// Where a shared value is, for somebody who does not own it.
pub struct RawArc<T>(NonNull<Inner<T>>);

// SAFETY: as for an Arc: owners in several threads share the value, and any may be the last.
unsafe impl<T: Send + Sync> Send for TryArc<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for TryArc<T> {}

impl<T> TryArc<T> {
    /// The first owner of a value; none if there is no memory for it.
    pub fn new(value: T) -> Option<TryArc<T>> {
        const { assert!(align_of::<Inner<T>>() <= compat::RAW_ALIGNMENT) };
        let inner = compat::raw_malloc(size_of::<Inner<T>>())?.cast::<Inner<T>>();
        // SAFETY: fresh memory of this size, aligned for anything of C's.
        unsafe { inner.write(Inner { owners: AtomicUsize::new(1), value }) };
        Some(TryArc(inner))
    }

    /// Where it is. Valid as long as somebody owns it.
    pub fn as_raw(&self) -> RawArc<T> {
        RawArc(self.0)
    }

    /// Gives the ownership to whoever knows the place.
    pub fn into_raw(self) -> RawArc<T> {
        let place = self.as_raw();
        core::mem::forget(self);
        place
    }
}

impl<T> Clone for TryArc<T> {
    fn clone(&self) -> TryArc<T> {
        // Relaxed: a new owner comes from an old one, which orders the two.
        // SAFETY: valid while it has an owner.
        unsafe { self.0.as_ref() }.owners.fetch_add(1, Ordering::Relaxed);
        TryArc(self.0)
    }
}

impl<T> Deref for TryArc<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: valid while it has an owner.
        unsafe { &self.0.as_ref().value }
    }
}

impl<T> Drop for TryArc<T> {
    fn drop(&mut self) {
        // SAFETY: valid while it has an owner, and nobody but the last one frees it. Release and
        // Acquire: what the others did with the value comes before its end.
        unsafe {
            if self.0.as_ref().owners.fetch_sub(1, Ordering::Release) == 1 {
                fence(Ordering::Acquire);
                self.0.drop_in_place();
                compat::raw_free(self.0.cast());
            }
        }
    }
}

impl<T> Clone for RawArc<T> {
    fn clone(&self) -> RawArc<T> {
        *self
    }
}

impl<T> Copy for RawArc<T> {}

impl<T> PartialEq for RawArc<T> {
    fn eq(&self, other: &RawArc<T>) -> bool {
        self.0 == other.0
    }
}

impl<T> RawArc<T> {
    /// As an argument for C.
    pub fn into_ptr(self) -> *mut core::ffi::c_void {
        self.0.as_ptr().cast()
    }

    /// # Safety
    /// From [`RawArc::into_ptr`] of the same type.
    pub unsafe fn from_ptr(raw: *mut core::ffi::c_void) -> RawArc<T> {
        // SAFETY: as the caller promises.
        RawArc(unsafe { NonNull::new_unchecked(raw.cast()) })
    }

    /// Takes over the ownership that somebody has left.
    ///
    /// # Safety
    /// Somebody has, and nobody else takes it.
    pub unsafe fn into_arc(self) -> TryArc<T> {
        TryArc(self.0)
    }

    /// One more owner; none if the last one has just gone.
    ///
    /// # Safety
    /// The memory is valid: the value's destructor cannot have run to its end.
    pub unsafe fn upgrade(self) -> Option<TryArc<T>> {
        // SAFETY: as the caller promises.
        let owners = unsafe { &self.0.as_ref().owners };
        let more = |count| (count > 0).then_some(count + 1);
        // Relaxed: how many there are says nothing else.
        owners.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(TryArc(self.0))
    }

    /// The value.
    ///
    /// # Safety
    /// As [`RawArc::upgrade`], for as long as the result is used.
    pub unsafe fn get<'a>(self) -> &'a T {
        // SAFETY: as the caller promises.
        unsafe { &self.0.as_ref().value }
    }
}
