//! Channels: every item gets through once, whichever thread gives up. The items are numbers.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread::JoinHandle;
use rthread::sync::{Accepted, Channel, Join, Taken};

use crate::waits::{
    Endless, Hurried, Interrupted, Limited, Patience, Raising, get, item, put, wait,
};
use crate::{model, model_within, spawn};

fn limited(limit: isize) -> Arc<Channel> {
    let channel = Arc::new(Channel::new());
    assert!(channel.set_limit(limit));
    channel
}

fn getter(channel: &Arc<Channel>, how: Patience) -> JoinHandle<Option<usize>> {
    spawn(channel, move |channel| get(channel, how))
}

fn putter(channel: &Arc<Channel>, number: usize, how: Patience) -> JoinHandle<bool> {
    spawn(channel, move |channel| put(channel, number, how))
}

#[test]
fn two_getters_get_an_item_each() {
    model(|| {
        let channel = limited(0);
        let threads = [getter(&channel, Endless), getter(&channel, Interrupted)];
        assert!(put(&channel, 1, Endless) && put(&channel, 2, Endless));
        let numbers = threads.map(|thread| thread.join().unwrap().unwrap());
        assert_eq!(numbers.iter().sum::<usize>(), 3);
        assert!(channel.is_empty());
    });
}

#[test]
fn a_limited_channel_passes_everything_in_order() {
    model(|| {
        let channel = limited(1);
        let putter = spawn(&channel, |channel| {
            assert!(put(channel, 1, Endless) && put(channel, 2, Endless));
        });
        assert_eq!(get(&channel, Endless), Some(1));
        assert_eq!(get(&channel, Endless), Some(2));
        putter.join().unwrap();
    });
}

#[test]
fn two_putters_and_one_place() {
    model_within(2, || {
        let channel = limited(1);
        let threads = [putter(&channel, 1, Endless), putter(&channel, 2, Interrupted)];
        assert_eq!(get(&channel, Endless).unwrap() + get(&channel, Endless).unwrap(), 3);
        assert!(threads.map(|thread| thread.join().unwrap()).iter().all(|&done| done));
    });
}

/// What was done before an item was put is seen by the thread that gets it.
#[test]
fn an_item_brings_what_was_done_before() {
    struct Shared(Channel, UnsafeCell<u32>);
    // SAFETY: written before the item is put and read after; that is what the model checks.
    unsafe impl Sync for Shared {}
    // SAFETY: as above.
    unsafe impl Send for Shared {}

    for full in [false, true] {
        model(move || {
            let shared = Arc::new(Shared(Channel::new(), UnsafeCell::new(0)));
            let Shared(channel, value) = &*shared;
            assert!(channel.set_limit(1));
            if full {
                assert!(put(channel, 1, Endless));
            }
            let thread = spawn(&shared, |Shared(channel, value)| {
                // SAFETY: no thread reads it before it is put.
                value.with_mut(|value| unsafe { *value = 5 });
                assert!(put(channel, 2, Endless));
            });
            while get(channel, Endless) != Some(2) {}
            // SAFETY: it is not written any more; the model checks that.
            value.with(|value| assert_eq!(unsafe { *value }, 5));
            thread.join().unwrap();
        });
    }
}

fn get_against(how: Patience) {
    model(move || {
        let channel = limited(0);
        let getter = getter(&channel, how);
        assert!(put(&channel, 1, Endless));
        let got = getter.join().unwrap();
        assert!(got.is_some() || how.ends());
        assert_eq!(got.is_none(), channel.try_get() != Taken::Empty);
    });
}

#[test]
fn a_get_that_times_out_loses_no_item() {
    get_against(Limited);
}

#[test]
fn a_get_that_is_interrupted_loses_no_item() {
    get_against(Interrupted);
    get_against(Hurried);
    get_against(Raising);
}

fn put_against(how: Patience) {
    model(move || {
        let channel = limited(1);
        assert!(put(&channel, 1, Endless));
        let putter = putter(&channel, 2, how);
        assert_eq!(get(&channel, Endless), Some(1));
        let done = putter.join().unwrap();
        assert!(done || how.ends());
        assert_eq!(channel.len(), usize::from(done));
        assert_eq!(channel.unfinished(), 1 + u64::from(done));
    });
}

