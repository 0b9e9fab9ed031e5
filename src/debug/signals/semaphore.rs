//! The semaphore by which the C handler wakes the helper thread.
//!
//! Few functions may be called in a handler, and `sem_post` is one of them. A byte in a pipe would do
//! as well, but programs that become daemons close all files.

#[cfg(not(target_vendor = "apple"))]
use core::cell::UnsafeCell;
#[cfg(not(target_vendor = "apple"))]
use core::mem::MaybeUninit;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

/// The semaphore; null if there is none yet.
static SEMAPHORE: AtomicPtr<libc::sem_t> = AtomicPtr::new(ptr::null_mut());

/// Makes the semaphore, without wake-ups. To be called once in each process. False if the system has
/// none.
pub fn make() -> bool {
    let made = new();
    SEMAPHORE.store(made, Ordering::Release);
    !made.is_null()
}

/// Whether there is a semaphore.
pub fn is_made() -> bool {
    !SEMAPHORE.load(Ordering::Relaxed).is_null()
}

/// Wakes the helper. If it does not exist at this moment, it finds the wake-up later.
pub fn post() {
    let semaphore = SEMAPHORE.load(Ordering::Acquire);
    if !semaphore.is_null() {
        // SAFETY: made by `make`, and never destroyed.
        unsafe { libc::sem_post(semaphore) };
    }
}

/// Waits for a wake-up. There is a semaphore.
pub fn wait() {
    // SAFETY: as above. The call fails only if a signal has come.
    unsafe { while libc::sem_wait(SEMAPHORE.load(Ordering::Acquire)) != 0 {} }
}

#[cfg(not(target_vendor = "apple"))]
fn new() -> *mut libc::sem_t {
    struct Place(UnsafeCell<MaybeUninit<libc::sem_t>>);
    // SAFETY: a semaphore is made for sharing.
    unsafe impl Sync for Place {}
    static PLACE: Place = Place(UnsafeCell::new(MaybeUninit::uninit()));
    let place = PLACE.0.get().cast();
    // SAFETY: no thread of this process uses it yet.
    if unsafe { libc::sem_init(place, 0, 0) } == 0 { place } else { ptr::null_mut() }
}

/// Apple's systems have only semaphores with names, which a child shares with its parent.
#[cfg(target_vendor = "apple")]
fn new() -> *mut libc::sem_t {
    let name = c"/rthread-dump".as_ptr();
    // SAFETY: a text with a NUL at its end. The name is free again at once.
    let made = unsafe {
        libc::sem_unlink(name);
        let made = libc::sem_open(name, libc::O_CREAT | libc::O_EXCL, 0o600, 0);
        libc::sem_unlink(name);
        made
    };
    if made == libc::SEM_FAILED { ptr::null_mut() } else { made }
}
