//! candle, on the CPU.

use crate::case::{Case, Mode};
use crate::peer::{CHECKED_STEPS, Peer, time};
use anyhow::{Context, Result};
use candle_core::{DType, Device, Tensor, Var};
use candle_nn::rnn::{LSTM, LSTMConfig, LSTMState, RNN};
use candle_nn::{VarBuilder, VarMap};

#[derive(Default)]
pub struct Candle {
    work: Option<Work>,
}

enum Work {
    Forward { lstm: LSTM, x: Tensor },
    Train { lstm: LSTM, x: Var, d_y: Tensor },
    Step { layers: Vec<(LSTM, LSTMState)>, frame: Vec<f32> },
}

/// A layer on variables, by their PyTorch names.
fn layer(case: &Case, layer: usize) -> Result<(LSTM, VarMap)> {
    let (i, h) = (case.input(layer), case.h);
    let variables = VarMap::new();
    let builder = VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu);
    let lstm = LSTM::new(i, h, LSTMConfig::default(), builder)?;
    let [w, r, bias] = case.weights(layer);
    for (name, values, shape) in [
        ("weight_ih_l0", w, vec![4 * h, i]),
        ("weight_hh_l0", r, vec![4 * h, h]),
        ("bias_ih_l0", bias, vec![4 * h]),
        ("bias_hh_l0", vec![0.0; 4 * h], vec![4 * h]),
    ] {
        let value = Tensor::from_vec(values, shape, &Device::Cpu)?;
        let all = variables.data().lock().unwrap_or_else(|error| error.into_inner());
        all.get(name).with_context(|| format!("no {name}"))?.set(&value)?;
    }
    Ok((lstm, variables))
}

fn forward(lstm: &LSTM, x: &Tensor) -> Result<Tensor> {
    Ok(lstm.states_to_tensor(&lstm.seq(x)?)?)
}

fn flat(tensor: &Tensor) -> Result<Vec<f32>> {
    Ok(tensor.flatten_all()?.to_vec1()?)
}

fn step(layers: &mut [(LSTM, LSTMState)], frame: &[f32]) -> Result<Vec<f32>> {
    let mut x = Tensor::from_slice(frame, (1, frame.len()), &Device::Cpu)?;
    for (lstm, state) in layers {
        *state = lstm.step(&x, state)?;
        x = state.h.clone();
    }
    flat(&x)
}

impl Peer for Candle {
    fn name(&self) -> String {
        "candle 0.11".into()
    }

    fn does(&self, mode: Mode) -> bool {
        mode != Mode::Epoch
    }

    fn prepare(&mut self, case: &Case) -> Result<Vec<(String, Vec<f32>)>> {
        let mut found = vec![];
        let x = Tensor::from_vec(case.x(), (case.b, case.t, case.i), &Device::Cpu);
        let work = match case.mode {
            Mode::Forward => {
                // Without variables nothing is kept for a backward pass.
                let (lstm, x) = (constant(case, 0)?, x?);
                found.push(("y".into(), flat(&forward(&lstm, &x)?)?));
                Work::Forward { lstm, x }
            }
            Mode::Train => {
                let (lstm, variables) = layer(case, 0)?;
                let x = Var::from_tensor(&x?)?;
                let d_y = Tensor::from_vec(case.d_y(), (case.b, case.t, case.h), &Device::Cpu)?;
                let gradients = (forward(&lstm, &x)? * &d_y)?.sum_all()?.backward()?;
                found.push(("d_x".into(), flat(gradients.get(&x).context("no gradient")?)?));
                let all = variables.data().lock().unwrap_or_else(|error| error.into_inner());
                for (ours, theirs) in [
                    ("d_weight_ih", "weight_ih_l0"),
                    ("d_weight_hh", "weight_hh_l0"),
                    ("d_bias", "bias_ih_l0"),
                ] {
                    let variable = all.get(theirs).with_context(|| format!("no {theirs}"))?;
                    let gradient = gradients.get(variable).context("no gradient")?;
                    found.push((ours.into(), flat(gradient)?));
                }
                Work::Train { lstm, x, d_y }
            }
            _ => {
                let mut layers = vec![];
                for l in 0..case.layers {
                    let lstm = constant(case, l)?;
                    let state = lstm.zero_state(1)?;
                    layers.push((lstm, state));
                }
                let mut y = vec![];
                for _ in 0..CHECKED_STEPS {
                    y = step(&mut layers, &case.x())?;
                }
                found.push(("y".into(), y));
                Work::Step { layers, frame: case.x() }
            }
        };
        self.work = Some(work);
        Ok(found)
    }

    fn run(&mut self, reps: usize) -> Result<Vec<f64>> {
        match self.work.as_mut().context("not prepared")? {
            Work::Forward { lstm, x } => time(reps, || {
                forward(lstm, x)?;
                Ok(())
            }),
            Work::Train { lstm, x, d_y } => time(reps, || {
                (forward(lstm, x)? * &*d_y)?.sum_all()?.backward()?;
                Ok(())
            }),
            Work::Step { layers, frame } => time(reps, || {
                step(layers, frame)?;
                Ok(())
            }),
        }
    }

    fn release(&mut self) {
        self.work = None;
    }
}

/// The layer on tensors that are no variables.
fn constant(case: &Case, number: usize) -> Result<LSTM> {
    let (_, variables) = layer(case, number)?;
    let all = variables.data().lock().unwrap_or_else(|error| error.into_inner());
    let tensors = all.iter().map(|(name, var)| (name.clone(), var.as_detached_tensor())).collect();
    let builder = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
    Ok(LSTM::new(case.input(number), case.h, LSTMConfig::default(), builder)?)
}
