//! The timesteps of a batch that count: by lengths, or by a mask.

use crate::check::Check;
use crate::tensor::Tensor;
use crate::{Device, Error, Result};
use std::sync::{Arc, OnceLock};

/// The number of timesteps of each row of a batch, counted from its first; 0 for a row without any.
///
/// A row without a timestep, as ONNX' `sequence_lens` allows it, has no effect: its outputs are 0, a recurrent
/// layer ends in the state in which it begins, a pool gives 0, attention to it a context of 0, no gradient
/// flows to it, and no loss counts it. (ONNX Runtime 1.32 gives 0 for its last states.)
///
/// ```
/// use wgpu_lstm::{Device, Lengths};
/// let lengths = Lengths::new(&[7, 3], &Device::auto()?)?;
/// assert_eq!(lengths.values(), [7, 3]);
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Lengths {
    host: Arc<[u32]>,
    rows: Arc<[PackedRow]>,
    /// The lengths `[B]`, for the losses.
    pub(crate) tensor: Tensor,
    /// Row, length and first frame of each packed row: `[B,3]`.
    pub(crate) table: Tensor,
}

/// A row of a packed value: the frames of all rows one after the other, the longest row first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PackedRow {
    /// The row in the batch.
    pub(crate) at: usize,
    pub(crate) length: usize,
    /// The first frame of the row.
    pub(crate) start: usize,
}

impl Lengths {
    /// One length for each row.
    ///
    /// # Errors
    /// [`Error::Length`] for a length that 32 bits do not hold, and those of [`Tensor::from_u32`].
    pub fn new(lengths: &[usize], device: &Device) -> Result<Self> {
        let mut host = Vec::with_capacity(lengths.len());
        for (row, &found) in lengths.iter().enumerate() {
            let long = Error::Length { row, found, max: u32::MAX as usize };
            host.push(u32::try_from(found).map_err(|_| long)?);
        }
        Self::counted(host, device)
    }

    fn counted(host: Vec<u32>, device: &Device) -> Result<Self> {
        let mut order: Vec<_> = (0..host.len()).collect();
        // A stable sort: the order, and so every bit, depends only on the lengths.
        order.sort_by_key(|&row| std::cmp::Reverse(host[row]));
        let mut start = 0;
        let rows: Arc<[_]> = order
            .into_iter()
            .map(|at| {
                let row = PackedRow { at, length: host[at] as usize, start };
                start += row.length;
                row
            })
            .collect();
        // Of a row without a step the kernels load some frame that is there.
        let last = start.saturating_sub(1);
        let words = |r: &PackedRow| [r.at, r.length, r.start.min(last)].map(|w| w as u32);
        let table: Vec<_> = rows.iter().flat_map(words).collect();
        let tensor = Tensor::from_u32(&host, [host.len()], device)?;
        let table = Tensor::from_u32(&table, [host.len(), 3], device)?;
        Ok(Self { host: host.into(), rows, tensor, table })
    }

    /// The lengths on the host.
    pub fn values(&self) -> &[u32] {
        &self.host
    }

    /// The rows, the longest first.
    pub(crate) fn rows(&self) -> &[PackedRow] {
        &self.rows
    }

    /// The number of timesteps of all rows together.
    pub(crate) fn frames(&self) -> usize {
        self.rows.iter().map(|r| r.length).sum()
    }

    /// Checks that a value `[frames,..]` without padding has as many frames as all rows together.
    pub(crate) fn check_packed(&self, op: &'static str, x: &Tensor) -> Result<()> {
        let check = Check::new(op, "without padding there is a frame for each step of each row");
        let mut right = x.shape().to_vec();
        if let Some(frames) = right.first_mut() {
            *frames = self.frames();
        }
        check.shape("x", x, "[frames,F]", &right)?;
        check.device(x, &[("lengths", &self.table)])
    }

    /// The row that a packed frame belongs to, and its timestep.
    pub(crate) fn row_of(&self, frame: usize) -> Option<(usize, usize)> {
        let row =
            self.rows.iter().find(|row| (row.start..row.start + row.length).contains(&frame))?;
        Some((row.at, frame - row.start))
    }

    /// The timesteps of the longest row.
    pub(crate) fn longest(&self) -> usize {
        self.rows.first().map_or(0, |row| row.length)
    }

    /// Whether some row has no step.
    pub(crate) fn has_empty(&self) -> bool {
        self.rows.last().is_some_and(|row| row.length == 0)
    }

