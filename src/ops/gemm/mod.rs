//! C = op(A) op(B) (+ bias) (+ C): every matrix product outside the recurrence.

pub(crate) mod autotune;
pub(crate) mod cooperative;
pub(crate) mod cpu;
pub(crate) mod kernels;
mod launch;
mod matrix;
pub(crate) mod self_check;
pub(crate) mod slices;

use crate::device::gpu::Gpu;
use crate::device::{Backend, Device};
use crate::{Error, Result, Tensor};
pub(crate) use kernels::{FOURS, FOURS_WIDE, REGISTER, ROWS, SUBGROUP, TILE, WIDE, Way};
pub(crate) use launch::Begun;
pub(crate) use matrix::Matrix;
use std::sync::Arc;

/// Whether products of 16-bit floats were seen right on this device. The first call on a device
/// and driver tries them.
pub(crate) fn has_half(gpu: &Arc<Gpu>) -> bool {
    gpu.is_trusted(&self_check::TRUSTED_F16)
}

/// Two small matrices, `[m,k]` and `[k,n]`, of numbers without a pattern that lanes or rows share.
fn samples(gpu: &Arc<Gpu>, [m, n, k]: [usize; 3]) -> Result<[Tensor; 2]> {
    let device = Device(Backend::Gpu(gpu.clone()));
    let matrix = |rows: usize, columns: usize| {
        let values: Vec<_> = (0..(rows * columns) as u32)
            .map(|i| (i.wrapping_mul(2_654_435_769) >> 8) as f32 / 8e6 - 1.0)
            .collect();
        Tensor::from_slice(&values, [rows, columns], &device)
    };
    Ok([matrix(m, k)?, matrix(k, n)?])
}

/// The workgroups of a product, as far as slices go by them: those of the smaller tiles, whichever a
/// clock has chosen, since slices decide the bits.
pub(crate) fn workgroups(m: usize, n: usize) -> usize {
    let [tile_m, tile_n] = if m <= 8 { [8, 32] } else { [64, 64] };
    m.div_ceil(tile_m) * n.div_ceil(tile_n)
}

/// Sizes and extras of a product.
#[derive(Clone, Copy)]
pub(crate) struct Gemm<'a> {
    pub(crate) m: usize,
    pub(crate) n: usize,
    pub(crate) k: usize,
    /// Added to each row.
    pub(crate) bias: Option<&'a Tensor>,
    /// Adds to what C holds.
    pub(crate) accumulate: bool,
}

/// Adds `x`ᵀ `d` to the gradient of a layer's weights, of `m` rows: `x` has its inputs, `d` the gradients of its units.
/// See [`Matrix::of_units`].
pub(crate) fn add_slopes(
    x: Matrix<'_>,
    d: Matrix<'_>,
    m: usize,
    [inputs, units]: [usize; 2],
    d_weight: &Tensor,
    by_unit: bool,
) -> Result<()> {
    let product = |m_, n| Gemm { m: m_, n, k: m, bias: None, accumulate: true };
    match by_unit {
        true => product(units, inputs).run(d.t(), x, Matrix::new(d_weight, inputs)),
        false => product(inputs, units).run(x.t(), d, Matrix::new(d_weight, units)),
    }
}

impl<'g> Gemm<'g> {
    /// `c` = `a` `b`, or each `c` of a batch. The matrices lie inside their tensors.
    pub(crate) fn run(self, a: Matrix<'_>, b: Matrix<'_>, c: Matrix<'g>) -> Result<()> {
        self.begin(a, b, c)?.add_up()
    }

    /// The same, up to where products run side by side: [`Begun::add_up`] ends it.
    pub(crate) fn begin(self, a: Matrix<'_>, b: Matrix<'_>, c: Matrix<'g>) -> Result<Begun<'g>> {
        let Self { m, n, k, .. } = self;
        let fits = [(a, m, k), (b, k, n), (c, m, n)]
            .iter()
            .all(|(matrix, rows, columns)| matrix.extent(*rows, *columns) <= matrix.tensor.len());
        let counts = [a.count, b.count];
        if !fits
            || counts != [c.count; 2]
            || self.bias.is_some_and(|bias| bias.len() < n)
            || c.transposed
        {
            let message = format!("gemm: a {m} x {n} x {k} product reaches past a tensor");
            return Err(Error::Gpu { message });
        }
        let Some(gpu) = c.tensor.gpu() else {
            (0..c.count).try_for_each(|i| self.twin(a.part(i, 1), b.part(i, 1), c.part(i, 1)))?;
            return Ok(Begun(None));
        };
        let software = gpu.info.software && gpu.forced().slices.is_none();
        let gaps = c.count > 1 && c.apart != m * c.stride;
        let whole = software || c.tensor.is_half() || gaps;
        let k_slice = if whole { k } else { slices::terms(gpu, c.count * workgroups(m, n), k) };
        let fours = kernels::takes_fours([m, n, k], k_slice, a, b);
        let way: Way = match software {
            false if m <= 8 => (&ROWS, [8, 32]),
            false => {
                let matrices = cooperative::takes([m, n, k], a, b)
                    .then(|| autotune::cooperative(gpu, [m, n, k]))
                    .flatten();
                matrices.unwrap_or_else(|| autotune::tiles(gpu, [m, n, k], fours))
            }
            // Below, most of its rows would be made for nothing.
            true if m > 8 && gpu.is_trusted(&self_check::TRUSTED_SUBGROUP) => (&SUBGROUP, [32, 64]),
            true => (&REGISTER, [8, 64]),
        };
        self.begin_sliced(gpu, way, k_slice, a, b, c)
    }
}
