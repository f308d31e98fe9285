//! A layer whose weight is of 8 bits: for inference alone.

use super::{Built, Dense};
use crate::autograd::{Tape, Var};
use crate::check::Check;
use crate::nn::functions::without_padding;
use crate::ops::quantized::dense::dense;
use crate::{DType, Result};

impl Dense {
    /// Whether the weight is of 8 bits.
    pub(in crate::nn) fn is_quantized(&self, tape: &Tape) -> bool {
        self.built.is_some_and(|built| tape.params().quantized(built.weight).is_some())
    }

    /// W x + b, if the weight is of 8 bits.
    pub(super) fn quantized(&self, tape: &Tape, x: &Var) -> Result<Option<Var>> {
        let Some(Built { input_size, weight, bias }) = self.built else { return Ok(None) };
        let Some(weight) = tape.quantized(weight)? else { return Ok(None) };
        let check = Check::new("dense", "the layer was built for that input_size");
        check.dtype("x", x.tensor(), DType::F32)?;
        check.features("x", x.tensor(), "[..,I]", input_size)?;
        check.lies_on(&tape.params().device(), "x", x.tensor())?;
        let bias = bias.map(|bias| tape.parameter(bias, &[self.units])).transpose()?;
        let x = without_padding(tape, "dense", x)?;
        let y = dense(x.tensor(), &weight, bias.as_ref().map(|(bias, _)| bias))?;
        Ok(Some(Var::from(y).with_steps_of(&x)))
    }
}
