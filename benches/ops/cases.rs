//! What is measured of each op, through the interface that users have. `benches/peers` measures the same
//! cases beside other libraries, and `worker.py` there does what stands here by name.

use std::fmt;
use wgpu_lstm::loss::{self, CrossEntropy, Labels};
use wgpu_lstm::nn::{
    Activation, Attention, Dense, Dropout, Embedding, GateActivation, LayerNorm, Lstm, Params,
    Pool, Pooling, Seq2Seq, add, concat, multiply,
};
use wgpu_lstm::train::{Adam, Clip};
use wgpu_lstm::{Device, Lengths, Mask, Result, Tape, Tensor, Var};

/// An op, and the sizes that it is measured with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Op {
    pub name: &'static str,
    /// In the order of the op's axes; 1 for those that it has not.
    pub sizes: [usize; 4],
    /// How often it reads or writes as many words as its input has, forward and in a step of training; 0
    /// where arithmetic is what it does.
    words: [usize; 2],
}

const fn memory(name: &'static str, sizes: [usize; 4], words: [usize; 2]) -> Op {
    Op { name, sizes, words }
}

const fn arithmetic(name: &'static str, sizes: [usize; 4]) -> Op {
    Op { name, sizes, words: [0; 2] }
}

const CUBE: [usize; 4] = [32, 256, 256, 1];

/// The words of a step of training: what goes forward, then a gradient read and one written, with what
/// was kept between.
pub const OPS: &[Op] = &[
    memory("tanh", CUBE, [2, 5]),
    memory("sigmoid", CUBE, [2, 5]),
    memory("relu", CUBE, [2, 5]),
    memory("dropout", CUBE, [2, 4]),
    memory("add", CUBE, [3, 3]),
    memory("multiply", CUBE, [3, 8]),
    memory("concat", CUBE, [4, 8]),
    memory("mean pool", CUBE, [1, 2]),
    memory("max pool", CUBE, [1, 2]),
    memory("softmax", CUBE, [2, 5]),
    memory("layer norm", CUBE, [2, 5]),
    memory("squared error", CUBE, [2, 5]),
    memory("binary cross-entropy", CUBE, [2, 5]),
    memory("cross-entropy", [2048, 1000, 1, 1], [1, 3]),
    memory("cross-entropy", [2048, 30_000, 1, 1], [1, 3]),
    arithmetic("projection and cross-entropy", [2048, 128, 30_000, 1]),
    memory("embedding", [32, 64, 128, 30_000], [2, 4]),
    arithmetic("dense", [2048, 512, 512, 1]),
    arithmetic("dot attention", [32, 20, 20, 128]),
    arithmetic("dot attention", [4, 250, 250, 128]),
    arithmetic("dot attention", [4, 1000, 1000, 128]),
    arithmetic("additive attention", [32, 20, 20, 128]),
    arithmetic("additive attention", [4, 500, 500, 128]),
    arithmetic("lstm", [32, 128, 128, 128]),
    arithmetic("layer-normalised lstm", [32, 128, 128, 128]),
    arithmetic("lstm of softplus gates", [32, 128, 128, 128]),
    arithmetic("lstm by lengths", [32, 4096, 64, 128]),
    arithmetic("lstm by a mask", [32, 4096, 64, 128]),
    memory("clip by norm", [10_000_000, 1, 1, 1], [0, 1]),
    memory("adam", [10_000_000, 1, 1, 1], [0, 8]),
    arithmetic("greedy search", [8, 20, 128, 30_000]),
    arithmetic("beam search of 10", [8, 20, 128, 30_000]),
];

impl Op {
    /// Whether it has a pass of this kind.
    pub fn has(&self, train: bool) -> bool {
        match self.name {
            "adam" | "clip by norm" => train,
            "greedy search" | "beam search of 10" => !train,
            _ => true,
        }
    }

    /// The bytes that it must read and write at least; 0 where arithmetic is what it does.
    pub fn bytes(&self, train: bool) -> usize {
        let [a, b, c, _] = self.sizes;
        4 * a * b * c * self.words[usize::from(train)]
    }

    /// The multiplications and additions of its products.
    pub fn flop(&self, train: bool) -> f64 {
        let [a, b, c, d] = self.sizes;
        let forward = match self.name {
            // In the order of the sizes: rows, queries, keys, features.
            "dot attention" => 4 * a * b * c * d,
            // A sum, a tanh, a product with the score; then the mean.
            "additive attention" => 5 * a * b * c * d,
            "dense" | "projection and cross-entropy" => 2 * a * b * c,
            "lstm by lengths" | "lstm by a mask" => (b + SHORT * (a - 1)) * 8 * d * (c + d),
            name if name.contains("lstm") => a * b * 8 * d * (c + d),
            _ => 0,
        };
        forward as f64 * if train { 3.0 } else { 1.0 }
    }
}

/// The rows beside the long one where lengths differ.
const SHORT: usize = 8;

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sizes: Vec<_> =
            self.sizes.iter().filter(|&&n| n > 1).map(ToString::to_string).collect();
        write!(f, "{} [{}]", self.name, sizes.join(","))
    }
}

