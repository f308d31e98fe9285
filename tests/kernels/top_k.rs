//! The likeliest classes of rows of logits.

use super::oracle::Random;
use super::{assert_close, devices, tensor};
use crate::ops::norm::top_k::{Likely, top_k};

/// The `k` first of all classes of a row, sorted, with the logarithms of their probabilities.
fn sorted(x: &[f32], k: usize) -> Vec<(f64, u32)> {
    let largest = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = x.iter().map(|&x| f64::from(x - largest).exp()).sum();
    let mut all: Vec<_> = (0..x.len()).collect();
    // Stable: of equals the first stays before the others.
    all.sort_by(|&a, &b| x[b].partial_cmp(&x[a]).unwrap());
    let of = |&at: &usize| (f64::from(x[at]) - f64::from(largest) - sum.ln(), at as u32);
    all.iter().take(k).map(of).collect()
}

#[track_caller]
fn check(what: &str, x: &[f32], c: usize, k: usize) {
    let expected: Vec<_> = x.chunks(c).flat_map(|x| sorted(x, k)).collect();
    for (name, device) in devices() {
        let what = format!("{what}: {k} of {} x {c}, {name}", x.len() / c);
        let found = top_k(&tensor(x, [x.len() / c, c], device), k).unwrap();
        let classes: Vec<_> = found.iter().map(|l| l.class).collect();
        assert_eq!(classes, expected.iter().map(|e| e.1).collect::<Vec<_>>(), "{what}");
        let logs: Vec<_> = found.iter().map(|l| l.log_probability).collect();
        assert_close(what, &logs, &expected.iter().map(|e| e.0).collect::<Vec<_>>(), 1.0, 2e-6);
    }
}

#[test]
fn the_likeliest_classes_of_each_row() {
    let mut r = Random::new(21);
    for (c, rows) in [(1, 5), (7, 1), (63, 3), (64, 3), (65, 5), (300, 5), (4097, 2), (30_001, 5)] {
        let x = r.uniform(rows * c, -8.0, 8.0);
        for k in [1, 2, 7, 10, 17, 64, 65, 200].into_iter().filter(|&k| k <= c) {
            check("at random", &x, c, k);
        }
    }
    // More than there are: all of them.
    check("all", &r.uniform(14, -3.0, 3.0), 7, 1000);
}

#[test]
fn whatever_order_a_row_is_in() {
    let c = 1000;
    let up: Vec<f32> = (0..c).map(|j| j as f32 * 0.01).collect();
    let down: Vec<f32> = up.iter().rev().copied().collect();
    // The likeliest all in one of the kernel's groups, and in another.
    let group: Vec<f32> = (0..c).map(|j| if j % 64 == 5 { 20.0 + j as f32 } else { 0.0 }).collect();
    for k in [1, 5, 17, 100] {
        check("ascending", &up, c, k);
        check("descending", &down, c, k);
        check("in a group", &group, c, k);
    }
}

#[test]
fn of_equals_the_first_comes_first() {
    let mut r = Random::new(22);
    for c in [1, 2, 64, 70, 1000] {
        let few: Vec<f32> = (0..3 * c).map(|_| r.below(4) as f32 - 1.5).collect();
        for k in [1, 3, 17].into_iter().filter(|&k| k <= c) {
            check("all equal", &vec![2.5; 2 * c], c, k);
            check("few values", &few, c, k);
            // Zeros of both signs are equal.
            let zeros: Vec<f32> = (0..c).map(|j| if j % 3 == 0 { -0.0 } else { 0.0 }).collect();
            check("zeros", &zeros, c, k);
        }
    }
}

#[test]
fn impossible_classes_come_last_and_in_order() {
    let mut x = vec![f32::NEG_INFINITY; 150];
    for at in [3, 64, 140] {
        x[at] = at as f32 * 0.01;
    }
    for k in [1, 3, 4, 17] {
        check("all but three are impossible", &x, 150, k);
    }
}

#[test]
fn a_row_that_is_no_distribution_is_nan_and_others_are_not() {
    let (c, k) = (100, 7);
    let mut r = Random::new(23);
    let fine = r.uniform(c, -2.0, 2.0);
    for (wrong, places) in [
        (f32::NAN, vec![0]),
        (f32::NAN, vec![99]),
        (f32::INFINITY, vec![70]),
        (f32::INFINITY, vec![3, 70]),
        (f32::NEG_INFINITY, (0..c).collect()),
        (f32::NAN, (0..c).collect()),
    ] {
        let mut row = fine.clone();
        places.iter().for_each(|&at| row[at] = wrong);
        let x = [&fine[..], &row, &fine].concat();
        for (name, device) in devices() {
            let found = top_k(&tensor(&x, [3, c], device), k).unwrap();
            let [a, wrong_row, b] = [0, 1, 2].map(|row| &found[row * k..][..k]);
            let is_nan = |l: &Likely| l.log_probability.is_nan();
            assert!(wrong_row.iter().all(is_nan), "{wrong} at {places:?}, {name}: {found:?}");
            assert!(!a.iter().any(is_nan) && a == b, "{wrong} at {places:?}, {name}: {found:?}");
        }
    }
}
