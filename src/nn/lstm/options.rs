//! The options of an LSTM layer.

use super::first_values::Inits;
use super::{Directions, Lstm, Merge};
use crate::device::lock;
use crate::nn::Regularizer;
use crate::nn::regularizer::Constraints;
use crate::ops::lstm::cell::Cell;
use crate::{Coupling, GateActivation, Strategy};
use std::sync::Arc;

impl Lstm {
    /// A layer of this many units.
    pub fn new(hidden_size: usize) -> Self {
        Self {
            hidden_size,
            num_layers: 1,
            directions: Directions::Forward,
            sequences: false,
            zero_output_for_mask: false,
            bias: true,
            first: Inits::default(),
            projection: None,
            layer_norm: false,
            cell: Cell::default(),
            dropout: 0.0,
            input_dropout: 0.0,
            weight_drop: 0.0,
            strategy: Strategy::Auto,
            time_major: false,
            recompute: false,
            kernel: Constraints::default(),
            recurrent: Constraints::default(),
            bias_constraints: Constraints::default(),
            activity: Regularizer::default(),
            frozen: false,
            memory: None,
            computed: Arc::default(),
            built: None,
        }
    }

    /// Returns the output of every timestep instead of the last. The last is PyTorch's `h_n`, of both directions each
    /// its own: of the backward one that of the first timestep.
    pub fn return_sequences(mut self) -> Self {
        self.sequences = true;
        self
    }

    /// Gives 0 at a step that a mask leaves out, instead of the output before it, where the layer gives
    /// sequences: Keras' `zero_output_for_mask`. A bidirectional layer always does. The last output alone stays
    /// that of the last step that counts.
    ///
    /// ```
    /// use wgpu_lstm::nn::{Lstm, Params};
    /// use wgpu_lstm::{Device, Mask, Tape, Tensor, Var};
    /// let device = Device::auto()?;
    /// let params = Params::new(&device);
    /// let lstm = Lstm::new(2).return_sequences().zero_output_for_mask().build(&params, 1)?;
    /// let x = Var::from(Tensor::from_slice(&[0.5, 9.0, 0.5], [1, 3, 1], &device)?);
    /// let mask = Mask::new(&[true, false, true], [1, 3], &device)?;
    /// let y = lstm.forward(&Tape::inference(&params), &x.with_mask(Some(mask)))?.tensor().to_vec()?;
    /// assert!(y[0] != 0.0 && y[2..4] == [0.0, 0.0] && y[4] != 0.0);
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    pub fn zero_output_for_mask(mut self) -> Self {
        self.zero_output_for_mask = true;
        self
    }

    /// Takes `[T,B,I]` and gives `[T,B,H]`, as PyTorch's layer without `batch_first` and ONNX's
    /// default layout have it. Lengths, masks (`[B,T]`) and states stay as they are; but the output,
    /// which is 0 where nothing counts, has neither, since the layers that follow would take its first
    /// axis for the rows. Not for a [`crate::Sequential`].
    pub fn time_major(mut self) -> Self {
        self.time_major = true;
        self
    }

    /// Sets the number of stacked layers: each takes the outputs of the one below.
    pub fn num_layers(mut self, layers: usize) -> Self {
        self.num_layers = layers;
        self
    }

    /// Runs each layer in two directions, the second from each row's last timestep to its first.
    pub fn bidirectional(mut self, merge: Merge) -> Self {
        self.directions = Directions::Both(merge);
        self
    }

    /// Runs from each row's last timestep to its first: Keras' `go_backwards`, but each output stays
    /// at the timestep of its input.
    pub fn go_backwards(mut self) -> Self {
        self.directions = Directions::Reverse;
        self
    }

    /// Leaves out the biases.
    pub fn no_bias(mut self) -> Self {
        self.bias = false;
        self
    }

    /// Projects the output to `size` features before the recurrence sees it: PyTorch's
    /// `proj_size` (LSTMP: Sak et al. 2014, arXiv 1402.1128).
    ///
    /// The recurrence runs on `weight_hh weight_hr`, computed once a call, so that every schedule
    /// runs it; the outputs are projected in one product. A first state goes in as features of the
    /// first step.
    pub fn projection(mut self, size: usize) -> Self {
        self.projection = Some(size);
        self
    }

    /// Normalises `W x`, `R h` and, on its way to the output, the cell, at each timestep
    /// (Ba et al. 2016, arXiv 1607.06450, equations 20 to 22), with the parameters `norm_ih_l0` and
    /// `norm_hh_l0` `[4H]` (1), `norm_c_l0` (1) and `norm_c_bias_l0` (0) `[H]`.
    ///
    /// The cell is the plain one, and there is one schedule: a workgroup takes a row.
    pub fn layer_norm(mut self) -> Self {
        self.layer_norm = true;
        self
    }

    /// Adds peepholes, by which the gates i, f and o see the cell (Gers & Schmidhuber 2000): ONNX's `P`.
    pub fn peepholes(mut self) -> Self {
        self.cell.peepholes = true;
        self
    }

    /// Couples the gates i and f, so that one follows the other.
    pub fn coupled(mut self, coupling: Coupling) -> Self {
        self.cell.coupling = coupling;
        self
    }

    /// Sets the activation of the gates i, f and o: Keras' `recurrent_activation`, ONNX's `f`.
    pub fn recurrent_activation(mut self, activation: GateActivation) -> Self {
        self.cell.recurrent = activation;
        self
    }

    /// Sets the activation of g and of the cell's output: Keras' `activation`, ONNX's `g` and `h`.
    pub fn activation(mut self, activation: GateActivation) -> Self {
        self.cell.input = activation;
        self.cell.output = activation;
        self
    }

