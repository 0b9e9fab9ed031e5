//! Tuples and dicts.

use core::ffi::{CStr, c_char, c_int};
use core::ptr;

use pyo3_ffi::{self as ffi, Py_ssize_t, PyObject};

use crate::capi::compat;
use crate::capi::errors::Raised;
use crate::capi::object::{Answer, Attached, Borrowed, Owned};

unsafe extern "C-unwind" {
    fn PyDict_Contains(dict: *mut PyObject, key: *mut PyObject) -> c_int;
    fn PyDict_SetItem(dict: *mut PyObject, key: *mut PyObject, value: *mut PyObject) -> c_int;
    fn PyDict_SetItemString(dict: *mut PyObject, key: *const c_char, value: *mut PyObject)
    -> c_int;
    fn PyDict_DelItem(dict: *mut PyObject, key: *mut PyObject) -> c_int;
    fn PyDict_DelItemString(dict: *mut PyObject, key: *const c_char) -> c_int;
    fn PyDict_Update(dict: *mut PyObject, other: *mut PyObject) -> c_int;
    fn PyDict_GetItemString(dict: *mut PyObject, key: *const c_char) -> *mut PyObject;
}

/// A tuple that is alive for as long as `'a`.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Tuple<'a>(Borrowed<'a>);

impl<'a> Tuple<'a> {
    /// # Safety
    /// A tuple.
    #[inline]
    #[must_use]
    pub unsafe fn assume(tuple: Borrowed<'a>) -> Tuple<'a> {
        Tuple(tuple)
    }

    /// An object as a tuple, if it is one.
    #[must_use]
    pub fn of(object: Borrowed<'a>) -> Option<Tuple<'a>> {
        // SAFETY: the object is alive.
        (unsafe { ffi::PyTuple_Check(object.as_ptr()) } != 0).then_some(Tuple(object))
    }

    /// As an object.
    #[inline]
    #[must_use]
    pub fn object(self) -> Borrowed<'a> {
        self.0
    }

    /// The number of items.
    #[inline]
    #[must_use]
    pub fn len(self) -> usize {
        // SAFETY: a tuple.
        unsafe { ffi::PyTuple_GET_SIZE(self.0.as_ptr()) as usize }
    }

    #[inline]
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// All items.
    #[inline]
    #[must_use]
    pub fn items(self) -> &'a [Borrowed<'a>] {
        // SAFETY: the items of a tuple are an array of pointers that are not null, and live as long
        // as the tuple.
        unsafe {
            let first = &raw const (*self.0.as_ptr().cast::<ffi::PyTupleObject>()).ob_item;
            core::slice::from_raw_parts(first.cast(), self.len())
        }
    }

    /// A new tuple of `first` and all items of this one.
    pub fn with_first(self, py: Attached<'_>, first: Borrowed<'_>) -> Answer {
        py.tuple_of(core::iter::once(first).chain(self.items().iter().copied()), self.len() + 1)
    }
}

impl Borrowed<'_> {
    /// A new tuple of the objects in a list.
    pub fn list_as_tuple(self, py: Attached<'_>) -> Answer {
        // SAFETY: attached; the object is alive. Fails if this is no list.
        unsafe { py.own(ffi::PyList_AsTuple(self.as_ptr())) }
    }

    /// Adds an object to a list.
    pub fn append(self, py: Attached<'_>, object: Borrowed<'_>) -> Result<(), Raised> {
        // SAFETY: attached; both objects are alive. Fails if this is no list.
        py.check(unsafe { ffi::PyList_Append(self.as_ptr(), object.as_ptr()) })
    }
}

impl Attached<'_> {
    /// A new tuple.
    pub fn tuple(self, items: &[Borrowed<'_>]) -> Answer {
        self.tuple_of(items.iter().copied(), items.len())
    }

    /// A new tuple of so many items.
    fn tuple_of<'a>(self, items: impl Iterator<Item = Borrowed<'a>>, count: usize) -> Answer {
        // SAFETY: attached; the tuple is filled before anything else sees it.
        unsafe {
            let tuple = self.own(ffi::PyTuple_New(count as Py_ssize_t))?;
            for (index, item) in items.take(count).enumerate() {
                let item = item.own(self).into_raw();
                ffi::PyTuple_SET_ITEM(tuple.borrow().as_ptr(), index as Py_ssize_t, item);
            }
            Ok(tuple)
        }
    }

    /// A new tuple of ints.
    pub fn numbers(self, numbers: &[i64]) -> Answer {
        // SAFETY: attached; the tuple is filled before anything else sees it.
        unsafe {
            let tuple = self.own(ffi::PyTuple_New(numbers.len() as Py_ssize_t))?;
            for (index, &number) in numbers.iter().enumerate() {
                let Ok(number) = self.signed(number) else {
                    tuple.release(self);
                    return Err(Raised);
                };
                let number = number.into_raw();
                ffi::PyTuple_SET_ITEM(tuple.borrow().as_ptr(), index as Py_ssize_t, number);
            }
            Ok(tuple)
        }
    }

    /// A new empty list.
    pub fn list(self) -> Answer {
        // SAFETY: attached.
        unsafe { self.own(ffi::PyList_New(0)) }
    }

    /// A new dict.
    #[inline]
    pub fn dict(self) -> Answer {
        // SAFETY: attached.
        unsafe { self.own(ffi::PyDict_New()) }
    }
}

/// A dict that is alive for as long as `'a`.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Dict<'a>(Borrowed<'a>);

