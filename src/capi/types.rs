//! Makes types and functions for CPython by hand.
//!
//! PyO3's classes are not used, for three reasons (ARCHITECTURE.md, "No PyO3 classes"). Their calls
//! pass through `catch_unwind`: up to 3.13 the interpreter ends daemon threads by unwinding them,
//! and `catch_unwind` turns that into an abort. Their types belong to the process, not to an
//! interpreter. And a call costs half as much as an acquire and release of a lock.

use core::ffi::{CStr, c_char, c_int, c_uint, c_void};
use core::ptr;

use pyo3_ffi::{self as ffi, Py_ssize_t, PyObject, PyTypeObject};

use crate::capi::errors::Raised;
use crate::capi::object::{Attached, Borrowed, Class, OwnedClass};
use crate::capi::{static_tables, stock};

pub type NoArgs = unsafe extern "C-unwind" fn(*mut PyObject, *mut PyObject) -> *mut PyObject;
pub type VarArgsKeywords =
    unsafe extern "C-unwind" fn(*mut PyObject, *mut PyObject, *mut PyObject) -> *mut PyObject;
pub type Fast =
    unsafe extern "C-unwind" fn(*mut PyObject, *const *mut PyObject, Py_ssize_t) -> *mut PyObject;
pub type FastKeywords = unsafe extern "C-unwind" fn(
    *mut PyObject,
    *const *mut PyObject,
    Py_ssize_t,
    *mut PyObject,
) -> *mut PyObject;

/// How CPython calls a function.
#[derive(Clone, Copy)]
pub enum Call {
    /// No arguments.
    NoArgs(NoArgs),
    /// One positional argument.
    Object(NoArgs),
    /// One positional argument; a class method.
    ClassObject(NoArgs),
    /// Positional arguments, as a tuple.
    VarArgs(NoArgs),
    /// Any arguments, as a tuple and a dict.
    VarArgsKeywords(VarArgsKeywords),
    /// Positional arguments, as an array.
    Fast(Fast),
    /// Any arguments, as an array; a tuple has the keyword names of its last elements.
    FastKeywords(FastKeywords),
}

/// Where a docstring comes from.
#[derive(Clone, Copy)]
pub enum Doc {
    /// From the stock object of this name. If there is none, the function is left out.
    Stock,
    /// From rthread.
    Own(&'static CStr),
    /// From the stock object of this name. If there is none, from rthread.
    StockOr(&'static CStr),
}

/// A function of the module or a method of a type.
#[derive(Clone, Copy)]
pub struct Function {
    pub name: &'static CStr,
    pub call: Call,
    pub doc: Doc,
}

impl Function {
    pub const fn stock(name: &'static CStr, call: Call) -> Function {
        Function { name, call, doc: Doc::Stock }
    }

    /// The flags that tell CPython how to call the function, and the pointer to it.
    pub fn flags_and_pointer(&self) -> (c_int, *mut c_void) {
        match self.call {
            Call::NoArgs(f) => (ffi::METH_NOARGS, f as *mut c_void),
            Call::Object(f) => (ffi::METH_O, f as *mut c_void),
            Call::ClassObject(f) => (ffi::METH_O | ffi::METH_CLASS, f as *mut c_void),
            Call::VarArgs(f) => (ffi::METH_VARARGS, f as *mut c_void),
            Call::VarArgsKeywords(f) => (ffi::METH_VARARGS | ffi::METH_KEYWORDS, f as *mut c_void),
            Call::Fast(f) => (ffi::METH_FASTCALL, f as *mut c_void),
            Call::FastKeywords(f) => (ffi::METH_FASTCALL | ffi::METH_KEYWORDS, f as *mut c_void),
        }
    }
}

/// An attribute with a computed value.
#[derive(Clone, Copy)]
pub struct Property {
    pub name: &'static CStr,
    pub get: Getter,
    pub set: Option<Setter>,
    pub doc: Option<&'static CStr>,
}

pub type Getter = unsafe extern "C-unwind" fn(*mut PyObject, *mut c_void) -> *mut PyObject;
/// The value is null when the attribute is deleted. The closure is the name of the property.
pub type Setter = unsafe extern "C-unwind" fn(*mut PyObject, *mut PyObject, *mut c_void) -> c_int;

/// The model for the docstrings and the visible flags of a type.
#[derive(Clone, Copy)]
pub enum Like<'a> {
    /// No model: the type has this docstring, and only the flags that it names itself.
    Nothing(&'static CStr),
    /// A stock type. Docstrings and visible flags are copied from it. None if this version has no
    /// such type.
    Stock(Option<Class<'a>>),
}

/// The description of a type.
pub struct Type<'a> {
    /// The name with the module, as a repr shows it: `_thread.lock`.
    pub name: &'static CStr,
    pub size: usize,
    /// The offset of the list of weak references, if instances can be weakly referenced.
    pub weakrefs: Option<usize>,
    /// The offset of the dict, if instances can have other attributes.
    pub dict: Option<usize>,
    /// Flags in addition to those copied from the stock type.
    pub flags: core::ffi::c_ulong,
    pub like: Like<'a>,
    /// The base; None for `object`.
    pub base: Option<Class<'a>>,
    pub methods: &'a [Function],
    pub properties: &'a [Property],
    /// The function that CPython calls for a call of the type itself. Without it a call makes a
    /// tuple and goes through `tp_new` and `tp_init`. Derived types do not inherit it.
    pub vectorcall: Option<FastKeywords>,
    pub slots: &'a [(c_int, *mut c_void)],
}

/// A type without the optional parts, to be used as `..PLAIN`.
pub const PLAIN: Type<'static> = Type {
    name: c"",
    size: 0,
    weakrefs: None,
    dict: None,
    flags: 0,
    like: Like::Nothing(c""),
    base: None,
    methods: &[],
    properties: &[],
    vectorcall: None,
    slots: &[],
};

impl Type<'_> {
    /// Makes the type.
    ///
    /// # Safety
    /// Every slot is of the kind that its number says. `size`, `weakrefs` and `dict` describe the
    /// struct that the slots expect.
    pub unsafe fn make(self, py: Attached<'_>, module: Borrowed<'_>) -> Result<OwnedClass, Raised> {
        let mut slots: Vec<ffi::PyType_Slot> =
            self.slots.iter().map(|&(slot, pfunc)| ffi::PyType_Slot { slot, pfunc }).collect();
        let mut add = |slot, pfunc: *mut c_void| {
            if !pfunc.is_null() {
                slots.push(ffi::PyType_Slot { slot, pfunc });
            }
        };
        add(ffi::Py_tp_doc, self.doc().cast_mut().cast());
        add(ffi::Py_tp_methods, static_tables::methods(py, self.methods, self.holder()).cast());
        add(ffi::Py_tp_members, self.members(py).cast());
        if !self.properties.is_empty() {
            add(ffi::Py_tp_getset, static_tables::properties(self.properties).cast());
        }
        add(ffi::Py_tp_base, self.base.map_or(ptr::null_mut(), |base| base.as_ptr().cast()));
        slots.push(ffi::PyType_Slot { slot: 0, pfunc: ptr::null_mut() });
        let mut flags = ffi::Py_TPFLAGS_DEFAULT | self.flags;
        if let Like::Stock(Some(stock)) = self.like {
            flags |= stock.flags() & stock::VISIBLE_FLAGS;
        }
        let mut spec = ffi::PyType_Spec {
            name: self.name.as_ptr(),
            basicsize: self.size as c_int,
            itemsize: 0,
            flags: flags as c_uint,
            slots: slots.as_mut_ptr(),
        };
        // SAFETY: the spec is complete and ends with a zero slot. CPython copies everything that it
        // keeps, except the name and the tables, which live for ever.
        let made = unsafe {
            let bases = ptr::null_mut();
            py.own(ffi::PyType_FromModuleAndSpec(module.as_ptr(), &mut spec, bases))?
        };
        let made = made.into_raw().cast::<PyTypeObject>();
        // Set directly: a member would appear in the dict of the type. Where the stock type shows
        // such a member, `members` has added one too.
        // SAFETY: no other thread has the type yet.
        unsafe {
            if let Some(offset) = self.weakrefs {
                (*made).tp_weaklistoffset = offset as Py_ssize_t;
            }
            if let Some(offset) = self.dict {
                (*made).tp_dictoffset = offset as Py_ssize_t;
            }
            // CPython calls the function with these arguments. The only difference is that it may
            // be unwound.
            (*made).tp_vectorcall = core::mem::transmute::<
                Option<FastKeywords>,
                Option<ffi::vectorcallfunc>,
            >(self.vectorcall);
        }
        // SAFETY: a class, and a new reference.
        Ok(unsafe { OwnedClass::assume(made) })
    }

