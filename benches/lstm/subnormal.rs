//! What numbers below 1.2e-38 cost, against ordinary ones in the same work: by rounds that take turns.
//! An LSTM meets them in gradients that vanish over time, in a stream in silence, in the moments of rows
//! that are no longer drawn, and behind gates that are nearly closed.

use crate::devices::devices;
use crate::wanted;
use crate::warm::warm;
use std::time::Instant;
use wgpu_lstm::loss::mean_squared_error;
use wgpu_lstm::nn::{Embedding, Lstm, Params};
use wgpu_lstm::train::Adam;
use wgpu_lstm::{Device, Result, Tape, Tensor, Var};

/// Work with ordinary numbers, and the same with subnormal ones; each says what it did in seconds.
type Pair = [Box<dyn FnMut() -> Result<f64>>; 2];
/// Makes a pair on a device.
type Make = fn(&Device) -> Result<Pair>;

pub fn run() {
    println!("\nsubnormal numbers against ordinary ones, medians of rounds that take turns:");
    let cases: [(&str, Make); 7] = [
        ("training over 1000 steps", |device| training(device, 1000)),
        ("training over 2000 steps", |device| training(device, 2000)),
        ("a stream in silence", stream),
        ("inference after silence", silence),
        ("adam on rows no longer drawn", adam),
        ("nearly closed gates", gates),
        ("inputs of 1e-38", inputs),
    ];
    for (name, device) in devices() {
        for (case, make) in cases {
            let id = format!("subnormal/{name}/{case}");
            if !wanted(&id) {
                continue;
            }
            match make(device).and_then(|pair| compare(device, pair)) {
                Ok([ordinary, subnormal]) => {
                    let ratio = subnormal / ordinary;
                    let [a, b] = [ordinary, subnormal].map(|s| s * 1e3);
                    println!("{id}: {ratio:.2} ({b:.3} ms, ordinary {a:.3} ms)");
                }
                Err(error) => println!("{id}: {error}"),
            }
        }
    }
}

/// The medians of both, after two rounds that warm up.
fn compare(device: &Device, mut pair: Pair) -> Result<[f64; 2]> {
    warm(device, || pair[0]().map(|_| ()))?;
    let mut times = [vec![], vec![]];
    for round in 0..13 {
        for (work, times) in pair.iter_mut().zip(&mut times) {
            let took = work()?;
            if round > 1 {
                times.push(took);
            }
        }
    }
    Ok(times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    }))
}

/// A layer whose gates have these biases: i, f, g, o. A forget gate above a half, as first values give it,
/// keeps the smallest subnormal for ever, since rounding puts back what it takes.
fn layer(device: &Device, [i, h]: [usize; 2], bias: [f32; 4]) -> Result<(Params, Lstm)> {
    let params = Params::new(device);
    let lstm = Lstm::new(h).build(&params, i)?;
    let bias: Vec<_> = bias.iter().flat_map(|&b| std::iter::repeat_n(b, h)).collect();
    params.set("lstm.bias_l0", &bias)?;
    Ok((params, lstm))
}

fn values(shape: [usize; 3], scale: f32, device: &Device) -> Result<Tensor> {
    let len = shape.iter().product();
    let values: Vec<_> = (0..len).map(|n| scale * (n as f32 * 0.7).sin()).collect();
    Tensor::from_slice(&values, shape, device)
}

fn timed(device: &Device, f: impl FnOnce() -> Result<()>) -> Result<f64> {
    device.synchronize()?;
    let begin = Instant::now();
    f()?;
    device.synchronize()?;
    Ok(begin.elapsed().as_secs_f64())
}

/// Forward and backward from the last output. With open forget gates the gradient does not vanish.
fn training(device: &Device, timesteps: usize) -> Result<Pair> {
    let run = |forget: f32| -> Result<Box<dyn FnMut() -> Result<f64>>> {
        let (params, lstm) = layer(device, [8, 64], [0.0, forget, 0.0, 0.0])?;
        let x = values([16, timesteps, 8], 1.0, device)?;
        let y = Tensor::zeros([16, 64], device)?;
        let device = device.clone();
        Ok(Box::new(move || {
            timed(&device, || {
                let tape = Tape::new(&params);
                let out = lstm.forward(&tape, &Var::from(x.clone()))?;
                let loss = mean_squared_error(&tape, &out, &y, None)?;
                tape.backward(&loss)?;
                Ok(())
            })
        }))
    };
    Ok([run(12.0)?, run(1.0)?])
}

