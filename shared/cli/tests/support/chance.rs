//! Chance that a number decides.

use std::time::Duration;

/// A stream of numbers; equal seeds give equal streams.
pub struct Chance(u64);

impl Chance {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Chance {
        Chance(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `bound`, by xorshift.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from((self.0 >> 11) % bound as u64).unwrap()
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// Up to three milliseconds, so that what follows meets the command between any two of its writes.
    #[expect(clippy::disallowed_methods, reason = "nothing is waited for: any moment will do")]
    pub fn pause(&mut self) {
        std::thread::sleep(Duration::from_micros(self.below(3000) as u64));
    }
}
