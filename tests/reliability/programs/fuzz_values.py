"""Arguments made to be wrong, as recipes: each world has its own objects made by the same one."""

from __future__ import annotations

import _thread
import gc
import random
import sysconfig
from collections.abc import Callable
from typing import Any, NamedTuple

from fuzz_worlds import World, states

from differential.sidebyside import BAD_THINGS, NUMBERS, SHORT

FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


class Recipe(NamedTuple):
    """A value, in words and as what makes it, for a world and the object that the case is about."""

    words: str
    make: Callable[[World, Any], Any]


EMPTIED = "gc"
# Not of these: the interpreter relies on the dict of a type, and the stock _local uses one that is
# gone after this (CPython's bug).
NOT_EMPTIED = (type, _thread._local)
# What hostile objects do to the object that they are given to. Most of it fails, most of the time.
CALLBACKS: list[tuple[str, tuple[Any, ...]]] = [
    *(("__init__", ()), ("__init__", (1,)), ("_at_fork_reinit", ()), ("__enter__", (False,))),
    *(("acquire", (False,)), ("release", ()), ("_release_save", ()), ("_is_owned", ())),
    *(("set", ()), ("set", (1,)), ("clear", ()), ("create", ()), ("delete", ()), ("wait", (0,))),
    *(("notify_all", ()), ("abort", ()), ("reset", ()), ("_set_done", ()), ("join", (0,))),
    *(("put_nowait", (1,)), ("get_nowait", ()), ("task_done", ()), ("shutdown", (True,))),
    *(("_cond", ()), ("mutex", ()), ("queue.clear", ()), ("__dict__.clear", ()), ("x", ())),
    # What there is of a dict without asking the object for it.
    (EMPTIED, ()),
]


# Callbacks that are left out where other threads use the object: no signal ends their waits.
NOT_NOW: set[str] = set()


def call_back(subject: Any, callback: tuple[str, tuple[Any, ...]]) -> None:
    """Do something to the object. Fails in silence."""
    path, args = callback
    if path in NOT_NOW:
        return
    try:
        if path == EMPTIED and not issubclass(type(subject), NOT_EMPTIED):
            for inner in gc.get_referents(subject):
                if type(inner) is dict:
                    inner.clear()
        for name in path.split("."):
            subject = getattr(subject, name)
        subject(*args)
    except Exception:
        pass


class _Acts:
    """Calls back into the object whatever it is asked, then answers or raises."""

    subject: Any = None
    callback: tuple[str, tuple[Any, ...]] = ("x", ())
    answer: Any = None
    busy = False

    def act(self) -> Any:
        if not self.busy:
            self.busy = True
            try:
                call_back(self.subject, self.callback)
            finally:
                self.busy = False
        if self.answer is None:
            raise LookupError("asked")
        return self.answer

    def __index__(self) -> int:
        return int(self.act())

    def __float__(self) -> float:
        return float(self.act())

    def __bool__(self) -> bool:
        return bool(self.act())

    def __eq__(self, other: object) -> bool:
        return bool(self.act())

    def __lt__(self, other: object) -> bool:
        return bool(self.act())

    def __le__(self, other: object) -> bool:
        return bool(self.act())

    def __gt__(self, other: object) -> bool:
        return bool(self.act())

    def __hash__(self) -> int:
        return int(self.act())

    def __repr__(self) -> str:
        self.act()
        return "Acts()"

    def __len__(self) -> int:
        return int(self.act())

    def __iter__(self) -> Any:
        return iter((self.act(),))

    def __call__(self, *args: object, **kwargs: object) -> Any:
        return self.act()


class Acts(_Acts):
    """Of no type in particular."""


class ActsInt(_Acts, int):
    """A number that says what it likes when asked for it."""

    __int__ = _Acts.__index__


class ActsFloat(_Acts, float):
    """The same with a point."""


class ActsTuple(_Acts, tuple):  # type: ignore[type-arg]
    """A tuple that is not what it holds."""


class ActsDict(_Acts, dict):  # type: ignore[type-arg, misc]
    """A dict that is not what it holds."""


class ActsStr(_Acts, str):
    """A name that has the hash of another, and meddles when it is compared with it."""

    __hash__ = str.__hash__

    def act(self) -> Any:
        if FREE_THREADED:
            # A dict that is looked into while it compares a key waits for itself, any dict.
            self.busy = True
        return super().act()


