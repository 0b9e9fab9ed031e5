"""Event, Condition, the semaphores and Barrier, as one thread meets them: nobody waits."""

from __future__ import annotations

from ..measure import Operation

OPERATIONS = [
    Operation(
        "Event: set + clear",
        takes="Event",
        setup="event = Event()",
        statement="event.set(); event.clear()",
    ),
    Operation(
        "Event: wait on a set event",
        takes="Event",
        setup="event = Event(); event.set()",
        statement="event.wait()",
    ),
    Operation(
        "Event: is_set",
        takes="Event",
        setup="event = Event(); event.set()",
        statement="event.is_set()",
    ),
    Operation(
        "Semaphore: acquire + release",
        takes="Semaphore",
        setup="semaphore = Semaphore(1)",
        statement="semaphore.acquire(); semaphore.release()",
    ),
    Operation(
        "BoundedSemaphore: acquire + release",
        takes="BoundedSemaphore",
        setup="semaphore = BoundedSemaphore(1)",
        statement="semaphore.acquire(); semaphore.release()",
    ),
    Operation(
        "Condition: `with` + notify, no waiter",
        takes="Condition",
        setup="condition = Condition()",
        statement="with condition: condition.notify()",
    ),
    Operation("Event: create", takes="Event", statement="Event()"),
    Operation("Condition: create", takes="Condition", statement="Condition()"),
    Operation("Semaphore: create", takes="Semaphore", statement="Semaphore()"),
    Operation("Barrier: create", takes="Barrier", statement="Barrier(2)"),
]
