//! `_excepthook`: handles an exception that leaves `Thread.run`.

use core::ffi::CStr;
use core::ptr;

use pyo3_ffi::{self as ffi, PyObject};

use crate::capi::call::PyObject_Call;
use crate::capi::compat;
use crate::capi::errors::{Raised, raise};
use crate::capi::refs::drop_ref;
use crate::runtime::state::State;

/// `_excepthook(args)`: prints the exception to `sys.stderr`. If that is missing or None, it prints
/// to the `sys.stderr` from the time when the thread was created. SystemExit is not printed.
///
/// # Safety
/// Called by CPython with the module and an object.
pub unsafe extern "C-unwind" fn excepthook(
    module: *mut PyObject,
    args: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: attached. The exact type says that there are four items. They are borrowed, which is
    // enough: a struct sequence is immutable, and the caller keeps it alive. The new reference is
    // given back.
    unsafe {
        if ffi::Py_TYPE(args) != (*State::of(module)).excepthook_type {
            return raise(
                ffi::PyExc_TypeError,
                c"_thread.excepthook argument type must be ExceptHookArgs",
            );
        }
        let item = |index| ffi::PyStructSequence_GetItem(args, index);
        let exception = Exception { class: item(0), value: item(1), traceback: item(2) };
        let thread = item(3);
        if exception.class == ffi::PyExc_SystemExit {
            return compat::none();
        }
        let Ok(stderr) = compat::sys_attribute(c"stderr") else { return ptr::null_mut() };
        let result = if stderr.is_null() || stderr == ffi::Py_None() {
            print_to_saved_stderr(thread, &exception)
        } else {
            print_heading(stderr, thread).and_then(|()| exception.print_to_stderr(stderr))
        };
        drop_ref(stderr);
        match result {
            Ok(()) => compat::none(),
            Err(Raised) => ptr::null_mut(),
        }
    }
}

/// An exception. The references are borrowed.
struct Exception {
    class: *mut PyObject,
    value: *mut PyObject,
    traceback: *mut PyObject,
}

impl Exception {
    /// Prints the exception in the way of the interpreter.
    unsafe fn print_to_stderr(&self, stderr: *mut PyObject) -> Result<(), Raised> {
        // SAFETY: attached; valid objects. `PyErr_Display` expects null for "no traceback".
        unsafe {
            let none = ffi::Py_None();
            let traceback = if self.traceback == none { ptr::null_mut() } else { self.traceback };
            ffi::PyErr_Display(self.class, self.value, traceback);
            call_method(stderr, c"flush")
        }
    }

    /// Prints the exception to any file; `PyErr_Display` prints to `sys.stderr` only.
    unsafe fn print_to(&self, file: *mut PyObject) -> Result<(), Raised> {
        // SAFETY: attached; new references are given back.
        unsafe {
            let module = ffi::PyImport_ImportModule(c"traceback".as_ptr());
            if module.is_null() {
                return Err(Raised);
            }
            let print = ffi::PyObject_GetAttrString(module, c"print_exception".as_ptr());
            drop_ref(module);
            let args = ffi::Py_BuildValue(
                c"OOOOO".as_ptr(),
                self.class,
                self.value,
                self.traceback,
                ffi::Py_None(),
                file,
            );
            let printed = if print.is_null() || args.is_null() {
                ptr::null_mut()
            } else {
                PyObject_Call(print, args, ptr::null_mut())
            };
            drop_ref(print);
            drop_ref(args);
            if printed.is_null() {
                return Err(Raised);
            }
            drop_ref(printed);
            call_method(file, c"flush")
        }
    }
}

/// Prints to the `stderr` that the thread has saved, if it has one. Used if there is no
/// `sys.stderr`.
unsafe fn print_to_saved_stderr(
    thread: *mut PyObject,
    exception: &Exception,
) -> Result<(), Raised> {
    // SAFETY: attached; new references are given back.
    unsafe {
        if thread == ffi::Py_None() {
            return Ok(());
        }
        let file = ffi::PyObject_GetAttrString(thread, c"_stderr".as_ptr());
        if file.is_null() {
            return Err(Raised);
        }
        let result = if file == ffi::Py_None() {
            Ok(())
        } else {
            print_heading(file, thread).and_then(|()| exception.print_to(file))
        };
        drop_ref(file);
        result
    }
}

/// Prints `Exception in thread <name>:`. For a thread without a name it prints the identifier.
unsafe fn print_heading(file: *mut PyObject, thread: *mut PyObject) -> Result<(), Raised> {
    // SAFETY: attached; new references are given back.
    unsafe {
        write(file, c"Exception in thread ")?;
        let mut name = ptr::null_mut();
        if thread != ffi::Py_None() {
            name = ffi::PyObject_GetAttrString(thread, c"name".as_ptr());
            if name.is_null() {
                if ffi::PyErr_ExceptionMatches(ffi::PyExc_AttributeError) == 0 {
                    return Err(Raised);
                }
                ffi::PyErr_Clear();
            }
        }
        if name.is_null() {
            name = ffi::PyLong_FromUnsignedLongLong(compat::thread_ident());
        }
        if name.is_null() {
            ffi::PyErr_Clear();
            write(file, c"<failed to get thread name>")?;
        } else {
            let failed = ffi::PyFile_WriteObject(name, file, ffi::Py_PRINT_RAW) < 0;
            drop_ref(name);
            if failed {
                return Err(Raised);
            }
        }
        write(file, c":\n")
    }
}

unsafe fn write(file: *mut PyObject, text: &CStr) -> Result<(), Raised> {
    // SAFETY: attached; a valid object and a C string.
    if unsafe { ffi::PyFile_WriteString(text.as_ptr(), file) } < 0 { Err(Raised) } else { Ok(()) }
}

unsafe fn call_method(object: *mut PyObject, name: &CStr) -> Result<(), Raised> {
    // SAFETY: attached; new references are given back.
    unsafe {
        let method = ffi::PyObject_GetAttrString(object, name.as_ptr());
        if method.is_null() {
            return Err(Raised);
        }
        let result = ffi::PyObject_CallNoArgs(method);
        drop_ref(method);
        if result.is_null() {
            return Err(Raised);
        }
        drop_ref(result);
    }
    Ok(())
}
