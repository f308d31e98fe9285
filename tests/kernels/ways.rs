//! Both directions of a layer in the same dispatches: with the bits that each has alone, whatever the
//! schedule, the cell and the rows; and in as many dispatches as one direction.

use super::oracle::{Random, widen};
#[cfg(feature = "gpu")]
use super::step_matrices::ROWS_16;
use super::{assert_same_bits, close, devices, forced, gpu, tensor};
use crate::device::overrides::Forced;
use crate::nn::{Lstm, Merge, Params};
use crate::ops::common::threefry::Key;
use crate::ops::elementwise::half::half as to_half;
use crate::ops::lstm::cell::{Cell, Noise};
#[cfg(feature = "gpu")]
use crate::ops::lstm::gpu::schedule::matrices::TILES;
use crate::ops::lstm::{self, Backward, CellConfig, Columns, Forward, Output, OutputGrads};
use crate::ops::lstm::{GradRequest, Weights};
use crate::{Device, GpuOptions, Lengths, Mask, Strategy, Tape, Tensor};

/// Which frames of a case are run.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Rows {
    All,
    Lengths,
    /// Those of a mask, packed, as are the outputs. One row has none.
    Mask,
}

/// Two directions over one input.
#[derive(Clone, Copy, Debug)]
struct Both {
    sizes: [usize; 4],
    rows: Rows,
    /// Whether first states go in, and gradients of the last states.
    with_state: bool,
    /// Whether the gradients of the first states are wanted.
    d_state: bool,
    /// Whether the weights of both lie in one buffer, as parameters do.
    one_buffer: bool,
    /// Whether the weights have 16 bits.
    half: bool,
    how: CellConfig,
}

impl Both {
    fn new(sizes: [usize; 4], rows: Rows, strategy: Strategy) -> Self {
        let how = CellConfig { strategy, ..CellConfig::default() };
        let (with_state, d_state) = (true, true);
        Self { sizes, rows, with_state, d_state, one_buffer: true, half: false, how }
    }

    /// Tensors of these sizes for each way, their values from `seed`.
    fn tensors(
        &self,
        device: &Device,
        seed: u64,
        half: bool,
        shapes: &[Vec<usize>],
    ) -> [Vec<Tensor>; 2] {
        let len = |shape: &Vec<usize>| shape.iter().product::<usize>();
        let mut random = Random::new(seed);
        // Parameters begin where a kernel can bind them.
        let places: Vec<_> = shapes.iter().map(|shape| len(shape).next_multiple_of(128)).collect();
        let words: usize = places.iter().sum();
        let values = random.uniform(2 * words, -0.4, 0.4);
        let rounded = |tensor: Tensor| if half { to_half(&tensor).unwrap() } else { tensor };
        let all = rounded(tensor(&values, [2 * words], device));
        [0, 1].map(|way| {
            let mut offset = way * words;
            let one = |(shape, place): (&Vec<usize>, &usize)| {
                let begin = offset;
                offset += place;
                match self.one_buffer {
                    true => all.view(if half { begin / 2 } else { begin }, shape.clone()),
                    false => rounded(tensor(&values[begin..][..len(shape)], shape.clone(), device)),
                }
            };
            shapes.iter().zip(&places).map(one).collect()
        })
    }

    fn weights(&self, device: &Device, seed: u64, half: bool) -> [Weights; 2] {
        let [_, _, i, h] = self.sizes;
        let shapes = [vec![i, h, 4], vec![h, h, 4], vec![h, 4], vec![h, 4]];
        let mut plain = self.tensors(device, seed, false, &shapes).into_iter();
        let products = self.tensors(device, seed, half, &shapes);
        products.map(|all| {
            let [weight_ih, weight_hh, _, _] = all.try_into().unwrap();
            let [_, _, bias, peepholes] = plain.next().unwrap().try_into().unwrap();
            let peepholes = self.how.cell.peepholes.then_some(peepholes);
            Weights { weight_ih, weight_hh, bias: Some(bias), peepholes }
        })
    }

