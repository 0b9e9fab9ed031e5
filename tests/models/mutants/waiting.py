"""Mutants of what every wait goes through: the queue lock of a queue, and the wait itself."""

from .mutant import RELAXED, Mutant

GUARD = [
    Mutant(
        "guard: released without order",
        "queue_lock.rs",
        "Ordering::Release",
        RELAXED,
        ("channel::an_item_brings_what_was_done_before", "lock::mutual_exclusion_of_three"),
        near="swap(self.epoch | FREE, Ordering::Release)",
    ),
    Mutant(
        "guard: released without waking the thread that sleeps on it",
        "queue_lock.rs",
        "before & STATE == CONTENDED",
        "false",
        ("lock::mutual_exclusion_and_no_lost_wake_up",),
    ),
    Mutant(
        "guard: a thread that has slept forgets that another may sleep",
        "queue_lock.rs",
        "take = CONTENDED;",
        "take = HELD;",
        ("channel::two_getters_get_an_item_each",),
    ),
]

WAIT = [
    Mutant(
        "wait: a hand-off at the moment of the time-out is dropped",
        "protocol.rs",
        "unsafe { what.cancel(waiter) }",
        "unsafe { match what.cancel(waiter) { Cancelled::Settled => Cancelled::Left, it => it } }",
        (
            "lock::hand_off_against_time_out",
            "lock::hand_off_against_a_handler_that_raises",
            "condition::notify_against_time_out",
            "semaphore::release_against_time_out",
            "channel::a_get_that_times_out_loses_no_item",
        ),
    ),
    Mutant(
        "wait: a waiter that was interrupted does not queue again",
        "protocol.rs",
        "queued = T::STAYS_QUEUED_DURING_SIGNALS;",
        "queued = true;",
        (
            "lock::hand_off_against_interruption",
            "lock::a_waiter_that_is_interrupted_delays_no_other",
            "semaphore::release_against_interruption",
            "channel::a_put_that_is_interrupted_keeps_its_item_or_has_put_it",
        ),
    ),
    Mutant(
        "wait: a waiter that stays for the end of a turn times out again and again",
        "protocol.rs",
        "*deadline = None",
        "()",
        (
            "barrier::a_time_out_breaks_it_for_both_or_for_none",
            "retire::a_round_of_a_retired_barrier_ends_for_all_or_goes_on_for_all",
        ),
        near="Cancelled::Stays => *deadline = None",
    ),
    Mutant(
        "wait: a waiter that sleeps is told but not woken",
        "wait_list.rs",
        "wake.send();",
        "drop(wake);",
        (
            "lock::mutual_exclusion_and_no_lost_wake_up",
            "event::all_waiters_go_on",
            "semaphore::one_release_lets_two_in",
            "barrier::two_meet",
        ),
    ),
]
