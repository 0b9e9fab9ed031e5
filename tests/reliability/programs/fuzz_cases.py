"""What is done to one target: a case, planned from a random number generator alone."""

from __future__ import annotations

import inspect
import operator
import random
from collections.abc import Callable
from typing import Any, NamedTuple

from fuzz_calls import GENERIC, call, fits, parameters
from fuzz_values import Recipe, anything, attribute_name, tame, thing
from fuzz_worlds import FRESH, ONLY_WRONG, Target, World, own_names, states

Run = Callable[[World], Any]


class Case(NamedTuple):
    """One thing to do in either world.

    Attributes:
        target: what is called.
        how: what is done to it.
        words: all of it, for the journal.
        run: does it.
        fits: whether the arguments are of the number and the names that the signature asks for.
    """

    target: Target
    how: str
    words: str
    run: Run
    fits: bool


class Plan:
    """Makes cases."""

    def __init__(self, ours: World, all_targets: list[Target]) -> None:
        self.ours = ours
        self.targets = all_targets
        self.kinds = sorted(ours.types)
        self.own = {kind: own_names(of) for kind, of in ours.types.items()}
        # What a type has from `object` is many times the rest, and much the same for all.
        self.chosen = [
            target
            for target in all_targets
            if target.name in self.own.get(target.owner, [target.name])
        ] + [target for target in all_targets if target.name == "()"]

    def case(self, rng: random.Random, index: int) -> Case:
        """The case of this number: the first ones go once over everything."""
        if index < len(self.targets):
            target = self.targets[index]
        else:
            target = rng.choice(self.chosen if rng.random() < 0.85 else self.targets)
        if not target.owner:
            return self._function(rng, target)
        if target.name == "()":
            return self._construct(rng, target)
        ways = [self._bound] * 5 + [self._unbound] * 5 + [self._get, self._set, self._set]
        ways += [self._descriptor, self._generic, self._class_level, self._drop, self._new]
        return rng.choice(ways)(rng, target)

    # Arguments

    def _arguments(
        self, rng: random.Random, function: Any
    ) -> tuple[list[Recipe], dict[str, Recipe]]:
        if getattr(function, "__name__", "") in FRESH:
            # None that acquire it while the arguments are looked at.
            return [tame(rng) for _ in range(rng.choice((0, 1, 1, 1, 2)))], {}
        count = rng.choice((0, 0, 1, 1, 1, 2, 2, 3, 4))
        args = [anything(rng, self.kinds) for _ in range(count)]
        kwargs = {}
        if rng.random() < 0.25:
            names = [*parameters(function), "spam", "self", "timeout"]
            for name in rng.sample(names, rng.choice((1, 1, 2))):
                kwargs[name] = anything(rng, self.kinds)
        return args, kwargs

    def _subject(self, rng: random.Random, target: Target) -> Recipe:
        kind = target.owner
        if target.name in FRESH:
            state = rng.choice(("new", "derived", "bare"))
            return Recipe(f"new {state} {kind}", lambda world, _: world.make(kind, state))
        state = rng.choice(states(kind))
        if rng.random() < 0.3:
            return Recipe(f"new {state} {kind}", lambda world, _: world.make(kind, state))
        return Recipe(f"{state} {kind}", lambda world, _: world.object(kind, state))

    # Ways

    def _function(self, rng: random.Random, target: Target) -> Case:
        function = self.ours.functions[target.name]
        args, kwargs = self._arguments(rng, function)
        if target.name in ONLY_WRONG:
            args.append(anything(rng, self.kinds))
        subject = thing(rng, self.kinds)

        def run(world: World) -> Any:
            about = subject.make(world, None)
            return call(world, world.functions[target.name], about, [], args, kwargs, target.name)

        return _case(target, "call", None, args, kwargs, run, fits(function, 0, args, kwargs))

    def _construct(self, rng: random.Random, target: Target) -> Case:
        args, kwargs = self._arguments(rng, self.ours.types[target.owner])
        derived = rng.random() < 0.3

        def run(world: World) -> Any:
            of = world.derived(target.owner) if derived else world.types[target.owner]
            about = world.object(target.owner, "new")
            return call(world, of, about, [], args, kwargs, target.name)

        of = self.ours.types[target.owner]
        how = "construct derived" if derived else "construct"
        return _case(target, how, None, args, kwargs, run, fits(of, 0, args, kwargs))

    def _bound(self, rng: random.Random, target: Target) -> Case:
        """The method of an object: `obj.name(…)`."""
        subject = self._subject(rng, target)
        method = getattr(self.ours.types[target.owner], target.name, None)
        args, kwargs = self._arguments(rng, method)

        def run(world: World) -> Any:
            about = subject.make(world, None)
            return call(world, getattr(about, target.name), about, [], args, kwargs, target.name)

        return _case(target, "bound", subject, args, kwargs, run, fits(method, 1, args, kwargs))

    def _unbound(self, rng: random.Random, target: Target) -> Case:
        """The method of a class, for an object that may be another's: `cls.name(obj, …)`."""
        own = rng.random() < 0.3
        if own:
            subject = self._subject(rng, target)
        else:
            subject = tame(rng) if target.name in FRESH else anything(rng, self.kinds)
        other_world = rng.random() < 0.15
        method = getattr(self.ours.types[target.owner], target.name, None)
        args, kwargs = self._arguments(rng, method)

        def run(world: World) -> Any:
            about = world.object(target.owner, "new")
            # The other world's objects have the same name.
            source = world.other if other_world else world
            first = subject.make(source, about) if source else None
            of = world.types[target.owner]
            return call(world, getattr(of, target.name), about, [first], args, kwargs, target.name)

        how = "unbound, other world" if other_world else "unbound"
        return _case(target, how, subject, args, kwargs, run, fits(method, 1, args, kwargs))

    def _get(self, rng: random.Random, target: Target) -> Case:
        subject = self._subject(rng, target)
        name = attribute_name(rng, self.own[target.owner])
        get = rng.choice((getattr, object.__getattribute__, type.__getattribute__))

        def run(world: World) -> Any:
            about = subject.make(world, None)
            return get(about, name.make(world, about))

        return _case(target, f"{get}", subject, [name], {}, run, True)

    def _set(self, rng: random.Random, target: Target) -> Case:
        subject = self._subject(rng, target)
        name = attribute_name(rng, [target.name, *self.own[target.owner]])
        value = anything(rng, self.kinds)
        deletes = rng.random() < 0.4
        of = rng.choice((operator, object, type, None))

        def run(world: World) -> Any:
            about = subject.make(world, None)
            key = name.make(world, about)
            where: Any = type(about) if of is None else of
            if deletes:
                return delattr(about, key) if of is operator else where.__delattr__(about, key)
            new = value.make(world, about)
            if world.limit:
                world.limit("__setattr__", [new])
            if of is operator:
                return setattr(about, key, new)
            return where.__setattr__(about, key, new)

        how = f"{'delete' if deletes else 'set'} by {of}"
        return _case(target, how, subject, [name, value], {}, run, True)

    def _descriptor(self, rng: random.Random, target: Target) -> Case:
        """What is in the dict of the class, asked by hand."""
        subject = anything(rng, self.kinds)
        step = rng.choice(("__get__", "__set__", "__delete__", "__set_name__"))
        args = [anything(rng, self.kinds) for _ in range(rng.choice((0, 1, 1, 2)))]

        def run(world: World) -> Any:
            about = world.object(target.owner, "new")
            found = inspect.getattr_static(world.types[target.owner], target.name)
            given = [subject.make(world, about)]
            return call(world, getattr(found, step), about, given, args, {}, step)

        return _case(target, step, subject, args, {}, run, True)

    def _class_level(self, rng: random.Random, target: Target) -> Case:
        """Attributes of a class set or deleted, where that is refused; else of a derived one."""
        value = anything(rng, self.kinds)
        deletes = rng.random() < 0.3
        by_object = rng.random() < 0.3

        def run(world: World) -> Any:
            of: Any = world.types[target.owner]
            if not of.__flags__ & IMMUTABLE and not by_object:
                of = type(of.__name__, (of,), {target.name: 1} if deletes else {})
            setter: Any = object if by_object else type
            if deletes:
                return setter.__delattr__(of, target.name)
            setter.__setattr__(of, target.name, value.make(world, of))
            return of()

        how = f"class level, {'deletes' * deletes} {'by object' * by_object}"
        return _case(target, how, None, [value], {}, run, True)

    def _generic(self, rng: random.Random, target: Target) -> Case:
        """What can be done to every object."""
        subject = self._subject(rng, target)
        name = rng.choice(list(GENERIC))
        other = anything(rng, self.kinds)

        def run(world: World) -> Any:
            about = subject.make(world, None)
            return GENERIC[name](about, other.make(world, about))

        return _case(target, name, subject, [other], {}, run, True)

    def _new(self, rng: random.Random, target: Target) -> Case:
        """`__new__` of this class for another class, and the methods of what comes of it."""
        other = rng.choice(self.kinds)
        args, kwargs = self._arguments(rng, None)
        of_object = rng.random() < 0.4

        def run(world: World) -> Any:
            made: Any = object if of_object else world.types[target.owner]
            of = world.types[target.owner] if of_object else world.any_type(other)
            about = made.__new__(of)
            return call(world, getattr(about, target.name), about, [], args, kwargs, target.name)

        return _case(target, f"new {other} {of_object}", None, args, kwargs, run, False)

    def _drop(self, rng: random.Random, target: Target) -> Case:
        """Objects go, in whatever state they are."""

        def run(world: World) -> None:
            world.forget_of(target.owner)

        return _case(target, "drop", None, [], {}, run, True)


# The flag of a type that lets no attribute be set.
IMMUTABLE = 1 << 8


def _case(
    target: Target,
    how: str,
    subject: Recipe | None,
    args: list[Recipe],
    kwargs: dict[str, Recipe],
    run: Run,
    fit: bool,
) -> Case:
    given = [recipe.words for recipe in args]
    given += [f"{name}={recipe.words}" for name, recipe in kwargs.items()]
    on = f" of {subject.words}" if subject else ""
    return Case(target, how, f"{how}: {target}{on} ({', '.join(given)})", run, fit)
