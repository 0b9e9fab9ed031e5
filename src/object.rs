//! Making types and functions for CPython by hand.
//!
//! PyO3's classes are not used: their calls pass through `catch_unwind`, which the interpreter's
//! way of ending daemon threads up to 3.13 turns into an abort, their types are process-wide, and
//! they cost half of what a lock costs (ARCHITECTURE.md, "Why no PyO3 classes").

use core::ffi::{CStr, c_char, c_int, c_uint, c_void};
use core::ptr;

use pyo3_ffi::{self as ffi, Py_ssize_t, PyObject, PyTypeObject};

use crate::compat::{self, Raised};
use crate::stock::{self, Known};

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
    /// Positional arguments, as a tuple.
    VarArgs(NoArgs),
    /// Any arguments, as a tuple and a dict.
    VarArgsKeywords(VarArgsKeywords),
    /// Positional arguments, as an array.
    Fast(Fast),
    /// Any arguments, as an array and the names of its last elements.
    FastKeywords(FastKeywords),
}

/// Where a docstring comes from.
#[derive(Clone, Copy)]
pub enum Doc {
    /// From the stock object of this name; where there is none, there is no such function.
    Stock,
    /// Ours.
    Own(&'static CStr),
    /// From the stock object of this name; where there is none, ours.
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

    fn flags_and_pointer(&self) -> (c_int, *mut c_void) {
        match self.call {
            Call::NoArgs(f) => (ffi::METH_NOARGS, f as *mut c_void),
            Call::Object(f) => (ffi::METH_O, f as *mut c_void),
            Call::VarArgs(f) => (ffi::METH_VARARGS, f as *mut c_void),
            Call::VarArgsKeywords(f) => (ffi::METH_VARARGS | ffi::METH_KEYWORDS, f as *mut c_void),
            Call::Fast(f) => (ffi::METH_FASTCALL, f as *mut c_void),
            Call::FastKeywords(f) => (ffi::METH_FASTCALL | ffi::METH_KEYWORDS, f as *mut c_void),
        }
    }
}

/// The table that CPython reads: of `functions` those that the stock `holder` has too, and our
/// own. It lives for ever, because the function objects point into it.
///
/// # Safety
/// Attached; `holder` is a valid object or null.
pub unsafe fn method_table(functions: &[Function], holder: *mut PyObject) -> *mut ffi::PyMethodDef {
    let mut table = Vec::with_capacity(functions.len() + 1);
    for function in functions {
        let known = match function.doc {
            Doc::Own(doc) => Known::Doc(doc.as_ptr()),
            _ if holder.is_null() => Known::Absent,
            // SAFETY: as the caller promises.
            _ => unsafe { stock::lookup(holder, function.name) },
        };
        let doc = match (known, function.doc) {
            (Known::Doc(doc), _) => doc,
            (Known::Absent, Doc::StockOr(doc)) => doc.as_ptr(),
            (Known::Absent, _) => continue,
        };
        let (flags, pointer) = function.flags_and_pointer();
        table.push(ffi::PyMethodDef {
            ml_name: function.name.as_ptr(),
            ml_meth: method_pointer(pointer),
            ml_flags: flags,
            ml_doc: doc,
        });
    }
    table.push(ffi::PyMethodDef::zeroed());
    Vec::leak(table).as_mut_ptr()
}

/// A function for a method table. The flags beside it say how it is called.
pub const fn method_pointer(function: *mut c_void) -> ffi::PyMethodDefPointer {
    // SAFETY: the union holds one pointer to a function, of whatever signature.
    unsafe { core::mem::transmute::<*mut c_void, ffi::PyMethodDefPointer>(function) }
}

/// What a type is made of.
pub struct Type<'a> {
    /// With its module, as in reprs: `_thread.lock`.
    pub name: &'static CStr,
    pub size: usize,
    /// Where the list of weak references is, if instances can be weakly referenced.
    pub weakrefs: Option<usize>,
    /// Flags beside those that the stock type decides.
    pub flags: core::ffi::c_ulong,
    /// The stock type, borrowed; null if there is none.
    pub stock: *mut PyTypeObject,
    /// The docstring of a type that stock does not have.
    pub doc: Option<&'static CStr>,
    pub methods: &'a [Function],
    pub slots: &'a [(c_int, *mut c_void)],
}

