//! A layer-normalised layer on a GPU: a dispatch for all timesteps, whose workgroups take four rows each, or one
//! on software adapters; or for each timestep a product with R of all rows, and a dispatch for what is left.
//!
//! No way shares R among workgroups that wait for each other, as `Strategy::Persistent` does. A step would
//! have to exchange three times: the squares of R h, the cells, and h; or twice, if each workgroup computes h
//! from all cells. On the one card measured, an NVIDIA H200, an exchange takes some 1.3 µs, so a step would
//! take 3 to 4 where `lstm_sequence` takes 13 for 128 units and 23 for 256. It would pay there, for two more
//! kernels and a trial of their own.

use super::{Call, Columns};
use crate::device::gpu::Gpu;
use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Access, Constants, Kernel, Wgsl, Workgroup, folded, wgsl};
use crate::device::profile::Cost;
use crate::ops::common::{ACTIVATIONS, INDEX, IS_NAN, Launch};
use crate::ops::gemm::{Gemm, Matrix};
use crate::ops::lstm::gpu::task::threads;
use crate::ops::lstm::gpu::transpose_gates::transpose_gates;
use crate::{Result, Tensor};
use std::ops::Range;

const COMMON: Wgsl = wgsl!("lstm/parts/norm.wgsl");
const FOUR_ROWS: Wgsl = Wgsl::lines("alias Rows = vec4<f32>;");
const ONE_ROW: Wgsl = Wgsl::lines("alias Rows = f32;");

/// All timesteps, for up to [`WIDEST`] units.
pub(crate) static FORWARD: Kernel = kernel(
    "norm_lstm",
    &[IS_NAN, ACTIVATIONS, INDEX, FOUR_ROWS, COMMON, wgsl!("lstm/norm_lstm.wgsl")],
    &[
        ("gates", Write),
        ("r", Read),
        ("norms", Read),
        ("rows", Read),
        ("before", Write),
        ("y", Write),
        ("state", Write),
        ("z", Write),
    ],
    || [8, 16, 32, 64, 128, WIDEST].map(|wg| Way::Sequence(wg).constants()).to_vec(),
);

/// All timesteps, for up to [`WIDEST`] units.
pub(crate) static BACKWARD: Kernel = kernel(
    "norm_lstm_bwd",
    &[IS_NAN, ACTIVATIONS, INDEX, FOUR_ROWS, COMMON, wgsl!("lstm/norm_lstm_bwd.wgsl")],
    &[
        ("gates", Write),
        ("rt", Read),
        ("norms", Read),
        ("rows", Read),
        ("before", Read),
        ("d_y", Read),
        ("sums", Write),
        ("z", Write),
    ],
    || [8, 16, 32, 64, 128, WIDEST].map(|wg| Way::Sequence(wg).constants()).to_vec(),
);

/// Row by row.
pub(crate) static ROW: Kernel = kernel(
    "norm_lstm_row",
    &[IS_NAN, ACTIVATIONS, INDEX, ONE_ROW, COMMON, wgsl!("lstm/norm_lstm_row.wgsl")],
    &[
        ("gates", Write),
        ("z", Write),
        ("norms", Read),
        ("rows", Read),
        ("before", Write),
        ("y", Write),
        ("state", Write),
        ("r", Read),
    ],
    row_variants,
);

/// Row by row.
pub(crate) static ROW_BACK: Kernel = kernel(
    "norm_lstm_row_bwd",
    &[IS_NAN, ACTIVATIONS, INDEX, ONE_ROW, COMMON, wgsl!("lstm/norm_lstm_row_bwd.wgsl")],
    &[
        ("gates", Write),
        ("z", Write),
        ("norms", Read),
        ("rows", Read),
        ("before", Read),
        ("d_y", Read),
        ("sums", Write),
        ("rt", Read),
    ],
    row_variants,
);

fn row_variants() -> Vec<Constants> {
    [Way::Row, Way::Stepwise(LANES), Way::Stepwise(WIDEST)].map(Way::constants).to_vec()
}

