"""Programs that `test_random_programs.py` makes up: each function plays what it is handed."""

from __future__ import annotations

import copy
import functools
import pickle
import queue
import threading
from collections.abc import Callable
from typing import Any

from case_support import Waiter, leave, outcome, tell

CLASSES: dict[str, Callable[[], Any]] = {
    "Event": lambda: threading.Event(),
    "Condition": lambda: threading.Condition(),
    "Semaphore": lambda: threading.Semaphore(1),
    "BoundedSemaphore": lambda: threading.BoundedSemaphore(1),
    "Barrier": lambda: threading.Barrier(2),
    "Queue": lambda: queue.Queue(2),
    "LifoQueue": lambda: queue.LifoQueue(2),
    "PriorityQueue": lambda: queue.PriorityQueue(2),
}
SHORT = 0.001
# Calls that come back, whatever has been replaced.
CALLS: dict[str, dict[str, Callable[[Any], Any]]] = {
    "Event": {
        "set": lambda e: e.set(),
        "clear": lambda e: e.clear(),
        "wait": lambda e: e.wait(SHORT),
        "is_set": lambda e: e.is_set(),
    },
    "Condition": {
        "with": lambda c: _held(c, lambda: 1),
        "notify": lambda c: _held(c, c.notify),
        "notify_all": lambda c: _held(c, c.notify_all),
        "wait": lambda c: _held(c, lambda: c.wait(SHORT)),
        "wait_for": lambda c: _held(c, lambda: c.wait_for(lambda: False, SHORT)),
        "bare": lambda c: c.notify(),
    },
    "Semaphore": {
        "acquire": lambda s: s.acquire(timeout=SHORT),
        "try": lambda s: s.acquire(False),
        "release": lambda s: s.release(),
        "exit": lambda s: s.__exit__(None, None, None),
    },
    "Barrier": {
        "wait": lambda b: b.wait(SHORT),
        "reset": lambda b: b.reset(),
        "abort": lambda b: b.abort(),
        "state": lambda b: (b.parties, b.n_waiting, b.broken),
    },
    "Queue": {
        "put": lambda q: q.put(1, timeout=SHORT),
        "put_nowait": lambda q: q.put_nowait(2),
        "get": lambda q: q.get(timeout=SHORT),
        "get_nowait": lambda q: q.get_nowait(),
        "sizes": lambda q: (q.qsize(), q.empty(), q.full()),
        "task_done": lambda q: q.task_done(),
    },
}
for _name, _of in (
    ("BoundedSemaphore", "Semaphore"),
    ("LifoQueue", "Queue"),
    ("PriorityQueue", "Queue"),
):
    CALLS[_name] = CALLS[_of]

# All that a patch may replace, by class and by module.
METHODS: dict[str, list[str]] = {
    "Event": ["set", "clear", "wait", "is_set", "__init__"],
    "Condition": ["wait", "wait_for", "notify", "notify_all", "__enter__", "__exit__", "__init__"],
    "Semaphore": ["acquire", "release", "__enter__", "__exit__", "__init__"],
    "BoundedSemaphore": ["acquire", "release", "__enter__", "__exit__", "__init__"],
    "Barrier": ["wait", "reset", "abort", "_enter", "_release", "_wait", "_exit", "_break"],
    "Queue": ["put", "get", "put_nowait", "get_nowait", "_put", "_get", "_qsize", "_init", "full"],
    "LifoQueue": ["put", "get", "_put", "_get", "_qsize", "_init"],
    "PriorityQueue": ["put", "get", "_put", "_get", "_qsize", "_init"],
}
NAMES: dict[str, list[str]] = {
    "threading": ["Lock", "RLock", "Condition", "Event", "_allocate_lock", "_time", "_deque"],
    "queue": ["deque", "heappush", "heappop", "time"],
}


def _held(condition: Any, act: Callable[[], Any]) -> Any:
    with condition:
        return act()


def _class(name: str) -> Any:
    return getattr(queue if "Queue" in name else threading, name)


# Patches


