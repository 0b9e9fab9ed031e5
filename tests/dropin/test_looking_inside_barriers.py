"""Looks at the insides of barriers while threads wait in them, and in their action."""

# ruff: noqa: B023
from __future__ import annotations

import threading

from case_support import Waiter, attempt, case, leave, tell, until, waiting
from test_looking_inside import looks_at


def test_the_same_as_on_stock(compare):
    compare()


# Barriers


def barrier_looked_at(then):
    for name, look in looks_at("Barrier"):
        barrier = threading.Barrier(3)
        waiters = [waiting(barrier.wait), waiting(barrier.wait, 30)]
        look(barrier)
        said = then(barrier)
        tell(name, said, sorted(waiter.said() for waiter in waiters), barrier.broken)
    leave()


@case
def a_barrier_looked_at_and_reset():
    barrier_looked_at(lambda barrier: barrier.reset())


@case
def a_barrier_looked_at_and_aborted():
    barrier_looked_at(lambda barrier: barrier.abort())


@case
def a_barrier_looked_at_and_passed():
    barrier_looked_at(lambda barrier: barrier.wait() in range(3) and None)


@case
def a_barrier_looked_at_counts_its_waiters():
    barrier_looked_at(lambda barrier: (barrier.n_waiting, barrier._count, barrier.abort()))


@case
def a_barrier_aborted_and_reset_at_once():
    for name, look in looks_at("Barrier"):
        barrier = threading.Barrier(3)
        waiters = [waiting(barrier.wait) for _ in range(2)]
        look(barrier)
        barrier.abort()
        barrier.reset()
        said = [waiter.said() for waiter in waiters]
        tell(name, said)
        until(lambda barrier=barrier: barrier._state == 0)
        tell(barrier.broken, barrier.n_waiting)
    leave()


@case
def a_barrier_looked_at_in_its_action():
    for name, look in looks_at("Barrier"):
        seen = []

        def action(look=look, seen=seen):
            look(seen[0])
            seen.append((seen[0]._state, seen[0].n_waiting))

        barrier = threading.Barrier(3, action)
        seen.append(barrier)
        waiters = [waiting(barrier.wait) for _ in range(2)]
        barrier.wait()
        tell(name, [waiter.said() in "012" for waiter in waiters], seen[1:])
        until(lambda barrier=barrier: barrier._state == 0)
        tell(vars(barrier)["_count"], barrier.broken)
    leave()


@case
def a_barrier_with_an_action_that_fails_after_a_look():
    def action():
        vars(barrier)
        raise ZeroDivisionError("action")

    barrier = threading.Barrier(3, action)
    waiters = [waiting(barrier.wait) for _ in range(2)]
    attempt("last", barrier.wait)
    tell([waiter.said() for waiter in waiters], barrier.broken, barrier._state)
    leave()


@case
def a_barrier_aborted_in_its_action():
    for look in (vars, lambda b: None):

        def action(look=look):
            look(barrier)
            waiter = Waiter(barrier.abort)
            tell(waiter.said(0.1))

        barrier = threading.Barrier(2, action)
        waiter = waiting(barrier.wait)
        attempt("last", lambda: barrier.wait() in (0, 1))
        tell(waiter.said() in ("0", "1", "BrokenBarrierError: "))
    leave()


@case
def a_barrier_made_new_while_waited_for():
    barrier = threading.Barrier(3)
    before = waiting(barrier.wait, 0.4)
    barrier.__init__(2)
    tell(barrier.parties, barrier.n_waiting, barrier.broken)
    after = waiting(barrier.wait)
    attempt("wait", lambda: barrier.wait() in (0, 1))
    tell(after.said() in ("0", "1"), before.said(), barrier.broken)
    leave()


@case
def a_barrier_with_parties_that_change():
    barrier = threading.Barrier(3)
    waiter = waiting(barrier.wait)
    barrier._parties = 2
    attempt("last", lambda: barrier.wait(5) in (0, 1))
    tell(waiter.said() in ("0", "1"))
    attempt("state", lambda: (barrier._state, barrier._count))
    leave()


@case
def a_barriers_time_out_and_action_written():
    barrier = threading.Barrier(2)
    barrier._timeout = 0.01
    attempt("wait", barrier.wait)
    barrier.reset()
    barrier._action = lambda: tell("action")
    waiter = waiting(barrier.wait, 20)
    attempt("last", lambda: barrier.wait(20) in (0, 1))
    tell(waiter.said() in ("0", "1"))
    attempt("parties", setattr, barrier, "parties", 3)
    attempt("broken", setattr, barrier, "broken", True)
    attempt("n_waiting", setattr, barrier, "n_waiting", 3)
    leave()


@case
def a_barrier_used_again_after_a_look():
    barrier = threading.Barrier(3)
    said = []
    for round_ in range(6):
        waiters = [waiting(barrier.wait) for _ in range(2)]
        if round_ % 2:
            vars(barrier)
        said.append(sorted([str(barrier.wait()), *(waiter.said() for waiter in waiters)]))
    tell(said, barrier.n_waiting, barrier.broken)
    leave()
