//! Whole models frame by frame, against what they predict for whole sequences.

use crate::common::{devices, tensor};
use wgpu_lstm::data::Sequences;
use wgpu_lstm::nn::{
    Activation, Dense, Dropout, Embedding, GateActivation, Init, Layer, LayerNorm, LayerState,
    Lstm, Merge, Params, Pool, Pooling, Repeat, Rnn, StreamId, add,
};
use wgpu_lstm::train::Stepper;
use wgpu_lstm::{Device, Error, Mask, Result, Sequential, Tape, Tensor, Var};

/// y = x + layer(x).
pub(super) struct Residual<L>(pub(super) L);

impl<L: Layer> Layer for Residual<L> {
    fn kind(&self) -> &'static str {
        "residual"
    }
    fn build_on(&mut self, params: &Params, input_size: usize) -> Result<()> {
        self.0.build_on(params, input_size)
    }
    fn output_size(&self) -> usize {
        self.0.output_size()
    }
    fn gives_sequence(&self, takes_sequence: bool) -> bool {
        self.0.gives_sequence(takes_sequence)
    }
    fn forward(&self, tape: &Tape, x: &Var) -> Result<Var> {
        add(tape, x, &self.0.forward(tape, x)?)
    }
    fn step(&self, tape: &Tape, x: &Var, state: LayerState) -> Result<(Var, LayerState)> {
        let (y, state) = self.0.step(tape, x, state)?;
        Ok((add(tape, x, &y)?, state))
    }
    fn parameter_count(&self) -> usize {
        self.0.parameter_count()
    }
}

/// Leaves out the frames whose first value is below -0.5.
struct Skip;

impl Layer for Skip {
    fn kind(&self) -> &'static str {
        "skip"
    }
    fn build_on(&mut self, _: &Params, _: usize) -> Result<()> {
        Ok(())
    }
    fn output_size(&self) -> usize {
        3
    }
    fn gives_sequence(&self, takes_sequence: bool) -> bool {
        takes_sequence
    }
    fn forward(&self, _: &Tape, x: &Var) -> Result<Var> {
        let counted: Vec<_> = match x.mask() {
            Some(mask) => mask.values().to_vec(),
            None => vec![true; x.shape()[0] * x.shape()[1]],
        };
        let values = x.tensor().to_vec()?;
        let counts = values
            .chunks(3)
            .zip(counted)
            .map(|(frame, on)| on && (frame[0] >= -0.5 || frame[0].is_nan()));
        let shape = [x.shape()[0], x.shape()[1]];
        let mask = Mask::new(&counts.collect::<Vec<_>>(), shape, &x.tensor().device())?;
        Ok(x.clone().with_mask(Some(mask)))
    }
    fn step(&self, tape: &Tape, x: &Var, state: LayerState) -> Result<(Var, LayerState)> {
        Ok((self.forward(tape, x)?, state))
    }
    fn parameter_count(&self) -> usize {
        0
    }
}

fn softmax(units: usize) -> Dense {
    Dense::new(units).activation(Activation::Softmax)
}

