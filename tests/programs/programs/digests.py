"""Digests of the files named on standard input, made by a pool of threads.

A line with one digest and name for each file that can be read, in the order of the names; at the
end a line with how many could not.
"""

from __future__ import annotations

import hashlib
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main() -> None:
    paths = [Path(line.rstrip("\n")) for line in sys.stdin]
    with ThreadPoolExecutor(max_workers=8, thread_name_prefix="digest") as pool:
        futures = {pool.submit(digest, path): path for path in paths}
        digests = {
            futures[future]: future.result()
            for future in as_completed(futures)
            if future.exception() is None
        }
        sizes = pool.map(lambda path: path.stat().st_size, sorted(digests))
        for path, size in zip(sorted(digests), sizes, strict=True):
            print(digests[path], size, path.name)
    print(len(paths) - len(digests), "could not be read")


if __name__ == "__main__":
    main()
