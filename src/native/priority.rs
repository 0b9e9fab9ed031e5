//! `queue.PriorityQueue`: a heap, ordered by the `<` of its items.
//!
//! Comparing runs Python code, and that may do anything: raise, let other threads run, or put to
//! this very queue and get from it. So nothing is changed while a place for an item is looked for.
//! Only when all comparisons are made is the heap changed, in one step, if it is still the heap
//! that was compared; if not, all is done again, for a thousand times at most. An exception therefore changes nothing: what was
//! to be put is not in, and what was to be got has not been lost.
//!
//! One thread at a time has its *turn*, and those who wait for items or room are woken to look
//! again, as in the Python class. The turn is re-entrant: what a comparison does in here is done
//! in the turn of its thread.

use core::ffi::CStr;
use core::ptr;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use pyo3_ffi::{self as ffi, PyObject};

use super::heap::{Attempt, Memory, insert, remove_least};
use super::items::{item_of, object_of};
use super::open::Openable;
use super::queue::{QueueObject, raise};
use super::transfer::{self, Patience};
use super::{Kind, arguments};
use crate::blocking::{self, NewWaiter, Signals, Timeout, Waited};
use crate::compat::{self, Raised};
use crate::object::{self, drop_ref};
use crate::sync::{
    Awaitable, Channel, Condition, Deadline, Item, Items, ReentrantLock, Remains, fork,
};

/// The items are in the channel of the queue, in the order of the heap. Nobody waits there but for
/// the end of all tasks.
#[repr(C)]
pub struct PriorityObject {
    queue: QueueObject,
    turn: ReentrantLock,
    not_empty: Condition,
    not_full: Condition,
    /// How often the heap has changed.
    version: AtomicUsize,
    /// The fork epoch in which the turn was last looked at.
    epoch: AtomicU32,
}

/// How often an operation is begun again because a comparison has changed the queue.
const ATTEMPTS: u32 = 1000;

const UNSTEADY: &CStr = c"the comparison of its items keeps changing the queue";

/// # Safety
/// `slf` is a PriorityObject, and outlives the result.
unsafe fn this<'a>(slf: *mut PyObject) -> &'a PriorityObject {
    // SAFETY: as the caller promises.
    unsafe { &*slf.cast::<PriorityObject>() }
}

impl PriorityObject {
    /// Begins a turn of the calling thread. `Err` if a signal handler raised.
    ///
    /// # Safety
    /// Attached; the caller keeps the object alive.
    unsafe fn enter(&self, signals: Signals) -> Result<(), Raised> {
        let me = compat::thread_ident();
        if self.epoch.load(Ordering::Acquire) != fork::epoch() {
            self.end_turn_of_the_dead();
        }
        if !self.turn.try_acquire(me) {
            // SAFETY: as the caller promises.
            unsafe { blocking::wait(self.turn.lock(), Timeout::Never, signals)? };
            self.turn.adopt(me);
        }
        Ok(())
    }

    /// In the child of a fork: the turn of a thread that is gone is over. It can be, at any moment,
    /// because a turn changes nothing before all comparisons are made.
    #[cold]
    fn end_turn_of_the_dead(&self) {
        // Under the guard, because several threads may have come here at once.
        self.channel().edit(|_| {
            if self.epoch.load(Ordering::Relaxed) != fork::epoch() {
                if !self.turn.is_owned_by(crate::fork::survivor()) {
                    // Nobody waits for it either. It fails if nobody had it, or had got no further
                    // than to the lock.
                    if self.turn.release_all().is_err() {
                        let _ = self.turn.lock().release();
                    }
                }
                self.epoch.store(fork::epoch(), Ordering::Release);
            }
        });
    }

    fn leave(&self) {
        // It is ours: `enter` was called.
        let _ = self.turn.release(compat::thread_ident());
    }

    /// Says that the heap is another one.
    pub fn changed(&self) {
        self.version.fetch_add(1, Ordering::Relaxed);
    }

