//! Rows without a step, by lengths of 0: what ONNX Runtime gives, and that the rows beside them are as if they
//! were alone.

use super::gradient;
use crate::common::{Vectors, close, devices, tensor, value};
use wgpu_lstm::loss::{Ctc, Emissions, RowWeights};
use wgpu_lstm::nn::{
    Activation, Attention, Dense, Embedding, Layer, LayerNorm, Lstm, LstmState, Merge, Params,
    Pool, Pooling, Rnn, Strategy,
};
use wgpu_lstm::{Error, Lengths, Tape, Tensor, Var};

fn numbers(len: usize, seed: f32) -> Vec<f32> {
    (0..len).map(|i| (12.9898 * i as f32 + seed).sin() * 0.9).collect()
}

/// Outputs, last states of rows with a step, and all of them without first states. Where a row without a step has
/// a first state ONNX Runtime ends in 0, and this layer in that state.
#[test]
fn lstm_rows_without_a_step_are_those_of_onnx_runtime() {
    for name in ["empty", "empty_reverse", "empty_both", "empty_zeros", "none_both"] {
        let v = Vectors::load(&format!("steps_onnx_{name}"));
        let [b, t, i, h, d] = v.usizes("sizes")[..] else { panic!() };
        let lengths = v.usizes("lengths");
        for device in devices() {
            let what = |of: &str| format!("{of} of {name} on {device}");
            let params = Params::new(device);
            let layer = Lstm::new(h).return_sequences();
            let layer = match (d, name) {
                (2, _) => layer.bidirectional(Merge::Concat),
                (_, "empty_reverse") => layer.go_backwards(),
                _ => layer,
            };
            let layer = layer.build(&params, i).unwrap();
            let suffixes = &["", "_reverse"][..d];
            for suffix in suffixes {
                for part in ["weight_ih_l0", "weight_hh_l0", "bias_l0"] {
                    let name = format!("{part}{suffix}");
                    params.set(&format!("lstm.{name}"), &v.get(&name)).unwrap();
                }
            }
            let first: Option<Vec<_>> = suffixes
                .iter()
                .map(|suffix| {
                    let part = |name| v.find(&format!("{name}{suffix}"));
                    let var = |words: Vec<f32>| Var::from(tensor(&words, [b, h], device));
                    Some(LstmState::new(var(part("h_0")?), var(part("c_0")?)))
                })
                .collect();
            let steps = Lengths::new(&lengths, device).unwrap();
            let x = Var::from(v.tensor("x", [b, t, i], device)).with_lengths(Some(steps));
            let out = layer.run(&Tape::inference(&params), &x, first.as_deref()).unwrap();
            close(&what("y"), &value(&out.output), &v.get("y"), 1e-5);
            let (h_n, c_n) = (v.get("h_n"), v.get("c_n"));
            for (number, state) in out.state.iter().enumerate() {
                let firsts = first.as_ref().map(|f| [&f[number].h, &f[number].c].map(value));
                for (part, (end, of)) in
                    [(&state.h, &h_n), (&state.c, &c_n)].into_iter().enumerate()
                {
                    let mut expected = of[number * b * h..][..b * h].to_vec();
                    for row in (0..b).filter(|&row| lengths[row] == 0) {
                        assert_eq!(expected[row * h..][..h], vec![0.0; h]);
                        if let Some(firsts) = &firsts {
                            expected[row * h..][..h].copy_from_slice(&firsts[part][row * h..][..h]);
                        }
                    }
                    close(&what("a last state"), &value(end), &expected, 1e-5);
                }
            }
        }
    }
}

type Run = Box<dyn Fn(&Tape, &Var) -> Vec<Var>>;

