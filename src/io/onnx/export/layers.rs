//! What each layer becomes.

use super::graph::{Attr, Axis, Kind};
use super::steps::{Flow, Steps};
use super::writer::{Any, BATCH, State, Writer};
use crate::nn::{Activation, Layer, Own, Pooling};
use crate::{Error, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "as of LstmOptions")]
struct DenseOptions {
    units: usize,
    activation: Activation,
    use_bias: bool,
    #[serde(default)]
    tied: bool,
    frozen: Any,
    kernel_init: Any,
    bias_init: Any,
    kernel: Any,
    bias: Any,
    activity: Any,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "as of LstmOptions")]
struct EmbeddingOptions {
    tokens: usize,
    size: usize,
    padding: Any,
    mask_zero: bool,
    frozen: Any,
    sparse: Any,
    dropout: Any,
    init: Any,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "as of LstmOptions")]
struct LayerNormOptions {
    epsilon: f32,
    frozen: Any,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GlobalPoolOptions {
    pooling: Pooling,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RepeatOptions {
    n: usize,
}

impl Writer<'_> {
    /// All layers, on the model's input of these timesteps, and `lengths` if that is one.
    pub(super) fn run(&mut self, input_size: usize, time: Axis, lengths: bool) -> Result<()> {
        let layers = self.model.layers();
        let tokens = input_size == 1 && layers.first().is_some_and(|first| first.takes_tokens());
        let (kind, mut axes) = (if tokens { Kind::Int64 } else { Kind::Float }, vec![BATCH]);
        axes.extend((!self.step).then_some(time.clone()));
        axes.extend((!tokens).then_some(Axis::Size(input_size)));
        let mut name = self.graph.input("input", kind, &axes);
        "input".clone_into(&mut self.graph.scope);
        if self.step {
            name = self.graph.unsqueeze(&name, 1);
        }
        let steps = match lengths {
            true => {
                let lengths = self.graph.input("lengths", Kind::Int64, &[BATCH]);
                Steps::Lengths(self.graph.cast(&lengths, Kind::Int32))
            }
            false => Steps::All,
        };
        let time = if self.step { Axis::Size(1) } else { time };
        let mut x = Flow { name, sequence: true, features: input_size, time, steps, tokens };
        for (number, layer) in layers.iter().enumerate() {
            self.parameters = self.model.parameter_names(number).into_iter();
            x = self.inner_layer(layer.as_ref(), x)?;
            if self.parameters.len() > 0 {
                return Err(self.strange("it has more parameters than its options say".into()));
            }
        }
        self.finish(x);
        Ok(())
    }

    fn finish(&mut self, mut x: Flow) {
        "output".clone_into(&mut self.graph.scope);
        if self.step && x.sequence {
            (x.name, x.sequence) = (self.graph.squeeze(&x.name, 1), false);
        }
        let mut axes = vec![BATCH];
        axes.extend(x.sequence.then_some(x.time));
        axes.push(Axis::Size(x.features));
        self.graph.output(&x.name, "output", &axes);
        for State { name, size, after, .. } in &self.states {
            self.graph.output(after, &format!("{name}_out"), &[BATCH, Axis::Size(*size)]);
        }
    }

    /// A layer, under a name of its own: that of its parameters, or else of its kind.
    pub(super) fn inner_layer(&mut self, layer: &dyn Layer, x: Flow) -> Result<Flow> {
        let first = self.parameters.as_slice().first().filter(|_| layer.parameter_count() > 0);
        let prefix = first.and_then(|name| name.split('.').next()).unwrap_or(layer.kind());
        // A layer with others inside has their parameters.
        let own = if layer.inner(Own).is_empty() { prefix } else { layer.kind() }.to_owned();
        let before = std::mem::take(&mut self.graph.scope);
        self.graph.scope = self.graph.free(own);
        let y = self.layer(layer, x.clone())?;
        if y.features != layer.output_size() {
            return Err(self.strange(format!("it gives {} features", y.features)));
        }
        let time = match x.time {
            Axis::Size(steps) if x.sequence && y.sequence && !self.step => {
                Axis::Size(layer.output_timesteps(steps))
            }
            _ => y.time.clone(),
        };
        self.graph.scope = before;
        Ok(Flow { time, tokens: false, ..y })
    }

    fn layer(&mut self, layer: &dyn Layer, x: Flow) -> Result<Flow> {
        let kind = layer.kind();
        match kind {
            "activation" => Ok(self.activate(&self.options(layer)?, x)),
            "attention_pool" => self.attention_pool(&x),
            "batch_norm" => self.batch_norm(&self.options(layer)?, x),
            "conv1d" => self.conv(&self.options(layer)?, x),
            "dense" => self.dense(&self.options(layer)?, x),
            "activity_penalty" | "dropout" => Ok(x),
            "embedding" => self.embedding(&self.options(layer)?, x),
            "flatten" => self.flatten(x, layer.output_size()),
            "graph" => self.graph_of(&self.options::<Vec<_>>(layer)?, layer, x),
            "layer_norm" => self.layer_norm(&self.options(layer)?, x),
            "lstm" => self.lstm(self.options(layer)?, x),
            "masking" => Ok(self.masking(&self.options(layer)?, x)),
            "pool" => self.pool(&self.options(layer)?, &x),
            "pool1d" => self.pool_1d(&self.options(layer)?, x),
            "repeat" => self.repeat(&self.options(layer)?, &x),
            "rnn" => self.rnn(self.options(layer)?, x),
            "spectrogram" => self.spectrogram(&self.options(layer)?, x),
            "time_distributed" => self.time_distributed(&self.options(layer)?, layer, x),
            what => {
                let help = "ONNX has no such layer that this crate knows of: leave it out of the model that \
                            is exported, and compute it behind or before";
                Err(Error::Unsupported { what, with: "io::onnx::Export", help })
            }
        }
    }

    /// A layer's options. One that is not known here is an error: it may change what the layer computes.
    fn options<T: DeserializeOwned>(&self, layer: &dyn Layer) -> Result<T> {
        serde_json::from_str(&layer.config()?).map_err(|error| self.strange(error.to_string()))
    }

    fn dense(&mut self, options: &DenseOptions, x: Flow) -> Result<Flow> {
        if options.tied {
            return Err(Error::Unsupported {
                what: "Dense::tied",
                with: "a file of ONNX",
                help: "give the weights to a Dense of their own: Params::get and Params::set",
            });
        }
        let (units, name) = (options.units, self.parameter()?);
        let weight = self.turned(&name, [units, x.features]);
        let mut y = self.graph.node("MatMul", &[&x.name, &weight], vec![]);
        if options.use_bias {
            let bias = self.parameter()?;
            let bias = self.whole(&bias, &[units]);
            y = self.graph.node("Add", &[&y, &bias], vec![]);
        }
        let name = self.activation(&y, options.activation);
        Ok(Flow { name, features: units, ..x })
    }

    /// Tokens `[B,T]` (of a first layer), or floats with an axis of one behind, to vectors.
    fn embedding(&mut self, options: &EmbeddingOptions, x: Flow) -> Result<Flow> {
        let (name, mut ids) = (self.parameter()?, x.name.clone());
        if !x.tokens {
            let flat = self.graph.squeeze(&ids, -1);
            ids = self.graph.cast(&flat, Kind::Int64);
        }
        if let (Some(mask), true) = (self.mask_of(&x), x.sequence) {
            // What stands in the padding may be no token.
            let zero = self.graph.int(0);
            ids = self.graph.node("Where", &[&mask, &ids, &zero], vec![]);
        }
        let weight = self.whole(&name, &[options.tokens, options.size]);
        let name = self.graph.node("Gather", &[&weight, &ids], vec![]);
        let mut y = Flow { name, features: options.size, tokens: false, ..x };
        if options.mask_zero {
            if matches!(y.steps, Steps::Lengths(_)) {
                y.name = self.counted_or(&y, 0.0);
            }
            // Padding was set to the token 0, too.
            let zero = self.graph.int(0);
            y.steps = Steps::Mask(self.graph.node("Greater", &[&ids, &zero], vec![]));
        }
        Ok(y)
    }

    fn layer_norm(&mut self, options: &LayerNormOptions, x: Flow) -> Result<Flow> {
        let (gain, bias) = (self.parameter()?, self.parameter()?);
        let (gain, bias) = (self.whole(&gain, &[x.features]), self.whole(&bias, &[x.features]));
        let attrs = vec![("axis", Attr::Int(-1)), ("epsilon", Attr::Float(options.epsilon))];
        let name = self.graph.node("LayerNormalization", &[&x.name, &gain, &bias], attrs);
        Ok(Flow { name, ..x })
    }

    fn pool(&mut self, options: &GlobalPoolOptions, x: &Flow) -> Result<Flow> {
        self.whole_sequence("Pool")?;
        let name = match (options.pooling, self.mask_of(x)) {
            (Pooling::Mean, None) => self.graph.reduce("ReduceMean", &x.name, 1),
            (Pooling::Max, None) => self.graph.reduce("ReduceMax", &x.name, 1),
            (Pooling::Last, None) => {
                let last = self.graph.int(-1);
                self.graph.node("Gather", &[&x.name, &last], vec![("axis", Attr::Int(1))])
            }
            (pooling, Some(mask)) => self.masked_pool(pooling, x, &mask),
        };
        let x = x.clone();
        Ok(Flow { name, sequence: false, time: Axis::Size(1), steps: Steps::All, ..x })
    }

    /// Of the steps that count; 0 where none does.
    fn masked_pool(&mut self, pooling: Pooling, x: &Flow, mask: &str) -> String {
        let packing = self.packing(mask);
        let y = match pooling {
            Pooling::Mean => {
                let kept = self.counted_or(x, 0.0);
                let g = &mut self.graph;
                let sum = g.reduce("ReduceSum", &kept, 1);
                let counts = g.cast(&packing.counts, Kind::Float);
                g.node("Div", &[&sum, &counts], vec![])
            }
            Pooling::Max => {
                let kept = self.counted_or(x, f32::NEG_INFINITY);
                self.graph.reduce("ReduceMax", &kept, 1)
            }
            Pooling::Last => {
                // The first step by which all that count have come.
                let g = &mut self.graph;
                let all = g.node("Equal", &[&packing.sums, &packing.counts], vec![]);
                let all = g.cast(&all, Kind::Float);
                let place = g.node("ArgMax", &[&all], vec![("axis", Attr::Int(1))]);
                g.node("GatherND", &[&x.name, &place], vec![("batch_dims", Attr::Int(1))])
            }
        };
        self.or_zero(&y, mask)
    }

    /// Values of rows `[B,F]`, 0 where no step of a row counts.
    pub(super) fn or_zero(&mut self, y: &str, mask: &str) -> String {
        let packing = self.packing(mask);
        let g = &mut self.graph;
        let (zero, nothing) = (g.int(0), g.float(0.0));
        let some = g.node("Greater", &[&packing.counts, &zero], vec![]);
        g.node("Where", &[&some, y, &nothing], vec![])
    }

    fn repeat(&mut self, options: &RepeatOptions, x: &Flow) -> Result<Flow> {
        self.whole_sequence("Repeat")?;
        let g = &mut self.graph;
        let (frame, shape) = (g.unsqueeze(&x.name, 1), g.ints(&[1, options.n as i64, 1]));
        let name = g.node("Expand", &[&frame, &shape], vec![]);
        let (time, steps) = (Axis::Size(options.n), Steps::All);
        Ok(Flow { name, sequence: true, time, steps, ..x.clone() })
    }
}
