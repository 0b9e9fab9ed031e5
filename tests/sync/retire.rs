//! Primitives that are retired: each waiter has what it waited for, or a ticket. By hand, in one
//! thread, so that each moment is met; `tests/loom` meets the moments in between.

use std::ptr;
use std::thread;

use rthread::sync::{
    Accepted, Arrival, Awaitable, Barrier, BarrierRemains, BarrierState, Cancelled, Channel,
    Condition, Event, Get, Join, Lock, NotDone, NotReleased, Parked, PerList, Put, Retire,
    Semaphore, TIME_TO_BE_FAIR, Taken, Ticket, TurnEnd, Verdict, Waiter, wait,
};

use crate::barrier::arrive;
use crate::channel::{item, numbers, put};
use crate::deadline;

const NO: [Ticket; 0] = [];

/// So many tickets, numbered from `first` on.
fn tickets(first: usize, count: usize) -> Vec<Ticket> {
    let ticket = |number| Ticket::new(ptr::without_provenance_mut(number)).unwrap();
    (first..first + count).map(ticket).collect()
}

fn waiters<const N: usize>() -> [Waiter; N] {
    [(); N].map(|()| Waiter::new())
}

/// Queues a waiter. The tests keep theirs in place until they have left.
fn queue(what: &impl Awaitable, waiter: &Waiter) {
    // SAFETY: as said.
    assert!(!unsafe { what.enqueue(waiter, false) });
}

/// How a waiter left that something else has ended: granted, or the number of its ticket, which is
/// 0 if it has none.
#[derive(Debug, PartialEq, Eq)]
enum Left {
    Granted,
    With(usize),
}

/// Lets a waiter leave that has been woken.
fn leave(what: &impl Awaitable, waiter: &Waiter) -> Left {
    assert_eq!(waiter.park(deadline(60_000), false), Parked::Unparked);
    // SAFETY: it was queued and has not left.
    assert!(unsafe { what.claim(waiter) });
    left(waiter)
}

fn left(waiter: &Waiter) -> Left {
    if waiter.is_dismissed() {
        Left::With(waiter.ticket().map_or(0, |ticket| ticket.addr().get()))
    } else {
        assert_eq!(waiter.ticket(), None);
        Left::Granted
    }
}

#[test]
fn a_retired_event_leaves_a_ticket_to_each_waiter_in_order() {
    let event = Event::new();
    let [first, second] = waiters();
    queue(&event, &first);
    queue(&event, &second);
    assert_eq!(event.retire(&NO), Retire::NeedTickets(2));
    assert_eq!(event.retire(&tickets(1, 1)), Retire::NeedTickets(2));
    assert_eq!(event.state(), Some(false));
    assert_eq!(event.retire(&tickets(1, 3)), Retire::Done { state: false, used: 2 });
    assert_eq!(event.retire(&tickets(8, 3)), Retire::Already);
    assert_eq!(leave(&event, &first), Left::With(1));
    // SAFETY: it was queued, and has not left.
    assert_eq!(unsafe { event.cancel(&second) }, Cancelled::Settled);
    assert_eq!(leave(&event, &second), Left::With(2));
}

#[test]
fn a_retired_event_fails_and_keeps_no_thread() {
    let event = Event::new();
    assert!(event.set());
    assert_eq!(event.retire(&NO), Retire::Done { state: true, used: 0 });
    assert!(!event.set() && !event.clear() && !event.mark() && event.state().is_none());
    assert!(!wait(&event, None));
}

#[test]
fn an_event_that_was_only_marked_wakes_no_waiter_when_it_is_retired() {
    for cleared in [false, true] {
        let event = Event::new();
        let [waiter] = waiters();
        queue(&event, &waiter);
        assert!(event.mark() && (!cleared || event.clear()));
        assert_eq!(event.retire(&tickets(1, 1)), Retire::Done { state: !cleared, used: 1 });
        assert_eq!(leave(&event, &waiter), Left::With(1));
    }
}

#[test]
fn a_set_that_follows_a_mark_and_a_clear_wakes_earlier_waiters() {
    let event = Event::new();
    let [first, second] = waiters();
    queue(&event, &first);
    assert!(event.mark() && event.clear());
    queue(&event, &second);
    assert!(event.set());
    assert_eq!(leave(&event, &first), Left::Granted);
    assert_eq!(leave(&event, &second), Left::Granted);
}

