//! Rows of a table by their numbers, and the table's gradient: of all rows, or of those drawn.

use crate::device::gpu::Gpu;
use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, wgsl};
use crate::device::threads;
use crate::ops::common::long_sum::RowSum;
use crate::ops::common::{ELEMENTWISE, INDEX, LONG_SUM, ROWWISE, elementwise, rowwise, switches};
use crate::tensor::Words;
use crate::{DType, Result, Tensor};
use std::ops::Range;
use std::sync::Arc;

pub(crate) static FORWARD: Kernel = Kernel {
    name: "embedding",
    parts: &[INDEX, ELEMENTWISE, wgsl!("frames/embedding.wgsl")],
    bindings: &[("ids", Read), ("table", Read), ("y", Write)],
    variants: || switches(["FLOAT"]),
    ..Kernel::PLAIN
};

pub(crate) static BACKWARD: Kernel = Kernel {
    name: "embedding_bwd",
    parts: &[INDEX, LONG_SUM, ROWWISE, wgsl!("frames/embedding_bwd.wgsl")],
    bindings: &[("places", Read), ("d_y", Read), ("d_table", Write)],
    variants: || switches(["ROWS"]),
    ..Kernel::PLAIN
};

/// The row of a table that a number names, if it is one of `rows`.
pub(crate) fn row_of(value: f32, rows: usize) -> Option<u32> {
    // NaN is in no range.
    let is_row = (0.0..rows as f32).contains(&value) && value.fract() == 0.0;
    is_row.then_some(value as u32)
}

/// The rows of a table that are drawn, in ascending order, with the places of each, in ascending order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Places {
    /// The row, and which of `places` are its.
    rows: Vec<(u32, Range<u32>)>,
    places: Vec<u32>,
}

impl Places {
    /// From the row that each place draws.
    pub(crate) fn new(drawn: impl Iterator<Item = (u32, u32)>) -> Self {
        let mut keys: Vec<_> =
            drawn.map(|(place, row)| u64::from(row) << 32 | u64::from(place)).collect();
        keys.sort_unstable();
        let mut rows: Vec<(u32, Range<u32>)> = Vec::new();
        for (at, &key) in (0..).zip(&keys) {
            let row = (key >> 32) as u32;
            match rows.last_mut() {
                Some((last, range)) if *last == row => range.end = at + 1,
                _ => rows.push((row, at..at + 1)),
            }
        }
        Self { rows, places: keys.iter().map(|&key| key as u32).collect() }
    }

