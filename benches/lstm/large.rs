//! Parameters that are larger than many GPUs can bind at a time: what a step of training takes, and the
//! memory. A table whose gradient is of the rows drawn alone is to cost what these cost, not the table.

use crate::devices::devices;
use crate::wanted;
use crate::warm::warm;
use std::time::Instant;
use wgpu_lstm::loss::mean_squared_error;
use wgpu_lstm::nn::{Embedding, Lstm, Params};
use wgpu_lstm::train::Adam;
use wgpu_lstm::{Device, Result, Tape, Tensor, Var};

/// Makes a step of training.
type Make = fn(&Device) -> Result<Box<dyn FnMut() -> Result<()>>>;

pub fn run() {
    println!(
        "\nlarge parameters: a step of training with Adam, the median of 5, and the peak of memory:"
    );
    let cases: [(&str, Make); 6] = [
        ("five layers of 1024 units", layers),
        ("a table of 20,000 x 100", |device| table(device, [20_000, 100], false)),
        ("a table of 400,000 x 100", |device| table(device, [400_000, 100], false)),
        ("a sparse table of 400,000 x 100", |device| table(device, [400_000, 100], true)),
        ("a sparse table of 2,000,000 x 50", |device| table(device, [2_000_000, 50], true)),
        ("a table of 2,000,000 x 50", |device| table(device, [2_000_000, 50], false)),
    ];
    for (name, device) in devices() {
        for (case, make) in cases {
            let id = format!("large/{name}/{case}");
            if !wanted(&id) {
                continue;
            }
            match measure(device, make) {
                Ok([ms, mib]) => println!("{id}: {ms:.1} ms, {mib:.0} MiB"),
                Err(error) => println!("{id}: {error}"),
            }
        }
    }
}

fn measure(device: &Device, make: Make) -> Result<[f64; 2]> {
    device.trim()?;
    let before = device.memory().in_use;
    let mut step = make(device)?;
    let mut times = Vec::new();
    let mut held = 0;
    for round in 0..6 {
        // The first one allocates and compiles.
        if round == 1 {
            warm(device, || step().and_then(|()| device.synchronize()))?;
        }
        device.synchronize()?;
        let begin = Instant::now();
        step()?;
        device.synchronize()?;
        if round > 0 {
            times.push(begin.elapsed().as_secs_f64() * 1e3);
        }
        let memory = device.memory();
        held = held.max(memory.in_use + memory.pooled - before);
    }
    times.sort_by(f64::total_cmp);
    Ok([times[times.len() / 2], held as f64 / f64::from(1 << 20)])
}

fn layers(device: &Device) -> Result<Box<dyn FnMut() -> Result<()>>> {
    let params = Params::new(device);
    let lstm = Lstm::new(1024).num_layers(5).build(&params, 64)?;
    let x = Tensor::from_slice(&[0.5; 4 * 16 * 64], [4, 16, 64], device)?;
    train(params, move |tape| lstm.forward(tape, &Var::from(x.clone())))
}

/// 32 sentences of 64 tokens each.
fn table(
    device: &Device,
    [rows, size]: [usize; 2],
    sparse: bool,
) -> Result<Box<dyn FnMut() -> Result<()>>> {
    let params = Params::new(device);
    let table = Embedding::new(rows, size);
    let table = if sparse { table.sparse() } else { table }.build(&params)?;
    let mut seed = 1u64;
    train(params, move |tape| {
        let tokens: Vec<_> = (0..32 * 64)
            .map(|_| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                ((seed >> 33) as usize % rows) as u32
            })
            .collect();
        table.lookup(tape, &tokens, [32, 64])
    })
}

fn train(
    params: Params,
    mut forward: impl FnMut(&Tape) -> Result<Var> + 'static,
) -> Result<Box<dyn FnMut() -> Result<()>>> {
    let mut adam = Adam::new(1e-3);
    Ok(Box::new(move || {
        let tape = Tape::new(&params);
        let y = forward(&tape)?;
        let zeros = Tensor::zeros(y.shape(), &params.device())?;
        let loss = mean_squared_error(&tape, &y, &zeros, None)?;
        tape.backward(&loss)?;
        adam.step(&params)
    }))
}
