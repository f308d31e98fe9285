//! Each row with the mean 0 and the variance 1, times a gain, plus a bias.

use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, Workgroup, wgsl};
use crate::ops::common::vector::{LongSum, Rows, load, rows, store};
use crate::ops::common::{
    INDEX, IS_NAN, LONG_SUM, Launch, ROW_REDUCE, ROW_SHARED, last_axis, row_shared, switches,
};
use crate::ops::sums::column_sum::{column_sum, on_gpu};
use crate::{Result, Tensor};
use pulp::Simd;

pub(crate) static FORWARD: Kernel = Kernel {
    name: "layer_norm",
    parts: &[IS_NAN, LONG_SUM, ROW_REDUCE, INDEX, ROW_SHARED, wgsl!("norm/layer_norm.wgsl")],
    bindings: &[("x", Read), ("gain", Read), ("bias", Read), ("y", Write), ("stats", Write)],
    variants: || switches(["BIAS", "SHARED"]),
    ..Kernel::PLAIN
};

pub(crate) static BACKWARD: Kernel = Kernel {
    name: "layer_norm_bwd",
    parts: &[IS_NAN, LONG_SUM, ROW_REDUCE, INDEX, ROW_SHARED, wgsl!("norm/layer_norm_bwd.wgsl")],
    bindings: &[("x", Read), ("gain", Read), ("stats", Read), ("d_y", Read), ("d_x", Write)],
    variants: || switches(["SHARED"]),
    ..Kernel::PLAIN
};

pub(crate) static GAIN: Kernel = Kernel {
    name: "layer_norm_gain",
    parts: &[LONG_SUM, wgsl!("norm/layer_norm_gain.wgsl")],
    bindings: &[("x", Read), ("stats", Read), ("d_y", Read), ("d_gain", Write), ("d_bias", Write)],
    variants: || switches(["ACCUMULATE", "BIAS"]),
    workgroup: Workgroup::Of([16, 16, 1]),
};

/// `x` `[..,C]` normalised, and for each row what the backward pass needs.
pub(crate) fn layer_norm(
    x: &Tensor,
    gain: &Tensor,
    bias: Option<&Tensor>,
    epsilon: f32,
) -> Result<(Tensor, Tensor)> {
    let c = last_axis(x);
    let n = x.len() / c;
    let y = Tensor::empty(x.shape(), &x.device())?;
    let stats = Tensor::empty([n, 2], &x.device())?;
    if let Some(gpu) = x.gpu() {
        row_shared(&FORWARD, n, c)
            .constants(&[("BIAS", bias.is_some().into())])
            .words(&[epsilon.to_bits()])
            .run(gpu, &[Some(x), Some(gain), bias, Some(&y), Some(&stats)])?;
        return Ok((y, stats));
    }
    let (x, gain, bias) = (x.cpu(), gain.cpu(), bias.map(Tensor::cpu));
    let norm = Norm { x: &x, gain: &gain, bias: bias.as_deref(), epsilon };
    y.cpu_mut(|y| stats.cpu_mut(|stats| rows(&norm, [2, c], [stats, y], 2 * c)));
    Ok((y, stats))
}

/// The gradient of `x`. Those of the gain and the bias, sums over the rows, are added to `d_gain` and
/// `d_bias`.
pub(crate) fn backward(
    x: &Tensor,
    gain: &Tensor,
    stats: &Tensor,
    d_y: &Tensor,
    d_gain: &Tensor,
    d_bias: Option<&Tensor>,
) -> Result<Tensor> {
    let c = last_axis(x);
    let n = x.len() / c;
    let d_x = Tensor::empty(x.shape(), &x.device())?;
    if let Some(gpu) = x.gpu() {
        row_shared(&BACKWARD, n, c)
            .run(gpu, &[Some(x), Some(gain), Some(stats), Some(d_y), Some(&d_x)])?;
        on_gpu(gpu, [n, c], [Some(d_gain), d_bias], |[d_gain, d_bias], grid, sums, uniform| {
            gpu.run(&Launch {
                kernel: &GAIN,
                grid,
                constants: &[sums, ("BIAS", d_bias.is_some().into())],
                uniform,
                tensors: &[Some(x), Some(stats), Some(d_y), d_gain, d_bias],
            })
        })?;
        return Ok(d_x);
    }
    let parts = || Tensor::empty([n.div_ceil(BLOCK), c], &x.device());
    let (gains, biases) = (parts()?, parts()?);
    let slope = Slope { x: &x.cpu(), gain: &gain.cpu(), stats: &stats.cpu(), d_y: &d_y.cpu() };
    d_x.cpu_mut(|d_x| {
        gains.cpu_mut(|gains| {
            biases.cpu_mut(|biases| {
                rows(&slope, [c, c, BLOCK * c], [gains, biases, d_x], 3 * BLOCK * c);
            });
        });
    });
    column_sum(&gains, d_gain)?;
    if let Some(d_bias) = d_bias {
        column_sum(&biases, d_bias)?;
    }
    Ok(d_x)
}

