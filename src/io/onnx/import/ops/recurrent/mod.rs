//! The recurrent operators: LSTM by this crate's own op, RNN and GRU as a loop of products.

mod loops;
mod lstm;

use super::super::node::Node;
use super::super::plan::{Args, Run, refused, wrong};
use super::super::value::Value;
use crate::ops::{GateActivation, nd};
use crate::{Result, Tensor};

pub(super) use lstm::Lstm;

pub(super) fn build(node: &Node<'_>, op: &str) -> Result<Option<Run>> {
    Ok(Some(match op {
        "LSTM" => lstm::build(node)?,
        "RNN" => loops::rnn(node)?,
        "GRU" => loops::gru(node)?,
        _ => return Ok(None),
    }))
}

/// The attributes that all of them have.
pub(in super::super::super) struct Common {
    hidden_size: usize,
    /// Of each direction, whether it goes backwards.
    pub(in super::super::super) directions: Vec<bool>,
    /// Of each direction.
    pub(in super::super::super) activations: Vec<Vec<GateActivation>>,
    pub(in super::super::super) clip: Option<f32>,
    /// Whether the batch comes before time.
    pub(in super::super::super) batch_first: bool,
}

impl Common {
    pub(in super::super::super) fn of(node: &Node<'_>, default: &[&str]) -> Result<Self> {
        let directions = match node.text("direction", "forward")? {
            "forward" => vec![false],
            "reverse" => vec![true],
            "bidirectional" => vec![false, true],
            other => return Err(node.bad("forward, reverse or bidirectional as direction", other)),
        };
        let hidden_size = usize::try_from(node.int("hidden_size", 0)?).unwrap_or_default();
        let clip = match node.has("clip") {
            true => Some(node.float("clip", 0.0)?).filter(|&clip| clip > 0.0),
            false => None,
        };
        if node.version < 7 {
            node.ignore(&["output_sequence"]);
        }
        let batch_first = match node.int("layout", 0)? {
            0 => false,
            1 => true,
            other => return Err(node.bad("0 or 1 as layout", other.to_string())),
        };
        let activations = activations(node, default, directions.len())?;
        Ok(Self { hidden_size, directions, activations, clip, batch_first })
    }
}

/// The activations of each direction. Their numbers are taken one after the other by those that have some.
fn activations(
    node: &Node<'_>,
    default: &[&str],
    directions: usize,
) -> Result<Vec<Vec<GateActivation>>> {
    let names: Vec<&str> = match node.texts("activations")? {
        Some(names) if !names.is_empty() => names.iter().map(String::as_str).collect(),
        _ => default.repeat(directions),
    };
    if names.len() != default.len() * directions {
        let expected = format!("{} activations", default.len() * directions);
        return Err(node.bad(expected, format!("{names:?}")));
    }
    let mut alphas = node.floats("activation_alpha")?.unwrap_or_default().iter().copied();
    let mut betas = node.floats("activation_beta")?.unwrap_or_default().iter().copied();
    let mut all = Vec::with_capacity(names.len());
    for name in names {
        let mut alpha = |default| alphas.next().unwrap_or(default);
        let mut beta = |default| betas.next().unwrap_or(default);
        all.push(match name.to_ascii_lowercase().as_str() {
            "sigmoid" => GateActivation::Sigmoid,
            "tanh" => GateActivation::Tanh,
            "relu" => GateActivation::Relu,
            "softsign" => GateActivation::Softsign,
            "softplus" => GateActivation::Softplus,
            "affine" => GateActivation::Affine { alpha: alpha(1.0), beta: beta(0.0) },
            "leakyrelu" => GateActivation::LeakyRelu { alpha: alpha(0.01) },
            "thresholdedrelu" => GateActivation::ThresholdedRelu { alpha: alpha(1.0) },
            "scaledtanh" => GateActivation::ScaledTanh { alpha: alpha(1.0), beta: beta(1.0) },
            "hardsigmoid" => GateActivation::HardSigmoid { alpha: alpha(0.2), beta: beta(0.5) },
            "elu" => GateActivation::Elu { alpha: alpha(1.0) },
            _ => return Err(node.bad("activations that the specification names", name)),
        });
    }
    Ok(all.chunks(default.len()).map(<[_]>::to_vec).collect())
}

