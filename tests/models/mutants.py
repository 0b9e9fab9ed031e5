"""Ways to break `sync`, each with the models that must notice: the tests of the models.

Every mutant replaces one piece of the source, which must be there exactly once (within `near`, where
that is given), so that none gets stale unseen. A piece is an expression, or whole statements.
"""

from typing import NamedTuple


class Mutant(NamedTuple):
    """One way to break one property."""

    name: str
    """Of what it breaks, and how: unique."""
    file: str
    """In src/sync."""
    old: str
    new: str
    models: tuple[str, ...]
    """The tests that must fail, each by itself."""
    near: str = ""
    checker: str = "loom"


RELAXED = "Ordering::Relaxed"

GUARD = [
    Mutant(
        "guard: released without order", "guard.rs",
        "Ordering::Release", RELAXED,
        ("channel::an_item_brings_what_was_done_before", "lock::mutual_exclusion_of_three"),
        near="swap(self.epoch | FREE, Ordering::Release)",
    ),
    Mutant(
        "guard: released without waking who sleeps on it", "guard.rs",
        "before & STATE == CONTENDED", "false",
        ("lock::mutual_exclusion_and_no_lost_wake_up",),
    ),
    Mutant(
        "guard: who has slept forgets that another may sleep", "guard.rs",
        "take = CONTENDED;", "take = HELD;",
        ("channel::two_getters_get_an_item_each",),
    ),
]

WAIT = [
    Mutant(
        "wait: a hand-off at the moment of the time-out is dropped", "wait.rs",
        "unsafe { what.cancel(waiter) }", "unsafe { what.cancel(waiter) && false }",
        (
            "lock::hand_off_against_time_out",
            "lock::hand_off_against_a_handler_that_raises",
            "condition::notify_against_time_out",
            "semaphore::release_against_time_out",
            "channel::a_get_that_times_out_loses_no_item",
        ),
    ),
    Mutant(
        "wait: who was interrupted does not queue again", "wait.rs",
        "queued = T::STAYS;", "queued = true;",
        (
            "lock::hand_off_against_interruption",
            "semaphore::release_against_interruption",
            "channel::a_put_that_is_interrupted_keeps_its_item_or_has_put_it",
        ),
    ),
    Mutant(
        "wait: who sleeps is told but not woken", "queue.rs",
        "wake.send();", "drop(wake);",
        (
            "lock::mutual_exclusion_and_no_lost_wake_up",
            "event::everybody_who_waits_goes_on",
            "semaphore::one_release_lets_two_in",
            "barrier::two_meet",
        ),
    ),
]

LOCK = [
    Mutant(
        "lock: released without order", "lock.rs",
        "Ordering::Release", RELAXED,
        ("lock::mutual_exclusion_and_no_lost_wake_up", "life::two_join_at_once"),
        near="seen & !LOCKED,\n                Ordering::Release",
    ),
    Mutant(
        "lock: taken without order", "lock.rs",
        "Ordering::Acquire", RELAXED,
        ("lock::mutual_exclusion_and_no_lost_wake_up",),
        near="seen | LOCKED,\n                Ordering::Acquire",
    ),
    Mutant(
        "lock: handed over without order", "lock.rs",
        "Ordering::Acquire", RELAXED,
        ("lock::hand_off_to_a_waiter_that_is_due",),
        near="fetch_xor(BUSY, Ordering::Acquire)",
    ),
    Mutant(
        "lock: two have it at a time", "lock.rs",
        "seen | LOCKED", "seen",
        (
            "lock::mutual_exclusion_and_no_lost_wake_up",
            "reentrant::the_owner_takes_it_again_and_nobody_else",
        ),
    ),
    Mutant(
        "lock: a release wakes nobody", "lock.rs",
        "(first.phase() == Phase::Queued).then(|| first.signal(Phase::Woken))", "None",
        (
            "lock::mutual_exclusion_and_no_lost_wake_up",
            "lock::release_by_another_thread",
            "reentrant::released_at_once_and_taken_back_as_often",
        ),
    ),
    Mutant(
        "lock: a hand-off wakes nobody", "lock.rs",
        "queue.release_and_wake(asleep.then_some(wake));",
        "queue.release_and_wake((!asleep).then_some(wake));",
        ("lock::hand_off_to_a_waiter_that_is_due",),
    ),
    Mutant(
        "lock: a newcomer gets in between a hand-off", "lock.rs",
        "seen & BUSY == 0", "seen & LOCKED == 0",
        ("lock::hand_off_to_a_waiter_that_is_due", "lock::hand_off_against_time_out"),
        near="while seen & BUSY == 0 {\n            // Acquire",
    ),
    Mutant(
        "lock: who gives up keeps its wake-up", "lock.rs",
        "Some(next.signal(Phase::Woken))", "None",
        (
            "lock::a_waiter_that_times_out_passes_its_wake_up_on",
            "lock::a_waiter_whose_handler_raises_passes_its_wake_up_on",
            "lock::a_waiter_that_is_interrupted_delays_nobody",
        ),
    ),
    Mutant(
        "lock: the first who leaves takes the mark of the others along", "lock.rs",
        "if queue.is_empty() { PARKED } else { 0 }", "PARKED",
        ("lock::mutual_exclusion_of_three",),
    ),
    Mutant(
        "lock: it stays quiet when nobody is awake any more", "lock.rs",
        "!(QUIET | also)", "!also",
        ("lock::mutual_exclusion_of_three",),
    ),
    Mutant(
        "lock: who looks in vain does not ask to be told again", "lock.rs",
        "seen & !QUIET", "seen",
        ("lock::mutual_exclusion_of_three",),
    ),
    Mutant(
        "lock: who queues does not say so", "lock.rs",
        "(seen | PARKED) & !QUIET", "seen",
        ("lock::mutual_exclusion_and_no_lost_wake_up", "lock::release_by_another_thread"),
    ),
    Mutant(
        "lock: a free lock is released again", "lock.rs",
        "seen & LOCKED == 0", "false",
        ("lock::of_two_releases_at_once_one_fails",),
        near="if seen & LOCKED == 0 {\n                return Err(NotLocked);",
    ),
]

