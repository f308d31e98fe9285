//! The matrix product by cooperative matrices, 16 x 16 numbers that a subgroup holds together: the
//! matrix units of a GPU. For large products of mixed precision.

use super::gemm::{COMMON, Gemm, LARGE, Matrix, TILE, WIDE, Way, fastest, kernel, samples, tiles};
use super::half::half;
use crate::device::fast_path::{Comparison, FastPath};
use crate::device::gpu::Gpu;
use crate::device::kernel::{Kernel, Need, Wgsl, wgsl};
use crate::device::{Backend, Device};
use crate::{DType, Result, Tensor};
use std::sync::Arc;

pub(crate) const FILE: Wgsl = wgsl!("gemm/gemm_cooperative.wgsl");
const ENABLE: Wgsl = Wgsl::lines("enable wgpu_cooperative_matrix;");
const MATRICES: Wgsl = wgsl!("gemm/parts/cooperative.wgsl").needing(Need::Matrices);

/// How A, B and C may lie in memory: B has 16 bits always, which is what mixed precision has.
pub(crate) const B: Wgsl = Wgsl::lines(
    "enable f16;
    alias ElemA = vec4<f32>; alias ElemB = vec4<f16>; alias ElemC = f32;",
)
.needing(Need::F16);
pub(crate) const BC: Wgsl = Wgsl::lines(
    "enable f16;
    alias ElemA = vec4<f32>; alias ElemB = vec4<f16>; alias ElemC = f16;",
)
.needing(Need::F16);
pub(crate) const AB: Wgsl = Wgsl::lines(
    "enable f16;
    alias ElemA = vec4<f16>; alias ElemB = vec4<f16>; alias ElemC = f32;",
)
.needing(Need::F16);
pub(crate) const ABC: Wgsl = Wgsl::lines(
    "enable f16;
    alias ElemA = vec4<f16>; alias ElemB = vec4<f16>; alias ElemC = f16;",
)
.needing(Need::F16);

pub(crate) const LANES: [u32; 3] = [128, 1, 1];

pub(crate) static KERNELS: [Kernel; 4] = [
    kernel("gemm_cooperative_b16", LANES, &[ENABLE, B, COMMON, FILE, MATRICES]),
    kernel("gemm_cooperative_bc16", LANES, &[ENABLE, BC, COMMON, FILE, MATRICES]),
    kernel("gemm_cooperative_ab16", LANES, &[ENABLE, AB, COMMON, FILE, MATRICES]),
    kernel("gemm_cooperative_abc16", LANES, &[ENABLE, ABC, COMMON, FILE, MATRICES]),
];

pub(crate) const WAY: Way = (&KERNELS, [64, 64]);

pub(crate) static TRUSTED: FastPath = FastPath {
    name: "gemm_cooperative",
    kernels: &[&KERNELS[0], &KERNELS[1], &KERNELS[2], &KERNELS[3], &TILE[1]],
    check: compare,
};

/// Whether the kernels can make a product, and more than a part of a tile would be of use.
pub(crate) fn takes([m, n, k]: [usize; 3], a: Matrix<'_>, b: Matrix<'_>) -> bool {
    let large = m.min(n).min(k) >= 32;
    large && b.dtype() == DType::F16 && a.in_fours(m, k) && b.in_fours(k, n)
}

/// Whether the device has them, they were seen right there, and they are the faster ones by a clock.
pub(super) fn pays(gpu: &Arc<Gpu>) -> bool {
    if !gpu.is_trusted(&TRUSTED) {
        return false;
    }
    let ways = [tiles(gpu, LARGE[0], LARGE[1]), WAY];
    fastest(gpu, "gemm_cooperative", &[&KERNELS[0], &TILE[1], &WIDE[1]], ways, true) == 1
}

/// Small products, not of whole tiles, with A of 32 and of 16 bits, as it is and transposed.
fn compare(gpu: &Arc<Gpu>) -> Result<Comparison> {
    let device = Device(Backend::Gpu(gpu.clone()));
    let [m, n, k] = [100, 84, 76];
    let [a, b] = samples(gpu, [m, n, k])?;
    let [a16, b16] = [half(&a)?, half(&b)?];
    // What 16 bits can hold, so that sums differ by their order alone.
    let a32 = Tensor::from_slice(&a16.to_vec()?, [m, k], &device)?;
    let products = |kernels: &'static [Kernel]| {
        let product = |a: &Tensor, transposed: bool| {
            // Whatever is left unwritten differs from everything.
            let c = Tensor::from_slice(&vec![f32::NAN; m * n], [m, n], &device)?;
            let (a, b) = match transposed {
                false => (Matrix::new(a, k), Matrix::new(&b16, n)),
                true => (Matrix::new(a, m).t(), Matrix::new(&b16, k).t()),
            };
            let gemm = Gemm { m, n, k, bias: None, accumulate: false };
            gemm.launch(gpu, (kernels, [64, 64]), a, b, Matrix::new(&c, n))?;
            c.to_vec()
        };
        Ok([product(&a32, false)?, product(&a16, true)?].concat())
    };
    Ok(Comparison { fast: products(&KERNELS)?, plain: products(&TILE)?, bound: 1e-4 })
}
