//! Passes the target interpreter's version and build (`Py_3_13`, `Py_GIL_DISABLED`, …) to `cfg`.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "python")]
    {
        pyo3_build_config::use_pyo3_cfgs();
        pyo3_build_config::add_extension_module_link_args();
    }
}
