//! The heap of a priority queue, and the memory of its comparisons.
//!
//! Nothing is changed before all comparisons are made, see
//! [`priority`](crate::threading::queue::priority).

use core::ffi::c_int;
use core::ptr;

use pyo3_ffi::{self as ffi, PyObject};

use crate::capi::compat::PyObject_RichCompareBool;
use crate::capi::errors::Raised;
use crate::capi::refs::drop_ref;
use crate::sync::Item;
use crate::threading::queue::items::object_of;
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
    known: [(*mut PyObject, *mut PyObject, bool); REMEMBERED],
    count: usize,
}

impl Memory {
    /// A memory without comparisons.
    pub fn new() -> Memory {
        Memory { known: [(ptr::null_mut(), ptr::null_mut(), false); REMEMBERED], count: 0 }
    }

    fn find(&self, left: *mut PyObject, right: *mut PyObject) -> Option<bool> {
        let known = &self.known[..self.count];
        known.iter().find(|known| (known.0, known.1) == (left, right)).map(|known| known.2)
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
    fn at(&self, place: usize) -> Option<*mut PyObject> {
        self.this.channel().edit(|heap| {
            let object = object_of(heap.at(place)?);
            // SAFETY: the heap has a reference, and no other thread changes it under the queue
            // lock.
            unsafe { ffi::Py_INCREF(object) };
            Some(object)
        })
    }

    /// Whether one object is less than another. `None` if the heap was changed during the
    /// comparison.
    ///
    /// # Safety
    /// Attached, in the turn of the queue; both references are taken.
    unsafe fn is_less(
        &self,
        memory: Option<&mut Memory>,
        left: *mut PyObject,
        right: *mut PyObject,
    ) -> Result<Option<bool>, Raised> {
        // SAFETY: as the caller promises.
        let less = unsafe {
            let known = memory.as_ref().and_then(|memory| memory.find(left, right));
            let less = match known {
                Some(known) => c_int::from(known),
                None => PyObject_RichCompareBool(left, right, ffi::Py_LT),
            };
            match memory {
                Some(memory) if known.is_none() && less >= 0 && memory.count < REMEMBERED => {
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
        Ok((self.this.version() == self.version).then_some(less))
    }
}

/// How an attempt to change the heap has ended.
pub enum Attempt<T> {
    Done(T),
    /// A comparison, or another thread, has changed it meanwhile.
    Disturbed,
    NoMemory,
}

/// Puts an item into the heap. If that succeeds, the heap takes over the reference.
///
/// If a comparison raises while the item rises from the end, the item stays at the end, as with
/// `heappush`. It is not counted as a task then, and the heap takes a reference of its own.
///
/// # Safety
/// Attached, in a turn.
pub unsafe fn insert(
    this: &PriorityObject,
    memory: Option<&mut Memory>,
    from_above: bool,
    item: Item,
) -> Result<Attempt<()>, Raised> {
    let comparison = Comparison::begin(this);
    let end = this.channel().len();
    // SAFETY: as the caller promises.
    let place = match unsafe { find_place(&comparison, memory, from_above, item, end) } {
        Ok(Some(place)) => place,
        Ok(None) => return Ok(Attempt::Disturbed),
        Err(Raised) => {
            if !from_above {
                // SAFETY: attached, and the caller has a reference to the item. The new one is
                // given back if the heap does not take it.
                unsafe {
                    ffi::Py_INCREF(object_of(item));
                    let stays = this.channel().edit(|heap| {
                        // Not in a heap that another thread has taken meanwhile.
                        let stays = !comparison.is_disturbed() && heap.push(item);
                        if stays {
                            this.changed();
                        }
                        stays
                    });
                    if !stays {
                        ffi::Py_DECREF(object_of(item));
                    }
                }
            }
            return Err(Raised);
        }
    };
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
    Ok(attempt)
}

/// Finds the place of an item on the path from the top of the heap to its end.
///
/// # Safety
/// As [`insert`].
unsafe fn find_place(
    comparison: &Comparison<'_>,
    mut memory: Option<&mut Memory>,
    from_above: bool,
    item: Item,
    end: usize,
) -> Result<Option<usize>, Raised> {
    let item = object_of(item);
    // SAFETY: as the caller promises, and the caller has a reference to the item.
    let mut is_less_than = |place: usize| unsafe {
        let Some(other) = comparison.at(place) else { return Ok(None) };
        ffi::Py_INCREF(item);
        comparison.is_less(memory.as_deref_mut(), item, other)
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

/// Takes the least item out of the heap, which is not empty.
///
/// # Safety
/// Attached, in a turn.
pub unsafe fn remove_least(
    this: &PriorityObject,
    memory: Option<&mut Memory>,
) -> Result<Attempt<Item>, Raised> {
    let comparison = Comparison::begin(this);
    let Some(end) = this.channel().len().checked_sub(1) else { return Ok(Attempt::Disturbed) };
    let Some(last) = comparison.at(end) else { return Ok(Attempt::Disturbed) };
    let mut path = [0; DEPTH];
    // SAFETY: as the caller promises; the reference to the last item is kept for that long.
    let found = unsafe { find_path(&comparison, memory, last, end, &mut path) };
    let attempt = match found {
        Ok(Some(length)) => this.channel().edit(|heap| {
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
            Attempt::Done(least)
        }),
        Ok(None) => Attempt::Disturbed,
        Err(Raised) => {
            // SAFETY: attached; the reference is ours.
            unsafe { drop_ref(last) };
            return Err(Raised);
        }
    };
    // SAFETY: attached; the reference is ours.
    unsafe { drop_ref(last) };
    Ok(attempt)
}

/// Finds the places from which the items move up by one when the least item leaves. Writes them
/// into `path`, and returns how many they are.
///
/// # Safety
/// As [`remove_least`]; `last` is the item at the place `end`.
unsafe fn find_path(
    comparison: &Comparison<'_>,
    mut memory: Option<&mut Memory>,
    last: *mut PyObject,
    end: usize,
    path: &mut [usize; DEPTH],
) -> Result<Option<usize>, Raised> {
    // The hole at the top sinks to the bottom, along the lesser children.
    let mut length = 0;
    let mut child = 1;
    while child < end {
        if child + 1 < end {
            let Some(left) = comparison.at(child) else { return Ok(None) };
            let Some(right) = comparison.at(child + 1) else {
                // SAFETY: attached, as the caller promises; the reference is ours.
                unsafe { drop_ref(left) };
                return Ok(None);
            };
            // SAFETY: as the caller promises.
            match unsafe { comparison.is_less(memory.as_deref_mut(), left, right)? } {
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
        let Some(above) = comparison.at(path[length - 1]) else { return Ok(None) };
        // SAFETY: as the caller promises, and the caller has a reference to the last item.
        let is_less = unsafe {
            ffi::Py_INCREF(last);
            comparison.is_less(memory.as_deref_mut(), last, above)?
        };
        match is_less {
            Some(true) => length -= 1,
            Some(false) => break,
            None => return Ok(None),
        }
    }
    Ok(Some(length))
}
