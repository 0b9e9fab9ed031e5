"""What the sources of `src/` have to keep to, beside the compiler."""
