//! The oracle's gradients against central differences of its values.

use super::super::assert_close;
use super::*;
use dense::Activation;

fn random(random: &mut Random, len: usize) -> Vec<f64> {
    widen(&random.uniform(len, -1.0, 1.0))
}

/// Central differences are only so exact where a gradient is nearly 0.
#[track_caller]
fn close(what: &str, found: &[f64], expected: &[f64], bound: f64) {
    assert_close(what, found, expected, 1e-3, bound);
}

/// Random cells with every option.
pub fn random_cell(r: &mut Random, b: usize, t: usize, h: usize) -> lstm::Cell {
    use lstm::Act;
    const ACTS: [Act; 11] = [
        Act::Sigmoid,
        Act::Tanh,
        Act::Relu,
        Act::Affine(0.5, 0.1),
        Act::HardSigmoid(0.2, 0.5),
        Act::LeakyRelu(0.1),
        Act::ScaledTanh(1.5, 0.7),
        Act::Elu(0.8),
        Act::Softsign,
        Act::Softplus,
        Act::ThresholdedRelu(0.1),
    ];
    let mut act = || ACTS[r.below(ACTS.len())];
    let (recurrent, input, output) = (act(), act(), act());
    let coupling = [
        lstm::Coupling::None,
        lstm::Coupling::InputFollowsForget,
        lstm::Coupling::ForgetFollowsInput,
    ][r.below(3)];
    let mut maybe = |value: f64| if r.below(2) == 0 { value } else { f64::INFINITY };
    let (clip, cell_clip) = (maybe(0.6), maybe(0.4));
    let bits = |r: &mut Random, n: usize, high: f64| -> Vec<f64> {
        (0..n).map(|_| if r.below(2) == 0 { high } else { 0.0 }).collect()
    };
    lstm::Cell {
        recurrent,
        input,
        output,
        coupling,
        clip,
        cell_clip,
        peepholes: (r.below(2) == 0).then(|| random(r, 3 * h)),
        scale: (r.below(2) == 0).then(|| bits(r, b * h, 2.0)),
        stays: (r.below(2) == 0).then(|| [bits(r, b * t * h, 1.0), bits(r, b * t * h, 1.0)]),
    }
}

#[test]
fn the_lstm_backward_is_the_gradient_of_its_forward() {
    let mut r = Random::new(1);
    for round in 0..40 {
        let (b, t, i, h) = (1 + r.below(3), 1 + r.below(5), 1 + r.below(4), 1 + r.below(4));
        let cell = if round < 8 { lstm::Cell::default() } else { random_cell(&mut r, b, t, h) };
        let lengths = (r.below(2) == 0).then(|| (0..b).map(|_| r.below(t + 1)).collect());
        let mask = (r.below(2) == 0).then(|| (0..b * t).map(|_| r.below(3) > 0).collect());
        let reverse = r.below(2) == 0;
        let sizes = [b * t * i, 4 * h * i, 4 * h * h, 4 * h, 3 * h, b * h, b * h];
        let arguments: Vec<_> = sizes.iter().map(|&n| random(&mut r, n)).collect();
        let (d_y, d_h, d_c) =
            (random(&mut r, b * t * h), random(&mut r, b * h), random(&mut r, b * h));
        let layer = |arguments: &[Vec<f64>]| lstm::Lstm {
            batch: b,
            timesteps: t,
            input_size: i,
            hidden_size: h,
            weight_ih: arguments[1].clone(),
            weight_hh: arguments[2].clone(),
            bias: arguments[3].clone(),
            lengths: lengths.clone(),
            mask: mask.clone(),
            reverse,
            zero_left_out: round % 2 == 0,
            cell: lstm::Cell {
                peepholes: cell.peepholes.as_ref().map(|_| arguments[4].clone()),
                ..cell.clone()
            },
        };
        let a = &arguments;
        let out = layer(a).forward(&a[0], &a[5], &a[6]);
        let mut d_y_used = d_y.clone();
        for (row, &length) in lengths.iter().flatten().enumerate() {
            d_y_used[(row * t + length) * h..(row + 1) * t * h].fill(0.0);
        }
        let d = layer(a).backward(&a[0], &out, &d_y, &d_h, &d_c);
        let peepholes = if cell.peepholes.is_some() { d.d_peepholes } else { vec![0.0; 3 * h] };
        let found = [d.d_x, d.d_weight_ih, d.d_weight_hh, d.d_bias, peepholes, d.d_h_0, d.d_c_0];
        for (n, found) in found.iter().enumerate() {
            let mut value = |v: &[f64]| {
                let mut a = arguments.clone();
                a[n] = v.to_vec();
                let out = layer(&a).forward(&a[0], &a[5], &a[6]);
                let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
                dot(&out.y, &d_y_used) + dot(&out.h_n, &d_h) + dot(&out.c_n, &d_c)
            };
            let expected = central_difference(&mut value, &arguments[n], 1e-6);
            let what = format!("argument {n} of round {round}, B{b} T{t} I{i} H{h}, {cell:?}");
            close(&what, found, &expected, 1e-6);
        }
    }
}

