//! Retiring: whatever happens at the same moment, each waiter has what it waited for or a ticket,
//! in the order of the queue, and what the other threads were told is true.

use loom::sync::Arc;
use rthread::sync::{
    Accepted, Arrival, Awaitable, Barrier, BarrierState, Channel, Condition, Event, Get, Join,
    PerList, Put, Retire, Semaphore, Taken, Ticket, Verdict, Waited, Waiter,
};

use crate::waits::{
    Endless, Hurried, Interrupted, Limited, Patience, Raised, Raising, get, item, meet, put,
    wait_as, wait_queued,
};
use crate::{model, model_within, spawn};

const ALL: [Patience; 5] = [Endless, Limited, Interrupted, Hurried, Raising];
const FREE: u64 = u64::MAX;

fn tickets(count: usize) -> Vec<Ticket> {
    let ticket = |number| Ticket::new(std::ptr::without_provenance_mut(number)).unwrap();
    (1..=count).map(ticket).collect()
}

/// The number of the ticket that a waiter has, or 0.
fn number(waiter: &Waiter) -> usize {
    waiter.ticket().map_or(0, |ticket| ticket.addr().get())
}

/// Retires, first without tickets and then with as many as there was need for, numbered from 1 on:
/// the state, and how many were used.
fn retire<S>(retire: impl Fn(&[Ticket]) -> Retire<S>) -> Option<(S, usize)> {
    let mut count = 0;
    loop {
        match retire(&tickets(count)) {
            Retire::Done { state, used } => return Some((state, used)),
            Retire::Already => return None,
            Retire::NeedTickets(needed) => {
                assert!(needed > count);
                count = needed;
            }
        }
    }
}

/// Queues a waiter. Each outlives the execution, and has left at its end.
fn queue(what: &impl Awaitable, waiter: &Waiter) {
    // SAFETY: as said.
    assert!(!unsafe { what.enqueue(waiter, false) });
}

/// What a waiter that does not give up is told: whether it got what it waited for, and the number
/// of its ticket.
fn outcome(what: &impl Awaitable, waiter: &Waiter) -> (bool, usize) {
    let waited = wait_queued(waiter, what, Endless).unwrap();
    (waited == Waited::Got, number(waiter))
}

#[test]
fn an_event_that_is_set_wakes_its_waiter_or_is_retired_first() {
    for how in ALL {
        model_within(2, move || {
            let event = Arc::new(Event::new());
            let waiter = Waiter::new();
            queue(&*event, &waiter);
            let setter = spawn(&event, Event::set);
            let retirer = spawn(&event, |event| retire(|tickets| event.retire(tickets)).unwrap());
            let waited = wait_queued(&waiter, &*event, how);
            let (set, (state, used)) = (setter.join().unwrap(), retirer.join().unwrap());
            assert_eq!((state, used), (set, number(&waiter)));
            assert!(!set || used == 0);
            assert!(how.ends() || (waited == Ok(Waited::Got)) == set);
        });
    }
}

#[test]
fn an_event_that_was_set_has_woken_all_its_waiters_even_if_it_is_cleared() {
    model(|| {
        let event = Arc::new(Event::new());
        let [first, second] = [Waiter::new(), Waiter::new()];
        queue(&*event, &first);
        queue(&*event, &second);
        let setter = spawn(&event, Event::set);
        // The set may still be waking the waiters of its round.
        assert!(event.clear());
        let (state, used) = retire(|tickets| event.retire(tickets)).unwrap();
        let outcomes = [&first, &second].map(|waiter| outcome(&*event, waiter));
        let set = setter.join().unwrap();
        assert!(set || !state);
        assert_eq!(outcomes, if set { [(true, 0); 2] } else { [(false, 1), (false, 2)] });
        assert_eq!(used, if set { 0 } else { 2 });
    });
}

