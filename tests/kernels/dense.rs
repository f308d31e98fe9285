//! The matrix product and the sum of columns.

use super::oracle::{self, Random, widen};
use super::{Folder, close, close_values, devices, ends, gpu, inner, lacks, lacks_f16};
use super::{quick, tensor};
use crate::device::gpu::Gpu;
use crate::device::overrides::Forced;
use crate::ops::elementwise::half;
use crate::ops::gemm::{
    self, FOURS, FOURS_WIDE, Gemm, Matrix, REGISTER, ROWS, SUBGROUP, TILE, WIDE, Way, slices,
};
use crate::ops::sums::column_sum::column_sum;
use crate::{DType, Device, GpuOptions, Tensor};
use ::half::f16;

/// Odd ones, tiles' multiples and their neighbours.
const SIZES: [[usize; 3]; 10] = [
    [1, 1, 1],
    [1, 5, 3],
    [3, 1, 7],
    [8, 64, 16],
    [9, 65, 17],
    [13, 31, 9],
    [33, 130, 5],
    [64, 64, 64],
    [65, 63, 33],
    [130, 67, 129],
];

/// More that are long enough for slices: the last one short, full, or of one term.
const LONG: [[usize; 3]; 6] =
    [[1, 1, 509], [1, 67, 224], [67, 1, 257], [5, 3, 2], [13, 31, 211], [130, 65, 193]];

/// [`SIZES`], of which the short form has every third.
fn sizes() -> impl Iterator<Item = [usize; 3]> {
    SIZES.into_iter().step_by(if quick() { 3 } else { 1 })
}

#[test]
fn products_of_every_form() {
    let mut r = Random::new(1);
    for sizes @ [m, n, k] in sizes() {
        let (a, b) = (r.uniform(m * k, -1.0, 1.0), r.uniform(k * n, -1.0, 1.0));
        let (bias, before) = (r.uniform(n, -1.0, 1.0), r.uniform(m * n, -1.0, 1.0));
        for form in 0..16 {
            let [trans_a, trans_b, with_bias, accumulate] = [1, 2, 4, 8].map(|bit| form & bit != 0);
            let wide_bias = widen(&bias);
            let bias_of = with_bias.then_some(&wide_bias[..]);
            let mut expected =
                oracle::dense::gemm((trans_a, trans_b), sizes, &widen(&a), &widen(&b), bias_of);
            if accumulate {
                expected.iter_mut().zip(&before).for_each(|(e, &b)| *e += f64::from(b));
            }
            for (name, device) in devices() {
                let (a, b) = (tensor(&a, [m, k], device), tensor(&b, [k, n], device));
                let bias = tensor(&bias, [n], device);
                let c = if accumulate {
                    tensor(&before, [m, n], device)
                } else {
                    Tensor::empty([m, n], device).unwrap()
                };
                let a = if trans_a { Matrix::new(&a, m).t() } else { Matrix::new(&a, k) };
                let b = if trans_b { Matrix::new(&b, k).t() } else { Matrix::new(&b, n) };
                Gemm { m, n, k, bias: with_bias.then_some(&bias), accumulate }
                    .run(a, b, Matrix::new(&c, n))
                    .unwrap();
                close(&format!("{sizes:?}, form {form}, {name}"), &c, &expected, 1e-5);
            }
        }
    }
}

/// All kernels that run on a device, with their tiles: by hand, since each kind of adapter gets
/// its own ones.
pub(super) fn ways(gpu: &Gpu) -> Vec<Way> {
    let mut ways: Vec<Way> = vec![(&TILE, [64, 64]), (&REGISTER, [8, 64]), (&ROWS, [8, 32])];
    // lavapipe's have 8 lanes on most machines.
    if !lacks("subgroup8", gpu.subgroup_size == Some(8)) {
        ways.push((&SUBGROUP, [32, 64]));
    }
    ways
}

#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn all_kernels_make_the_same_product() {
    let device = gpu(GpuOptions::default().poison());
    // In the short form each constant on and off: each form is a kernel of its own.
    let forms = (0..16).step_by(if quick() { 5 } else { 1 });
    every_form(&device, &ways(inner(&device)), [DType::F32; 3], forms);
    // Long to compile, and much like another.
    every_form(&device, &[(&WIDE, [128, 128])], [DType::F32; 3], [0, 7, 9, 14]);
    every_form(&device, &[(&FOURS, [64, 64])], [DType::F32; 3], [0, 1, 6, 7, 10, 15]);
    every_form(&device, &[(&FOURS_WIDE, [128, 128])], [DType::F32; 3], [0, 7, 9, 14]);
}

