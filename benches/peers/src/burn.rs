//! burn, on the CPU and by wgpu.

use crate::case::{Case, Mode, Place};
use crate::peer::{CHECKED_STEPS, Peer, time};
use anyhow::{Context, Result, anyhow};
use burn::module::{Initializer, Param};
use burn::nn::{GateController, Lstm, LstmConfig, LstmState};
use burn::tensor::{Device, DeviceKind, Gradients, Tensor, TensorData};

pub fn open(place: Place) -> Box<dyn Peer> {
    let (name, device) = match place {
        Place::Cpu => ("burn 0.22 flex", Device::flex()),
        Place::Software => ("burn 0.22 wgpu", Device::wgpu(DeviceKind::Cpu)),
        Place::Gpu => ("burn 0.22 wgpu", Device::wgpu(DeviceKind::DefaultDevice)),
    };
    Box::new(Burn { name, device, work: None })
}

struct Burn {
    name: &'static str,
    device: Device,
    work: Option<Work>,
}

enum Work {
    Forward { lstm: Lstm, x: Tensor<3> },
    Train { lstm: Lstm, x: Tensor<3>, d_y: Tensor<3> },
    Step { layers: Vec<(Lstm, Option<LstmState<2>>)>, frame: Vec<f32>, device: Device },
}

fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn to_vec<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>> {
    tensor.into_data().try_to_vec().map_err(|error| anyhow!("{error:?}"))
}

/// The four gates in the order of PyTorch's rows: i, f, g, o.
fn gates(lstm: &mut Lstm) -> Result<[&mut GateController; 4]> {
    let forget = lstm.forget_gate.as_mut().context("no forget gate")?;
    Ok([&mut lstm.input_gate, forget, &mut lstm.cell_gate, &mut lstm.output_gate])
}

/// `[rows, columns]` to `[columns, rows]`.
fn transposed(values: &[f32], columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|c| values.iter().skip(c).step_by(columns).copied()).collect()
}

fn layer(case: &Case, layer: usize, device: &Device) -> Result<Lstm> {
    let (i, h) = (case.input(layer), case.h);
    let config = LstmConfig::new(i, h, true).with_initializer(Initializer::Zeros);
    let mut lstm = config.init(device);
    let [w, r, bias] = case.weights(layer);
    for (n, gate) in gates(&mut lstm)?.into_iter().enumerate() {
        let weight = |all: &[f32], size: usize| {
            let values = transposed(&all[n * h * size..][..h * size], size);
            Param::from_tensor(tensor(values, [size, h], device))
        };
        gate.input_transform.weight = weight(&w, i);
        gate.hidden_transform.weight = weight(&r, h);
        let bias = bias[n * h..][..h].to_vec();
        gate.input_transform.bias = Some(Param::from_tensor(tensor(bias, [h], device)));
        gate.hidden_transform.bias = Some(Param::from_tensor(Tensor::zeros([h], device)));
    }
    Ok(lstm)
}

/// One training step: what has been differentiated, and the input it was differentiated by.
fn train(lstm: &Lstm, x: &Tensor<3>, d_y: &Tensor<3>) -> (Gradients, Tensor<3>) {
    let x = x.clone().detach().require_grad();
    let (y, _) = lstm.forward(x.clone(), None);
    ((y * d_y.clone()).sum().backward(), x)
}

fn step(
    layers: &mut [(Lstm, Option<LstmState<2>>)],
    frame: &[f32],
    device: &Device,
) -> Result<Vec<f32>> {
    let mut x = tensor(frame.to_vec(), [1, 1, frame.len()], device);
    for (lstm, state) in layers {
        let (y, next) = lstm.forward(x, state.take());
        (x, *state) = (y, Some(next));
    }
    to_vec(x)
}

fn sync(device: &Device) -> Result<()> {
    device.sync().map_err(|error| anyhow!("{error:?}"))
}

impl Peer for Burn {
    fn name(&self) -> String {
        self.name.into()
    }

    fn does(&self, mode: Mode) -> bool {
        matches!(mode, Mode::Forward | Mode::Train | Mode::Step)
    }

    fn prepare(&mut self, case: &Case) -> Result<Vec<(String, Vec<f32>)>> {
        let device = &self.device;
        let mut found = vec![];
        let (x, y) = ([case.b, case.t, case.i], [case.b, case.t, case.h]);
        let work = match case.mode {
            Mode::Forward => {
                let (lstm, x) = (layer(case, 0, device)?, tensor(case.x(), x, device));
                let (y, _) = lstm.forward(x.clone(), None);
                found.push(("y".into(), to_vec(y)?));
                Work::Forward { lstm, x }
            }
            Mode::Train => {
                let device = &device.clone().autodiff();
                let mut lstm = layer(case, 0, device)?;
                let (x, d_y) = (tensor(case.x(), x, device), tensor(case.d_y(), y, device));
                let (gradients, input) = train(&lstm, &x, &d_y);
                let d_x = input.grad(&gradients).context("no gradient of the input")?;
                found.push(("d_x".into(), to_vec(d_x)?));
                let mut all = [vec![], vec![], vec![]];
                for gate in gates(&mut lstm)? {
                    let transforms = [&gate.input_transform, &gate.hidden_transform];
                    for (transform, all) in transforms.into_iter().zip(&mut all) {
                        let d = transform.weight.grad(&gradients).context("no gradient")?;
                        all.extend(transposed(&to_vec(d)?, case.h));
                    }
                    let bias = gate.input_transform.bias.as_ref().context("no bias")?;
                    all[2].extend(to_vec(bias.grad(&gradients).context("no gradient")?)?);
                }
                let names = ["d_weight_ih", "d_weight_hh", "d_bias"];
                found.extend(names.map(String::from).into_iter().zip(all));
                Work::Train { lstm, x, d_y }
            }
            _ => {
                let mut layers = (0..case.layers)
                    .map(|l| Ok((layer(case, l, device)?, None)))
                    .collect::<Result<Vec<_>>>()?;
                let mut y = vec![];
                for _ in 0..CHECKED_STEPS {
                    y = step(&mut layers, &case.x(), device)?;
                }
                found.push(("y".into(), y));
                Work::Step { layers, frame: case.x(), device: device.clone() }
            }
        };
        self.work = Some(work);
        Ok(found)
    }

    fn run(&mut self, reps: usize) -> Result<Vec<f64>> {
        let device = &self.device;
        match self.work.as_mut().context("not prepared")? {
            Work::Forward { lstm, x } => time(reps, || {
                let _y = lstm.forward(x.clone(), None);
                sync(device)
            }),
            Work::Train { lstm, x, d_y } => time(reps, || {
                let _gradients = train(lstm, x, d_y);
                sync(device)
            }),
            Work::Step { layers, frame, device } => time(reps, || {
                step(layers, frame, device)?;
                Ok(())
            }),
        }
    }

    fn release(&mut self) {
        self.work = None;
        self.device.memory_cleanup();
    }
}