/// The sizes of a call.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    time: usize,
    batch: usize,
    input: usize,
    hidden: usize,
}

/// The sizes of X `[T,B,I]`, or `[B,T,I]` with the batch first, and of R `[D,gates H,H]`.
fn sizes(common: &Common, x: &Tensor, r: &[usize], gates: usize) -> Result<Sizes> {
    let &[first, second, input] = x.shape() else {
        return Err(wrong(0, "a tensor of 3 axes", format!("{:?}", x.shape())));
    };
    let [batch, time] = if common.batch_first { [first, second] } else { [second, first] };
    let hidden = r.last().copied().unwrap_or_default();
    if r != [common.directions.len(), gates.saturating_mul(hidden), hidden] {
        return Err(wrong(
            2,
            format!("[{}, {gates} hidden_size, hidden_size]", common.directions.len()),
            format!("{r:?}"),
        ));
    }
    if common.hidden_size != 0 && common.hidden_size != hidden {
        return Err(refused("hidden_size", hidden, common.hidden_size));
    }
    if x.is_empty() || hidden == 0 {
        return Err(wrong(0, "some timesteps of some features", format!("{:?}", x.shape())));
    }
    Ok(Sizes { time, batch, input, hidden })
}

fn expect(at: usize, tensor: &Tensor, shape: &[usize]) -> Result<()> {
    match tensor.shape() == shape {
        true => Ok(()),
        false => Err(wrong(at, format!("{shape:?}"), format!("{:?}", tensor.shape()))),
    }
}

/// The lengths of the rows, if some are shorter than all timesteps.
fn lengths(args: &Args<'_>, at: usize, sizes: Sizes) -> Result<Option<Vec<usize>>> {
    let Some(ints) = args.opt_ints(at)? else { return Ok(None) };
    let lengths = super::lengths(at, &ints.values())?;
    if lengths.len() != sizes.batch || lengths.iter().any(|&len| len > sizes.time) {
        let expected = format!("{} lengths of at most {}", sizes.batch, sizes.time);
        return Err(wrong(at, expected, format!("{lengths:?}")));
    }
    Ok(lengths.iter().any(|&len| len < sizes.time).then_some(lengths))
}

/// The first states of each direction `[B,H]`, if they are given.
fn first_states(
    args: &Args<'_>,
    at: usize,
    common: &Common,
    sizes: Sizes,
) -> Result<Option<Vec<Tensor>>> {
    let Some(state) = args.opt_floats(at)? else { return Ok(None) };
    let (directions, Sizes { batch, hidden, .. }) = (common.directions.len(), sizes);
    let shape = match common.batch_first {
        true => [batch, directions, hidden],
        false => [directions, batch, hidden],
    };
    expect(at, state, &shape)?;
    if directions == 1 {
        return Ok(Some(vec![state.reshape([batch, hidden])?]));
    }
    let axis = usize::from(common.batch_first);
    let parts = nd::split(state, axis, &vec![1; directions])?;
    let each = parts.iter().map(|part| part.reshape([batch, hidden]));
    Ok(Some(each.collect::<Result<Vec<_>>>()?))
}

/// The last states of all directions `[B,H]` as the operator gives them.
fn last_states(states: Vec<Tensor>, common: &Common, sizes: Sizes) -> Result<Value> {
    let (directions, Sizes { batch, hidden, .. }) = (states.len(), sizes);
    let whole = match states.as_slice() {
        [one] => one.reshape([1, batch, hidden])?,
        all => {
            nd::concat(&all.iter().collect::<Vec<_>>(), 0)?.reshape([directions, batch, hidden])?
        }
    };
    Ok(Value::Floats(match common.batch_first {
        true => nd::transpose(&whole, &[1, 0, 2])?,
        false => whole,
    }))
}
