//! LSTMs that read along rows, then along columns.

use super::data::beside;
use wgpu_lstm::nn::{Dense, Lstm, Merge, Params};
use wgpu_lstm::{Result, Tape, Tensor, Var};

/// Background, cerebrospinal fluid, grey and white matter.
pub const TISSUES: usize = 4;
/// Units of each direction.
const UNITS: usize = 24;

pub struct ReNet {
    rows: Lstm,
    columns: Lstm,
    head: Dense,
}

impl ReNet {
    pub fn new(params: &Params) -> Result<Self> {
        let lstm = Lstm::new(UNITS).bidirectional(Merge::Concat).return_sequences();
        Ok(Self {
            rows: lstm.clone().build(params, 1)?,
            columns: lstm.time_major().build(params, 2 * UNITS)?,
            head: Dense::new(TISSUES).build(params, 2 * UNITS)?,
        })
    }

    /// Logits of each pixel of scans that lie beside each other: `[rows, scans * columns, TISSUES]`.
    ///
    /// The rows are the sequences of a batch; then, in the same memory, the columns are those of one whose first
    /// axis is the time.
    pub fn forward<S: AsRef<[f32]>>(
        &self,
        tape: &Tape,
        scans: &[S],
        size: [usize; 2],
    ) -> Result<Var> {
        let [rows, columns] = size;
        let by_rows = [rows * scans.len(), columns, 2 * UNITS];
        let by_columns = [rows, scans.len() * columns, 2 * UNITS];
        let pixels: Vec<f32> = beside(scans, size).iter().map(|light| 2.0 * light - 1.0).collect();
        let pixels =
            Tensor::from_slice(&pixels, [by_rows[0], columns, 1], &tape.params().device())?;
        let read = self.rows.forward(tape, &Var::from(pixels))?;
        let turned = read.tensor().reshape(by_columns)?;
        let [turned] = tape.custom([turned], [&read], move |[d]| Ok([d.reshape(by_rows)?]));
        self.head.forward(tape, &self.columns.forward(tape, &turned)?)
    }
}
