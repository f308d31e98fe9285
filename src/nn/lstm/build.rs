//! The checks of a layer's options, and its parameters.

use super::{Built, DirectionParams, Lstm, norm};
use crate::autograd::{ALIGN, Layout};
use crate::check::check_share;
use crate::nn::{Layer, Params, check_size, check_weights, init};
use crate::ops::lstm::cell::Cell;
use crate::{Error, Result, Strategy};
use std::sync::Arc;

impl Lstm {
    /// The layer with its parameters in `params`: `lstm.weight_ih_l0` `[4H,I]` (Glorot uniform),
    /// `lstm.weight_hh_l0` `[4H,H]` (orthogonal) and `lstm.bias_l0` `[4H]` (1 for the forget gate,
    /// else 0), as Keras initialises its `LSTM`; `lstm.weight_hr_l0` `[P,H]` (Glorot uniform) of a
    /// projection, `lstm.peephole_l0` `[3H]` (i, f, o: 0). The names of a reverse direction end
    /// with `_reverse`, and those of further layers count on: `_l1`. [`Lstm::kernel_init`] and its like set
    /// other first values.
    ///
    /// # Errors
    /// [`Error::Option`] for a size of 0 and other options that make no sense; [`Error::Unsupported`]
    /// for two that do not go together; [`Error::Features`] if the layer was built with these `params`
    /// for another `input_size`; [`Error::TooLarge`], [`Error::OutOfMemory`].
    pub fn build(mut self, params: &Params, input_size: usize) -> Result<Self> {
        self.build_on(params, input_size)?;
        Ok(self)
    }

