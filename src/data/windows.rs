//! Windows of series: what a forecast learns from.

use super::cut::check_below;
use super::{Sequences, Targets};
use crate::check::check_not_zero;
use crate::tensor::room_for;
use crate::{Error, Result};

/// Cuts series into windows, each with the values that follow it as its target: Keras'
/// `timeseries_dataset_from_array`.
///
/// A window has `window` frames of a series, its target the `horizon` frames that begin [`Windows::gap`] frames
/// behind it. The next window begins [`Windows::stride`] frames later. Frames at the end of a series that fill no
/// window and target are left out, and so is a series that is shorter than these.
///
/// ```
/// use wgpu_lstm::data::{Sequences, Windows};
/// // A series of 7 frames with 2 features; from 3 frames of both, the first one's next 2 values.
/// let series = Sequences::from_columns([[0, 1, 2, 3, 4, 5, 6], [9, 8, 7, 6, 5, 4, 3]])?;
/// let windows = Windows::new(3, 2).targets(&[0]).of(&series)?;
/// assert_eq!(windows.len(), 3);
/// assert_eq!(windows.x.get(1), [1.0, 8.0, 2.0, 7.0, 3.0, 6.0]);
/// assert_eq!(windows.y.as_values().unwrap(), [3.0, 4.0, 4.0, 5.0, 5.0, 6.0]);
/// assert_eq!(windows.begins, [3, 4, 5]);
/// // The window that the values behind the series are predicted from.
/// assert_eq!(series.last_frames(3)?.get(0), [4.0, 5.0, 5.0, 4.0, 6.0, 3.0]);
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
///
/// # Cost
/// The windows share the buffer of the series, overlaps and all: copied are the targets, and the columns if
/// [`Windows::inputs`] takes some of them.
#[derive(Debug, Clone)]
#[must_use = "it cuts nothing until `of` is called"]
pub struct Windows {
    window: usize,
    horizon: usize,
    stride: usize,
    gap: usize,
    inputs: Option<Vec<usize>>,
    targets: Option<Vec<usize>>,
}

/// The windows of series: see [`Windows`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Windowed {
    /// The inputs `[N,window,inputs]`, those of the first series first, each in the order of time.
    pub x: Sequences,
    /// The targets `[N,horizon · targets]`, frame by frame: all columns of the first, then of the next.
    pub y: Targets,
    /// For each window the number of its series.
    pub series: Vec<usize>,
    /// For each window the frame of its series at which its target begins.
    pub begins: Vec<usize>,
    horizon: usize,
}

impl Windows {
    /// Windows of `window` frames with targets of `horizon` frames right behind them, at every frame, of all
    /// columns.
    pub fn new(window: usize, horizon: usize) -> Self {
        Self { window, horizon, stride: 1, gap: 0, inputs: None, targets: None }
    }

    /// Sets how many frames after a window the next one begins: 1 by default.
    pub fn stride(mut self, frames: usize) -> Self {
        self.stride = frames;
        self
    }

    /// Sets how many frames lie between a window and its target: none by default.
    pub fn gap(mut self, frames: usize) -> Self {
        self.gap = frames;
        self
    }

    /// Sets the columns of the series that the model sees, in this order: all by default.
    pub fn inputs(mut self, columns: &[usize]) -> Self {
        self.inputs = Some(columns.to_vec());
        self
    }

    /// Sets the columns of the series that the model learns to predict, in this order: all by default. They may
    /// be among the inputs. Where the one column has the number of a class, `Targets::classes(windows.y.labels()?)`
    /// makes them so.
    pub fn targets(mut self, columns: &[usize]) -> Self {
        self.targets = Some(columns.to_vec());
        self
    }