/// Frames of a stream, the first 300 not counted.
fn stream(device: &Device) -> Result<Pair> {
    let run = |frame: f32| -> Result<Box<dyn FnMut() -> Result<f64>>> {
        let (params, lstm) = layer(device, [40, 128], [0.0, 1.0, 0.0, 0.0])?;
        let device = device.clone();
        Ok(Box::new(move || {
            let mut stepper = lstm.stepper(&params, 1)?;
            let stream = stepper.join()?;
            stepper.step(&[(stream, &[0.5; 40])])?;
            let mut steps = |n: usize| {
                (0..n).try_for_each(|_| stepper.step(&[(stream, &[frame; 40])]).map(|_| ()))
            };
            steps(300)?;
            timed(&device, || steps(200))
        }))
    };
    Ok([run(0.5)?, run(0.0)?])
}

/// Whole sequences of which all but the first frame are zeros.
fn silence(device: &Device) -> Result<Pair> {
    let run = |silent: bool| -> Result<Box<dyn FnMut() -> Result<f64>>> {
        let (params, lstm) = layer(device, [40, 128], [0.0, 1.0, 0.0, 0.0])?;
        let frames = (0..16 * 700 * 40).map(|n| match n / 40 % 700 {
            1.. if silent => 0.0,
            _ => (n as f32).sin(),
        });
        let x = Tensor::from_slice(&frames.collect::<Vec<_>>(), [16, 700, 40], device)?;
        let device = device.clone();
        Ok(Box::new(move || {
            timed(&device, || {
                lstm.forward(&Tape::inference(&params), &Var::from(x.clone())).map(|_| ())
            })
        }))
    };
    Ok([run(false)?, run(true)?])
}

/// Optimizer steps over a table of which all rows were drawn once, and then the first one alone: early,
/// and when the moments of the others have become subnormal.
fn adam(device: &Device) -> Result<Pair> {
    let run = |before: usize| -> Result<Box<dyn FnMut() -> Result<f64>>> {
        let params = Params::new(device);
        let table = Embedding::new(4000, 64).build(&params)?;
        let mut adam = Adam::new(1e-3);
        let mut step = move |rows: &[u32]| -> Result<()> {
            let tape = Tape::new(&params);
            let ids = Tensor::from_u32(rows, [1, rows.len()], &params.device())?;
            let out = table.forward(&tape, &Var::from(ids))?;
            let zeros = Tensor::zeros(out.shape(), &params.device())?;
            let loss = mean_squared_error(&tape, &out, &zeros, None)?;
            tape.backward(&loss)?;
            adam.step(&params)?;
            params.device().submit()
        };
        step(&(0..4000).collect::<Vec<_>>())?;
        (0..before).try_for_each(|_| step(&[0]))?;
        let device = device.clone();
        Ok(Box::new(move || timed(&device, || (0..4).try_for_each(|_| step(&[0])))))
    };
    // 0.9^n reaches 1e-38 after 830 steps.
    Ok([run(4)?, run(780)?])
}

/// Training with gates that let 1e-37 through.
fn gates(device: &Device) -> Result<Pair> {
    trained(device, |closed| (if closed { [-85.0, -85.0, 0.0, -85.0] } else { [0.0; 4] }, 1.0))
}

/// Training on inputs that are tiny.
fn inputs(device: &Device) -> Result<Pair> {
    trained(device, |tiny| ([0.0; 4], if tiny { 1e-38 } else { 1.0 }))
}

fn trained(device: &Device, of: impl Fn(bool) -> ([f32; 4], f32)) -> Result<Pair> {
    let run = |(bias, scale): ([f32; 4], f32)| -> Result<Box<dyn FnMut() -> Result<f64>>> {
        let (params, lstm) = layer(device, [64, 128], bias)?;
        let lstm = lstm.return_sequences();
        let x = values([32, 64, 64], scale, device)?;
        let y = Tensor::zeros([32, 64, 128], device)?;
        let device = device.clone();
        Ok(Box::new(move || {
            timed(&device, || {
                let tape = Tape::new(&params);
                let out = lstm.forward(&tape, &Var::from(x.clone()))?;
                let loss = mean_squared_error(&tape, &out, &y, None)?;
                tape.backward(&loss).map(|_| ())
            })
        }))
    };
    Ok([run(of(false))?, run(of(true))?])
}