    pub(super) fn check(&self, input_size: usize) -> Result<()> {
        check_size("Lstm::hidden_size", self.hidden_size)?;
        check_size("Lstm::input_size", input_size)?;
        check_size("Lstm::num_layers", self.num_layers)?;
        self.cell.check()?;
        for (option, rate) in [
            ("Lstm::dropout", self.dropout),
            ("Lstm::input_dropout", self.input_dropout),
            ("Lstm::weight_drop", self.weight_drop),
        ] {
            check_share(option, rate)?;
        }
        let refuse = |option, found: String, expected: &str| {
            Err(Error::Option { option, found, expected: expected.into() })
        };
        self.kernel.check("Lstm::kernel_regularizer", "Lstm::kernel_max_norm")?;
        self.recurrent.check("Lstm::recurrent_regularizer", "Lstm::recurrent_max_norm")?;
        self.bias_constraints.regularizer.check("Lstm::bias_regularizer")?;
        self.activity.check("Lstm::activity_regularizer")?;
        self.first.check(self.bias)?;
        if self.dropout > 0.0 && self.num_layers == 1 {
            let found = format!("{} with one layer", self.dropout);
            let expected = "0, or num_layers of at least 2: it acts between layers";
            return refuse("Lstm::dropout", found, expected);
        }
        if let Some(size) = self.projection
            && (size == 0 || size >= self.hidden_size)
        {
            let expected = format!("from 1 to below the hidden size of {}", self.hidden_size);
            return refuse("Lstm::projection", size.to_string(), &expected);
        }
        let unsupported = |what, with: Option<&'static str>, help| match with {
            Some(with) => Err(Error::Unsupported { what, with, help }),
            None => Ok(()),
        };
        if self.layer_norm {
            let help = "it takes the plain cell, Strategy::Auto and no projection; dropout, \
                        input_dropout and weight_drop go with it";
            unsupported("Lstm::layer_norm", self.beyond_layer_norm(), help)?;
        }
        if self.projection.is_some() {
            let help = "weight_drop goes with it";
            unsupported("Lstm::projection", self.noise_in_cell(), help)?;
        }
        let columns = 4 * self.hidden_size;
        check_weights(columns, input_size.max(self.hidden_size).max(self.width()))?;
        // The layers above the first, which share the parameters' one buffer.
        let rows = [self.width(), self.direction_size(), 1];
        let layer = rows.map(|rows| (columns * rows).next_multiple_of(ALIGN)).iter().sum();
        check_weights((self.num_layers - 1) * self.directions.reversed().len(), layer)
    }

    /// The method that set noise in the cell, if one did.
    fn noise_in_cell(&self) -> Option<&'static str> {
        let cell = &self.cell;
        let noise = [
            (cell.recurrent_dropout > 0.0, "Lstm::recurrent_dropout"),
            (cell.zoneout != [0.0; 2], "Lstm::zoneout"),
        ];
        noise.into_iter().find_map(|(on, method)| on.then_some(method))
    }

    /// The method that set an option which layer normalisation does not support, if one did.
    fn beyond_layer_norm(&self) -> Option<&'static str> {
        let (cell, plain) = (&self.cell, Cell::default());
        let asked = [
            (cell.peepholes, "Lstm::peepholes"),
            (cell.coupling != plain.coupling, "Lstm::coupled"),
            (cell.recurrent != plain.recurrent, "Lstm::recurrent_activation"),
            (cell.input != plain.input, "Lstm::activation"),
            (cell.output != plain.output, "Lstm::output_activation"),
            (cell.clip.is_some(), "Lstm::clip"),
            (cell.cell_clip.is_some(), "Lstm::cell_clip"),
            (self.projection.is_some(), "Lstm::projection"),
            (self.strategy != Strategy::Auto, "Lstm::strategy"),
            (self.recompute, "Lstm::recompute"),
        ];
        let asked = asked.into_iter().find_map(|(on, method)| on.then_some(method));
        asked.or_else(|| self.noise_in_cell())
    }

    /// Inserts the parameters, with their first values.
    pub(super) fn add_parameters(&mut self, params: &Params, input_size: usize) -> Result<()> {
        let (h, size) = (self.hidden_size, self.direction_size());
        let prefix = params.free_prefix("lstm");
        let gates = |rows| Layout::Gates { rows, hidden_size: h };
        let mut directions = Vec::new();
        let before = params.parameter_count();
        let first = self.first.or_pytorch(params);
        for layer in 0..self.num_layers {
            let inputs = if layer == 0 { input_size } else { self.width() };
            for &reverse in self.directions.reversed() {
                let suffix = self.directions.suffix(layer, reverse);
                let add = |name: &str, shape, layout, values: &[f32]| {
                    params.add(format!("{prefix}.{name}{suffix}"), shape, layout, values)
                };
                let values = first.kernel.weight(params, [inputs, 4 * h], h)?;
                let weight_ih = add("weight_ih", vec![4 * h, inputs], gates(inputs), &values)?;
                let values = first.recurrent.weight(params, [size, 4 * h], h)?;
                let weight_hh = add("weight_hh", vec![4 * h, size], gates(size), &values)?;
                let bias = match self.bias {
                    true => {
                        let values = first.biases(params, h)?;
                        Some(add("bias", vec![4 * h], gates(1), &values)?)
                    }
                    false => None,
                };
                self.kernel.apply(params, weight_ih, 4 * h);
                self.recurrent.apply(params, weight_hh, 4 * h);
                if let Some(bias) = bias {
                    self.bias_constraints.apply(params, bias, 4 * h);
                }
                let zeros = init::repeated(&[0.0], 4 * h)?;
                let peepholes = match self.cell.peepholes {
                    true => {
                        let layout = Layout::Peepholes { hidden_size: h };
                        Some(add("peephole", vec![3 * h], layout, &zeros)?)
                    }
                    false => None,
                };
                let weight_hr = match self.projection {
                    Some(p) => {
                        let values = first.kernel.weight(params, [h, p], h)?;
                        let layout = Layout::Transposed { rows: h, columns: p };
                        Some(add("weight_hr", vec![p, h], layout, &values)?)
                    }
                    None => None,
                };
                let ones = init::repeated(&[1.0], 4 * h)?;
                let norms = match self.layer_norm {
                    true => Some(norm::Norms {
                        ih: add("norm_ih", vec![4 * h], gates(1), &ones)?,
                        hh: add("norm_hh", vec![4 * h], gates(1), &ones)?,
                        c: add("norm_c", vec![h], Layout::Plain, &ones[..h])?,
                        c_bias: add("norm_c_bias", vec![h], Layout::Plain, &zeros[..h])?,
                    }),
                    false => None,
                };
                directions.push(DirectionParams {
                    input_size: inputs,
                    weight_ih,
                    weight_hh,
                    bias,
                    peepholes,
                    weight_hr,
                    norms,
                });
            }
        }
        let count = params.parameter_count() - before;
        self.built = Some(Built { directions, count });
        // Clones of a built layer share these; those of a layer before its build do not.
        self.computed = Arc::default();
        if self.memory.is_some() {
            self.memory = Some(Arc::default());
        }
        Ok(())
    }
}