    /// Sets the activation of the cell's output alone: ONNX's `h`.
    pub fn output_activation(mut self, activation: GateActivation) -> Self {
        self.cell.output = activation;
        self
    }

    /// Clips the sums that go into the gates to ±`limit`: ONNX's `clip`. No gradient flows through a value
    /// that was clipped.
    pub fn clip(mut self, limit: f32) -> Self {
        self.cell.clip = Some(limit);
        self
    }

    /// Clips the cell to ±`limit`, as TensorFlow Lite and cuDNN do. No gradient flows through a value that
    /// was clipped.
    pub fn cell_clip(mut self, limit: f32) -> Self {
        self.cell.cell_clip = Some(limit);
        self
    }

    /// Drops values between the layers, each independently: PyTorch's `dropout`.
    ///
    /// All kinds of dropout act only on tapes that record: in training.
    pub fn dropout(mut self, rate: f32) -> Self {
        self.dropout = rate;
        self
    }

    /// Drops features of the input, with one mask for all timesteps: Keras' `dropout`
    /// (Gal & Ghahramani 2016, arXiv 1512.05287).
    pub fn input_dropout(mut self, rate: f32) -> Self {
        self.input_dropout = rate;
        self
    }

    /// Drops units of h in the recurrence, with one mask for all timesteps: Keras'
    /// `recurrent_dropout` (Gal & Ghahramani 2016).
    pub fn recurrent_dropout(mut self, rate: f32) -> Self {
        self.cell.recurrent_dropout = rate;
        self
    }

    /// Drops recurrent weights, with one mask for all timesteps and rows (weight drop: Merity et al. 2018,
    /// arXiv 1708.02182).
    pub fn weight_drop(mut self, rate: f32) -> Self {
        self.weight_drop = rate;
        self
    }

    /// Lets each unit of h and c keep its value of the timestep before, with these probabilities;
    /// outside training, their mean (Krueger et al. 2017, arXiv 1606.01305).
    pub fn zoneout(mut self, h: f32, c: f32) -> Self {
        self.cell.zoneout = [h, c];
        self
    }

    /// Penalizes `weight_ih`.
    pub fn kernel_regularizer(mut self, regularizer: Regularizer) -> Self {
        self.kernel.regularizer = regularizer;
        self
    }

    /// Penalizes `weight_hh`.
    pub fn recurrent_regularizer(mut self, regularizer: Regularizer) -> Self {
        self.recurrent.regularizer = regularizer;
        self
    }

    /// Penalizes the biases.
    pub fn bias_regularizer(mut self, regularizer: Regularizer) -> Self {
        self.bias_constraints.regularizer = regularizer;
        self
    }

    /// Penalizes the outputs of the last layer, as a mean over the rows of the batch.
    pub fn activity_regularizer(mut self, regularizer: Regularizer) -> Self {
        self.activity = regularizer;
        self
    }

    /// Limits the norm of the input weights of each gate of each unit, after each step of training: Keras'
    /// `MaxNorm`.
    pub fn kernel_max_norm(mut self, limit: f32) -> Self {
        self.kernel.max_norm = Some(limit);
        self
    }

    /// Limits the norm of the recurrent weights of each gate of each unit, after each step of training.
    pub fn recurrent_max_norm(mut self, limit: f32) -> Self {
        self.recurrent.max_norm = Some(limit);
        self
    }

    /// Excludes the layer's parameters from training, an optimizer's weight decay included, as
    /// [`crate::nn::Embedding::frozen`] does: Keras' `trainable=False`. [`crate::Sequential::unfreeze`] ends it.
    pub fn frozen(mut self) -> Self {
        self.frozen = true;
        self
    }

    /// Starts each batch in the state in which the last one ended, row by row: Keras'
    /// `stateful`. All batches have as many rows, in the same order: with
    /// [`crate::Sequential::fit`] choose a batch size that divides the sequences, and do not shuffle.
    /// Clones of the layer share the state: keep one to call [`Lstm::reset_state`] on.
    ///
    /// As in Keras, `fit` carries the state from epoch to epoch, too, while validations and predictions begin from
    /// zeros. A model that met zeros in its first batch alone may be far worse from them, by a factor of two and more in
    /// perplexity in our trials: let every epoch begin anew, as PyTorch's loops do, by a call of
    /// [`Sequential::reset_state`](crate::Sequential::reset_state) in [`Fit::on_epoch`](crate::train::Fit::on_epoch).
    pub fn stateful(mut self) -> Self {
        self.memory = Some(Arc::default());
        self
    }

    /// Resets the state of a stateful layer to zeros.
    pub fn reset_state(&self) {
        if let Some(memory) = &self.memory {
            *lock(memory) = None;
        }
    }

    /// Forces the strategy by which a GPU runs the timesteps.
    pub fn strategy(mut self, strategy: Strategy) -> Self {
        self.strategy = strategy;
        self
    }

    /// Recomputes the gates in the backward pass instead of saving them: a training step holds 12
    /// bytes instead of 28 for each row, timestep and unit, and computes two products more. See
    /// [`crate::Device::memory`].
    pub fn recompute(mut self) -> Self {
        self.recompute = true;
        self
    }
}

/// What a file that lacks an option gets.
pub(super) fn blank() -> Lstm {
    Lstm::new(0)
}

/// Whether a layer is stateful, in a file: the state itself is not kept.
pub(super) mod stateful {
    use super::super::Memory;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(in crate::nn::lstm) fn serialize<S: Serializer>(
        memory: &Option<Memory>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        memory.is_some().serialize(serializer)
    }

    pub(in crate::nn::lstm) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Memory>, D::Error> {
        Ok(bool::deserialize(deserializer)?.then(Memory::default))
    }
}
