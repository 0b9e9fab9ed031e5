"""Mutants of retiring, and of taking back what no thread claims."""

from .mutant import Mutant

RETIRE = [
    Mutant(
        "event: retiring forgets a set that has not come to its waiters",
        "event.rs",
        "is_notified(first, seen)",
        "false",
        (
            "retire::an_event_that_is_set_wakes_its_waiter_or_is_retired_first",
            "retire::an_event_that_was_set_has_woken_all_its_waiters_even_if_it_is_cleared",
            "materialize::an_event_that_is_looked_into_loses_no_wake_up",
        ),
        near="let wake = if is_notified(first, seen)",
    ),
    Mutant(
        "event: retiring forgets a set that has been cleared",
        "event.rs",
        "is_at_most(note_of(waiter), round_of(word).wrapping_sub(unfinished))",
        "word & SET != 0",
        (
            "retire::an_event_that_was_set_has_woken_all_its_waiters_even_if_it_is_cleared",
            "materialize::an_event_that_is_looked_into_loses_no_wake_up",
        ),
    ),
    Mutant(
        "event: retiring takes the next round for one that was set",
        "event.rs",
        "if word & NOTIFIED != 0 { 0 } else { 1 }",
        "0",
        ("retire::a_waiter_of_the_next_round_has_a_ticket",),
    ),
    Mutant(
        "event: a set at the moment of retiring is overlooked",
        "event.rs",
        "self.queue.word.compare_exchange_weak(\n"
        "                seen,\n"
        "                seen | RETIRED,\n"
        "                Ordering::AcqRel,\n"
        "                Ordering::Relaxed,\n"
        "            )",
        "Ok::<u32, u32>(self.queue.word.fetch_or(RETIRED, Ordering::AcqRel))",
        ("retire::an_event_that_is_set_wakes_its_waiter_or_is_retired_first",),
    ),
    Mutant(
        "event: a thread that comes when it is retired is told that it is set",
        "event.rs",
        "if retired { Phase::Dismissed } else { Phase::Granted }",
        "Phase::Granted",
        ("retire::a_thread_that_comes_to_an_event_has_a_ticket_or_finds_it_retired",),
    ),
    Mutant(
        "event: a set does not see that it is retired",
        "event.rs",
        "before & RETIRED == 0",
        "true",
        (
            "retire::an_event_that_is_set_wakes_its_waiter_or_is_retired_first",
            "materialize::a_thread_that_comes_while_an_event_is_looked_into_waits_for_the_right_thing",
        ),
    ),
    Mutant(
        "event: retiring wakes no waiter",
        "event.rs",
        "wake.send();",
        "drop(wake);",
        ("retire::an_event_that_is_set_wakes_its_waiter_or_is_retired_first",),
    ),
    Mutant(
        "event: two retire it",
        "event.rs",
        "seen & RETIRED != 0",
        "false",
        ("retire::a_primitive_is_retired_once",),
        near="if seen & RETIRED != 0 {\n                queue.release();",
    ),
    Mutant(
        "condition: retiring forgets a notification that has not come to its waiter",
        "condition.rs",
        "is_notified(first)",
        "false",
        ("retire::a_notification_of_two_reaches_both_or_none",),
        near="let wake = if is_notified(first)",
    ),
    Mutant(
        "condition: a waiter that is notified counts as waiting",
        "condition.rs",
        "left -= ONE;",
        "",
        ("condition::all_waiters_are_notified",),
    ),
    Mutant(
        "condition: a thread that comes when it is retired waits",
        "condition.rs",
        "self.queue.word.load(Ordering::Relaxed) & RETIRED != 0",
        "false",
        ("retire::a_thread_that_comes_to_a_condition_has_a_ticket_or_finds_it_retired",),
    ),
    Mutant(
        "condition: a notification does not see that it is retired",
        "condition.rs",
        "word & RETIRED != 0",
        "false",
        ("retire::a_notification_reaches_a_waiter_or_is_refused",),
        near="if word & RETIRED != 0 {\n            queue.release();\n            return false;",
    ),
    Mutant(
        "semaphore: retiring forgets a permit that is about to be offered",
        "semaphore.rs",
        "offers_of(seen)",
        "0",
        (
            "retire::a_permit_is_taken_or_left_in_the_retired_semaphore",
            "retire::a_permit_makes_one_waiter_of_a_retired_semaphore_look_again",
        ),
        near="let mut offers = offers_of(seen)",
    ),
    Mutant(
        "semaphore: a thread that comes when it is retired waits",
        "semaphore.rs",
        "seen & RETIRED != 0 || seen >= ONE",
        "seen >= ONE",
        ("retire::a_permit_is_taken_or_left_in_the_retired_semaphore",),
    ),
    Mutant(
        "semaphore: a thread that queues is given a permit that stays",
        "semaphore.rs",
        "seen - ONE",
        "seen",
        (
            "retire::a_thread_that_comes_to_a_semaphore_finds_a_permit_or_finds_it_retired",
            "grants::a_thread_that_joins_a_queue_takes_nothing_and_puts_nothing",
        ),
        near="} else if seen >= ONE {\n                seen - ONE",
    ),
    Mutant(
        "barrier: the turn ends in a barrier that is retired",
        "barrier.rs",
        "self.state() == BarrierState::Retired",
        "false",
        ("retire::a_round_of_a_retired_barrier_ends_for_all_or_goes_on_for_all",),
        near="if self.state() == BarrierState::Retired {\n            queue.release();\n"
        "            return TurnEnd::Retired;",
    ),
    Mutant(
        "barrier: retiring in a turn leaves threads at the entrance",
        "barrier.rs",
        "self.is_acting()",
        "false",
        ("retire::no_thread_stays_at_the_entrance_of_a_retired_barrier",),
        near="if self.is_acting() {\n            let _live = self.entrance.set();",
    ),
    Mutant(
        "barrier: a waiter that retiring sends away is not told so",
        "barrier.rs",
        "note(first, Verdict::Retired);",
        "note(first, Verdict::Broken);",
        (
            "retire::a_round_of_a_retired_barrier_ends_for_all_or_goes_on_for_all",
            "retire::a_barrier_is_reset_before_it_is_retired_or_not_at_all",
        ),
    ),
    Mutant(
        "barrier: a reset does not see that it is retired",
        "barrier.rs",
        "self.state() == BarrierState::Retired",
        "false",
        ("retire::a_barrier_is_reset_before_it_is_retired_or_not_at_all",),
        near="if self.state() == BarrierState::Retired {\n            queue.release();\n"
        "            return false;",
    ),
    Mutant(
        "barrier: a time-out breaks a round in its turn",
        "barrier.rs",
        "self.is_acting()",
        "false",
        ("barrier::a_turn_that_has_begun_is_not_broken_by_a_time_out",),
        near="if self.is_acting() {\n            queue.release();\n"
        "            return Cancelled::Stays;",
    ),
    Mutant(
        "channel: retiring keeps getters",
        "channel/retire.rs",
        "self.dismiss_all(&self.getters, (flags & SHUT == 0).then_some(to_getters));",
        "",
        (
            "retire::an_item_is_got_or_left_in_the_retired_channel",
            "retire::threads_that_come_to_a_channel_find_it_retired",
        ),
    ),
    Mutant(
        "channel: retiring keeps putters",
        "channel/retire.rs",
        "self.dismiss_all(&self.putters, (flags & SHUT == 0).then_some(to_putters));",
        "",
        ("retire::a_putter_is_let_in_or_keeps_its_item",),
    ),
    Mutant(
        "channel: retiring forgets that the last task is done",
        "channel/retire.rs",
        "over",
        "false",
        ("retire::the_last_task_ends_all_joins_or_none",),
        near="let wake = if over",
    ),
    Mutant(
        "channel: it is shut down when it is retired",
        "channel/mod.rs",
        "self.flags() & RETIRED != 0",
        "false",
        ("retire::a_channel_is_shut_down_before_it_is_retired_or_not_at_all",),
        near="pub fn shut_down(&self, discard: bool) -> Option<Items> {\n"
        "        let held = self.hold();\n"
        "        if self.flags() & RETIRED != 0",
    ),
]

