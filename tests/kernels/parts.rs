//! Ops of elements and frames past the ends of vectors and of what a thread takes: against formulas on every
//! device, and on the CPU the same bits for any number of threads.

use super::optimizers::{rules, slots};
use super::oracle::{Random, widen};
use super::{assert_same_bits, close_values, devices, tensor};
use crate::lengths::Counted;
use crate::ops::common::threefry::Key;
use crate::ops::elementwise::{activation, add, add_into, dropout, half, merge};
use crate::ops::frames::{apply_mask, copy_columns, embedding, pack, pool, swap_axes};
use crate::ops::optim::clip::{self, Units};
use crate::ops::optim::drawn::RowGradient;
use crate::ops::optim::update::{StepFactors, update};
use crate::ops::optim::{average, loss_scale, norm, regularizer};
use crate::{Device, Lengths, Mask, Tensor};

/// One, past a vector, past what a thread takes, and many of these.
const SIZES: [usize; 4] = [1, 17, 16_385, 100_003];

/// `[B,T,C]`, of which the last are many parts.
const DIMS: [[usize; 3]; 4] = [[1, 1, 1], [2, 5, 17], [3, 61, 97], [5, 67, 301]];

/// Runs an op on every device, and on the CPU with one thread and with several.
fn everywhere(what: &str, bound: f64, expected: &[f64], run: &dyn Fn(&Device) -> Tensor) {
    for (name, device) in devices() {
        let found = run(device).to_vec().unwrap();
        close_values(&format!("{what}, {name}"), &found, expected, bound);
    }
    on_threads(what, run);
}

fn on_threads(what: &str, run: &dyn Fn(&Device) -> Tensor) {
    let found = [1, 2, 5].map(|count| {
        let device = Device::cpu_with_threads(count).unwrap();
        run(&device).to_vec().unwrap()
    });
    for other in &found[1..] {
        assert_same_bits(format!("{what}, by threads"), other, &found[0]);
    }
}

fn pairs(x: &[f64], y: &[f64], f: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    x.iter().zip(y).map(|(&x, &y)| f(x, y)).collect()
}

/// Numbers of which one is NaN, if they are several.
fn with_nan(mut x: Vec<f32>) -> Vec<f32> {
    let middle = x.len() / 2;
    if middle > 0 {
        x[middle] = f32::NAN;
    }
    x
}

#[test]
fn activations() {
    use activation::Kind::{Relu, Sigmoid, Tanh};
    let mut r = Random::new(501);
    for n in SIZES {
        let (x, d) = (with_nan(r.uniform(n, -9.0, 9.0)), r.uniform(n, -1.0, 1.0));
        let y = with_nan(r.uniform(n, -1.0, 1.0));
        for kind in [Sigmoid, Tanh, Relu] {
            let what = format!("{kind:?} of {n}");
            let of = |x: &f64| match kind {
                Sigmoid => 1.0 / (1.0 + (-x).exp()),
                Tanh => x.tanh(),
                _ => {
                    if *x < 0.0 {
                        0.0
                    } else {
                        *x
                    }
                }
            };
            let expected: Vec<_> = widen(&x).iter().map(of).collect();
            everywhere(&what, 1e-6, &expected, &|device| {
                activation::activation(kind, &tensor(&x, [n], device)).unwrap()
            });
            let expected = pairs(&widen(&y), &widen(&d), |y, d| match kind {
                Sigmoid => d * y * (1.0 - y),
                Tanh => d * (1.0 - y * y),
                _ => {
                    if y <= 0.0 {
                        0.0
                    } else {
                        d
                    }
                }
            });
            everywhere(&format!("{what}, backward"), 1e-6, &expected, &|device| {
                let (y, d) = (tensor(&y, [n], device), tensor(&d, [n], device));
                activation::backward(kind, &y, &d).unwrap()
            });
        }
    }
}

