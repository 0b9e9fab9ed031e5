"""Programs that are run in a process of their own, as users run them."""

from __future__ import annotations

from pathlib import Path
from statistics import median

from ..fresh import printed_number
from ..measure import alternate

HOSTS = {"stock": [], "rthread": ["-m", "rthread", "--queue"]}
# By row: the file, and how often it does what it does.
APPS = {"asyncio.to_thread, one at a time": ("to_thread.py", 2000)}


def compare(name: str, rounds: int) -> dict[str, float]:
    """The median of the seconds that a program says it needs, on stock and on rthread."""
    file, count = APPS[name]
    script = str(Path(__file__).with_name(file))
    samples: dict[str, list[float]] = {host: [] for host in HOSTS}
    for host in alternate(list(HOSTS), rounds):
        samples[host].append(printed_number(*HOSTS[host], script, str(count)))
    return {host: median(of_host) for host, of_host in samples.items()}
