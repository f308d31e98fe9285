//! Layers inside of layers: in files, frame by frame, in a training.

use super::common::{Folder, close, devices, tensor, value};
use wgpu_lstm::data::{Sequences, Targets};
use wgpu_lstm::loss::Ctc;
use wgpu_lstm::nn::{
    Activation, AttentionPool, BatchNorm, Conv1d, Dense, Embedding, Flatten, Graph, Layer,
    LayerNorm, Lstm, Masking, Padding, Params, Pool1d, Spectrogram, TimeDistributed,
};
use wgpu_lstm::train::{Adam, Fit, Loss};
use wgpu_lstm::{Device, Error, Sequential, Tape, Tensor, Var};

/// Numbers between -1 and 1, the same everywhere.
fn numbers(len: usize, seed: f32) -> Vec<f32> {
    (0..len).map(|i| (i as f32 * 12.9898 + seed).sin()).collect()
}

/// A voice detector in small, frames of 24 samples.
fn voice(device: &Device) -> Sequential {
    let around = Padding::Explicit(1, 1);
    let hear = TimeDistributed::new()
        .add(Spectrogram::new(8, 4).reflect(0, 4))
        .add(Conv1d::new(6, 3).padding(around).activation(Activation::Relu))
        .add(Conv1d::new(7, 3).stride(2).padding(around).activation(Activation::Relu))
        .add(Pool1d::max(2))
        .add(Flatten::new());
    Sequential::new(device)
        .seed(3)
        .add(hear)
        .add(Lstm::new(5).return_sequences())
        .add(Activation::Relu)
        .add(Dense::new(1).activation(Activation::Sigmoid))
}

/// Ways around layers; what is by frame and causal.
fn ways(device: &Device) -> Sequential {
    let causal = |channels, size| Conv1d::new(channels, size).padding(Padding::Causal);
    let graph = Graph::new()
        .layer("conv", "input", causal(4, 3).dilation(2).activation(Activation::Silu))
        .layer("lstm", "conv", Lstm::new(4).return_sequences())
        .add("sum", &["conv", "lstm"])
        .layer("gate", "input", causal(4, 2).activation(Activation::HARD_SIGMOID))
        .multiply("gated", &["sum", "gate"])
        .concat("all", &["gated", "input"])
        .layer("norm", "all", BatchNorm::new());
    Sequential::new(device)
        .seed(5)
        .add(graph)
        .add(LayerNorm::new())
        .add(Conv1d::new(3, 2).padding(Padding::Causal))
        .add(Masking::new(7.0))
        .add(Activation::Elu { alpha: 0.5 })
}

#[test]
fn streams_give_what_sequences_give() {
    for device in devices() {
        for (name, mut model, size) in [("voice", voice(device), 24), ("ways", ways(device), 3)] {
            model.build(size).unwrap();
            let (steps, width) = (9, if name == "voice" { 1 } else { 3 });
            let rows = [numbers(steps * size, 1.0), numbers(steps * size, 2.0)];
            let whole = rows.each_ref().map(|row| {
                let x = tensor(row, [1, steps, size], device).into();
                value(&model.forward(&Tape::inference(model.params()), &x).unwrap())
            });
            let mut stepper = model.stepper(3).unwrap();
            let streams = [stepper.join().unwrap(), stepper.join().unwrap()];
            // The second stream begins later, and rests now and then.
            let mut at = [0, 0];
            for turn in 0..3 * steps {
                let here: Vec<_> =
                    (0..2).filter(|&s| at[s] < steps && (s == 0 || turn % 3 == 2)).collect();
                let frames: Vec<_> =
                    here.iter().map(|&s| (streams[s], &rows[s][at[s] * size..][..size])).collect();
                if frames.is_empty() {
                    continue;
                }
                let found = stepper.step(&frames).unwrap();
                for (number, &s) in here.iter().enumerate() {
                    let what = format!("{name}, stream {s}, step {}, on {device}", at[s]);
                    close(&what, found.row(number), &whole[s][at[s] * width..][..width], 1e-5);
                    at[s] += 1;
                }
            }
            assert_eq!(at, [steps; 2]);
            // A state goes to another stream.
            let state = stepper.state(streams[0]).unwrap();
            stepper.set_state(streams[1], &state).unwrap();
            let frame = &rows[0][..size];
            let found = stepper.step(&[(streams[0], frame), (streams[1], frame)]).unwrap();
            close("a state", found.row(0), found.row(1), 1e-6);
        }
        let mut model = Sequential::new(device).add(Conv1d::new(3, 3).padding(Padding::Same));
        model.build(2).unwrap();
        let error = model.stepper(1).err().unwrap();
        assert!(matches!(error, Error::Unsupported { .. }), "{error}");
    }
}

