//! LSTM layers, whole sequences at a time and frame by frame.
//!
//! A GPU compiles kernels anew for each hidden size, so that most configurations share one.

use super::run::{Configuration, Row, Run, With, extend};
use wgpu_lstm::nn::{Coupling, GateActivation, Strategy};
use wgpu_lstm::nn::{Layer, Lstm, LstmState, LstmStepper, Merge, Params, Precision, StreamId};
use wgpu_lstm::{Result, Tape, Var};

/// A name; B, T, I and H; what comes with the input; the layer of H units.
type LstmRow = (&'static str, [usize; 4], With, fn(usize) -> Lstm);

/// Those that every device runs.
pub fn all() -> Vec<Configuration> {
    let mut all = Vec::new();
    extend(&mut all, "lstm", LSTMS, |row| row.0, lstm);
    extend(&mut all, "stepper", STEPPERS, |row| row.0, stepper);
    all
}

/// Those of a GPU that cuts batches into chunks.
pub fn chunked() -> Vec<Configuration> {
    let mut all = Vec::new();
    extend(&mut all, "lstm", CHUNKED, |row| row.0, lstm);
    all
}

/// Primes, the units one more than SIMD lanes and tiles have.
const SMALL: [usize; 4] = [5, 7, 3, 17];
/// Units enough for several workgroups to share them.
const SHARED: [usize; 4] = [3, 9, 4, 130];

/// A layer that gives all outputs.
pub fn sequences(h: usize) -> Lstm {
    Lstm::new(h).return_sequences()
}

/// The same in both directions.
pub fn both(h: usize, merge: Merge) -> Lstm {
    sequences(h).bidirectional(merge)
}

/// With activations of f i o, of g and of the output.
fn activated(h: usize, [gates, input, output]: [GateActivation; 3]) -> Lstm {
    sequences(h).recurrent_activation(gates).activation(input).output_activation(output)
}

const LSTMS: &[LstmRow] = &[
    ("one-of-each", [1, 1, 1, 1], With::Nothing, Lstm::new),
    ("sequences", SMALL, With::Nothing, sequences),
    ("last", SMALL, With::Lengths, Lstm::new),
    ("one-row", [1, 13, 2, 17], With::Nothing, sequences),
    ("many-rows", [37, 5, 4, 17], With::Nothing, sequences),
    ("many-rows-lengths", [37, 5, 4, 17], With::Lengths, sequences),
    ("tile-edge", [4, 8, 16, 64], With::Nothing, sequences),
    ("wide", [3, 5, 31, 256], With::Nothing, sequences),
    ("large-products", [48, 20, 70, 64], With::Nothing, sequences),
    ("one-long-row", [1, 60, 8, 130], With::Nothing, sequences),
    ("lengths", SMALL, With::Lengths, sequences),
    ("holes", SMALL, With::Holes, sequences),
    ("holes-last", SMALL, With::Holes, Lstm::new),
    ("states", SMALL, With::States, sequences),
    ("backwards", SMALL, With::StatesAndLengths, |h| sequences(h).go_backwards()),
    ("concat", SMALL, With::Lengths, |h| both(h, Merge::Concat)),
    ("sum", SMALL, With::Nothing, |h| both(h, Merge::Sum)),
    ("mean", SMALL, With::Holes, |h| both(h, Merge::Mean)),
    ("product", SMALL, With::States, |h| both(h, Merge::Product)),
    ("concat-last", SMALL, With::Nothing, |h| Lstm::new(h).bidirectional(Merge::Concat)),
    ("two-layers", SMALL, With::States, |h| sequences(h).num_layers(2).dropout(0.3)),
    ("wavefront", [1, 64, 3, 32], With::Nothing, |h| sequences(h).num_layers(3)),
    ("three-both", SMALL, With::Lengths, |h| both(h, Merge::Concat).num_layers(3)),
    ("time-major", SMALL, With::StatesAndLengths, |h| sequences(h).time_major()),
    ("stateful", SMALL, With::Nothing, |h| sequences(h).num_layers(2).stateful()),
    ("recompute", SMALL, With::Nothing, |h| sequences(h).num_layers(2).recompute()),
    ("recompute-peepholes", SMALL, With::Lengths, |h| sequences(h).peepholes().recompute()),
    ("halves", SMALL, With::Halves, sequences),
    ("halves-both", SMALL, With::Halves, |h| both(h, Merge::Sum).num_layers(2).recompute()),
    ("halves-peepholes", SMALL, With::Halves, |h| sequences(h).peepholes()),
    ("no-bias", SMALL, With::Nothing, |h| sequences(h).no_bias()),
    ("drops", SMALL, With::Nothing, |h| sequences(h).input_dropout(0.3).weight_drop(0.3)),
    ("projection", SMALL, With::States, |h| sequences(h).projection(5)),
    ("projection-both", SMALL, With::Lengths, |h| {
        both(h, Merge::Concat).projection(5).num_layers(2)
    }),
    ("projection-holes", SMALL, With::Holes, |h| sequences(h).projection(5)),
    ("layer-norm", SMALL, With::States, |h| sequences(h).layer_norm()),
    ("layer-norm-both", SMALL, With::Lengths, |h| both(h, Merge::Mean).layer_norm().num_layers(2)),
    ("peepholes", SMALL, With::Nothing, |h| sequences(h).peepholes()),
    ("peepholes-both", SMALL, With::Lengths, |h| both(h, Merge::Concat).peepholes()),
    ("peepholes-holes", SMALL, With::Holes, |h| sequences(h).peepholes()),
    ("clip", SMALL, With::Nothing, |h| sequences(h).clip(0.3)),
    ("cell-clip", SMALL, With::States, |h| sequences(h).cell_clip(0.2)),
    ("input-follows", SMALL, With::Nothing, |h| sequences(h).coupled(Coupling::InputFollowsForget)),
    ("forget-follows", SMALL, With::Nothing, |h| {
        sequences(h).coupled(Coupling::ForgetFollowsInput)
    }),
    ("recurrent-dropout", SMALL, With::Lengths, |h| sequences(h).recurrent_dropout(0.3)),
    ("zoneout", SMALL, With::Nothing, |h| sequences(h).zoneout(0.2, 0.3)),
    ("hard", SMALL, With::Nothing, |h| {
        let hard = GateActivation::HardSigmoid { alpha: 0.2, beta: 0.5 };
        activated(h, [hard, GateActivation::Softsign, GateActivation::Tanh])
    }),
    ("relu", SMALL, With::Nothing, |h| {
        let leaky = GateActivation::LeakyRelu { alpha: 0.1 };
        activated(h, [GateActivation::Sigmoid, GateActivation::Relu, leaky])
    }),
    ("affine", SMALL, With::Nothing, |h| {
        let scaled = GateActivation::ScaledTanh { alpha: 1.5, beta: 0.7 };
        let affine = GateActivation::Affine { alpha: 0.3, beta: 0.5 };
        activated(h, [affine, scaled, GateActivation::Elu { alpha: 0.8 }])
    }),
    ("softplus", SMALL, With::Nothing, |h| {
        let cut = GateActivation::ThresholdedRelu { alpha: 0.1 };
        activated(h, [GateActivation::Sigmoid, GateActivation::Softplus, cut])
    }),
    ("all-at-once", SMALL, With::Lengths, |h| {
        let lstm = both(h, Merge::Sum).num_layers(2).peepholes().zoneout(0.1, 0.2);
        let lstm = lstm.clip(0.8).cell_clip(0.5).recurrent_dropout(0.2);
        lstm.coupled(Coupling::InputFollowsForget)
    }),
    ("auto", SHARED, With::Nothing, sequences),
    ("sequence", SHARED, With::Nothing, |h| sequences(h).strategy(Strategy::Sequence)),
    ("stepwise", SHARED, With::Nothing, |h| sequences(h).strategy(Strategy::Stepwise)),
    ("stepwise-lengths", SMALL, With::StatesAndLengths, |h| {
        both(h, Merge::Concat).strategy(Strategy::Stepwise)
    }),
    ("stepwise-peepholes", SMALL, With::Holes, |h| {
        sequences(h).peepholes().strategy(Strategy::Stepwise)
    }),
    ("persistent", SHARED, With::States, |h| sequences(h).strategy(Strategy::Persistent)),
    ("persistent-both", SHARED, With::Lengths, |h| {
        both(h, Merge::Concat).strategy(Strategy::Persistent)
    }),
    // Which a GPU refuses.
    ("persistent-peepholes", SMALL, With::Nothing, |h| {
        sequences(h).peepholes().strategy(Strategy::Persistent)
    }),
];

/// For chunks of 40 frames of 16 units: of rows, and of the timesteps of one row.
const CHUNKED: &[LstmRow] = &[
    ("rows", [9, 9, 3, 16], With::States, sequences),
    ("rows-lengths", [9, 9, 3, 16], With::Lengths, sequences),
    ("timesteps", [2, 50, 3, 16], With::States, sequences),
    ("timesteps-lengths", [5, 60, 3, 16], With::StatesAndLengths, sequences),
    ("rows-both", [9, 9, 3, 16], With::Lengths, |h| both(h, Merge::Concat)),
    ("timesteps-both", [2, 50, 3, 16], With::Nothing, |h| both(h, Merge::Sum).num_layers(2)),
    ("recompute", [9, 9, 3, 16], With::Nothing, |h| sequences(h).recompute()),
    ("stepwise-peepholes", [2, 50, 3, 16], With::Nothing, |h| {
        sequences(h).peepholes().strategy(Strategy::Stepwise)
    }),
];

const STEPPERS: &[Row<Lstm>] = &[
    ("plain", || Lstm::new(17).num_layers(2)),
    ("peepholes", || Lstm::new(17).peepholes().zoneout(0.1, 0.2)),
    ("projection", || Lstm::new(17).projection(5)),
    ("layer-norm", || Lstm::new(17).layer_norm()),
];

fn lstm(run: &mut Run, &(_, [b, t, i, h], with, layer): &LstmRow) -> Result<()> {
    let params = Params::new(&run.device);
    if with == With::Halves {
        params.set_precision(Precision::Mixed);
    }
    let layer = layer(h).build(&params, i)?;
    run.disturb(&params)?;
    let shape = if layer.is_batch_first() { [b, t, i] } else { [t, b, i] };
    let steps = run.steps(with, b, t)?;
    let mut inputs = vec![run.tensor(&shape)?];
    if matches!(with, With::States | With::StatesAndLengths) {
        // Which shapes they have the last ones tell.
        let x = steps.of(&inputs[0].clone().into());
        for state in layer.run(&Tape::inference(&params), &x, None)?.state {
            inputs.extend([run.tensor(state.h.shape())?, run.tensor(state.c.shape())?]);
        }
    }
    run.pass(&params, &inputs, |tape, inputs| {
        let state = |pair: &[Var]| LstmState::new(pair[0].clone(), pair[1].clone());
        let states: Vec<_> = inputs[1..].chunks(2).map(state).collect();
        let states = (!states.is_empty()).then_some(&states[..]);
        let found = layer.run(tape, &steps.of(&inputs[0]), states)?;
        let ends = found.state.into_iter().flat_map(|state| [state.h, state.c]);
        Ok(std::iter::once(found.output).chain(ends).collect())
    })
}

fn stepper(run: &mut Run, (_, layer): &Row<Lstm>) -> Result<()> {
    let params = Params::new(&run.device);
    let layer = layer().build(&params, 3)?;
    run.disturb(&params)?;
    let mut stepper = layer.stepper(&params, 2)?;
    let (a, b) = (stepper.join()?, stepper.join()?);
    let mut step = |stepper: &mut LstmStepper, streams: &[StreamId]| -> Result<()> {
        let frames: Vec<_> = streams.iter().map(|&stream| (stream, run.numbers(3))).collect();
        let frames: Vec<_> = frames.iter().map(|(stream, frame)| (*stream, &frame[..])).collect();
        stepper.step(&frames)?.iter().for_each(|output| run.note(output));
        Ok(())
    };
    step(&mut stepper, &[a, b])?;
    step(&mut stepper, &[b])?;
    stepper.leave(a)?;
    let c = stepper.join()?;
    step(&mut stepper, &[b, c])?;
    stepper.reset(b)?;
    step(&mut stepper, &[c])?;
    for _ in 0..2 {
        let frames = run.tensor(&[2, 3])?;
        run.note_tensor(&stepper.step_all(&frames)?)?;
    }
    Ok(())
}
