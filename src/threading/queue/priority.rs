//! `queue.PriorityQueue`: a heap, ordered by the `<` of its items.
//!
//! A comparison runs Python code, which may do anything: raise, let other threads run, or put to
//! this very queue and get from it. So nothing is changed while the place for an item is looked
//! for. The heap is changed in one step, after all comparisons, and only if it is still the heap
//! that was compared. If not, the operation begins again, a thousand times at most. So an exception
//! does no harm. An item that was to be got is not lost. An item that was to be put is put at the
//! end of the heap or not at all (see `insert`).
//!
//! One thread at a time has its *turn*. Threads that wait for items or room are woken to look
//! again, as in the Python class. The turn is re-entrant: a comparison may use the queue, in the
//! turn of its thread.

use core::ffi::{CStr, c_int, c_void};
use core::ptr;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use pyo3_ffi::{self as ffi, PyObject};

use crate::capi::compat;
use crate::capi::errors::{Raised, runtime_error};
use crate::capi::refs::drop_ref;
use crate::capi::types::Collected;
use crate::runtime::blocking::{self, NewWaiter, Signals, Timeout};
use crate::runtime::natives::Kind;
use crate::sync::{Awaitable, Channel, Condition, Deadline, Item, ReentrantLock, fork};
use crate::threading::head::Phase;
use crate::threading::method::LEFT_TO_PYTHON;
use crate::threading::queue::heap::{Attempt, Memory, insert, remove_least};
use crate::threading::queue::items::{item_of, object_of};
use crate::threading::queue::put_get::{self, Blocking};
use crate::threading::queue::{self, QueueObject};
use crate::threading::ticket::{self, Ended};

pub use crate::threading::queue::priority_ends::retire;
pub use crate::threading::queue::priority_ends::shut_down;
pub use crate::threading::queue::priority_ends::wake_all;

/// The items are in the channel of the queue, in the order of the heap. The only threads that wait
/// there are in `join`.
#[repr(C)]
pub struct PriorityObject {
    pub queue: QueueObject,
    turn: ReentrantLock,
    pub not_empty: Condition,
    pub not_full: Condition,
    /// How often the heap has changed.
    version: AtomicUsize,
    /// The fork epoch in which the turn was last checked.
    epoch: AtomicU32,
}

impl Collected for PriorityObject {
    unsafe fn weakrefs(slf: *mut PyObject) -> *mut PyObject {
        // SAFETY: as the caller promises.
        unsafe { QueueObject::weakrefs(slf) }
    }

    unsafe fn visit(slf: *mut PyObject, visit: ffi::visitproc, arg: *mut c_void) -> c_int {
        // SAFETY: as the caller promises.
        unsafe { QueueObject::visit(slf, visit, arg) }
    }

    unsafe fn clear(slf: *mut PyObject) {
        // SAFETY: as the caller promises.
        unsafe { QueueObject::clear(slf) }
    }
}

/// How often an operation is attempted again after a comparison has changed the queue.
const ATTEMPTS: u32 = 1000;

const UNSTEADY: &CStr = c"the comparison of its items keeps changing the queue";

/// # Safety
/// `slf` is a PriorityObject, and outlives the result.
pub unsafe fn this<'a>(slf: *mut PyObject) -> &'a PriorityObject {
    // SAFETY: as the caller promises.
    unsafe { &*slf.cast::<PriorityObject>() }
}

impl PriorityObject {
    /// Begins a turn of the calling thread. `Err` if a signal handler raised.
    ///
    /// # Safety
    /// Attached; the caller keeps the object alive.
    pub unsafe fn enter(&self, signals: Signals) -> Result<(), Raised> {
        let me = compat::thread_ident();
        if self.epoch.load(Ordering::Acquire) != fork::epoch() {
            self.end_turn_of_the_dead();
        }
        if !self.turn.try_acquire(me) {
            // SAFETY: as the caller promises. A wait without a deadline can only end with the lock.
            let _got = unsafe { blocking::wait(self.turn.lock(), Timeout::Never, signals)? };
            self.turn.adopt(me);
        }
        Ok(())
    }

