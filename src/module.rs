//! The module `rthread._rthread` and its state.
//!
//! Each interpreter has its own types, and its own state, which the types and the functions share.

use core::ffi::{CStr, c_int, c_void};
use core::ptr::{self, NonNull};
use std::sync::Once;

use pyo3_ffi::{self as ffi, PyObject};

use crate::capi::entry::{Module, Visitor, entry, into_status};
use crate::capi::errors::Raised;
use crate::capi::field::ClassField;
use crate::capi::object::{Attached, Borrowed, Class, Exception, Owned};
use crate::capi::types::{Call, Doc, Function};
use crate::capi::{compat, static_tables, stock};
use crate::runtime::blocking;
use crate::runtime::lifetime::Lifetime;
use crate::runtime::natives::gone;
use crate::runtime::state::{State, definition_or};
use crate::runtime::thread_values::keys;
use crate::thread_module::{
    excepthook, fork, functions, handle, local, lock, os_thread_name, rlock, sentinel, start, tss,
};
use crate::{debug, threading};

/// How CPython calls a function of the module.
macro_rules! call {
    (no_args, $function:path) => {
        Call::NoArgs(entry!(module_no_args, $function))
    };
    (object, $function:path) => {
        Call::Object(entry!(module_object, $function))
    };
    (var_args, $function:path) => {
        Call::VarArgs(entry!(module_var_args, $function))
    };
    (var_keywords, $function:path) => {
        Call::VarArgsKeywords(entry!(module_var_keywords, $function))
    };
}

const FUNCTIONS: &[Function] = &[
    Function::stock(c"start_new_thread", call!(var_args, start::start_new_thread)),
    Function::stock(c"start_new", call!(var_args, start::start_new_thread)),
    Function::stock(c"start_joinable_thread", call!(var_keywords, start::start_joinable_thread)),
    Function::stock(c"daemon_threads_allowed", call!(no_args, functions::daemon_threads_allowed)),
    Function::stock(c"allocate_lock", call!(no_args, functions::allocate_lock)),
    Function::stock(c"allocate", call!(no_args, functions::allocate_lock)),
    Function::stock(c"exit_thread", call!(no_args, functions::exit)),
    Function::stock(c"exit", call!(no_args, functions::exit)),
    Function::stock(c"interrupt_main", call!(var_args, functions::interrupt_main)),
    Function::stock(c"get_ident", call!(no_args, functions::get_ident)),
    Function::stock(c"get_native_id", call!(no_args, functions::get_native_id)),
    Function::stock(c"_count", call!(no_args, start::count)),
    Function::stock(c"stack_size", call!(var_args, functions::stack_size)),
    Function::stock(c"_excepthook", call!(object, excepthook::excepthook)),
    Function::stock(c"_is_main_interpreter", call!(no_args, functions::is_main_interpreter)),
    Function::stock(c"_shutdown", call!(no_args, handle::shutdown)),
    Function::stock(c"_make_thread_handle", call!(object, handle::make_thread_handle)),
    Function::stock(c"_get_main_thread_ident", call!(no_args, functions::get_main_thread_ident)),
    Function::stock(c"set_name", call!(var_keywords, os_thread_name::set_name)),
    Function::stock(c"_get_name", call!(no_args, os_thread_name::get_name)),
    Function {
        name: c"_set_sentinel",
        call: call!(no_args, sentinel::set_sentinel),
        doc: Doc::StockOr(
            c"_set_sentinel($module, /)\n--\n\n\
            Return a new lock that is released when the calling thread's state is gone.\n\n\
            The lock is not locked at first: a thread that is to wait for this one acquires it,\n\
            and then acquires it again. Kept from CPython 3.12, where threading joins with it.",
        ),
    },
];

