//! Models, written as ONNX.

mod cell;
mod conv;
mod graph;
mod inner;
mod layers;
mod proto;
mod recurrent;
mod steps;
mod writer;

use crate::file::replace;
use crate::train::Sequential;
use crate::{Error, Result};
use graph::Axis;
use proto::Message;
use std::cmp::Ordering;
use std::path::Path;
use writer::{TIME, Writer};

/// Writes a [`Sequential`] as an ONNX file, which ONNX Runtime and others run.
///
/// The file's graph computes what [`Sequential::predict`] computes, for any number of rows and timesteps:
///
/// | name | what |
/// |---|---|
/// | `input` | `[batch,time,I]`, floats; of a model that begins with an [`crate::nn::Embedding`] tokens `[batch,time]`, whole numbers of 64 bits |
/// | `lengths` | with [`Export::lengths`]: the timesteps of each row, `[batch]`, whole numbers of 64 bits |
/// | `output` | `[batch,time,F]`, or `[batch,F]` of a model that gives one row a sequence |
///
/// A model with a [`crate::nn::Flatten`] is for one number of timesteps, which then stands in the place of `time`: the
/// fewest of which the layers before make those that it was built for.
///
/// Nodes are called as their layers, weights as their parameters; those of an LSTM have ONNX's order of gates and
/// axes, and those of a product their axes swapped. What ONNX's operator `LSTM` lacks (a projection, layer
/// normalisation, a clip of the cell, zoneout, an input gate that follows the forget gate) is written out as a
/// `Scan`. Steps that a mask leaves out ([`crate::nn::Embedding::mask_zero`], [`crate::nn::Masking`]) are left out there,
/// too. Dropout is left out, and a stateful layer begins with zeros. What [`Sequential::keep`] keeps goes along as a text of the
/// metadata, `wgpu_lstm.kept.NAME`. A [`crate::nn::Seq2Seq`] is no `Sequential`, and has no such file.
///
/// ```
/// use wgpu_lstm::io::onnx::Export;
/// use wgpu_lstm::prelude::*;
/// # fn main() -> wgpu_lstm::Result<()> {
/// let mut model = Sequential::new(&Device::auto()?)
///     .add(Lstm::new(8))
///     .add(Dense::new(3).activation(Activation::Softmax));
/// model.build(2)?;
/// # let path = std::env::temp_dir().join(format!("export-{}.onnx", std::process::id()));
/// Export::new().save(&model, &path)?;
/// # let found = std::fs::read(&path).unwrap();
/// # assert!(found.windows(4).any(|word| word == b"LSTM"));
/// # std::fs::remove_file(path).unwrap();
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing is written until `save`"]
pub struct Export {
    opset: u32,
    step: bool,
    lengths: bool,
}

impl Default for Export {
    fn default() -> Self {
        Self::new()
    }
}

/// The most timesteps of an input.
const MOST_STEPS: usize = 1 << 31;

/// The most bytes that one message of the format may have.
const LIMIT: u64 = (1 << 31) - 1;

impl Export {
    /// The sequence model, without lengths, in version 17 of ONNX's operators.
    pub fn new() -> Self {
        Self { opset: 17, step: false, lengths: false }
    }

    /// Sets the version of ONNX's operators, from 17 to 21. 17 is the first with `LayerNormalization` and so the one
    /// that most programs read; nothing here is better in a later one, but a program may ask for it.
    pub fn opset(mut self, version: u32) -> Self {
        self.opset = version;
        self
    }

    /// Writes a model that takes one frame of each row, `[batch,I]` (tokens: `[batch]`), with the states before it,
    /// and gives the output `[batch,F]` and the states after it: what [`Sequential::stepper`] computes.
    ///
    /// The states of the recurrences, in their order, are `h_0_in` and `h_0_out`, and of an LSTM `c_0_in` and
    /// `c_0_out`, `h_1_in` …, each `[batch,size]`; that of a causal convolution is `x_0_in`, the frames before. They
    /// begin as zeros. The text `wgpu_lstm.states` of the metadata lists them, as JSON: name, layer and size of each.
    /// A token that a mask leaves out changes no state of the layers that the mask reaches.
    ///
    /// ```
    /// use wgpu_lstm::io::onnx::Export;
    /// use wgpu_lstm::nn::Rnn;
    /// use wgpu_lstm::prelude::*;
    /// # fn main() -> wgpu_lstm::Result<()> {
    /// let mut model = Sequential::new(&Device::auto()?).add(Rnn::new(4)).add(Dense::new(1));
    /// model.build(2)?;
    /// # let path = std::env::temp_dir().join(format!("step-{}.onnx", std::process::id()));
    /// Export::new().stateful_step().save(&model, &path)?;
    /// # let found = std::fs::read(&path).unwrap();
    /// let states = br#"[{"name":"h_0","layer":"rnn","size":4}]"#;
    /// assert!(found.windows(states.len()).any(|text| text == states));
    /// # std::fs::remove_file(path).unwrap();
    /// # Ok(()) }
    /// ```
    pub fn stateful_step(mut self) -> Self {
        self.step = true;
        self
    }