/// What a run leaves, by name: to be compared.
pub type Found = Vec<(&'static str, Tensor)>;

/// An op that is ready to run, forward or as a step of training.
pub type Work = Box<dyn FnMut(bool) -> Result<Found>>;

/// Numbers in [-scale, scale) by a hash of their place, which is the same in `worker.py`.
pub fn values(seed: u32, n: usize, scale: f32) -> Vec<f32> {
    (0..n).map(|k| (bits(seed, k) as f32 / 8_388_608.0 - 1.0) * scale).collect()
}

/// Numbers below `most`, as `values` makes them.
pub fn integers(seed: u32, n: usize, most: usize) -> Vec<u32> {
    (0..n).map(|k| ((u64::from(bits(seed, k)) * most as u64) >> 24) as u32).collect()
}

/// 24 bits.
fn bits(seed: u32, k: usize) -> u32 {
    let mut x = (k as u32).wrapping_mul(0x9E37_79B9).wrapping_add(seed.wrapping_mul(0x85EB_CA6B));
    x = (x ^ (x >> 16)).wrapping_mul(0x7FEB_352D);
    x = (x ^ (x >> 15)).wrapping_mul(0x846C_A68B);
    (x ^ (x >> 16)) >> 8
}

/// Makes an op ready on a device.
pub fn prepare(op: &Op, device: &Device) -> Result<Work> {
    let [a, b, c, d] = op.sizes;
    let params = Params::new(device);
    let tensor = |seed: u32, shape: &[usize]| {
        Tensor::from_slice(&values(seed, shape.iter().product(), 1.0), shape, device)
    };
    let one = |f: Of| -> Result<Work> {
        let x = tensor(1, &[a, b, c])?;
        run(params.clone(), vec![x], move |tape, x| f(tape, &x[0]))
    };
    let two = |f: fn(&Tape, &[Var]) -> Result<Var>| -> Result<Work> {
        run(params.clone(), vec![tensor(1, &[a, b, c])?, tensor(5, &[a, b, c])?], f)
    };
    match op.name {
        "tanh" => one(Box::new(|tape, x| Activation::Tanh.forward(tape, x))),
        "sigmoid" => one(Box::new(|tape, x| Activation::Sigmoid.forward(tape, x))),
        "relu" => one(Box::new(|tape, x| Activation::Relu.forward(tape, x))),
        "softmax" => one(Box::new(|tape, x| Activation::Softmax.forward(tape, x))),
        "dropout" => one(Box::new(|tape, x| Dropout::new(0.1).forward(tape, x))),
        "mean pool" => one(Box::new(|tape, x| Pool::new(Pooling::Mean).forward(tape, x))),
        "max pool" => one(Box::new(|tape, x| Pool::new(Pooling::Max).forward(tape, x))),
        "layer norm" => {
            let layer = LayerNorm::new().build(&params, c)?;
            one(Box::new(move |tape, x| layer.forward(tape, x)))
        }
        "add" => two(|tape, x| add(tape, &x[0], &x[1])),
        "multiply" => two(|tape, x| multiply(tape, &x[0], &x[1])),
        "concat" => two(concat),
        "squared error" | "binary cross-entropy" => {
            let (x, y) = (tensor(1, &[a * b, c])?, tensor(5, &[a * b, c])?);
            let of = match op.name {
                "squared error" => loss::mean_squared_error,
                _ => loss::binary_cross_entropy,
            };
            run(params, vec![x], move |tape, x| of(tape, &x[0], &y, None))
        }
        "cross-entropy" => {
            let labels = Labels::new(&integers(6, a, b), device)?;
            let x = tensor(1, &[a, b])?;
            run(params, vec![x], move |tape, x| loss::cross_entropy(tape, &x[0], &labels, None))
        }
        "projection and cross-entropy" => {
            let labels = Labels::new(&integers(6, a, c), device)?;
            let dense = Dense::new(c).build(&params, b)?;
            params.set("dense.weight", &values(7, b * c, 0.1))?;
            run(params, vec![tensor(1, &[a, b])?], move |tape, x| {
                dense.cross_entropy(tape, &x[0], &CrossEntropy::new(), &labels, None)
            })
        }
        "embedding" => {
            let tokens = integers(6, a * b, d);
            let table = Embedding::new(d, c).vectors(values(7, c * d, 1.0)).build(&params)?;
            run(params, vec![], move |tape, _| table.lookup(tape, &tokens, [a, b]))
        }
        "dense" => {
            let dense = Dense::new(c).build(&params, b)?;
            params.set("dense.weight", &values(7, b * c, 0.1))?;
            run(params, vec![tensor(1, &[a, b])?], move |tape, x| dense.forward(tape, &x[0]))
        }
        "dot attention" | "additive attention" => {
            let layer = match op.name {
                "dot attention" => Attention::dot(),
                _ => Attention::additive(d),
            };
            let layer = layer.build(&params, d, d)?;
            if op.name == "additive attention" {
                params.set("attention.query_weight", &values(7, d * d, 0.1))?;
                params.set("attention.key_weight", &values(8, d * d, 0.1))?;
                params.set("attention.score", &values(9, d, 1.0))?;
            }
            let x = vec![tensor(1, &[a, b, d])?, tensor(5, &[a, c, d])?];
            run(params, x, move |tape, x| Ok(layer.forward(tape, &x[0], &x[1])?.context))
        }
        "greedy search" | "beam search of 10" => {
            let model = Seq2Seq::new(d, d).embedding_size(c).hidden_size(c).build(&params)?;
            let source: Vec<Vec<u32>> = (0..a).map(|row| integers(row as u32, b, d)).collect();
            let greedy = op.name == "greedy search";
            Ok(Box::new(move |_| {
                match greedy {
                    true => drop(model.greedy(&params, &source, b)?),
                    false => drop(model.beam(&params, &source, 10, b)?),
                }
                Ok(vec![])
            }))
        }
        "adam" | "clip by norm" => optimizer(op, params),
        _ => lstm(op, params, tensor(1, &[a, b, c])?),
    }
}

type Of = Box<dyn Fn(&Tape, &Var) -> Result<Var>>;

/// An op of some inputs; a step of training begins with a gradient of the output that is one number's.
fn run(
    params: Params,
    x: Vec<Tensor>,
    f: impl Fn(&Tape, &[Var]) -> Result<Var> + 'static,
) -> Result<Work> {
    const NAMES: [&str; 2] = ["d_x", "d_second"];
    let mut d_y: Option<Tensor> = None;
    Ok(Box::new(move |train| {
        if !train {
            let x: Vec<_> = x.iter().map(|x| Var::from(x.clone())).collect();
            return Ok(vec![("y", f(&Tape::inference(&params), &x)?.tensor().clone())]);
        }
        let tape = Tape::new(&params);
        let x: Vec<_> = x.iter().map(|x| tape.input(x.clone())).collect();
        let y = f(&tape, &x)?;
        let seed = match d_y.take() {
            Some(seed) => seed,
            None if y.shape() == [1] => Tensor::from_slice(&[1.0], [1], &params.device())?,
            None => {
                let n = y.tensor().len();
                Tensor::from_slice(&values(2, n, 1.0), y.shape(), &params.device())?
            }
        };
        let gradients = tape.backward_from(&[(&y, seed.clone())])?;
        d_y = Some(seed);
        let of = |(x, name)| Some((name, gradients.get(x)?.clone()));
        Ok(x.iter().zip(NAMES).filter_map(of).collect())
    }))
}

fn optimizer(op: &Op, params: Params) -> Result<Work> {
    let n = op.sizes[0];
    // A layer that has these parameters, and gradients that no step leaves at zero.
    let dense = Dense::new(n / 10).build(&params, 9)?;
    let x = Tensor::from_slice(&[0.5; 9], [1, 9], &params.device())?;
    let tape = Tape::new(&params);
    let y = dense.forward(&tape, &Var::from(x))?;
    let seed = Tensor::from_slice(&values(2, n / 10, 1.0), y.shape(), &params.device())?;
    tape.backward_from(&[(&y, seed)])?;
    let mut adam = Adam::new(1e-3);
    let adam_wanted = op.name == "adam";
    Ok(Box::new(move |_| {
        match adam_wanted {
            true => adam.step(&params)?,
            false => params.clip_gradients(Clip::GlobalNorm(1e-3))?,
        }
        Ok(vec![])
    }))
}

fn lstm(op: &Op, params: Params, x: Tensor) -> Result<Work> {
    let [b, t, i, h] = op.sizes;
    let softplus = GateActivation::Softplus;
    let layer = match op.name {
        "layer-normalised lstm" => Lstm::new(h).layer_norm(),
        "lstm of softplus gates" => Lstm::new(h).recurrent_activation(softplus),
        _ => Lstm::new(h),
    };
    let layer = layer.return_sequences().build(&params, i)?;
    let scale = 1.0 / (h as f32).sqrt();
    params.set("lstm.weight_ih_l0", &values(10, 4 * h * i, scale))?;
    params.set("lstm.weight_hh_l0", &values(11, 4 * h * h, scale))?;
    if op.name != "layer-normalised lstm" {
        params.set("lstm.bias_l0", &values(12, 4 * h, scale))?;
    }
    let device = params.device();
    let length = move |row: usize| if row == 0 { t } else { SHORT.min(t) };
    let lengths: Vec<_> = (0..b).map(length).collect();
    let lengths = match op.name {
        "lstm by lengths" => Some(Lengths::new(&lengths, &device)?),
        _ => None,
    };
    let counts: Vec<_> = (0..b * t).map(|frame| frame % t < length(frame / t)).collect();
    let mask = match op.name {
        "lstm by a mask" => Some(Mask::new(&counts, [b, t], &device)?),
        _ => None,
    };
    run(params, vec![x], move |tape, x| {
        let x = x[0].clone().with_lengths(lengths.clone()).with_mask(mask.clone());
        layer.forward(tape, &x)
    })
}
