//! The order of a parameter's values in memory, and in PyTorch's layout.

use crate::device::threads::{count, each, each_chunk};
use crate::ops::conv::conv1d;

/// The order of a parameter's values in memory, relative to PyTorch's layout outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// The same order in memory and outside.
    Plain,
    /// `[rows, columns]` in memory, `[columns, rows]` outside: the weight of `Dense`.
    Transposed { rows: usize, columns: usize },
    /// `[rows, H, 4]` in memory (the four gates of a unit side by side), `[4H, rows]` outside.
    Gates { rows: usize, hidden_size: usize },
    /// `[H, 4]` in memory, of which the third is 0; `[3H]` outside: i, f, o.
    Peepholes { hidden_size: usize },
    /// PyTorch: `[groups * outputs, inputs, size]`, the weight of a convolution. Memory:
    /// `[groups, size, inputs, outputs]`.
    Conv { groups: usize, size: usize, inputs: usize, outputs: usize },
}

impl Layout {
    /// Puts values in the order of memory into that outside, on the threads that this one works with.
    pub(super) fn to_outside(self, memory: &[f32], outside: &mut [f32]) {
        match self {
            Self::Plain => outside.copy_from_slice(memory),
            Self::Transposed { rows, columns } => {
                let bands = outside.chunks_mut((WIDTH * rows).max(1)).map(|band| vec![band]);
                each_band([rows, columns], memory, bands);
            }
            Self::Gates { rows, hidden_size } => {
                // A band of memory has a part of each gate.
                let gates = outside.chunks_mut((hidden_size * rows).max(1));
                let mut gates: Vec<_> =
                    gates.map(|gate| gate.chunks_mut((WIDTH / 4 * rows).max(1))).collect();
                let bands = std::iter::from_fn(move || {
                    let band: Vec<_> = gates.iter_mut().filter_map(Iterator::next).collect();
                    (!band.is_empty()).then_some(band)
                });
                each_band([rows, 4 * hidden_size], memory, bands);
            }
            Self::Peepholes { hidden_size } => {
                for (unit, gates) in memory.chunks_exact(4).enumerate() {
                    for (gate, place) in [0, 1, 3].into_iter().enumerate() {
                        outside[gate * hidden_size + unit] = gates[place];
                    }
                }
            }
            Self::Conv { groups, size, inputs, outputs } => {
                conv1d::to_outside(memory, outside, [groups, size, inputs, outputs]);
            }
        }
    }

    /// Puts values in the order outside into that of memory, on the threads that this one works with.
    pub(super) fn to_memory(self, outside: &[f32], memory: &mut [f32]) {
        match self {
            Self::Plain => memory.copy_from_slice(outside),
            Self::Transposed { rows, columns } => {
                each_row([rows, columns], memory, |column| &outside[column * rows..][..rows]);
            }
            Self::Gates { rows, hidden_size } => {
                each_row([rows, 4 * hidden_size], memory, |column| {
                    let row = column % 4 * hidden_size + column / 4;
                    &outside[row * rows..][..rows]
                });
            }
            Self::Peepholes { hidden_size } => {
                for (unit, gates) in memory.chunks_exact_mut(4).enumerate() {
                    gates[2] = 0.0;
                    for (gate, place) in [0, 1, 3].into_iter().enumerate() {
                        gates[place] = outside[gate * hidden_size + unit];
                    }
                }
            }
            Self::Conv { groups, size, inputs, outputs } => {
                conv1d::to_memory(outside, memory, [groups, size, inputs, outputs]);
            }
        }
    }
}

/// The most rows and columns of a block: small enough for the first cache. It has a copy of its own there,
/// since rows of a matrix may all fall on the same lines of a cache.
const HEIGHT: usize = 16;
const WIDTH: usize = 64;

/// Transposes a matrix in memory into bands, for so many of its columns each. A band is the slices in which
/// the columns lie in turn.
fn each_band<'a>(
    [rows, columns]: [usize; 2],
    memory: &[f32],
    bands: impl Iterator<Item = Vec<&'a mut [f32]>> + Send,
) {
    each(bands.enumerate(), count(), |(number, mut band)| {
        let (slices, first) = (band.len(), number * WIDTH);
        let width = WIDTH.min(columns - first);
        let mut block = [0.0; HEIGHT * WIDTH];
        for row in (0..rows).step_by(HEIGHT) {
            let height = HEIGHT.min(rows - row);
            let from = (&memory[row * columns + first..], columns);
            transpose(from, (&mut block, HEIGHT), [height, width]);
            for (c, column) in block.chunks_exact(HEIGHT).enumerate().take(width) {
                band[c % slices][c / slices * rows + row..][..height]
                    .copy_from_slice(&column[..height]);
            }
        }
    });
}

