//! Reductions, searches, sums along axes; softmax and normalisations.

use super::*;
use nd::Reduce;

const KINDS: [Reduce; 10] = [
    Reduce::Sum,
    Reduce::Mean,
    Reduce::Max,
    Reduce::Min,
    Reduce::Prod,
    Reduce::L1,
    Reduce::L2,
    Reduce::SumSquare,
    Reduce::LogSum,
    Reduce::LogSumExp,
];

fn of(kind: Reduce, x: &[f64]) -> f64 {
    let sum = |f: fn(f64) -> f64| x.iter().map(|&x| f(x)).sum::<f64>();
    let extreme = |first: f64, better: fn(f64, f64) -> bool| {
        x.iter().fold(first, |m, &x| if x.is_nan() || better(x, m) { x } else { m })
    };
    let largest = extreme(f64::NEG_INFINITY, |x, m| x > m);
    match kind {
        Reduce::Sum => sum(|x| x),
        Reduce::Mean => sum(|x| x) / x.len() as f64,
        Reduce::Max => largest,
        Reduce::Min => extreme(f64::INFINITY, |x, m| x < m),
        Reduce::Prod => x.iter().product(),
        Reduce::L1 => sum(f64::abs),
        Reduce::L2 => sum(|x| x * x).sqrt(),
        Reduce::SumSquare => sum(|x| x * x),
        Reduce::LogSum => sum(|x| x).ln(),
        Reduce::LogSumExp if largest.is_infinite() => largest,
        Reduce::LogSumExp => largest + x.iter().map(|x| (x - largest).exp()).sum::<f64>().ln(),
    }
}

fn reduced(kind: Reduce, x: &Nd, axes: &[usize], keep: bool) -> Nd {
    let kept: Vec<_> = (0..x.shape.len()).filter(|axis| !axes.contains(axis)).collect();
    let shape: Vec<_> = kept.iter().map(|&axis| x.shape[axis]).collect();
    let mut result = Nd::build(&shape, |at| {
        let inside = indices(&x.shape)
            .into_iter()
            .filter(|index| kept.iter().zip(at).all(|(&k, at)| index[k] == *at));
        of(kind, &inside.map(|index| x.at(&index)).collect::<Vec<_>>())
    });
    if keep {
        result.shape = (0..x.shape.len())
            .map(|axis| if axes.contains(&axis) { 1 } else { x.shape[axis] })
            .collect();
    }
    result
}

#[test]
fn reductions() {
    let mut r = Random::new(931);
    let cases: [(&[usize], &[usize]); 16] = [
        (&[], &[]),
        (&[7], &[]),
        (&[1], &[0]),
        (&[7], &[0]),
        (&[67, 3], &[0]),
        (&[3, 67], &[1]),
        (&[5, 130], &[0]),
        (&[2, 3, 4], &[1]),
        (&[2, 3, 4], &[0, 2]),
        (&[3, 1, 5], &[2, 0]),
        (&[2, 1, 3, 5], &[3, 1, 2]),
        (&[2, 3, 2, 5], &[0, 2]),
        (&[3, 4, 2], &[0, 1, 2]),
        (&[2, 0, 3], &[1]),
        (&[0, 3], &[1]),
        (&[4, 1], &[1]),
    ];
    for (shape, axes) in cases {
        let mut x = Nd::random(&mut r, shape);
        for kind in KINDS {
            for keep in [false, true] {
                if kind == Reduce::LogSum {
                    x.data.iter_mut().for_each(|x| *x = x.abs());
                }
                let expected = reduced(kind, &x, axes, keep);
                let what = format!("{kind:?} of {shape:?} over {axes:?}, {keep}");
                everywhere(&what, 4e-6, &expected, |device| {
                    nd::reduce(kind, &x.on(device), axes, keep)
                });
            }
        }
    }
    refused(|device| nd::reduce(Reduce::Sum, &Tensor::zeros([2], device)?, &[1], false));
    refused(|device| nd::reduce(Reduce::Sum, &Tensor::zeros([2, 2], device)?, &[1, 1], false));
}

#[test]
fn reductions_of_what_is_no_number_and_has_no_end() {
    let (inf, nan) = (f64::INFINITY, f64::NAN);
    let rows = [
        [1.0, nan, -3.0],
        [inf, 1.0, 2.0],
        [-inf, 1.0, 2.0],
        [-inf, -inf, -inf],
        [nan, inf, 0.0],
        [50.0, 49.0, -100.0],
    ];
    for turned in [false, true] {
        let x = match turned {
            false => Nd::build(&[6, 3], |at| rows[at[0]][at[1]]),
            true => Nd::build(&[3, 6], |at| rows[at[1]][at[0]]),
        };
        let axis = usize::from(!turned);
        for kind in KINDS {
            if kind == Reduce::LogSum {
                continue;
            }
            let expected = reduced(kind, &x, &[axis], false);
            everywhere(&format!("{kind:?}, {turned}"), 4e-6, &expected, |device| {
                nd::reduce(kind, &x.on(device), &[axis], false)
            });
        }
    }
}

