"""The extension module: CPython's ``_thread``, written in Rust.

It has the names that the running interpreter's ``_thread`` has, so some of those below exist from
some version of Python on only. `_set_sentinel` and `TSS` exist on every version. Durations are
seconds throughout.
"""

import sys
from _thread import _ExceptHookArgs as _ExceptHookArgs
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, NoReturn, final, overload, type_check_only

from typing_extensions import Self, TypeVarTuple, Unpack, disjoint_base

_Ts = TypeVarTuple("_Ts")

__version__: Final[str]

error = RuntimeError
"""The exception of operations on locks and threads: another name of ``RuntimeError``."""

TIMEOUT_MAX: Final[float]
"""The longest time-out that ``acquire`` takes, in seconds; a longer one is an OverflowError."""

@type_check_only
class _LockMethods:
    # One text for the class that is called `lock` from 3.13 on, and LockType only before.
    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take the lock, and wait for it if another holder has it.

        A signal handler that raises while the main thread waits here ends the wait, and the lock
        is not taken. A waiter that has waited for about a millisecond comes before newcomers.

        Args:
            blocking: when false, do not wait at all. Any object will do, by its truth value.
            timeout: how many seconds to wait at most. -1, as an int or a float, means no limit.

        Returns:
            True if the lock was taken, False if it was not within the time.

        Raises:
            ValueError: `timeout` is negative but not -1, is NaN, or comes with ``blocking=False``.
            OverflowError: `timeout` is above `TIMEOUT_MAX`.
        """
    def release(self) -> None:
        """Free the lock, and wake one of the threads that wait for it.

        Any thread may do this, not only the one that has taken the lock.

        Raises:
            RuntimeError: the lock is free.
        """
    def locked(self) -> bool:
        """Tell whether the lock is taken at this moment."""
    def acquire_lock(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Old spelling of `acquire`."""
    def release_lock(self) -> None:
        """Old spelling of `release`."""
    def locked_lock(self) -> bool:
        """Old spelling of `locked`."""
    def __enter__(self) -> bool:
        """Take the lock, without a limit in time."""
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        exc_tb: TracebackType | None,
        /,
    ) -> None:
        """Free the lock, whether or not the block raised; the exception goes on."""
    def _at_fork_reinit(self) -> None:
        """Make the lock free and without waiters, whatever its state was.

        For a process just forked, where the threads that held it or waited for it do not exist.
        """

if sys.version_info >= (3, 13):
    @final
    class lock(_LockMethods):
        """A lock that is taken or free, belongs to no thread, and is not recursive."""

        def __new__(cls) -> Self: ...

    LockType = lock
    """The type of locks."""
else:
    @final
    class LockType(_LockMethods):
        """A lock that is taken or free, belongs to no thread, and is not recursive.

        Not to be called before 3.13: `allocate_lock` makes one.
        """

def allocate_lock() -> LockType:
    """Make a new lock, which is free."""

def allocate() -> LockType:
    """Old spelling of `allocate_lock`."""