/// The other way round: `of` gives the values of a column of the matrix in memory.
fn each_row<'a>(
    [rows, columns]: [usize; 2],
    memory: &mut [f32],
    of: impl Fn(usize) -> &'a [f32] + Sync,
) {
    each_chunk(memory, HEIGHT * columns, |number, memory| {
        let row = number * HEIGHT;
        let height = HEIGHT.min(rows - row);
        let mut block = [0.0; HEIGHT * WIDTH];
        for first in (0..columns).step_by(WIDTH) {
            let width = WIDTH.min(columns - first);
            for (c, column) in block.chunks_exact_mut(HEIGHT).enumerate().take(width) {
                column[..height].copy_from_slice(&of(first + c)[row..][..height]);
            }
            transpose((&block, HEIGHT), (&mut memory[first..], columns), [width, height]);
        }
    });
}

/// Transposes a block `[rows, columns]`; beside each slice are the words from one of its rows to the next.
fn transpose(
    (from, from_row): (&[f32], usize),
    (to, to_row): (&mut [f32], usize),
    [rows, columns]: [usize; 2],
) {
    // Four by four, which a compiler keeps in registers; then what is left over.
    let (whole_rows, whole_columns) = (rows / 4 * 4, columns / 4 * 4);
    for r in (0..whole_rows).step_by(4) {
        let lines: [&[f32]; 4] = std::array::from_fn(|k| &from[(r + k) * from_row..][..columns]);
        for c in (0..whole_columns).step_by(4) {
            for k in 0..4 {
                let line = [lines[0][c + k], lines[1][c + k], lines[2][c + k], lines[3][c + k]];
                to[(c + k) * to_row + r..][..4].copy_from_slice(&line);
            }
        }
    }
    for r in 0..rows {
        let first = if r < whole_rows { whole_columns } else { 0 };
        for c in first..columns {
            to[c * to_row + r] = from[r * from_row + c];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// For each word in memory, its index outside, if it has one: what the layouts mean.
    fn outside(layout: Layout, i: usize) -> Option<usize> {
        match layout {
            Layout::Plain => Some(i),
            Layout::Transposed { rows, columns } => Some((i % columns) * rows + i / columns),
            Layout::Gates { rows, hidden_size } => {
                let (row, unit, gate) = (i / (4 * hidden_size), i / 4 % hidden_size, i % 4);
                Some((gate * hidden_size + unit) * rows + row)
            }
            Layout::Peepholes { hidden_size } => {
                [Some(0), Some(1), None, Some(2)][i % 4].map(|gate| gate * hidden_size + i / 4)
            }
            Layout::Conv { size, inputs, outputs, .. } => {
                let (output, input) = (i % outputs, i / outputs % inputs);
                let (tap, group) = (i / (outputs * inputs) % size, i / (outputs * inputs * size));
                Some(((group * outputs + output) * inputs + input) * size + tap)
            }
        }
    }

    #[test]
    fn both_ways_are_what_the_layouts_mean() {
        // On one thread and on several.
        both_ways();
        crate::Device::cpu_with_threads(3).unwrap().on_host(both_ways);
    }

    fn both_ways() {
        let mut layouts = vec![(Layout::Plain, 37)];
        for rows in [1, 2, 15, 16, 17, 33, 100] {
            for size in [1, 3, 15, 16, 17, 63, 64, 65, 130] {
                layouts.push((Layout::Transposed { rows, columns: size }, rows * size));
                layouts.push((Layout::Gates { rows, hidden_size: size }, rows * 4 * size));
                layouts.push((Layout::Peepholes { hidden_size: size }, 4 * size));
            }
        }
        for [groups, size, inputs, outputs] in
            [[1, 1, 1, 1], [1, 3, 5, 7], [3, 2, 4, 5], [4, 5, 1, 1]]
        {
            let layout = Layout::Conv { groups, size, inputs, outputs };
            layouts.push((layout, groups * size * inputs * outputs));
        }
        for (layout, len) in layouts {
            let places: Vec<_> = (0..len).map(|i| outside(layout, i)).collect();
            let outer = places.iter().flatten().count();
            let values: Vec<f32> = (0..outer).map(|i| i as f32 + 1.0).collect();
            let mut memory = vec![f32::NAN; len];
            layout.to_memory(&values, &mut memory);
            for (i, place) in places.iter().enumerate() {
                assert_eq!(memory[i], place.map_or(0.0, |p| values[p]), "{layout:?} at {i}");
            }
            let mut back = vec![f32::NAN; outer];
            layout.to_outside(&memory, &mut back);
            assert_eq!(back, values, "{layout:?}");
        }
    }
}