    /// The object from which the docstrings of the methods are read, if any.
    fn holder(&self) -> Option<Borrowed<'_>> {
        match self.like {
            Like::Nothing(_) => None,
            Like::Stock(stock) => stock.map(Class::object),
        }
    }

    fn doc(&self) -> *const c_char {
        match self.like {
            Like::Nothing(doc) if doc.is_empty() => ptr::null(),
            Like::Nothing(doc) => doc.as_ptr(),
            // SAFETY: the class is alive.
            Like::Stock(Some(stock)) => unsafe { (*stock.as_ptr()).tp_doc },
            Like::Stock(None) => ptr::null(),
        }
    }

    /// The member that tells CPython the offset of the weak references. Only if the stock type
    /// shows it.
    fn members(&self, py: Attached<'_>) -> *mut ffi::PyMemberDef {
        let (Some(offset), Like::Stock(Some(stock))) = (self.weakrefs, self.like) else {
            return ptr::null_mut();
        };
        // From 3.12 on the interpreter's builtin types have their dict elsewhere.
        let shown = stock.dict().map(|dict| dict.get_named(py, c"__weaklistoffset__"));
        match shown {
            Some(Ok(Some(shown))) => {
                shown.release(py);
                static_tables::weakrefs_member(offset)
            }
            Some(Err(Raised)) => {
                py.clear_error();
                ptr::null_mut()
            }
            _ => ptr::null_mut(),
        }
    }
}

/// Sets the name that error messages use for a type. For a class written in Python that is the name
/// without the module.
///
/// # Safety
/// Attached; a heap type that no other thread has.
pub unsafe fn set_short_name(class: *mut PyTypeObject, name: &'static CStr) {
    // SAFETY: as the caller promises. The name lives for ever, and CPython frees its own copy
    // through another pointer.
    unsafe { (*class).tp_name = name.as_ptr() };
}

/// The last step of every dealloc: frees the memory and drops the object's reference to its type.
///
/// # Safety
/// Attached; nothing of the object is used any more.
#[inline]
pub unsafe fn free(object: *mut PyObject) {
    // SAFETY: every type has a `tp_free`. An instance of a heap type owns a reference to its type.
    unsafe {
        let class = ffi::Py_TYPE(object);
        if let Some(free) = (*class).tp_free {
            free(object.cast());
        }
        ffi::Py_DECREF(class.cast());
    }
}

/// A `tp_traverse` that visits only the type. For objects that refer to nothing else.
///
/// # Safety
/// Called by the collector.
pub unsafe extern "C-unwind" fn traverse_type(
    object: *mut PyObject,
    visit: ffi::visitproc,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: the collector passes a valid object.
    unsafe { visit(ffi::Py_TYPE(object).cast(), arg) }
}
