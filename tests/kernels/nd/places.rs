//! Numbers by indices.

use super::*;
use nd::Scatter;

/// Where an index of an axis leads.
fn from_end(index: i64, size: usize) -> usize {
    (if index < 0 { index + size as i64 } else { index }) as usize
}

#[test]
fn gathered_along_an_axis() {
    let mut r = Random::new(921);
    for (shape, axis, of) in [
        (vec![5], 0, vec![]),
        (vec![5], 0, vec![3]),
        (vec![4, 3], 0, vec![2, 2]),
        (vec![4, 3], 1, vec![5]),
        (vec![3, 65, 7], 1, vec![70]),
        (vec![2, 3, 4], 2, vec![1, 3]),
        (vec![2, 3, 0], 1, vec![2]),
        (vec![2, 3], 1, vec![0]),
        (vec![300, 33], 0, vec![1100]),
    ] {
        let x = Nd::random(&mut r, &shape);
        let size = shape[axis];
        let places: Vec<_> =
            indices(&of).iter().map(|_| r.below(2 * size) as i64 - size as i64).collect();
        let index = Nd { shape: of.clone(), data: places.iter().map(|&i| i as f64).collect() };
        let whole = [&shape[..axis], &of, &shape[axis + 1..]].concat();
        let expected = Nd::build(&whole, |at| {
            let (before, rest) = at.split_at(axis);
            let (own, behind) = rest.split_at(of.len());
            x.at(&[before, &[from_end(index.at(own) as i64, size)], behind].concat())
        });
        everywhere(&format!("{of:?} along {axis} of {shape:?}"), 0.0, &expected, |device| {
            nd::gather(&x.on(device), axis, &places, &of)
        });
    }
    let zeros = |device: &Device| Tensor::zeros([2, 3], device);
    for (axis, index) in [(0, 2), (0, -3), (1, i64::MIN), (1, i64::MAX), (2, 0)] {
        refused(|device| nd::gather(&zeros(device)?, axis, &[index], &[1]));
    }
    assert!(nd::gather(&zeros(&devices()[0].1).unwrap(), 0, &[0], &[2]).is_err());
}

#[test]
fn gathered_one_by_one() {
    let mut r = Random::new(922);
    for (shape, axis, of) in [
        (vec![5], 0, vec![7]),
        (vec![4, 3], 0, vec![2, 3]),
        (vec![4, 3], 1, vec![3, 9]),
        (vec![3, 5, 7], 1, vec![2, 4, 6]),
        (vec![3, 5, 0], 1, vec![2, 4, 0]),
        (vec![2, 33, 4], 2, vec![2, 33, 3]),
    ] {
        let x = Nd::random(&mut r, &shape);
        let size = shape[axis];
        let index = Nd::build(&of, |_| r.below(2 * size) as f64 - size as f64);
        let places: Vec<_> = index.data.iter().map(|&i| i as i64).collect();
        let expected = Nd::build(&of, |at| {
            let mut from = at.to_vec();
            from[axis] = from_end(index.at(at) as i64, size);
            x.at(&from)
        });
        everywhere(&format!("{of:?} along {axis} of {shape:?}"), 0.0, &expected, |device| {
            nd::gather_elements(&x.on(device), axis, &places, &of)
        });
    }
    refused(|device| nd::gather_elements(&Tensor::zeros([2, 3], device)?, 0, &[0; 4], &[1, 4]));
    refused(|device| nd::gather_elements(&Tensor::zeros([2, 3], device)?, 0, &[0, 2], &[1, 2]));
    refused(|device| nd::gather_elements(&Tensor::zeros([2, 3], device)?, 0, &[0, 0], &[2]));
}

#[test]
fn gathered_by_rows_of_indices() {
    let mut r = Random::new(923);
    for (shape, batch, of) in [
        (vec![4, 3], 0, vec![2, 2]),
        (vec![4, 3], 0, vec![5, 1]),
        (vec![4, 3, 2], 1, vec![4, 6, 1]),
        (vec![4, 3, 2], 1, vec![4, 2]),
        (vec![2, 3, 4, 5], 2, vec![2, 3, 7, 1]),
        (vec![2, 3, 4, 33], 0, vec![3, 2, 3]),
        (vec![2, 0], 1, vec![2, 0, 1]),
    ] {
        let x = Nd::random(&mut r, &shape);
        let (lead, depth) = of.split_at(of.len() - 1);
        let depth = depth[0];
        let index = Nd::build(&of, |at| {
            let size = shape[batch + at[at.len() - 1]];
            r.below(2 * size.max(1)) as f64 - size as f64
        });
        let places: Vec<_> = index.data.iter().map(|&i| i as i64).collect();
        let whole = [lead, &shape[batch + depth..]].concat();
        let expected = Nd::build(&whole, |at| {
            let (own, behind) = at.split_at(lead.len());
            let into = (0..depth)
                .map(|d| from_end(index.at(&[own, &[d]].concat()) as i64, shape[batch + d]));
            x.at(&[&own[..batch], &into.collect::<Vec<_>>(), behind].concat())
        });
        everywhere(&format!("{of:?} of {shape:?} behind {batch}"), 0.0, &expected, |device| {
            nd::gather_nd(&x.on(device), batch, &places, &of)
        });
    }
    let zeros = |device: &Device| Tensor::zeros([2, 3], device);
    refused(|device| nd::gather_nd(&zeros(device)?, 0, &[0; 3], &[1, 3]));
    refused(|device| nd::gather_nd(&zeros(device)?, 1, &[0; 3], &[3, 1]));
    refused(|device| nd::gather_nd(&zeros(device)?, usize::MAX, &[0; 2], &[2, 1]));
    refused(|device| nd::gather_nd(&zeros(device)?, 0, &[0, 3], &[1, 2]));
    refused(|device| nd::gather_nd(&zeros(device)?, 0, &[], &[1, 0]));
    refused(|device| nd::gather_nd(&zeros(device)?, 0, &[], &[0, 0]));
}