@disjoint_base
class RLock:
    """A lock that its owner can take again, and frees when it has released it as often."""

    if sys.version_info >= (3, 15):
        def __new__(cls) -> Self: ...
    else:
        # Up to 3.14 arguments are ignored: gh-102029.
        def __new__(cls, *args: Any, **kwargs: Any) -> Self: ...

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take the lock, or count one more if this thread owns it already.

        Arguments, interruption and errors are those of a plain lock's ``acquire``.

        Returns:
            True if this thread now owns the lock, False if it was not free within the time.

        Raises:
            ValueError, OverflowError: as for a plain lock.
            OverflowError: the count cannot grow further.
        """
    def release(self) -> None:
        """Count one less, and free the lock at zero.

        Raises:
            RuntimeError: this thread does not own the lock.
        """
    def __enter__(self) -> bool:
        """Take the lock, without a limit in time."""
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        exc_tb: TracebackType | None,
        /,
    ) -> None:
        """Count one less, whether or not the block raised; the exception goes on."""
    def _acquire_restore(self, state: tuple[int, int], /) -> None:
        """Take the lock back as `_release_save` left it.

        It waits without limit, and signals do not end the wait: ``Condition.wait`` has to own its
        lock again when it returns, whatever happens (gh-118433).

        Args:
            state: the result of `_release_save`: the count and the ident of the owner.
        """
    def _release_save(self) -> tuple[int, int]:
        """Free the lock at once, however often it was taken.

        Returns:
            The count and the ident of the owner, for `_acquire_restore`.

        Raises:
            RuntimeError: no thread owns the lock.
        """
    def _is_owned(self) -> bool:
        """Tell whether the calling thread owns the lock."""
    if sys.version_info >= (3, 11):
        def _recursion_count(self) -> int:
            """Tell how often the calling thread has taken the lock: 0 if it does not own it."""
    if sys.version_info >= (3, 14):
        def locked(self) -> bool:
            """Tell whether any thread owns the lock at this moment."""

    def _at_fork_reinit(self) -> None:
        """Make the lock free and without waiters, for a process just forked."""

@disjoint_base
class _local:
    """Attributes of which every thread has its own.

    A subclass with an ``__init__`` has it called again in each thread that uses the object, with
    the arguments it was made with. Values go when their thread ends, or the object does.

    Raises:
        TypeError: there are arguments but no ``__init__`` to take them.
    """

    def __getattribute__(self, name: str, /) -> Any: ...
    def __setattr__(self, name: str, value: Any, /) -> None: ...
    def __delattr__(self, name: str, /) -> None: ...

@overload
def start_new_thread(function: Callable[[Unpack[_Ts]], object], args: tuple[Unpack[_Ts]], /) -> int:
    """Start a thread that calls a function, and forget about it.

    The result of the function is dropped. SystemExit ends the thread in silence; any other
    exception goes to ``sys.unraisablehook``. The interpreter does not wait for the thread at exit.

    Args:
        function: the function to call.
        args: its positional arguments.
        kwargs: its keyword arguments; there are none if left out.

    Returns:
        The ident of the thread, as its own `get_ident` gives it.

    Raises:
        TypeError: an argument is of the wrong type.
        RuntimeError: the operating system refuses a thread, or (3.12 and 3.13) the interpreter is
            about to end.
        PythonFinalizationError: (from 3.14 on) the interpreter is about to end.
    """

@overload
def start_new_thread(
    function: Callable[..., object], args: tuple[Any, ...], kwargs: dict[str, Any], /
) -> int: ...
@overload
def start_new(function: Callable[[Unpack[_Ts]], object], args: tuple[Unpack[_Ts]], /) -> int:
    """Old spelling of `start_new_thread`."""

@overload
def start_new(
    function: Callable[..., object], args: tuple[Any, ...], kwargs: dict[str, Any], /
) -> int: ...
def exit() -> NoReturn:
    """End the calling thread: raises SystemExit, which a thread can also catch."""

def exit_thread() -> NoReturn:
    """Old spelling of `exit`."""

def get_ident() -> int:
    """Return the ident of the calling thread.

    It is not zero, means nothing outside of the process, and can be given to a new thread when
    this one has ended.
    """

def get_native_id() -> int:
    """Return the number by which the operating system's own tools know the calling thread."""

def stack_size(size: int = 0, /) -> int:
    """Set the stack size of threads that are started from now on, and return the former size.

    Args:
        size: bytes, at least 32 KiB; 0 stands for the default of the system.

    Returns:
        The size in force before the call, in bytes; 0 stands for the system's own.

    Raises:
        ValueError: the size is one that the system cannot give.
    """

def interrupt_main(signum: int = ..., /) -> None:
    """Have the main thread run a signal's Python handler, as if the signal had come.

    Nothing happens if the signal is ignored or left to the system.

    Args:
        signum: the number of the signal, SIGINT unless given.

    Raises:
        ValueError: there is no such signal.
    """

def _count() -> int:
    """Tell how many threads run that were started here, through whichever function."""

def _excepthook(args: _ExceptHookArgs, /) -> None:
    """Write the exception of a failed thread to ``sys.stderr``; ``threading.excepthook`` is this.

    Args:
        args: the type of the exception, the exception, its traceback, and the thread. Nothing is
            written for SystemExit.

    Raises:
        TypeError: `args` is of another type.
    """

