//! ONNX's RNN and GRU: the products with all inputs at once, and then a step after the other.
//!
//! RNN: h' = f(W x + R h + b)
//! GRU: z = f(W_z x + R_z h + b_z);  r = f(W_r x + R_r h + b_r)
//!      g = g(W_h x + R_h (r∘h) + b_h), or g(W_h x + r∘(R_h h + b_Rh) + b_Wh) with linear_before_reset
//!      h' = (1 - z)∘g + z∘h

use super::super::super::node::Node;
use super::super::super::plan::{Args, Run, wrong};
use super::super::super::value::Value;
use super::{Common, Sizes, expect, first_states, last_states, lengths, sizes};
use crate::ops::GateActivation;
use crate::ops::nd::{self, Binary, Unary};
use crate::{Result, Tensor};
use std::sync::Arc;

pub(super) fn rnn(node: &Node<'_>) -> Result<Run> {
    let common = Common::of(node, &["Tanh"])?;
    Ok(Arc::new(move |args| {
        run(args, &common, 1, |direction, step| {
            let hidden = step.product(step.h, 0..1)?;
            let sum = nd::binary(Binary::Add, step.x, &hidden)?;
            activate(&common, direction, 0, &sum)
        })
    }))
}

pub(super) fn gru(node: &Node<'_>) -> Result<Run> {
    let common = Common::of(node, &["Sigmoid", "Tanh"])?;
    let before = node.flag("linear_before_reset", false)?;
    Ok(Arc::new(move |args| {
        run(args, &common, 3, |direction, step| {
            let h = step.h;
            let x = nd::split(step.x, 1, &[step.size; 3])?;
            let first = nd::split(&step.product(h, 0..2)?, 1, &[step.size; 2])?;
            let gate = |at: usize| {
                let sum = nd::binary(Binary::Add, &x[at], &first[at])?;
                activate(&common, direction, 0, &sum)
            };
            let (z, r) = (gate(0)?, gate(1)?);
            let hidden = match before {
                true => nd::binary(Binary::Mul, &r, &step.product(h, 2..3)?)?,
                false => step.product(&nd::binary(Binary::Mul, &r, h)?, 2..3)?,
            };
            let new = activate(&common, direction, 1, &nd::binary(Binary::Add, &x[2], &hidden)?)?;
            // g + z (h - g)
            let way = nd::binary(Binary::Sub, h, &new)?;
            nd::multiply_add(&way, &z, &new)
        })
    }))
}

/// What a step is made of.
struct Step<'a> {
    /// The inputs' products `[B,gates H]`, with their biases.
    x: &'a Tensor,
    h: &'a Tensor,
    /// Of each gate `[H,H]`, and its bias.
    r: &'a [Tensor],
    biases: &'a [Tensor],
    size: usize,
}

impl Step<'_> {
    /// The products of some gates with a state, with their biases: `[B,gates H]`.
    fn product(&self, h: &Tensor, gates: std::ops::Range<usize>) -> Result<Tensor> {
        let mut parts = Vec::with_capacity(gates.len());
        for gate in gates {
            parts.push(nd::gemm(h, &self.r[gate], self.biases.get(gate), 1.0, 1.0, [false, true])?);
        }
        match parts.as_slice() {
            [one] => Ok(one.clone()),
            all => nd::concat(&all.iter().collect::<Vec<_>>(), 1),
        }
    }
}

fn activate(common: &Common, direction: usize, which: usize, x: &Tensor) -> Result<Tensor> {
    let clipped = match common.clip {
        Some(clip) => nd::unary(Unary::Clip(-clip, clip), x)?,
        None => x.clone(),
    };
    let x = &clipped;
    let scaled = |x: &Tensor, alpha: f32, beta: f32| {
        let number = |value: f32| Tensor::from_slice(&[value], [], &x.device());
        nd::multiply_add(x, &number(alpha)?, &number(beta)?)
    };
    let kind = match common.activations[direction][which] {
        GateActivation::Sigmoid => Unary::Sigmoid,
        GateActivation::Tanh => Unary::Tanh,
        GateActivation::Relu => Unary::Relu,
        GateActivation::Affine { alpha, beta } => return scaled(x, alpha, beta),
        GateActivation::HardSigmoid { alpha, beta } => Unary::HardSigmoid(alpha, beta),
        GateActivation::LeakyRelu { alpha } => Unary::LeakyRelu(alpha),
        GateActivation::ScaledTanh { alpha, beta } => {
            return scaled(&nd::unary(Unary::Tanh, &scaled(x, beta, 0.0)?)?, alpha, 0.0);
        }
        GateActivation::Elu { alpha } => Unary::Elu(alpha),
        GateActivation::Softsign => Unary::Softsign,
        GateActivation::Softplus => Unary::Softplus,
        GateActivation::ThresholdedRelu { alpha } => Unary::ThresholdedRelu(alpha),
    };
    nd::unary(kind, x)
}