impl Type<'_> {
    /// Makes the type. A new reference.
    ///
    /// # Safety
    /// Attached; every slot is of the kind that its number says; `size` and `weakrefs` describe
    /// the struct that the slots expect.
    pub unsafe fn make(self, module: *mut PyObject) -> Result<*mut PyTypeObject, Raised> {
        let mut slots: Vec<ffi::PyType_Slot> =
            self.slots.iter().map(|&(slot, pfunc)| ffi::PyType_Slot { slot, pfunc }).collect();
        let mut flags = ffi::Py_TPFLAGS_DEFAULT | self.flags;
        let mut doc = self.doc.map_or(ptr::null(), CStr::as_ptr);
        if !self.stock.is_null() {
            // SAFETY: a valid type.
            unsafe {
                flags |= ffi::PyType_GetFlags(self.stock) & stock::VISIBLE_FLAGS;
                doc = (*self.stock).tp_doc;
            }
        }
        if !doc.is_null() {
            slots.push(ffi::PyType_Slot { slot: ffi::Py_tp_doc, pfunc: doc as *mut c_void });
        }
        // SAFETY: as the caller promises.
        let methods = unsafe { method_table(self.methods, self.stock.cast()) };
        slots.push(ffi::PyType_Slot { slot: ffi::Py_tp_methods, pfunc: methods.cast() });
        let members = self.members();
        if !members.is_null() {
            slots.push(ffi::PyType_Slot { slot: ffi::Py_tp_members, pfunc: members.cast() });
        }
        slots.push(ffi::PyType_Slot { slot: 0, pfunc: ptr::null_mut() });
        let mut spec = ffi::PyType_Spec {
            name: self.name.as_ptr(),
            basicsize: self.size as c_int,
            itemsize: 0,
            flags: flags as c_uint,
            slots: slots.as_mut_ptr(),
        };
        // SAFETY: the spec is complete and ends with a zero slot; CPython copies what it keeps,
        // but for the name and the tables, which live for ever.
        let made = unsafe { ffi::PyType_FromModuleAndSpec(module, &mut spec, ptr::null_mut()) };
        if made.is_null() {
            return Err(Raised);
        }
        let made = made.cast::<PyTypeObject>();
        if let (Some(offset), true) = (self.weakrefs, members.is_null()) {
            // Where the stock type shows no `__weaklistoffset__` in its dict, neither do we.
            // SAFETY: nobody has the type yet.
            unsafe { (*made).tp_weaklistoffset = offset as Py_ssize_t };
        }
        Ok(made)
    }

    /// The member that tells CPython where weak references are, if the stock type has it.
    fn members(&self) -> *mut ffi::PyMemberDef {
        let Some(offset) = self.weakrefs else { return ptr::null_mut() };
        if !self.stock.is_null() {
            // SAFETY: a valid type whose dict is set; attached, as `make` requires.
            let shown = unsafe {
                ffi::PyDict_GetItemString((*self.stock).tp_dict, c"__weaklistoffset__".as_ptr())
            };
            if shown.is_null() {
                return ptr::null_mut();
            }
        } else {
            return ptr::null_mut();
        }
        Box::leak(Box::new([
            ffi::PyMemberDef {
                name: c"__weaklistoffset__".as_ptr(),
                type_code: ffi::Py_T_PYSSIZET,
                offset: offset as Py_ssize_t,
                flags: ffi::Py_READONLY,
                doc: ptr::null(),
            },
            ffi::PyMemberDef::default(),
        ]))
        .as_mut_ptr()
    }
}

/// Raises `exception` with `message`; null for the caller to return.
///
/// # Safety
/// Attached; `exception` is an exception class.
#[cold]
pub unsafe fn raise(exception: *mut PyObject, message: &CStr) -> *mut PyObject {
    // SAFETY: as the caller promises.
    unsafe { ffi::PyErr_SetString(exception, message.as_ptr()) };
    ptr::null_mut()
}

/// Raises RuntimeError.
///
/// # Safety
/// Attached.
#[cold]
pub unsafe fn runtime_error(message: &CStr) -> *mut PyObject {
    // SAFETY: attached; the class is set once when the interpreter starts.
    unsafe { raise(ffi::PyExc_RuntimeError, message) }
}

/// A new object of a type, all zero behind the header, tracked by the collector if it is a GC type.
///
/// # Safety
/// Attached; all bytes zero is a valid `T`, and the type was made for it.
#[inline]
pub unsafe fn allocate<T>(class: *mut PyTypeObject) -> *mut T {
    // SAFETY: every type has tp_alloc, inherited if not its own.
    unsafe {
        match (*class).tp_alloc {
            Some(allocate) => allocate(class, 0).cast(),
            None => ptr::null_mut(),
        }
    }
}

/// The end of every dealloc: frees the memory and gives back the reference to the type.
///
/// # Safety
/// Attached; nothing of the object is used any more.
#[inline]
pub unsafe fn free(object: *mut PyObject) {
    // SAFETY: every type has tp_free; instances of heap types own a reference to their type.
    unsafe {
        let class = ffi::Py_TYPE(object);
        if let Some(free) = (*class).tp_free {
            free(object.cast());
        }
        ffi::Py_DECREF(class.cast());
    }
}

/// Drops a reference that may be the last and run Python code; null is fine.
///
/// # Safety
/// Attached; the reference is the caller's.
pub unsafe fn drop_ref(object: *mut PyObject) {
    if !object.is_null() {
        // SAFETY: as the caller promises.
        unsafe { compat::Py_DecRef(object) };
    }
}

/// Takes the reference out of a field, then drops it: whatever runs finds the field empty.
///
/// # Safety
/// Attached; the field owns what it holds.
pub unsafe fn clear(field: &mut *mut PyObject) {
    let object = core::mem::replace(field, ptr::null_mut());
    // SAFETY: as the caller promises.
    unsafe { drop_ref(object) };
}

/// A traverse that visits the type only: for objects that refer to nothing else.
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

/// `name` of a type as CPython prints it in reprs.
///
/// # Safety
/// `object` is a valid object.
pub unsafe fn type_name(object: *mut PyObject) -> *const c_char {
    // SAFETY: as the caller promises.
    unsafe { (*ffi::Py_TYPE(object)).tp_name }
}
