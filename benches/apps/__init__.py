"""Programs that are run in a process of their own, as users run them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from statistics import median

HOSTS = {"stock": [], "rthread": ["-m", "rthread", "--queue"]}
# By row: the file, and how often it does what it does.
APPS = {"asyncio.to_thread, one at a time": ("to_thread.py", 2000)}


def compare(name: str, rounds: int) -> dict[str, float]:
    """The median of the seconds that a program says it needs, on stock and on rthread."""
    file, count = APPS[name]
    samples: dict[str, list[float]] = {host: [] for host in HOSTS}
    for number in range(rounds):
        for host in list(HOSTS)[:: 1 if number % 2 else -1]:
            script = Path(__file__).with_name(file)
            command = [sys.executable, *HOSTS[host], str(script), str(count)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            samples[host].append(float(done.stdout))
    return {host: median(of_host) for host, of_host in samples.items()}
