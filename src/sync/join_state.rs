//! The life of a thread as others see it: from before its start until somebody has joined it.

use super::event::Event;
use super::lock::Lock;
use super::primitive::{AtomicBool, AtomicU32, AtomicU64, Ordering, const_unless_modelled};

/// ```text
///                    start             there is a thread          join, is_done, _set_done
///   NotStarted ───────────────▶ Starting ────────────────▶ Running ─────────────▶ Done
///                                   │                                               ▲
///                                   └──────────── the start failed ─────────────────┘
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
#[repr(u32)]
pub enum Stage {
    /// Nobody has asked for a thread.
    NotStarted = 0,
    /// Somebody has, and nobody else can.
    Starting = 1,
    /// There is a thread, or was one, and nobody has joined it.
    Running = 2,
    /// There is nothing to join any more.
    Done = 3,
}

/// It owns the operating system's thread, which is a number here: exactly one of those who end it
/// ([`JoinState::end`], [`JoinState::disown`]) is given the number.
pub struct JoinState {
    stage: AtomicU32,
    ident: AtomicU64,
    /// The operating system's thread, meaningful while `owns_os_thread`.
    os_thread: AtomicU64,
    owns_os_thread: AtomicBool,
    exiting: Event,
    /// Held by whoever ends `owns_os_thread`.
    finish: Lock,
}

impl Default for JoinState {
    fn default() -> JoinState {
        JoinState::new()
    }
}

impl JoinState {
    const_unless_modelled! {
        /// Of a thread that is not started.
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

    /// How far it has come.
    pub fn stage(&self) -> Stage {
        // Acquire pairs with the Release in `enter`: ident and thread belong to the stage.
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

    /// Set when the thread has nothing left to do but to return to the operating system, or when
    /// its start failed. From then on its ident may belong to another thread.
    pub fn exiting(&self) -> &Event {
        &self.exiting
    }

    /// Claims the right to start the thread; false if somebody did before.
    pub fn begin_start(&self) -> bool {
        let [from, to] = [Stage::NotStarted as u32, Stage::Starting as u32];
        self.stage.compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// By the starter, before the thread runs any Python code.
    pub fn set_running(&self, os_thread: u64, ident: u64) {
        self.os_thread.store(os_thread, Ordering::Relaxed);
        self.owns_os_thread.store(true, Ordering::Relaxed);
        self.set_foreign(ident);
    }

    /// Of a thread that somebody else has started, and will end.
    pub fn set_foreign(&self, ident: u64) {
        self.ident.store(ident, Ordering::Relaxed);
        self.enter(Stage::Running);
    }

    /// There is no thread, or no more: nothing to join, and nobody has to wait.
    pub fn abandon(&self) {
        self.owns_os_thread.store(false, Ordering::Relaxed);
        // The lock is not freed by force: where a fork has ended the thread, whoever held it is
        // gone as well, and the fork has made it new.
        self.enter(Stage::Done);
        let _live = self.exiting.set();
    }

    /// Joins or detaches the operating system's thread with `end`, if nobody has before, and makes
    /// sure that this is over: if another one is at it, waits with `wait` until the lock is taken.
    /// False if the operating system refuses.
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

    /// The operating system's thread, for the first who asks and has to end it. Without the lock
    /// only for whoever is alone with this.
    pub fn disown(&self) -> Option<u64> {
        let owned = self.owns_os_thread.swap(false, Ordering::Relaxed);
        owned.then(|| self.os_thread.load(Ordering::Relaxed))
    }
}