#[test]
fn a_put_that_times_out_keeps_its_item() {
    put_against(Limited);
}

#[test]
fn a_put_that_is_interrupted_keeps_its_item_or_has_put_it() {
    put_against(Interrupted);
    put_against(Hurried);
    put_against(Raising);
}

#[test]
fn a_higher_limit_lets_waiting_puts_in() {
    model(|| {
        let channel = limited(1);
        assert!(put(&channel, 1, Endless));
        let putter = putter(&channel, 2, Endless);
        assert!(channel.set_limit(2));
        assert!(putter.join().unwrap());
        assert_eq!(channel.len(), 2);
    });
}

#[test]
fn shutting_down_leaves_no_waiters() {
    model(|| {
        let channel = limited(1);
        assert!(put(&channel, 1, Endless));
        let putter = putter(&channel, 2, Endless);
        let getter = spawn(&channel, |channel| {
            let mut count = 0;
            while get(channel, Endless).is_some() {
                count += 1;
            }
            count
        });
        channel.shut_down(false).unwrap().free();
        let sent = 1 + usize::from(putter.join().unwrap());
        assert_eq!(getter.join().unwrap(), sent);
    });
}

/// What is thrown away counts as done, and so the join is over.
#[test]
fn shutting_down_at_once_ends_joins() {
    model(|| {
        let channel = limited(0);
        assert!(put(&channel, 1, Endless));
        let joiner = spawn(&channel, |channel| wait(&Join::new(channel), Interrupted));
        let items = channel.shut_down(true).unwrap();
        assert_eq!(items.len(), 1);
        items.free();
        assert!(joiner.join().unwrap());
        assert_eq!(channel.try_get(), Taken::ShutDown);
    });
}

#[test]
fn a_join_ends_with_the_last_task() {
    for how in [Endless, Interrupted, Limited, Raising] {
        model(move || {
            let channel = limited(0);
            assert!(put(&channel, 1, Endless));
            let joiner = spawn(&channel, move |channel| {
                assert!(wait(&Join::new(channel), how) || how.ends());
            });
            let worker = spawn(&channel, |channel| {
                get(channel, Endless).unwrap();
                channel.task_done().unwrap();
            });
            joiner.join().unwrap();
            worker.join().unwrap();
            assert_eq!(channel.unfinished(), 0);
        });
    }
}

#[test]
fn an_item_that_is_put_back_goes_to_a_thread_that_waits() {
    model(|| {
        let channel = limited(0);
        let getter = getter(&channel, Endless);
        let undone = spawn(&channel, |channel| match channel.try_get() {
            Taken::Item(item) => channel.put_back(item) == Accepted::Done,
            _ => true,
        });
        assert!(put(&channel, 1, Endless));
        assert!(undone.join().unwrap());
        assert_eq!(getter.join().unwrap(), Some(1));
        assert_eq!(channel.unfinished(), 1);
    });
}

/// Another thread may have got the item, and yet another one waits for the place.
#[test]
fn a_put_that_is_withdrawn_was_not_made() {
    model_within(2, || {
        let channel = limited(1);
        assert!(put(&channel, 1, Endless));
        let withdrawn = spawn(&channel, |channel| {
            assert!(put(channel, 2, Endless));
            channel.withdraw(item(2))
        });
        let putter = putter(&channel, 3, Endless);
        assert_eq!(get(&channel, Endless), Some(1));
        let got = get(&channel, Endless).unwrap();
        let withdrawn = withdrawn.join().unwrap();
        assert!(putter.join().unwrap());
        let mut all = vec![got];
        while let Taken::Item(item) = channel.try_get() {
            all.push(item.addr().get());
        }
        all.sort_unstable();
        assert_eq!(all, if withdrawn { vec![3] } else { vec![2, 3] });
        assert_eq!(channel.unfinished(), 1 + all.len() as u64);
    });
}

#[test]
fn a_put_that_is_withdrawn_holds_up_no_join() {
    model(|| {
        let channel = limited(0);
        let putter = spawn(&channel, |channel| {
            assert_eq!(channel.try_put(item(1)), Accepted::Done);
            assert!(channel.withdraw(item(1)));
        });
        wait(&Join::new(&channel), Endless);
        putter.join().unwrap();
        assert_eq!(channel.unfinished(), 0);
    });
}
