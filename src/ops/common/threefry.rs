//! Random numbers by counting, the twin of `shaders/common/threefry.wgsl`: the same for the same
//! key and counter, on every device and in every geometry.
//!
//! Threefry-2x32 of 20 rounds: Salmon et al. 2011, doi:10.1145/2063384.2063405.

use crate::device::kernel::{Wgsl, wgsl};
use pulp::Simd;

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

/// By how many bits the rounds rotate.
const BY: [[u32; 4]; 2] = [[13, 15, 26, 6], [17, 29, 16, 24]];

#[inline]
pub(crate) fn threefry(key: [u32; 2], counter: [u32; 2]) -> [u32; 2] {
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

/// [`threefry`] of the counters `[first, second]`, `[first + 1, second]` and so on.
#[inline(always)]
pub(crate) fn vectors<S: Simd>(simd: S, key: [u32; 2], [first, second]: [u32; 2]) -> [S::u32s; 2] {
    let u = |v: u32| simd.splat_u32s(v);
    let mut lanes = [u(0)];
    for (number, lane) in
        (0..).zip(pulp::bytemuck::cast_slice_mut::<S::u32s, u32>(&mut lanes).iter_mut())
    {
        *lane = number;
    }
    let k = [key[0], key[1], 0x1BD1_1BDA ^ key[0] ^ key[1]];
    let mut x =
        [simd.add_u32s(lanes[0], u(first.wrapping_add(k[0]))), u(second.wrapping_add(k[1]))];
    for i in 0..5usize {
        for by in BY[i % 2] {
            x[0] = simd.add_u32s(x[0], x[1]);
            let left = simd.wrapping_dyn_shl_u32s(x[1], u(by));
            let rotated = simd.or_u32s(left, simd.wrapping_dyn_shr_u32s(x[1], u(32 - by)));
            x[1] = simd.xor_u32s(rotated, x[0]);
        }
        x[0] = simd.add_u32s(x[0], u(k[(i + 1) % 3]));
        x[1] = simd.add_u32s(x[1], u(k[(i + 2) % 3].wrapping_add(i as u32 + 1)));
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Drawn([u32; 2], [u32; 2]);

    impl pulp::WithSimd for Drawn {
        type Output = Vec<[u32; 2]>;

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> Vec<[u32; 2]> {
            let found = vectors(simd, self.0, self.1);
            let words = pulp::bytemuck::cast_slice::<S::u32s, u32>(&found);
            let (x, y) = words.split_at(S::F32_LANES);
            x.iter().zip(y).map(|(&x, &y)| [x, y]).collect()
        }
    }

    #[test]
    fn vectors_are_of_counters_one_after_the_other() {
        for (key, first) in [([0, 0], 0), ([3, 77], 1000), ([u32::MAX, 0x1319_8a2e], u32::MAX - 3)]
        {
            for arch in [pulp::Arch::new(), pulp::Arch::Scalar] {
                for (lane, found) in arch.dispatch(Drawn(key, [first, 2])).into_iter().enumerate() {
                    let counter = [first.wrapping_add(lane as u32), 2];
                    assert_eq!(found, threefry(key, counter), "{key:?}, {first} + {lane}");
                }
            }
        }
    }

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
