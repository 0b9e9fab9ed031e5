//! `set_name` and `_get_name`: the name that the operating system shows for a thread.

use core::ffi::{CStr, c_int};
use core::ptr;

use pyo3_ffi as ffi;

use crate::capi::compat;
use crate::capi::entry::Module;
use crate::capi::errors::Raised;
use crate::capi::object::{self, Answer, Attached, Borrowed, Dict, Exception, Tuple};
use crate::runtime::state::State;
use crate::runtime::subject::note_name;

/// The size of a buffer for a name. Larger than the limit of any platform.
const CAPACITY: usize = 100;

/// `set_name(name)`: sets the name of the calling thread. A name that is too long for the platform
/// is cut.
pub fn set_name(
    py: Attached<'_>,
    module: Module<'_>,
    args: Tuple<'_>,
    kwargs: Option<Dict<'_>>,
) -> Answer {
    let keywords = [c"name".as_ptr(), ptr::null()];
    let mut name = ptr::null_mut();
    // SAFETY: attached; a tuple, and a dict or null; the format expects an object.
    let parsed = unsafe {
        compat::PyArg_ParseTupleAndKeywords(
            args.object().as_ptr(),
            object::as_ptr(kwargs.map(Dict::object)),
            c"O:set_name".as_ptr(),
            keywords.as_ptr(),
            &raw mut name,
        )
    };
    if parsed == 0 {
        return Err(Raised);
    }
    // SAFETY: the arguments keep it alive.
    let name = unsafe { Borrowed::assume(name) };
    if !name.is_string() {
        return Err(py.bad_argument(c"set_name", c"argument 'name'", c"str", name));
    }
    note_name(py, Some(name));
    let encoded = encode(py, name)?;
    let mut buffer = [0; CAPACITY];
    for (place, byte) in buffer
        .iter_mut()
        .zip(encoded.borrow().bytes().unwrap_or_default())
        .take(State::of(module).name_limit.get().min(CAPACITY - 1))
    {
        *place = *byte;
    }
    encoded.release(py);
    // As in C, the name ends at its first NUL.
    match set(CStr::from_bytes_until_nul(&buffer).unwrap_or_default()) {
        0 => Ok(py.none()),
        error => Err(os_error(py, error)),
    }
}

/// The name as bytes, in the file system's encoding.
fn encode(py: Attached<'_>, name: Borrowed<'_>) -> Answer {
    let Some(getter) = py.sys_attribute(c"getfilesystemencoding")? else {
        return name.encode(py, None, c"replace");
    };
    let encoding = getter.borrow().call(py, &[]);
    getter.release(py);
    let encoding = encoding?;
    let encoded = match encoding.borrow().utf8(py) {
        Ok(encoding) => name.encode(py, Some(encoding), c"replace"),
        Err(Raised) => Err(Raised),
    };
    encoding.release(py);
    encoded
}

/// `_get_name()`: the name of the calling thread.
pub fn get_name(py: Attached<'_>, _: Module<'_>) -> Answer {
    let mut buffer = [0; CAPACITY];
    match get(&mut buffer) {
        // The platform ends the name with a NUL.
        0 => py.file_system_text(CStr::from_bytes_until_nul(&buffer).unwrap_or_default()),
        error => Err(os_error(py, error)),
    }
}

fn os_error(py: Attached<'_>, error: c_int) -> Raised {
    // SAFETY: attached; the arguments are an int and a string.
    let args = unsafe { py.own(ffi::Py_BuildValue(c"is".as_ptr(), error, libc::strerror(error))) };
    match args {
        Ok(args) => {
            let raised = py.raise_object(Exception::Os.class(), args.borrow());
            args.release(py);
            raised
        }
        Err(raised) => raised,
    }
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
fn get(buffer: &mut [u8; CAPACITY]) -> c_int {
    // SAFETY: the calling thread, and a buffer with its size.
    unsafe { libc::pthread_getname_np(libc::pthread_self(), buffer.as_mut_ptr().cast(), CAPACITY) }
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn set(_: &CStr) -> c_int {
    libc::ENOSYS
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn get(_: &mut [u8; CAPACITY]) -> c_int {
    libc::ENOSYS
}
