//! Passes the target interpreter's version and build (`Py_3_13`, `Py_GIL_DISABLED`, …) to `cfg`, and
//! `modelled` where a model checker, `loom` or `shuttle`, takes the place of the machine.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if env::var_os("CARGO_CFG_LOOM").is_some() || env::var_os("CARGO_CFG_SHUTTLE").is_some() {
        println!("cargo::rustc-cfg=modelled");
    }
    #[cfg(feature = "python")]
    {
        pyo3_build_config::use_pyo3_cfgs();
        pyo3_build_config::add_extension_module_link_args();
    }
}
