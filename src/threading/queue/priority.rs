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

use core::ffi::{CStr, c_int};
use core::ptr;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use crate::capi::compat;
use crate::capi::entry::{Instance, This, Visitor};
use crate::capi::errors::Raised;
use crate::capi::object::{Attached, Borrowed, Owned};
use crate::runtime::blocking::{self, NewWaiter, Signals, Subject, Timeout};
use crate::runtime::natives::Kind;
use crate::sync::{Awaitable, Channel, Condition, Deadline, Owner, ReentrantLock, WaitKind, fork};
use crate::threading::head::{Headed, NativeObject};
use crate::threading::method::{LEFT_TO_PYTHON, Outcome, Reply, reply};
use crate::threading::queue::heap::{Attempt, Memory, insert, remove_least};
use crate::threading::queue::put_get::{self, Blocking};
use crate::threading::queue::python_side::notify_python;
use crate::threading::queue::{QueueObject, errors};
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

// SAFETY: laid out by C's rules, and begins with a `QueueObject`, which begins with the header; all
// zero bytes are an empty queue that is yet to be initialised.
unsafe impl Instance for PriorityObject {}

// SAFETY: it begins with a `QueueObject`, which begins with a head.
unsafe impl Headed for PriorityObject {}

impl NativeObject for PriorityObject {
    fn visit_more(&self, visitor: Visitor<'_>) -> c_int {
        self.queue.visit_more(visitor)
    }

    fn clear_more(this: This<'_, Self>, py: Attached<'_>) {
        QueueObject::clear_more(as_queue(this), py);
    }
}

/// How often an operation is attempted again after a comparison has changed the queue.
const ATTEMPTS: u32 = 1000;

const UNSTEADY: &CStr = c"the comparison of its items keeps changing the queue";

