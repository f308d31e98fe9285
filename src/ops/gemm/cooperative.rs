//! The matrix product by cooperative matrices, 16 x 16 numbers that a subgroup holds together: the
//! matrix units of a GPU. For large products of mixed precision.

use super::kernels::{COMMON, Way, kernel};
use super::matrix::Matrix;
use crate::DType;
use crate::device::kernel::{Kernel, Need, Wgsl, wgsl};

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

/// Whether the kernels can make a product, and more than a part of a tile would be of use.
pub(crate) fn takes([m, n, k]: [usize; 3], a: Matrix<'_>, b: Matrix<'_>) -> bool {
    let large = m.min(n).min(k) >= 32;
    large && b.dtype() == DType::F16 && a.in_fours(m, k) && b.in_fours(k, n)
}