#[test]
fn sums_of_elements() {
    let mut r = Random::new(502);
    for n in SIZES {
        let (x, y) = (with_nan(r.uniform(n, -2.0, 2.0)), r.uniform(n, -2.0, 2.0));
        let (x64, y64) = (widen(&x), widen(&y));
        let sum = pairs(&x64, &y64, |x, y| x + y);
        let both = |device: &Device| [&x, &y].map(|v| tensor(v, [n], device));
        everywhere(&format!("add of {n}"), 1e-7, &sum, &|device| {
            let [x, y] = both(device);
            add::add(&x, &y).unwrap()
        });
        everywhere(&format!("add_into of {n}"), 1e-7, &sum, &|device| {
            let [x, y] = both(device);
            add_into::add_into(&x, &y).unwrap();
            y
        });
        let mean = pairs(&x64, &y64, |x, y| y + 0.25 * (x - y));
        everywhere(&format!("average of {n}"), 3e-7, &mean, &|device| {
            let [x, y] = both(device);
            average::average(&x, &y, 0.25).unwrap();
            y
        });
        let scaled: Vec<_> = x64.iter().map(|x| x * 65_536.0).collect();
        everywhere(&format!("rescale of {n}"), 0.0, &scaled, &|device| {
            let state = loss_scale::state(device).unwrap();
            loss_scale::rescale(&tensor(&x, [n], device), &state, false).unwrap()
        });
        let clipped: Vec<_> = x64.iter().map(|x| x.clamp(-0.75, 0.75)).collect();
        everywhere(&format!("clip of {n}"), 0.0, &clipped, &|device| {
            let x = tensor(&x, [n], device);
            clip::value(&x, 0.75, None).unwrap();
            x
        });
        let slope = pairs(&x64, &y64, |x, y| {
            let sign = if x > 0.0 { 1.0 } else { -1.0 };
            y + 0.5 * (0.25 * sign + 2.0 * 0.125 * x)
        });
        everywhere(&format!("a penalty's gradient of {n}"), 3e-7, &slope, &|device| {
            let ([x, y], one) = (both(device), tensor(&[0.5], [1], device));
            regularizer::backward(&x, [0.25, 0.125], &one, &y, true).unwrap();
            y
        });
        let sum: f64 = y64.iter().map(|y| 0.25 * y.abs() + 0.125 * y * y).sum();
        everywhere(&format!("a penalty of {n}"), 1e-6, &[sum], &|device| {
            regularizer::penalty(&tensor(&y, [n], device), [0.25, 0.125]).unwrap()
        });
        let halves: Vec<_> =
            x.iter().map(|&x| f64::from(::half::f16::from_f32(x).to_f32())).collect();
        let rounded = half::half(&tensor(&x, [n], &devices()[0].1)).unwrap().to_vec().unwrap();
        close_values(&format!("half of {n}"), &rounded, &halves, 0.0);
        on_threads(&format!("half of {n}"), &|device| {
            half::half(&tensor(&x, [n], device)).unwrap()
        });
    }
}

/// What is dropped is what the generator says, number by number.
#[test]
fn dropouts() {
    let mut r = Random::new(503);
    for [b, t, c] in DIMS {
        let n = b * t * c;
        let x = r.uniform(n, -1.0, 1.0);
        for (same_steps, rate) in [(false, 0.4f32), (true, 0.4), (false, 0.999)] {
            let key = Key([7, 1234]);
            let block = if same_steps { t * c } else { c };
            let drops = |i: usize| key.floats([(i / block * c + i % c) as u32, 2])[0] < rate;
            let kept = 1.0 - f64::from(rate);
            let of = |i: usize| if drops(i) { 0.0 } else { f64::from(x[i]) / kept };
            let expected: Vec<_> = (0..n).map(of).collect();
            let what = format!("dropout of {b} x {t} x {c}, same steps {same_steps}, {rate}");
            everywhere(&what, 1e-6, &expected, &|device| {
                let y = dropout::dropout(&tensor(&x, [b, t, c], device), rate, key, same_steps);
                let y = y.unwrap();
                let zeros = y.to_vec().unwrap();
                let wrong = (0..n).find(|&i| (zeros[i] == 0.0) != (drops(i) || x[i] == 0.0));
                assert_eq!(wrong, None, "{what}");
                y
            });
        }
    }
}

