//! Gradients by what is no parameter: by inputs, and by the states after each timestep.

use crate::common::{close, devices};
use crate::{gradients, numbers, weights};
use wgpu_lstm::data::{Sequences, Targets};
use wgpu_lstm::nn::{Activation, Dense, Dropout, Embedding, Lstm, Params, Regularizer, Rnn};
use wgpu_lstm::train::{Adam, Fit, GradientFlow, Loss, Sgd};
use wgpu_lstm::{Error, Sequential, Tape, Tensor, loss};

fn compiled(mut model: Sequential, features: usize) -> Sequential {
    model.compile(Sgd::new(0.1), Loss::MeanSquaredError, &[]);
    model.build(features).unwrap();
    model
}

/// A recurrent layer and a dense one in double precision, by their formulas.
struct Reference {
    weights: [Vec<f64>; 5],
    units: usize,
    lstm: bool,
    outputs: usize,
}

impl Reference {
    fn new(params: &Params, layer: &str, units: usize, outputs: usize) -> Self {
        let of = |name: String| params.get(&name).unwrap().into_iter().map(f64::from).collect();
        let [ih, hh, bias] =
            ["weight_ih_l0", "weight_hh_l0", "bias_l0"].map(|n| format!("{layer}.{n}"));
        let weights = [ih, hh, bias, "dense.weight".into(), "dense.bias".into()].map(of);
        Self { weights, units, lstm: layer == "lstm", outputs }
    }

    fn affine(weight: &[f64], x: &[f64], row: usize) -> f64 {
        weight[row * x.len()..][..x.len()].iter().zip(x).map(|(w, x)| w * x).sum()
    }

    fn step(&self, x: &[f64], (h, c): (&[f64], &[f64])) -> (Vec<f64>, Vec<f64>) {
        let [ih, hh, bias, ..] = &self.weights;
        let a = |row| Self::affine(ih, x, row) + Self::affine(hh, h, row) + bias[row];
        let sigmoid = |v: f64| 1.0 / (1.0 + (-v).exp());
        let n = self.units;
        let unit = |k: usize| match self.lstm {
            true => {
                let [i, f, g, o] = [0, 1, 2, 3].map(|gate| a(gate * n + k));
                let c = sigmoid(f) * c[k] + sigmoid(i) * g.tanh();
                (sigmoid(o) * c.tanh(), c)
            }
            false => (a(k).tanh(), 0.0),
        };
        (0..n).map(unit).unzip()
    }

    fn error(&self, h: &[f64], y: &[f64]) -> f64 {
        let [.., weight, bias] = &self.weights;
        let output = |j| Self::affine(weight, h, j) + bias[j];
        (0..self.outputs).map(|j| (output(j) - y[j]).powi(2)).sum()
    }

    /// What the steps from `t` on add to the loss, given the state after `t`: each by a target of its own, or the
    /// last alone.
    fn rest(&self, x: &[&[f64]], y: &[&[f64]], t: usize, state: (Vec<f64>, Vec<f64>)) -> f64 {
        let (mut state, mut sum) = (state, 0.0);
        for (at, frame) in x.iter().enumerate().skip(t) {
            if at > t {
                state = self.step(frame, (&state.0, &state.1));
            }
            if y.len() == x.len() {
                sum += self.error(&state.0, y[at]);
            } else if at + 1 == x.len() {
                sum += self.error(&state.0, y[0]);
            }
        }
        sum
    }

