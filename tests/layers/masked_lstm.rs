//! Recurrent layers behind a mask, against loops over the steps that count.

use super::gradient;
use crate::common::{close, devices, tensor, value};
use wgpu_lstm::nn::{Lstm, LstmState, Merge, Params, Rnn};
use wgpu_lstm::{Device, Lengths, Mask, Tape, Tensor, Var};

/// Numbers without a pattern that rows or units share.
fn numbers(len: usize, seed: f32) -> Vec<f32> {
    (0..len).map(|i| (12.9898 * i as f32 + seed).sin() * 0.9).collect()
}

/// A layer of three features, how many a direction's h and c have, and its directions: whether each goes
/// backwards.
#[derive(Clone)]
struct Case {
    name: &'static str,
    layer: Lstm,
    sizes: [usize; 2],
    directions: &'static [bool],
    layers: usize,
}

fn cases() -> Vec<Case> {
    let case = |name, layer: Lstm, sizes, directions, layers| {
        let layer = layer.return_sequences();
        Case { name, layer, sizes, directions, layers }
    };
    let (one, back, both): (&[bool], &[bool], &[bool]) = (&[false], &[true], &[false, true]);
    let concat = Merge::Concat;
    vec![
        case("plain", Lstm::new(5), [5, 5], one, 1),
        case("backwards", Lstm::new(5).go_backwards(), [5, 5], back, 1),
        case("two layers", Lstm::new(5).num_layers(2).recompute(), [5, 5], one, 2),
        case("both ways", Lstm::new(5).bidirectional(concat).num_layers(2), [5, 5], both, 2),
        case("product of both", Lstm::new(5).bidirectional(Merge::Product), [5, 5], both, 1),
        case("peepholes", Lstm::new(5).peepholes().clip(0.8).num_layers(2), [5, 5], one, 2),
        case("projection", Lstm::new(5).projection(2).num_layers(2), [2, 5], one, 2),
        case("projection, back", Lstm::new(5).projection(2).go_backwards(), [2, 5], back, 1),
        case("normalised", Lstm::new(5).layer_norm().num_layers(2), [5, 5], one, 2),
        case("normalised, back", Lstm::new(5).layer_norm().go_backwards(), [5, 5], back, 1),
        case("normalised, both", Lstm::new(5).layer_norm().bidirectional(concat), [5, 5], both, 1),
    ]
}

/// What a run gives: the outputs, the last states, and the gradients of the input, of the first states and
/// of the parameters.
#[derive(Default, Debug, PartialEq)]
struct Found {
    y: Vec<f32>,
    states: Vec<Vec<f32>>,
    d_x: Vec<f32>,
    d_states: Vec<Vec<f32>>,
    weights: Vec<Vec<f32>>,
}

/// What goes into a run of `[B,T,3]`.
struct Given {
    b: usize,
    t: usize,
    x: Vec<f32>,
    /// h and c of each direction of each layer, and the gradients of the last ones.
    states: Option<Vec<Vec<f32>>>,
    d_states: Vec<Vec<f32>>,
    d_y: Vec<f32>,
}

impl Case {
    fn count(&self) -> usize {
        self.directions.len() * self.layers
    }

    fn run(&self, params: &Params, layer: &Lstm, g: &Given, steps: &dyn Fn(Var) -> Var) -> Found {
        let device = params.device();
        params.zero_gradients().unwrap();
        let tape = Tape::new(params);
        let input = tape.input(tensor(&g.x, [g.b, g.t, 3], &device));
        let states: Vec<_> = (0..g.states.as_ref().map_or(0, |_| self.count()))
            .map(|n| {
                let part = |which: usize| {
                    let words = &g.states.as_ref().unwrap()[2 * n + which];
                    tape.input(tensor(words, [g.b, self.sizes[which]], &device))
                };
                LstmState::new(part(0), part(1))
            })
            .collect();
        let given = g.states.is_some().then_some(&states[..]);
        let out = layer.run(&tape, &steps(input.clone()), given).unwrap();
        let mut seeds = vec![(&out.output, tensor(&g.d_y, out.output.shape(), &device))];
        let ends: Vec<_> = out.state.iter().flat_map(|s| [&s.h, &s.c]).collect();
        for (end, d) in ends.iter().zip(&g.d_states) {
            seeds.push((end, tensor(d, end.shape(), &device)));
        }
        let gradients = tape.backward_from(&seeds).unwrap();
        Found {
            y: value(&out.output),
            states: ends.iter().map(|end| value(end)).collect(),
            d_x: gradient(&gradients, &input),
            d_states: states
                .iter()
                .flat_map(|s| [&s.h, &s.c])
                .map(|s| gradient(&gradients, s))
                .collect(),
            weights: params.names().iter().map(|n| params.gradient(n).unwrap()).collect(),
        }
    }

