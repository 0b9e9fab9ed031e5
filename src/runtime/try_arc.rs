//! A value with several owners, like an `Arc`. If there is no memory for it, the result is `None`;
//! an `Arc` would end the process.

use core::ops::Deref;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering, fence};

use crate::capi::compat;

#[repr(C)]
struct Inner<T> {
    owners: AtomicUsize,
    value: T,
}

/// One owner of the value.
pub struct TryArc<T>(NonNull<Inner<T>>);

/// The address of a shared value, without ownership.
pub struct RawArc<T>(NonNull<Inner<T>>);

// SAFETY: as for an `Arc`. Owners in several threads share the value, and any of them may be the
// last one, which drops it.
unsafe impl<T: Send + Sync> Send for TryArc<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for TryArc<T> {}

impl<T> TryArc<T> {
    /// Makes a value with its first owner. None if there is no memory.
    pub fn new(value: T) -> Option<TryArc<T>> {
        const { assert!(align_of::<Inner<T>>() <= compat::RAW_ALIGNMENT) };
        let inner = compat::raw_malloc(size_of::<Inner<T>>())?.cast::<Inner<T>>();
        // SAFETY: fresh memory of this size, aligned for any C type.
        unsafe { inner.write(Inner { owners: AtomicUsize::new(1), value }) };
        Some(TryArc(inner))
    }

    /// The address of the value. Valid as long as the value has an owner.
    pub fn as_raw(&self) -> RawArc<T> {
        RawArc(self.0)
    }

    /// Turns this owner into an address. The ownership is taken over with [`RawArc::into_arc`].
    pub fn into_raw(self) -> RawArc<T> {
        let place = self.as_raw();
        core::mem::forget(self);
        place
    }
}

impl<T> Clone for TryArc<T> {
    fn clone(&self) -> TryArc<T> {
        // Relaxed: a new owner is made from an existing one, and so comes after it.
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
        // SAFETY: valid while it has an owner, and only the last owner frees it.
        // Release and Acquire: everything that other owners did with the value comes before its
        // end.
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
    /// The address as an argument for C.
    pub fn into_ptr(self) -> *mut core::ffi::c_void {
        self.0.as_ptr().cast()
    }

    /// # Safety
    /// The pointer is from [`RawArc::into_ptr`] of the same type.
    pub unsafe fn from_ptr(raw: *mut core::ffi::c_void) -> RawArc<T> {
        // SAFETY: as the caller promises.
        RawArc(unsafe { NonNull::new_unchecked(raw.cast()) })
    }

    /// Takes over an ownership that [`TryArc::into_raw`] has given up.
    ///
    /// # Safety
    /// There is such an ownership, and no other code takes it over.
    pub unsafe fn into_arc(self) -> TryArc<T> {
        TryArc(self.0)
    }

    /// Makes one more owner. None if the last owner has just gone.
    ///
    /// # Safety
    /// The memory is valid: the value's destructor has not run to its end.
    pub unsafe fn upgrade(self) -> Option<TryArc<T>> {
        // SAFETY: as the caller promises.
        let owners = unsafe { &self.0.as_ref().owners };
        let more = |count| (count > 0).then_some(count + 1);
        // Relaxed: the number of owners orders nothing else. The caller guarantees that the value
        // is there.
        owners.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(TryArc(self.0))
    }

    /// The value.
    ///
    /// # Safety
    /// As [`RawArc::upgrade`], as long as the result is used.
    pub unsafe fn get<'a>(self) -> &'a T {
        // SAFETY: as the caller promises.
        unsafe { &self.0.as_ref().value }
    }
}
