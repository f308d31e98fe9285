//! What a training step costs the host: dispatches, submissions, buffers; and that a poisoned
//! buffer is one.

use super::{Training, assert_close, assert_equal, gpu, inner, lacks};
use crate::nn::{Lstm, Params};
use crate::{Device, Error, GpuOptions, Lengths, Strategy, Tape, Tensor, Var, loss};

#[test]
fn a_training_step_is_one_submission_without_read_back() {
    let device = gpu(GpuOptions::default());
    let training = Training { sizes: [5, 6, 4, 16], layers: 1, uploads: true };
    let mut step = training.start(&device);
    for _ in 0..8 {
        step();
    }
    let before = device.counters();
    for _ in 0..10 {
        step();
    }
    let after = device.counters();
    assert_eq!(after.submissions - before.submissions, 10);
    assert_eq!(after.readbacks, before.readbacks);
    assert_eq!(after.buffers_created, before.buffers_created, "buffers are not reused");
    assert_eq!(after.bind_groups_created, before.bind_groups_created);
    assert_eq!(after.pipelines_created, before.pipelines_created);
    // The batch, its labels, and what Adam is told.
    assert_eq!(after.writes - before.writes, 10 * 3);
    // LSTM 2 + 7, Dense 1 + 3, loss 2 + 1, Adam 1.
    assert_eq!(after.dispatches - before.dispatches, 10 * 17);
}

/// Kernels are told what changed since the submission before: nothing of a pass like the last one; and what was
/// other in between is as it should be.
#[test]
fn a_pass_like_the_one_before_has_nothing_to_write() {
    for options in [GpuOptions::default(), GpuOptions::default().like_hardware()] {
        let device = gpu(options);
        let params = Params::new(&device);
        let lstm = Lstm::new(16).return_sequences().build(&params, 4).unwrap();
        let inputs = [[5, 6, 4], [6, 5, 4], [5, 7, 4]].map(|shape| {
            let values: Vec<f32> =
                (0..shape.iter().product::<usize>()).map(|k| (k as f32).sin()).collect();
            Var::from(Tensor::from_slice(&values, shape, &device).unwrap())
        });
        let run = |x: &Var| {
            let before = device.counters().writes;
            let y = lstm.forward(&Tape::inference(&params), x).unwrap();
            device.submit().unwrap();
            let writes = device.counters().writes - before;
            (y.tensor().to_vec().unwrap(), writes)
        };
        let expected = inputs.each_ref().map(|x| run(x).0);
        for (round, (x, expected)) in inputs.iter().zip(&expected).cycle().take(6).enumerate() {
            for writes in [1, 0] {
                let (found, written) = run(x);
                let what = format!("round {round} on {device}");
                assert_equal(&what, &found, expected);
                assert_eq!(written, writes, "{what}");
            }
        }
    }
}

/// A read-back leaves its buffer to the next one, if that finds it large enough; those of two threads have two.
#[test]
fn read_backs_of_any_size_follow_each_other() {
    let device = gpu(GpuOptions::default());
    let values = |n: usize| (0..n).map(|k| (k % 1000) as f32).collect::<Vec<_>>();
    let check = |sizes: &[usize]| {
        for &n in sizes {
            let tensor = Tensor::from_slice(&values(n), [n], &device).unwrap();
            assert_equal(format!("{n} numbers on {device}"), &tensor.to_vec().unwrap(), &values(n));
        }
    };
    // The last but one is larger than what is kept.
    check(&[5, 3000, 1, 3000, 3001, (5 << 20) / 4, 17]);
    std::thread::scope(|scope| {
        for sizes in [[7, 400, 7, 2000, 9], [900, 3, 900, 3, 5000]] {
            scope.spawn(move || check(&sizes));
        }
    });
}

