"""Queues, as one thread meets them: what it gets is already there."""

from __future__ import annotations

from ..measure import Operation


def _put_and_get(name: str, kind: str, item: str = "None") -> Operation:
    return Operation(
        name,
        takes=kind,
        setup=f"line = {kind}()",
        statement=f"line.put({item}); line.get()",
    )


OPERATIONS = [
    # The interpreter's own queue, on stock threading and on rthread's.
    _put_and_get("stock queue.Queue: put + get", "StockQueue"),
    _put_and_get("Queue: put + get", "Queue"),
    _put_and_get("LifoQueue: put + get", "LifoQueue"),
    # What it holds has to have an order.
    _put_and_get("PriorityQueue: put + get", "PriorityQueue", item="1"),
    # The stock one is C's _queue.SimpleQueue.
    _put_and_get("SimpleQueue: put + get", "SimpleQueue"),
    Operation("Queue: create", takes="Queue", statement="Queue()"),
]