#[test]
fn a_waiter_with_a_handler_that_raises_has_its_ticket() {
    let event = Event::new();
    let condition = Condition::new();
    let [to_event, to_condition] = waiters();
    queue(&event, &to_event);
    queue(&condition, &to_condition);
    assert_eq!(event.retire(&tickets(1, 1)), Retire::Done { state: false, used: 1 });
    assert_eq!(condition.retire(&tickets(2, 1)), Retire::Done { state: (), used: 1 });
    // SAFETY: both were queued and have not left.
    unsafe {
        event.abandon(&to_event);
        condition.abandon(&to_condition);
    }
    assert_eq!((left(&to_event), left(&to_condition)), (Left::With(1), Left::With(2)));
}

#[test]
fn a_retired_condition_leaves_tickets_to_waiters_that_were_not_notified() {
    let condition = Condition::new();
    let [first, second, third] = waiters();
    for waiter in [&first, &second, &third] {
        queue(&condition, waiter);
    }
    assert!(condition.notify(1));
    assert_eq!(condition.retire(&NO), Retire::NeedTickets(2));
    assert!(!condition.is_retired());
    assert_eq!(condition.retire(&tickets(1, 2)), Retire::Done { state: (), used: 2 });
    assert_eq!(condition.retire(&NO), Retire::Already);
    assert!(condition.is_retired() && condition.waiters() == 0);
    assert!(!condition.notify(1));
    assert_eq!(leave(&condition, &first), Left::Granted);
    assert_eq!(leave(&condition, &second), Left::With(1));
    assert_eq!(leave(&condition, &third), Left::With(2));
    let [late] = waiters();
    // SAFETY: it does not stay in the queue.
    assert!(unsafe { condition.enqueue(&late, false) && condition.claim(&late) });
    assert_eq!(left(&late), Left::With(0));
}

#[test]
fn a_retired_semaphore_leaves_tickets_to_waiters_that_sleep() {
    let semaphore = Semaphore::new(0);
    let [woken, asleep, last] = waiters();
    for waiter in [&woken, &asleep, &last] {
        queue(&semaphore, waiter);
    }
    semaphore.release(1, u64::MAX).unwrap();
    // Another thread is faster, so the value does not say that one has been woken.
    assert!(semaphore.try_acquire());
    assert_eq!(semaphore.retire(&tickets(1, 1)), Retire::NeedTickets(2));
    assert_eq!(semaphore.retire(&tickets(1, 2)), Retire::Done { state: 0, used: 2 });
    assert_eq!(semaphore.retire(&tickets(1, 2)), Retire::Already);
    assert_eq!(leave(&semaphore, &woken), Left::With(0));
    assert_eq!(leave(&semaphore, &asleep), Left::With(1));
    assert_eq!(leave(&semaphore, &last), Left::With(2));
    assert_eq!(semaphore.release(1, u64::MAX), Err(NotReleased::Retired));
    assert!(!semaphore.try_acquire() && !semaphore.set_value(1) && !wait(&semaphore, None));
    assert_eq!(semaphore.value(), None);
}

#[test]
fn a_waiter_keeps_what_it_was_granted_before_the_semaphore_was_retired() {
    let semaphore = Semaphore::new(0);
    let [first, second] = waiters();
    queue(&semaphore, &first);
    queue(&semaphore, &second);
    thread::sleep(TIME_TO_BE_FAIR);
    semaphore.release(1, u64::MAX).unwrap();
    assert_eq!(semaphore.retire(&tickets(1, 2)), Retire::Done { state: 0, used: 1 });
    assert_eq!(leave(&semaphore, &first), Left::Granted);
    assert_eq!(leave(&semaphore, &second), Left::With(1));
}

/// A release may have counted its permits and not have come to the waiters.
#[test]
fn as_many_waiters_look_again_as_a_retired_semaphore_has_permits() {
    let semaphore = Semaphore::new(0);
    let [first, second, third] = waiters();
    for waiter in [&first, &second, &third] {
        queue(&semaphore, waiter);
    }
    assert!(semaphore.set_value(2));
    assert_eq!(semaphore.retire(&tickets(1, 3)), Retire::Done { state: 2, used: 1 });
    assert_eq!(leave(&semaphore, &first), Left::With(0));
    assert_eq!(leave(&semaphore, &second), Left::With(0));
    assert_eq!(leave(&semaphore, &third), Left::With(1));
}

