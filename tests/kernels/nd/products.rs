//! Products of matrices.

use super::*;

/// `numpy.matmul`, term by term.
fn matmul(a: &Nd, b: &Nd) -> Nd {
    let mut a = a.clone();
    let mut b = b.clone();
    let (row, column) = (a.shape.len() == 1, b.shape.len() == 1);
    if row {
        a.shape.insert(0, 1);
    }
    if column {
        b.shape.push(1);
    }
    let (axes_a, axes_b) = (a.shape.len() - 2, b.shape.len() - 2);
    let batch = nd::broadcast("test", &[&a.shape[..axes_a], &b.shape[..axes_b]]).unwrap();
    let (m, k, n) = (a.shape[axes_a], a.shape[axes_a + 1], b.shape[axes_b + 1]);
    let mut y = Nd::build(&[&batch[..], &[m, n]].concat(), |at| {
        let (lead, own) = at.split_at(batch.len());
        let term =
            |i| a.spread(&[lead, &[own[0], i]].concat()) * b.spread(&[lead, &[i, own[1]]].concat());
        (0..k).map(term).sum()
    });
    if row {
        y.shape.remove(batch.len());
    }
    if column {
        y.shape.pop();
    }
    y
}

#[test]
fn products_with_any_axes() {
    let mut r = Random::new(941);
    let shapes: [[&[usize]; 2]; 20] = [
        [&[5], &[5]],
        [&[1, 1], &[1, 1]],
        [&[3], &[3, 4]],
        [&[4, 3], &[3]],
        [&[1, 33], &[33, 65]],
        [&[5, 7], &[7, 3]],
        [&[65, 130], &[130, 70]],
        [&[2, 5, 7], &[7, 3]],
        [&[2, 3, 5, 7], &[1, 7, 2]],
        [&[5, 7], &[4, 7, 3]],
        [&[4, 5, 7], &[4, 7, 3]],
        [&[1, 5, 7], &[4, 7, 3]],
        [&[2, 1, 5, 7], &[3, 7, 2]],
        [&[2, 3, 4, 5], &[2, 1, 5, 3]],
        [&[2, 3, 2, 4, 5], &[1, 3, 1, 5, 3]],
        [&[2, 3, 5, 7], &[7]],
        [&[7], &[2, 3, 7, 4]],
        [&[3, 0], &[0, 2]],
        [&[0, 3], &[3, 2]],
        [&[0, 2, 3], &[1, 3, 2]],
    ];
    for [a, b] in shapes {
        let (a, b) = (Nd::random(&mut r, a), Nd::random(&mut r, b));
        let what = format!("{:?} by {:?}", a.shape, b.shape);
        everywhere(&what, 3e-6, &matmul(&a, &b), |device| nd::matmul(&a.on(device), &b.on(device)));
    }
    let zeros = |device: &Device, shape: &[usize]| Tensor::zeros(shape, device);
    let wrong: [[&[usize]; 2]; 4] =
        [[&[2, 3], &[2, 3]], [&[3], &[2]], [&[], &[1]], [&[2, 2, 2], &[3, 2, 2]]];
    for [a, b] in wrong {
        refused(|device| nd::matmul(&zeros(device, a)?, &zeros(device, b)?));
    }
}

#[test]
fn products_with_more_to_them() {
    let mut r = Random::new(942);
    for [m, n, k] in [[1, 1, 1], [1, 65, 33], [7, 5, 3], [33, 70, 17], [3, 4, 0]] {
        let (a, b) = (Nd::random(&mut r, &[m, k]), Nd::random(&mut r, &[k, n]));
        let product = matmul(&a, &b);
        let turned = |x: &Nd| Nd::build(&[x.shape[1], x.shape[0]], |at| x.at(&[at[1], at[0]]));
        for (ta, tb) in [(false, false), (true, false), (false, true), (true, true)] {
            let (a, b) =
                (if ta { turned(&a) } else { a.clone() }, if tb { turned(&b) } else { b.clone() });
            for shape in [
                None,
                Some(vec![n]),
                Some(vec![m, n]),
                Some(vec![m, 1]),
                Some(vec![]),
                Some(vec![1, n]),
            ] {
                let c = shape.map(|shape| Nd::random(&mut r, &shape));
                for (alpha, beta) in [(1.0, 1.0), (0.5, 1.0), (1.0, -2.0), (0.5, 0.0)] {
                    let expected = Nd::build(&[m, n], |at| {
                        f64::from(alpha) * product.at(at)
                            + c.as_ref().map_or(0.0, |c| f64::from(beta) * c.spread(at))
                    });
                    let what = format!(
                        "{m} x {n} x {k}, {ta}, {tb}, {alpha}, {beta}, {:?}",
                        c.as_ref().map(|c| &c.shape)
                    );
                    everywhere(&what, 3e-6, &expected, |device| {
                        let c = c.as_ref().map(|c| c.on(device));
                        nd::gemm(&a.on(device), &b.on(device), c.as_ref(), alpha, beta, [ta, tb])
                    });
                }
            }
        }
    }
    let zeros = |device: &Device, shape: &[usize]| Tensor::zeros(shape, device);
    refused(|device| {
        nd::gemm(&zeros(device, &[2, 3])?, &zeros(device, &[2, 3])?, None, 1.0, 1.0, [false; 2])
    });
    refused(|device| {
        nd::gemm(&zeros(device, &[2])?, &zeros(device, &[2, 3])?, None, 1.0, 1.0, [false; 2])
    });
    refused(|device| {
        let c = zeros(device, &[3, 1, 3])?;
        nd::gemm(&zeros(device, &[1, 2])?, &zeros(device, &[2, 3])?, Some(&c), 1.0, 1.0, [false; 2])
    });
}
