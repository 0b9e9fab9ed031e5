//! What the types of locks have in common, `lock` and `RLock`.

use core::ffi::{CStr, c_void};
use core::mem::offset_of;
use core::ptr;

use pyo3_ffi::{self as ffi, PyObject};

use crate::capi::compat;
use crate::capi::entry::{Args, Header, Instance, New, This};
use crate::capi::errors::Raised;
use crate::capi::field::WeakRefs;
use crate::capi::object::{Answer, Attached, Borrowed, Class, Dict, OwnedClass, Tuple};
use crate::capi::stock;
use crate::capi::types::{self, Call, Function, Like, PLAIN, Type};
use crate::runtime::blocking::Timeout;
use crate::runtime::sites;
use crate::thread_module::acquire_args;

/// An object of a type of locks.
#[repr(C)]
pub struct Object<P> {
    base: Header,
    pub lock: P,
    weakrefs: WeakRefs,
}

// SAFETY: the first field is the header; zero bytes are a free lock and no weak references.
unsafe impl<P: Primitive> Instance for Object<P> {}

/// A lock of `sync` of which a type is made, and the ways in which that type differs from others.
///
/// # Safety
/// All bytes zero are a free lock. [`Primitive::ENTRIES`] is made by [`entries!`] for this type,
/// and [`Primitive::METHODS`] are methods of an [`Object`] of it.
pub unsafe trait Primitive: Sized {
    /// The name of the type, with its module.
    const NAME: &'static CStr;
    /// The name of the stock type in its module.
    const STOCK_NAME: &'static CStr;
    const ENTRIES: Entries;
    const METHODS: &'static [Function];

    /// Refuses arguments of a call of the type, as the stock type does.
    fn check_arguments(
        py: Attached<'_>,
        class: Class<'_>,
        args: Tuple<'_>,
        kwargs: Option<Dict<'_>>,
    ) -> Result<(), Raised>;

    /// Takes the lock, `BY_WITH` if that is done by a `with` statement. The answer says whether it
    /// was taken in time.
    fn take<const BY_WITH: bool>(
        py: Attached<'_>,
        this: This<'_, Object<Self>>,
        timeout: Timeout,
    ) -> Answer;

    /// Undoes one [`Primitive::take`]. The answer is `None`.
    fn give_back(py: Attached<'_>, this: This<'_, Object<Self>>) -> Answer;

    fn repr(py: Attached<'_>, this: This<'_, Object<Self>>) -> Answer;

    /// Whether a thread holds the lock at this moment.
    fn is_locked(&self) -> bool;

    /// A free lock to replace this one, when the other threads do not exist any more.
    fn renewed(&self) -> Self;

    /// The lock is about to be freed.
    #[inline]
    fn end(&self) {}
}

/// The functions of a type of locks that CPython calls.
pub struct Entries {
    pub new: *mut c_void,
    pub repr: *mut c_void,
    pub acquire: Call,
    pub release: Call,
    pub locked: Call,
    pub enter: Call,
    pub exit: Call,
    pub at_fork_reinit: Call,
}

/// The [`Entries`] of the type of locks made of a primitive.
macro_rules! entries {
    ($primitive:ty) => {{
        use core::ffi::c_void;

        use $crate::capi::compat::WITH_TAKES_ANY_ARGUMENTS;
        use $crate::capi::entry::entry;
        use $crate::capi::types::Call;
        use $crate::thread_module::lock_type::{self, Entries, Object};

        type Its = Object<$primitive>;
        let acquire = Call::FastKeywords(entry!(fast_keywords, lock_type::acquire: Its));
        Entries {
            new: entry!(new, lock_type::new::<$primitive>) as *mut c_void,
            repr: entry!(repr, lock_type::repr: Its) as *mut c_void,
            acquire,
            release: Call::NoArgs(entry!(no_args, lock_type::release: Its)),
            locked: Call::NoArgs(entry!(no_args, lock_type::locked: Its)),
            enter: if WITH_TAKES_ANY_ARGUMENTS {
                Call::FastKeywords(entry!(fast_keywords, lock_type::enter_with_any: Its))
            } else {
                Call::NoArgs(entry!(no_args, lock_type::enter: Its))
            },
            exit: if WITH_TAKES_ANY_ARGUMENTS {
                Call::FastKeywords(entry!(fast_keywords, lock_type::exit_with_any: Its))
            } else {
                Call::Fast(entry!(fast, lock_type::exit_with_three: Its))
            },
            at_fork_reinit: Call::NoArgs(entry!(no_args, lock_type::at_fork_reinit: Its)),
        }
    }};
}
pub(super) use entries;