    /// Row by row, over the steps that count, without a mask.
    fn by_rows(&self, params: &Params, layer: &Lstm, g: &Given, mask: &[bool]) -> Found {
        let width = g.d_y.len() / g.b / g.t;
        let mut all = Found {
            y: vec![0.0; g.d_y.len()],
            states: g.d_states.iter().map(|d| vec![0.0; d.len()]).collect(),
            d_x: vec![0.0; g.x.len()],
            d_states: g.states.iter().flatten().map(|s| vec![0.0; s.len()]).collect(),
            weights: params
                .names()
                .iter()
                .map(|n| vec![0.0; params.get(n).unwrap().len()])
                .collect(),
        };
        let both = self.directions.len() == 2;
        for row in 0..g.b {
            let steps: Vec<_> = (0..g.t).filter(|step| mask[row * g.t + step]).collect();
            let part = |words: &[f32], which: usize| {
                words[row * self.sizes[which % 2]..][..self.sizes[which % 2]].to_vec()
            };
            let parts = |all: &[Vec<f32>]| -> Vec<_> {
                all.iter().enumerate().map(|(which, words)| part(words, which)).collect()
            };
            // For each step that one whose output it has: none before the first.
            let mut shown = vec![None; g.t];
            let mut last = None;
            for at in 0..g.t {
                let step = if self.directions == [true] { g.t - 1 - at } else { at };
                let counts = steps.iter().position(|&s| s == step);
                last = counts.or(last);
                shown[step] = if both { counts } else { last };
            }
            let mut d_y = vec![0.0; steps.len() * width];
            for (step, source) in shown.iter().enumerate() {
                let Some(source) = source else { continue };
                let d = &g.d_y[(row * g.t + step) * width..][..width];
                let sum = &mut d_y[source * width..][..width];
                sum.iter_mut().zip(d).for_each(|(sum, d)| *sum += d);
            }
            let given = Given {
                b: 1,
                t: steps.len(),
                x: steps.iter().flat_map(|s| g.x[(row * g.t + s) * 3..][..3].to_vec()).collect(),
                states: g.states.as_deref().map(parts),
                d_states: parts(&g.d_states),
                d_y,
            };
            let found = match steps.is_empty() {
                false => self.run(params, layer, &given, &|x| x),
                true => Found {
                    states: given.states.clone().unwrap_or_else(|| {
                        given.d_states.iter().map(|d| vec![0.0; d.len()]).collect()
                    }),
                    d_states: if g.states.is_some() { given.d_states } else { vec![] },
                    ..Found::default()
                },
            };
            for (step, source) in shown.iter().enumerate() {
                if let Some(source) = source {
                    let y = &mut all.y[(row * g.t + step) * width..][..width];
                    y.copy_from_slice(&found.y[source * width..][..width]);
                }
            }
            for (n, step) in steps.iter().enumerate() {
                all.d_x[(row * g.t + step) * 3..][..3].copy_from_slice(&found.d_x[n * 3..][..3]);
            }
            for (all, found) in
                [(&mut all.states, &found.states), (&mut all.d_states, &found.d_states)]
            {
                for (which, (all, found)) in all.iter_mut().zip(found).enumerate() {
                    let size = self.sizes[which % 2];
                    all[row * size..][..size].copy_from_slice(found);
                }
            }
            for (all, found) in all.weights.iter_mut().zip(&found.weights) {
                all.iter_mut().zip(found).for_each(|(all, found)| *all += found);
            }
        }
        all
    }

    fn width(&self) -> usize {
        let concat = self.directions.len() == 2 && self.name != "product of both";
        self.sizes[0] * if concat { 2 } else { 1 }
    }

    fn given(&self, [b, t]: [usize; 2], with_state: bool, mask: &[bool]) -> Given {
        let states = |seed: f32| -> Vec<_> {
            let count = 2 * self.count();
            (0..count).map(|n| numbers(b * self.sizes[n % 2], seed + n as f32)).collect()
        };
        let mut x = numbers(b * t * 3, 0.4);
        for (frame, _) in x.chunks_mut(3).zip(mask).filter(|(_, on)| !**on) {
            frame.fill(f32::NAN);
        }
        Given {
            b,
            t,
            x,
            states: with_state.then(|| states(1.0)),
            d_states: states(100.0),
            d_y: numbers(b * t * self.width(), 7.0),
        }
    }
}