/// Models of all that can be stepped, for frames of three features.
pub(super) fn models(device: &Device) -> Vec<(&'static str, Sequential)> {
    let new = || Sequential::new(device).seed(3);
    let relu = Dense::new(5).activation(Activation::Relu);
    let sigmoid = Dense::new(1).activation(Activation::Sigmoid);
    let seq = |units| Lstm::new(units).return_sequences();
    vec![
        (
            "a classifier",
            new()
                .add(seq(17))
                .add(LayerNorm::new())
                .add(Lstm::new(7).num_layers(2))
                .add(softmax(4)),
        ),
        ("a tagger", new().add(relu).add(Dropout::new(0.5)).add(seq(33)).add(softmax(3))),
        ("projections", new().add(seq(9).num_layers(2).projection(4)).add(sigmoid)),
        ("a projected end", new().add(Lstm::new(6).projection(2))),
        (
            "variants",
            new()
                .add(seq(6).num_layers(2).peepholes().dropout(0.3))
                .add(Lstm::new(5).zoneout(0.1, 0.2))
                .add(Dense::new(2)),
        ),
        ("normalised", new().add(seq(5).num_layers(2).layer_norm()).add(Dense::new(1))),
        ("an Rnn", new().add(Rnn::new(6).return_sequences()).add(Rnn::new(4)).add(Dense::new(2))),
        (
            "a layer around one",
            new().add(Residual(seq(3))).add(seq(5)).add(Residual(Dense::new(5))),
        ),
        (
            "frames left out",
            new().add(Skip).add(seq(4).num_layers(2)).add(Lstm::new(3)).add(softmax(2)),
        ),
        (
            "zeros for frames left out",
            new().add(Skip).add(seq(4).zero_output_for_mask()).add(Dense::new(2)),
        ),
        (
            "an Rnn's zeros",
            new().add(Skip).add(Rnn::new(4).return_sequences().zero_output_for_mask()),
        ),
        ("frames left out of a projection", new().add(Skip).add(seq(4).projection(2))),
        ("stateful", new().add(seq(4).stateful()).add(Dense::new(1))),
        (
            "other activations",
            new().add(Lstm::new(4).output_activation(GateActivation::Softsign)).add(Dense::new(1)),
        ),
    ]
}

/// A stream's frame at a time.
pub(super) fn frame(stream: usize, t: usize) -> Vec<f32> {
    (0..3).map(|j| ((stream * 31 + t * 7 + j) as f32 * 0.37).sin()).collect()
}

pub(super) fn step(stepper: &mut Stepper, frames: &[(StreamId, Vec<f32>)]) -> Vec<Vec<f32>> {
    let frames: Vec<_> = frames.iter().map(|(id, frame)| (*id, &frame[..])).collect();
    let found = stepper.step(&frames).unwrap();
    (0..found.rows()).map(|i| found.row(i).to_vec()).collect()
}

/// The last row that a model predicts for the first frames of a stream.
pub(super) fn predicted(model: &Sequential, stream: usize, frames: usize) -> Vec<f32> {
    let x: Vec<f32> = (0..frames).flat_map(|t| frame(stream, t)).collect();
    let found = model.predict(&Sequences::from_array(&x, [1, frames, 3]).unwrap()).unwrap();
    model.reset_state();
    found.row(found.rows() - 1).to_vec()
}

/// The same bits on the CPU; on a GPU nearly.
pub(super) fn assert_same(what: &str, device: &Device, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (found, expected) in found.iter().zip(expected) {
        let bound = if device.is_gpu() { 1e-6 * (1.0 + expected.abs()) } else { 0.0 };
        assert!((found - expected).abs() <= bound, "{what} on {device}: {found}, {expected}");
    }
}