struct Norm<'a> {
    x: &'a [f32],
    gain: &'a [f32],
    bias: Option<&'a [f32]>,
    epsilon: f32,
}

impl Rows<2> for Norm<'_> {
    #[inline(always)]
    fn row<S: Simd>(&self, simd: S, row: usize, [stats, y]: [&mut [f32]; 2]) {
        let c = y.len();
        let x = &self.x[row * c..][..c];
        let zero = simd.splat_f32s(0.0);
        let mut values = LongSum::new(simd);
        for at in (0..c).step_by(S::F32_LANES) {
            values.add(simd, load(simd, x, at, zero));
        }
        let mean = (values.total(simd) / c as f64) as f32;
        let means = simd.splat_f32s(mean);
        let mut squares = LongSum::new(simd);
        for at in (0..c).step_by(S::F32_LANES) {
            let d = simd.sub_f32s(load(simd, x, at, means), means);
            squares.add(simd, simd.mul_f32s(d, d));
        }
        let variance = (squares.total(simd) / c as f64) as f32;
        let root = 1.0 / (variance + self.epsilon).sqrt();
        stats.copy_from_slice(&[mean, root]);
        let roots = simd.splat_f32s(root);
        for at in (0..c).step_by(S::F32_LANES) {
            let z = simd.mul_f32s(simd.sub_f32s(load(simd, x, at, zero), means), roots);
            let scaled = simd.mul_f32s(load(simd, self.gain, at, zero), z);
            let value = match self.bias {
                Some(bias) => simd.add_f32s(scaled, load(simd, bias, at, zero)),
                None => scaled,
            };
            store(simd, y, at, value);
        }
    }
}

/// The rows whose gradients of the gain and the bias meet in single precision, where they are few enough to
/// lose nothing.
const BLOCK: usize = 32;

struct Slope<'a> {
    x: &'a [f32],
    gain: &'a [f32],
    stats: &'a [f32],
    d_y: &'a [f32],
}

impl Rows<3> for Slope<'_> {
    /// A block of rows, of which the gradients of the gain and the bias are sums.
    #[inline(always)]
    fn row<S: Simd>(&self, simd: S, block: usize, [gains, biases, d_x]: [&mut [f32]; 3]) {
        let c = gains.len();
        gains.fill(0.0);
        biases.fill(0.0);
        let zero = simd.splat_f32s(0.0);
        for (i, d_x) in d_x.chunks_exact_mut(c).enumerate() {
            let row = block * BLOCK + i;
            let [x, d_y] = [self.x, self.d_y].map(|x| &x[row * c..][..c]);
            let mean = simd.splat_f32s(self.stats[2 * row]);
            let root = simd.splat_f32s(self.stats[2 * row + 1]);
            let (mut gradients, mut products) = (LongSum::new(simd), LongSum::new(simd));
            for at in (0..c).step_by(S::F32_LANES) {
                let g = simd.mul_f32s(load(simd, d_y, at, zero), load(simd, self.gain, at, zero));
                let z = simd.mul_f32s(simd.sub_f32s(load(simd, x, at, mean), mean), root);
                gradients.add(simd, g);
                products.add(simd, simd.mul_f32s(g, z));
            }
            let sum = simd.splat_f32s((gradients.total(simd) / c as f64) as f32);
            let dot = simd.splat_f32s((products.total(simd) / c as f64) as f32);
            for at in (0..c).step_by(S::F32_LANES) {
                let d = load(simd, d_y, at, zero);
                let g = simd.mul_f32s(d, load(simd, self.gain, at, zero));
                let z = simd.mul_f32s(simd.sub_f32s(load(simd, x, at, mean), mean), root);
                let rest = simd.sub_f32s(simd.sub_f32s(g, sum), simd.mul_f32s(z, dot));
                store(simd, d_x, at, simd.mul_f32s(root, rest));
                let gain = simd.add_f32s(load(simd, gains, at, zero), simd.mul_f32s(d, z));
                store(simd, gains, at, gain);
                store(simd, biases, at, simd.add_f32s(load(simd, biases, at, zero), d));
            }
        }
    }
}