    /// In the child of a fork: ends the turn of a thread that does not exist there. This is
    /// possible at any moment, because a turn changes nothing before all comparisons are made.
    #[cold]
    fn end_turn_of_the_dead(&self) {
        // Under the queue lock, because several threads may get here at once.
        self.channel().edit(|_| {
            if self.epoch.load(Ordering::Relaxed) != fork::epoch() {
                if !self.turn.is_owned_by(crate::thread_module::fork::survivor()) {
                    // No thread of this process waits for the turn either. The release fails if no
                    // thread had the turn, or if a thread had taken only the lock inside it.
                    if self.turn.release_all().is_err() {
                        let _ = self.turn.lock().release();
                    }
                }
                self.epoch.store(fork::epoch(), Ordering::Release);
            }
        });
    }

    pub fn leave(&self) {
        // The turn is this thread's: `enter` was called.
        let _ = self.turn.release(compat::thread_ident());
    }

    /// Notes that the heap has changed.
    pub fn changed(&self) {
        self.version.fetch_add(1, Ordering::Relaxed);
    }

    /// How often the heap has changed.
    pub fn version(&self) -> usize {
        self.version.load(Ordering::Relaxed)
    }

    /// The channel that holds the items.
    pub fn channel(&self) -> &Channel {
        &self.queue.channel
    }

    /// Whether another item would be too many.
    fn is_full(&self) -> bool {
        let limit = self.channel().limit();
        limit > 0 && self.channel().len() >= limit.unsigned_abs()
    }

    /// Ends the turn, waits for a notification, and begins a turn again whatever happens. A thread
    /// that waits `again` goes to the front. Returns `None`, with nothing done, if the queue is
    /// being materialized.
    ///
    /// # Safety
    /// As `enter`, in a turn.
    unsafe fn wait(
        &self,
        condition: &Condition,
        deadline: Deadline,
        again: bool,
    ) -> Result<Option<Ended>, Raised> {
        // SAFETY: as the caller promises. The waiter leaves the queue before it is freed.
        unsafe {
            let slf = self.object();
            blocking::refuse_at_shutdown()?;
            let waiter = NewWaiter::allocate()?;
            // Under the queue lock of the channel: see `retire`.
            let is_queued = self.channel().edit(|_| {
                self.queue.head.phase() == Phase::Native && !condition.enqueue(waiter.get(), again)
            });
            if !is_queued {
                waiter.free();
                self.queue.head.settled_phase();
                return Ok(None);
            }
            let saved = self.turn.release_all();
            let waited = blocking::wait_queued(&waiter, condition, deadline, Signals::Handle);
            let ticket = waiter.get().ticket();
            waiter.free();
            let mut ended = ticket::end(slf, waited, ticket, deadline);
            if matches!(ended, Ok(Ended::Got | Ended::TimedOut))
                && ticket::run_pending(slf).is_err()
            {
                if matches!(ended, Ok(Ended::Got)) {
                    self.pass_on(condition);
                }
                ended = Err(Raised);
            }
            // The exception of a signal handler is kept until the turn has begun.
            let pending = if ended.is_err() { Some(compat::take_exception()) } else { None };
            let entered = self.enter(Signals::Defer);
            if let (Ok(()), Ok(saved)) = (&entered, saved) {
                self.turn.restore(saved);
            }
            match pending {
                Some(pending) if entered.is_ok() => compat::restore_exception(pending),
                Some(pending) => compat::forget_exception(pending),
                None => {}
            }
            entered.and(ended.map(Some))
        }
    }

    fn object(&self) -> *mut PyObject {
        ptr::from_ref(self).cast_mut().cast()
    }

    /// Notifies a thread that waits for the condition. If the queue has been materialized since the
    /// heap was changed, notifies in Python.
    ///
    /// # Safety
    /// Attached; the caller keeps the object alive; no exception is set.
    unsafe fn tell(&self, condition: &Condition) -> Result<(), Raised> {
        if condition.notify(1) {
            return Ok(());
        }
        // SAFETY: as the caller promises.
        unsafe { self.tell_in_python(condition, c"notify") }
    }

    #[cold]
    pub unsafe fn tell_in_python(
        &self,
        condition: &Condition,
        notify: &CStr,
    ) -> Result<(), Raised> {
        let is_not_empty = ptr::eq(condition, &raw const self.not_empty);
        let name = if is_not_empty { c"not_empty" } else { c"not_full" };
        // SAFETY: as in `tell`.
        unsafe {
            self.queue.head.settled_phase();
            queue::notify_python(self.object(), name, notify, None)
        }
    }