#[test]
fn halves_of_rows() {
    let mut r = Random::new(504);
    for [b, t, c] in DIMS {
        let rows = b * t;
        let x = with_nan(r.uniform(rows * 2 * c, -1.0, 1.0));
        let d = r.uniform(rows * c, -1.0, 1.0);
        let (x64, d64) = (widen(&x), widen(&d));
        for kind in [merge::Kind::Sum, merge::Kind::Mean, merge::Kind::Product] {
            let (mut y, mut d_x) = (vec![0.0; rows * c], vec![0.0; rows * 2 * c]);
            for i in 0..rows * c {
                let [a, b] = [0, c].map(|half| i / c * 2 * c + half + i % c);
                (y[i], d_x[a], d_x[b]) = match kind {
                    merge::Kind::Sum => (x64[a] + x64[b], d64[i], d64[i]),
                    merge::Kind::Mean => (0.5 * (x64[a] + x64[b]), 0.5 * d64[i], 0.5 * d64[i]),
                    merge::Kind::Product => (x64[a] * x64[b], d64[i] * x64[b], d64[i] * x64[a]),
                };
            }
            let what = format!("{kind:?} of {rows} x {c}");
            everywhere(&what, 1e-6, &y, &|device| {
                merge::merge(kind, &tensor(&x, [rows, 2 * c], device)).unwrap()
            });
            everywhere(&format!("{what}, backward"), 1e-6, &d_x, &|device| {
                let (x, d) = (tensor(&x, [rows, 2 * c], device), tensor(&d, [rows, c], device));
                merge::backward(kind, &x, &d).unwrap()
            });
        }
    }
}

#[test]
fn frames_that_move() {
    let mut r = Random::new(505);
    for [b, t, c] in DIMS {
        let n = b * t * c;
        let x = with_nan(r.uniform(n, -1.0, 1.0));
        let x64 = widen(&x);
        let frame = |at: usize| &x64[at * c..][..c];
        let dims = format!("of {b} x {t} x {c}");
        let swapped: Vec<_> = (0..t * b).flat_map(|i| frame(i % b * t + i / b).to_vec()).collect();
        everywhere(&format!("swap_axes {dims}"), 0.0, &swapped, &|device| {
            swap_axes::swap_axes(&tensor(&x, [b, t, c], device)).unwrap()
        });
        let on: Vec<_> = (0..b * t).map(|i| i % 3 != 1).collect();
        let masked: Vec<_> = (0..n).map(|i| if on[i / c] { x64[i] } else { 0.0 }).collect();
        everywhere(&format!("apply_mask {dims}"), 0.0, &masked, &|device| {
            let mask = Mask::new(&on, [b, t], device).unwrap();
            apply_mask::apply_mask(&tensor(&x, [b, t, c], device), &mask).unwrap()
        });
        let (from, width) = (c / 3, c - c / 3);
        let columns: Vec<_> = (0..b * t)
            .flat_map(|at| [[7.0, 7.0].as_slice(), &frame(at)[from..], &[7.0]].concat())
            .collect();
        everywhere(&format!("copy_columns {dims}"), 0.0, &columns, &|device| {
            let y = tensor(&vec![7.0; b * t * (width + 3)], [b * t, width + 3], device);
            copy_columns::copy_columns((&tensor(&x, [b * t, c], device), from), (&y, 2), width)
                .unwrap();
            y
        });
        let lengths: Vec<_> = (0..b).map(|row| 1 + (row * 7 + t / 2) % t).collect();
        let mut order: Vec<_> = (0..b).collect();
        order.sort_by_key(|&row| std::cmp::Reverse(lengths[row]));
        let places = order.iter().flat_map(|&row| (0..lengths[row]).map(move |at| row * t + at));
        let packed: Vec<_> = places.flat_map(|at| frame(at).to_vec()).collect();
        everywhere(&format!("pack {dims}"), 0.0, &packed, &|device| {
            let lengths = Lengths::new(&lengths, device).unwrap();
            pack::pack(&tensor(&x, [b, t, c], device), &lengths).unwrap()
        });
        let inside = |i: usize| i / c % t < lengths[i / c / t];
        let padded: Vec<_> = (0..n).map(|i| if inside(i) { x64[i] } else { 0.0 }).collect();
        everywhere(&format!("unpack {dims}"), 0.0, &padded, &|device| {
            let lengths = Lengths::new(&lengths, device).unwrap();
            let packed = pack::pack(&tensor(&x, [b, t, c], device), &lengths).unwrap();
            pack::unpack(&packed, &lengths, t).unwrap()
        });
    }
}