    /// The norms of the gradients by h and c after each timestep, by central differences.
    fn flow(&self, x: &Sequences, y: &[f32], per_frame: bool) -> [Vec<f64>; 2] {
        let timesteps = x.frames(0);
        let doubles = |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
        let mut squares = [vec![0.0; timesteps], vec![0.0; timesteps]];
        let targets = if per_frame { timesteps } else { 1 };
        for row in 0..x.len() {
            let (values, own) = (doubles(x.get(row)), doubles(y));
            let frames: Vec<_> = values.chunks(x.features()).collect();
            let own: Vec<_> = own.chunks(self.outputs).skip(row * targets).take(targets).collect();
            let mut state = (vec![0.0; self.units], vec![0.0; self.units]);
            for t in 0..timesteps {
                state = self.step(frames[t], (&state.0, &state.1));
                for (which, squares) in squares.iter_mut().enumerate() {
                    for k in 0..self.units {
                        let at = |shift: f64| {
                            let mut state = state.clone();
                            [&mut state.0, &mut state.1][which][k] += shift;
                            self.rest(&frames, &own, t, state)
                        };
                        squares[t] += ((at(1e-5) - at(-1e-5)) / 2e-5).powi(2);
                    }
                }
            }
        }
        let count = y.len() as f64;
        squares.map(|all| all.into_iter().map(|square| square.sqrt() / count).collect())
    }
}

fn assert_flow(what: &str, found: &GradientFlow, expected: &[Vec<f64>; 2]) {
    for (name, found, expected) in [("h", &found.h, &expected[0]), ("c", &found.c, &expected[1])] {
        if name == "c" && found.is_empty() {
            continue;
        }
        let expected: Vec<_> = expected.iter().map(|&v| v as f32).collect();
        close(&format!("{what}, {name}"), found, &expected, 2e-5);
    }
}

/// Both layers, with a loss of the last timestep and one of each, against differences in double precision.
#[test]
fn gradients_of_states_are_differences_of_the_loss() {
    let (rows, timesteps, features, units) = (3, 7, 2, 5);
    let x = numbers(rows * timesteps * features, 0.3);
    let x = Sequences::from_array(&x, [rows, timesteps, features]).unwrap();
    for device in devices() {
        for (lstm, sequences) in [(true, false), (true, true), (false, false), (false, true)] {
            let model = Sequential::new(device).seed(3);
            let model = match (lstm, sequences) {
                (true, false) => model.add(Lstm::new(units)),
                (true, true) => model.add(Lstm::new(units).return_sequences()),
                (false, false) => model.add(Rnn::new(units)),
                (false, true) => model.add(Rnn::new(units).return_sequences()),
            };
            let model = compiled(model.add(Dense::new(2)), features);
            let y = numbers(2 * rows * if sequences { timesteps } else { 1 }, 7.0);
            let name = if lstm { "lstm" } else { "rnn" };
            let found = model.gradient_flow(&x, &Targets::values(y.clone(), 2)).unwrap();
            assert_eq!((found.len(), found[0].layer.as_str()), (1, name));
            assert_eq!(found[0].c.len(), if lstm { timesteps } else { 0 });
            let expected = Reference::new(model.params(), name, units, 2).flow(&x, &y, sequences);
            assert!(expected[0].iter().all(|&norm| norm > 1e-3), "{expected:?}");
            assert_flow(&format!("{name} {sequences} on {device}"), &found[0], &expected);
        }
    }
}

/// A stack in one layer is the same layers one by one; penalties, dropout and a limit of 16 bits in no one's way.
#[test]
fn a_stack_is_its_layers() {
    let x = Sequences::from_array(&numbers(2 * 6 * 3, 0.3), [2, 6, 3]).unwrap();
    let y = Targets::values(numbers(2, 7.0), 1);
    for device in devices() {
        let model = || Sequential::new(device).seed(3);
        let one =
            compiled(model().add(Lstm::new(4).num_layers(2).dropout(0.5)).add(Dense::new(1)), 3);
        let lower = Lstm::new(4).return_sequences();
        let two = compiled(
            model().add(lower).add(Dropout::new(0.5)).add(Lstm::new(4)).add(Dense::new(1)),
            3,
        );
        for (number, name) in
            ["weight_ih_l", "weight_hh_l", "bias_l"].iter().flat_map(|n| [(0, n), (1, n)])
        {
            let to = if number == 0 { format!("lstm.{name}0") } else { format!("lstm_1.{name}0") };
            two.params()
                .set(&to, &one.params().get(&format!("lstm.{name}{number}")).unwrap())
                .unwrap();
        }
        for name in ["dense.weight", "dense.bias"] {
            two.params().set(name, &one.params().get(name).unwrap()).unwrap();
        }
        let (one, two) = (one.gradient_flow(&x, &y).unwrap(), two.gradient_flow(&x, &y).unwrap());
        let names =
            |flow: &[GradientFlow]| flow.iter().map(|f| f.layer.clone()).collect::<Vec<_>>();
        assert_eq!(
            (names(&one), names(&two)),
            (vec!["lstm_l0".into(), "lstm_l1".into()], vec!["lstm".to_owned(), "lstm_1".into()])
        );
        for (one, two) in one.iter().zip(&two) {
            close(&format!("h on {device}"), &one.h, &two.h, 1e-6);
            close(&format!("c on {device}"), &one.c, &two.c, 1e-6);
        }
    }
}

