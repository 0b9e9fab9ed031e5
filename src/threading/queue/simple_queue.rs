//! `queue.SimpleQueue`, which CPython writes in C. Its docstrings and visible flags are those of
//! the stock type.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::mem::offset_of;
use core::ptr;

use pyo3_ffi::{self as ffi, Py_ssize_t, PyObject, PyTypeObject};

use crate::capi::call::tuple_and_dict;
use crate::capi::compat;
use crate::capi::errors::{Raised, raise};
use crate::capi::refs::drop_ref;
use crate::capi::types::{self, Call, Collected, Function, Like, PLAIN, Type};
use crate::runtime::blocking::{self, Signals, Timeout, Waited};
use crate::runtime::natives::Kind;
use crate::runtime::state::State;
use crate::sync::{Accepted, Channel, Get, Taken};
use crate::thread_module::acquire_args;
use crate::threading::class::Making;
use crate::threading::queue;
use crate::threading::queue::items::{self, item_of, object_of};

/// All zero bytes are an empty queue.
#[repr(C)]
struct SimpleQueueObject {
    base: PyObject,
    channel: Channel,
    weakrefs: *mut PyObject,
}

const METHODS: &[Function] = &[
    Function::stock(c"put", Call::FastKeywords(put)),
    Function::stock(c"get", Call::FastKeywords(get)),
    Function::stock(c"put_nowait", Call::FastKeywords(put_nowait)),
    Function::stock(c"get_nowait", Call::FastKeywords(get_nowait)),
    Function::stock(c"qsize", Call::NoArgs(qsize)),
    Function::stock(c"empty", Call::NoArgs(empty)),
    Function::stock(c"__class_getitem__", Call::ClassObject(class_getitem)),
];

/// Makes the type. Returns a new reference.
///
/// # Safety
/// Attached; the stock type has been given.
pub unsafe fn make_type(making: &Making) -> Result<*mut PyTypeObject, Raised> {
    // SAFETY: each slot is of the kind that its number says, and expects a SimpleQueueObject.
    unsafe {
        let stock = (*State::of(making.module)).natives.python[Kind::SimpleQueue as usize];
        Type {
            name: c"_queue.SimpleQueue",
            size: size_of::<SimpleQueueObject>(),
            weakrefs: Some(offset_of!(SimpleQueueObject, weakrefs)),
            flags: ffi::Py_TPFLAGS_HAVE_GC,
            like: Like::Stock(stock.cast()),
            methods: METHODS,
            slots: &[
                (ffi::Py_tp_new, new as *mut c_void),
                (ffi::Py_tp_dealloc, types::dealloc::<SimpleQueueObject> as *mut c_void),
                (ffi::Py_tp_traverse, types::traverse::<SimpleQueueObject> as *mut c_void),
                (ffi::Py_tp_clear, types::clear_all::<SimpleQueueObject> as *mut c_void),
            ],
            ..PLAIN
        }
        .make(making.module)
    }
}

/// # Safety
/// `slf` is a SimpleQueueObject, and outlives the result.
#[inline]
unsafe fn channel<'a>(slf: *mut PyObject) -> &'a Channel {
    // SAFETY: as the caller promises.
    unsafe { &(*slf.cast::<SimpleQueueObject>()).channel }
}

unsafe extern "C-unwind" fn new(
    class: *mut PyTypeObject,
    args: *mut PyObject,
    kwargs: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called by CPython with valid arguments; all zero is an empty queue.
    unsafe {
        let Ok(state) = State::of_type(class) else { return ptr::null_mut() };
        let own = (*state).natives.types[Kind::SimpleQueue as usize];
        // A derived class may have an __init__ that takes arguments.
        let init = |class: *mut PyTypeObject| (*class).tp_init.map(|init| init as usize);
        let plain = class == own || init(class) == init(own);
        if plain && ffi::PyTuple_GET_SIZE(args) > 0 {
            let words = c"SimpleQueue() takes no positional arguments";
            return raise(ffi::PyExc_TypeError, words);
        }
        if plain && !kwargs.is_null() && ffi::PyDict_Size(kwargs) > 0 {
            let words = c"SimpleQueue() takes no keyword arguments";
            return raise(ffi::PyExc_TypeError, words);
        }
        types::allocate(class)
    }
}