    /// Passes on a notification that this thread has got and does not use.
    ///
    /// # Safety
    /// As `tell`, but there may be an exception, which stays.
    #[cold]
    unsafe fn pass_on(&self, condition: &Condition) {
        if condition.notify(1) {
            return;
        }
        // SAFETY: as the caller promises.
        unsafe {
            let pending = compat::take_exception();
            if self.tell_in_python(condition, c"notify").is_err() {
                ffi::PyErr_Clear();
            }
            compat::restore_exception(pending);
        }
    }
}

/// The state of the waits of one put or get.
#[derive(Default)]
struct Wait {
    /// The deadline, once the arguments have been read.
    until: Option<Deadline>,
    /// Whether the thread has waited before.
    again: bool,
    /// Whether the thread was notified, and has not used that yet.
    is_notified: bool,
    has_expired: bool,
}

/// How the caller goes on after a wait.
enum Next {
    Look,
    GiveUp,
}

impl Wait {
    /// Waits once.
    ///
    /// # Safety
    /// As [`PriorityObject::wait`].
    unsafe fn wait(
        &mut self,
        this: &PriorityObject,
        condition: &Condition,
        blocking: Blocking,
    ) -> Result<Next, Raised> {
        if self.has_expired {
            return Ok(Next::GiveUp);
        }
        // SAFETY: as the caller promises; the arguments are alive.
        unsafe {
            if self.until.is_none() {
                self.until = put_get::deadline_of(blocking)?;
            }
            let Some(deadline) = self.until else { return Ok(Next::GiveUp) };
            self.is_notified = false;
            if let Some(ended) = this.wait(condition, deadline, self.again)? {
                self.again = true;
                self.is_notified = ended == Ended::Got;
                self.has_expired = ended == Ended::TimedOut;
            }
        }
        Ok(Next::Look)
    }
}

/// How a put or get has ended.
enum Outcome<T> {
    Done(T),
    /// One of the exceptions of `queue`.
    Raise(Kind),
    NoMemory,
    /// The Python function has to serve the call. Nothing has been done except waiting.
    Python,
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
        if this.channel().is_retired() {
            return LEFT_TO_PYTHON;
        }
        if this.enter(Signals::Handle).is_err() {
            return ptr::null_mut();
        }
        ffi::Py_INCREF(item);
        let mut wait = Wait::default();
        let outcome = put_in_turn(slf, item, block, seconds, &mut wait);
        this.leave();
        if let Ok(Outcome::Done(())) = outcome {
            return match this.tell(&this.not_empty) {
                Ok(()) => compat::none(),
                Err(Raised) => ptr::null_mut(),
            };
        }
        if wait.is_notified {
            // The notification was of room, which another thread can use now.
            this.pass_on(&this.not_full);
        }
        let result = match outcome {
            Ok(Outcome::Python) => match wait.until {
                Some(deadline) => put_get::go_on_putting(slf, item, deadline),
                None => LEFT_TO_PYTHON,
            },
            outcome => failed(slf, outcome, &wait),
        };
        drop_ref(item);
        result
    }
}

/// Returns the result of a call that has failed.
///
/// # Safety
/// As [`put_item`].
#[cold]
unsafe fn failed<T>(
    slf: *mut PyObject,
    outcome: Result<Outcome<T>, Raised>,
    wait: &Wait,
) -> *mut PyObject {
    // SAFETY: as the caller promises.
    unsafe {
        match outcome {
            Ok(Outcome::Raise(kind)) if wait.until.is_some() => queue::raise(slf, kind),
            Ok(Outcome::Raise(kind)) => queue::raise_or_leave(slf, kind),
            Ok(Outcome::NoMemory) => ffi::PyErr_NoMemory(),
            _ => ptr::null_mut(),
        }
    }
}

