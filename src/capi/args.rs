//! The arguments of a call.

use core::marker::PhantomData;
use core::ptr;

use pyo3_ffi::{Py_ssize_t, PyObject};

use crate::capi::call;
use crate::capi::errors::Raised;
use crate::capi::object::{Answer, Attached, Borrowed, Owned, Tuple};

/// Arguments in an array, and the names of the last ones in a tuple.
#[derive(Clone, Copy)]
pub struct Args<'a> {
    first: *const *mut PyObject,
    count: usize,
    /// Null if there are no keywords.
    names: *mut PyObject,
    lifetime: PhantomData<&'a PyObject>,
}

impl<'a> Args<'a> {
    /// No arguments.
    pub const NONE: Args<'static> =
        Args { first: ptr::null(), count: 0, names: ptr::null_mut(), lifetime: PhantomData };

    /// # Safety
    /// As CPython passes them to a `METH_FASTCALL | METH_KEYWORDS` method: so many positional
    /// arguments, and one more for each name. All live for as long as `'a`.
    #[inline]
    #[must_use]
    pub unsafe fn assume(
        first: *const *mut PyObject,
        count: Py_ssize_t,
        names: *mut PyObject,
    ) -> Args<'a> {
        Args { first, count: count as usize, names, lifetime: PhantomData }
    }

    /// Whether there are no arguments.
    #[inline]
    #[must_use]
    pub fn are_none(self) -> bool {
        self.count == 0 && self.names.is_null()
    }

    /// The argument, if there is one and it is positional.
    #[inline]
    #[must_use]
    pub fn single(self) -> Option<Borrowed<'a>> {
        if self.count != 1 || !self.names.is_null() {
            return None;
        }
        // SAFETY: there is one.
        Some(unsafe { Borrowed::assume(*self.first) })
    }

    /// The positional arguments.
    #[inline]
    #[must_use]
    pub fn positional(self) -> &'a [Borrowed<'a>] {
        if self.count == 0 {
            return &[];
        }
        // SAFETY: so many pointers that are not null.
        unsafe { core::slice::from_raw_parts(self.first.cast(), self.count) }
    }

    /// The names of the other arguments.
    #[inline]
    #[must_use]
    pub fn names(self) -> Option<Tuple<'a>> {
        // SAFETY: null or a tuple.
        unsafe { Borrowed::assume_if_any(self.names).map(|names| Tuple::assume(names)) }
    }

    /// The other arguments, in the order of their names.
    #[must_use]
    pub fn values(self) -> &'a [Borrowed<'a>] {
        match self.names() {
            // SAFETY: a value for each name follows the positional arguments.
            Some(names) => unsafe {
                core::slice::from_raw_parts(self.first.add(self.count).cast(), names.len())
            },
            None => &[],
        }
    }

    /// Calls a function that is not inlined. The arguments go there in registers. Passed as one
    /// value they would be stored in memory, also by calls that do not come here.
    #[inline]
    pub fn out_of_line<R>(self, function: impl FnOnce(Args<'a>) -> R) -> R {
        let Args { first, count, names, .. } = self;
        call_with_parts(first, count, names, function)
    }

    /// For a C function: the array, the number of positional arguments, and the names or null.
    #[inline]
    #[must_use]
    pub fn as_raw(self) -> (*const *mut PyObject, Py_ssize_t, *mut PyObject) {
        (self.first, self.count as Py_ssize_t, self.names)
    }

    /// A new tuple of the positional arguments, and a new dict of the others if there are any.
    pub fn to_tuple_and_dict(self, py: Attached<'_>) -> Result<(Owned, Option<Owned>), Raised> {
        let (first, count, names) = self.as_raw();
        // SAFETY: attached; the arguments are as they must be; the references are new ones.
        unsafe {
            let (tuple, dict) = call::tuple_and_dict(ptr::null_mut(), first, count, names)?;
            Ok((Owned::assume(tuple), py.own_if_any(dict)))
        }
    }

    /// Calls an object with these arguments.
    pub fn call(self, py: Attached<'_>, callable: Borrowed<'_>) -> Answer {
        let (first, count, names) = self.as_raw();
        // SAFETY: attached; the arguments are as they must be.
        unsafe {
            let callable = callable.as_ptr();
            py.own(crate::capi::compat::vectorcall(callable, first, count as usize, names))
        }
    }
}

#[inline(never)]
fn call_with_parts<'a, R>(
    first: *const *mut PyObject,
    count: usize,
    names: *mut PyObject,
    function: impl FnOnce(Args<'a>) -> R,
) -> R {
    function(Args { first, count, names, lifetime: PhantomData })
}
