//! Reads the memory of another process.

use core::ffi::c_int;

use pyo3_ffi as ffi;

use crate::capi::compat;
use crate::capi::entry::Module;
use crate::capi::errors::Raised;
use crate::capi::object::{Answer, Attached, Tuple};

/// `__read_memory__(pid, address, size)`: bytes of another process, by `process_vm_readv`. OSError
/// with the system's reason if not all of them can be read.
#[cfg(target_os = "linux")]
pub fn read_memory(py: Attached<'_>, _: Module<'_>, args: Tuple<'_>) -> Answer {
    let (mut pid, mut address, mut size): (c_int, u64, ffi::Py_ssize_t) = (0, 0, 0);
    let args = args.object().as_ptr();
    // SAFETY: attached; a tuple; the format expects an int, an unsigned long long and a Py_ssize_t.
    // The bytes are new, and filled before anything else sees them. The system checks the address.
    unsafe {
        let format = c"iKn:__read_memory__".as_ptr();
        let (pid, address, size) = (&raw mut pid, &raw mut address, &raw mut size);
        if compat::PyArg_ParseTuple(args, format, pid, address, size) == 0 {
            return Err(Raised);
        }
        let size = (*size).max(0);
        let bytes = py.own(ffi::PyBytes_FromStringAndSize(core::ptr::null(), size))?;
        let place = ffi::PyBytes_AsString(bytes.borrow().as_ptr());
        let to = libc::iovec { iov_base: place.cast(), iov_len: size as usize };
        let from = libc::iovec { iov_base: *address as *mut _, iov_len: size as usize };
        let read = libc::process_vm_readv(*pid, &raw const to, 1, &raw const from, 1, 0);
        if read == size {
            return Ok(bytes);
        }
        if read >= 0 {
            *libc::__errno_location() = libc::EFAULT;
        }
        bytes.release(py);
        ffi::PyErr_SetFromErrno(ffi::PyExc_OSError);
        Err(Raised)
    }
}

/// Other systems cannot.
#[cfg(not(target_os = "linux"))]
pub fn read_memory(py: Attached<'_>, _: Module<'_>, _: Tuple<'_>) -> Answer {
    let _: (Option<c_int>, Option<ffi::Py_ssize_t>, Option<Raised>) = (None, None, None);
    let _ = compat::IS_FREE_THREADED;
    Err(py.runtime_error(c"the memory of another process can be read on Linux only"))
}
