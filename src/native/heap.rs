//! The heap of a priority queue, and what it remembers of comparisons.
//!
//! Nothing is changed before all comparisons are made, see [`priority`](super::priority).

use core::ptr;

use pyo3_ffi::{self as ffi, PyObject};

use super::items::object_of;
use super::priority::PriorityObject;
use crate::compat::{PyObject_RichCompareBool, Raised};
use crate::object::drop_ref;
use crate::sync::Item;

/// No heap is deeper.
const DEPTH: usize = usize::BITS as usize;

/// How many comparisons are remembered.
const REMEMBERED: usize = 256;

/// What the comparisons of one operation have said, with references to what was compared. A
/// comparison may change the queue, and then all is done again, but nothing is compared twice: so
/// an operation gets on even if every comparison changes the queue.
pub struct Memory {
    known: [(*mut PyObject, *mut PyObject, bool); REMEMBERED],
    count: usize,
}

impl Memory {
    /// Nothing yet.
    pub fn new() -> Memory {
        Memory { known: [(ptr::null_mut(), ptr::null_mut(), false); REMEMBERED], count: 0 }
    }

    /// Drops the references.
    ///
    /// # Safety
    /// Attached.
    pub unsafe fn forget(&mut self) {
        while self.count > 0 {
            self.count -= 1;
            let (left, right, _) = self.known[self.count];
            // SAFETY: as the caller promises; the references are ours.
            unsafe {
                drop_ref(left);
                drop_ref(right);
            }
        }
    }
}

/// Whether one object is less than another. `None` if the heap was changed while that was found
/// out.
///
/// # Safety
/// Attached, in the turn of the queue that the items are in.
unsafe fn is_less(
    this: &PriorityObject,
    memory: Option<&mut Memory>,
    left: Item,
    right: Item,
) -> Result<Option<bool>, Raised> {
    let version = this.version();
    let (left, right) = (object_of(left), object_of(right));
    if let Some(memory) = &memory
        && let Some(known) =
            memory.known[..memory.count].iter().find(|known| (known.0, known.1) == (left, right))
    {
        return Ok(Some(known.2));
    }
    // SAFETY: as the caller promises. They may leave the queue meanwhile.
    let less = unsafe {
        ffi::Py_INCREF(left);
        ffi::Py_INCREF(right);
        let less = PyObject_RichCompareBool(left, right, ffi::Py_LT);
        match memory {
            Some(memory) if less >= 0 && memory.count < REMEMBERED => {
                memory.known[memory.count] = (left, right, less > 0);
                memory.count += 1;
            }
            _ => {
                drop_ref(left);
                drop_ref(right);
            }
        }
        if less < 0 {
            return Err(Raised);
        }
        less > 0
    };
    Ok((this.version() == version).then_some(less))
}

/// How an attempt to change the heap has ended.
pub enum Attempt<T> {
    Done(T),
    /// Somebody else has changed it meanwhile.
    Disturbed,
    NoMemory,
}

/// Puts an item into the heap. The reference goes with it if that is done.
///
/// # Safety
/// Attached, in a turn.
pub unsafe fn insert(
    this: &PriorityObject,
    memory: Option<&mut Memory>,
    from_above: bool,
    item: Item,
) -> Result<Attempt<()>, Raised> {
    let end = this.channel().len();
    // SAFETY: as the caller promises.
    let Some(place) = (unsafe { find_place(this, memory, from_above, item, end)? }) else {
        return Ok(Attempt::Disturbed);
    };
    let pushed = this.channel().edit(|heap| {
        if !heap.push(item) {
            return false;
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
        true
    });
    if !pushed {
        return Ok(Attempt::NoMemory);
    }
    this.changed();
    this.channel().add_task();
    Ok(Attempt::Done(()))
}

/// Where an item belongs on the way from the top of the heap to its end.
///
/// # Safety
/// As `insert`.
unsafe fn find_place(
    this: &PriorityObject,
    mut memory: Option<&mut Memory>,
    from_above: bool,
    item: Item,
    end: usize,
) -> Result<Option<usize>, Raised> {
    let mut place = end;
    if !from_above {
        // The item rises from the end to its place, as long as it is less than what is above.
        while place > 0 {
            let Some(parent) = this.at((place - 1) / 2) else { return Ok(None) };
            // SAFETY: as the caller promises.
            match unsafe { is_less(this, memory.as_deref_mut(), item, parent)? } {
                Some(true) => place = (place - 1) / 2,
                Some(false) => break,
                None => return Ok(None),
            }
        }
        return Ok(Some(place));
    }
    // The end is another one each time that something was put, but the top is mostly the same.
    let depth = (end + 1).ilog2();
    for above in (1..=depth).rev() {
        place = ((end + 1) >> above) - 1;
        let Some(other) = this.at(place) else { return Ok(None) };
        // SAFETY: as the caller promises.
        match unsafe { is_less(this, memory.as_deref_mut(), item, other)? } {
            Some(true) => return Ok(Some(place)),
            Some(false) => {}
            None => return Ok(None),
        }
    }
    Ok(Some(end))
}

/// Takes the least item out of the heap, which is not empty.
///
/// # Safety
/// Attached, in a turn.
pub unsafe fn remove_least(
    this: &PriorityObject,
    mut memory: Option<&mut Memory>,
) -> Result<Attempt<Item>, Raised> {
    let Some(end) = this.channel().len().checked_sub(1) else { return Ok(Attempt::Disturbed) };
    let Some(last) = this.at(end) else { return Ok(Attempt::Disturbed) };
    // The hole at the top sinks to the bottom, along the lesser children.
    let mut path = [0; DEPTH];
    let mut length = 0;
    let mut child = 1;
    while child < end {
        if child + 1 < end {
            let (Some(left), Some(right)) = (this.at(child), this.at(child + 1)) else {
                return Ok(Attempt::Disturbed);
            };
            // SAFETY: as the caller promises.
            match unsafe { is_less(this, memory.as_deref_mut(), left, right)? } {
                Some(true) => {}
                Some(false) => child += 1,
                None => return Ok(Attempt::Disturbed),
            }
        }
        path[length] = child;
        length += 1;
        child = 2 * child + 1;
    }
    // There the last item comes in, and rises as far as it has to.
    while length > 0 {
        let Some(above) = this.at(path[length - 1]) else { return Ok(Attempt::Disturbed) };
        // SAFETY: as the caller promises.
        match unsafe { is_less(this, memory.as_deref_mut(), last, above)? } {
            Some(true) => length -= 1,
            Some(false) => break,
            None => return Ok(Attempt::Disturbed),
        }
    }
    let least = this.channel().edit(|heap| {
        let least = heap.at(0)?;
        let mut hole = 0;
        for &child in &path[..length] {
            if let Some(rising) = heap.at(child) {
                heap.set(hole, rising);
            }
            hole = child;
        }
        heap.set(hole, last);
        heap.pop_back();
        Some(least)
    });
    this.changed();
    Ok(least.map_or(Attempt::Disturbed, Attempt::Done))
}
