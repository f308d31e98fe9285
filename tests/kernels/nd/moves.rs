//! Transposes, slices, joins, paddings.

use super::*;
use nd::{PadMode, SliceAxis};

fn orders(n: usize) -> Vec<Vec<usize>> {
    let mut all = indices(&vec![n; n]);
    all.retain(|order| (0..n).all(|axis| order.contains(&axis)));
    all
}

#[test]
fn transposes() {
    let mut r = Random::new(911);
    let shapes: [&[usize]; 8] = [
        &[],
        &[3],
        &[33, 65],
        &[2, 3, 4],
        &[2, 1, 3, 5],
        &[3, 0, 2],
        &[130, 260],
        &[2, 3, 2, 3, 2],
    ];
    for shape in shapes {
        let x = Nd::random(&mut r, shape);
        for order in orders(shape.len()).into_iter().step_by(if shape.len() > 4 { 7 } else { 1 }) {
            let turned: Vec<_> = order.iter().map(|&axis| shape[axis]).collect();
            let expected = Nd::build(&turned, |at| {
                let mut from = vec![0; at.len()];
                order.iter().zip(at).for_each(|(&axis, &at)| from[axis] = at);
                x.at(&from)
            });
            let what = format!("{shape:?} as {order:?}");
            everywhere(&what, 0.0, &expected, |device| nd::transpose(&x.on(device), &order));
        }
    }
    refused(|device| nd::transpose(&Tensor::zeros([2, 3], device)?, &[0]));
    refused(|device| nd::transpose(&Tensor::zeros([2, 3], device)?, &[1, 1]));
}

#[test]
fn slices_and_axes_backwards() {
    let mut r = Random::new(912);
    let x = Nd::random(&mut r, &[5, 7, 66]);
    for (step, first, count) in
        [(1, 0, 5), (1, 3, 2), (2, 1, 2), (-1, 4, 5), (-3, 4, 2), (1, 5, 0), (9, 2, 1)]
    {
        for (axis, more) in [(0, 0), (1, 2), (2, 61)] {
            let part =
                SliceAxis { axis, first: if count == 0 { 0 } else { first + more }, step, count };
            let mut shape = x.shape.clone();
            shape[axis] = count;
            let expected = Nd::build(&shape, |at| {
                let mut from = at.to_vec();
                from[axis] = (part.first as isize + from[axis] as isize * step) as usize;
                x.at(&from)
            });
            everywhere(&format!("{part:?}"), 0.0, &expected, |device| {
                nd::slice(&x.on(device), &[part])
            });
        }
    }
    let expected = Nd::build(&x.shape, |at| x.at(&[4 - at[0], at[1], 65 - at[2]]));
    everywhere("two axes backwards", 0.0, &expected, |device| nd::flip(&x.on(device), &[0, 2]));
    // A part of a part, which begins where no kernel's binding may.
    let [rows, columns] = [
        SliceAxis { axis: 0, first: 1, step: 1, count: 3 },
        SliceAxis { axis: 2, first: 1, step: 1, count: 3 },
    ];
    let expected = Nd::build(&[3, 7, 3], |at| x.at(&[at[0] + 1, at[1], at[2] + 1]));
    everywhere("a part of a part", 0.0, &expected, |device| {
        nd::slice(&nd::slice(&x.on(device), &[rows])?, &[columns])
    });
    everywhere("both at once", 0.0, &expected, |device| nd::slice(&x.on(device), &[columns, rows]));
    for (first, step, count) in [
        (5, 1, 1),
        (0, 1, 6),
        (0, -1, 2),
        (4, isize::MIN, 2),
        (0, isize::MAX, 3),
        (usize::MAX, 1, 1),
        (0, 1, usize::MAX),
    ] {
        refused(|device| nd::slice(&x.on(device), &[SliceAxis { axis: 0, first, step, count }]));
    }
    refused(|device| {
        nd::slice(&x.on(device), &[SliceAxis { axis: 3, first: 0, step: 1, count: 1 }])
    });
    refused(|device| nd::slice(&x.on(device), &[rows, SliceAxis { first: 2, ..rows }]));
    refused(|device| nd::strided(&x.on(device), &[2, 2], &[1], 0));
    refused(|device| nd::strided(&x.on(device), &[5 * 7 * 66 + 1], &[1], 0));
}

#[test]
fn numbers_are_shared_where_nothing_moves() {
    let cpu = Device::cpu_with_threads(1).unwrap();
    let x = tensor(&[1.0, 2.0, 3.0, 4.0], [2, 2], &cpu);
    let before = cpu.counters().buffers_created;
    let row = nd::slice(&x, &[SliceAxis { axis: 0, first: 1, step: 1, count: 1 }]).unwrap();
    assert_eq!(row.to_vec().unwrap(), [3.0, 4.0]);
    assert_eq!(nd::expand(&row, &[1, 1]).unwrap().shape(), [1, 2]);
    nd::transpose(&nd::concat(&[&row], 0).unwrap(), &[1, 0]).unwrap();
    assert_eq!(cpu.counters().buffers_created, before);
}

