//! `threading.Semaphore` and `threading.BoundedSemaphore`.
//!
//! One struct for both: a semaphore without a bound has the largest one there is.

use core::ffi::{c_int, c_void};
use core::mem::offset_of;
use core::ptr;
use core::sync::atomic::{AtomicU64, Ordering};

use pyo3_ffi::{self as ffi, Py_ssize_t, PyObject, PyTypeObject};

use super::open::{self, Openable};
use super::{Kind, Making, arguments, condition, pure};
use crate::blocking::{self, Signals, Timeout, Waited};
use crate::compat::{self, Raised};
use crate::module::State;
use crate::object::{
    self, Call, Collected, Function, Like, PLAIN, Property, Type, drop_ref, raise,
};
use crate::sync::{Deadline, NotReleased, Semaphore};

#[repr(C)]
struct SemaphoreObject {
    base: PyObject,
    semaphore: Semaphore,
    /// How large the value may become, or [`UNBOUNDED`].
    bound: AtomicU64,
    dict: *mut PyObject,
    weakrefs: *mut PyObject,
}

/// Larger than any value that a native semaphore has.
const UNBOUNDED: u64 = u64::MAX;

const METHODS: &[Function] = &[
    Function::python(c"acquire", Call::FastKeywords(acquire)),
    // In stock, too, the same function by another name.
    Function::python(c"__enter__", Call::FastKeywords(acquire)),
    Function::python(c"release", Call::FastKeywords(release)),
    Function::python(c"__exit__", Call::Fast(exit)),
    open::copy::<SemaphoreObject>(),
];

const PROPERTIES: &[Property] = &[
    Property { name: c"_value", get: get_value, set: Some(set_value), doc: None },
    open::part::<SemaphoreObject>(c"_cond"),
    open::dict_of_parts::<SemaphoreObject>(),
];

const BOUNDED_METHODS: &[Function] =
    &[Function::python(c"release", Call::FastKeywords(release_bounded))];

const BOUNDED_PROPERTIES: &[Property] =
    &[Property { name: c"_initial_value", get: get_bound, set: Some(set_bound), doc: None }];

/// What the two types have in common.
const COMMON: Type<'static> = Type {
    size: size_of::<SemaphoreObject>(),
    weakrefs: Some(offset_of!(SemaphoreObject, weakrefs)),
    dict: Some(offset_of!(SemaphoreObject, dict)),
    flags: ffi::Py_TPFLAGS_HAVE_GC | ffi::Py_TPFLAGS_BASETYPE,
    ..PLAIN
};

/// Makes the type. A new reference.
///
/// # Safety
/// Attached.
pub unsafe fn make_type(making: &Making) -> Result<*mut PyTypeObject, Raised> {
    // SAFETY: the slots are what their numbers say and expect a SemaphoreObject.
    unsafe {
        Type {
            name: c"threading.Semaphore",
            like: Like::Python(making.docs),
            methods: METHODS,
            properties: PROPERTIES,
            slots: &[
                (ffi::Py_tp_new, new as *mut c_void),
                (ffi::Py_tp_init, init as *mut c_void),
                (ffi::Py_tp_dealloc, object::dealloc::<SemaphoreObject> as *mut c_void),
                (ffi::Py_tp_repr, repr as *mut c_void),
                (ffi::Py_tp_traverse, object::traverse::<SemaphoreObject> as *mut c_void),
                (ffi::Py_tp_clear, object::clear_all::<SemaphoreObject> as *mut c_void),
            ],
            ..COMMON
        }
        .make(making.module)
    }
}

/// Makes the type of those that are bounded. A new reference.
///
/// # Safety
/// Attached.
pub unsafe fn make_bounded_type(making: &Making) -> Result<*mut PyTypeObject, Raised> {
    // SAFETY: the slots are what their numbers say and expect a SemaphoreObject; the state holds
    // the base, if there is one.
    unsafe {
        let base = (*State::of(making.module)).natives.types[Kind::Semaphore as usize];
        if base.is_null() {
            raise(ffi::PyExc_TypeError, c"BoundedSemaphore needs Semaphore");
            return Err(Raised);
        }
        Type {
            name: c"threading.BoundedSemaphore",
            like: Like::Python(making.docs),
            base,
            methods: BOUNDED_METHODS,
            properties: BOUNDED_PROPERTIES,
            slots: &[
                (ffi::Py_tp_new, new as *mut c_void),
                (ffi::Py_tp_init, init_bounded as *mut c_void),
                (ffi::Py_tp_dealloc, object::dealloc::<SemaphoreObject> as *mut c_void),
                (ffi::Py_tp_repr, repr_bounded as *mut c_void),
                (ffi::Py_tp_traverse, object::traverse::<SemaphoreObject> as *mut c_void),
                (ffi::Py_tp_clear, object::clear_all::<SemaphoreObject> as *mut c_void),
            ],
            ..COMMON
        }
        .make(making.module)
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
        // Relaxed: a number by itself.
        self.bound.load(Ordering::Relaxed)
    }

    fn set_bound(&self, bound: u64) {
        self.bound.store(bound, Ordering::Relaxed);
    }
}