    /// The windows of each of these series, one sequence a series.
    ///
    /// # Errors
    /// [`Error::Option`] for a window, horizon or stride of 0, for a column that is not there or none at all, and
    /// if no series has room for a window and its target.
    pub fn of(&self, series: &Sequences) -> Result<Windowed> {
        let Self { window, horizon, stride, gap, .. } = *self;
        check_not_zero("Windows::window", window)?;
        check_not_zero("Windows::horizon", horizon)?;
        check_not_zero("Windows::stride", stride)?;
        let features = series.features();
        let all: Vec<_> = (0..features).collect();
        let columns = self.targets.as_deref().unwrap_or(&all);
        check_not_zero("Windows::targets", columns.len())?;
        check_below("Windows::targets", "columns", columns, features)?;
        let seen = match self.inputs.as_deref().filter(|&columns| columns != all) {
            Some(columns) => {
                check_not_zero("Windows::inputs", columns.len())?;
                check_below("Windows::inputs", "columns", columns, features)?;
                series.columns(columns)?
            }
            None => series.clone(),
        };
        let needed = window.saturating_add(gap).saturating_add(horizon);
        let places: Vec<_> = (0..series.len())
            .flat_map(|number| {
                let room = (series.frames(number) + 1).saturating_sub(needed);
                (0..room).step_by(stride).map(move |begin| (number, begin))
            })
            .collect();
        if places.is_empty() {
            let longest = (0..series.len()).map(|number| series.frames(number)).max().unwrap_or(0);
            return Err(Error::Option {
                option: "Windows::new",
                found: format!("of {needed} frames, window, gap and horizon together"),
                expected: format!("of at most {longest}, the frames of the longest series"),
            });
        }
        let starts = places.iter().map(|&(number, begin)| (seen.starts[number] + begin, window));
        let x = seen.parts(starts);
        let width = horizon.saturating_mul(columns.len());
        let mut values = room_for("the targets of windows", places.len().saturating_mul(width))?;
        for &(number, begin) in &places {
            let target = &series.get(number)[(begin + window + gap) * features..];
            for frame in target.chunks_exact(features).take(horizon) {
                values.extend(columns.iter().map(|&column| frame[column]));
            }
        }
        let y = Targets::values(values, horizon * columns.len());
        let (series, begins) =
            places.into_iter().map(|(number, begin)| (number, begin + window + gap)).unzip();
        Ok(Windowed { x, y, series, begins, horizon })
    }
}

impl Windowed {
    /// The number of windows.
    pub fn len(&self) -> usize {
        self.begins.len()
    }

    /// Whether there are no windows.
    pub fn is_empty(&self) -> bool {
        self.begins.is_empty()
    }

    /// The windows whose targets end before this frame of their series, and those whose targets begin with it or
    /// later. A target across it is in neither, so that nothing of the second part is known in the first; the
    /// inputs of the second may reach back before the frame, as they do when a forecast is made.
    ///
    /// ```
    /// use wgpu_lstm::data::{Sequences, Standardizer, Windows};
    /// let load: Vec<f64> = (0..100).map(|t| 50.0 + (f64::from(t) * 0.3).sin()).collect();
    /// let series = Sequences::from_columns([load])?;
    /// let cut = series.frames(0) * 8 / 10;
    /// // Fitted on what the training sees alone.
    /// let scaler = Standardizer::fit(&series.first_frames(cut)?)?;
    /// let windows = Windows::new(24, 3).of(&scaler.transform(&series)?)?;
    /// let (train, test) = windows.split_at(cut);
    /// assert_eq!((windows.len(), train.len(), test.len()), (74, 54, 18));
    /// assert_eq!((train.begins[53] + 3, test.begins[0]), (80, 80));
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    pub fn split_at(&self, frame: usize) -> (Self, Self) {
        let all = 0..self.len();
        let before = all.clone().filter(|&i| self.begins[i] + self.horizon <= frame);
        let behind = all.filter(|&i| self.begins[i] >= frame);
        (self.those(&before.collect::<Vec<_>>()), self.those(&behind.collect::<Vec<_>>()))
    }

    /// The windows of these numbers, in this order: with the lists of [`super::WalkForward`], for example.
    ///
    /// # Errors
    /// [`Error::Option`] for a number that is not below [`Windowed::len`].
    pub fn select(&self, windows: &[usize]) -> Result<Self> {
        check_below("Windowed::select", "windows", windows, self.len())?;
        Ok(self.those(windows))
    }

    /// The windows of numbers that are there.
    fn those(&self, windows: &[usize]) -> Self {
        let frames = |&i: &usize| (self.x.starts[i], self.x.frames(i));
        Self {
            x: self.x.parts(windows.iter().map(frames)),
            y: self.y.rows(windows.iter().copied()),
            series: windows.iter().map(|&i| self.series[i]).collect(),
            begins: windows.iter().map(|&i| self.begins[i]).collect(),
            horizon: self.horizon,
        }
    }
}
