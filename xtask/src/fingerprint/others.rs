//! The other layers, the losses, trainings, and translation.

use super::lstm::{both, sequences};
use super::run::{Configuration, Row, Run, With, extend};
use wgpu_lstm::Sequential;
use wgpu_lstm::data::{Sequences, Targets};
use wgpu_lstm::loss::{self, CrossEntropy, Ctc, Labels, RowWeights};
use wgpu_lstm::nn::GateActivation;
use wgpu_lstm::nn::{
    Activation, Attention, Dense, Dropout, Embedding, Layer, LayerNorm, Lstm, Merge, Params, Pool,
    Pooling, Precision, Regularizer, Repeat, Rnn, Seq2Seq,
};
use wgpu_lstm::train::{Adam, Fit, Loss, Metric, Optimizer, Sgd};
use wgpu_lstm::{Lengths, Result, Tape, Tensor, Var};

/// A name, the input's shape, what comes with it, the layer.
type LayerRow = (&'static str, &'static [usize], With, fn() -> Box<dyn Layer>);
/// A name, the shape of queries that look at keys `[3,5,6]`, what comes with these, the attention.
type AttentionRow = (&'static str, &'static [usize], With, fn() -> Attention);
/// A name, and the loss of logits `[4,6,5]`.
type LossRow = (&'static str, fn(&Tape, &Var, &Wanted) -> Result<Var>);
/// A name, what there is to learn, and the model, compiled.
type TrainingRow = (&'static str, Data, fn(Sequential) -> Sequential);

/// Those that every device runs.
pub fn all() -> Vec<Configuration> {
    let mut all = Vec::new();
    extend(&mut all, "layer", LAYERS, |row| row.0, layer);
    extend(&mut all, "layer", EMBEDDINGS, |row| row.0, embedding);
    extend(&mut all, "layer", ATTENTIONS, |row| row.0, attention);
    extend(&mut all, "loss", LOSSES, |row| row.0, loss);
    extend(&mut all, "fit", TRAININGS, |row| row.0, fit);
    extend(&mut all, "seq2seq", TRANSLATORS, |row| row.0, translate);
    all
}

/// Those of the products of hardware.
pub fn products() -> Vec<Configuration> {
    let mut all = Vec::new();
    extend(&mut all, "layer", PRODUCTS, |row| row.0, layer);
    all
}

const LAYERS: &[LayerRow] = &[
    ("dense", &[3, 5, 7], With::Lengths, || Box::new(Dense::new(11))),
    ("dense-one", &[1, 1], With::Nothing, || Box::new(Dense::new(1))),
    ("dense-large", &[300, 70], With::Nothing, || Box::new(Dense::new(90))),
    ("dense-sigmoid", &[3, 7], With::Nothing, || {
        Box::new(Dense::new(11).activation(Activation::Sigmoid))
    }),
    ("dense-tanh", &[3, 7], With::Nothing, || {
        Box::new(Dense::new(11).activation(Activation::Tanh))
    }),
    ("dense-relu", &[3, 7], With::Nothing, || {
        Box::new(Dense::new(11).activation(Activation::Relu))
    }),
    ("dense-softmax", &[3, 5, 7], With::Holes, || {
        Box::new(Dense::new(11).activation(Activation::Softmax))
    }),
    ("layer-norm", &[3, 5, 17], With::Lengths, || Box::new(LayerNorm::new())),
    ("pool-mean", &[4, 6, 7], With::Lengths, || Box::new(Pool::new(Pooling::Mean))),
    ("pool-max", &[4, 6, 7], With::Holes, || Box::new(Pool::new(Pooling::Max))),
    ("pool-last", &[4, 6, 7], With::Lengths, || Box::new(Pool::new(Pooling::Last))),
    ("pool-last-holes", &[4, 6, 7], With::Holes, || Box::new(Pool::new(Pooling::Last))),
    ("repeat", &[4, 7], With::Nothing, || Box::new(Repeat::new(3))),
    ("dropout", &[4, 6, 7], With::Lengths, || Box::new(Dropout::new(0.4))),
    ("dropout-features", &[4, 6, 7], With::Nothing, || Box::new(Dropout::new(0.4).features())),
    ("rnn", &[5, 7, 3], With::Lengths, || Box::new(Rnn::new(17).return_sequences())),
    ("rnn-relu", &[5, 7, 3], With::Holes, || {
        Box::new(Rnn::new(17).activation(GateActivation::Relu))
    }),
];

/// For the products of hardware: of few rows, and with long sums in slices.
const PRODUCTS: &[LayerRow] = &[
    ("dense-rows", &[2, 3, 37], With::Nothing, || Box::new(Dense::new(65))),
    ("dense-slices", &[600, 37], With::Nothing, || Box::new(Dense::new(65))),
];

const EMBEDDINGS: &[Row<Embedding>] = &[
    ("embedding", || Embedding::new(11, 5)),
    ("embedding-padding", || Embedding::new(11, 5).padding_index(3)),
    ("embedding-sparse", || Embedding::new(11, 5).sparse()),
];

const ATTENTIONS: &[AttentionRow] = &[
    ("attention-dot", &[3, 4, 6], With::Lengths, Attention::dot),
    ("attention-general", &[3, 4, 7], With::Holes, Attention::general),
    ("attention-additive", &[3, 4, 7], With::Lengths, || Attention::additive(8)),
    ("attention-one", &[3, 7], With::Nothing, || Attention::additive(8)),
];

/// What losses compare with.
struct Wanted {
    labels: Labels,
    /// `[4,6,5]`, from 0 to 1.
    values: Tensor,
    weights: RowWeights,
    lengths: Lengths,
}

const SAID: [&[u32]; 4] = [&[1, 2], &[3], &[2, 2], &[1, 3, 1]];

const LOSSES: &[LossRow] = &[
    ("cross-entropy", |tape, x, w| loss::cross_entropy(tape, x, &w.labels, None)),
    ("cross-entropy-options", |tape, x, w| {
        let kind = CrossEntropy::new().ignore_index(2).label_smoothing(0.1);
        let kind = kind.class_weights([0.5, 1.0, 2.0, 0.0, 1.5]);
        kind.loss(tape, x, &w.labels, Some(&w.weights))
    }),
    ("ctc", |tape, x, _| loss::ctc(tape, x, &SAID)),
    ("ctc-options", |tape, x, w| {
        let x = x.clone().with_lengths(Some(w.lengths.clone()));
        Ctc::new().blank(4).zero_infinity().loss(tape, &x, &SAID)
    }),
    ("binary", |tape, x, w| loss::binary_cross_entropy(tape, x, &w.values, Some(&w.weights))),
    ("squared", |tape, x, w| loss::mean_squared_error(tape, x, &w.values, None)),
    ("absolute", |tape, x, w| loss::mean_absolute_error(tape, x, &w.values, Some(&w.weights))),
    ("huber", |tape, x, w| loss::huber(tape, x, &w.values, 0.4, None)),
    ("quantile", |tape, x, w| loss::quantile(tape, x, &w.values, 0.9, Some(&w.weights))),
];

/// What a model learns from.
#[derive(Clone, Copy, PartialEq)]
enum Data {
    /// A class of each sequence.
    Classes,
    /// The same, of sequences of tokens.
    Tokens,
    /// Two numbers of each sequence.
    Values,
    /// Two numbers of each frame.
    Frames,
}

/// A model that is trained so.
fn compiled(
    mut model: Sequential,
    optimizer: impl Optimizer + 'static,
    loss: Loss,
    metrics: &[Metric],
) -> Sequential {
    model.compile(optimizer, loss, metrics);
    model
}

const TRAININGS: &[TrainingRow] = &[
    ("adam", Data::Classes, |model| {
        let head = Dense::new(3).activation(Activation::Softmax);
        let model = model.add(Lstm::new(17)).add(head);
        compiled(model, Adam::new(1e-2), Loss::CrossEntropy, &[Metric::Accuracy])
    }),
    ("adam-options", Data::Tokens, |model| {
        let model = model.add(Embedding::new(11, 5).sparse()).add(Lstm::new(17)).add(Dense::new(3));
        let adam = Adam::new(1e-2).betas(0.8, 0.99).epsilon(1e-6).weight_decay(1e-2);
        let kind = CrossEntropy::new().label_smoothing(0.1).ignore_index(1);
        compiled(model, adam, Loss::CrossEntropyWith(kind), &[])
    }),
    ("adam-halves", Data::Frames, |model| {
        let model = model.add(both(17, Merge::Sum)).add(LayerNorm::new()).add(Dense::new(2));
        model.params().set_precision(Precision::Mixed);
        compiled(model, Adam::new(1e-2), Loss::MeanAbsoluteError, &[])
    }),
    ("sgd", Data::Frames, |model| {
        let head = Dense::new(2).activation(Activation::Tanh);
        let model = model.add(sequences(17)).add(head);
        compiled(model, Sgd::new(0.1), Loss::MeanSquaredError, &[])
    }),
    ("momentum", Data::Tokens, |model| {
        let model = model.add(Embedding::new(11, 5).sparse()).add(Dropout::new(0.2));
        let model = model.add(Pool::new(Pooling::Mean)).add(Dense::new(3));
        let sgd = Sgd::new(0.1).momentum(0.9);
        compiled(model, sgd, Loss::CrossEntropy, &[Metric::Accuracy])
    }),
    ("nesterov-regularized", Data::Values, |model| {
        let lstm = Lstm::new(17).kernel_regularizer(Regularizer::l1_l2(1e-3, 1e-2));
        let lstm = lstm.activity_regularizer(Regularizer::l2(1e-2)).recurrent_max_norm(0.7);
        let head = Dense::new(2).bias_regularizer(Regularizer::l1(1e-2)).kernel_max_norm(0.5);
        let model = model.add(lstm).add(head.activation(Activation::Sigmoid));
        let sgd = Sgd::new(0.1).momentum(0.9).nesterov();
        compiled(model, sgd, Loss::BinaryCrossEntropy, &[Metric::Accuracy])
    }),
    ("huber", Data::Values, |model| {
        let model = model.add(Rnn::new(17)).add(Repeat::new(2)).add(sequences(17).peepholes());
        let model = model.add(Pool::new(Pooling::Max)).add(Dense::new(2));
        compiled(model, Adam::new(1e-2), Loss::Huber { delta: 0.3 }, &[])
    }),
    ("quantile", Data::Values, |model| {
        let lstm = Lstm::new(17).layer_norm().num_layers(2).dropout(0.2);
        let model = model.add(lstm).add(Dense::new(2));
        compiled(model, Adam::new(1e-2), Loss::Quantile { quantile: 0.8 }, &[])
    }),
];

const TRANSLATORS: &[Row<Seq2Seq>] = &[
    ("general", || Seq2Seq::new(6, 5).embedding_size(4).hidden_size(17)),
    ("additive", || {
        let model = Seq2Seq::new(6, 5).embedding_size(4).hidden_size(34).bidirectional_encoder();
        model.num_layers(2).dropout(0.2).attention(Attention::additive(8))
    }),
];

fn layer(run: &mut Run, &(_, shape, with, layer): &LayerRow) -> Result<()> {
    let params = Params::new(&run.device);
    let mut layer = layer();
    layer.build_on(&params, shape[shape.len() - 1])?;
    run.disturb(&params)?;
    let (steps, x) = (run.steps(with, shape[0], shape[1])?, run.tensor(shape)?);
    run.pass(&params, &[x], |tape, x| Ok(vec![layer.forward(tape, &steps.of(&x[0]))?]))
}

fn embedding(run: &mut Run, (_, layer): &Row<Embedding>) -> Result<()> {
    let params = Params::new(&run.device);
    let layer = layer().build(&params)?;
    run.disturb(&params)?;
    let tokens = run.tokens(4 * 6, 11);
    run.pass(&params, &[], |tape, _| Ok(vec![layer.lookup(tape, &tokens, [4, 6])?]))
}

fn attention(run: &mut Run, &(_, shape, with, layer): &AttentionRow) -> Result<()> {
    let params = Params::new(&run.device);
    let layer = layer().build(&params, shape[shape.len() - 1], 6)?;
    run.disturb(&params)?;
    let steps = run.steps(with, 3, 5)?;
    let inputs = [run.tensor(shape)?, run.tensor(&[3, 5, 6])?];
    let found = layer.forward(
        &Tape::inference(&params),
        &inputs[0].clone().into(),
        &steps.of(&inputs[1].clone().into()),
    )?;
    run.note_tensor(&found.weights)?;
    run.pass(&params, &inputs, |tape, inputs| {
        Ok(vec![layer.forward(tape, &inputs[0], &steps.of(&inputs[1]))?.context])
    })
}

fn loss(run: &mut Run, (_, loss): &LossRow) -> Result<()> {
    let labels = run.tokens(4 * 6, 5);
    let values = run.shares(4 * 6 * 5);
    let weights = run.shares(4 * 6);
    let lengths: Vec<_> = (1..5).map(|row| row + 2).collect();
    let wanted = Wanted {
        labels: Labels::new(&labels, &run.device)?,
        values: Tensor::from_slice(&values, [4, 6, 5], &run.device)?,
        weights: RowWeights::new(&weights, &run.device)?,
        lengths: Lengths::new(&lengths, &run.device)?,
    };
    let x = run.tensor(&[4, 6, 5])?;
    let params = Params::new(&run.device);
    run.pass(&params, &[x], |tape, x| Ok(vec![loss(tape, &x[0], &wanted)?]))
}

/// Eleven sequences of 1 to 7 frames, and their targets.
fn data(run: &mut Run, data: Data) -> Result<(Sequences, Targets)> {
    let frames: Vec<_> = (0..11).map(|row| 1 + 5 * row % 7).collect();
    let x = match data {
        Data::Tokens => {
            Sequences::from_tokens(frames.iter().map(|&n| run.tokens(n, 11)).collect::<Vec<_>>())?
        }
        _ => Sequences::new(3, frames.iter().map(|&n| run.numbers(3 * n)).collect::<Vec<_>>())?,
    };
    let y = match data {
        Data::Classes | Data::Tokens => Targets::classes(run.tokens(x.len(), 3)),
        Data::Values => Targets::values(run.shares(2 * x.len()), 2),
        Data::Frames => Targets::values(run.shares(2 * x.total_frames()), 2),
    };
    Ok((x, y))
}

fn fit(run: &mut Run, &(_, kind, make): &TrainingRow) -> Result<()> {
    let (x, y) = data(run, kind)?;
    let weights = run.shares(x.len());
    let mut model = make(Sequential::new(&run.device));
    let options = Fit::new().epochs(2).batch_size(4).validation_split(0.3).quiet();
    let history = model.fit(&x, &y, options.sample_weights(&weights))?;
    for epoch in history.epochs {
        for evaluation in [Some(epoch.training), epoch.validation].into_iter().flatten() {
            run.note(&[evaluation.loss]);
            run.note(&evaluation.metrics);
        }
    }
    run.note(model.predict(&x)?.values());
    run.note_params(model.params())
}

fn translate(run: &mut Run, (_, model): &Row<Seq2Seq>) -> Result<()> {
    let params = Params::new(&run.device);
    let model = model().build(&params)?;
    run.disturb(&params)?;
    let read = [5, 2, 3].map(|tokens| run.tokens(tokens, 6));
    let say = [2, 4, 1].map(|tokens| run.tokens(tokens, 5));
    run.pass(&params, &[], |tape, _| Ok(vec![model.loss(tape, &read, &say)?]))?;
    for tokens in model.greedy(&params, &read, 6)? {
        run.hash.add(format!("{tokens:?}").as_bytes());
    }
    for found in model.beam(&params, &read, 2, 4)?.concat() {
        run.hash.add(format!("{:?} {}", found.tokens, found.ended).as_bytes());
        run.note(&[found.log_probability]);
    }
    Ok(())
}
