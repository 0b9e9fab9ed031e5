"""Reads the Python stacks of another process, from CPython 3.13 on.

From 3.13 on the interpreter begins its state, ``_PyRuntime``, with a table of the offsets that a
reader from outside needs. The table itself differs from version to version.

The process runs while it is read. So nothing that comes from its memory is believed: sizes and
lengths have limits, an object is used as code only if its type says that it is, and a stack that
makes no sense is left out with a sentence that says why.
"""

import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    # Bytes of another process: an address and a size, exactly so many bytes or OSError.
    Read = Callable[[int, int], bytes]
    # A file, a line (0 if it is not known), and a function.
    Frame = tuple[str, int, str]

__all__ = ["NoStacks", "PythonThread", "Stacks", "line_of"]

_COOKIE = b"xdebugpy"

# The words of the table by version: the names that are used here, `*` for one word that is not, and
# `*3` for three of them. The first word is the cookie.
_INTERPRETER_3_13 = "* id next threads_head *4 ceval_gil gil * gil_locked gil_holder"
_INTERPRETER_3_14 = "* id next threads_head *5 ceval_gil gil * gil_locked gil_holder *2"
_FRAME_3_13 = "frame_size previous executable instr_ptr * owner"
_FRAME_3_14 = _FRAME_3_13 + " * tlbc_index"
_CODE_3_13 = "code_size filename * qualname linetable firstlineno *3 bytecode"
_CODE_3_14 = _CODE_3_13 + " tlbc"
_START = "cookie version free_threaded *2 interpreters_head"
_THREAD = "thread_size * thread_next * current_frame ident native_id *2"
_THREAD_3_15 = "thread_size * thread_next * current_frame *3 ident native_id *7"
_TYPE = "* ob_type * tp_name"
# In between are tuple, list, set, dict, float and int; before 3.15 without the layout of a class's
# attributes, and before 3.14 without set.
_BYTES_AND_STR = "* bytes_size bytes_start * str_state str_length str_start"
_TABLES = {
    (3, 13): f"{_START} {_INTERPRETER_3_13} {_THREAD} {_FRAME_3_13} {_CODE_3_13} {_TYPE} *2 "
    f"*3 *3 *3 *2 *3 {_BYTES_AND_STR}",
    (3, 14): f"{_START} {_INTERPRETER_3_14} {_THREAD} {_FRAME_3_14} {_CODE_3_14} {_TYPE} *2 "
    f"*3 *3 *4 *3 *2 *3 {_BYTES_AND_STR}",
    (3, 15): f"{_START} {_INTERPRETER_3_14} {_THREAD_3_15} {_FRAME_3_14} {_CODE_3_14} {_TYPE} *4 "
    f"*2 *3 *3 *4 *3 *2 *3 {_BYTES_AND_STR}",
}
_NEWEST = max(_TABLES)

# Pre-releases before a release candidate may have another table under the same version.
_CANDIDATE = 0xC

# From this owner on a frame belongs to the interpreter and not to a Python function.
_OWNED_BY_INTERPRETER = 3
# References on the stack are tagged in their lowest bits.
_TAG_BITS = 3

_MOST_INTERPRETERS = 256
_MOST_THREADS = 100_000
_MOST_FRAMES = 1000
_LONGEST_STRING = 4096
_LONGEST_LINE_TABLE = 1 << 20
_LARGEST_STRUCT = 1 << 16
# So often a stack is read again if the thread has moved on meanwhile.
_TRIES = 3


class NoStacks(Exception):
    """The sentence that says why no stacks can be read from a process."""


class PythonThread:
    """A thread that the interpreter has a state of.

    Attributes:
        ident: as ``threading.get_ident()``.
        native_id: as ``threading.get_native_id()``, in the process's own namespace.
        interpreter: the number of its interpreter, 0 for the main one.
        has_gil: True if it has its interpreter's GIL, None on free-threaded builds.
    """

    __slots__ = ("_state", "has_gil", "ident", "interpreter", "native_id")

    def __init__(
        self, state: int, ident: int, native_id: int, interpreter: int, has_gil: "bool | None"
    ) -> None:
        self._state = state
        self.ident = ident
        self.native_id = native_id
        self.interpreter = interpreter
        self.has_gil = has_gil


class _Code:
    """What is kept of a code object."""

    __slots__ = ("bytecode", "file", "first_line", "function", "line_table", "tlbc")

    def __init__(
        self, file: str, function: str, first_line: int, line_table: bytes, bytecode: int, tlbc: int
    ) -> None:
        self.file = file
        self.function = function
        self.first_line = first_line
        self.line_table = line_table
        self.bytecode = bytecode
        self.tlbc = tlbc


class _Torn(Exception):
    """Memory has not the form that it should have: it has changed during the look."""