    /// How often the heap has changed.
    pub fn version(&self) -> usize {
        self.version.load(Ordering::Relaxed)
    }

    /// Where the items are.
    pub fn channel(&self) -> &Channel {
        &self.queue.channel
    }

    /// Whether another item would be too many.
    fn is_full(&self) -> bool {
        let limit = self.channel().limit();
        limit > 0 && self.channel().len() >= limit.unsigned_abs()
    }

    /// The item at this place of the heap.
    pub fn at(&self, place: usize) -> Option<Item> {
        self.channel().edit(|heap| heap.at(place))
    }

    /// Ends the turn, waits to be notified, and has a turn again, whatever happens.
    ///
    /// # Safety
    /// As `enter`, in a turn.
    unsafe fn wait(&self, condition: &Condition, deadline: Deadline) -> Result<Waited, Raised> {
        // SAFETY: as the caller promises. The waiter leaves the queue before it is freed.
        unsafe {
            blocking::refuse_at_shutdown()?;
            let waiter = NewWaiter::allocate()?;
            condition.enqueue(waiter.get(), false);
            let saved = self.turn.release_all();
            let waited = blocking::wait_queued(&waiter, condition, deadline, Signals::Handle);
            waiter.free();
            // The exception of a signal handler waits until we have the turn.
            let pending = if waited.is_err() { Some(compat::take_exception()) } else { None };
            let entered = self.enter(Signals::Defer);
            if let (Ok(()), Ok(saved)) = (&entered, saved) {
                self.turn.restore(saved);
            }
            match pending {
                Some(pending) if entered.is_ok() => compat::restore_exception(pending),
                Some(pending) => compat::forget_exception(pending),
                None => {}
            }
            entered.and(waited)
        }
    }
}

/// How a put or get has ended.
enum Outcome<T> {
    Done(T),
    /// One of the exceptions of `queue`.
    Raise(Kind),
    NoMemory,
    /// The queue has been opened. Python has this much time left, if that has been found out.
    Open(Option<Deadline>),
}

/// # Safety
/// Attached, with a PriorityObject that the caller keeps alive; `block` and `seconds` may be null.
pub unsafe fn put_item(
    slf: *mut PyObject,
    item: *mut PyObject,
    block: *mut PyObject,
    seconds: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: as the caller promises. The reference goes with the item if it is in.
    unsafe {
        let this = this(slf);
        if this.channel().is_closed() {
            return transfer::pure_put(slf, item, block, seconds);
        }
        if this.enter(Signals::Handle).is_err() {
            return ptr::null_mut();
        }
        ffi::Py_INCREF(item);
        let outcome = put_in_turn(slf, item, block, seconds);
        this.leave();
        if let Ok(Outcome::Done(())) = outcome {
            this.not_empty.notify(1);
            return compat::none();
        }
        // It may have been woken for the room that somebody else can use now.
        this.not_full.notify(1);
        let result = match outcome {
            Ok(Outcome::Done(())) => compat::none(),
            Ok(Outcome::Raise(kind)) => raise(slf, kind),
            Ok(Outcome::NoMemory) => ffi::PyErr_NoMemory(),
            Ok(Outcome::Open(None)) => transfer::pure_put(slf, item, block, seconds),
            Ok(Outcome::Open(Some(deadline))) => {
                let left = arguments::remaining(deadline);
                let result = if left.is_null() {
                    left
                } else {
                    transfer::pure_put(slf, item, ffi::Py_True(), left)
                };
                drop_ref(left);
                result
            }
            Err(Raised) => ptr::null_mut(),
        };
        drop_ref(item);
        result
    }
}