/// The one that waits has come after the clear, and no `set` has been for it.
#[test]
fn a_waiter_of_the_next_round_has_a_ticket() {
    model(|| {
        let event = Arc::new(Event::new());
        let [first, second] = [Waiter::new(), Waiter::new()];
        queue(&*event, &first);
        let setter = spawn(&event, |event| event.set());
        assert_eq!(outcome(&*event, &first), (true, 0));
        assert!(event.clear());
        queue(&*event, &second);
        assert_eq!(retire(|tickets| event.retire(tickets)), Some((false, 1)));
        assert_eq!(outcome(&*event, &second), (false, 1));
        assert!(setter.join().unwrap());
    });
}

#[test]
fn a_thread_that_comes_to_an_event_has_a_ticket_or_finds_it_retired() {
    for how in [Endless, Interrupted] {
        model(move || {
            let event = Arc::new(Event::new());
            let comer = spawn(&event, move |event| {
                let waiter = Waiter::new();
                (wait_as(&waiter, event, how), number(&waiter))
            });
            let (_, used) = retire(|tickets| event.retire(tickets)).unwrap();
            assert_eq!(comer.join().unwrap(), (Ok(Waited::Dismissed), used));
        });
    }
}

#[test]
fn a_notification_reaches_a_waiter_or_is_refused() {
    for how in ALL {
        model_within(2, move || {
            let condition = Arc::new(Condition::new());
            let [hasty, patient] = [Waiter::new(), Waiter::new()];
            queue(&*condition, &hasty);
            queue(&*condition, &patient);
            let notifier = spawn(&condition, |condition| condition.notify(1));
            let retirer = spawn(&condition, |condition| {
                retire(|tickets| condition.retire(tickets)).unwrap().1
            });
            let waited = wait_queued(&hasty, &*condition, how);
            let second = outcome(&*condition, &patient);
            let (notified, used) = (notifier.join().unwrap(), retirer.join().unwrap());
            let last = number(&hasty) + 1;
            match waited {
                Ok(Waited::Got) => assert!(notified && second == (false, 1)),
                Ok(Waited::Dismissed) => assert!(!notified && second == (false, 2)),
                Ok(Waited::TimedOut) => {
                    assert_eq!(second, if notified { (true, 0) } else { (false, 1) })
                }
                // It may have had the notification, and passed it on or not found a live condition.
                Err(Raised) => {
                    assert!(second == (false, last) || (notified && second == (true, 0)))
                }
            }
            assert_eq!(used, usize::from(number(&hasty) > 0) + usize::from(!second.0));
        });
    }
}

#[test]
fn a_notification_of_two_reaches_both_or_none() {
    model(|| {
        let condition = Arc::new(Condition::new());
        let [first, second] = [Waiter::new(), Waiter::new()];
        queue(&*condition, &first);
        queue(&*condition, &second);
        let notifier = spawn(&condition, |condition| condition.notify(2));
        let (_, used) = retire(|tickets| condition.retire(tickets)).unwrap();
        let outcomes = [&first, &second].map(|waiter| outcome(&*condition, waiter));
        let notified = notifier.join().unwrap();
        assert_eq!(outcomes, if notified { [(true, 0); 2] } else { [(false, 1), (false, 2)] });
        assert_eq!(used, if notified { 0 } else { 2 });
    });
}

#[test]
fn a_thread_that_comes_to_a_condition_has_a_ticket_or_finds_it_retired() {
    model(|| {
        let condition = Arc::new(Condition::new());
        let comer = spawn(&condition, |condition| {
            let waiter = Waiter::new();
            (wait_as(&waiter, condition, Interrupted), number(&waiter))
        });
        let (_, used) = retire(|tickets| condition.retire(tickets)).unwrap();
        assert_eq!(comer.join().unwrap(), (Ok(Waited::Dismissed), used));
        assert_eq!(condition.waiters(), 0);
    });
}

#[test]
fn a_permit_is_taken_or_left_in_the_retired_semaphore() {
    for how in ALL {
        for overdue in [false, true] {
            model_within(2, move || {
                let semaphore = Arc::new(Semaphore::new(0));
                let waiter = if overdue { Waiter::overdue() } else { Waiter::new() };
                queue(&*semaphore, &waiter);
                let releaser = spawn(&semaphore, |semaphore| semaphore.release(1, FREE).is_ok());
                let retirer = spawn(&semaphore, |semaphore| {
                    retire(|tickets| semaphore.retire(tickets)).unwrap()
                });
                let waited = wait_queued(&waiter, &*semaphore, how);
                let (left, used) = retirer.join().unwrap();
                let released = releaser.join().unwrap();
                let got = waited == Ok(Waited::Got);
                assert_eq!(u64::from(got) + left, u64::from(released));
                assert_eq!(used, number(&waiter));
                // One that could have it looks again, and so does one that is not in the queue while
                // its handler runs.
                assert!(!released || used == 0);
                assert!(how != Endless || released || used == 1);
            });
        }
    }
}

