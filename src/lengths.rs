//! The timesteps of a batch that count: by lengths, or by a mask.

use crate::check::Check;
use crate::tensor::Tensor;
use crate::{Device, Error, Result};
use std::sync::Arc;

/// The number of timesteps of each row of a batch, counted from its first.
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
    /// One length, at least 1, for each row.
    ///
    /// # Errors
    /// [`Error::Length`] for a length of 0, and those of [`Tensor::from_u32`].
    pub fn new(lengths: &[usize], device: &Device) -> Result<Self> {
        let mut host = Vec::with_capacity(lengths.len());
        for (row, &found) in lengths.iter().enumerate() {
            match u32::try_from(found) {
                Ok(length) if length > 0 => host.push(length),
                _ => {
                    return Err(Error::Length { row, found, max: u32::MAX as usize });
                }
            }
        }
        let mut order: Vec<_> = (0..lengths.len()).collect();
        // A stable sort: the order, and so every bit, depends only on the lengths.
        order.sort_by_key(|&row| std::cmp::Reverse(lengths[row]));
        let mut start = 0;
        let rows: Arc<[_]> = order
            .into_iter()
            .map(|at| {
                let row = PackedRow { at, length: lengths[at], start };
                start += row.length;
                row
            })
            .collect();
        let table: Vec<_> =
            rows.iter().flat_map(|r| [r.at, r.length, r.start].map(|w| w as u32)).collect();
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
/// an LSTM keeps its state and repeats its output; layers that compute each step by itself, such as
/// [`crate::nn::Dense`], compute on the value that is there. If only steps behind a row's end are left
/// out, [`Lengths`] cost less: nothing there is read, and an LSTM's output is 0.
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
}

impl Mask {
    /// A mask `[B,T]`, row by row: `true` for each step that counts.
    ///
    /// # Errors
    /// [`Error::Count`] if there are more or fewer values than the shape holds, and those of
    /// [`Tensor::from_u32`].
    pub fn new(mask: &[bool], shape: [usize; 2], device: &Device) -> Result<Self> {
        let words: Vec<_> = mask.iter().map(|&on| u32::from(on)).collect();
        Ok(Self { host: mask.into(), tensor: Tensor::from_u32(&words, shape, device)? })
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
}

/// The steps of a value `[B,T,..]` that count, for ops that go over all of them.
#[derive(Debug, Clone)]
pub(crate) enum Counted {
    All,
    Lengths(Lengths),
    Mask(Mask),
}

impl Counted {
    /// The lengths, if these are given by lengths.
    pub(crate) fn lengths(&self) -> Option<&Lengths> {
        if let Self::Lengths(lengths) = self { Some(lengths) } else { None }
    }

    /// The mask, if these are given by a mask.
    pub(crate) fn mask(&self) -> Option<&Mask> {
        if let Self::Mask(mask) = self { Some(mask) } else { None }
    }

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
