"""A rocket that lifts off when the last of its systems reports ready.

A count-down latch is a gate that opens once, after so many events. Here one latch of three holds
back the launch, and one of one holds back the systems until the check-out begins.
"""

from __future__ import annotations

import threading

SYSTEMS = ("fuel", "engine", "guidance")


class CountDownLatch:
    """A gate that opens for good after `count` calls of `count_down`."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._opened = threading.Condition()

    def count_down(self) -> None:
        with self._opened:
            if self._count > 0:
                self._count -= 1
                if self._count == 0:
                    self._opened.notify_all()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the latch is open; False if it still is not after `timeout` seconds."""
        with self._opened:
            return self._opened.wait_for(lambda: self._count == 0, timeout)

    @property
    def count(self) -> int:
        with self._opened:
            return self._count


def main() -> None:
    begin = CountDownLatch(1)
    ready = CountDownLatch(len(SYSTEMS))
    reports: list[str] = []

    def check_out(system: str) -> None:
        begin.wait()
        reports.append(f"{system} ready")  # before counting down: whoever waits will see it
        ready.count_down()

    threads = [threading.Thread(target=check_out, args=(system,)) for system in SYSTEMS]
    for thread in threads:
        thread.start()
    print(f"before the check-out: {ready.count} to go, open: {ready.wait(timeout=0.01)}")
    begin.count_down()
    ready.wait()
    print(f"after it: {ready.count} to go, open: {ready.wait(timeout=0)}")
    print(", ".join(sorted(reports)))
    print("lift-off")
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