#[test]
fn the_activations_backwards_are_their_gradients() {
    let mut r = Random::new(2);
    for kind in dense::ACTIVATIONS {
        for columns in [1, 4] {
            let (x, d_y) = (random(&mut r, 3 * columns), random(&mut r, 3 * columns));
            let y = dense::activate(kind, &x, columns);
            let found = dense::activate_backward(kind, &y, &d_y, columns);
            let mut value = |x: &[f64]| {
                let y = dense::activate(kind, x, columns);
                y.iter().zip(&d_y).map(|(y, d)| y * d).sum::<f64>()
            };
            let expected = central_difference(&mut value, &x, 1e-6);
            close(&format!("{kind:?} of {columns}"), &found, &expected, 1e-7);
        }
    }
    assert_eq!(dense::activate(Activation::Softmax, &[1e4, 1e4], 2), [0.5, 0.5]);
}

#[test]
fn the_losses_gradients_are_their_gradients() {
    let mut r = Random::new(3);
    type Loss = fn(&[f64], &[f64], Option<&[f64]>) -> (f64, Vec<f64>);
    let losses: [(&str, Loss); 3] = [
        ("cross-entropy", |x, _, w| losses::cross_entropy(x, &[2, 0, 1], 3, w)),
        ("binary cross-entropy", |x, y, w| losses::binary_cross_entropy(x, y, 3, w)),
        ("squared error", |x, y, w| losses::mean_squared_error(x, y, 3, w)),
    ];
    for (name, loss) in losses {
        for w in [None, Some(&[0.5, 0.0, 2.0][..])] {
            let (x, y) = (random(&mut r, 9), random(&mut r, 9));
            let (_, found) = loss(&x, &y, w);
            let expected = central_difference(&mut |x| loss(x, &y, w).0, &x, 1e-6);
            close(name, &found, &expected, 1e-7);
        }
    }
}

#[test]
fn sums_over_paths_are_over_every_path() {
    let mut r = Random::new(5);
    for [t, k] in [[1, 1], [1, 3], [5, 1], [2, 2], [4, 3], [3, 5]] {
        let (x, scores) = (random(&mut r, t * k), random(&mut r, (k + 2) * k));
        let path: Vec<usize> = (0..t).map(|_| r.below(k)).collect();
        let row = crf::Crf { x: &x, scores: &scores, k };
        close("the sum", &[row.total()], &[row.total_of_all()], 1e-12);
        let best = row.paths().map(|path| row.score(&path)).fold(f64::NEG_INFINITY, f64::max);
        close("the best", &[row.best()], &[best], 1e-12);
        let [d_x, d_scores] = row.gradients(&path);
        let mut of = |x: &[f64]| crf::Crf { x, ..row }.loss(&path);
        close("emissions", &d_x, &central_difference(&mut of, &x, 1e-6), 1e-6);
        let mut of = |scores: &[f64]| crf::Crf { scores, ..row }.loss(&path);
        close("scores", &d_scores, &central_difference(&mut of, &scores, 1e-6), 1e-6);
    }
}

#[test]
fn the_product_knows_its_transposes() {
    let (a, b) = ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1.0, 0.0, 2.0, 1.0, 1.0, 3.0]);
    let (at, bt) = ([1.0, 4.0, 2.0, 5.0, 3.0, 6.0], [1.0, 2.0, 1.0, 0.0, 1.0, 3.0]);
    let bias = Some(&[0.0, 0.0][..]);
    let sizes = [2, 2, 3];
    let expected = dense::gemm((false, false), sizes, &a, &b, None);
    assert_eq!(expected, [8.0, 11.0, 20.0, 23.0][..].to_vec().as_slice());
    assert_eq!(dense::gemm((true, false), sizes, &at, &b, bias), expected);
    assert_eq!(dense::gemm((false, true), sizes, &a, &bt, None), expected);
    assert_eq!(dense::gemm((true, true), sizes, &at, &bt, None), expected);
}
