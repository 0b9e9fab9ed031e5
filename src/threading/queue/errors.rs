//! The exceptions of queues.

use core::ffi::CStr;

use crate::capi::entry::This;
use crate::capi::errors::Raised;
use crate::capi::object::{Attached, Exception, Owned};
use crate::runtime::natives::{Kind, Namespace};
use crate::threading::lookups;
use crate::threading::method::{LEFT_TO_PYTHON, Outcome};
use crate::threading::queue::{QueueObject, state};

/// Looks up the present exception of this kind in `queue`. None if the name holds another object or
/// is gone.
fn exception(
    py: Attached<'_>,
    this: This<'_, QueueObject>,
    kind: Kind,
) -> Result<Option<Owned>, Raised> {
    let state = state(py, this)?;
    match lookups::find(py, state, Namespace::Queue, name_of(kind))? {
        // The `queue` of some versions does not have this one.
        None if kind == Kind::ShutDown => {
            Ok(state.natives.python(kind).map(|exception| exception.own(py)))
        }
        Some(found) if !found.borrow().is_exception_class() => {
            found.release(py);
            Ok(None)
        }
        found => Ok(found),
    }
}

/// Raises one of the exceptions of `queue`, without arguments. None, with nothing raised, if
/// `queue` has no such exception.
fn raise_if_any(py: Attached<'_>, this: This<'_, QueueObject>, kind: Kind) -> Option<Raised> {
    match exception(py, this, kind) {
        Ok(exception) => exception.map(|exception| {
            let raised = py.raise_class(exception.borrow());
            exception.release(py);
            raised
        }),
        Err(raised) => Some(raised),
    }
}

/// Raises one of the exceptions of `queue`, without arguments. If `queue` has no such exception,
/// the call is left to Python: this is for calls that have done nothing yet.
#[cold]
pub fn raise_or_leave(py: Attached<'_>, this: This<'_, QueueObject>, kind: Kind) -> Outcome {
    raise_if_any(py, this, kind).map_or(LEFT_TO_PYTHON, Err)
}

/// Raises one of the exceptions of `queue`, without arguments.
#[cold]
pub fn raise(py: Attached<'_>, this: This<'_, QueueObject>, kind: Kind) -> Raised {
    if let Some(raised) = raise_if_any(py, this, kind) {
        return raised;
    }
    // In the interpreter's words.
    let found =
        state(py, this).and_then(|state| lookups::find(py, state, Namespace::Queue, name_of(kind)));
    match found {
        Ok(None) => {
            let words = match kind {
                Kind::Empty => c"name 'Empty' is not defined",
                Kind::Full => c"name 'Full' is not defined",
                _ => c"name 'ShutDown' is not defined",
            };
            py.raise(Exception::Name, words)
        }
        Ok(Some(found)) => {
            let raised = py.raise(Exception::Type, c"exceptions must derive from BaseException");
            found.release(py);
            raised
        }
        Err(raised) => raised,
    }
}

fn name_of(kind: Kind) -> &'static CStr {
    Kind::NAMES[kind as usize]
}
