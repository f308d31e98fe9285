//! The matrix product by cooperative matrices, 16 x 16 or 8 x 8 numbers that a subgroup holds together: the
//! matrix units of a GPU. For large products of mixed precision.

use super::kernels::{COMMON, Way, kernel};
use super::matrix::Matrix;
use crate::DType;
use crate::device::gpu::Gpu;
use crate::device::kernel::{Kernel, Need, Wgsl, wgsl};

pub(crate) const FILE: Wgsl = wgsl!("gemm/gemm_cooperative.wgsl");
/// What all kernels of cooperative matrices share, whatever they make of the sums.
pub(crate) const TILES: Wgsl = wgsl!("gemm/parts/matrices.wgsl");
pub(crate) const ENABLE: Wgsl = Wgsl::lines("enable wgpu_cooperative_matrix;");
pub(crate) const MATRICES: Wgsl = wgsl!("gemm/parts/cooperative.wgsl");

/// How A, B and C may lie in memory: as they do in mixed precision, where weights have 16 bits and a product of the
/// gradients none that has. What is staged has 16 bits always.
pub(crate) const PLAIN: Wgsl = Wgsl::lines(
    "enable f16;
    alias ElemA = vec4<f32>; alias ElemB = vec4<f32>; alias ElemC = f32;",
)
.needing(Need::F16);
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

/// The lines that name a shape: rows and columns of a matrix; of a block, in matrices; of a tile; steps of K in a
/// turn; subgroups that share out K, if more than one; invocations.
macro_rules! shape {
    ($mat:literal, $bm:literal x $bn:literal, $m:literal x $n:literal, $steps:literal, $invocations:literal) => {
        $crate::ops::gemm::cooperative::shape!($mat, $bm x $bn, $m x $n, $steps / 1, $invocations)
    };
    ($mat:literal, $bm:literal x $bn:literal, $m:literal x $n:literal, $steps:literal / $shares:literal, $invocations:literal) => {
        $crate::device::kernel::Wgsl::lines(concat!(
            "const MAT = ",
            $mat,
            "u; const BM = ",
            $bm,
            "u; const BN = ",
            $bn,
            "u;\n",
            "const TILE_M = ",
            $m,
            "u; const TILE_N = ",
            $n,
            "u; const STEPS = ",
            $steps,
            "u;\n",
            "const SHARES = ",
            $shares,
            "u; const INVOCATIONS = ",
            $invocations,
            "u;",
        ))
    };
}
pub(crate) use shape;

pub(crate) const FOURS: Wgsl = wgsl!("gemm/parts/staged_fours.wgsl");
pub(crate) const SCALARS: Wgsl = wgsl!("gemm/parts/staged_scalars.wgsl");

pub(crate) const SIXTEEN: Wgsl = Wgsl::lines(
    "alias Left = coop_mat16x16<f16, A>; alias Right = coop_mat16x16<f16, B>;
    alias Sums = coop_mat16x16<f32, C>;",
)
.needing(Need::Matrices(16));
/// Metal's.
const EIGHT: Wgsl = Wgsl::lines(
    "alias Left = coop_mat8x8<f16, A>; alias Right = coop_mat8x8<f16, B>;
    alias Sums = coop_mat8x8<f32, C>;",
)
.needing(Need::Matrices(8));

/// The kernels of a shape, in the order of `TYPES`; of matrices of this size, which are staged so.
macro_rules! kernels {
    ($name:literal, $matrix:ident, $staged:ident, ($($shape:tt)*), $invocations:literal) => {{
        const SHAPE: Wgsl = shape!($($shape)*, $invocations);
        const LANES: [u32; 3] = [$invocations, 1, 1];
        [
            of_types!($name, LANES, PLAIN, SHAPE, $matrix, $staged),
            of_types!(concat!($name, "_b16"), LANES, B, SHAPE, $matrix, $staged),
            of_types!(concat!($name, "_bc16"), LANES, BC, SHAPE, $matrix, $staged),
            of_types!(concat!($name, "_ab16"), LANES, AB, SHAPE, $matrix, $staged),
            of_types!(concat!($name, "_abc16"), LANES, ABC, SHAPE, $matrix, $staged),
        ]
    }};
}
macro_rules! of_types {
    ($name:expr, $lanes:ident, $types:ident, $shape:ident, $matrix:ident, $staged:ident) => {
        kernel(
            $name,
            $lanes,
            &[ENABLE, $types, COMMON, $shape, $matrix, TILES, FILE, $staged, MATRICES],
        )
    };
}

