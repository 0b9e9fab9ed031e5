//! The heap of a priority queue, and the memory of its comparisons.
//!
//! Nothing is changed before all comparisons are made, see
//! [`priority`](crate::threading::queue::priority).

use crate::capi::errors::Raised;
use crate::capi::object::values::Order;
use crate::capi::object::{Attached, Borrowed, Owned};
use crate::threading::queue::items::{item_of, object_in, object_of};
use crate::threading::queue::priority::PriorityObject;

/// No heap is deeper.
const DEPTH: usize = usize::BITS as usize;

/// How many comparisons are remembered at most.
const REMEMBERED: usize = 256;

/// The results of the comparisons of one operation, with references to the compared objects. A
/// comparison may change the queue, and then the operation begins again. But a remembered
/// comparison is not made twice. So an operation makes progress even if every comparison changes
/// the queue.
pub struct Memory {
    known: [Option<Known>; REMEMBERED],
    count: usize,
}

/// The result of a comparison: whether `left` is less than `right`.
struct Known {
    left: Owned,
    right: Owned,
    is_less: bool,
}

impl Memory {
    /// A memory without comparisons.
    pub fn new() -> Memory {
        Memory { known: [const { None }; REMEMBERED], count: 0 }
    }

    fn find(&self, left: Borrowed<'_>, right: Borrowed<'_>) -> Option<bool> {
        let mut known = self.known[..self.count].iter().flatten();
        known
            .find(|known| known.left.borrow() == left && known.right.borrow() == right)
            .map(|known| known.is_less)
    }

    fn is_full(&self) -> bool {
        self.count == REMEMBERED
    }

    fn add(&mut self, known: Known) {
        self.known[self.count] = Some(known);
        self.count += 1;
    }

    /// Drops the references.
    pub fn forget(&mut self, py: Attached<'_>) {
        while self.count > 0 {
            self.count -= 1;
            if let Some(Known { left, right, .. }) = self.known[self.count].take() {
                left.release(py);
                right.release(py);
            }
        }
    }
}

/// One attempt to change the heap. If the heap is not as it was when the attempt began, the
/// operation begins again.
struct Comparison<'a> {
    this: &'a PriorityObject,
    version: usize,
}

