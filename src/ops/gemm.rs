//! C = op(A) op(B) (+ bias) (+ C): every matrix product outside the recurrence.

use super::gemm_slices::{self, add_slices};
use super::{gemm_cooperative, half, switches};
use crate::device::fast_path::{Candidates, Comparison, FastPath};
use crate::device::gpu::Gpu;
use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, Need, Wgsl, Workgroup, wgsl};
use crate::device::profile::Cost;
use crate::device::threads;
use crate::device::{Backend, Device};
use crate::ops::Launch;
use crate::tensor::room_for;
use crate::{DType, Error, Result, Tensor};
use gemm_common::Parallelism;
use std::ops::Range;
use std::sync::Arc;

const BINDINGS: &[(&str, crate::device::kernel::Access)] =
    &[("a", Read), ("b", Read), ("bias", Read), ("c", Write)];

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
const TYPES: [[DType; 3]; 5] = {
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

static TRUSTED_SUBGROUP: FastPath =
    FastPath { name: "gemm_subgroup", kernels: &[&SUBGROUP[0], &REGISTER[0]], check: compare };

/// Products of 16-bit floats. Who makes such tensors asks [`half::trusted`] before.
pub(super) static TRUSTED_F16: FastPath = FastPath {
    name: "gemm_f16",
    kernels: &[&half::KERNEL, &TILE[4], &REGISTER[4]],
    check: compare_f16,
};

/// Two small matrices, `[m,k]` and `[k,n]`, of numbers without a pattern that lanes or rows share.
pub(super) fn samples(gpu: &Arc<Gpu>, [m, n, k]: [usize; 3]) -> Result<[Tensor; 2]> {
    let device = Device(Backend::Gpu(gpu.clone()));
    let matrix = |rows: usize, columns: usize| {
        let values: Vec<_> = (0..(rows * columns) as u32)
            .map(|i| (i.wrapping_mul(2_654_435_769) >> 8) as f32 / 8e6 - 1.0)
            .collect();
        Tensor::from_slice(&values, [rows, columns], &device)
    };
    Ok([matrix(m, k)?, matrix(k, n)?])
}

/// The same small product with subgroups and without.
fn compare(gpu: &Arc<Gpu>) -> Result<Comparison> {
    let device = Device(Backend::Gpu(gpu.clone()));
    let [m, n, k] = [37, 75, 29];
    let [a, b] = samples(gpu, [m, n, k])?;
    let product = |way: Way| {
        let c = Tensor::empty([m, n], &device)?;
        let gemm = Gemm { m, n, k, bias: None, accumulate: false };
        let [a, b] = [Matrix::new(&a, k), Matrix::new(&b, n)];
        gemm.launch(gpu, way, a, b, Matrix::new(&c, n))?;
        c.to_vec()
    };
    let (fast, plain) = (product((&SUBGROUP, [32, 64]))?, product((&REGISTER, [8, 64]))?);
    Ok(Comparison { fast, plain, bound: 1e-5 })
}

/// The same small product of 16-bit and of 32-bit floats.
fn compare_f16(gpu: &Arc<Gpu>) -> Result<Comparison> {
    let device = Device(Backend::Gpu(gpu.clone()));
    let [m, n, k] = [37, 75, 29];
    let [a, b] = samples(gpu, [m, n, k])?;
    let product = |a: &Tensor, b: &Tensor, c: Tensor| {
        let gemm = Gemm { m, n, k, bias: None, accumulate: false };
        gemm.run(Matrix::new(a, k), Matrix::new(b, n), Matrix::new(&c, n))?;
        c.to_vec()
    };
    let plain = product(&a, &b, Tensor::empty([m, n], &device)?)?;
    let [a, b] = [half::half(&a)?, half::half(&b)?];
    let fast = product(&a, &b, Tensor::empty_f16([m, n], gpu)?)?;
    // Operands and result are each within half a unit of the last place of 11 bits, 5e-4; the
    // operands' errors are of both signs.
    Ok(Comparison { fast, plain, bound: 2e-3 })
}

/// The sizes of a large product, by which a clock chooses.
pub(super) const LARGE: [usize; 3] = [1024, 1024, 512];

/// Which of two ways makes a large product in less time, with B of 16 bits or of 32; without a clock the
/// first. The choice is made anew after `kernels` have changed.
pub(super) fn fastest(
    gpu: &Arc<Gpu>,
    name: &'static str,
    kernels: &[&'static Kernel],
    ways: [Way; 2],
    b_half: bool,
) -> usize {
    let prepare = |gpu: &Arc<Gpu>, candidate: usize| -> Result<Box<dyn Fn() -> Result<()>>> {
        let (gpu, [m, n, k]) = (gpu.clone(), LARGE);
        let [a, b] = samples(&gpu, LARGE)?;
        let b = if b_half { half::half(&b)? } else { b };
        let c = Tensor::empty([m, n], &Device(Backend::Gpu(gpu.clone())))?;
        Ok(Box::new(move || {
            let gemm = Gemm { m, n, k, bias: None, accumulate: false };
            let [a, b, c] = [(&a, k), (&b, n), (&c, n)].map(|(t, columns)| Matrix::new(t, columns));
            gemm.launch(&gpu, ways[candidate], a, b, c)
        }))
    };
    let count = ways.len();
    gpu.autotune(&Candidates { name, kernels, default: 0, count, prepare: &prepare })
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

/// The workgroups of a product, as far as slices go by them: those of the smaller tiles, whichever a
/// clock has chosen, since slices decide the bits.
pub(crate) fn workgroups(m: usize, n: usize) -> usize {
    let [tile_m, tile_n] = if m <= 8 { [8, 32] } else { [64, 64] };
    m.div_ceil(tile_m) * n.div_ceil(tile_n)
}

/// A matrix inside a tensor, its rows `stride` elements apart.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    tensor: &'a Tensor,
    offset: usize,
    stride: usize,
    transposed: bool,
}

impl<'a> Matrix<'a> {
    /// Rows of `columns` elements, side by side, from the tensor's begin.
    pub(crate) fn new(tensor: &'a Tensor, columns: usize) -> Self {
        Self { tensor, offset: 0, stride: columns, transposed: false }
    }

    /// The same, transposed.
    pub(crate) fn t(self) -> Self {
        Self { transposed: !self.transposed, ..self }
    }

    /// The same, `elements` further on.
    pub(crate) fn skip(self, elements: usize) -> Self {
        Self { offset: self.offset + elements, ..self }
    }

    /// The same with rows further apart.
    #[cfg(test)]
    pub(crate) fn stride(self, stride: usize) -> Self {
        Self { stride, ..self }
    }

    /// From row `first` of op(A) on.
    fn skip_rows(self, first: usize) -> Self {
        self.skip(first * if self.transposed { 1 } else { self.stride })
    }

    /// From column `first` of op(B) on.
    fn skip_columns(self, first: usize) -> Self {
        self.t().skip_rows(first).t()
    }

    /// Whether it can be read in vectors of 4: each row begins at one, and the last one ends in the
    /// tensor.
    pub(super) fn in_fours(self, rows: usize, columns: usize) -> bool {
        let whole = self.extent(rows, columns).next_multiple_of(4) <= self.tensor.len();
        self.offset.is_multiple_of(4) && self.stride.is_multiple_of(4) && whole
    }

    pub(super) fn dtype(self) -> DType {
        self.tensor.dtype()
    }

    /// The elements from the begin of the tensor to the end of this matrix.
    fn extent(self, rows: usize, columns: usize) -> usize {
        let (rows, columns) = if self.transposed { (columns, rows) } else { (rows, columns) };
        self.offset + (rows - 1) * self.stride + columns
    }
}

/// From 0 up to `all`, in pieces of `size`.
fn slabs(all: usize, size: usize) -> impl Iterator<Item = Range<usize>> {
    (0..all).step_by(size).map(move |first| first..all.min(first + size))
}

/// Sizes and extras of a product.
#[derive(Clone, Copy)]
pub(crate) struct Gemm<'a> {
    pub(crate) m: usize,
    pub(crate) n: usize,
    pub(crate) k: usize,
    /// Added to each row.
    pub(crate) bias: Option<&'a Tensor>,
    /// Adds to what C holds.
    pub(crate) accumulate: bool,
}

impl Gemm<'_> {
    /// `c` = `a` `b`. The matrices lie inside their tensors.
    pub(crate) fn run(self, a: Matrix<'_>, b: Matrix<'_>, c: Matrix<'_>) -> Result<()> {
        let Self { m, n, k, .. } = self;
        let fits = [(a, m, k), (b, k, n), (c, m, n)]
            .iter()
            .all(|(matrix, rows, columns)| matrix.extent(*rows, *columns) <= matrix.tensor.len());
        if !fits || self.bias.is_some_and(|bias| bias.len() < n) || c.transposed {
            let message = format!("gemm: a {m} x {n} x {k} product reaches past a tensor");
            return Err(Error::Gpu { message });
        }
        let Some(gpu) = c.tensor.gpu() else {
            return self.twin(a, b, c);
        };
        let software = gpu.info.software && gpu.coresident.forced().slices.is_none();
        let way: Way = match software {
            false if m <= 8 => (&ROWS, [8, 32]),
            false if gemm_cooperative::takes([m, n, k], a, b) && gemm_cooperative::pays(gpu) => {
                gemm_cooperative::WAY
            }
            false => tiles(gpu, m, n),
            // Below, most of its rows would be made for nothing.
            true if m > 8 && gpu.is_trusted(&TRUSTED_SUBGROUP) => (&SUBGROUP, [32, 64]),
            true => (&REGISTER, [8, 64]),
        };
        let whole = software || c.tensor.is_half();
        let k_slice = if whole { k } else { gemm_slices::terms(gpu, workgroups(m, n), k) };
        self.sliced(gpu, way, k_slice, a, b, c)
    }

    /// By kernels for hardware GPUs, with so many terms of each sum in a workgroup.
    pub(crate) fn sliced(
        self,
        gpu: &Arc<Gpu>,
        way: Way,
        k_slice: usize,
        a: Matrix<'_>,
        b: Matrix<'_>,
        c: Matrix<'_>,
    ) -> Result<()> {
        let Self { m, n, k, bias, accumulate } = self;
        if k_slice >= k {
            return self.launch(gpu, way, a, b, c);
        }
        let device = Device(Backend::Gpu(gpu.clone()));
        let parts = Tensor::empty([k.div_ceil(k_slice), m, n], &device)?;
        let of_parts = Self { bias: None, accumulate: false, ..self };
        of_parts.launch_slices(gpu, way, k_slice, a, b, Matrix::new(&parts, n))?;
        add_slices(&parts, bias, accumulate, (c.tensor, c.offset, c.stride))
    }

    /// By the kernel of this file, whose workgroups make tiles of this size.
    pub(crate) fn launch(
        self,
        gpu: &Arc<Gpu>,
        way: Way,
        a: Matrix<'_>,
        b: Matrix<'_>,
        c: Matrix<'_>,
    ) -> Result<()> {
        self.launch_slices(gpu, way, self.k, a, b, c)
    }

    /// The same; C has a matrix for each slice of K.
    fn launch_slices(
        self,
        gpu: &Arc<Gpu>,
        (kernels, [tile_m, tile_n]): Way,
        k_slice: usize,
        a: Matrix<'_>,
        b: Matrix<'_>,
        c: Matrix<'_>,
    ) -> Result<()> {
        let Self { m, n, k, .. } = self;
        let slices = k.div_ceil(k_slice);
        let types = [a, b, c].map(|matrix| matrix.tensor.dtype());
        let mut of_types = TYPES.iter().rev().zip(kernels.iter().rev());
        let Some((_, kernel)) = of_types.find(|(found, _)| **found == types) else {
            let message = format!("gemm: no kernel for A, B, C of {types:?}; there are {TYPES:?}");
            return Err(Error::Gpu { message });
        };
        let bytes = types.map(|t| if t == DType::F16 { 2.0 } else { 4.0 });
        // More rows or columns than a grid has room for go in several launches. An even number of tiles,
        // of 32 columns and more: a binding of the bias begins at a multiple of 256 bytes.
        let groups = gpu.limits.max_compute_workgroups_per_dimension as usize & !1;
        let slabs = slabs(m, groups * tile_m)
            .flat_map(|rows| slabs(n, groups * tile_n).map(move |columns| (rows.clone(), columns)));
        for (rows, columns) in slabs {
            let (a, b) = (a.skip_rows(rows.start), b.skip_columns(columns.start));
            let c = c.skip_rows(rows.start).skip_columns(columns.start);
            let rest = self.bias.filter(|_| columns.start > 0);
            let rest = rest.map(|bias| bias.view(columns.start, [columns.len()]));
            let bias = rest.as_ref().or(self.bias);
            let (rows, columns) = (rows.len(), columns.len());
            let words = [
                rows,
                columns,
                k,
                a.stride,
                b.stride,
                c.stride,
                a.offset,
                b.offset,
                c.offset,
                k_slice,
                m * n,
            ];
            let written = rows * columns * slices * if self.accumulate { 2 } else { 1 };
            let passes = [rows * k, k * columns, written];
            let moved = passes.iter().zip(bytes).map(|(&n, bytes)| n as f64 * bytes).sum();
            let cost = Cost { flop: 2.0 * (rows * columns * k) as f64, bytes: moved };
            let launch = Launch {
                kernel,
                grid: [columns.div_ceil(tile_n), rows.div_ceil(tile_m), slices]
                    .map(|groups| groups as u32),
                constants: &[
                    ("TRANS_A", a.transposed.into()),
                    ("TRANS_B", b.transposed.into()),
                    ("BIAS", self.bias.is_some().into()),
                    ("ACCUMULATE", self.accumulate.into()),
                ],
                uniform: &words.map(|word| word as u32),
                tensors: &[Some(a.tensor), Some(b.tensor), bias, Some(c.tensor)],
            };
            gpu.run_costing(&launch, cost)?;
        }
        Ok(())
    }

    fn twin(self, a: Matrix<'_>, b: Matrix<'_>, c: Matrix<'_>) -> Result<()> {
        let Self { m, n, k, .. } = self;
        let (av, bv) = (a.tensor.cpu(), b.tensor.cpu());
        let bias = self.bias.map(Tensor::cpu);
        // Threads that wait for a part of the product may take up other work of the program, which
        // may want C as well: so C is not locked meanwhile.
        let mut sums = room_for("the sums of a product", m * n)?;
        sums.resize(m * n, 0.0);
        if let Some(bias) = &bias {
            for row in sums.chunks_exact_mut(n) {
                row.copy_from_slice(&bias[..n]);
            }
        }
        let mut make = |parallelism| {
            let [a, b] = [(&av, a), (&bv, b)].map(|(words, matrix)| {
                View::of(&words[matrix.offset..], matrix.stride, matrix.transposed)
            });
            product([m, n, k], a, b, (&mut sums, n), bias.is_some(), parallelism);
        };
        c.tensor.on_threads(|| match m * n * k {
            // A tiny product is done before a second thread has woken up.
            0..SMALL => make(Parallelism::None),
            _ => threads::inside(|together| {
                let parallelism = [Parallelism::None, Parallelism::Rayon(0)];
                make(parallelism[usize::from(together)]);
            }),
        });
        c.tensor.cpu_mut(|cv| {
            for (row, sums) in sums.chunks_exact(n).enumerate() {
                let c = &mut cv[c.offset + row * c.stride..][..n];
                if self.accumulate {
                    c.iter_mut().zip(sums).for_each(|(c, sum)| *c += sum);
                } else {
                    c.copy_from_slice(sums);
                }
            }
        });
        Ok(())
    }
}

