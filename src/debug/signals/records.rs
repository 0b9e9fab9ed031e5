//! The report without Python: what the records of `sync::registry` and the system tell.
//!
//! The helper writes it, while the program runs. So a wait may end at any moment, and the owner of
//! what is waited for is read from a copy that the system makes (`deadlocks::peek`). Nothing here
//! takes memory: the program may have used up all of it.

use core::cell::Cell;
use core::ffi::c_int;
use core::fmt::{self, Write};
use std::time::Instant;

use crate::capi::compat;
use crate::debug::signals::output::Output;
use crate::runtime::deadlocks;
use crate::sync::{Record, Wait, WaitKind, WaitStage, nanoseconds, registry};

/// The reason why a report has no Python stacks.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Missing {
    /// The reporter could not attach in time.
    Turn = 1,
    /// It has attached, and could not make the report in time.
    Time,
    /// It could not be started.
    Thread,
    /// There was no memory for it.
    Memory,
    /// The interpreter ends.
    Interpreter,
    /// The package's function has raised an exception.
    Error,
}

impl Missing {
    /// The reason with this number; None for 0.
    pub fn of(number: u32) -> Option<Missing> {
        match number {
            0 => None,
            1 => Some(Missing::Turn),
            2 => Some(Missing::Time),
            3 => Some(Missing::Thread),
            4 => Some(Missing::Memory),
            5 => Some(Missing::Interpreter),
            _ => Some(Missing::Error),
        }
    }

    fn words(self) -> &'static str {
        match self {
            Missing::Turn if compat::IS_FREE_THREADED => {
                "the interpreter has let no further thread run for 2 s"
            }
            Missing::Turn => "no thread could get the GIL in 2 s",
            Missing::Time => "the report that has them is not ready after 2 s",
            Missing::Thread => "no thread could be started to read them",
            Missing::Memory => "there is no memory to read them",
            Missing::Interpreter => "the interpreter is ending",
            Missing::Error => "an exception was raised when they were read",
        }
    }
}

/// The threads that are not in the report: the helper and the reporter.
pub type Hidden = [c_int; 2];

/// Writes the report to a file.
pub fn write(file: c_int, why: Missing, hidden: Hidden) {
    let mut out = Output::to(file);
    // It never fails.
    let _ = write_to(&mut out, why, hidden);
    out.flush();
}

fn write_to(out: &mut Output, why: Missing, hidden: Hidden) -> fmt::Result {
    let threads = registry::records().count();
    let noun = if threads == 1 { "thread" } else { "threads" };
    // SAFETY: there is nothing to promise.
    let process = unsafe { libc::getpid() };
    writeln!(out, "rthread {}, process {process}: {threads} {noun}", env!("CARGO_PKG_VERSION"))?;
    writeln!(out, "Note: Python stacks are missing: {}.", why.words())?;
    for record in registry::records() {
        write_record(out, record, process)?;
    }
    system::write_others(out, process, hidden)
}

fn write_record(out: &mut Output, record: &Record, process: c_int) -> fmt::Result {
    let native_id = record.native_id();
    let about = system::About::of(native_id);
    write!(out, "\n{}", Name(about.as_ref().map_or(b"", |about| about.name())))?;
    if native_id as c_int == process {
        write!(out, ", main thread")?;
    }
    write!(out, ", native id {native_id}, ident {}", record.ident())?;
    write!(out, ", number {}\n  state  ", record.number())?;
    match record.stage() {
        WaitStage::Running => write!(out, "running")?,
        WaitStage::Attaching if compat::IS_FREE_THREADED => {
            write!(out, "waiting until the interpreter lets it go on")?;
        }
        WaitStage::Attaching => write!(out, "waiting for the GIL")?,
        WaitStage::InHandlers => {
            write!(out, "running signal handlers in the middle of waiting ")?;
            write_wait(out, record)?;
        }
        WaitStage::Waiting => {
            write!(out, "waiting ")?;
            write_wait(out, record)?;
        }
    }
    match about.filter(|_| record.stage() == WaitStage::Running) {
        Some(about) => writeln!(out, "{}", about.words()),
        None => writeln!(out),
    }
}

/// The wait of a thread; None if it changes all the time.
fn wait_of(record: &Record) -> Option<Wait> {
    (0..10).find_map(|_| {
        let serial = record.serial();
        let wait = record.wait();
        (serial & 1 == 0 && record.serial() == serial).then_some(wait)
    })
}

fn write_wait(out: &mut Output, record: &Record) -> fmt::Result {
    let Some(wait) = wait_of(record) else { return write!(out, "for something") };
    let place = wait.object.addr();
    match wait.kind {
        WaitKind::None => write!(out, "for something")?,
        WaitKind::Lock => write!(out, "for Lock at {place:#x}")?,
        WaitKind::RLock => write!(out, "for RLock at {place:#x}")?,
        WaitKind::Sentinel | WaitKind::Join => write!(out, "for the end of a thread")?,
        WaitKind::Condition => write!(out, "for Condition at {place:#x}")?,
        WaitKind::Event => write!(out, "for Event at {place:#x}")?,
        WaitKind::Semaphore => write!(out, "for Semaphore at {place:#x}")?,
        WaitKind::Barrier => write!(out, "for Barrier at {place:#x}")?,
        WaitKind::QueueGet => write!(out, "for an item from Queue at {place:#x}")?,
        WaitKind::QueuePut => write!(out, "for room in Queue at {place:#x}")?,
        WaitKind::QueueJoin => write!(out, "for the end of all tasks of Queue at {place:#x}")?,
        WaitKind::Start => write!(out, "until a new thread runs")?,
        WaitKind::Interpreter => write!(out, "for the interpreter")?,
    }
    write_owner(out, &wait)?;
    if wait.since != 0 {
        let tenths = nanoseconds(Instant::now()).saturating_sub(wait.since) / 100_000_000;
        write!(out, ", for {}.{} s", tenths / 10, tenths % 10)?;
    }
    if wait.timed { write!(out, " (with a time-out)") } else { Ok(()) }
}