fn put(how: Scatter, there: f64, comes: f64) -> f64 {
    match how {
        Scatter::Set => comes,
        Scatter::Add => there + comes,
        Scatter::Mul => there * comes,
        Scatter::Min => there.min(comes),
        Scatter::Max => there.max(comes),
    }
}

const HOW: [Scatter; 5] = [Scatter::Set, Scatter::Add, Scatter::Mul, Scatter::Min, Scatter::Max];

/// Several come to one place.
#[test]
fn scattered() {
    let mut r = Random::new(924);
    for (shape, axis, of) in
        [(vec![5], 0, vec![9]), (vec![4, 3], 0, vec![6, 2]), (vec![3, 4, 33], 1, vec![2, 5, 30])]
    {
        let (x, updates) = (Nd::random(&mut r, &shape), Nd::random(&mut r, &of));
        let index = Nd::build(&of, |_| r.below(2 * shape[axis]) as f64 - shape[axis] as f64);
        let places: Vec<_> = index.data.iter().map(|&i| i as i64).collect();
        for how in HOW {
            let mut expected = x.clone();
            for at in indices(&of) {
                let mut to = at.clone();
                to[axis] = from_end(index.at(&at) as i64, shape[axis]);
                let place = to.iter().zip(&shape).fold(0, |place, (at, size)| place * size + at);
                expected.data[place] = put(how, expected.data[place], updates.at(&at));
            }
            everywhere(
                &format!("{how:?} {of:?} along {axis} of {shape:?}"),
                1e-6,
                &expected,
                |device| {
                    nd::scatter_elements(&x.on(device), axis, &places, &updates.on(device), how)
                },
            );
        }
    }
    let (x, updates) = (Nd::random(&mut r, &[3, 4, 5]), Nd::random(&mut r, &[6, 5]));
    let rows = [[0, 0], [2, 3], [-1, -1], [1, 2], [0, 0], [0, -4]];
    for how in HOW {
        let mut expected = x.clone();
        for (update, row) in rows.iter().enumerate() {
            let part = from_end(row[0], 3) * 4 + from_end(row[1], 4);
            for i in 0..5 {
                let there = &mut expected.data[part * 5 + i];
                *there = put(how, *there, updates.at(&[update, i]));
            }
        }
        everywhere(&format!("{how:?} of rows"), 1e-6, &expected, |device| {
            nd::scatter_nd(&x.on(device), &rows.concat(), &[6, 2], &updates.on(device), how)
        });
    }
    for (name, device) in devices() {
        for how in &HOW[1..] {
            let x = tensor(&[1.0, f32::NAN], [2], device);
            let updates = tensor(&[f32::NAN, 2.0], [2], device);
            let y = nd::scatter_elements(&x, 0, &[0, 1], &updates, *how).unwrap().to_vec().unwrap();
            assert!(y.iter().all(|y| y.is_nan()), "{how:?}, {name}");
        }
    }
    let zeros = |device: &Device, shape: &[usize]| Tensor::zeros(shape, device);
    refused(|device| {
        nd::scatter_nd(
            &zeros(device, &[2, 3])?,
            &[0],
            &[1, 1],
            &zeros(device, &[1, 2])?,
            Scatter::Set,
        )
    });
    refused(|device| {
        nd::scatter_elements(&zeros(device, &[2])?, 0, &[2], &zeros(device, &[1])?, Scatter::Add)
    });
}

#[test]
fn one_hot_vectors() {
    let places = [0, -1, 3, 7, 2, -9];
    for axis in 0..=2 {
        let mut shape = vec![2, 3];
        shape.insert(axis, 4);
        let expected = Nd::build(&shape, |at| {
            let mut own = at.to_vec();
            let class = own.remove(axis) as i64;
            let index: i64 = places[own[0] * 3 + own[1]];
            if index == class || index + 4 == class { 5.0 } else { -1.0 }
        });
        everywhere(&format!("one-hot along {axis}"), 0.0, &expected, |device| {
            nd::one_hot(&places, &[2, 3], 4, axis, [-1.0, 5.0], device)
        });
    }
    refused(|device| nd::one_hot(&[0], &[1], 4, 2, [0.0, 1.0], device));
    refused(|device| nd::one_hot(&[0], &[1], usize::MAX, 0, [0.0, 1.0], device));
}
