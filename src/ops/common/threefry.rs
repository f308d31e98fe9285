//! Random numbers by counting, the twin of `shaders/common/threefry.wgsl`: the same for the same
//! key and counter, on every device and in every geometry.
//!
//! Threefry-2x32 of 20 rounds: Salmon et al. 2011, doi:10.1145/2063384.2063405.

use crate::device::kernel::{Wgsl, wgsl};

pub(crate) const WGSL: Wgsl = wgsl!("common/threefry.wgsl");

/// A stream of random numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Key(pub(crate) [u32; 2]);

impl Key {
    /// The key of a part of this stream.
    pub(crate) fn part(self, counter: u64) -> Self {
        Self(threefry(self.0, [counter as u32, (counter >> 32) as u32]))
    }

    /// Two numbers from 0 up to, but not, 1.
    #[inline]
    pub(crate) fn floats(self, counter: [u32; 2]) -> [f32; 2] {
        // 24 bits, which a float holds.
        threefry(self.0, counter).map(|x| (x >> 8) as f32 / 16_777_216.0)
    }
}

#[inline]
pub(crate) fn threefry(key: [u32; 2], counter: [u32; 2]) -> [u32; 2] {
    const BY: [[u32; 4]; 2] = [[13, 15, 26, 6], [17, 29, 16, 24]];
    let k = [key[0], key[1], 0x1BD1_1BDA ^ key[0] ^ key[1]];
    let mut x = [counter[0].wrapping_add(k[0]), counter[1].wrapping_add(k[1])];
    for i in 0..5usize {
        for by in BY[i % 2] {
            x[0] = x[0].wrapping_add(x[1]);
            x[1] = x[1].rotate_left(by) ^ x[0];
        }
        x[0] = x[0].wrapping_add(k[(i + 1) % 3]);
        x[1] = x[1].wrapping_add(k[(i + 2) % 3]).wrapping_add(i as u32 + 1);
    }
    x
}

#[cfg(test)]
mod tests {
    use super::threefry;

    /// The known answers of the authors' Random123 library.
    #[test]
    fn known_answers() {
        assert_eq!(threefry([0, 0], [0, 0]), [0x6b20_0159, 0x99ba_4efe]);
        assert_eq!(threefry([u32::MAX; 2], [u32::MAX; 2]), [0x1cb9_96fc, 0xbb00_2be7]);
        assert_eq!(
            threefry([0x1319_8a2e, 0x0370_7344], [0x243f_6a88, 0x85a3_08d3]),
            [0xc492_3a9c, 0x483d_f7a0]
        );
    }
}