fn masked(mask: &[bool], [b, t]: [usize; 2], device: &Device) -> impl Fn(Var) -> Var + use<> {
    let mask = Mask::new(mask, [b, t], device).unwrap();
    move |x: Var| x.with_mask(Some(mask.clone()))
}

fn all_close(what: &str, found: &Found, expected: &Found) {
    close(&format!("y of {what}"), &found.y, &expected.y, 1e-5);
    close(&format!("d_x of {what}"), &found.d_x, &expected.d_x, 1e-4);
    for (name, found, expected) in [
        ("states", &found.states, &expected.states),
        ("d_states", &found.d_states, &expected.d_states),
        ("weights", &found.weights, &expected.weights),
    ] {
        assert_eq!(found.len(), expected.len(), "{name} of {what}");
        for (n, (found, expected)) in found.iter().zip(expected).enumerate() {
            close(&format!("{name}[{n}] of {what}"), found, expected, 1e-4);
        }
    }
}

/// Masks by name: gaps at random and a row without any step, one timestep, one long row among short ones,
/// nothing that counts, everything.
fn masks() -> Vec<(&'static str, [usize; 2], Vec<bool>)> {
    let gaps = |frame: usize| (12.9898 * frame as f32).sin() > -0.3 && frame / 7 != 2;
    let long = |frame: usize| frame / 11 == 2 || frame % 11 == 4;
    vec![
        ("gaps", [5, 7], (0..35).map(gaps).collect()),
        ("one step", [3, 1], vec![true, false, true]),
        ("one long row", [4, 11], (0..44).map(long).collect()),
        ("nothing", [2, 3], vec![false; 6]),
        ("everything", [2, 3], vec![true; 6]),
    ]
}

#[test]
fn a_mask_is_a_loop_over_the_steps_that_count() {
    for device in devices() {
        for case in cases() {
            let params = Params::seeded(device, 4);
            let layer = case.layer.clone().build(&params, 3).unwrap();
            for (name, sizes, mask) in masks() {
                for with_state in [false, true] {
                    let what =
                        format!("{}, {name}, with a state {with_state}, on {device}", case.name);
                    let given = case.given(sizes, with_state, &mask);
                    let steps = masked(&mask, sizes, device);
                    let found = case.run(&params, &layer, &given, &steps);
                    let expected = case.by_rows(&params, &layer, &given, &mask);
                    all_close(&what, &found, &expected);
                    for (frame, _) in mask.iter().enumerate().filter(|(_, on)| !**on) {
                        assert_eq!(found.d_x[3 * frame..][..3], [0.0; 3], "{what}");
                    }
                }
            }
        }
    }
}

/// Of a mask whose gaps all lie behind the rows' ends, with every kind of dice: what lengths give, to the last
/// bit, but for the outputs behind the ends.
#[test]
fn a_mask_of_what_lies_before_an_end_is_lengths() {
    let (lengths, [b, t]) = ([3, 6, 1, 2], [4, 6]);
    let mask: Vec<_> = (0..b * t).map(|frame| frame % t < lengths[frame / t]).collect();
    let noisy = Lstm::new(5).recurrent_dropout(0.3).zoneout(0.2, 0.3).return_sequences();
    let noisy = Case {
        name: "with dice",
        layer: noisy.weight_drop(0.2).input_dropout(0.2),
        sizes: [5, 5],
        directions: &[false],
        layers: 1,
    };
    for device in devices() {
        for case in cases().into_iter().chain([noisy.clone()]) {
            let what = format!("{} on {device}", case.name);
            let mut given = case.given([b, t], true, &mask);
            let width = case.width();
            for (frame, d_y) in given.d_y.chunks_mut(width).enumerate() {
                if !mask[frame] {
                    d_y.fill(0.0);
                }
            }
            let run = |steps: &dyn Fn(Var) -> Var| {
                let params = Params::seeded(device, 4);
                let layer = case.layer.clone().build(&params, 3).unwrap();
                let mut found = case.run(&params, &layer, &given, steps);
                for (frame, y) in found.y.chunks_mut(width).enumerate() {
                    if !mask[frame] {
                        y.fill(0.0);
                    }
                }
                found
            };
            let lengths = Lengths::new(&lengths, device).unwrap();
            let by_lengths = run(&|x: Var| x.with_lengths(Some(lengths.clone())));
            let by_mask = run(&masked(&mask, [b, t], device));
            // A product over packed frames may add in another order than one over all.
            match case.sizes[0] == case.sizes[1] {
                true => assert_eq!(by_mask, by_lengths, "{what}"),
                false => all_close(&what, &by_mask, &by_lengths),
            }
            // What gave the dice no part in it is the same without a mask at all.
            if case.name != "with dice" {
                given.x.iter_mut().filter(|x| x.is_nan()).for_each(|x| *x = 0.25);
                let params = Params::seeded(device, 4);
                let layer = case.layer.clone().build(&params, 3).unwrap();
                let without = case.run(&params, &layer, &given, &|x| x);
                let with = case.run(&params, &layer, &given, &masked(&[true; 24], [b, t], device));
                all_close(&what, &with, &without);
            }
        }
    }
}

