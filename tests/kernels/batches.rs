//! Matrix products of a batch.

use super::dense::ways;
use super::oracle::Random;
use super::{devices, gpu, inner, tensor};
use crate::ops::gemm::{Gemm, Matrix, REGISTER, SUBGROUP, WIDE, slices};
use crate::{GpuOptions, Tensor};

/// A batch has the bits of its products one by one, with gaps between them and without, cut into slices or whole.
#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn batches_are_each_product_by_itself() {
    let device = gpu(GpuOptions::default().poison());
    let mut r = Random::new(12);
    let ([m, n, k], count, gap) = ([37, 70, 75], 3, 5);
    let [size_a, size_b, size_c] = [m * k, k * n, m * n].map(|size| size + gap);
    let [a, b] = [size_a, size_b].map(|size| r.uniform(count * size, -1.0, 1.0));
    let (a, b) = (tensor(&a, [a.len()], &device), tensor(&b, [b.len()], &device));
    let gemm = Gemm { m, n, k, bias: None, accumulate: false };
    let ways = ways(inner(&device)).into_iter().chain([(&WIDE[..], [128, 128])]);
    for (way, (of_a, of_b)) in ways.zip([
        (Matrix::new(&a, k), Matrix::new(&b, n)),
        (Matrix::new(&a, k), Matrix::new(&b, k).t()),
        (Matrix::new(&a, m).t(), Matrix::new(&b, n)),
        (Matrix::new(&a, m).t(), Matrix::new(&b, k).t()),
        (Matrix::new(&a, k), Matrix::new(&b, k).t()),
    ]) {
        let software = [REGISTER[0].name, SUBGROUP[0].name].contains(&way.0[0].name);
        for (slices, apart) in [(1, size_c), (1, m * n), (3, m * n)] {
            if software && slices > 1 {
                continue;
            }
            let product = |together: bool| {
                let c = tensor(&vec![0.5; count * size_c], [count * size_c], &device);
                let turns = if together { 1 } else { count };
                for i in 0..turns {
                    let [a, b, c] = [(of_a, size_a), (of_b, size_b), (Matrix::new(&c, n), apart)]
                        .map(|(x, apart)| x.skip(i * apart).batch(count / turns, apart));
                    let each = slices::cut(k, slices);
                    gemm.sliced(inner(&device), way, each, a, b, c).unwrap();
                }
                c.to_vec().unwrap()
            };
            let what = format!("{}, {slices} slices, {apart} apart", way.0[0].name);
            assert!(product(true) == product(false), "{what}");
        }
    }
}

/// More products than a grid has room for along an axis.
#[test]
fn large_batches() {
    let count = 70_001;
    let [a, b]: [Vec<f32>; 2] = [3, 5].map(|n| (0..count).map(|i| (i % n) as f32).collect());
    let expected: Vec<_> = a.iter().zip(&b).map(|(a, b)| a * b).collect();
    for (name, device) in devices() {
        let (a, b) = (tensor(&a, [count], device), tensor(&b, [count], device));
        let c = Tensor::empty([count], device).unwrap();
        let [left, right, sums] = [&a, &b, &c].map(|x| Matrix::new(x, 1).batch(count, 1));
        let gemm = Gemm { m: 1, n: 1, k: 1, bias: None, accumulate: false };
        gemm.run(left, right, sums).unwrap();
        assert!(c.to_vec().unwrap() == expected, "{name}");
        assert!(
            gemm.run(left, right.skip(1), sums).is_err()
                && gemm.run(left.batch(2, 1), right, sums).is_err()
        );
    }
}
