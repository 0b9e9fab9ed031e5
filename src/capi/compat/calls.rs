//! Calls with arguments in an array.

use pyo3_ffi::PyObject;
#[cfg(not(Py_3_11))]
use pyo3_ffi::{self as ffi};

#[cfg(Py_3_11)]
unsafe extern "C-unwind" {
    fn PyObject_Vectorcall(
        callable: *mut PyObject,
        args: *const *mut PyObject,
        nargsf: usize,
        kwnames: *mut PyObject,
    ) -> *mut PyObject;
}

/// Calls an object with its arguments in an array, as `vectorcall` defines it. Returns a new
/// reference, or null with an exception set.
///
/// # Safety
/// Attached; valid objects. The number of arguments may include the flag
/// `PY_VECTORCALL_ARGUMENTS_OFFSET`.
#[inline]
pub unsafe fn vectorcall(
    callable: *mut PyObject,
    args: *const *mut PyObject,
    nargsf: usize,
    kwnames: *mut PyObject,
) -> *mut PyObject {
    #[cfg(Py_3_11)]
    // SAFETY: as the caller promises.
    unsafe {
        PyObject_Vectorcall(callable, args, nargsf, kwnames)
    }
    #[cfg(not(Py_3_11))]
    {
        type Entry = unsafe extern "C-unwind" fn(
            *mut PyObject,
            *const *mut PyObject,
            usize,
            *mut PyObject,
        ) -> *mut PyObject;
        const HAVE_VECTORCALL: core::ffi::c_ulong = 1 << 11;
        // In 3.10 `PyObject_Vectorcall` is an inline function of the headers.
        // SAFETY: as the caller promises. The type flag says that the offset leads to a pointer.
        unsafe {
            let class = ffi::Py_TYPE(callable);
            if (*class).tp_flags & HAVE_VECTORCALL != 0 {
                let place = callable.byte_offset((*class).tp_vectorcall_offset);
                if let Some(entry) = *place.cast::<Option<Entry>>() {
                    return entry(callable, args, nargsf, kwnames);
                }
            }
            let nargs = (nargsf & (usize::MAX >> 1)) as ffi::Py_ssize_t;
            let Ok((tuple, dict)) =
                crate::capi::call::tuple_and_dict(core::ptr::null_mut(), args, nargs, kwnames)
            else {
                return core::ptr::null_mut();
            };
            let result = crate::capi::call::PyObject_Call(callable, tuple, dict);
            crate::capi::refs::drop_ref(tuple);
            crate::capi::refs::drop_ref(dict);
            result
        }
    }
}
