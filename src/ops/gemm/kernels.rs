//! The kernels of products on shader cores: for hardware GPUs, and for software adapters.

use super::matrix::Matrix;
use crate::DType;
use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Access, Kernel, Need, Wgsl, Workgroup, wgsl};
use crate::ops::common::switches;

const BINDINGS: &[(&str, Access)] = &[("a", Read), ("b", Read), ("bias", Read), ("c", Write)];

pub(crate) const COMMON: Wgsl = wgsl!("gemm/parts/gemm.wgsl");
const ELEMENTS: Wgsl = wgsl!("gemm/parts/elements.wgsl");
const HANDED: Wgsl = wgsl!("gemm/software/gemm_subgroup.wgsl").needing(Need::Subgroups(8));
const STAGED: Wgsl = wgsl!("gemm/parts/tile.wgsl");

pub(crate) const fn kernel(
    name: &'static str,
    workgroup: [u32; 3],
    parts: &'static [Wgsl],
) -> Kernel {
    let variants = || switches(["TRANS_A", "TRANS_B", "BIAS", "ACCUMULATE"]);
    Kernel { name, parts, bindings: BINDINGS, variants, workgroup: Workgroup::Of(workgroup) }
}

/// How A, B and C may lie in memory. Sums are f32 always, and so is the bias.
pub(super) const TYPES: [[DType; 3]; 5] = {
    use DType::{F16, F32};
    [[F32, F32, F32], [F32, F16, F32], [F32, F16, F16], [F16, F16, F32], [F16, F16, F16]]
};

const F32: Wgsl = Wgsl::lines("alias ElemA = f32; alias ElemB = f32; alias ElemC = f32;");
const B: Wgsl = Wgsl::lines("enable f16; alias ElemA = f32; alias ElemB = f16; alias ElemC = f32;")
    .needing(Need::F16);
const BC: Wgsl =
    Wgsl::lines("enable f16; alias ElemA = f32; alias ElemB = f16; alias ElemC = f16;")
        .needing(Need::F16);
const AB: Wgsl =
    Wgsl::lines("enable f16; alias ElemA = f16; alias ElemB = f16; alias ElemC = f32;")
        .needing(Need::F16);
const ABC: Wgsl =
    Wgsl::lines("enable f16; alias ElemA = f16; alias ElemB = f16; alias ElemC = f16;")
        .needing(Need::F16);

/// The kernels of these parts, in the order of `TYPES`; a name tells which matrices are of f16.
macro_rules! kernels {
    ($name:literal, $workgroup:expr, $($part:expr),+) => {
        [
            kernel($name, $workgroup, &[F32, COMMON, ELEMENTS, $($part),+]),
            kernel(concat!($name, "_b16"), $workgroup, &[B, COMMON, ELEMENTS, $($part),+]),
            kernel(concat!($name, "_bc16"), $workgroup, &[BC, COMMON, ELEMENTS, $($part),+]),
            kernel(concat!($name, "_ab16"), $workgroup, &[AB, COMMON, ELEMENTS, $($part),+]),
            kernel(concat!($name, "_abc16"), $workgroup, &[ABC, COMMON, ELEMENTS, $($part),+]),
        ]
    };
}

/// For hardware GPUs.
pub(crate) static TILE: [Kernel; 5] =
    kernels!("gemm_tile", [16, 16, 1], STAGED, wgsl!("gemm/gemm_tile.wgsl"));

/// For large products there, if it is the faster of the two.
pub(crate) static WIDE: [Kernel; 5] =
    kernels!("gemm_tile_wide", [16, 16, 1], STAGED, wgsl!("gemm/gemm_tile_wide.wgsl"));

const VEC: Wgsl =
    Wgsl::lines("alias ElemA = vec4<f32>; alias ElemB = vec4<f32>; alias ElemC = f32;");
const VEC_B: Wgsl =
    Wgsl::lines("enable f16; alias ElemA = vec4<f32>; alias ElemB = vec4<f16>; alias ElemC = f32;")
        .needing(Need::F16);
const VEC_BC: Wgsl =
    Wgsl::lines("enable f16; alias ElemA = vec4<f32>; alias ElemB = vec4<f16>; alias ElemC = f16;")
        .needing(Need::F16);
const VEC_AB: Wgsl =
    Wgsl::lines("enable f16; alias ElemA = vec4<f16>; alias ElemB = vec4<f16>; alias ElemC = f32;")
        .needing(Need::F16);
const VEC_ABC: Wgsl =
    Wgsl::lines("enable f16; alias ElemA = vec4<f16>; alias ElemB = vec4<f16>; alias ElemC = f16;")
        .needing(Need::F16);

/// As `kernels`, of workgroups of `$side` x `$side`.
macro_rules! fours {
    ($name:literal, $side:literal) => {{
        const SIDE: Wgsl = Wgsl::lines(concat!("const SIDE = ", $side, "u;"));
        const FILE: Wgsl = wgsl!("gemm/gemm_fours.wgsl");
        [
            kernel($name, [$side, $side, 1], &[VEC, COMMON, SIDE, FILE]),
            kernel(concat!($name, "_b16"), [$side, $side, 1], &[VEC_B, COMMON, SIDE, FILE]),
            kernel(concat!($name, "_bc16"), [$side, $side, 1], &[VEC_BC, COMMON, SIDE, FILE]),
            kernel(concat!($name, "_ab16"), [$side, $side, 1], &[VEC_AB, COMMON, SIDE, FILE]),
            kernel(concat!($name, "_abc16"), [$side, $side, 1], &[VEC_ABC, COMMON, SIDE, FILE]),
        ]
    }};
}

/// For hardware GPUs, where [`takes_fours`] says so: tiles of 64, of 128.
pub(crate) static FOURS: [Kernel; 5] = fours!("gemm_fours", 8);
pub(crate) static FOURS_WIDE: [Kernel; 5] = fours!("gemm_fours_wide", 16);

/// Whether A and B can be read in fours of elements that are of the product alone.
pub(super) fn takes_fours(
    [m, n, k]: [usize; 3],
    k_slice: usize,
    a: Matrix<'_>,
    b: Matrix<'_>,
) -> bool {
    let along = |matrix: Matrix<'_>, rows, columns| if matrix.transposed { rows } else { columns };
    let whole =
        [along(a, m, k), along(b, k, n), k_slice].iter().all(|size: &usize| size.is_multiple_of(4));
    whole && a.in_fours(m, k) && b.in_fours(k, n)
}

/// For products of a few rows there.
pub(crate) static ROWS: [Kernel; 5] =
    kernels!("gemm_rows", [32, 8, 1], wgsl!("gemm/gemm_rows.wgsl"));

/// For software adapters.
pub(crate) static REGISTER: [Kernel; 5] =
    kernels!("gemm_register", [8, 1, 1], wgsl!("gemm/software/gemm_register.wgsl"));

/// For software adapters with subgroups of 8.
pub(crate) static SUBGROUP: [Kernel; 5] = kernels!("gemm_subgroup", [8, 1, 1], HANDED);

/// The kernels of a file, for all of `TYPES` or the last ones, and the rows and columns of C that a
/// workgroup of theirs makes.
pub(crate) type Way = (&'static [Kernel], [usize; 2]);
