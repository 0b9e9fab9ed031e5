//! The module `rthread._rthread` and its state.
//!
//! Each interpreter has its own types, and its own state, which the types and the functions share.

use core::ffi::{CStr, c_int, c_void};
use core::ptr;
use std::sync::Once;

use pyo3_ffi::{self as ffi, PyObject};

use crate::capi::errors::{Raised, raise};
use crate::capi::refs::{self, drop_ref};
use crate::capi::types::{Call, Doc, Function};
use crate::capi::{compat, static_tables, stock};
use crate::runtime::blocking;
use crate::runtime::lifetime::Lifetime;
use crate::runtime::state::{State, definition_or};
use crate::runtime::thread_values::keys;
use crate::thread_module::{
    excepthook, fork, functions, handle, local, lock, os_thread_name, rlock, sentinel, start, tss,
};
use crate::threading;

const FUNCTIONS: &[Function] = &[
    Function::stock(c"start_new_thread", Call::VarArgs(start::start_new_thread)),
    Function::stock(c"start_new", Call::VarArgs(start::start_new_thread)),
    Function::stock(c"start_joinable_thread", Call::VarArgsKeywords(start::start_joinable_thread)),
    Function::stock(c"daemon_threads_allowed", Call::NoArgs(functions::daemon_threads_allowed)),
    Function::stock(c"allocate_lock", Call::NoArgs(functions::allocate_lock)),
    Function::stock(c"allocate", Call::NoArgs(functions::allocate_lock)),
    Function::stock(c"exit_thread", Call::NoArgs(functions::exit)),
    Function::stock(c"exit", Call::NoArgs(functions::exit)),
    Function::stock(c"interrupt_main", Call::VarArgs(functions::interrupt_main)),
    Function::stock(c"get_ident", Call::NoArgs(functions::get_ident)),
    Function::stock(c"get_native_id", Call::NoArgs(functions::get_native_id)),
    Function::stock(c"_count", Call::NoArgs(start::count)),
    Function::stock(c"stack_size", Call::VarArgs(functions::stack_size)),
    Function::stock(c"_excepthook", Call::Object(excepthook::excepthook)),
    Function::stock(c"_is_main_interpreter", Call::NoArgs(functions::is_main_interpreter)),
    Function::stock(c"_shutdown", Call::NoArgs(handle::shutdown)),
    Function::stock(c"_make_thread_handle", Call::Object(handle::make_thread_handle)),
    Function::stock(c"_get_main_thread_ident", Call::NoArgs(functions::get_main_thread_ident)),
    Function::stock(c"set_name", Call::VarArgsKeywords(os_thread_name::set_name)),
    Function::stock(c"_get_name", Call::NoArgs(os_thread_name::get_name)),
    Function {
        name: c"_set_sentinel",
        call: Call::NoArgs(sentinel::set_sentinel),
        doc: Doc::StockOr(
            c"_set_sentinel($module, /)\n--\n\n\
            Return a new lock that is released when the calling thread's state is gone.\n\n\
            The lock is not locked at first: whoever wants to wait for the thread acquires it,\n\
            and then acquires it again. Kept from CPython 3.12, where threading joins with it.",
        ),
    },
];

/// Functions for the package `rthread`. They stand in for no function of the stock module.
const OWN_FUNCTIONS: &[Function] = &[
    Function {
        name: c"__make_native__",
        call: Call::VarArgs(threading::make_native),
        doc: Doc::Own(
            c"__make_native__($module, classes, helpers, /)\n--\n\n\
            Make native types for the Python classes in a dict; see rthread._native.",
        ),
    },
    Function {
        name: c"__keep_threads__",
        call: Call::VarArgs(functions::keep_threads),
        doc: Doc::Own(
            c"__keep_threads__($module, number, /)\n--\n\n\
            Keep up to so many finished threads for the next starts; 0 ends those that are kept.",
        ),
    },
    Function {
        name: c"__kept_threads__",
        call: Call::NoArgs(functions::kept_threads),
        doc: Doc::Own(
            c"__kept_threads__($module, /)\n--\n\n\
            Tell how many threads are kept, how many starts kept threads have served in this process,\n\
            and how many of these with the thread state of the start before.",
        ),
    },
];

/// The version of rthread, with a NUL at its end for C.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");

