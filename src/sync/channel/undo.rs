//! Undoing a put or a get: its thread does not return from it, because a signal handler has raised.

use super::super::parker::Wake;
use super::{Accepted, Channel, Item, RETIRED, send};

impl Channel {
    /// Gives back an item that the calling thread got a moment ago and cannot keep. The next get
    /// takes this item. It makes no difference whether the channel is full or shut down.
    pub fn put_back(&self, item: Item) -> Accepted {
        let held = self.hold();
        let mut wake = None;
        let accepted = if self.flags() & RETIRED != 0 {
            Accepted::Retired
        } else if let Some(getter) = self.getters.front() {
            wake = Some(self.grant(getter, item));
            Accepted::Done
        } else if self.return_to_front(item) {
            Accepted::Done
        } else {
            Accepted::NoMemory
        };
        held.release();
        send(wake);
        accepted
    }

    /// Takes out an item that the calling thread put a moment ago. True if this was done: no item
    /// was put after it, and no thread has got it. Else the item stays in the channel.
    #[must_use]
    pub fn withdraw(&self, item: Item) -> bool {
        let held = self.hold();
        let is_last =
            self.ring.len().checked_sub(1).and_then(|last| self.ring.at(last)) == Some(item);
        let (mut ended, mut wake): (_, Option<Wake>) = (None, None);
        let done = is_last && self.flags() & RETIRED == 0;
        if done {
            let _ = self.ring.pop_back();
            ended = self.finish(1);
            wake = self.admit();
        }
        held.release();
        send(wake);
        self.end_joins(ended);
        done
    }
}