#[test]
fn expanded_and_windows() {
    let mut r = Random::new(913);
    let cases: [(&[usize], &[usize], &[usize]); 6] = [
        (&[], &[2, 3], &[2, 3]),
        (&[3, 1], &[2, 1, 4], &[2, 3, 4]),
        (&[3, 4], &[1], &[3, 4]),
        (&[1, 5], &[0, 1], &[0, 5]),
        (&[1, 3, 1, 2], &[3, 1, 2, 1], &[3, 3, 2, 2]),
        (&[1, 65], &[70, 65], &[70, 65]),
    ];
    for (from, to, whole) in cases {
        let x = Nd::random(&mut r, from);
        let expected = Nd::build(whole, |at| x.spread(at));
        everywhere(&format!("{from:?} to {to:?}"), 0.0, &expected, |device| {
            nd::expand(&x.on(device), to)
        });
    }
    let x = Nd::random(&mut r, &[9]);
    let expected = Nd::build(&[4, 3], |at| x.data[2 * at[0] + at[1]]);
    everywhere("windows", 0.0, &expected, |device| nd::strided(&x.on(device), &[4, 3], &[2, 1], 0));
    refused(|device| nd::expand(&Tensor::zeros([2], device)?, &[3]));
}

#[test]
fn joined_and_cut() {
    let mut r = Random::new(914);
    for (shape, axis, sizes) in [
        (vec![7], 0, vec![3, 4]),
        (vec![6, 5], 0, vec![1, 2, 3]),
        (vec![4, 9], 1, vec![2, 0, 7]),
        (vec![2, 6, 5], 1, vec![5, 1]),
        (vec![65, 3, 70], 2, vec![1, 64, 5]),
        (vec![0, 4], 1, vec![1, 3]),
        (vec![2, 5], 1, vec![0, 5, 0]),
    ] {
        let x = Nd::random(&mut r, &shape);
        let mut first = 0;
        let parts: Vec<_> = sizes
            .iter()
            .map(|&size| {
                let mut of = shape.clone();
                of[axis] = size;
                let part = Nd::build(&of, |at| {
                    let mut at = at.to_vec();
                    at[axis] += first;
                    x.at(&at)
                });
                first += size;
                part
            })
            .collect();
        everywhere(&format!("{sizes:?} along {axis} of {shape:?}"), 0.0, &x, |device| {
            let parts: Vec<_> = parts.iter().map(|part| part.on(device)).collect();
            nd::concat(&parts.iter().collect::<Vec<_>>(), axis)
        });
        for (i, part) in parts.iter().enumerate() {
            everywhere(&format!("part {i} of {sizes:?} of {shape:?}"), 0.0, part, |device| {
                Ok(nd::split(&x.on(device), axis, &sizes)?[i].clone())
            });
        }
    }
    refused(|device| nd::split(&Tensor::zeros([5], device)?, 0, &[2, 2]));
    refused(|device| nd::split(&Tensor::zeros([5], device)?, 0, &[6, usize::MAX]));
    refused(|device| {
        nd::concat(&[&Tensor::zeros([5], device)?, &Tensor::zeros([2, 2], device)?], 0)
    });
    refused(|_| nd::concat(&[], 0));
}

/// What numpy.pad gives for `arange(n)` with 4 places before and 7 after.
#[test]
fn padded() {
    let cases: [(usize, PadMode, [u8; 16], usize); 9] = [
        (1, PadMode::Reflect, [0; 16], 12),
        (2, PadMode::Reflect, [0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 0, 0, 0], 13),
        (3, PadMode::Reflect, [0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 0, 0], 14),
        (5, PadMode::Reflect, [4, 3, 2, 1, 0, 1, 2, 3, 4, 3, 2, 1, 0, 1, 2, 3], 16),
        (3, PadMode::Wrap, [2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 0, 0], 14),
        (5, PadMode::Wrap, [1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1], 16),
        (3, PadMode::Edge, [0, 0, 0, 0, 0, 1, 2, 2, 2, 2, 2, 2, 2, 2, 0, 0], 14),
        (2, PadMode::Constant(9.0), [9, 9, 9, 9, 0, 1, 9, 9, 9, 9, 9, 9, 9, 0, 0, 0], 13),
        (0, PadMode::Constant(9.0), [9; 16], 11),
    ];
    for (n, mode, expected, len) in cases {
        let x = Nd::build(&[n], |at| at[0] as f64);
        let expected = Nd::build(&[len], |at| f64::from(expected[at[0]]));
        everywhere(&format!("{mode:?} of {n}"), 0.0, &expected, |device| {
            nd::pad(&x.on(device), &[4], &[7], mode)
        });
    }
    let x = Nd::random(&mut Random::new(915), &[3, 4, 65]);
    let expected = Nd::build(&[4, 4, 66], |at| match at {
        [0, ..] | [_, _, 65] => -1.5,
        _ => x.at(&[at[0] - 1, at[1], at[2]]),
    });
    everywhere("two axes", 0.0, &expected, |device| {
        nd::pad(&x.on(device), &[1, 0, 0], &[0, 0, 1], PadMode::Constant(-1.5))
    });
    let expected = Nd::build(&[3, 2, 65], |at| x.at(&[at[0], at[1] + 1, at[2]]));
    everywhere("places taken away", 0.0, &expected, |device| {
        nd::pad(&x.on(device), &[0, -1, 0], &[0, -1, 0], PadMode::Edge)
    });
    refused(|device| nd::pad(&x.on(device), &[-2, 0, 0], &[-2, 0, 0], PadMode::Edge));
    refused(|device| nd::pad(&x.on(device), &[0], &[0], PadMode::Edge));
    refused(|device| nd::pad(&Tensor::zeros([0], device)?, &[1], &[0], PadMode::Wrap));
    refused(|device| nd::pad(&x.on(device), &[isize::MAX; 3], &[isize::MAX; 3], PadMode::Edge));
}

