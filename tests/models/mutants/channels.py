"""Mutants of channels."""

from .mutant import Mutant

CHANNEL = [
    Mutant(
        "channel: an item is given and nobody told",
        "channel.rs",
        "return (Accepted::Done, Some(self.grant(getter, item)));",
        "{ drop(self.grant(getter, item)); return (Accepted::Done, None); }",
        (
            "channel::two_getters_get_an_item_each",
            "channel::a_get_that_is_interrupted_loses_no_item",
        ),
        programs=(
            "queues::three_put_and_three_get",
            "queues::a_pool_of_workers",
        ),
    ),
    Mutant(
        "channel: put without the guard while a thread waits",
        "channel.rs",
        "self.outside.load(Ordering::Relaxed) > 0",
        "false",
        ("alone::an_item_reaches_one_who_waits",),
        near="if self.outside.load(Ordering::Relaxed) > 0 {\n"
        "            return self.try_put(item);",
    ),
    Mutant(
        "channel: got without the guard while a thread waits",
        "channel.rs",
        "self.outside.load(Ordering::Relaxed) > 0",
        "false",
        ("alone::one_place_is_used_by_all_in_turn",),
        near="if self.outside.load(Ordering::Relaxed) > 0 {\n            return self.try_get();",
    ),
    Mutant(
        "channel: a thread that waits does not say so",
        "channel.rs",
        "self.outside.fetch_add(change.cast_unsigned(), Ordering::Relaxed);",
        "",
        (
            "alone::an_item_reaches_one_who_waits",
            "alone::one_place_is_used_by_all_in_turn",
        ),
    ),
    Mutant(
        "channel: room is made and nobody let in",
        "channel.rs",
        "self.admit()",
        "None",
        (
            "channel::a_limited_channel_passes_everything_in_order",
            "channel::two_putters_and_one_place",
        ),
        near="let wake = self.admit();",
        programs=("queues::first_in_first_out_for_each_who_puts",),
    ),
    Mutant(
        "channel: more is let in than there is room for",
        "channel.rs",
        "self.is_full()",
        "false",
        (
            "channel::a_limited_channel_passes_everything_in_order",
            "channel::a_put_that_times_out_keeps_its_item",
        ),
    ),
    Mutant(
        "channel: an item is lost on time-out",
        "channel.rs",
        "settled",
        "false",
        (
            "channel::a_get_that_times_out_loses_no_item",
            "channel::a_get_that_is_interrupted_loses_no_item",
            "retire::a_joiner_that_gives_up_needs_no_ticket",
        ),
        near="if settled { Cancelled::Settled } else { Cancelled::Left }",
    ),
    Mutant(
        "channel: shutting down forgets who waits to get",
        "channel.rs",
        "self.empty(&self.getters, Phase::Dismissed, |_| true);",
        "",
        ("channel::shutting_down_leaves_nobody_waiting",),
        programs=("queues::a_queue_that_is_shut_down_in_use",),
    ),
    Mutant(
        "channel: shutting down forgets who waits to put",
        "channel.rs",
        "self.empty(&self.putters, Phase::Dismissed, |_| true);",
        "",
        ("channel::shutting_down_leaves_nobody_waiting",),
    ),
    Mutant(
        "channel: what is thrown away is never done",
        "channel.rs",
        "self.finish(items.len() as u64)",
        "None",
        ("channel::shutting_down_at_once_ends_joins",),
    ),
    Mutant(
        "channel: a higher limit lets nobody in",
        "channel.rs",
        "self.admit()",
        "None::<Wake>",
        ("channel::a_higher_limit_lets_those_in_who_wait",),
        near="while let Some(wake) = self.admit()",
    ),
    Mutant(
        "channel: the last task ends no join",
        "channel.rs",
        "self.end_joins(ended);",
        "",
        ("channel::a_join_ends_with_the_last_task",),
        near="self.end_joins(ended);\n        Ok(())",
    ),
    Mutant(
        "channel: an item is put back and nobody told",
        "channel/undo.rs",
        "self.getters.front()",
        "self.getters.front().filter(|_| false)",
        ("channel::an_item_that_is_put_back_goes_to_a_thread_that_waits",),
    ),
    Mutant(
        "channel: an item is put back where nobody looks",
        "channel/undo.rs",
        "self.flags() & RETIRED != 0",
        "false",
        ("retire::an_item_is_put_back_into_a_channel_that_is_not_retired",),
    ),
    Mutant(
        "channel: a put that is withdrawn lets nobody in",
        "channel/undo.rs",
        "wake = self.admit();",
        "",
        ("channel::a_put_that_is_withdrawn_was_not_made",),
    ),
    Mutant(
        "channel: another item is withdrawn",
        "channel/undo.rs",
        "is_last && self.flags() & RETIRED == 0",
        "self.flags() & RETIRED == 0",
        ("channel::a_put_that_is_withdrawn_was_not_made",),
    ),
    Mutant(
        "channel: a put that is withdrawn is never done",
        "channel/undo.rs",
        "ended = self.finish(1);",
        "",
        ("channel::a_put_that_is_withdrawn_holds_up_no_join",),
    ),
]
