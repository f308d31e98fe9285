//! The product by cooperative matrices: all of its text but the few lines that name such matrices, which
//! software adapters lack; and the whole of it where the adapter has them.

use super::oracle::{self, Random, widen};
use super::{close, gpu, inner, lacks, lacks_f16, tensor};
use crate::device::kernel::{Kernel, Wgsl};
use crate::ops::elementwise::half;
use crate::ops::gemm::cooperative::{
    self, AB, ABC, B, BC, FILE, FOURS, PLAIN as NONE, SCALARS, TILES, shape,
};
use crate::ops::gemm::kernels::{COMMON, kernel};
use crate::ops::gemm::{Gemm, Matrix, Way, self_check, slices};
use crate::{DType, Device, GpuOptions, Tensor};
use ::half::f16;

pub(super) const PLAIN: Wgsl = Wgsl::lines(include_str!("cooperative.wgsl"));
const KNOWN: Wgsl = Wgsl::lines("fn known() -> u32 { return dims.m; }");

/// How the text reads what is staged so.
macro_rules! of_fours {
    () => {
        "fn a_of(at: u32, k: u32) -> f32 { return f32(a_tile[at][k]); }
        fn b_of(at: u32, k: u32) -> f32 { return f32(b_tile[at][k]); }"
    };
}
pub(super) use of_fours;

const OF_FOURS: Wgsl = Wgsl::lines(of_fours!());
const OF_SCALARS: Wgsl = Wgsl::lines(
    "fn a_of(at: u32, k: u32) -> f32 { return f32(a_tile[4u * at + k]); }
    fn b_of(at: u32, k: u32) -> f32 { return f32(b_tile[4u * at + k]); }",
);

/// The kernels of a shape, with so many invocations for a subgroup.
macro_rules! emulated {
    ($name:literal, ($($shape:tt)*), $invocations:literal, $lanes:literal, $staged:expr, $of:expr) => {{
        const SHAPE: Wgsl = shape!($($shape)*, $invocations);
        const LANES: Wgsl = Wgsl::lines(concat!("const LANES = ", $lanes, "u;"));
        const WORKGROUP: [u32; 3] = [$invocations, 1, 1];
        [
            kernel($name, WORKGROUP, &[NONE, COMMON, SHAPE, LANES, TILES, FILE, $staged, $of, PLAIN, KNOWN]),
            kernel(concat!($name, "_b16"), WORKGROUP, &[B, COMMON, SHAPE, LANES, TILES, FILE, $staged, $of, PLAIN, KNOWN]),
            kernel(concat!($name, "_bc16"), WORKGROUP, &[BC, COMMON, SHAPE, LANES, TILES, FILE, $staged, $of, PLAIN, KNOWN]),
            kernel(concat!($name, "_ab16"), WORKGROUP, &[AB, COMMON, SHAPE, LANES, TILES, FILE, $staged, $of, PLAIN, KNOWN]),
            kernel(concat!($name, "_abc16"), WORKGROUP, &[ABC, COMMON, SHAPE, LANES, TILES, FILE, $staged, $of, PLAIN, KNOWN]),
        ]
    }};
}

/// With subgroups so large that a workgroup has eight of them, four and two.
static EIGHT: [Kernel; 5] = emulated!("eight", (16, 2 x 2, 64 x 64, 32), 128, 16, FOURS, OF_FOURS);
static FOUR: [Kernel; 5] = emulated!("four", (16, 2 x 2, 64 x 64, 32), 128, 32, FOURS, OF_FOURS);
static TWO: [Kernel; 5] = emulated!("two", (16, 2 x 2, 64 x 64, 32), 128, 64, FOURS, OF_FOURS);
/// Larger tiles; one with fewer subgroups than blocks, one with turns of a matrix.
static MIDDLE: [Kernel; 5] =
    emulated!("middle", (16, 4 x 2, 128 x 128, 32), 256, 32, FOURS, OF_FOURS);
static WIDE: [Kernel; 5] = emulated!("wide", (16, 4 x 4, 128 x 128, 32), 128, 64, FOURS, OF_FOURS);
static WIDEST: [Kernel; 5] =
    emulated!("widest", (16, 4 x 4, 128 x 256, 16), 256, 32, FOURS, OF_FOURS);
/// Matrices of 8 x 8.
static EIGHTS: [Kernel; 5] =
    emulated!("eights", (8, 4 x 4, 64 x 64, 32), 128, 32, SCALARS, OF_SCALARS);

const TYPES: [[DType; 3]; 5] = {
    use DType::{F16, F32};
    [[F32, F32, F32], [F32, F16, F32], [F32, F16, F16], [F16, F16, F32], [F16, F16, F16]]
};