#[test]
fn streams_of_a_model_give_what_it_predicts() {
    for device in devices() {
        for (name, mut model) in models(device) {
            model.build(3).unwrap();
            let mut stepper = model.stepper(3).unwrap();
            let check = |found: &[f32], stream: usize, frames: usize| {
                let what = format!("{name}, stream {stream} after {frames} frames");
                assert_same(&what, device, found, &predicted(&model, stream, frames));
            };
            let (a, b) = (stepper.join().unwrap(), stepper.join().unwrap());
            assert_eq!(stepper.streams(), [Some(a), Some(b), None]);
            // In another order than they joined.
            let y = step(&mut stepper, &[(b, frame(1, 0)), (a, frame(0, 0))]);
            check(&y[0], 1, 1);
            check(&y[1], 0, 1);
            step(&mut stepper, &[(b, frame(1, 1))]);
            let c = stepper.join().unwrap();
            assert_eq!(stepper.join(), Err(Error::TooManyStreams { places: 3 }));
            let y = step(&mut stepper, &[(c, frame(2, 0)), (b, frame(1, 2))]);
            check(&y[0], 2, 1);
            check(&y[1], 1, 3);
            stepper.leave(b).unwrap();
            let y = step(&mut stepper, &[(a, frame(0, 1))]);
            check(&y[0], 0, 2);
            // Another takes its place, from zeros; and one begins anew.
            let d = stepper.join().unwrap();
            assert_eq!(stepper.streams(), [Some(a), Some(d), Some(c)]);
            stepper.reset(c).unwrap();
            let y = step(&mut stepper, &[(d, frame(3, 0)), (c, frame(2, 0)), (a, frame(0, 2))]);
            check(&y[0], 3, 1);
            check(&y[1], 2, 1);
            check(&y[2], 0, 3);
            // All at once, by their places; then without one, whose frame is not read.
            let all = |stepper: &mut Stepper, frames: [Vec<f32>; 3]| {
                let y = stepper.step_all(&tensor(&frames.concat(), [3, 3], device)).unwrap();
                let y = y.to_vec().unwrap();
                y.chunks(y.len() / 3).map(<[f32]>::to_vec).collect::<Vec<_>>()
            };
            let y = all(&mut stepper, [frame(0, 3), frame(3, 1), frame(2, 1)]);
            check(&y[0], 0, 4);
            check(&y[1], 3, 2);
            check(&y[2], 2, 2);
            stepper.leave(d).unwrap();
            let y = all(&mut stepper, [frame(0, 4), vec![f32::NAN; 3], frame(2, 2)]);
            check(&y[0], 0, 5);
            check(&y[2], 2, 3);
        }
    }
}

/// A token of 0 does not count: of `predict` by the mask, of a stream by leaving it out.
#[test]
fn a_token_that_is_left_out_is_no_frame() {
    for device in devices() {
        let mut model = Sequential::new(device)
            .add(Embedding::new(9, 6).mask_zero())
            .add(Lstm::new(5))
            .add(softmax(3));
        model.build(1).unwrap();
        let mut stepper = model.stepper(1).unwrap();
        let stream = stepper.join().unwrap();
        stepper.step(&[(stream, &[4.0])]).unwrap();
        let error = stepper.step(&[(stream, &[0.0])]).unwrap_err();
        let with = "Embedding::mask_zero";
        assert!(
            matches!(error, Error::Unsupported { with: found, .. } if found == with),
            "{error}"
        );
        let all = stepper.step_all(&Tensor::from_u32(&[3], [1, 1], device).unwrap()).err().unwrap();
        assert!(matches!(all, Error::Unsupported { with: found, .. } if found == with), "{all}");
        let found = stepper.step(&[(stream, &[7.0])]).unwrap();
        let whole = model.predict(&Sequences::from_tokens([[4, 0, 7]]).unwrap()).unwrap();
        assert_same("tokens", device, found.row(0), whole.row(0));
    }
}

#[test]
fn tokens_go_token_by_token() {
    for device in devices() {
        let mut model = Sequential::new(device)
            .add(Embedding::new(9, 6))
            .add(Lstm::new(5).return_sequences())
            .add(softmax(9));
        model.build(1).unwrap();
        let mut stepper = model.stepper(2).unwrap();
        let (a, b) = (stepper.join().unwrap(), stepper.join().unwrap());
        let tokens = [[3u32, 0, 8], [1, 1, 7]];
        let whole = model.predict(&Sequences::from_tokens(tokens).unwrap()).unwrap();
        for (t, (x, y)) in tokens[0].iter().zip(&tokens[1]).take(2).enumerate() {
            let [x, y] = [x, y].map(|&token| [token as f32]);
            let found = stepper.step(&[(b, &y), (a, &x)]).unwrap();
            for (row, stream) in [(0, 1), (1, 0)] {
                assert_same("tokens", device, found.row(row), whole.row(3 * stream + t));
                assert_eq!(found.classes()[row], whole.classes()[3 * stream + t], "{device}");
            }
        }
        let error = stepper.step(&[(a, &[2.0]), (b, &[9.0])]).unwrap_err();
        let token = Error::Token { sequence: 1, place: 0, found: 9.0, tokens: 9 };
        assert_eq!(error, token, "{device}");
        let last = Tensor::from_u32(&[8, 7], [2, 1], device).unwrap();
        let y = stepper.step_all(&last).unwrap().to_vec().unwrap();
        assert_same("all tokens", device, &y[..9], whole.row(2));
        assert_same("all tokens", device, &y[9..], whole.row(5));
    }
}

