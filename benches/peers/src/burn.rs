//! burn, on the CPU and by wgpu.

use crate::case::{Case, Mode, Place};
use crate::peer::{CHECKED_STEPS, Peer, time};
use anyhow::{Context, Result, anyhow};
use burn::backend::wgpu::WgpuDevice;
use burn::backend::{Autodiff, Flex, Wgpu};
use burn::module::Param;
use burn::nn::{GateController, Lstm, LstmConfig, LstmState};
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{Tensor, TensorData};

pub fn open(place: Place) -> Box<dyn Peer> {
    match place {
        Place::Cpu => Box::new(Burn::<Flex>::new("burn 0.21 flex", Default::default())),
        Place::Software => Box::new(Burn::<Wgpu>::new("burn 0.21 wgpu", WgpuDevice::Cpu)),
        Place::Gpu => Box::new(Burn::<Wgpu>::new("burn 0.21 wgpu", WgpuDevice::DefaultDevice)),
    }
}

struct Burn<B: Backend> {
    name: &'static str,
    device: B::Device,
    work: Option<Work<B>>,
}

enum Work<B: Backend> {
    Forward { lstm: Lstm<B>, x: Tensor<B, 3> },
    Train { lstm: Lstm<Autodiff<B>>, x: Tensor<Autodiff<B>, 3>, d_y: Tensor<Autodiff<B>, 3> },
    Step { layers: Vec<(Lstm<B>, Option<LstmState<B, 2>>)>, frame: Vec<f32>, device: B::Device },
}

impl<B: Backend> Burn<B> {
    fn new(name: &'static str, device: B::Device) -> Self {
        Self { name, device, work: None }
    }
}

fn tensor<B: Backend, const D: usize>(
    values: Vec<f32>,
    shape: [usize; D],
    device: &B::Device,
) -> Tensor<B, D> {
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn to_vec<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> Result<Vec<f32>> {
    tensor.into_data().to_vec().map_err(|error| anyhow!("{error:?}"))
}

/// The four gates in the order of PyTorch's rows: i, f, g, o.
fn gates<B: Backend>(lstm: &mut Lstm<B>) -> [&mut GateController<B>; 4] {
    [&mut lstm.input_gate, &mut lstm.forget_gate, &mut lstm.cell_gate, &mut lstm.output_gate]
}

/// `[rows, columns]` to `[columns, rows]`.
fn transposed(values: &[f32], columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|c| values.iter().skip(c).step_by(columns).copied()).collect()
}

fn layer<B: Backend>(case: &Case, layer: usize, device: &B::Device) -> Lstm<B> {
    let (i, h) = (case.input(layer), case.h);
    let mut lstm = LstmConfig::new(i, h, true).init::<B>(device);
    let [w, r, bias] = case.weights(layer);
    for (n, gate) in gates(&mut lstm).into_iter().enumerate() {
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
    lstm
}

type Tracked<B> = Autodiff<B>;

/// One training step: what has been differentiated, and the input it was differentiated by.
fn train<B: Backend>(
    lstm: &Lstm<Tracked<B>>,
    x: &Tensor<Tracked<B>, 3>,
    d_y: &Tensor<Tracked<B>, 3>,
) -> (<Tracked<B> as AutodiffBackend>::Gradients, Tensor<Tracked<B>, 3>) {
    let x = x.clone().detach().require_grad();
    let (y, _) = lstm.forward(x.clone(), None);
    ((y * d_y.clone()).sum().backward(), x)
}

fn step<B: Backend>(
    layers: &mut [(Lstm<B>, Option<LstmState<B, 2>>)],
    frame: &[f32],
    device: &B::Device,
) -> Result<Vec<f32>> {
    let mut x = tensor(frame.to_vec(), [1, 1, frame.len()], device);
    for (lstm, state) in layers {
        let (y, next) = lstm.forward(x, state.take());
        (x, *state) = (y, Some(next));
    }
    to_vec(x)
}

fn sync<B: Backend>(device: &B::Device) -> Result<()> {
    B::sync(device).map_err(|error| anyhow!("{error:?}"))
}

impl<B: Backend> Peer for Burn<B> {
    fn name(&self) -> String {
        self.name.into()
    }

    fn does(&self, mode: Mode) -> bool {
        mode != Mode::Epoch
    }

    fn prepare(&mut self, case: &Case) -> Result<Vec<(String, Vec<f32>)>> {
        let device = &self.device;
        let mut found = vec![];
        let (x, y) = ([case.b, case.t, case.i], [case.b, case.t, case.h]);
        let work = match case.mode {
            Mode::Forward => {
                let (lstm, x) = (layer::<B>(case, 0, device), tensor(case.x(), x, device));
                let (y, _) = lstm.forward(x.clone(), None);
                found.push(("y".into(), to_vec(y)?));
                Work::Forward { lstm, x }
            }
            Mode::Train => {
                let mut lstm = layer::<Tracked<B>>(case, 0, device);
                let (x, d_y) = (tensor(case.x(), x, device), tensor(case.d_y(), y, device));
                let (gradients, input) = train(&lstm, &x, &d_y);
                let d_x = input.grad(&gradients).context("no gradient of the input")?;
                found.push(("d_x".into(), to_vec(d_x)?));
                let mut all = [vec![], vec![], vec![]];
                for gate in gates(&mut lstm) {
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
                let mut layers: Vec<_> =
                    (0..case.layers).map(|l| (layer::<B>(case, l, device), None)).collect();
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
                sync::<B>(device)
            }),
            Work::Train { lstm, x, d_y } => time(reps, || {
                let _gradients = train(lstm, x, d_y);
                sync::<B>(device)
            }),
            Work::Step { layers, frame, device } => time(reps, || {
                step(layers, frame, device)?;
                Ok(())
            }),
        }
    }

    fn release(&mut self) {
        self.work = None;
        B::memory_cleanup(&self.device);
    }
}
