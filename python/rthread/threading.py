"""The interpreter's own ``threading``, on rthread.

Nothing of it is copied: `rthread._shim` runs the source that the interpreter came with once more,
here, with rthread in the place of ``_thread``. So this module is exact on every version, and
``help(rthread.threading)`` shows the interpreter's own text.
"""

from rthread._shim import load as _load

_load(globals())
