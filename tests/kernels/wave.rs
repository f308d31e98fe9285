//! Stacked layers as a wavefront: outputs, states and their gradients have the bits that layers one after
//! the other give; the gradients of weights add up the frames of several rows in another order.

use super::oracle::widen;
use super::{assert_close, assert_equal, close_values, forced, gpu, lacks_f16, lacks_software};
use crate::device::coresident::Forced;
use crate::nn::{Lstm, LstmState, Params, Precision};
use crate::{Device, GpuOptions, Strategy, Tape, Tensor};

/// CellConfig a case differs from a plain one.
#[derive(Clone, Copy, Debug, Default)]
struct Options {
    peepholes: bool,
    with_state: bool,
    last_alone: bool,
    /// Gradients of all last states arrive, and none of the outputs.
    of_states: bool,
    recompute: bool,
    mixed: bool,
    inference: bool,
    auto: bool,
}

/// What a pass gives.
struct Found {
    /// The outputs and the last states.
    outputs: Vec<Vec<f32>>,
    /// The gradients of x and the first states, then of the weights.
    gradients: Vec<Vec<f32>>,
    /// CellConfig many gradients are not of weights.
    values: usize,
    /// Of the forward pass.
    dispatches: u64,
}

/// `[B,T,I,H]`, of so many layers, in so many parts.
fn run(
    device: &Device,
    [b, t, i, h]: [usize; 4],
    layers: usize,
    parts: usize,
    options: Options,
) -> Found {
    if device.is_gpu() {
        forced(device, Forced { parts: Some(parts), ..Forced::default() });
    }
    let params = Params::seeded(device, 3);
    if options.mixed {
        params.set_precision(Precision::Mixed);
    }
    let mut lstm = Lstm::new(h).num_layers(layers);
    if !options.auto {
        lstm = lstm.strategy(Strategy::Sequence);
    }
    if !options.last_alone {
        lstm = lstm.return_sequences();
    }
    if options.peepholes {
        lstm = lstm.peepholes();
    }
    if options.recompute {
        lstm = lstm.recompute();
    }
    let lstm = lstm.build(&params, i).unwrap();
    let values = |shape: &[usize], seed: f32| {
        let n: usize = shape.iter().product();
        let values: Vec<_> = (0..n).map(|k| (k as f32 * 1.37 + seed).sin()).collect();
        Tensor::from_slice(&values, shape, device).unwrap()
    };
    let tape = if options.inference { Tape::inference(&params) } else { Tape::new(&params) };
    let x = tape.input(values(&[b, t, i], 0.0));
    let state: Vec<_> = (0..layers)
        .map(|layer| LstmState {
            h: tape.input(values(&[b, h], layer as f32)),
            c: tape.input(values(&[b, h], 0.5 + layer as f32)),
        })
        .collect();
    let before = device.counters().dispatches;
    let out = lstm.run(&tape, &x, options.with_state.then_some(&state[..])).unwrap();
    let dispatches = device.counters().dispatches - before;
    let mut outputs = vec![out.output.tensor().to_vec().unwrap()];
    for state in &out.state {
        outputs.extend([&state.h, &state.c].map(|v| v.tensor().to_vec().unwrap()));
    }
    if options.inference {
        return Found { outputs, gradients: vec![], values: 0, dispatches };
    }
    let arriving: Vec<_> = match options.of_states {
        true => out.state.iter().flat_map(|state| [&state.h, &state.c]).collect(),
        false => vec![&out.output, &out.state[0].h],
    };
    let arriving = arriving.into_iter().enumerate();
    let arriving = arriving.map(|(n, var)| (var, values(var.shape(), 2.0 + n as f32)));
    let gradients = tape.backward_from(&arriving.collect::<Vec<_>>()).unwrap();
    let mut wanted = vec![&x];
    if options.with_state {
        wanted.extend(state.iter().flat_map(|s| [&s.h, &s.c]));
    }
    let mut found: Vec<_> =
        wanted.iter().map(|var| gradients.get(var).unwrap().to_vec().unwrap()).collect();
    found.extend(params.names().iter().map(|name| params.gradient(name).unwrap()));
    Found { outputs, gradients: found, values: wanted.len(), dispatches }
}