REENTRANT = [
    Mutant(
        "reentrant: the owner is not cleared", "reentrant.rs",
        "self.owner.store(0, Ordering::Relaxed);", "",
        (
            "reentrant::the_owner_takes_it_again_and_nobody_else",
            "reentrant::only_the_owner_releases",
        ),
    ),
    Mutant(
        "reentrant: the owner is cleared when it may be another's", "reentrant.rs",
        "let _ = self.lock.release();",
        "let _ = self.lock.release(); self.owner.store(0, Ordering::Relaxed);",
        ("reentrant::the_owner_takes_it_again_and_nobody_else",),
    ),
    Mutant(
        "reentrant: the first release frees it", "reentrant.rs",
        "self.count.store(count - 1, Ordering::Relaxed)", "self.free()",
        ("reentrant::only_the_owner_releases",),
    ),
    Mutant(
        "reentrant: taken back only once", "reentrant.rs",
        "self.count.store(saved.count, Ordering::Relaxed);",
        "self.count.store(1, Ordering::Relaxed);",
        ("reentrant::released_at_once_and_taken_back_as_often",),
    ),
]

EVENT = [
    Mutant(
        "event: set wakes nobody", "event.rs",
        "before & PARKED != 0", "false",
        ("event::everybody_who_waits_goes_on", "life::two_join_at_once"),
    ),
    Mutant(
        "event: who comes late does not look", "event.rs",
        "seen & (SET | CLOSED) != 0", "seen & CLOSED != 0",
        ("event::everybody_who_waits_goes_on",),
    ),
    Mutant(
        "event: set without order", "event.rs",
        "Ordering::Release", RELAXED,
        ("event::what_was_done_before_is_seen_after",),
        near="let before = self.queue.word.fetch_or(SET, Ordering::Release)",
    ),
    Mutant(
        "event: a set is for whoever comes after a clear as well", "event.rs",
        "is_at_most(note_of(first), round)", "true",
        ("event::a_set_is_not_for_those_who_come_after_a_clear",),
    ),
    Mutant(
        "event: only the first is woken", "event.rs",
        "queue.release_and_wake(Some(wake));", "queue.release_and_wake(Some(wake)); return;",
        ("event::closing_sends_everybody_away",),
    ),
]

CONDITION = [
    Mutant(
        "condition: a notification wakes nobody", "condition.rs",
        "queue.release_and_wake(Some(wake));", "queue.release_and_wake(None); drop(wake);",
        ("condition::a_notification_goes_to_one_who_waits", "condition::notify_against_time_out"),
    ),
    Mutant(
        "condition: one notification too few", "condition.rs",
        "count -= 1;", "count = count.saturating_sub(2);",
        ("condition::everybody_is_notified_who_waits",),
    ),
    Mutant(
        "condition: a notification is lost on time-out", "condition.rs",
        "settled", "false",
        ("condition::notify_against_time_out", "condition::notify_against_interruption"),
        near="        }\n        queue.release();\n        settled\n    }",
    ),
    Mutant(
        "condition: whose handler raises keeps the notification", "condition.rs",
        "self.notify(1);", "",
        ("condition::notify_against_a_handler_that_raises",),
    ),
]

