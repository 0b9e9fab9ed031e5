"""CPython's own tests of these classes, subclassed, with nothing changed but the class they try."""

from __future__ import annotations

import importlib.util

import pytest
from kits import Kit

from support import run_snippet

LOCK_TESTS = {
    "EventTests": ("eventtype", "Event"),
    "ConditionTests": ("condtype", "Condition"),
    "SemaphoreTests": ("semtype", "Semaphore"),
    "BoundedSemaphoreTests": ("semtype", "BoundedSemaphore"),
    "BarrierTests": ("barriertype", "Barrier"),
}
QUEUE_TESTS = (
    "QueueTest",
    "LifoQueueTest",
    "PriorityQueueTest",
    "FailingQueueTest",
    "CSimpleQueueTest",
)

# What each test came to is printed: a run of no tests, or of skipped ones alone, must not pass.
RUN = """
import sys, unittest
kit, case, *more = sys.argv[1:]
if kit == "rthread":
    import rthread
    from rthread import threading

{define}

# How large the C struct of stock's SimpleQueue is, from 3.15 on: says nothing about another one.
Case.test_simplequeue_sizeof = None
suite = unittest.defaultTestLoader.loadTestsFromTestCase(Case)
result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(suite)
passed = result.testsRun - len(result.failures) - len(result.errors) - len(result.skipped)
sys.exit(0 if result.wasSuccessful() and passed > 0 else 1)
"""
DEFINE_LOCK_TEST = """
import threading as stock_threading
from test import lock_tests
module = threading if kit == "rthread" else stock_threading
attribute, name = more
Case = type(case, (getattr(lock_tests, case),), {attribute: staticmethod(getattr(module, name))})
"""
# The mixins of test_queue are no test cases by themselves.
DEFINE_QUEUE_TEST = """
from test import test_queue
if kit == "rthread":
    from rthread import queue
else:
    import queue
base = getattr(test_queue, case)
bases = (base,) if issubclass(base, unittest.TestCase) else (base, unittest.TestCase)
Case = type(case + "OfKit", bases, {"queue": queue})
"""


def require(module: str) -> None:
    try:
        found = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        found = None
    if found is None:
        pytest.skip(f"this interpreter has no {module}")


def run(kit: Kit, define: str, *args: str) -> None:
    # The tests start threads while warnings are shown, and some warn on purpose.
    finished = run_snippet(RUN.replace("{define}", define), kit.name, *args, timeout=300)
    assert finished.returncode == 0, finished.stdout + finished.stderr


@pytest.mark.parametrize("case", LOCK_TESTS)
def test_lock_tests(kit: Kit, case: str) -> None:
    require("test.lock_tests")
    run(kit, DEFINE_LOCK_TEST, case, *LOCK_TESTS[case])


@pytest.mark.parametrize("case", QUEUE_TESTS)
def test_test_queue(kit: Kit, case: str) -> None:
    require("test.test_queue")
    run(kit, DEFINE_QUEUE_TEST, case)
