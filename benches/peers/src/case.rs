//! What is measured: shapes and modes, and the numbers that all peers get.

use crate::ops::{OPS, Op, values};
use std::fmt;

/// What a peer does with a shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Whole sequences, `[B,T,I]` to the output of every timestep, `[B,T,H]`; nothing is kept.
    Forward,
    /// Forward, then backward from a given gradient of the output to the gradients of all weights
    /// and of the input. No optimizer.
    Train,
    /// One frame of one stream, the state handed on.
    Step,
    /// An epoch of Keras' program: 2048 sequences in batches of 32, LSTM, Dense(1, sigmoid),
    /// binary cross-entropy, Adam.
    Epoch,
    /// An op of the benchmark `ops`, forward.
    Op,
    /// An op, forward and backward from a given gradient of the output.
    OpTrain,
}

impl Mode {
    pub fn name(self) -> &'static str {
        match self {
            Self::Forward | Self::Op => "forward",
            Self::Train | Self::OpTrain => "train",
            Self::Step => "step",
            Self::Epoch => "epoch",
        }
    }
}

/// Where it is measured; peers are compared on the same hardware alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Cpu,
    /// A software adapter: a GPU's API on the CPU.
    Software,
    Gpu,
}

impl Place {
    pub const ALL: [Self; 3] = [Self::Cpu, Self::Software, Self::Gpu];

    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Software => "software",
            Self::Gpu => "gpu",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Case {
    pub mode: Mode,
    /// Rows, timesteps, features, units.
    pub b: usize,
    pub t: usize,
    pub i: usize,
    pub h: usize,
    pub layers: usize,
    /// For the modes of ops, which has sizes of its own.
    pub op: Option<Op>,
}

impl Case {
    const fn new(mode: Mode, [b, t, i, h]: [usize; 4]) -> Self {
        Self { mode, b, t, i, h, layers: 1, op: None }
    }

    /// Multiplications and additions of the products alone; a training step has three times those
    /// of a forward pass.
    pub fn flop(&self) -> f64 {
        if let Some(op) = self.op {
            return op.flop(self.mode == Mode::OpTrain);
        }
        let input = |layer| if layer == 0 { self.i } else { self.h };
        let frame: usize = (0..self.layers).map(|l| 8 * self.h * (input(l) + self.h)).sum();
        let passes = if matches!(self.mode, Mode::Train | Mode::Epoch) { 3 } else { 1 };
        (passes * self.b * self.t * frame) as f64
    }

    /// The width of the input of a layer.
    pub fn input(&self, layer: usize) -> usize {
        if layer == 0 { self.i } else { self.h }
    }

    pub fn x(&self) -> Vec<f32> {
        values(1, self.b * self.t * self.i, 1.0)
    }

    /// The gradient of the output.
    pub fn d_y(&self) -> Vec<f32> {
        values(2, self.b * self.t * self.h, 1.0)
    }

    /// Of the Keras program: 0 or 1 for each row.
    pub fn labels(&self) -> Vec<f32> {
        values(3, self.b, 1.0).into_iter().map(|v| f32::from(v > 0.0)).collect()
    }

    /// `weight_ih` `[4H,I]`, `weight_hh` `[4H,H]` and `bias` `[4H]` of a layer, in PyTorch's layout.
    pub fn weights(&self, layer: usize) -> [Vec<f32>; 3] {
        let (rows, scale) = (4 * self.h, 1.0 / (self.h as f32).sqrt());
        let seed = 10 * (layer as u32 + 1);
        [
            values(seed, rows * self.input(layer), scale),
            values(seed + 1, rows * self.h, scale),
            values(seed + 2, rows, scale),
        ]
    }

