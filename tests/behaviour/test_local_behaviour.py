"""Thread-local objects: which value a thread sees, and when a value dies."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from support import Worker, collect_until, wait_until, workers


class Value:
    """Something to keep that can be watched, and that may say when it goes."""

    def __init__(self, at_end: Callable[[], None] | None = None) -> None:
        self.at_end = at_end

    def __del__(self) -> None:
        if self.at_end is not None:
            self.at_end()


def put(local: Any, name: str, value: object) -> weakref.ref[Any]:
    setattr(local, name, value)
    return weakref.ref(value)


def put_new(local: Any, name: str = "value", at_end: Callable[[], None] | None = None) -> Any:
    """Have the running thread keep a new value without other references."""
    return put(local, name, Value(at_end))


def all_dead(references: list[Any]) -> bool:
    return all(reference() is None for reference in references)


def test_each_thread_has_its_own(api: Any) -> None:
    local = api._local()
    local.name = "main"
    with workers(api, 3) as crew:
        for number, worker in enumerate(crew):
            assert not worker.do(hasattr, local, "name")
            worker.do(setattr, local, "name", number)
        assert [worker.do(getattr, local, "name") for worker in crew] == [0, 1, 2]
        crew[0].do(delattr, local, "name")
        assert not crew[0].do(hasattr, local, "name")
        assert crew[1].do(getattr, local, "name") == 1
    assert local.name == "main"


def test_dict_is_the_threads_own(api: Any) -> None:
    local = api._local()
    local.x = 1
    with workers(api, 1) as [other]:
        assert other.do(lambda: local.__dict__) == {}
        other.do(lambda: local.__dict__.update(x=2, y=3))
        assert other.do(lambda: (local.x, local.y)) == (2, 3)
        assert other.do(lambda: local.__dict__) is not local.__dict__
    assert local.__dict__ == {"x": 1}
    assert local.__dict__ is local.__dict__


def test_locals_do_not_mix(api: Any) -> None:
    many = [api._local() for _ in range(100)]
    with workers(api, 4) as crew:
        for number, worker in enumerate(crew):
            for index, local in enumerate(many):
                worker.do(setattr, local, "x", (number, index))
        for number, worker in enumerate(crew):
            assert worker.do(lambda: [local.x for local in many]) == [
                (number, index) for index in range(100)
            ]


def test_init_runs_in_every_thread_with_the_same_arguments(api: Any) -> None:
    runs: list[Any] = []

    class Local(api._local):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            runs.append((api.get_ident(), args, kwargs))
            self.args = args

    local = Local(1, 2, key=3)
    with workers(api, 2) as crew:
        for worker in crew:
            assert worker.do(getattr, local, "args") == (1, 2)
            assert worker.do(getattr, local, "args") == (1, 2)
        idents = [api.get_ident(), *(worker.ident for worker in crew)]
    assert runs == [(ident, (1, 2), {"key": 3}) for ident in idents]


def test_failing_init_leaves_nothing_and_runs_again(api: Any) -> None:
    fail = False

    class Local(api._local):  # type: ignore[misc]
        def __init__(self) -> None:
            self.x = "half made"
            if fail:
                raise ZeroDivisionError("not now")

    local = Local()
    fail = True
    with workers(api, 1) as [other]:
        for _ in range(2):
            with pytest.raises(ZeroDivisionError, match="not now"):
                other.do(getattr, local, "x")
        fail = False
        assert other.do(getattr, local, "x") == "half made"
    assert local.x == "half made"


def test_init_that_uses_the_local_itself(api: Any) -> None:
    """Inside `__init__` the thread's dict is there already: no second run."""

    class Local(api._local):  # type: ignore[misc]
        def __init__(self) -> None:
            self.count = getattr(self, "count", 0) + 1
            self.__dict__["other"] = self

    local = Local()
    with workers(api, 1) as [other]:
        assert other.do(getattr, local, "count") == 1
        assert other.do(lambda: local.other is local)
    assert local.count == 1


def test_value_dies_with_its_thread(api: Any) -> None:
    local = api._local()
    worker = Worker(api)
    reference = worker.do(put_new, local)
    assert reference() is not None
    worker.finish()
    collect_until(lambda: reference() is None, "the value to go with its thread")
    assert not hasattr(local, "value")


def test_value_dies_with_the_local(api: Any) -> None:
    """While the threads live on."""
    local = api._local()
    with workers(api, 2) as crew:
        references = [put_new(local), *(worker.do(put_new, local) for worker in crew)]
        del local
        collect_until(
            lambda: all_dead(references),
            "the values to go with their local",
        )


def test_value_dies_when_it_is_replaced_or_deleted(api: Any) -> None:
    local = api._local()
    with workers(api, 1) as [other]:
        first = other.do(put_new, local)
        second = other.do(put_new, local)
        assert first() is None
        other.do(delattr, local, "value")
        assert second() is None


def test_cycle_through_the_local_is_collected(api: Any) -> None:
    """Local -> thread's dict -> value -> local, in this thread and in one that lives on."""

    def put_cycle(local: Any) -> Any:
        value = Value()
        value.local = local  # type: ignore[attr-defined]
        return put(local, "value", value)

    local = api._local()
    with workers(api, 1) as [other]:
        references = [put_cycle(local), other.do(put_cycle, local), weakref.ref(local)]
        del local
        collect_until(lambda: all_dead(references), "the cycle to go")


