"""A boss who closes the shop as soon as the first of five workers has finished.

All of them wait on one event. The four who are still at it wait for their work to be over, but
at most until the event is set, which is what makes an event better than a sleep. Whoever
finishes sets it: the boss wakes, and so does everybody else, at once.
"""

from __future__ import annotations

import threading

# Hours of work, each worker's own. An hour is short in this shop, so only one can be first.
HOURS = {"Ada": 40_000, "Ben": 30_000, "Cleo": 1, "Dan": 50_000, "Eve": 20_000}
HOUR = 0.01


class Shop:
    def __init__(self) -> None:
        self.closing = threading.Event()
        self.diary: dict[str, str] = {}

    def work(self, hours: int) -> None:
        worker = threading.current_thread().name
        if self.closing.wait(hours * HOUR):
            self.diary[worker] = f"sent home, {hours} hours were not over"
        else:
            self.diary[worker] = f"finished first, after {hours} hour"
            self.closing.set()

    def supervise(self) -> None:
        self.closing.wait()
        self.diary["the boss"] = "closed the shop"


def main() -> None:
    shop = Shop()
    staff = [threading.Thread(target=shop.supervise, name="the boss")]
    staff += [
        threading.Thread(target=shop.work, args=(hours,), name=name)
        for name, hours in HOURS.items()
    ]
    for person in staff:
        person.start()
    for person in staff:
        person.join()
    for person in staff:
        print(f"{person.name}: {shop.diary[person.name]}")


if __name__ == "__main__":
    main()
