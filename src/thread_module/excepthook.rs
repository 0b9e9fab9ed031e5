//! `_excepthook`: handles an exception that leaves `Thread.run`.

use crate::capi::compat;
use crate::capi::entry::Module;
use crate::capi::errors::Raised;
use crate::capi::object::{self, Answer, Attached, Borrowed, Exception, Owned, Tuple};
use crate::runtime::state::State;

/// `_excepthook(args)`: prints the exception to `sys.stderr`. If that is missing or None, it prints
/// to the `sys.stderr` from the time when the thread was created. SystemExit is not printed.
pub fn excepthook(py: Attached<'_>, module: Module<'_>, args: Borrowed<'_>) -> Answer {
    // The exact type says that there are four items. They are borrowed, which is enough: a struct
    // sequence is an immutable tuple, and the caller keeps it alive.
    let items = Tuple::of(args)
        .filter(|_| State::of(module).excepthook_type.get() == Some(args.class()))
        .map(Tuple::items);
    let Some(&[class, value, traceback, thread]) = items else {
        let words = c"_thread.excepthook argument type must be ExceptHookArgs";
        return Err(py.raise(Exception::Type, words));
    };
    let uncaught = Uncaught { class, value, traceback };
    if class == Exception::SystemExit.class() {
        return Ok(py.none());
    }
    let result = match py.sys_attribute(c"stderr")? {
        Some(stderr) if !stderr.borrow().is_none() => {
            let result = print_heading(py, stderr.borrow(), thread)
                .and_then(|()| uncaught.print_to_stderr(py, stderr.borrow()));
            stderr.release(py);
            result
        }
        missing => {
            let result = print_to_saved_stderr(py, thread, &uncaught);
            object::release(missing, py);
            result
        }
    };
    result.map(|()| py.none())
}

/// An exception that no code has caught.
struct Uncaught<'a> {
    class: Borrowed<'a>,
    value: Borrowed<'a>,
    traceback: Borrowed<'a>,
}

impl Uncaught<'_> {
    /// Prints the exception in the way of the interpreter.
    fn print_to_stderr(&self, py: Attached<'_>, stderr: Borrowed<'_>) -> Result<(), Raised> {
        let traceback = Some(self.traceback).filter(|traceback| !traceback.is_none());
        py.display(self.class, self.value, traceback);
        flush(py, stderr)
    }

    /// Prints the exception to any file; `Attached::display` prints to `sys.stderr` only.
    fn print_to(&self, py: Attached<'_>, file: Borrowed<'_>) -> Result<(), Raised> {
        let module = py.import(c"traceback")?;
        let print = module.borrow().attribute_named(py, c"print_exception");
        module.release(py);
        let (print, none) = (print?, py.none());
        let args = [self.class, self.value, self.traceback, none.borrow(), file];
        let printed = print.borrow().call(py, &args);
        print.release(py);
        none.release(py);
        printed?.release(py);
        flush(py, file)
    }
}

/// Prints to the `stderr` that the thread has saved, if it has one. Used if there is no
/// `sys.stderr`.
fn print_to_saved_stderr(
    py: Attached<'_>,
    thread: Borrowed<'_>,
    uncaught: &Uncaught<'_>,
) -> Result<(), Raised> {
    if thread.is_none() {
        return Ok(());
    }
    let file = thread.attribute_named(py, c"_stderr")?;
    let result = if file.borrow().is_none() {
        Ok(())
    } else {
        print_heading(py, file.borrow(), thread).and_then(|()| uncaught.print_to(py, file.borrow()))
    };
    file.release(py);
    result
}

/// Prints `Exception in thread <name>:`. For a thread without a name it prints the identifier.
fn print_heading(py: Attached<'_>, file: Borrowed<'_>, thread: Borrowed<'_>) -> Result<(), Raised> {
    file.write_text(py, c"Exception in thread ")?;
    match name_of(py, thread)? {
        Some(name) => {
            let written = file.write_object(py, name.borrow());
            name.release(py);
            written?;
        }
        None => file.write_text(py, c"<failed to get thread name>")?,
    }
    file.write_text(py, c":\n")
}

/// The name of a thread, or the identifier of the calling thread; None if neither can be had.
fn name_of(py: Attached<'_>, thread: Borrowed<'_>) -> Result<Option<Owned>, Raised> {
    if !thread.is_none() {
        match thread.attribute_named(py, c"name") {
            Ok(name) => return Ok(Some(name)),
            Err(Raised) if py.has_raised(Exception::Attribute) => py.clear_error(),
            Err(Raised) => return Err(Raised),
        }
    }
    match py.unsigned(compat::thread_ident()) {
        Ok(ident) => Ok(Some(ident)),
        Err(Raised) => {
            py.clear_error();
            Ok(None)
        }
    }
}

fn flush(py: Attached<'_>, file: Borrowed<'_>) -> Result<(), Raised> {
    file.call_method_named(py, c"flush", &[])?.release(py);
    Ok(())
}
