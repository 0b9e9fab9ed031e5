//! Channels, and programs made of everything.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rthread::sync::{Channel, Condition, Join, Lock, Semaphore};

use crate::waits::{
    Endless, Hurried, Interrupted, Limited, Raising, acquire, get, put, take, wait, wait_for,
};
use crate::{Patience, Room, crowd, model, one_of};

const ANY: [Patience; 5] = [Endless, Limited, Interrupted, Hurried, Raising];

/// Every item is got once, also if threads give up on the way; a thread that gives up tries again.
#[test]
fn three_put_and_three_get() {
    for lifo in [false, true] {
        model(move || {
            let channel = Channel::new();
            assert!(channel.set_limit(2));
            if lifo {
                channel.reverse();
            }
            let channel = Arc::new(channel);
            let sums = crowd(6, &channel, |channel, number| {
                let mut sum = 0;
                for step in 1..=3 {
                    if number % 2 == 0 {
                        while !put(channel, number * 10 + step, one_of(&ANY)) {}
                    } else {
                        sum += loop {
                            if let Some(item) = get(channel, one_of(&ANY)) {
                                break item;
                            }
                        };
                        channel.task_done().unwrap();
                    }
                }
                sum
            });
            // 1 to 3, 21 to 23 and 41 to 43.
            assert_eq!(sums.iter().sum::<usize>(), 6 + 66 + 126);
            assert!(channel.is_empty() && channel.unfinished() == 0);
        });
    }
}

/// What one thread puts comes out in that order.
#[test]
fn first_in_first_out_for_each_putter() {
    model(|| {
        let channel = Arc::new(Channel::new());
        assert!(channel.set_limit(1));
        let got = crowd(4, &channel, |channel, number| {
            let mut got = Vec::new();
            for step in 1..=4 {
                if number > 0 {
                    while !put(channel, number * 10 + step, one_of(&ANY)) {}
                    continue;
                }
                for _ in 0..3 {
                    got.push(get(channel, one_of(&[Endless, Interrupted])).unwrap());
                }
            }
            got
        });
        for number in 1..4 {
            let own = got[0].iter().filter(|&&item| item / 10 == number);
            assert!(own.eq([1, 2, 3, 4].map(|step| number * 10 + step).iter()));
        }
    });
}

/// No thread is left waiting, and what was put and not got is still there or given back.
#[test]
fn a_queue_that_is_shut_down_in_use() {
    for discard in [false, true] {
        model(move || {
            let channel = Arc::new(Channel::new());
            assert!(channel.set_limit(2));
            let moved = crowd(7, &channel, move |channel, number| match number {
                0 => {
                    let items = channel.shut_down(discard).unwrap();
                    let left = items.len() as isize;
                    items.free();
                    -left
                }
                1 | 2 => {
                    let how = one_of(&[Endless, Interrupted]);
                    (0..3).filter(|step| put(channel, number * 10 + step, how)).count() as isize
                }
                6 => {
                    wait(&Join::new(channel), one_of(&[Limited, Hurried]));
                    0
                }
                _ => {
                    let how = one_of(&[Endless, Interrupted, Raising]);
                    -((0..2).filter(|_| get(channel, how).is_some()).count() as isize)
                }
            });
            assert_eq!(moved.iter().sum::<isize>(), channel.len() as isize);
        });
    }
}

/// Workers that take tasks from a queue, two at a time through a door, and count under a lock; the
/// first waits for all of it in two ways.
#[test]
fn a_pool_of_workers() {
    #[derive(Default)]
    struct Pool {
        tasks: Channel,
        door: Option<Semaphore>,
        lock: Lock,
        all_done: Condition,
        done: AtomicUsize,
        room: Room,
    }
    const TASKS: usize = 6;

    model(|| {
        let pool = Arc::new(Pool { door: Some(Semaphore::new(2)), ..Pool::default() });
        assert!(pool.tasks.set_limit(2));
        crowd(6, &pool, |pool, number| {
            if number == 0 {
                for task in 1..=TASKS {
                    while !put(&pool.tasks, task, one_of(&ANY)) {}
                }
                assert!(acquire(&pool.lock, Endless));
                while pool.done.load(Ordering::Relaxed) < TASKS {
                    let _ = wait_for(&pool.all_done, &pool.lock, one_of(&ANY));
                }
                pool.lock.release().unwrap();
                assert!(wait(&Join::new(&pool.tasks), one_of(&[Endless, Interrupted])));
                pool.tasks.shut_down(false).unwrap().free();
                return;
            }
            while get(&pool.tasks, Endless).is_some() {
                let door = pool.door.as_ref().unwrap();
                while !take(door, one_of(&ANY)) {}
                pool.room.visit(2);
                door.release(1, 2).unwrap();
                while !acquire(&pool.lock, one_of(&ANY)) {}
                pool.done.fetch_add(1, Ordering::Relaxed);
                assert!(pool.all_done.notify(usize::MAX));
                pool.lock.release().unwrap();
                pool.tasks.task_done().unwrap();
            }
        });
        assert_eq!((pool.room.visits(), pool.tasks.unfinished()), (TASKS, 0));
        assert!(pool.tasks.is_empty() && !pool.lock.is_locked());
    });
}
