//! Weights of 8 bits on a tape, which must not record.

use super::{ParamId, Tape};
use crate::ops::quantized::matrix::QuantizedMatrix;
use crate::{Error, Result};
use std::sync::Arc;

impl Tape {
    /// A weight of 8 bits, if it is one.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for such a weight on a tape that records.
    pub(crate) fn quantized(&self, id: ParamId) -> Result<Option<Arc<QuantizedMatrix>>> {
        match self.params().quantized(id) {
            Some(_) if self.records() => Err(Error::Unsupported {
                what: "a model of 8-bit weights",
                with: "training",
                help: "train it before it is quantised, and keep a file of it: Sequential::quantize; to look at outputs \
                       alone, take Tape::inference",
            }),
            found => Ok(found),
        }
    }
}
