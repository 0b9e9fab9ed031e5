"""The types of `_thread`: their members, and what Python code may do to them."""

from __future__ import annotations

import copy
import inspect
import pickle
from typing import Any

import pytest
from twins import OURS, STOCK, attempt, instances, members, own_types, signature, twin

import support

# Bits of __flags__ that Python code can feel: immutable, no direct creation, heap type, may be
# subclassed, garbage collected, abstract, sequence, mapping.
VISIBLE_FLAGS = {
    "immutable": 1 << 8,
    "disallow instantiation": 1 << 7,
    "heap": 1 << 9,
    "base": 1 << 10,
    "gc": 1 << 14,
    "abstract": 1 << 20,
    "sequence": 1 << 5,
    "mapping": 1 << 6,
}

every_type = pytest.mark.parametrize("name", own_types())
every_member = pytest.mark.parametrize(("name", "member"), members())


def member_twin(name: str, member: str) -> tuple[Any, Any]:
    """A member as it lies in the dicts of both types."""
    _, stock, ours = twin(name)
    return vars(stock)[member], vars(ours).get(member)


@every_type
def test_same_members(name: str) -> None:
    _, stock, ours = twin(name)
    assert sorted(vars(ours)) == sorted(vars(stock))
    assert dir(ours) == dir(stock)


@every_member
def test_member_kind(name: str, member: str) -> None:
    stock, ours = member_twin(name, member)
    assert type(ours) is type(stock)


@every_member
@pytest.mark.parametrize("attribute", ["__doc__", "__text_signature__", "__name__", "__qualname__"])
def test_member_says_the_same_of_itself(name: str, member: str, attribute: str) -> None:
    stock, ours = member_twin(name, member)
    assert getattr(ours, attribute, "none") == getattr(stock, attribute, "none")


@every_member
def test_member_signature(name: str, member: str) -> None:
    stock, ours = member_twin(name, member)
    assert signature(ours) == signature(stock)


@every_member
def test_member_repr(name: str, member: str) -> None:
    stock, ours = member_twin(name, member)
    assert support.without_addresses(repr(ours)) == support.without_addresses(repr(stock))


@every_member
def test_plain_member_has_the_same_value(name: str, member: str) -> None:
    stock, ours = member_twin(name, member)
    if isinstance(stock, (str, int, tuple, type(None))):
        assert ours == stock


@every_type
def test_bases(name: str) -> None:
    _, stock, ours = twin(name)
    assert [base.__qualname__ for base in ours.__mro__] == [
        base.__qualname__ for base in stock.__mro__
    ]
    assert type(ours) is type(stock)


@every_type
@pytest.mark.parametrize("flag", VISIBLE_FLAGS)
def test_flag(name: str, flag: str) -> None:
    _, stock, ours = twin(name)
    bit = VISIBLE_FLAGS[flag]
    assert bool(ours.__flags__ & bit) == bool(stock.__flags__ & bit)


@every_type
def test_layout_offers_the_same(name: str) -> None:
    _, stock, ours = twin(name)
    assert bool(ours.__weakrefoffset__) == bool(stock.__weakrefoffset__)
    assert bool(ours.__dictoffset__) == bool(stock.__dictoffset__)
    assert ours.__itemsize__ == stock.__itemsize__


@every_type
def test_type_cannot_be_changed(name: str) -> None:
    _, stock, ours = twin(name)
    if stock is ours:
        return
    for attribute in ("spam", "__doc__", "__name__", "__qualname__", "__module__", "__repr__"):
        assert attempt(setattr, ours, attribute, "eggs") == attempt(
            setattr, stock, attribute, "eggs"
        )
        assert attempt(delattr, ours, attribute) == attempt(delattr, stock, attribute)
    for attribute in ("__bases__", "__class__"):
        assert attempt(setattr, ours, attribute, ()) == attempt(setattr, stock, attribute, ())


@every_type
def test_subclassing(name: str) -> None:
    def subclass(base: type) -> object:
        return type("Sub", (base,), {"__module__": "here"})

    _, stock, ours = twin(name)
    assert attempt(subclass, ours) == attempt(subclass, stock)


@every_type
@pytest.mark.parametrize(
    ("args", "kwargs"), [((), {}), ((1,), {}), ((1, 2), {}), ((), {"spam": 1}), ((1,), {"x": 2})]
)
def test_creation(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    _, stock, ours = twin(name)
    assert attempt(ours, *args, **kwargs) == attempt(stock, *args, **kwargs)
    for maker in (lambda t, *a, **k: t.__new__(t, *a, **k), lambda t, *a, **k: object.__new__(t)):
        assert attempt(maker, ours, *args, **kwargs) == attempt(maker, stock, *args, **kwargs)


@every_type
def test_new_for_a_foreign_type(name: str) -> None:
    _, stock, ours = twin(name)
    for foreign in (object, int, 1, None):
        assert attempt(ours.__new__, foreign) == attempt(stock.__new__, foreign)


@every_type
def test_type_pickles_by_name_or_fails_alike(name: str) -> None:
    """Outside install() `_thread.lock` is the stock type: ours cannot claim the name."""
    _, stock, ours = twin(name)
    if stock is ours:
        return
    assert attempt(copy.deepcopy, ours) == attempt(copy.deepcopy, stock)
    if attempt(pickle.dumps, stock).startswith("gives"):
        assert "not the same object" in attempt(pickle.dumps, ours)


@every_type
def test_generic_alias(name: str) -> None:
    """`lock[int]` and the like fail in the same words."""
    _, stock, ours = twin(name)
    assert attempt(lambda: ours[int]) == attempt(lambda: stock[int])


@every_member
def test_method_refuses_a_foreign_object(name: str, member: str) -> None:
    stock, ours = member_twin(name, member)
    if not inspect.ismethoddescriptor(stock):
        return
    for args in ((), (object(),), (1,), (None,)):
        assert attempt(ours, *args) == attempt(stock, *args)


@every_member
def test_attribute_refuses_a_foreign_object(name: str, member: str) -> None:
    stock, ours = member_twin(name, member)
    if not inspect.isgetsetdescriptor(stock):
        return
    assert attempt(ours.__get__, 1) == attempt(stock.__get__, 1)
    assert attempt(ours.__set__, 1, 2) == attempt(stock.__set__, 1, 2)


@pytest.mark.parametrize("type_name", instances())
def test_method_of_one_module_refuses_the_object_of_the_other(type_name: str) -> None:
    """Both types have one name; one taken for the other would be memory of the wrong shape."""
    from twins import instance

    stock, ours = instance(STOCK, type_name), instance(OURS, type_name)
    if type(stock) is type(ours):
        return
    for member, descriptor in vars(type(stock)).items():
        if inspect.ismethoddescriptor(descriptor) and member != "__getattribute__":
            mine = vars(type(ours))[member]
            assert attempt(mine, stock) == attempt(descriptor, ours)
            assert attempt(mine, stock).startswith("raises TypeError")
