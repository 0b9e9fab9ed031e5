//! Channels on real threads. The items are numbers.

use std::collections::HashSet;
use std::ptr;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use rthread::sync::{
    Accepted, Awaitable, Cancelled, Channel, Get, Item, Items, Join, NotDone, Parked, Pile, Put,
    Taken, Waiter, wait,
};

use super::{deadline, until};

pub fn item(number: usize) -> Item {
    Item::new(ptr::without_provenance_mut(number)).unwrap()
}

pub fn put(channel: &Channel, number: usize, until: Option<Instant>) -> bool {
    match channel.try_put(item(number)) {
        Accepted::Full => wait(&Put::new(channel, item(number)), until),
        accepted => accepted == Accepted::Done,
    }
}

pub fn get(channel: &Channel, until: Option<Instant>) -> Option<usize> {
    match channel.try_get() {
        Taken::Item(item) => Some(item.addr().get()),
        Taken::Empty => {
            let get = Get::new(channel);
            wait(&get, until).then(|| get.item().unwrap().addr().get())
        }
        Taken::ShutDown | Taken::Retired => None,
    }
}

pub fn numbers(mut items: Items) -> Vec<usize> {
    let mut numbers = Vec::new();
    while let Some(item) = items.next() {
        numbers.push(item.addr().get());
    }
    items.free();
    numbers
}

#[test]
fn first_in_first_out_through_every_size_of_the_buffer() {
    let channel = Channel::new();
    let (mut last_in, mut last_out) = (0, 0);
    for step in 1..200 {
        for _ in 0..step {
            last_in += 1;
            assert_eq!(channel.try_put(item(last_in)), Accepted::Done);
        }
        assert_eq!(channel.len(), last_in - last_out);
        for _ in 0..step / 2 {
            last_out += 1;
            assert_eq!(channel.try_get(), Taken::Item(item(last_out)));
        }
    }
    while last_out < last_in {
        last_out += 1;
        assert_eq!(channel.try_get(), Taken::Item(item(last_out)));
    }
    assert_eq!(channel.try_get(), Taken::Empty);
    assert_eq!(channel.unfinished(), last_in as u64);
}

#[test]
fn last_in_first_out() {
    let channel = Channel::new();
    channel.reverse();
    for number in 1..=20 {
        assert_eq!(channel.try_put(item(number)), Accepted::Done);
    }
    for number in (11..=20).rev() {
        assert_eq!(channel.try_get(), Taken::Item(item(number)));
    }
    assert_eq!(numbers(channel.take_all()), (1..=10).collect::<Vec<_>>());
    assert!(channel.is_empty());
}

#[test]
fn a_full_channel_takes_nothing() {
    let channel = Channel::new();
    assert!(channel.set_limit(2));
    assert!(put(&channel, 1, None) && put(&channel, 2, None));
    assert_eq!(channel.try_put(item(3)), Accepted::Full);
    assert!(!put(&channel, 3, deadline(5)));
    assert_eq!(channel.try_get(), Taken::Item(item(1)));
    assert!(put(&channel, 4, None));
    assert!(channel.set_limit(0));
    assert!(put(&channel, 5, None));
    assert_eq!(numbers(channel.take_all()), [2, 4, 5]);
}

#[test]
fn every_item_arrives_once() {
    for limit in [0, 1, 3] {
        let channel = Channel::new();
        assert!(channel.set_limit(limit));
        let arrived = Mutex::new(HashSet::new());
        thread::scope(|scope| {
            for thread in 0..2 {
                let channel = &channel;
                scope.spawn(move || {
                    for number in 0..5_000 {
                        assert!(put(channel, 1 + thread + 2 * number, None));
                    }
                });
            }
            for _ in 0..2 {
                scope.spawn(|| {
                    let mut own = Vec::new();
                    while own.len() < 5_000 {
                        own.push(get(&channel, None).unwrap());
                    }
                    arrived.lock().unwrap().extend(own);
                });
            }
        });
        assert_eq!(*arrived.lock().unwrap(), (1..=10_000).collect());
        assert!(channel.is_empty());
    }
}

