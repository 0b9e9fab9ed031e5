"""What Linux tells of another process: its memory, what is mapped there, and its threads.

Nothing here disturbs the process. It gets no signal, is not stopped, and no byte of it is written.
"""

import errno
import os
from typing import NamedTuple

from rthread import _rthread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CannotLook", "Mapping", "Process", "Task"]

# Only on Linux; the file is read where the call is missing or refused.
_read_memory: "Callable[[int, int, int], bytes] | None" = getattr(_rthread, "__read_memory__", None)

# The memory of a process ends there, with the larger page tables, too.
_END_OF_MEMORY = 1 << 56
_MOST_BYTES = 1 << 24

_DELETED = " (deleted)"


class CannotLook(Exception):
    """The sentence that says why a process cannot be looked at."""


class Mapping(NamedTuple):
    """A part of a process's memory: what file is there, from which of its bytes on."""

    start: int
    end: int
    offset: int
    path: str


class Task(NamedTuple):
    """A thread as Linux knows it.

    Attributes:
        tid: its number in /proc.
        own_tid: its number in the namespace of its process, usually the same.
        comm: its name, of at most 15 bytes.
        state: a letter, as in /proc: R runs, S and D sleep, T is stopped.
        ticks: processor time so far, in units of ``sysconf("SC_CLK_TCK")``.
    """

    tid: int
    own_tid: int
    comm: str
    state: str
    ticks: int


class Process:
    """A process that is looked at.

    Args:
        pid: its number.

    Raises:
        CannotLook: if there is no such process, or if this one may not look at it.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._begun = self._begin()
        self._mem: int | None = None
        status = self._status(f"/proc/{pid}/status")
        group = int(status.get("Tgid", str(pid)))
        if group != pid:
            raise CannotLook(f"{pid} is a thread of process {group}")
        # In a namespace of its own the process has other numbers for its threads.
        self._has_own_numbers = len(status.get("NSpid", "").split()) > 1

    def _begin(self) -> str:
        """When the process began: tells it from another one that has got its number."""
        if not os.path.isdir("/proc/self/task"):
            raise CannotLook("other processes can be read on Linux only, from its /proc")
        fields = _fields_of_stat(self._text(f"/proc/{self.pid}/stat"))
        return fields[19] if len(fields) > 19 else ""

    def has_ended(self) -> bool:
        """Tell whether the process has ended since the first look at it."""
        try:
            fields = _fields_of_stat(self._text(f"/proc/{self.pid}/stat"))
        except CannotLook:
            return True
        return fields[0] in "ZX" or fields[19] != self._begun

    def _text(self, path: str) -> str:
        try:
            with open(path, "rb") as file:
                return file.read().decode("utf-8", "replace")
        except OSError as error:
            raise self.trouble(error) from None

    def trouble(self, error: OSError) -> CannotLook:
        """The sentence for an error of the operating system."""
        pid = self.pid
        if error.errno in (errno.ENOENT, errno.ESRCH):
            if not hasattr(self, "_begun"):
                return CannotLook(f"there is no process {pid}")
            return CannotLook(f"process {pid} has ended")
        if error.errno in (errno.EACCES, errno.EPERM):
            return CannotLook(
                f"no permission to read process {pid}; its user or root may, "
                "unless /proc/sys/kernel/yama/ptrace_scope forbids it"
            )
        return CannotLook(f"process {pid} cannot be read: {error.strerror or error}")

    def _status(self, path: str) -> "dict[str, str]":
        lines = self._text(path).splitlines()
        pairs = (line.partition(":") for line in lines)
        return {name: value.strip() for name, _, value in pairs}

    def mappings(self) -> "list[Mapping]":
        """The files that are mapped into the memory of the process, in the order of addresses.

        Raises:
            CannotLook: if the process has ended, or if this one may not look at it.
        """
        found = []
        for line in self._text(f"/proc/{self.pid}/maps").splitlines():
            # The path may have spaces, and is not there for memory without a file.
            fields = line.split(None, 5)
            if len(fields) < 6 or not fields[5].startswith("/"):
                continue
            start, _, end = fields[0].partition("-")
            path = fields[5].removesuffix(_DELETED)
            found.append(Mapping(int(start, 16), int(end, 16), int(fields[2], 16), path))
        if not found and self.has_ended():
            raise CannotLook(f"process {self.pid} has ended")
        return found

    def read(self, address: int, size: int) -> bytes:
        """Read memory of the process.

        Args:
            address: of the first byte.
            size: the number of bytes.

        Raises:
            OSError: if not all of them can be read.
        """
        if size == 0:
            return b""
        if not 0 < address < _END_OF_MEMORY - size or not 0 < size <= _MOST_BYTES:
            raise OSError(errno.EFAULT, os.strerror(errno.EFAULT))
        content = self._read_by_call(address, size)
        if len(content) != size:
            raise OSError(errno.EFAULT, os.strerror(errno.EFAULT))
        return content

    def _read_by_call(self, address: int, size: int) -> bytes:
        if self._mem is None and _read_memory is not None:
            try:
                return _read_memory(self.pid, address, size)
            except OSError as error:
                # A container may forbid the call and still have the file.
                if error.errno not in (errno.EPERM, errno.ENOSYS):
                    raise
        if self._mem is None:
            self._mem = os.open(f"/proc/{self.pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
        return os.pread(self._mem, size, address)

    def close(self) -> None:
        """Give back what the look at the process has opened."""
        if self._mem is not None:
            os.close(self._mem)
            self._mem = None

    def tasks(self) -> "list[Task]":
        """The threads of the process, its main thread first, the others by their numbers.

        Raises:
            CannotLook: if the process has ended.
        """
        folder = f"/proc/{self.pid}/task"
        try:
            numbers = sorted(map(int, os.listdir(folder)), key=lambda tid: (tid != self.pid, tid))
        except OSError as error:
            raise self.trouble(error) from None
        found = []
        for tid in numbers:
            try:
                text = self._text(f"{folder}/{tid}/stat")
                own_tid = self._own_tid(tid)
            except CannotLook:
                # It has ended meanwhile.
                continue
            fields = _fields_of_stat(text)
            comm = text[text.find("(") + 1 : text.rfind(")")]
            ticks = int(fields[11]) + int(fields[12])
            found.append(Task(tid, own_tid, comm, fields[0], ticks))
        if not found:
            raise CannotLook(f"process {self.pid} has ended")
        return found

    def _own_tid(self, tid: int) -> int:
        """The number of a thread in the namespace of the process."""
        if not self._has_own_numbers:
            return tid
        numbers = self._status(f"/proc/{self.pid}/task/{tid}/status").get("NSpid", "").split()
        return int(numbers[-1]) if numbers else tid

    def monotonic_offset(self) -> int:
        """What the clock of the process is ahead of this one's, in nanoseconds.

        They differ only if one of the two is in a namespace of its own for clocks.
        """
        return self._clock(self.pid) - self._clock("self")

    def _clock(self, pid: "int | str") -> int:
        try:
            lines = self._text(f"/proc/{pid}/timens_offsets").splitlines()
        except CannotLook:
            return 0
        for line in lines:
            fields = line.split()
            if len(fields) == 3 and fields[0] == "monotonic":
                return int(fields[1]) * 1_000_000_000 + int(fields[2])
        return 0


def _fields_of_stat(text: str) -> "list[str]":
    """The fields after the name of the program, which may have spaces and brackets itself."""
    return text[text.rfind(")") + 1 :].split()
