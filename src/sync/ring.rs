//! A double-ended buffer of words, for a channel.
//!
//! It is changed under the queue lock of the channel, or by a thread that is alone with the
//! channel. Its parts are atomic all the same, for two reasons. The length may be read without the
//! queue lock. And the process may be forked while another thread is in the middle of a change.
//! Therefore every change takes effect with its last store. A child inherits the buffer as it was
//! before the change or as it is after the change.

use core::cell::Cell;
use core::ptr::{self, NonNull};
// Not from `primitive`: the queue lock orders all of this, and the model checker need not check it.
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::alloc::{Layout, alloc, dealloc};

/// An item in a channel: a word with a meaning for the thread that puts it there.
pub type Item = NonNull<()>;

/// The capacity of the first block.
const SMALLEST: usize = 8;
/// A block with a larger capacity is freed when it has become empty.
const KEPT: usize = 1024;

/// The beginning of a block of memory. After it comes the memory for `capacity` items.
struct Block {
    /// A power of two.
    capacity: usize,
    /// `head` and `tail` of the ring that the block was taken out of.
    head: usize,
    tail: usize,
    /// The block below, in a [`Pile`].
    next: *mut Block,
}

impl Block {
    fn layout(capacity: usize) -> Option<Layout> {
        let items = Layout::array::<Item>(capacity).ok()?;
        Some(Layout::new::<Block>().extend(items).ok()?.0)
    }

    /// Null if there is no memory.
    fn allocate(capacity: usize) -> *mut Block {
        let Some(layout) = Block::layout(capacity) else { return ptr::null_mut() };
        // SAFETY: the layout has a size, and room for a block.
        unsafe {
            let block = alloc(layout).cast::<Block>();
            if !block.is_null() {
                block.write(Block { capacity, head: 0, tail: 0, next: ptr::null_mut() });
            }
            block
        }
    }

    /// # Safety
    /// From `allocate`, or null; not used any more.
    unsafe fn free(block: *mut Block) {
        // SAFETY: as the caller promises; the layout is the one that it was made with.
        unsafe {
            if let Some(layout) = block.as_ref().and_then(|block| Block::layout(block.capacity)) {
                dealloc(block.cast(), layout);
            }
        }
    }

    /// The memory for the item with this number.
    ///
    /// # Safety
    /// A valid block.
    unsafe fn place(block: *mut Block, number: usize) -> *mut Item {
        // SAFETY: as the caller promises. The result is within the block. An item has the alignment
        // of a block, so there is no gap between them.
        unsafe { block.add(1).cast::<Item>().add(number & ((*block).capacity - 1)) }
    }
}

/// See the module's documentation. All zero is an empty ring.
pub struct Ring {
    block: AtomicPtr<Block>,
    /// The number of the first item: how many items have left at the front. It only grows, except
    /// when an item returns to the front. Numbers wrap around, and the number of an item says where
    /// it is in the block.
    head: AtomicUsize,
    /// The number after the last item: how many items have come at the back. It only grows, except
    /// when an item leaves at the back.
    tail: AtomicUsize,
}

impl Ring {
    pub(super) const fn new() -> Ring {
        Ring {
            block: AtomicPtr::new(ptr::null_mut()),
            head: AtomicUsize::new(0),
            tail: AtomicUsize::new(0),
        }
    }

    /// How many items there are: exact under the queue lock, and a good guess without it.
    #[inline]
    pub fn len(&self) -> usize {
        let head = self.head.load(Ordering::Relaxed);
        let length = self.tail.load(Ordering::Relaxed).wrapping_sub(head);
        // Without the queue lock, `head` may have passed the `tail` that was read.
        if length > isize::MAX as usize { 0 } else { length }
    }

    /// Whether there are no items.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds an item at the back. False if there is no memory for it.
    // Always: the compiler would make a call of it, in every put to a queue.
    #[inline(always)]
    #[must_use]
    pub fn push(&self, item: Item) -> bool {
        let mut block = self.block.load(Ordering::Relaxed);
        // SAFETY: a block in the ring is valid.
        if block.is_null() || unsafe { (*block).capacity } == self.len() {
            block = self.grow(block);
            if block.is_null() {
                return false;
            }
        }
        let tail = self.tail.load(Ordering::Relaxed);
        // SAFETY: the memory for a number that is not in use.
        unsafe { Block::place(block, tail).write(item) };
        self.tail.store(tail.wrapping_add(1), Ordering::Release);
        true
    }