fn write_owner(out: &mut Output, wait: &Wait) -> fmt::Result {
    let Some(holder) = deadlocks::peek(wait, &Cell::new(false)) else { return Ok(()) };
    let number = match holder.number {
        0 => registry::number_of(holder.ident),
        number => number,
    };
    let verb =
        if matches!(wait.kind, WaitKind::Lock | WaitKind::RLock) { ", held by" } else { ":" };
    match (number, registry::record_of(number)) {
        (0, _) => write!(out, "{verb} ident {}", holder.ident),
        (number, Some(_)) => write!(out, "{verb} number {number}"),
        (number, None) => write!(out, "{verb} number {number}, which does not exist any more"),
    }
}

/// The name of a thread, as the system has it.
struct Name<'a>(&'a [u8]);

impl fmt::Display for Name<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return out.write_str("a thread");
        }
        self.0.utf8_chunks().try_for_each(|chunk| {
            chunk.valid().chars().try_for_each(|c| {
                out.write_char(if c.is_control() { char::REPLACEMENT_CHARACTER } else { c })
            })
        })
    }
}

#[cfg(target_os = "linux")]
mod system {
    use core::ffi::{CStr, c_int};
    use core::fmt::{self, Write};

    use super::{Hidden, Name, Output, registry};

    /// What the system tells of a thread.
    pub struct About {
        text: [u8; 128],
        /// Where the name is in the text.
        name: (usize, usize),
        /// The letter for what the thread does.
        state: u8,
    }

    impl About {
        /// None if there is no such thread.
        pub fn of(native_id: u32) -> Option<About> {
            let mut path = Path([0; 64], 0);
            write!(path, "/proc/self/task/{native_id}/stat").ok()?;
            let mut text = [0; 128];
            // SAFETY: a text with a NUL at its end, and a buffer of this size.
            let length = unsafe {
                let flags = libc::O_RDONLY | libc::O_CLOEXEC;
                let file = libc::open(path.0.as_ptr().cast(), flags);
                if file < 0 {
                    return None;
                }
                let length = libc::read(file, text.as_mut_ptr().cast(), text.len());
                libc::close(file);
                usize::try_from(length).ok()?
            };
            // The name is in brackets, and may have brackets itself. The letter comes after it.
            let first = text[..length].iter().position(|&byte| byte == b'(')? + 1;
            let last = text[..length].iter().rposition(|&byte| byte == b')')?;
            let state = *text.get(last + 2)?;
            Some(About { text, name: (first, last), state })
        }

        pub fn name(&self) -> &[u8] {
            self.text.get(self.name.0..self.name.1).unwrap_or(b"")
        }

        /// What it does, as far as rthread does not know.
        pub fn words(&self) -> &'static str {
            match self.state {
                b'R' => ", on a processor",
                b'S' | b'D' => ", asleep in the system",
                b'T' | b't' => ", stopped",
                _ => "",
            }
        }
    }

    /// A path, which ends with a NUL as long as there is room for one.
    struct Path([u8; 64], usize);

    impl Write for Path {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            let end = self.1 + text.len();
            let place = self.0.get_mut(self.1..end).ok_or(fmt::Error)?;
            place.copy_from_slice(text.as_bytes());
            self.1 = end;
            if end < self.0.len() { Ok(()) } else { Err(fmt::Error) }
        }
    }

    /// Writes the threads that have no record: they have used no lock of rthread.
    pub fn write_others(out: &mut Output, process: c_int, hidden: Hidden) -> fmt::Result {
        // SAFETY: the directory is closed once, and an entry is used before the next one is read.
        unsafe {
            let directory = libc::opendir(c"/proc/self/task".as_ptr());
            if directory.is_null() {
                return Ok(());
            }
            loop {
                let entry = libc::readdir(directory);
                if entry.is_null() {
                    break;
                }
                let name = CStr::from_ptr((*entry).d_name.as_ptr());
                let native_id = name.to_str().ok().and_then(|name| name.parse::<u32>().ok());
                let native_id = native_id.filter(|&id| !hidden.contains(&(id as c_int)));
                let Some(native_id) = native_id else { continue };
                if registry::records().all(|record| record.native_id() != native_id) {
                    write_other(out, native_id, process)?;
                }
            }
            libc::closedir(directory);
        }
        Ok(())
    }

    fn write_other(out: &mut Output, native_id: u32, process: c_int) -> fmt::Result {
        let Some(about) = About::of(native_id) else { return Ok(()) };
        let main = if native_id as c_int == process { ", main thread" } else { "" };
        let name = Name(about.name());
        write!(out, "\n{name}{main}, native id {native_id}, which rthread does not know")?;
        writeln!(out, "\n  state  running{}", about.words())
    }
}

/// Other systems are not asked.
#[cfg(not(target_os = "linux"))]
mod system {
    use core::ffi::c_int;
    use core::fmt;

    use super::{Hidden, Output};

    pub struct About;

    impl About {
        pub fn of(_: u32) -> Option<About> {
            None
        }

        pub fn name(&self) -> &[u8] {
            b""
        }

        pub fn words(&self) -> &'static str {
            ""
        }
    }

    pub fn write_others(_: &mut Output, _: c_int, _: Hidden) -> fmt::Result {
        Ok(())
    }
}
