//! The CPU's own ways to a matrix product.

use super::oracle::{self, Random, widen};
use super::{close_values, tensor};
use crate::Device;
use crate::ops::gemm::{Gemm, Matrix};

/// The CPU makes many blocks of a product each by itself, and so slices of long sums: in every form, with the
/// same bits on any number of threads, and nothing beside them.
#[test]
fn blocks_and_slices_on_the_cpu() {
    const SIZES: [[usize; 3]; 5] =
        [[1, 8193, 3], [300, 4097, 17], [2049, 9, 5], [5, 7, 9001], [40, 30, 8192]];
    let mut r = Random::new(7);
    for sizes @ [m, n, k] in SIZES {
        let (a, b) = (r.uniform(m * k, -1.0, 1.0), r.uniform(k * n, -1.0, 1.0));
        let (bias, before) = (r.uniform(n, -1.0, 1.0), r.uniform(m * (n + 2) + 1, -1.0, 1.0));
        for form in 0..16 {
            let [trans_a, trans_b, with_bias, accumulate] = [1, 2, 4, 8].map(|bit| form & bit != 0);
            let what = format!("{sizes:?}, form {form}");
            let wide_bias = widen(&bias);
            let bias_of = with_bias.then_some(&wide_bias[..]);
            let (wide_a, wide_b) = (widen(&a), widen(&b));
            let product = oracle::dense::gemm((trans_a, trans_b), sizes, &wide_a, &wide_b, bias_of);
            let found = [1, 2, 3].map(|threads| {
                let device = &Device::cpu_with_threads(threads).unwrap();
                let (a, b) = (tensor(&a, [m, k], device), tensor(&b, [k, n], device));
                let bias = tensor(&bias, [n], device);
                let c = tensor(&before, [before.len()], device);
                let a = if trans_a { Matrix::new(&a, m).t() } else { Matrix::new(&a, k) };
                let b = if trans_b { Matrix::new(&b, k).t() } else { Matrix::new(&b, n) };
                Gemm { m, n, k, bias: with_bias.then_some(&bias), accumulate }
                    .run(a, b, Matrix::new(&c, n).stride(n + 2).skip(1))
                    .unwrap();
                c.to_vec().unwrap()
            });
            assert!(found[0] == found[1] && found[0] == found[2], "{what}: the bits of threads");
            let expected: Vec<f64> = (0..before.len())
                .map(|at| {
                    let (row, column) =
                        (at.wrapping_sub(1) / (n + 2), at.wrapping_sub(1) % (n + 2));
                    let old = f64::from(before[at]);
                    match at > 0 && column < n && row < m {
                        true if accumulate => product[row * n + column] + old,
                        true => product[row * n + column],
                        false => old,
                    }
                })
                .collect();
            close_values(&what, &found[0], &expected, 1e-5);
        }
    }
}