    /// Adds the input `lengths`, for rows of different lengths in one batch: a row's frames from its length on count
    /// nothing, whatever they hold, and those of the output from there on mean nothing.
    pub fn lengths(mut self) -> Self {
        self.lengths = true;
        self
    }

    /// Writes the file, whole or not at all: after an error there is what was there before. Weights are read from
    /// the device one by one. Native only.
    ///
    /// # Errors
    /// [`Error::NotBuilt`] before the model's `build` or `fit`; [`Error::Option`] for a version that is not from 17 to
    /// 21; [`Error::Unsupported`] for a layer of your own, for lengths of a step model, for layers that need the
    /// whole sequence in one, for lengths before [`crate::nn::Flatten`] and before windows whose padding goes by
    /// them ([`crate::nn::Padding::Same`] with a stride), for a `Flatten` that no number of timesteps fits, for paddings
    /// that ONNX lacks, and for a model of 2 GiB or more, which the format cannot hold; [`Error::Custom`] for a layer whose options are not understood;
    /// [`Error::Io`]; and those of the device.
    pub fn save(&self, model: &Sequential, path: impl AsRef<Path>) -> Result<()> {
        let (path, message) = (path.as_ref(), self.message(model)?);
        if message.len() > LIMIT {
            return Err(Error::Unsupported {
                what: "io::onnx::Export",
                with: "a model of 2 GiB or more",
                help: "an ONNX file has less: keep it by Sequential::save",
            });
        }
        replace(path, &[], |file| message.write(file, path))
    }

    fn message(&self, model: &Sequential) -> Result<Message> {
        let input_size = model.features()?;
        if !(17..=21).contains(&self.opset) {
            let (option, found) = ("Export::opset", self.opset.to_string());
            return Err(Error::Option { option, found, expected: "17 to 21".into() });
        }
        if self.step && self.lengths {
            return Err(Error::Unsupported {
                what: "Export::stateful_step",
                with: "Export::lengths",
                help: "a frame has no length: leave a row out of the batch when it has ended",
            });
        }
        if self.step {
            model.check_masks()?;
        }
        let writer = self.writer(model, input_size)?;
        let mut texts: Vec<_> = model.kept_texts().collect();
        if self.step {
            let states: Vec<_> = writer.states.iter().map(states_text).collect::<Result<_>>()?;
            texts.push(("wgpu_lstm.states".into(), format!("[{}]", states.join(","))));
        }
        // The version of the format that came with each version of the operators.
        let format = match self.opset {
            ..=18 => 8,
            19..=20 => 9,
            _ => 10,
        };
        let opset = Message::new().text(1, "").int(2, self.opset.into());
        let text = |(key, value): (String, String)| Message::new().text(1, key).text(2, value);
        Ok(Message::new()
            .int(1, format)
            .text(2, "wgpu-lstm")
            .text(3, env!("CARGO_PKG_VERSION"))
            .message(7, writer.graph.message(if self.step { "step" } else { "sequence" }))
            .message(8, opset)
            .messages(14, texts.into_iter().map(text)))
    }

    /// The graph of any timesteps, or else of those that a `Flatten` is built for.
    fn writer<'a>(&self, model: &'a Sequential, input_size: usize) -> Result<Writer<'a>> {
        let of = |time| {
            let mut writer = Writer::new(model, self.opset, self.step);
            writer.run(input_size, time, self.lengths)?;
            Ok(writer)
        };
        let open = of(TIME)?;
        if open.unfit.is_none() {
            return Ok(open);
        }
        // More timesteps before a layer are never fewer behind it.
        let few = |steps| match of(Axis::Size(steps)) {
            Ok(Writer { unfit, .. }) => unfit == Some(Ordering::Less),
            Err(_) => true,
        };
        let (mut least, mut most) = (1, 1);
        while most < MOST_STEPS && few(most) {
            (least, most) = (most + 1, 2 * most);
        }
        while least < most {
            let middle = usize::midpoint(least, most);
            match few(middle) {
                true => least = middle + 1,
                false => most = middle,
            }
        }
        let fixed = of(Axis::Size(most))?;
        match fixed.unfit {
            None => Ok(fixed),
            Some(_) => Err(Error::Unsupported {
                what: "io::onnx::Export",
                with: "a Flatten that no number of timesteps fits",
                help: "the layers before it never give as many as it is built for",
            }),
        }
    }
}

/// A state of a step model, as JSON.
fn states_text(state: &writer::State) -> Result<String> {
    let text = |text: &str| serde_json::to_string(text).map_err(Error::custom);
    let (name, layer) = (text(&state.name)?, text(&state.layer)?);
    Ok(format!(r#"{{"name":{name},"layer":{layer},"size":{}}}"#, state.size))
}
