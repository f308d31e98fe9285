//! wgpu-lstm itself.

use crate::case::{Case, Mode, Place};
use crate::ops;
use crate::peer::{CHECKED_STEPS, Peer, time};
use anyhow::{Context, Result};
use wgpu_lstm::Sequential;
use wgpu_lstm::data::{Sequences, Targets};
use wgpu_lstm::nn::{Activation, Dense, Init, Lstm, LstmStepper, Params, StreamId};
use wgpu_lstm::train::{Adam, Fit, Loss};
use wgpu_lstm::{Device, GpuOptions, Tape, Tensor, Var};

pub struct Ours {
    place: Place,
    device: Device,
    work: Option<Work>,
}

enum Work {
    Forward { params: Params, lstm: Lstm, x: Var },
    Train { params: Params, lstm: Lstm, x: Tensor, d_y: Tensor },
    Step { stepper: LstmStepper, stream: StreamId, frame: Vec<f32> },
    Op { work: ops::Work, train: bool },
    Epoch { model: Box<Sequential>, x: Sequences, y: Targets },
}

impl Ours {
    pub fn open(place: Place) -> Result<Self> {
        let device = match place {
            // Whatever WGPU_LSTM_DEVICE says: that is for the GPU.
            Place::Cpu => Device::named("cpu"),
            Place::Software => Device::gpu(GpuOptions::default().software()),
            Place::Gpu => Device::gpu(GpuOptions::default()),
        }?;
        Ok(Self { place, device, work: None })
    }

    pub fn device(&self) -> &Device {
        &self.device
    }
}

fn set_weights(params: &Params, case: &Case) -> Result<()> {
    for layer in 0..case.layers {
        for (name, values) in ["weight_ih", "weight_hh", "bias"].iter().zip(case.weights(layer)) {
            params.set(&format!("lstm.{name}_l{layer}"), &values)?;
        }
    }
    Ok(())
}

/// One training step; the gradient of the input.
fn train(params: &Params, lstm: &Lstm, x: &Tensor, d_y: &Tensor) -> Result<Tensor> {
    params.zero_gradients()?;
    let tape = Tape::new(params);
    let x = tape.input(x.clone());
    let y = lstm.forward(&tape, &x)?;
    let gradients = tape.backward_from(&[(&y, d_y.clone())])?;
    gradients.get(&x).cloned().context("no gradient of the input")
}

impl Peer for Ours {
    fn name(&self) -> String {
        format!("wgpu-lstm {}", self.place.name())
    }

    fn does(&self, _: Mode) -> bool {
        true
    }

    fn prepare(&mut self, case: &Case) -> Result<Vec<(String, Vec<f32>)>> {
        let device = &self.device;
        let params = Params::new(device);
        // The weights are set below: an orthogonal matrix takes seconds to make where it is large.
        let layer = Lstm::new(case.h).num_layers(case.layers).recurrent_init(Init::Zeros);
        let mut found = vec![];
        let mut keep = |name: &str, values| found.push((name.to_owned(), values));
        let work = match case.mode {
            Mode::Forward => {
                let lstm = layer.return_sequences().build(&params, case.i)?;
                set_weights(&params, case)?;
                let x = Var::from(Tensor::from_slice(&case.x(), [case.b, case.t, case.i], device)?);
                keep("y", lstm.forward(&Tape::inference(&params), &x)?.tensor().to_vec()?);
                Work::Forward { params, lstm, x }
            }
            Mode::Train => {
                let lstm = layer.return_sequences().build(&params, case.i)?;
                set_weights(&params, case)?;
                let x = Tensor::from_slice(&case.x(), [case.b, case.t, case.i], device)?;
                let d_y = Tensor::from_slice(&case.d_y(), [case.b, case.t, case.h], device)?;
                keep("d_x", train(&params, &lstm, &x, &d_y)?.to_vec()?);
                for name in ["weight_ih", "weight_hh", "bias"] {
                    let gradient = params.gradient(&format!("lstm.{name}_l0"))?;
                    keep(&format!("d_{name}"), gradient);
                }
                Work::Train { params, lstm, x, d_y }
            }
            Mode::Step => {
                let lstm = layer.build(&params, case.i)?;
                set_weights(&params, case)?;
                let mut stepper = lstm.stepper(&params, 1)?;
                let (stream, frame) = (stepper.join()?, case.x());
                let mut y = vec![];
                for _ in 0..CHECKED_STEPS {
                    y = stepper.step(&[(stream, &frame)])?;
                }
                keep("y", y.concat());
                Work::Step { stepper, stream, frame }
            }
            Mode::Op | Mode::OpTrain => {
                let op = case.op.context("no op")?;
                let (mut work, train) = (ops::prepare(&op, device)?, case.mode == Mode::OpTrain);
                for (name, tensor) in work(train)? {
                    // What dice decide is not compared.
                    if op.name != "dropout" {
                        keep(name, tensor.to_vec()?);
                    }
                }
                Work::Op { work, train }
            }
            Mode::Epoch => {
                let mut model = Box::new(
                    Sequential::new(device)
                        .add(layer)
                        .add(Dense::new(1).activation(Activation::Sigmoid)),
                );
                model.build(case.i)?;
                set_weights(model.params(), case)?;
                model.params().set("dense.weight", &case.head())?;
                model.compile(Adam::default(), Loss::BinaryCrossEntropy, &[]);
                let x = Sequences::from_array(&case.x(), [case.b, case.t, case.i])?;
                let y = Targets::values(case.labels(), 1);
                keep("prediction", model.predict(&x)?.values().to_vec());
                Work::Epoch { model, x, y }
            }
        };
        self.work = Some(work);
        Ok(found)
    }

    fn run(&mut self, reps: usize) -> Result<Vec<f64>> {
        let device = &self.device;
        match self.work.as_mut().context("not prepared")? {
            Work::Forward { params, lstm, x } => time(reps, || {
                lstm.forward(&Tape::inference(params), x)?;
                Ok(device.synchronize()?)
            }),
            Work::Train { params, lstm, x, d_y } => time(reps, || {
                train(params, lstm, x, d_y)?;
                Ok(device.synchronize()?)
            }),
            Work::Step { stepper, stream, frame } => time(reps, || {
                stepper.step(&[(*stream, frame)])?;
                Ok(())
            }),
            Work::Op { work, train } => time(reps, || {
                work(*train)?;
                Ok(device.synchronize()?)
            }),
            Work::Epoch { model, x, y } => time(reps, || {
                model.fit(x, y, Fit::new().batch_size(32).quiet())?;
                Ok(device.synchronize()?)
            }),
        }
    }

    fn release(&mut self) {
        self.work = None;
        // What the pool keeps would not be there for the others.
        let _ = self.device.trim();
    }
}