def patched(steps: list[list[Any]]) -> None:
    """Make objects, replace names and methods, call, and put back: tell what went through what."""
    made: list[tuple[str, Any]] = []
    undo: list[Callable[[], None]] = []
    noted: set[str] = set()

    def double(real: Any, label: str, how: str) -> Any:
        def replaced(*args: Any, **kwargs: Any) -> Any:
            noted.add(label)
            if how == "raise":
                raise ZeroDivisionError(label)
            return real(*args, **kwargs)

        return replaced

    def replace(owner: Any, label: str, name: str, how: str) -> None:
        if not hasattr(owner, name):
            return
        own = vars(owner).get(name, undo)
        undo.append(
            (lambda: delattr(owner, name)) if own is undo else lambda: setattr(owner, name, own)
        )
        setattr(owner, name, double(getattr(owner, name), f"{label}.{name}", how))

    def step(kind: str, *args: Any) -> Any:
        if kind == "make":
            made.append((args[0], CLASSES[args[0]]()))
            return args[0]
        if kind == "name":
            return replace({"threading": threading, "queue": queue}[args[0]], *args)
        if kind == "method":
            return replace(_class(args[0]), *args)
        if kind == "back":
            while undo:
                undo.pop()()
            return None
        if not made:
            return None
        name, thing = made[args[0] % len(made)]
        if kind == "object":
            return replace(thing, "object", METHODS[name][args[1] % len(METHODS[name])], args[2])
        calls = sorted(CALLS[name])
        return CALLS[name][calls[args[1] % len(calls)]](thing)

    for kind, *args in steps:
        said = outcome(step, kind, *args)
        tell(kind, *args, said, sorted(noted))
        noted.clear()
    step("back")
    leave()


# Looks


LOOKS: dict[str, Callable[[Any], Any]] = {
    "vars": vars,
    "dir": dir,
    "copy": copy.copy,
    "repr": repr,
    "pickle": lambda thing: outcome(pickle.dumps, thing),
    "dict": lambda thing: sorted(thing.__dict__),
    "parts": lambda thing: [getattr(thing, name) for name in vars(thing)],
}