impl Collected for SimpleQueueObject {
    unsafe fn weakrefs(slf: *mut PyObject) -> *mut PyObject {
        // SAFETY: as the caller promises.
        unsafe { (*slf.cast::<SimpleQueueObject>()).weakrefs }
    }

    unsafe fn visit(slf: *mut PyObject, visit: ffi::visitproc, arg: *mut c_void) -> c_int {
        // SAFETY: as the caller promises.
        unsafe { items::visit(channel(slf), visit, arg) }
    }

    unsafe fn clear(slf: *mut PyObject) {
        // SAFETY: as the caller promises.
        unsafe {
            items::drop_all(channel(slf).take_all());
        }
    }
}

/// Lets CPython parse unusual arguments, and raise its own errors. Stores the arguments that were
/// given in `places`, borrowed, and the truth value of `block`. An argument that was not given
/// changes nothing.
///
/// # Safety
/// Attached; the arguments are as CPython passes them. The format has an object if the first of
/// `places` is not null. Then, unless there is only one name, it has a truth value and an object.
/// Each object that the format gives is in `args` too.
#[cold]
unsafe fn parse(
    args: *const *mut PyObject,
    nargs: Py_ssize_t,
    kwnames: *mut PyObject,
    format: &CStr,
    names: &[*const c_char],
    places: [*mut *mut PyObject; 2],
    block: &mut c_int,
) -> Result<(), Raised> {
    // SAFETY: as the caller promises; the caller also keeps the objects alive that are borrowed
    // from the tuple and the dict.
    unsafe {
        let (tuple, dict) = tuple_and_dict(ptr::null_mut(), args, nargs, kwnames)?;
        let [item, seconds] = places;
        let parsed = match (item.is_null(), names.len()) {
            (false, 2) => compat::PyArg_ParseTupleAndKeywords(
                tuple,
                dict,
                format.as_ptr(),
                names.as_ptr(),
                item,
            ),
            (false, _) => compat::PyArg_ParseTupleAndKeywords(
                tuple,
                dict,
                format.as_ptr(),
                names.as_ptr(),
                item,
                ptr::from_mut(block),
                seconds,
            ),
            (true, _) => compat::PyArg_ParseTupleAndKeywords(
                tuple,
                dict,
                format.as_ptr(),
                names.as_ptr(),
                ptr::from_mut(block),
                seconds,
            ),
        };
        drop_ref(tuple);
        drop_ref(dict);
        if parsed == 0 { Err(Raised) } else { Ok(()) }
    }
}

/// Never blocks: the other arguments are there because `Queue.put` has them.
unsafe extern "C-unwind" fn put(
    slf: *mut PyObject,
    args: *const *mut PyObject,
    nargs: Py_ssize_t,
    kwnames: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a SimpleQueueObject.
    unsafe {
        if nargs == 1 && kwnames.is_null() {
            return put_item(slf, *args);
        }
        let names = [c"item".as_ptr(), c"block".as_ptr(), c"timeout".as_ptr(), ptr::null()];
        let (mut item, mut seconds) = (ptr::null_mut(), ptr::null_mut());
        let places = [&raw mut item, &raw mut seconds];
        match parse(args, nargs, kwnames, c"O|pO:put", &names, places, &mut 1) {
            Ok(()) => put_item(slf, item),
            Err(Raised) => ptr::null_mut(),
        }
    }
}

unsafe extern "C-unwind" fn put_nowait(
    slf: *mut PyObject,
    args: *const *mut PyObject,
    nargs: Py_ssize_t,
    kwnames: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a SimpleQueueObject.
    unsafe {
        if nargs == 1 && kwnames.is_null() {
            return put_item(slf, *args);
        }
        let names = [c"item".as_ptr(), ptr::null()];
        let mut item = ptr::null_mut();
        let places = [&raw mut item, ptr::null_mut()];
        match parse(args, nargs, kwnames, c"O:put_nowait", &names, places, &mut 1) {
            Ok(()) => put_item(slf, item),
            Err(Raised) => ptr::null_mut(),
        }
    }
}

