//! Which modules a state dict is of, as far as names and shapes tell.

use super::StateDict;
use crate::Result;
use std::collections::HashMap;
use std::fmt;

/// A module of a state dict. It prints as a line: name, kind and sizes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Module {
    /// What its tensors' names begin with; empty where the state dict is of this module alone.
    pub name: String,
    /// What it is.
    pub kind: ModuleKind,
}

/// What a module is, by the names and shapes of its tensors.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ModuleKind {
    /// `nn.LSTM` or `nn.LSTMCell`: [`StateDict::lstm`].
    Lstm(Recurrent),
    /// `nn.RNN` or `nn.RNNCell`: [`StateDict::rnn`].
    Rnn(Recurrent),
    /// `nn.GRU` or `nn.GRUCell`, for which this crate has no layer.
    Gru(Recurrent),
    /// `nn.Linear`: [`StateDict::dense`].
    Linear {
        /// The features of an input.
        input_size: usize,
        /// The features of an output.
        output_size: usize,
    },
    /// A weight alone: `nn.Embedding` of so many tokens ([`StateDict::embedding`]), or `nn.Linear` without bias
    /// of so many outputs ([`StateDict::dense`]).
    Matrix {
        /// The tokens of an embedding, the outputs of a linear module.
        rows: usize,
        /// The features of a token, the inputs of a linear module.
        columns: usize,
    },
    /// `nn.LayerNorm` over the features: [`StateDict::layer_norm`].
    LayerNorm {
        /// The features.
        features: usize,
    },
    /// `nn.BatchNorm1d`: [`StateDict::batch_norm`].
    BatchNorm {
        /// The features, which PyTorch calls channels.
        features: usize,
    },
    /// `nn.Conv1d`: [`StateDict::conv1d`].
    Conv1d {
        /// The channels of the input in each group.
        input_channels: usize,
        /// The channels of the output.
        output_channels: usize,
        /// The timesteps that an output sees.
        kernel_size: usize,
        /// Whether it adds a bias.
        bias: bool,
    },
    /// Tensors that are none of these.
    Other {
        /// Their names, without the module's; in brackets behind one that cannot be read, why.
        tensors: Vec<String>,
    },
}

/// The sizes and options of a recurrent module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recurrent {
    /// The features of an input.
    pub input_size: usize,
    /// The units of each layer and direction.
    pub hidden_size: usize,
    /// The layers on each other.
    pub num_layers: usize,
    /// Whether each layer runs in both directions.
    pub bidirectional: bool,
    /// The features to which an LSTM's outputs are projected: `proj_size`.
    pub projection: Option<usize>,
    /// Whether biases are added.
    pub bias: bool,
    /// Whether it is a cell, such as `nn.LSTMCell`, whose tensors' names count no layers.
    pub cell: bool,
}

impl StateDict {
    /// The modules that the tensors belong to, in the order of [`StateDict::names`].
    ///
    /// ```
    /// use wgpu_lstm::io::pytorch::{ModuleKind, StateDict};
    /// # let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/io/pytorch/modules.pt");
    /// let modules = StateDict::open(path)?.modules();
    /// let lstm = modules.iter().find(|module| module.name == "lstm_both").unwrap();
    /// assert_eq!(lstm.to_string(), "lstm_both: LSTM of 3 features, 4 units, 2 layers, both directions");
    /// let ModuleKind::Lstm(sizes) = &lstm.kind else { unreachable!() };
    /// assert_eq!((sizes.input_size, sizes.hidden_size, sizes.num_layers), (3, 4, 2));
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    pub fn modules(&self) -> Vec<Module> {
        let (mut order, mut tails) = (Vec::new(), HashMap::<_, Vec<_>>::new());
        for name in self.names() {
            let (module, tail) = name.rsplit_once('.').unwrap_or(("", name));
            let tails = tails.entry(module).or_default();
            if tails.is_empty() {
                order.push(module);
            }
            tails.push(tail);
        }
        let module = |name: &str| Module { name: name.into(), kind: self.kind(name, &tails[name]) };
        order.into_iter().map(module).collect()
    }

    /// The kind of one module, whose tensors can all be read.
    pub(super) fn module(&self, name: &str) -> Result<Module> {
        let tails = self.tails(name);
        self.check_plain(name)?;
        if tails.is_empty() {
            return Err(self.missing(&join(name, "…")));
        }
        // What a module of other tensors lacks would be no answer.
        tails.iter().try_for_each(|tail| self.shape(&join(name, tail)).map(drop))?;
        Ok(Module { name: name.into(), kind: self.kind(name, &tails) })
    }

    /// Whether a module computes tensors of others: it has those under `parametrizations`, and lacks its own.
    fn is_parametrized(&self, module: &str) -> bool {
        self.begins(&join(&super::dict::plain(module), "parametrizations."))
    }

    /// That a module has its tensors themselves: without a bias that is computed it would look like one without bias.
    pub(super) fn check_plain(&self, module: &str) -> Result<()> {
        match self.is_parametrized(module) {
            false => Ok(()),
            true => Err(self.bad(
                &join(module, "parametrizations.…"),
                "the module's own tensors, as torch.nn.utils.parametrize.remove_parametrizations leaves them",
                "what those are computed of",
            )),
        }
    }

