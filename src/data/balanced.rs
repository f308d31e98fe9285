//! Weights that make up for classes of different sizes.

use super::Targets;
use crate::{Error, Result};
use std::collections::BTreeMap;

impl Targets {
    /// A weight for each of `classes` classes, so that all weigh the same together: n / (classes · n_c), for n
    /// targets of which n_c are of class c. Scikit-learn's `compute_class_weight("balanced")`, Keras' usual
    /// `class_weight`; for [`crate::loss::CrossEntropy::class_weights`].
    ///
    /// ```
    /// use wgpu_lstm::data::Targets;
    /// use wgpu_lstm::{loss::CrossEntropy, train::Loss};
    /// let y = Targets::classes([0, 0, 0, 1]);
    /// let weights = y.class_weights(2)?;
    /// assert_eq!(weights, [4.0 / 6.0, 2.0]);
    /// let loss = Loss::CrossEntropyWith(CrossEntropy::new().class_weights(weights));
    /// # let _ = loss;
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Label`] for a class of `classes` or more; [`Error::Option`] if a class has no target, which has
    /// no such weight; and those of [`Targets::labels`].
    pub fn class_weights(&self, classes: usize) -> Result<Vec<f32>> {
        let labels = self.labels()?;
        if let Some(row) = labels.iter().position(|&label| label as usize >= classes) {
            return Err(Error::Label { row, found: labels[row], classes });
        }
        let counts = counts(&labels);
        if let Some(class) = (0..classes).find(|&class| !counts.contains_key(&(class as u32))) {
            return Err(Error::Option {
                option: "Targets::class_weights",
                found: format!("of {classes} classes, of which {class} has no target"),
                expected: "of classes that all have targets; a stratified split keeps them".into(),
            });
        }
        let share = labels.len() as f64 / classes as f64;
        Ok(counts.values().map(|&count| (share / count as f64) as f32).collect())
    }

    /// The weight of each target, so that all classes that occur weigh the same together: scikit-learn's
    /// `compute_sample_weight("balanced")`, for [`crate::train::Fit::sample_weights`]. Of use for a binary loss,
    /// too, whose targets are 0.0 and 1.0.
    ///
    /// ```
    /// use wgpu_lstm::data::Targets;
    /// let y = Targets::values([0.0, 1.0, 0.0, 0.0], 1);
    /// let weights = y.sample_weights()?;
    /// assert_eq!(weights[..2], [4.0 / 6.0, 2.0]);
    /// let fit = wgpu_lstm::train::Fit::new().sample_weights(&weights);
    /// # let _ = fit;
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Targets::labels`].
    pub fn sample_weights(&self) -> Result<Vec<f32>> {
        let labels = self.labels()?;
        let counts = counts(&labels);
        let share = labels.len() as f64 / counts.len() as f64;
        let weight =
            |label: &u32| (share / counts.get(label).map_or(1.0, |&count| count as f64)) as f32;
        Ok(labels.iter().map(weight).collect())
    }
}

/// How many targets each class has.
fn counts(labels: &[u32]) -> BTreeMap<u32, usize> {
    let mut counts = BTreeMap::new();
    labels.iter().for_each(|&label| *counts.entry(label).or_default() += 1);
    counts
}
