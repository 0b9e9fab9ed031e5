//! What an interpreter publishes for debuggers: from 3.13 on the state of the runtime begins with
//! a table of offsets (Include/internal/pycore_debug_offsets.h).

unsafe extern "C" {
    /// Larger than this array, which lies within the table of every version that has one.
    static _PyRuntime: [u64; 64];
}

/// The address of the state of the runtime.
pub fn runtime() -> *const () {
    (&raw const _PyRuntime).cast()
}

/// The words of the table. None if the interpreter that runs does not publish one, or publishes
/// that of another version than its own.
#[cfg(Py_3_13)]
#[inline]
pub fn table() -> Option<&'static [u64; 64]> {
    const COOKIE: u64 = u64::from_ne_bytes(*b"xdebugpy");
    // SAFETY: statics of the interpreter. The table is constant.
    let (table, version) = unsafe { (&_PyRuntime, pyo3_ffi::Py_Version) };
    let is_right = table[0] == COOKIE && table[1] >> 16 == u64::from(version as u32 >> 16);
    is_right.then_some(table)
}
