//! What is run: an LSTM layer on a device, forward or a step of training.

use crate::shapes::Shape;
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use wgpu_lstm::nn::{Lstm, Params};
use wgpu_lstm::train::Adam;
use wgpu_lstm::{Device, GpuOptions, Result, Strategy, Tape, Tensor, Var};

/// The CPU, the best hardware GPU and the software adapter, as far as they are there.
pub fn devices() -> &'static [(&'static str, Device)] {
    static DEVICES: OnceLock<Vec<(&str, Device)>> = OnceLock::new();
    DEVICES.get_or_init(|| {
        let mut devices = vec![];
        for (name, device) in [
            ("cpu", Device::named("cpu")),
            ("gpu", Device::gpu(GpuOptions::default())),
            ("software", Device::gpu(GpuOptions::default().software())),
        ] {
            match device {
                Ok(device) => {
                    println!("{name}: {device}");
                    devices.push((name, device));
                }
                Err(error) => println!("{name}: none ({error})"),
            }
        }
        devices
    })
}

/// What to force on a device; the CPU has one way.
pub fn strategies(device: &Device) -> &'static [(&'static str, Strategy)] {
    const ALL: [(&str, Strategy); 3] = [
        ("auto", Strategy::Auto),
        ("sequence", Strategy::Sequence),
        ("stepwise", Strategy::Stepwise),
    ];
    if device.is_gpu() { &ALL } else { &ALL[..1] }
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
    pub fn new(device: &Device, shape: Shape, strategy: Strategy) -> Result<Self> {
        let Shape { b, t, i, h, layers } = shape;
        let params = Params::new(device);
        let values = |n: usize| -> Vec<f32> { (0..n).map(|k| (k as f32).sin()).collect() };
        let lstm = Lstm::new(h).num_layers(layers).return_sequences().strategy(strategy);
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
