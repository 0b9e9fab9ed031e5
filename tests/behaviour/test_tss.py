"""`TSS`: one value a thread under one key, from `create` to `delete`."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from support import Worker, collect_until, stock, wait_until, workers


class Value:
    """Something to keep that can be watched, and that may say when it goes."""

    def __init__(self, at_end: Callable[[], None] | None = None) -> None:
        self.at_end = at_end

    def __del__(self) -> None:
        if self.at_end is not None:
            self.at_end()


@pytest.fixture
def key(ours: Any) -> Any:
    made = ours.TSS()
    made.create()
    return made


def put_new(key: Any, at_end: Callable[[], None] | None = None) -> Any:
    """Have the running thread keep a new value without other references."""
    value = Value(at_end)
    key.set(value)
    return weakref.ref(value)


def test_life_of_a_key(ours: Any) -> None:
    key = ours.TSS()
    assert key.is_created is False
    assert key.create() is None
    assert key.is_created is True
    assert key.delete() is None
    assert key.is_created is False


@pytest.mark.parametrize("state", ["new", "deleted", "deleted twice"])
def test_use_of_a_key_that_is_not_created(ours: Any, state: str) -> None:
    key = ours.TSS()
    if state != "new":
        key.create()
        key.set(1)
        key.delete()
    if state == "deleted twice":
        key.delete()
    for use in (key.get, lambda: key.set(1)):
        with pytest.raises(RuntimeError) as caught:
            use()
        # The words say what is wrong and what helps.
        assert "create" in str(caught.value)
    assert key.is_created is False


def test_create_again_keeps_the_values(key: Any) -> None:
    key.set("kept")
    key.create()
    assert key.get() == "kept"


def test_delete_of_a_key_that_is_not_created(ours: Any) -> None:
    key = ours.TSS()
    key.delete()
    assert key.is_created is False
    key.create()
    assert key.get() is None


def test_a_key_made_again_is_empty(key: Any) -> None:
    with workers(stock(), 1) as [other]:
        key.set("old")
        other.do(key.set, "old")
        key.delete()
        key.create()
        assert key.get() is None
        assert other.do(key.get) is None
        key.set("new")
        assert other.do(key.get) is None


def test_each_thread_has_its_own(api: Any, key: Any) -> None:
    """In threads of both modules."""
    key.set("main")
    with workers(api, 3) as crew:
        for number, worker in enumerate(crew):
            assert worker.do(key.get) is None
            worker.do(key.set, number)
        assert [worker.do(key.get) for worker in crew] == [0, 1, 2]
    assert key.get() == "main"


def test_keys_do_not_mix(ours: Any) -> None:
    keys = [ours.TSS() for _ in range(50)]
    for number, key in enumerate(keys):
        key.create()
        key.set(number)
    for key in keys[::2]:
        key.delete()
    assert [key.get() for key in keys[1::2]] == list(range(1, 50, 2))


@pytest.mark.parametrize("value", [None, 0, "", (), object])
def test_any_value(key: Any, value: object) -> None:
    key.set(value)
    assert key.get() is value


def test_replaced_value_dies(key: Any) -> None:
    first = put_new(key)
    second = put_new(key)
    assert first() is None
    key.set(None)
    assert second() is None


def test_value_dies_with_its_thread(api: Any, key: Any) -> None:
    worker = Worker(api)
    reference = worker.do(put_new, key)
    gc.collect()
    assert reference() is not None
    worker.finish()
    collect_until(lambda: reference() is None, "the value to go with its thread")


def test_values_die_when_the_key_is_deleted(api: Any, key: Any) -> None:
    """Those of other threads too, which live on."""
    with workers(api, 2) as crew:
        references = [put_new(key), *(worker.do(put_new, key) for worker in crew)]
        key.delete()
        collect_until(lambda: [reference() for reference in references] == [None] * 3)
        for worker in crew:
            with pytest.raises(RuntimeError):
                worker.do(key.get)
        key.create()
        assert [worker.do(key.get) for worker in crew] == [None, None]


def test_values_die_with_the_key(api: Any, key: Any, ours: Any) -> None:
    own = ours.TSS()
    own.create()
    with workers(api, 1) as [other]:
        references = [put_new(own), other.do(put_new, own)]
        del own
        collect_until(lambda: [reference() for reference in references] == [None] * 2)


def test_cycle_through_the_key_is_collected(api: Any, ours: Any) -> None:
    """Key -> value -> key, in this thread and in one that lives on."""

    def put_cycle(key: Any) -> Any:
        value = Value()
        value.key = key  # type: ignore[attr-defined]
        key.set(value)
        return weakref.ref(value)

    key = ours.TSS()
    key.create()
    with workers(api, 1) as [other]:
        references = [put_cycle(key), other.do(put_cycle, key)]
        del key
        collect_until(lambda: [reference() for reference in references] == [None] * 2)


def test_finalizer_at_thread_end_can_use_the_key(api: Any, key: Any) -> None:
    """It runs in the ending thread; what it sets goes with the key at the latest."""
    seen: list[Any] = []

    def at_end() -> None:
        seen.append(api.get_ident())
        key.get()
        seen.append(put_new(key))

    worker = Worker(api)
    worker.do(put_new, key, at_end)
    worker.finish()
    wait_until(lambda: len(seen) == 2, "the finalizer to run")
    assert seen[0] == worker.ident
    assert key.get() is None
    key.delete()
    collect_until(lambda: seen[1]() is None, "the late value to go")


def test_finalizer_may_delete_the_key(key: Any) -> None:
    """A value's death inside set() and delete() may call back into the key."""
    put_new(key, key.delete)
    key.set("next")
    assert key.is_created is False
    key.create()
    put_new(key, key.create)
    key.delete()
    assert key.is_created is True
    assert key.get() is None


def test_finalizer_may_set_the_value_that_is_being_replaced(key: Any) -> None:
    put_new(key, lambda: key.set("from the finalizer"))
    key.set("from outside")
    assert key.get() in ("from the finalizer", "from outside")
    assert key.is_created


def test_set_and_get_while_another_thread_deletes_and_creates(api: Any, key: Any) -> None:
    """Each use meets a key that is there, or gets RuntimeError: never a value of another one."""

    def use(mine: str) -> int:
        found = 0
        for _ in range(500):
            try:
                key.set(mine)
                value = key.get()
            except RuntimeError:
                continue
            assert value in (mine, None)
            found += 1
        return found

    with workers(api, 3) as [first, second, third]:
        users = [first.submit(use, "first"), second.submit(use, "second")]

        def renew() -> None:
            while not all(user.is_done() for user in users):
                key.delete()
                key.create()

        pending = third.submit(renew)
        for user in users:
            assert user.result() >= 0
        pending.result()


def test_threads_come_and_go(api: Any, key: Any) -> None:
    references = []
    for _ in range(50):
        worker = Worker(api)
        references.append(worker.do(put_new, key))
        worker.finish()
    collect_until(lambda: all(reference() is None for reference in references))


def test_wrong_arguments(key: Any) -> None:
    calls: list[Callable[[], Any]] = [
        *(lambda: key.set(), lambda: key.set(1, 2), lambda: key.get(1), lambda: key.create(1)),
        *(lambda: key.delete(1), lambda: key.set(value=1)),
    ]
    for call in calls:
        with pytest.raises(TypeError):
            call()
    with pytest.raises(AttributeError):
        key.is_created = True
    assert key.get() is None


def test_repr_says_what_it_is(key: Any) -> None:
    assert "TSS" in repr(key)
