//! The tables of methods and attributes to which CPython keeps pointers.
//!
//! A table lives for ever: it is not known when the last function that was made from it is gone. A
//! table that is equal to an earlier one is not made again, so all interpreters of the process
//! share the tables.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::ptr;

use pyo3_ffi::{self as ffi, Py_ssize_t};

use crate::capi::errors::Raised;
use crate::capi::object::{Answer, Attached, Borrowed, Dict, Tuple, release};
use crate::capi::stock::{self, Known};
use crate::capi::types::{Doc, Function, Getter, Property, Setter};
use crate::sync::Mutex;

/// Every table made so far.
static TABLES: Mutex<Vec<Table>> = Mutex::new(Vec::new());

/// One table, including its end marker.
enum Table {
    Methods(&'static [ffi::PyMethodDef]),
    Properties(&'static [ffi::PyGetSetDef]),
    Members(&'static [ffi::PyMemberDef]),
}

// SAFETY: the memory behind a table lives for ever and is never changed.
unsafe impl Send for Table {}

/// The first known table that `is_wanted` accepts. If there is none, the table from `make` is
/// added.
fn known_or<T>(
    is_wanted: impl Fn(&Table) -> Option<*const T>,
    make: impl FnOnce() -> (Table, *const T),
) -> *mut T {
    let mut tables = TABLES.lock();
    if let Some(known) = tables.iter().find_map(is_wanted) {
        return known.cast_mut();
    }
    let (table, first) = make();
    tables.push(table);
    first.cast_mut()
}

/// The docstring of a function. None if the function is to be left out.
fn doc_of(
    py: Attached<'_>,
    function: &Function,
    holder: Option<Borrowed<'_>>,
) -> Option<*const c_char> {
    let found = match (function.doc, holder) {
        (Doc::Own(doc), _) => return Some(doc.as_ptr()),
        (_, None) => None,
        (_, Some(holder)) => match stock::lookup(py, holder, function.name) {
            Known::Doc(doc) => Some(doc),
            Known::Absent => None,
        },
    };
    match function.doc {
        Doc::StockOr(doc) => found.or(Some(doc.as_ptr())),
        _ => found,
    }
}

/// The table of `functions`: those that the stock `holder` has too, and those of rthread alone.
/// Docstrings are read from the holder, a type or a module, by attribute name.
pub fn methods(
    py: Attached<'_>,
    functions: &[Function],
    holder: Option<Borrowed<'_>>,
) -> *mut ffi::PyMethodDef {
    // Before the lock is taken: this may run Python code.
    let wanted: Vec<(&Function, *const c_char)> = functions
        .iter()
        .filter_map(|function| doc_of(py, function, holder).map(|doc| (function, doc)))
        .collect();
    let is_wanted = |table: &Table| match table {
        Table::Methods(known) if known.len() == wanted.len() + 1 => known
            .iter()
            .zip(&wanted)
            .all(|(known, (function, doc))| is_method(known, function, *doc))
            .then_some(known.as_ptr()),
        _ => None,
    };
    let mut tables = TABLES.lock();
    if let Some(known) = tables.iter().find_map(is_wanted) {
        return known.cast_mut();
    }
    let mut table: Vec<ffi::PyMethodDef> = wanted
        .into_iter()
        .map(|(function, doc)| {
            let (ml_flags, pointer) = function.flags_and_pointer();
            ffi::PyMethodDef {
                ml_name: function.name.as_ptr(),
                ml_meth: method_pointer(pointer),
                ml_flags,
                ml_doc: doc,
            }
        })
        .collect();
    table.push(ffi::PyMethodDef::zeroed());
    let table = Vec::leak(table);
    let first = table.as_mut_ptr();
    tables.push(Table::Methods(table));
    first
}

fn is_method(known: &ffi::PyMethodDef, function: &Function, doc: *const c_char) -> bool {
    let (flags, pointer) = function.flags_and_pointer();
    // SAFETY: the union holds one pointer to a function, of any signature.
    let known_pointer =
        unsafe { core::mem::transmute::<ffi::PyMethodDefPointer, *mut c_void>(known.ml_meth) };
    known.ml_name == function.name.as_ptr()
        && known_pointer == pointer
        && known.ml_flags == flags
        && same_text(known.ml_doc, doc)
}

fn same_text(left: *const c_char, right: *const c_char) -> bool {
    // SAFETY: each is null or ends with a NUL.
    left == right
        || (!left.is_null()
            && !right.is_null()
            && unsafe { CStr::from_ptr(left) == CStr::from_ptr(right) })
}

/// Converts a function pointer for a method table. The flags next to it say how the function is
/// called.
const fn method_pointer(function: *mut c_void) -> ffi::PyMethodDefPointer {
    // SAFETY: the union holds one pointer to a function, of any signature.
    unsafe { core::mem::transmute::<*mut c_void, ffi::PyMethodDefPointer>(function) }
}

/// The definition of a function that is in no table.
pub struct Definition(ffi::PyMethodDef);

// SAFETY: CPython only reads it.
unsafe impl Sync for Definition {}

impl Definition {
    /// The flags say how `function` is called.
    pub const fn new(name: &'static CStr, flags: c_int, function: *mut c_void) -> Definition {
        Definition(ffi::PyMethodDef {
            ml_name: name.as_ptr(),
            ml_meth: method_pointer(function),
            ml_flags: flags,
            ml_doc: ptr::null(),
        })
    }

    /// A new function object, with `this` as its `self`.
    pub fn bind(&'static self, py: Attached<'_>, this: Option<Borrowed<'_>>) -> Answer {
        let this = crate::capi::object::as_ptr(this);
        // SAFETY: attached; the definition lives for ever.
        unsafe { py.own(ffi::PyCFunction_New((&raw const self.0).cast_mut(), this)) }
    }

    /// Binds the function to `this` and passes it to the function `registry` of `module`. It is
    /// passed as the only positional argument, or under the name `keyword`.
    pub fn register(
        &'static self,
        py: Attached<'_>,
        this: Option<Borrowed<'_>>,
        module: Borrowed<'_>,
        registry: &CStr,
        keyword: Option<&CStr>,
    ) -> Result<(), Raised> {
        let function = self.bind(py, this)?;
        let done = register(py, function.borrow(), module, registry, keyword);
        function.release(py);
        done
    }
}

fn register(
    py: Attached<'_>,
    function: Borrowed<'_>,
    module: Borrowed<'_>,
    registry: &CStr,
    keyword: Option<&CStr>,
) -> Result<(), Raised> {
    let result = match keyword {
        None => module.call_method_named(py, registry, &[function])?,
        Some(keyword) => {
            let keywords = py.dict()?;
            let args = py.tuple(&[]);
            // SAFETY: a new dict and a new tuple.
            let (dict, registry) =
                unsafe { (Dict::assume(keywords.borrow()), module.attribute_named(py, registry)) };
            let result = match (&args, &registry, dict.set_named(py, keyword, function)) {
                // SAFETY: a new tuple.
                (Ok(args), Ok(registry), Ok(())) => registry.borrow().call_with(
                    py,
                    unsafe { Tuple::assume(args.borrow()) },
                    Some(dict),
                ),
                _ => Err(Raised),
            };
            release(args.ok(), py);
            release(registry.ok(), py);
            keywords.release(py);
            result?
        }
    };
    result.release(py);
    Ok(())
}

/// The table of properties. The closure of each is its name.
pub fn properties(properties: &[Property]) -> *mut ffi::PyGetSetDef {
    let mut wanted: Vec<_> = properties.iter().map(property).collect();
    wanted.push(ffi::PyGetSetDef::default());
    known_or(
        |table| match table {
            Table::Properties(known) if known.len() == wanted.len() => known
                .iter()
                .zip(&wanted)
                .all(|(known, wanted)| is_property(known, wanted))
                .then_some(known.as_ptr()),
            _ => None,
        },
        || {
            let table = Vec::leak(wanted.to_vec());
            (Table::Properties(table), table.as_ptr())
        },
    )
}

fn property(property: &Property) -> ffi::PyGetSetDef {
    // SAFETY: CPython calls the functions with these arguments. The only difference is that they
    // may be unwound.
    let (get, set) = unsafe {
        (
            core::mem::transmute::<Getter, ffi::getter>(property.get),
            property.set.map(|set| core::mem::transmute::<Setter, ffi::setter>(set)),
        )
    };
    ffi::PyGetSetDef {
        name: property.name.as_ptr(),
        get: Some(get),
        set,
        doc: property.doc.map_or(ptr::null(), CStr::as_ptr),
        closure: property.name.as_ptr().cast_mut().cast(),
    }
}

fn is_property(known: &ffi::PyGetSetDef, wanted: &ffi::PyGetSetDef) -> bool {
    (known.name, known.doc, known.closure) == (wanted.name, wanted.doc, wanted.closure)
        && known.get.map(|get| get as usize) == wanted.get.map(|get| get as usize)
        && known.set.map(|set| set as usize) == wanted.set.map(|set| set as usize)
}

/// A table with one member, which tells CPython the offset of the weak references.
pub fn weakrefs_member(offset: usize) -> *mut ffi::PyMemberDef {
    let offset = offset as Py_ssize_t;
    known_or(
        |table| match table {
            Table::Members(known) if known[0].offset == offset => Some(known.as_ptr()),
            _ => None,
        },
        || {
            let member = ffi::PyMemberDef {
                name: c"__weaklistoffset__".as_ptr(),
                type_code: ffi::Py_T_PYSSIZET,
                offset,
                flags: ffi::Py_READONLY as c_int,
                doc: ptr::null(),
            };
            let table = Box::leak(Box::new([member, ffi::PyMemberDef::default()]));
            (Table::Members(table), table.as_ptr())
        },
    )
}

/// Keeps the list consistent across a fork.
pub fn before_fork() {
    TABLES.lock_before_fork();
}

/// # Safety
/// After [`before_fork`], in the same thread, once in each process.
pub unsafe fn after_fork() {
    // SAFETY: as the caller promises.
    unsafe { TABLES.unlock_after_fork() };
}
