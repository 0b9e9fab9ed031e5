//! `threading.Semaphore` and `threading.BoundedSemaphore`.
//!
//! Both use one struct. A semaphore without a bound has the largest possible bound.

use core::ffi::{CStr, c_int, c_void};
use core::mem::offset_of;
use core::ptr;
use core::sync::atomic::{AtomicU64, Ordering};

use pyo3_ffi::{self as ffi, Py_ssize_t, PyObject, PyTypeObject};

use crate::capi::call::call_method;
use crate::capi::compat;
use crate::capi::errors::{Raised, raise};
use crate::capi::refs::{self, drop_ref, visit_all};
use crate::capi::types::{Call, Collected, Property};
use crate::runtime::blocking::{self, Timeout};
use crate::runtime::natives::Kind;
use crate::runtime::state::State;
use crate::sync::{NotReleased, Retire, Semaphore, Ticket};
use crate::threading::arguments;
use crate::threading::class::{self, Making, NativeClass};
use crate::threading::head::Head;
use crate::threading::materialize::{self, CONDITIONS, Counts, Materialize, Retirement, Values};
use crate::threading::method::{LEFT_TO_PYTHON, Native, native};
use crate::threading::ticket::{self, Ended};

#[repr(C)]
struct SemaphoreObject {
    head: Head,
    semaphore: Semaphore,
    /// The largest value that the semaphore may have, or [`UNBOUNDED`].
    bound: AtomicU64,
    dict: *mut PyObject,
    weakrefs: *mut PyObject,
}

/// Larger than any value that a native semaphore has.
const UNBOUNDED: u64 = u64::MAX;

// `__enter__` is `acquire` by another name, as in the Python class.
const METHODS: &[Native] = &[
    native(c"__init__", Call::FastKeywords(class::init_method::<Unbounded, 1>)),
    native(c"acquire", Call::FastKeywords(acquire)),
    native(c"release", Call::FastKeywords(release)),
    native(c"__exit__", Call::Fast(exit)),
    native(c"__repr__", class::PYTHON),
];

const PROPERTIES: &[Property] = &[
    Property { name: c"_value", get: get_value, set: Some(set_value), doc: None },
    materialize::part::<SemaphoreObject>(c"_cond"),
    materialize::dict_property::<SemaphoreObject>(),
];

const BOUNDED_METHODS: &[Native] = &[
    native(c"__init__", Call::FastKeywords(class::init_method::<Bounded, 1>)),
    native(c"release", Call::FastKeywords(release_bounded)),
    native(c"__repr__", class::PYTHON),
];

const BOUNDED_PROPERTIES: &[Property] = &[
    Property { name: c"_initial_value", get: get_bound, set: Some(set_bound), doc: None },
    materialize::dict_property::<SemaphoreObject>(),
];

/// Makes the type. Returns a new reference.
///
/// # Safety
/// Attached.
pub unsafe fn make_type(making: &Making) -> Result<*mut PyTypeObject, Raised> {
    // SAFETY: the struct is described as it is.
    unsafe {
        class::Class {
            name: c"threading.Semaphore",
            short_name: c"Semaphore",
            kind: Kind::Semaphore,
            weakrefs: offset_of!(SemaphoreObject, weakrefs),
            dict: offset_of!(SemaphoreObject, dict),
            base: ptr::null_mut(),
            methods: METHODS,
            of_objects: None,
            builtin: &[],
            properties: PROPERTIES,
            init: class::init_slot::<Unbounded, 1>,
            vectorcall: Some(class::vectorcall::<Unbounded, 1>),
        }
        .make::<SemaphoreObject>(making)
    }
}

/// Makes the type of bounded semaphores. Returns a new reference.
///
/// # Safety
/// Attached; the type of semaphores has been made.
pub unsafe fn make_bounded_type(making: &Making) -> Result<*mut PyTypeObject, Raised> {
    // SAFETY: the struct is described as it is; the state holds the base, if there is one.
    unsafe {
        let base = (*State::of(making.module)).natives.types[Kind::Semaphore as usize];
        if base.is_null() {
            raise(ffi::PyExc_TypeError, c"BoundedSemaphore needs Semaphore");
            return Err(Raised);
        }
        class::Class {
            name: c"threading.BoundedSemaphore",
            short_name: c"BoundedSemaphore",
            kind: Kind::BoundedSemaphore,
            weakrefs: offset_of!(SemaphoreObject, weakrefs),
            dict: offset_of!(SemaphoreObject, dict),
            base,
            methods: BOUNDED_METHODS,
            of_objects: None,
            builtin: &[],
            properties: BOUNDED_PROPERTIES,
            init: class::init_slot::<Bounded, 1>,
            vectorcall: Some(class::vectorcall::<Bounded, 1>),
        }
        .make::<SemaphoreObject>(making)
    }
}