SEMAPHORE = [
    Mutant(
        "semaphore: taken but not counted", "semaphore.rs",
        "seen - ONE", "seen",
        ("semaphore::no_more_get_in_than_there_is_room_for",),
        near="seen - ONE,\n                Ordering::Acquire",
    ),
    Mutant(
        "semaphore: two given back count as one", "semaphore.rs",
        "seen + count * ONE", "seen + ONE",
        ("semaphore::one_release_lets_two_in",),
    ),
    Mutant(
        "semaphore: more is given back than the bound", "semaphore.rs",
        "sum <= bound.min(MAX)", "sum <= MAX",
        ("semaphore::no_more_get_in_than_there_is_room_for",),
    ),
    Mutant(
        "semaphore: given back without order", "semaphore.rs",
        "Ordering::Release", RELAXED,
        ("semaphore::no_more_get_in_than_there_is_room_for",),
    ),
    Mutant(
        "semaphore: a release wakes nobody", "semaphore.rs",
        "self.serve();", "",
        ("semaphore::one_that_is_due_is_served_before_newcomers",),
    ),
    Mutant(
        "semaphore: who queues does not say so", "semaphore.rs",
        "seen | PARKED", "seen",
        ("semaphore::one_that_is_due_is_served_before_newcomers",),
    ),
    Mutant(
        "semaphore: one wake-up for two releases wakes one", "semaphore.rs",
        "wake = self.serve_one(&queue);", "",
        ("semaphore::one_release_lets_two_in",),
        near="// One wake-up may stand for several releases.\n"
        "            wake = self.serve_one(&queue);",
    ),
    Mutant(
        "semaphore: who gives up keeps its wake-up", "semaphore.rs",
        "self.serve_one(&queue)", "None",
        (
            "semaphore::release_against_time_out",
            "semaphore::release_against_a_handler_that_raises",
        ),
        near="belongs to the next one.\n        let wake = self.serve_one(&queue)",
    ),
    Mutant(
        "semaphore: closing sends nobody away", "semaphore.rs",
        "queue.release_and_wake(Some(wake));", "queue.release_and_wake(None); drop(wake);",
        ("semaphore::a_semaphore_that_is_closed_keeps_nobody",),
    ),
]

BARRIER = [
    Mutant(
        "barrier: an abort wakes nobody", "barrier.rs",
        "self.send_away(queue, verdict);", "queue.release();",
        (
            "barrier::an_abort_sends_everybody_away",
            "barrier::an_abort_is_for_both_or_for_none",
            "barrier::two_meet",
        ),
    ),
    Mutant(
        "barrier: an abort leaves it whole", "barrier.rs",
        "self.set_state(state);", "",
        ("barrier::an_abort_sends_everybody_away",),
    ),
    Mutant(
        "barrier: a reset breaks it", "barrier.rs",
        "self.restart(BarrierState::Whole)", "self.restart(BarrierState::Broken)",
        ("barrier::a_barrier_that_was_reset_is_as_new",),
    ),
    Mutant(
        "barrier: a reset forgets to start from zero", "barrier.rs",
        "self.count.store(0, Ordering::Relaxed);", "",
        ("barrier::a_barrier_that_was_reset_is_as_new", "barrier::two_meet"),
    ),
    Mutant(
        "barrier: a turn that comes too late lets everybody go", "barrier.rs",
        "self.round() == turn.round", "turn.round == turn.round",
        ("barrier::an_abort_in_the_turn_reaches_both",),
    ),
    Mutant(
        "barrier: a time-out breaks it for one only", "barrier.rs",
        "self.end_round(queue, BarrierState::Broken, Verdict::Broken);", "queue.release();",
        ("barrier::a_time_out_breaks_it_for_both_or_for_none",),
        near="self.end_round(queue, BarrierState::Broken, Verdict::Broken);\n"
        "                return false;",
    ),
    Mutant(
        "barrier: whose handler raises is counted still", "barrier.rs",
        "self.count.store(self.count().saturating_sub(1), Ordering::Relaxed);", "",
        ("barrier::one_whose_handler_raises_makes_room_for_another",),
    ),
    Mutant(
        "barrier: the entrance stays closed after a turn", "barrier.rs",
        "self.entrance.set();", "",
        ("barrier::one_who_comes_in_the_turn_waits_at_the_entrance",),
        near="// Under the guard: the last one of the next round clears it.\n"
        "            self.entrance.set();",
    ),
    Mutant(
        "barrier: two turns at a time", "barrier.rs",
        "self.acting.store(1, Ordering::Relaxed);", "",
        ("barrier::one_who_comes_in_the_turn_waits_at_the_entrance",),
    ),
]

