//! Pictures of trainings, forecasts and what is inside of models, as SVG and PNG; with the feature `plot`.
//!
//! Each `plot` makes a [`Picture`], and [`Picture::save`] writes it: `history.plot().save("training.svg")`.
//! There are [`History::plot`](crate::train::History::plot) and
//! [`RateFinder::plot`](crate::train::RateFinder::plot) of trainings,
//! [`ConfusionMatrix::plot`](crate::train::metrics::ConfusionMatrix::plot) of answers, [`Forecast`] with its
//! intervals, [`Saliency::plot`](crate::train::Saliency::plot) of what an output depends on, [`gates()`] of an
//! LSTM, [`gradient_flow()`] through time, and a [`HeatMap`] of any matrix, such as an
//! [`AttentionMap`](crate::nn::AttentionMap). Colours are those that the colour-blind tell apart, too. What is not
//! finite leaves a gap, and a cross at the edge of the panel.

mod answers;
mod axis;
mod cells;
mod colors;
mod forecast;
mod heat_map;
mod inside;
mod lines;
mod picture;
mod svg;
mod training;

pub use forecast::Forecast;
pub use heat_map::HeatMap;
pub use inside::{gates, gradient_flow};
pub use picture::Picture;

use crate::{Error, Result};

/// Checks that there are as many as a shape holds.
fn same(op: &'static str, shape: &[usize], found: usize) -> Result<()> {
    let expected = crate::tensor::count(shape);
    if found == expected {
        return Ok(());
    }
    Err(Error::Count { op, shape: shape.to_vec(), expected, found })
}

fn texts(labels: &[impl AsRef<str>]) -> Vec<String> {
    labels.iter().map(|label| label.as_ref().to_owned()).collect()
}

/// Points at 0, 1, 2 …
fn points(values: &[f32]) -> Vec<[f64; 2]> {
    values.iter().enumerate().map(|(at, &value)| [at as f64, value.into()]).collect()
}
