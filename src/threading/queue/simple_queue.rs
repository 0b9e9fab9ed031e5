//! `queue.SimpleQueue`, which CPython writes in C. Its docstrings and visible flags are those of
//! the stock type.

use core::ffi::{c_int, c_void};
use core::mem::offset_of;
use core::ptr;

use pyo3_ffi::{self as ffi, PyObject};

use crate::capi::collected::{self, Collected};
use crate::capi::compat;
use crate::capi::entry::{Args, Header, Instance, New, This, Visitor, entry};
use crate::capi::errors::Raised;
use crate::capi::field::WeakRefs;
use crate::capi::object::{
    Answer, Attached, Borrowed, Class, Dict, Exception, OwnedClass, Tuple, as_ptr, release,
};
use crate::capi::types::{Call, Function, Like, PLAIN, Type};
use crate::runtime::blocking::{self, Signals, Subject, Timeout, Waited};
use crate::runtime::natives::{Kind, gone};
use crate::runtime::state::State;
use crate::sync::{Accepted, Channel, Get, Taken, WaitKind};
use crate::thread_module::acquire_args;
use crate::threading::class::Making;
use crate::threading::queue;
use crate::threading::queue::items::{self, item_of, object_of};

/// All zero bytes are an empty queue.
#[repr(C)]
struct SimpleQueueObject {
    base: Header,
    channel: Channel,
    weakrefs: WeakRefs,
}

// SAFETY: the struct begins with the header, and all other bytes zero are an empty queue.
unsafe impl Instance for SimpleQueueObject {}

const METHODS: &[Function] = &[
    Function::stock(c"put", Call::FastKeywords(entry!(fast_keywords, put: SimpleQueueObject))),
    Function::stock(c"get", Call::FastKeywords(entry!(fast_keywords, get: SimpleQueueObject))),
    Function::stock(
        c"put_nowait",
        Call::FastKeywords(entry!(fast_keywords, put_nowait: SimpleQueueObject)),
    ),
    Function::stock(
        c"get_nowait",
        Call::FastKeywords(entry!(fast_keywords, get_nowait: SimpleQueueObject)),
    ),
    Function::stock(c"qsize", Call::NoArgs(entry!(no_args, qsize: SimpleQueueObject))),
    Function::stock(c"empty", Call::NoArgs(entry!(no_args, empty: SimpleQueueObject))),
    Function::stock(c"__class_getitem__", Call::ClassObject(entry!(class_object, class_getitem))),
];

/// Makes the type, after the stock type has been given.
pub fn make_type(making: &Making<'_>) -> Result<OwnedClass, Raised> {
    let stock = State::of(making.module).natives.python(Kind::SimpleQueue);
    let description = Type {
        name: c"_queue.SimpleQueue",
        size: size_of::<SimpleQueueObject>(),
        weakrefs: Some(offset_of!(SimpleQueueObject, weakrefs)),
        flags: ffi::Py_TPFLAGS_HAVE_GC,
        like: Like::Stock(stock.and_then(Class::of)),
        methods: METHODS,
        slots: &[
            (ffi::Py_tp_new, entry!(new, new) as *mut c_void),
            (ffi::Py_tp_dealloc, collected::dealloc::<SimpleQueueObject> as *mut c_void),
            (ffi::Py_tp_traverse, collected::traverse::<SimpleQueueObject> as *mut c_void),
            (ffi::Py_tp_clear, collected::clear_all::<SimpleQueueObject> as *mut c_void),
        ],
        ..PLAIN
    };
    // SAFETY: each slot is of the kind that its number says, and expects a SimpleQueueObject.
    unsafe { description.make(making.py, making.module.object()) }
}

fn new(py: Attached<'_>, class: Class<'_>, args: Tuple<'_>, kwargs: Option<Dict<'_>>) -> Answer {
    let own = State::of_class(py, class)?.natives.class(Kind::SimpleQueue);
    // A derived class may have an __init__ that takes arguments.
    let plain = own.is_some_and(|own| class == own || class.init_slot() == own.init_slot());
    if plain && !args.is_empty() {
        let words = c"SimpleQueue() takes no positional arguments";
        return Err(py.raise(Exception::Type, words));
    }
    if plain && kwargs.is_some_and(|kwargs| !kwargs.is_empty()) {
        let words = c"SimpleQueue() takes no keyword arguments";
        return Err(py.raise(Exception::Type, words));
    }
    // SAFETY: the type was made for this struct.
    unsafe { New::<SimpleQueueObject>::allocate(py, class) }.map(New::into_owned)
}

