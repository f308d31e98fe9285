//! The order of a parameter's values in memory, and in PyTorch's layout.

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
}

impl Layout {
    /// For each word in memory, its index outside, if it has one.
    pub(super) fn outside(self, len: usize) -> Box<dyn Iterator<Item = Option<usize>>> {
        match self {
            Self::Plain => Box::new((0..len).map(Some)),
            Self::Transposed { rows, columns } => {
                Box::new((0..len).map(move |i| Some((i % columns) * rows + i / columns)))
            }
            Self::Gates { rows, hidden_size } => Box::new((0..len).map(move |i| {
                let (row, unit, gate) = (i / (4 * hidden_size), i / 4 % hidden_size, i % 4);
                Some((gate * hidden_size + unit) * rows + row)
            })),
            Self::Peepholes { hidden_size } => Box::new((0..len).map(move |i| {
                let place = [Some(0), Some(1), None, Some(2)][i % 4];
                place.map(|gate| gate * hidden_size + i / 4)
            })),
        }
    }
}