/// What grows term by term loses none.
#[test]
fn long_sums() {
    let n = 300_000;
    let x = Nd::build(&[n], |at| f64::from((0.3 + (at[0] % 7) as f32) * 0.1));
    for kind in [Reduce::Sum, Reduce::Mean, Reduce::SumSquare] {
        let expected = Nd { shape: vec![], data: vec![of(kind, &x.data)] };
        everywhere(&format!("{kind:?}"), 1e-6, &expected, |device| {
            nd::reduce(kind, &x.on(device), &[0], false)
        });
    }
    let mut sum = 0.0;
    let sums = Nd::build(&[n], |at| {
        sum += x.data[at[0]];
        sum
    });
    everywhere("sums", 1e-6, &sums, |device| nd::cum_sum(&x.on(device), 0, false, false));
}

#[test]
fn sums_up_to_each_place() {
    let mut r = Random::new(932);
    for (shape, axis) in [
        (vec![1], 0),
        (vec![5], 0),
        (vec![3, 17], 1),
        (vec![17, 3], 0),
        (vec![2, 5, 33], 1),
        (vec![2, 0], 1),
    ] {
        let x = Nd::random(&mut r, &shape);
        for (exclusive, reverse) in [(false, false), (true, false), (false, true), (true, true)] {
            let expected = Nd::build(&shape, |at| {
                let counts = |i: usize| match (i == at[axis], reverse) {
                    (true, _) => !exclusive,
                    (false, true) => i > at[axis],
                    (false, false) => i < at[axis],
                };
                let mut from = at.to_vec();
                (0..shape[axis])
                    .filter(|&i| counts(i))
                    .map(|i| {
                        from[axis] = i;
                        x.at(&from)
                    })
                    .sum()
            });
            let what = format!("{shape:?} along {axis}, {exclusive}, {reverse}");
            everywhere(&what, 2e-6, &expected, |device| {
                nd::cum_sum(&x.on(device), axis, exclusive, reverse)
            });
        }
    }
    refused(|device| nd::cum_sum(&Tensor::zeros([2], device)?, 1, false, false));
}

#[test]
fn places_of_the_largest() {
    let nan = f32::NAN;
    let x = [1.0, 3.0, 3.0, -1.0, 2.0, nan, 9.0, nan, -1.0, -1.0, 0.0, 0.0];
    for (name, device) in devices() {
        let x = tensor(&x, [3, 4], device);
        let all = [(false, [1, 1, 2]), (true, [2, 1, 3])];
        for (last, expected) in all {
            assert_eq!(nd::arg_max(&x, 1, last).unwrap(), expected, "{name}");
        }
        assert_eq!(nd::arg_min(&x, 1, false).unwrap(), [3, 1, 0], "{name}");
        assert_eq!(nd::arg_min(&x, 1, true).unwrap(), [3, 1, 1], "{name}");
        assert_eq!(nd::arg_max(&x, 0, false).unwrap(), [1, 1, 1, 1], "{name}");
        assert_eq!(
            nd::arg_max(&Tensor::zeros([0, 3], device).unwrap(), 1, false).unwrap(),
            [0i64; 0]
        );
        assert!(nd::arg_max(&Tensor::zeros([3, 0], device).unwrap(), 1, false).is_err());

        let (values, places) = nd::top_k(&x, 1, 3, true).unwrap();
        assert_eq!(places, [1, 2, 0, 1, 3, 2, 2, 3, 0], "{name}");
        let values = values.to_vec().unwrap();
        assert!(values[3].is_nan() && values[5..] == [9.0, 0.0, 0.0, -1.0], "{name}: {values:?}");
        let (values, places) = nd::top_k(&x, 0, 2, false).unwrap();
        assert_eq!(values.shape(), [2, 4]);
        assert_eq!(places, [2, 2, 2, 0, 0, 0, 0, 2], "{name}");
        assert_eq!(values.to_vec().unwrap(), [-1.0, -1.0, 0.0, -1.0, 1.0, 3.0, 3.0, 0.0], "{name}");
        assert!(nd::top_k(&x, 1, 0, true).unwrap().1.is_empty());
    }
    refused(|device| nd::top_k(&Tensor::zeros([2, 3], device)?, 1, 4, true));
}

fn along(x: &Nd, axis: usize, f: impl Fn(&[f64], f64) -> f64) -> Nd {
    Nd::build(&x.shape, |at| {
        let mut from = at.to_vec();
        let row: Vec<_> = (0..x.shape[axis])
            .map(|i| {
                from[axis] = i;
                x.at(&from)
            })
            .collect();
        f(&row, row[at[axis]])
    })
}