fn verdicts<const N: usize>(waiters: [&Waiter; N]) -> [Verdict; N] {
    waiters.map(Barrier::verdict)
}

#[test]
fn a_retired_barrier_leaves_tickets_to_the_waiters_of_the_round() {
    let barrier = Barrier::new(3);
    let [first, second, late] = waiters();
    assert_eq!(arrive(&barrier, &first), Arrival::Wait(0));
    assert_eq!(arrive(&barrier, &second), Arrival::Wait(1));
    assert_eq!(barrier.retire(&tickets(1, 1)), Retire::NeedTickets(2));
    let state = BarrierRemains { state: BarrierState::Whole, count: 2, acting: false };
    assert_eq!(barrier.retire(&tickets(1, 2)), Retire::Done { state, used: 2 });
    assert_eq!(barrier.retire(&tickets(1, 2)), Retire::Already);
    assert_eq!((barrier.state(), barrier.count()), (BarrierState::Retired, 2));
    assert_eq!(leave(&barrier, &first), Left::With(1));
    assert_eq!(leave(&barrier, &second), Left::With(2));
    assert_eq!(verdicts([&first, &second]), [Verdict::Retired; 2]);
    assert_eq!(arrive(&barrier, &late), Arrival::Retired);
    assert!(!barrier.abort() && !barrier.reset() && barrier.pass().is_none());
}

#[test]
fn a_barrier_that_is_retired_in_a_turn_says_so_at_its_end() {
    for works in [true, false] {
        let barrier = Barrier::new(2);
        let [waiter, last, next] = waiters();
        assert_eq!(arrive(&barrier, &waiter), Arrival::Wait(0));
        let Arrival::Last(turn) = arrive(&barrier, &last) else { panic!("not the last") };
        assert_eq!(arrive(&barrier, &next), Arrival::Later);
        queue(barrier.entrance(), &next);
        let state = BarrierRemains { state: BarrierState::Whole, count: 2, acting: true };
        assert_eq!(barrier.retire(&tickets(1, 1)), Retire::Done { state, used: 1 });
        assert_eq!(leave(&barrier, &waiter), Left::With(1));
        assert_eq!(leave(barrier.entrance(), &next), Left::Granted);
        assert_eq!(arrive(&barrier, &next), Arrival::Retired);
        let end = if works { barrier.open(turn) } else { barrier.spoil(turn) };
        assert_eq!((end, barrier.count()), (TurnEnd::Retired, 2));
    }
}

#[test]
fn a_turn_that_was_over_before_the_barrier_was_retired_stays_over() {
    let barrier = Barrier::new(2);
    let [waiter, last, next] = waiters();
    assert_eq!(arrive(&barrier, &waiter), Arrival::Wait(0));
    let Arrival::Last(turn) = arrive(&barrier, &last) else { panic!("not the last") };
    assert!(barrier.reset());
    assert_eq!(arrive(&barrier, &next), Arrival::Wait(0));
    let state = BarrierRemains { state: BarrierState::Whole, count: 1, acting: false };
    assert_eq!(barrier.retire(&tickets(1, 1)), Retire::Done { state, used: 1 });
    assert_eq!(barrier.open(turn), TurnEnd::Over);
    assert_eq!(leave(&barrier, &waiter), Left::With(0));
    assert_eq!(Barrier::verdict(&waiter), Verdict::Broken);
    assert_eq!(leave(&barrier, &next), Left::With(1));
}

#[test]
fn a_broken_barrier_is_retired_as_a_broken_one() {
    let barrier = Barrier::new(2);
    assert!(barrier.abort());
    let state = BarrierRemains { state: BarrierState::Broken, count: 0, acting: false };
    assert_eq!(barrier.retire(&NO), Retire::Done { state, used: 0 });
}

/// `retire` of a channel that holds items.
fn remains(channel: &Channel, tickets: [&[Ticket]; 3]) -> (Vec<usize>, u64, PerList) {
    match channel.retire(tickets[0], tickets[1], tickets[2]) {
        Retire::Done { state, used } => (numbers(state.items), state.unfinished, used),
        _ => panic!("not retired"),
    }
}