class Stacks:
    """The threads of another process and their Python stacks.

    Args:
        read: reads the memory of the process.
        runtime: the address of ``_PyRuntime`` there; 0 if it is not known.
        version: the version of its interpreter, as in ``sys.hexversion``.

    Raises:
        NoStacks: if this interpreter's stacks cannot be read from outside.
        OSError: if the memory cannot be read.
    """

    def __init__(self, read: "Read", runtime: int, version: int) -> None:
        self._read = read
        self._offsets = _offsets_of(read, runtime, version)
        self._free_threaded = bool(self._offsets["free_threaded"])
        # Without a GIL the state of a string begins with a byte of its own from 3.14 on.
        by_byte = self._free_threaded and _release_of(version) >= (3, 14)
        self._kind_shift = 8 if by_byte else 2
        self._runtime = runtime
        self._codes: dict[int, _Code] = {}
        self._code_type = 0

    def threads(self) -> "list[PythonThread]":
        """The threads of all interpreters that have a state at this moment.

        Raises:
            NoStacks: if the list of the threads makes no sense.
            OSError: if the memory cannot be read.
        """
        for _ in range(_TRIES):
            try:
                return list(self._threads())
            except (_Torn, OSError):
                # A thread that ends meanwhile has its state freed.
                continue
        try:
            return list(self._threads())
        except _Torn:
            raise NoStacks("the list of threads changed during each look") from None

    def _threads(self) -> "Iterator[PythonThread]":
        offsets = self._offsets
        interpreter = self._word(self._runtime + offsets["interpreters_head"])
        seen = 0
        for _ in range(_MOST_INTERPRETERS):
            if not interpreter:
                return
            number = self._word(interpreter + offsets["id"])
            holder = self._gil_holder(interpreter)
            state = self._word(interpreter + offsets["threads_head"])
            while state:
                seen += 1
                if seen > _MOST_THREADS:
                    raise _Torn
                ident = self._word(state + offsets["ident"])
                native_id = self._word(state + offsets["native_id"])
                has_gil = None if self._free_threaded else state == holder
                # A state that has been made and not yet been taken by its thread has no number.
                if native_id:
                    yield PythonThread(state, ident, native_id, number, has_gil)
                state = self._word(state + offsets["thread_next"])
            interpreter = self._word(interpreter + offsets["next"])
        raise _Torn

    def _gil_holder(self, interpreter: int) -> int:
        """The state of the thread that has the GIL of an interpreter, 0 if it is free."""
        offsets = self._offsets
        gil = self._word(interpreter + offsets["ceval_gil"])
        if not gil or self._free_threaded:
            return 0
        locked = self._number(gil + offsets["gil_locked"] - offsets["gil"], 4)
        if locked != 1:
            return 0
        return self._word(gil + offsets["gil_holder"] - offsets["gil"])

    def stack(self, thread: PythonThread) -> "list[Frame]":
        """The stack of a thread, the innermost call first; empty if no Python code runs in it.

        A thread that runs may have moved on between the looks at two of its frames.

        Raises:
            NoStacks: if what is there is no stack.
        """
        at = thread._state + self._offsets["current_frame"]
        frames: list[Frame] | None = None
        for _ in range(_TRIES):
            try:
                first = self._word(at)
                frames = list(self._frames(first))
                if self._word(at) == first:
                    return frames
            except (_Torn, OSError):
                continue
        if frames is None:
            raise NoStacks("its stack changed during each look")
        return frames

    def _frames(self, frame: int) -> "Iterator[Frame]":
        offsets = self._offsets
        size = offsets["frame_size"]
        for _ in range(_MOST_FRAMES):
            if not frame:
                return
            content = self._read(frame, size)
            if content[offsets["owner"]] < _OWNED_BY_INTERPRETER:
                executable = _word_in(content, offsets["executable"]) & ~_TAG_BITS
                code = self._code(executable)
                start = code.bytecode
                if code.tlbc:
                    (index,) = struct.unpack_from("<i", content, offsets["tlbc_index"])
                    start = self._bytecode_of_thread(code, index)
                offset = _word_in(content, offsets["instr_ptr"]) - start
                line = line_of(code.line_table, code.first_line, offset // 2)
                yield code.file, line, code.function
            frame = _word_in(content, offsets["previous"])
        # The rest of a very deep stack is left out.

    def _bytecode_of_thread(self, code: _Code, index: int) -> int:
        """Without a GIL threads have copies of the bytecode."""
        array = self._word(code.tlbc)
        if not array:
            return code.bytecode
        if not 0 <= index < self._word(array):
            raise _Torn
        return self._word(array + 8 + 8 * index)

    def _code(self, address: int) -> _Code:
        code = self._codes.get(address)
        if code is not None:
            return code
        if not self._is_code(address):
            raise _Torn
        offsets = self._offsets
        content = self._read(address, offsets["code_size"])
        tlbc = offsets.get("tlbc", 0)
        code = _Code(
            self._string(_word_in(content, offsets["filename"])),
            self._string(_word_in(content, offsets["qualname"])),
            int.from_bytes(content[offsets["firstlineno"] :][:4], "little", signed=True),
            self._bytes(_word_in(content, offsets["linetable"])),
            address + offsets["bytecode"],
            address + tlbc if tlbc else 0,
        )
        self._codes[address] = code
        return code

    def _is_code(self, address: int) -> bool:
        if not address:
            return False
        kind = self._word(address + self._offsets["ob_type"])
        if kind and not self._code_type:
            name = self._word(kind + self._offsets["tp_name"])
            if self._read(name, 5) == b"code\0":
                self._code_type = kind
        return kind != 0 and kind == self._code_type

    def _string(self, address: int) -> str:
        offsets = self._offsets
        length = self._word(address + offsets["str_length"])
        state = self._number(address + offsets["str_state"], 4) >> self._kind_shift
        kind, is_compact, is_ascii = state & 7, state >> 3 & 1, state >> 4 & 1
        if kind not in (1, 2, 4) or not is_compact:
            raise _Torn
        # A string with other letters has the length and the address of its UTF-8 form in between.
        start = address + offsets["str_start"] + (0 if is_ascii else 16)
        content = self._read(start, min(length * kind, _LONGEST_STRING))
        encoding = {1: "latin-1", 2: "utf-16-le", 4: "utf-32-le"}[kind]
        text = content.decode(encoding, "replace")
        return text + "…" if length * kind > _LONGEST_STRING else text

    def _bytes(self, address: int) -> bytes:
        size = self._word(address + self._offsets["bytes_size"])
        if size > _LONGEST_LINE_TABLE:
            raise _Torn
        return self._read(address + self._offsets["bytes_start"], size)

    def _word(self, address: int) -> int:
        return self._number(address, 8)

    def _number(self, address: int, size: int) -> int:
        return int.from_bytes(self._read(address, size), "little")


def _word_in(content: bytes, offset: int) -> int:
    return int.from_bytes(content[offset : offset + 8], "little")


def _release_of(version: int) -> "tuple[int, int]":
    return version >> 24, version >> 16 & 0xFF


def _offsets_of(read: "Read", runtime: int, version: int) -> "dict[str, int]":
    """The table at the beginning of ``_PyRuntime``, by name."""
    release = _release_of(version)
    named = "{}.{}".format(*release)
    if release < min(_TABLES):
        raise NoStacks(f"Python stacks cannot be read from outside on {named}")
    is_unknown = release > _NEWEST or version >> 4 & 0xF < _CANDIDATE
    if is_unknown or not runtime:
        what = "version" if release > _NEWEST else "build"
        raise NoStacks(f"this {what} of Python ({named}) is not known, so its stacks are not read")
    names: list[str] = []
    for name in _TABLES[release].split():
        count = int(name[1:] or 1) if name.startswith("*") else 0
        names.extend(["*"] * count or [name])
    words = struct.unpack(f"<{len(names)}Q", read(runtime, 8 * len(names)))
    offsets = dict(zip(names, words, strict=True))
    if offsets["cookie"] != int.from_bytes(_COOKIE, "little") or offsets["version"] != version:
        raise NoStacks("the interpreter does not say where its stacks are")
    in_frame = ("previous", "executable", "instr_ptr", "owner", "tlbc_index")
    in_code = ("filename", "qualname", "linetable", "firstlineno")
    for size, inside in (("frame_size", in_frame), ("code_size", in_code)):
        last = max(offsets.get(name, 0) for name in inside)
        if not last < offsets[size] <= _LARGEST_STRUCT:
            raise NoStacks("the interpreter does not say where its stacks are")
    return offsets


def line_of(table: bytes, first_line: int, instruction: int) -> int:
    """The line of an instruction, from a table of locations as code objects have it since 3.11.

    Args:
        table: ``co_linetable``.
        first_line: ``co_firstlineno``.
        instruction: the number of the instruction, in units of two bytes.

    Returns:
        The number of the line; 0 if the table has none for it.
    """
    if instruction < 0:
        return 0
    line, end, at = first_line, 0, 0
    while at < len(table):
        # Each entry begins with a byte whose highest bit is set: its form, and how many
        # instructions it is for.
        form = table[at] >> 3 & 15
        end += (table[at] & 7) + 1
        if 10 <= form <= 12:
            line += form - 10
        elif form in (13, 14):
            line += _signed(table, at + 1)
        if instruction < end:
            return 0 if form == 15 else line
        at += 1
        while at < len(table) and not table[at] & 0x80:
            at += 1
    return 0


def _signed(table: bytes, at: int) -> int:
    """A number in groups of six bits, the lowest first; the lowest bit is the sign."""
    value = shift = 0
    for byte in table[at : at + 8]:
        value |= (byte & 63) << shift
        shift += 6
        if not byte & 64:
            break
    return -(value >> 1) if value & 1 else value >> 1
