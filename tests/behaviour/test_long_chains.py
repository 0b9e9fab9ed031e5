"""Objects that keep each other alive, in long chains, are freed without running out of stack."""

from __future__ import annotations

import pytest

import support

# Each makes an object that keeps `last` alive.
LINKS = {
    "barrier": "threading.Barrier(1, types.MethodType(print, last))",
    "derived barrier": "Derived.Barrier(1, types.MethodType(print, last))",
    "event": "having(threading.Event())",
    "derived event": "having(Derived.Event())",
    "condition": "having(threading.Condition())",
    "semaphore": "having(threading.Semaphore())",
    "local": "having(threading.local())",
    "derived local": "having(Derived.local())",
    "local's argument": "Derived.local(last)",
    "TSS": "storing(key(), 'set')",
    "queue": "storing(queue.Queue(), 'put')",
    "derived queue": "storing(Derived.Queue(), 'put')",
    "simple queue": "storing(queue.SimpleQueue(), 'put')",
}
CHAIN = """
    import functools, gc, sys, types
    import rthread
    from rthread import queue, threading

    class Derived:
        class Barrier(threading.Barrier): pass
        class Event(threading.Event): pass
        class Queue(queue.Queue): pass
        class local(threading.local):
            def __init__(self, *args): pass

    def having(thing):
        thing.last = last
        return thing

    def storing(thing, how):
        getattr(thing, how)(last)
        return thing

    def key():
        made = rthread.TSS()
        made.create()
        return made

    class Witness: pass

    links = [eval(f"lambda: {link}") for link in sys.argv[1:]]
    # What is put off would be seen by the collector where it is due.
    gc.set_threshold(1000)
    freed = []
    last = Witness()
    last.of = functools.partial(freed.append, 1)
    import weakref
    weakref.finalize(last, freed.append, 1).atexit = False
    for n in range(100_000):
        last = links[n % len(links)]()
    del last
    gc.collect()
    print(freed)
"""


@pytest.mark.parametrize("link", LINKS)
def test_a_chain_of_one_kind(link: str) -> None:
    assert support.check_snippet(CHAIN, LINKS[link]) == "[1]\n"


def test_a_chain_of_all_kinds() -> None:
    assert support.check_snippet(CHAIN, *LINKS.values()) == "[1]\n"


def test_a_chain_in_a_thread_with_a_small_stack() -> None:
    """And an exception that is on its way stays the same."""
    output = support.check_snippet(
        """
        import types
        from rthread import threading

        def free():
            last = print
            for _ in range(100_000):
                last = threading.Barrier(1, types.MethodType(print, last))
            try:
                raise ValueError("kept")
            except ValueError as error:
                del last
                print(error, flush=True)

        threading.stack_size(512 << 10)
        thread = threading.Thread(target=free)
        thread.start()
        thread.join()
        """
    )
    assert output == "kept\n"


def test_a_finalizer_in_the_midst_makes_and_frees_a_chain() -> None:
    output = support.check_snippet(
        """
        import types
        from rthread import threading

        def chain(last, length):
            for _ in range(length):
                last = threading.Barrier(1, types.MethodType(print, last))
            return last

        class Finalized:
            count = 0
            def __init__(self, last): self.last = last
            def __del__(self):
                chain(print, 1000)
                Finalized.count += 1

        last = print
        for _ in range(300):
            last = chain(Finalized(last), 100)
        del last
        print(Finalized.count)
        """
    )
    assert output == "300\n"
