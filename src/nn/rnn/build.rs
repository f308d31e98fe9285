//! The parameters of a plain recurrent layer.

use super::{Built, DirectionParams, Rnn};
use crate::autograd::{ALIGN, Layout};
use crate::nn::{Init, Params, check_size, check_weights};
use crate::{Error, Result};

impl Rnn {
    pub(super) fn check(&self, input_size: usize) -> Result<()> {
        let h = self.hidden_size;
        check_size("Rnn::hidden_size", h)?;
        check_size("Rnn::input_size", input_size)?;
        check_size("Rnn::num_layers", self.num_layers)?;
        check_weights(4 * h, input_size.max(self.width()))?;
        // The layers above the first, which share the parameters' one buffer.
        let rows = [self.width(), h, 1].map(|rows| (h * rows).next_multiple_of(ALIGN));
        let directions = (self.num_layers - 1) * self.directions.reversed().len();
        check_weights(directions, rows.iter().sum())?;
        self.activation.check("Rnn::activation")?;
        self.kernel_init.check("Rnn::kernel_init")?;
        self.recurrent_init.check("Rnn::recurrent_init")?;
        self.bias_init.check_bias("Rnn::bias_init")?;
        if !self.bias && self.bias_init != Init::Zeros {
            let (what, with) = ("Rnn::bias_init", "Rnn::no_bias");
            return Err(Error::Unsupported {
                what,
                with,
                help: "there is no bias that it could set",
            });
        }
        Ok(())
    }

    /// Inserts the parameters, with their first values.
    pub(super) fn add_parameters(&self, params: &Params, input_size: usize) -> Result<Built> {
        let h = self.hidden_size;
        let prefix = params.free_prefix("rnn");
        let before = params.parameter_count();
        let mut directions = Vec::new();
        let kernel = self.kernel_init.or_pytorch(Init::GlorotUniform, params);
        let recurrent = self.recurrent_init.or_pytorch(Init::Orthogonal { gain: 1.0 }, params);
        let bias_init = self.bias_init.or_pytorch(Init::Zeros, params);
        for layer in 0..self.num_layers {
            let inputs = if layer == 0 { input_size } else { self.width() };
            for &reverse in self.directions.reversed() {
                let suffix = self.directions.suffix(layer, reverse);
                let name = |part: &str| format!("{prefix}.{part}{suffix}");
                let add = |part: &str, init: Init, rows: usize| {
                    let values = init.weight(params, [rows, h], h)?;
                    let layout = Layout::Transposed { rows, columns: h };
                    params.add(name(part), vec![h, rows], layout, &values)
                };
                let weight_ih = add("weight_ih", kernel, inputs)?;
                let weight_hh = add("weight_hh", recurrent, h)?;
                let bias = match self.bias {
                    true => {
                        let values = bias_init.bias(params, h, h, 2)?;
                        Some(params.add(name("bias"), vec![h], Layout::Plain, &values)?)
                    }
                    false => None,
                };
                directions.push(DirectionParams { input_size: inputs, weight_ih, weight_hh, bias });
            }
        }
        Ok(Built { directions, count: params.parameter_count() - before })
    }
}