#[test]
fn a_permit_makes_one_waiter_of_a_retired_semaphore_look_again() {
    model(|| {
        let semaphore = Arc::new(Semaphore::new(0));
        let [first, second] = [Waiter::new(), Waiter::new()];
        queue(&*semaphore, &first);
        queue(&*semaphore, &second);
        let releaser = spawn(&semaphore, |semaphore| semaphore.release(1, FREE).is_ok());
        let (left, used) = retire(|tickets| semaphore.retire(tickets)).unwrap();
        let outcomes = [&first, &second].map(|waiter| outcome(&*semaphore, waiter));
        let released = releaser.join().unwrap();
        assert_eq!(left, u64::from(released));
        assert_eq!(
            outcomes,
            if released { [(false, 0), (false, 1)] } else { [(false, 1), (false, 2)] }
        );
        assert_eq!(used, outcomes[1].1);
    });
}

#[test]
fn a_thread_that_comes_to_a_semaphore_finds_a_permit_or_finds_it_retired() {
    model(|| {
        let semaphore = Arc::new(Semaphore::new(0));
        let comer = spawn(&semaphore, |semaphore| {
            let waiter = Waiter::new();
            (wait_as(&waiter, semaphore, Endless).unwrap(), number(&waiter))
        });
        let released = semaphore.release(1, FREE).is_ok();
        let (left, used) = retire(|tickets| semaphore.retire(tickets)).unwrap();
        let (waited, number) = comer.join().unwrap();
        assert!(released);
        assert_eq!(u64::from(waited == Waited::Got) + left, 1);
        assert_eq!((used, number), (0, 0));
    });
}

/// Comes to a barrier. It is not the last one.
fn arrive(barrier: &Barrier, waiter: &Waiter) {
    // SAFETY: as for `queue`.
    assert_eq!(unsafe { barrier.arrive(waiter) }, Arrival::Wait(0));
}

/// The last one comes, acts and goes, while the barrier is retired and the other waits.
#[test]
fn a_round_of_a_retired_barrier_ends_for_all_or_goes_on_for_all() {
    for how in ALL {
        model_within(2, move || {
            let barrier = Arc::new(Barrier::new(2));
            let waiter = Waiter::new();
            arrive(&barrier, &waiter);
            let last = spawn(&barrier, |barrier| meet(barrier, Endless, || true));
            let retirer =
                spawn(&barrier, |barrier| retire(|tickets| barrier.retire(tickets)).unwrap());
            let waited = wait_queued(&waiter, &*barrier, how);
            let (met, (remains, used)) = (last.join().unwrap(), retirer.join().unwrap());
            // One whose handler raises makes room, and then the other waits instead.
            assert!(used == number(&waiter) || waited == Err(Raised));
            assert_eq!(remains.count as usize, used + usize::from(remains.acting));
            assert!(used == 0 || met == Err(Verdict::Retired));
            assert!(!remains.acting || met == Err(Verdict::Retired));
            match waited {
                Ok(Waited::Got) => assert_eq!(met, Ok(1)),
                Ok(Waited::Dismissed) => assert_eq!(Barrier::verdict(&waiter), Verdict::Retired),
                // It has broken the barrier, and a turn had not begun.
                Ok(Waited::TimedOut) => assert!(how.ends() && met != Ok(1) && !remains.acting),
                Err(Raised) => assert_eq!(how, Raising),
            }
        });
    }
}