    /// The weight `[1,H]` of the Keras program's last layer; its bias is 0.
    pub fn head(&self) -> Vec<f32> {
        values(4, self.h, 1.0 / (self.h as f32).sqrt())
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(op) = self.op {
            return write!(f, "{op}");
        }
        write!(f, "B{} T{} I{} H{}", self.b, self.t, self.i, self.h)?;
        if self.layers > 1 {
            write!(f, " L{}", self.layers)?;
        }
        Ok(())
    }
}

/// A named list of shapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Set {
    Main,
    DeepBench,
    FlashRnn,
    /// What stands around the LSTM: see benches/ops.
    Ops,
}

impl Set {
    pub fn cases(self, place: Place) -> Vec<Case> {
        match self {
            Self::Main => main_cases(place),
            Self::DeepBench => deepbench(),
            Self::FlashRnn => flashrnn(),
            Self::Ops => ops(),
        }
    }
}

fn both(shapes: impl IntoIterator<Item = [usize; 4]>) -> Vec<Case> {
    let pair = |shape| [Case::new(Mode::Forward, shape), Case::new(Mode::Train, shape)];
    shapes.into_iter().flat_map(pair).collect()
}

fn ops() -> Vec<Case> {
    let passes = |op: &Op| {
        [false, true]
            .into_iter()
            .filter(|&train| op.has(train))
            .map(|train| {
                let mode = if train { Mode::OpTrain } else { Mode::Op };
                Case { op: Some(*op), ..Case::new(mode, op.sizes) }
            })
            .collect::<Vec<_>>()
    };
    OPS.iter().flat_map(passes).collect()
}

/// The shapes that the library is tuned on and held to.
fn main_cases(place: Place) -> Vec<Case> {
    let mut shapes = vec![[32, 64, 64, 128], [1, 200, 128, 128], [32, 100, 256, 256]];
    let step = Case { layers: 2, ..Case::new(Mode::Step, [1, 1, 128, 128]) };
    let epoch = Case::new(Mode::Epoch, [2048, 64, 64, 128]);
    match place {
        Place::Software => both(shapes),
        Place::Cpu => {
            shapes.extend([[64, 128, 512, 512], [1, 1000, 128, 128]]);
            let mut cases = both(shapes);
            cases.extend([step, epoch]);
            cases
        }
        Place::Gpu => {
            shapes.extend([256, 512, 1024].map(|h| [64, 128, h, h]));
            shapes.push([16, 1024, 768, 768]);
            let mut cases = both(shapes);
            let long = [128, 256, 512].map(|h| Case::new(Mode::Forward, [1, 1000, h, h]));
            cases.extend(long);
            cases.extend([step, epoch]);
            cases
        }
    }
}

/// The LSTM problems of DeepBench (`code/kernels/rnn_problems.h`): training, server, device.
fn deepbench() -> Vec<Case> {
    let shape = |h, b, t| [b, t, h, h];
    let grid = |hs: &[usize], bs: &[usize], t| -> Vec<_> {
        hs.iter().flat_map(|&h| bs.iter().map(move |&b| shape(h, b, t))).collect()
    };
    let mut train = grid(&[512, 1024, 2048, 4096], &[16, 32, 64, 128], 25);
    train.extend(grid(&[1536], &[8, 16, 32], 50));
    train.extend(grid(&[256], &[16, 32, 64], 150));
    let mut server = grid(&[512, 1024, 2048], &[1, 2, 4], 25);
    server.extend(grid(&[1536], &[1, 2, 4], 50));
    server.extend(grid(&[256], &[1, 2, 4], 150));
    let mut cases = both(train);
    cases.extend(server.into_iter().map(|shape| Case::new(Mode::Forward, shape)));
    cases
}

/// FlashRNN's (`speed_experiments/kernel_speed_benchmark.py`): units, rows, timesteps.
fn flashrnn() -> Vec<Case> {
    let units = [16, 32, 64, 128, 256, 768].map(|h| [16, 1024, h, h]);
    let rows = [2, 8, 32, 64, 128, 256].map(|b| [b, 1024, 768, 768]);
    let steps = [256, 512, 2048].map(|t| [16, t, 768, 768]);
    both(units.into_iter().chain(rows).chain(steps))
}