def _set_sentinel() -> LockType:
    """Make the lock that tells of the end of the calling thread.

    The caller takes it. It is released when the state of the thread is gone. So a thread that gets
    the lock then knows that nothing of the ended thread runs any more. CPython had this up to 3.12.
    A thread has one such lock: an earlier one is forgotten.

    Returns:
        A new lock, which is free.
    """

if sys.version_info >= (3, 12):
    def daemon_threads_allowed() -> bool:
        """Tell whether this interpreter lets threads run that it does not wait for at exit."""

    def _is_main_interpreter() -> bool:
        """Tell whether the caller runs in the main interpreter, not in a sub-interpreter."""

if sys.version_info >= (3, 13):
    @final
    class _ThreadHandle:
        """A thread that can be joined; nothing yet until `start_joinable_thread` is given it."""

        def __new__(cls) -> Self: ...
        @property
        def ident(self) -> int:
            """The ident of the thread, or 0 while there is none."""

        def is_done(self) -> bool:
            """Tell whether the thread has ended and nothing of it is left."""

        def join(self, timeout: float | None = None, /) -> None:
            """Wait until the thread has ended; any number of threads may do so.

            Args:
                timeout: how many seconds to wait at most. None or a negative number: no limit.

            Raises:
                RuntimeError: the thread was never started, or is the calling one.
                PythonFinalizationError: (from 3.14 on) a daemon thread is to be joined while the
                    interpreter ends.
            """

        def _set_done(self) -> None:
            """Mark the thread as ended, and wake the threads that join it.

            At exit this is done for the main thread, because those threads would not run any more
            when it has ended.

            Raises:
                RuntimeError: the thread was never started.
            """

    def start_joinable_thread(
        function: Callable[[], object], handle: _ThreadHandle | None = None, daemon: bool = True
    ) -> _ThreadHandle:
        """Start a thread that calls a function, and that can be joined.

        The fate of results and exceptions is as with `start_new_thread`.

        Args:
            function: the function to call, without arguments.
            handle: a handle that stands for no thread yet; a new one is made if left out.
            daemon: when false, the interpreter waits for the thread before it exits.

        Returns:
            The handle.

        Raises:
            TypeError: `function` cannot be called, or `handle` is not a handle of this module.
            RuntimeError: the handle stands for a thread already, daemon threads are not allowed
                here, or the operating system refuses a thread. The handle is done then.
            PythonFinalizationError: (from 3.14 on) the interpreter is about to end.
        """

    def _make_thread_handle(ident: int, /) -> _ThreadHandle:
        """Make a handle for a thread that runs already, such as the main one.

        Args:
            ident: the result of `get_ident` in that thread.
        """

    def _get_main_thread_ident() -> int:
        """Return the ident of the main thread."""

    def _shutdown() -> None:
        """Wait for the end of every thread that was started with ``daemon=False``.

        The interpreter calls it at exit. An exception from Ctrl-C in here is reported as
        unraisable, and ends the wait for that thread.
        """

if sys.version_info >= (3, 14):
    _NAME_MAXLEN: Final[int]
    """How many bytes of a name `set_name` passes on; longer ones are cut off."""

    def set_name(name: str) -> None:
        """Tell the operating system a name for the calling thread.

        Args:
            name: the name; characters that the system cannot take are replaced.

        Raises:
            OSError: the system refuses it.
        """

    def _get_name() -> str:
        """Ask the operating system for the name of the calling thread.

        Raises:
            OSError: the system does not tell.
        """

def __keep_threads__(number: int, /) -> None:
    """Keep up to so many finished threads for the next starts; for `rthread.install`.

    Args:
        number: how many threads of the operating system may wait, each for a second. 0 ends those
            that wait.

    Raises:
        ValueError: the number is negative.
    """

def __kept_threads__() -> tuple[int, int, int]:
    """Tell the results of `__keep_threads__` in this process.

    Returns:
        How many threads wait at this moment, how many starts such threads have served, and how
        many of these with the thread state of the start before.
    """

