//! Checks of what a layer says of itself, since a layer may be the user's own.

use crate::autograd::Var;
use crate::nn::Layer;
use crate::{Error, Result};

/// Checks that the sizes that a layer reports are possible.
pub(super) fn check_layer(layer: &dyn Layer) -> Result<()> {
    let wrong = |method, said: usize| {
        let (said, gave) = (said.to_string(), "a layer has 1 to 16,777,216 of them".into());
        Err(Error::Layer { kind: layer.kind(), method, said, gave })
    };
    let fits = |n: usize| (1..=1 << 24).contains(&n);
    match (layer.output_size(), layer.fixed_timesteps()) {
        (size, _) if !fits(size) => wrong("output_size", size),
        (_, Some(n)) if !fits(n) => wrong("fixed_timesteps", n),
        _ => Ok(()),
    }
}

/// Checks that a layer's output has the shape that the layer reports.
pub(super) fn check_output(layer: &dyn Layer, x: &Var, y: &Var) -> Result<()> {
    if x.shape().len() > 3 {
        // Not a value of a model of sequences: only the layers know its axes.
        return Ok(());
    }
    if y.packed_dims().is_some() {
        return Ok(());
    }
    let first = |axis: usize| x.shape().get(axis).copied();
    let size = layer.output_size();
    let (rows, timesteps, takes_sequence) = match x.packed_dims() {
        Some([rows, timesteps]) => (rows, Some(timesteps), true),
        None if layer.takes_tokens() => (first(0).unwrap_or(0), first(1), x.shape().len() >= 2),
        None => (first(0).unwrap_or(0), first(1), x.shape().len() > 2),
    };
    let (method, said) = match (layer.gives_sequence(takes_sequence), layer.fixed_timesteps()) {
        (false, _) => ("gives_sequence", vec![rows, size]),
        (true, Some(n)) => ("fixed_timesteps", vec![rows, n, size]),
        (true, None) => {
            let timesteps = timesteps.filter(|_| takes_sequence);
            let timesteps = timesteps.map(|timesteps| layer.output_timesteps(timesteps));
            // A layer that makes a sequence of a single frame sets its length.
            let timesteps = timesteps.or(y.shape().get(1).copied()).unwrap_or(1);
            ("gives_sequence", vec![rows, timesteps, size])
        }
    };
    if y.shape() == said {
        return Ok(());
    }
    let method = match (y.shape().last(), y.shape().len() == said.len()) {
        (Some(&found), true) if found != size => "output_size",
        _ => method,
    };
    let (said, gave) = (format!("{said:?}"), format!("{:?}", y.shape()));
    Err(Error::Layer { kind: layer.kind(), method, said, gave })
}
