//! Prefix beam search: the likeliest labels, whatever the path.
//!
//! A prefix is known by its labels alone. Of each there are two log-probabilities: of all paths that spell it
//! and end with a blank, and of those that end with its last label, since the same label comes again only
//! behind a blank.

use super::Ctc;
use super::beam::{BeamSearch, Decoded};
use super::emissions::{Emissions, Frames};
use crate::{Error, Result};
use std::cmp::Ordering;
use std::collections::HashMap;

const NEVER: f64 = f64::NEG_INFINITY;

impl Ctc {
    /// The likeliest labels of each row, the best first, by a prefix beam search, which adds up the
    /// probabilities of all paths that spell the same: TensorFlow's `ctc_beam_search_decoder`. The
    /// log-probabilities are exact if the beam is wide enough for all that a row could spell.
    ///
    /// ```
    /// use wgpu_lstm::loss::{BeamSearch, Ctc, Emissions};
    /// // The likeliest path is blank, blank (0.36), yet 1 has three paths: 0.16 + 0.24 + 0.24.
    /// let p = [0.6, 0.4, 0.6, 0.4];
    /// let emissions = Emissions::from_probabilities(&p, 2, &[2])?;
    /// assert!(Ctc::new().greedy(&emissions)?[0].labels().is_empty());
    /// let found = Ctc::new().beam_search(&emissions, &BeamSearch::new(10).best(2))?;
    /// assert_eq!((&found[0][0].labels[..], &found[0][1].labels[..]), (&[1][..], &[][..]));
    /// assert!((found[0][0].log_probability.exp() - 0.64).abs() < 1e-6);
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Option`] if the blank is no class, or for a width or number of results or classes of 0, a
    /// negative weight, or options that are not finite; [`Error::NotFinite`] if a language model says NaN or
    /// +∞; [`Error::OutOfMemory`] as [`Ctc::align`].
    ///
    /// # Cost
    /// Up to the product of frames, width and classes, rows on rayon's threads.
    ///
    /// # Source
    /// Graves 2012, section 7.5.3; Hannun et al. 2014, arXiv 1408.2873.
    pub fn beam_search(
        &self,
        emissions: &Emissions,
        options: &BeamSearch,
    ) -> Result<Vec<Vec<Decoded>>> {
        self.check_blank(emissions.classes())?;
        options.check()?;
        emissions.each(|frames| {
            let mut search = Search::new(options, self.blank, frames);
            frames.iter().try_for_each(|frame| search.step(frame))?;
            let decoded = |(labels, log_probability, score): (Vec<u32>, _, _)| {
                let alignment = self.align_row(frames, &labels)?;
                Ok(Decoded { labels, log_probability, score, alignment })
            };
            search.finish()?.into_iter().map(decoded).collect()
        })
    }
}

/// The search in one row.
struct Search<'a> {
    options: &'a BeamSearch,
    blank: u32,
    frames: Frames<'a>,
    /// All prefixes that were in the beam at some time. A prefix that leaves and returns is the same.
    nodes: Vec<Node>,
    children: HashMap<(usize, u32), usize>,
    /// The best first.
    beam: Vec<Entry>,
    /// For each place of the beam and class, whether the prefix with that label is in the beam.
    taken: Vec<bool>,
    found: Vec<Candidate>,
    /// The prefix that the language model was last asked about, and its labels.
    asked: (usize, Vec<u32>),
}

/// A prefix: another and a label; node 0 is the empty one.
struct Node {
    parent: usize,
    label: u32,
    /// The place in the beam, or `OUT`.
    place: usize,
}

const OUT: usize = usize::MAX;

struct Entry {
    node: usize,
    /// The log-probability of all paths that end with a blank, and of all that end with the last label.
    blank: f64,
    label: f64,
    /// Of both.
    total: f64,
    /// What the language model and the bonus add to the score.
    extra: f64,
    /// What the language model adds for each next label; NaN where it was not asked.
    next: Vec<f64>,
}

/// What may be in the next beam: a prefix of this one, or such a prefix and a label.
struct Candidate {
    from: usize,
    label: Option<u32>,
    /// As of an [`Entry`].
    paths: [f64; 2],
    extra: f64,
    score: f64,
}

impl Candidate {
    /// The better first; of equals those of the better prefix, and prefixes that are there before new ones.
    fn order(&self, other: &Self) -> Ordering {
        let place = |c: &Self| (c.label.is_some(), c.from, c.label);
        other.score.total_cmp(&self.score).then_with(|| place(self).cmp(&place(other)))
    }
}

impl<'a> Search<'a> {
    fn new(options: &'a BeamSearch, blank: u32, frames: Frames<'a>) -> Self {
        let beam =
            Entry { node: 0, blank: 0.0, label: NEVER, total: 0.0, extra: 0.0, next: Vec::new() };
        Self {
            options,
            blank,
            frames,
            nodes: vec![Node { parent: OUT, label: blank, place: 0 }],
            children: HashMap::new(),
            beam: vec![beam],
            taken: Vec::new(),
            found: Vec::new(),
            asked: (0, Vec::new()),
        }
    }

    fn step(&mut self, frame: &[f32]) -> Result<()> {
        self.found.clear();
        self.taken.clear();
        self.taken.resize(self.beam.len() * frame.len(), false);
        let log = |label: u32| f64::from(frame[label as usize]);
        for (from, entry) in self.beam.iter().enumerate() {
            let node = &self.nodes[entry.node];
            let mut label = NEVER;
            if entry.node != 0 {
                label = entry.label;
                // The parent, if it is in the beam, grows into this prefix.
                let parent = self.nodes[node.parent].place;
                if let Some(above) = self.beam.get(parent) {
                    self.taken[parent * frame.len() + node.label as usize] = true;
                    label = log_add(label, self.ready(above, node.label));
                }
                label += log(node.label);
            }
            let paths = [entry.total + log(self.blank), label];
            let (extra, score) = (entry.extra, log_add(paths[0], label) + entry.extra);
            self.found.push(Candidate { from, label: None, paths, extra, score });
        }
        self.extend(frame)?;
        self.keep();
        Ok(())
    }

    /// The log-probability of the paths of a prefix behind which a label is one more.
    fn ready(&self, entry: &Entry, label: u32) -> f64 {
        let same = entry.node != 0 && self.nodes[entry.node].label == label;
        if same { entry.blank } else { entry.total }
    }

    /// Finds the prefixes that are one label longer.
    fn extend(&mut self, frame: &[f32]) -> Result<()> {
        // Behind a full beam's worst there is no need to look.
        let scores = self.found.iter().map(|candidate| candidate.score);
        let full = self.beam.len() >= self.options.width;
        let worst = if full { scores.fold(f64::INFINITY, f64::min) } else { NEVER };
        let labels = self.likely(frame);
        for from in 0..self.beam.len() {
            for &label in &labels {
                let entry = &self.beam[from];
                let log = f64::from(frame[label as usize]);
                let most = entry.total + log + entry.extra + f64::from(self.options.bonus);
                if most <= worst && self.options.model.is_none() {
                    break; // those that follow are no likelier
                }
                let paths = self.ready(entry, label) + log;
                if self.taken[from * frame.len() + label as usize] || paths == NEVER {
                    continue;
                }
                let extra = entry.extra + self.next(from, label, frame.len())?;
                let score = paths + extra;
                if score > worst {
                    let (label, paths) = (Some(label), [NEVER, paths]);
                    self.found.push(Candidate { from, label, paths, extra, score });
                }
            }
        }
        Ok(())
    }

    /// The labels that may extend a prefix, the likeliest first.
    fn likely(&self, frame: &[f32]) -> Vec<u32> {
        let of = |label: u32| frame[label as usize];
        let mut labels: Vec<_> =
            (0..frame.len() as u32).filter(|&label| label != self.blank).collect();
        labels.sort_unstable_by(|&a, &b| of(b).total_cmp(&of(a)).then(a.cmp(&b)));
        labels.truncate(self.options.top_classes);
        // Without the likeliest class no path might be left.
        let blank = of(self.blank);
        let keep = |(i, &label): (usize, &u32)| {
            let p = of(label);
            p >= self.options.least || i == 0 && p >= blank
        };
        let count = labels.iter().enumerate().take_while(|&each| keep(each)).count();
        labels.truncate(count);
        labels
    }

    /// What the language model and the bonus say of a label behind a prefix.
    fn next(&mut self, from: usize, label: u32, classes: usize) -> Result<f64> {
        let bonus = f64::from(self.options.bonus);
        if self.options.model.is_none() {
            return Ok(bonus);
        }
        if self.beam[from].next.is_empty() {
            self.beam[from].next = vec![f64::NAN; classes];
        }
        let known = self.beam[from].next[label as usize];
        if !known.is_nan() {
            return Ok(known + bonus);
        }
        let said = self.ask(self.beam[from].node, Some(label))?;
        self.beam[from].next[label as usize] = said;
        Ok(said + bonus)
    }

    /// The weighted logarithm of what the language model says of a label, or the end, behind a prefix.
    fn ask(&mut self, node: usize, next: Option<u32>) -> Result<f64> {
        let Some((weight, model)) = &self.options.model else { return Ok(0.0) };
        if self.asked.0 != node {
            self.asked = (node, self.labels(node));
        }
        let before = &self.asked.1;
        let said = model(before, next);
        if said.is_nan() || said == f32::INFINITY {
            let what = next.map_or("the end".into(), |label| format!("label {label}"));
            let (row, count) = (self.frames.row, before.len());
            return Err(Error::NotFinite {
                what: "what BeamSearch::language_model says",
                place: format!("row {row}: of {what} behind {count} labels"),
                help: "it is a log-probability: at most 0, or -inf for what cannot be",
            });
        }
        Ok(if said == f32::NEG_INFINITY { NEVER } else { f64::from(*weight) * f64::from(said) })
    }

    fn labels(&self, mut node: usize) -> Vec<u32> {
        let mut labels = Vec::new();
        while node != 0 {
            labels.push(self.nodes[node].label);
            node = self.nodes[node].parent;
        }
        labels.reverse();
        labels
    }

    /// Makes the next beam of the best that were found.
    fn keep(&mut self) {
        let width = self.options.width;
        self.found.retain(|candidate| candidate.score > NEVER);
        if self.found.len() > width {
            self.found.select_nth_unstable_by(width - 1, Candidate::order);
            self.found.truncate(width);
        }
        self.found.sort_unstable_by(Candidate::order);
        let mut old = std::mem::take(&mut self.beam);
        old.iter().for_each(|entry| self.nodes[entry.node].place = OUT);
        for candidate in &self.found {
            let from = &mut old[candidate.from];
            let (node, next) = match candidate.label {
                None => (from.node, std::mem::take(&mut from.next)),
                Some(label) => {
                    let (parent, new) = (from.node, self.nodes.len());
                    let node = *self.children.entry((parent, label)).or_insert(new);
                    if node == new {
                        self.nodes.push(Node { parent, label, place: OUT });
                    }
                    (node, Vec::new())
                }
            };
            self.nodes[node].place = self.beam.len();
            let [blank, label] = candidate.paths;
            let (total, extra) = (log_add(blank, label), candidate.extra);
            self.beam.push(Entry { node, blank, label, total, extra, next });
        }
    }

    /// The best prefixes: labels, log-probability and score.
    fn finish(mut self) -> Result<Vec<(Vec<u32>, f64, f64)>> {
        let mut found = Vec::with_capacity(self.beam.len());
        for entry in std::mem::take(&mut self.beam) {
            let score = entry.total + entry.extra + self.ask(entry.node, None)?;
            if score > NEVER {
                found.push((entry.node, entry.total, score));
            }
        }
        found.sort_by(|a, b| b.2.total_cmp(&a.2));
        found.truncate(self.options.best);
        Ok(found.into_iter().map(|(node, log, score)| (self.labels(node), log, score)).collect())
    }
}

/// The logarithm of e^a + e^b.
fn log_add(a: f64, b: f64) -> f64 {
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    if low == NEVER { high } else { high + (low - high).exp().ln_1p() }
}