    fn kind(&self, name: &str, tails: &[&str]) -> ModuleKind {
        let why = |tail: &&str| self.look(&join(name, tail))?.err();
        if tails.iter().any(|tail| why(tail).is_some()) || self.is_parametrized(name) {
            let text = |tail: &&str| match why(tail) {
                Some(why) => format!("{tail} ({why})"),
                None => (*tail).to_owned(),
            };
            return ModuleKind::Other { tensors: tails.iter().map(text).collect() };
        }
        let shape = |tail: &str| self.look(&join(name, tail))?.ok();
        let has = |tail: &str| tails.contains(&tail);
        let others = tails.iter().filter(|tail| !["weight", "bias"].contains(tail)).count();
        let kind = match (shape("weight"), shape("bias")) {
            (Some(&[features]), Some(&[_])) if has("running_mean") => {
                Some(ModuleKind::BatchNorm { features })
            }
            (Some(&[features]), Some(&[_])) if others == 0 => {
                Some(ModuleKind::LayerNorm { features })
            }
            (Some(&[output_size, input_size]), Some(&[_])) if others == 0 => {
                Some(ModuleKind::Linear { input_size, output_size })
            }
            (Some(&[rows, columns]), None) if others == 0 => {
                Some(ModuleKind::Matrix { rows, columns })
            }
            (Some(&[output_channels, input_channels, kernel_size]), bias) if others == 0 => {
                let bias = bias.is_some();
                Some(ModuleKind::Conv1d { input_channels, output_channels, kernel_size, bias })
            }
            _ => match self.recurrent(name) {
                Some((4, sizes)) => Some(ModuleKind::Lstm(sizes)),
                Some((3, sizes)) => Some(ModuleKind::Gru(sizes)),
                Some((1, sizes)) => Some(ModuleKind::Rnn(sizes)),
                _ => None,
            },
        };
        let tensors = || tails.iter().map(|&tail| tail.into()).collect();
        kind.unwrap_or_else(|| ModuleKind::Other { tensors: tensors() })
    }

    /// The gates of a recurrent module, and its sizes.
    fn recurrent(&self, name: &str) -> Option<(usize, Recurrent)> {
        let has = |tail: &str| self.has(&join(name, tail));
        let shape = |tail: &str| -> Option<[usize; 2]> {
            self.look(&join(name, tail))?.ok()?.try_into().ok()
        };
        let cell = !has("weight_ih_l0");
        let suffix = if cell { "" } else { "_l0" };
        let [rows, input_size] = shape(&format!("weight_ih{suffix}"))?;
        let [same, output_size] = shape(&format!("weight_hh{suffix}"))?;
        let projection = shape(&format!("weight_hr{suffix}"));
        let hidden_size = projection.map_or(output_size, |[_, hidden_size]| hidden_size);
        if rows != same || hidden_size == 0 || !rows.is_multiple_of(hidden_size) {
            return None;
        }
        let layers = (1..).take_while(|layer| has(&format!("weight_ih_l{layer}")));
        Some((
            rows / hidden_size,
            Recurrent {
                input_size,
                hidden_size,
                num_layers: if cell { 1 } else { 1 + layers.count() },
                bidirectional: has("weight_ih_l0_reverse"),
                projection: projection.map(|[size, _]| size),
                bias: has(&format!("bias_ih{suffix}")),
                cell,
            },
        ))
    }
}

/// The name of a tensor of a module.
pub(super) fn join(module: &str, tail: &str) -> String {
    if module.is_empty() { tail.into() } else { format!("{module}.{tail}") }
}

impl fmt::Display for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.name.is_empty() {
            write!(f, "{}: ", self.name)?;
        }
        self.kind.fmt(f)
    }
}

impl fmt::Display for ModuleKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lstm(sizes) => write!(f, "LSTM{sizes}"),
            Self::Rnn(sizes) => write!(f, "RNN{sizes}"),
            Self::Gru(sizes) => write!(f, "GRU{sizes}"),
            Self::Linear { input_size, output_size } => {
                write!(f, "Linear of {input_size} features, {output_size} outputs")
            }
            Self::Matrix { rows, columns } => {
                write!(f, "Embedding or Linear without bias, a weight [{rows}, {columns}]")
            }
            Self::LayerNorm { features } => write!(f, "LayerNorm of {features} features"),
            Self::BatchNorm { features } => write!(f, "BatchNorm1d of {features} features"),
            Self::Conv1d { input_channels, output_channels, kernel_size, bias } => {
                write!(
                    f,
                    "Conv1d of {input_channels} channels a group, {output_channels} outputs, "
                )?;
                write!(f, "{kernel_size} timesteps{}", if *bias { "" } else { ", no bias" })
            }
            Self::Other { tensors } => write!(f, "other tensors: {}", tensors.join(", ")),
        }
    }
}

/// What follows the name of the kind.
impl fmt::Display for Recurrent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { input_size, hidden_size, num_layers, bidirectional, projection, bias, cell } =
            self;
        let cell = if *cell { "Cell" } else { "" };
        write!(f, "{cell} of {input_size} features, {hidden_size} units")?;
        if *num_layers > 1 {
            write!(f, ", {num_layers} layers")?;
        }
        if *bidirectional {
            f.write_str(", both directions")?;
        }
        if let Some(size) = projection {
            write!(f, ", projected to {size}")?;
        }
        f.write_str(if *bias { "" } else { ", no bias" })
    }
}
