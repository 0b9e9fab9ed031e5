//! Looks at the threads or at all objects of an interpreter, while nothing changes.

use core::ffi::{c_int, c_void};

use pyo3_ffi::PyObject;

#[cfg(Py_3_12)]
unsafe extern "C" {
    fn PyUnstable_GC_VisitObjects(
        callback: unsafe extern "C" fn(*mut PyObject, *mut c_void) -> c_int,
        arg: *mut c_void,
    );
}

/// The version of the interpreter, as `PY_VERSION_HEX`. Up to 3.10 only major and minor number.
pub fn version_number() -> u32 {
    #[cfg(Py_3_11)]
    // SAFETY: a constant of the interpreter.
    return unsafe { pyo3_ffi::Py_Version } as u32;
    #[cfg(not(Py_3_11))]
    0x030A_0000
}

/// Takes a step while no other thread of the interpreter can attach. The step runs no Python code,
/// and makes no Python object. None if the threads could not be stopped.
///
/// # Safety
/// Attached.
#[cfg(Py_GIL_DISABLED)]
pub unsafe fn with_world_stopped<R>(step: impl FnOnce() -> R) -> Option<R> {
    struct Step<F, R> {
        step: Option<F>,
        result: Option<R>,
    }
    unsafe extern "C" fn take<F: FnOnce() -> R, R>(_: *mut PyObject, arg: *mut c_void) -> c_int {
        // SAFETY: the argument that is passed below.
        let step = unsafe { &mut *arg.cast::<Step<F, R>>() };
        step.result = step.step.take().map(|step| step());
        0
    }
    fn visit<F: FnOnce() -> R, R>(step: &mut Step<F, R>) {
        // SAFETY: attached. The world is stopped while the callback runs, which ends the visit.
        unsafe { PyUnstable_GC_VisitObjects(take::<F, R>, core::ptr::from_mut(step).cast()) };
    }
    let mut step = Step { step: Some(step), result: None };
    visit(&mut step);
    step.result
}

/// Takes a step while no other thread of the interpreter can attach: this one has the GIL.
///
/// # Safety
/// Attached.
#[cfg(not(Py_GIL_DISABLED))]
pub unsafe fn with_world_stopped<R>(step: impl FnOnce() -> R) -> Option<R> {
    Some(step())
}

/// Shows all objects that the collector knows to `look`, which runs no Python code and makes no
/// Python object. False if this version cannot do that.
///
/// # Safety
/// Attached.
#[cfg(Py_3_12)]
pub unsafe fn visit_objects(look: &mut dyn FnMut(*mut PyObject)) -> bool {
    unsafe extern "C" fn visit(object: *mut PyObject, arg: *mut c_void) -> c_int {
        // SAFETY: the argument that is passed below.
        let look = unsafe { &mut *arg.cast::<&mut dyn FnMut(*mut PyObject)>() };
        look(object);
        1
    }
    let mut look = look;
    // SAFETY: attached; the argument lives until the call returns.
    unsafe { PyUnstable_GC_VisitObjects(visit, core::ptr::from_mut(&mut look).cast()) };
    true
}

/// As above.
///
/// # Safety
/// None.
#[cfg(not(Py_3_12))]
pub unsafe fn visit_objects(_: &mut dyn FnMut(*mut PyObject)) -> bool {
    let _: Option<(c_int, *mut c_void)> = None;
    false
}
