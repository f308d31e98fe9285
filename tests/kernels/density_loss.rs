//! The losses by densities: kernel and twin over groups of all sizes, and the slopes against differences of losses.

use super::oracle::{Random, widen};
use super::{assert_same_bits, close, devices, tensor};
use crate::Device;
use crate::ops::loss::density_loss::{Kind, Wanted, backward, forward};

const KINDS: [Kind; 6] = [
    Kind::Normal,
    Kind::StudentT,
    Kind::NegativeBinomial,
    Kind::Mixture { components: 1, targets: 1 },
    Kind::Mixture { components: 5, targets: 3 },
    Kind::Strokes { components: 3 },
];

/// Rows, and groups of a row: on both sides of what a workgroup takes.
const SHAPES: [[usize; 2]; 5] = [[1, 1], [3, 21], [64, 1], [65, 1], [37, 29]];

/// Outputs and targets that go together.
fn some(r: &mut Random, kind: Kind, groups: usize) -> [Vec<f32>; 2] {
    let mut y = r.uniform(groups * kind.targets(), -2.0, 2.0);
    match kind {
        Kind::NegativeBinomial => y.iter_mut().for_each(|y| *y = (*y * *y * 8.0).floor()),
        Kind::Strokes { .. } => {
            y.iter_mut().skip(2).step_by(3).for_each(|y| *y = f32::from(*y > 0.0));
        }
        _ => {}
    }
    [r.uniform(groups * kind.outputs(), -2.0, 2.0), y]
}

#[test]
fn densities_of_groups() {
    let mut r = Random::new(431);
    for kind in KINDS {
        let (outputs, targets) = (kind.outputs(), kind.targets());
        for [rows, each] in SHAPES {
            let n = rows * each;
            let [x, y] = some(&mut r, kind, n);
            let mut weights = r.uniform(rows, 0.1, 2.0);
            if rows > 1 {
                weights[1] = 0.0;
            }
            for weighted in [false, true] {
                let w = |i: usize| 0.5 * if weighted { f64::from(weights[i / each]) } else { 1.0 };
                let of = |i: usize, x: &[f32]| kind.loss(x, &y[i * targets..][..targets]);
                let groups = || x.chunks(outputs).enumerate();
                let losses: Vec<_> = groups().map(|(i, x)| w(i) * of(i, x)).collect();
                // Of fourth order, by steps that floats hold.
                let slope = |i: usize, x: &[f32], j: usize| {
                    let at = |step: f32| {
                        let mut x = x.to_vec();
                        x[j] += step;
                        (of(i, &x), f64::from(x[j]))
                    };
                    let h = 1.0 / 2048.0;
                    let difference = |h: f32| {
                        let [(high, to), (low, from)] = [at(h), at(-h)];
                        (high - low) / (to - from)
                    };
                    (4.0 * difference(h) - difference(2.0 * h)) / 3.0
                };
                let d_x: Vec<_> = groups()
                    .flat_map(|(i, x)| (0..outputs).map(move |j| (i, x, j)))
                    .map(|(i, x, j)| 0.7 * w(i) * slope(i, x, j))
                    .collect();
                for (name, device) in devices() {
                    let what = format!("{kind:?} of {rows} x {each}, {weighted}, {name}");
                    let wanted = Wanted {
                        kind,
                        y: tensor(&y, [rows, each * targets], device),
                        each,
                        weights: weighted.then(|| tensor(&weights, [rows], device)),
                        scale: 0.5,
                    };
                    let x = tensor(&x, [rows, each * outputs], device);
                    close(&what, &forward(&x, &wanted).unwrap(), &losses, 2e-6);
                    let d_loss = tensor(&[0.7], [1], device);
                    close(&what, &backward(&x, &wanted, &d_loss).unwrap(), &d_x, 2e-5);
                }
            }
        }
    }
}

/// Kernels have the digits of the twin far out, too: where scales are least, targets far away, counts huge.
#[test]
fn densities_far_out() {
    let normal = [[0.0, -40.0, 0.5], [0.0, 90.0, 1e5], [1e6, -2.0, 1e6], [0.0, -90.0, 0.0]];
    let student = [[0.0, -40.0, -40.0, 0.5], [0.0, 1.0, 1e5, 0.3], [5.0, 0.0, 2.0, 1e18]];
    let counts = [
        [1e6, -40.0, 1e6],
        [1e6, 0.0, 0.0],
        [-40.0, 3.0, 2.0],
        [1e8, -9.0, 1e9],
        [9.0, -40.0, 9.0],
    ];
    let flat = |all: &[&[f32]]| -> [Vec<f32>; 2] {
        let outputs = all[0].len() - 1;
        let x = all.iter().flat_map(|of| of[..outputs].to_vec()).collect();
        [x, all.iter().map(|of| of[outputs]).collect()]
    };
    let cases = [
        (Kind::Normal, flat(&normal.each_ref().map(|of| &of[..]))),
        (Kind::StudentT, flat(&student.each_ref().map(|of| &of[..]))),
        (Kind::NegativeBinomial, flat(&counts.each_ref().map(|of| &of[..]))),
    ];
    let cpu = Device::cpu().unwrap();
    for (kind, [x, y]) in cases {
        for (group, (x, y)) in x.chunks(kind.outputs()).zip(&y).enumerate() {
            let run = |device: &Device| {
                let wanted = Wanted {
                    kind,
                    y: tensor(&[*y], [1, 1], device),
                    each: 1,
                    weights: None,
                    scale: 1.0,
                };
                let x = tensor(x, [1, x.len()], device);
                let d_loss = tensor(&[1.0], [1], device);
                [forward(&x, &wanted).unwrap(), backward(&x, &wanted, &d_loss).unwrap()]
            };
            let expected = run(&cpu).map(|t| widen(&t.to_vec().unwrap()));
            let exact = kind.loss(x, &[*y]);
            assert!((expected[0][0] - exact).abs() <= 1e-6 * exact.abs(), "{kind:?}, {group}");
            for (name, device) in devices() {
                for (found, expected) in run(device).iter().zip(&expected) {
                    for (found, &expected) in found.to_vec().unwrap().into_iter().zip(expected) {
                        let off = (f64::from(found) - expected).abs();
                        assert!(
                            off <= 2e-5 * (1e-2 + expected.abs()),
                            "{kind:?}, {group}, {name}: {found}, not {expected}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits_of_densities() {
    for kind in KINDS {
        let run = |threads: usize| {
            let device = Device::cpu_with_threads(threads).unwrap();
            let [x, y] = some(&mut Random::new(432), kind, 700);
            let wanted = Wanted {
                kind,
                y: tensor(&y, [y.len()], &device),
                each: 1,
                weights: None,
                scale: 0.1,
            };
            let x = tensor(&x, [x.len()], &device);
            let d_loss = tensor(&[1.0], [1], &device);
            let found = [forward(&x, &wanted).unwrap(), backward(&x, &wanted, &d_loss).unwrap()];
            found.map(|t| t.to_vec().unwrap()).concat()
        };
        let one = run(1);
        for threads in [2, 5] {
            assert_same_bits(format!("{kind:?}, {threads} threads"), &run(threads), &one);
        }
    }
}
