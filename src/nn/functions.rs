//! Differentiable steps between the layers' ops, on a tape.

use crate::Mask;
use crate::Result;
use crate::autograd::{Tape, Var};
use crate::check::Check;
use crate::lengths::Counted;
use crate::ops::elementwise::add as sum;
use crate::ops::elementwise::add_into::add_into;
use crate::ops::elementwise::multiply::multiply as product;
use crate::ops::elementwise::{dropout, merge, mix as mixed};
use crate::ops::frames::apply_mask::apply_mask;
use crate::ops::frames::copy_columns::copy_columns;
use crate::ops::frames::pack::{pack, unpack};
use crate::ops::frames::pool;
use crate::ops::frames::swap_axes as swap;
use crate::ops::gemm::{Gemm, Matrix};
use crate::ops::norm::layer_norm as norm;
use crate::ops::sums::column_sum::column_sum;
use crate::tensor::Tensor;

/// Puts an op with one input and one output on the tape.
pub(super) fn map(
    tape: &Tape,
    x: &Var,
    y: Tensor,
    backward: impl FnOnce(&Tensor) -> Result<Tensor> + Send + 'static,
) -> Var {
    let id = tape.id(x);
    tape.push_one(y, id.is_some(), move |d_y, gradients| gradients.add(id, backward(d_y)?))
}

/// The steps that count of a sequence `[B,T,C]`; all of any other value.
fn counted(op: &'static str, x: &Var) -> Result<Counted> {
    match x.shape() {
        &[rows, timesteps, _] => x.counted(op, rows, timesteps),
        _ => Ok(Counted::All),
    }
}

/// The values with zeros at the steps that do not count.
fn zero_uncounted(x: &Tensor, steps: &Counted) -> Result<Tensor> {
    match steps {
        Counted::All => Ok(x.clone()),
        Counted::Lengths(lengths) => unpack(&pack(x, lengths)?, lengths, x.shape()[1]),
        Counted::Mask(mask) => apply_mask(x, mask),
    }
}

/// [`zero_uncounted`] on the tape: no gradient flows to a step that does not count.
fn keep(tape: &Tape, x: &Var, steps: Counted) -> Result<Var> {
    if matches!(steps, Counted::All) {
        return Ok(x.clone());
    }
    let y = zero_uncounted(x.tensor(), &steps)?;
    Ok(map(tape, x, y, move |d_y| zero_uncounted(d_y, &steps)).with_steps_of(x))
}

/// The numbers of a value with zeros at the steps that do not count, where NaN may stand: NaN times a
/// gradient of zero is NaN. Unlike [`zero_padding`] it records nothing, so the caller must give those
/// steps no gradient.
pub(super) fn zero_padding_untaped(op: &'static str, x: &Var) -> Result<Tensor> {
    zero_uncounted(x.tensor(), &counted(op, x)?)
}

/// A value with zeros at the steps that do not count; no gradient flows to them.
pub(super) fn zero_padding(tape: &Tape, op: &'static str, x: &Var) -> Result<Var> {
    keep(tape, x, counted(op, x)?)
}

/// A value with zeros at the steps that a mask leaves out; no gradient flows to them.
pub(super) fn multiply_by_mask(tape: &Tape, x: &Var, mask: &Mask) -> Result<Var> {
    let (y, mask) = (apply_mask(x.tensor(), mask)?, mask.clone());
    Ok(map(tape, x, y, move |d_y| apply_mask(d_y, &mask)))
}

/// The rows of a state, `[rows,size]`, as they are `after` a step; as `before` where a mask `[rows,1]` leaves the step
/// out.
pub(super) fn kept_at(mask: Option<&Mask>, before: &Var, after: Tensor) -> Result<Tensor> {
    let (Some(mask), &[rows, size]) = (mask, before.shape()) else { return Ok(after) };
    let others: Vec<_> = mask.values().iter().map(|&on| !on).collect();
    let others = Mask::new(&others, [rows, 1], &after.device())?;
    let of = |x: &Tensor, mask| apply_mask(&x.reshape([rows, 1, size])?, mask);
    sum::add(&of(&after, mask)?, &of(before.tensor(), &others)?)?.reshape([rows, size])
}

