"""Other processes that compute meanwhile."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def computing(per_processor: int) -> Iterator[None]:
    """So many processes for each processor that do nothing but compute, until the block ends."""
    count = per_processor * (os.cpu_count() or 1)
    # They end by themselves if nothing ends them.
    program = f"import os\nwhile os.getppid() == {os.getpid()}: pass"
    command = [sys.executable, "-c", program]
    processes = [subprocess.Popen(command) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()
