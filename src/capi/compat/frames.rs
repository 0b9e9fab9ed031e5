//! The Python frame that calls: which instruction it is at, and its file, line and function.
//!
//! The frame of the calling thread is found by the offsets that the interpreter publishes
//! (Include/internal/pycore_debug_offsets.h), from 3.13 on, and by those of the released versions
//! before. `PyThreadState_GetFrame` would make an object of the frame, which takes longer than the
//! lock that is being taken.

use core::ffi::{CStr, c_char, c_int};

use pyo3_ffi::{self as ffi, PyObject};

use crate::capi::compat;

unsafe extern "C" {
    fn PyThreadState_GetFrame(state: *mut ffi::PyThreadState) -> *mut PyObject;
    fn PyFrame_GetCode(frame: *mut PyObject) -> *mut PyObject;
    fn PyFrame_GetBack(frame: *mut PyObject) -> *mut PyObject;
    fn PyFrame_GetLineNumber(frame: *mut PyObject) -> c_int;
    fn PyUnicode_AsUTF8(text: *mut PyObject) -> *const c_char;
}

/// Identifies the instruction at which the Python code of the calling thread is: the same number
/// means the same instruction, as long as the code exists. Zero if there is no frame, or it is not
/// known where frames are.
///
/// # Safety
/// Attached.
#[inline]
pub unsafe fn instruction() -> u64 {
    // SAFETY: attached; the offsets are those of this version.
    unsafe { found::instruction(compat::thread_state().cast()) }
}

#[cfg(not(Py_3_11))]
mod found {
    /// In a thread state, and in a frame.
    const FRAME: usize = 24;
    const CODE: usize = 32;
    const LAST: usize = 96;

    pub unsafe fn instruction(state: *const u8) -> u64 {
        // SAFETY: as the caller promises.
        unsafe {
            let frame = state.add(FRAME).cast::<*const u8>().read();
            if frame.is_null() {
                return 0;
            }
            let code = frame.add(CODE).cast::<u64>().read();
            let last = frame.add(LAST).cast::<i32>().read();
            (code << 16) ^ u64::from(last.cast_unsigned())
        }
    }
}

#[cfg(all(Py_3_11, not(Py_3_13)))]
mod found {
    /// In a thread state, in the C frame that it points to, and in a frame.
    const C_FRAME: usize = 56;
    const FRAME: usize = if cfg!(Py_3_12) { 0 } else { 8 };
    const LAST: usize = 56;

    pub unsafe fn instruction(state: *const u8) -> u64 {
        // SAFETY: as the caller promises.
        unsafe {
            let c_frame = state.add(C_FRAME).cast::<*const u8>().read();
            let frame = c_frame.add(FRAME).cast::<*const u8>().read();
            if frame.is_null() { 0 } else { frame.add(LAST).cast::<u64>().read() }
        }
    }
}

#[cfg(Py_3_13)]
mod found {
    use core::sync::atomic::{AtomicUsize, Ordering};

    use super::super::published;

    /// The words of the published table with the size of a thread state, the offset of the current
    /// frame in it, the size of a frame, and the offset of the instruction in it.
    const WORDS: [usize; 4] = if cfg!(Py_3_15) {
        [22, 26, 39, 42]
    } else if cfg!(Py_3_14) {
        [22, 26, 31, 34]
    } else {
        [19, 23, 28, 31]
    };

    /// Not read yet, and not to be believed.
    const UNKNOWN: usize = usize::MAX;
    const NOWHERE: usize = usize::MAX - 1;
    static FRAME_AT: AtomicUsize = AtomicUsize::new(UNKNOWN);
    static LAST_AT: AtomicUsize = AtomicUsize::new(0);

    #[cold]
    fn find() -> usize {
        let frame_at = offsets().map_or(NOWHERE, |[frame_at, last_at]| {
            LAST_AT.store(last_at, Ordering::Relaxed);
            frame_at
        });
        FRAME_AT.store(frame_at, Ordering::Release);
        frame_at
    }

    /// The offsets of the current frame in a thread state and of the instruction in a frame.
    fn offsets() -> Option<[usize; 2]> {
        let table = published::table()?;
        let [state, frame_at, frame, last_at] = WORDS.map(|word| table[word] as usize);
        let is_right =
            state < 1 << 16 && frame < 1 << 12 && frame_at + 8 <= state && last_at + 8 <= frame;
        is_right.then_some([frame_at, last_at])
    }

    pub unsafe fn instruction(state: *const u8) -> u64 {
        let mut frame_at = FRAME_AT.load(Ordering::Acquire);
        if frame_at == UNKNOWN {
            frame_at = find();
        }
        if frame_at == NOWHERE {
            return 0;
        }
        // SAFETY: as the caller promises.
        unsafe {
            let frame = state.add(frame_at).cast::<*const u8>().read();
            if frame.is_null() {
                return 0;
            }
            frame.add(LAST_AT.load(Ordering::Relaxed)).cast::<u64>().read()
        }
    }
}

/// File, function and line of the Python code that calls, which is not in one of the modules `but`.
/// None if there is none. The code is kept for good, so that the numbers of its instructions stay
/// those of this code.
///
/// # Safety
/// Attached.
pub unsafe fn caller(but: &[&CStr]) -> Option<(String, String, u32)> {
    // SAFETY: attached. The frame, the code and the names are new references, which are released,
    // except that to the code.
    unsafe {
        let mut frame = PyThreadState_GetFrame(compat::thread_state());
        while !frame.is_null() && is_in_module(frame, but) {
            let outer = PyFrame_GetBack(frame);
            ffi::Py_DecRef(frame);
            frame = outer;
        }
        if frame.is_null() {
            return None;
        }
        let line = u32::try_from(PyFrame_GetLineNumber(frame)).unwrap_or(0);
        let code = PyFrame_GetCode(frame);
        ffi::Py_DecRef(frame);
        let function = if cfg!(Py_3_11) { c"co_qualname" } else { c"co_name" };
        let text = |name: &CStr| {
            let text = ffi::PyObject_GetAttrString(code, name.as_ptr());
            if text.is_null() {
                ffi::PyErr_Clear();
                return String::new();
            }
            let bytes = PyUnicode_AsUTF8(text);
            let string = if bytes.is_null() {
                ffi::PyErr_Clear();
                String::new()
            } else {
                CStr::from_ptr(bytes).to_string_lossy().into_owned()
            };
            ffi::Py_DecRef(text);
            string
        };
        Some((text(c"co_filename"), text(function), line))
    }
}

/// Whether the globals of a frame are those of one of these modules, by name.
///
/// # Safety
/// Attached; a frame.
unsafe fn is_in_module(frame: *mut PyObject, names: &[&CStr]) -> bool {
    if names.is_empty() {
        return false;
    }
    // SAFETY: attached. The globals are a new reference, and the name is a borrowed one.
    unsafe {
        let globals = ffi::PyObject_GetAttrString(frame, c"f_globals".as_ptr());
        if globals.is_null() {
            ffi::PyErr_Clear();
            return false;
        }
        let name = ffi::PyDict_GetItemString(globals, c"__name__".as_ptr());
        let is_one = !name.is_null()
            && ffi::PyUnicode_Check(name) != 0
            && names
                .iter()
                .any(|one| ffi::PyUnicode_CompareWithASCIIString(name, one.as_ptr()) == 0);
        ffi::Py_DecRef(globals);
        is_one
    }
}
