//! The norm of gradients, of several together too, and its limit.
//!
//! A GPU makes two dispatches for each gradient: one leaves what each block of it adds to the norm, the
//! other adds these up and scales. Squares are of values over a power of two, so that none overflows.

use crate::device::gpu::Gpu;
use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, Wgsl, wgsl};
use crate::ops::common::vector::{Fold, Map, map, total};
use crate::ops::common::{INDEX, IS_NAN, LONG_SUM, ROW_REDUCE, ROWWISE, rowwise, switches};
use crate::{Result, Tensor};
use pulp::Simd;
use std::borrow::Cow;
use std::sync::Arc;

pub(super) const POWER: Wgsl = wgsl!("optim/parts/power.wgsl");
pub(super) const LIMIT: Wgsl = wgsl!("optim/parts/limit.wgsl");

pub(crate) static PARTS: Kernel = Kernel {
    name: "norm_parts",
    parts: &[INDEX, IS_NAN, LONG_SUM, ROW_REDUCE, POWER, ROWWISE, wgsl!("optim/norm_parts.wgsl")],
    bindings: &[("g", Read), ("parts", Write)],
    ..Kernel::PLAIN
};

pub(crate) static CLIP: Kernel = Kernel {
    name: "clip_norm",
    parts: &[
        INDEX,
        IS_NAN,
        LONG_SUM,
        ROW_REDUCE,
        POWER,
        LIMIT,
        ROWWISE,
        wgsl!("optim/clip_norm.wgsl"),
    ],
    bindings: &[("parts", Read), ("scaling", Read), ("g", Write)],
    variants: || switches(["SCALED"]),
    ..Kernel::PLAIN
};

/// The elements that a workgroup takes: so few that small gradients have several, and more where there
/// would be more parts than every workgroup can add up in passing.
const BLOCK: usize = 4096;
const MOST_PARTS: usize = 2048;

/// What one launch takes: a gradient, or a window of it.
struct Piece<'a> {
    g: Cow<'a, Tensor>,
    block: usize,
    parts: usize,
}

fn pieces<'a>(gradients: &[&'a Tensor]) -> Vec<Piece<'a>> {
    let windows = |&g: &&'a Tensor| g.windows(g.len(), 1).map(move |window| g.window(&window));
    let piece = |g: Cow<'a, Tensor>| {
        let block = g.len().div_ceil(MOST_PARTS).next_multiple_of(BLOCK);
        Piece { parts: g.len().div_ceil(block), block, g }
    };
    gradients.iter().filter(|g| !g.is_empty()).flat_map(windows).map(piece).collect()
}

/// What each block adds to the norm: `[parts,2]`, the largest size and the sum of the squares over the
/// square of [`power_of`] it.
fn parts(gpu: &Arc<Gpu>, pieces: &[Piece<'_>], like: &Tensor) -> Result<Tensor> {
    let all: usize = pieces.iter().map(|piece| piece.parts).sum();
    let parts = Tensor::empty([all, 2], &like.device())?;
    let mut base = 0;
    for piece in pieces {
        let words = [piece.g.len(), piece.block, base].map(|word| word as u32);
        rowwise(&PARTS, piece.parts).words(&words).run(gpu, &[Some(&piece.g), Some(&parts)])?;
        base += piece.parts;
    }
    Ok(parts)
}

/// The power of two near a value, as the kernels have it.
fn power_of(largest: f32) -> f32 {
    f32::from_bits((largest.to_bits() >> 23).clamp(1, 253) << 23)
}

/// The norm of all these together, read back. NaN or infinite if an element is.
pub(crate) fn norm(gradients: &[&Tensor]) -> Result<f64> {
    let Some((like, gpu)) = gradients.iter().find_map(|g| Some((g, g.gpu()?))) else {
        return Ok(norm_on_cpu(gradients));
    };
    let mut sum = 0.0;
    for part in parts(gpu, &pieces(gradients), like)?.to_vec()?.chunks_exact(2) {
        let power = f64::from(power_of(part[0]));
        sum += match part[0].is_finite() {
            true => f64::from(part[1]) * power * power,
            false => f64::from(part[0]),
        };
    }
    Ok(sum.sqrt())
}

fn norm_on_cpu(gradients: &[&Tensor]) -> f64 {
    let squares = |g: &&Tensor| g.on_threads(|| total(&Squares, &g.cpu()));
    gradients.iter().map(squares).sum::<f64>().sqrt()
}

/// The sum of squares, in double precision, where no square of a float overflows.
pub(super) struct Squares;

impl Fold for Squares {
    #[inline(always)]
    fn of<S: Simd>(&self, simd: S, x: &[f32]) -> f64 {
        let mut sums = [simd.splat_f64s(0.0); 4];
        let (blocks, rest) = x.as_chunks();
        for block in blocks {
            add_squares(simd, &mut sums, block);
        }
        let [a, b, c, d] = sums;
        let all = simd.reduce_sum_f64s(simd.add_f64s(simd.add_f64s(a, b), simd.add_f64s(c, d)));
        // Eight sums of what is left, too few for a block.
        let mut sums = [0.0; 8];
        for eight in rest.chunks(8) {
            for (sum, &x) in sums.iter_mut().zip(eight) {
                *sum += f64::from(x) * f64::from(x);
            }
        }
        all + sums.iter().sum::<f64>()
    }
}

/// Numbers that are widened at a time.
const WIDE: usize = 32;

#[inline(always)]
fn add_squares<S: Simd>(simd: S, sums: &mut [S::f64s; 4], block: &[f32; WIDE]) {
    let mut wide = [0.0f64; WIDE];
    for (wide, &x) in wide.iter_mut().zip(block) {
        *wide = f64::from(x);
    }
    for vectors in S::as_simd_f64s(&wide).0.chunks_exact(4) {
        for (sum, &v) in sums.iter_mut().zip(vectors) {
            *sum = simd.add_f64s(*sum, simd.mul_f64s(v, v));
        }
    }
}

/// g times a factor.
pub(super) struct Scaled(pub(super) f32);

impl Map<0, 1> for Scaled {
    #[inline(always)]
    fn of<S: Simd>(&self, simd: S, _: usize, _: [S::f32s; 0], [g]: [S::f32s; 1]) -> [S::f32s; 1] {
        [simd.mul_f32s(g, simd.splat_f32s(self.0))]
    }
}

/// Scales the gradients down to a norm of at most `limit`, of all together, which is that of gradients
/// without a loss scale. If the norm is no finite number they stay as they are.
pub(crate) fn clip(gradients: &[&Tensor], limit: f32, scaling: Option<&Tensor>) -> Result<()> {
    let Some((like, gpu)) = gradients.iter().find_map(|g| Some((g, g.gpu()?))) else {
        let scale = scaling.map_or(1.0, |scaling| scaling.cpu()[0]);
        let norm = norm_on_cpu(gradients);
        let share = (f64::from(limit) * f64::from(scale) / norm) as f32;
        if norm.is_finite() && share < 1.0 {
            for g in gradients {
                g.cpu_mut(|g| map(&Scaled(share), [], [g]));
            }
        }
        return Ok(());
    };
    let pieces = pieces(gradients);
    let parts = parts(gpu, &pieces, like)?;
    pieces.iter().try_for_each(|piece| {
        let [size, block, count] = [piece.g.len(), piece.block, parts.len() / 2].map(|w| w as u32);
        rowwise(&CLIP, piece.parts)
            .constants(&[("SCALED", scaling.is_some().into())])
            .words(&[size, block, count, limit.to_bits()])
            .run(gpu, &[Some(&parts), scaling, Some(&piece.g)])
    })
}
