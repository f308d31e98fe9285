//! The modules of a state dict that `--modules` names, as layers: with what it says of each, and PyTorch's defaults for
//! what it does not.

use anyhow::{Context, Result, bail};
use std::num::NonZeroUsize;
use std::str::FromStr;
use wgpu_lstm::Sequential;
use wgpu_lstm::io::pytorch::{Module, ModuleKind, StateDict};
use wgpu_lstm::nn::{Activation, GateActivation, Padding};

/// Activations, as PyTorch's functions are called, with its defaults.
const ACTIVATIONS: [(&str, Activation); 14] = [
    ("relu", Activation::Relu),
    ("tanh", Activation::Tanh),
    ("sigmoid", Activation::Sigmoid),
    ("softmax", Activation::Softmax),
    ("gelu", Activation::Gelu),
    ("silu", Activation::Silu),
    ("elu", Activation::Elu { alpha: 1.0 }),
    ("selu", Activation::Selu),
    ("leaky_relu", Activation::LeakyRelu { alpha: 0.01 }),
    ("relu6", Activation::Relu6),
    ("softplus", Activation::Softplus),
    ("softsign", Activation::Softsign),
    ("hardsigmoid", Activation::HARD_SIGMOID),
    ("mish", Activation::Mish),
];

/// What is taken of a module where these options do not say it, since no state dict knows it; and how to say it.
pub fn assumed(module: &Module, options: &[&str]) -> Option<String> {
    let name = &module.name;
    let has_activation = options.iter().any(|option| of_name(option).is_some());
    let eps =
        |other: &str, layer: &str| match options.iter().any(|option| option.starts_with("eps=")) {
            true => format!("as a {layer}: "),
            false => format!("with eps 1e-5 ({name}:eps={other} is another); "),
        };
    Some(match &module.kind {
        ModuleKind::Rnn(_) if has_activation => return None,
        ModuleKind::Rnn(_) => format!("with tanh ({name}:relu is one with ReLU)"),
        ModuleKind::Linear { .. } | ModuleKind::Matrix { .. } if has_activation => return None,
        ModuleKind::Matrix { .. } if options.contains(&"embedding") => return None,
        ModuleKind::Matrix { .. } if options.contains(&"linear") => {
            format!("without an activation behind it ({name}:linear:relu is one with ReLU)")
        }
        ModuleKind::Linear { .. } => {
            format!("without an activation behind it ({name}:relu is one with ReLU)")
        }
        ModuleKind::Matrix { .. } => format!(
            "as an Embedding if it is the first module, else as a Linear ({name}:embedding or \
             {name}:linear says which)"
        ),
        ModuleKind::LayerNorm { .. } => format!(
            "{}a GroupNorm or InstanceNorm1d has tensors of the same shapes, but \
             computes something else",
            eps("1e-6", "LayerNorm")
        ),
        ModuleKind::BatchNorm { .. } => format!(
            "{}an InstanceNorm1d with statistics has tensors of the same shapes, but \
             computes something else",
            eps("1e-3", "BatchNorm1d")
        ),
        ModuleKind::Conv1d { .. } => {
            let keys = [("stride", 1, 2), ("padding", 0, 1), ("dilation", 1, 2), ("groups", 1, 2)];
            let is_said =
                |key: &str| options.iter().any(|option| option.split('=').next() == Some(key));
            let left = keys.into_iter().filter(|(key, ..)| !is_said(key));
            let (mut taken, mut others): (Vec<_>, Vec<_>) = left
                .map(|(key, value, other)| (format!("{key} {value}"), format!(":{key}={other}")))
                .unzip();
            if !has_activation {
                taken.push("no activation".into());
                others.push(":relu".into());
            }
            let others = others.concat();
            let (last, first) = taken.split_last()?;
            let first = first.join(", ");
            let and = if first.is_empty() { "" } else { " and " };
            format!("with {first}{and}{last} ({name}{others} would be others)")
        }
        _ => return None,
    })
}

