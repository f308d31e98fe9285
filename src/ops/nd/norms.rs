//! Softmax and normalisations along any axes, by the kernels of `ops/norm/` for the last one.

use super::binary::{Binary, binary};
use super::strided::{expand, transpose};
use super::ternary::multiply_add;
use super::unary::{Unary, unary};
use super::walk::{around, check_axis, len};
use crate::check::Check;
use crate::ops::norm::{layer_norm as last_axis_norm, softmax as last_axis_softmax};
use crate::{Error, Result, Tensor};

/// The softmax along an axis.
pub(crate) fn softmax(x: &Tensor, axis: usize) -> Result<Tensor> {
    along("softmax", x, axis, last_axis_softmax::softmax)
}

/// Its logarithm.
pub(crate) fn log_softmax(x: &Tensor, axis: usize) -> Result<Tensor> {
    along("log_softmax", x, axis, last_axis_softmax::log_softmax)
}

/// An op of the last axis along another.
fn along(
    op: &'static str,
    x: &Tensor,
    axis: usize,
    of_last: impl Fn(&Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    check_axis(op, x.shape(), axis)?;
    if x.is_empty() {
        return Ok(x.clone());
    }
    let [outer, size, inner] = around(x.shape(), axis);
    let y = match inner {
        1 => of_last(&x.reshape([outer, size])?)?,
        _ => {
            let turned = transpose(&x.reshape([outer, size, inner])?, &[0, 2, 1])?;
            transpose(&of_last(&turned)?, &[0, 2, 1])?
        }
    };
    y.reshape(x.shape())
}

/// All axes from `axis` on normalised to mean 0 and variance 1, then scaled and shifted; `scale` and `bias` are
/// broadcast to these axes. `epsilon` is added to the variance. ONNX's LayerNormalization.
pub(crate) fn layer_norm(
    x: &Tensor,
    axis: usize,
    scale: &Tensor,
    bias: Option<&Tensor>,
    epsilon: f32,
) -> Result<Tensor> {
    check_axis("layer_norm", x.shape(), axis)?;
    let check = Check::new("layer_norm", "it is broadcast to the axes that are normalised");
    check.device(x, &[("scale", scale), ("bias", bias.unwrap_or(scale))])?;
    let shape = &x.shape()[axis..];
    let c = len(shape);
    let whole = |arg, tensor: &Tensor| {
        let whole = expand(tensor, shape)?;
        check.shape(arg, &whole, "of x from the axis on", shape)?;
        whole.reshape([c])
    };
    let (scale, bias) = (whole("scale", scale)?, bias.map(|bias| whole("bias", bias)).transpose()?);
    if x.is_empty() {
        return Ok(x.clone());
    }
    let rows = x.reshape([x.len() / c, c])?;
    last_axis_norm::layer_norm(&rows, &scale, bias.as_ref(), epsilon)?.0.reshape(x.shape())
}

/// Checks that x is `[N,C,..]`, and that the others are `[C]`: with as many axes of one place behind C as x has.
fn channels<const N: usize>(
    op: &'static str,
    x: &Tensor,
    others: [(&'static str, &Tensor); N],
) -> Result<[Tensor; N]> {
    let &[_, c, ref rest @ ..] = x.shape() else {
        let axes = "[N,C,..]";
        return Err(Error::Rank { op, arg: "x", axes, found: x.shape().to_vec() });
    };
    let check = Check::new(op, "a number for each channel, the second axis of x");
    check.device(x, &others)?;
    let mut found = others.map(|(_, tensor)| tensor.clone());
    for (found, (arg, tensor)) in found.iter_mut().zip(others) {
        check.shape(arg, tensor, "[C]", &[c])?;
        let ones = std::iter::repeat_n(1, rest.len());
        *found = tensor.reshape([c].into_iter().chain(ones).collect::<Vec<_>>())?;
    }
    Ok(found)
}

/// Each channel of each row of `x`, `[N,C,..]`, normalised by itself, then scaled and shifted by `[C]`: ONNX's
/// InstanceNormalization.
pub(crate) fn instance_norm(
    x: &Tensor,
    scale: &Tensor,
    bias: &Tensor,
    epsilon: f32,
) -> Result<Tensor> {
    let [scale, bias] = channels("instance_norm", x, [("scale", scale), ("bias", bias)])?;
    if x.is_empty() {
        return Ok(x.clone());
    }
    let size = len(&x.shape()[2..]);
    let ones = Tensor::empty([size], &x.device())?;
    ones.fill(1.0)?;
    let rows = x.reshape([x.len() / size, size])?;
    let normal = last_axis_norm::layer_norm(&rows, &ones, None, epsilon)?.0;
    multiply_add(&normal.reshape(x.shape())?, &scale, &bias)
}

/// `x`, `[N,C,..]`, with these means and variances of each channel, `[C]`, taken for its own: ONNX's
/// BatchNormalization, as it is in inference.
pub(crate) fn batch_norm(
    x: &Tensor,
    scale: &Tensor,
    bias: &Tensor,
    mean: &Tensor,
    variance: &Tensor,
    epsilon: f32,
) -> Result<Tensor> {
    let others = [("scale", scale), ("bias", bias), ("mean", mean), ("variance", variance)];
    let [scale, bias, mean, variance] = channels("batch_norm", x, others)?;
    let epsilon = Tensor::from_slice(&[epsilon], Vec::new(), &x.device())?;
    let deviation = unary(Unary::Sqrt, &binary(Binary::Add, &variance, &epsilon)?)?;
    let factor = binary(Binary::Div, &scale, &deviation)?;
    let shift = binary(Binary::Sub, &bias, &binary(Binary::Mul, &mean, &factor)?)?;
    multiply_add(x, &factor, &shift)
}
