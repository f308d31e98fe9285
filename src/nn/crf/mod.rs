//! A layer that decides on the tags of a whole sequence.

mod chains;
mod limits;
mod tags;

pub(crate) use tags::{Tag, bio_tags};

use super::{Activation, Init, Layer, Own, Params, check_size, check_weights, is_built, to_config};
use crate::autograd::{Layout, ParamId, Tape, Var};
use crate::check::Check;
use crate::loss::{Labels, RowWeights};
use crate::ops::elementwise::{add::add, add_into::add_into};
use crate::ops::frames::copy_columns::copy_columns;
use crate::ops::loss::answers::{CLASS, WIDTH};
use crate::ops::loss::crf::Chains;
use crate::ops::sums::reduce_sum::reduce_sum;
use crate::{DType, Error, Result, Tensor};
use chains::{Table, Wanted, check_path};
use limits::Limits;
use serde::{Deserialize, Serialize};

const OP: &str = "crf";

/// A linear-chain conditional random field (Lafferty, McCallum & Pereira 2001; on top of an LSTM: Huang et al. 2015,
/// arXiv 1508.01991; Lample et al. 2016, arXiv 1603.01360): the layer behind the emissions `[B,T,K]` of K tags, one
/// for each frame. A path of tags y has the score
///
/// `start_transitions[y_0] + Σ emissions[t, y_t] + Σ transitions[y_t-1, y_t] + end_transitions[y_n-1]`
///
/// and the probability e^score over the sum of that of all paths. pytorch-crf's `CRF` with `batch_first=True`, whose
/// names and meaning the parameters have.
///
/// As the last layer of a [`crate::Sequential`] it is trained by [`crate::train::Loss::CrossEntropy`], which then is
/// that between whole paths, with a class for each frame: -log p of the right path, over the frames (pytorch-crf's
/// `token_mean`). The classes of a prediction, and those that metrics count, are the tags of the likeliest path
/// (Viterbi 1967); its values are the marginals, the probability of each tag at each frame.
///
/// ```
/// use wgpu_lstm::data::{Sequences, Targets};
/// use wgpu_lstm::nn::{Crf, Dense, Embedding, Lstm, Merge};
/// use wgpu_lstm::prelude::*;
/// let tags = ["O", "B-PER", "I-PER"];
/// // Two sentences of words by their numbers, and a tag for each word.
/// let x = Sequences::from_tokens([vec![1, 2, 3, 4], vec![3, 1, 2]])?;
/// let y = Targets::classes([0, 1, 2, 0, 0, 0, 1]);
/// let mut model = Sequential::new(&Device::auto()?)
///     .add(Embedding::new(5, 8))
///     .add(Lstm::new(8).bidirectional(Merge::Concat).return_sequences())
///     .add(Dense::new(tags.len()))
///     .add(Crf::bio(tags)?);
/// let spans = Metric::SpanF1 { tags: tags.map(str::to_owned).to_vec() };
/// model.compile(Adam::new(0.02), Loss::CrossEntropy, &[Metric::Accuracy, spans]);
/// model.fit(&x, &y, Fit::new().epochs(60).quiet())?;
/// assert_eq!(model.predict(&x)?.classes(), [0, 1, 2, 0, 0, 0, 1]);
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
///
/// A chain goes over the frames that count: those within a row's length ([`Var::with_lengths`]) or that its mask lets
/// count ([`Var::with_mask`]), one after the other. A NaN in a row makes all numbers of that row NaN, and of no other.
///
/// # Cost
/// 3 T K² exponentials a row for loss and gradient, and B T K numbers for the way back; T steps follow each other, a
/// workgroup of a GPU takes a row.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[must_use = "a layer does nothing until it is built and runs, or is added to a model"]
pub struct Crf {
    limits: Limits,
    frozen: bool,
    #[serde(skip)]
    built: Option<Built>,
}

#[derive(Debug, Clone)]
struct Built {
    tags: usize,
    /// Between tags, to the first, and from the last one.
    transitions: [ParamId; 3],
    /// What is added to all of them.
    limits: Option<Tensor>,
}

impl Crf {
    /// A layer without constraints.
    pub fn new() -> Self {
        Self::default()
    }