/// # Safety
/// `slf` is a SemaphoreObject, and outlives the result.
#[inline]
unsafe fn this<'a>(slf: *mut PyObject) -> &'a SemaphoreObject {
    // SAFETY: as the caller promises.
    unsafe { &*slf.cast::<SemaphoreObject>() }
}

/// # Safety
/// As [`this`].
#[inline]
unsafe fn of<'a>(slf: *mut PyObject) -> &'a Semaphore {
    // SAFETY: as the caller promises.
    unsafe { &this(slf).semaphore }
}

impl SemaphoreObject {
    fn bound(&self) -> u64 {
        self.bound.load(Ordering::Relaxed)
    }

    fn set_bound(&self, bound: u64) {
        self.bound.store(bound, Ordering::Relaxed);
    }
}

impl Materialize for SemaphoreObject {
    const STATE: &'static [&'static CStr] = &[c"_value"];

    unsafe fn parts(slf: *mut PyObject, state: *const State, tickets: Counts) -> *mut PyObject {
        // SAFETY: as the caller promises; the formats take as many numbers.
        unsafe {
            let bound = this(slf).bound();
            let (kind, args) = if bound == UNBOUNDED {
                let args = ffi::Py_BuildValue(c"(in)".as_ptr(), 0, tickets[0]);
                (Kind::Semaphore, args)
            } else {
                let args = ffi::Py_BuildValue(c"(iKn)".as_ptr(), 0, bound, tickets[0]);
                (Kind::BoundedSemaphore, args)
            };
            materialize::make_parts(state, kind, args)
        }
    }

    unsafe fn retire(
        slf: *mut PyObject,
        _: *mut PyObject,
        tickets: [&[Ticket]; CONDITIONS],
        values: &mut Values,
    ) -> Retirement {
        // SAFETY: as the caller promises; attached.
        unsafe {
            match of(slf).retire(tickets[0]) {
                Retire::Done { state, used } => {
                    values[0] = ffi::PyLong_FromUnsignedLongLong(state);
                    Retirement::Done([used, 0, 0])
                }
                Retire::NeedTickets(needed) => Retirement::Need([needed, 0, 0]),
                Retire::Already => Retirement::Done([0; CONDITIONS]),
            }
        }
    }
}

/// The two classes, which differ in their `__init__`.
struct Unbounded;
struct Bounded;

/// Begins a semaphore with this value, or with one if that is null. Returns false if the Python
/// class has to do it.
///
/// # Safety
/// As [`NativeClass::begin`].
unsafe fn begin(slf: *mut PyObject, given: *mut PyObject, is_bounded: bool) -> bool {
    // SAFETY: as the caller promises.
    unsafe {
        let value = if given.is_null() { Some(1) } else { countable(given) };
        let Some(value) = value.filter(|&value| of(slf).set_value(value)) else { return false };
        this(slf).set_bound(if is_bounded { value } else { UNBOUNDED });
    }
    true
}

macro_rules! semaphore_class {
    ($name:ident, $is_bounded:literal, $parts:expr) => {
        impl NativeClass<1> for $name {
            const ARGUMENTS: [&'static CStr; 1] = [c"value"];
            const PARTS: &'static [&'static CStr] = $parts;

            unsafe fn begin(slf: *mut PyObject, given: [*mut PyObject; 1]) -> Result<bool, Raised> {
                // SAFETY: as the caller promises.
                Ok(unsafe { begin(slf, given[0], $is_bounded) })
            }

            unsafe fn dict(slf: *mut PyObject) -> *mut *mut PyObject {
                // SAFETY: as the caller promises.
                unsafe { &raw mut (*slf.cast::<SemaphoreObject>()).dict }
            }
        }
    };
}

semaphore_class!(Unbounded, false, &[c"_cond", c"_value"]);
semaphore_class!(Bounded, true, &[c"_cond", c"_value", c"_initial_value"]);

/// Returns the value of a number that is an exact int, and that a native semaphore can count to.
///
/// # Safety
/// Attached; a valid object or null.
unsafe fn countable(number: *mut PyObject) -> Option<u64> {
    // SAFETY: as the caller promises; an exact int has no code of its own.
    unsafe {
        if number.is_null() || ffi::PyLong_CheckExact(number) == 0 {
            return None;
        }
        let mut overflow = 0;
        let number = ffi::PyLong_AsLongLongAndOverflow(number, &mut overflow);
        let number = u64::try_from(number).ok()?;
        (overflow == 0 && number <= Semaphore::MAX).then_some(number)
    }
}