unsafe fn put_in_turn(
    slf: *mut PyObject,
    item: *mut PyObject,
    block: *mut PyObject,
    seconds: *mut PyObject,
) -> Result<Outcome<()>, Raised> {
    // SAFETY: as in `put_item`, in a turn.
    unsafe {
        let this = this(slf);
        let mut patience = None;
        if this.channel().limit() > 0 && !this.channel().is_shut_down() {
            patience = transfer::patience(block, seconds)?;
            if patience.is_none() {
                QueueObject::open(slf)?;
            }
        }
        let mut until = None;
        let mut expired = false;
        loop {
            if this.channel().is_closed() {
                return Ok(Outcome::Open(until));
            }
            if this.channel().is_shut_down() {
                return Ok(Outcome::Raise(Kind::ShutDown));
            }
            if this.is_full() {
                if expired {
                    return Ok(Outcome::Raise(Kind::Full));
                }
                let patience = patience.unwrap_or(Patience::Wait(ptr::null_mut()));
                match begin_or_go_on(patience, &mut until)? {
                    None => return Ok(Outcome::Raise(Kind::Full)),
                    Some(deadline) => {
                        expired = this.wait(&this.not_full, deadline)? == Waited::TimedOut;
                    }
                }
                continue;
            }
            match insert(this, None, false, item_of(item))? {
                Attempt::Done(()) => return Ok(Outcome::Done(())),
                Attempt::NoMemory => return Ok(Outcome::NoMemory),
                Attempt::Disturbed => {
                    let again = |memory: &mut Memory, attempt: u32| {
                        if this.channel().is_closed() || this.is_full() {
                            return Ok(None);
                        }
                        let from_above = attempt.is_multiple_of(2);
                        insert(this, Some(memory), from_above, item_of(item)).map(Some)
                    };
                    match persist(again)? {
                        Some(Attempt::Done(())) => return Ok(Outcome::Done(())),
                        Some(Attempt::NoMemory) => return Ok(Outcome::NoMemory),
                        _ => {}
                    }
                }
            }
        }
    }
}

/// # Safety
/// Attached, with a PriorityObject that the caller keeps alive; `block` and `seconds` may be null.
pub unsafe fn get_item(
    slf: *mut PyObject,
    block: *mut PyObject,
    seconds: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: as the caller promises. The reference comes with the item.
    unsafe {
        let this = this(slf);
        if this.channel().is_closed() {
            return transfer::pure_get(slf, block, seconds);
        }
        if this.enter(Signals::Handle).is_err() {
            return ptr::null_mut();
        }
        let outcome = get_in_turn(slf, block, seconds);
        this.leave();
        if let Ok(Outcome::Done(item)) = outcome {
            this.not_full.notify(1);
            return object_of(item);
        }
        // It may have been woken for an item that somebody else can get now.
        this.not_empty.notify(1);
        match outcome {
            Ok(Outcome::Done(item)) => object_of(item),
            Ok(Outcome::Raise(kind)) => raise(slf, kind),
            Ok(Outcome::NoMemory) => ffi::PyErr_NoMemory(),
            Ok(Outcome::Open(None)) => transfer::pure_get(slf, block, seconds),
            Ok(Outcome::Open(Some(deadline))) => {
                let left = arguments::remaining(deadline);
                let result = if left.is_null() {
                    left
                } else {
                    transfer::pure_get(slf, ffi::Py_True(), left)
                };
                drop_ref(left);
                result
            }
            Err(Raised) => ptr::null_mut(),
        }
    }
}