class Dies:
    """Calls back when it goes."""

    def __init__(self, subject: Any, callback: tuple[str, tuple[Any, ...]]) -> None:
        self.subject, self.callback = subject, callback

    def __del__(self) -> None:
        call_back(self.subject, self.callback)


_ACTORS: dict[str, Callable[[], _Acts]] = {
    "Acts": Acts,
    "ActsInt": lambda: ActsInt(3),
    "ActsFloat": lambda: ActsFloat(SHORT),
    "ActsTuple": lambda: ActsTuple((1, 2)),
    "ActsDict": lambda: ActsDict(a=1),
    "ActsStr": lambda: ActsStr("queue"),
}


def constant(words: str, value: Any) -> Recipe:
    return Recipe(words, lambda world, subject: value)


def hostile(rng: random.Random) -> Recipe:
    callback = rng.choice(CALLBACKS)
    if rng.random() < 0.2:
        return Recipe(f"Dies({callback})", lambda world, subject: Dies(subject, callback))
    name = rng.choice(list(_ACTORS))
    answer = rng.choice([None, 0, 1, -1, SHORT, 2**63])

    def make(world: World, subject: Any) -> Any:
        actor = _ACTORS[name]()
        actor.subject, actor.callback, actor.answer = subject, callback, answer
        return actor

    return Recipe(f"{name}({callback}, {answer})", make)


def _attribute_name(rng: random.Random, names: list[str]) -> Recipe:
    name = rng.choice(names)
    if rng.random() < 0.8:
        return constant(repr(name), name)
    callback, answer = rng.choice(CALLBACKS), rng.choice([None, 0, 1])

    def make(world: World, subject: Any) -> Any:
        actor = ActsStr(name)
        actor.subject, actor.callback, actor.answer = subject, callback, answer
        return actor

    return Recipe(f"ActsStr({name!r}, {callback}, {answer})", make)


def attribute_name(rng: random.Random, names: list[str]) -> Recipe:
    """The name of an attribute, at times of a type that has opinions."""
    return _attribute_name(rng, [*names, "spam", "", "\udc80", "__dict__", "__class__"])


def thing(rng: random.Random, kinds: list[str]) -> Recipe:
    """An object of one of the worlds: new, or one that earlier cases have used."""
    kind = rng.choice(kinds)
    state = rng.choice(states(kind))
    if rng.random() < 0.3:
        return Recipe(f"new {state} {kind}", lambda world, _: world.make(kind, state))
    return Recipe(f"{state} {kind}", lambda world, _: world.object(kind, state))


def tame(rng: random.Random) -> Recipe:
    """An argument that calls nothing back: numbers, things of Python's, pairs of them."""
    chance = rng.random()
    if chance < 0.3:
        number = rng.choice(rng.choice(NUMBERS))
        return constant(f"{type(number).__name__}({number!r})", number)
    index, other = rng.randrange(len(BAD_THINGS)), rng.randrange(len(BAD_THINGS))
    if chance < 0.5:
        return constant(f"BAD_THINGS[{index}]", BAD_THINGS[index])
    number = rng.choice((0, 1, 2, -1, 2**32, 2**64, 10**400))
    if chance < 0.8:
        return constant(f"({str(number)[:30]}, 1)", (number, rng.choice((0, 1, -1, 2**64))))
    pair = (BAD_THINGS[index], BAD_THINGS[other])
    return constant(f"(BAD_THINGS[{index}], BAD_THINGS[{other}])", pair)


def anything(rng: random.Random, kinds: list[str]) -> Recipe:
    """An argument."""
    chance = rng.random()
    if chance < 0.35:
        number = rng.choice(rng.choice(NUMBERS))
        return constant(f"{type(number).__name__}({number!r})", number)
    if chance < 0.40:
        number = rng.choice((-1, 1)) * rng.choice((rng.getrandbits(70), 10**400, rng.random()))
        return constant(f"{type(number).__name__}({str(number)[:30]})", number)
    if chance < 0.60:
        index = rng.randrange(len(BAD_THINGS))
        return constant(f"BAD_THINGS[{index}]", BAD_THINGS[index])
    if chance < 0.64:
        return constant("None", None)
    if chance < 0.80:
        return hostile(rng)
    if chance < 0.84:
        kind = rng.choice(kinds)
        return Recipe(f"type {kind}", lambda world, _: world.any_type(kind))
    if chance < 0.90:
        return Recipe("itself", lambda world, subject: subject)
    return thing(rng, kinds)
