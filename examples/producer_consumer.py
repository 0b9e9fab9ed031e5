"""Producers and consumers around a bounded buffer.

Three producers put numbers into a buffer with room for four; two consumers take them out and
square them. A condition each for "there is room" and "there is an item", over one lock, keeps
everybody waiting exactly as long as necessary.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class BoundedBuffer(Generic[T]):
    """A first-in, first-out buffer: a full one makes `put` wait, an empty one `get`."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.fullest = 0
        self._items: deque[T] = deque()
        lock = threading.Lock()
        self._has_room = threading.Condition(lock)
        self._has_items = threading.Condition(lock)

    def put(self, item: T) -> None:
        with self._has_room:
            self._has_room.wait_for(lambda: len(self._items) < self.room)
            self._items.append(item)
            self.fullest = max(self.fullest, len(self._items))
            self._has_items.notify()

    def get(self) -> T:
        with self._has_items:
            self._has_items.wait_for(lambda: self._items)
            item = self._items.popleft()
            self._has_room.notify()
            return item


def produce(buffer: BoundedBuffer[int | None], numbers: range) -> None:
    for number in numbers:
        buffer.put(number)


def consume(buffer: BoundedBuffer[int | None], squares: list[int]) -> None:
    while (number := buffer.get()) is not None:
        squares.append(number * number)


def main() -> None:
    buffer: BoundedBuffer[int | None] = BoundedBuffer(room=4)
    squares: list[int] = []
    producers = [
        threading.Thread(target=produce, args=(buffer, range(first, 300, 3))) for first in range(3)
    ]
    consumers = [threading.Thread(target=consume, args=(buffer, squares)) for _ in range(2)]
    for thread in producers + consumers:
        thread.start()
    for thread in producers:
        thread.join()
    for _ in consumers:
        buffer.put(None)  # one for each: nothing more will come
    for thread in consumers:
        thread.join()

    print(f"{len(squares)} numbers consumed, none lost: {sorted(squares)[:5]} ...")
    print(f"sum of squares: {sum(squares)}")
    print(f"never more than {buffer.room} in the buffer: {buffer.fullest <= buffer.room}")


if __name__ == "__main__":
    main()
