"""Mutants of locks and semaphores."""

from .mutant import RELAXED, Mutant

LOCK = [
    Mutant(
        "lock: released without order",
        "lock.rs",
        "Ordering::Release",
        RELAXED,
        ("lock::mutual_exclusion_and_no_lost_wake_up", "life::two_join_at_once"),
        near="seen & !LOCKED,\n                Ordering::Release",
    ),
    Mutant(
        "lock: taken without order",
        "lock.rs",
        "Ordering::Acquire",
        RELAXED,
        ("lock::mutual_exclusion_and_no_lost_wake_up",),
        near="seen | LOCKED | USED,\n                Ordering::Acquire",
    ),
    Mutant(
        "lock: two have it at a time",
        "lock.rs",
        "seen | LOCKED",
        "seen",
        (
            "lock::mutual_exclusion_and_no_lost_wake_up",
            "lock::a_mutex_gives_its_value_to_one_at_a_time",
            "reentrant::the_owner_takes_it_again_and_nobody_else",
        ),
    ),
    Mutant(
        "lock: a release wakes nobody",
        "lock.rs",
        "(first.phase() == Phase::Queued).then(|| first.signal(Phase::Woken))",
        "None",
        (
            "lock::mutual_exclusion_and_no_lost_wake_up",
            "lock::release_by_another_thread",
            "reentrant::released_at_once_and_taken_back_as_often",
        ),
        programs=("locks::a_lock_among_six",),
    ),
    Mutant(
        "lock: a hand-off wakes nobody",
        "lock.rs",
        "queue.release_and_wake(asleep.then_some(wake));",
        "queue.release_and_wake((!asleep).then_some(wake));",
        ("lock::hand_off_to_a_waiter_that_is_due",),
    ),
    Mutant(
        "lock: a newcomer gets in between a hand-off",
        "lock.rs",
        "seen & BUSY == 0",
        "seen & LOCKED == 0",
        ("lock::hand_off_to_a_waiter_that_is_due",),
        near="while seen & BUSY == 0 {\n            // Acquire",
    ),
    Mutant(
        "lock: who gives up keeps its wake-up",
        "lock.rs",
        "Some(next.signal(Phase::Woken))",
        "None",
        (
            "lock::a_waiter_that_times_out_passes_its_wake_up_on",
            "lock::a_waiter_whose_handler_raises_passes_its_wake_up_on",
        ),
    ),
    Mutant(
        "lock: the first who leaves takes the mark of the others along",
        "lock.rs",
        "if queue.is_empty() { PARKED } else { 0 }",
        "PARKED",
        ("lock::mutual_exclusion_of_three",),
    ),
    Mutant(
        "lock: it stays quiet when nobody is awake any more",
        "lock.rs",
        "!(QUIET | also)",
        "!also",
        ("lock::mutual_exclusion_of_three",),
    ),
    Mutant(
        "lock: who looks in vain does not ask to be told again",
        "lock.rs",
        "seen & !QUIET",
        "seen",
        ("lock::mutual_exclusion_of_three",),
    ),
    Mutant(
        "lock: who queues does not say so",
        "lock.rs",
        "(seen | PARKED) & !QUIET",
        "seen",
        ("lock::mutual_exclusion_and_no_lost_wake_up", "lock::release_by_another_thread"),
    ),
    Mutant(
        "lock: a free lock is released again",
        "lock.rs",
        "seen & LOCKED == 0",
        "false",
        ("lock::of_two_releases_at_once_one_fails",),
        near="if seen & LOCKED == 0 {\n                return Err(NotLocked);",
    ),
]

REENTRANT = [
    Mutant(
        "reentrant: the owner is not cleared",
        "reentrant.rs",
        "self.owner.store(0, Ordering::Relaxed);",
        "",
        (
            "reentrant::the_owner_takes_it_again_and_nobody_else",
            "reentrant::only_the_owner_releases",
        ),
    ),
    Mutant(
        "reentrant: the owner is cleared when it may be another's",
        "reentrant.rs",
        "let _ = self.lock.release();",
        "let _ = self.lock.release(); self.owner.store(0, Ordering::Relaxed);",
        ("reentrant::the_owner_takes_it_again_and_nobody_else",),
    ),
    Mutant(
        "reentrant: the first release frees it",
        "reentrant.rs",
        "self.count.store(count - 1, Ordering::Relaxed)",
        "self.free()",
        ("reentrant::only_the_owner_releases",),
        programs=("locks::a_reentrant_lock_among_four",),
    ),
    Mutant(
        "reentrant: taken back only once",
        "reentrant.rs",
        "self.count.store(saved.count, Ordering::Relaxed);",
        "self.count.store(1, Ordering::Relaxed);",
        ("reentrant::released_at_once_and_taken_back_as_often",),
    ),
]

SEMAPHORE = [
    Mutant(
        "semaphore: taken but not counted",
        "semaphore.rs",
        "seen - ONE",
        "seen",
        ("semaphore::no_more_get_in_than_there_is_room_for",),
        near="seen - ONE,\n                Ordering::Acquire",
        programs=("locks::two_of_six_at_a_time",),
    ),
    Mutant(
        "semaphore: two given back count as one",
        "semaphore.rs",
        "seen + count * ONE",
        "seen + ONE",
        ("semaphore::one_release_lets_two_in",),
        programs=("locks::one_release_for_five",),
    ),
    Mutant(
        "semaphore: more is given back than the bound",
        "semaphore.rs",
        "sum <= bound.min(MAX)",
        "sum <= MAX",
        ("semaphore::no_more_get_in_than_there_is_room_for",),
    ),
    Mutant(
        "semaphore: given back without order",
        "semaphore.rs",
        "Ordering::Release",
        RELAXED,
        ("semaphore::no_more_get_in_than_there_is_room_for",),
        near="seen + count * ONE,\n                Ordering::Release",
    ),
    Mutant(
        "semaphore: a release wakes nobody",
        "semaphore.rs",
        "self.serve();",
        "",
        ("semaphore::one_that_is_due_is_served_before_newcomers",),
    ),
    Mutant(
        "semaphore: who queues does not say so",
        "semaphore.rs",
        "seen | PARKED",
        "seen",
        ("semaphore::one_that_is_due_is_served_before_newcomers",),
        near="seen | PARKED,",
    ),
    Mutant(
        "semaphore: who gives up keeps its wake-up",
        "semaphore.rs",
        "self.offer(&queue)",
        "None",
        (
            "semaphore::release_against_time_out",
            "semaphore::release_against_a_handler_that_raises",
        ),
        near="Not a permit: see above.\n        let wake = self.offer(&queue)",
    ),
]