type Case = (&'static str, fn(&Params) -> Run);

/// Layers and ops over `[B,T,3]` that go by lengths: rows first in all that they give.
fn cases() -> Vec<Case> {
    fn of(layer: impl Layer + 'static) -> Run {
        Box::new(move |tape, x| vec![layer.forward(tape, x).unwrap()])
    }
    fn lstm(params: &Params, layer: Lstm) -> Run {
        let layer = layer.build(params, 3).unwrap();
        Box::new(move |tape, x| {
            let out = layer.run(tape, x, None).unwrap();
            let ends = out.state.into_iter().flat_map(|s| [s.h, s.c]);
            [out.output].into_iter().chain(ends).collect()
        })
    }
    fn sequences() -> Lstm {
        Lstm::new(5).return_sequences()
    }
    vec![
        ("Lstm", |p| lstm(p, sequences())),
        ("its last output", |p| lstm(p, Lstm::new(5).bidirectional(Merge::Mean))),
        ("Lstm by Sequence", |p| lstm(p, sequences().strategy(Strategy::Sequence))),
        ("Lstm by Stepwise", |p| lstm(p, sequences().strategy(Strategy::Stepwise).num_layers(2))),
        ("Lstm both ways", |p| lstm(p, sequences().bidirectional(Merge::Concat).num_layers(2))),
        ("Lstm backwards", |p| lstm(p, sequences().go_backwards().recompute())),
        ("a variant", |p| lstm(p, sequences().peepholes().clip(0.8).bidirectional(Merge::Product))),
        ("a projection", |p| lstm(p, sequences().projection(2).bidirectional(Merge::Sum))),
        ("a normalised Lstm", |p| lstm(p, sequences().layer_norm().bidirectional(Merge::Concat))),
        ("Rnn", |p| {
            of(Rnn::new(4).bidirectional(Merge::Concat).return_sequences().build(p, 3).unwrap())
        }),
        ("Dense", |p| {
            of(Dense::new(2).no_bias().activation(Activation::Tanh).build(p, 3).unwrap())
        }),
        ("LayerNorm", |p| of(LayerNorm::new().build(p, 3).unwrap())),
        ("a mean", |_| of(Pool::new(Pooling::Mean))),
        ("a maximum", |_| of(Pool::new(Pooling::Max))),
        ("the last frame", |_| of(Pool::new(Pooling::Last))),
        ("an additive Attention", |p| {
            let layer = Attention::additive(4).build(p, 3, 3).unwrap();
            Box::new(move |tape, x| vec![layer.forward(tape, x, x).unwrap().context])
        }),
        ("an Attention", |p| {
            let layer = Attention::dot().build(p, 3, 3).unwrap();
            Box::new(move |tape, x| {
                // Queries that have steps where the keys have none.
                let query = x.clone().with_lengths(None);
                let query = Pool::new(Pooling::Last).forward(tape, &query).unwrap();
                vec![layer.forward(tape, &query, x).unwrap().context]
            })
        }),
    ]
}

const T: usize = 6;

/// What is given of rows, by their numbers and lengths, and the gradients of the input and of the parameters.
fn run(params: &Params, of: &Run, x: &[f32], rows: &[(usize, usize)]) -> Vec<Vec<f32>> {
    let device = params.device();
    if !params.names().is_empty() {
        params.zero_gradients().unwrap();
    }
    let tape = Tape::new(params);
    let b = rows.len();
    let input = tape.input(tensor(x, [b, T, 3], &device));
    let lengths: Vec<_> = rows.iter().map(|row| row.1).collect();
    let steps = Lengths::new(&lengths, &device).unwrap();
    let found = of(&tape, &input.clone().with_lengths(Some(steps)));
    let mut seeds = Vec::new();
    for (number, var) in found.iter().enumerate() {
        let each = var.tensor().len() / b;
        let d = rows.iter().flat_map(|(row, _)| numbers(each, (number + row) as f32));
        let d: Vec<_> = d.collect();
        seeds.push((var, tensor(&d, var.shape(), &device)));
    }
    let gradients = tape.backward_from(&seeds).unwrap();
    let mut all: Vec<_> = found.iter().map(value).collect();
    all.push(gradient(&gradients, &input));
    all.extend(params.names().iter().map(|name| params.gradient(name).unwrap()));
    all
}

/// Each row beside rows without a step is as it is alone, and these are 0, with no gradient, whatever stands in
/// them: in all places, and where all rows are such.
#[test]
fn a_row_without_a_step_has_no_effect() {
    for device in devices() {
        for lengths in [&[4, 0, 6, 1, 0][..], &[0, 3], &[0, 0, 0]] {
            for (name, build) in cases() {
                let what = format!("{name}, {lengths:?}, on {device}");
                let params = Params::seeded(device, 3);
                let of = build(&params);
                let mut x = numbers(lengths.len() * T * 3, 0.4);
                for (row, x) in x.chunks_mut(T * 3).enumerate() {
                    if lengths[row] == 0 && name != "an Attention" {
                        x.fill(f32::NAN);
                    }
                }
                let rows: Vec<_> = lengths.iter().copied().enumerate().collect();
                let found = run(&params, &of, &x, &rows);
                let outputs = found.len() - params.names().len();
                let mut sums = vec![Vec::new(); found.len()];
                for (row, &length) in lengths.iter().enumerate() {
                    let part = |at: usize| {
                        let each = found[at].len() / lengths.len();
                        &found[at][row * each..][..each]
                    };
                    if length == 0 {
                        for at in 0..outputs {
                            // Behind such a row the layers of each step compute on zeros.
                            let zero = part(at).iter().all(|&v| v == 0.0);
                            let bias = name == "LayerNorm" && at == 0;
                            let queried = name == "an Attention" && at > 0;
                            assert!(zero || bias || queried, "{what}, {at}: {:?}", part(at));
                        }
                        continue;
                    }
                    let alone = run(&params, &of, &x[row * T * 3..][..T * 3], &[(row, length)]);
                    for (at, alone) in alone.iter().enumerate().take(outputs) {
                        close(&format!("{what}, {at}"), part(at), alone, 1e-5);
                    }
                    for at in outputs..found.len() {
                        sums[at].resize(found[at].len(), 0.0);
                        sums[at].iter_mut().zip(&alone[at]).for_each(|(sum, d)| *sum += d);
                    }
                }
                for at in outputs..found.len() {
                    sums[at].resize(found[at].len(), 0.0);
                    if name != "LayerNorm" {
                        close(&format!("{what}, parameter {at}"), &found[at], &sums[at], 1e-4);
                    }
                }
            }
        }
    }
}

#[test]
fn losses_and_tokens_of_rows_without_a_step() {
    for device in devices() {
        let lengths = |lengths: &[usize]| Lengths::new(lengths, device).unwrap();
        let weights = RowWeights::from_lengths(&lengths(&[0, 2]), 2).unwrap();
        assert_eq!(weights.values(), [0.0, 0.0, 1.0, 1.0]);
        let none = RowWeights::from_lengths(&lengths(&[0, 0]), 2);
        assert!(matches!(none, Err(Error::Option { option: "RowWeights::weights", .. })));
        // A number that is no token stands where no step is.
        let params = Params::seeded(device, 1);
        let table = Embedding::new(4, 2).build(&params).unwrap();
        let tokens = Tensor::from_u32(&[9, 9, 3, 1], [2, 2], device).unwrap();
        let tape = Tape::new(&params);
        let x = Var::from(tokens).with_lengths(Some(lengths(&[0, 2])));
        let y = table.forward(&tape, &x).unwrap();
        let y = Pool::new(Pooling::Mean).forward(&tape, &y).unwrap();
        assert_eq!(value(&y)[..2], [0.0; 2], "{device}");
        tape.backward_from(&[(&y, tensor(&[1.0; 4], [2, 2], device))]).unwrap();
        let expected = [0.0, 0.0, 0.5, 0.5, 0.0, 0.0, 0.5, 0.5];
        assert_eq!(params.gradient("embedding.weight").unwrap(), expected, "{device}");
        // Of no frames there is one path, which says nothing.
        let tape = Tape::new(&params);
        let logits = tape.input(tensor(&numbers(2 * 3 * 3, 0.2), [2, 3, 3], device));
        let both = logits.clone().with_lengths(Some(lengths(&[0, 3])));
        let loss = Ctc::new().loss(&tape, &both, &[vec![], vec![1, 2]]).unwrap();
        let d = gradient(&tape.backward(&loss).unwrap(), &logits);
        assert_eq!(d[..9], [0.0; 9], "{device}");
        let tape = Tape::new(&params);
        let one = Var::from(tensor(&numbers(2 * 3 * 3, 0.2)[9..], [1, 3, 3], device));
        let alone = Ctc::new().loss(&tape, &one, &[[1, 2]]).unwrap();
        close("ctc", &value(&loss), &[0.5 * value(&alone)[0]], 1e-5);
        // And none that says a label.
        let few = Ctc::new().loss(&tape, &both, &[vec![1], vec![1, 2]]).unwrap();
        assert_eq!(value(&few), [f32::INFINITY], "{device}");
        let found = Ctc::new().greedy(&Emissions::new(&both).unwrap()).unwrap();
        assert_eq!(found[0].labels(), [0u32; 0], "{device}");
    }
}

/// The checks are those of other lengths.
#[test]
fn a_batch_of_rows_without_a_step_is_checked() {
    for device in devices() {
        let params = Params::new(device);
        let layer = Lstm::new(2).build(&params, 3).unwrap();
        let of = |shape: [usize; 3], rows: usize| {
            let lengths = Lengths::new(&vec![0; rows], device).unwrap();
            let x = Var::from(Tensor::zeros(shape, device).unwrap()).with_lengths(Some(lengths));
            layer.forward(&Tape::new(&params), &x)
        };
        assert_eq!(value(&of([2, 4, 3], 2).unwrap()), [0.0; 4], "{device}");
        assert!(matches!(of([2, 4, 5], 2), Err(Error::Shape { arg: "x", .. })));
        assert!(matches!(of([2, 4, 3], 1), Err(Error::Shape { arg: "lengths", .. })));
    }
}