/// Sums that are cut along K, also into more slices than there are terms. Of 16 bits the forms that
/// gradients of weights have.
#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn sliced_products_are_the_same() {
    let device = gpu(GpuOptions::default().poison());
    let [tile, wide, rows]: [Way; 3] = [(&TILE, [64, 64]), (&WIDE, [128, 128]), (&ROWS, [8, 32])];
    let f32 = [DType::F32; 3];
    for &slices in if quick() { &[3][..] } else { &[2, 3, 7] } {
        every_form_sliced(&device, &[tile, rows], f32, [0, 1, 6, 11, 13], slices);
        every_form_sliced(&device, &[wide], f32, [7, 9, 14], slices);
        every_form_sliced(&device, &[(&FOURS, [64, 64])], f32, [7, 9, 14], slices);
    }
    if !lacks_f16(&device) {
        for of_a in [DType::F32, DType::F16] {
            every_form_sliced(&device, &[tile, rows], [of_a, DType::F16, DType::F32], [9], 3);
        }
    }
}

/// What a GPU makes in slices has the bits of the run before; and those of any tiles, since a clock
/// chooses these.
#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn slices_have_the_same_bits_again() {
    let device = gpu(GpuOptions::default().poison());
    let mut r = Random::new(6);
    let [m, n, k] = [152, 140, 500];
    let (a, b) = (r.uniform(m * k, -1.0, 1.0), r.uniform(k * n, -1.0, 1.0));
    let (a, b) = (tensor(&a, [k, m], &device), tensor(&b, [k, n], &device));
    let [tile, wide]: [Way; 2] = [(&TILE, [64, 64]), (&WIDE, [128, 128])];
    let product = |way, slices| {
        let c = Tensor::zeros([m, n], &device).unwrap();
        let (a, b, c_view) = (Matrix::new(&a, m).t(), Matrix::new(&b, n), Matrix::new(&c, n));
        Gemm { m, n, k, bias: None, accumulate: true }
            .sliced(inner(&device), way, slices::cut(k, slices), a, b, c_view)
            .unwrap();
        c.to_vec().unwrap()
    };
    let whole = product(tile, 1);
    assert!(whole == product(wide, 1), "tiles of two sizes differ");
    let fours: [Way; 2] = [(&FOURS, [64, 64]), (&FOURS_WIDE, [128, 128])];
    assert!(fours.iter().all(|&way| whole == product(way, 1)), "tiles in fours differ");
    for slices in [2, 3, 7] {
        let first = product(tile, slices);
        assert!(first == product(fours[0], slices), "{slices} slices: tiles in fours differ");
        assert!(first != whole, "another order of the sums has other bits");
        assert!(first == product(tile, slices), "{slices} slices: not the bits of the run before");
        assert!(first == product(wide, slices), "{slices} slices: tiles of two sizes differ");
    }
}

/// Slices are as many as fill a large GPU, none is short, and together they take little memory.
#[test]
fn slices_depend_on_sizes_alone() {
    let terms = |[m, n, k]: [usize; 3]| slices::planned(gemm::workgroups(m, n), k);
    for (sizes, each) in [
        ([1024, 1024, 1 << 20], 1 << 20),
        ([256, 1024, 8192], 2048),
        ([1024, 512, 8192], 4096),
        ([64, 64, 500], 500),
        ([64, 64, 1023], 352),
        ([1, 32, 1024], 256),
    ] {
        assert_eq!(terms(sizes), each, "{sizes:?}");
    }
    for m in [1, 8, 9, 64, 65, 300, 1024, 5000] {
        for n in [1, 33, 64, 129, 512, 4096] {
            let k: usize = 1 << 17;
            let slices = k.div_ceil(terms([m, n, k]));
            assert!(slices == 1 || slices * m * n <= 1 << 20, "{m} x {n}: {slices}");
        }
    }
}