impl<'a> Dict<'a> {
    /// # Safety
    /// A dict.
    #[inline]
    #[must_use]
    pub unsafe fn assume(dict: Borrowed<'a>) -> Dict<'a> {
        Dict(dict)
    }

    /// An object as a dict, if it is one.
    #[must_use]
    pub fn of(object: Borrowed<'a>) -> Option<Dict<'a>> {
        // SAFETY: the object is alive.
        (unsafe { ffi::PyDict_Check(object.as_ptr()) } != 0).then_some(Dict(object))
    }

    /// As an object.
    #[inline]
    #[must_use]
    pub fn object(self) -> Borrowed<'a> {
        self.0
    }

    /// The number of entries.
    #[must_use]
    pub fn len(self) -> usize {
        // SAFETY: a dict.
        unsafe { ffi::PyDict_Size(self.0.as_ptr()) as usize }
    }

    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The value of a key; None if there is no such key.
    #[inline]
    pub fn get(self, py: Attached<'_>, key: Borrowed<'_>) -> Result<Option<Owned>, Raised> {
        // SAFETY: attached; a dict, and an object that is alive.
        unsafe { compat::dict_get(self.0.as_ptr(), key.as_ptr()).map(|found| py.own_if_any(found)) }
    }

    /// [`Dict::get`] that waits until no thread is in the middle of a change of the dict.
    pub fn get_settled(self, py: Attached<'_>, key: Borrowed<'_>) -> Result<Option<Owned>, Raised> {
        // SAFETY: attached; a dict, and a string.
        unsafe {
            compat::dict_get_settled(self.0.as_ptr(), key.as_ptr())
                .map(|found| py.own_if_any(found))
        }
    }

    /// The value under this name.
    pub fn get_named(self, py: Attached<'_>, name: &CStr) -> Result<Option<Owned>, Raised> {
        // SAFETY: attached; a dict.
        unsafe { compat::dict_get_named(self.0.as_ptr(), name).map(|found| py.own_if_any(found)) }
    }

    /// The value under this name, borrowed from the dict. Errors count as absence.
    ///
    /// # Safety
    /// No other thread changes the dict as long as the value is used.
    pub unsafe fn peek(self, name: &CStr) -> Option<Borrowed<'a>> {
        // SAFETY: attached, because a `Dict` is only used so; the dict keeps the value alive.
        unsafe { Borrowed::assume_if_any(PyDict_GetItemString(self.0.as_ptr(), name.as_ptr())) }
    }

    /// Whether there is such a key.
    pub fn contains(self, py: Attached<'_>, key: Borrowed<'_>) -> Result<bool, Raised> {
        // SAFETY: attached; a dict, and an object that is alive.
        let found = unsafe { PyDict_Contains(self.0.as_ptr(), key.as_ptr()) };
        py.check(found).map(|()| found != 0)
    }

    /// Stores a value.
    #[inline]
    pub fn set(
        self,
        py: Attached<'_>,
        key: Borrowed<'_>,
        value: Borrowed<'_>,
    ) -> Result<(), Raised> {
        // SAFETY: attached; a dict, and objects that are alive.
        py.check(unsafe { PyDict_SetItem(self.0.as_ptr(), key.as_ptr(), value.as_ptr()) })
    }

    /// Stores a value under a name.
    pub fn set_named(
        self,
        py: Attached<'_>,
        name: &CStr,
        value: Borrowed<'_>,
    ) -> Result<(), Raised> {
        // SAFETY: attached; a dict, and an object that is alive.
        py.check(unsafe { PyDict_SetItemString(self.0.as_ptr(), name.as_ptr(), value.as_ptr()) })
    }

    /// Removes an entry. Raises KeyError if there is none.
    pub fn remove(self, py: Attached<'_>, key: Borrowed<'_>) -> Result<(), Raised> {
        // SAFETY: attached; a dict, and an object that is alive.
        py.check(unsafe { PyDict_DelItem(self.0.as_ptr(), key.as_ptr()) })
    }

    /// Removes the entry under a name. Raises KeyError if there is none.
    pub fn remove_named(self, py: Attached<'_>, name: &CStr) -> Result<(), Raised> {
        // SAFETY: attached; a dict.
        py.check(unsafe { PyDict_DelItemString(self.0.as_ptr(), name.as_ptr()) })
    }

    /// Stores all entries of another dict.
    pub fn update(self, py: Attached<'_>, other: Dict<'_>) -> Result<(), Raised> {
        // SAFETY: attached; two dicts.
        py.check(unsafe { PyDict_Update(self.0.as_ptr(), other.0.as_ptr()) })
    }

    /// A new dict with the same entries.
    pub fn copy(self, py: Attached<'_>) -> Answer {
        // SAFETY: attached; a dict.
        unsafe { py.own(ffi::PyDict_Copy(self.0.as_ptr())) }
    }

    /// The entries of a dict that is not changed meanwhile.
    ///
    /// # Safety
    /// No thread changes the dict as long as the entries are used.
    pub unsafe fn entries(self) -> Entries<'a> {
        Entries { dict: self, position: 0 }
    }
}

/// The entries of a dict that is not changed meanwhile.
pub struct Entries<'a> {
    dict: Dict<'a>,
    position: Py_ssize_t,
}

impl<'a> Iterator for Entries<'a> {
    type Item = (Borrowed<'a>, Borrowed<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let (mut key, mut value) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: a dict that does not change, as the maker of this value has promised. It keeps
        // its keys and values alive.
        unsafe {
            let dict = self.dict.0.as_ptr();
            (ffi::PyDict_Next(dict, &mut self.position, &mut key, &mut value) != 0)
                .then(|| (Borrowed::assume(key), Borrowed::assume(value)))
        }
    }
}
