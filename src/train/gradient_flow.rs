//! How much of the loss's gradient reaches each timestep of a recurrent layer.

use super::Sequential;
use super::batch::{self, Counting};
use super::training::Aside;
use crate::autograd::{Gradients, ParamId, Tape, Var};
use crate::data::{Sequences, Targets};
use crate::device::lock;
use crate::nn::{Activation, Layer, Own, Params, StepState, unroll};
use crate::{Error, Result};
use std::sync::Mutex;

const OP: &str = "Sequential::gradient_flow";

/// The gradient of the loss by the states of a recurrent layer, timestep by timestep: see
/// [`Sequential::gradient_flow`]. With the feature `plot`, `plot::gradient_flow` draws one or several.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct GradientFlow {
    /// The layer, by the prefix of its parameters: `lstm`, `rnn_1`. The layers of a stack have their number behind
    /// it, as the parameters do: `lstm_l0`, `lstm_l1`.
    pub layer: String,
    /// The norm of dL/dh_t for each timestep t, `[T]`.
    pub h: Vec<f32>,
    /// The norm of dL/dc_t for each timestep t, `[T]`; empty for an [`crate::nn::Rnn`], which has no cell state.
    pub c: Vec<f32>,
}

impl Sequential {
    /// How much of the loss's gradient reaches each timestep: for each recurrent layer ([`crate::nn::Lstm`],
    /// [`crate::nn::Rnn`]; of a stack each layer) the Euclidean norms of dL/dh_t `[B,H]` and dL/dc_t `[B,H]`. Where
    /// they fall towards the first timesteps, the layer does not learn from what stands there (Bengio et al. 1994,
    /// doi:10.1109/72.279181); that they fall less in an LSTM than in a plain recurrent layer is what it was made
    /// for.
    ///
    /// L is the loss of `compile`, with its penalties, over all sequences as one batch, without dropout. h_t
    /// and c_t are the state that timestep t hands on: both norms count what later timesteps make of it, that
    /// of h_t also what the layers above do; what c_t does to h_t itself counts to h_t alone. Neither
    /// parameters nor their gradients nor the states of layers change. Each layer is run once more, a timestep
    /// at a time: for a look at some sequences, not for a whole data set.
    ///
    /// ```
    /// use wgpu_lstm::prelude::*;
    /// use wgpu_lstm::nn::Rnn;
    ///
    /// // Is the first of 30 values above 0?
    /// let values: Vec<f32> = (0..8 * 30).map(|i| (i as f32 * 0.7).sin()).collect();
    /// let x = Sequences::from_array(&values, [8, 30, 1])?;
    /// let y: Vec<f32> = (0..8).map(|i| f32::from(x.get(i)[0] > 0.0)).collect();
    /// let y = Targets::values(y, 1);
    /// let mut model = Sequential::new(&Device::auto()?)
    ///     .add(Rnn::new(8))
    ///     .add(Dense::new(1).activation(Activation::Sigmoid));
    /// model.compile(Adam::default(), Loss::BinaryCrossEntropy, &[]);
    /// model.build(1)?;
    /// let flow = model.gradient_flow(&x, &y)?;
    /// assert_eq!((flow[0].layer.as_str(), flow[0].h.len(), flow[0].c.len()), ("rnn", 30, 0));
    /// // Hardly any of it comes to where the answer stands.
    /// assert!(flow[0].h[0] < 0.5 * flow[0].h[29]);
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::NotBuilt`] before `compile` and `fit` or `build`; [`Error::Unsupported`] for sequences of
    /// different lengths, for a model without a recurrent layer, and for one that runs backwards or in both
    /// directions; of the data as [`Sequential::evaluate`]; and those of the device.
    pub fn gradient_flow(&self, x: &Sequences, y: &Targets) -> Result<Vec<GradientFlow>> {
        let Some(compiled) = &self.compiled else {
            return Err(Error::NotBuilt { what: "the loss", call: "compile" });
        };
        let Some(features) = self.input_size else {
            return Err(Error::NotBuilt { what: "the model", call: "fit or build" });
        };
        let loss = &compiled.loss;
        self.check_data(x, y, features, loss, OP)?;
        if (1..x.len()).any(|row| x.frames(row) != x.frames(0)) {
            return Err(Error::Unsupported {
                what: OP,
                with: "sequences of different lengths",
                help: "the timesteps of all are taken together: give those of one length",
            });
        }
        let (rows, classes) = ((0..x.len()).collect::<Vec<_>>(), loss.of_classes());
        let counting = Counting { classes: classes.as_ref(), ..self.counting() };
        let device = self.params.device();
        let batch = batch::batch(x, Some(y), self.rows(), &rows, counting, &device)?;
        let mut found = Vec::new();
        for (place, layer) in self.layers.iter().enumerate() {
            let Some(id) = layer.recurrent(Own).and_then(|_| layer.parameter(Own)) else {
                continue;
            };
            let _aside = Aside::new(self);
            let steps = Steps { layer: layer.as_ref(), states: Mutex::default() };
            let mut layers = self.all();
            layers[place] = &steps;
            let tape = Tape::for_inputs(&self.params);
            let (last, before) = Self::before_last(&layers, &tape, &batch.x)?;
            let mut totals = self.totals(loss, &[])?;
            let loss = self.loss_of((last, &before), &tape, &batch, loss, &mut totals)?;
            let states = std::mem::take(&mut *lock(&steps.states));
            for state in states.iter().flatten() {
                tape.retain(&state.h);
                state.c.iter().for_each(|c| tape.retain(c));
            }
            let gradients = tape.backward(&loss)?;
            let stacked = states.len() > 1;
            for (number, states) in states.iter().enumerate() {
                let mut layer = self.prefix(id);
                if stacked {
                    layer += &format!("_l{number}");
                }
                let of = |vars: Vec<&Var>| -> Result<Vec<f32>> {
                    vars.into_iter().map(|var| norm(&gradients, var)).collect()
                };
                let h = of(states.iter().map(|state| &state.h).collect())?;
                let c = of(states.iter().filter_map(|state| state.c.as_ref()).collect())?;
                found.push(GradientFlow { layer, h, c });
            }
        }
        if found.is_empty() {
            return Err(Error::Unsupported {
                what: OP,
                with: "a model without Lstm and Rnn",
                help: "it shows how gradients flow through the time of a recurrent layer",
            });
        }
        Ok(found)
    }

    /// What the names of a layer's parameters begin with.
    fn prefix(&self, id: ParamId) -> String {
        let names = self.params.names_beside(id);
        let prefix = names.first().and_then(|name| name.split('.').next());
        prefix.unwrap_or_default().to_owned()
    }
}

/// The norm of a value's gradient; 0 if the loss does not depend on it.
fn norm(gradients: &Gradients, var: &Var) -> Result<f32> {
    let Some(gradient) = gradients.get(var) else { return Ok(0.0) };
    let squares = gradient.to_vec()?.into_iter().map(|v| f64::from(v).powi(2));
    Ok(squares.sum::<f64>().sqrt() as f32)
}

/// A recurrent layer that runs step by step, and tells the states.
struct Steps<'a> {
    layer: &'a dyn Layer,
    states: Mutex<Vec<Vec<StepState>>>,
}

impl Layer for Steps<'_> {
    fn kind(&self) -> &'static str {
        self.layer.kind()
    }

    fn build_on(&mut self, _: &Params, _: usize) -> Result<()> {
        Ok(())
    }

    fn output_size(&self) -> usize {
        self.layer.output_size()
    }

    fn gives_sequence(&self, takes_sequence: bool) -> bool {
        self.layer.gives_sequence(takes_sequence)
    }

    fn forward(&self, tape: &Tape, x: &Var) -> Result<Var> {
        let Some(layer) = self.layer.recurrent(Own) else { return self.layer.forward(tape, x) };
        if x.mask().is_some() {
            return Err(Error::Unsupported {
                what: OP,
                with: "a mask",
                help: "all timesteps are taken: leave out the layer that masks some",
            });
        }
        let unrolled = unroll(layer, tape, x, self.gives_sequence(true))?;
        *lock(&self.states) = unrolled.states;
        Ok(unrolled.output)
    }

    fn parameter_count(&self) -> usize {
        self.layer.parameter_count()
    }

    fn activation(&self) -> Option<Activation> {
        self.layer.activation()
    }
}
