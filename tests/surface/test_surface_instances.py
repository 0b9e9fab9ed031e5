"""The objects that `_thread` makes: how they print, compare, pickle, die and enter a `with`."""

from __future__ import annotations

import copy
import gc
import io
import operator
import pickle
import sys
import types
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from twins import OURS, STOCK, attempt, instance, instances

every_object = pytest.mark.parametrize("type_name", instances())
context_managers = pytest.mark.parametrize(
    "type_name", [name for name in instances() if hasattr(instance(STOCK, name), "__enter__")]
)
weakly_referable = [name for name in instances() if type(instance(STOCK, name)).__weakrefoffset__]


def both(type_name: str) -> tuple[Any, Any]:
    return instance(STOCK, type_name), instance(OURS, type_name)


@every_object
def test_repr_and_str(type_name: str) -> None:
    stock, ours = both(type_name)
    for show in (repr, str, format, ascii):
        assert attempt(show, ours) == attempt(show, stock)
    assert attempt(format, ours, "spam") == attempt(format, stock, "spam")


def states(module: Any) -> dict[str, Any]:
    """One object in every state that its repr tells apart."""
    held = module.allocate_lock()
    held.acquire()
    once, twice, freed = module.RLock(), module.RLock(), module.RLock()
    once.acquire()
    twice.acquire()
    twice.acquire()
    freed.acquire()
    freed.release()

    class Sub(module.RLock):  # type: ignore[misc]
        pass

    Sub.__module__ = "here"
    made = {"lock": held, "once": once, "twice": twice, "freed": freed, "subclass": Sub()}
    if hasattr(module, "_ThreadHandle"):
        made["fresh handle"] = module._ThreadHandle()
        made["handle"] = module._make_thread_handle(12345)
        made["huge handle"] = module._make_thread_handle(2**63)
        made["done handle"] = module._make_thread_handle(module.get_ident())
        made["done handle"]._set_done()
    return made


@pytest.mark.parametrize("state", states(STOCK))
def test_repr_of_each_state(state: str) -> None:
    assert attempt(repr, states(OURS)[state]) == attempt(repr, states(STOCK)[state])


def test_repr_shows_the_address() -> None:
    lock = OURS.allocate_lock()
    assert repr(lock) == f"<unlocked _thread.lock object at {hex(id(lock))}>"


@every_object
def test_same_attributes(type_name: str) -> None:
    stock, ours = both(type_name)
    assert dir(ours) == dir(stock)
    assert hasattr(ours, "__dict__") == hasattr(stock, "__dict__")
    assert attempt(vars, ours) == attempt(vars, stock)


@every_object
@pytest.mark.parametrize("name", ["spam", "__dict__", "__class__", "__weakref__", "__doc__"])
def test_attributes_read_write_and_delete_alike(type_name: str, name: str) -> None:
    stock, ours = both(type_name)
    assert attempt(getattr, ours, name) == attempt(getattr, stock, name)
    assert attempt(setattr, ours, name, 1) == attempt(setattr, stock, name, 1)
    assert attempt(delattr, ours, name) == attempt(delattr, stock, name)


@every_object
def test_every_attribute_refuses_to_be_replaced_alike(type_name: str) -> None:
    stock, ours = both(type_name)
    for name in dir(stock):
        if name == "__class__":
            continue  # replacing it is the test below
        assert attempt(setattr, ours, name, 1) == attempt(setattr, stock, name, 1)
        assert attempt(delattr, ours, name) == attempt(delattr, stock, name)


@every_object
@pytest.mark.parametrize("new", [object, int, types.ModuleType, 1])
def test_class_cannot_be_assigned(type_name: str, new: object) -> None:
    stock, ours = both(type_name)
    assert attempt(setattr, ours, "__class__", new) == attempt(setattr, stock, "__class__", new)


@every_object
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickling(type_name: str, protocol: int) -> None:
    stock, ours = both(type_name)
    if type(stock) is type(ours):
        return
    for dump in (pickle.dumps, pickle._dumps):  # type: ignore[attr-defined]
        assert attempt(dump, ours, protocol) == attempt(dump, stock, protocol)
    assert attempt(ours.__reduce_ex__, protocol) == attempt(stock.__reduce_ex__, protocol)


@every_object
@pytest.mark.parametrize("function", [copy.copy, copy.deepcopy])
def test_copying(type_name: str, function: Callable[[Any], Any]) -> None:
    stock, ours = both(type_name)
    assert attempt(function, ours) == attempt(function, stock)


@pytest.mark.parametrize("type_name", [name for name in instances() if name != "_ExceptHookArgs"])
def test_subclass_instances_pickle_and_copy_alike(type_name: str) -> None:
    def outcomes(module: Any) -> list[str]:
        try:
            sub = type("Sub", (type(instance(module, type_name)),), {"__module__": "here"})
        except TypeError:
            return []
        return [
            attempt(function, sub())
            for function in (copy.copy, copy.deepcopy, pickle.dumps, operator.methodcaller("spam"))
        ]

    assert outcomes(OURS) == outcomes(STOCK)


