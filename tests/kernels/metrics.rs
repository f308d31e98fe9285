//! What metrics need of the device: the answer of each row, and sums of many kinds in one pass.

use super::oracle::{self, Random, widen};
use super::{close, close_values, devices, tensor};
use crate::Tensor;
use crate::ops::loss::answers::{CLASS, LOG_LOSS, RANK, WIDTH, answers};
use crate::ops::loss::metric_sums::{Sum, Term, Wanted, metric_sums};

/// On both sides of a workgroup's width, of a part of a sum, and of a block of rows.
const SHAPES: [[usize; 2]; 11] = [
    [1, 1],
    [1, 9],
    [3, 17],
    [33, 64],
    [65, 65],
    [5, 300],
    [1023, 3],
    [2050, 2],
    [5, 1000],
    [3000, 1],
    [2, 30_001],
];

/// Rank, log loss and class of a row.
pub fn answer(x: &[f64], label: usize) -> [f64; 3] {
    if x.iter().any(|x| x.is_nan()) {
        return [f64::INFINITY, f64::NAN, -1.0];
    }
    // The places from the likeliest on: the sort is stable.
    let mut order: Vec<_> = (0..x.len()).collect();
    order.sort_by(|&a, &b| x[b].partial_cmp(&x[a]).unwrap());
    let rank = order.iter().position(|&j| j == label).unwrap();
    let (loss, _) = oracle::losses::cross_entropy(x, &[label as u32], x.len(), None);
    [rank as f64, loss, order[0] as f64]
}

#[test]
fn answers_of_rows() {
    let mut r = Random::new(201);
    for [rows, c] in SHAPES {
        // Halves, so that there are ties.
        let mut x: Vec<_> =
            r.uniform(rows * c, -6.0, 6.0).iter().map(|x| (x * 2.0).round() / 2.0).collect();
        let mut labels: Vec<_> = (0..rows).map(|_| r.below(c) as u32).collect();
        let mut weights = r.uniform(rows, 0.1, 2.0);
        if rows > 2 {
            // Padding, whose label need not be a class, and a row that says nothing.
            weights[1] = 0.0;
            x[c..2 * c].fill(f32::NAN);
            x[2 * c + c / 2] = f32::NAN;
        }
        let wide = widen(&x);
        let expected: Vec<_> =
            wide.chunks(c).zip(&labels).map(|(x, &l)| answer(x, l as usize)).collect();
        if rows > 2 {
            labels[1] = 1_000_000;
        }
        for (name, device) in devices() {
            let w = tensor(&weights, [rows], device);
            let x = tensor(&x, [rows, c], device);
            let labels = Tensor::from_u32(&labels, [rows], device).unwrap();
            for (weighted, log_loss) in [(true, true), (true, false), (rows < 3, true)] {
                let what = format!("{rows} x {c}, loss {log_loss}, weighted {weighted}, {name}");
                let found = answers(&x, &labels, weighted.then_some(&w), log_loss).unwrap();
                let found = found.to_vec().unwrap();
                assert_eq!(found.len(), rows * WIDTH);
                let (mut losses, mut exact) = (Vec::new(), Vec::new());
                for (row, (found, expected)) in found.chunks(WIDTH).zip(&expected).enumerate() {
                    let rank = if found[RANK] > 1e38 { f32::INFINITY } else { found[RANK] };
                    let counts = weights[row] != 0.0 || !weighted;
                    let expected = if counts { *expected } else { [f64::INFINITY, 0.0, -1.0] };
                    let whole = [f64::from(rank), f64::from(found[CLASS])];
                    assert_eq!(whole, [expected[0], expected[2]], "row {row} of {what}");
                    losses.push(found[LOG_LOSS]);
                    exact.push(expected[1]);
                }
                if log_loss {
                    close_values(&what, &losses, &exact, 1e-5);
                }
            }
        }
    }
}

const TERMS: [Term; 15] = [
    Term::Absolute,
    Term::Squared,
    Term::Percentage,
    Term::Symmetric,
    Term::Pinball(0.7),
    Term::LogLoss,
    Term::Below(0.4),
    Term::Value,
    Term::Right(0.2),
    Term::Yes(0.2),
    Term::IsYes,
    Term::BothYes(0.2),
    Term::No(0.2),
    Term::IsNo,
    Term::BothNo(0.2),
];