#[test]
fn pools() {
    use pool::Kind::{First, Last, Max, Mean, Sum};
    let mut r = Random::new(506);
    for dims @ [b, t, c] in DIMS {
        let x = with_nan(r.uniform(b * t * c, -1.0, 1.0));
        let d = r.uniform(b * c, -1.0, 1.0);
        let on: Vec<_> = (0..b * t).map(|i| i % 3 != 1).collect();
        for kind in [Sum, Mean, Max, Last, First] {
            let (mut y, mut d_x) = (vec![0.0; b * c], vec![0.0; b * t * c]);
            for i in 0..b * c {
                let row = i / c * t..(i / c + 1) * t;
                let places: Vec<_> = row.filter(|&at| on[at]).map(|at| at * c + i % c).collect();
                let values = places.iter().map(|&at| f64::from(x[at]));
                let share = if kind == Mean { places.len().max(1) as f64 } else { 1.0 };
                let mut taken = places.first().copied();
                for &at in &places {
                    let larger = |most: usize| x[at] > x[most] || x[at].is_nan();
                    if kind == Last || (kind == Max && taken.is_some_and(larger)) {
                        taken = Some(at);
                    }
                }
                if kind == Sum || kind == Mean {
                    y[i] = values.sum::<f64>() / share;
                    places.iter().for_each(|&at| d_x[at] = f64::from(d[i]) / share);
                } else if let Some(at) = taken {
                    (y[i], d_x[at]) = (f64::from(x[at]), f64::from(d[i]));
                }
            }
            let what = format!("{kind:?} of {b} x {t} x {c}");
            let steps = |device: &Device| Counted::Mask(Mask::new(&on, [b, t], device).unwrap());
            let forward = |device: &Device| {
                pool::pool(kind, &tensor(&x, dims, device), dims, &steps(device)).unwrap()
            };
            everywhere(&what, 1e-6, &y, &|device| forward(device).0);
            everywhere(&format!("{what}, backward"), 1e-6, &d_x, &|device| {
                let (d, (_, found)) = (tensor(&d, [b, c], device), forward(device));
                pool::backward(kind, &d, dims, &steps(device), Some(&found)).unwrap()
            });
        }
    }
}

#[test]
fn embeddings() {
    let mut r = Random::new(507);
    for ([rows, size], n) in [([1, 1], 1), ([3, 17], 40), ([999, 67], 5001), ([7, 300], 2000)] {
        let table = r.uniform(rows * size, -1.0, 1.0);
        let ids: Vec<_> = (0..n).map(|_| r.below(rows) as u32).collect();
        let d = with_nan(r.uniform(n * size, -1.0, 1.0));
        let what = format!("{n} of {rows} x {size}");
        let drawn: Vec<_> =
            ids.iter().flat_map(|&id| widen(&table[id as usize * size..][..size])).collect();
        let places = embedding::Places::new((0..).zip(ids.iter().copied()));
        let mut sums = vec![0.0; rows * size];
        for (&id, d) in ids.iter().zip(d.chunks(size)) {
            let sum = sums[id as usize * size..].iter_mut();
            sum.zip(d).for_each(|(sum, &d)| *sum += f64::from(d));
        }
        everywhere(&what, 0.0, &drawn, &|device| {
            let ids = Tensor::from_u32(&ids, [n], device).unwrap();
            embedding::embedding(&ids, &tensor(&table, [rows, size], device), [rows, size]).unwrap()
        });
        let added: Vec<_> = pairs(&sums, &widen(&table), |sum, v| sum + v);
        everywhere(&format!("{what}, backward"), 1e-6, &added, &|device| {
            let (d, table) = (tensor(&d, [n, size], device), tensor(&table, [rows, size], device));
            embedding::backward(&places, &d, &table, [rows, size]).unwrap();
            table
        });
        let of_rows: Vec<_> =
            places.rows().flat_map(|row| sums[row as usize * size..][..size].to_vec()).collect();
        everywhere(&format!("{what}, backward of rows"), 1e-6, &of_rows, &|device| {
            embedding::backward_rows(&places, &tensor(&d, [n, size], device), size).unwrap()
        });
    }
}