impl Collected for SemaphoreObject {
    unsafe fn weakrefs(slf: *mut PyObject) -> *mut PyObject {
        // SAFETY: as the caller promises.
        unsafe { (*slf.cast::<SemaphoreObject>()).weakrefs }
    }

    unsafe fn visit(slf: *mut PyObject, visit: ffi::visitproc, arg: *mut c_void) -> c_int {
        // SAFETY: as the caller promises.
        unsafe { visit_all(&[this(slf).dict], visit, arg) }
    }

    unsafe fn clear(slf: *mut PyObject) {
        // SAFETY: as the caller promises.
        unsafe {
            refs::clear(&mut (*slf.cast::<SemaphoreObject>()).dict);
        }
    }
}

unsafe extern "C-unwind" fn acquire(
    slf: *mut PyObject,
    args: *const *mut PyObject,
    nargs: Py_ssize_t,
    kwnames: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called, attached, with a native SemaphoreObject that the caller keeps alive.
    unsafe {
        if compat::run_pending_at_entry().is_err() {
            return ptr::null_mut();
        }
        if nargs == 0 && kwnames.is_null() && of(slf).try_acquire() {
            return compat::bool_object(true);
        }
        acquire_with(slf, args, nargs, kwnames)
    }
}

#[inline(never)]
unsafe fn acquire_with(
    slf: *mut PyObject,
    args: *const *mut PyObject,
    nargs: Py_ssize_t,
    kwnames: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: as in `acquire`.
    unsafe {
        let bound = arguments::bind(args, nargs, kwnames, [c"blocking", c"timeout"]);
        let Some([blocking, seconds]) = bound else { return LEFT_TO_PYTHON };
        let blocking = if blocking.is_null() { 1 } else { ffi::PyObject_IsTrue(blocking) };
        if blocking < 0 {
            return ptr::null_mut();
        }
        let unlimited = seconds.is_null() || seconds == ffi::Py_None();
        if blocking == 0 && !unlimited {
            return LEFT_TO_PYTHON;
        }
        if of(slf).try_acquire() {
            return compat::bool_object(true);
        }
        if compat::is_ending() && of(slf).take_back() > 0 && of(slf).try_acquire() {
            // The permit had been granted to a thread that may never attach again. If that thread
            // attaches all the same, it waits again.
            return compat::bool_object(true);
        }
        if of(slf).value().is_none() {
            return LEFT_TO_PYTHON;
        }
        if blocking == 0 {
            return compat::bool_object(false);
        }
        if !unlimited && !arguments::is_ordinary_timeout(seconds) {
            return LEFT_TO_PYTHON;
        }
        wait(slf, seconds)
    }
}

#[cold]
unsafe fn wait(slf: *mut PyObject, seconds: *mut PyObject) -> *mut PyObject {
    // SAFETY: as in `acquire`; new references are released.
    unsafe {
        compat::note_use(slf);
        let deadline = match arguments::timeout(seconds) {
            Ok(Timeout::Zero) => return compat::bool_object(false),
            Ok(timeout) => blocking::deadline(timeout),
            Err(Raised) => return ptr::null_mut(),
        };
        match ticket::wait(slf, of(slf), deadline) {
            Ok(Ended::Got) => {
                if ticket::run_pending(slf).is_ok() {
                    return compat::bool_object(true);
                }
                give_back(slf);
                ptr::null_mut()
            }
            Ok(Ended::TimedOut) => match ticket::run_pending(slf) {
                Ok(()) => compat::bool_object(false),
                Err(Raised) => ptr::null_mut(),
            },
            // The Python function would look at the value now, and wait again if it is zero.
            Ok(Ended::Notified(_) | Ended::SentAway) => {
                let left = arguments::remaining(deadline);
                if left.is_null() {
                    return left;
                }
                let args = [compat::bool_object(true), left];
                let null = ptr::null_mut();
                let result = call_method(slf, c"acquire", args.as_ptr(), 2, null);
                drop_ref(args[0]);
                drop_ref(left);
                result
            }
            Err(Raised) => ptr::null_mut(),
        }
    }
}

/// Gives back a permit, because an exception ends the acquire that has got it.
unsafe fn give_back(slf: *mut PyObject) {
    // SAFETY: as in `acquire`, with an exception set, which is set afterwards as well.
    unsafe {
        if of(slf).release(1, UNBOUNDED).is_ok() {
            return;
        }
        // The semaphore has been materialized meanwhile.
        let pending = compat::take_exception();
        let released = call_method(slf, c"release", ptr::null(), 0, ptr::null_mut());
        if released.is_null() {
            ffi::PyErr_Clear();
        }
        drop_ref(released);
        compat::restore_exception(pending);
    }
}

