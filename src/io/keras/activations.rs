//! Keras' names of activations, regularizers and limits.

use super::config::own;
use super::options::Options;
use crate::Result;
use crate::nn::{Activation, GateActivation, Regularizer};
use serde_json::{Value, json};

/// Keras changed what it calls a hard sigmoid.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Version {
    /// 0.2 x + 0.5, from 0 to 1.
    Two,
    /// x / 6 + 0.5, from 0 to 1.
    Three,
}

impl Version {
    /// By the text that a file has.
    pub(super) fn of(text: Option<&str>) -> Self {
        let major =
            text.and_then(|text| text.split('.').next()).and_then(|n| n.parse::<u32>().ok());
        if major.is_some_and(|major| major >= 3) { Self::Three } else { Self::Two }
    }

    fn hard_sigmoid(self) -> Activation {
        match self {
            Self::Two => Activation::HardSigmoid { alpha: 0.2, beta: 0.5 },
            Self::Three => Activation::HARD_SIGMOID,
        }
    }
}

const ELU: f32 = 1.0;
const LEAKY_RELU: f32 = 0.2;

/// Each of Keras' functions that needs no numbers. A hard sigmoid is another in each version.
const NAMES: [(&str, Activation); 20] = [
    ("linear", Activation::Linear),
    ("sigmoid", Activation::Sigmoid),
    ("tanh", Activation::Tanh),
    ("relu", Activation::Relu),
    ("softmax", Activation::Softmax),
    ("elu", Activation::Elu { alpha: ELU }),
    ("selu", Activation::Selu),
    ("gelu", Activation::Gelu),
    ("silu", Activation::Silu),
    ("swish", Activation::Silu),
    ("softplus", Activation::Softplus),
    ("softsign", Activation::Softsign),
    ("leaky_relu", Activation::LeakyRelu { alpha: LEAKY_RELU }),
    ("exponential", Activation::Exp),
    ("relu6", Activation::Relu6),
    ("hard_silu", Activation::HardSilu),
    ("hard_swish", Activation::HardSilu),
    ("mish", Activation::Mish),
    ("hard_sigmoid", Activation::HARD_SIGMOID),
    ("exp", Activation::Exp),
];

/// The activation of a layer, under a key.
pub(super) fn activation(
    options: &mut Options<'_>,
    key: &str,
    version: Version,
) -> Result<Activation> {
    let Some(value) = options.value(key) else { return Ok(Activation::Linear) };
    // A name, or an object that has one.
    let name = match &value {
        Value::String(name) => Some(&name[..]),
        // A function of the program that wrote the file, which may be called as one of Keras.
        Value::Object(object)
            if own(object) || object.get("class_name").is_some_and(|class| class == "function") =>
        {
            None
        }
        object => object.get("config").and_then(Value::as_str),
    };
    let found = name.and_then(|name| NAMES.iter().find(|(known, _)| *known == name));
    match found {
        Some(("hard_sigmoid", _)) => Ok(version.hard_sigmoid()),
        Some((_, activation)) => Ok(*activation),
        None => {
            let names: Vec<_> = NAMES.iter().map(|(name, _)| *name).collect();
            Err(options.refuse(key, format!("one of {}", names.join(", ")), value.to_string()))
        }
    }
}

/// The activation of gates, under a key; `default` where the layer does not say.
pub(super) fn gate(
    options: &mut Options<'_>,
    key: &str,
    version: Version,
    default: GateActivation,
) -> Result<GateActivation> {
    if !options.has(key) {
        return Ok(default);
    }
    let found = activation(options, key, version)?;
    let gate = GateActivation::try_from(found);
    gate.map_err(|error| {
        options.refuse(key, format!("one that a gate has ({error})"), format!("{found:?}"))
    })
}

/// Keras' name of an activation; `None` if it has none.
pub(super) fn name(activation: Activation) -> Option<&'static str> {
    NAMES.iter().find(|(_, known)| *known == activation).map(|(name, _)| *name)
}

/// Keras' name of a gate's activation; `None` if it has none.
pub(super) fn gate_name(activation: GateActivation) -> Option<&'static str> {
    let same = |known| GateActivation::try_from(known).is_ok_and(|known| known == activation);
    NAMES.iter().find(|(_, known)| same(*known)).map(|(name, _)| *name)
}

/// What gives a layer an option.
pub(super) type Set<L, T> = fn(L, T) -> L;

/// Gives a layer its penalties and limits, under their keys.
pub(super) fn constrained<L>(
    options: &mut Options<'_>,
    mut layer: L,
    penalties: &[(&str, Set<L, Regularizer>)],
    limits: &[(&str, Set<L, f32>)],
) -> Result<L> {
    for &(key, set) in penalties {
        layer = match regularizer(options, key)? {
            Some(penalty) => set(layer, penalty),
            None => layer,
        };
    }
    for &(key, set) in limits {
        layer = match max_norm(options, key)? {
            Some(limit) => set(layer, limit),
            None => layer,
        };
    }
    Ok(layer)
}

/// A penalty, under a key.
fn regularizer(options: &mut Options<'_>, key: &str) -> Result<Option<Regularizer>> {
    let Some(value) = options.of_keras(key)? else { return Ok(None) };
    let named = value.get("class_name").and_then(Value::as_str).or(value.as_str());
    let factor = |key: &str| {
        let config = value.get("config").and_then(|config| config.get(key));
        // What Keras takes for a name alone.
        let absent = if value.is_string() { 0.01 } else { 0.0 };
        config.and_then(Value::as_f64).unwrap_or(absent) as f32
    };
    match named {
        Some("L1" | "l1") => Ok(Some(Regularizer::l1(factor("l1")))),
        Some("L2" | "l2") => Ok(Some(Regularizer::l2(factor("l2")))),
        Some("L1L2" | "l1_l2") => Ok(Some(Regularizer::l1_l2(factor("l1"), factor("l2")))),
        _ => Err(options.refuse(key, "L1, L2 or L1L2", value.to_string())),
    }
}

/// The largest norm of a matrix's columns, under a key.
fn max_norm(options: &mut Options<'_>, key: &str) -> Result<Option<f32>> {
    let Some(value) = options.of_keras(key)? else { return Ok(None) };
    let config = value.get("config");
    let axis = config.and_then(|config| config.get("axis"));
    let first = match axis.and_then(Value::as_array).map(Vec::as_slice) {
        Some([one]) => one.as_i64() == Some(0),
        Some(_) => false,
        None => axis.is_none_or(|axis| axis.as_i64() == Some(0)),
    };
    let limit = config.and_then(|config| config.get("max_value")).and_then(Value::as_f64);
    match (value.get("class_name").and_then(Value::as_str), limit) {
        (Some("MaxNorm"), Some(limit)) if first => Ok(Some(limit as f32)),
        _ => Err(options.refuse(key, "MaxNorm of the first axis", value.to_string())),
    }
}

/// A penalty as Keras writes it.
pub(super) fn penalty(l1: f64, l2: f64) -> Value {
    match l1 == 0.0 && l2 == 0.0 {
        true => Value::Null,
        false => json!({
            "module": "keras.regularizers",
            "class_name": "L1L2",
            "config": { "l1": l1, "l2": l2 },
            "registered_name": null,
        }),
    }
}

/// A limit of norms as Keras writes it.
pub(super) fn limit(max_norm: Option<f64>) -> Value {
    max_norm.map_or(Value::Null, |limit| {
        json!({
            "module": "keras.constraints",
            "class_name": "MaxNorm",
            "config": { "max_value": limit, "axis": 0 },
            "registered_name": null,
        })
    })
}
