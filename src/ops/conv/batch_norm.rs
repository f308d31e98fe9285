//! Features by means and variances that are known, and the gradients.

use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, wgsl};
use crate::ops::common::vector::{Map, Rows, map_part, rows};
use crate::ops::common::{ELEMENTWISE, INDEX, elementwise, last_axis};
use crate::{Result, Tensor};
use pulp::Simd;

pub(crate) static KERNEL: Kernel = Kernel {
    name: "batch_norm",
    parts: &[INDEX, ELEMENTWISE, wgsl!("conv/batch_norm.wgsl")],
    bindings: &[
        ("x", Read),
        ("other", Read),
        ("mean", Read),
        ("variance", Read),
        ("gain", Read),
        ("bias", Read),
        ("y", Write),
    ],
    variants: || [0, 1, 2].map(|kind| vec![("KIND", kind)]).to_vec(),
    ..Kernel::PLAIN
};

/// What features are normalised by, `[C]` each.
#[derive(Debug, Clone)]
pub(crate) struct BatchNorm {
    pub(crate) mean: Tensor,
    pub(crate) variance: Tensor,
    pub(crate) gain: Tensor,
    pub(crate) bias: Tensor,
    pub(crate) epsilon: f32,
}

impl BatchNorm {
    /// (x - mean) / sqrt(variance + epsilon) * gain + bias.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.run(0, x, None)
    }

    /// The gradient of x.
    pub(crate) fn backward(&self, d_y: &Tensor) -> Result<Tensor> {
        self.run(1, d_y, None)
    }

    /// What each element adds to the gradient of the gain.
    pub(crate) fn gain_terms(&self, x: &Tensor, d_y: &Tensor) -> Result<Tensor> {
        self.run(2, x, Some(d_y))
    }

    fn run(&self, kind: u32, x: &Tensor, other: Option<&Tensor>) -> Result<Tensor> {
        let Self { mean, variance, gain, bias, epsilon } = self;
        let y = Tensor::empty(x.shape(), &x.device())?;
        let c = last_axis(x);
        let parts = [mean, variance, gain, bias];
        if let Some(gpu) = x.gpu() {
            let [mean, variance, gain, bias] = parts.map(Some);
            elementwise(&KERNEL, x.len())
                .constants(&[("KIND", kind)])
                .words(&[c as u32, epsilon.to_bits()])
                .run(gpu, &[Some(x), other, mean, variance, gain, bias, Some(&y)])?;
            return Ok(y);
        }
        let [mean, variance, gain, bias] = parts.map(Tensor::cpu);
        let scale: Vec<_> = variance.iter().map(|v| 1.0 / (v + epsilon).sqrt()).collect();
        let x = x.cpu();
        y.cpu_mut(|y| match other.map(Tensor::cpu) {
            Some(d_y) => {
                rows(&Terms { x: &x, d_y: &d_y, mean: &mean, scale: &scale }, [c], [y], 4 * c);
            }
            None if kind == 0 => {
                let scale: Vec<_> = scale.iter().zip(&*gain).map(|(s, g)| s * g).collect();
                rows(&Line { x: &x, mean: &mean, scale: &scale, bias: &bias }, [c], [y], 4 * c);
            }
            None => {
                let scale: Vec<_> = scale.iter().zip(&*gain).map(|(s, g)| s * g).collect();
                let zeros = vec![0.0; c];
                rows(&Line { x: &x, mean: &zeros, scale: &scale, bias: &zeros }, [c], [y], 4 * c);
            }
        });
        Ok(y)
    }
}

/// (x - mean) scale + bias.
struct Line<'a> {
    x: &'a [f32],
    mean: &'a [f32],
    scale: &'a [f32],
    bias: &'a [f32],
}

impl Rows<1> for Line<'_> {
    #[inline(always)]
    fn row<S: Simd>(&self, simd: S, row: usize, [y]: [&mut [f32]; 1]) {
        let x = &self.x[row * y.len()..][..y.len()];
        map_part(simd, &Point, 0, [x, self.mean, self.scale, self.bias], [y]);
    }
}

struct Point;

impl Map<4, 1> for Point {
    #[inline(always)]
    fn of<S: Simd>(
        &self,
        simd: S,
        _: usize,
        [x, mean, scale, bias]: [S::f32s; 4],
        _: [S::f32s; 1],
    ) -> [S::f32s; 1] {
        [simd.mul_add_f32s(simd.sub_f32s(x, mean), scale, bias)]
    }
}

/// d_y (x - mean) scale.
struct Terms<'a> {
    x: &'a [f32],
    d_y: &'a [f32],
    mean: &'a [f32],
    scale: &'a [f32],
}

impl Rows<1> for Terms<'_> {
    #[inline(always)]
    fn row<S: Simd>(&self, simd: S, row: usize, [y]: [&mut [f32]; 1]) {
        let [x, d_y] = [self.x, self.d_y].map(|of| &of[row * y.len()..][..y.len()]);
        map_part(simd, &Term, 0, [x, d_y, self.mean, self.scale], [y]);
    }
}

struct Term;

impl Map<4, 1> for Term {
    #[inline(always)]
    fn of<S: Simd>(
        &self,
        simd: S,
        _: usize,
        [x, d_y, mean, scale]: [S::f32s; 4],
        _: [S::f32s; 1],
    ) -> [S::f32s; 1] {
        [simd.mul_f32s(d_y, simd.mul_f32s(simd.sub_f32s(x, mean), scale))]
    }
}