    /// Checks that there is a length for each of `rows` rows, none above `timesteps`.
    pub(crate) fn check(&self, op: &'static str, rows: usize, timesteps: usize) -> Result<()> {
        Check::new(op, "one length for each row of the batch").shape(
            "lengths",
            &self.tensor,
            "[B]",
            &[rows],
        )?;
        match self.host.iter().position(|&l| l as usize > timesteps) {
            Some(row) => Err(Error::Length { row, found: self.host[row] as usize, max: timesteps }),
            None => Ok(()),
        }
    }
}

/// The timesteps of a batch that count, with gaps anywhere, as in Keras' masks. At a step that is left out
/// an LSTM keeps its state and repeats its output (before the first that counts, 0); layers that compute each
/// step by itself, such as [`crate::nn::Dense`], compute on the value that is there. An LSTM takes the time of
/// the steps that count. If only steps behind a row's end are left out, [`Lengths`] say so, too: an LSTM's
/// output there is 0.
///
/// ```
/// use wgpu_lstm::{Device, Mask};
/// let mask = Mask::new(&[true, false, true, true, true, false], [2, 3], &Device::auto()?)?;
/// assert_eq!(mask.values()[1], false);
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Mask {
    host: Arc<[bool]>,
    /// 1 for each step that counts, else 0: `[B,T]`.
    pub(crate) tensor: Tensor,
    /// Made when a layer first asks for it.
    packing: Arc<OnceLock<Packing>>,
    /// The rows' lengths, if it leaves out what is behind them, too.
    ends: Option<Lengths>,
}

impl Mask {
    /// A mask `[B,T]`, row by row: `true` for each step that counts.
    ///
    /// # Errors
    /// [`Error::Count`] if there are more or fewer values than the shape holds, and those of
    /// [`Tensor::from_u32`].
    pub fn new(mask: &[bool], shape: [usize; 2], device: &Device) -> Result<Self> {
        let words: Vec<_> = mask.iter().map(|&on| u32::from(on)).collect();
        let tensor = Tensor::from_u32(&words, shape, device)?;
        Ok(Self { host: mask.into(), tensor, packing: Arc::default(), ends: None })
    }

    /// The mask, which leaves out what is behind these lengths, too: a layer at which masks end goes on by them.
    pub(crate) fn with_ends(self, ends: Option<Lengths>) -> Self {
        Self { ends, ..self }
    }

    /// The rows' lengths, if it leaves out what is behind them, too.
    pub(crate) fn ends(&self) -> Option<&Lengths> {
        self.ends.as_ref()
    }

    /// The mask on the host, row by row.
    pub fn values(&self) -> &[bool] {
        &self.host
    }

    /// Checks that the mask is `[rows, timesteps]`.
    pub(crate) fn check(&self, op: &'static str, rows: usize, timesteps: usize) -> Result<()> {
        let check = Check::new(op, "a mask has a value for each row and timestep");
        check.shape("mask", &self.tensor, "[B,T]", &[rows, timesteps])
    }

    /// The steps that count, packed.
    pub(crate) fn packing(&self) -> Result<&Packing> {
        if let Some(packing) = self.packing.get() {
            return Ok(packing);
        }
        let packing = Packing::new(self)?;
        Ok(self.packing.get_or_init(|| packing))
    }

    /// For each step of `[B,T]` the packed one whose output it has, or a number past the last before the first.
    pub(crate) fn repeats(&self, reverse: bool) -> Result<&Repeats> {
        let packing = self.packing()?;
        let slot = &packing.repeats[usize::from(reverse)];
        if let Some(repeats) = slot.get() {
            return Ok(repeats);
        }
        let repeats = packing.repeats(self, reverse)?;
        Ok(slot.get_or_init(|| repeats))
    }
}

/// The steps that a mask counts, as rows of different lengths, packed: see [`Lengths`].
#[derive(Debug)]
pub(crate) struct Packing {
    /// How many steps of each row count.
    pub(crate) lengths: Lengths,
    /// The place in `[B,T]` of each packed frame.
    pub(crate) order: Tensor,
    /// The packed frame of each place in `[B,T]`, or a number past the last.
    pub(crate) places: Tensor,
    /// Forwards and in reverse, made when a layer first asks for them.
    repeats: [OnceLock<Repeats>; 2],
}