/// Fills the state of a new module.
///
/// # Safety
/// Attached; called once for each module.
unsafe fn fill(state: &mut State, module: *mut PyObject) -> Result<(), Raised> {
    // SAFETY: as the caller promises. The state owns every object that is made here, also after a
    // failure.
    unsafe {
        state.stock = stock::import()?;
        state.lock_type = lock::make_type(module, state.stock)?;
        state.rlock_type = rlock::make_type(module, state.stock)?;
        state.local_type = local::make_type(module, state.stock)?;
        state.handle_type = handle::make_type(module, state.stock)?;
        state.tss_type = tss::make_type(module)?;
        (state.key_type, state.sentinel_type) = keys::make_types(module)?;
        state.qualname_name = interned(c"__qualname__")?;
        state.started_name = interned(c"_started")?;
        state.ident_name = interned(c"_ident")?;
        // A plain `object`, not an object of one of our types: that would refer to its type, and
        // the collector could not see the reference.
        state.slot = ffi::PyObject_CallNoArgs((&raw mut ffi::PyBaseObject_Type).cast());
        state.excepthook_type = stock::type_named(state.stock, c"_ExceptHookArgs");
        if state.slot.is_null() || state.excepthook_type.is_null() {
            if ffi::PyErr_Occurred().is_null() {
                raise(ffi::PyExc_ImportError, c"_thread has no _ExceptHookArgs");
            }
            return Err(Raised);
        }
        state.name_limit = stock_integer(state.stock, c"_NAME_MAXLEN").unwrap_or(usize::MAX);
    }
    Ok(())
}

unsafe fn interned(name: &CStr) -> Result<*mut PyObject, Raised> {
    // SAFETY: attached, as every caller promises.
    let name = unsafe { ffi::PyUnicode_InternFromString(name.as_ptr()) };
    if name.is_null() { Err(Raised) } else { Ok(name) }
}

unsafe fn stock_integer(module: *mut PyObject, name: &CStr) -> Option<usize> {
    // SAFETY: attached; the new reference is given back.
    unsafe {
        let object = ffi::PyObject_GetAttrString(module, name.as_ptr());
        if object.is_null() {
            ffi::PyErr_Clear();
            return None;
        }
        let value = ffi::PyLong_AsSsize_t(object);
        drop_ref(object);
        ffi::PyErr_Clear();
        usize::try_from(value).ok()
    }
}

unsafe extern "C-unwind" fn exec(module: *mut PyObject) -> c_int {
    // SAFETY: called by the import system, once, with zeroed state.
    unsafe {
        let Ok(lifetime) = Lifetime::new() else { return -1 };
        let state = ffi::PyModule_GetState(module).cast::<State>();
        state.write(State::new(lifetime, threading::event_inside));
        abort_on_panic();
        blocking::prepare();
        let filled = fill(&mut *state, module).and_then(|()| publish(module, &*state));
        match filled.and_then(|()| fork::register_in_python()) {
            Ok(()) => {
                fork::register();
                0
            }
            Err(Raised) => -1,
        }
    }
}

/// A panic is a bug in rthread. It must not unwind into C, so the process ends after the message of
/// the panic. The hook applies to this library only: Rust code in another extension module has a
/// standard library, and a hook, of its own.
fn abort_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            print(panic);
            std::process::abort();
        }));
    });
}

/// Puts the names into the module.
unsafe fn publish(module: *mut PyObject, state: &State) -> Result<(), Raised> {
    // SAFETY: attached; valid objects.
    unsafe {
        add_functions(module, state)?;
        add(module, c"TSS", state.tss_type.cast())?;
        // Names of rthread's own objects, published only where the stock module has the name too.
        for (name, object) in [
            (c"lock", state.lock_type),
            (c"LockType", state.lock_type),
            (c"RLock", state.rlock_type),
            (c"_local", state.local_type),
            (c"_ThreadHandle", state.handle_type),
        ] {
            if ffi::PyObject_HasAttrString(state.stock, name.as_ptr()) != 0 {
                add(module, name, object.cast())?;
            }
        }
        // The constants and the exception come from the interpreter.
        for name in [c"error", c"TIMEOUT_MAX", c"_ExceptHookArgs", c"_NAME_MAXLEN"] {
            let object = ffi::PyObject_GetAttrString(state.stock, name.as_ptr());
            if object.is_null() {
                ffi::PyErr_Clear();
                continue;
            }
            let added = add(module, name, object);
            drop_ref(object);
            added?;
        }
        let is_main = compat::interpreter() == compat::main_interpreter();
        let is_main = compat::bool_object(is_main);
        let added = add(module, c"__is_main__", is_main);
        drop_ref(is_main);
        added?;
        let version = ffi::PyUnicode_FromString(VERSION.as_ptr().cast());
        if version.is_null() {
            return Err(Raised);
        }
        let added = add(module, c"__version__", version);
        drop_ref(version);
        added?;
        let doc = ffi::PyObject_GetAttrString(state.stock, c"__doc__".as_ptr());
        if doc.is_null() {
            return Err(Raised);
        }
        let added = add(module, c"__doc__", doc);
        drop_ref(doc);
        added
    }
}