impl<'a> Comparison<'a> {
    fn begin(this: &'a PriorityObject) -> Comparison<'a> {
        Comparison { this, version: this.version() }
    }

    /// Whether the heap has changed, or the queue has been retired. The answer stays true only
    /// under the queue lock.
    fn is_disturbed(&self) -> bool {
        self.this.version() != self.version || self.this.channel().is_retired()
    }

    /// Returns the object at this place of the heap. It is a new reference, because the item may
    /// leave the queue meanwhile.
    fn at(&self, py: Attached<'_>, place: usize) -> Option<Owned> {
        // The heap has a reference, and no other thread changes it under the queue lock.
        self.this.channel().edit(|heap| Some(object_in(&heap.at(place)?).own(py)))
    }

    /// Whether one object is less than another. `None` if the heap was changed during the
    /// comparison. Called in the turn of the queue.
    fn is_less(
        &self,
        py: Attached<'_>,
        memory: Option<&mut Memory>,
        left: Owned,
        right: Owned,
    ) -> Result<Option<bool>, Raised> {
        let known = memory.as_ref().and_then(|memory| memory.find(left.borrow(), right.borrow()));
        let less = match known {
            Some(known) => Ok(known),
            None => left.borrow().compare(py, Order::Less, right.borrow()),
        };
        match (memory, &less) {
            (Some(memory), &Ok(is_less)) if known.is_none() && !memory.is_full() => {
                memory.add(Known { left, right, is_less });
            }
            _ => {
                left.release(py);
                right.release(py);
            }
        }
        less.map(|less| (self.this.version() == self.version).then_some(less))
    }
}

/// How an attempt to change the heap has ended.
pub enum Attempt<T> {
    Done(T),
    /// A comparison, or another thread, has changed it meanwhile.
    Disturbed,
    NoMemory,
}

/// Puts an object into the heap, which then has a reference of its own. Called in a turn.
///
/// If a comparison raises while the object rises from the end, it stays at the end, as with
/// `heappush`. It is not counted as a task then.
pub fn insert(
    py: Attached<'_>,
    this: &PriorityObject,
    memory: Option<&mut Memory>,
    from_above: bool,
    object: Borrowed<'_>,
) -> Result<Attempt<()>, Raised> {
    let comparison = Comparison::begin(this);
    let end = this.channel().len();
    let place = match find_place(py, &comparison, memory, from_above, object, end) {
        Ok(Some(place)) => place,
        Ok(None) => return Ok(Attempt::Disturbed),
        Err(Raised) => {
            if !from_above {
                leave_at_end(py, &comparison, object);
            }
            return Err(Raised);
        }
    };
    let item = item_of(object.own(py));
    let attempt = this.channel().edit(|heap| {
        if comparison.is_disturbed() {
            return Attempt::Disturbed;
        }
        if !heap.push(item) {
            return Attempt::NoMemory;
        }
        let mut hole = end;
        while hole > place {
            let parent = (hole - 1) / 2;
            if let Some(above) = heap.at(parent) {
                heap.set(hole, above);
            }
            hole = parent;
        }
        heap.set(place, item);
        this.channel().count_edited();
        this.changed();
        Attempt::Done(())
    });
    if !matches!(attempt, Attempt::Done(())) {
        object_of(item).release(py);
    }
    Ok(attempt)
}

/// Puts an object at the end of the heap without a comparison, but not into a heap that another
/// thread has taken meanwhile.
fn leave_at_end(py: Attached<'_>, comparison: &Comparison<'_>, object: Borrowed<'_>) {
    let item = item_of(object.own(py));
    let stays = comparison.this.channel().edit(|heap| {
        let stays = !comparison.is_disturbed() && heap.push(item);
        if stays {
            comparison.this.changed();
        }
        stays
    });
    if !stays {
        object_of(item).release(py);
    }
}

/// Finds the place of an object on the path from the top of the heap to its end.
fn find_place(
    py: Attached<'_>,
    comparison: &Comparison<'_>,
    mut memory: Option<&mut Memory>,
    from_above: bool,
    object: Borrowed<'_>,
    end: usize,
) -> Result<Option<usize>, Raised> {
    let mut is_less_than = |place: usize| {
        let Some(other) = comparison.at(py, place) else { return Ok(None) };
        comparison.is_less(py, memory.as_deref_mut(), object.own(py), other)
    };
    let mut place = end;
    if !from_above {
        // The item rises from the end, as long as it is less than the item above.
        while place > 0 {
            match is_less_than((place - 1) / 2)? {
                Some(true) => place = (place - 1) / 2,
                Some(false) => break,
                None => return Ok(None),
            }
        }
        return Ok(Some(place));
    }
    // After each put the end is another place, but the top is mostly the same.
    let depth = (end + 1).ilog2();
    for above in (1..=depth).rev() {
        place = ((end + 1) >> above) - 1;
        match is_less_than(place)? {
            Some(true) => return Ok(Some(place)),
            Some(false) => {}
            None => return Ok(None),
        }
    }
    Ok(Some(end))
}

/// Takes the least object out of the heap, which is not empty. Called in a turn.
pub fn remove_least(
    py: Attached<'_>,
    this: &PriorityObject,
    memory: Option<&mut Memory>,
) -> Result<Attempt<Owned>, Raised> {
    let comparison = Comparison::begin(this);
    let Some(end) = this.channel().len().checked_sub(1) else { return Ok(Attempt::Disturbed) };
    let Some(last) = comparison.at(py, end) else { return Ok(Attempt::Disturbed) };
    let mut path = [0; DEPTH];
    let found = find_path(py, &comparison, memory, last.borrow(), end, &mut path);
    let attempt = found.map(|found| match found {
        Some(length) => this.channel().edit(|heap| {
            if comparison.is_disturbed() {
                return Attempt::Disturbed;
            }
            let (Some(least), Some(last)) = (heap.at(0), heap.at(end)) else {
                return Attempt::Disturbed;
            };
            let mut hole = 0;
            for &child in &path[..length] {
                if let Some(rising) = heap.at(child) {
                    heap.set(hole, rising);
                }
                hole = child;
            }
            heap.set(hole, last);
            let _ = heap.pop_back();
            this.changed();
            Attempt::Done(object_of(least))
        }),
        None => Attempt::Disturbed,
    });
    last.release(py);
    attempt
}

/// Finds the places from which the items move up by one when the least item leaves. Writes them
/// into `path`, and returns how many they are. `last` is the object at the place `end`.
fn find_path(
    py: Attached<'_>,
    comparison: &Comparison<'_>,
    mut memory: Option<&mut Memory>,
    last: Borrowed<'_>,
    end: usize,
    path: &mut [usize; DEPTH],
) -> Result<Option<usize>, Raised> {
    // The hole at the top sinks to the bottom, along the lesser children.
    let mut length = 0;
    let mut child = 1;
    while child < end {
        if child + 1 < end {
            let Some(left) = comparison.at(py, child) else { return Ok(None) };
            let Some(right) = comparison.at(py, child + 1) else {
                left.release(py);
                return Ok(None);
            };
            match comparison.is_less(py, memory.as_deref_mut(), left, right)? {
                Some(true) => {}
                Some(false) => child += 1,
                None => return Ok(None),
            }
        }
        path[length] = child;
        length += 1;
        child = 2 * child + 1;
    }
    // The last item comes in there, and rises as far as it has to.
    while length > 0 {
        let Some(above) = comparison.at(py, path[length - 1]) else { return Ok(None) };
        match comparison.is_less(py, memory.as_deref_mut(), last.own(py), above)? {
            Some(true) => length -= 1,
            Some(false) => break,
            None => return Ok(None),
        }
    }
    Ok(Some(length))
}
