//! tract, which runs ONNX models, on the CPU.

use crate::case::{Case, Mode};
use crate::onnx::{model, swapped};
use crate::peer::{CHECKED_STEPS, Peer, time};
use anyhow::{Context, Result};
use std::sync::Arc;
use tract_linalg::multithread::{Executor, set_default_executor};
use tract_onnx::prelude::*;

pub struct Tract {
    work: Option<Work>,
}

struct Work {
    model: Arc<TypedRunnableModel>,
    /// The input, then the states of the layers, if they are handed on.
    inputs: Vec<TValue>,
    handed_on: usize,
}

impl Tract {
    pub fn new(threads: usize) -> Self {
        set_default_executor(Executor::multithread(threads));
        Self { work: None }
    }
}

impl Work {
    /// The output `[T,B,H]`; the states go to where the next run finds them.
    fn run(&mut self) -> Result<TValue> {
        let mut outputs = self.model.run(self.inputs.iter().cloned().collect())?;
        let states = outputs.drain(1..).take(self.handed_on);
        for (place, state) in self.inputs.iter_mut().skip(1).zip(states) {
            *place = state;
        }
        outputs.pop().context("no output")
    }
}

impl Peer for Tract {
    fn name(&self) -> String {
        "tract 0.23".into()
    }

    fn does(&self, mode: Mode) -> bool {
        matches!(mode, Mode::Forward | Mode::Step)
    }

    fn prepare(&mut self, case: &Case) -> Result<Vec<(String, Vec<f32>)>> {
        let states = case.mode == Mode::Step;
        let model = onnx()
            .model_for_proto_model(&model(case, states))?
            .into_optimized()?
            .into_runnable()?;
        let x = swapped(&case.x(), [case.b, case.t, case.i]);
        let mut inputs = vec![Tensor::from_shape(&[case.t, case.b, case.i], &x)?.into()];
        let handed_on = if states { 2 * case.layers } else { 0 };
        for _ in 0..handed_on {
            inputs.push(Tensor::zero::<f32>(&[1, case.b, case.h])?.into());
        }
        let mut work = Work { model, inputs, handed_on };
        let mut y = work.run()?;
        if states {
            for _ in 1..CHECKED_STEPS {
                y = work.run()?;
            }
        }
        let y = swapped(
            y.to_plain_array_view::<f32>()?.as_slice().context("strided")?,
            [case.t, case.b, case.h],
        );
        self.work = Some(work);
        Ok(vec![("y".into(), y)])
    }

    fn run(&mut self, reps: usize) -> Result<Vec<f64>> {
        let work = self.work.as_mut().context("not prepared")?;
        time(reps, || {
            work.run()?;
            Ok(())
        })
    }

    fn release(&mut self) {
        self.work = None;
    }
}