/// Runs of repeated outputs that are longer than a part of a sum, over more than a thread takes.
#[test]
fn a_mask_has_the_same_bits_on_any_number_of_threads() {
    let (b, t) = (9, 500);
    let mask: Vec<_> = (0..b * t).map(|at| at / t == 3 || at % t % 97 == at / t).collect();
    let case = Case {
        name: "many steps",
        layer: Lstm::new(33).peepholes().return_sequences(),
        sizes: [33, 33],
        directions: &[false],
        layers: 1,
    };
    let given = case.given([b, t], true, &mask);
    let found = [1, 2, 3].map(|threads| {
        let device = Device::cpu_with_threads(threads).unwrap();
        let params = Params::seeded(&device, 4);
        let layer = case.layer.clone().build(&params, 3).unwrap();
        case.run(&params, &layer, &given, &masked(&mask, [b, t], &device))
    });
    assert!(found[0] == found[1] && found[0] == found[2]);
    let device = Device::cpu_with_threads(2).unwrap();
    let params = Params::seeded(&device, 4);
    let layer = case.layer.clone().build(&params, 3).unwrap();
    all_close("many steps", &found[0], &case.by_rows(&params, &layer, &given, &mask));
}

#[test]
fn a_plain_recurrent_layer_behind_a_mask() {
    for device in devices() {
        let params = Params::seeded(device, 4);
        let layer = Rnn::new(4).return_sequences().build(&params, 3).unwrap();
        let h = numbers(8, 2.0);
        let run = |x: &[f32], mask: Option<&[bool]>| {
            let x = Var::from(tensor(x, [2, x.len() / 6, 3], device));
            let mask = mask.map(|mask| Mask::new(mask, [2, mask.len() / 2], device).unwrap());
            let h = Var::from(tensor(&h, [2, 4], device));
            let (y, h) = layer.run(&Tape::new(&params), &x.with_mask(mask), Some(&[h])).unwrap();
            (value(&y), value(&h[0]))
        };
        let x = numbers(18, 0.3);
        let (y, h_n) = run(&x, Some(&[false, true, false, true, false, true]));
        let dense: Vec<_> = [&x[3..6], &x[9..12]].concat();
        let (first, _) = run(&dense, None);
        let what = format!("on {device}");
        assert_eq!(y[..4], [0.0; 4], "{what}");
        close(&what, &y[4..8], &first[..4], 1e-6);
        close(&what, &y[8..12], &first[..4], 1e-6);
        close(&what, &y[12..16], &first[4..], 1e-6);
        close(&what, &y[16..20], &first[4..], 1e-6);
        assert_eq!(y[20..], h_n[4..], "{what}");
        let (y, h_n) = run(&x, Some(&[false; 6]));
        assert_eq!(h_n, h, "{what}");
        assert_eq!(y, [0.0; 24], "{what}");
    }
}

/// A layer that goes on behind a batch of which nothing counts.
#[test]
fn a_stateful_layer_waits_behind_a_mask() {
    for device in devices() {
        let params = Params::seeded(device, 4);
        let layer = Lstm::new(5).num_layers(2).stateful().build(&params, 3).unwrap();
        let x = |seed: f32| Var::from(tensor(&numbers(12, seed), [2, 2, 3], device));
        let run = |x: &Var| value(&layer.forward(&Tape::inference(&params), x).unwrap());
        let first = run(&x(0.1));
        let nothing = Mask::new(&[false; 4], [2, 2], device).unwrap();
        assert_eq!(run(&x(0.5).with_mask(Some(nothing))), first, "{device}");
        let second = run(&x(0.2));
        layer.reset_state();
        run(&x(0.1));
        assert_eq!(run(&x(0.2)), second, "{device}");
        let wrong = Mask::new(&[true; 2], [2, 1], device).unwrap();
        assert!(layer.forward(&Tape::new(&params), &x(0.2).with_mask(Some(wrong))).is_err());
        assert!(Tensor::zeros([2, 2, 4], device).is_ok_and(|x| {
            let mask = Mask::new(&[true; 4], [2, 2], device).unwrap();
            let x = Var::from(x).with_mask(Some(mask));
            layer.forward(&Tape::new(&params), &x).is_err()
        }));
    }
}