#[test]
fn softmax_along_any_axis() {
    let mut r = Random::new(933);
    for shape in [vec![5], vec![1, 1], vec![3, 65], vec![4, 7, 5], vec![2, 3, 1, 6], vec![2, 0, 3]]
    {
        let mut x = Nd::random(&mut r, &shape);
        x.data.iter_mut().for_each(|x| *x *= 4.0);
        for axis in 0..shape.len() {
            let log = |row: &[f64], x: f64| x - of(Reduce::LogSumExp, row);
            let what = format!("{shape:?} along {axis}");
            everywhere(&what, 2e-6, &along(&x, axis, |row, x| log(row, x).exp()), |device| {
                nd::softmax(&x.on(device), axis)
            });
            everywhere(&what, 2e-6, &along(&x, axis, log), |device| {
                nd::log_softmax(&x.on(device), axis)
            });
        }
    }
    refused(|device| nd::softmax(&Tensor::zeros([2], device)?, 1));
}

fn normal(row: &[f64], x: f64, epsilon: f64) -> f64 {
    let mean = row.iter().sum::<f64>() / row.len() as f64;
    let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / row.len() as f64;
    (x - mean) / (variance + epsilon).sqrt()
}

#[test]
fn normalised() {
    let mut r = Random::new(934);
    let epsilon = 1e-3;
    for (shape, axis, of_scale, of_bias) in [
        (vec![3, 7], 1, vec![7], Some(vec![7])),
        (vec![3, 7], 0, vec![3, 7], Some(vec![7])),
        (vec![2, 5, 4], 1, vec![5, 4], None),
        (vec![2, 5, 4], 2, vec![1], Some(vec![4])),
        (vec![2, 0, 4], 2, vec![4], None),
    ] {
        let x = Nd::random(&mut r, &shape);
        let scale = Nd::random(&mut r, &of_scale);
        let bias = of_bias.map(|shape| Nd::random(&mut r, &shape));
        let expected = Nd::build(&shape, |at| {
            let (row, own) = at.split_at(axis);
            let values: Vec<_> =
                indices(&shape[axis..]).iter().map(|rest| x.at(&[row, rest].concat())).collect();
            let normal = normal(&values, x.at(at), epsilon);
            normal * scale.spread(own) + bias.as_ref().map_or(0.0, |bias| bias.spread(own))
        });
        everywhere(&format!("{shape:?} from {axis} on"), 1e-5, &expected, |device| {
            let bias = bias.as_ref().map(|bias| bias.on(device));
            nd::layer_norm(&x.on(device), axis, &scale.on(device), bias.as_ref(), epsilon as f32)
        });
    }
    for shape in [vec![3, 4], vec![2, 3, 17], vec![2, 3, 5, 4], vec![0, 3, 2]] {
        let x = Nd::random(&mut r, &shape);
        let [scale, bias, mean, mut variance] = [(); 4].map(|()| Nd::random(&mut r, &shape[1..2]));
        variance.data.iter_mut().for_each(|v| *v = v.abs() + 0.1);
        let expected = Nd::build(&shape, |at| {
            let values: Vec<_> =
                indices(&shape[2..]).iter().map(|rest| x.at(&[&at[..2], rest].concat())).collect();
            normal(&values, x.at(at), epsilon) * scale.data[at[1]] + bias.data[at[1]]
        });
        everywhere(&format!("each channel of {shape:?}"), 2e-5, &expected, |device| {
            nd::instance_norm(&x.on(device), &scale.on(device), &bias.on(device), epsilon as f32)
        });
        let expected = Nd::build(&shape, |at| {
            let c = at[1];
            (x.at(at) - mean.data[c]) / (variance.data[c] + epsilon).sqrt() * scale.data[c]
                + bias.data[c]
        });
        everywhere(&format!("batches of {shape:?}"), 1e-5, &expected, |device| {
            let [s, b, m, v] = [&scale, &bias, &mean, &variance].map(|x| x.on(device));
            nd::batch_norm(&x.on(device), &s, &b, &m, &v, epsilon as f32)
        });
    }
    let zeros = |device: &Device, shape: &[usize]| Tensor::zeros(shape, device);
    refused(|device| {
        nd::instance_norm(
            &zeros(device, &[2, 3])?,
            &zeros(device, &[2])?,
            &zeros(device, &[3])?,
            0.1,
        )
    });
    refused(|device| {
        nd::instance_norm(&zeros(device, &[2])?, &zeros(device, &[2])?, &zeros(device, &[2])?, 0.1)
    });
    refused(|device| {
        nd::layer_norm(&zeros(device, &[2, 3])?, 1, &zeros(device, &[2, 3])?, None, 0.1)
    });
}