/// Adds the functions with `_thread` as their module, like the types and like the stock functions
/// that they stand in for. `PyModule_AddFunctions` would write `rthread._rthread` there.
unsafe fn add_functions(module: *mut PyObject, state: &State) -> Result<(), Raised> {
    // SAFETY: attached; valid objects; the table ends with a null name.
    unsafe {
        let home = ffi::PyUnicode_InternFromString(c"_thread".as_ptr());
        if home.is_null() {
            return Err(Raised);
        }
        let mut result = Ok(());
        for functions in [FUNCTIONS, OWN_FUNCTIONS] {
            let mut definition = static_tables::methods(functions, state.stock);
            while result.is_ok() && !(*definition).ml_name.is_null() {
                let function = ffi::PyCFunction_NewEx(definition, module, home);
                result = if function.is_null() {
                    Err(Raised)
                } else {
                    add(module, CStr::from_ptr((*definition).ml_name), function)
                };
                drop_ref(function);
                definition = definition.add(1);
            }
        }
        drop_ref(home);
        result
    }
}

unsafe fn add(module: *mut PyObject, name: &CStr, object: *mut PyObject) -> Result<(), Raised> {
    // SAFETY: attached; valid objects.
    if unsafe { ffi::PyObject_SetAttrString(module, name.as_ptr(), object) } < 0 {
        Err(Raised)
    } else {
        Ok(())
    }
}

unsafe extern "C-unwind" fn traverse(
    module: *mut PyObject,
    visit: ffi::visitproc,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: called by the collector with the module.
    unsafe {
        let state = ffi::PyModule_GetState(module).cast::<State>();
        if state.is_null() || !(*state).live {
            return 0;
        }
        for object in (*state).objects() {
            if !object.is_null() {
                let stop = visit(*object, arg);
                if stop != 0 {
                    return stop;
                }
            }
        }
    }
    0
}

unsafe extern "C-unwind" fn clear(module: *mut PyObject) -> c_int {
    // SAFETY: called by the collector or by `free` with the module.
    unsafe {
        let state = ffi::PyModule_GetState(module).cast::<State>();
        if !state.is_null() && (*state).live {
            (*state).natives.end();
            for object in (*state).objects() {
                refs::clear(object);
            }
        }
    }
    0
}

unsafe extern "C-unwind" fn free(module: *mut c_void) {
    // SAFETY: called once, at the module's end.
    unsafe {
        clear(module.cast());
        let state = ffi::PyModule_GetState(module.cast()).cast::<State>();
        if !state.is_null() && core::mem::replace(&mut (*state).live, false) {
            ptr::drop_in_place(state);
        }
    }
}

fn definition() -> *mut ffi::PyModuleDef {
    definition_or(|| {
        let slots = Vec::leak(compat::module_slots(exec as *mut c_void));
        // SAFETY: the functions have the signatures with which CPython calls them. The only
        // difference is that they may be unwound.
        let (traverse, clear, free) = unsafe {
            (
                core::mem::transmute::<*const (), ffi::traverseproc>(traverse as *const ()),
                core::mem::transmute::<*const (), ffi::inquiry>(clear as *const ()),
                core::mem::transmute::<*const (), ffi::freefunc>(free as *const ()),
            )
        };
        ffi::PyModuleDef {
            m_base: ffi::PyModuleDef_HEAD_INIT,
            m_name: c"_rthread".as_ptr(),
            m_doc: ptr::null(),
            m_size: size_of::<State>() as ffi::Py_ssize_t,
            m_methods: ptr::null_mut(),
            m_slots: slots.as_mut_ptr(),
            m_traverse: Some(traverse),
            m_clear: Some(clear),
            m_free: Some(free),
        }
    })
}

/// The function that the import system calls.
///
/// # Safety
/// Attached.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn PyInit__rthread() -> *mut PyObject {
    // SAFETY: a complete definition that lives for ever.
    unsafe { ffi::PyModuleDef_Init(definition()) }
}