#[test]
fn time_outs_lose_no_item() {
    let channel = Channel::new();
    assert!(channel.set_limit(1));
    let soon = || Some(Instant::now() + Duration::from_micros(30));
    let (sent, received) = thread::scope(|scope| {
        let putters: Vec<_> = (0..2)
            .map(|_| scope.spawn(|| (0..2_000).filter(|_| put(&channel, 1, soon())).count()))
            .collect();
        let getters: Vec<_> = (0..2)
            .map(|_| scope.spawn(|| (0..2_000).filter(|_| get(&channel, soon()).is_some()).count()))
            .collect();
        let total = |threads: Vec<thread::ScopedJoinHandle<'_, usize>>| {
            threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
        };
        (total(putters), total(getters))
    });
    assert_eq!(sent, received + channel.len());
    assert_eq!(channel.unfinished(), sent as u64);
}

/// By hand, in one thread: the longest waiter is served first, and one that comes back goes before
/// all others.
#[test]
fn waiters_are_served_in_order() {
    let channel = Channel::new();
    let [first, second, third] = [Waiter::new(), Waiter::new(), Waiter::new()];
    let [one, two, three] = [Get::new(&channel), Get::new(&channel), Get::new(&channel)];
    // SAFETY: the waiters stay where they are, and each is queued once, and claimed while it is.
    unsafe {
        assert!(!one.enqueue(&first, false) && !two.enqueue(&second, false));
        assert!(!three.enqueue(&third, true));
        for (number, get, waiter) in [(1, &three, &third), (2, &one, &first), (3, &two, &second)] {
            assert_eq!(channel.try_put(item(number)), Accepted::Done);
            assert!(channel.is_empty());
            assert_eq!(waiter.park(deadline(60_000), false), Parked::Unparked);
            assert!(get.claim(waiter));
            assert_eq!(get.item(), Some(item(number)));
        }
    }
}

#[test]
fn a_get_lets_a_waiting_put_in() {
    let channel = Channel::new();
    assert!(channel.set_limit(1));
    assert!(put(&channel, 1, None));
    let [first, second] = [Waiter::new(), Waiter::new()];
    let [two, three] = [Put::new(&channel, item(2)), Put::new(&channel, item(3))];
    // SAFETY: as above.
    unsafe {
        assert!(!two.enqueue(&first, false) && !three.enqueue(&second, false));
        assert_eq!(channel.try_get(), Taken::Item(item(1)));
        assert!(two.claim(&first) && !three.claim(&second));
        assert_eq!(channel.try_get(), Taken::Item(item(2)));
        // Granted at the last moment.
        assert!(three.cancel(&second) == Cancelled::Settled && three.claim(&second));
        assert_eq!(channel.try_get(), Taken::Item(item(3)));
        assert!(put(&channel, 4, None));
        assert!(!three.enqueue(&second, false) && three.cancel(&second) == Cancelled::Left);
        assert_eq!(channel.try_get(), Taken::Item(item(4)));
        assert_eq!(channel.try_get(), Taken::Empty);
    }
}

/// It is told to look, and another thread is faster: then it waits at its place.
#[test]
fn an_item_is_taken_by_claim() {
    let channel = Channel::new();
    let [first, second] = [Waiter::new(), Waiter::new()];
    let [one, two] = [Get::new(&channel), Get::new(&channel)];
    // SAFETY: as above.
    unsafe {
        assert!(!one.enqueue(&first, false) && one.cancel(&first) == Cancelled::Left);
        assert_eq!(channel.try_put(item(1)), Accepted::Done);
        assert!(one.enqueue(&first, true));
        assert_eq!(channel.try_get(), Taken::Item(item(1)));
        assert!(!two.enqueue(&second, false));
        assert!(!one.claim(&first));
        assert_eq!(channel.try_put(item(2)), Accepted::Done);
        assert!(one.claim(&first) && two.cancel(&second) == Cancelled::Left);
        assert_eq!(one.item(), Some(item(2)));
    }
}

#[test]
fn a_higher_limit_lets_waiters_in() {
    let channel = Channel::new();
    assert!(channel.set_limit(1));
    assert!(put(&channel, 1, None));
    thread::scope(|scope| {
        for number in 2..=4 {
            let channel = &channel;
            scope.spawn(move || assert!(put(channel, number, None)));
        }
        thread::sleep(Duration::from_millis(20));
        assert_eq!(channel.len(), 1);
        assert!(channel.set_limit(10));
    });
    assert_eq!(channel.len(), 4);
}