    /// All that both passes give, by name; the gradient of x of each call's part.
    fn run(&self, device: &Device, together: bool) -> Vec<(&'static str, Tensor)> {
        let [b, t, i, h] = self.sizes;
        let mut random = Random::new(5);
        let mut values = |shape: &[usize]| {
            tensor(&random.uniform(shape.iter().product(), -1.0, 1.0), shape, device)
        };
        let mask: Vec<_> = (0..b * t).map(|frame| frame % 3 != 1 && frame / t != 1).collect();
        let mask = Mask::new(&mask, [b, t], device).unwrap();
        let packed = mask.packing().unwrap().lengths.clone();
        let frames = |features: usize| match self.rows {
            Rows::Mask => vec![packed.frames(), features],
            _ => vec![b, t, features],
        };
        let x = values(&frames(i));
        let states = [0, 1].map(|_| [values(&[b, h]), values(&[b, h])]);
        let d_ends = [0, 1].map(|_| [values(&[b, h]), values(&[b, h])]);
        let d_y = values(&frames(2 * h));
        let y = Tensor::zeros(frames(2 * h), device).unwrap();
        let lengths: Vec<_> = (0..b).map(|row| (3 * row + t) % (t + 1)).collect();
        let lengths = Lengths::new(&lengths, device).unwrap();
        let lengths = match self.rows {
            Rows::All => None,
            Rows::Lengths => Some(lengths),
            Rows::Mask => Some(packed.clone()),
        };
        let weights = self.weights(device, 1, self.half);
        let gradients = self.weights(device, 2, false);
        let calls = [0, 1].map(|way| Forward {
            x: &x,
            weights: &weights[way],
            lengths: lengths.as_ref(),
            state: self.with_state.then_some((&states[way][0], &states[way][1])),
            y: Some(Columns { tensor: &y, first: way * h }),
            save: true,
            config: CellConfig {
                reverse: way == 1,
                noise: Noise { training: true, key: Key([7 + way as u32, 3 - way as u32]) },
                ..self.how
            },
        });
        let outputs: Vec<_> = match together {
            true => lstm::forward(&calls).unwrap(),
            false => calls.chunks(1).flat_map(|call| lstm::forward(call).unwrap()).collect(),
        };
        let mut found = vec![("y", y.clone())];
        let mut passes = Vec::new();
        for (way, Output { h_n, c_n, saved }) in outputs.into_iter().enumerate() {
            found.extend([("h_n", h_n), ("c_n", c_n)]);
            let arriving = OutputGrads {
                d_y: Some(Columns { tensor: &d_y, first: way * h }),
                d_h_n: self.with_state.then_some(&d_ends[way][0]),
                d_c_n: self.with_state.then_some(&d_ends[way][1]),
            };
            passes.push(Backward { saved: saved.unwrap(), arriving, gradients: &gradients[way] });
        }
        let wanted = GradRequest { d_x: true, d_state: self.d_state };
        let leaving: Vec<_> = match together {
            true => lstm::backward(passes, wanted).unwrap(),
            false => passes
                .into_iter()
                .flat_map(|pass| lstm::backward(vec![pass], wanted).unwrap())
                .collect(),
        };
        let mut d_x: Option<Tensor> = None;
        for leaving in leaving {
            d_x = match (d_x, leaving.d_x) {
                (Some(a), Some(b)) => Some(crate::ops::elementwise::add::add(&a, &b).unwrap()),
                (a, b) => a.or(b),
            };
            if let Some((d_h, d_c)) = leaving.d_state {
                found.extend([("d_h_0", d_h), ("d_c_0", d_c)]);
            }
        }
        found.push(("d_x", d_x.unwrap()));
        for Weights { weight_ih, weight_hh, bias, peepholes } in gradients {
            found.extend([("d_weight_ih", weight_ih), ("d_weight_hh", weight_hh)]);
            found.extend(bias.map(|b| ("d_bias", b)));
            found.extend(peepholes.map(|p| ("d_peepholes", p)));
        }
        found
    }

    fn check(&self, what: &str, device: &Device) {
        let (together, alone) = (self.run(device, true), self.run(device, false));
        assert_eq!(together.len(), alone.len());
        for ((name, together), (_, alone)) in together.iter().zip(&alone) {
            let [a, b] = [together, alone].map(|t| t.to_vec().unwrap());
            assert_same_bits(format!("{name} of {what}, {self:?}"), &a, &b);
        }
    }
}

#[test]
fn both_directions_have_the_bits_of_each_alone() {
    for (name, device) in devices() {
        for strategy in [Strategy::Sequence, Strategy::Stepwise] {
            for (rows, with_state, d_state) in
                [(Rows::All, false, false), (Rows::Lengths, true, true), (Rows::Mask, true, true)]
            {
                // So many rows that a software adapter takes as many at a time for one as for both.
                let both = Both::new([33, 4, 3, 21], rows, strategy);
                Both { with_state, d_state, ..both }.check(name, device);
            }
        }
    }
}

#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn both_directions_of_every_cell() {
    let cell = Cell {
        peepholes: true,
        recurrent_dropout: 0.3,
        zoneout: [0.2, 0.1],
        clip: Some(3.0),
        ..Cell::default()
    };
    let device = gpu(GpuOptions::default().poison().threads(2));
    let plain = Cell::default();
    for strategy in [Strategy::Sequence, Strategy::Stepwise] {
        for (cell, rows, recompute, one_buffer, with_state, d_state) in [
            (cell, Rows::All, false, true, false, false),
            (cell, Rows::Lengths, true, false, true, true),
            (cell, Rows::Mask, false, false, true, false),
            (plain, Rows::Mask, true, true, false, true),
            (plain, Rows::All, true, false, true, true),
        ] {
            let both = Both::new([3, 5, 2, 7], rows, strategy);
            let how = CellConfig { cell, recompute, ..both.how };
            Both { how, one_buffer, with_state, d_state, ..both }.check("one device", &device);
        }
    }
}

