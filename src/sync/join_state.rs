//! The state of a thread for the threads that join it: from before its start until it has been
//! joined.

use super::event::Event;
use super::lock::Lock;
use super::primitive::{AtomicBool, AtomicU32, AtomicU64, Ordering, const_unless_modelled};

/// How far a thread has come.
///
/// ```text
///                    start             there is a thread          join, is_done, _set_done
///   NotStarted ───────────────▶ Starting ────────────────▶ Running ─────────────▶ Done
///                                   │                                               ▲
///                                   └──────────── the start failed ─────────────────┘
/// ```
///
/// A thread that rthread has not started goes from NotStarted to Running. A thread that a fork has
/// ended goes from Starting or Running to Done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
#[repr(u32)]
pub enum Stage {
    /// No start has been asked for.
    NotStarted = 0,
    /// A thread is starting it, and no other thread can.
    Starting = 1,
    /// It runs or has ended, and has not been joined.
    Running = 2,
    /// There is no thread to join any more.
    Done = 3,
}

/// It owns the operating system's thread, which is a number here. Several threads may try to end it
/// ([`JoinState::end`], [`JoinState::disown`]); exactly one of them is given the number.
///
/// | stage | `owns_os_thread` | meaning |
/// |---|---|---|
/// | NotStarted | false | not started |
/// | Starting | false | a thread is starting it |
/// | Running | true | it runs or has ended, and has to be joined or detached |
/// | Running | false | a thread is ending it, or it must not be ended (foreign, or kept) |
/// | Done | false | joined, detached, not started after all, or ended by a fork |
///
/// - The stage: Starting by compare-exchange, so that one thread starts it. Running by the starter,
///   or in [`JoinState::set_foreign`]. Done under the lock `finish`, or in [`JoinState::abandon`].
/// - `owns_os_thread`: set by the starter before the stage Running. Cleared by a swap: the thread
///   that finds it true is given the number.
pub struct JoinState {
    stage: AtomicU32,
    ident: AtomicU64,
    /// The operating system's thread; valid while `owns_os_thread`.
    os_thread: AtomicU64,
    owns_os_thread: AtomicBool,
    exiting: Event,
    /// Held by the thread that ends the operating system's thread.
    finish: Lock,
}

impl Default for JoinState {
    fn default() -> JoinState {
        JoinState::new()
    }
}

impl JoinState {
    /// Where the identifier is in a state, in bytes.
    pub const IDENT_AT: usize = core::mem::offset_of!(JoinState, ident);

    const_unless_modelled! {
        /// The state of a thread that is not started.
        pub fn new() -> JoinState {
            JoinState {
                stage: AtomicU32::new(Stage::NotStarted as u32),
                ident: AtomicU64::new(0),
                os_thread: AtomicU64::new(0),
                owns_os_thread: AtomicBool::new(false),
                exiting: Event::new(),
                finish: Lock::new(),
            }
        }
    }

    /// How far the thread has come.
    pub fn stage(&self) -> Stage {
        // Acquire pairs with the Release in `enter`: the ident and the thread of this stage are
        // visible.
        match self.stage.load(Ordering::Acquire) {
            0 => Stage::NotStarted,
            1 => Stage::Starting,
            2 => Stage::Running,
            _ => Stage::Done,
        }
    }

    fn enter(&self, stage: Stage) {
        self.stage.store(stage as u32, Ordering::Release);
    }

    /// The identifier of the thread, 0 before it runs.
    pub fn ident(&self) -> u64 {
        self.ident.load(Ordering::Relaxed)
    }

    /// Set when the thread only has to return to the operating system, or when its start failed.
    /// From then on its ident may belong to another thread.
    pub fn exiting(&self) -> &Event {
        &self.exiting
    }

    /// Claims the right to start the thread. False if another thread did so before.
    #[must_use]
    pub fn begin_start(&self) -> bool {
        let [from, to] = [Stage::NotStarted as u32, Stage::Starting as u32];
        self.stage.compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// The thread runs. To be called by the starter, before the thread runs any Python code.
    pub fn set_running(&self, os_thread: u64, ident: u64) {
        self.os_thread.store(os_thread, Ordering::Relaxed);
        self.owns_os_thread.store(true, Ordering::Relaxed);
        self.set_foreign(ident);
    }

    /// The thread runs. Other code has started it and will end it, unless this is called by
    /// [`JoinState::set_running`].
    pub fn set_foreign(&self, ident: u64) {
        self.ident.store(ident, Ordering::Relaxed);
        self.enter(Stage::Running);
    }

    /// There is no thread, or it does not exist any more: a join returns at once.
    pub fn abandon(&self) {
        self.owns_os_thread.store(false, Ordering::Relaxed);
        // `finish` is not freed by force. If a fork has ended the thread, the holder of the lock
        // does not exist either. No thread waits for the lock after this: `end` returns at stage
        // Done.
        self.enter(Stage::Done);
        let _live = self.exiting.set();
    }

    /// Joins or detaches the operating system's thread with `end`, if no thread has done so before.
    /// When this returns, that is over: if another thread is doing it, this one waits with `wait`
    /// until it has the lock. False if the operating system refuses.
    ///
    /// # Errors
    /// Those of `wait`.
    pub fn end<E>(
        &self,
        wait: impl FnOnce(&Lock) -> Result<(), E>,
        end: impl FnOnce(u64) -> bool,
    ) -> Result<bool, E> {
        if self.stage() == Stage::Done {
            return Ok(true);
        }
        if !self.finish.try_acquire() {
            wait(&self.finish)?;
        }
        let ended = self.disown().is_none_or(end);
        self.enter(Stage::Done);
        let _ = self.finish.release();
        Ok(ended)
    }

    /// The operating system's thread, for the first caller, which has to end it. Without the lock
    /// `finish` only for a thread that is alone with this object, and for the thread itself, when
    /// it is kept for another start.
    #[must_use]
    pub fn disown(&self) -> Option<u64> {
        let owned = self.owns_os_thread.swap(false, Ordering::Relaxed);
        owned.then(|| self.os_thread.load(Ordering::Relaxed))
    }
}
