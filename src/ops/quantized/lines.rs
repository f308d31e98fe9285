//! Weights of 8 bits in the order in which instructions take them.

use super::dot::{LANES, Line};
use crate::Result;
use crate::tensor::room_for;
use std::ops::Range;

/// Where a matrix's numbers lie in memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Places<'a> {
    /// The first number of each output; `None` for one of zeros, which fills a block up.
    pub(crate) outputs: &'a [Option<usize>],
    /// The terms of a sum.
    pub(crate) terms: usize,
    /// From one term's number to the next.
    pub(crate) stride: usize,
}

/// The blocks of 16 outputs whose lines alternate in memory, so that a product of few rows reads it from end to end.
pub(crate) const TOGETHER: usize = 4;

/// Weights `[outputs,terms]` in blocks of 16 outputs, in lines of four terms of each.
#[derive(Debug, Clone)]
pub(crate) struct Lines {
    /// `[blocks / 4,words,4]`, then `[blocks % 4,words]`
    lines: Vec<Line>,
    /// Σ b of each output.
    totals: Vec<[i32; LANES]>,
    /// The lines of a block.
    words: usize,
    terms: usize,
}

impl Lines {
    /// Puts signed bytes in order, or with `flip` unsigned ones less 128.
    pub(crate) fn pack(bytes: &[u8], places: Places<'_>, flip: bool) -> Result<Self> {
        let Places { outputs, terms, stride } = places;
        let (words, blocks) = (terms.div_ceil(4), outputs.len().div_ceil(LANES));
        let mut lines = room_for("weights of 8 bits", words * blocks)?;
        lines.resize(words * blocks, Line([0; 4 * LANES]));
        let mut totals = vec![[0i32; LANES]; blocks];
        let mask = if flip { 0x80 } else { 0 };
        for (output, first) in outputs.iter().enumerate() {
            let Some(first) = *first else { continue };
            let (block, lane) = (output / LANES, output % LANES);
            let (first_line, apart) = match block / TOGETHER < blocks / TOGETHER {
                true => (block / TOGETHER * TOGETHER * words + block % TOGETHER, TOGETHER),
                false => (block * words, 1),
            };
            for k in 0..terms {
                let byte = (bytes[first + k * stride] ^ mask) as i8;
                lines[first_line + k / 4 * apart].0[4 * lane + k % 4] = byte;
                totals[block][lane] = totals[block][lane].wrapping_add(byte.into());
            }
        }
        Ok(Self { lines, totals, words, terms })
    }

    /// The blocks of 16 outputs.
    pub(crate) fn blocks(&self) -> usize {
        self.totals.len()
    }

    /// The outputs, with those that fill the last block up.
    pub(crate) fn outputs(&self) -> usize {
        LANES * self.blocks()
    }

    pub(crate) fn terms(&self) -> usize {
        self.terms
    }

    /// The lines of [`TOGETHER`] blocks, from a multiple of as many on, or of one of the rest.
    #[inline]
    pub(crate) fn blocks_from<const C: usize>(&self, block: usize) -> &[[Line; C]] {
        debug_assert_eq!(C == TOGETHER, block / TOGETHER < self.blocks() / TOGETHER);
        debug_assert!(C == 1 || block.is_multiple_of(C));
        self.lines[block * self.words..][..C * self.words].as_chunks().0
    }

    /// Σ b of the outputs of some blocks.
    #[inline]
    pub(crate) fn totals(&self, blocks: Range<usize>) -> &[i32] {
        self.totals[blocks].as_flattened()
    }
}

/// A weight as a product takes it: integers, and what they stand for, of each output of the lines.
#[derive(Debug, Clone)]
pub(crate) struct Weight {
    pub(crate) lines: Lines,
    pub(crate) scale: Vec<f32>,
    /// The integers that stand for 0; none if these are 0.
    pub(crate) zero: Option<Vec<i32>>,
}