const fn kernel(
    name: &'static str,
    parts: &'static [Wgsl],
    bindings: &'static [(&'static str, Access)],
    variants: fn() -> Vec<Constants>,
) -> Kernel {
    Kernel { name, parts, bindings, variants, workgroup: Workgroup::Constant("WG") }
}

/// Invocations of the widest workgroups: WebGPU's limit, and four vectors of each are its shared memory.
const WIDEST: u32 = 256;

/// Invocations of a workgroup on a software adapter: a subgroup, which waits for no other.
const LANES: u32 = 8;

/// The most timesteps of a dispatch: a driver may kill what takes seconds.
const STEPS: usize = 1024;

/// The most values of R that a thread of a software adapter multiplies at each step row by row: more take longer
/// than a product of all rows, and the two dispatches of a step.
const FEW: usize = 1 << 14;

/// How a device goes through the timesteps.
#[derive(Clone, Copy)]
enum Way {
    /// All of them in a dispatch, four rows a workgroup, of so many invocations.
    Sequence(u32),
    /// The same, a row a workgroup.
    Row,
    /// A product of all rows and a dispatch each, by workgroups of so many invocations.
    Stepwise(u32),
}

/// What runs so many rows and units, in words.
pub(crate) fn path(gpu: &Gpu, b: usize, h: usize) -> &'static str {
    match Way::of(gpu, b, h) {
        Way::Sequence(_) => {
            "normalised Sequence: all timesteps in one dispatch, 4 rows a workgroup"
        }
        Way::Row => "normalised Sequence: all timesteps in one dispatch, 1 row a workgroup",
        Way::Stepwise(_) => "normalised Stepwise: a product and a dispatch for each timestep",
    }
}

impl Way {
    /// For so many rows and units. All of R for a workgroup's rows at each step takes too long where an
    /// invocation has more than a unit.
    fn of(gpu: &Gpu, b: usize, h: usize) -> Self {
        if gpu.info.software {
            let few = b.div_ceil(threads(gpu)) * h * h <= FEW;
            return if few { Self::Row } else { Self::Stepwise(LANES) };
        }
        if h > WIDEST as usize {
            return Self::Stepwise(WIDEST);
        }
        Self::Sequence((h as u32).next_power_of_two().max(LANES))
    }

    fn constants(self) -> Constants {
        let of = |workgroup| [("WG", workgroup), ("WORK", 4 * workgroup)];
        let (shape, product) = match self {
            Self::Sequence(workgroup) => return of(workgroup).to_vec(),
            Self::Row => (of(LANES), 1),
            Self::Stepwise(workgroup) => (of(workgroup), 0),
        };
        [&shape[..], &[("PRODUCT", product)]].concat()
    }

    /// Rows of a workgroup.
    fn rows(self) -> usize {
        if matches!(self, Self::Sequence(_)) { 4 } else { 1 }
    }
}