/// A term in double precision.
pub fn term(term: Term, x: f64, y: f64) -> f64 {
    let d = (x - y).abs();
    let one = |condition: bool| f64::from(u8::from(condition));
    let over = |p: f32| x > f64::from(p);
    let under = |p: f32| x <= f64::from(p);
    match term {
        Term::Absolute => d,
        Term::Squared => d * d,
        Term::Percentage if d.is_nan() => d,
        Term::Percentage => d / y.abs().max(f64::EPSILON),
        Term::Symmetric if x == 0.0 && y == 0.0 => 0.0,
        Term::Symmetric => 2.0 * d / (x.abs() + y.abs()),
        Term::Pinball(p) if x < y => f64::from(p) * (y - x),
        Term::Pinball(p) => (1.0 - f64::from(p)) * (x - y),
        Term::LogLoss => x.exp().ln_1p() - x * y,
        Term::Within => panic!("of a row"),
        Term::Below(p) => one(x < f64::from(p)),
        Term::Value => x,
        Term::Right(p) => one(over(p) == (y > 0.5) && !x.is_nan() && !y.is_nan()),
        Term::Yes(p) => one(over(p)),
        Term::IsYes => one(y > 0.5),
        Term::BothYes(p) => one(over(p) && y > 0.5),
        Term::No(p) => one(under(p)),
        Term::IsNo => one(y <= 0.5),
        Term::BothNo(p) => one(under(p) && y <= 0.5),
    }
}

/// The sums of all blocks.
pub fn added(parts: &Tensor, sums: usize) -> Vec<f32> {
    let parts = parts.to_vec().unwrap();
    let of = |s: usize| parts.iter().skip(s).step_by(sums).map(|&p| f64::from(p)).sum::<f64>();
    (0..sums).map(|s| of(s) as f32).collect()
}

#[test]
fn sums_of_every_kind() {
    let mut r = Random::new(202);
    for [rows, c] in SHAPES {
        let mut x = r.uniform(rows * c, -2.0, 2.0);
        let mut weights = r.uniform(rows, 0.1, 2.0);
        for width in [c, 1] {
            let mut y = r.uniform(rows * width, -2.0, 2.0);
            y[0] = 0.0;
            x[0] = 0.0;
            let columns = [(0, c), (c / 2, 1), (c / 3, c - c / 3)];
            let wanted: Vec<_> = TERMS
                .iter()
                .chain([&Term::Within])
                .flat_map(|&term| columns.map(|columns| Sum { term, columns }))
                .collect();
            for weighted in [false, true] {
                if weighted && rows > 1 {
                    weights[1] = 0.0;
                    x[c..2 * c].fill(f32::NAN);
                } else if rows > 1 {
                    x[c..2 * c].fill(0.25);
                }
                let expected: Vec<_> = wanted
                    .iter()
                    .map(|sum| {
                        let (first, count) = sum.columns;
                        let of_row = |row: usize| {
                            let x = |j: usize| f64::from(x[row * c + j]);
                            let y = |j: usize| f64::from(y[row * width + j.min(width - 1)]);
                            let w = if weighted { f64::from(weights[row]) } else { 1.0 };
                            if w == 0.0 {
                                return 0.0;
                            }
                            if sum.term == Term::Within {
                                let (low, high) = (x(first), x(first + count - 1));
                                return w * f64::from(u8::from(
                                    low <= y(first) && y(first) <= high,
                                ));
                            }
                            let columns = first..first + count;
                            w * columns.map(|j| term(sum.term, x(j), y(j))).sum::<f64>()
                        };
                        (0..rows).map(of_row).sum::<f64>()
                    })
                    .collect();
                for (name, device) in devices() {
                    let what = format!("{rows} x {c}, y of {width}, weighted {weighted}, {name}");
                    let (x, y) = (tensor(&x, [rows, c], device), tensor(&y, [rows, width], device));
                    let w = tensor(&weights, [rows], device);
                    let own = Wanted::new(wanted.clone(), 0, device).unwrap();
                    assert_eq!(own.len(), wanted.len());
                    let w = weighted.then_some(&w);
                    let found = added(&metric_sums(&own, &x, &y, w).unwrap(), own.len());
                    for ((found, expected), sum) in found.iter().zip(&expected).zip(&wanted) {
                        let what = format!("{sum:?} of {what}");
                        close_values(&what, &[*found], &[*expected], 1e-5);
                    }
                }
            }
        }
    }
}

