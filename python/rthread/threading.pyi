# The same names as the interpreter's own module, by construction: see threading.py.
from threading import *
from threading import ThreadError as ThreadError
from threading import __all__ as __all__
