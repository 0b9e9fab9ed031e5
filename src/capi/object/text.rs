//! Text: its encodings, and the files that it is written to.

use core::ffi::{CStr, c_char, c_int};
use core::ptr;

use pyo3_ffi::{self as ffi, PyObject};

use crate::capi::errors::Raised;
use crate::capi::object::{Answer, Attached, Borrowed};

unsafe extern "C-unwind" {
    fn PyUnicode_AsEncodedString(
        text: *mut PyObject,
        encoding: *const c_char,
        errors: *const c_char,
    ) -> *mut PyObject;
    fn PyUnicode_DecodeFSDefault(text: *const c_char) -> *mut PyObject;
    fn PyFile_WriteObject(object: *mut PyObject, file: *mut PyObject, flags: c_int) -> c_int;
    fn PyFile_WriteString(text: *const c_char, file: *mut PyObject) -> c_int;
}

impl Attached<'_> {
    /// A string of bytes in the file system's encoding.
    pub fn file_system_text(self, bytes: &CStr) -> Answer {
        // SAFETY: attached.
        unsafe { self.own(PyUnicode_DecodeFSDefault(bytes.as_ptr())) }
    }
}

impl<'a> Borrowed<'a> {
    /// The string as bytes. Without an encoding it is UTF-8. `errors` names the treatment of
    /// characters that the encoding does not have.
    pub fn encode(self, py: Attached<'_>, encoding: Option<&CStr>, errors: &CStr) -> Answer {
        let encoding = encoding.map_or(ptr::null(), CStr::as_ptr);
        // SAFETY: attached; the object is alive.
        unsafe { py.own(PyUnicode_AsEncodedString(self.as_ptr(), encoding, errors.as_ptr())) }
    }

    /// The string in UTF-8, up to the first NUL.
    pub fn utf8(self, _: Attached<'_>) -> Result<&'a CStr, Raised> {
        // SAFETY: attached; the object is alive. The string keeps its text in UTF-8, with a NUL at
        // its end.
        unsafe {
            let text = ffi::PyUnicode_AsUTF8AndSize(self.as_ptr(), ptr::null_mut());
            if text.is_null() { Err(Raised) } else { Ok(CStr::from_ptr(text)) }
        }
    }

    /// The contents of a bytes object; None for any other object.
    #[must_use]
    pub fn bytes(self) -> Option<&'a [u8]> {
        // SAFETY: the object is alive. The contents of a bytes object do not change.
        unsafe {
            let object = self.as_ptr();
            (ffi::PyBytes_Check(object) != 0).then(|| {
                let length = ffi::PyBytes_Size(object) as usize;
                core::slice::from_raw_parts(ffi::PyBytes_AsString(object).cast(), length)
            })
        }
    }

    /// Writes a text to a Python file.
    pub fn write_text(self, py: Attached<'_>, text: &CStr) -> Result<(), Raised> {
        // SAFETY: attached; the file is alive.
        py.check(unsafe { PyFile_WriteString(text.as_ptr(), self.as_ptr()) })
    }

    /// Writes an object to a Python file, as `str` shows it.
    pub fn write_object(self, py: Attached<'_>, object: Borrowed<'_>) -> Result<(), Raised> {
        let flags = ffi::Py_PRINT_RAW;
        // SAFETY: attached; both objects are alive.
        py.check(unsafe { PyFile_WriteObject(object.as_ptr(), self.as_ptr(), flags) })
    }
}