def test_cycle_through_a_subclass_is_collected(api: Any) -> None:
    class Local(api._local):  # type: ignore[misc]
        def __init__(self, argument: list[Any]) -> None:
            self.me = self

    def make() -> Any:
        argument: list[Any] = []
        local = Local(argument)
        argument.append(local)
        return local

    local = make()
    with workers(api, 1) as [other]:
        assert other.do(getattr, local, "me") is local
        reference = weakref.ref(local)
        del local
        collect_until(lambda: reference() is None, "the local to go")


def test_local_inside_another_locals_value(api: Any) -> None:
    """A chain: the death of one sets off the next."""
    first, second = api._local(), api._local()
    inner = weakref.ref(second)
    first.next = second
    value = put_new(second)
    del second
    gc.collect()
    assert value() is not None
    del first
    collect_until(lambda: inner() is None and value() is None)


def test_finalizer_at_thread_end_can_use_the_local(api: Any) -> None:
    """It runs in the ending thread, and finds no value of it or one that is still good."""
    local = api._local()
    seen: list[Any] = []

    def at_end() -> None:
        seen.append((api.get_ident(), getattr(local, "name", None)))

    worker = Worker(api)
    worker.do(setattr, local, "name", "kept")
    reference = worker.do(put_new, local, "value", at_end)
    worker.finish()
    collect_until(lambda: reference() is None and seen, "the finalizer to run")
    [(ident, name)] = seen
    assert ident == worker.ident
    assert name in ("kept", None)


def test_finalizer_at_thread_end_may_set_a_value_again(api: Any) -> None:
    """What it sets goes with the local at the latest, since the thread has had its end."""
    only = [api._local()]
    late: list[Any] = []

    def at_end() -> None:
        late.append(put_new(only[0], "late"))

    worker = Worker(api)
    worker.do(put_new, only[0], "value", at_end)
    worker.finish()
    wait_until(lambda: late, "the finalizer to run")
    assert not hasattr(only[0], "late")
    only.clear()
    collect_until(lambda: late[0]() is None, "the late value to go")


def test_finalizer_at_the_locals_death_sees_no_half_dead_local(api: Any) -> None:
    """The local is gone by then, or whole."""
    local = api._local()
    reference = weakref.ref(local)
    seen: list[Any] = []

    def at_end() -> None:
        found = reference()
        seen.append(found is None or getattr(found, "name", None) in (None, "kept"))

    local.name = "kept"
    put_new(local, "value", at_end)
    with workers(api, 1) as [other]:
        other.do(setattr, local, "name", "kept")
        other.do(put_new, local, "value", at_end)
        del local
        collect_until(lambda: len(seen) == 2)
    assert seen == [True, True]


def test_threads_come_and_go(api: Any) -> None:
    """One local that outlives many threads keeps nothing of them."""
    local = api._local()
    references = []
    for _ in range(50):
        worker = Worker(api)
        references.append(worker.do(put_new, local))
        worker.finish()
    collect_until(lambda: all_dead(references))


def test_locals_come_and_go(api: Any) -> None:
    """One thread that outlives many locals keeps nothing of them."""
    with workers(api, 1) as [other]:
        references = []
        for _ in range(200):
            local = api._local()
            references += [other.do(put_new, local), weakref.ref(local)]
        del local
        collect_until(lambda: all_dead(references))


def test_ends_of_threads_and_locals_at_the_same_time(api: Any) -> None:
    """Each of the two takes what the other has not yet taken."""
    for _ in range(30):
        crew = [Worker(api) for _ in range(2)]
        locals_ = [api._local() for _ in range(5)]
        references = [worker.do(put_new, local) for worker in crew for local in locals_]
        for worker in crew:
            worker.submit(locals_.clear)
            worker._requests.put(None)
        for worker in crew:
            worker.finish()
        collect_until(lambda: all_dead(references))  # noqa: B023


def test_values_of_a_thread_of_the_other_module(api: Any, ours: Any) -> None:
    """Locals of rthread work in threads that rthread did not start."""
    local = ours._local()
    worker = Worker(api)
    reference = worker.do(put_new, local)
    worker.finish()
    collect_until(lambda: reference() is None, "the value to go with its thread")


def test_collection_while_other_threads_use_it(api: Any) -> None:
    local = api._local()

    def use() -> int:
        for number in range(300):
            local.x = [local, number]
            assert local.x[1] == number
            local.__dict__.pop("x")
        return 300

    with workers(api, 2) as crew:
        pendings = [worker.submit(use) for worker in crew]
        while not all(pending.is_done() for pending in pendings):
            gc.collect()
        assert [pending.result() for pending in pendings] == [300, 300]


def test_slots_are_shared_by_all_threads(api: Any) -> None:
    class Local(api._local):  # type: ignore[misc]
        __slots__ = ("slot",)

    local = Local()
    local.slot = "one for all"
    local.own = "mine"
    with workers(api, 1) as [other]:
        assert other.do(getattr, local, "slot") == "one for all"
        assert not other.do(hasattr, local, "own")
