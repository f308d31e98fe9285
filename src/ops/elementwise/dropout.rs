//! y = x where the dice say so, scaled to keep the mean, 0 elsewhere. The backward pass is
//! the same on the gradient, with the same key.

use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, wgsl};
use crate::ops::common::threefry::Key;
use crate::ops::common::vector::{Map, Rows, map, map_part, rows};
use crate::ops::common::{ELEMENTWISE, INDEX, elementwise, threefry};
use crate::{Result, Tensor};
use pulp::Simd;

pub(crate) static KERNEL: Kernel = Kernel {
    name: "dropout",
    parts: &[INDEX, threefry::WGSL, ELEMENTWISE, wgsl!("elementwise/dropout.wgsl")],
    bindings: &[("x", Read), ("y", Write)],
    ..Kernel::PLAIN
};

/// `x` is read as `[B,T,C]`. With `same_steps` a row's timesteps share their mask
/// (Gal & Ghahramani 2016).
pub(crate) fn dropout(x: &Tensor, rate: f32, key: Key, same_steps: bool) -> Result<Tensor> {
    let c = x.shape().last().copied().unwrap_or(1);
    let block = match (same_steps, x.shape()) {
        (true, &[_, timesteps, _]) => timesteps * c,
        _ => c,
    };
    let y = Tensor::empty(x.shape(), &x.device())?;
    match x.gpu() {
        Some(gpu) => elementwise(&KERNEL, y.len())
            .words(&[c as u32, block as u32, rate.to_bits(), key.0[0], key.0[1]])
            .run(gpu, &[Some(x), Some(&y)])?,
        None => {
            let x = x.cpu();
            // Numbers of 24 bits below this are drawn with the probability `rate`.
            let least = (rate * 16_777_216.0).ceil() as u32;
            let drop = Drop { key, least, kept: 1.0 - rate };
            y.cpu_mut(|y| match block == c {
                true => map(&drop, [&x], [y]),
                false => rows(&SameSteps { drop, x: &x, steps: block / c }, [c], [y], 2 * c),
            });
        }
    }
    Ok(y)
}

/// Drops elements by their number.
struct Drop {
    key: Key,
    least: u32,
    kept: f32,
}

impl Map<1, 1> for Drop {
    #[inline(always)]
    fn of<S: Simd>(&self, simd: S, at: usize, [x]: [S::f32s; 1], _: [S::f32s; 1]) -> [S::f32s; 1] {
        let [drawn, _] = threefry::vectors(simd, self.key.0, [at as u32, 2]);
        let drawn = simd.wrapping_dyn_shr_u32s(drawn, simd.splat_u32s(8));
        let out = simd.less_than_u32s(drawn, simd.splat_u32s(self.least));
        let kept = simd.div_f32s(x, simd.splat_f32s(self.kept));
        [simd.select_f32s(out, simd.splat_f32s(0.0), kept)]
    }
}

/// Drops the same elements of each `steps` frames.
struct SameSteps<'a> {
    drop: Drop,
    x: &'a [f32],
    steps: usize,
}

impl Rows<1> for SameSteps<'_> {
    #[inline(always)]
    fn row<S: Simd>(&self, simd: S, frame: usize, [y]: [&mut [f32]; 1]) {
        let c = y.len();
        let x = &self.x[frame * c..][..c];
        map_part(simd, &self.drop, frame / self.steps * c, [x], [y]);
    }
}