    /// The rows that are drawn.
    pub(crate) fn rows(&self) -> impl Iterator<Item = u32> {
        self.rows.iter().map(|&(row, _)| row)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// For the kernel: row, begin and end of each, and the places behind.
    fn upload(&self, gpu: &Arc<Gpu>) -> Result<Tensor> {
        let heads = self.rows.iter().flat_map(|(row, range)| [*row, range.start, range.end]);
        let words: Vec<_> = heads.chain(self.places.iter().copied()).collect();
        Tensor::from_u32(&words, [words.len()], &gpu.device())
    }

    /// The sum of the rows of `d_y` that belong to one.
    fn sum(&self, range: &Range<u32>, d_y: &[f32], size: usize, sums: &mut RowSum) {
        sums.begin(size);
        for &place in &self.places[range.start as usize..range.end as usize] {
            sums.add(&d_y[place as usize * size..][..size]);
        }
    }
}

/// `ids` `[n]`, floats or numbers, of the rows of `table` `[V,E]`: `[n,E]`. NaN where there is no
/// such row.
pub(crate) fn embedding(ids: &Tensor, table: &Tensor, [rows, size]: [usize; 2]) -> Result<Tensor> {
    let y = Tensor::empty([ids.len(), size], &ids.device())?;
    let dtype = ids.dtype();
    if let Some(gpu) = ids.gpu() {
        for window in table.windows(rows, size) {
            let words = [rows, size, window.start, window.len()].map(|w| w as u32);
            let [rows, size_word, first, count] = words;
            elementwise(&FORWARD, y.len())
                .constants(&[("FLOAT", (dtype == DType::F32).into())])
                .words(&[rows, size_word, f32::NAN.to_bits(), first, count])
                .run(
                    gpu,
                    &[
                        Some(ids),
                        Some(&table.view(window.start * size, [window.len(), size])),
                        Some(&y),
                    ],
                )?;
        }
        return Ok(y);
    }
    let (ids, table) = (ids.cpu(), table.cpu());
    y.cpu_mut(|y| {
        for (place, y) in y.chunks_exact_mut(size).enumerate() {
            match named(&ids, dtype, place, rows) {
                Some(id) => y.copy_from_slice(&table[id * size..][..size]),
                None => y.fill(f32::NAN),
            }
        }
    });
    Ok(y)
}

/// The row that a word names, if there is such a row.
fn named(words: &Words, dtype: DType, place: usize, rows: usize) -> Option<usize> {
    match dtype {
        DType::U32 => Some(words.as_u32()[place] as usize).filter(|&id| id < rows),
        DType::F32 | DType::F16 => row_of(words[place], rows).map(|row| row as usize),
    }
}

/// Adds the table's gradient to `d_table` `[V,E]`: to each row the sum of `d_y` over its places, in
/// their order.
pub(crate) fn backward(
    drawn: &Places,
    d_y: &Tensor,
    d_table: &Tensor,
    [rows, size]: [usize; 2],
) -> Result<()> {
    if drawn.is_empty() {
        return Ok(());
    }
    if let Some(gpu) = d_y.gpu() {
        let places = drawn.upload(gpu)?;
        for window in d_table.windows(rows, size) {
            let of = |row: usize| drawn.rows.partition_point(|(r, _)| (*r as usize) < row);
            let (first, count) = (of(window.start), of(window.end) - of(window.start));
            let part = d_table.view(window.start * size, [window.len(), size]);
            launch(gpu, (&places, drawn), (first, count), d_y, (&part, Some(window.start)), size)?;
        }
        return Ok(());
    }
    let d_y = d_y.cpu();
    d_table.cpu_mut(|d_table| {
        let (mut rest, mut at) = (d_table, 0);
        let jobs = drawn.rows.iter().map(|(row, range)| {
            let (_, behind) = std::mem::take(&mut rest).split_at_mut((*row as usize - at) * size);
            let (row_words, behind) = behind.split_at_mut(size);
            (rest, at) = (behind, *row as usize + 1);
            (row_words, range)
        });
        let shared = chunked(jobs);
        threads::each(shared.into_iter(), threads_for(drawn, size), |jobs| {
            let mut sums = RowSum::default();
            for (row, range) in jobs {
                drawn.sum(range, &d_y, size, &mut sums);
                row.iter_mut()
                    .zip(sums.values())
                    .for_each(|(to, sum)| *to = (f64::from(*to) + sum) as f32);
            }
        });
    });
    Ok(())
}

/// The gradient of the rows drawn alone: `[rows drawn, E]`.
pub(crate) fn backward_rows(drawn: &Places, d_y: &Tensor, size: usize) -> Result<Tensor> {
    let d_rows = Tensor::empty([drawn.rows.len(), size], &d_y.device())?;
    if drawn.is_empty() {
        return Ok(d_rows);
    }
    if let Some(gpu) = d_y.gpu() {
        let places = drawn.upload(gpu)?;
        launch(gpu, (&places, drawn), (0, drawn.rows.len()), d_y, (&d_rows, None), size)?;
        return Ok(d_rows);
    }
    let d_y = d_y.cpu();
    d_rows.cpu_mut(|d_rows| {
        let jobs = d_rows.chunks_exact_mut(size).zip(drawn.rows.iter().map(|(_, range)| range));
        threads::each(chunked(jobs).into_iter(), threads_for(drawn, size), |jobs| {
            let mut sums = RowSum::default();
            for (row, range) in jobs {
                drawn.sum(range, &d_y, size, &mut sums);
                row.iter_mut().zip(sums.values()).for_each(|(to, &sum)| *to = sum as f32);
            }
        });
    });
    Ok(d_rows)
}

/// Rows by hundreds: one alone is too little for a thread to ask for.
fn chunked<T>(jobs: impl Iterator<Item = T>) -> Vec<Vec<T>> {
    let mut jobs = jobs.peekable();
    let mut chunks = Vec::new();
    while jobs.peek().is_some() {
        chunks.push(jobs.by_ref().take(128).collect());
    }
    chunks
}

/// The threads that are worth their waking up.
fn threads_for(drawn: &Places, size: usize) -> usize {
    if drawn.places.len() * size < 1 << 16 { 1 } else { threads::count() }
}

/// Some of the rows drawn, into a table whose first row has the number `base`, or one after the other.
fn launch(
    gpu: &Arc<Gpu>,
    (places, drawn): (&Tensor, &Places),
    (first, count): (usize, usize),
    d_y: &Tensor,
    (to, base): (&Tensor, Option<usize>),
    size: usize,
) -> Result<()> {
    if count == 0 {
        return Ok(());
    }
    rowwise(&BACKWARD, count)
        .constants(&[("ROWS", base.is_none().into())])
        .words(&[first, size, base.unwrap_or(0), 3 * drawn.rows.len()].map(|word| word as u32))
        .run(gpu, &[Some(places), Some(d_y), Some(to)])
}
