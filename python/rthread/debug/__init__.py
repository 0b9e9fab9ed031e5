"""Tells which thread holds what, which waits for what, and which threads wait in vain.

`dump` writes a report on all threads; `owner`, `waiters` and `held_by` answer single questions;
`find_deadlocks` and `find_stuck` return what is wrong; and `set_deadlock_policy` chooses what
happens when a thread is about to close a deadlock. `register` has a signal write the report. All
of it sees the locks, waits and threads of rthread. ``rthread.install()`` makes those all that a
program creates afterwards.
"""

import sys as _sys

from rthread.debug._ask import find_deadlocks, find_stuck, held_by, owner, waiters
from rthread.debug._dump import dump
from rthread.debug._given import name
from rthread.debug._policy import deadlock_policy, record_sites, set_deadlock_policy
from rthread.debug._results import Deadlock, DeadlockError, Owner, Stuck, Wait

__all__ = [
    "Deadlock",
    "DeadlockError",
    "Owner",
    "Stuck",
    "Wait",
    "deadlock_policy",
    "dump",
    "find_deadlocks",
    "find_stuck",
    "held_by",
    "name",
    "owner",
    "record_sites",
    "set_deadlock_policy",
    "waiters",
]

# As in faulthandler, the functions do not exist on Windows.
if _sys.platform != "win32":
    from rthread.debug._signals import register as register
    from rthread.debug._signals import unregister as unregister

    __all__ += ["register", "unregister"]