/// Odd ones, a block's, a turn's and a tile's multiples and their neighbours.
const SIZES: [[usize; 3]; 10] = [
    [1, 1, 1],
    [1, 67, 3],
    [5, 1, 37],
    [16, 32, 31],
    [31, 17, 32],
    [33, 63, 33],
    [64, 64, 64],
    [65, 61, 97],
    [127, 129, 7],
    [131, 65, 130],
];

/// A matrix whose rows begin at multiples of 4 elements, the first one behind a row's length of them,
/// with something else between and around.
struct Padded {
    tensor: Tensor,
    stride: usize,
}

impl Padded {
    fn new(values: &[f32], columns: usize, other: f32, of: DType, device: &Device) -> Self {
        let stride = columns.next_multiple_of(4) + 4;
        let mut padded = vec![other; stride];
        for row in values.chunks_exact(columns) {
            padded.extend(row);
            padded.extend(std::iter::repeat_n(other, stride - columns));
        }
        let tensor = tensor(&padded, [padded.len()], device);
        let tensor = if of == DType::F16 { half::half(&tensor).unwrap() } else { tensor };
        Self { tensor, stride }
    }

    fn matrix(&self) -> Matrix<'_> {
        Matrix::new(&self.tensor, self.stride).skip(self.stride)
    }
}

/// What lies beyond a matrix is NaN, and what lies beyond the result stays as it is.
fn products(device: &Device, way: Way, types: [DType; 3], forms: &[u32]) {
    sliced_products(device, way, types, forms, 1);
}

/// The same with sums cut into so many slices.
fn sliced_products(device: &Device, way: Way, types: [DType; 3], forms: &[u32], slices: usize) {
    let mut r = Random::new(21);
    let mut values = |len| -> Vec<f32> {
        let values = r.uniform(len, -1.0, 1.0);
        values.into_iter().map(|v| f16::from_f32(v).to_f32()).collect()
    };
    // The result is rounded to 11 bits.
    let bound = if types[2] == DType::F16 { 5e-4 } else { 1e-5 };
    for sizes @ [m, n, k] in SIZES {
        let (av, bv) = (values(m * k), values(k * n));
        let (biasv, before) = (values(n), values(m * n));
        for form in forms {
            let [trans_a, trans_b, with_bias, accumulate] = [1, 2, 4, 8].map(|bit| form & bit != 0);
            let wide = widen(&biasv);
            let bias_of = with_bias.then_some(&wide[..]);
            let mut expected =
                oracle::dense::gemm((trans_a, trans_b), sizes, &widen(&av), &widen(&bv), bias_of);
            if accumulate {
                expected.iter_mut().zip(&before).for_each(|(e, &b)| *e += f64::from(b));
            }
            let (a_columns, b_columns) = (if trans_a { m } else { k }, if trans_b { k } else { n });
            let a = Padded::new(&av, a_columns, f32::NAN, types[0], device);
            let b = Padded::new(&bv, b_columns, f32::NAN, types[1], device);
            let bias = tensor(&biasv, [n], device);
            let c = Padded::new(&before, n, 0.25, types[2], device);
            let (a, b) = (a.matrix(), b.matrix());
            Gemm { m, n, k, bias: with_bias.then_some(&bias), accumulate }
                .sliced(
                    inner(device),
                    way,
                    slices::cut(k, slices),
                    if trans_a { a.t() } else { a },
                    if trans_b { b.t() } else { b },
                    c.matrix(),
                )
                .unwrap();
            let what =
                format!("{} {sizes:?} {types:?}, form {form}, {slices} slices", way.0[0].name);
            let found = c.tensor.to_vec().unwrap();
            let (around, rows) = found.split_at(c.stride);
            let mut inside = Vec::new();
            let mut others = around.to_vec();
            for row in rows.chunks_exact(c.stride) {
                inside.extend(&row[..n]);
                others.extend(&row[n..]);
            }
            assert!(others.iter().all(|&v| v == 0.25), "{what}: wrote beside the result");
            close(&what, &tensor(&inside, [m, n], device), &expected, bound);
        }
    }
}