/// The bound of a layer's dispatches while its gates fit one binding: 3 and one chunk forward, 12 a
/// training step. Each further layer takes the same, so the difference of two stacks is a layer's.
#[test]
fn a_layer_takes_few_dispatches() {
    let device = gpu(GpuOptions::default());
    let dispatches = |layers: usize, training: bool, ragged: bool| {
        let params = Params::new(&device);
        let lstm = Lstm::new(16).num_layers(layers).return_sequences().build(&params, 16).unwrap();
        let x = Tensor::from_slice(&[0.5; 5 * 6 * 16], [5, 6, 16], &device).unwrap();
        let lengths = ragged.then(|| Lengths::new(&[6, 1, 3, 6, 2], &device).unwrap());
        let x = Var::from(x).with_lengths(lengths);
        let target = Tensor::zeros([5, 6, 16], &device).unwrap();
        let step = || {
            let before = device.counters();
            let tape = if training { Tape::new(&params) } else { Tape::inference(&params) };
            let y = lstm.forward(&tape, &x).unwrap();
            if training {
                let loss = loss::mean_squared_error(&tape, &y, &target, None).unwrap();
                tape.backward(&loss).unwrap();
            }
            device.submit().unwrap();
            let after = device.counters();
            assert_eq!(after.submissions, before.submissions + 1);
            assert_eq!(after.readbacks, before.readbacks);
            after.dispatches - before.dispatches
        };
        step();
        step()
    };
    // Rows of different lengths are packed and unpacked: one more.
    for (ragged, most) in [(false, [4, 12]), (true, [4, 13])] {
        let [forward, training] = [false, true]
            .map(|training| dispatches(3, training, ragged) - dispatches(2, training, ragged));
        assert!(forward <= most[0], "ragged {ragged}: {forward} dispatches forward");
        assert!(training <= most[1], "ragged {ragged}: {training} dispatches in training");
    }
}

/// One LSTM layer's training step: the gradients of its input and of its weights.
fn gradients(device: &Device, strategy: Strategy) -> Vec<Vec<f32>> {
    let params = Params::new(device);
    let lstm = Lstm::new(16).strategy(strategy).return_sequences().build(&params, 4).unwrap();
    let values: Vec<f32> = (0..5 * 6 * 16).map(|k| (k as f32).sin()).collect();
    let tape = Tape::new(&params);
    let x = tape.input(Tensor::from_slice(&values[..5 * 6 * 4], [5, 6, 4], device).unwrap());
    let y = lstm.forward(&tape, &x).unwrap();
    let d_y = Tensor::from_slice(&values, [5, 6, 16], device).unwrap();
    let gradients = tape.backward_from(&[(&y, d_y)]).unwrap();
    let mut found = vec![gradients.get(&x).unwrap().to_vec().unwrap()];
    found.extend(params.names().iter().map(|name| params.gradient(name).unwrap()));
    found
}

#[test]
fn a_profile_tells_the_kernels_apart_and_changes_no_bit() {
    let plain = gpu(GpuOptions::default());
    let device = gpu(GpuOptions::default().profile());
    for (strategy, forward, calls) in
        [(Strategy::Sequence, "lstm_sequence", 1), (Strategy::Stepwise, "lstm_stepwise", 6)]
    {
        let before = device.counters().dispatches;
        assert_eq!(gradients(&device, strategy), gradients(&plain, strategy), "{strategy:?}");
        let dispatches = device.counters().dispatches - before;
        let profile = device.profile().unwrap();
        assert_eq!(profile.kernels.iter().map(|k| k.calls).sum::<u64>(), dispatches);
        for kernel in &profile.kernels {
            assert!(kernel.seconds > 0.0 && kernel.seconds < 10.0, "{kernel:?}");
        }
        let is = |name: &str| name.starts_with(forward) && !name.contains("bwd");
        let forward = profile.kernels.iter().find(|k| is(k.kernel)).unwrap();
        // 5 rows, 6 timesteps, 16 units.
        assert_eq!((forward.calls, forward.flop), (calls, (8 * 5 * 6 * 16 * 16) as f64));
        // The input's part, and the gradients of the input and of both weights.
        let gemms = || profile.kernels.iter().filter(|k| k.kernel.starts_with("gemm_"));
        assert_eq!(gemms().map(|k| k.calls).sum::<u64>(), 4);
        let flop: f64 = gemms().map(|k| k.flop).sum();
        assert_eq!(flop, (8 * 5 * 6 * 16 * (3 * 4 + 16)) as f64);
        assert!(gemms().all(|k| k.bytes > 0.0));
        let table = profile.to_string();
        assert!(table.contains("lstm_") && table.lines().count() == profile.kernels.len() + 2);
        // Each profile begins anew.
        assert_eq!(device.profile().unwrap().kernels, []);
    }
}

