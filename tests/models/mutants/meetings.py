"""Mutants of events, conditions, barriers, and of the life of a thread."""

from .mutant import RELAXED, Mutant

EVENT = [
    Mutant(
        "event: set wakes nobody",
        "event.rs",
        "before & PARKED != 0",
        "false",
        (
            "event::everybody_who_waits_goes_on",
            "event::a_clear_takes_nothing_back",
            "life::two_join_at_once",
        ),
        programs=("meetings::an_event_that_is_set_again_and_again",),
    ),
    Mutant(
        "event: who comes late does not look",
        "event.rs",
        "seen & (SET | RETIRED) != 0",
        "seen & RETIRED != 0",
        ("event::everybody_who_waits_goes_on",),
    ),
    Mutant(
        "event: set without order",
        "event.rs",
        "Ordering::Release",
        RELAXED,
        ("event::what_was_done_before_is_seen_after",),
        near="fetch_or(SET | NOTIFIED, Ordering::Release)",
    ),
    Mutant(
        "event: a set is for whoever comes after a clear as well",
        "event.rs",
        "is_at_most(note_of(first), round)",
        "true",
        ("event::a_set_is_not_for_those_who_come_after_a_clear",),
    ),
    Mutant(
        "event: only the first is woken",
        "event.rs",
        "queue.release_and_wake(Some(wake));",
        "queue.release_and_wake(Some(wake)); return;",
        ("event::everybody_who_waits_goes_on",),
    ),
]

CONDITION = [
    Mutant(
        "condition: a notification wakes nobody",
        "condition.rs",
        "queue.release_and_wake(Some(wake));",
        "queue.release_and_wake(None); drop(wake);",
        ("condition::a_notification_goes_to_one_who_waits", "condition::notify_against_time_out"),
        programs=("meetings::a_buffer_between_three_and_three",),
    ),
    Mutant(
        "condition: one notification too few",
        "condition.rs",
        "count",
        "count.min(1)",
        ("condition::everybody_is_notified_who_waits",),
        near=".take(count)",
    ),
    Mutant(
        "condition: a notification is lost on time-out",
        "condition.rs",
        "settled",
        "false",
        ("condition::notify_against_time_out", "condition::notify_against_interruption"),
        near="if settled { Cancelled::Settled } else { Cancelled::Left }",
    ),
    Mutant(
        "condition: a waiter that has not been woken was not notified",
        "condition.rs",
        "is_notified(waiter)",
        "false",
        ("condition::a_notification_for_two_is_for_both_at_once",),
        near="let notified = is_notified(waiter)",
    ),
    Mutant(
        "condition: whose handler raises keeps the notification",
        "condition.rs",
        "let _live = self.notify(1);",
        "",
        ("condition::notify_against_a_handler_that_raises",),
    ),
]