LIFE = [
    Mutant(
        "life: two may start it", "life.rs",
        "self.stage.compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed).is_ok()",
        "{ let free = self.stage() as u32 == from; if free { self.enter(Stage::Starting); } "
        "free && to > 0 }",
        ("life::of_two_starts_one_is_allowed",),
    ),
    Mutant(
        "life: two join it", "life.rs",
        "self.owns_os_thread.swap(false, Ordering::Relaxed)",
        "self.owns_os_thread.load(Ordering::Relaxed)",
        ("life::two_join_at_once", "life::a_join_and_one_who_only_looks"),
    ),
    Mutant(
        "life: the second join does not wait for the first", "life.rs",
        "wait(&self.finish)?;", "drop(wait);",
        ("life::two_join_at_once",),
    ),
    Mutant(
        "life: it is done before it is joined", "life.rs",
        "self.stage() == Stage::Done", "self.stage() == Stage::Done || self.exiting.is_set()",
        ("life::two_join_at_once", "life::whoever_is_last_ends_it_if_nobody_has"),
    ),
    Mutant(
        "life: a start that fails leaves joiners asleep", "life.rs",
        "self.exiting.set();", "",
        ("life::a_start_that_fails_lets_everybody_go",),
    ),
    Mutant(
        "life: it runs before it is known who it is", "life.rs",
        "Ordering::Release", RELAXED,
        ("life::a_thread_that_runs_is_known",),
    ),
]

CHANNEL = [
    Mutant(
        "channel: an item is given and nobody told", "channel.rs",
        "Some(getter.signal(Phase::Granted))", "{ drop(getter.signal(Phase::Granted)); None }",
        ("channel::two_getters_get_an_item_each", "channel::a_get_that_is_interrupted_loses_no_item"),
    ),
    Mutant(
        "channel: room is made and nobody let in", "channel.rs",
        "self.admit()", "None",
        (
            "channel::a_limited_channel_passes_everything_in_order",
            "channel::two_putters_and_one_place",
        ),
        near="let wake = self.admit();",
    ),
    Mutant(
        "channel: more is let in than there is room for", "channel.rs",
        "!self.has_room() || !self.putters.is_empty()", "false",
        ("channel::a_put_that_times_out_keeps_its_item",),
    ),
    Mutant(
        "channel: an item is lost on time-out", "channel.rs",
        "settled", "false",
        (
            "channel::a_get_that_times_out_loses_no_item",
            "channel::a_get_that_is_interrupted_loses_no_item",
        ),
        near="        }\n        held.release();\n        settled\n    }",
    ),
    Mutant(
        "channel: shutting down forgets who waits to get", "channel.rs",
        "self.empty(&self.getters, Phase::Dismissed, |_| true);", "",
        ("channel::shutting_down_leaves_nobody_waiting",),
    ),
    Mutant(
        "channel: shutting down forgets who waits to put", "channel.rs",
        "self.empty(&self.putters, Phase::Dismissed, |_| true);", "",
        ("channel::shutting_down_leaves_nobody_waiting",),
    ),
    Mutant(
        "channel: what is thrown away is never done", "channel.rs",
        "self.finish(items.len() as u64)", "None",
        ("channel::shutting_down_at_once_ends_joins",),
    ),
    Mutant(
        "channel: closing forgets who waits", "channel.rs",
        "self.empty(list, Phase::Dismissed, |_| true);", "let _ = list;",
        ("channel::closing_leaves_nobody_waiting",),
    ),
    Mutant(
        "channel: a higher limit lets nobody in", "channel.rs",
        "self.admit()", "None::<Wake>",
        ("channel::a_higher_limit_lets_those_in_who_wait",),
        near="while let Some(wake) = self.admit()",
    ),
    Mutant(
        "channel: the last task ends no join", "channel.rs",
        "self.end_joins(ended);", "",
        ("channel::a_join_ends_with_the_last_task",),
        near="self.end_joins(ended);\n        Ok(())",
    ),
]

MUTANTS = [*GUARD, *WAIT, *LOCK, *REENTRANT, *EVENT, *CONDITION, *SEMAPHORE, *BARRIER, *LIFE, *CHANNEL]