/// A queue as a priority queue, if it is one.
#[inline]
#[must_use]
pub fn of(queue: This<'_, QueueObject>) -> Option<This<'_, PriorityObject>> {
    // SAFETY: all objects of this kind have this layout.
    (queue.kind() == Kind::PriorityQueue).then(|| unsafe { This::assume(queue.object().as_ptr()) })
}

/// A priority queue as a queue.
#[inline]
fn as_queue(this: This<'_, PriorityObject>) -> This<'_, QueueObject> {
    // SAFETY: the struct begins with a `QueueObject`.
    unsafe { This::assume(this.object().as_ptr()) }
}

impl PriorityObject {
    /// Begins a turn of the calling thread. `Err` if a signal handler raised.
    pub fn enter(&self, py: Attached<'_>, signals: Signals) -> Result<(), Raised> {
        let me = compat::thread_ident();
        if self.epoch.load(Ordering::Acquire) != fork::epoch() {
            self.end_turn_of_the_dead();
        }
        if !self.turn.try_acquire(me, Owner::NONE) {
            // A wait without a deadline can only end with the lock.
            let subject = Subject::TURN;
            let _got = blocking::wait(py, self.turn.lock(), subject, Timeout::Never, signals)?;
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
}

/// Ends the turn, waits for a notification, and begins a turn again whatever happens. A thread that
/// waits `again` goes to the front. Returns `None`, with nothing done, if the queue is being
/// materialized. Called in a turn.
fn wait(
    py: Attached<'_>,
    this: This<'_, PriorityObject>,
    condition: &Condition,
    deadline: Deadline,
    again: bool,
) -> Result<Option<Ended>, Raised> {
    blocking::refuse_at_shutdown(py)?;
    let waiter = NewWaiter::allocate(py)?;
    // Under the queue lock of the channel: see `retire`.
    let is_queued = this.channel().edit(|_| {
        // SAFETY: the waiter is on the heap, and leaves the queue before it is freed.
        this.head().is_native_phase() && !unsafe { condition.enqueue(waiter.get(), again) }
    });
    if !is_queued {
        // SAFETY: it is in no queue.
        unsafe { waiter.free() };
        this.head().settled_phase(py);
        return Ok(None);
    }
    let saved = this.turn.release_all();
    // SAFETY: the waiter is in the queue of the condition, and in none after the wait.
    let (waited, ticket) = unsafe {
        let kind = if ptr::eq(condition, &raw const this.not_empty) {
            WaitKind::QueueGet
        } else {
            WaitKind::QueuePut
        };
        let subject = Subject::of(kind, this.object());
        let waited =
            blocking::wait_queued(py, &waiter, condition, subject, deadline, Signals::Handle);
        let ticket = waiter.get().ticket();
        waiter.free();
        (waited, ticket)
    };
    let mut ended = ticket::end(py, this.object(), waited, ticket, deadline);
    if matches!(ended, Ok(Ended::Got | Ended::TimedOut))
        && ticket::run_pending(py, this.object()).is_err()
    {
        if matches!(ended, Ok(Ended::Got)) {
            pass_on(py, this, condition);
        }
        ended = Err(Raised);
    }
    // The exception of a signal handler is kept until the turn has begun.
    let pending = if ended.is_err() { Some(py.take_exception()) } else { None };
    let entered = this.enter(py, Signals::Defer);
    if let (Ok(()), Ok(saved)) = (&entered, saved) {
        this.turn.restore(saved);
    }
    match pending {
        Some(pending) if entered.is_ok() => pending.restore(py),
        Some(pending) => pending.forget(py),
        None => {}
    }
    entered.and(ended.map(Some))
}

/// Notifies a thread that waits for the condition. If the queue has been materialized since the
/// heap was changed, notifies in Python.
fn tell(
    py: Attached<'_>,
    this: This<'_, PriorityObject>,
    condition: &Condition,
) -> Result<(), Raised> {
    if condition.notify(1) {
        return Ok(());
    }
    tell_in_python(py, this, condition, c"notify")
}

/// Calls a method of the condition of a queue that has been materialized.
#[cold]
pub fn tell_in_python(
    py: Attached<'_>,
    this: This<'_, PriorityObject>,
    condition: &Condition,
    notify: &CStr,
) -> Result<(), Raised> {
    let is_not_empty = ptr::eq(condition, &raw const this.not_empty);
    let name = if is_not_empty { c"not_empty" } else { c"not_full" };
    this.head().settled_phase(py);
    notify_python(py, as_queue(this), name, notify, None)
}

/// Passes on a notification that this thread has got and does not use. If an exception is set, it
/// stays set.
#[cold]
fn pass_on(py: Attached<'_>, this: This<'_, PriorityObject>, condition: &Condition) {
    if condition.notify(1) {
        return;
    }
    let pending = py.take_exception();
    if tell_in_python(py, this, condition, c"notify").is_err() {
        py.clear_error();
    }
    pending.restore(py);
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
    /// Waits once. Called in a turn.
    fn wait(
        &mut self,
        py: Attached<'_>,
        this: This<'_, PriorityObject>,
        condition: &Condition,
        blocking: Blocking<'_>,
    ) -> Result<Next, Raised> {
        if self.has_expired {
            return Ok(Next::GiveUp);
        }
        if self.until.is_none() {
            self.until = put_get::deadline_of(py, blocking)?;
        }
        let Some(deadline) = self.until else { return Ok(Next::GiveUp) };
        self.is_notified = false;
        if let Some(ended) = wait(py, this, condition, deadline, self.again)? {
            self.again = true;
            self.is_notified = ended == Ended::Got;
            self.has_expired = ended == Ended::TimedOut;
        }
        Ok(Next::Look)
    }
}

/// How a put or get has ended.
enum Ending<T> {
    Done(T),
    /// One of the exceptions of `queue`.
    Raise(Kind),
    NoMemory,
    /// The Python function has to serve the call. Nothing has been done except waiting.
    Python,
}

/// Puts an item. The other arguments are missing if they were not given.
// Not inlined: a put or get of another queue would save registers for it.
#[inline(never)]
pub fn put_item(
    py: Attached<'_>,
    this: This<'_, PriorityObject>,
    item: Borrowed<'_>,
    block: Option<Borrowed<'_>>,
    seconds: Option<Borrowed<'_>>,
) -> Outcome {
    if this.channel().is_retired() {
        return LEFT_TO_PYTHON;
    }
    this.enter(py, Signals::Handle)?;
    let mut wait = Wait::default();
    let ending = put_in_turn(py, this, item, block, seconds, &mut wait);
    this.leave();
    if let Ok(Ending::Done(())) = ending {
        tell(py, this, &this.not_empty)?;
        return Reply::none(py);
    }
    if wait.is_notified {
        // The notification was of room, which another thread can use now.
        pass_on(py, this, &this.not_full);
    }
    match ending {
        Ok(Ending::Python) => match wait.until {
            Some(deadline) => reply(put_get::go_on_putting(py, as_queue(this), item, deadline)),
            None => LEFT_TO_PYTHON,
        },
        ending => failed(py, as_queue(this), ending, &wait),
    }
}

/// The result of a call that has failed.
#[cold]
fn failed<T>(
    py: Attached<'_>,
    queue: This<'_, QueueObject>,
    ending: Result<Ending<T>, Raised>,
    wait: &Wait,
) -> Outcome {
    match ending {
        Ok(Ending::Raise(kind)) if wait.until.is_some() => Err(errors::raise(py, queue, kind)),
        Ok(Ending::Raise(kind)) => errors::raise_or_leave(py, queue, kind),
        Ok(Ending::NoMemory) => Err(py.no_memory()),
        _ => Err(Raised),
    }
}

fn put_in_turn(
    py: Attached<'_>,
    this: This<'_, PriorityObject>,
    item: Borrowed<'_>,
    block: Option<Borrowed<'_>>,
    seconds: Option<Borrowed<'_>>,
    wait: &mut Wait,
) -> Result<Ending<()>, Raised> {
    let mut blocking = None;
    loop {
        if this.channel().is_retired() {
            return Ok(Ending::Python);
        }
        if this.channel().is_shut_down() {
            return Ok(Ending::Raise(Kind::ShutDown));
        }
        // Without a limit the other arguments do not matter.
        if blocking.is_none() && this.channel().limit() > 0 {
            blocking = put_get::blocking(py, block, seconds)?;
            if blocking.is_none() {
                return Ok(Ending::Python);
            }
        }
        if this.is_full() {
            let blocking = blocking.unwrap_or(Blocking::FOREVER);
            match wait.wait(py, this, &this.not_full, blocking)? {
                Next::Look => continue,
                Next::GiveUp => return Ok(Ending::Raise(Kind::Full)),
            }
        }
        let mut attempt = insert(py, &this, None, false, item)?;
        if matches!(attempt, Attempt::Disturbed) {
            let again = |memory: &mut Memory, attempt: u32| {
                if this.channel().is_retired() || this.is_full() {
                    return Ok(None);
                }
                let from_above = attempt.is_multiple_of(2);
                insert(py, &this, Some(memory), from_above, item).map(Some)
            };
            match persist(py, again)? {
                Some(result) => attempt = result,
                None => continue,
            }
        }
        match attempt {
            Attempt::Done(()) => return Ok(Ending::Done(())),
            Attempt::NoMemory => return Ok(Ending::NoMemory),
            Attempt::Disturbed => {}
        }
    }
}

/// Gets an item. The arguments are missing if they were not given.
// Not inlined: a put or get of another queue would save registers for it.
#[inline(never)]
pub fn get_item(
    py: Attached<'_>,
    this: This<'_, PriorityObject>,
    block: Option<Borrowed<'_>>,
    seconds: Option<Borrowed<'_>>,
) -> Outcome {
    if this.channel().is_retired() {
        return LEFT_TO_PYTHON;
    }
    this.enter(py, Signals::Handle)?;
    let mut wait = Wait::default();
    let ending = get_in_turn(py, this, block, seconds, &mut wait);
    this.leave();
    if let Ok(Ending::Done(item)) = ending {
        return match tell(py, this, &this.not_full) {
            Ok(()) => Ok(item.into()),
            Err(Raised) => {
                item.release(py);
                Err(Raised)
            }
        };
    }
    if wait.is_notified {
        // The notification was of an item, which another thread can get now.
        pass_on(py, this, &this.not_empty);
    }
    match ending {
        Ok(Ending::Python) => match wait.until {
            Some(deadline) => reply(put_get::go_on_getting(py, as_queue(this), deadline)),
            None => LEFT_TO_PYTHON,
        },
        ending => failed(py, as_queue(this), ending, &wait),
    }
}

fn get_in_turn(
    py: Attached<'_>,
    this: This<'_, PriorityObject>,
    block: Option<Borrowed<'_>>,
    seconds: Option<Borrowed<'_>>,
    wait: &mut Wait,
) -> Result<Ending<Owned>, Raised> {
    let mut blocking = None;
    loop {
        if this.channel().is_retired() {
            return Ok(Ending::Python);
        }
        if this.channel().is_empty() && this.channel().is_shut_down() {
            return Ok(Ending::Raise(Kind::ShutDown));
        }
        let blocking = match blocking {
            Some(known) => known,
            None => match put_get::blocking(py, block, seconds)? {
                Some(found) => *blocking.insert(found),
                None => return Ok(Ending::Python),
            },
        };
        if this.channel().is_empty() {
            match wait.wait(py, this, &this.not_empty, blocking)? {
                Next::Look => continue,
                Next::GiveUp => return Ok(Ending::Raise(Kind::Empty)),
            }
        }
        let mut attempt = remove_least(py, &this, None)?;
        if matches!(attempt, Attempt::Disturbed) {
            let again = |memory: &mut Memory, _| {
                if this.channel().is_retired() || this.channel().is_empty() {
                    return Ok(None);
                }
                remove_least(py, &this, Some(memory)).map(Some)
            };
            match persist(py, again)? {
                Some(result) => attempt = result,
                None => continue,
            }
        }
        match attempt {
            Attempt::Done(item) => return Ok(Ending::Done(item)),
            Attempt::NoMemory => return Ok(Ending::NoMemory),
            Attempt::Disturbed => {}
        }
    }
}

/// Repeats an operation that comparisons have disturbed, and remembers their results. Returns
/// `None` if the queue has changed in such a way that the caller has to look at it again. Called in
/// a turn.
#[cold]
fn persist<T>(
    py: Attached<'_>,
    mut again: impl FnMut(&mut Memory, u32) -> Result<Option<Attempt<T>>, Raised>,
) -> Result<Option<Attempt<T>>, Raised> {
    let mut memory = Memory::new();
    let mut result = Ok(Some(Attempt::Disturbed));
    let mut attempt = 0;
    while attempt < ATTEMPTS && matches!(result, Ok(Some(Attempt::Disturbed))) {
        result = again(&mut memory, attempt);
        attempt += 1;
    }
    // Dropping references may run Python code, which must not find an exception set.
    let pending = if result.is_err() { Some(py.take_exception()) } else { None };
    memory.forget(py);
    if let Some(pending) = pending {
        pending.restore(py);
    }
    if matches!(result, Ok(Some(Attempt::Disturbed))) {
        return Err(py.runtime_error(UNSTEADY));
    }
    result
}