/// Kernels for subgroups run where these have 8 lanes, and not where their check found them wrong.
#[test]
fn kernels_for_subgroups_run_where_they_were_seen_right() {
    // Of 32 rows a thread of two takes 16 together, of 4 one after the other.
    run_or_fall_back(
        32,
        &[
            ("lstm_sequence_subgroup", "lstm_sequence"),
            ("lstm_sequence_bwd_subgroup", "lstm_sequence_bwd_wide"),
            ("gemm_subgroup", "gemm_register"),
        ],
    );
    run_or_fall_back(
        4,
        &[
            ("lstm_sequence_subgroup_row", "lstm_sequence"),
            ("lstm_sequence_bwd_subgroup_row", "lstm_sequence_bwd"),
        ],
    );
}

/// Each of the kernels, or where its check fails the other.
fn run_or_fall_back(rows: usize, kernels: &[(&'static str, &str)]) {
    let run = |options: GpuOptions| {
        let device = gpu(options.profile().threads(2).no_cache());
        let params = Params::seeded(&device, 5);
        let lstm = Lstm::new(16).return_sequences().build(&params, 3).unwrap();
        let values: Vec<f32> = (0..rows * 2 * 3).map(|k| (k as f32).sin()).collect();
        let tape = Tape::new(&params);
        let x = tape.input(Tensor::from_slice(&values, [rows, 2, 3], &device).unwrap());
        let y = lstm.forward(&tape, &x).unwrap();
        let mut found = y.tensor().to_vec().unwrap();
        let d_y = Tensor::from_slice(&found, [rows, 2, 16], &device).unwrap();
        let gradients = tape.backward_from(&[(&y, d_y)]).unwrap();
        found.extend(gradients.get(&x).unwrap().to_vec().unwrap());
        let profile = device.profile().unwrap();
        let names: Vec<_> = profile.kernels.iter().map(|k| k.kernel).collect();
        let gpu = inner(&device);
        (found, names, gpu.subgroup_size == Some(8) && gpu.info.software)
    };
    let (found, names, eight) = run(GpuOptions::default());
    lacks("subgroup8", eight);
    for &(name, plain) in kernels {
        assert_eq!(names.contains(&name), eight, "{names:?}");
        if eight {
            let (other, names, _) = run(GpuOptions::default().fault(name));
            assert!(!names.contains(&name) && names.contains(&plain), "{names:?}");
            // They are below 1: here differences count as they are.
            assert_close(format!("{plain} for {name}"), &other, &found, 1.0, 1e-6);
        }
    }
}

/// More dispatches than the query set has room for.
#[test]
fn a_profile_of_a_long_recording_is_whole() {
    let device = gpu(GpuOptions::default().profile());
    let y = Tensor::zeros([1], &device).unwrap();
    let one = Tensor::from_slice(&[1.0], [1], &device).unwrap();
    for _ in 0..3_000 {
        crate::ops::sums::reduce_sum::reduce_sum(&one, 1.0, true, &y).unwrap();
    }
    let profile = device.profile().unwrap();
    let sums = profile.kernels.iter().find(|k| k.kernel == "reduce_sum").unwrap();
    assert_eq!(sums.calls, 3_000);
    assert_eq!(y.to_vec().unwrap(), [3_000.0]);
}

#[test]
fn a_profile_must_be_asked_for() {
    for device in [gpu(GpuOptions::default()), Device::named("cpu").unwrap()] {
        let error = device.profile().unwrap_err();
        assert!(matches!(error, Error::Option { option: "Device::profile", .. }), "{error}");
    }
}

#[test]
fn a_poisoned_buffer_is_nan_whatever_it_was() {
    for device in [gpu(GpuOptions::default().poison()), Device::poisoned_cpu()] {
        for _ in 0..3 {
            let tensor = Tensor::empty([100], &device).unwrap();
            assert!(tensor.to_vec().unwrap().iter().all(|v| v.is_nan()));
            tensor.fill(1.0).unwrap();
        }
    }
}

/// More uniforms than the arena holds: the recording goes on in a second submission.
#[test]
fn a_long_recording_is_submitted_in_parts() {
    let device = gpu(GpuOptions::default());
    let y = Tensor::zeros([1], &device).unwrap();
    let one = Tensor::from_slice(&[1.0], [1], &device).unwrap();
    let before = device.counters().submissions;
    for _ in 0..70_000 {
        crate::ops::sums::reduce_sum::reduce_sum(&one, 1.0, true, &y).unwrap();
    }
    assert_eq!(y.to_vec().unwrap(), [70_000.0]);
    assert!(device.counters().submissions > before + 1);
}
