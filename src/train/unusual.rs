//! What is unusual in the data of a training: no error, but often a slip.

use super::{Fit, Loss, Optimizer, Sequential};
use crate::data::{Kind, Sequences, Targets};
use std::collections::HashSet;

/// The size of a column's mean or standard deviation from which on it counts as not scaled.
const LARGE: f64 = 100.0;

impl Sequential {
    /// A sentence for each thing in the data that hardly lets a model learn: inputs or targets of a size far
    /// beyond 1, inputs that are the same everywhere.
    pub(super) fn unusual(&self, x: &Sequences, y: &Targets, loss: &Loss) -> Vec<String> {
        let mut found = Vec::new();
        // The size of a token means nothing.
        if !self.layers.first().is_some_and(|first| first.takes_tokens()) {
            let columns = columns(x.iter(), x.features());
            let before = found.len();
            let tokens = match x.features() {
                1 => "; or, if these are tokens, begin with an Embedding",
                _ => "",
            };
            found.extend(large("inputs", &columns).map(|text| text + tokens));
            if found.len() == before && x.features() == 1 && may_be_tokens(x.iter().flatten()) {
                found.push(
                    "the inputs are whole numbers, one in each frame; if these are tokens, or numbers of classes, \
                     begin with an Embedding, since their order says nothing"
                        .into(),
                );
            }
            let same = |column: &Column| x.total_frames() > 1 && column.low == column.high;
            found.extend(first_of(&columns, same).map(|(number, column, others)| {
                let Column { low, .. } = column;
                format!(
                    "column {number} of the inputs{others} is {low} in every frame and tells nothing; \
                     leave it out, or look whether it was read as it should be"
                )
            }));
        }
        // What a cross-entropy takes was checked.
        if let Kind::Values { values, width } = &y.kind
            && !loss.is_binary()
            && loss.of_classes().is_none()
        {
            let columns = columns([values.as_slice()].into_iter(), *width);
            let back = ", and turn predictions back by them";
            found.extend(large("targets", &columns).map(|text| text + back));
        }
        found.extend(self.unusual_end(loss));
        found
    }

    /// The same of the last layer.
    fn unusual_end(&self, loss: &Loss) -> Option<String> {
        let last = self.layers.last()?;
        let (outputs, kind) = (last.output_size(), last.kind());
        (loss.of_logits() && matches!(kind, "lstm" | "rnn")).then(|| {
            format!(
                "the last layer is an {kind} of {outputs} units, between -1 and 1: too little for logits; add a \
                 Dense with an output for each class after it"
            )
        })
    }
}

impl Sequential {
    /// The same of the options of a training, of which so many steps are made.
    pub(super) fn unusual_options(
        &self,
        options: &Fit<'_>,
        steps: u64,
        optimizer: &dyn Optimizer,
    ) -> Vec<String> {
        let mut found = Vec::new();
        if options.epochs == 0 {
            found.push("Fit::epochs is 0: no step is made".into());
        }
        match (optimizer.learning_rate(), optimizer.highest_rate()) {
            (Some(0.0), _) => {
                found.push("the optimizer's learning rate is 0: its steps change nothing".into());
            }
            (Some(rate), Some(highest)) if rate > highest => found.push(format!(
                "the optimizer's learning rate is {rate}, above {highest}: each step moves every parameter by about \
                 as much, far beyond what it is; 0.001 is usual, and Sequential::find_rate finds one"
            )),
            _ => {}
        }
        if options.shuffle && self.layers.iter().any(|layer| layer.is_stateful()) {
            found.push(
                "a layer is stateful, but the sequences are shuffled, so that its state goes on in others; \
                 see Fit::shuffle"
                    .into(),
            );
        }
        if let Some(schedule) = options.schedule.as_ref().filter(|_| steps > 0)
            && schedule.factor(steps) == 0.0
        {
            found.push(format!(
                "the schedule is at its end: after the {steps} steps since compile its factor is 0; take one of \
                 more steps, or a closure that counts from here"
            ));
        }
        found.extend(self.params.unusual_groups());
        found
    }
}

/// How many different values tokens have at least: fewer may be a switch, or a count of few things.
const TOKENS: usize = 10;

/// Whether all are whole numbers from 0 on, of which there are several.
fn may_be_tokens<'a>(values: impl IntoIterator<Item = &'a f32>) -> bool {
    let mut different = HashSet::new();
    for &value in values {
        if value < 0.0 || value.fract() != 0.0 {
            return false;
        }
        if different.len() < TOKENS {
            different.insert(value.to_bits());
        }
    }
    different.len() >= TOKENS
}

/// One of the values of a frame, or of a target, over all of them.
struct Column {
    low: f32,
    high: f32,
    mean: f64,
    std: f64,
}

fn columns<'a>(parts: impl Iterator<Item = &'a [f32]>, width: usize) -> Vec<Column> {
    let start = (f32::INFINITY, f32::NEG_INFINITY, 0.0, 0.0);
    let (mut sums, mut n) = (vec![start; width], 0);
    for frame in parts.flat_map(|part| part.chunks_exact(width.max(1))) {
        n += 1;
        for ((low, high, sum, squares), &v) in sums.iter_mut().zip(frame) {
            (*low, *high) = (low.min(v), high.max(v));
            *sum += f64::from(v);
            *squares += f64::from(v) * f64::from(v);
        }
    }
    let n = n.max(1) as f64;
    let of = |(low, high, sum, squares): (f32, f32, f64, f64)| {
        let mean = sum / n;
        Column { low, high, mean, std: (squares / n - mean * mean).max(0.0).sqrt() }
    };
    sums.into_iter().map(of).collect()
}

/// The first column of a kind, its number, and how many others there are.
fn first_of(columns: &[Column], is: impl Fn(&Column) -> bool) -> Option<(usize, &Column, String)> {
    let mut found = columns.iter().enumerate().filter(|(_, column)| is(column));
    let (number, column) = found.next()?;
    let others = match found.count() {
        0 => String::new(),
        n => format!(" (and of {n} more)"),
    };
    Some((number, column, others))
}

fn large(what: &str, columns: &[Column]) -> Option<String> {
    let is_large = |column: &Column| column.mean.abs() > LARGE || column.std > LARGE;
    let (number, column, others) = first_of(columns, is_large)?;
    let Column { low, high, mean, .. } = column;
    Some(format!(
        "column {number} of the {what}{others} goes from {low} to {high} with a mean of {mean:.0}, far \
         beyond the size of about 1 that a model learns well from; subtract the mean of the training \
         data and divide by their standard deviation"
    ))
}