    /// Adds an item at the front. False if there is no memory for it.
    #[must_use]
    pub(super) fn push_front(&self, item: Item) -> bool {
        let mut block = self.block.load(Ordering::Relaxed);
        // SAFETY: a block in the ring is valid.
        if block.is_null() || unsafe { (*block).capacity } == self.len() {
            block = self.grow(block);
            if block.is_null() {
                return false;
            }
        }
        let head = self.head.load(Ordering::Relaxed).wrapping_sub(1);
        // SAFETY: the memory for a number that is not in use.
        unsafe { Block::place(block, head).write(item) };
        self.head.store(head, Ordering::Release);
        true
    }

    #[cold]
    fn grow(&self, old: *mut Block) -> *mut Block {
        // SAFETY: a block in the ring is valid, and holds every number from head to tail.
        unsafe {
            let capacity = old.as_ref().map_or(SMALLEST, |old| old.capacity.saturating_mul(2));
            let new = Block::allocate(capacity);
            if new.is_null() {
                return new;
            }
            let head = self.head.load(Ordering::Relaxed);
            for offset in 0..self.len() {
                let number = head.wrapping_add(offset);
                Block::place(new, number).write(Block::place(old, number).read());
            }
            self.block.store(new, Ordering::Release);
            Block::free(old);
            new
        }
    }

    /// The item at this position, counted from the front. `None` beyond the back.
    #[must_use]
    pub fn at(&self, place: usize) -> Option<Item> {
        if place >= self.len() {
            return None;
        }
        let number = self.head.load(Ordering::Relaxed).wrapping_add(place);
        // SAFETY: not empty, so there is a block, and it holds this number.
        Some(unsafe { Block::place(self.block.load(Ordering::Relaxed), number).read() })
    }

    /// Puts an item into this position, and forgets the item that was there.
    pub fn set(&self, place: usize, item: Item) {
        if place < self.len() {
            let number = self.head.load(Ordering::Relaxed).wrapping_add(place);
            // SAFETY: as in `at`.
            unsafe { Block::place(self.block.load(Ordering::Relaxed), number).write(item) };
        }
    }

    /// Takes the item at the front.
    #[inline]
    #[must_use]
    pub(super) fn pop_front(&self) -> Option<Item> {
        if self.is_empty() {
            return None;
        }
        let head = self.head.load(Ordering::Relaxed);
        // SAFETY: not empty, so there is a block, and it holds this number.
        let item = unsafe { Block::place(self.block.load(Ordering::Relaxed), head).read() };
        self.head.store(head.wrapping_add(1), Ordering::Release);
        Some(item)
    }

    /// Takes the item at the back.
    #[inline]
    #[must_use]
    pub fn pop_back(&self) -> Option<Item> {
        if self.is_empty() {
            return None;
        }
        let last = self.tail.load(Ordering::Relaxed).wrapping_sub(1);
        // SAFETY: as in `pop_front`.
        let item = unsafe { Block::place(self.block.load(Ordering::Relaxed), last).read() };
        self.tail.store(last, Ordering::Release);
        Some(item)
    }

    /// Frees the memory of an empty ring if it is large.
    #[inline]
    pub(super) fn shrink(&self) {
        let block = self.block.load(Ordering::Relaxed);
        // SAFETY: a block in the ring is valid.
        if self.is_empty() && unsafe { block.as_ref().is_some_and(|block| block.capacity > KEPT) } {
            drop_items(self.take());
        }
    }

    /// The items from the front to the back.
    pub(super) fn iter(&self) -> impl Iterator<Item = Item> {
        let head = self.head.load(Ordering::Relaxed);
        let block = self.block.load(Ordering::Relaxed);
        (0..self.len()).map(move |offset| {
            // SAFETY: not empty, so there is a block, and it holds this number.
            unsafe { Block::place(block, head.wrapping_add(offset)).read() }
        })
    }

