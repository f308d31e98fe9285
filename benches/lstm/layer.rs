//! What is run: an LSTM layer on a device, forward or a step of training.

use crate::shapes::Shape;
use std::time::{Duration, Instant};
use wgpu_lstm::nn::{Init, Lstm, Params, Precision, Strategy};
use wgpu_lstm::train::Adam;
use wgpu_lstm::{Device, Result, Tape, Tensor, Var};

/// How a layer is run: the strategy, the precision.
#[derive(Clone, Copy)]
pub struct Way {
    pub name: &'static str,
    pub strategy: Strategy,
    pub precision: Precision,
}

impl Way {
    pub const AUTO: Self = Self::full("auto", Strategy::Auto);

    const fn full(name: &'static str, strategy: Strategy) -> Self {
        Self { name, strategy, precision: Precision::Full }
    }
}

/// What to force on a device; the CPU has one way.
pub fn ways(device: &Device) -> &'static [Way] {
    const ALL: [Way; 5] = [
        Way::AUTO,
        Way::full("sequence", Strategy::Sequence),
        Way::full("stepwise", Strategy::Stepwise),
        Way::full("persistent", Strategy::Persistent),
        Way { name: "auto-f16", strategy: Strategy::Auto, precision: Precision::Mixed },
    ];
    let half = device.adapter().is_some_and(|adapter| adapter.half_precision);
    match device.is_gpu() {
        true if half => &ALL,
        true => &ALL[..4],
        false => &ALL[..1],
    }
}

/// Parameters in a precision, which the device has.
pub fn params(device: &Device, precision: Precision) -> Params {
    let params = Params::new(device);
    params.set_precision(precision);
    assert_eq!(params.precision(), precision, "{device} computed wrong in half precision");
    params
}

pub struct Layer {
    pub device: Device,
    params: Params,
    lstm: Lstm,
    adam: Adam,
    pub x: Var,
    d_y: Tensor,
}

impl Layer {
    pub fn new(device: &Device, shape: Shape, way: Way) -> Result<Self> {
        let Shape { b, t, i, h, layers } = shape;
        let params = params(device, way.precision);
        let values = |n: usize| -> Vec<f32> { (0..n).map(|k| (k as f32).sin()).collect() };
        // No orthogonal matrix, which takes long to make where it is large.
        let lstm = Lstm::new(h).num_layers(layers).recurrent_init(Init::PyTorch);
        let lstm = lstm.return_sequences().strategy(way.strategy);
        Ok(Self {
            device: device.clone(),
            lstm: lstm.build(&params, i)?,
            params,
            adam: Adam::default(),
            x: Tensor::from_slice(&values(b * t * i), [b, t, i], device)?.into(),
            d_y: Tensor::from_slice(&values(b * t * h), [b, t, h], device)?,
        })
    }

    fn forward(&self) -> Result<()> {
        self.lstm.forward(&Tape::inference(&self.params), &self.x)?;
        self.device.submit()
    }

    fn train(&mut self) -> Result<()> {
        let tape = Tape::new(&self.params);
        let x = tape.input(self.x.tensor().clone()).with_lengths(self.x.lengths().cloned());
        let y = self.lstm.forward(&tape, &x)?;
        tape.backward_from(&[(&y, self.d_y.clone())])?;
        self.adam.step(&self.params)?;
        self.device.submit()
    }

    /// The time of `n` runs, the device's work included.
    pub fn time(&mut self, pass: Pass, n: u64) -> Result<Duration> {
        self.device.synchronize()?;
        let start = Instant::now();
        for _ in 0..n {
            match pass {
                Pass::Forward => self.forward()?,
                Pass::Train => self.train()?,
            }
        }
        self.device.synchronize()?;
        Ok(start.elapsed())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    Forward,
    /// Forward, backward with the gradient of the input, and Adam.
    Train,
}

impl Pass {
    pub const ALL: [Self; 2] = [Self::Forward, Self::Train];

    pub fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Train => "train",
        }
    }

    /// The arithmetic, in forward passes.
    pub fn factor(self) -> f64 {
        match self {
            Self::Forward => 1.0,
            Self::Train => 3.0,
        }
    }
}
