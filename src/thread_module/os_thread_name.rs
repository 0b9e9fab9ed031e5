//! `set_name` and `_get_name`: the name that the operating system shows for a thread.

use core::ffi::{CStr, c_char, c_int};
use core::ptr;

use pyo3_ffi::{self as ffi, PyObject};

use crate::capi::compat;
use crate::capi::refs::drop_ref;
use crate::runtime::state::State;

/// The size of a buffer for a name. Larger than the limit of any platform.
const CAPACITY: usize = 100;

/// `set_name(name)`: sets the name of the calling thread. A name that is too long for the platform
/// is cut.
///
/// # Safety
/// Called by CPython with the module, a tuple, and a dict or null.
pub unsafe extern "C-unwind" fn set_name(
    module: *mut PyObject,
    args: *mut PyObject,
    kwargs: *mut PyObject,
) -> *mut PyObject {
    let keywords = [c"name".as_ptr(), ptr::null()];
    let mut name = ptr::null_mut();
    // SAFETY: attached; the format expects an object; new references are given back.
    unsafe {
        if compat::PyArg_ParseTupleAndKeywords(
            args,
            kwargs,
            c"O:set_name".as_ptr(),
            keywords.as_ptr(),
            &raw mut name,
        ) == 0
        {
            return ptr::null_mut();
        }
        if ffi::PyUnicode_Check(name) == 0 {
            return compat::bad_argument(c"set_name", c"argument 'name'", c"str", name);
        }
        let encoded = encode(name);
        if encoded.is_null() {
            return ptr::null_mut();
        }
        let length = (ffi::PyBytes_Size(encoded) as usize)
            .min((*State::of(module)).name_limit)
            .min(CAPACITY - 1);
        let mut buffer = [0 as c_char; CAPACITY];
        ptr::copy_nonoverlapping(ffi::PyBytes_AsString(encoded), buffer.as_mut_ptr(), length);
        drop_ref(encoded);
        // As in C, the name ends at its first NUL.
        match set(CStr::from_ptr(buffer.as_ptr())) {
            0 => compat::none(),
            error => os_error(error),
        }
    }
}

/// The name as bytes, in the file system's encoding. Returns a new reference.
unsafe fn encode(name: *mut PyObject) -> *mut PyObject {
    // SAFETY: attached; new references are given back.
    unsafe {
        let Ok(getter) = compat::sys_attribute(c"getfilesystemencoding") else {
            return ptr::null_mut();
        };
        if getter.is_null() {
            return ffi::PyUnicode_AsEncodedString(name, ptr::null(), c"replace".as_ptr());
        }
        let encoding = ffi::PyObject_CallNoArgs(getter);
        drop_ref(getter);
        if encoding.is_null() {
            return ptr::null_mut();
        }
        let utf8 = ffi::PyUnicode_AsUTF8AndSize(encoding, ptr::null_mut());
        let encoded = if utf8.is_null() {
            ptr::null_mut()
        } else {
            ffi::PyUnicode_AsEncodedString(name, utf8, c"replace".as_ptr())
        };
        drop_ref(encoding);
        encoded
    }
}

/// `_get_name()`: the name of the calling thread.
///
/// # Safety
/// Called by CPython.
pub unsafe extern "C-unwind" fn get_name(_: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    let mut buffer = [0 as c_char; CAPACITY];
    // SAFETY: attached; the platform ends the name with a NUL.
    unsafe {
        match get(&mut buffer) {
            0 => ffi::PyUnicode_DecodeFSDefault(buffer.as_ptr()),
            error => os_error(error),
        }
    }
}

unsafe fn os_error(error: c_int) -> *mut PyObject {
    // SAFETY: attached; the arguments are an int and a string.
    unsafe {
        let message = libc::strerror(error);
        let args = ffi::Py_BuildValue(c"is".as_ptr(), error, message);
        if !args.is_null() {
            ffi::PyErr_SetObject(ffi::PyExc_OSError, args);
            drop_ref(args);
        }
    }
    ptr::null_mut()
}

#[cfg(target_vendor = "apple")]
fn set(name: &CStr) -> c_int {
    // SAFETY: a C string.
    unsafe { libc::pthread_setname_np(name.as_ptr()) }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn set(name: &CStr) -> c_int {
    // SAFETY: the calling thread and a C string.
    unsafe { libc::pthread_setname_np(libc::pthread_self(), name.as_ptr()) }
}

#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn get(buffer: &mut [c_char; CAPACITY]) -> c_int {
    // SAFETY: the calling thread, and a buffer with its size.
    unsafe { libc::pthread_getname_np(libc::pthread_self(), buffer.as_mut_ptr(), CAPACITY) }
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn set(_: &CStr) -> c_int {
    libc::ENOSYS
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn get(_: &mut [c_char; CAPACITY]) -> c_int {
    libc::ENOSYS
}
