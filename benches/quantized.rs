//! An LSTM on the CPU with weights of 32 bits and of 8, a row at a time.
//!
//!     cargo bench --bench quantized [--no-default-features]
//!
//! prints for each size and number of threads the microseconds a timestep of a sequence, and of a stepper; each is
//! the least of several runs, in turns. `benches/quantized.py` measures ONNX Runtime's DynamicQuantizeLSTM alike.

use std::time::Instant;
use wgpu_lstm::data::Sequences;
use wgpu_lstm::nn::Lstm;
use wgpu_lstm::{Device, Result, Sequential, Tape, Tensor, Var};

const STEPS: usize = 100;

fn main() -> Result<()> {
    for size in [256, 512, 1024] {
        for threads in [1, 2] {
            let device = Device::cpu_with_threads(threads)?;
            let model = |quantised: bool| -> Result<Sequential> {
                let mut model = Sequential::new(&device).add(Lstm::new(size).return_sequences());
                model.build(size)?;
                if quantised {
                    let x = Sequences::from_array(&values(4 * size), [1, 4, size])?;
                    println!("{}", model.quantize(&x)?);
                }
                Ok(model)
            };
            let models = [model(false)?, model(true)?];
            let x: Var =
                Tensor::from_slice(&values(STEPS * size), [1, STEPS, size], &device)?.into();
            let frame = values(size);
            let mut steppers =
                models.iter().map(|model| model.stepper(1)).collect::<Result<Vec<_>>>()?;
            let mut streams = Vec::new();
            for stepper in &mut steppers {
                streams.push(stepper.join()?);
            }
            let mut least = [[f64::INFINITY; 2]; 2];
            for _ in 0..12 {
                for (n, model) in models.iter().enumerate() {
                    let began = Instant::now();
                    let tape = Tape::inference(model.params());
                    model.forward(&tape, &x)?;
                    least[n][0] = least[n][0].min(began.elapsed().as_secs_f64());
                    let began = Instant::now();
                    for _ in 0..STEPS {
                        steppers[n].step(&[(streams[n], &frame)])?;
                    }
                    least[n][1] = least[n][1].min(began.elapsed().as_secs_f64());
                }
            }
            let [f32, i8] = least.map(|times| times.map(|time| time / STEPS as f64 * 1e6));
            println!(
                "H {size}, {threads} threads: sequence {:.1} us in 32 bits, {:.1} in 8, ratio {:.2}; \
                 step by step {:.1}, {:.1}, ratio {:.2}",
                f32[0],
                i8[0],
                f32[0] / i8[0],
                f32[1],
                i8[1],
                f32[1] / i8[1]
            );
        }
    }
    Ok(())
}

fn values(n: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 7919) as f32 * 0.37).sin()).collect()
}
