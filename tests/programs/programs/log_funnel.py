"""Many threads log, one writes: `logging.handlers.QueueListener` in between.

Lines on standard input: the name of the thread that is to log, and the message.
"""

from __future__ import annotations

import logging
import logging.handlers
import queue
import sys
import threading


class Clerk(threading.Thread):
    """Logs what it is told, in that order."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name)
        self.told: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def run(self) -> None:
        while (message := self.told.get()) is not None:
            logging.getLogger("clerks").info(message)


def main() -> None:
    writer = logging.StreamHandler(sys.stdout)
    writer.setFormatter(logging.Formatter("%(threadName)s: %(message)s"))
    records: queue.Queue[logging.LogRecord] = queue.Queue()
    listener = logging.handlers.QueueListener(records, writer)
    logging.getLogger().addHandler(logging.handlers.QueueHandler(records))
    logging.getLogger().setLevel(logging.INFO)

    listener.start()
    clerks: dict[str, Clerk] = {}
    for line in sys.stdin:
        name, _, message = line.rstrip("\n").partition(" ")
        if name not in clerks:
            clerks[name] = Clerk(name)
            clerks[name].start()
        clerks[name].told.put(message)
    for clerk in clerks.values():
        clerk.told.put(None)
    for clerk in clerks.values():
        clerk.join()
    logging.info("%d clerks have gone", len(clerks))
    listener.stop()


if __name__ == "__main__":
    main()
