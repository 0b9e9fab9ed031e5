//! What a record shows of a thread: what the thread waits for, and its name.

use core::marker::PhantomData;
use core::ptr;

use crate::capi::object::{Attached, Borrowed};
use crate::sync::{JoinState, Lock, ReentrantLock, Wait, WaitKind, registry};

/// What a thread waits for. The object and the primitive stay alive during the wait.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    kind: WaitKind,
    object: *const (),
    resource: *const (),
    alive: PhantomData<&'a ()>,
}

impl<'a> Subject<'a> {
    /// The interpreter itself: its end, or memory.
    pub const INTERPRETER: Subject<'static> = Subject::plain(WaitKind::Interpreter);
    /// The turn of a priority queue, which ends soon.
    pub const TURN: Subject<'static> = Subject::plain(WaitKind::Interpreter);
    /// That a new thread runs.
    pub const START: Subject<'static> = Subject::plain(WaitKind::Start);

    const fn plain(kind: WaitKind) -> Subject<'static> {
        Subject { kind, object: ptr::null(), resource: ptr::null(), alive: PhantomData }
    }

    /// An object that no single thread has.
    pub fn of(kind: WaitKind, object: Borrowed<'a>) -> Subject<'a> {
        debug_assert!(!kind.has_owner());
        Subject { object: object.as_ptr().cast_const().cast(), ..Subject::plain(kind) }
    }

    /// A lock.
    pub fn lock(lock: &'a Lock, object: Borrowed<'a>) -> Subject<'a> {
        let kind = if lock.is_sentinel() { WaitKind::Sentinel } else { WaitKind::Lock };
        Subject::owned(kind, ptr::from_ref(lock).cast(), object)
    }

    /// A re-entrant lock.
    pub fn rlock(lock: &'a ReentrantLock, object: Borrowed<'a>) -> Subject<'a> {
        Subject::owned(WaitKind::RLock, ptr::from_ref(lock).cast(), object)
    }

    /// The end of a thread.
    pub fn join(thread: &'a JoinState, handle: Option<Borrowed<'a>>) -> Subject<'a> {
        let object = handle.map_or(ptr::null(), |object| object.as_ptr().cast_const().cast());
        let resource = ptr::from_ref(thread).cast();
        Subject { object, resource, ..Subject::plain(WaitKind::Join) }
    }

    fn owned(kind: WaitKind, resource: *const (), object: Borrowed<'a>) -> Subject<'a> {
        let object = object.as_ptr().cast_const().cast();
        Subject { kind, object, resource, alive: PhantomData }
    }

    /// The wait for it, which began at `since`.
    pub fn wait(self, py: Attached<'_>, since: u64, timed: bool) -> Wait {
        let Subject { kind, object, resource, .. } = self;
        let interpreter = py.interpreter().cast_const().cast();
        Wait { kind, object, resource, since, timed, interpreter }
    }
}

/// Puts the name of the calling thread into its record, for other processes.
pub fn note_name(py: Attached<'_>, name: Option<Borrowed<'_>>) {
    let text = name.filter(|name| name.is_string()).and_then(|name| name.utf8(py).ok());
    if let (Some(text), Some(record)) = (text, registry::this_record()) {
        record.set_name(&text.to_string_lossy());
    }
    // There is no attribute, or the name cannot be encoded.
    py.clear_error();
}