@every_object
def test_equality_and_hash_are_identity(type_name: str) -> None:
    stock, ours = both(type_name)
    if type(stock) is type(ours):
        return
    other = instance(OURS, type_name)
    assert ours == ours
    assert ours != other
    assert ours != stock
    assert hash(ours) == hash(ours)
    assert hash(ours) == object.__hash__(ours)
    assert len({ours, other, ours}) == 2


@every_object
@pytest.mark.parametrize(
    "operation",
    [operator.lt, operator.le, operator.add, operator.or_, operator.getitem, operator.contains],
)
def test_operators_refuse_alike(type_name: str, operation: Callable[[Any, Any], Any]) -> None:
    stock, ours = both(type_name)
    if type(stock) is type(ours):
        return
    assert attempt(operation, ours, 1) == attempt(operation, stock, 1)
    assert attempt(operation, ours, ours) == attempt(operation, stock, stock)


@every_object
@pytest.mark.parametrize("function", [bool, len, iter, next, int, float, operator.index, callable])
def test_builtins_answer_alike(type_name: str, function: Callable[[Any], Any]) -> None:
    stock, ours = both(type_name)
    if type(stock) is type(ours):
        return
    assert attempt(function, ours) == attempt(function, stock)
    assert attempt(lambda: ours()) == attempt(lambda: stock())


@every_object
def test_collector_tracks_alike(type_name: str) -> None:
    stock, ours = both(type_name)
    assert gc.is_tracked(ours) == gc.is_tracked(stock)


def test_lock_is_no_larger_than_stock() -> None:
    """With what the interpreter puts before an object, which differs from type to type."""
    stock, ours = both("lock")
    assert sys.getsizeof(ours) <= sys.getsizeof(stock)


@every_object
def test_weak_references(type_name: str) -> None:
    stock, ours = both(type_name)
    assert attempt(weakref.ref, ours) == attempt(weakref.ref, stock)


@pytest.mark.parametrize("type_name", weakly_referable)
def test_weak_reference_dies_with_its_object(type_name: str) -> None:
    ours = instance(OURS, type_name)
    died: list[object] = []
    reference = weakref.ref(ours, died.append)
    assert reference() is ours
    assert reference in weakref.getweakrefs(ours)
    del ours
    gc.collect()
    assert died == [reference]
    assert reference() is None


@pytest.mark.parametrize("type_name", weakly_referable)
def test_weak_references_in_containers(type_name: str) -> None:
    ours = instance(OURS, type_name)
    by_key: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary({ours: 1})
    known: weakref.WeakSet[Any] = weakref.WeakSet([ours])
    assert by_key[ours] == 1
    assert ours in known
    del ours
    gc.collect()
    assert not by_key
    assert not known


@every_object
def test_instance_is_of_its_type(type_name: str) -> None:
    stock, ours = both(type_name)
    assert type(ours).__qualname__ == type(stock).__qualname__
    assert (type(ours) is type(stock)) == isinstance(ours, type(stock))
    assert ours.__class__ is type(ours)
    assert ours.__doc__ == stock.__doc__


@context_managers
def test_with_statement(type_name: str) -> None:
    def entered(module: Any) -> list[object]:
        thing = instance(module, type_name)
        with thing as value:
            inside = attempt(repr, thing)
        return [value, inside, attempt(repr, thing), attempt(thing.__exit__, None, None, None)]

    assert entered(OURS) == entered(STOCK)


@context_managers
def test_with_statement_lets_an_exception_through(type_name: str) -> None:
    ours = instance(OURS, type_name)
    with pytest.raises(ZeroDivisionError):
        with ours:
            1 / 0  # noqa: B018
    assert ours.acquire(False) is True


@context_managers
@pytest.mark.parametrize("args", [(), (1,), (None, None, None), (1, 2, 3, 4)])
def test_exit_takes_what_the_stock_one_takes(type_name: str, args: tuple[Any, ...]) -> None:
    stock, ours = both(type_name)
    for thing in (stock, ours):
        thing.__enter__()
    assert attempt(ours.__exit__, *args) == attempt(stock.__exit__, *args)
    assert attempt(ours.__exit__, *args) == attempt(stock.__exit__, *args)
    assert attempt(ours.__exit__, spam=1) == attempt(stock.__exit__, spam=1)


@every_object
def test_pickler_stops_at_an_object_inside_a_container(type_name: str) -> None:
    """The error comes from the pickler's own path for reduce, not from `dumps` alone."""
    stock, ours = both(type_name)
    if type(stock) is type(ours):
        return

    def dump(thing: object) -> None:
        pickle.Pickler(io.BytesIO(), 2).dump({"key": [thing]})

    assert attempt(dump, ours) == attempt(dump, stock)
