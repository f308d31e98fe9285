//! What is inside of a model as pictures.

use super::axis::Scale;
use super::cells::Cells;
use super::lines::{Lines, Ticks, color};
use super::picture::{Panel, Picture};
use super::{points, same};
use crate::train::{GradientFlow, Saliency};
use crate::{Error, Result};

impl Saliency {
    /// A picture of the gradient over time: of several features a heat map, a row for each, orange where the
    /// output falls as the value rises; of one feature a line; of tokens a line of the norms. For words below
    /// each token, or for [`Saliency::times_input`], draw a [`HeatMap`](super::HeatMap) of the values.
    pub fn plot(&self) -> Picture {
        let about = format!("gradient of output {}", self.output);
        if self.features > 1 && !self.tokens {
            let timesteps = self.gradient.len() / self.features;
            let of =
                |feature: usize| self.gradient.iter().copied().skip(feature).step_by(self.features);
            let cells = Cells {
                title: about,
                values: (0..self.features).flat_map(of).collect(),
                shape: [self.features, timesteps],
                down: "feature".into(),
                across: "timestep".into(),
                ..Cells::default()
            };
            let height = (130 + 24 * self.features).clamp(220, 900) as u32;
            return Picture::new(vec![Panel::Cells(cells)], [900, height]);
        }
        let (title, values) = match self.tokens {
            true => (format!("norm of the {about}"), self.norms()),
            false => (about, self.gradient.clone()),
        };
        let mut panel = Lines::new(title, "timestep", Ticks::Whole);
        panel.y_scale = Scale::Linear;
        panel.zero = true;
        panel.line("", points(&values), color(0), false);
        Picture::of_lines(vec![panel])
    }
}

/// The gates of an LSTM over a sequence: a heat map of units by timesteps for each of i, f, g and o, and one
/// for the cell state c.
///
/// `gates` is `[T,4,H]`, in the order i, f, g, o, behind their activations, and `cells` `[T,H]`, as
/// [`Lstm::inspect`](crate::nn::Lstm::inspect) gives them for a batch of one sequence. i, f and o go
/// from 0 to 1, g from -1 to 1, c as far as it comes.
///
/// ```
/// use wgpu_lstm::{Device, Tensor, nn::{Lstm, Params}, plot};
/// let device = Device::auto()?;
/// let params = Params::new(&device);
/// let lstm = Lstm::new(3).build(&params, 2)?;
/// // One sequence of 5 frames.
/// let x = Tensor::from_slice(&[0.5; 10], [1, 5, 2], &device)?;
/// let trace = &lstm.inspect(&params, &x.into(), None)?[0];
/// let picture = plot::gates(&trace.gates, &trace.c, [5, 3])?;
/// assert!(picture.to_svg()?.contains("cell state c"));
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
///
/// # Errors
/// [`Error::Count`] for other numbers of values than these, [`Error::Empty`] for no timestep or unit.
pub fn gates(gates: &[f32], cells: &[f32], [timesteps, units]: [usize; 2]) -> Result<Picture> {
    const NAMES: [&str; 4] = ["input gate i", "forget gate f", "candidate g", "output gate o"];
    if timesteps == 0 || units == 0 {
        let found = vec![timesteps, units];
        return Err(Error::Empty { op: "plot::gates", arg: "cells", axes: "[T,H]", found });
    }
    same("plot::gates", &[timesteps, 4, units], gates.len())?;
    same("plot::gates", &[timesteps, units], cells.len())?;
    // Each frame has so many values, of which each unit has one at this place.
    let panel = |title: &str, values: &[f32], (width, first): (usize, usize), range| {
        let of = |unit: usize| values.iter().copied().skip(first + unit).step_by(width);
        Panel::Cells(Cells {
            title: title.to_owned(),
            values: (0..units).flat_map(of).collect(),
            shape: [units, timesteps],
            down: "unit".into(),
            range,
            ..Cells::default()
        })
    };
    let mut panels = Vec::new();
    for (number, name) in NAMES.into_iter().enumerate() {
        let low = if number == 2 { -1.0 } else { 0.0 };
        panels.push(panel(name, gates, (4 * units, number * units), Some([low, 1.0])));
    }
    let mut last = panel("cell state c", cells, (units, 0), None);
    if let Panel::Cells(cells) = &mut last {
        cells.across = "timestep".into();
    }
    panels.push(last);
    Ok(Picture::new(panels, [900, 960]))
}

/// The norms of dL/dh_t, and dashed of dL/dc_t, over the timesteps, of one layer or of several side by side: of
/// an LSTM and a plain recurrent layer, for example. [`crate::Sequential::gradient_flow`] computes them. The
/// axis is logarithmic; a gradient of 0 has no place there, and a cross stands for it at the lower edge.
///
/// ```
/// # use wgpu_lstm::prelude::*;
/// # let x = Sequences::from_array(&[0.5; 4 * 6 * 2], [4, 6, 2])?;
/// # let y = Targets::values([1.0; 4], 1);
/// # let mut model = Sequential::new(&Device::auto()?).add(Lstm::new(4)).add(Dense::new(1));
/// # model.compile(Adam::default(), Loss::MeanSquaredError, &[]);
/// # model.build(2)?;
/// let flow = model.gradient_flow(&x, &y)?;
/// let picture = wgpu_lstm::plot::gradient_flow(&[("LSTM", &flow[0])]);
/// assert!(picture.to_svg()?.contains(">LSTM, c</text>"));
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
pub fn gradient_flow(layers: &[(&str, &GradientFlow)]) -> Picture {
    let mut panel = Lines::new("norm of the loss's gradient", "timestep", Ticks::Whole);
    panel.y_scale = Scale::Log;
    for (number, (name, flow)) in layers.iter().enumerate() {
        for (state, values, dashed) in [("h", &flow.h, false), ("c", &flow.c, true)] {
            if !values.is_empty() {
                panel.line(format!("{name}, {state}"), points(values), color(number), dashed);
            }
        }
    }
    Picture::of_lines(vec![panel])
}
