//! Layers of the sizes that a state dict has.

use super::modules::{Module, ModuleKind, Recurrent};
use super::{StateDict, modules};
use crate::nn::{BatchNorm, Conv1d, Dense, Embedding, LayerNorm, Lstm, Merge, Rnn};
use crate::{Error, Result};

/// Layers, not built yet, for [`StateDict::load_into`]. `name` is a module's: what the names of its tensors begin
/// with, empty for a state dict of one module.
impl StateDict {
    /// The layer of an `nn.LSTM` or `nn.LSTMCell`: sizes, layers, directions, projection, and whether it has
    /// biases. It gives its last output, unless [`Lstm::return_sequences`] says otherwise.
    ///
    /// ```
    /// use wgpu_lstm::io::pytorch::StateDict;
    /// use wgpu_lstm::nn::Layer;
    /// # let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/io/pytorch/modules.pt");
    /// let dict = StateDict::open(path)?;
    /// let lstm = dict.lstm("lstm_both")?.return_sequences();
    /// assert_eq!(lstm.output_size(), 8); // twice 4 units
    /// let error = dict.lstm("linear").unwrap_err().to_string();
    /// assert!(error.contains("is Linear of 3 features, 4 outputs, expected an LSTM"), "{error}");
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::File`] if there is no such module, or it is of another kind, which the error names.
    pub fn lstm(&self, name: &str) -> Result<Lstm> {
        let module = self.module(name)?;
        let ModuleKind::Lstm(sizes) = module.kind else {
            return Err(self.other(&module, "an LSTM: weight_ih_l0 [4H, I], weight_hh_l0 [4H, H]"));
        };
        let Recurrent { hidden_size, num_layers, bidirectional, projection, bias, .. } = sizes;
        let mut layer = Lstm::new(hidden_size).num_layers(num_layers);
        if bidirectional {
            layer = layer.bidirectional(Merge::Concat);
        }
        if let Some(size) = projection {
            layer = layer.projection(size);
        }
        Ok(if bias { layer } else { layer.no_bias() })
    }

    /// The layer of an `nn.RNN` or `nn.RNNCell`, with tanh: a `nonlinearity="relu"`, of which a state dict knows
    /// nothing, is [`Rnn::activation`].
    ///
    /// # Errors
    /// As [`StateDict::lstm`].
    pub fn rnn(&self, name: &str) -> Result<Rnn> {
        let module = self.module(name)?;
        let ModuleKind::Rnn(sizes) = module.kind else {
            return Err(self.other(&module, "an RNN: weight_ih_l0 [H, I], weight_hh_l0 [H, H]"));
        };
        let Recurrent { hidden_size, num_layers, bidirectional, bias, .. } = sizes;
        let mut layer = Rnn::new(hidden_size).num_layers(num_layers);
        if bidirectional {
            layer = layer.bidirectional(Merge::Concat);
        }
        Ok(if bias { layer } else { layer.no_bias() })
    }

    /// The layer of an `nn.Linear`, without activation.
    ///
    /// # Errors
    /// As [`StateDict::lstm`].
    pub fn dense(&self, name: &str) -> Result<Dense> {
        let module = self.module(name)?;
        match module.kind {
            ModuleKind::Linear { output_size, .. } => Ok(Dense::new(output_size)),
            ModuleKind::Matrix { rows, .. } => Ok(Dense::new(rows).no_bias()),
            _ => Err(self.other(&module, "a Linear: weight [O, I]")),
        }
    }

    /// The layer of an `nn.Embedding`.
    ///
    /// # Errors
    /// As [`StateDict::lstm`].
    pub fn embedding(&self, name: &str) -> Result<Embedding> {
        let module = self.module(name)?;
        match module.kind {
            ModuleKind::Matrix { rows, columns } => Ok(Embedding::new(rows, columns)),
            _ => Err(self.other(&module, "an Embedding: weight [tokens, size]")),
        }
    }

    /// The layer of an `nn.LayerNorm` over the features, with PyTorch's default `eps` of 1e-5.
    ///
    /// # Errors
    /// As [`StateDict::lstm`].
    pub fn layer_norm(&self, name: &str) -> Result<LayerNorm> {
        let module = self.module(name)?;
        match module.kind {
            ModuleKind::LayerNorm { .. } => Ok(LayerNorm::new()),
            _ => Err(self.other(&module, "a LayerNorm: weight [F], bias [F]")),
        }
    }

    /// The layer of an `nn.BatchNorm1d`, with PyTorch's default `eps` of 1e-5 and the statistics that the file has.
    ///
    /// # Errors
    /// As [`StateDict::lstm`].
    pub fn batch_norm(&self, name: &str) -> Result<BatchNorm> {
        let module = self.module(name)?;
        match module.kind {
            ModuleKind::BatchNorm { .. } => Ok(BatchNorm::new().eps(1e-5)),
            _ => Err(self.other(&module, "a BatchNorm1d: weight, bias, running_mean [F]")),
        }
    }

    /// The layer of an `nn.Conv1d`: channels, size of the kernel, and whether it has a bias. A state dict does not
    /// know the module's `stride`, `padding`, `dilation` and `groups`, which the layer's methods set.
    ///
    /// ```
    /// use wgpu_lstm::io::pytorch::StateDict;
    /// use wgpu_lstm::nn::Padding;
    /// use wgpu_lstm::{Device, Sequential};
    /// # let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/io/pytorch/modules.pt");
    /// let dict = StateDict::open(path)?;
    /// // nn.Conv1d(3, 4, 2, padding=1)
    /// let conv = dict.conv1d("conv")?.padding(Padding::Explicit(1, 1));
    /// let mut model = Sequential::new(&Device::auto()?).add(conv);
    /// dict.load_into(&mut model, &["conv"])?;
    /// assert_eq!(model.params().shape("conv1d.weight")?, [4, 3, 2]);
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`StateDict::lstm`].
    pub fn conv1d(&self, name: &str) -> Result<Conv1d> {
        let module = self.module(name)?;
        let ModuleKind::Conv1d { output_channels, kernel_size, bias, .. } = module.kind else {
            return Err(self.other(&module, "a Conv1d: weight [O, I / groups, kernel]"));
        };
        let layer = Conv1d::new(output_channels, kernel_size);
        Ok(if bias { layer } else { layer.no_bias() })
    }

    /// The error of a module of another kind.
    fn other(&self, module: &Module, expected: &str) -> Error {
        let entry = modules::join(&module.name, "…");
        self.bad(&entry, expected, module.kind.to_string())
    }
}