/// A value for a layer that computes each step by itself: with zeros past each row's length, to which
/// no gradient flows. A mask changes nothing: an LSTM's output repeats at a step that is left out, and
/// Keras' layers of this kind compute on it.
pub(super) fn without_padding(tape: &Tape, op: &'static str, x: &Var) -> Result<Var> {
    match counted(op, x)? {
        Counted::Mask(_) => Ok(x.clone()),
        steps => keep(tape, x, steps),
    }
}

/// A packed value in padded form: see [`Var::packed_dims`].
pub(crate) fn unpacked(tape: &Tape, x: &Var) -> Result<Var> {
    let (Some([_, timesteps]), Some(lengths)) = (x.packed_dims(), x.lengths().cloned()) else {
        return Ok(x.clone());
    };
    lengths.check_packed("a value with lengths", x.tensor())?;
    let y = unpack(x.tensor(), &lengths, timesteps)?;
    Ok(map(tape, x, y, move |d_y| pack(d_y, &lengths)).with_steps_of(x))
}

/// The opposite of [`unpacked`], of a value `[B,T,C]` with lengths.
pub(super) fn packed(tape: &Tape, x: &Var) -> Result<Var> {
    let (&[_, timesteps, _], Some(lengths)) = (x.shape(), x.lengths().cloned()) else {
        return Ok(x.clone());
    };
    let y = pack(x.tensor(), &lengths)?;
    Ok(map(tape, x, y, move |d_y| unpack(d_y, &lengths, timesteps)).with_steps_of(x))
}

/// Drops values at random on a tape that trains; `same_steps`: one mask for all timesteps.
pub(super) fn dropout(tape: &Tape, x: &Var, rate: f32, same_steps: bool) -> Result<Var> {
    if rate == 0.0 || !tape.trains() || x.tensor().is_empty() {
        return Ok(x.clone());
    }
    Check::new("dropout", "").dtype("x", x.tensor(), crate::DType::F32)?;
    let key = tape.params().next_key();
    let y = dropout::dropout(x.tensor(), rate, key, same_steps)?;
    let y = map(tape, x, y, move |d_y| dropout::dropout(d_y, rate, key, same_steps));
    Ok(y.with_steps_of(x))
}

/// Merges the two halves of each row into one.
pub(super) fn merge(tape: &Tape, x: &Var, kind: merge::Kind) -> Result<Var> {
    let y = merge::merge(kind, x.tensor())?;
    let saved = x.tensor().clone();
    let y = map(tape, x, y, move |d_y| merge::backward(kind, &saved, d_y));
    Ok(y.with_steps_of(x))
}