#[test]
fn models_come_back_from_files_and_learn() {
    let folder = Folder::new("layers-inside");
    let device = &Device::cpu().unwrap();
    let text = || {
        let graph = Graph::new()
            .layer("embedding", "input", Embedding::new(9, 4).mask_zero())
            .layer("lstm", "embedding", Lstm::new(4).return_sequences())
            .concat("all", &["embedding", "lstm"])
            .layer("pooled", "all", AttentionPool::new());
        let softmax = Dense::new(3).activation(Activation::Softmax);
        Sequential::new(device).add(graph).add(softmax)
    };
    let tokens: Vec<Vec<usize>> = vec![vec![1, 2, 0, 4], vec![8, 5], vec![3]];
    let tokens = Sequences::from_tokens(&tokens).unwrap();
    for (name, mut model, x) in [
        ("voice", voice(device), Sequences::from_array(&numbers(240, 1.0), [2, 5, 24]).unwrap()),
        ("ways", ways(device), Sequences::from_array(&numbers(30, 1.0), [2, 5, 3]).unwrap()),
        ("text", text(), tokens),
    ] {
        model.build(x.features()).unwrap();
        let path = folder.path().join(name);
        let before = model.predict(&x).unwrap();
        let rows = before.rows();
        let (loss, y) = match name {
            "text" => (Loss::CrossEntropy, Targets::classes(vec![0, 1, 2])),
            "voice" => (Loss::BinaryCrossEntropy, Targets::values(vec![1.0; rows], 1)),
            _ => (Loss::MeanSquaredError, Targets::values(numbers(3 * rows, 9.0), 3)),
        };
        model.compile(Adam::new(0.01), loss, &[]);
        let history = model.fit(&x, &y, Fit::default().epochs(12)).unwrap();
        let losses: Vec<_> = history.epochs.iter().map(|epoch| epoch.training.loss).collect();
        assert!(losses[losses.len() - 1] < losses[0], "{name}: {losses:?}");
        model.save(&path).unwrap();
        let loaded = Sequential::load(&path, device).unwrap();
        assert_eq!(
            loaded.predict(&x).unwrap().values(),
            model.predict(&x).unwrap().values(),
            "{name}"
        );
        assert_eq!(loaded.summary(), model.summary());
        assert_eq!(loaded.params().names(), model.params().names());
    }
    let mut model = voice(device);
    model.build(24).unwrap();
    let summary = model.summary();
    for part in
        ["time_distributed  [B, T, 7]", "  spectrogram     [.., 5]", "  conv1d          [.., 6]"]
    {
        assert!(summary.contains(part), "{summary}");
    }
}

#[test]
fn names_that_do_not_fit_are_refused() {
    let device = &Device::cpu().unwrap();
    let dense = || Dense::new(2);
    for (graph, part) in [
        (Graph::new(), "without nodes"),
        (Graph::new().layer("a", "b", dense()), "\"b\""),
        (Graph::new().layer("a", "a", dense()), "\"a\""),
        (Graph::new().layer("input", "input", dense()), "\"input\""),
        (Graph::new().add("a", &[]), "with inputs"),
        (Graph::new().layer("a", "input", dense()).add("b", &["a", "input"]), "[B,T,2]"),
        (Graph::new().layer("a", "input", Lstm::new(3)).add("b", &["a", "input"]), "[B,3]"),
        (Graph::new().layer("a", "input", Lstm::new(3).stateful()), "stateful"),
    ] {
        let mut model = Sequential::new(device).add(graph);
        let error = model.build(3).unwrap_err().to_string();
        assert!(error.contains(part), "{error:?} says nothing of {part:?}");
        assert!(model.params().names().is_empty());
    }
}

#[test]
fn a_graph_without_nodes_is_told() {
    let params = Params::new(&Device::cpu().unwrap());
    let x = Var::from(Tensor::zeros([1, 2, 3], &params.device()).unwrap());
    for graph in [Graph::new(), Graph::new().layer("a", "input", Dense::new(2))] {
        let error = graph.forward_logits(&Tape::inference(&params), &x).err().unwrap();
        assert!(matches!(error, Error::NotBuilt { .. }), "{error}");
    }
}