impl Openable for SemaphoreObject {
    unsafe fn is_open(slf: *mut PyObject) -> bool {
        // SAFETY: as the caller promises.
        unsafe { of(slf) }.value().is_none()
    }

    unsafe fn open(slf: *mut PyObject) -> Result<(), Raised> {
        // SAFETY: as the caller promises.
        unsafe {
            let Some(value) = of(slf).value() else { return Ok(()) };
            let dict = open::dict(slf)?;
            let opened = open_into(slf, dict, value);
            drop_ref(dict);
            opened
        }
    }
}

/// # Safety
/// As [`Openable::open`]; `dict` is the object's.
unsafe fn open_into(slf: *mut PyObject, dict: *mut PyObject, value: u64) -> Result<(), Raised> {
    // SAFETY: as the caller promises; the new reference is given back.
    unsafe {
        let condition = open::offer_and_keep(dict, c"_cond", condition::make_held(slf))?;
        let opened = open_with(slf, dict, condition, value);
        drop_ref(condition);
        opened
    }
}

/// # Safety
/// As `open_into`; `condition` is its condition, or what somebody has in its place.
unsafe fn open_with(
    slf: *mut PyObject,
    dict: *mut PyObject,
    condition: *mut PyObject,
    value: u64,
) -> Result<(), Raised> {
    // SAFETY: as the caller promises.
    unsafe {
        open::offer(dict, c"_value", ffi::PyLong_FromUnsignedLongLong(value))?;
        let bound = this(slf).bound();
        if bound != UNBOUNDED {
            open::offer(dict, c"_initial_value", ffi::PyLong_FromUnsignedLongLong(bound))?;
        }
        let Some(value) = of(slf).close() else { return Ok(()) };
        let stored = open::store(dict, c"_value", ffi::PyLong_FromUnsignedLongLong(value));
        condition::release_held(condition);
        stored
    }
}

/// What a number is, if it is an ordinary int that a native semaphore can count to.
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

unsafe extern "C-unwind" fn new(
    class: *mut PyTypeObject,
    _: *mut PyObject,
    _: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called by CPython; all zero is a semaphore that cannot be acquired yet. Arguments are
    // for __init__, and nobody else has the object.
    unsafe {
        let made = object::allocate::<SemaphoreObject>(class);
        if !made.is_null() {
            (*made).set_bound(UNBOUNDED);
        }
        made.cast()
    }
}

/// The argument of `__init__`, borrowed, or null; `None` if the arguments do not fit.
///
/// # Safety
/// As `init`.
unsafe fn given(args: *mut PyObject, kwargs: *mut PyObject) -> Option<*mut PyObject> {
    // SAFETY: as the caller promises.
    unsafe { arguments::bind_tuple(args, kwargs, [c"value"]).map(|[value]| value) }
}

/// What a semaphore starts with that is given this or nothing, if a native one can.
///
/// # Safety
/// As [`countable`].
unsafe fn first_value(given: *mut PyObject) -> Option<u64> {
    // SAFETY: as the caller promises.
    if given.is_null() { Some(1) } else { unsafe { countable(given) } }
}

unsafe extern "C-unwind" fn init(
    slf: *mut PyObject,
    args: *mut PyObject,
    kwargs: *mut PyObject,
) -> c_int {
    // SAFETY: called by CPython with a SemaphoreObject, a tuple, and a dict or null.
    unsafe {
        match given(args, kwargs).and_then(|value| first_value(value)) {
            Some(value) if of(slf).set_value(value) => 0,
            // Opens it: the first thing that it does to the object is to give it a condition.
            _ => pure::init(slf, Kind::Semaphore, args, kwargs),
        }
    }
}