/// Concatenates values in the last axis; all other axes must be the same. The lengths or the mask are
/// those of the first.
///
/// ```
/// use wgpu_lstm::{Device, Tape, Tensor, Var, nn::{Params, concat}};
/// let device = Device::auto()?;
/// let tape = Tape::new(&Params::new(&device));
/// let (a, b) = (Tensor::zeros([2, 5, 3], &device)?, Tensor::zeros([2, 5, 1], &device)?);
/// assert_eq!(concat(&tape, &[a.into(), b.into()])?.shape(), [2, 5, 4]);
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
///
/// # Errors
/// [`crate::Error::Empty`] without values and for one without elements, [`crate::Error::Shape`],
/// [`crate::Error::DType`], [`crate::Error::OtherDevice`].
pub fn concat(tape: &Tape, parts: &[Var]) -> Result<Var> {
    let [first, ..] = parts else {
        return Err(crate::Error::Empty {
            op: "concat",
            arg: "parts",
            axes: "[values]",
            found: vec![0],
        });
    };
    let check = Check::new("concat", "all but the last axis are the same");
    for part in parts {
        check.dtype("part", part.tensor(), crate::DType::F32)?;
        let size = part.shape().last().copied().unwrap_or(0);
        check.features("part", part.tensor(), "[..,F]", size)?;
        let mut shape = first.shape().to_vec();
        shape.pop();
        shape.push(size);
        check.shape("part", part.tensor(), "[..,F]", &shape)?;
        check.device(first.tensor(), &[("part", part.tensor())])?;
    }
    let width = |part: &Tensor| part.shape().last().copied().unwrap_or(0);
    let widths: Vec<_> = parts.iter().map(|p| width(p.tensor())).collect();
    let mut shape = first.shape().to_vec();
    shape.pop();
    shape.push(widths.iter().sum());
    let y = Tensor::empty(shape, &first.tensor().device())?;
    let mut at = 0;
    for (part, width) in parts.iter().zip(&widths) {
        copy_columns((part.tensor(), 0), (&y, at), *width)?;
        at += width;
    }
    let ids: Vec<_> = parts.iter().map(|p| tape.id(p)).collect();
    let shapes: Vec<_> = parts.iter().map(|p| p.shape().to_vec()).collect();
    let differentiable = ids.iter().any(Option::is_some);
    let y = tape.push_one(y, differentiable, move |d_y, gradients| {
        let mut at = 0;
        for ((id, shape), width) in ids.into_iter().zip(shapes).zip(widths) {
            if id.is_some() {
                let d_part = Tensor::empty(shape, &d_y.device())?;
                copy_columns((d_y, at), (&d_part, 0), width)?;
                gradients.add(id, d_part)?;
            }
            at += width;
        }
        Ok(())
    });
    Ok(y.with_steps_of(first))
}

/// Two values of one shape: `b` of `[F]` beside `a` of `[..,F]` is repeated for each row.
fn alike(tape: &Tape, op: &'static str, a: &Var, b: &Var) -> Result<(Var, Var)> {
    let check = Check::new(op, "both have one shape, or `b` one value for each feature of `a`");
    let (a_value, b_value) = (a.tensor(), b.tensor());
    check.dtype("a", a_value, crate::DType::F32)?;
    check.dtype("b", b_value, crate::DType::F32)?;
    let size = a.shape().last().copied().unwrap_or(0);
    check.features("a", a_value, "[..,F]", size)?;
    let same = a.shape() == b.shape();
    if !same && b.shape() != [size] {
        check.shape("b", b_value, "the shape of `a`, or [F]", a.shape())?;
    }
    check.device(a_value, &[("b", b_value)])?;
    if same {
        return Ok((a.clone(), b.clone()));
    }
    // As in a layer: what stands in the padding, which may be NaN, comes to no sum over the rows.
    Ok((without_padding(tape, op, a)?, repeat(tape, b, a.shape())?))
}

/// A value `[F]` for each row of `shape` `[..,F]`; its gradient is the sum over the rows.
pub(super) fn repeat(tape: &Tape, x: &Var, shape: &[usize]) -> Result<Var> {
    let (size, device) = (x.tensor().len(), x.tensor().device());
    let y = Tensor::empty(shape, &device)?;
    let rows = y.len() / size;
    let ones = Tensor::empty([rows, 1], &device)?;
    ones.fill(1.0)?;
    let product = Gemm { m: rows, n: size, k: 1, bias: None, accumulate: false };
    product.run(Matrix::new(&ones, 1), Matrix::new(x.tensor(), size), Matrix::new(&y, size))?;
    Ok(map(tape, x, y, move |d_y| {
        let d_x = Tensor::zeros([size], &device)?;
        column_sum(d_y, &d_x)?;
        Ok(d_x)
    }))
}

