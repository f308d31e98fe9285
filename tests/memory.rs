//! What a training step holds of a device's memory, against the formula in docs/memory.md.

mod common;

use common::{gpu, lacks};
use wgpu_lstm::nn::{Lstm, Params};
use wgpu_lstm::testing::poisoned_cpu;
use wgpu_lstm::train::Adam;
use wgpu_lstm::{Device, GpuOptions, Tape, Tensor};

#[derive(Debug)]
struct Shape {
    rows: usize,
    timesteps: usize,
    features: usize,
    units: usize,
    layers: usize,
}

/// Bytes, as docs/memory.md counts them.
fn formula(shape: &Shape, on_cpu: bool) -> f64 {
    let &Shape { rows, timesteps, features, units, layers } = shape;
    // SIMD registers hold 16 floats at most.
    let h = if on_cpu { units.next_multiple_of(16) } else { units };
    let inputs = |layer| if layer == 0 { features } else { units };
    let weights = |layer| 4 * h * (inputs(layer) + units + 1);
    let all: usize = (0..layers).map(weights).sum();
    let largest = (0..layers).map(weights).max().unwrap();
    let parameters = 4 * all;
    let copies = if on_cpu { 2 * all + largest } else { 4 * h * h };
    let frames = rows * timesteps;
    // Single rows go by `Strategy::Persistent` on a software adapter.
    let exchanged = if !on_cpu && rows == 1 { frames * 4 * h } else { 0 };
    let saved = frames * 6 * h * layers;
    let outputs = frames * (features + units * layers);
    let gradients = frames * (units + units.max(features));
    let states = 6 * rows * h * layers;
    4.0 * (parameters + copies + saved + outputs + gradients + states + exchanged) as f64
}

/// The peak of three training steps, in bytes.
fn peak(device: &Device, shape: &Shape) -> f64 {
    let &Shape { rows, timesteps, features, units, layers } = shape;
    let params = Params::new(device);
    let lstm = Lstm::new(units).num_layers(layers).return_sequences();
    let lstm = lstm.build(&params, features).unwrap();
    let mut adam = Adam::default();
    for _ in 0..3 {
        let x = vec![0.5; rows * timesteps * features];
        let x = Tensor::from_slice(&x, [rows, timesteps, features], device).unwrap();
        let tape = Tape::new(&params);
        let y = lstm.forward(&tape, &tape.input(x)).unwrap();
        let d_y = Tensor::from_slice(&vec![0.1; y.tensor().len()], y.shape(), device).unwrap();
        tape.backward_from(&[(&y, d_y)]).unwrap();
        adam.step(&params).unwrap();
        device.synchronize().unwrap();
    }
    device.memory().peak as f64
}

#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn a_training_steps_peak_is_what_the_docs_say() {
    let shapes = [
        Shape { rows: 32, timesteps: 64, features: 64, units: 128, layers: 1 },
        Shape { rows: 16, timesteps: 50, features: 39, units: 64, layers: 3 },
        Shape { rows: 1, timesteps: 300, features: 128, units: 128, layers: 2 },
        Shape { rows: 33, timesteps: 17, features: 100, units: 100, layers: 2 },
        Shape { rows: 4, timesteps: 10, features: 256, units: 256, layers: 1 },
    ];
    for on_cpu in [true, false] {
        for shape in &shapes {
            // Of its own, so that its peak is this shape's.
            let device = match on_cpu {
                true => poisoned_cpu(),
                false => gpu(GpuOptions::default()),
            };
            // A card takes other strategies for some of these, and memory for the slices of long sums.
            let software = device.adapter().is_none_or(|adapter| adapter.software);
            if lacks("software", software) {
                continue;
            }
            let ratio = peak(&device, shape) / formula(shape, on_cpu);
            // Buffers come in classes of size, of which up to a ninth is waste.
            println!("{device}: {shape:?}: {ratio:.3}");
            assert!((0.85..=1.15).contains(&ratio), "{device}: {shape:?}: {ratio:.3}");
        }
    }
}