impl Call {
    /// A kernel over the rows of some timesteps.
    fn launch(
        &self,
        gpu: &Gpu,
        (kernel, way): (&'static Kernel, Way),
        steps: Range<usize>,
        (y, save): (Option<Columns<'_>>, bool),
        tensors: &[Option<&Tensor>],
    ) -> Result<()> {
        let [b, t, h] = self.sizes();
        let groups = b.div_ceil(way.rows());
        let [stride, first] = y.map_or([0; 2], |y| [y.stride(), y.first]);
        let [b, t, h, stride, first, begin, end] =
            [b, t, h, stride, first, steps.start, steps.end].map(|w| w as u32);
        let [given, reverse, ragged, save] =
            [y.is_some(), self.reverse, self.lengths.is_some(), save].map(u32::from);
        let launch = Launch {
            kernel,
            grid: folded(groups),
            constants: &way.constants(),
            uniform: &[
                b,
                t,
                h,
                stride,
                first,
                given,
                reverse,
                ragged,
                save,
                begin,
                end,
                self.epsilon.to_bits(),
            ],
            tensors,
        };
        // Of a single step the product counts, which is another launch.
        let products = if steps.len() > 1 { (b as usize * steps.len()) as f64 } else { 0.0 };
        let flop = 8.0 * products * (self.weight_hh.len() / 4) as f64;
        gpu.run_costing(&launch, Cost { flop, bytes: 0.0 })
    }
}

/// Pieces of a dispatch's size, the first first.
fn pieces(timesteps: usize) -> impl DoubleEndedIterator<Item = Range<usize>> {
    (0..timesteps.div_ceil(STEPS)).map(move |n| n * STEPS..timesteps.min((n + 1) * STEPS))
}

/// Runs all steps; `before` is there if a backward pass will follow.
pub(super) fn forward(
    gpu: &Gpu,
    call: &Call,
    state: &Tensor,
    y: Option<Columns<'_>>,
    z: &Tensor,
    before: Option<&Tensor>,
) -> Result<()> {
    let [b, t, h] = call.sizes();
    let (gates, norms, r) = (Some(&call.gates), Some(&call.norms), &call.weight_hh);
    let rows = call.lengths.as_ref().map(|lengths| &lengths.table);
    let (columns, told) = (y.map(|y| y.tensor), (y, before.is_some()));
    let state_of = Some(state);
    match Way::of(gpu, b, h) {
        way @ Way::Sequence(_) => {
            let tensors = [gates, Some(r), norms, rows, before, columns, state_of, Some(z)];
            pieces(t).try_for_each(|steps| call.launch(gpu, (&FORWARD, way), steps, told, &tensors))
        }
        way @ Way::Row => {
            let tensors = [gates, Some(z), norms, rows, before, columns, state_of, Some(r)];
            pieces(t).try_for_each(|steps| call.launch(gpu, (&ROW, way), steps, told, &tensors))
        }
        way @ Way::Stepwise(_) => (0..t).try_for_each(|step| {
            let kept = if before.is_some() { step * b * 4 * h } else { 0 };
            Gemm { m: b, n: 4 * h, k: h, bias: None, accumulate: false }.run(
                Matrix::new(state, 2 * h),
                Matrix::new(r, 4 * h),
                Matrix::new(z, 4 * h).skip(kept),
            )?;
            let tensors = [gates, Some(z), norms, rows, before, columns, state_of, None];
            call.launch(gpu, (&ROW, way), step..step + 1, told, &tensors)
        }),
    }
}

/// Differentiates all steps.
pub(super) fn backward(
    gpu: &Gpu,
    call: &Call,
    d_y: Option<Columns<'_>>,
    [z, before, sums]: [&Tensor; 3],
) -> Result<()> {
    let [b, t, h] = call.sizes();
    let (gates, norms, r) = (Some(&call.gates), Some(&call.norms), &call.weight_hh);
    let rows = call.lengths.as_ref().map(|lengths| &lengths.table);
    let (columns, told) = (d_y.map(|d_y| d_y.tensor), (d_y, true));
    let (kept, found) = (Some(before), Some(sums));
    match Way::of(gpu, b, h) {
        way @ Way::Sequence(_) => {
            let rt = transpose_gates(r)?;
            let tensors = [gates, Some(&rt), norms, rows, kept, columns, found, Some(z)];
            let of = (&BACKWARD, way);
            pieces(t).rev().try_for_each(|steps| call.launch(gpu, of, steps, told, &tensors))
        }
        way @ Way::Row => {
            let rt = transpose_gates(r)?;
            let tensors = [gates, Some(z), norms, rows, kept, columns, found, Some(&rt)];
            let of = (&ROW_BACK, way);
            pieces(t).rev().try_for_each(|steps| call.launch(gpu, of, steps, told, &tensors))
        }
        way @ Way::Stepwise(_) => (0..t).rev().try_for_each(|step| {
            let tensors = [gates, Some(z), norms, rows, kept, columns, found, None];
            call.launch(gpu, (&ROW_BACK, way), step..step + 1, told, &tensors)?;
            // A row past its end has zeros in z, so that its d_h stays.
            Gemm { m: b, n: h, k: 4 * h, bias: None, accumulate: true }.run(
                Matrix::new(z, 4 * h).skip(step * b * 4 * h),
                Matrix::new(r, 4 * h).t(),
                Matrix::new(sums, 8 * h),
            )
        }),
    }
}