/// The loss is of the layer's own outputs, and its inputs are vectors of tokens.
#[test]
fn a_flow_begins_and_ends_at_the_layer() {
    let x = Sequences::from_tokens([vec![4, 2, 7], vec![1, 5, 5]]).unwrap();
    let y = numbers(2 * 6, 2.0);
    for device in devices() {
        let model = Sequential::new(device).seed(2).add(Embedding::new(8, 3)).add(Lstm::new(6));
        let model = compiled(model, 1);
        let flow = &model.gradient_flow(&x, &Targets::values(y.clone(), 6)).unwrap()[0];
        let found = model.predict(&x).unwrap();
        let squares = found.values().iter().zip(&y).map(|(a, b)| (2.0 * (a - b) / 12.0).powi(2));
        close(&format!("{device}"), &flow.h[2..], &[squares.sum::<f32>().sqrt()], 1e-5);
        assert_eq!((flow.h.len(), flow.c[2]), (3, 0.0));
        assert!(flow.h[0] > 0.0 && flow.c[0] > 0.0);
    }
}

#[test]
fn what_has_no_gradient_flow_says_so() {
    let device = &devices()[0];
    let x = Sequences::from_array(&numbers(2 * 6 * 3, 0.3), [2, 6, 3]).unwrap();
    let y = Targets::values(numbers(2, 7.0), 1);
    let flow = |model: Sequential| model.gradient_flow(&x, &y).unwrap_err();
    let new = || Sequential::new(device);
    let back = compiled(new().add(Lstm::new(4).go_backwards()).add(Dense::new(1)), 3);
    assert!(flow(back).to_string().contains("go_backwards"));
    let without = compiled(
        new().add(wgpu_lstm::nn::Pool::new(wgpu_lstm::nn::Pooling::Last)).add(Dense::new(1)),
        3,
    );
    assert!(flow(without).to_string().contains("a model without Lstm and Rnn"));
    assert!(matches!(flow(new().add(Lstm::new(4))), Error::NotBuilt { call: "compile", .. }));
    let model = compiled(new().add(Lstm::new(4)).add(Dense::new(1)), 3);
    let ragged = Sequences::new(3, [numbers(6, 0.0), numbers(9, 0.0)]).unwrap();
    let error = model.gradient_flow(&ragged, &y).unwrap_err();
    assert!(error.to_string().contains("different lengths"), "{error}");
}

/// Differences of what `output` gives as one value of `x` moves.
fn differences(x: &Sequences, row: usize, output: impl Fn(&Sequences) -> f32) -> Vec<f32> {
    let moved = |at: usize, shift: f32| {
        let rows = (0..x.len()).map(|number| {
            let mut values = x.get(number).to_vec();
            if number == row {
                values[at] += shift;
            }
            values
        });
        output(&Sequences::new(x.features(), rows).unwrap())
    };
    let step = 0.02;
    // Of the fourth order, so that the step may be large beside the roundings.
    let one = |at: usize| {
        let [a, b] = [step, 2.0 * step].map(|s| moved(at, s) - moved(at, -s));
        (8.0 * a - b) / (12.0 * step)
    };
    (0..x.get(row).len()).map(one).collect()
}

