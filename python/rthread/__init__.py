"""CPython's ``_thread`` and ``threading`` on a core written in Rust."""
