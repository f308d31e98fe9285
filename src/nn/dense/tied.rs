//! A layer whose weights are the vectors of an embedding.

use super::Dense;
use crate::autograd::{ParamId, Params};
use crate::nn::Init;
use crate::nn::regularizer::Constraints;
use crate::{Error, Result};

impl Dense {
    /// The embedding's vectors that are the weights.
    pub(super) fn vectors_of_embedding(
        &self,
        params: &Params,
        input_size: usize,
    ) -> Result<ParamId> {
        let Constraints { regularizer, max_norm } = self.kernel;
        let unsupported = |what, help| Err(Error::Unsupported { what, with: "Dense::tied", help });
        if self.kernel_init != Init::GlorotUniform {
            let help = "the weights are the embedding's, which has Embedding::init";
            return unsupported("Dense::kernel_init", help);
        }
        if regularizer.factors().is_some() || max_norm.is_some() {
            let help = "the weights are the embedding's";
            return unsupported("a penalty or a limit of weights", help);
        }
        match params.last_of("embedding", &[self.units, input_size])? {
            Some((id, true)) => Ok(id),
            Some((_, false)) => {
                let help = "every output takes part in each step: leave out sparse()";
                unsupported("Embedding::sparse", help)
            }
            None => Err(Error::NotBuilt {
                what: "an Embedding with a token for each unit of the tied Dense, and vectors as long as its input",
                call: "build of one with the same Params, or Sequential::add before it",
            }),
        }
    }
}