/// The elementwise sum of two values of the same shape, such as a layer's input and output in a residual
/// connection; or of `a` `[..,F]` and `b` `[F]`, such as a bias, which is added to each row. The lengths or
/// the mask are those of the first.
///
/// ```
/// use wgpu_lstm::{Device, Tape, Tensor, nn::{Params, add}};
/// let device = Device::auto()?;
/// let tape = Tape::new(&Params::new(&device));
/// let a = Tensor::from_slice(&[1.0, 2.0], [1, 2], &device)?;
/// let b = Tensor::from_slice(&[3.0, 5.0], [1, 2], &device)?;
/// assert_eq!(add(&tape, &a.clone().into(), &b.into())?.tensor().to_vec()?, [4.0, 7.0]);
/// let bias = Tensor::from_slice(&[0.5, -0.5], [2], &device)?;
/// assert_eq!(add(&tape, &a.into(), &bias.into())?.tensor().to_vec()?, [1.5, 1.5]);
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
///
/// # Errors
/// [`crate::Error::Shape`] for two shapes, [`crate::Error::Empty`] and [`crate::Error::Rank`] for values
/// without elements or axes, [`crate::Error::DType`], [`crate::Error::OtherDevice`].
pub fn add(tape: &Tape, a: &Var, b: &Var) -> Result<Var> {
    let (a, b) = alike(tape, "add", a, b)?;
    let y = sum::add(a.tensor(), b.tensor())?;
    let ids = [tape.id(&a), tape.id(&b)];
    let wanted = ids.iter().any(Option::is_some);
    let y = tape.push_one(y, wanted, move |d_y, gradients| {
        ids.into_iter().try_for_each(|id| gradients.add(id, d_y.clone()))
    });
    Ok(y.with_steps_of(&a))
}

/// The elementwise product of two values of the same shape, such as a gate and its input; or of `a` `[..,F]`
/// and `b` `[F]`, such as a scale, by which each row is multiplied. The lengths or the mask are those of the
/// first.
///
/// ```
/// use wgpu_lstm::{Device, Tape, Tensor, nn::{Params, multiply}};
/// let device = Device::auto()?;
/// let tape = Tape::new(&Params::new(&device));
/// let a = Tensor::from_slice(&[2.0, 3.0], [1, 2], &device)?;
/// let b = Tensor::from_slice(&[4.0, 0.5], [1, 2], &device)?;
/// assert_eq!(multiply(&tape, &a.into(), &b.into())?.tensor().to_vec()?, [8.0, 1.5]);
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
///
/// # Errors
/// As [`add`].
pub fn multiply(tape: &Tape, a: &Var, b: &Var) -> Result<Var> {
    let (a, b) = alike(tape, "multiply", a, b)?;
    let y = product(a.tensor(), b.tensor())?;
    let ids = [tape.id(&a), tape.id(&b)];
    let wanted = ids.iter().any(Option::is_some);
    // The slope of each is the other.
    let others = [b.tensor().clone(), a.tensor().clone()];
    let y = tape.push_one(y, wanted, move |d_y, gradients| {
        let mut slopes = ids.into_iter().zip(others).filter(|(id, _)| id.is_some());
        slopes.try_for_each(|(id, other)| gradients.add(id, product(d_y, &other)?))
    });
    Ok(y.with_steps_of(&a))
}

/// `a` where a gate `t` is open and `b` where it is shut: b + t (a - b), of three values of one shape. The lengths or
/// the mask are those of the first.
pub(super) fn mix(tape: &Tape, a: &Var, b: &Var, t: &Var) -> Result<Var> {
    let check = Check::new("mix", "a layer and what goes around it give values of one shape");
    for (name, other) in [("b", b), ("t", t)] {
        check.shape(name, other.tensor(), "the shape of `a`", a.shape())?;
    }
    let ids = [a, b, t].map(|x| tape.id(x));
    let values = [a, b, t].map(|x| x.tensor().clone());
    let y = mixed::mix(values.each_ref())?;
    let y = tape.push_one(y, ids.iter().any(Option::is_some), move |d_y, gradients| {
        let slopes = mixed::backward(values.each_ref(), d_y)?;
        ids.into_iter().zip(slopes).try_for_each(|(id, slope)| gradients.add(id, slope))
    });
    Ok(y.with_steps_of(a))
}

/// A parameter as a value on the tape, whose gradient is added to `gradient`.
pub(super) fn parameter(tape: &Tape, (value, gradient): (Tensor, Tensor)) -> Var {
    tape.push_one(value, true, move |d, _| add_into(d, &gradient))
}