/// What a graph gives is known before it is built: a first `fit` checks the targets by it.
#[test]
fn a_graph_that_ends_sequences_is_fitted_at_once() {
    let graph = Graph::new()
        .layer("lstm", "input", Lstm::new(3))
        .layer("flat", "input", Flatten::new().timesteps(4))
        .concat("both", &["lstm", "flat"])
        .layer("number", "both", Dense::new(1));
    let mut model = Sequential::new(&Device::named("cpu").unwrap()).add(graph);
    model.compile(Adam::new(0.01), Loss::MeanSquaredError, &[]);
    let rows = (0..6).map(|row| numbers(8, row as f32));
    let x = Sequences::new(2, rows.collect::<Vec<_>>()).unwrap();
    let y = Targets::values(numbers(6, 7.0), 1);
    model.fit(&x, &y, Fit::new().quiet()).unwrap();
    assert_eq!(model.predict(&x).unwrap().values().len(), 6);
}

/// What is wrong with a graph is said before what is wrong with targets, whose number it does not tell.
#[test]
fn a_wrong_name_is_told_by_the_first_fit() {
    let device = &Device::cpu().unwrap();
    let x = Sequences::from_array(&numbers(30, 1.0), [2, 5, 3]).unwrap();
    let graph = |input: &str| {
        let graph = Graph::new().layer("lstm", "input", Lstm::new(4).return_sequences());
        graph.layer("pooled", input, AttentionPool::new())
    };
    for inside in [false, true] {
        let mut model = Sequential::new(device);
        model = match inside {
            false => model.add(graph("lsmt")),
            true => model.add(Graph::new().layer("all", "input", graph("lsmt"))),
        };
        model = model.add(Dense::new(1));
        model.compile(Adam::new(0.01), Loss::MeanSquaredError, &[]);
        let y = Targets::values([0.5, 1.0], 1);
        let error = model.fit(&x, &y, Fit::new().quiet()).unwrap_err();
        assert!(error.to_string().starts_with("a name in Graph is \"lsmt\""), "{error}");
        let again = model.build(3).unwrap_err();
        assert_eq!(error.to_string(), again.to_string());
    }
}

/// Targets that do not fit are told before the first step, with their place, where the first fit builds what tells of
/// how many classes there are.
#[test]
fn wrong_targets_are_told_before_the_first_step() {
    let device = &Device::cpu().unwrap();
    let x = Sequences::from_array(&numbers(30, 1.0), [3, 5, 2]).unwrap();
    let graph = Graph::new().layer("way", "input", Dense::new(3)).add("twice", &["way", "way"]);
    let pooled = Graph::new().layer("pooled", "input", AttentionPool::new());
    let of_each = |row: usize, label: u32| {
        Targets::sequences((0..3).map(|at| vec![if at == row { label } else { 1 }]))
    };
    let of_one = |row: usize, label: u32| {
        Targets::classes((0..3).map(|at| if at == row { label } else { 1 }))
    };
    let ctc = Sequential::new(device).add(graph);
    let classes = Sequential::new(device).add(Dense::new(3)).add(pooled);
    let cases: [(_, _, &dyn Fn(usize, u32) -> Targets); 2] =
        [(ctc, Loss::Ctc(Ctc::new()), &of_each), (classes, Loss::CrossEntropy, &of_one)];
    for (mut model, loss, targets) in cases {
        model.compile(Adam::new(0.01), loss.clone(), &[]);
        let (bad, good) = (targets(2, 3), targets(0, 2));
        let fit = || Fit::new().batch_size(1).shuffle(false).quiet();
        let told = |error: Error| match error {
            Error::At { error, .. } => *error,
            error => error,
        };
        let error = told(model.fit(&x, &good, fit().validation_data(&x, &bad)).unwrap_err());
        assert!(matches!(error, Error::Label { row: 2, found: 3, .. }), "{loss:?}: {error}");
        let first = model.params().get("dense.weight").unwrap();
        let mut model = model;
        let error = told(model.fit(&x, &bad, fit()).unwrap_err());
        assert!(matches!(error, Error::Label { row: 2, found: 3, .. }), "{loss:?}: {error}");
        assert_eq!(model.params().get("dense.weight").unwrap(), first);
    }
}