/// Functions for the package `rthread`. They stand in for no function of the stock module.
const OWN_FUNCTIONS: &[Function] = &[
    Function {
        name: c"__threads__",
        call: call!(no_args, debug::threads),
        doc: Doc::Own(
            c"__threads__($module, /)\n--\n\n\
            List the threads that rthread knows, and what each waits for; see rthread.debug.",
        ),
    },
    Function {
        name: c"__held_locks__",
        call: call!(no_args, debug::held_locks),
        doc: Doc::Own(
            c"__held_locks__($module, /)\n--\n\n\
            List the locks that are held, and their owners; see rthread.debug.",
        ),
    },
    Function {
        name: c"__owner__",
        call: call!(object, debug::owner),
        doc: Doc::Own(
            c"__owner__($module, lock, /)\n--\n\n\
            Tell number and identifier of the owner of a lock, and whether `with` took it.",
        ),
    },
    Function {
        name: c"__record_sites__",
        call: call!(object, debug::record_sites),
        doc: Doc::Own(
            c"__record_sites__($module, on, /)\n--\n\n\
            Record where locks are taken and made, or do not. Return whether that was done before.",
        ),
    },
    Function {
        name: c"__taken_at__",
        call: call!(object, debug::taken_at),
        doc: Doc::Own(
            c"__taken_at__($module, lock, /)\n--\n\n\
            Tell where and when a lock was taken, if that was recorded.",
        ),
    },
    Function {
        name: c"__made_at__",
        call: call!(object, debug::made_at),
        doc: Doc::Own(
            c"__made_at__($module, lock, /)\n--\n\n\
            Tell where a lock was made, if that was recorded.",
        ),
    },
    Function {
        name: c"__on_deadlock__",
        call: call!(object, debug::on_deadlock),
        doc: Doc::Own(
            c"__on_deadlock__($module, hook, /)\n--\n\n\
            Call a function in each thread that is about to close a deadlock; None for no function.",
        ),
    },
    Function {
        name: c"__is_left_behind__",
        call: call!(object, debug::is_left_behind),
        doc: Doc::Own(
            c"__is_left_behind__($module, number, /)\n--\n\n\
            Tell whether a thread that does not exist was left behind by a fork.",
        ),
    },
    Function {
        name: c"__read_memory__",
        call: call!(var_args, debug::read_memory),
        doc: Doc::Own(
            c"__read_memory__($module, pid, address, size, /)\n--\n\n\
            Read bytes of another process.",
        ),
    },
    #[cfg(unix)]
    Function {
        name: c"__register_signal__",
        call: call!(var_args, debug::register_signal),
        doc: Doc::Own(
            c"__register_signal__($module, signum, fd, chain, report, /)\n--\n\n\
            Have a signal write the bytes that a function returns; see rthread.debug.register.",
        ),
    },
    #[cfg(unix)]
    Function {
        name: c"__unregister_signal__",
        call: call!(object, debug::unregister_signal),
        doc: Doc::Own(
            c"__unregister_signal__($module, signum, /)\n--\n\n\
            End that, and tell whether the signal was registered.",
        ),
    },
    Function {
        name: c"__make_native__",
        call: call!(var_args, threading::make_native),
        doc: Doc::Own(
            c"__make_native__($module, classes, helpers, /)\n--\n\n\
            Make native types for the Python classes in a dict; see rthread._native.",
        ),
    },
    Function {
        name: c"__keep_threads__",
        call: call!(var_args, functions::keep_threads),
        doc: Doc::Own(
            c"__keep_threads__($module, number, /)\n--\n\n\
            Keep up to so many finished threads for the next starts; 0 ends those that are kept.",
        ),
    },
    Function {
        name: c"__kept_threads__",
        call: call!(no_args, functions::kept_threads),
        doc: Doc::Own(
            c"__kept_threads__($module, /)\n--\n\n\
            Tell how many threads are kept, how many starts kept threads have served in this process,\n\
            and how many of these with the thread state of the start before.",
        ),
    },
];

/// The version of rthread.
const VERSION: &CStr =
    match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => panic!("a version has no NUL"),
    };