    /// Takes out all items.
    pub(super) fn take(&self) -> Items {
        let block = self.block.load(Ordering::Relaxed);
        let head = self.head.load(Ordering::Relaxed);
        let tail = self.tail.load(Ordering::Relaxed);
        // The ring is emptied before it loses its block. In a child that is forked in between, the
        // ring is empty and keeps the block. The items are lost there, which is harmless.
        self.tail.store(head, Ordering::Release);
        self.block.store(ptr::null_mut(), Ordering::Release);
        // SAFETY: a block in the ring is valid.
        if let Some(block) = unsafe { block.as_mut() } {
            (block.head, block.tail) = (head, tail);
        }
        Items(block)
    }
}

impl Ring {
    /// Undoes [`Ring::take`] for the items that are left. The ring must be empty.
    pub(super) fn keep(&self, items: Items) {
        // SAFETY: null, or a block that only this thread has.
        if let Some(block) = unsafe { items.0.as_ref() } {
            drop_items(self.take());
            self.head.store(block.head, Ordering::Relaxed);
            self.tail.store(block.head, Ordering::Relaxed);
            self.block.store(items.0, Ordering::Release);
            self.tail.store(block.tail, Ordering::Release);
        }
    }
}

/// The items that a channel held. To be freed with [`Items::free`]. There is no destructor, because
/// the caller's use of the items may end the thread.
pub struct Items(*mut Block);

impl Items {
    /// The next item, from the front.
    #[expect(clippy::should_implement_trait, reason = "an iterator would be dropped at its end")]
    #[must_use]
    pub fn next(&mut self) -> Option<Item> {
        // SAFETY: null or valid until it is freed, which takes `self`; the number is in use.
        unsafe {
            let block = self.0.as_mut()?;
            if block.head == block.tail {
                return None;
            }
            let item = Block::place(self.0, block.head).read();
            block.head = block.head.wrapping_add(1);
            Some(item)
        }
    }

    /// The next item, which is not removed.
    #[must_use]
    pub fn first(&self) -> Option<Item> {
        // SAFETY: as in `next`.
        unsafe {
            let block = self.0.as_ref()?;
            (block.head != block.tail).then(|| Block::place(self.0, block.head).read())
        }
    }

    /// How many items are left.
    pub fn len(&self) -> usize {
        // SAFETY: as in `next`.
        unsafe { self.0.as_ref() }.map_or(0, |block| block.tail.wrapping_sub(block.head))
    }

    /// Whether no item is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Frees the memory. The items that are left are forgotten.
    pub fn free(self) {
        drop_items(self);
    }
}

fn drop_items(items: Items) {
    // SAFETY: taken out of its ring, and not used any more.
    unsafe { Block::free(items.0) };
}

/// Items that were taken out of several channels and still have to be dropped. It needs no memory
/// of its own.
pub struct Pile(Cell<*mut Block>);

impl Default for Pile {
    fn default() -> Pile {
        Pile::new()
    }
}

impl Pile {
    /// An empty pile.
    pub const fn new() -> Pile {
        Pile(Cell::new(ptr::null_mut()))
    }

    /// Puts items on top.
    pub fn push(&self, items: Items) {
        // SAFETY: null or a valid block that no other part of the program has.
        if let Some(block) = unsafe { items.0.as_mut() } {
            block.next = self.0.replace(items.0);
        }
    }

    /// Takes the whole pile.
    pub fn take(&self) -> Pile {
        Pile(Cell::new(self.0.replace(ptr::null_mut())))
    }

    /// Undoes [`Pile::take`], if it is empty again.
    pub fn put_back(&self, taken: Pile) {
        debug_assert!(self.0.get().is_null());
        self.0.set(taken.0.get());
    }

    /// Takes the items from the top.
    #[must_use]
    pub fn pop(&self) -> Option<Items> {
        let top = self.0.get();
        // SAFETY: null or a valid block that was put here.
        let next = unsafe { top.as_ref() }?.next;
        self.0.set(next);
        Some(Items(top))
    }
}