impl Collected for SimpleQueueObject {
    fn weakrefs(&self) -> &WeakRefs {
        &self.weakrefs
    }

    fn visit(&self, visitor: Visitor<'_>) -> c_int {
        items::visit(&self.channel, visitor)
    }

    fn clear(this: This<'_, Self>, py: Attached<'_>) {
        items::drop_all(py, this.channel.take_all());
    }
}

/// Lets CPython parse unusual arguments, and raise its own errors. `parse` is given the tuple, and
/// the dict or null. Each object that it finds there is in `args` too.
fn parsed(
    py: Attached<'_>,
    args: Args<'_>,
    parse: impl FnOnce(*mut PyObject, *mut PyObject) -> c_int,
) -> Result<(), Raised> {
    let (tuple, dict) = args.to_tuple_and_dict(py)?;
    let keywords = as_ptr(dict.as_ref().map(|dict| dict.borrow()));
    let parsed = parse(tuple.borrow().as_ptr(), keywords);
    tuple.release(py);
    release(dict, py);
    if parsed == 0 { Err(Raised) } else { Ok(()) }
}

/// The arguments of `put`, of which only the item matters.
#[cold]
fn parse_put<'a>(py: Attached<'_>, args: Args<'a>) -> Result<Borrowed<'a>, Raised> {
    let names = [c"item".as_ptr(), c"block".as_ptr(), c"timeout".as_ptr(), ptr::null()];
    let (mut item, mut seconds) = (ptr::null_mut(), ptr::null_mut::<PyObject>());
    let mut block: c_int = 1;
    // SAFETY: attached; the format expects an object, an int and an object.
    parsed(py, args, |tuple, dict| unsafe {
        compat::PyArg_ParseTupleAndKeywords(
            tuple,
            dict,
            c"O|pO:put".as_ptr(),
            names.as_ptr(),
            &raw mut item,
            &raw mut block,
            &raw mut seconds,
        )
    })?;
    // SAFETY: the format demands an item, which is one of the arguments.
    Ok(unsafe { Borrowed::assume(item) })
}

/// The argument of `put_nowait`.
#[cold]
fn parse_put_nowait<'a>(py: Attached<'_>, args: Args<'a>) -> Result<Borrowed<'a>, Raised> {
    let names = [c"item".as_ptr(), ptr::null()];
    let mut item = ptr::null_mut();
    // SAFETY: attached; the format expects an object.
    parsed(py, args, |tuple, dict| unsafe {
        let format = c"O:put_nowait".as_ptr();
        compat::PyArg_ParseTupleAndKeywords(tuple, dict, format, names.as_ptr(), &raw mut item)
    })?;
    // SAFETY: the format demands an item, which is one of the arguments.
    Ok(unsafe { Borrowed::assume(item) })
}

/// The arguments of `get`.
#[cold]
fn parse_get(py: Attached<'_>, args: Args<'_>) -> Result<Timeout, Raised> {
    let names = [c"block".as_ptr(), c"timeout".as_ptr(), ptr::null()];
    let mut block: c_int = 1;
    let mut seconds = ptr::null_mut();
    // SAFETY: attached; the format expects an int and an object.
    parsed(py, args, |tuple, dict| unsafe {
        compat::PyArg_ParseTupleAndKeywords(
            tuple,
            dict,
            c"|pO:get".as_ptr(),
            names.as_ptr(),
            &raw mut block,
            &raw mut seconds,
        )
    })?;
    // SAFETY: null, or one of the arguments.
    let seconds = unsafe { Borrowed::assume_if_any(seconds) };
    timeout(py, block != 0, seconds)
}

/// Never blocks: the other arguments are there because `Queue.put` has them.
#[inline]
fn put(py: Attached<'_>, this: This<'_, SimpleQueueObject>, args: Args<'_>) -> Answer {
    match args.single() {
        Some(item) => put_item(py, this, item),
        None => put_item(py, this, args.out_of_line(|args| parse_put(py, args))?),
    }
}