unsafe extern "C-unwind" fn init_bounded(
    slf: *mut PyObject,
    args: *mut PyObject,
    kwargs: *mut PyObject,
) -> c_int {
    // SAFETY: called by CPython with a SemaphoreObject, a tuple, and a dict or null.
    unsafe {
        let Some(object) = given(args, kwargs) else {
            // It says what is wrong before it does anything.
            return pure::init(slf, Kind::BoundedSemaphore, args, kwargs);
        };
        if let Some(value) = first_value(object) {
            this(slf).set_bound(value);
            if of(slf).set_value(value) {
                return 0;
            }
        }
        init_bounded_python(slf, object, args, kwargs)
    }
}

/// What `BoundedSemaphore.__init__` does. That itself cannot be called: its `super()` takes only
/// objects of its own class.
#[cold]
unsafe fn init_bounded_python(
    slf: *mut PyObject,
    given: *mut PyObject,
    args: *mut PyObject,
    kwargs: *mut PyObject,
) -> c_int {
    // SAFETY: as in `init_bounded`; what is given is borrowed from the arguments.
    unsafe {
        if pure::init(slf, Kind::Semaphore, args, kwargs) < 0 {
            return -1;
        }
        if !given.is_null() {
            return assign_bound(slf, given);
        }
        let value = ffi::PyLong_FromLong(1);
        let status = assign_bound(slf, value);
        drop_ref(value);
        status
    }
}

/// `self._initial_value = value`.
unsafe fn assign_bound(slf: *mut PyObject, value: *mut PyObject) -> c_int {
    // SAFETY: as in `init_bounded`; new references are given back.
    unsafe {
        let name = ffi::PyUnicode_InternFromString(c"_initial_value".as_ptr());
        if name.is_null() || value.is_null() {
            return -1;
        }
        let args = [name, value];
        let null = ptr::null_mut();
        let done = object::call_method(slf, c"__setattr__", args.as_ptr(), 2, null);
        drop_ref(name);
        drop_ref(done);
        if done.is_null() { -1 } else { 0 }
    }
}

impl Collected for SemaphoreObject {
    unsafe fn weakrefs(slf: *mut PyObject) -> *mut PyObject {
        // SAFETY: as the caller promises.
        unsafe { (*slf.cast::<SemaphoreObject>()).weakrefs }
    }

    unsafe fn visit(slf: *mut PyObject, visit: ffi::visitproc, arg: *mut c_void) -> c_int {
        // SAFETY: as the caller promises.
        unsafe { object::visit_all(&[this(slf).dict], visit, arg) }
    }

    unsafe fn clear(slf: *mut PyObject) {
        // SAFETY: as the caller promises.
        unsafe {
            object::clear(&mut (*slf.cast::<SemaphoreObject>()).dict);
        }
    }
}

unsafe extern "C-unwind" fn repr(slf: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by CPython with a SemaphoreObject.
    unsafe { pure::call_no_args(slf, Kind::Semaphore, c"__repr__") }
}

unsafe extern "C-unwind" fn repr_bounded(slf: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by CPython with a SemaphoreObject.
    unsafe { pure::call_no_args(slf, Kind::BoundedSemaphore, c"__repr__") }
}

unsafe extern "C-unwind" fn acquire(
    slf: *mut PyObject,
    args: *const *mut PyObject,
    nargs: Py_ssize_t,
    kwnames: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a SemaphoreObject that it keeps alive.
    unsafe {
        compat::note_use(slf);
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
        let Some([blocking, seconds]) = bound else {
            return pure::call(slf, Kind::Semaphore, c"acquire", args, nargs, kwnames);
        };
        let blocking = if blocking.is_null() { 1 } else { ffi::PyObject_IsTrue(blocking) };
        if blocking < 0 {
            return ptr::null_mut();
        }
        let fits = blocking != 0 || seconds.is_null() || seconds == ffi::Py_None();
        if fits && of(slf).try_acquire() {
            return compat::bool_object(true);
        }
        if fits && blocking == 0 && of(slf).value().is_some() {
            return compat::bool_object(false);
        }
        if fits && arguments::is_timeout(seconds) && of(slf).value().is_some() {
            return wait(slf, seconds);
        }
        pure::call(slf, Kind::Semaphore, c"acquire", args, nargs, kwnames)
    }
}

