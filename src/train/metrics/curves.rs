//! Areas under curves, which take the scores of all rows.

use super::confusion::same_count;
use crate::Result;

/// The area under the ROC curve: the chance that a row that is positive has a higher score than one that is
/// not, where equal scores count a half (Hanley & McNeil 1982; scikit-learn's `roc_auc_score`).
/// NaN where all rows are alike, or a score is NaN. `weights` are 1 without.
///
/// ```
/// use wgpu_lstm::train::metrics::roc_auc;
/// let area = roc_auc(&[0.1, 0.4, 0.35, 0.8], &[false, false, true, true], None)?;
/// assert_eq!(area, 0.75);
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
///
/// # Errors
/// [`crate::Error::Count`] if there is not one label, and one weight, for each score.
pub fn roc_auc(scores: &[f32], positive: &[bool], weights: Option<&[f32]>) -> Result<f64> {
    Ok(Scores::of("metrics::roc_auc", scores, positive, weights)?.roc_auc())
}

/// The area under the curve of precision and recall, by steps: the sum of (R_n - R_{n-1}) P_n over the
/// scores from the highest on (scikit-learn's `average_precision_score`). 0 where no row is
/// positive, NaN if a score is NaN. `weights` are 1 without.
///
/// # Errors
/// As [`roc_auc`].
pub fn average_precision(
    scores: &[f32],
    positive: &[bool],
    weights: Option<&[f32]>,
) -> Result<f64> {
    let op = "metrics::average_precision";
    Ok(Scores::of(op, scores, positive, weights)?.average_precision())
}

/// The threshold of F1: that above which rows that are yes have the largest F1, and this F1 (scikit-learn's
/// `precision_recall_curve` and the largest 2 P R / (P + R) on it). `scores` are probabilities of yes, such as
/// [`Prediction::values`](crate::train::Prediction::values) of a model with one output and a sigmoid. Find it on
/// validation data: on those that a model learned from it promises too much. `weights` are 1 without.
///
/// The threshold lies halfway between two scores, or between the lowest and 0: rows that score alike are not told
/// apart. Of thresholds that are as good it is the highest. `None` where no row is positive, or a score is NaN.
///
/// ```
/// use wgpu_lstm::train::metrics::best_threshold;
/// let scores = [0.1, 0.4, 0.35, 0.8];
/// let best = best_threshold(&scores, &[false, false, true, true], None)?;
/// // Above 0.225 two of three are right, and all that are yes: 2 · 2 / (3 + 2).
/// assert_eq!(best, Some((0.225, 0.8)));
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
///
/// # Errors
/// As [`roc_auc`].
pub fn best_threshold(
    scores: &[f32],
    positive: &[bool],
    weights: Option<&[f32]>,
) -> Result<Option<(f32, f64)>> {
    Ok(Scores::of("metrics::best_threshold", scores, positive, weights)?.best_threshold())
}

/// Rows by their score, whether they are positive, and their weight.
#[derive(Debug, Default)]
pub(crate) struct Scores(Vec<(f64, bool, f32)>);

impl Scores {
    /// All its numbers, for a checkpoint.
    pub(crate) fn numbers(&self) -> Vec<f64> {
        let row = |&(score, positive, weight): &(f64, bool, f32)| {
            [score, f64::from(u8::from(positive)), f64::from(weight)]
        };
        self.0.iter().flat_map(row).collect()
    }

    pub(crate) fn set_numbers(&mut self, numbers: &[f64]) {
        let rows = numbers.chunks_exact(3);
        self.0 = rows.map(|row| (row[0], row[1] != 0.0, row[2] as f32)).collect();
    }

    fn of(
        op: &'static str,
        scores: &[f32],
        positive: &[bool],
        weights: Option<&[f32]>,
    ) -> Result<Self> {
        same_count(op, scores.len(), positive.len())?;
        same_count(op, scores.len(), weights.map_or(scores.len(), <[f32]>::len))?;
        let mut rows = Self::default();
        for (i, (&score, &positive)) in scores.iter().zip(positive).enumerate() {
            rows.add(f64::from(score), positive, weights.map_or(1.0, |w| w[i]));
        }
        Ok(rows)
    }

    pub(crate) fn add(&mut self, score: f64, positive: bool, weight: f32) {
        // A row that does not count makes no NaN either.
        if weight != 0.0 {
            self.0.push((score, positive, weight));
        }
    }

    /// The weights of the positive rows and of the others at each score, and that, from the highest on; `None`
    /// if a score is NaN.
    fn steps(&self) -> Option<Vec<[f64; 3]>> {
        if self.has_nan() {
            return None;
        }
        let mut rows = self.0.clone();
        rows.sort_by(|a, b| b.0.total_cmp(&a.0));
        let steps = rows.chunk_by(|a, b| a.0 == b.0).map(|rows| {
            let none = [0.0, 0.0, rows[0].0];
            rows.iter().fold(none, |[yes, no, score], &(_, positive, weight)| match positive {
                true => [yes + f64::from(weight), no, score],
                false => [yes, no + f64::from(weight), score],
            })
        });
        Some(steps.collect())
    }

    pub(crate) fn has_nan(&self) -> bool {
        self.0.iter().any(|row| row.0.is_nan())
    }

    pub(crate) fn roc_auc(&self) -> f64 {
        let Some(steps) = self.steps() else { return f64::NAN };
        let (mut yes, mut no, mut area) = (0.0, 0.0, 0.0);
        for [more_yes, more_no, _] in steps {
            area += more_no * (yes + more_yes / 2.0);
            yes += more_yes;
            no += more_no;
        }
        // 0 / 0 is what it is of one class alone.
        area / (yes * no)
    }

    fn best_threshold(&self) -> Option<(f32, f64)> {
        let steps = self.steps()?;
        let positive: f64 = steps.iter().map(|[yes, ..]| yes).sum();
        let (mut yes, mut all, mut best) = (0.0, 0.0, None);
        for (at, &[more_yes, more_no, score]) in steps.iter().enumerate() {
            yes += more_yes;
            all += more_yes + more_no;
            let f1 = 2.0 * yes / (all + positive);
            if positive > 0.0 && best.is_none_or(|(_, before)| f1 > before) {
                let below = match steps.get(at + 1) {
                    Some(&[.., next]) => next,
                    None => score.min(0.0) - if score > 0.0 { 0.0 } else { 1.0 },
                };
                let half = ((score + below) / 2.0) as f32;
                // Rounding takes no row away.
                best = Some((if f64::from(half) < score { half } else { below as f32 }, f1));
            }
        }
        best
    }

    pub(crate) fn average_precision(&self) -> f64 {
        let Some(steps) = self.steps() else { return f64::NAN };
        let (mut yes, mut all, mut area) = (0.0, 0.0, 0.0);
        for [more_yes, more_no, _] in steps {
            yes += more_yes;
            all += more_yes + more_no;
            area += more_yes * (yes / all);
        }
        if yes > 0.0 { area / yes } else { 0.0 }
    }
}
