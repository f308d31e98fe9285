//! How a batch is cut into chunks.

use crate::lengths::PackedRow;
use crate::{Error, Result};

/// A part of a batch whose gates fit in one binding: whole rows, or, where one row alone is too
/// large, some timesteps of one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// In the order of the lengths' table, if there are lengths.
    pub(crate) first_row: usize,
    pub(crate) rows: usize,
    pub(crate) first_step: usize,
    /// Of the longest row, which is the first.
    pub(crate) steps: usize,
    /// The frames of all rows follow each other: from here on, and how many.
    pub(crate) first_frame: usize,
    pub(crate) frames: usize,
}

/// How many timesteps the rows of a batch have.
#[derive(Clone, Copy)]
pub(crate) enum RowLengths<'a> {
    Same { rows: usize, timesteps: usize },
    Table(&'a [PackedRow]),
}

impl RowLengths<'_> {
    fn rows(self) -> usize {
        match self {
            Self::Same { rows, .. } => rows,
            Self::Table(table) => table.len(),
        }
    }

    fn length(self, row: usize) -> usize {
        match self {
            Self::Same { timesteps, .. } => timesteps,
            Self::Table(table) => table[row].length,
        }
    }
}

/// The chunks of a batch, in the order of its rows, for gates of at most `words` words.
pub(crate) fn chunks(
    lengths: RowLengths<'_>,
    hidden_size: usize,
    words: usize,
) -> Result<Vec<Chunk>> {
    let step = 4 * hidden_size;
    let room = words / step;
    if room == 0 {
        return Err(Error::TooLarge {
            what: "the gates of one timestep",
            bytes: 4 * step as u64,
            limit: 4 * words as u64,
        });
    }
    let mut chunks: Vec<Chunk> = Vec::new();
    let mut first_frame = 0;
    for row in 0..lengths.rows() {
        let length = lengths.length(row);
        // A grid has 65,535 workgroups of at least 4 rows; fewer leaves room for either schedule.
        let last = chunks.last_mut().filter(|chunk| {
            length <= room && chunk.frames + length <= room && chunk.rows < 65_535 * 4
        });
        if let Some(chunk) = last.filter(|chunk| chunk.first_step == 0) {
            chunk.rows += 1;
            chunk.frames += length;
        } else {
            for first_step in (0..length).step_by(room) {
                let steps = room.min(length - first_step);
                chunks.push(Chunk {
                    first_row: row,
                    rows: 1,
                    first_step,
                    steps,
                    first_frame: first_frame + first_step,
                    frames: steps,
                });
            }
        }
        first_frame += length;
    }
    Ok(chunks)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(lengths: RowLengths<'_>, hidden: usize, words: usize) {
        let mut frame = 0;
        let mut seen: Vec<_> =
            (0..lengths.rows()).map(|row| vec![0; lengths.length(row)]).collect();
        for chunk in chunks(lengths, hidden, words).unwrap() {
            assert!(chunk.frames * hidden * 4 <= words, "{chunk:?}");
            assert_eq!(chunk.first_frame, frame, "{chunk:?}");
            frame += chunk.frames;
            let mut frames = 0;
            let rows = chunk.first_row..chunk.first_row + chunk.rows;
            for seen in &mut seen[rows] {
                let end = seen.len().min(chunk.first_step + chunk.steps);
                assert!(chunk.rows == 1 || end == seen.len(), "{chunk:?}");
                seen[chunk.first_step..end].iter_mut().for_each(|n| *n += 1);
                frames += end - chunk.first_step;
            }
            assert_eq!(frames, chunk.frames);
        }
        assert!(seen.iter().flatten().all(|&n| n == 1), "{seen:?}");
    }

    #[test]
    fn chunks_cover_each_step_of_each_row_once() {
        for (rows, timesteps, hidden, words) in
            [(5, 3, 2, 24), (5, 3, 2, 50), (5, 3, 2, 1 << 20), (3, 7, 2, 16), (2, 4, 1, 4)]
        {
            check(RowLengths::Same { rows, timesteps }, hidden, words);
            let table: Vec<_> = (0..rows)
                .map(|at| PackedRow { at, length: (timesteps - at.min(timesteps - 1)), start: 0 })
                .collect();
            check(RowLengths::Table(&table), hidden, words);
        }
    }

    #[test]
    fn a_chunk_has_no_more_rows_than_a_grid() {
        let rows = 65_535 * 4;
        let chunks = chunks(RowLengths::Same { rows: rows + 1, timesteps: 1 }, 1, 1 << 22).unwrap();
        assert_eq!(chunks.iter().map(|c| c.rows).collect::<Vec<_>>(), [rows, 1]);
    }

    #[test]
    fn a_timestep_that_fits_nowhere_is_an_error() {
        let lengths = RowLengths::Same { rows: 1, timesteps: 1 };
        assert!(matches!(chunks(lengths, 2, 7), Err(Error::TooLarge { bytes: 32, limit: 28, .. })));
    }
}
