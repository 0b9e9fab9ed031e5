"""Reading foreign memory: tables of lines, ELF files, stacks; and what damage does to them."""

from __future__ import annotations

import os
import random
import struct
import sys
import types
from collections.abc import Callable, Iterator

import pytest
from outside_targets import PRELUDE, target

import support
from rthread.debug._elf import ElfError, Image
from rthread.debug._frames import NoStacks, Stacks, line_of
from rthread.debug._proc import Process

ON_LINUX = sys.platform.startswith("linux")
HAS_STACKS = ON_LINUX and sys.version_info >= (3, 13)

# Lines


def codes_of(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from codes_of(constant)


def test_lines_of_real_code() -> None:
    if sys.version_info < (3, 11):
        pytest.skip("this version has another table")
    seen = 0
    for module in ("argparse", "asyncio.tasks", "dataclasses", "typing", "threading"):
        loaded = __import__(module, fromlist=["*"])
        with open(loaded.__file__, encoding="utf-8") as file:
            source = file.read()
        for code in codes_of(compile(source, module, "exec")):
            for index, (line, *_) in enumerate(code.co_positions()):
                assert line_of(code.co_linetable, code.co_firstlineno, index) == (line or 0)
                seen += 1
    assert seen > 10_000


def test_lines_far_apart() -> None:
    if sys.version_info < (3, 11):
        pytest.skip("this version has another table")
    gap = "\n" * 70_000
    code = compile(f"a = 1{gap}b = (2,{gap}a)", "far", "exec")
    for index, (line, *_) in enumerate(code.co_positions()):
        assert line_of(code.co_linetable, code.co_firstlineno, index) == (line or 0)


def test_lines_of_damaged_tables() -> None:
    rng = random.Random(14)
    for _ in range(3000):
        table = rng.randbytes(rng.randrange(40))
        assert isinstance(line_of(table, 1, rng.randrange(-5, 100)), int)
    assert line_of(b"", 5, 0) == 0
    assert line_of(b"\xf8", 5, -1) == 0


# ELF

BASE = 0x7F00_0000_0000


def gnu_hash(name: bytes) -> int:
    value = 5381
    for byte in name:
        value = (value * 33 + byte) % 2**32
    return value


def library(
    names: list[str], *, style: str = "gnu", relocated: bool = True, linked_at: int = 0
) -> bytearray:
    """An ELF file as it is in memory, with symbols whose values are their numbers times 16.

    Args:
        names: the symbols that it defines.
        style: of its hash table.
        relocated: whether the loader has written addresses of the process into its tables.
        linked_at: the address that it was linked for.
    """
    strings, offsets = bytearray(b"\0used\0"), []
    for name in names:
        offsets.append(len(strings))
        strings += name.encode() + b"\0"
    # The first is empty, as it has to be; the second is used and not defined.
    symbols = [struct.pack("<IBBHQQ", 0, 0, 0, 0, 0, 0), struct.pack("<IBBHQQ", 1, 18, 0, 0, 0, 0)]
    buckets: dict[int, list[int]] = {0: [], 1: [], 2: []}
    order = sorted(range(len(names)), key=lambda i: gnu_hash(names[i].encode()) % 3)
    hashes = []
    for index in order:
        value = gnu_hash(names[index].encode())
        buckets[value % 3].append(len(symbols))
        hashes.append(value)
        address = linked_at + 16 * (index + 1)
        symbols.append(struct.pack("<IBBHQQ", offsets[index], 18, 0, 7, address, 8))
    if style == "gnu":
        lasts = {chain[-1] for chain in buckets.values() if chain}
        table = struct.pack("<IIIIQ", 3, 2, 1, 0, 2**64 - 1)
        table += struct.pack("<3I", *(chain[0] if chain else 0 for chain in buckets.values()))
        for number, value in enumerate(hashes, 2):
            table += struct.pack("<I", value | 1 if number in lasts else value & ~1)
        tag = 0x6FFFFEF5
    else:
        table, tag = struct.pack("<II", 1, len(symbols)), 4
    content = bytearray(0x1000)
    places = {}
    for what, part in ((6, b"".join(symbols)), (5, bytes(strings)), (tag, table)):
        places[what] = len(content)
        content += part.ljust((len(part) + 15) // 16 * 16, b"\0")
    dynamic_at = len(content)
    bias = BASE - linked_at if relocated else 0
    entries = [(what, place + linked_at + bias) for what, place in places.items()]
    for entry in (*entries, (10, len(strings)), (0, 0)):
        content += struct.pack("<QQ", *entry)
    size = len(content)
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    content[:64] = struct.pack(
        "<16sHHIQQQIHHHHHH", ident, 3, 62, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0
    )
    load = struct.pack("<IIQQQQQQ", 1, 5, 0, linked_at, linked_at, size, size, 4096)
    rest = size - dynamic_at
    place = linked_at + dynamic_at
    dynamic = struct.pack("<IIQQQQQQ", 2, 6, dynamic_at, place, place, rest, rest, 8)
    content[64:176] = load + dynamic
    return content


def reader(content: bytes) -> Callable[[int, int], bytes]:
    def read(address: int, size: int) -> bytes:
        at = address - BASE
        if at < 0 or size < 0 or at + size > len(content):
            raise OSError(14, os.strerror(14))
        return bytes(content[at : at + size])

    return read


@pytest.mark.parametrize("linked_at", [0, 0x400000])
@pytest.mark.parametrize("relocated", [True, False])
@pytest.mark.parametrize("style", ["gnu", "sysv"])
def test_symbols(style: str, relocated: bool, linked_at: int) -> None:
    names = [f"symbol_{number}" for number in range(20)]
    content = library(names, style=style, relocated=relocated, linked_at=linked_at)
    image = Image(reader(content), BASE)
    for number, name in enumerate(names, 1):
        assert image.address_of(name) == BASE + 16 * number
    for name in ("", "used", "symbol", "symbol_20", "symbol_1_"):
        assert image.address_of(name) is None


def test_what_is_no_library() -> None:
    for content in (b"", b"#!/bin/sh\n" * 100, b"\x7fELF\x01\x01\x01".ljust(4096, b"\0")):
        with pytest.raises((ElfError, OSError)):
            Image(reader(content), BASE)


def test_damaged_libraries() -> None:
    content = library([f"symbol_{number}" for number in range(20)])
    rng = random.Random(14)
    for _ in range(3000):
        damaged = bytearray(content)
        for _ in range(rng.randrange(1, 4)):
            at = rng.choice((rng.randrange(176), rng.randrange(0x1000, len(content))))
            damaged[at] = rng.randrange(256)
        try:
            Image(reader(damaged), BASE).address_of("symbol_7")
        except (ElfError, OSError):
            pass


# Stacks


@pytest.fixture
def process() -> Iterator[Process]:
    if not HAS_STACKS:
        pytest.skip("no stacks are read from outside here")
    source = """
        event = threading.Event()

        def deep(depth):
            if depth:
                deep(depth - 1)
            else:
                event.wait()

        def very_deep():
            sys.setrecursionlimit(5000)
            deep(2000)

        start(deep, 5, name="a")
        start(deep, 20, name="b")
        ready(start(very_deep, name="c").native_id)
        wait_for_the_end()
    """
    with target(source, prelude=PRELUDE) as running:
        found = Process(running.pid)
        yield found
        found.close()


def runtime_of(process: Process) -> int:
    for mapping in process.mappings():
        if mapping.offset == 0:
            try:
                address = Image(process.read, mapping.start).address_of("_PyRuntime")
            except ElfError:
                continue
            if address:
                return address
    raise AssertionError("no interpreter")


def test_stacks(process: Process) -> None:
    stacks = Stacks(process.read, runtime_of(process), sys.hexversion)

    def depths() -> list[int]:
        found = [stacks.stack(thread) for thread in stacks.threads()]
        return sorted(sum(name == "deep" for _, _, name in stack) for stack in found)

    # Of a very deep one the innermost part.
    support.wait_until(lambda: depths()[:3] == [0, 6, 21] and depths()[3] > 900, "the threads")
    threads = stacks.threads()
    assert {thread.interpreter for thread in threads} == {0}
    assert process.pid in {thread.native_id for thread in threads}
    for thread in threads:
        assert (thread.has_gil is None) is not getattr(sys, "_is_gil_enabled", lambda: True)()


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        (0x030A00F0, "cannot be read from outside on 3.10"),
        (0x030C01F0, "cannot be read from outside on 3.12"),
        (0x030E00A1, "build of Python"),
        (0x036300F0, "version of Python"),
        (0x030D63F0, "does not say where"),
    ],
)
def test_versions_that_are_not_known(process: Process, version: int, reason: str) -> None:
    with pytest.raises(NoStacks, match=reason):
        Stacks(process.read, runtime_of(process), version)


def test_an_interpreter_that_is_not_found(process: Process) -> None:
    with pytest.raises(NoStacks, match="not known"):
        Stacks(process.read, 0, sys.hexversion)


@pytest.mark.parametrize("seed", range(4))
def test_memory_that_changes_during_the_look(process: Process, seed: int) -> None:
    runtime = runtime_of(process)
    rng = random.Random(seed)
    rate = 0.0

    def read(address: int, size: int) -> bytes:
        content = bytearray(process.read(address, size))
        if content and rng.random() < rate:
            at = rng.randrange(size)
            new = rng.choice((bytes(8), rng.randbytes(8), bytes([content[at] ^ 1])))
            content[at : at + len(new)] = new
        return bytes(content[:size])

    for _ in range(40):
        rate = rng.choice((0.2, 0.05, 0.01))
        try:
            stacks = Stacks(read, runtime, sys.hexversion)
            threads = stacks.threads()
        except (NoStacks, OSError):
            continue
        for thread in threads:
            try:
                stack = stacks.stack(thread)
            except NoStacks:
                continue
            assert len(stack) <= 1000
            assert all(max(len(file), len(name)) <= 4097 for file, _, name in stack)