/// The terms of a product that one thread makes on the host.
const SMALL: usize = 1 << 16;

/// A matrix in host memory.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    data: &'a [f32],
    stride: usize,
    transposed: bool,
}

impl<'a> View<'a> {
    pub(crate) fn of(data: &'a [f32], stride: usize, transposed: bool) -> Self {
        Self { data, stride, transposed }
    }

    fn holds(self, rows: usize, columns: usize) -> bool {
        let (rows, columns) = if self.transposed { (columns, rows) } else { (rows, columns) };
        (rows - 1) * self.stride + columns <= self.data.len()
    }

    fn strides(self) -> (isize, isize) {
        let stride = self.stride as isize;
        if self.transposed { (stride, 1) } else { (1, stride) }
    }
}

/// c = a b (+ c) on the host; `[m, n, k]`, none of them 0.
pub(crate) fn product(
    [m, n, k]: [usize; 3],
    a: View<'_>,
    b: View<'_>,
    (c, c_stride): (&mut [f32], usize),
    accumulate: bool,
    parallelism: Parallelism,
) {
    assert!(m > 0 && n > 0 && k > 0 && a.holds(m, k) && b.holds(k, n));
    assert!((m - 1) * c_stride + n <= c.len() && n <= c_stride);
    let ((a_column, a_row), (b_column, b_row)) = (a.strides(), b.strides());
    let c_row = c_stride as isize;
    // It wants the numbers of a column of c side by side. Where those of a row are, it makes the
    // transpose: c^T = b^T a^T.
    let ([m, n], [c_column, c_row], left, left_strides, right, right_strides) = if c_row > 1 {
        ([n, m], [c_row, 1], b, [b_row, b_column], a, [a_row, a_column])
    } else {
        ([m, n], [1, c_row], a, [a_column, a_row], b, [b_column, b_row])
    };
    // SAFETY: the assertions above show that each matrix lies inside its slice; `c` is borrowed
    // mutably, so it overlaps neither `a` nor `b`, and n <= c_stride keeps its rows apart. A transpose
    // has the same numbers in the same places.
    unsafe {
        gemm_f32::gemm::f32::get_gemm_fn()(
            m,
            n,
            k,
            c.as_mut_ptr(),
            c_column,
            c_row,
            accumulate,
            left.data.as_ptr(),
            left_strides[0],
            left_strides[1],
            right.data.as_ptr(),
            right_strides[0],
            right_strides[1],
            1.0,
            1.0,
            false,
            false,
            false,
            parallelism,
        );
    }
}
