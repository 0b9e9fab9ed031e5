"""Every name of the live `_thread` is in rthread, and is the same kind of thing."""

from __future__ import annotations

import itertools
import pydoc
import types

import pytest
from twins import NAMES, OURS, STOCK, functions, signature, twin

import rthread
import support

ADDED = {"_set_sentinel", "TSS"}
# Shared on purpose: a hook or a handler written for either module then accepts what the other
# one raises and passes.
SHARED = {"error", "_ExceptHookArgs"}

every_name = pytest.mark.parametrize("name", NAMES)
every_function = pytest.mark.parametrize("name", functions())


def is_dunder(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


@every_name
def test_name_is_in_the_extension(name: str) -> None:
    assert hasattr(OURS, name)


@every_name
def test_name_is_in_the_package(name: str) -> None:
    assert getattr(rthread, name) is getattr(OURS, name)


@pytest.mark.parametrize("name", sorted(ADDED))
def test_added_name_is_in_both(name: str) -> None:
    assert getattr(rthread, name) is getattr(OURS, name)


def test_nothing_else_is_added() -> None:
    extra = {name for name in set(dir(OURS)) - set(dir(STOCK)) if not is_dunder(name)}
    assert extra == ADDED - set(NAMES)


@every_name
def test_kind(name: str) -> None:
    _, stock, ours = twin(name)
    assert type(ours) is type(stock)
    assert callable(ours) == callable(stock)


@every_name
def test_constants_and_shared_types_are_the_same_and_all_else_is_our_own(name: str) -> None:
    _, stock, ours = twin(name)
    if callable(stock):
        assert (ours is stock) == (name in SHARED)
    else:
        assert ours == stock


def test_star_import_gives_the_same_names() -> None:
    def star(module: str) -> set[str]:
        names: dict[str, object] = {}
        exec(f"from {module} import *", names)
        return set(names)

    assert star("rthread._rthread") == star("_thread") | {"TSS"}


def test_same_names_are_aliases() -> None:
    def aliases(module: object) -> list[tuple[str, str]]:
        pairs = itertools.combinations(NAMES, 2)
        return [(a, b) for a, b in pairs if getattr(module, a) is getattr(module, b)]

    assert aliases(OURS) == aliases(STOCK)


@every_name
@pytest.mark.parametrize(
    "attribute", ["__doc__", "__text_signature__", "__name__", "__qualname__", "__module__"]
)
def test_what_it_says_of_itself(name: str, attribute: str) -> None:
    _, stock, ours = twin(name)
    missing = object()
    assert getattr(ours, attribute, missing) == getattr(stock, attribute, missing) or (
        not hasattr(stock, attribute) and not hasattr(ours, attribute)
    )


@every_name
def test_signature(name: str) -> None:
    _, stock, ours = twin(name)
    assert signature(ours) == signature(stock)


@every_name
def test_repr(name: str) -> None:
    _, stock, ours = twin(name)
    assert support.without_addresses(repr(ours)) == support.without_addresses(repr(stock))


@every_name
def test_help_page(name: str) -> None:
    """What `help()` shows covers every member, its signature and its text at once."""
    _, stock, ours = twin(name)
    assert help_page(ours) == help_page(stock)


def help_page(thing: object) -> str:
    return support.without_addresses(pydoc.plain(pydoc.render_doc(thing)))


@every_function
def test_function_belongs_to_its_module(name: str) -> None:
    _, stock, ours = twin(name)
    assert stock.__self__ is STOCK
    assert ours.__self__ is OURS


@every_function
def test_function_has_the_same_attributes(name: str) -> None:
    _, stock, ours = twin(name)
    assert dir(ours) == dir(stock)


def test_module_is_one() -> None:
    assert type(OURS) is types.ModuleType
    assert OURS.__doc__ == STOCK.__doc__
    assert OURS.__name__ == "rthread._rthread"


@pytest.mark.parametrize("name", sorted(ADDED))
def test_added_name_is_documented(name: str) -> None:
    thing = getattr(OURS, name)
    assert thing.__doc__
    assert isinstance(thing, type) == (name == "TSS")
    if name == "TSS":
        assert (thing.__module__, thing.__qualname__) == ("rthread", "TSS")


def test_tss_has_its_members_and_no_others() -> None:
    public = {name for name in vars(OURS.TSS) if not name.startswith("_")}
    assert public == {"create", "is_created", "set", "get", "delete"}
    assert all(getattr(OURS.TSS, name).__doc__ for name in public)


def test_set_sentinel_is_a_plain_function() -> None:
    assert isinstance(OURS._set_sentinel, types.BuiltinFunctionType)
    assert OURS._set_sentinel.__name__ == "_set_sentinel"