/// What a clock chooses is one of those that make tiles, and stays; few rows and columns ask no clock.
#[cfg_attr(not(feature = "cache"), ignore = "needs the feature cache")]
#[test]
fn large_products_have_the_faster_tiles() {
    let folder = Folder::new("tiles");
    let device = folder.device();
    let tiles = |sizes, fours| gemm::autotune::tiles(inner(&device), sizes, fours).0[0].name;
    // Little work asks no clock, however many rows or columns it has.
    assert_eq!(tiles([2048, 1024, 1], true), "gemm_tile");
    assert_eq!(tiles([512, 512, 12], true), "gemm_tile");
    assert!(!folder.files().iter().any(|file| ends(file, "json")), "{:?}", folder.files());
    let name = |m, n| tiles([m, n, 512], false);
    let first = name(1024, 1024);
    assert!(["gemm_tile", "gemm_tile_wide"].contains(&first), "{first}");
    assert_eq!(name(4000, 600), first);
    assert_eq!(name(64, 512), "gemm_tile");
    let files = folder.files();
    let kept = files.iter().filter(|file| ends(file, "json"));
    let kept: String = kept.map(|f| std::fs::read_to_string(f).unwrap()).collect();
    assert!(kept.contains("gemm_tiles"), "{files:?}: {kept}");
}

/// Operands that 16 bits can hold, so that sums differ by their order alone. Two forms, which hold
/// each constant on and off: drivers take seconds for some of these kernels.
#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn products_of_16_bit_floats() {
    use DType::{F16, F32};
    for checked in [false, true] {
        let options = GpuOptions::default().poison();
        let device = gpu(if checked { options.checked() } else { options });
        if lacks_f16(&device) {
            return;
        }
        let ways = ways(inner(&device));
        if checked {
            every_form(&device, &ways[..2], [F16, F16, F16], [5]);
            continue;
        }
        for types in [[F32, F16, F32], [F32, F16, F16], [F16, F16, F32], [F16, F16, F16]] {
            every_form(&device, &ways[..2], types, [5, 10]);
            every_form(&device, &[(&FOURS, [64, 64])], types, [5]);
            every_form(&device, &ways[2..], types, [10]);
        }
        assert!(gemm::has_half(inner(&device)), "{device}");
    }
}

/// Products by these kernels with A, B and C of these types.
fn every_form(
    device: &Device,
    ways: &[Way],
    types: [DType; 3],
    forms: impl IntoIterator<Item = u32> + Clone,
) {
    every_form_sliced(device, ways, types, forms, 1);
}

/// The same with sums cut into so many slices.
fn every_form_sliced(
    device: &Device,
    ways: &[Way],
    types: [DType; 3],
    forms: impl IntoIterator<Item = u32> + Clone,
    slices: usize,
) {
    let mut r = Random::new(2);
    let gpu = inner(device);
    let [of_a, of_b, of_c] = types;
    let mixed = types != [DType::F32; 3];
    let mut values = |len| {
        let mut values = r.uniform(len, -1.0, 1.0);
        if mixed {
            values.iter_mut().for_each(|v| *v = f16::from_f32(*v).to_f32());
        }
        values
    };
    let matrix = |values: &[f32], of| match of {
        DType::F16 => half::half(&tensor(values, [values.len()], device)).unwrap(),
        _ => tensor(values, [values.len()], device),
    };
    // The result is rounded to 11 bits.
    let bound = if of_c == DType::F16 { 5e-4 } else { 1e-5 };
    let long = if slices > 1 { &LONG[..] } else { &[] };
    let fours = ways.iter().any(|(kernels, _)| kernels[0].name.contains("fours"));
    for sizes in sizes().chain(long.iter().copied()) {
        // What these kernels take, on either side of their tiles' edges.
        let sizes = sizes.map(|size| if fours { size.next_multiple_of(4) } else { size });
        let [m, n, k] = sizes;
        let (av, bv) = (values(m * k), values(k * n));
        let (biasv, before) = (values(n), values(m * n));
        let (a, b, bias) = (matrix(&av, of_a), matrix(&bv, of_b), matrix(&biasv, DType::F32));
        for form in forms.clone() {
            let [trans_a, trans_b, with_bias, accumulate] = [1, 2, 4, 8].map(|bit| form & bit != 0);
            let wide = widen(&biasv);
            let bias_of = with_bias.then_some(&wide[..]);
            let mut expected =
                oracle::dense::gemm((trans_a, trans_b), sizes, &widen(&av), &widen(&bv), bias_of);
            if accumulate {
                expected.iter_mut().zip(&before).for_each(|(e, &b)| *e += f64::from(b));
            }
            for way in ways {
                let c = matrix(&before, of_c);
                let a = if trans_a { Matrix::new(&a, m).t() } else { Matrix::new(&a, k) };
                let b = if trans_b { Matrix::new(&b, k).t() } else { Matrix::new(&b, n) };
                Gemm { m, n, k, bias: with_bias.then_some(&bias), accumulate }
                    .sliced(gpu, *way, slices::cut(k, slices), a, b, Matrix::new(&c, n))
                    .unwrap();
                let name = way.0[0].name;
                let what = format!("{name} {sizes:?} {types:?}, form {form}, {slices} slices");
                close(&what, &c, &expected, bound);
            }
        }
    }
}