/// Reads how many permits a release gives back. `None` if the Python function has to read it. A
/// number that is too large for a machine word becomes the largest one.
///
/// # Safety
/// Attached; the arguments are as CPython passes them.
#[inline]
unsafe fn released(
    args: *const *mut PyObject,
    nargs: Py_ssize_t,
    kwnames: *mut PyObject,
) -> Option<u64> {
    if nargs == 0 && kwnames.is_null() {
        return Some(1);
    }
    // SAFETY: as the caller promises; an exact int has no code of its own.
    unsafe {
        let [count] = arguments::bind(args, nargs, kwnames, [c"n"])?;
        if count.is_null() || ffi::PyLong_CheckExact(count) == 0 {
            return None;
        }
        let mut overflow = 0;
        let count = ffi::PyLong_AsLongLongAndOverflow(count, &mut overflow);
        if overflow > 0 {
            return Some(u64::MAX);
        }
        u64::try_from(count).ok().filter(|&count| count > 0)
    }
}

unsafe extern "C-unwind" fn release(
    slf: *mut PyObject,
    args: *const *mut PyObject,
    nargs: Py_ssize_t,
    kwnames: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called, attached, with a native SemaphoreObject.
    unsafe {
        match released(args, nargs, kwnames) {
            // A value that is too large for a native semaphore is left to Python's ints.
            Some(count) if of(slf).release(count, UNBOUNDED).is_ok() => compat::none(),
            _ => LEFT_TO_PYTHON,
        }
    }
}

unsafe extern "C-unwind" fn release_bounded(
    slf: *mut PyObject,
    args: *const *mut PyObject,
    nargs: Py_ssize_t,
    kwnames: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called, attached, with a native SemaphoreObject.
    unsafe {
        let bound = this(slf).bound();
        let done = released(args, nargs, kwnames).map(|count| of(slf).release(count, bound));
        match done {
            Some(Ok(())) => compat::none(),
            Some(Err(NotReleased::TooMany)) if bound != UNBOUNDED => {
                raise(ffi::PyExc_ValueError, c"Semaphore released too many times")
            }
            _ => LEFT_TO_PYTHON,
        }
    }
}

unsafe extern "C-unwind" fn exit(
    slf: *mut PyObject,
    _: *const *mut PyObject,
    nargs: Py_ssize_t,
) -> *mut PyObject {
    // SAFETY: called, attached, with a native SemaphoreObject.
    unsafe {
        // A derived class may have a release() of its own.
        if nargs != 3 || Head::of(slf).replaces_called() {
            return LEFT_TO_PYTHON;
        }
        if this(slf).bound() == UNBOUNDED {
            release(slf, ptr::null(), 0, ptr::null_mut())
        } else {
            release_bounded(slf, ptr::null(), 0, ptr::null_mut())
        }
    }
}

unsafe extern "C-unwind" fn get_value(slf: *mut PyObject, name: *mut c_void) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a SemaphoreObject.
    unsafe {
        match of(slf).value() {
            Some(value) if class::is_of_phase_native(slf) => {
                ffi::PyLong_FromUnsignedLongLong(value)
            }
            _ => materialize::get::<SemaphoreObject>(slf, name),
        }
    }
}

unsafe extern "C-unwind" fn set_value(
    slf: *mut PyObject,
    value: *mut PyObject,
    name: *mut c_void,
) -> c_int {
    // SAFETY: called by CPython, attached, with a SemaphoreObject.
    unsafe {
        let done = class::is_of_phase_native(slf)
            && countable(value).is_some_and(|value| of(slf).set_value(value));
        if done { 0 } else { materialize::set::<SemaphoreObject>(slf, value, name) }
    }
}

unsafe extern "C-unwind" fn get_bound(slf: *mut PyObject, name: *mut c_void) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a SemaphoreObject.
    unsafe {
        let bound = this(slf).bound();
        if bound == UNBOUNDED || !class::is_of_phase_native(slf) {
            return materialize::get::<SemaphoreObject>(slf, name);
        }
        ffi::PyLong_FromUnsignedLongLong(bound)
    }
}

unsafe extern "C-unwind" fn set_bound(
    slf: *mut PyObject,
    value: *mut PyObject,
    name: *mut c_void,
) -> c_int {
    // SAFETY: called by CPython, attached, with a SemaphoreObject.
    unsafe { materialize::set::<SemaphoreObject>(slf, value, name) }
}