class Waited:
    """An object with threads that wait in it, one way to give what they wait for, and a look."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.made: Any = CLASSES[name]() if name != "Barrier" else threading.Barrier(3)
        if "Semaphore" in name:
            self.made = _class(name)(9)
            for _ in range(9):
                self.made.acquire()
        self.waiters: list[Waiter] = []

    def wait(self, timeout: float | None) -> None:
        if self.name == "Barrier" and self.made.n_waiting == 2:
            return
        call = self.made.acquire if "Semaphore" in self.name else None
        if "Queue" in self.name:
            call = self.made.get
        if self.name == "Condition":
            waiter = Waiter(lambda: _held(self.made, lambda: self.made.wait(timeout)))
        elif call is None:
            waiter = Waiter(self.made.wait, timeout)
        else:
            waiter = Waiter(lambda: call(timeout=timeout))
        self.waiters.append(waiter.block())

    def give(self, number: int) -> Any:
        made = self.made
        given: list[Callable[[], Any]]
        if self.name == "Event":
            given = [made.set, lambda: (made.set(), made.clear()), made.clear]
        elif self.name == "Condition":
            given = [lambda: _held(made, made.notify), lambda: _held(made, made.notify_all)]
        elif self.name == "Barrier":
            given = [made.reset, made.abort]
        elif "Semaphore" in self.name:
            given = [lambda: outcome(made.release), lambda: outcome(made.release, 2)]
        else:
            given = [lambda: self.put(1), lambda: self.put(2)]
        return given[number % len(given)]()

    def put(self, count: int) -> None:
        """As many items as there are waiters, so that none has to wait for room."""
        for item in range(min(count, sum(waiter.said(0) == FOREVER for waiter in self.waiters))):
            self.made.put(item)

    def settle(self) -> int:
        """How many have ended, when the others are asleep."""
        for waiter in self.waiters:
            waiter.block()
        return sum(waiter.said(0) != FOREVER for waiter in self.waiters)


FOREVER = "waits for ever"


def looked_at(steps: list[list[Any]]) -> None:
    """Waits, looks and what ends the waits, in any order."""
    waited: list[Waited] = []
    for kind, *args in steps:
        if kind == "make" or not waited:
            waited.append(Waited(args[0] if kind == "make" else "Event"))
            continue
        one = waited[args[0] % len(waited)]
        if kind == "wait":
            one.wait(args[1])
            tell("wait", one.name, one.settle())
        elif kind == "look":
            LOOKS[args[1]](one.made)
        elif kind == "look elsewhere":
            Waiter(LOOKS[args[1]], one.made).said()
        elif kind == "look and give":
            looker = Waiter(LOOKS[args[1]], one.made)
            one.give(args[2])
            looker.said()
            tell("look and give", one.name, one.settle())
        else:
            tell("give", one.name, outcome(one.give, args[1]), one.settle())
    leave()


# Pickling


BODIES: dict[str, dict[str, Callable[..., Any]]] = {
    "__getstate__": {
        "a dict": lambda self: {"name": self.name},
        "none": lambda self: None,
        "false": lambda self: 0,
        "a pair": lambda self: ({"note": 1}, {"name": "slot"}),
        "all": lambda self: dict(vars(self)),
        "raises": lambda self: 1 / 0,
    },
    "__setstate__": {
        "init": lambda self, state: type(self).__init__(self, str(state)),
        "update": lambda self, state: self.__dict__.update(state),
        "nothing": lambda self, state: None,
        "raises": lambda self, state: 1 / 0,
    },
    "__reduce__": {
        "class": lambda self: (type(self), (self.name,)),
        "state": lambda self: (type(self), (self.name,), {"name": "from the state"}),
        "no class": lambda self: (str, ("text",)),
        "wrong": lambda self: 3,
    },
    "__reduce_ex__": {
        "class": lambda self, protocol: (type(self), (f"{self.name}{protocol > 1}",)),
        "object": lambda self, protocol: object.__reduce_ex__(self, protocol),
        "raises": lambda self, protocol: 1 / 0,
    },
    "__getnewargs__": {
        "name": lambda self: (self.name,),
        "nothing": lambda self: (),
        "wrong": lambda self: [1],
    },
    "__getnewargs_ex__": {
        "name": lambda self: ((self.name,), {}),
        "keyword": lambda self: ((), {"name": self.name}),
        "wrong": lambda self: 3,
    },
    "__copy__": {"new": lambda self: type(self)("copied"), "self": lambda self: self},
    "__deepcopy__": {"new": lambda self, memo: type(self)("deep"), "self": lambda self, memo: self},
}


def _pickled(protocol: int, thing: Any) -> Any:
    return pickle.loads(pickle.dumps(thing, protocol))


WAYS: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "list": lambda thing: copy.deepcopy([thing, thing]),
    **{f"pickle {protocol}": functools.partial(_pickled, protocol) for protocol in range(6)},
}


def pickled(base_name: str, bodies: dict[str, str], shape: str, ways: list[str]) -> None:
    """A derived class with these methods, pickled and copied in these ways."""
    base = _class(base_name)
    first: tuple[Any, ...] = (2,) if base_name == "Barrier" else ()

    def init(self: Any, name: str = "x") -> None:
        base.__init__(self, *first)
        self.name = name

    def new(cls: Any, name: str = "n", **kwargs: Any) -> Any:
        return base.__new__(cls)

    body: dict[str, Any] = {name: BODIES[name][how] for name, how in bodies.items()}
    body["__init__"] = init
    if any("newargs" in name for name in bodies):
        body["__new__"] = new
    if shape == "slots":
        body["__slots__"] = ("name",)
    bases = (type("Middle", (base,), {}),) if shape == "deeper" else (base,)
    cls = type("Own", bases, {**body, "__module__": "__main__", "__qualname__": "Own"})
    globals()["Own"] = cls
    for way in ways:
        said = outcome(lambda way=way: _described(WAYS[way](cls("n"))))
        tell(way, said)


def _described(thing: Any) -> Any:
    if isinstance(thing, list):
        return [_described(each) for each in thing], thing[0] is thing[1]
    if not hasattr(thing, "__dict__"):
        return thing
    state = sorted((name, type(value).__name__) for name, value in vars(thing).items())
    return type(thing).__name__, outcome(lambda: thing.name), state