/// Sequences of different lengths, one output and one for each timestep, in both directions.
#[test]
fn saliency_is_differences_of_the_output() {
    let rows = [numbers(12, 0.1), numbers(6, 0.2), numbers(15, 0.3)];
    let x = Sequences::new(3, rows).unwrap();
    for device in devices() {
        let stack = Lstm::new(4).bidirectional(wgpu_lstm::nn::Merge::Concat);
        for (layer, last) in
            [(Lstm::new(6), false), (stack, false), (Lstm::new(5).return_sequences(), true)]
        {
            let model = compiled(Sequential::new(device).seed(2).add(layer).add(Dense::new(3)), 3);
            let found = model.saliency(&x, Some(1)).unwrap();
            assert_eq!(found.len(), 3);
            for (row, found) in found.iter().enumerate() {
                let output = |x: &Sequences| {
                    let before: usize = (0..=row).map(|r| x.frames(r)).sum();
                    model.predict(x).unwrap().row(if last { before - 1 } else { row })[1]
                };
                close(
                    &format!("{row} on {device}"),
                    &found.gradient,
                    &differences(&x, row, output),
                    2e-3,
                );
                assert!((found.value - output(&x)).abs() < 1e-6);
                assert_eq!((found.output, found.features, &found.input[..]), (1, 3, x.get(row)));
                let norm = found.gradient[..3].iter().map(|v| v * v).sum::<f32>().sqrt();
                assert!((found.norms()[0] / norm - 1.0).abs() < 1e-6);
                assert_eq!(found.norms().len(), x.frames(row));
                assert_eq!(found.times_input()[2], found.gradient[2] * x.get(row)[2]);
            }
        }
    }
}

/// Of tokens, by the vectors of an embedding.
#[test]
fn saliency_of_tokens_is_by_their_vectors() {
    let x = Sequences::from_tokens([vec![4, 2, 7], vec![1, 5]]).unwrap();
    for device in devices() {
        let vectors = numbers(8 * 3, 0.5);
        let words = Embedding::new(8, 3).vectors(vectors.clone());
        let model = Sequential::new(device).seed(2).add(words).add(Lstm::new(6)).add(Dense::new(2));
        let model = compiled(model, 1);
        let found = model.saliency(&x, Some(0)).unwrap();
        for (row, tokens) in [[4, 2, 7].as_slice(), &[1, 5]].iter().enumerate() {
            let own = |token: usize| vectors[3 * token..][..3].to_vec();
            let input: Vec<f32> = tokens.iter().flat_map(|&token| own(token)).collect();
            assert_eq!(
                (&found[row].input, found[row].features, found[row].tokens),
                (&input, 3, true)
            );
            let moved = Sequences::new(3, [input]).unwrap();
            // No token comes twice, so that a change of the table is one of the input.
            let output = |moved: &Sequences| {
                let mut all = vectors.clone();
                for (place, token) in tokens.iter().enumerate() {
                    all[3 * token..][..3].copy_from_slice(&moved.get(0)[3 * place..][..3]);
                }
                model.params().set("embedding.weight", &all).unwrap();
                model.predict(&x).unwrap().row(row)[0]
            };
            close(
                &format!("{row} on {device}"),
                &found[row].gradient,
                &differences(&moved, 0, output),
                2e-3,
            );
            output(&moved);
        }
    }
}

/// The logit's gradient does not fade where the model is sure, and is that of the class it predicts.
#[test]
fn saliency_is_that_of_the_logit_of_the_predicted_class() {
    let x = Sequences::from_array(&numbers(5 * 4 * 2, 0.4), [5, 4, 2]).unwrap();
    for device in devices() {
        let model = |activation| {
            let head = Dense::new(3).activation(activation);
            compiled(Sequential::new(device).seed(2).add(Lstm::new(6)).add(head), 2)
        };
        let (softmax, linear) = (model(Activation::Softmax), model(Activation::Linear));
        let found = softmax.saliency(&x, None).unwrap();
        let classes: Vec<_> = found.iter().map(|one| one.output).collect();
        assert_eq!(classes, softmax.predict(&x).unwrap().classes());
        for (row, one) in found.iter().enumerate() {
            assert_eq!(*one, linear.saliency(&x, Some(one.output)).unwrap()[row]);
        }
        let error = linear.saliency(&x, Some(3)).unwrap_err();
        assert!(matches!(error, Error::Option { option: "Sequential::saliency", .. }), "{error}");
    }
}