/// Blocks of 32 x 32, which leave room for many workgroups, and for few tiles to fill a device.
pub(crate) static SMALL: [Kernel; 5] =
    kernels!("gemm_cooperative", SIXTEEN, FOURS, (16, 2 x 2, 64 x 64, 32), 128);
/// The same for subgroups of 64 lanes, of which 256 invocations have four.
pub(crate) static SMALL_64: [Kernel; 5] =
    kernels!("gemm_cooperative_wave64", SIXTEEN, FOURS, (16, 2 x 2, 64 x 64, 32), 256);
/// Half of the loads from memory for each product; a subgroup loads six matrices for eight products.
pub(crate) static MIDDLE: [Kernel; 5] =
    kernels!("gemm_cooperative_128", SIXTEEN, FOURS, (16, 4 x 2, 128 x 128, 32), 256);
/// A subgroup loads eight for sixteen products, which take half of the registers that an invocation can name; with
/// 128 invocations for subgroups of 32 lanes, with 256 for those of 64.
pub(crate) static WIDE: [Kernel; 5] =
    kernels!("gemm_cooperative_128_few", SIXTEEN, FOURS, (16, 4 x 4, 128 x 128, 32), 128);
pub(crate) static WIDE_64: [Kernel; 5] =
    kernels!("gemm_cooperative_128_wave64", SIXTEEN, FOURS, (16, 4 x 4, 128 x 128, 32), 256);
/// A quarter less from memory than that.
pub(crate) static WIDEST: [Kernel; 5] =
    kernels!("gemm_cooperative_256", SIXTEEN, FOURS, (16, 4 x 4, 128 x 256, 16), 256);
/// As `SMALL`, of matrices of 8 x 8.
pub(crate) static EIGHTS: [Kernel; 5] =
    kernels!("gemm_cooperative_8", EIGHT, SCALARS, (8, 4 x 4, 64 x 64, 32), 128);

/// A shape of the kernels, and where it makes sense.
pub(crate) struct Shape {
    pub(crate) way: Way,
    /// Lanes of a subgroup with which a workgroup has a subgroup for each block.
    pub(crate) lanes: u32,
    /// Bytes of shared memory: two turns of both factors in 16 bits, and a matrix of sums for each block.
    pub(crate) shared: usize,
}

pub(crate) const SHAPES: [Shape; 7] = [
    Shape { way: (&SMALL, [64, 64]), lanes: 32, shared: 24_576 },
    Shape { way: (&SMALL_64, [64, 64]), lanes: 64, shared: 24_576 },
    Shape { way: (&MIDDLE, [128, 128]), lanes: 32, shared: 49_152 },
    Shape { way: (&WIDE, [128, 128]), lanes: 32, shared: 45_056 },
    Shape { way: (&WIDE_64, [128, 128]), lanes: 64, shared: 45_056 },
    Shape { way: (&WIDEST, [128, 256]), lanes: 32, shared: 45_056 },
    Shape { way: (&EIGHTS, [64, 64]), lanes: 32, shared: 21_504 },
];

impl Shape {
    /// Whether it is worth a trial on a device.
    pub(crate) fn fits(&self, gpu: &Gpu) -> bool {
        let room = gpu.limits.max_compute_workgroup_storage_size as usize;
        let lanes = gpu.subgroup_size.is_none_or(|lanes| lanes == self.lanes);
        lanes && self.shared <= room && self.way.0[0].runs_on(gpu)
    }
}

/// Whether the kernels can make a product, and more than a part of a tile would be of use.
pub(crate) fn takes([m, n, k]: [usize; 3], a: Matrix<'_>, b: Matrix<'_>) -> bool {
    let large = m.min(n).min(k) >= 32;
    let half = b.dtype() == DType::F16 || (a.rounded && b.rounded);
    large && half && a.in_fours(m, k) && b.in_fours(k, n)
}
