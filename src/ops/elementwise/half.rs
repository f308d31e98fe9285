//! y = x in 16-bit floats, rounded to the nearest: what mixed precision multiplies.

use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, Need, Wgsl, wgsl};
use crate::ops::common::vector::{Map, map};
use crate::ops::common::{ELEMENTWISE, INDEX, elementwise};
use crate::{Result, Tensor};
use pulp::Simd;

pub(crate) static KERNEL: Kernel = Kernel {
    name: "half_f16",
    parts: &[
        Wgsl::lines("enable f16;").needing(Need::F16),
        INDEX,
        ELEMENTWISE,
        wgsl!("elementwise/half.wgsl"),
    ],
    bindings: &[("x", Read), ("y", Write)],
    ..Kernel::PLAIN
};

/// A copy of `x`: on a GPU of 16-bit floats. A CPU holds none of them; there it is of 32-bit floats
/// with the values that 16 bits can hold.
pub(crate) fn half(x: &Tensor) -> Result<Tensor> {
    let y = match x.gpu() {
        Some(gpu) => Tensor::empty_f16(x.shape(), gpu)?,
        None => Tensor::empty(x.shape(), &x.device())?,
    };
    half_into(x, &y)?;
    Ok(y)
}

/// Writes `x` as 16-bit floats into `y`, which has as many elements.
pub(crate) fn half_into(x: &Tensor, y: &Tensor) -> Result<()> {
    let n = x.len();
    if n == 0 {
        return Ok(());
    }
    let Some(gpu) = x.gpu() else {
        let x = x.cpu();
        y.cpu_mut(|y| map(&Rounded, [&x], [y]));
        return Ok(());
    };
    x.windows(n, 1).try_for_each(|window| {
        let n = window.len();
        // Two to a word.
        let tensors = [Some(&x.view(window.start, [n])), Some(&y.view(window.start / 2, [n]))];
        elementwise(&KERNEL, n.div_ceil(2)).words(&[n as u32]).run(gpu, &tensors)
    })
}

/// The nearest value that 16 bits can hold; of two as near, the one whose last bit is 0.
struct Rounded;

impl Map<1, 1> for Rounded {
    #[inline(always)]
    fn of<S: Simd>(&self, simd: S, _: usize, [x]: [S::f32s; 1], _: [S::f32s; 1]) -> [S::f32s; 1] {
        let c = |v: f32| simd.splat_f32s(v);
        let u = |v: u32| simd.splat_u32s(v);
        let size = simd.abs_f32s(x);
        let bits = simd.transmute_u32s_f32s(size);
        // 13 bits of the fraction go: half of what they count up to is added, and less one if the bit above
        // them is 0.
        let odd = simd.and_u32s(simd.wrapping_dyn_shr_u32s(bits, u(13)), u(1));
        let up = simd.add_u32s(bits, simd.add_u32s(odd, u(0xFFF)));
        let normal = simd.transmute_f32s_u32s(simd.and_u32s(up, u(!0x1FFF)));
        let large = simd.greater_than_or_equal_f32s(normal, c(65_536.0));
        let normal = simd.select_f32s(large, c(f32::INFINITY), normal);
        // What 16 bits hold below 2^-14 is multiples of 2^-24, the last place of 1/2.
        let small = simd.sub_f32s(simd.add_f32s(size, c(0.5)), c(0.5));
        let is_small = simd.less_than_f32s(size, c(1.0 / 16_384.0));
        let rounded = simd.select_f32s(is_small, small, normal);
        let sign = simd.xor_u32s(simd.transmute_u32s_f32s(x), bits);
        let y = simd.or_u32s(simd.transmute_u32s_f32s(rounded), sign);
        [simd.select_f32s(simd.equal_f32s(x, x), simd.transmute_f32s_u32s(y), x)]
    }
}

#[cfg(test)]
mod tests {
    use crate::{Device, Tensor};

    /// All that 16 bits hold, what lies halfway between two of them, and its neighbours; as the crate `half`
    /// rounds.
    #[test]
    fn every_half_and_what_lies_between() {
        let mut x = Vec::new();
        for bits in 0..=u16::MAX {
            let at = half::f16::from_bits(bits).to_f32();
            let next = half::f16::from_bits(bits.wrapping_add(1)).to_f32();
            let between = at + 0.5 * (next - at);
            x.extend([at, between, between.next_up(), between.next_down()]);
        }
        x.extend([
            65_504.0,
            65_519.99,
            65_520.0,
            -65_520.0,
            1e30,
            2.9e-8,
            3.0e-8,
            f32::MIN_POSITIVE,
        ]);
        let device = Device::cpu().unwrap();
        let y = super::half(&Tensor::from_slice(&x, [x.len()], &device).unwrap()).unwrap();
        for (x, y) in x.iter().zip(y.to_vec().unwrap()) {
            let expected = half::f16::from_f32(*x).to_f32();
            let same = y.to_bits() == expected.to_bits() || (y.is_nan() && expected.is_nan());
            assert!(same, "{x:e}: {y:e}, expected {expected:e}");
        }
    }
}
