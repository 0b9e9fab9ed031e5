//! The results of native code.

use core::ptr::{self, NonNull};

use pyo3_ffi::PyObject;

use crate::capi::entry::IntoResult;
use crate::capi::errors::Raised;
use crate::capi::object::{Answer, Attached, Owned};

/// The result of native code that did not raise: an owned reference, or the statement that the call
/// is left to the Python function. It is laid out as a pointer. An address that no object has
/// stands for the statement.
#[must_use = "a reply is returned to the interpreter"]
#[repr(transparent)]
pub struct Reply(NonNull<PyObject>);

/// The result of native code.
pub type Outcome = Result<Reply, Raised>;

const _: () = assert!(size_of::<Outcome>() == size_of::<*mut PyObject>());

/// The address that stands for a call that is left to the Python function.
pub const LEFT: NonNull<PyObject> = NonNull::new(ptr::without_provenance_mut(1)).unwrap();

/// The result of native code that leaves a call to the Python function.
pub const LEFT_TO_PYTHON: Outcome = Ok(Reply(LEFT));

impl Reply {
    /// The reply `None`.
    #[inline]
    pub fn none(py: Attached<'_>) -> Outcome {
        Ok(py.none().into())
    }

    /// The reply `True` or `False`.
    #[inline]
    pub fn bool(py: Attached<'_>, value: bool) -> Outcome {
        Ok(py.bool(value).into())
    }

    /// The reference; None if the call is left to Python.
    pub fn into_owned(self) -> Option<Owned> {
        // SAFETY: any other address is that of an object, to which the reply owns a reference.
        (self.0 != LEFT).then(|| unsafe { Owned::assume(self.0.as_ptr()) })
    }
}

impl From<Owned> for Reply {
    #[inline]
    fn from(object: Owned) -> Reply {
        Reply(object.into_non_null())
    }
}

impl IntoResult for Outcome {
    #[inline]
    fn into_result(self) -> *mut PyObject {
        self.map_or(ptr::null_mut(), |reply| reply.0.as_ptr())
    }
}

/// An answer as the result of native code.
#[inline]
pub fn reply(answer: Answer) -> Outcome {
    answer.map(Reply::from)
}
