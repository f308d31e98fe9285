//! The shapes that are measured.

use std::fmt;

/// Rows, timesteps, features, units, layers.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub b: usize,
    pub t: usize,
    pub i: usize,
    pub h: usize,
    pub layers: usize,
}

impl Shape {
    pub const fn new([b, t, i, h]: [usize; 4], layers: usize) -> Self {
        Self { b, t, i, h, layers }
    }

    /// Multiplications and additions of the products of a forward pass: 8 T B H (I + H) for the first
    /// layer.
    pub fn flop(&self) -> f64 {
        let widths = self.i + self.h + 2 * self.h * (self.layers - 1);
        8.0 * (self.t * self.b * self.h * widths) as f64
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "B{}_T{}_I{}_H{}", self.b, self.t, self.i, self.h)?;
        if self.layers > 1 { write!(f, "_L{}", self.layers) } else { Ok(()) }
    }
}

const MAIN: [[usize; 4]; 3] = [[32, 64, 64, 128], [1, 200, 128, 128], [32, 100, 256, 256]];

/// Those that `LSTM_SHAPES` names.
pub fn chosen() -> Vec<Shape> {
    let names = std::env::var("LSTM_SHAPES").ok().filter(|names| !names.is_empty());
    let names = names.unwrap_or_else(|| "main".into());
    let one = |shape| Shape::new(shape, 1);
    names
        .split(',')
        .flat_map(|name| match name {
            "main" => MAIN.map(one).to_vec(),
            "grid" => grid(),
            "deepbench" => deepbench().into_iter().map(one).collect(),
            "flashrnn" => flashrnn().into_iter().map(one).collect(),
            other => panic!("LSTM_SHAPES: {other} is none of main, grid, deepbench, flashrnn"),
        })
        .collect()
}

/// One size varied at a time.
fn grid() -> Vec<Shape> {
    let middle = Shape::new([32, 64, 64, 128], 1);
    let mut shapes = vec![middle];
    shapes.extend([1, 8, 128].map(|b| Shape { b, ..middle }));
    shapes.extend([16, 256].map(|t| Shape { t, ..middle }));
    shapes.extend([1, 256].map(|i| Shape { i, ..middle }));
    shapes.extend([32, 100, 256, 512].map(|h| Shape { h, ..middle }));
    shapes.extend([2, 4].map(|layers| Shape { layers, ..middle }));
    shapes
}

/// The LSTM problems of DeepBench (`code/kernels/rnn_problems.h`): training, then server.
fn deepbench() -> Vec<[usize; 4]> {
    let grid = |hs: &[usize], bs: &[usize], t| -> Vec<_> {
        hs.iter().flat_map(|&h| bs.iter().map(move |&b| [b, t, h, h])).collect()
    };
    [
        grid(&[512, 1024, 2048, 4096], &[16, 32, 64, 128], 25),
        grid(&[1536], &[8, 16, 32], 50),
        grid(&[256], &[16, 32, 64], 150),
        grid(&[512, 1024, 2048], &[1, 2, 4], 25),
        grid(&[1536], &[1, 2, 4], 50),
        grid(&[256], &[1, 2, 4], 150),
    ]
    .concat()
}

/// FlashRNN's (`speed_experiments/kernel_speed_benchmark.py`): units, rows, timesteps.
fn flashrnn() -> Vec<[usize; 4]> {
    let mut shapes = [16, 32, 64, 128, 256, 768].map(|h| [16, 1024, h, h]).to_vec();
    shapes.extend([2, 8, 32, 64, 128, 256].map(|b| [b, 1024, 768, 768]));
    shapes.extend([256, 512, 2048].map(|t| [16, t, 768, 768]));
    shapes
}
