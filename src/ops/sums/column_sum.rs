//! y += the sum of the rows of x: the gradient of a bias.

use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, Need, Wgsl, Workgroup, wgsl};
use crate::ops::common::{LONG_SUM, Launch, long_sum, switches};
use crate::ops::gemm::slices::{self, add_slices};
use crate::{Result, Tensor};

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
        y.cpu_mut(|y| {
            let mut sums: Vec<_> = y.iter().map(|&y| f64::from(y)).collect();
            long_sum::add_rows(&mut sums, &x);
            y.iter_mut().zip(&sums).for_each(|(y, &sum)| *y = sum as f32);
        });
        return Ok(());
    };
    let rows_slice = slices::terms(gpu, c.div_ceil(16), rows);
    let slices = rows.div_ceil(rows_slice);
    // More columns than a grid has room for go in several launches.
    let slab = gpu.limits.max_compute_workgroups_per_dimension as usize * 16;
    let launch = |y: &Tensor| {
        (0..c).step_by(slab).try_for_each(|first| {
            gpu.run(&Launch {
                kernel: &KERNELS[usize::from(x.is_half())],
                grid: [slab.min(c - first).div_ceil(16) as u32, slices as u32, 1],
                constants: &[("ACCUMULATE", (slices == 1).into())],
                uniform: &[rows, c, rows_slice, first].map(|word| word as u32),
                tensors: &[Some(x), Some(y)],
            })
        })
    };
    if slices == 1 {
        return launch(y);
    }
    let parts = Tensor::empty([slices, 1, c], &y.device())?;
    launch(&parts)?;
    add_slices(&parts, None, true, (y, 0, c))
}