/// Runs all directions; `step` gives the next state `[B,H]`.
fn run(
    args: &Args<'_>,
    common: &Common,
    gates: usize,
    step: impl Fn(usize, Step<'_>) -> Result<Tensor>,
) -> Result<Vec<Value>> {
    let (x, w, r) = (args.floats(0)?, args.floats(1)?, args.floats(2)?);
    let sizes = sizes(common, x, r.shape(), gates)?;
    let Sizes { time, batch, input, hidden } = sizes;
    args.room(&[time, batch, common.directions.len(), gates, hidden])?;
    let (directions, rows) = (common.directions.len(), gates * hidden);
    expect(1, w, &[directions, rows, input])?;
    let bias = args.opt_floats(3)?;
    bias.map_or(Ok(()), |bias| expect(3, bias, &[directions, 2 * rows]))?;
    let lengths = lengths(args, 4, sizes)?;
    let first = first_states(args, 5, common, sizes)?;
    let x = match common.batch_first {
        true => nd::transpose(x, &[1, 0, 2])?,
        false => x.clone(),
    };
    let ones = vec![1; directions];
    let each = |tensor: &Tensor| nd::split(tensor, 0, &ones);
    let (w, r) = (each(w)?, each(r)?);
    let bias = bias.map(each).transpose()?;
    let turned = |tensor: &Tensor| match &lengths {
        // The steps of each row backwards; what is behind them stays.
        Some(lengths) => {
            let lengths: Vec<_> = lengths.iter().map(|&len| len as i64).collect();
            nd::reverse_sequence(tensor, 0, 1, &lengths)
        }
        None => nd::flip(tensor, &[0]),
    };
    // Of each step, which rows have it.
    let masks = match &lengths {
        None => None,
        Some(lengths) => {
            let is = |at: usize| f32::from(u8::from(at / batch < lengths[at % batch]));
            let all: Vec<_> = (0..time * batch).map(is).collect();
            Some(nd::split(
                &Tensor::from_slice(&all, [time, batch, 1], args.device)?,
                0,
                &vec![1; time],
            )?)
        }
    };
    let zeros = Tensor::zeros([batch, hidden], args.device)?;
    let (mut outputs, mut last) = (Vec::new(), Vec::new());
    for (direction, &backwards) in common.directions.iter().enumerate() {
        let x = if backwards { turned(&x)? } else { x.clone() };
        let biases = match &bias {
            None => vec![],
            Some(bias) => nd::split(&bias[direction].reshape([2 * rows])?, 0, &[rows, rows])?,
        };
        let w = w[direction].reshape([rows, input])?;
        let frames = x.reshape([time * batch, input])?;
        let products = nd::gemm(&frames, &w, biases.first(), 1.0, 1.0, [false, true])?;
        let products = nd::split(&products, 0, &vec![batch; time])?;
        let r = nd::split(&r[direction].reshape([rows, hidden])?, 0, &vec![hidden; gates])?;
        let biases = match biases.get(1) {
            None => vec![],
            Some(bias) => nd::split(bias, 0, &vec![hidden; gates])?,
        };
        let mut h = first.as_ref().map_or_else(|| zeros.clone(), |all| all[direction].clone());
        let mut ys = Vec::with_capacity(time);
        for (at, x) in products.iter().enumerate() {
            let new = step(direction, Step { x, h: &h, r: &r, biases: &biases, size: hidden })?;
            if let Some(masks) = &masks {
                let mask = masks[at].reshape([batch, 1])?;
                ys.push(nd::select(&mask, &new, &zeros)?);
                h = nd::select(&mask, &new, &h)?;
            } else {
                ys.push(new.clone());
                h = new;
            }
        }
        let y = nd::concat(&ys.iter().collect::<Vec<_>>(), 0)?.reshape([time, batch, hidden])?;
        let y = if backwards { turned(&y)? } else { y };
        outputs.push(y.reshape([time, 1, batch, hidden])?);
        last.push(h);
    }
    let y = match outputs.as_slice() {
        [] => return Err(wrong(2, "of some directions", "of none")),
        [one] => one.clone(),
        all => nd::concat(&all.iter().collect::<Vec<_>>(), 1)?,
    };
    let y = if common.batch_first { nd::transpose(&y, &[2, 0, 1, 3])? } else { y };
    Ok(vec![Value::Floats(y), last_states(last, common, sizes)?])
}
