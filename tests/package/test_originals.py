"""`rthread.stock`: the interpreter's own objects, for code that needs an original."""

from __future__ import annotations

import pytest

import support

CASES = {
    "a function of _thread": ("_thread", "allocate_lock"),
    "a type of _thread": ("_thread", "RLock"),
    "a native class": ("threading", "Event"),
    "a class that stays": ("threading", "Thread"),
    "a name taken from _thread": ("threading", "_start_new_thread"),
    "a queue": ("queue", "Queue"),
    "a queue of C": ("queue", "SimpleQueue"),
    "a constant": ("_thread", "TIMEOUT_MAX"),
}


@pytest.mark.parametrize("case", CASES)
def test_the_same_object_before_and_during_an_installation(case: str) -> None:
    module, name = CASES[case]
    if case == "a name taken from _thread":
        name = "_start_joinable_thread" if _has_handles() else name
    support.check_snippet(
        f"""
        import {module}, rthread
        # In a list: a name of this module would be switched as well.
        original = [{module}.{name}]
        assert rthread.stock("{module}", "{name}") is original[0]
        rthread.install(queue=True)
        assert rthread.stock("{module}", "{name}") is original[0]
        import _thread, threading
        changed = {name!r} not in ("Thread", "TIMEOUT_MAX")
        assert ({module}.{name} is not original[0]) is changed
        rthread.uninstall()
        assert rthread.stock("{module}", "{name}") is original[0] is {module}.{name}
        """
    )


def _has_handles() -> bool:
    import threading

    return hasattr(threading, "_start_joinable_thread")


def test_an_original_works_beside_rthread() -> None:
    support.check_snippet(
        """
        import rthread
        rthread.install()
        import threading
        Event = rthread.stock("threading", "Event")
        event = Event()
        thread = threading.Thread(target=event.set)
        thread.start()
        assert event.wait(60) and type(event) is not threading.Event
        thread.join()
        """
    )


def test_a_tools_object_is_the_original_while_it_is_there() -> None:
    support.check_snippet(
        """
        import threading, warnings
        class Event(threading.Event): pass
        threading.Event = Event
        import rthread
        warnings.simplefilter("ignore")
        rthread.install()
        assert rthread.stock("threading", "Event") is Event
        """
    )


def test_names_that_do_not_exist() -> None:
    import rthread

    with pytest.raises(ImportError):
        rthread.stock("no_such_module", "Event")
    with pytest.raises(AttributeError):
        rthread.stock("threading", "NoSuchClass")