#[cfg(feature = "gpu")]
#[test]
fn both_directions_in_mixed_precision() {
    let device = gpu(GpuOptions::default().poison().threads(2));
    if super::lacks_f16(&device) {
        return;
    }
    let by_units = Some((&ROWS_16, TILES[0].tiles));
    for (strategy, rows, one_buffer, recompute, matrices) in [
        (Strategy::Sequence, Rows::All, true, false, None),
        (Strategy::Stepwise, Rows::All, false, true, None),
        (Strategy::Persistent, Rows::All, true, false, None),
        (Strategy::Stepwise, Rows::All, true, false, by_units),
        (Strategy::Stepwise, Rows::Mask, false, true, by_units),
    ] {
        let patience = Forced { workgroups: Some(2), polls: Some(1 << 20), ..Forced::default() };
        forced(&device, Forced { matrices, ..patience });
        let mut both = Both::new([3, 5, 2, 7], rows, strategy);
        both.how.recompute = recompute;
        (both.half, both.one_buffer) = (true, one_buffer);
        both.check("16 bits", &device);
    }
}

/// Also when workgroups give up at some step.
#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn both_directions_by_teams() {
    let device = gpu(GpuOptions::default().poison().threads(2));
    let patience = Forced { workgroups: Some(2), polls: Some(1 << 20), ..Forced::default() };
    for rows in [Rows::All, Rows::Lengths, Rows::Mask] {
        let both = Both::new([17, 4, 3, 9], rows, Strategy::Persistent);
        for fault in [0, 2, 6] {
            let gpu = forced(&device, Forced { fault, ..patience });
            both.check(&format!("teams, fault {fault}"), &device);
            assert!(fault == 0 || gpu.coresident.timed_out());
        }
    }
}

/// Chunks of whole rows hold both directions; where one row is cut, each direction goes alone.
#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn both_directions_in_chunks() {
    let sizes @ [_, _, _, h] = [5, 6, 2, 16];
    for (frames, whole_rows) in [(28, true), (9, false)] {
        let device = gpu(GpuOptions::default().poison().profile().chunk_words(frames * 4 * h));
        let whole = gpu(GpuOptions::default().poison());
        for rows in [Rows::All, Rows::Lengths, Rows::Mask] {
            let both = Both::new(sizes, rows, Strategy::Sequence);
            let found = both.run(&device, true);
            let profile = device.profile().unwrap();
            let kernel =
                profile.kernels.iter().find(|k| k.kernel.starts_with("lstm_sequence")).unwrap();
            if whole_rows && rows == Rows::All {
                // Two rows of both at a time.
                assert_eq!(kernel.calls, 3);
            }
            for ((name, found), (_, expected)) in found.iter().zip(both.run(&whole, true)) {
                let expected = widen(&expected.to_vec().unwrap());
                close(&format!("{name}, chunks of {frames}, {rows:?}"), found, &expected, 1e-5);
            }
        }
    }
}

/// The recurrence of both is one dispatch, or one for each step, and needs no copies.
#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn both_directions_share_dispatches() {
    let device = gpu(GpuOptions::default().profile());
    let params = Params::new(&device);
    let calls = |strategy, bidirectional: bool| {
        let mut lstm = Lstm::new(16).return_sequences().strategy(strategy);
        if bidirectional {
            lstm = lstm.bidirectional(Merge::Concat);
        }
        let lstm = lstm.build(&params, 4).unwrap();
        let tape = Tape::new(&params);
        let x = tape.input(Tensor::zeros([5, 6, 4], &device).unwrap());
        device.profile().unwrap();
        let y = lstm.forward(&tape, &x).unwrap();
        let d_y = Tensor::zeros(y.shape(), &device).unwrap();
        tape.backward_from(&[(&y, d_y)]).unwrap();
        let profile = device.profile().unwrap();
        let recurrence = profile.kernels.iter().filter(|k| k.kernel.starts_with("lstm_"));
        let all: u64 = profile.kernels.iter().map(|k| k.calls).sum();
        (recurrence.map(|k| k.calls).sum::<u64>(), all)
    };
    for (strategy, recurrence) in [(Strategy::Sequence, 2), (Strategy::Stepwise, 12)] {
        let (one, all_of_one) = calls(strategy, false);
        let (both, all_of_both) = calls(strategy, true);
        assert_eq!((one, both), (recurrence, recurrence), "{strategy:?}");
        // A product and R's transpose, three products and a sum for the weights, one for x.
        assert_eq!(all_of_both, all_of_one + 6, "{strategy:?}");
    }
}
