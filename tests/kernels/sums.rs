//! Sums of millions of terms: as precise as those of a few. Added one after the other in single precision
//! they would be off by a thousandth.

use super::oracle::Random;
use super::{close, devices, tensor};
use crate::Tensor;
use crate::lengths::Counted;
use crate::ops::frames::pool;
use crate::ops::loss::pointwise_loss;
use crate::ops::norm::{layer_norm, softmax};
use crate::ops::optim::regularizer;
use crate::ops::sums::column_sum::column_sum;
use crate::ops::sums::reduce_sum::reduce_sum;

#[test]
fn of_all_rows() {
    // Blocks of the kernel, their neighbours, and what a large data set has.
    for n in [1, 16_383, 16_384, 16_385, 40_000, 6_400_000] {
        let values = vec![3f32.ln(); n];
        for (name, device) in devices() {
            let x = tensor(&values, [n], device);
            let y = tensor(&[0.25], [1], device);
            let (sum, scale) = (f64::from(values[0]) * n as f64, 1.0 / n as f32);
            reduce_sum(&x, scale, true, &y).unwrap();
            close(&format!("the mean of {n}, {name}"), &y, &[0.25 + sum * f64::from(scale)], 1e-6);
            reduce_sum(&x, 1.0, false, &y).unwrap();
            close(&format!("the sum of {n}, {name}"), &y, &[sum], 1e-6);
        }
    }
}

#[test]
fn of_columns() {
    let (rows, c) = (640_000, 5);
    let x = vec![0.1f32; rows * c];
    for (name, device) in devices() {
        let y = tensor(&vec![1.0; c], [c], device);
        column_sum(&tensor(&x, [rows, c], device), &y).unwrap();
        let expected = vec![1.0 + f64::from(0.1f32) * rows as f64; c];
        close(&format!("{rows} rows, {name}"), &y, &expected, 1e-6);
    }
}

#[test]
fn of_classes() {
    let c = 1_000_000;
    let x = Random::new(71).uniform(c, -1.0, 1.0);
    for (name, device) in devices() {
        let y = softmax::softmax(&tensor(&x, [1, c], device)).unwrap().to_vec().unwrap();
        let sum: f64 = y.iter().map(|&y| f64::from(y)).sum();
        assert!((sum - 1.0).abs() < 1e-6, "{name}: {sum}");
    }
}

#[test]
fn of_a_wide_row() {
    let c = 1_000_000;
    let (x, zeros) = (vec![0.3f32; c], vec![0.0; c]);
    let square = f64::from(0.3f32) * f64::from(0.3f32) * c as f64;
    for (name, device) in devices() {
        let [x, y] = [&x, &zeros].map(|values| tensor(values, [1, c], device));
        let kind = pointwise_loss::Kind::SquaredError;
        let loss = pointwise_loss::forward(kind, &x, &y, None, 1.0).unwrap();
        close(&format!("squares, {name}"), &loss, &[square], 1e-6);
        let l2 = regularizer::penalty(&x, [0.0, 1.0]).unwrap();
        close(&format!("a penalty, {name}"), &l2, &[square], 1e-6);
        let (_, stats) = layer_norm::layer_norm(&x, &y, None, 1.0).unwrap();
        let mean = Tensor::from_slice(&stats.to_vec().unwrap()[..1], [1], device).unwrap();
        close(&format!("a row's mean, {name}"), &mean, &[f64::from(0.3f32)], 1e-6);
    }
}

#[test]
fn of_frames() {
    let (t, c) = (300_000, 2);
    let x = vec![0.7f32; t * c];
    for (name, device) in devices() {
        let x = tensor(&x, [1, t, c], device);
        for (kind, share) in [(pool::Kind::Mean, 1.0), (pool::Kind::Sum, t as f64)] {
            let (y, _) = pool::pool(kind, &x, [1, t, c], &Counted::All).unwrap();
            let expected = [f64::from(0.7f32) * share; 2];
            close(&format!("{kind:?}, {name}"), &y, &expected, 1e-6);
        }
    }
}