#[inline]
unsafe fn put_item(slf: *mut PyObject, item: *mut PyObject) -> *mut PyObject {
    // SAFETY: as in `put`. The reference goes with the item if it is accepted; there is no limit,
    // and it is never shut down, so there can only be no memory.
    unsafe {
        ffi::Py_INCREF(item);
        if items::try_put(channel(slf), item_of(item)) == Accepted::Done {
            return compat::none();
        }
        drop_ref(item);
        ffi::PyErr_NoMemory()
    }
}

unsafe extern "C-unwind" fn get(
    slf: *mut PyObject,
    args: *const *mut PyObject,
    nargs: Py_ssize_t,
    kwnames: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a SimpleQueueObject that it keeps alive.
    unsafe {
        if nargs == 0 && kwnames.is_null() {
            return match items::try_get(channel(slf)) {
                Taken::Item(item) => object_of(item),
                _ => wait_to_get(slf, Timeout::Never),
            };
        }
        let names = [c"block".as_ptr(), c"timeout".as_ptr(), ptr::null()];
        let (mut block, mut seconds) = (1, ptr::null_mut());
        let places = [ptr::null_mut(), &raw mut seconds];
        let patience = parse(args, nargs, kwnames, c"|pO:get", &names, places, &mut block)
            .and_then(|()| timeout(block != 0, seconds));
        match patience {
            Ok(timeout) => match items::try_get(channel(slf)) {
                Taken::Item(item) => object_of(item),
                _ => wait_to_get(slf, timeout),
            },
            Err(Raised) => ptr::null_mut(),
        }
    }
}

/// Reads `block` and `timeout`. Errors are in the words of the stock function.
unsafe fn timeout(block: bool, seconds: *mut PyObject) -> Result<Timeout, Raised> {
    // SAFETY: attached; a valid object or null.
    unsafe {
        if !block {
            return Ok(Timeout::Zero);
        }
        if seconds.is_null() || seconds == ffi::Py_None() {
            return Ok(Timeout::Never);
        }
        if compat::nanoseconds(seconds)? < 0 {
            let words = c"'timeout' must be a non-negative number";
            raise(ffi::PyExc_ValueError, words);
            return Err(Raised);
        }
        acquire_args::timeout(true, seconds)
    }
}

#[cold]
unsafe fn wait_to_get(slf: *mut PyObject, timeout: Timeout) -> *mut PyObject {
    // SAFETY: as in `get`.
    unsafe {
        let wait = Get::new(channel(slf));
        match blocking::wait(&wait, timeout, Signals::Handle) {
            Ok(Waited::Got) => wait.item().map_or(ptr::null_mut(), object_of),
            Ok(_) => give_up(slf),
            Err(Raised) => ptr::null_mut(),
        }
    }
}

/// Raises the `Empty` that `queue` had when the native type was made, whatever it has now.
#[cold]
unsafe fn give_up(slf: *mut PyObject) -> *mut PyObject {
    // SAFETY: as in `get`.
    unsafe {
        if let Some(item) = queue::try_once_more(channel(slf)) {
            return item;
        }
        if let Ok(state) = State::of_type(ffi::Py_TYPE(slf)) {
            ffi::PyErr_SetNone((*state).natives.python[Kind::Empty as usize]);
        }
    }
    ptr::null_mut()
}

unsafe extern "C-unwind" fn get_nowait(
    slf: *mut PyObject,
    _: *const *mut PyObject,
    nargs: Py_ssize_t,
    kwnames: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a SimpleQueueObject.
    unsafe {
        if nargs > 0 || (!kwnames.is_null() && ffi::PyTuple_GET_SIZE(kwnames) > 0) {
            return raise(ffi::PyExc_TypeError, c"get_nowait() takes no arguments");
        }
        match items::try_get(channel(slf)) {
            Taken::Item(item) => object_of(item),
            _ => give_up(slf),
        }
    }
}

unsafe extern "C-unwind" fn qsize(slf: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a SimpleQueueObject.
    unsafe { ffi::PyLong_FromSize_t(channel(slf).len()) }
}

unsafe extern "C-unwind" fn empty(slf: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by CPython with a SimpleQueueObject.
    compat::bool_object(unsafe { channel(slf) }.is_empty())
}

unsafe extern "C-unwind" fn class_getitem(
    class: *mut PyObject,
    item: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called by CPython, attached, with a class and an object.
    unsafe { ffi::Py_GenericAlias(class, item) }
}
