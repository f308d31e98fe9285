//! How a device runs the layer, in words.

use super::{Directions, Lstm};
use crate::nn::{Params, Precision};
use crate::ops::lstm::{Asked, Sizes, explain};
use crate::{Error, Result};

impl Lstm {
    /// For batches `[B,T,I]`: what runs the first of its layers, or all as one, and why.
    pub(super) fn explained(
        &self,
        params: &Params,
        [batch, timesteps, input_size]: [usize; 3],
    ) -> Result<[String; 2]> {
        if self.built.is_none() {
            return Err(Error::NotBuilt { what: "this Lstm", call: "build" });
        }
        let plain =
            self.directions == Directions::Forward && !self.layer_norm && self.projection.is_none();
        let hidden_size = self.hidden_size;
        let asked = Asked {
            strategy: self.strategy,
            cell: self.cell,
            layer_norm: self.layer_norm,
            half: params.precision() == Precision::Mixed,
            directions: self.directions.reversed().len(),
            stacked: if plain { self.num_layers } else { 1 },
            sizes: Sizes { batch, timesteps, input_size, hidden_size },
        };
        explain(&params.device(), asked)
    }
}