#[test]
fn sequences_backwards_and_triangles() {
    let x = Nd::random(&mut Random::new(916), &[4, 3, 5]);
    let lengths = [4, 1, 0];
    let expected = Nd::build(&x.shape, |at| {
        let length = lengths[at[1]] as usize;
        x.at(&[if at[0] < length { length - 1 - at[0] } else { at[0] }, at[1], at[2]])
    });
    everywhere("time first", 0.0, &expected, |device| {
        nd::reverse_sequence(&x.on(device), 0, 1, &lengths)
    });
    let expected = Nd::build(&x.shape, |at| {
        let length = [3, 2, 0, 1][at[0]];
        x.at(&[at[0], if at[1] < length { length - 1 - at[1] } else { at[1] }, at[2]])
    });
    everywhere("batch first", 0.0, &expected, |device| {
        nd::reverse_sequence(&x.on(device), 1, 0, &[3, 2, 0, 1])
    });
    refused(|device| nd::reverse_sequence(&x.on(device), 1, 0, &[3, 2, 0]));
    refused(|device| nd::reverse_sequence(&x.on(device), 1, 0, &[3, 4, 0, -1]));
    refused(|device| nd::reverse_sequence(&x.on(device), 1, 2, &[3, 2, 0]));
    for (upper, k) in
        [(true, 0), (true, 1), (false, 0), (false, -1), (true, i64::MIN), (false, i64::MAX)]
    {
        let expected = Nd::build(&x.shape, |at| {
            let diagonal = (at[1] as i64).saturating_add(k);
            let inside = if upper { at[2] as i64 >= diagonal } else { at[2] as i64 <= diagonal };
            if inside { x.at(at) } else { 0.0 }
        });
        everywhere(&format!("triangle, {upper}, {k}"), 0.0, &expected, |device| {
            nd::trilu(&x.on(device), upper, k)
        });
    }
}

/// Axes as long as numbers go, beside an empty one: nothing is counted over them.
#[test]
fn endless_axes_of_no_numbers() {
    let cpu = Device::cpu_with_threads(1).unwrap();
    let shape = [0, usize::MAX, usize::MAX];
    let x = Tensor::zeros(shape, &cpu).unwrap();
    assert!(nd::transpose(&x, &[1, 2, 0]).is_err());
    assert_eq!(nd::transpose(&x, &[0, 2, 1]).unwrap().shape(), shape);
    assert_eq!(nd::flip(&x, &[0, 1, 2]).unwrap().shape(), shape);
    assert_eq!(nd::concat(&[&x, &x], 0).unwrap().shape(), shape);
    assert_eq!(
        nd::pad(&x, &[0; 3], &[0, -1, 0], PadMode::Edge).ok().map(|y| y.len()).unwrap_or(0),
        0
    );
    assert_eq!(nd::binary(nd::Binary::Add, &x, &x).unwrap().shape(), shape);
    assert_eq!(nd::softmax(&x, 1).unwrap().shape(), shape);
    assert_eq!(nd::cum_sum(&x, 1, false, false).unwrap().shape(), shape);
    assert_eq!(nd::arg_max(&x, 1, false).unwrap(), [0i64; 0]);
    assert_eq!(nd::trilu(&x, true, 0).unwrap().shape(), shape);
    assert!(nd::top_k(&x, 1, 3, true).unwrap().1.is_empty());
    assert!(nd::split(&x, 1, &[usize::MAX - 1, 1]).unwrap()[1].is_empty());
    let y = Tensor::zeros([usize::MAX, 0], &cpu).unwrap();
    assert_eq!(nd::gather(&y, 0, &[-1, 5], &[2]).unwrap().shape(), [2, 0]);
    assert_eq!(nd::concat(&[&y, &y], 1).unwrap().shape(), [usize::MAX, 0]);
    assert_eq!(nd::arg_min(&y, 0, true).unwrap(), [0i64; 0]);
    assert_eq!(nd::reduce(nd::Reduce::Max, &y, &[0], false).unwrap().shape(), [0]);
    assert!(nd::reduce(nd::Reduce::Sum, &y, &[1], false).is_err());
}
