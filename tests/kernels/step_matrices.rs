//! A timestep by cooperative matrices: all of its text but the few lines that name such matrices, which software
//! adapters lack; and the whole of it where the adapter has them.

use super::gemm_cooperative::{PLAIN, of_fours, shared_bytes};
use super::lstm::{Case, Options};
use super::{forced, gpu, inner, lacks, lacks_f16};
use crate::device::kernel::{Kernel, Wgsl, Workgroup};
use crate::device::overrides::Forced;
use crate::ops::gemm::cooperative::shape;
use crate::ops::lstm::gpu::kernels::{
    BACKWARD_BINDINGS, FORWARD_BINDINGS, all_switches, kernel, matrix_parts,
};
use crate::ops::lstm::gpu::schedule::matrices::{self, TILES, of_shape};
use crate::ops::lstm::gpu::task::{Phase, Task};
use crate::ops::lstm::select::self_check;
use crate::{Device, GpuOptions, Strategy};

const ENABLE: Wgsl = Wgsl::lines("enable f16;");

/// The kernels of a shape, with so many invocations for a subgroup.
macro_rules! emulated {
    ($name:literal, ($($forward:tt)*), ($($backward:tt)*), $invocations:literal, $lanes:literal) => {{
        const LANES: Wgsl = Wgsl::lines(concat!(
            "const LANES = ",
            $lanes,
            "u; fn known() -> u32 { return dims.h; }\n",
            of_fours!(),
        ));
        of_shape!(
            $name,
            shape!($($forward)*, $invocations),
            shape!($($backward)*, $invocations),
            $invocations,
            ENABLE,
            LANES,
            PLAIN
        )
    }};
}

pub(super) static ROWS_16: [Kernel; 2] =
    emulated!("steps_16", (16, 1 x 1, 16 x 64, 64), (16, 1 x 1, 16 x 16, 128 / 4), 128, 32);
static ROWS_32: [Kernel; 2] =
    emulated!("steps_32", (16, 2 x 1, 32 x 64, 64), (16, 2 x 1, 32 x 16, 128 / 4), 128, 32);
static ROWS_64: [Kernel; 2] =
    emulated!("steps_64", (16, 2 x 2, 64 x 64, 32), (16, 2 x 2, 64 x 32, 64 / 2), 128, 32);
/// Of fewer subgroups than a workgroup can use, which share out less of K, or take blocks one after the other.
static ROWS_32_TWO: [Kernel; 2] =
    emulated!("steps_32_two", (16, 2 x 1, 32 x 64, 64), (16, 2 x 1, 32 x 16, 128 / 4), 128, 64);
/// Of more.
static ROWS_16_MORE: [Kernel; 2] =
    emulated!("steps_16_more", (16, 1 x 1, 16 x 64, 64), (16, 1 x 1, 16 x 16, 128 / 4), 256, 32);

fn checked(
    device: &Device,
    number: usize,
    kernels: &'static [Kernel; 2],
    case: &Case,
    saves: &[bool],
) {
    let matrices = Some((kernels, TILES[number].tiles));
    forced(device, Forced { matrices, ..Forced::NONE });
    case.check_passes(saves, kernels[0].name, device, Strategy::Stepwise, &case.answer());
}

/// Rows and units of part of a tile, of one and of several; of every option that changes what a step reads.
#[test]
fn steps_by_matrices_but_the_matrices_themselves() {
    let some = Options { state: true, ..Options::SEQUENCES };
    let device = gpu(GpuOptions::default().poison());
    if lacks_f16(&device) {
        return;
    }
    let case = |seed, sizes, options| {
        let mut case = Case::new(seed, sizes, options).with_half();
        case.layer.reverse = seed % 2 == 0;
        case
    };
    let ragged = case(4, [35, 2, 3, 67], Options { lengths: true, d_state: true, ..some });
    // Each form of a kernel takes a software adapter seconds to compile.
    for case in [
        case(1, [1, 1, 1, 1], Options::NONE),
        case(2, [3, 4, 2, 33], Options::ALL),
        case(3, [17, 3, 5, 16], some),
    ] {
        checked(&device, 0, &ROWS_16, &case, &[true, false]);
    }
    let large = case(6, [66, 2, 3, 70], Options { d_state: true, ..some });
    checked(&device, 0, &ROWS_16_MORE, &large, &[true]);
    checked(&device, 2, &ROWS_32, &ragged, &[true]);
    checked(&device, 2, &ROWS_32_TWO, &large, &[true]);
    checked(&device, 4, &ROWS_64, &large, &[true]);
    checked(&gpu(GpuOptions::default().poison().checked()), 0, &ROWS_16, &ragged, &[true]);
}

/// Where there are such matrices, whatever adapter is the best one here.
#[test]
fn steps_by_matrices_where_there_are_any() {
    let device = Device::gpu(GpuOptions::default().poison().no_cache());
    let Some(device) = device.ok().filter(|device| inner(device).has_cooperative()) else {
        lacks("cooperative", false);
        return;
    };
    let gpu = inner(&device);
    let all = TILES.iter().zip(&self_check::MATRICES);
    let mut right = 0;
    for (tiles, path) in all.filter(|(tiles, _)| tiles.fits(gpu)) {
        right += usize::from(gpu.is_trusted(path));
        let matrices = Some((tiles.kernels, tiles.tiles));
        forced(&device, Forced { matrices, ..Forced::NONE });
        for (sizes, options) in
            [([5, 6, 3, 67], Options::ALL), ([130, 3, 5, 300], Options::SEQUENCES)]
        {
            let case = Case::new(3, sizes, options).with_half();
            let name = tiles.kernels[0].name;
            case.check_passes(&[true], name, &device, Strategy::Stepwise, &case.answer());
        }
    }
    assert!(right > 0, "{device}");
}

/// The bytes of shared memory that tiles claim are those of the text that takes more.
#[test]
fn tiles_say_what_memory_they_take() {
    for tiles in &TILES {
        let most = tiles.kernels.iter().map(shared_bytes).max();
        assert_eq!(most, Some(tiles.shared), "{tiles:?}");
    }
}

/// Large tiles where there are rows for them and workgroups enough, small ones else; none for what the kernels do not
/// compute.
#[test]
fn tiles_are_as_large_as_fills_a_device() {
    let task = |batch, hidden_size, phase| {
        let (variant, ragged, half, save, fused, lanes) = (false, false, true, true, false, 1);
        Task { phase, variant, ragged, half, save, fused, lanes, batch, timesteps: 9, hidden_size }
    };
    let of_32 = || TILES.iter().filter(|tiles| tiles.lanes == 32).copied();
    for (batch, hidden_size, forward, backward) in [
        (1, 128, 16, 16),
        (16, 1024, 16, 16),
        (64, 1024, 32, 32),
        (256, 1024, 64, 64),
        (64, 256, 16, 16),
    ] {
        for (phase, rows) in [(Phase::Forward, forward), (Phase::Backward, backward)] {
            let best = matrices::best(of_32(), task(batch, hidden_size, phase)).unwrap();
            assert_eq!(best.tiles[0][0], rows, "{batch} x {hidden_size} {phase:?}");
        }
    }
    let whole = task(64, 1024, Phase::Forward);
    assert!(matrices::takes(whole));
    assert!(!matrices::takes(Task { half: false, ..whole }));
    assert!(!matrices::takes(Task { variant: true, ..whole }));
    assert!(!matrices::takes(Task { hidden_size: 64, ..whole }));
}