    /// A layer for tags that mark spans in the BIO scheme, by their names in the order of their numbers: `O` outside,
    /// `B-X` at the begin of a span of kind X, `I-X` within. No path begins with an `I-X`, or has one behind another
    /// tag than `B-X` or `I-X`: such paths have the probability 0, in training, too. AllenNLP's
    /// `allowed_transitions("BIO", ..)` has the same ones, which count there when it decodes.
    ///
    /// ```
    /// use wgpu_lstm::nn::{Crf, Params};
    /// use wgpu_lstm::{Device, Tape, Tensor};
    /// let device = Device::auto()?;
    /// let params = Params::new(&device);
    /// let crf = Crf::bio(["O", "B-PER", "I-PER"])?.build(&params, 3)?;
    /// // I-PER is the likeliest tag of both frames.
    /// let emissions = Tensor::from_slice(&[0.0, 1.0, 9.0, 0.0, 1.0, 9.0], [1, 2, 3], &device)?;
    /// let (tags, _) = crf.decode(&Tape::inference(&params), &emissions.into())?.remove(0);
    /// assert_eq!(tags, [1, 2]);
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Option`] for another name.
    pub fn bio<S: AsRef<str>>(tags: impl IntoIterator<Item = S>) -> Result<Self> {
        Ok(Self { limits: Limits::bio(tags)?, ..Self::default() })
    }

    /// Forbids tag `to` right behind tag `from`. Where constraints leave no path at all, one that breaks few of them
    /// is found.
    pub fn forbid(mut self, from: u32, to: u32) -> Self {
        self.limits.steps.push([from, to]);
        self
    }

    /// Forbids a tag at the first frame.
    pub fn forbid_start(mut self, tag: u32) -> Self {
        self.limits.starts.push(tag);
        self
    }

    /// Forbids a tag at the last frame.
    pub fn forbid_end(mut self, tag: u32) -> Self {
        self.limits.ends.push(tag);
        self
    }

    /// Excludes the layer's parameters from training, as [`super::Embedding::frozen`] does: Keras' `trainable=False`.
    /// [`crate::Sequential::unfreeze`] ends it.
    pub fn frozen(mut self) -> Self {
        self.frozen = true;
        self
    }

    /// The layer with its parameters in `params`: `crf.transitions` `[K,K]`, from each tag (row) to each,
    /// `crf.start_transitions` `[K]` and `crf.end_transitions` `[K]`, uniform in ±0.1 as pytorch-crf's are.
    ///
    /// # Errors
    /// [`Error::Option`] for 0 tags, for another number than [`Crf::bio`] names, and for constraints of tags that
    /// there are not; [`Error::Features`] if the layer was built with these `params` for another number;
    /// [`Error::TooLarge`], [`Error::OutOfMemory`].
    pub fn build(mut self, params: &Params, tags: usize) -> Result<Self> {
        self.build_on(params, tags)?;
        Ok(self)
    }

    /// -log p of the labels' path: the sum over the rows, each times the mean weight of its frames, over the sum of
    /// all frames' weights; so without weights the loss of a frame in the mean. `[1]`.
    ///
    /// `emissions` are `[B,T,K]`. As for [`crate::loss::cross_entropy`] there is a label for each frame, `[B*T]`, and
    /// a weight, if any; a frame of weight 0 is not in the chain, and so is one that lengths or mask of the emissions
    /// leave out. Its label may be anything. pytorch-crf's `sum` is this times the frames that count.
    ///
    /// ```
    /// use wgpu_lstm::loss::Labels;
    /// use wgpu_lstm::nn::{Crf, Params};
    /// use wgpu_lstm::{Device, Tape, Tensor};
    /// let device = Device::auto()?;
    /// let params = Params::new(&device);
    /// let crf = Crf::new().build(&params, 2)?;
    /// for name in params.names() {
    ///     params.set(&name, &vec![0.0; params.get(&name)?.len()])?;
    /// }
    /// let tape = Tape::new(&params);
    /// // All 8 paths are as likely.
    /// let emissions = tape.input(Tensor::zeros([1, 3, 2], &device)?);
    /// let loss = crf.loss(&tape, &emissions, &Labels::new(&[0, 1, 1], &device)?, None)?;
    /// assert!((loss.tensor().to_vec()?[0] - 8f32.ln() / 3.0).abs() < 1e-6);
    /// // The first frame should rather have the tag 0.
    /// let gradients = tape.backward(&loss)?;
    /// assert!(gradients.get(&emissions).unwrap().to_vec()?[0] < 0.0);
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Layer::forward`]; [`Error::Shape`] if there is not a label and weight for each frame;
    /// [`Error::Label`] for a label of K or more; [`Error::Option`], within [`Error::At`], for labels that the
    /// constraints forbid; [`Error::Unsupported`] for labels that are probabilities.
    pub fn loss(
        &self,
        tape: &Tape,
        emissions: &Var,
        labels: &Labels,
        weights: Option<&RowWeights>,
    ) -> Result<Var> {
        Ok(self.loss_and_answers(tape, emissions, (labels, weights), false)?.0)
    }

    /// The loss and, if wanted, the answers by the best paths, `[B,T,3]`: see [`crate::ops::loss::answers`].
    pub(crate) fn loss_and_answers(
        &self,
        tape: &Tape,
        emissions: &Var,
        wanted: Wanted<'_>,
        answers: bool,
    ) -> Result<(Var, Option<Tensor>)> {
        let (chains, sums, _) = self.chains(tape, emissions, Some(wanted))?;
        let (losses, logs) = chains.forward()?;
        let loss = Tensor::empty([1], &losses.device())?;
        reduce_sum(&losses, 1.0, false, &loss)?;
        let answers = if answers { Some(chains.viterbi()?.0) } else { None };
        let id = tape.id(emissions);
        let loss = tape.push_one(loss, true, move |d_loss, gradients| {
            let [d_x, d_scores] = chains.backward(&logs, d_loss)?;
            let d_scores = d_scores.reshape([1, d_scores.len()])?;
            let mut first = 0;
            for sum in sums {
                let part = Tensor::empty([1, sum.len()], &sum.device())?;
                copy_columns((&d_scores, first), (&part, 0), sum.len())?;
                add_into(&part, &sum)?;
                first += sum.len();
            }
            gradients.add(id, d_x)
        });
        Ok((loss, answers))
    }

    /// The likeliest path of each row and its score, by Viterbi's algorithm on the device: a tag for each frame that
    /// counts, of equally good paths that of the lowest tags, from the last frame on. Waits for the device; native
    /// only. A row with a NaN has the score NaN and a path of zeros.
    ///
    /// # Errors
    /// Those of [`Layer::forward`] and of [`Tensor::to_vec`].
    pub fn decode(&self, tape: &Tape, emissions: &Var) -> Result<Vec<(Vec<u32>, f32)>> {
        let (chains, _, table) = self.chains(tape, emissions, None)?;
        let (answers, scores) = chains.viterbi()?;
        let answers = answers.to_vec()?;
        let rows = (0..).zip(scores.to_vec()?);
        let tags = |row| table.places(row).map(|at| tag(&answers[at * WIDTH..])).collect();
        Ok(rows.map(|(row, score)| (tags(row), score)).collect())
    }

    /// The tags of the best paths at all frames `[B*T]`; 0 at those that do not count.
    pub(crate) fn best_tags(&self, tape: &Tape, emissions: &Var) -> Result<Vec<u32>> {
        tags_of(&self.chains(tape, emissions, None)?.0)
    }

    /// The marginals `[B,T,K]`, and the tags as [`Crf::best_tags`] has them.
    pub(crate) fn marginals_and_tags(
        &self,
        tape: &Tape,
        emissions: &Var,
    ) -> Result<(Vec<f32>, Vec<u32>)> {
        let (chains, ..) = self.chains(tape, emissions, None)?;
        let marginals = chains.marginals(&chains.forward()?.1)?;
        Ok((marginals.to_vec()?, tags_of(&chains)?))
    }

    /// The marginals: see [`Layer::forward`].
    ///
    /// # Errors
    /// As [`Layer::forward`].
    pub fn forward(&self, tape: &Tape, emissions: &Var) -> Result<Var> {
        let (chains, ..) = self.chains(tape, emissions, None)?;
        let marginals = chains.marginals(&chains.forward()?.1)?;
        let marginals = tape.push_one(marginals, true, |_, _| {
            Err(Error::Unsupported {
                what: "a gradient through the marginals",
                with: "Crf",
                help: "train on Crf::loss, or let it be a model's last layer with Loss::CrossEntropy",
            })
        });
        Ok(marginals.with_steps_of(emissions))
    }

    /// Checks that the constraints leave a path of labels.
    pub(crate) fn check_path(&self, path: &[u32]) -> Result<()> {
        check_path(&self.limits, path)
    }

    /// What the kernels take, with the sums for the parameters' gradients.
    fn chains(
        &self,
        tape: &Tape,
        emissions: &Var,
        wanted: Option<Wanted<'_>>,
    ) -> Result<(Chains, [Tensor; 3], Table)> {
        let Some(Built { tags, transitions, limits }) = &self.built else {
            return Err(Error::NotBuilt { what: "this Crf", call: "build" });
        };
        let (k, x) = (*tags, emissions.tensor());
        let check = Check::new(OP, "the layer was built for so many tags");
        check.dtype("emissions", x, DType::F32)?;
        let axes = "[B,T,K], as a layer with return_sequences gives it";
        let [b, t, _] = check.dims("emissions", x, axes)?;
        check.shape("emissions", x, "[B,T,K]", &[b, t, k])?;
        let table = Table::new(emissions, [b, t, k], wanted, &self.limits)?;
        let device = x.device();
        let parts = [
            tape.parameter(transitions[0], &[k, k])?,
            tape.parameter(transitions[1], &[k])?,
            tape.parameter(transitions[2], &[k])?,
        ];
        check.device(x, &[("transitions", &parts[0].0)])?;
        let mut scores = Tensor::empty([1, (k + 2) * k], &device)?;
        let mut first = 0;
        for (value, _) in &parts {
            let value = value.reshape([1, value.len()])?;
            copy_columns((&value, 0), (&scores, first), value.len())?;
            first += value.len();
        }
        if let Some(limits) = limits {
            scores = add(&scores, limits)?;
        }
        let chain = table.tensor(&device)?;
        Ok((Chains { x: x.clone(), scores, chain }, parts.map(|(_, sum)| sum), table))
    }
}

/// The tags of the best paths at all frames.
fn tags_of(chains: &Chains) -> Result<Vec<u32>> {
    let answers = chains.viterbi()?.0.to_vec()?;
    Ok(answers.chunks_exact(WIDTH).map(tag).collect())
}

/// The tag of an answer; some tag if it answers nothing.
fn tag(answer: &[f32]) -> u32 {
    // A negative number becomes 0.
    answer[CLASS] as u32
}

impl Layer for Crf {
    fn kind(&self) -> &'static str {
        "crf"
    }

    fn config(&self) -> Result<String> {
        to_config(self)
    }

    fn parameter(&self, _: Own) -> Option<ParamId> {
        self.built.as_ref().map(|built| built.transitions[0])
    }

    fn crf(&self, _: Own) -> Option<&Crf> {
        Some(self)
    }

    fn explain(&self, _: Own, params: &Params, _: [usize; 3]) -> Result<Option<[String; 2]>> {
        let path = match params.device().is_gpu() {
            true => "GPU: frame by frame, a workgroup a row",
            false => "CPU: frame by frame, rows over threads",
        };
        Ok(Some([path.into(), "a path goes through all frames".into()]))
    }

    fn build_on(&mut self, params: &Params, tags: usize) -> Result<()> {
        let before = self.built.as_ref().map(|built| (built.transitions[0], built.tags));
        if is_built(params, before, tags)? {
            return Ok(());
        }
        check_size("Crf::tags", tags)?;
        check_weights(tags + 2, tags)?;
        self.limits.check(tags)?;
        let prefix = params.free_prefix("crf");
        let mark = params.mark();
        let first = Init::Uniform { limit: 0.1 };
        let add = |name: &str, shape: Vec<usize>| {
            let values = first.bias(params, shape.iter().product(), tags, 1)?;
            params.add(format!("{prefix}.{name}"), shape, Layout::Plain, &values)
        };
        let transitions = [
            add("transitions", vec![tags, tags])?,
            add("start_transitions", vec![tags])?,
            add("end_transitions", vec![tags])?,
        ];
        // Behind the parameters, of which a file must have all numbers before there is room for more.
        let limits = self.limits.scores(tags).and_then(|scores| {
            let tensor = |all: Vec<f32>| Tensor::from_slice(&all, [1, all.len()], &params.device());
            scores.map(tensor).transpose()
        });
        let limits = limits.inspect_err(|_| params.drop_since(mark))?;
        if self.frozen {
            params.freeze_since(mark);
        }
        self.built = Some(Built { tags, transitions, limits });
        Ok(())
    }

    fn output_size(&self) -> usize {
        self.built.as_ref().map_or(self.limits.tags.unwrap_or(0), |built| built.tags)
    }

    fn gives_sequence(&self, takes_sequence: bool) -> bool {
        takes_sequence
    }

    /// The marginals `[B,T,K]`: the probability of each tag at each frame over all paths, 0 at frames that do not
    /// count. No gradient comes through them: see [`Crf::loss`].
    ///
    /// # Errors
    /// [`Error::NotBuilt`]; [`Error::Rank`], [`Error::Empty`], [`Error::DType`] and [`Error::Shape`] if the emissions
    /// are not what the layer was built for; [`Error::Length`] and [`Error::OtherDevice`].
    fn forward(&self, tape: &Tape, x: &Var) -> Result<Var> {
        Crf::forward(self, tape, x)
    }

    /// The emissions as they come: what the loss takes.
    fn forward_logits(&self, _: &Tape, x: &Var) -> Result<(Var, Activation)> {
        Ok((x.clone(), Activation::Linear))
    }

    fn activation(&self) -> Option<Activation> {
        Some(Activation::Softmax)
    }

    fn parameter_count(&self) -> usize {
        self.built.as_ref().map_or(0, |built| (built.tags + 2) * built.tags)
    }
}