#[test]
fn what_needs_the_whole_sequence_says_so() {
    let device = &Device::cpu().unwrap();
    let seq = || Lstm::new(4).return_sequences();
    let new = || Sequential::new(device);
    struct Whole;
    impl Layer for Whole {
        fn kind(&self) -> &'static str {
            "whole"
        }
        fn build_on(&mut self, _: &Params, _: usize) -> Result<()> {
            Ok(())
        }
        fn output_size(&self) -> usize {
            3
        }
        fn gives_sequence(&self, takes_sequence: bool) -> bool {
            takes_sequence
        }
        fn forward(&self, _: &Tape, x: &Var) -> Result<Var> {
            Ok(x.clone())
        }
        fn parameter_count(&self) -> usize {
            0
        }
    }
    for (model, name) in [
        (new().add(seq().bidirectional(Merge::Concat)).add(Dense::new(1)), "Lstm::bidirectional"),
        (new().add(seq()).add(Lstm::new(2).go_backwards()), "Lstm::go_backwards"),
        (new().add(seq()).add(Pool::new(Pooling::Mean)).add(Dense::new(1)), "Pool"),
        (new().add(Lstm::new(2)).add(Repeat::new(3)).add(seq()), "repeat"),
        (new().add(Whole).add(seq()), "whole"),
        (new().add(Residual(Whole)), "whole"),
    ] {
        let mut model = model;
        model.build(3).unwrap();
        let error = model.stepper(1).err().unwrap();
        let Error::Unsupported { what: "Sequential::stepper", with, help } = error else {
            panic!("{error}")
        };
        assert_eq!(with, name);
        assert!(!help.is_empty());
    }
    assert!(matches!(new().stepper(1), Err(Error::NotBuilt { call: "add", .. })));
    let mut model = new().add(seq());
    assert!(matches!(model.stepper(1), Err(Error::NotBuilt { call: "fit or build", .. })));
    model.build(3).unwrap();
    assert!(matches!(model.stepper(0), Err(Error::Option { option: "Stepper::streams", .. })));
    assert!(matches!(model.stepper(1 << 24), Ok(_) | Err(Error::OutOfMemory { .. })));
    // One that was added since is not built.
    let model = model.add(Dense::new(1));
    assert!(matches!(model.stepper(1), Err(Error::NotBuilt { .. })));
}

/// Of so many features that a product adds them up in parts; and of one row, of two and of many.
#[test]
fn a_frame_has_the_bits_of_its_sequence_on_the_cpu() {
    let device = Device::cpu_with_threads(3).unwrap();
    for (head, projection) in [(1, None), (3, None), (2, Some(70))] {
        let lstm = Lstm::new(520).recurrent_init(Init::GlorotUniform).return_sequences();
        let lstm = match projection {
            Some(size) => lstm.projection(size),
            None => lstm,
        };
        let mut model = Sequential::new(&device).add(lstm).add(Dense::new(head));
        model.build(3).unwrap();
        let x: Vec<f32> = (0..9).flat_map(|t| frame(t / 3, t % 3)).collect();
        let rows = |x: &[f32], n: usize| {
            let x = Sequences::from_array(x, [n, 3, 3]).unwrap();
            model.predict(&x).unwrap().values().to_vec()
        };
        let all = rows(&x, 3);
        for stream in 0..3 {
            let own = &all[stream * 3 * head..][..3 * head];
            assert_eq!(rows(&x[stream * 9..][..9], 1), own, "alone");
            let mut stepper = model.stepper(1).unwrap();
            let id = stepper.join().unwrap();
            for t in 0..3 {
                let found = stepper.step(&[(id, &frame(stream, t))]).unwrap();
                assert_eq!(found.values(), &own[t * head..][..head], "frame {t}");
            }
        }
    }
}