/// An activation by its name.
fn of_name(name: &str) -> Option<Activation> {
    ACTIVATIONS.iter().find(|(known, _)| *known == name).map(|&(_, activation)| activation)
}

/// What PyTorch calls to leave a module's own tensors, where those are computed of the ones in the file.
fn computed(name: &str, tensors: &[String], dict: &StateDict) -> Option<&'static str> {
    let has = |tail: &str| tensors.iter().any(|tensor| tensor.ends_with(tail));
    let inner = if name.is_empty() { String::new() } else { format!("{name}.") };
    if dict.names().any(|tensor| tensor.starts_with(&format!("{inner}parametrizations."))) {
        return Some("torch.nn.utils.parametrize.remove_parametrizations");
    }
    match has("_orig") {
        true if has("_mask") => Some("torch.nn.utils.prune.remove"),
        true if has("_u") => Some("torch.nn.utils.remove_spectral_norm"),
        _ if has("_g") && has("_v") => Some("torch.nn.utils.remove_weight_norm"),
        _ => None,
    }
}

/// A module in its place, with the options that were said behind its name.
pub struct Choice<'a> {
    pub module: &'a Module,
    options: Vec<&'a str>,
}

impl<'a> Choice<'a> {
    /// Finds the module of a text `NAME:OPTION:…`.
    pub fn of(text: &'a str, modules: &'a [Module]) -> Result<Self> {
        let fits = |module: &&Module| {
            let rest = text.strip_prefix(module.name.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
        };
        let found = modules.iter().filter(fits).max_by_key(|module| module.name.len());
        let module = found.with_context(|| {
            let name = text.split(':').next().unwrap_or_default();
            format!("no module is called {name:?}; there are {}", names(modules))
        })?;
        let rest = text[module.name.len()..].strip_prefix(':');
        Ok(Self { module, options: rest.map_or(Vec::new(), |rest| rest.split(':').collect()) })
    }

    /// What is taken of it without having been said.
    pub fn assumed(&self) -> Option<String> {
        assumed(self.module, &self.options)
    }

    pub fn is_recurrent(&self) -> bool {
        matches!(self.module.kind, ModuleKind::Lstm(_) | ModuleKind::Rnn(_))
    }

    /// Whether it sees several frames of what the module before it gives.
    pub fn takes_sequences(&self) -> bool {
        self.is_recurrent() || matches!(self.module.kind, ModuleKind::Conv1d { .. })
    }

    /// The model with its layer behind the others.
    pub fn add(
        mut self,
        model: Sequential,
        dict: &StateDict,
        [first, sequences]: [bool; 2],
    ) -> Result<Sequential> {
        let name = self.module.name.as_str();
        Ok(match &self.module.kind {
            ModuleKind::Lstm(_) => {
                self.end("none")?;
                let layer = dict.lstm(name)?;
                model.add(if sequences { layer.return_sequences() } else { layer })
            }
            ModuleKind::Rnn(_) => {
                let mut layer = dict.rnn(name)?;
                // PyTorch has no others.
                for (word, activation) in
                    [("relu", GateActivation::Relu), ("tanh", GateActivation::Tanh)]
                {
                    if self.word(word) {
                        layer = layer.activation(activation);
                        break;
                    }
                }
                self.end("relu or tanh")?;
                model.add(if sequences { layer.return_sequences() } else { layer })
            }
            ModuleKind::Matrix { .. } => {
                let (linear, embedding) = (self.word("linear"), self.word("embedding"));
                let activation = self.activation();
                self.end("linear or embedding; of a linear one an activation's name")?;
                if (first && !linear && activation.is_none()) || embedding {
                    if linear || activation.is_some() {
                        bail!("--modules: {name} is an embedding, or a linear module: not both");
                    }
                    return Ok(model.add(dict.embedding(name)?));
                }
                model.add(dict.dense(name)?.activation(activation.unwrap_or_default()))
            }
            ModuleKind::Linear { .. } => {
                let activation = self.activation();
                self.end("an activation's name")?;
                model.add(dict.dense(name)?.activation(activation.unwrap_or_default()))
            }
            ModuleKind::LayerNorm { .. } => {
                let eps = self.value("eps")?;
                self.end("eps=1e-5")?;
                model.add(dict.layer_norm(name)?.epsilon(eps.unwrap_or(1e-5)))
            }
            ModuleKind::BatchNorm { .. } => {
                let eps = self.value("eps")?;
                self.end("eps=1e-5")?;
                model.add(dict.batch_norm(name)?.eps(eps.unwrap_or(1e-5)))
            }
            ModuleKind::Conv1d { .. } => {
                let padding = match (self.word("padding=same"), self.word("padding=causal")) {
                    (true, _) => Padding::Same,
                    (_, true) => Padding::Causal,
                    _ => self.value("padding")?.map_or(Padding::Valid, |n| Padding::Explicit(n, n)),
                };
                let layer = dict.conv1d(name)?.padding(padding);
                let layer = layer.stride(self.positive("stride")?);
                let layer = layer.dilation(self.positive("dilation")?);
                let layer = layer.groups(self.positive("groups")?);
                let layer = layer.activation(self.activation().unwrap_or_default());
                self.end(
                    "stride=1, padding=0, padding=same or padding=causal, dilation=1, groups=1, and \
                     an activation's name",
                )?;
                model.add(layer)
            }
            ModuleKind::Other { tensors } if let Some(call) = computed(name, tensors, dict) => {
                bail!(
                    "--modules: {}: its own tensors are computed of those that the file has; save the \
                     state dict behind {call}, which leaves them themselves",
                    self.module
                )
            }
            _ => bail!(
                "--modules: {}: no layer of this crate is made of it, and a model without it is another \
                 one; `torch.onnx.export` writes the model as a graph, which `run` takes",
                self.module
            ),
        })
    }

    fn take(&mut self, is: impl Fn(&str) -> bool) -> Option<&'a str> {
        let at = self.options.iter().position(|option| is(option))?;
        Some(self.options.remove(at))
    }