unsafe extern "C-unwind" fn exec(module: *mut PyObject) -> c_int {
    // SAFETY: called by the import system, attached, once, with zeroed state.
    unsafe {
        let py = Attached::assume();
        let Ok(lifetime) = Lifetime::new(py) else { return -1 };
        let state = ffi::PyModule_GetState(module).cast::<State>();
        state.write(State::new(lifetime, threading::event_inside));
        into_status(set_up(py, Module::assume(Borrowed::assume(module))))
    }
}

/// Fills the state of a new module, and the module. The state owns every object that is made here,
/// also after a failure.
fn set_up(py: Attached<'_>, module: Module<'_>) -> Result<(), Raised> {
    abort_on_panic();
    blocking::prepare();
    debug::publish();
    let state = State::of(module);
    state.stock.fill(py, stock::import(py)?);
    let stock = state.stock.get().ok_or_else(|| gone(py))?;
    fill(py, module.object(), state, stock)?;
    publish(py, module.object(), state, stock)?;
    fork::register_in_python(py)?;
    fork::register();
    Ok(())
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

/// Fills the state.
fn fill(
    py: Attached<'_>,
    module: Borrowed<'_>,
    state: &State,
    stock: Borrowed<'_>,
) -> Result<(), Raised> {
    state.lock_type.fill(py, lock::make_type(py, module, stock)?);
    state.rlock_type.fill(py, rlock::make_type(py, module, stock)?);
    state.local_type.fill(py, local::make_type(py, module, stock)?);
    state.handle_type.fill(py, handle::make_type(py, module, stock)?);
    state.tss_type.fill(py, tss::make_type(py, module)?);
    let (key, sentinel) = keys::make_types(py, module)?;
    state.key_type.fill(py, key);
    state.sentinel_type.fill(py, sentinel);
    state.qualname_name.fill(py, py.name(c"__qualname__")?);
    state.started_name.fill(py, py.name(c"_started")?);
    state.ident_name.fill(py, py.name(c"_ident")?);
    // A plain `object`, not an object of one of our types: that would refer to its type, and the
    // collector could not see the reference.
    state.slot.fill(py, Class::base_object().object().call(py, &[])?);
    let Some(args) = stock::type_named(py, stock, c"_ExceptHookArgs") else {
        return Err(py.raise(Exception::Import, c"_thread has no _ExceptHookArgs"));
    };
    state.excepthook_type.fill(py, args);
    state.name_limit.set(stock_integer(py, stock, c"_NAME_MAXLEN").unwrap_or(usize::MAX));
    Ok(())
}

fn stock_integer(py: Attached<'_>, stock: Borrowed<'_>, name: &CStr) -> Option<usize> {
    let value = stock.attribute_named(py, name).and_then(|object| {
        let value = object.borrow().to_unsigned(py);
        object.release(py);
        value
    });
    if value.is_err() {
        py.clear_error();
    }
    usize::try_from(value.ok()?).ok()
}

/// Puts the names into the module.
fn publish(
    py: Attached<'_>,
    module: Borrowed<'_>,
    state: &State,
    stock: Borrowed<'_>,
) -> Result<(), Raised> {
    add_functions(py, module, stock)?;
    add_class(py, module, c"TSS", &state.tss_type)?;
    // Names of rthread's own objects, published only where the stock module has the name too.
    for (name, class) in [
        (c"lock", &state.lock_type),
        (c"LockType", &state.lock_type),
        (c"RLock", &state.rlock_type),
        (c"_local", &state.local_type),
        (c"_ThreadHandle", &state.handle_type),
    ] {
        if has(py, stock, name) {
            add_class(py, module, name, class)?;
        }
    }
    // The constants and the exception come from the interpreter.
    for name in [c"error", c"TIMEOUT_MAX", c"_ExceptHookArgs", c"_NAME_MAXLEN"] {
        match stock.attribute_named(py, name) {
            Ok(object) => add_new(py, module, name, object)?,
            Err(Raised) => py.clear_error(),
        }
    }
    add_new(py, module, c"__is_main__", py.bool(py.is_in_main_interpreter()))?;
    add_new(py, module, c"__version__", py.string(VERSION)?)?;
    add_new(py, module, c"__doc__", stock.attribute_named(py, c"__doc__")?)
}

/// Adds the functions with `_thread` as their module, like the types and like the stock functions
/// that they stand in for. `PyModule_AddFunctions` would write `rthread._rthread` there.
fn add_functions(
    py: Attached<'_>,
    module: Borrowed<'_>,
    stock: Borrowed<'_>,
) -> Result<(), Raised> {
    let home = py.name(c"_thread")?;
    let added = [FUNCTIONS, OWN_FUNCTIONS].into_iter().try_for_each(|functions| {
        let table = static_tables::methods(py, functions, Some(stock));
        add_table(py, module, table, home.borrow())
    });
    home.release(py);
    added
}

fn add_table(
    py: Attached<'_>,
    module: Borrowed<'_>,
    mut definition: *mut ffi::PyMethodDef,
    home: Borrowed<'_>,
) -> Result<(), Raised> {
    // SAFETY: attached; the table lives for ever and ends with a null name.
    unsafe {
        while !(*definition).ml_name.is_null() {
            let name = CStr::from_ptr((*definition).ml_name);
            let (this, home) = (module.as_ptr(), home.as_ptr());
            add_new(py, module, name, py.own(ffi::PyCFunction_NewEx(definition, this, home))?)?;
            definition = definition.add(1);
        }
    }
    Ok(())
}

/// Whether the module has this name.
fn has(py: Attached<'_>, module: Borrowed<'_>, name: &CStr) -> bool {
    match module.attribute_named(py, name) {
        Ok(found) => {
            found.release(py);
            true
        }
        Err(Raised) => {
            py.clear_error();
            false
        }
    }
}

fn add_class(
    py: Attached<'_>,
    module: Borrowed<'_>,
    name: &CStr,
    class: &ClassField,
) -> Result<(), Raised> {
    let class = class.get().ok_or_else(|| gone(py))?;
    module.set_attribute_named(py, name, class.object())
}

fn add_new(
    py: Attached<'_>,
    module: Borrowed<'_>,
    name: &CStr,
    object: Owned,
) -> Result<(), Raised> {
    let added = module.set_attribute_named(py, name, object.borrow());
    object.release(py);
    added
}

/// The state of a module; None before it is written and after it is dropped.
///
/// # Safety
/// The module.
unsafe fn live_state(module: *mut PyObject) -> Option<NonNull<State>> {
    // SAFETY: as the caller promises. The memory of a state is zeroed before the state is written.
    unsafe {
        let state = NonNull::new(ffi::PyModule_GetState(module).cast::<State>())?;
        (*state.as_ptr()).live.then_some(state)
    }
}

unsafe extern "C-unwind" fn traverse(
    module: *mut PyObject,
    visit: ffi::visitproc,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: called by the collector with the module.
    unsafe {
        let Some(state) = live_state(module) else { return 0 };
        let visitor = Visitor::assume(visit, arg);
        let mut visits = state.as_ref().fields().map(|field| visitor.visit(field.get()));
        visits.find(|&stop| stop != 0).unwrap_or(0)
    }
}

unsafe extern "C-unwind" fn clear(module: *mut PyObject) -> c_int {
    // SAFETY: called by the collector or by `free` with the module, attached.
    unsafe {
        let py = Attached::assume();
        if let Some(state) = live_state(module) {
            state.as_ref().natives.end(py);
            for field in state.as_ref().fields() {
                field.clear(py);
            }
        }
    }
    0
}

unsafe extern "C-unwind" fn free(module: *mut c_void) {
    // SAFETY: called once, at the module's end.
    unsafe {
        clear(module.cast());
        if let Some(state) = live_state(module.cast()) {
            (*state.as_ptr()).live = false;
            ptr::drop_in_place(state.as_ptr());
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
