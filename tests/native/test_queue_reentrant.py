"""A queue used by what runs in the midst of its own put or get: finalizers, callbacks, handlers.

Stock promises this of SimpleQueue alone. The others deadlock there, so only rthread's are tried.
"""

from __future__ import annotations

from typing import Any

import pytest
from kits import Kit, check_on

ORDERED = ["Queue", "LifoQueue", "PriorityQueue"]
every = pytest.mark.parametrize("name", [*ORDERED, "SimpleQueue"])

# Each snippet gives `make`, the class to try; a re-entry is counted so that there are some.
SNIPPET = """
import sysconfig
# Without a GIL every collection is a whole one.
ROUNDS = 100 if sysconfig.get_config_var("Py_GIL_DISABLED") else 3000
make = getattr(queue, sys.argv[2])
reentered = 0
inside = False
q = make()

def use():
    # What runs in the midst of something else: put and get, and what only looks.
    global reentered
    reentered += inside
    q.put(0)
    q.qsize(), q.empty()
    try:
        q.get_nowait()
    except queue.Empty:
        pass

def work(rounds):
    global inside
    for number in range(rounds):
        inside = True
        q.put(number)
        q.get()
        inside = False
        yield number
"""


def run(kit: Kit, name: str, source: str, **options: Any) -> None:
    check_on(kit, SNIPPET + source, name, **options)


def kit_for(kit: Kit, name: str) -> Kit:
    if kit.is_stock and name != "SimpleQueue":
        pytest.skip("the stock class may deadlock: only rthread promises this")
    return kit


@every
def test_from_a_finalizer_of_a_cycle(kit: Kit, name: str) -> None:
    """The collector runs at any allocation, the queue's own included."""
    run(
        kit_for(kit, name),
        name,
        """
finalized = 0
class Cycle:
    def __init__(self):
        self.me = self
    def __del__(self):
        global finalized
        finalized += 1
        use()
gc.set_threshold(1, 1, 1)
for number in work(ROUNDS):
    Cycle()
    gc.collect(0)
gc.collect()
assert finalized >= ROUNDS * 2 // 3, finalized
print("fine")
""",
    )


@every
def test_from_a_weakref_callback(kit: Kit, name: str) -> None:
    run(
        kit_for(kit, name),
        name,
        """
import weakref
called = 0
def callback(reference):
    global called
    called += 1
    use()
class Thing: pass
gc.set_threshold(1, 1, 1)
references = []
for number in work(ROUNDS):
    thing = Thing()
    thing.me = thing
    references.append(weakref.ref(thing, callback))
    del thing
    gc.collect(0)
gc.collect()
assert called >= ROUNDS * 2 // 3, called
print("fine")
""",
    )


@every
def test_from_a_gc_callback(kit: Kit, name: str) -> None:
    run(
        kit_for(kit, name),
        name,
        """
called = 0
def callback(phase, info):
    global called
    called += 1
    use()
gc.callbacks.append(callback)
gc.set_threshold(1, 1, 1)
for number in work(ROUNDS):
    [[]]
    gc.collect(0)
gc.callbacks.clear()
assert called >= ROUNDS // 3, called
print("fine")
""",
    )


@every
def test_from_a_signal_handler(kit: Kit, name: str) -> None:
    """Between any two steps of put and get."""
    run(
        kit_for(kit, name),
        name,
        """
called = 0
def handler(number, frame):
    global called
    called += 1
    use()
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
for number in work(10**15):
    if called >= 500:
        break
signal.setitimer(signal.ITIMER_REAL, 0)
assert called >= 500
while not q.empty():
    q.get()
print("fine")
""",
    )


@every
def test_from_the_finalizer_of_an_item(kit: Kit, name: str) -> None:
    """Dropped by its getter, by a queue that dies, and by a put that finds no room."""
    run(
        kit_for(kit, name),
        name,
        """
finalized = 0
class Item:
    def __lt__(self, other):
        return False
    def __del__(self):
        global finalized
        finalized += 1
        other.put(1)
        if self.queue is not None:
            self.queue.put(2)
            self.queue.qsize()
other = make()
for number in range(100):
    q = make() if make is queue.SimpleQueue else make(1)
    item = Item()
    item.queue = q
    q.put(item)
    del item
    # Dropped with nothing else holding it.
    q.get()
    assert q.get() == 2
for number in range(100):
    q = make()
    for _ in range(3):
        item = Item()
        item.queue = None
        q.put(item)
    del item
    del q
gc.collect()
assert finalized == 400 == other.qsize(), finalized
print("fine")
""",
    )


@pytest.mark.parametrize("name", ORDERED)
def test_from_the_finalizer_of_an_item_that_shutdown_drops(ours: Kit, name: str) -> None:
    run(
        ours,
        name,
        """
seen = []
class Item:
    def __lt__(self, other):
        return False
    def __del__(self):
        try:
            q.put(1)
        except queue.ShutDown:
            seen.append(q.qsize())
for _ in range(5):
    q.put(Item())
q.shutdown(immediate=True)
assert len(seen) == 5, seen
assert q.qsize() == q.unfinished_tasks == 0
print("fine")
""",
    )
