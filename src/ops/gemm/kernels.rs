//! The kernels of products on shader cores: for hardware GPUs, and for software adapters.

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
