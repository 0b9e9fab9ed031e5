//! Hash maps with addresses as keys.

use core::hash::{BuildHasherDefault, Hasher};
use std::collections::HashMap;

/// A hash map and not a tree, because only a hash map can be asked whether there is memory for one
/// more entry.
pub type ByAddress<T> = HashMap<usize, T, BuildHasherDefault<Spread>>;

const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

/// An empty map.
pub const fn by_address<T>() -> ByAddress<T> {
    HashMap::with_hasher(BuildHasherDefault::new())
}

/// Selects one of `count` places for an address; `count` is a power of two, and at most 256. It
/// uses bits of the product that [`Spread`] does not bring into the positions that a map uses. So
/// addresses in the same place do not collide more often in its map.
pub fn choose(address: usize, count: usize) -> usize {
    (((address as u64).wrapping_mul(ODD) >> 56) as usize) & (count - 1)
}

/// A hash function for addresses, in which the low bits are all the same.
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