impl Packing {
    fn new(mask: &Mask) -> Result<Self> {
        let (device, steps) = (mask.tensor.device(), mask.tensor.shape()[1]);
        let rows = mask.host.chunks(steps.max(1));
        let count = |row: &[bool]| row.iter().filter(|&&on| on).count() as u32;
        let lengths = Lengths::counted(rows.map(count).collect(), &device)?;
        let order: Vec<_> = lengths
            .rows()
            .iter()
            .flat_map(|row| (row.at * steps..(row.at + 1) * steps).filter(|&at| mask.host[at]))
            .collect();
        let mut places = vec![u32::MAX; mask.host.len()];
        for (frame, &at) in (0..).zip(&order) {
            places[at] = frame;
        }
        let order: Vec<_> = order.into_iter().map(|at| at as u32).collect();
        let order = Tensor::from_u32(&order, [order.len()], &device)?;
        let places = Tensor::from_u32(&places, [places.len()], &device)?;
        Ok(Self { lengths, order, places, repeats: Default::default() })
    }

    fn repeats(&self, mask: &Mask, reverse: bool) -> Result<Repeats> {
        let (device, steps) = (mask.tensor.device(), mask.tensor.shape()[1]);
        let (batch, frames) = (self.lengths.values().len(), self.lengths.frames());
        let mut from = vec![0; mask.host.len()];
        for &PackedRow { at, length, start } in self.lengths.rows() {
            let (mut now, mut next) = (frames + at, start);
            for step in 0..steps {
                let place = at * steps + if reverse { steps - 1 - step } else { step };
                if mask.host[place] {
                    // In reverse a row's last frame comes first.
                    now = if reverse { 2 * start + length - 1 - next } else { next };
                    next += 1;
                }
                from[place] = now as u32;
            }
        }
        Repeats::new(&from, frames + batch, &device)
    }
}

/// Frames of which each repeats one of several sources; a source's follow each other.
#[derive(Debug, Clone)]
pub(crate) struct Repeats {
    /// The source of each frame.
    pub(crate) from: Tensor,
    /// The first frame of each source, and the one behind its last: `[sources,2]`.
    pub(crate) runs: Tensor,
}

impl Repeats {
    fn new(from: &[u32], sources: usize, device: &Device) -> Result<Self> {
        let mut runs = vec![0; 2 * sources];
        for (frame, &source) in (0..).zip(from) {
            let run = &mut runs[2 * source as usize..][..2];
            if run[1] == 0 {
                run[0] = frame;
            }
            run[1] = frame + 1;
        }
        let from = Tensor::from_u32(from, [from.len()], device)?;
        Ok(Self { from, runs: Tensor::from_u32(&runs, [sources, 2], device)? })
    }

    /// Of each row the first source, or of a row without a step the second: the sources are `[B]` and `[B]`.
    pub(crate) fn of_rows(lengths: &Lengths) -> Result<Self> {
        let batch = lengths.host.len() as u32;
        let source = |(row, &length): (u32, &u32)| if length > 0 { row } else { batch + row };
        let from: Vec<_> = (0..).zip(&*lengths.host).map(source).collect();
        Self::new(&from, 2 * from.len(), &lengths.tensor.device())
    }
}

/// The steps of a value `[B,T,..]` that count, for ops that go over all of them.
#[derive(Debug, Clone)]
pub(crate) enum Counted {
    All,
    Lengths(Lengths),
    Mask(Mask),
}

impl Counted {
    /// The kernels' constant `STEPS`.
    pub(crate) fn code(&self) -> u32 {
        match self {
            Self::All => 0,
            Self::Lengths(_) => 1,
            Self::Mask(_) => 2,
        }
    }

    /// The kernels' binding `steps`.
    pub(crate) fn tensor(&self) -> Option<&Tensor> {
        match self {
            Self::All => None,
            Self::Lengths(lengths) => Some(&lengths.tensor),
            Self::Mask(mask) => Some(&mask.tensor),
        }
    }

    pub(crate) fn counts(&self, row: usize, t: usize) -> bool {
        match self {
            Self::All => true,
            Self::Lengths(lengths) => t < lengths.host[row] as usize,
            Self::Mask(mask) => mask.host[row * mask.tensor.shape()[1] + t],
        }
    }
}

/// The error for a value with both lengths and a mask.
pub(crate) fn both() -> Error {
    Error::Unsupported {
        what: "Var::with_lengths",
        with: "Var::with_mask",
        help: "say by one of the two which steps count",
    }
}
