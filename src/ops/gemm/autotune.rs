//! Which kernel makes a large product on a hardware GPU, by a clock.

use super::cooperative::{self, WAY};
use super::kernels::{TILE, WIDE, Way};
use super::matrix::Matrix;
use super::self_check::TRUSTED_COOPERATIVE;
use super::{Gemm, samples};
use crate::device::fast_path::Candidates;
use crate::device::gpu::Gpu;
use crate::device::kernel::Kernel;
use crate::device::{Backend, Device};
use crate::ops::elementwise::half::half;
use crate::{Result, Tensor};
use std::sync::Arc;

/// The sizes of a large product, by which a clock chooses.
const LARGE: [usize; 3] = [1024, 1024, 512];

/// The index of the faster of two ways to make a large product, with B of 16 bits or of 32; 0 without a
/// clock. The choice is made anew after `kernels` have changed.
fn fastest(
    gpu: &Arc<Gpu>,
    name: &'static str,
    kernels: &[&'static Kernel],
    ways: [Way; 2],
    b_half: bool,
) -> usize {
    let prepare = |gpu: &Arc<Gpu>, candidate: usize| -> Result<Box<dyn Fn() -> Result<()>>> {
        let (gpu, [m, n, k]) = (gpu.clone(), LARGE);
        let [a, b] = samples(&gpu, LARGE)?;
        let b = if b_half { half(&b)? } else { b };
        let c = Tensor::empty([m, n], &Device(Backend::Gpu(gpu.clone())))?;
        Ok(Box::new(move || {
            let gemm = Gemm { m, n, k, bias: None, accumulate: false };
            let [a, b, c] = [(&a, k), (&b, n), (&c, n)].map(|(t, columns)| Matrix::new(t, columns));
            gemm.launch(&gpu, ways[candidate], a, b, c)
        }))
    };
    let candidates = ways.len();
    gpu.autotune(&Candidates { name, kernels, default: 0, count: candidates, prepare: &prepare })
}

/// The kernel for tiles of a large product on a hardware GPU, by a clock. It is timed on 32-bit floats
/// and taken for all.
pub(crate) fn tiles(gpu: &Arc<Gpu>, m: usize, n: usize) -> Way {
    const WAYS: [Way; 2] = [(&TILE, [64, 64]), (&WIDE, [128, 128])];
    // Below, there are too few large tiles to fill a device.
    if m * n < LARGE[0] * LARGE[1] / 2 {
        return WAYS[0];
    }
    WAYS[fastest(gpu, "gemm_tiles", &[&TILE[0], &WIDE[0]], WAYS, false)]
}

/// Whether the device has cooperative matrices, they were seen right there, and they are the faster ones.
pub(super) fn cooperative_pays(gpu: &Arc<Gpu>) -> bool {
    if !gpu.is_trusted(&TRUSTED_COOPERATIVE) {
        return false;
    }
    let ways = [tiles(gpu, LARGE[0], LARGE[1]), WAY];
    fastest(gpu, "gemm_cooperative", &[&cooperative::KERNELS[0], &TILE[1], &WIDE[1]], ways, true)
        == 1
}
