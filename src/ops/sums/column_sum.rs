//! y += the sum of the rows of x: the gradient of a bias.

use crate::device::gpu::Gpu;
use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Constant, Kernel, Need, Wgsl, Workgroup, wgsl};
use crate::ops::common::vector::{self, Rows, load, store};
use crate::ops::common::{LONG_SUM, Launch, long_sum, switches};
use crate::ops::gemm::slices::{self, add_slices};
use crate::{Result, Tensor};
use pulp::Simd;

/// For x of 32 bits and of 16.
pub(crate) static KERNELS: [Kernel; 2] = [
    kernel("column_sum", &[F32, LONG_SUM, TEXT]),
    kernel("column_sum_f16", &[F16, LONG_SUM, TEXT]),
];

const F32: Wgsl = Wgsl::lines("alias Real = f32;");
const F16: Wgsl = Wgsl::lines("enable f16; alias Real = f16;").needing(Need::F16);
const TEXT: Wgsl = wgsl!("sums/column_sum.wgsl");

const fn kernel(name: &'static str, parts: &'static [Wgsl]) -> Kernel {
    Kernel {
        name,
        parts,
        bindings: &[("x", Read), ("y", Write)],
        variants: || switches(["ACCUMULATE"]),
        workgroup: Workgroup::Of([16, 16, 1]),
    }
}

/// `x` is read as `[rows, C]`, where C is the length of `y`.
pub(crate) fn column_sum(x: &Tensor, y: &Tensor) -> Result<()> {
    let c = y.len();
    let rows = x.len() / c;
    let Some(gpu) = x.gpu() else {
        let x = x.cpu();
        y.cpu_mut(|y| add_columns(&x, y));
        return Ok(());
    };
    on_gpu(gpu, [rows, c], [Some(y)], |[y], grid, sums, uniform| {
        gpu.run(&Launch {
            kernel: &KERNELS[usize::from(x.is_half())],
            grid,
            constants: &[sums],
            uniform,
            tensors: &[Some(x), y],
        })
    })
}

/// Sums over `rows` rows of `c` columns on a GPU, which are added to each of `y`. `launch` runs a kernel with
/// the grid of `column_sum.wgsl`, its constant and its uniform.
pub(crate) fn on_gpu<const N: usize>(
    gpu: &Gpu,
    [rows, c]: [usize; 2],
    y: [Option<&Tensor>; N],
    launch: impl Fn([Option<&Tensor>; N], [u32; 3], Constant, &[u32]) -> Result<()>,
) -> Result<()> {
    let rows_slice = slices::terms(gpu, c.div_ceil(16), rows);
    let slices = rows.div_ceil(rows_slice);
    // More columns than a grid has room for go in several launches.
    let slab = gpu.limits.max_compute_workgroups_per_dimension as usize * 16;
    let launch = |y: [Option<&Tensor>; N]| {
        (0..c).step_by(slab).try_for_each(|first| {
            let grid = [slab.min(c - first).div_ceil(16) as u32, slices as u32, 1];
            let uniform = [rows, c, rows_slice, first].map(|word| word as u32);
            launch(y, grid, ("ACCUMULATE", (slices == 1).into()), &uniform)
        })
    };
    if slices == 1 {
        return launch(y);
    }
    let mut parts = [const { None }; N];
    for (parts, y) in parts.iter_mut().zip(y) {
        *parts = y.map(|y| Tensor::empty([slices, 1, c], &y.device())).transpose()?;
    }
    launch(parts.each_ref().map(Option::as_ref))?;
    let pairs = parts.iter().zip(y).filter_map(|(parts, y)| parts.as_ref().zip(y));
    pairs.into_iter().try_for_each(|(parts, y)| add_slices(parts, None, true, (y, 0, c)))
}

/// The rows of a block, which meet in single precision: few enough to lose nothing.
const BLOCK: usize = 32;

/// Adds the columns of `x` on the CPU: those of each block of rows by itself, then those of the blocks in
/// double precision.
fn add_columns(x: &[f32], y: &mut [f32]) {
    let c = y.len();
    // Of short rows sixteen side by side are one, so that they fill vectors.
    let width = if c < 256 { 16 * c } else { c };
    let (whole, rest) = x.split_at(x.len() / width * width);
    let mut parts = vec![0.0; (whole.len() / width).div_ceil(BLOCK) * width];
    vector::rows(&Block(whole), [width], [&mut parts], BLOCK * width);
    let mut sums = vec![0.0; width];
    long_sum::add_rows(&mut sums, &parts);
    for (j, y) in y.iter_mut().enumerate() {
        let terms = sums.iter().skip(j).step_by(c);
        let last = rest.iter().skip(j).step_by(c);
        let sum = terms.sum::<f64>() + last.map(|&x| f64::from(x)).sum::<f64>();
        *y = (f64::from(*y) + sum) as f32;
    }
}

struct Block<'a>(&'a [f32]);

impl Rows<1> for Block<'_> {
    #[inline(always)]
    fn row<S: Simd>(&self, simd: S, block: usize, [part]: [&mut [f32]; 1]) {
        const EIGHT: usize = 8;
        let c = part.len();
        let rest = &self.0[block * BLOCK * c..];
        let rows = &rest[..rest.len().min(BLOCK * c)];
        let zero = simd.splat_f32s(0.0);
        part.fill(0.0);
        let mut groups = rows.chunks_exact(EIGHT * c);
        for group in &mut groups {
            let rows: [&[f32]; EIGHT] = std::array::from_fn(|i| &group[i * c..][..c]);
            for at in (0..c).step_by(S::F32_LANES) {
                let mut sum = [zero; EIGHT];
                for (sum, row) in sum.iter_mut().zip(rows) {
                    *sum = load(simd, row, at, zero);
                }
                for half in [4, 2, 1] {
                    for i in 0..half {
                        sum[i] = simd.add_f32s(sum[i], sum[i + half]);
                    }
                }
                store(simd, part, at, simd.add_f32s(load(simd, part, at, zero), sum[0]));
            }
        }
        for row in groups.remainder().chunks_exact(c) {
            for at in (0..c).step_by(S::F32_LANES) {
                let sum = simd.add_f32s(load(simd, part, at, zero), load(simd, row, at, zero));
                store(simd, part, at, sum);
            }
        }
    }
}