#[test]
fn a_barrier_is_reset_before_it_is_retired_or_not_at_all() {
    model(|| {
        let barrier = Arc::new(Barrier::new(2));
        let waiter = Waiter::new();
        arrive(&barrier, &waiter);
        let resetter = spawn(&barrier, Barrier::reset);
        let (remains, used) = retire(|tickets| barrier.retire(tickets)).unwrap();
        let (got, number) = outcome(&*barrier, &waiter);
        let reset = resetter.join().unwrap();
        assert_eq!((got, number, remains.count), (false, used, used as u32));
        assert_eq!((used, remains.state), (usize::from(!reset), BarrierState::Whole));
        let verdict = if reset { Verdict::Broken } else { Verdict::Retired };
        assert_eq!(Barrier::verdict(&waiter), verdict);
    });
}

#[test]
fn no_thread_stays_at_the_entrance_of_a_retired_barrier() {
    model_within(2, || {
        let barrier = Arc::new(Barrier::new(1));
        let comers = [(); 2].map(|()| spawn(&barrier, |barrier| meet(barrier, Endless, || true)));
        let (remains, used) = retire(|tickets| barrier.retire(tickets)).unwrap();
        let met = comers.map(|comer| comer.join().unwrap());
        assert!(met.iter().all(|met| matches!(met, Ok(0) | Err(Verdict::Retired))));
        assert!(!remains.acting || met.contains(&Err(Verdict::Retired)));
        assert_eq!((used, remains.count), (0, u32::from(remains.acting)));
    });
}

/// What is left of a channel: how many items, for how many there is still work to do, and which
/// tickets were used, numbered from 1 in each list.
fn retire_channel(channel: &Channel) -> (usize, u64, PerList) {
    let mut count = PerList::default();
    loop {
        let lists = [count.getters, count.putters, count.joiners].map(tickets);
        match channel.retire(&lists[0], &lists[1], &lists[2]) {
            Retire::Done { state, used } => {
                let length = state.items.len();
                state.items.free();
                return (length, state.unfinished, used);
            }
            Retire::Already => panic!("it was retired before"),
            Retire::NeedTickets(needed) => count = needed,
        }
    }
}

#[test]
fn an_item_is_got_or_left_in_the_retired_channel() {
    for how in ALL {
        model_within(2, move || {
            let channel = Arc::new(Channel::new());
            let (waiter, get) = (Waiter::new(), Get::new(&channel));
            queue(&get, &waiter);
            let putter = spawn(&channel, |channel| channel.try_put(item(7)));
            let retirer = spawn(&channel, retire_channel);
            let got = wait_queued(&waiter, &get, how) == Ok(Waited::Got);
            let accepted = putter.join().unwrap() == Accepted::Done;
            let (left, unfinished, used) = retirer.join().unwrap();
            assert_eq!((got, unfinished), (get.item().is_some(), u64::from(accepted)));
            assert_eq!(usize::from(got) + left, usize::from(accepted));
            assert_eq!(used.getters, number(&waiter));
            assert!(!accepted || used.getters == 0);
            assert!(how != Endless || got || used.getters == 1);
        });
    }
}

#[test]
fn a_putter_is_let_in_or_keeps_its_item() {
    for how in ALL {
        model_within(2, move || {
            let channel = Arc::new(Channel::new());
            assert!(channel.set_limit(1) && put(&channel, 1, Endless));
            let (waiter, put) = (Waiter::new(), Put::new(&channel, item(2)));
            queue(&put, &waiter);
            let getter = spawn(&channel, Channel::try_get);
            let retirer = spawn(&channel, retire_channel);
            let done = wait_queued(&waiter, &put, how) == Ok(Waited::Got);
            let got = getter.join().unwrap() == Taken::Item(item(1));
            let (left, unfinished, used) = retirer.join().unwrap();
            assert_eq!(left + usize::from(got), 1 + usize::from(done));
            assert_eq!(unfinished, 1 + u64::from(done));
            assert_eq!(used.putters, number(&waiter));
            assert!(!got || used.putters == 0);
            assert!(how != Endless || done || used.putters == 1);
        });
    }
}

