//! What `Auto` and the products take on hardware GPUs, on whatever adapter there is: whole training steps
//! beside the CPU's.

use super::oracle::widen;
use super::{assert_equal, close_values, gpu, inner, lacks_f16, tensor};
use crate::nn::{Lstm, Merge, Params, Precision};
use crate::{Device, GpuOptions, Lengths, Tape};

#[derive(Clone, Copy, Debug, Default)]
struct Model {
    layers: usize,
    both_ways: bool,
    mixed: bool,
    ragged: bool,
    peepholes: bool,
}

/// Outputs, and the gradients of the input and of all weights.
fn train(device: &Device, [b, t, i, h]: [usize; 4], model: Model) -> Vec<Vec<f32>> {
    let params = Params::seeded(device, 5);
    if model.mixed {
        params.set_precision(Precision::Mixed);
    }
    let mut lstm = Lstm::new(h).num_layers(model.layers.max(1)).return_sequences();
    if model.both_ways {
        lstm = lstm.bidirectional(Merge::Concat);
    }
    if model.peepholes {
        lstm = lstm.peepholes();
    }
    let lstm = lstm.build(&params, i).unwrap();
    let values = |n: usize, seed: f32| -> Vec<f32> {
        (0..n).map(|k| (k as f32 * 0.73 + seed).sin()).collect()
    };
    let tape = Tape::new(&params);
    let mut x = tape.input(tensor(&values(b * t * i, 0.0), [b, t, i], device));
    if model.ragged {
        let lengths: Vec<_> = (0..b).map(|row| t - row * 3 % t).collect();
        x = x.with_lengths(Some(Lengths::new(&lengths, device).unwrap()));
    }
    let y = lstm.forward(&tape, &x).unwrap();
    let d_y = tensor(&values(y.tensor().len(), 1.0), y.shape(), device);
    let gradients = tape.backward_from(&[(&y, d_y)]).unwrap();
    let mut all = vec![y.tensor().to_vec().unwrap(), gradients.get(&x).unwrap().to_vec().unwrap()];
    all.extend(params.names().iter().map(|name| params.gradient(name).unwrap()));
    all
}

#[test]
fn training_as_on_hardware() {
    let cpu = Device::cpu().unwrap();
    let device = gpu(GpuOptions::default().poison().threads(2).like_hardware());
    assert!(!inner(&device).info.software);
    let plain = Model::default();
    for (sizes, model) in [
        // Long sums in slices, of few rows and of more, and uncut.
        ([1, 600, 1, 20], plain),
        ([16, 70, 12, 33], Model { both_ways: true, ragged: true, ..plain }),
        ([9, 64, 3, 16], Model { layers: 3, ..plain }),
        // Past the sizes where one workgroup reads all of R.
        ([3, 12, 7, 130], plain),
        ([2, 12, 7, 130], Model { peepholes: true, ..plain }),
        ([9, 70, 40, 36], Model { mixed: true, ..plain }),
    ] {
        if model.mixed && lacks_f16(&device) {
            continue;
        }
        let expected = train(&cpu, sizes, Model { mixed: false, ..model });
        let found = train(&device, sizes, model);
        let what = |tensor: usize| format!("tensor {tensor} of {sizes:?}, {model:?} on {device}");
        for (number, (again, found)) in train(&device, sizes, model).iter().zip(&found).enumerate()
        {
            assert_equal(format!("{}, the second time", what(number)), again, found);
        }
        // Sums of rounded gradients, which cancel each other, of a bias the most.
        let bound = if model.mixed { 5e-2 } else { 1e-4 };
        for (number, (found, expected)) in found.iter().zip(&expected).enumerate() {
            close_values(&what(number), found, &widen(expected), bound);
        }
    }
}
