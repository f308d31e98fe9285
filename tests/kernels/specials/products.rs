//! Products.

use super::super::oracle::{self, Random};
use super::super::{devices, inner, lacks, tensor};
use super::{Case, argument, none, one_gpu, pairs, with_zeros};
use crate::ops::gemm::slices;
use crate::ops::gemm::{Gemm, Matrix, REGISTER, ROWS, SUBGROUP, TILE, WIDE, Way};
use crate::{Device, Tensor};

/// A product by the kernel and slices of `way`, or as the library chooses.
fn multiply(
    form: u32,
    [m, n, k]: [usize; 3],
    way: Option<(Way, usize)>,
    device: &Device,
    x: &[Vec<f32>],
) -> Vec<Vec<f32>> {
    let [trans_a, trans_b, with_bias, accumulate] = [1, 2, 4, 8].map(|bit| form & bit != 0);
    let (a, b) = (tensor(&x[0], [m, k], device), tensor(&x[1], [k, n], device));
    let bias = tensor(&x[2], [n], device);
    let c = if accumulate {
        tensor(&x[3], [m, n], device)
    } else {
        Tensor::empty([m, n], device).unwrap()
    };
    let a = if trans_a { Matrix::new(&a, m).t() } else { Matrix::new(&a, k) };
    let b = if trans_b { Matrix::new(&b, k).t() } else { Matrix::new(&b, n) };
    let gemm = Gemm { m, n, k, bias: with_bias.then_some(&bias), accumulate };
    match way {
        None => gemm.run(a, b, Matrix::new(&c, n)).unwrap(),
        Some((way, slices)) => {
            let terms = slices::cut(k, slices);
            gemm.sliced(inner(device), way, terms, a, b, Matrix::new(&c, n)).unwrap();
        }
    }
    vec![c.to_vec().unwrap()]
}

/// A NaN of A reaches a row of C, one of B a column, also by way of a 0; nothing else, though tiles
/// reach past the matrices.
fn products(
    devices: &[(String, Device)],
    forms: &[u32],
    sizes: [usize; 3],
    way: Option<(Way, usize)>,
    failures: &mut Vec<String>,
) {
    let ([m, n, k], seed) = (sizes, 107);
    let mut r = Random::new(seed);
    for &form in forms {
        let [trans_a, trans_b, with_bias, accumulate] = [1, 2, 4, 8].map(|bit| form & bit != 0);
        let name = way.map_or("gemm", |(way, _)| way.0[0].name);
        Case {
            op: "gemm",
            what: format!("{name} {sizes:?}, form {form}, {} slices", way.map_or(1, |w| w.1)),
            seed,
            bound: 1e-5,
            arguments: vec![
                argument("a", with_zeros(r.uniform(m * k, -1.0, 1.0))),
                argument("b", with_zeros(r.uniform(k * n, -1.0, 1.0))),
                argument("bias", r.uniform(n, -1.0, 1.0)),
                argument("c", r.uniform(m * n, -1.0, 1.0)),
            ],
            run: &|device, x| multiply(form, sizes, way, device, x),
            formula: &|x| {
                let bias = with_bias.then_some(&x[2][..]);
                let c = oracle::dense::gemm((trans_a, trans_b), sizes, &x[0], &x[1], bias);
                vec![if accumulate { pairs(&c, &x[3], |c, before| c + before) } else { c }]
            },
        }
        .check_on(devices, failures);
    }
}

#[test]
fn products_on_every_device() {
    let mut failures = Vec::new();
    products(devices(), &[0, 5, 10, 15], [13, 67, 21], None, &mut failures);
    products(devices(), &[0, 15], [5, 67, 21], None, &mut failures);
    products(devices(), &[0, 3], [1, 1, 33], None, &mut failures);
    none(&failures);
}

#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn products_by_every_kernel() {
    let mut failures = Vec::new();
    let devices = one_gpu();
    let mut ways: Vec<Way> = vec![(&TILE, [64, 64]), (&REGISTER, [8, 64]), (&ROWS, [8, 32])];
    if !lacks("subgroup8", inner(&devices[0].1).subgroup_size == Some(8)) {
        ways.push((&SUBGROUP, [32, 64]));
    }
    let wide: Way = (&WIDE, [128, 128]);
    for &way in &ways {
        products(&devices, &[0, 5, 10, 15], [13, 67, 21], Some((way, 1)), &mut failures);
    }
    products(&devices, &[0], [13, 67, 21], Some((wide, 1)), &mut failures);
    for way in [ways[0], ways[2]] {
        products(&devices, &[0, 13], [13, 67, 71], Some((way, 3)), &mut failures);
    }
    none(&failures);
}
