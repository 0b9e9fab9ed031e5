"""What `rthread.debug` is to watch in a program that runs on rthread: deadlocks, sites, a signal.

`rthread.debug` is loaded only where it is needed.
"""

import sys

from rthread import _rthread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "dump_on",
    "follow_environment",
    "record_sites",
    "warn_of_deadlocks",
    "warns_of_deadlocks",
    "watch_deadlocks",
]

# In the extension module, as the state of `_install`: it belongs to the process.
_state: "dict[str, Any]" = vars(_rthread).setdefault(
    "__watch_state__", {"warns": False, "dump_on": None}
)


def follow_environment() -> None:
    """Watch what the environment variables ask for."""
    from rthread import _settings

    policy = _settings.chosen_policy()
    if policy is not None:
        watch_deadlocks(policy)
    if _settings.chosen(None, _settings.RECORD_SITES, False):
        record_sites()
    signum = _settings.chosen_signal()
    if signum is not None:
        dump_on(signum)


def watch_deadlocks(policy: str) -> None:
    """Set what happens at a deadlock, see `rthread.debug.set_deadlock_policy`."""
    if policy != "off" or "rthread.debug" in sys.modules:
        from rthread import debug

        debug.set_deadlock_policy(policy)  # type: ignore[arg-type]


def record_sites() -> None:
    """Record where locks are taken and made, see `rthread.debug.record_sites`."""
    from rthread import debug

    debug.record_sites(True)


def warn_of_deadlocks() -> None:
    """Set the policy "warn", and load `rthread.debug` only for the first deadlock."""
    if "rthread.debug" in sys.modules:
        watch_deadlocks("warn")
    else:
        _state["warns"] = True
        _rthread.__on_deadlock__(_first_deadlock)


def warns_of_deadlocks() -> bool:
    """Tell whether `warn_of_deadlocks` was called before `rthread.debug` was loaded."""
    return bool(_state["warns"])


def _first_deadlock(cycle: "list[tuple[int, int, int, Any]]", may_raise: bool) -> None:
    from rthread.debug import _policy

    _policy.set_deadlock_policy("warn")
    _policy.on_deadlock(cycle, may_raise)


def dump_on(signum: int) -> None:
    """Have a signal write a report to standard error, in the place of the one before."""
    if not vars(_rthread)["__is_main__"]:
        return
    from rthread import debug

    former = _state["dump_on"]
    if former not in (None, signum):
        debug.unregister(former)
    # Not the descriptor 2: in a process that was started without standard error it is another file.
    file = sys.__stderr__
    if file is not None and not file.closed:
        debug.register(signum, file)
        _state["dump_on"] = signum