/// The cast, with what is too large, too small, and not a number; then a view of it.
#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn sixteen_bits() {
    let mut r = Random::new(5);
    let device = gpu(GpuOptions::default().poison());
    if lacks_f16(&device) {
        return;
    }
    let special = [0.0, -0.0, 65504.0, 65536.0, -1e30, f32::INFINITY, 6e-8, 1e-10, 1.0 / 3.0];
    for n in [1, 2, 3, 63, 64, 127, 129, 1000] {
        let values: Vec<_> = special.into_iter().chain(r.uniform(n, -8.0, 8.0)).take(n).collect();
        let twin = half::half(&tensor(&values, [n], &Device::cpu().unwrap())).unwrap();
        assert_eq!(twin.dtype(), DType::F32);
        let halves = half::half(&tensor(&values, [n], &device)).unwrap();
        assert_eq!(halves.dtype(), DType::F16);
        let found = halves.to_vec().unwrap();
        assert_eq!(found.len(), n);
        for (i, (found, twin)) in found.iter().zip(twin.to_vec().unwrap()).enumerate() {
            // A GPU may flush what is too small, and round to either side.
            let near = (found - twin).abs() <= twin.abs() / 1024.0 + 6.2e-5;
            assert!(*found == twin || near, "{n}, {i}: {found}, not {twin}");
        }
        assert_eq!(halves.to_device(&Device::cpu().unwrap()).unwrap().to_vec().unwrap(), found);
        if n > 4 {
            assert_eq!(halves.view(1, [n - 2]).to_vec().unwrap(), found[2..]);
        }
    }
    let nan = half::half(&tensor(&[f32::NAN], [1], &device)).unwrap();
    assert!(nan.to_vec().unwrap()[0].is_nan());
}

#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn types_without_a_kernel_are_refused() {
    let device = gpu(GpuOptions::default());
    if lacks_f16(&device) {
        return;
    }
    let a = tensor(&[1.0; 4], [2, 2], &device);
    let c = Tensor::empty_f16([2, 2], inner(&device)).unwrap();
    let [a, c] = [&a, &c].map(|t| Matrix::new(t, 2));
    let gemm = Gemm { m: 2, n: 2, k: 2, bias: None, accumulate: false };
    let error = gemm.run(a, a, c).unwrap_err().to_string();
    assert!(error.contains("[F32, F32, F16]"), "{error}");
}

#[test]
fn parts_of_matrices() {
    let mut r = Random::new(3);
    // Rows 2, 5 and 8 of a matrix of 4 columns, by a matrix that begins at word 6.
    let (a, b) = (r.uniform(10 * 4, -1.0, 1.0), r.uniform(6 + 4 * 3, -1.0, 1.0));
    let rows: Vec<f64> = [2, 5, 8].iter().flat_map(|&i| widen(&a[i * 4..(i + 1) * 4])).collect();
    let expected = oracle::dense::gemm((false, false), [3, 3, 4], &rows, &widen(&b[6..]), None);
    for (name, device) in devices() {
        let (a, b) = (tensor(&a, [40], device), tensor(&b, [18], device));
        let c = tensor(&[0.5; 14], [14], device);
        Gemm { m: 3, n: 3, k: 4, bias: None, accumulate: false }
            .run(
                Matrix::new(&a, 4).skip(8).stride(12),
                Matrix::new(&b, 3).skip(6),
                Matrix::new(&c, 3).skip(5),
            )
            .unwrap();
        let c = c.to_vec().unwrap();
        assert_eq!(c[..5], [0.5; 5], "{name}: words before the result");
        close_values(name, &c[5..], &expected, 1e-5);
    }
}

#[test]
fn a_product_past_a_tensor_is_refused() {
    for (_, device) in devices() {
        let a = tensor(&[0.0; 6], [6], device);
        let c = tensor(&[0.0; 4], [4], device);
        let gemm = Gemm { m: 2, n: 2, k: 4, bias: None, accumulate: false };
        let b = tensor(&[0.0; 8], [8], device);
        assert!(gemm.run(Matrix::new(&a, 4), Matrix::new(&b, 2), Matrix::new(&c, 2)).is_err());
    }
}