fn check(device: &Device, sizes: [usize; 4], layers: usize, parts: usize, options: Options) {
    let plain = run(device, sizes, layers, 1, options);
    let wave = run(device, sizes, layers, parts, options);
    let what = format!("{sizes:?}, {layers} layers, {parts} parts, {options:?} on {device}");
    // Else it would be no wave.
    assert_ne!(wave.dispatches, plain.dispatches, "dispatches of {what}");
    assert!(plain.outputs.iter().flatten().all(|v| v.is_finite()), "{what}");
    for (number, (a, b)) in wave.outputs.iter().zip(&plain.outputs).enumerate() {
        let what = format!("output {number} of {what}");
        match options.auto {
            // Alone a layer may go by another strategy, whose sums have another order.
            true => close_values(&what, a, &widen(b), 1e-5),
            false => assert_equal(what, a, b),
        }
    }
    // In mixed precision gradients of gates are rounded to 11 bits either way.
    let bound = if options.mixed { 1e-2 } else { 1e-5 };
    assert_eq!(wave.gradients.len(), plain.gradients.len());
    for (number, (a, b)) in wave.gradients.iter().zip(&plain.gradients).enumerate() {
        let what = format!("gradient {number} of {what}");
        // One product takes the frames of all parts, which of one row follow each other as without parts;
        // where gates are made anew each part has its own.
        let one_order = sizes[0] == 1 && !options.recompute;
        let exact = !options.auto && (one_order || number < wave.values);
        match exact {
            true => assert_equal(what, a, b),
            false => close_values(&what, a, &widen(b), bound),
        }
    }
    if !options.mixed {
        let cpu = run(&Device::poisoned_cpu(), sizes, layers, 1, options);
        let all = |found: &Found| [&found.outputs[..], &found.gradients].concat();
        for (number, (a, b)) in all(&wave).iter().zip(&all(&cpu)).enumerate() {
            // What many layers leave is small, and as exact as the activations that it comes from.
            assert_close(format!("{number} of {what}, and of the CPU"), a, b, 1e-2, 5e-5);
        }
    }
}

#[test]
fn a_wavefront_has_the_bits_of_layers_alone() {
    let device = gpu(GpuOptions::default().poison().threads(2));
    let plain = Options::default();
    for (sizes, layers, parts, options) in [
        ([3, 12, 5, 16], 2, 3, plain),
        ([2, 12, 5, 16], 3, 2, Options { with_state: true, ..plain }),
        ([3, 12, 5, 16], 2, 3, Options { last_alone: true, recompute: true, ..plain }),
        ([3, 12, 5, 16], 2, 3, Options { inference: true, ..plain }),
        ([1, 128, 3, 7], 4, 2, plain),
        ([4, 32, 3, 16], 3, 4, Options { peepholes: true, with_state: true, ..plain }),
        // More layers than parts.
        ([9, 8, 3, 16], 5, 2, plain),
        ([2, 12, 5, 16], 3, 2, Options { of_states: true, with_state: true, ..plain }),
        ([1, 192, 1, 5], 3, 3, Options { of_states: true, ..plain }),
        ([2, 64, 1, 1], 2, 2, Options { with_state: true, ..plain }),
        ([5, 128, 7, 13], 2, 2, Options { peepholes: true, of_states: true, ..plain }),
        ([1, 128, 2, 9], 3, 2, Options { recompute: true, with_state: true, ..plain }),
    ] {
        check(&device, sizes, layers, parts, options);
    }
}

