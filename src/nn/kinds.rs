//! The kinds of layers that a file may name.

use super::activation::Activate;
use super::{
    ActivityPenalty, AttentionPool, BatchNorm, Conv1d, Crf, Dense, Dropout, Embedding, Flatten,
    Graph, Highway, Layer, LayerNorm, Lstm, Masking, Pool, Pool1d, Repeat, Rnn, Spectrogram,
    TimeDistributed,
};
use crate::Result;
use std::collections::BTreeMap;
use std::fmt;

type Make = Box<dyn Fn(&str) -> Result<Box<dyn Layer>> + Send + Sync>;

/// The kinds of layers that [`crate::Sequential::load_with`] knows: those of this crate, and those of your own
/// that are registered.
///
/// ```
/// use wgpu_lstm::nn::{Layer, Layers, Params};
/// use wgpu_lstm::{Error, Result, Tape, Var};
///
/// /// Drops all features of a frame but the first ones.
/// struct First {
///     n: usize,
/// }
///
/// impl Layer for First {
///     fn kind(&self) -> &'static str {
///         "first"
///     }
///     fn config(&self) -> Result<String> {
///         Ok(self.n.to_string())
///     }
///     // …
/// #   fn build_on(&mut self, _: &Params, _: usize) -> Result<()> { Ok(()) }
/// #   fn output_size(&self) -> usize { self.n }
/// #   fn gives_sequence(&self, takes_sequence: bool) -> bool { takes_sequence }
/// #   fn forward(&self, _: &Tape, x: &Var) -> Result<Var> { Ok(x.clone()) }
/// #   fn parameter_count(&self) -> usize { 0 }
/// }
///
/// let layers = Layers::new().register("first", |config| {
///     let n = config.parse().map_err(Error::custom)?;
///     Ok(Box::new(First { n }))
/// });
/// assert_eq!(layers.make("first", "3").unwrap()?.output_size(), 3);
/// # Ok::<(), Error>(())
/// ```
#[derive(Default)]
#[must_use = "it is an argument of Sequential::load_with"]
pub struct Layers(BTreeMap<String, Make>);

impl Layers {
    /// The layers of this crate.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a kind of your own: what [`Layer::kind`] says, and a function that makes such a layer, which is not
    /// built, of what [`Layer::config`] wrote. It takes the place of one that has the same name.
    pub fn register(
        mut self,
        kind: impl Into<String>,
        make: impl Fn(&str) -> Result<Box<dyn Layer>> + Send + Sync + 'static,
    ) -> Self {
        self.0.insert(kind.into(), Box::new(make));
        self
    }

    /// A layer of a kind, by the text that [`Layer::config`] wrote: for a layer of your own that wraps others.
    /// `None` if the kind is not known.
    ///
    /// # Errors
    /// [`crate::Error::Custom`] if a layer of this crate has no such options, and that of a function that was
    /// registered.
    pub fn make(&self, kind: &str, config: &str) -> Option<Result<Box<dyn Layer>>> {
        if let Some(make) = self.0.get(kind) {
            return Some(make(config));
        }
        // Of the layers inside.
        let make = |kind: &str, config: &str| self.make(kind, config);
        Some(match kind {
            "activation" => of::<Activate>(config),
            "activity_penalty" => of::<ActivityPenalty>(config),
            "attention_pool" => of::<AttentionPool>(config),
            "batch_norm" => of::<BatchNorm>(config),
            "conv1d" => of::<Conv1d>(config),
            "crf" => of::<Crf>(config),
            "dense" => of::<Dense>(config),
            "dropout" => of::<Dropout>(config),
            "embedding" => of::<Embedding>(config),
            "flatten" => of::<Flatten>(config),
            "graph" => Graph::from_config(config, &make).map(boxed),
            "highway" => Highway::from_config(config, &make).map(boxed),
            "layer_norm" => of::<LayerNorm>(config),
            "lstm" => of::<Lstm>(config),
            "masking" => of::<Masking>(config),
            "pool" => of::<Pool>(config),
            "pool1d" => of::<Pool1d>(config),
            "repeat" => of::<Repeat>(config),
            "rnn" => of::<Rnn>(config),
            "spectrogram" => of::<Spectrogram>(config),
            "time_distributed" => TimeDistributed::from_config(config, &make).map(boxed),
            _ => return None,
        })
    }
}

impl fmt::Debug for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Layers").field(&self.0.keys()).finish()
    }
}

fn of<L: Layer + serde::de::DeserializeOwned + 'static>(config: &str) -> Result<Box<dyn Layer>> {
    let layer: L = serde_json::from_str(config).map_err(crate::Error::custom)?;
    Ok(boxed(layer))
}

fn boxed(layer: impl Layer + 'static) -> Box<dyn Layer> {
    Box::new(layer)
}