/// The product of `a` `[..,K]` and `b` `[K,N]`.
pub(super) fn matmul(tape: &Tape, a: &Var, b: &Var) -> Result<Var> {
    let (a_value, b_value) = (a.tensor().clone(), b.tensor().clone());
    let k = b_value.shape()[0];
    let n = b_value.len() / k;
    let m = a_value.len() / k;
    let mut shape = a_value.shape().to_vec();
    shape.pop();
    shape.push(n);
    let y = Tensor::empty(shape, &a_value.device())?;
    let plain = |m, n, k| Gemm { m, n, k, bias: None, accumulate: false };
    plain(m, n, k).run(Matrix::new(&a_value, k), Matrix::new(&b_value, n), Matrix::new(&y, n))?;
    let (a_id, b_id) = (tape.id(a), tape.id(b));
    let differentiable = a_id.is_some() || b_id.is_some();
    let y = tape.push_one(y, differentiable, move |d_y, gradients| {
        let d_y = Matrix::new(d_y, n);
        if a_id.is_some() {
            let d_a = Tensor::empty(a_value.shape(), &a_value.device())?;
            plain(m, k, n).run(d_y, Matrix::new(&b_value, n).t(), Matrix::new(&d_a, k))?;
            gradients.add(a_id, d_a)?;
        }
        if b_id.is_some() {
            let d_b = Tensor::empty(b_value.shape(), &b_value.device())?;
            plain(k, n, m).run(Matrix::new(&a_value, k).t(), d_y, Matrix::new(&d_b, n))?;
            gradients.add(b_id, d_b)?;
        }
        Ok(())
    });
    Ok(y.with_steps_of(a))
}

/// The value under another shape.
pub(super) fn reshape(tape: &Tape, x: &Var, shape: &[usize]) -> Result<Var> {
    let before = x.shape().to_vec();
    let y = x.tensor().reshape(shape)?;
    Ok(map(tape, x, y, move |d_y| d_y.reshape(before)))
}

/// Swaps the first two axes: `[A,B,C]` to `[B,A,C]`.
pub(super) fn swap_axes(tape: &Tape, x: &Var) -> Result<Var> {
    let check = Check::new("lstm", "a batch of sequences, time-major");
    check.dtype("x", x.tensor(), crate::DType::F32)?;
    check.dims::<3>("x", x.tensor(), "[T,B,I]")?;
    let y = map(tape, x, swap::swap_axes(x.tensor())?, swap::swap_axes);
    Ok(y.with_steps_of(x))
}

/// A sequence `[B,T,C]` with `h` `[B,C]` at the step that each row begins with, by the lengths of `x`, and
/// zeros at all others.
pub(super) fn at_first_step(
    tape: &Tape,
    h: &Var,
    x: &Var,
    dims: [usize; 3],
    reverse: bool,
) -> Result<Var> {
    let kind = if reverse { pool::Kind::Last } else { pool::Kind::First };
    let steps = x.counted("lstm", dims[0], dims[1])?;
    // Only the places are used.
    let zeros = Tensor::zeros(dims, &h.tensor().device())?;
    let (_, found) = pool::pool(kind, &zeros, dims, &steps)?;
    let y = pool::backward(kind, h.tensor(), dims, &steps, Some(&found))?;
    Ok(map(tape, h, y, move |d_y| Ok(pool::pool(kind, d_y, dims, &steps)?.0)))
}

/// Normalises each row, with a gain and an optional bias; each comes with the sum for its gradient.
pub(super) fn layer_norm(
    tape: &Tape,
    x: &Var,
    (gain, d_gain): (Tensor, Tensor),
    bias: Option<(Tensor, Tensor)>,
    epsilon: f32,
) -> Result<Var> {
    let (id, saved) = (tape.id(x), x.tensor().clone());
    let (y, stats) = norm::layer_norm(&saved, &gain, bias.as_ref().map(|b| &b.0), epsilon)?;
    let y = tape.push_one(y, true, move |d_y, gradients| {
        let d_bias = bias.as_ref().map(|(_, d_bias)| d_bias);
        gradients.add(id, norm::backward(&saved, &gain, &stats, d_y, &d_gain, d_bias)?)
    });
    Ok(y.with_steps_of(x))
}
