//! Which kernel makes a large product on a hardware GPU, by a clock.

use super::kernels::{FOURS, FOURS_WIDE, TILE, WIDE, Way};
use super::matrix::Matrix;
use super::self_check::cooperative_ways;
use super::{Gemm, samples};
use crate::device::fast_path::Candidates;
use crate::device::gpu::Gpu;
use crate::device::kernel::Kernel;
use crate::device::{Backend, Device};
use crate::ops::elementwise::half::half;
use crate::{Result, Tensor};
use std::sync::Arc;

/// The sizes of a large product, by which a clock chooses: enough of the largest tiles for two on each of some
/// 130 cores; on a software adapter, as tests have it, fewer.
fn large(gpu: &Gpu) -> [usize; 3] {
    if gpu.info.software { [1024, 1024, 512] } else { [2048, 2048, 512] }
}

/// Rows times columns of C of which there are too few large tiles to fill a device.
const FEW: usize = 1 << 19;

/// Terms of all sums of a product, for fewer of which no clock is asked: a card multiplies them in less time than a
/// launch takes, and a small model would wait longer for the trial than it ever gains.
const LITTLE: usize = 1 << 22;

/// The index of the fastest of some ways to make a product of these sizes, with B of 16 bits or of 32; 0 without a
/// clock. The choice is made anew after `kernels` have changed.
fn fastest(
    gpu: &Arc<Gpu>,
    name: &'static str,
    kernels: &[&'static Kernel],
    ways: &[Way],
    sizes: [usize; 3],
    b_half: bool,
) -> usize {
    let prepare = |gpu: &Arc<Gpu>, candidate: usize| -> Result<Box<dyn Fn() -> Result<()>>> {
        let (gpu, [m, n, k], way) = (gpu.clone(), sizes, ways[candidate]);
        let [a, b] = samples(&gpu, sizes)?;
        let b = if b_half { half(&b)? } else { b };
        let c = Tensor::empty([m, n], &Device(Backend::Gpu(gpu.clone())))?;
        Ok(Box::new(move || {
            let gemm = Gemm { m, n, k, bias: None, accumulate: false };
            let [a, b, c] = [(&a, k), (&b, n), (&c, n)].map(|(t, columns)| Matrix::new(t, columns));
            gemm.launch(&gpu, way, a, b, c)
        }))
    };
    let candidates = ways.len();
    gpu.autotune(&Candidates { name, kernels, default: 0, count: candidates, prepare: &prepare })
}

/// The kernel for the tiles of a product on a hardware GPU, by a clock; `fours` says whether its matrices can be
/// read so. It is timed on 32-bit floats and taken for all.
pub(crate) fn tiles(gpu: &Arc<Gpu>, [m, n, k]: [usize; 3], fours: bool) -> Way {
    const WAYS: [Way; 2] = [(&TILE, [64, 64]), (&WIDE, [128, 128])];
    const IN_FOURS: [Way; 3] = [(&TILE, [64, 64]), (&FOURS, [64, 64]), (&FOURS_WIDE, [128, 128])];
    let kernels = [&TILE[0], &FOURS[0], &FOURS_WIDE[0]];
    if (m * n).saturating_mul(k) < LITTLE {
        return WAYS[0];
    }
    match (fours, m * n < FEW) {
        (false, true) => WAYS[0],
        (false, false) => {
            WAYS[fastest(gpu, "gemm_tiles", &[&TILE[0], &WIDE[0]], &WAYS, large(gpu), false)]
        }
        (true, true) => {
            let (ways, sizes) = (&IN_FOURS[..2], [512, 512, 512]);
            IN_FOURS[fastest(gpu, "gemm_few_fours", &kernels[..2], ways, sizes, false)]
        }
        (true, false) => {
            IN_FOURS[fastest(gpu, "gemm_fours", &kernels, &IN_FOURS, large(gpu), false)]
        }
    }
}

/// The kernel for a product of 16 bits by cooperative matrices, if there are any that were seen right here and are
/// faster than plain tiles.
pub(super) fn cooperative(gpu: &Arc<Gpu>, [m, n, k]: [usize; 3]) -> Option<Way> {
    if !gpu.has_cooperative() || (m * n).saturating_mul(k) < LITTLE {
        return None;
    }
    let found = cooperative_ways(gpu);
    if found.is_empty() {
        return None;
    }
    let (name, sizes) = if m * n < FEW {
        ("gemm_cooperative_few", [512, 512, 512])
    } else {
        ("gemm_cooperative", large(gpu))
    };
    let ways = [vec![tiles(gpu, sizes, true)], found].concat();
    let kernels: Vec<_> = ways.iter().map(|(kernels, _)| &kernels[1]).collect();
    let fastest = fastest(gpu, name, &kernels, &ways, sizes, true);
    (fastest > 0).then(|| ways[fastest])
}