/// A time-out that is no number at all (NaN) is none here; the Python class would look at the value
/// again and again without a pause until somebody releases.
#[cold]
unsafe fn wait(slf: *mut PyObject, seconds: *mut PyObject) -> *mut PyObject {
    // SAFETY: as in `acquire`.
    unsafe {
        let deadline = match arguments::timeout(seconds) {
            Ok(Timeout::Zero) => return compat::bool_object(false),
            Ok(timeout) => blocking::deadline(timeout),
            Err(Raised) => return ptr::null_mut(),
        };
        match blocking::wait_until(of(slf), deadline, Signals::Handle) {
            Ok(Waited::Got) => compat::bool_object(true),
            Ok(Waited::TimedOut) => compat::bool_object(false),
            Ok(Waited::Dismissed) => acquire_opened(slf, deadline),
            Err(Raised) => ptr::null_mut(),
        }
    }
}

/// Somebody has opened the semaphore meanwhile.
unsafe fn acquire_opened(slf: *mut PyObject, deadline: Deadline) -> *mut PyObject {
    // SAFETY: as in `acquire`; the new references are given back.
    unsafe {
        let left = arguments::remaining(deadline);
        if left.is_null() {
            return ptr::null_mut();
        }
        let args = [compat::bool_object(true), left];
        let null = ptr::null_mut();
        let result = pure::call(slf, Kind::Semaphore, c"acquire", args.as_ptr(), 2, null);
        drop_ref(args[0]);
        drop_ref(left);
        result
    }
}

/// How many a release is for; `None` if that is for the Python function to judge. One that is too
/// large for anything is the largest.
///
/// # Safety
/// Attached; as CPython passes them.
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
    // SAFETY: called by CPython, attached, with a SemaphoreObject.
    unsafe {
        match released(args, nargs, kwnames) {
            // More than can be counted here is for Python's ints.
            Some(count) if of(slf).release(count, UNBOUNDED).is_ok() => compat::none(),
            _ => pure::call(slf, Kind::Semaphore, c"release", args, nargs, kwnames),
        }
    }
}

unsafe extern "C-unwind" fn release_bounded(
    slf: *mut PyObject,
    args: *const *mut PyObject,
    nargs: Py_ssize_t,
    kwnames: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a SemaphoreObject.
    unsafe {
        let bound = this(slf).bound();
        let done = released(args, nargs, kwnames).map(|count| of(slf).release(count, bound));
        match done {
            Some(Ok(())) => compat::none(),
            Some(Err(NotReleased::TooMany)) if bound != UNBOUNDED => {
                raise(ffi::PyExc_ValueError, c"Semaphore released too many times")
            }
            _ => pure::call(slf, Kind::BoundedSemaphore, c"release", args, nargs, kwnames),
        }
    }
}

/// Calls whatever `release` the object has.
unsafe extern "C-unwind" fn exit(
    slf: *mut PyObject,
    args: *const *mut PyObject,
    nargs: Py_ssize_t,
) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a SemaphoreObject.
    unsafe {
        if nargs != 3 {
            return pure::call(slf, Kind::Semaphore, c"__exit__", args, nargs, ptr::null_mut());
        }
        let derived = object::is_of_python_class::<SemaphoreObject>(slf);
        let released = if derived || !this(slf).dict.is_null() {
            object::call_method(slf, c"release", ptr::null(), 0, ptr::null_mut())
        } else if this(slf).bound() == UNBOUNDED {
            release(slf, ptr::null(), 0, ptr::null_mut())
        } else {
            release_bounded(slf, ptr::null(), 0, ptr::null_mut())
        };
        if released.is_null() {
            return released;
        }
        drop_ref(released);
    }
    compat::none()
}

unsafe extern "C-unwind" fn get_value(slf: *mut PyObject, name: *mut c_void) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a SemaphoreObject.
    unsafe {
        match of(slf).value() {
            Some(value) => ffi::PyLong_FromUnsignedLongLong(value),
            None => open::get::<SemaphoreObject>(slf, name),
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
        match countable(value) {
            Some(value) if of(slf).set_value(value) => 0,
            _ => open::set::<SemaphoreObject>(slf, value, name),
        }
    }
}

unsafe extern "C-unwind" fn get_bound(slf: *mut PyObject, name: *mut c_void) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a SemaphoreObject.
    unsafe {
        let bound = this(slf).bound();
        if bound == UNBOUNDED || SemaphoreObject::is_open(slf) {
            return open::get::<SemaphoreObject>(slf, name);
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
    unsafe {
        match countable(value) {
            Some(bound) if !SemaphoreObject::is_open(slf) => {
                this(slf).set_bound(bound);
                0
            }
            _ => open::set::<SemaphoreObject>(slf, value, name),
        }
    }
}
