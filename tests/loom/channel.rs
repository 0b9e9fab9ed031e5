//! Models of channels. The items are numbers.

use std::ptr;
use std::time::Instant;

use loom::sync::Arc;
use loom::thread;
use rthread::sync::{Accepted, Channel, Get, Item, Join, Put, Taken, wait};

use super::{impatient, model};

fn put(channel: &Channel, number: usize, until: Option<Instant>) -> bool {
    let item = Item::new(ptr::without_provenance_mut(number)).unwrap();
    match channel.try_put(item) {
        Accepted::Full => wait(&Put::new(channel, item), until),
        accepted => accepted == Accepted::Done,
    }
}

fn get(channel: &Channel, until: Option<Instant>) -> Option<usize> {
    match channel.try_get() {
        Taken::Item(item) => Some(item.addr().get()),
        Taken::Empty => {
            let get = Get::new(channel);
            wait(&get, until).then(|| get.item().unwrap().addr().get())
        }
        Taken::ShutDown | Taken::Closed => None,
    }
}

fn spawn<T: 'static>(
    channel: &Arc<Channel>,
    run: impl FnOnce(&Channel) -> T + 'static,
) -> thread::JoinHandle<T> {
    let channel = Arc::clone(channel);
    thread::spawn(move || run(&channel))
}

fn limited(limit: isize) -> Arc<Channel> {
    let channel = Arc::new(Channel::new());
    channel.set_limit(limit);
    channel
}

#[test]
fn two_getters_get_an_item_each() {
    model(|| {
        let channel = limited(0);
        let threads = [(); 2].map(|()| spawn(&channel, |channel| get(channel, None).unwrap()));
        assert!(put(&channel, 1, None) && put(&channel, 2, None));
        assert_eq!(threads.map(|thread| thread.join().unwrap()).iter().sum::<usize>(), 3);
        assert!(channel.is_empty());
    });
}

#[test]
fn a_limited_channel_passes_everything_in_order() {
    model(|| {
        let channel = limited(1);
        let putter = spawn(&channel, |channel| {
            assert!(put(channel, 1, None) && put(channel, 2, None));
        });
        assert_eq!(get(&channel, None), Some(1));
        assert_eq!(get(&channel, None), Some(2));
        putter.join().unwrap();
    });
}

#[test]
fn two_putters_and_one_place() {
    model(|| {
        let channel = limited(1);
        let threads = [1, 2]
            .map(|number| spawn(&channel, move |channel| assert!(put(channel, number, None))));
        assert_eq!(get(&channel, None).unwrap() + get(&channel, None).unwrap(), 3);
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

#[test]
fn a_get_that_gives_up_loses_no_item() {
    model(|| {
        let channel = limited(0);
        let getter = spawn(&channel, |channel| get(channel, impatient()));
        assert!(put(&channel, 1, None));
        let got = getter.join().unwrap();
        assert_eq!(got.is_none(), channel.try_get() != Taken::Empty);
    });
}

#[test]
fn a_put_that_gives_up_keeps_its_item() {
    model(|| {
        let channel = limited(1);
        assert!(put(&channel, 1, None));
        let putter = spawn(&channel, |channel| put(channel, 2, impatient()));
        assert_eq!(get(&channel, None), Some(1));
        let done = putter.join().unwrap();
        assert_eq!(channel.len(), usize::from(done));
    });
}

#[test]
fn shutting_down_leaves_nobody_waiting() {
    model(|| {
        let channel = limited(1);
        assert!(put(&channel, 1, None));
        let putter = spawn(&channel, |channel| put(channel, 2, None));
        let getter = spawn(&channel, |channel| {
            let mut count = 0;
            while get(channel, None).is_some() {
                count += 1;
            }
            count
        });
        channel.shut_down(false).unwrap().free();
        let sent = 1 + usize::from(putter.join().unwrap());
        assert_eq!(getter.join().unwrap(), sent);
    });
}

#[test]
fn closing_leaves_nobody_waiting() {
    model(|| {
        let channel = limited(0);
        let getter = spawn(&channel, |channel| get(channel, None));
        let putter = spawn(&channel, |channel| put(channel, 1, None));
        let left = channel.close().unwrap().items;
        let (sent, got) = (putter.join().unwrap(), getter.join().unwrap());
        assert_eq!(usize::from(sent), got.map_or(0, |_| 1) + left.len());
        left.free();
    });
}

#[test]
fn a_join_ends_with_the_last_task() {
    model(|| {
        let channel = limited(0);
        assert!(put(&channel, 1, None));
        let joiner = spawn(&channel, |channel| assert!(wait(&Join::new(channel), None)));
        let worker = spawn(&channel, |channel| {
            get(channel, None).unwrap();
            channel.task_done().unwrap();
        });
        joiner.join().unwrap();
        worker.join().unwrap();
    });
}
