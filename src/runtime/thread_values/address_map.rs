//! Hash maps whose keys are addresses.

use core::hash::{BuildHasherDefault, Hasher};
use std::collections::HashMap;

/// A hash map and not a tree: it can be asked whether there is memory for one more.
pub type ByAddress<T> = HashMap<usize, T, BuildHasherDefault<Spread>>;

const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

/// An empty map.
pub const fn by_address<T>() -> ByAddress<T> {
    HashMap::with_hasher(BuildHasherDefault::new())
}

/// One of `count`, a power of two and at most 256, for an address. By bits that a map makes no use
/// of: those who meet in one are not alike for it.
pub fn choose(address: usize, count: usize) -> usize {
    (((address as u64).wrapping_mul(ODD) >> 56) as usize) & (count - 1)
}

/// Spreads addresses, whose low bits are all alike.
#[derive(Default)]
pub struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_usize(usize::from(byte));
        }
    }

    fn write_usize(&mut self, address: usize) {
        self.0 = (self.0 ^ address as u64).wrapping_mul(ODD).rotate_left(32);
    }
}
