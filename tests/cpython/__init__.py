"""CPython's own thread tests, on the stock modules and on rthread in one run.

Every test that passes on stock has to pass on rthread. The tests are the running interpreter's
(its `test` package), run by its own regrtest; nothing of them is kept here.
"""