#[test]
fn the_last_task_ends_all_joins_or_none() {
    model(|| {
        let channel = Arc::new(Channel::new());
        assert!(put(&channel, 1, Endless));
        let join = Join::new(&channel);
        let [first, second] = [Waiter::new(), Waiter::new()];
        queue(&join, &first);
        queue(&join, &second);
        let worker = spawn(&channel, |channel| channel.task_done().is_ok());
        let (_, unfinished, used) = retire_channel(&channel);
        let outcomes = [&first, &second].map(|waiter| outcome(&join, waiter));
        let done = worker.join().unwrap();
        assert_eq!((unfinished, used.joiners), if done { (0, 0) } else { (1, 2) });
        assert_eq!(outcomes, if done { [(true, 0); 2] } else { [(false, 1), (false, 2)] });
    });
}

#[test]
fn a_joiner_that_gives_up_needs_no_ticket() {
    for how in [Limited, Hurried, Raising] {
        model(move || {
            let channel = Arc::new(Channel::new());
            assert!(put(&channel, 1, Endless));
            let (waiter, join) = (Waiter::new(), Join::new(&channel));
            queue(&join, &waiter);
            let retirer = spawn(&channel, retire_channel);
            let waited = wait_queued(&waiter, &join, how);
            let used = retirer.join().unwrap().2.joiners;
            assert_eq!(used, number(&waiter));
            assert!(used == 0 || waited != Ok(Waited::TimedOut));
        });
    }
}

#[test]
fn a_channel_is_shut_down_before_it_is_retired_or_not_at_all() {
    model(|| {
        let channel = Arc::new(Channel::new());
        let (waiter, get) = (Waiter::new(), Get::new(&channel));
        queue(&get, &waiter);
        let shutter = spawn(&channel, |channel| channel.shut_down(false).map(|items| items.free()));
        let used = retire_channel(&channel).2.getters;
        assert_eq!(outcome(&get, &waiter), (false, used));
        assert_eq!(used, usize::from(shutter.join().unwrap().is_none()));
    });
}

#[test]
fn an_item_is_put_back_into_a_channel_that_is_not_retired() {
    model(|| {
        let channel = Arc::new(Channel::new());
        assert!(put(&channel, 1, Endless));
        let undone = spawn(&channel, |channel| match channel.try_get() {
            Taken::Item(item) => channel.put_back(item) == Accepted::Done,
            _ => true,
        });
        let (left, _, _) = retire_channel(&channel);
        assert_eq!(left, usize::from(undone.join().unwrap()));
    });
}

#[test]
fn threads_that_come_to_a_channel_find_it_retired() {
    model(|| {
        let channel = Arc::new(Channel::new());
        let getter = spawn(&channel, |channel| get(channel, Endless));
        let putter = spawn(&channel, |channel| put(channel, 1, Endless));
        let (left, _, _) = retire_channel(&channel);
        let (sent, got) = (putter.join().unwrap(), getter.join().unwrap());
        assert_eq!(usize::from(sent), usize::from(got.is_some()) + left);
    });
}

/// Of two that retire at once one does, and its tickets are the ones that count.
fn retire_twice<T: 'static>(new: fn() -> T, retire: fn(&T) -> Option<usize>, how_many: usize) {
    model(move || {
        let shared = Arc::new(new());
        let other = spawn(&shared, retire);
        let own = retire(&shared);
        let both = [own, other.join().unwrap()];
        assert_eq!(both.iter().flatten().collect::<Vec<_>>(), [&how_many]);
    });
}

#[test]
fn a_primitive_is_retired_once() {
    retire_twice(Event::new, |event| Some(retire(|tickets| event.retire(tickets))?.1), 0);
    retire_twice(
        Condition::new,
        |condition| Some(retire(|tickets| condition.retire(tickets))?.1),
        0,
    );
    retire_twice(
        || Semaphore::new(1),
        |semaphore| Some(retire(|tickets| semaphore.retire(tickets))?.1),
        0,
    );
    retire_twice(
        || Barrier::new(2),
        |barrier| Some(retire(|tickets| barrier.retire(tickets))?.1),
        0,
    );
    retire_twice(
        Channel::new,
        |channel| match channel.retire(&[], &[], &[]) {
            Retire::Done { state, used } => {
                state.items.free();
                Some(used.getters)
            }
            _ => None,
        },
        0,
    );
}