#[test]
fn a_retired_channel_leaves_tickets_to_getters() {
    let channel = Channel::new();
    let [first, second, third] = waiters();
    let gets = [(); 3].map(|()| Get::new(&channel));
    queue(&gets[0], &first);
    queue(&gets[1], &second);
    queue(&gets[2], &third);
    // The first has an item, which stays its own.
    assert_eq!(channel.try_put(item(5)), Accepted::Done);
    let needed = PerList { getters: 2, ..PerList::default() };
    assert!(
        matches!(channel.retire(&tickets(1, 1), &NO, &NO), Retire::NeedTickets(n) if n == needed)
    );
    assert!(!channel.is_retired());
    let (items, unfinished, used) = remains(&channel, [&tickets(1, 2), &NO, &NO]);
    assert_eq!((items, unfinished, used), (vec![], 1, needed));
    assert!(matches!(channel.retire(&NO, &NO, &NO), Retire::Already));
    assert_eq!(leave(&gets[0], &first), Left::Granted);
    assert_eq!(gets[0].item(), Some(item(5)));
    assert_eq!(leave(&gets[1], &second), Left::With(1));
    assert_eq!(leave(&gets[2], &third), Left::With(2));
    assert_eq!((gets[1].item(), gets[2].item()), (None, None));
}

#[test]
fn a_retired_channel_leaves_tickets_to_putters_and_joiners() {
    let channel = Channel::new();
    assert!(channel.set_limit(1) && put(&channel, 1, None));
    let [first, second, joiner] = waiters();
    let puts = [2, 3].map(|number| Put::new(&channel, item(number)));
    queue(&puts[0], &first);
    queue(&puts[1], &second);
    let join = Join::new(&channel);
    queue(&join, &joiner);
    let needed = PerList { getters: 0, putters: 2, joiners: 1 };
    assert!(
        matches!(channel.retire(&NO, &tickets(1, 2), &NO), Retire::NeedTickets(n) if n == needed)
    );
    let (items, unfinished, used) = remains(&channel, [&NO, &tickets(1, 2), &tickets(5, 1)]);
    assert_eq!((items, unfinished, used), (vec![1], 1, needed));
    assert_eq!(leave(&puts[0], &first), Left::With(1));
    assert_eq!(leave(&puts[1], &second), Left::With(2));
    assert_eq!(leave(&join, &joiner), Left::With(5));
    assert!(!puts[0].is_out_of_memory());
}

#[test]
fn a_retired_channel_fails_and_keeps_no_thread() {
    let channel = Channel::new();
    assert!(channel.set_limit(4));
    let Retire::Done { state, used } = channel.retire(&NO, &NO, &NO) else { panic!("not retired") };
    assert_eq!((state.limit, state.is_shut_down, used), (4, false, PerList::default()));
    state.items.free();
    assert_eq!(channel.try_put(item(1)), Accepted::Retired);
    assert_eq!(channel.try_get(), Taken::Retired);
    assert_eq!(channel.task_done(), Err(NotDone::Retired));
    assert!(channel.is_retired() && !channel.set_limit(3) && channel.shut_down(true).is_none());
    assert!(!wait(&Get::new(&channel), None) && !wait(&Put::new(&channel, item(1)), None));
    assert!(!wait(&Join::new(&channel), None));
}

/// One that found room, or an item, has not taken it yet when the channel is retired.
#[test]
fn a_waiter_that_has_not_claimed_finds_the_channel_retired() {
    let channel = Channel::new();
    let [putter, getter] = waiters();
    let (put_two, get) = (Put::new(&channel, item(2)), Get::new(&channel));
    // SAFETY: they stay where they are until they have left.
    unsafe {
        assert!(put_two.enqueue(&putter, false) && put(&channel, 1, None));
        assert!(get.enqueue(&getter, false));
        assert_eq!(remains(&channel, [&NO; 3]).0, [1]);
        assert!(put_two.claim(&putter) && get.claim(&getter));
    }
    assert_eq!((left(&putter), left(&getter)), (Left::With(0), Left::With(0)));
}

/// Nothing is left of the sizes of the parts that many objects have.
#[test]
fn primitives_stay_small() {
    assert_eq!((size_of::<Condition>(), size_of::<Event>(), size_of::<Lock>()), (16, 16, 16));
    assert_eq!(size_of::<Semaphore>(), 32);
}