BARRIER = [
    Mutant(
        "barrier: an abort wakes nobody",
        "barrier.rs",
        "self.send_away(queue, verdict);",
        "queue.release();",
        (
            "barrier::an_abort_sends_everybody_away",
            "barrier::an_abort_is_for_both_or_for_none",
            "barrier::two_meet",
        ),
        programs=("meetings::four_meet_three_times",),
    ),
    Mutant(
        "barrier: an abort leaves it whole",
        "barrier.rs",
        "self.set_state(state);",
        "",
        ("barrier::an_abort_sends_everybody_away",),
    ),
    Mutant(
        "barrier: who comes first passes alone",
        "barrier.rs",
        "number + 1 < self.parties()",
        "false",
        ("barrier::two_meet_again",),
    ),
    Mutant(
        "barrier: a turn that ends badly lets everybody go",
        "barrier.rs",
        "self.end_turn(turn, BarrierState::Broken, Verdict::Broken)",
        "self.end_turn(turn, BarrierState::Whole, Verdict::Passed)",
        ("barrier::the_turn_comes_before_anybody_leaves",),
    ),
    Mutant(
        "barrier: a reset breaks it",
        "barrier.rs",
        "self.restart(BarrierState::Whole)",
        "self.restart(BarrierState::Broken)",
        ("barrier::a_barrier_that_was_reset_is_as_new",),
    ),
    Mutant(
        "barrier: a reset forgets to start from zero",
        "barrier.rs",
        "self.count.store(0, Ordering::Relaxed);",
        "",
        ("barrier::a_barrier_that_was_reset_is_as_new", "barrier::two_meet"),
    ),
    Mutant(
        "barrier: a turn that comes too late lets everybody go",
        "barrier.rs",
        "self.round() != turn.round",
        "turn.round != turn.round",
        ("barrier::a_turn_of_a_round_that_is_over_ends_no_other",),
    ),
    Mutant(
        "barrier: a turn that was aborted counts as passed",
        "barrier.rs",
        "return TurnEnd::Over;",
        "return TurnEnd::InTime;",
        ("barrier::an_abort_in_the_turn_reaches_both",),
    ),
    Mutant(
        "barrier: a time-out breaks it for one only",
        "barrier.rs",
        "self.end_round(queue, BarrierState::Broken, Verdict::Broken);",
        "queue.release();",
        ("barrier::a_time_out_breaks_it_for_both_or_for_none",),
        near="self.end_round(queue, BarrierState::Broken, Verdict::Broken);\n"
        "        Cancelled::Left",
        programs=("meetings::a_barrier_that_is_broken_and_reset",),
    ),
    Mutant(
        "barrier: whose handler raises is counted still",
        "barrier.rs",
        "self.count.store(self.count().saturating_sub(1), Ordering::Relaxed);",
        "",
        ("barrier::one_whose_handler_raises_makes_room_for_another",),
    ),
    Mutant(
        "barrier: the entrance stays closed after a turn",
        "barrier.rs",
        "let _live = self.entrance.set();",
        "",
        ("barrier::one_who_comes_in_the_turn_waits_at_the_entrance",),
        near="// Under the guard: the last one of the next round clears it.\n"
        "            let _live = self.entrance.set();",
    ),
    Mutant(
        "barrier: two turns at a time",
        "barrier.rs",
        "self.acting.store(epoch << 1 | 1, Ordering::Relaxed);",
        "",
        ("barrier::one_who_comes_in_the_turn_waits_at_the_entrance",),
    ),
]

LIFE = [
    Mutant(
        "life: two may start it",
        "life.rs",
        "self.stage.compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed).is_ok()",
        "{ let free = self.stage() as u32 == from; if free { self.enter(Stage::Starting); } "
        "free && to > 0 }",
        ("life::of_two_starts_one_is_allowed",),
    ),
    Mutant(
        "life: two join it",
        "life.rs",
        "self.owns_os_thread.swap(false, Ordering::Relaxed)",
        "self.owns_os_thread.load(Ordering::Relaxed)",
        (
            "life::two_join_at_once",
            "life::a_join_and_one_who_only_looks",
            "life::one_who_gives_up_leaves_it_to_the_other",
        ),
        programs=("meetings::five_join_one",),
    ),
    Mutant(
        "life: the second join does not wait for the first",
        "life.rs",
        "wait(&self.finish)?;",
        "drop(wait);",
        ("life::two_join_at_once",),
    ),
    Mutant(
        "life: it is done before it is joined",
        "life.rs",
        "self.stage() == Stage::Done",
        "self.stage() == Stage::Done || self.exiting.is_set()",
        ("life::two_join_at_once", "life::whoever_is_last_ends_it_if_nobody_has"),
    ),
    Mutant(
        "life: a start that fails leaves joiners asleep",
        "life.rs",
        "let _live = self.exiting.set();",
        "",
        ("life::a_start_that_fails_lets_everybody_go",),
    ),
    Mutant(
        "life: it runs before it is known who it is",
        "life.rs",
        "Ordering::Release",
        RELAXED,
        ("life::a_thread_that_runs_is_known",),
    ),
]