#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn sums_of_columns() {
    let mut r = Random::new(4);
    for (rows, columns) in [(1, 1), (3, 7), (17, 16), (100, 33), (1000, 4)] {
        let (x, y) = (r.uniform(rows * columns, -1.0, 1.0), r.uniform(columns, -1.0, 1.0));
        let mut expected = widen(&y);
        for row in x.chunks(columns) {
            expected.iter_mut().zip(row).for_each(|(e, &x)| *e += f64::from(x));
        }
        for (name, device) in devices() {
            let y = tensor(&y, [columns], device);
            column_sum(&tensor(&x, [rows, columns], device), &y).unwrap();
            close(&format!("{rows} x {columns}, {name}"), &y, &expected, 1e-5);
        }
        let device = gpu(GpuOptions::default().poison());
        for slices in [2, 5] {
            inner(&device).force(Forced { slices: Some(slices), ..Forced::default() }).unwrap();
            let sums = |x: &Tensor| {
                let y = tensor(&y, [columns], &device);
                column_sum(x, &y).unwrap();
                y
            };
            let x = tensor(&x, [rows, columns], &device);
            let y = sums(&x);
            close(&format!("{rows} x {columns}, {slices} slices"), &y, &expected, 1e-5);
            assert_eq!(y.to_vec().unwrap(), sums(&x).to_vec().unwrap());
            if !lacks_f16(&device) {
                let (x, what) = (half::half(&x).unwrap(), "of 16 bits");
                // Each of the rows' values, below 1, is rounded to 11 bits.
                let bound = 3e-4 * (rows as f64).sqrt();
                close(&format!("{rows} x {columns}, {slices} {what}"), &sums(&x), &expected, bound);
            }
        }
    }
}

/// More columns than a grid has workgroups for: in whole numbers, so that every sum is exact.
#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn products_of_millions_of_columns() {
    let k = 2;
    let number = |i: usize| (i % 1000) as f32;
    let product = |device: &Device, [m, n]: [usize; 2], transposed: bool, way: Option<Way>| {
        let a: Vec<_> = (0..m * k).map(|i| (i + 1) as f32).collect();
        let value = |row: usize, column: usize| number(3 * column + row);
        let b: Vec<_> = match transposed {
            false => (0..k * n).map(|i| value(i / n, i % n)).collect(),
            true => (0..k * n).map(|i| value(i % k, i / k)).collect(),
        };
        let bias: Vec<_> = (0..n).map(|j| number(7 * j)).collect();
        let (at, bt) = (tensor(&a, [m, k], device), tensor(&b, [k * n], device));
        let (bias_t, c) = (tensor(&bias, [n], device), Tensor::empty([m, n], device).unwrap());
        let b_view = if transposed { Matrix::new(&bt, k).t() } else { Matrix::new(&bt, n) };
        let (a_view, c_view) = (Matrix::new(&at, k), Matrix::new(&c, n));
        let gemm = Gemm { m, n, k, bias: Some(&bias_t), accumulate: false };
        match way {
            None => gemm.run(a_view, b_view, c_view).unwrap(),
            Some(way) => gemm.launch(inner(device), way, a_view, b_view, c_view).unwrap(),
        }
        for (row, c) in c.to_vec().unwrap().chunks(n).enumerate() {
            let a = &a[row * k..][..k];
            let of = |j: usize| a[0] * value(0, j) + a[1] * value(1, j) + bias[j];
            let wrong = c.iter().enumerate().find(|&(j, &c)| c != of(j));
            assert_eq!(wrong, None, "row {row} of {m} x {n}, {transposed}, {device}");
        }
    };
    for (_, device) in devices() {
        product(device, [1, 1_100_000], false, None);
        product(device, [9, 1_100_000], true, None);
    }
    let device = gpu(GpuOptions::default().poison());
    let limit = inner(&device).limits.max_compute_workgroups_per_dimension as usize;
    // Tiles of 32 columns reach the end of a grid first; not where a GPU has room for more.
    let n = (limit.min(65_535) + 80) * 32 + 5;
    product(&device, [1, n], false, Some((&ROWS, [8, 32])));
    product(&device, [9, n], true, Some((&ROWS, [8, 32])));
}

#[test]
fn sums_of_millions_of_columns() {
    let c = 1_100_000;
    let x: Vec<_> = (0..2 * c).map(|i| (i % 1001) as f32).collect();
    for (name, device) in devices() {
        let y = tensor(&vec![0.5; c], [c], device);
        column_sum(&tensor(&x, [2, c], device), &y).unwrap();
        let y = y.to_vec().unwrap();
        let wrong = (0..c).find(|&j| y[j] != 0.5 + x[j] + x[c + j]);
        assert_eq!(wrong, None, "{name}");
    }
}