/// A look leaves no trace: gradients that wait, the numbers of dropout, states.
#[test]
fn a_look_changes_nothing() {
    let x = Sequences::from_array(&numbers(4 * 5 * 2, 0.4), [4, 5, 2]).unwrap();
    let y = Targets::values(numbers(4, 2.0), 1);
    for device in devices() {
        let train = |looks: bool| {
            let lstm = Lstm::new(6).stateful().input_dropout(0.3).recurrent_dropout(0.3);
            let head = Dense::new(1).kernel_regularizer(Regularizer::l2(0.1));
            let mut model =
                Sequential::new(device).seed(2).add(lstm).add(Dropout::new(0.4)).add(head);
            model.compile(Adam::default(), Loss::MeanSquaredError, &[]);
            model.fit(&x, &y, Fit::new().epochs(1).quiet()).unwrap();
            if looks {
                let first = model.saliency(&x, None).unwrap();
                let flow = model.gradient_flow(&x, &y).unwrap();
                assert_eq!(model.saliency(&x, None).unwrap(), first, "no dropout on {device}");
                assert_eq!(model.gradient_flow(&x, &y).unwrap(), flow, "no dropout on {device}");
            }
            model.fit(&x, &y, Fit::new().epochs(1).quiet()).unwrap();
            (model.predict(&x).unwrap().values().to_vec(), weights(model.params()))
        };
        assert_eq!(train(true), train(false), "{device}");

        let model = compiled(Sequential::new(device).add(Lstm::new(3)).add(Dense::new(1)), 2);
        let tape = Tape::new(model.params());
        let batch = Tensor::from_slice(x.get(0), [1, 5, 2], device).unwrap();
        let output = model.forward(&tape, &batch.into()).unwrap();
        let target = Tensor::zeros([1, 1], device).unwrap();
        let loss = loss::mean_squared_error(&tape, &output, &target, None).unwrap();
        tape.backward(&loss).unwrap();
        let before = gradients(model.params());
        assert!(before.iter().any(|(_, values)| values.iter().any(|&v| v != 0.0)));
        model.saliency(&x, None).unwrap();
        model.gradient_flow(&x, &y).unwrap();
        assert_eq!(gradients(model.params()), before, "{device}");
    }
}

/// Of values that ops computed, of which one is used twice.
#[test]
fn gradients_are_kept_of_what_is_retained() {
    for device in devices() {
        let params = Params::new(device);
        let dense = Dense::new(1).build(&params, 1).unwrap();
        params.set("dense.weight", &[3.0]).unwrap();
        let tape = Tape::new(&params);
        let x = tape.input(Tensor::from_slice(&[1.0], [1, 1], device).unwrap());
        let (a, other) = (dense.forward(&tape, &x).unwrap(), dense.forward(&tape, &x).unwrap());
        let b = dense.forward(&tape, &a).unwrap();
        let sum = wgpu_lstm::nn::add(&tape, &a, &b).unwrap();
        tape.retain(&a);
        tape.retain(&sum);
        let seed = Tensor::from_slice(&[2.0], [1, 1], device).unwrap();
        let gradients = tape.backward_from(&[(&sum, seed)]).unwrap();
        let of = |var| gradients.get(var).map(|gradient| gradient.to_vec().unwrap());
        assert_eq!(
            [of(&sum), of(&a), of(&x)],
            [Some(vec![2.0]), Some(vec![8.0]), Some(vec![24.0])]
        );
        assert_eq!([of(&b), of(&other)], [None, None]);
    }
}