#[test]
fn joins_end_when_all_is_done() {
    let channel = Channel::new();
    assert!(wait(&Join::new(&channel), deadline(0)));
    assert_eq!(channel.task_done(), Err(NotDone::TooMany));
    for number in 1..=3 {
        put(&channel, number, None);
    }
    assert!(!wait(&Join::new(&channel), deadline(5)));
    thread::scope(|scope| {
        let joins: Vec<_> =
            (0..3).map(|_| scope.spawn(|| wait(&Join::new(&channel), deadline(60_000)))).collect();
        for _ in 0..3 {
            thread::sleep(Duration::from_millis(5));
            assert_eq!(channel.task_done(), Ok(()));
        }
        assert!(joins.into_iter().all(|join| join.join().unwrap()));
    });
    assert_eq!(channel.task_done(), Err(NotDone::TooMany));
}

#[test]
fn shutting_down_sends_all_waiters_away() {
    for discard in [false, true] {
        let (full, empty) = (Channel::new(), Channel::new());
        assert!(full.set_limit(1));
        put(&full, 1, None);
        thread::scope(|scope| {
            let putter = scope.spawn(|| put(&full, 2, None));
            let getter = scope.spawn(|| get(&empty, None));
            let joiner = scope.spawn(|| wait(&Join::new(&full), deadline(60_000)));
            thread::sleep(Duration::from_millis(10));
            let items = numbers(full.shut_down(discard).unwrap());
            assert_eq!(items, if discard { vec![1] } else { vec![] });
            assert!(numbers(empty.shut_down(discard).unwrap()).is_empty());
            assert!(!putter.join().unwrap() && getter.join().unwrap().is_none());
            if !discard {
                assert_eq!(full.try_get(), Taken::Item(item(1)));
                assert_eq!(full.task_done(), Ok(()));
            }
            assert!(joiner.join().unwrap());
        });
        assert_eq!(full.try_put(item(3)), Accepted::ShutDown);
        assert_eq!(full.try_get(), Taken::ShutDown);
        assert!(full.is_shut_down() && !full.is_retired());
    }
}

#[test]
fn items_are_seen_and_piled_up() {
    let channel = Channel::new();
    let pile = Pile::new();
    for number in 1..=3 {
        put(&channel, number, None);
        put(&channel, number + 10, None);
        let mut seen = Vec::new();
        assert_eq!(channel.visit(|item| i32::from(item.addr().get() > 10)), 1);
        channel.visit(|item| {
            seen.push(item.addr().get());
            0
        });
        assert_eq!(seen, [number, number + 10]);
        pile.push(channel.take_all());
    }
    for number in (1..=3).rev() {
        assert_eq!(numbers(pile.pop().unwrap()), [number, number + 10]);
    }
    assert!(pile.pop().is_none());
}

#[cfg(unix)]
#[test]
fn a_child_process_finds_the_items_and_no_waiters() {
    static FULL: Channel = Channel::new();
    static EMPTY: Channel = Channel::new();
    assert!(FULL.set_limit(1));
    put(&FULL, 1, None);
    thread::scope(|scope| {
        scope.spawn(|| put(&FULL, 2, None));
        scope.spawn(|| get(&EMPTY, None));
        thread::sleep(Duration::from_millis(20));
        // SAFETY: the child calls nothing but `sync`, which needs no other thread, and `_exit`.
        let child = unsafe { libc::fork() };
        if child == 0 {
            rthread::sync::fork::after_fork_in_child();
            let fine = FULL.try_get() == Taken::Item(item(1))
                && FULL.try_get() == Taken::Empty
                && EMPTY.try_put(item(3)) == Accepted::Done
                && EMPTY.try_get() == Taken::Item(item(3));
            // SAFETY: ends the child without running what belongs to the parent.
            unsafe { libc::_exit(i32::from(!fine)) };
        }
        let mut status = -1;
        // SAFETY: our child, and a place for its status.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        assert_eq!(status, 0);
        assert_eq!(get(&FULL, None), Some(1));
        put(&EMPTY, 4, None);
        until(|| FULL.len() == 1);
    });
}