unsafe fn put_in_turn(
    slf: *mut PyObject,
    item: *mut PyObject,
    block: *mut PyObject,
    seconds: *mut PyObject,
    wait: &mut Wait,
) -> Result<Outcome<()>, Raised> {
    // SAFETY: as in `put_item`, in a turn.
    unsafe {
        let this = this(slf);
        let mut blocking = None;
        loop {
            if this.channel().is_retired() {
                return Ok(Outcome::Python);
            }
            if this.channel().is_shut_down() {
                return Ok(Outcome::Raise(Kind::ShutDown));
            }
            // Without a limit the other arguments do not matter.
            if blocking.is_none() && this.channel().limit() > 0 {
                blocking = put_get::blocking(block, seconds)?;
                if blocking.is_none() {
                    return Ok(Outcome::Python);
                }
            }
            if this.is_full() {
                let blocking = blocking.unwrap_or(Blocking::FOREVER);
                match wait.wait(this, &this.not_full, blocking)? {
                    Next::Look => continue,
                    Next::GiveUp => return Ok(Outcome::Raise(Kind::Full)),
                }
            }
            let mut attempt = insert(this, None, false, item_of(item))?;
            if matches!(attempt, Attempt::Disturbed) {
                let again = |memory: &mut Memory, attempt: u32| {
                    if this.channel().is_retired() || this.is_full() {
                        return Ok(None);
                    }
                    let from_above = attempt.is_multiple_of(2);
                    insert(this, Some(memory), from_above, item_of(item)).map(Some)
                };
                match persist(again)? {
                    Some(result) => attempt = result,
                    None => continue,
                }
            }
            match attempt {
                Attempt::Done(()) => return Ok(Outcome::Done(())),
                Attempt::NoMemory => return Ok(Outcome::NoMemory),
                Attempt::Disturbed => {}
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
        if this.channel().is_retired() {
            return LEFT_TO_PYTHON;
        }
        if this.enter(Signals::Handle).is_err() {
            return ptr::null_mut();
        }
        let mut wait = Wait::default();
        let outcome = get_in_turn(slf, block, seconds, &mut wait);
        this.leave();
        if let Ok(Outcome::Done(item)) = outcome {
            return match this.tell(&this.not_full) {
                Ok(()) => object_of(item),
                Err(Raised) => {
                    drop_ref(object_of(item));
                    ptr::null_mut()
                }
            };
        }
        if wait.is_notified {
            // The notification was of an item, which another thread can get now.
            this.pass_on(&this.not_empty);
        }
        match outcome {
            Ok(Outcome::Python) => match wait.until {
                Some(deadline) => put_get::go_on_getting(slf, deadline),
                None => LEFT_TO_PYTHON,
            },
            outcome => failed(slf, outcome, &wait),
        }
    }
}

unsafe fn get_in_turn(
    slf: *mut PyObject,
    block: *mut PyObject,
    seconds: *mut PyObject,
    wait: &mut Wait,
) -> Result<Outcome<Item>, Raised> {
    // SAFETY: as in `get_item`, in a turn.
    unsafe {
        let this = this(slf);
        let mut blocking = None;
        loop {
            if this.channel().is_retired() {
                return Ok(Outcome::Python);
            }
            if this.channel().is_empty() && this.channel().is_shut_down() {
                return Ok(Outcome::Raise(Kind::ShutDown));
            }
            let blocking = match blocking {
                Some(known) => known,
                None => match put_get::blocking(block, seconds)? {
                    Some(found) => *blocking.insert(found),
                    None => return Ok(Outcome::Python),
                },
            };
            if this.channel().is_empty() {
                match wait.wait(this, &this.not_empty, blocking)? {
                    Next::Look => continue,
                    Next::GiveUp => return Ok(Outcome::Raise(Kind::Empty)),
                }
            }
            let mut attempt = remove_least(this, None)?;
            if matches!(attempt, Attempt::Disturbed) {
                let again = |memory: &mut Memory, _| {
                    if this.channel().is_retired() || this.channel().is_empty() {
                        return Ok(None);
                    }
                    remove_least(this, Some(memory)).map(Some)
                };
                match persist(again)? {
                    Some(result) => attempt = result,
                    None => continue,
                }
            }
            match attempt {
                Attempt::Done(item) => return Ok(Outcome::Done(item)),
                Attempt::NoMemory => return Ok(Outcome::NoMemory),
                Attempt::Disturbed => {}
            }
        }
    }
}

/// Repeats an operation that comparisons have disturbed, and remembers their results. Returns
/// `None` if the queue has changed in such a way that the caller has to look at it again.
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
    // SAFETY: as the caller promises. Dropping references may run Python code, which must not find
    // an exception set.
    unsafe {
        let pending = if result.is_err() { Some(compat::take_exception()) } else { None };
        memory.forget();
        if let Some(pending) = pending {
            compat::restore_exception(pending);
        }
        if matches!(result, Ok(Some(Attempt::Disturbed))) {
            runtime_error(UNSTEADY);
            return Err(Raised);
        }
    }
    result
}
