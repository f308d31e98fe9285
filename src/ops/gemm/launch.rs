//! Launches of a product on a GPU: of each slice of its sums, of as many tiles as a grid has room for.

use super::Gemm;
use super::kernels::{TYPES, Way};
use super::matrix::Matrix;
use super::slices::add_slices;
use crate::device::gpu::Gpu;
use crate::device::profile::Cost;
use crate::device::{Backend, Device};
use crate::ops::common::Launch;
use crate::{DType, Error, Result, Tensor};
use std::ops::Range;
use std::sync::Arc;

/// From 0 up to `all`, in pieces of `size`.
fn slabs(all: usize, size: usize) -> impl Iterator<Item = Range<usize>> {
    (0..all).step_by(size).map(move |first| first..all.min(first + size))
}

/// A product that is done but for its slices, if it has any, which are yet to be added up.
///
/// Of several products that do not need each other all are begun before the first is added up. On a GPU they then
/// run side by side: a dispatch waits for all before it as soon as it reads what one of them wrote.
#[must_use]
pub(crate) struct Begun<'c>(pub(super) Option<Slices<'c>>);

pub(super) struct Slices<'c> {
    parts: Tensor,
    bias: Option<&'c Tensor>,
    accumulate: bool,
    c: Matrix<'c>,
}

impl Begun<'_> {
    /// Ends the product.
    pub(crate) fn add_up(self) -> Result<()> {
        let Some(Slices { parts, bias, accumulate, c }) = self.0 else { return Ok(()) };
        add_slices(&parts, bias, accumulate, (c.tensor, c.offset, c.stride))
    }
}

impl<'g> Gemm<'g> {
    /// By kernels for hardware GPUs, with so many terms of each sum in a workgroup. The matrices of a batch lie in
    /// `c` as the rows of one would.
    #[cfg(test)]
    pub(crate) fn sliced(
        self,
        gpu: &Arc<Gpu>,
        way: Way,
        k_slice: usize,
        a: Matrix<'_>,
        b: Matrix<'_>,
        c: Matrix<'_>,
    ) -> Result<()> {
        self.begin_sliced(gpu, way, k_slice, a, b, c)?.add_up()
    }

    /// The same, but for the sum of the slices.
    pub(super) fn begin_sliced(
        self,
        gpu: &Arc<Gpu>,
        way: Way,
        k_slice: usize,
        a: Matrix<'_>,
        b: Matrix<'_>,
        c: Matrix<'g>,
    ) -> Result<Begun<'g>> {
        let Self { m, n, k, bias, accumulate } = self;
        if k_slice >= k {
            self.launch(gpu, way, a, b, c)?;
            return Ok(Begun(None));
        }
        let device = Device(Backend::Gpu(gpu.clone()));
        let parts = Tensor::empty([k.div_ceil(k_slice), c.count * m, n], &device)?;
        let of_parts = Self { bias: None, accumulate: false, ..self };
        of_parts.launch_slices(
            gpu,
            way,
            k_slice,
            a,
            b,
            Matrix::new(&parts, n).batch(c.count, m * n),
        )?;
        Ok(Begun(Some(Slices { parts, bias, accumulate, c })))
    }

    /// By the kernel of this file, whose workgroups make tiles of this size.
    pub(crate) fn launch(
        self,
        gpu: &Arc<Gpu>,
        way: Way,
        a: Matrix<'_>,
        b: Matrix<'_>,
        c: Matrix<'_>,
    ) -> Result<()> {
        self.launch_slices(gpu, way, self.k, a, b, c)
    }

    /// Launches a product whose C has a matrix, or a batch of them, for each slice of K.
    fn launch_slices(
        self,
        gpu: &Arc<Gpu>,
        (kernels, [tile_m, tile_n]): Way,
        k_slice: usize,
        a: Matrix<'_>,
        b: Matrix<'_>,
        c: Matrix<'_>,
    ) -> Result<()> {
        let Self { m, n, k, .. } = self;
        let (slices, all) = (k.div_ceil(k_slice), c.count);
        let types = [a, b, c].map(|matrix| matrix.tensor.dtype());
        let mut of_types = TYPES.iter().rev().zip(kernels.iter().rev());
        let Some((_, kernel)) = of_types.find(|(found, _)| **found == types) else {
            let message = format!("gemm: no kernel for A, B, C of {types:?}; there are {TYPES:?}");
            return Err(Error::Gpu { message });
        };
        let bytes = types.map(|t| if t == DType::F16 { 2.0 } else { 4.0 });
        // More rows or columns than a grid has room for go in several launches. An even number of tiles,
        // of 32 columns and more: a binding of the bias begins at a multiple of 256 bytes.
        let groups = gpu.limits.max_compute_workgroups_per_dimension as usize & !1;
        let slabs = slabs(c.count, (groups / slices).max(1)).flat_map(|batch| {
            let rows = slabs(m, groups * tile_m).map(move |rows| (batch.clone(), rows));
            rows.flat_map(|(batch, rows)| {
                let columns = slabs(n, groups * tile_n);
                columns.map(move |columns| (batch.clone(), rows.clone(), columns))
            })
        });
        for (batch, rows, columns) in slabs {
            let [a, b, c] = [a, b, c].map(|matrix| matrix.part(batch.start, batch.len()));
            let (a, b) = (a.skip_rows(rows.start), b.skip_columns(columns.start));
            let c = c.skip_rows(rows.start).skip_columns(columns.start);
            let rest = self.bias.filter(|_| columns.start > 0);
            let rest = rest.map(|bias| bias.view(columns.start, [columns.len()]));
            let bias = rest.as_ref().or(self.bias);
            let (rows, columns) = (rows.len(), columns.len());
            let words = [
                rows,
                columns,
                k,
                a.stride,
                b.stride,
                c.stride,
                a.offset,
                b.offset,
                c.offset,
                k_slice,
                all * m * n,
                slices,
                a.apart,
                b.apart,
                c.apart,
            ];
            let count = batch.len();
            let written = rows * columns * slices * if self.accumulate { 2 } else { 1 };
            let passes = [rows * k, k * columns, written];
            let moved =
                passes.iter().zip(bytes).map(|(&n, bytes)| (count * n) as f64 * bytes).sum();
            let cost = Cost { flop: 2.0 * (count * rows * columns * k) as f64, bytes: moved };
            let launch = Launch {
                kernel,
                grid: [columns.div_ceil(tile_n), rows.div_ceil(tile_m), slices * count]
                    .map(|groups| groups as u32),
                constants: &[
                    ("TRANS_A", a.transposed.into()),
                    ("TRANS_B", b.transposed.into()),
                    ("BIAS", self.bias.is_some().into()),
                    ("ACCUMULATE", self.accumulate.into()),
                ],
                uniform: &words.map(|word| word as u32),
                tensors: &[Some(a.tensor), Some(b.tensor), bias, Some(c.tensor)],
            };
            gpu.run_costing(&launch, cost)?;
        }
        Ok(())
    }
}