/// Outputs of which several have one target: those of quantiles.
#[test]
fn sums_where_targets_have_several_outputs() {
    let mut r = Random::new(204);
    for (rows, targets, each) in [(1, 1, 3), (7, 2, 3), (1025, 3, 2), (33, 5, 7)] {
        let c = targets * each;
        let (x, y) = (r.uniform(rows * c, -2.0, 2.0), r.uniform(rows * targets, -2.0, 2.0));
        let weights = r.uniform(rows, 0.1, 2.0);
        let plain = [Term::Absolute, Term::Pinball(0.7)];
        let of = |j: usize| plain.map(|term| Sum { term, columns: (j, 1) });
        let mut wanted: Vec<_> = (0..c).flat_map(of).collect();
        wanted.push(Sum { term: Term::Squared, columns: (0, c) });
        let within = |t: usize| Sum { term: Term::Within, columns: (t * each, each) };
        wanted.extend((0..targets).map(within));
        let at = |row: usize, j: usize| {
            (f64::from(x[row * c + j]), f64::from(y[row * targets + j / each]))
        };
        let of_row = |sum: &Sum, row: usize| -> f64 {
            let (first, count) = sum.columns;
            if sum.term == Term::Within {
                let ((low, y), (high, _)) = (at(row, first), at(row, first + count - 1));
                return f64::from(u8::from(low <= y && y <= high));
            }
            (first..first + count).map(|j| term(sum.term, at(row, j).0, at(row, j).1)).sum()
        };
        let of = |sum: &Sum| (0..rows).map(|row| f64::from(weights[row]) * of_row(sum, row)).sum();
        let expected: Vec<f64> = wanted.iter().map(of).collect();
        for (name, device) in devices() {
            let own = Wanted::new(wanted.clone(), 0, device).unwrap().of_each(each);
            let w = tensor(&weights, [rows], device);
            let (x, y) = (tensor(&x, [rows, c], device), tensor(&y, [rows, targets], device));
            let found = added(&metric_sums(&own, &x, &y, Some(&w)).unwrap(), own.len());
            close_values(&format!("{rows} x {targets} x {each}, {name}"), &found, &expected, 1e-5);
        }
    }
}

#[test]
fn counts_of_classes() {
    let mut r = Random::new(203);
    for (rows, classes) in [(1, 1), (7, 5), (1025, 70)] {
        let label = |r: &mut Random| r.below(classes) as u32;
        let mut labels: Vec<_> = (0..rows).map(|_| label(&mut r)).collect();
        let mut said: Vec<_> = labels.clone();
        for said in said.iter_mut().step_by(3) {
            *said = label(&mut r);
        }
        let mut weights = r.uniform(rows, 0.1, 2.0);
        let mut x: Vec<_> = said.iter().flat_map(|&class| [0.5, 2.0, class as f32]).collect();
        let mut expected = vec![0.0; 1 + 3 * classes];
        if rows > 2 {
            // One says nothing; one does not count.
            x[2 * WIDTH + CLASS] = -1.0;
            weights[1] = 0.0;
            labels[1] = 1_000_000;
            x[WIDTH..2 * WIDTH].fill(f32::NAN);
        }
        for row in (0..rows).filter(|&row| weights[row] != 0.0) {
            let w = f64::from(weights[row]);
            let (label, says) = (labels[row] as usize, x[row * WIDTH + CLASS] >= 0.0);
            expected[0] += 2.0 * w;
            expected[1 + 3 * label + 1] += w;
            if says {
                expected[1 + 3 * said[row] as usize] += w;
                expected[1 + 3 * label + 2] += f64::from(u8::from(said[row] == labels[row])) * w;
            }
        }
        for (name, device) in devices() {
            let loss = Sum { term: Term::Value, columns: (LOG_LOSS, 1) };
            let wanted = Wanted::new(vec![loss], classes, device).unwrap();
            let x = tensor(&x, [rows, WIDTH], device);
            let labels = Tensor::from_u32(&labels, [rows], device).unwrap();
            let w = tensor(&weights, [rows], device);
            let parts = metric_sums(&wanted, &x, &labels, Some(&w)).unwrap();
            assert_eq!(parts.shape(), [rows.div_ceil(1024), expected.len()]);
            let sums = tensor(&added(&parts, expected.len()), [expected.len()], device);
            close(&format!("{classes} of {rows}, {name}"), &sums, &expected, 1e-5);
        }
    }
}