/// Makes the type.
pub fn make_type<P: Primitive>(
    py: Attached<'_>,
    module: Borrowed<'_>,
    stock_module: Borrowed<'_>,
) -> Result<OwnedClass, Raised> {
    let like = stock::type_named(py, stock_module, P::STOCK_NAME);
    let description = Type {
        name: P::NAME,
        size: size_of::<Object<P>>(),
        weakrefs: Some(offset_of!(Object<P>, weakrefs)),
        flags: ffi::Py_TPFLAGS_HAVE_GC,
        like: Like::Stock(like.as_ref().map(OwnedClass::borrow)),
        methods: P::METHODS,
        slots: &[
            (ffi::Py_tp_new, P::ENTRIES.new),
            (ffi::Py_tp_dealloc, dealloc::<P> as *mut c_void),
            (ffi::Py_tp_repr, P::ENTRIES.repr),
            (ffi::Py_tp_traverse, types::traverse_type as *mut c_void),
        ],
        ..PLAIN
    };
    // SAFETY: the slots are of the kinds that their numbers say, and expect an `Object<P>`.
    let made = unsafe { description.make(py, module) };
    if let Some(like) = like {
        like.release(py);
    }
    made
}

/// `tp_new`.
pub fn new<P: Primitive>(
    py: Attached<'_>,
    class: Class<'_>,
    args: Tuple<'_>,
    kwargs: Option<Dict<'_>>,
) -> Answer {
    P::check_arguments(py, class, args, kwargs)?;
    // SAFETY: the type was made for `Object<P>`, and the class is that type or derived from it.
    let new = unsafe { New::<Object<P>>::allocate(py, class) }?;
    sites::is_made(py, &new.this().lock);
    Ok(new.into_owned())
}

/// `tp_dealloc`.
///
/// # Safety
/// Called by CPython when no reference to the object is left.
pub unsafe extern "C-unwind" fn dealloc<P: Primitive>(slf: *mut PyObject) {
    // SAFETY: as the caller promises. The struct is not used after the memory is freed.
    unsafe {
        ffi::PyObject_GC_UnTrack(slf.cast());
        let this = This::<Object<P>>::assume(slf);
        this.lock.end();
        this.weakrefs.end(slf);
        types::free(slf);
    }
}

/// `tp_repr`.
pub fn repr<P: Primitive>(py: Attached<'_>, this: This<'_, Object<P>>) -> Answer {
    P::repr(py, this)
}

/// Whether the object is not of a derived class: such a class has a dealloc of its own.
pub fn is_plain<P: Primitive>(this: This<'_, Object<P>>) -> bool {
    let own: unsafe extern "C-unwind" fn(*mut PyObject) = dealloc::<P>;
    // SAFETY: the class is alive.
    let its = unsafe { (*this.object().class().as_ptr()).tp_dealloc };
    its.is_some_and(|its| ptr::fn_addr_eq(its, own))
}

/// `acquire`.
#[inline]
pub fn acquire<P: Primitive>(
    py: Attached<'_>,
    this: This<'_, Object<P>>,
    args: Args<'_>,
) -> Answer {
    P::take::<false>(py, this, acquire_args::acquire(py, args, compat::ACQUIRE_FORMAT)?)
}

/// `__enter__` with the arguments of `acquire`.
#[inline]
pub fn enter_with_any<P: Primitive>(
    py: Attached<'_>,
    this: This<'_, Object<P>>,
    args: Args<'_>,
) -> Answer {
    P::take::<true>(py, this, acquire_args::acquire(py, args, compat::ACQUIRE_FORMAT)?)
}

/// `__enter__` without arguments.
#[inline]
pub fn enter<P: Primitive>(py: Attached<'_>, this: This<'_, Object<P>>) -> Answer {
    P::take::<true>(py, this, Timeout::Never)
}

/// `release`.
#[inline]
pub fn release<P: Primitive>(py: Attached<'_>, this: This<'_, Object<P>>) -> Answer {
    P::give_back(py, this)
}

/// `__exit__` with any number of arguments.
#[inline]
pub fn exit_with_any<P: Primitive>(
    py: Attached<'_>,
    this: This<'_, Object<P>>,
    args: Args<'_>,
) -> Answer {
    py.refuse_exit_keywords(args.names())?;
    release(py, this)
}

/// `__exit__` with three arguments.
#[inline]
pub fn exit_with_three<P: Primitive>(
    py: Attached<'_>,
    this: This<'_, Object<P>>,
    args: Args<'_>,
) -> Answer {
    match args.as_raw() {
        (_, 3, _) => release(py, this),
        (_, count, _) => py.refuse_exit(count),
    }
}

/// `locked`.
#[inline]
pub fn locked<P: Primitive>(py: Attached<'_>, this: This<'_, Object<P>>) -> Answer {
    Ok(py.bool(this.lock.is_locked()))
}

/// `_at_fork_reinit`: overwrites the lock with a free one. It cannot be released, because the
/// threads that held it or waited for it do not exist any more.
pub fn at_fork_reinit<P: Primitive>(py: Attached<'_>, this: This<'_, Object<P>>) -> Answer {
    let renewed = this.lock.renewed();
    // SAFETY: called in a process with one thread, which does not use the lock at this moment. The
    // bytes of a lock are those of atomics, which may change behind a reference.
    unsafe { ptr::from_ref(&this.get().lock).cast_mut().write(renewed) };
    Ok(py.none())
}
