//! Rows of a table by their numbers, and the table's gradient: of all rows, or of those drawn.

use crate::device::gpu::Gpu;
use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, wgsl};
use crate::device::threads;
use crate::ops::common::vector::{GRAIN, some_rows};
use crate::ops::common::{ELEMENTWISE, INDEX, LONG_SUM, ROWWISE, elementwise, rowwise, switches};
use crate::tensor::Words;
use crate::{DType, Result, Tensor};
use pulp::{Arch, Simd, WithSimd};
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
        some_rows(y, size, |first, y| {
            for (place, y) in (first..).zip(y.chunks_exact_mut(size)) {
                match named(&ids, dtype, place, rows) {
                    Some(id) => y.copy_from_slice(&table[id * size..][..size]),
                    None => y.fill(f32::NAN),
                }
            }
        });
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
    d_table.cpu_mut(|d_table| add_up(drawn, &d_y, d_table, size, true));
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
    d_rows.cpu_mut(|d_rows| add_up(drawn, &d_y, d_rows, size, false));
    Ok(d_rows)
}

/// Sums up the rows of `d_y` of each row drawn: into `to`, where one row comes after the other, or added to
/// the rows of a table.
fn add_up(drawn: &Places, d_y: &[f32], to: &mut [f32], size: usize, table: bool) {
    let threads = threads::count().min((drawn.places.len() * size).div_ceil(GRAIN));
    let jobs = Jobs { rows: &drawn.rows, to, at: 0, size, table };
    threads::each(jobs, threads, |(rows, to)| {
        Arch::new().dispatch(Sums { rows, places: &drawn.places, d_y, to, size, table });
    });
}

/// Some rows drawn, as many as are worth a thread's asking, and the words that they are summed up in.
struct Jobs<'a> {
    rows: &'a [(u32, Range<u32>)],
    to: &'a mut [f32],
    /// The row of a table that `to` begins with.
    at: usize,
    size: usize,
    table: bool,
}

impl<'a> Iterator for Jobs<'a> {
    type Item = (&'a [(u32, Range<u32>)], &'a mut [f32]);

    fn next(&mut self) -> Option<Self::Item> {
        let (mut count, mut words) = (0, 0);
        while words < GRAIN && count < self.rows.len() {
            words += self.rows[count].1.len() * self.size;
            count += 1;
        }
        let (rows, rest) = self.rows.split_at(count);
        let ([(first, _), ..], [.., (last, _)]) = (rows, rows) else { return None };
        let (skipped, taken) = match self.table {
            true => (*first as usize - self.at, (last - first) as usize + 1),
            false => (0, count),
        };
        let (_, to) = std::mem::take(&mut self.to).split_at_mut(skipped * self.size);
        let (to, behind) = to.split_at_mut(taken * self.size);
        (self.rows, self.to, self.at) = (rest, behind, *last as usize + 1);
        Some((rows, to))
    }
}

/// The sums of [`add_up`] of some rows.
struct Sums<'a> {
    rows: &'a [(u32, Range<u32>)],
    places: &'a [u32],
    d_y: &'a [f32],
    to: &'a mut [f32],
    size: usize,
    table: bool,
}

impl WithSimd for Sums<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        // Columns that are summed up at a time, in double precision.
        const COLUMNS: usize = 64;
        let Self { rows, places, d_y, to, size, table } = self;
        let base = rows.first().map_or(0, |(row, _)| *row);
        for (number, (row, range)) in rows.iter().enumerate() {
            let row = if table { (row - base) as usize } else { number };
            let places = &places[range.start as usize..range.end as usize];
            let to = &mut to[row * size..][..size];
            if let [place] = places {
                let d_y = &d_y[*place as usize * size..][..size];
                for (to, &d) in to.iter_mut().zip(d_y) {
                    *to = if table { *to + d } else { d };
                }
                continue;
            }
            for (block, to) in to.chunks_mut(COLUMNS).enumerate() {
                let mut sums = [0.0f64; COLUMNS];
                for &place in places {
                    let d_y = &d_y[place as usize * size + block * COLUMNS..][..to.len()];
                    for (sum, &d) in sums.iter_mut().zip(d_y) {
                        *sum += f64::from(d);
                    }
                }
                for (to, sum) in to.iter_mut().zip(sums) {
                    *to = if table { (f64::from(*to) + sum) as f32 } else { sum as f32 };
                }
            }
        }
    }
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
