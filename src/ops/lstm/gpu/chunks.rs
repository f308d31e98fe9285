//! How a batch is cut into chunks.

use super::lanes::{ALIGN_WORDS, aligned_frames};
use crate::device::gpu::Gpu;
use crate::ops::lstm::{Forward, Sizes};
use crate::{Error, Result};
use std::iter::repeat_n;

/// A part of a batch whose gates fit in one binding: whole rows, or, where one row alone is too
/// large, some timesteps of one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// First row, in the order of the lengths' table if there are lengths.
    pub(crate) first_row: usize,
    pub(crate) rows: usize,
    pub(crate) first_step: usize,
    /// Timesteps of the longest row, which is the first.
    pub(crate) steps: usize,
    /// First frame: those of all rows follow each other.
    pub(crate) first_frame: usize,
    pub(crate) frames: usize,
}

/// The most words that the gates of a chunk may have.
pub(crate) fn most_words(gpu: &Gpu) -> usize {
    gpu.options.overrides.chunk_words.unwrap_or((gpu.max_binding() / 4) as usize)
}

/// Where a forward pass is cut so that all directions go in the same dispatches; else none.
pub(crate) fn together(
    gpu: &Gpu,
    calls: &[Forward<'_>],
    sizes: &[Sizes],
) -> Result<Option<Vec<Chunk>>> {
    let (Some(call), Some(first)) = (calls.first(), sizes.first()) else { return Ok(None) };
    let (words, hidden_size) = (most_words(gpu), first.hidden_size);
    let cut = |words| match call.lengths {
        Some(lengths) => chunks(lengths.rows().iter().map(|row| row.length), hidden_size, words),
        None => chunks(repeat_n(first.timesteps, first.batch), hidden_size, words),
    };
    if calls.len() == 1 {
        return cut(words).map(Some);
    }
    let r = 4 * (4 * hidden_size * hidden_size).next_multiple_of(ALIGN_WORDS);
    let fits = (calls.len() * r) as u64 <= gpu.max_binding();
    if !fits || sizes.iter().any(|sizes| sizes.hidden_size != hidden_size) {
        return Ok(None);
    }
    let place = 4 * hidden_size * aligned_frames(hidden_size);
    // The chunks of one long row follow each other, and those of the reverse direction go backwards.
    let whole_rows = |chunks: &Vec<Chunk>| chunks.iter().all(|chunk| chunk.first_step == 0);
    Ok(cut(words / calls.len() / place * place).ok().filter(whole_rows))
}

/// The chunks of rows with these lengths, in their order, for gates of at most `words` words.
fn chunks(
    lengths: impl Iterator<Item = usize>,
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
    for (row, length) in lengths.enumerate() {
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

    fn check(lengths: &[usize], hidden: usize, words: usize) {
        let mut frame = 0;
        let mut seen: Vec<_> = lengths.iter().map(|&length| vec![0; length]).collect();
        for chunk in chunks(lengths.iter().copied(), hidden, words).unwrap() {
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
            check(&vec![timesteps; rows], hidden, words);
            let falling = (0..rows).map(|row| timesteps - row.min(timesteps - 1));
            check(&falling.collect::<Vec<_>>(), hidden, words);
        }
    }

    #[test]
    fn a_chunk_has_no_more_rows_than_a_grid() {
        let rows = 65_535 * 4;
        let chunks = chunks(repeat_n(1, rows + 1), 1, 1 << 22).unwrap();
        assert_eq!(chunks.iter().map(|c| c.rows).collect::<Vec<_>>(), [rows, 1]);
    }

    #[test]
    fn a_timestep_that_fits_nowhere_is_an_error() {
        assert!(matches!(
            chunks(repeat_n(1, 1), 2, 7),
            Err(Error::TooLarge { bytes: 32, limit: 28, .. })
        ));
    }
}
