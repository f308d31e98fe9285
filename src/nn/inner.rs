//! Layers inside of a layer.

use super::{Layer, Own, Params, unpacked};
use crate::autograd::{Tape, Var};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// What makes a layer of a kind and its options, if the kind is known: [`super::Layers::make`].
pub(super) type Make<'a> = &'a dyn Fn(&str, &str) -> Option<Result<Box<dyn Layer>>>;

/// A layer in a file, as [`Layer::kind`] and [`Layer::config`] tell of it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Part {
    kind: String,
    config: String,
}

impl Part {
    pub(super) fn of(layer: &dyn Layer) -> Result<Self> {
        Ok(Self { kind: layer.kind().to_owned(), config: layer.config()? })
    }

    pub(super) fn make(&self, make: Make<'_>) -> Result<Box<dyn Layer>> {
        let unknown =
            || Err(Error::custom(format!("there is no layer of the kind {:?}", self.kind)));
        make(&self.kind, &self.config).unwrap_or_else(unknown)
    }
}

/// Checks that a layer can be a part of another: it remembers nothing from batch to batch, and has rows first.
pub(super) fn check(outer: &'static str, layer: &dyn Layer) -> Result<()> {
    let what = match (layer.is_stateful(), layer.is_batch_first()) {
        (true, _) => "a stateful layer",
        (false, false) => "a time-major layer",
        (false, true) if layer.crf(Own).is_some() => "a Crf",
        (false, true) => return Ok(()),
    };
    let help = "such a layer is one of the model's own, in Sequential::add";
    Err(Error::Unsupported { what, with: outer, help })
}

/// Runs a layer.
pub(super) fn forward(layer: &dyn Layer, tape: &Tape, x: &Var) -> Result<Var> {
    match layer.takes_packed(Own) {
        true => layer.forward(tape, x),
        false => layer.forward(tape, &unpacked(tape, x)?),
    }
}

/// What is known of a value between layers before they run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flow {
    pub(crate) size: usize,
    /// Whether it is a sequence; and its timesteps, if these are known.
    pub(crate) sequence: bool,
    pub(crate) timesteps: Option<usize>,
}

impl Flow {
    /// Builds a layer, and goes through it.
    pub(crate) fn build(&mut self, layer: &mut dyn Layer, params: &Params) -> Result<()> {
        let timesteps = if self.sequence { self.timesteps } else { Some(1) };
        layer.build_for(params, self.size, timesteps)?;
        self.pass(layer)
    }

    /// Goes through a layer that is built.
    pub(crate) fn pass(&mut self, layer: &dyn Layer) -> Result<()> {
        let before = self.timesteps.filter(|_| self.sequence);
        self.size = layer.output_size();
        self.sequence = layer.gives_sequence(self.sequence);
        let after = layer.fixed_timesteps();
        self.timesteps = after.or(before.map(|timesteps| layer.output_timesteps(timesteps)));
        self.timesteps = self.timesteps.filter(|_| self.sequence);
        match (before, self.timesteps) {
            (Some(found), Some(0)) => Err(Error::Option {
                option: "the timesteps of a layer's input",
                found: format!("{found}, before {}", layer.kind()),
                expected: "as many as a window of the layer takes".into(),
            }),
            _ => Ok(()),
        }
    }
}