unsafe fn get_in_turn(
    slf: *mut PyObject,
    block: *mut PyObject,
    seconds: *mut PyObject,
) -> Result<Outcome<Item>, Raised> {
    // SAFETY: as in `get_item`, in a turn.
    unsafe {
        let this = this(slf);
        let is_over = || this.channel().is_shut_down() && this.channel().is_empty();
        if is_over() {
            return Ok(Outcome::Raise(Kind::ShutDown));
        }
        let patience = transfer::patience(block, seconds)?;
        if patience.is_none() {
            QueueObject::open(slf)?;
        }
        let patience = patience.unwrap_or(Patience::Poll);
        let mut until = None;
        let mut expired = false;
        loop {
            if this.channel().is_closed() {
                return Ok(Outcome::Open(until));
            }
            if this.channel().is_empty() {
                if is_over() {
                    return Ok(Outcome::Raise(Kind::ShutDown));
                }
                let until = if expired { None } else { begin_or_go_on(patience, &mut until)? };
                let Some(deadline) = until else { return Ok(Outcome::Raise(Kind::Empty)) };
                expired = this.wait(&this.not_empty, deadline)? == Waited::TimedOut;
                continue;
            }
            match remove_least(this, None)? {
                Attempt::Done(item) => return Ok(Outcome::Done(item)),
                Attempt::NoMemory => return Ok(Outcome::NoMemory),
                Attempt::Disturbed => {
                    let again = |memory: &mut Memory, _| {
                        if this.channel().is_closed() || this.channel().is_empty() {
                            return Ok(None);
                        }
                        remove_least(this, Some(memory)).map(Some)
                    };
                    if let Some(Attempt::Done(item)) = persist(again)? {
                        return Ok(Outcome::Done(item));
                    }
                }
            }
        }
    }
}

/// Until when to wait: found out the first time.
unsafe fn begin_or_go_on(
    patience: Patience,
    until: &mut Option<Deadline>,
) -> Result<Option<Deadline>, Raised> {
    if until.is_none() {
        // SAFETY: attached, as every caller promises; the arguments are alive.
        *until = unsafe { transfer::wait_until(patience)? };
    }
    Ok(*until)
}

/// Attempts again what comparisons have disturbed, and remembers what they say. `None` if the
/// queue is such by now that the caller has to look at it again.
///
/// # Safety
/// Attached, in a turn.
#[cold]
unsafe fn persist<T>(
    mut again: impl FnMut(&mut Memory, u32) -> Result<Option<Attempt<T>>, Raised>,
) -> Result<Option<Attempt<T>>, Raised> {
    let mut memory = Memory::new();
    let mut result = Ok(Some(Attempt::Disturbed));
    let mut attempt = 0;
    while attempt < ATTEMPTS && matches!(result, Ok(Some(Attempt::Disturbed))) {
        result = again(&mut memory, attempt);
        attempt += 1;
    }
    // SAFETY: as the caller promises. What dropping references runs must not find an exception.
    unsafe {
        let pending = if result.is_err() { Some(compat::take_exception()) } else { None };
        memory.forget();
        if let Some(pending) = pending {
            compat::restore_exception(pending);
        }
        if matches!(result, Ok(Some(Attempt::Disturbed))) {
            object::runtime_error(UNSTEADY);
            return Err(Raised);
        }
    }
    result
}

/// [`Channel::shut_down`].
///
/// # Safety
/// Attached, with a PriorityObject that the caller keeps alive.
pub unsafe fn shut_down(slf: *mut PyObject, discard: bool) -> Result<Option<Items>, Raised> {
    // SAFETY: as the caller promises.
    unsafe {
        let this = this(slf);
        this.enter(Signals::Handle)?;
        let items = this.channel().shut_down(discard);
        this.changed();
        this.leave();
        wake_all(slf);
        Ok(items)
    }
}

/// [`Channel::close`].
///
/// # Safety
/// Attached, with a PriorityObject that the caller keeps alive.
pub unsafe fn close(slf: *mut PyObject) -> Result<Option<Remains>, Raised> {
    // SAFETY: as the caller promises.
    unsafe {
        let this = this(slf);
        this.enter(Signals::Defer)?;
        let remains = this.channel().close();
        this.changed();
        this.leave();
        wake_all(slf);
        Ok(remains)
    }
}

/// Has everybody look again who waits to put or get.
///
/// # Safety
/// Attached, with a PriorityObject.
pub unsafe fn wake_all(slf: *mut PyObject) {
    // SAFETY: as the caller promises.
    unsafe {
        this(slf).not_empty.notify(usize::MAX);
        this(slf).not_full.notify(usize::MAX);
    }
}
