//! The references that a new thread is given.

use core::ptr::NonNull;

use pyo3_ffi::PyObject;

use crate::capi::object::{Attached, Borrowed, Dict, Owned, Tuple, release};
use crate::runtime::state::State;
use crate::thread_module::start::late_failure::starting_event;

/// The function that a thread calls, its arguments, and the event by which the thread says that it
/// runs. The references belong to the thread, which releases them at its end.
#[derive(Clone, Copy)]
pub struct Given {
    function: NonNull<PyObject>,
    /// A tuple.
    args: NonNull<PyObject>,
    /// A dict.
    kwargs: Option<NonNull<PyObject>>,
    /// The `_started` of the `Thread` object, and the name of the attribute `_ident`. That is None
    /// in a `Thread` that has not been started. Both are missing if there is no `Thread`.
    started: Option<NonNull<PyObject>>,
    ident: Option<NonNull<PyObject>>,
}

impl Given {
    /// Takes references for a thread that will call `function(*args, **kwargs)`.
    pub fn new(
        py: Attached<'_>,
        state: &State,
        function: Borrowed<'_>,
        args: Tuple<'_>,
        kwargs: Option<Dict<'_>>,
    ) -> Given {
        let started = starting_event(py, state, function);
        let ident = if started.is_some() { state.ident_name.get() } else { None };
        let own = |object: Borrowed<'_>| object.own(py).into_non_null();
        Given {
            function: own(function),
            args: own(args.object()),
            kwargs: kwargs.map(|kwargs| own(kwargs.object())),
            started: started.map(Owned::into_non_null),
            ident: ident.map(own),
        }
    }

    pub fn function(&self) -> Borrowed<'_> {
        self.lend(self.function)
    }

    pub fn args(&self) -> Tuple<'_> {
        // SAFETY: `new` was given a tuple.
        unsafe { Tuple::assume(self.lend(self.args)) }
    }

    pub fn kwargs(&self) -> Option<Dict<'_>> {
        // SAFETY: `new` was given a dict.
        self.kwargs.map(|kwargs| unsafe { Dict::assume(self.lend(kwargs)) })
    }

    /// The event; None if there is none.
    pub fn started(&self) -> Option<Borrowed<'_>> {
        self.started.map(|started| self.lend(started))
    }

    /// The `Thread`, its event, and the name of its attribute `_ident`.
    pub fn thread(&self) -> Option<(Borrowed<'_>, Borrowed<'_>, Borrowed<'_>)> {
        let (_, thread) = self.function().method_parts()?;
        Some((thread, self.started()?, self.lend(self.ident?)))
    }

    fn lend(&self, object: NonNull<PyObject>) -> Borrowed<'_> {
        // SAFETY: the reference is owned until `release`, after which it is not used.
        unsafe { Borrowed::assume(object.as_ptr()) }
    }

    /// Drops the references.
    ///
    /// # Safety
    /// The references are the caller's. Neither they nor any copy of this value are used
    /// afterwards, except that the event is used by an owner of another reference.
    pub unsafe fn release(self, py: Attached<'_>) {
        let all = [Some(self.function), Some(self.args), self.kwargs, self.started, self.ident];
        for object in all {
            // SAFETY: as the caller promises.
            release(object.map(|object| unsafe { Owned::assume(object.as_ptr()) }), py);
        }
    }
}