#[inline]
fn put_nowait(py: Attached<'_>, this: This<'_, SimpleQueueObject>, args: Args<'_>) -> Answer {
    match args.single() {
        Some(item) => put_item(py, this, item),
        None => put_item(py, this, args.out_of_line(|args| parse_put_nowait(py, args))?),
    }
}

/// There is no limit, and it is never shut down, so there can only be no memory.
#[inline]
fn put_item(py: Attached<'_>, this: This<'_, SimpleQueueObject>, item: Borrowed<'_>) -> Answer {
    // The reference goes with the item if it is accepted.
    let item = item_of(item.own(py));
    if items::try_put(py, &this.channel, item) == Accepted::Done {
        return Ok(py.none());
    }
    object_of(item).release(py);
    Err(py.no_memory())
}

#[inline]
fn get(py: Attached<'_>, this: This<'_, SimpleQueueObject>, args: Args<'_>) -> Answer {
    if args.are_none() {
        return match items::try_get(py, &this.channel) {
            Taken::Item(item) => Ok(object_of(item)),
            _ => wait_to_get(py, this, Timeout::Never),
        };
    }
    let timeout = args.out_of_line(|args| parse_get(py, args))?;
    match items::try_get(py, &this.channel) {
        Taken::Item(item) => Ok(object_of(item)),
        _ => wait_to_get(py, this, timeout),
    }
}

/// Reads `block` and `timeout`. Errors are in the words of the stock function.
fn timeout(
    py: Attached<'_>,
    block: bool,
    seconds: Option<Borrowed<'_>>,
) -> Result<Timeout, Raised> {
    if !block {
        return Ok(Timeout::Zero);
    }
    let Some(seconds) = seconds.filter(|seconds| !seconds.is_none()) else {
        return Ok(Timeout::Never);
    };
    if seconds.nanoseconds(py)? < 0 {
        return Err(py.raise(Exception::Value, c"'timeout' must be a non-negative number"));
    }
    acquire_args::timeout(py, true, Some(seconds))
}

#[cold]
fn wait_to_get(py: Attached<'_>, this: This<'_, SimpleQueueObject>, timeout: Timeout) -> Answer {
    let wait = Get::new(&this.channel);
    let subject = Subject::of(WaitKind::QueueGet, this.object());
    match blocking::wait(py, &wait, subject, timeout, Signals::Handle)? {
        Waited::Got => wait.item().map(object_of).ok_or(Raised),
        _ => give_up(py, this),
    }
}

/// Raises the `Empty` that `queue` had when the native type was made, whatever it has now.
#[cold]
fn give_up(py: Attached<'_>, this: This<'_, SimpleQueueObject>) -> Answer {
    if let Some(item) = queue::try_once_more(py, &this.channel) {
        return Ok(item);
    }
    let empty = State::of_object(py, this.object())?.natives.python(Kind::Empty);
    Err(empty.map_or_else(|| gone(py), |empty| py.raise_class(empty)))
}

#[inline]
fn get_nowait(py: Attached<'_>, this: This<'_, SimpleQueueObject>, args: Args<'_>) -> Answer {
    if !args.positional().is_empty() || args.names().is_some_and(|names| !names.is_empty()) {
        return Err(py.raise(Exception::Type, c"get_nowait() takes no arguments"));
    }
    match items::try_get(py, &this.channel) {
        Taken::Item(item) => Ok(object_of(item)),
        _ => give_up(py, this),
    }
}

fn qsize(py: Attached<'_>, this: This<'_, SimpleQueueObject>) -> Answer {
    py.size(this.channel.len())
}

fn empty(py: Attached<'_>, this: This<'_, SimpleQueueObject>) -> Answer {
    Ok(py.bool(this.channel.is_empty()))
}

fn class_getitem(py: Attached<'_>, class: Class<'_>, item: Borrowed<'_>) -> Answer {
    // SAFETY: attached; both objects are alive.
    unsafe { py.own(ffi::Py_GenericAlias(class.object().as_ptr(), item.as_ptr())) }
}
