//! The layers of a stack, one timestep at a time.

use super::{Built, Lstm, LstmState};
use crate::autograd::{Tape, Var};
use crate::nn::Regularizer;
use crate::nn::unrolled::{Recurrent, Step, StepState};
use crate::{Error, Result, Strategy};
use std::sync::Arc;

impl Recurrent for Lstm {
    fn steps(&self) -> Result<Vec<Step>> {
        let Some(built) = &self.built else {
            return Err(Error::NotBuilt { what: "this Lstm", call: "build" });
        };
        let names = ["Lstm::go_backwards", "Lstm::bidirectional"];
        self.directions.check_forward("Sequential::gradient_flow", names)?;
        let layer = |&ids| -> Step {
            let layer = Self {
                num_layers: 1,
                sequences: false,
                // One that was forced may not run a single timestep.
                strategy: Strategy::Auto,
                activity: Regularizer::default(),
                memory: None,
                computed: Arc::default(),
                built: Some(Built { directions: vec![ids], count: built.count }),
                ..self.clone()
            };
            Box::new(move |tape: &Tape, x: &Var, before: Option<&StepState>| {
                let before = before
                    .and_then(|state| Some([LstmState::new(state.h.clone(), state.c.clone()?)]));
                let out = layer.run(tape, x, before.as_ref().map(|state| &state[..]))?;
                let c = out.state.first().map(|state| state.c.clone());
                Ok(StepState { h: out.output, c })
            })
        };
        Ok(built.directions.iter().map(layer).collect())
    }
}
