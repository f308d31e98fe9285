//! Products of matrices inside of tensors.

use super::binary::{Binary, binary};
use super::strided::expand;
use super::ternary::multiply_add;
use super::walk::{Walk, broadcast, broadcast_stride, len};
use crate::check::Check;
use crate::ops::gemm::{Gemm, Matrix};
use crate::{Error, Result, Tensor};

/// The product of the last two axes, the others broadcast: as `numpy.matmul`, a tensor of one axis is a row on the
/// left and a column on the right, and that axis is left out of the result.
pub(crate) fn matmul(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let check = Check::new("matmul", "the last axis of a goes with the last but one of b");
    check.device(a, &[("b", b)])?;
    for (arg, x) in [("a", a), ("b", b)] {
        if x.shape().is_empty() {
            let axes = "one at least";
            return Err(Error::Rank { op: "matmul", arg, axes, found: Vec::new() });
        }
    }
    let (rows, columns) = (a.shape().len() > 1, b.shape().len() > 1);
    let a = if rows { a.clone() } else { a.reshape([1, a.len()])? };
    let b = if columns { b.clone() } else { b.reshape([b.len(), 1])? };
    let ([of_a @ .., m, k], [of_b @ .., terms, n]) = (a.shape(), b.shape()) else {
        return Err(Error::Rank { op: "matmul", arg: "a", axes: "two", found: a.shape().to_vec() });
    };
    let (m, n, k) = (*m, *n, *k);
    if k != *terms {
        let (op, axes, expected) = ("matmul", "of a, [..,K,N]", [of_b, &[k, n]].concat());
        let help = "the last axis of a is as long as the last but one of b";
        return Err(Error::Shape { op, arg: "b", axes, expected, found: b.shape().to_vec(), help });
    }
    let batch = broadcast("matmul", &[of_a, of_b])?;
    let (m_axis, n_axis) = ([m], [n]);
    let ends = [if rows { &m_axis[..] } else { &[] }, if columns { &n_axis[..] } else { &[] }];
    let y = Tensor::empty([&batch[..], ends[0], ends[1]].concat(), &a.device())?;
    if y.is_empty() {
        return Ok(y);
    }
    if k == 0 {
        y.fill(0.0)?;
        return Ok(y);
    }
    let product = Gemm { m, n, k, bias: None, accumulate: false };
    if len(of_b) == 1 {
        // All rows of a by one matrix.
        let product = Gemm { m: len(of_a) * m, ..product };
        product.run(Matrix::new(&a, k), Matrix::new(&b, n), Matrix::new(&y, n))?;
        return Ok(y);
    }
    let strides = |axis| {
        let of =
            |shape: &[usize], size: usize| broadcast_stride(shape, &batch, axis) * size as isize;
        [of(of_a, m * k), of(of_b, k * n)]
    };
    let walk = Walk::new("matmul", &batch, strides, [0; 2])?;
    let (a, b, apart) = if walk.is_one_run() {
        (a.clone(), b.clone(), walk.step().map(|step| step as usize))
    } else {
        let (of_a, of_b) = ([&batch[..], &[m, k]].concat(), [&batch[..], &[k, n]].concat());
        (expand(&a, &of_a)?, expand(&b, &of_b)?, [m * k, k * n])
    };
    let count = walk.len();
    product.run(
        Matrix::new(&a, k).batch(count, apart[0]),
        Matrix::new(&b, n).batch(count, apart[1]),
        Matrix::new(&y, n).batch(count, m * n),
    )?;
    Ok(y)
}

/// `alpha` op(a) op(b) + `beta` c, op the transpose where it is asked for; `a` and `b` have two axes, and `c` is
/// broadcast to those of the product: ONNX's Gemm.
pub(crate) fn gemm(
    a: &Tensor,
    b: &Tensor,
    c: Option<&Tensor>,
    alpha: f32,
    beta: f32,
    [transpose_a, transpose_b]: [bool; 2],
) -> Result<Tensor> {
    let check = Check::new("gemm", "");
    check.device(a, &[("b", b), ("c", c.unwrap_or(b))])?;
    let sizes = |arg, x: &Tensor, transposed: bool| match (x.shape(), transposed) {
        (&[rows, columns], false) | (&[columns, rows], true) => Ok([rows, columns]),
        (found, _) => Err(Error::Rank { op: "gemm", arg, axes: "two", found: found.to_vec() }),
    };
    let [m, k] = sizes("a", a, transpose_a)?;
    let [terms, n] = sizes("b", b, transpose_b)?;
    if terms != k {
        let (op, axes, help) =
            ("gemm", "op(b), [K,N],", "it has as many rows as op(a) has columns");
        let (expected, found) = (vec![k, n], vec![terms, n]);
        return Err(Error::Shape { op, arg: "b", axes, expected, found, help });
    }
    let c = c.filter(|_| beta != 0.0);
    if let Some(c) = c
        && broadcast("gemm", &[c.shape(), &[m, n]])? != [m, n]
    {
        let (op, axes, help) = ("gemm", "[M,N]", "it is broadcast to the product");
        let (expected, found) = (vec![m, n], c.shape().to_vec());
        return Err(Error::Shape { op, arg: "c", axes, expected, found, help });
    }
    let y = Tensor::empty([m, n], &a.device())?;
    if y.is_empty() {
        return Ok(y);
    }
    let bias = c.filter(|c| c.len() == n && c.shape().last() == Some(&n));
    let bias = bias.filter(|_| alpha == 1.0 && beta == 1.0 && k > 0);
    let turned = |x, columns, transposed| match transposed {
        true => Matrix::new(x, columns).t(),
        false => Matrix::new(x, columns),
    };
    match k {
        0 => y.fill(0.0)?,
        _ => Gemm { m, n, k, bias, accumulate: false }.run(
            turned(a, a.shape()[1], transpose_a),
            turned(b, b.shape()[1], transpose_b),
            Matrix::new(&y, n),
        )?,
    }
    let number = |value| Tensor::from_slice(&[value], Vec::new(), &y.device());
    match c.filter(|_| bias.is_none()) {
        None if alpha == 1.0 => Ok(y),
        None => binary(Binary::Mul, &y, &number(alpha)?),
        Some(c) => {
            let c = if beta == 1.0 { c.clone() } else { binary(Binary::Mul, c, &number(beta)?)? };
            multiply_add(&y, &number(alpha)?, &c)
        }
    }
}
