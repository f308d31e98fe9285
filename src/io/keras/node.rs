//! The layers and operations of a model, as its config has them.

use serde_json::{Map, Value};

/// A layer, or an operation, of a model.
#[derive(Default)]
pub(super) struct Node {
    /// What errors call it.
    pub(super) name: String,
    /// Its own name, behind those of the models within the model that it is in; none if it has no weights to find.
    pub(super) names: Vec<String>,
    /// What its weights are called by in files of Keras 3, behind what these models are called by there.
    pub(super) place: Vec<String>,
    pub(super) class: String,
    pub(super) config: Map<String, Value>,
    /// The nodes whose outputs it takes.
    pub(super) inputs: Vec<usize>,
    /// What it takes first, behind the models that it is in.
    pub(super) from: usize,
    /// The mask that it is given by name: a file of Keras 3 says so wherever a layer takes one.
    pub(super) mask: Option<Mask>,
    /// The shape of its input, if the file says so; the batch is the first axis.
    pub(super) input_shape: Option<Vec<Option<usize>>>,
}

impl Node {
    /// Whether it is a layer, and no operation on tensors: only layers are counted where weights get their names.
    pub(super) fn is_layer(&self) -> bool {
        is_model(&self.class) || self.class == INPUT || self.config.contains_key("trainable")
    }
}

/// The class of what a model is given.
pub(super) const INPUT: &str = "InputLayer";

/// Whether a layer is a model within the model.
pub(super) fn is_model(class: &str) -> bool {
    ["Sequential", "Functional", "Model"].contains(&class)
}

/// A mask, by what it is made of: two that are equal are the same mask.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Mask {
    /// The node whose output is compared.
    pub(super) of: usize,
    /// The number that does not count.
    pub(super) value: f32,
    /// Whether a frame counts by any of its features; else it is a token.
    pub(super) any: bool,
    /// Whether it lies over features, as where sequences are joined by them.
    pub(super) wide: bool,
}

impl Mask {
    /// That of an Embedding of a node's output.
    pub(super) fn of_tokens(of: usize) -> Self {
        Self { of, value: 0.0, any: false, wide: false }
    }

    /// That of a Masking of a node's output.
    pub(super) fn of_frames(of: usize, value: f32) -> Self {
        Self { of, value, any: true, wide: false }
    }

    /// The same mask among nodes that begin at another place.
    pub(super) fn moved(self, first: usize) -> Self {
        Self { of: self.of + first, ..self }
    }
}