GRANTS = [
    Mutant(
        "grants: an item that is taken back is claimed as well",
        "channel/mod.rs",
        "getter.set_phase(Phase::Dismissed);",
        "",
        ("grants::an_item_is_claimed_or_taken_back",),
    ),
    Mutant(
        "grants: a permit that is taken back is claimed as well",
        "semaphore.rs",
        "waiter.set_phase(Phase::Dismissed);",
        "",
        ("grants::a_permit_is_claimed_or_taken_back",),
        near="waiter.set_phase(Phase::Dismissed);\n            self.value",
    ),
    Mutant(
        "grants: a waiter that claims takes later ones out as well",
        "grants.rs",
        "newer.next.store(older, Ordering::Release)",
        "self.newest.store(older, Ordering::Release)",
        ("grants::items_that_are_taken_back_are_in_front_in_their_order",),
    ),
    Mutant(
        "grants: what is taken back comes last",
        "channel/mod.rs",
        "item.is_none_or(|item| self.ring.push_front(item))",
        "item.is_none_or(|item| self.ring.push(item))",
        (
            "grants::items_that_are_taken_back_are_in_front_in_their_order",
            "grants::the_child_of_a_fork_has_what_was_put_and_not_got",
        ),
    ),
    Mutant(
        "grants: a child does not take items back",
        "channel/mod.rs",
        "self.take_back_granted();",
        "",
        ("grants::the_child_of_a_fork_has_what_was_put_and_not_got",),
        near="self.joiners.forget();\n        self.take_back_granted();",
    ),
    Mutant(
        "grants: a child does not take permits back",
        "semaphore.rs",
        "self.take_back_under(&queue);",
        "",
        ("grants::the_child_of_a_fork_has_the_permits_that_were_not_taken",),
        near="if queue.is_stale() {\n            self.take_back_under(&queue);",
    ),
    Mutant(
        "grants: a child looks without taking items back",
        "channel/mod.rs",
        "self.has_orphans()",
        "false",
        ("grants::the_child_of_a_fork_has_what_was_put_and_not_got",),
    ),
    Mutant(
        "grants: a child looks without taking permits back",
        "semaphore.rs",
        "!self.grants.is_empty() && self.queue.is_stale()",
        "false",
        ("grants::the_child_of_a_fork_has_the_permits_that_were_not_taken",),
    ),
    Mutant(
        "grants: a thread that joins a queue puts its item while it is detached",
        "channel/waits.rs",
        "waiter.set_phase(Phase::Idle);",
        "{ send(channel.accept(self.item).1); waiter.set_phase(Phase::Granted); }",
        ("grants::a_thread_that_joins_a_queue_takes_nothing_and_puts_nothing",),
        near="unsafe { self.queue(waiter) };\n        } else {\n"
        "            waiter.set_phase(Phase::Idle);",
    ),
]
