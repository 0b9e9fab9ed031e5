import sys

from rthread import queue as queue
from rthread import threading as threading
from rthread._install import PatchedWarning as PatchedWarning
from rthread._install import install as install
from rthread._install import is_installed as is_installed
from rthread._install import stock as stock
from rthread._install import uninstall as uninstall
from rthread._report import Report as _Report
from rthread._rthread import TIMEOUT_MAX as TIMEOUT_MAX
from rthread._rthread import TSS as TSS
from rthread._rthread import LockType as LockType
from rthread._rthread import RLock as RLock
from rthread._rthread import _count as _count
from rthread._rthread import _excepthook as _excepthook
from rthread._rthread import _ExceptHookArgs as _ExceptHookArgs
from rthread._rthread import _local as _local
from rthread._rthread import _set_sentinel as _set_sentinel
from rthread._rthread import allocate as allocate
from rthread._rthread import allocate_lock as allocate_lock
from rthread._rthread import error as error
from rthread._rthread import exit as exit
from rthread._rthread import exit_thread as exit_thread
from rthread._rthread import get_ident as get_ident
from rthread._rthread import get_native_id as get_native_id
from rthread._rthread import interrupt_main as interrupt_main
from rthread._rthread import stack_size as stack_size
from rthread._rthread import start_new as start_new
from rthread._rthread import start_new_thread as start_new_thread

if sys.version_info >= (3, 12):
    from rthread._rthread import _is_main_interpreter as _is_main_interpreter
    from rthread._rthread import daemon_threads_allowed as daemon_threads_allowed

if sys.version_info >= (3, 13):
    from rthread._rthread import _get_main_thread_ident as _get_main_thread_ident
    from rthread._rthread import _make_thread_handle as _make_thread_handle
    from rthread._rthread import _shutdown as _shutdown
    from rthread._rthread import _ThreadHandle as _ThreadHandle
    from rthread._rthread import lock as lock
    from rthread._rthread import start_joinable_thread as start_joinable_thread

if sys.version_info >= (3, 14):
    from rthread._rthread import _NAME_MAXLEN as _NAME_MAXLEN
    from rthread._rthread import _get_name as _get_name
    from rthread._rthread import set_name as set_name

__version__: str

def report() -> _Report: ...
def __dir__() -> list[str]: ...
