//! Trainings as pictures.

use super::axis::Scale;
use super::lines::{Lines, Ticks, color};
use super::picture::Picture;
use crate::train::{Epoch, History, RateFinder};

impl History {
    /// A picture of the training over its epochs, counted from 1: the loss, each metric, and the learning rate
    /// if it changes, each in a panel of its own, of the training and of the validation. A dashed line is at
    /// the epoch of the least validation loss, or without validation of the least training loss. The axis is
    /// logarithmic where the greatest value is a hundred times the least.
    ///
    /// ```
    /// use wgpu_lstm::prelude::*;
    /// let x = Sequences::from_array(&[0.5; 10 * 4 * 2], [10, 4, 2])?;
    /// let y = Targets::values([1.0; 10], 1);
    /// let mut model = Sequential::new(&Device::auto()?).add(Lstm::new(4)).add(Dense::new(1));
    /// model.compile(Adam::default(), Loss::MeanSquaredError, &[Metric::MeanAbsoluteError]);
    /// let history = model.fit(&x, &y, Fit::new().epochs(3).validation_split(0.2).quiet())?;
    /// let svg = history.plot().title("a first training").to_svg()?;
    /// assert!(svg.contains(">validation</text>"));
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    pub fn plot(&self) -> Picture {
        let mut names = vec!["loss".to_owned()];
        let evaluations =
            self.epochs.iter().flat_map(|e| [Some(&e.training), e.validation.as_ref()]);
        for name in evaluations.flatten().flat_map(|e| &e.names) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        let best = best(&self.epochs);
        let mut panels = Vec::new();
        for name in &names {
            let mut panel = Lines::new(name.replace('_', " "), "epoch", Ticks::Whole);
            for (number, (set, prefix)) in
                [("training", ""), ("validation", "val_")].iter().enumerate()
            {
                let points = self.over_epochs(|epoch| epoch.value(&format!("{prefix}{name}")));
                if !points.is_empty() {
                    panel.line(*set, points, color(number), false);
                }
            }
            panels.push(panel);
        }
        let rates = self.over_epochs(|epoch| epoch.learning_rate);
        if rates.windows(2).any(|pair| pair[0][1] != pair[1][1]) {
            let mut panel = Lines::new("learning rate", "epoch", Ticks::Whole);
            panel.line("", rates, color(2), false);
            panels.push(panel);
        }
        for (number, panel) in panels.iter_mut().enumerate() {
            let name =
                |epoch| if number == 0 { format!("best: epoch {epoch}") } else { String::new() };
            panel.mark = best.map(|epoch| (epoch as f64, name(epoch)));
        }
        Picture::of_lines(panels)
    }

    fn over_epochs(&self, value: impl Fn(&Epoch) -> Option<f32>) -> Vec<[f64; 2]> {
        let numbered = self.epochs.iter().enumerate();
        numbered.filter_map(|(at, epoch)| Some([at as f64 + 1.0, value(epoch)?.into()])).collect()
    }
}

/// The number from 1 of the epoch with the least validation loss, or else training loss; the first of equals.
fn best(epochs: &[Epoch]) -> Option<usize> {
    let validates = epochs.iter().any(|epoch| epoch.validation.is_some());
    let name = if validates { "val_loss" } else { "loss" };
    let losses = epochs.iter().enumerate().filter_map(|(at, epoch)| Some((at, epoch.value(name)?)));
    let finite = losses.filter(|(_, loss)| loss.is_finite());
    finite.min_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(at, _)| at + 1)
}

impl RateFinder {
    /// A picture of the smoothed loss over the rate, whose axis is logarithmic, with a dashed line at
    /// [`RateFinder::suggestion`].
    ///
    /// ```
    /// # use wgpu_lstm::prelude::*;
    /// # use wgpu_lstm::train::FindRate;
    /// # let x = Sequences::from_array(&[0.5; 10 * 4 * 2], [10, 4, 2])?;
    /// # let y = Targets::values([1.0; 10], 1);
    /// # let mut model = Sequential::new(&Device::auto()?).add(Lstm::new(4)).add(Dense::new(1));
    /// # model.compile(Adam::default(), Loss::MeanSquaredError, &[]);
    /// let found = model.find_rate(&x, &y, FindRate::new().steps(20))?;
    /// assert!(found.plot().to_svg()?.contains("learning rate"));
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    pub fn plot(&self) -> Picture {
        let mut panel = Lines::new("smoothed loss", "learning rate", Ticks::Logarithmic);
        let pairs = self.rates.iter().zip(&self.losses);
        panel.line(
            "",
            pairs.map(|(&rate, &loss)| [rate.into(), loss.into()]).collect(),
            color(0),
            false,
        );
        panel.y_scale = Scale::Linear;
        panel.mark = self.suggestion().map(|rate| (rate.into(), format!("suggestion: {rate:.1e}")));
        Picture::of_lines(vec![panel])
    }
}
