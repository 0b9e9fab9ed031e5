"""Looks up symbols of an ELF file in the memory of a process that has loaded it.

A loader keeps in memory all that it needs to find a symbol, so the file itself is not read. It may
be deleted, replaced by an update, or belong to a container with other paths.

The format is that of the System V ABI for 64-bit little-endian machines, with GNU's hash table.
"""

import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    # Bytes of another process: an address and a size, exactly so many bytes or OSError.
    Read = Callable[[int, int], bytes]

__all__ = ["ElfError", "Image"]

# What is asked of a file before its contents are believed: magic number, 64 bit, little endian,
# version 1.
_IDENT = b"\x7fELF\x02\x01\x01"
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")
_DYNAMIC = struct.Struct("<QQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_GNU_HASH = struct.Struct("<IIII")

_SHARED_OR_EXECUTABLE = (2, 3)
_LOAD, _DYNAMIC_SEGMENT = 1, 2
_HASH, _STRING_TABLE, _SYMBOL_TABLE, _STRING_SIZE, _GNU_HASH_TABLE = 4, 5, 6, 10, 0x6FFFFEF5

_PAGE = 4096
# More than any file has; what is in memory may be damaged or may not be ELF at all.
_MOST_PROGRAM_HEADERS = 256
_MOST_DYNAMIC_ENTRIES = 1024
_MOST_SYMBOLS = 1 << 20
_LONGEST_CHAIN = 1 << 16


class ElfError(Exception):
    """What lies at an address is no ELF file of this kind of machine, or it is damaged."""


class Image:
    """An ELF file as a process has loaded it.

    Args:
        read: reads the memory of the process.
        start: where the beginning of the file has been mapped.

    Raises:
        ElfError: if there is no 64-bit little-endian ELF file at that address.
        OSError: if the memory cannot be read.
    """

    def __init__(self, read: "Read", start: int) -> None:
        self._read = read
        header = _HEADER.unpack(read(start, _HEADER.size))
        ident, kind, table_offset, entry_size, entries = (header[i] for i in (0, 1, 5, 9, 10))
        if not ident.startswith(_IDENT) or kind not in _SHARED_OR_EXECUTABLE:
            raise ElfError("no ELF file for 64-bit little-endian machines")
        if entry_size != _PROGRAM_HEADER.size or not 0 < entries <= _MOST_PROGRAM_HEADERS:
            raise ElfError("an ELF file with program headers of another size")
        table = read(start + table_offset, entries * entry_size)
        dynamic = None
        low, high = 1 << 64, 0
        first: int | None = None
        for kind, _flags, offset, address, _, _, size, _ in _PROGRAM_HEADER.iter_unpack(table):
            if kind == _LOAD:
                low, high = min(low, address & -_PAGE), max(high, address + size)
                if offset < _PAGE and first is None:
                    first = address - offset
            elif kind == _DYNAMIC_SEGMENT:
                dynamic = address, size
        if first is None or dynamic is None:
            raise ElfError("an ELF file without dynamic symbols")
        # What is added to an address in the file to get an address in the process.
        self._bias: int = start - first
        self._span = range(low + self._bias, high + self._bias)
        self._tags = self._dynamic_section(*dynamic)

    def _dynamic_section(self, address: int, size: int) -> "dict[int, int]":
        size = min(size // _DYNAMIC.size, _MOST_DYNAMIC_ENTRIES) * _DYNAMIC.size
        tags: dict[int, int] = {}
        for tag, value in _DYNAMIC.iter_unpack(self._read(address + self._bias, size)):
            if tag == 0:
                break
            tags.setdefault(tag, value)
        return tags

    def _table(self, tag: int) -> int:
        # glibc stores addresses of the process there, musl leaves those of the file.
        value = self._tags.get(tag)
        if value is None:
            raise ElfError("an ELF file without a table that it must have")
        return value if value in self._span else value + self._bias

    def address_of(self, name: str) -> "int | None":
        """The address in the process of a symbol that the file defines, or None.

        Raises:
            ElfError: if the tables are damaged.
            OSError: if the memory cannot be read.
        """
        wanted = name.encode() + b"\0"
        symbols, strings = self._table(_SYMBOL_TABLE), self._table(_STRING_TABLE)
        string_size = self._tags.get(_STRING_SIZE, 0)
        for index in self._candidates(name.encode()):
            entry = self._read(symbols + index * _SYMBOL.size, _SYMBOL.size)
            at, _info, _other, section, value, _size = _symbol(entry)
            # Section 0: the file uses the symbol and does not define it.
            if section == 0 or at + len(wanted) > string_size:
                continue
            if self._read(strings + at, len(wanted)) == wanted:
                return value + self._bias
        return None

    def _candidates(self, name: bytes) -> "Iterator[int]":
        if _GNU_HASH_TABLE in self._tags:
            return self._gnu_candidates(name)
        if _HASH in self._tags:
            return self._all_symbols()
        raise ElfError("an ELF file without a hash table of its symbols")

    def _gnu_candidates(self, name: bytes) -> "Iterator[int]":
        """The symbols whose hashes are that of the name, but for the lowest bit."""
        wanted = 5381
        for byte in name:
            wanted = (wanted * 33 + byte) & 0xFFFFFFFF
        table = self._table(_GNU_HASH_TABLE)
        buckets, first_hashed, bloom_words, _ = _GNU_HASH.unpack(self._read(table, _GNU_HASH.size))
        if not 0 < buckets <= _MOST_SYMBOLS or bloom_words > _MOST_SYMBOLS:
            raise ElfError("an ELF file with a damaged hash table")
        bucket_table = table + _GNU_HASH.size + 8 * bloom_words
        index = self._word(bucket_table + 4 * (wanted % buckets))
        chains = bucket_table + 4 * buckets
        if index < first_hashed:
            return
        for _ in range(_LONGEST_CHAIN):
            found = self._word(chains + 4 * (index - first_hashed))
            if found | 1 == wanted | 1:
                yield index
            # The lowest bit marks the end of the chain.
            if found & 1:
                return
            index += 1
        raise ElfError("an ELF file with a damaged hash table")

    def _all_symbols(self) -> "Iterator[int]":
        # The second word of the older table is the number of symbols; they are few.
        return iter(range(min(self._word(self._table(_HASH) + 4), _MOST_SYMBOLS)))

    def _word(self, address: int) -> int:
        return int.from_bytes(self._read(address, 4), "little")


def _symbol(entry: bytes) -> "tuple[int, ...]":
    return _SYMBOL.unpack(entry)