/// Whose backward pass goes by workgroups that exchange, as a software adapter's table has it for few rows; a
/// card's table may have no wavefront there.
#[test]
fn a_wavefront_by_the_table() {
    let device = gpu(GpuOptions::default().poison().threads(2));
    if lacks_software(&device) {
        return;
    }
    let plain = Options { auto: true, ..Options::default() };
    for (sizes, options) in [
        ([1, 32, 3, 96], Options { with_state: true, ..plain }),
        ([2, 32, 3, 96], Options { recompute: true, ..plain }),
    ] {
        check(&device, sizes, 2, 2, options);
    }
}

#[test]
fn a_wavefront_in_mixed_precision() {
    let device = gpu(GpuOptions::default().poison().threads(2));
    if lacks_f16(&device) {
        return;
    }
    let mixed = Options { mixed: true, with_state: true, ..Options::default() };
    check(&device, [3, 12, 5, 16], 2, 3, mixed);
    check(&device, [1, 128, 3, 10], 3, 2, Options { of_states: true, ..mixed });
}

/// Its recurrences, and those of layers that go alone: where two threads would be idle, which a card's
/// workgroups are not counted by.
#[test]
fn a_wave_is_one_dispatch() {
    let options = || GpuOptions::default().profile().threads(2);
    if lacks_software(&gpu(options())) {
        return;
    }
    let backward = |recompute: bool| {
        let device = gpu(options());
        forced(&device, Forced { parts: Some(3), ..Forced::default() });
        let params = Params::new(&device);
        let lstm = Lstm::new(16).num_layers(3).return_sequences();
        let lstm = if recompute { lstm.recompute() } else { lstm };
        let lstm = lstm.build(&params, 4).unwrap();
        let tape = Tape::new(&params);
        let y = lstm.forward(&tape, &Tensor::zeros([3, 12, 4], &device).unwrap().into()).unwrap();
        device.profile().unwrap();
        tape.backward_from(&[(&y, Tensor::zeros([3, 12, 16], &device).unwrap())]).unwrap();
        let profile = device.profile().unwrap();
        let recurrences =
            profile.kernels.iter().filter(|k| k.kernel.starts_with("lstm_sequence_bwd"));
        recurrences.map(|k| k.calls).sum::<u64>()
    };
    assert_eq!(backward(false), 3 + 3 - 1);
    // Gates that were not kept are made layer by layer.
    assert_eq!(backward(true), 3 * 3);
    let calls = |device: &Device, [b, t]: [usize; 2], parts| {
        forced(device, Forced { parts, ..Forced::default() });
        let params = Params::new(device);
        let lstm = Lstm::new(16).num_layers(3).return_sequences().build(&params, 4).unwrap();
        device.profile().unwrap();
        let x = Tensor::zeros([b, t, 4], device).unwrap().into();
        lstm.forward(&Tape::inference(&params), &x).unwrap();
        let profile = device.profile().unwrap();
        let recurrences = profile.kernels.iter().filter(|k| k.kernel.starts_with("lstm_sequence"));
        recurrences.map(|k| k.calls).sum::<u64>()
    };
    let device = gpu(options());
    assert_eq!(calls(&device, [3, 12], Some(3)), 3 + 3 - 1);
    // Parts of four steps are too short; 13 is no multiple of anything.
    assert_eq!(calls(&device, [3, 12], None), 3);
    assert_eq!(calls(&device, [3, 13], Some(3)), 3);
    // A layer of one workgroup leaves one thread idle; eight leave none.
    assert_eq!(calls(&device, [1, 64], None), 4 + 3 - 1);
    assert_eq!(calls(&device, [128, 64], None), 3);
    // The gates of all layers fit in one binding, or each layer goes alone.
    let gates = 3 * 3 * 12 * 4 * 16;
    for (words, expected) in [(gates, 3 + 3 - 1), (gates - 1, 3)] {
        assert_eq!(calls(&gpu(options().chunk_words(words)), [3, 12], Some(3)), expected);
    }
}