@final
class TSS:
    """A key under which every thread can keep one value of its own.

    It is the interpreter's Thread Specific Storage (``Py_tss_t``) as an object: `create` makes the
    key, each thread may `set` and `get`, and `delete` ends it. A value goes when its thread ends,
    when it is replaced, or when the key is deleted or dies.
    """

    def __new__(cls) -> Self: ...
    def create(self) -> None:
        """Make the key usable; on a key that is usable already this has no effect."""

    @property
    def is_created(self) -> bool:
        """Whether the key is usable: between `create` and `delete`."""

    def set(self, value: object, /) -> None:
        """Keep a value for the calling thread, in the place of its former one.

        Raises:
            RuntimeError: the key is not usable.
        """

    def get(self) -> Any:
        """Return the calling thread's value, or None if it has set none.

        Raises:
            RuntimeError: the key is not usable.
        """

    def delete(self) -> None:
        """End the key: every thread's value goes. `create` makes it usable again, and empty."""

def __threads__() -> list[tuple[int, int, int, int, int, object, int, int, int, int, int, bool]]:
    """List the threads that rthread knows, as they were at one moment.

    Returns:
        A tuple for each thread: its number in rthread, its identifier, its number for the operating
        system, the stage of its wait (0 none, 1 waits, 2 attaches, 3 runs signal handlers), why it
        waits (see `sync::WaitKind`), the object that it waits for or None, since when in
        nanoseconds of ``time.monotonic_ns``, 1 if the wait has a time-out, the number of the wait,
        number and identifier of the thread that has the object or 0, and whether no other thread
        can end the wait.
    """

def __held_locks__() -> list[tuple[object, int, int, bool, int]]:
    """List the locks and RLocks of this interpreter that are held at this moment.

    Returns:
        A tuple for each: the lock, number and identifier of its owner (0 if they are not known or
        the owner has ended), whether the owner took it by a ``with`` statement, and how often.
    """

def __owner__(lock: object, /) -> tuple[int, int, bool] | None:
    """Tell which thread holds a lock or RLock.

    Returns:
        Number and identifier of the owner, 0 if they are not known, and whether the owner took the
        lock by a ``with`` statement. None if the lock is free.

    Raises:
        TypeError: it is no lock of rthread.
    """

def __on_deadlock__(
    hook: Callable[[list[tuple[int, int, int, object]], bool], object] | None, /
) -> None:
    """Set the function that is called in a thread whose wait would close a deadlock.

    The function gets the circle, as tuples of number, identifier, why the thread waits and for what
    object, and whether an exception of the function ends the wait. It is called before the thread
    waits. None for no function; then no deadlock is looked for.
    """

def __record_sites__(on: bool, /) -> bool:
    """Record where locks and RLocks are taken and made, or do so no more.

    Returns:
        Whether that was recorded before.
    """

def __taken_at__(lock: object, /) -> tuple[str, int, str, int] | None:
    """Tell where and when the owner of a lock took it.

    Returns:
        File, line, function, and the time as of ``time.monotonic_ns``. None if the lock is free, or
        if that was not recorded.

    Raises:
        TypeError: it is no lock of rthread.
    """

def __made_at__(lock: object, /) -> tuple[str, int, str] | None:
    """Tell where a lock was made.

    Returns:
        File, line and function. None if that was not recorded.

    Raises:
        TypeError: it is no lock of rthread.
    """

def __is_left_behind__(number: int, /) -> bool:
    """Tell whether a thread that does not exist was left behind by a fork of this process."""

def __read_memory__(pid: int, address: int, size: int, /) -> bytes:
    """Read memory of a process, by ``process_vm_readv``. On Linux only.

    Raises:
        OSError: not all of these bytes can be read; with the system's reason.
    """

if sys.platform != "win32":
    def __register_signal__(
        signum: int, fd: int, chain: bool, report: Callable[[], bytes], /
    ) -> None:
        """Have a signal write a report to a file descriptor; for `rthread.debug.register`.

        Args:
            signum: the signal.
            fd: the descriptor. If it is that of another file later, nothing is written.
            chain: whether the signal is handled as before, too.
            report: makes the report, in a thread of its own, for all signals.

        Raises:
            OSError: the descriptor is not open, or the signal cannot be caught.
            RuntimeError: no thread can be started, or the caller is in a sub-interpreter.
        """

    def __unregister_signal__(signum: int, /) -> bool:
        """End that, and tell whether the signal was registered."""
