"""Heat that spreads along a rod, computed in steps by threads that keep in step.

Each thread owns a piece of the rod. In every step all of them compute from the old temperatures,
and only when the last one is done may anyone go on: a barrier. Its action, run by one thread
while the others still wait, swaps old and new.
"""

from __future__ import annotations

import threading

CELLS = 12
THREADS = 3
STEPS = 60


class Rod:
    """A rod that is kept at 100 degrees at its left end and at 0 at its right."""

    def __init__(self) -> None:
        self.old = [0.0] * CELLS
        self.old[0] = 100.0
        self.new = list(self.old)
        self.steps = 0
        self.step_done = threading.Barrier(THREADS, action=self._next_step)

    def _next_step(self) -> None:
        self.old, self.new = self.new, self.old
        self.steps += 1
        if self.steps in (1, 10, STEPS):
            print(f"step {self.steps:2}: " + " ".join(f"{cell:3.0f}" for cell in self.old))

    def compute(self, cells: range) -> None:
        for _ in range(STEPS):
            for cell in cells:
                left, middle, right = self.old[cell - 1 : cell + 2]
                self.new[cell] = (left + 2 * middle + right) / 4
            self.step_done.wait()


def main() -> None:
    rod = Rod()
    inner = range(1, CELLS - 1)
    threads = [
        threading.Thread(target=rod.compute, args=(inner[first::THREADS],))
        for first in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"{rod.steps} steps by {THREADS} threads, {rod.step_done.n_waiting} still waiting")


if __name__ == "__main__":
    main()