/// Subgroups of each number, each type, each form of A and B; drivers take a second for each kernel.
#[test]
fn all_but_the_matrices_themselves() {
    for checked in [false, true] {
        let options = GpuOptions::default().poison();
        let device = gpu(if checked { options.checked() } else { options });
        if lacks_f16(&device) {
            return;
        }
        if checked {
            products(&device, (&FOUR, [64, 64]), TYPES[4], &[9]);
            continue;
        }
        products(&device, (&FOUR, [64, 64]), TYPES[1], &[0, 1, 2, 3, 12]);
        products(&device, (&FOUR, [64, 64]), TYPES[2], &[4]);
        products(&device, (&FOUR, [64, 64]), TYPES[3], &[2]);
        products(&device, (&FOUR, [64, 64]), TYPES[4], &[13]);
        products(&device, (&EIGHT, [64, 64]), TYPES[3], &[10]);
        products(&device, (&TWO, [64, 64]), TYPES[1], &[9]);
        // Gradients of weights.
        products(&device, (&FOUR, [64, 64]), TYPES[0], &[1]);
        // The kernels of before, of which no bias and nothing of C is wanted.
        sliced_products(&device, (&FOUR, [64, 64]), TYPES[1], &[13, 2], 2);
        sliced_products(&device, (&FOUR, [64, 64]), TYPES[3], &[14], 3);
        products(&device, (&MIDDLE, [128, 128]), TYPES[1], &[2]);
        products(&device, (&WIDE, [128, 128]), TYPES[0], &[1]);
        products(&device, (&WIDEST, [128, 256]), TYPES[4], &[12]);
        products(&device, (&EIGHTS, [64, 64]), TYPES[1], &[0, 3]);
    }
}

/// Where there are such matrices, whatever adapter is the best one here.
#[test]
fn matrices_where_there_are_any() {
    let device = Device::gpu(GpuOptions::default().poison().no_cache());
    let Some(device) = device.ok().filter(|device| inner(device).has_cooperative()) else {
        lacks("cooperative", false);
        return;
    };
    let gpu = inner(&device);
    for shape in cooperative::SHAPES.iter().filter(|shape| shape.fits(gpu)) {
        for types in TYPES {
            products(&device, shape.way, types, &[0, 1, 2, 3, 4, 9, 15]);
            if types[2] == DType::F32 {
                sliced_products(&device, shape.way, types, &[1, 10, 12], 3);
            }
        }
    }
    assert!(!self_check::cooperative_ways(gpu).is_empty(), "{device}");
}

/// The bytes of shared memory of a kernel's text.
pub(super) fn shared_bytes(kernel: &Kernel) -> usize {
    let module = naga::front::wgsl::parse_str(&kernel.source()).unwrap();
    let layout = &mut naga::proc::Layouter::default();
    layout.update(module.to_ctx()).unwrap();
    let variables = module.global_variables.iter();
    let shared = variables.filter(|(_, variable)| variable.space == naga::AddressSpace::WorkGroup);
    shared.map(|(_, variable)| layout[variable.ty].size as usize).sum()
}

/// The bytes of shared memory that a shape claims are those of its text.
#[test]
fn shapes_say_what_memory_they_take() {
    for shape in &cooperative::SHAPES {
        let kernel = &shape.way.0[0];
        assert_eq!(shared_bytes(kernel), shape.shared, "{}", kernel.name);
    }
}

/// What the kernels cannot read goes another way.
#[test]
fn only_large_products_in_fours_are_taken() {
    let device = gpu(GpuOptions::default());
    if lacks_f16(&device) {
        return;
    }
    let a = Tensor::zeros([64 * 68], &device).unwrap();
    let b = Tensor::empty_f16([64 * 68], inner(&device)).unwrap();
    let takes =
        |[m, n, k]: [usize; 3], a: Matrix<'_>, b: Matrix<'_>| cooperative::takes([m, n, k], a, b);
    assert!(takes([64, 64, 64], Matrix::new(&a, 64), Matrix::new(&b, 64)));
    assert!(takes([64, 63, 33], Matrix::new(&a, 36), Matrix::new(&b, 64).skip(4)));
    let rounded = Matrix::new(&a, 64).rounded(true);
    assert!(takes([64, 64, 64], rounded, rounded));
    assert!(takes([33, 32, 35], Matrix::new(&a, 36).t(), Matrix::new(&b, 36).t()));
    for (why, sizes, first, second) in [
        ("few rows", [16, 64, 64], Matrix::new(&a, 64), Matrix::new(&b, 64)),
        ("few terms", [64, 64, 31], Matrix::new(&a, 64), Matrix::new(&b, 64)),
        ("odd rows of A", [64, 64, 63], Matrix::new(&a, 63), Matrix::new(&b, 64)),
        ("odd rows of B", [64, 62, 64], Matrix::new(&a, 64), Matrix::new(&b, 62)),
        ("odd begin", [32, 64, 64], Matrix::new(&a, 64).skip(2), Matrix::new(&b, 64)),
        ("B of 32 bits", [64, 64, 64], Matrix::new(&a, 64), Matrix::new(&a, 64)),
        ("A not to be rounded", [64; 3], Matrix::new(&a, 64), Matrix::new(&a, 64).rounded(true)),
    ] {
        assert!(!takes(sizes, first, second), "{why}");
    }
    // The last four of the last row would reach past the tensor.
    let short = Tensor::zeros([31 * 36 + 33], &device).unwrap();
    assert!(!takes([32, 64, 33], Matrix::new(&short, 36), Matrix::new(&b, 64)));
}