/// Steps, norms and their limits have the same bits on any number of threads.
#[test]
fn optimizers_and_limits() {
    let n = 100_003;
    let mut r = Random::new(508);
    let (p, g) = (r.uniform(n, -1.0, 1.0), r.uniform(n, -1.0, 1.0));
    for (rule, _) in rules() {
        let factors = StepFactors::Known(rule.factors(1, &mut 1.0));
        on_threads(&format!("{:?} of {n}", rule.kind), &|device| {
            let [p, g] = [&p, &g].map(|v| tensor(v, [n], device));
            update(&rule, [&p, &g], &slots(&rule, n, device), &factors, None, None).unwrap();
            p
        });
        let (size, drawn) = (33, (0..3000).filter(|row| row % 7 != 2).collect::<Vec<u32>>());
        on_threads(&format!("{:?} of rows", rule.kind), &|device| {
            let p = tensor(&p[..3000 * size], [3000, size], device);
            let values = tensor(&g[..drawn.len() * size], [drawn.len(), size], device);
            let kept = slots(&rule, 3000 * size, device);
            let rows = RowGradient { rows: drawn.as_slice().into(), values: values.clone() };
            update(&rule, [&p, &values], &kept, &factors, Some(&rows), None).unwrap();
            assert!(values.to_vec().unwrap().iter().all(|&g| g == 0.0));
            p
        });
    }
    on_threads("a norm", &|device| {
        let found = norm::norm(&[&tensor(&g, [n], device), &tensor(&p, [n], device)]).unwrap();
        tensor(&[found as f32, (found - f64::from(found as f32)) as f32], [2], device)
    });
    type Limit = dyn Fn([&Tensor; 2]);
    let limits: [(&str, &Limit); 5] = [
        ("a norm's limit", &|[_, g]| norm::clip(&[g], 1.0, None).unwrap()),
        ("a value's limit", &|[_, g]| clip::value(g, 0.5, None).unwrap()),
        ("rows' limit", &|[p, g]| clip::units([p, g], Units::Rows(1219), 0.1, None).unwrap()),
        ("columns' limit", &|[p, g]| clip::units([p, g], Units::Columns(82), 0.1, None).unwrap()),
        ("a limit of norms", &|[_, g]| regularizer::max_norm(g, 82, 0.5).unwrap()),
    ];
    for (what, limit) in limits {
        on_threads(what, &|device| {
            let [p, g] = [&p, &g].map(|v| tensor(&v[..1219 * 82], [1219, 82], device));
            limit([&p, &g]);
            g
        });
    }
}

/// A grid of more than 65,535 workgroups is folded into several rows, which a software adapter is never asked
/// for elsewhere.
#[cfg(feature = "gpu")]
#[test]
fn folded_grids() {
    use crate::ops::elementwise::copy;
    let device = super::gpu(crate::testing::as_hardware(crate::GpuOptions::default().poison()));
    for n in [64 * 65_535, 64 * 65_535 + 1, 3 * 64 * 65_535 - 5] {
        let x: Vec<_> = (0..n).map(|i| (i % 16_777_213) as f32).collect();
        let y = Tensor::empty([n], &device).unwrap();
        copy::copy(&tensor(&x, [n], &device), &y).unwrap();
        assert!(y.to_vec().unwrap() == x, "copy of {n}");
    }
}
