//! The matrix product and the sum of columns.

use super::oracle::{self, Random, widen};
use super::{close, devices, gpu, tensor};
use crate::ops::column_sum::column_sum;
use crate::ops::gemm::{Gemm, Matrix, REGISTER, SUBGROUP, TILE};
use crate::{GpuOptions, Tensor};

/// Odd ones, tiles' multiples and their neighbours.
const SIZES: [[usize; 3]; 9] = [
    [1, 1, 1],
    [1, 5, 3],
    [3, 1, 7],
    [8, 64, 16],
    [9, 65, 17],
    [33, 130, 5],
    [64, 64, 64],
    [65, 63, 33],
    [130, 67, 129],
];

#[test]
fn products_of_every_form() {
    let mut r = Random::new(1);
    for sizes @ [m, n, k] in SIZES {
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

/// The product for hardware runs here too: by hand, since a software adapter gets the others.
#[test]
fn all_kernels_make_the_same_product() {
    use crate::device::kernel::Launch;
    let mut r = Random::new(2);
    let device = gpu(GpuOptions::default().poison());
    let gpu = match &device.0 {
        crate::device::Backend::Gpu(gpu) => gpu.clone(),
        crate::device::Backend::Cpu(_) => panic!("this test needs a GPU adapter"),
    };
    for [m, n, k] in SIZES {
        let (av, bv) = (r.uniform(m * k, -1.0, 1.0), r.uniform(k * n, -1.0, 1.0));
        let (biasv, before) = (r.uniform(n, -1.0, 1.0), r.uniform(m * n, -1.0, 1.0));
        for form in 0..16 {
            let [trans_a, trans_b, with_bias, accumulate] = [1, 2, 4, 8].map(|bit| form & bit != 0);
            let (a, b) = (tensor(&av, [m * k], &device), tensor(&bv, [k * n], &device));
            let bias = tensor(&biasv, [n], &device);
            let wide = widen(&biasv);
            let mut expected = oracle::dense::gemm(
                (trans_a, trans_b),
                [m, n, k],
                &widen(&av),
                &widen(&bv),
                with_bias.then_some(&wide),
            );
            if accumulate {
                expected.iter_mut().zip(&before).for_each(|(e, &b)| *e += f64::from(b));
            }
            let mut kernels = vec![(&TILE, 64), (&REGISTER, 8)];
            // Where subgroups have 8 lanes: lavapipe's do on most machines.
            if gpu.subgroup_size == Some(8) {
                kernels.push((&SUBGROUP, 16));
            }
            for (kernel, tile_m) in kernels {
                let c = tensor(&before, [m, n], &device);
                let (lda, ldb) = (if trans_a { m } else { k }, if trans_b { k } else { n });
                gpu.run(&Launch {
                    kernel,
                    grid: [n.div_ceil(64) as u32, m.div_ceil(tile_m) as u32, 1],
                    constants: &[
                        ("TRANS_A", trans_a.into()),
                        ("TRANS_B", trans_b.into()),
                        ("BIAS", with_bias.into()),
                        ("ACCUMULATE", accumulate.into()),
                    ],
                    uniform: &[m, n, k, lda, ldb, n, 0, 0, 0].map(|w| w as u32),
                    tensors: &[Some(&a), Some(&b), with_bias.then_some(&bias), Some(&c)],
                })
                .unwrap();
                close(&format!("{} {m} {n} {k}, form {form}", kernel.name), &c, &expected, 1e-5);
            }
        }
    }
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
        assert!(oracle::relative_error(&c[5..], &expected) < 1e-5, "{name}");
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
    }
}