    fn word(&mut self, word: &str) -> bool {
        self.take(|option| option == word).is_some()
    }

    fn activation(&mut self) -> Option<Activation> {
        of_name(self.take(|option| of_name(option).is_some())?)
    }

    fn value<T: FromStr>(&mut self, key: &str) -> Result<Option<T>> {
        let value = |option: &'a str| option.strip_prefix(key)?.strip_prefix('=');
        let Some(at) = self.options.iter().position(|option| value(option).is_some()) else {
            return Ok(None);
        };
        let option = self.options.remove(at);
        let parsed = value(option).and_then(|value| value.parse().ok());
        let wrong = || format!("--modules: {}:{option}: no number that goes", self.module.name);
        Ok(Some(parsed.with_context(wrong)?))
    }

    /// A number of at least 1, which it is if none is said.
    fn positive(&mut self, key: &str) -> Result<usize> {
        Ok(self.value::<NonZeroUsize>(key)?.map_or(1, NonZeroUsize::get))
    }

    /// That all options were taken.
    fn end(&self, known: &str) -> Result<()> {
        let Some(option) = self.options.first() else { return Ok(()) };
        let names: Vec<_> = ACTIVATIONS.iter().map(|(name, _)| *name).collect();
        let activations = match known.contains("activation") {
            true => format!(" (activations are {})", names.join(", ")),
            false => String::new(),
        };
        bail!(
            "--modules: {}: {option:?} is no option of it, or comes twice; options that go: \
             {known}{activations}",
            self.module
        )
    }
}

/// The modules' names, as `--modules` takes them.
pub fn names(modules: &[Module]) -> String {
    match modules {
        [] => "none".into(),
        [module] if module.name.is_empty() => "\"\" alone, for which --modules all stands".into(),
        all => all.iter().map(|module| module.name.as_str()).collect::<Vec<_>>().join(","),
    }
}
