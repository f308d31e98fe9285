//! The embedded Reber grammar, as single strings and as streams of them.

use rand::RngExt;
use rand_chacha::ChaCha8Rng as Rng;

pub const SYMBOLS: usize = 7;
const LETTERS: [char; SYMBOLS] = ['B', 'T', 'P', 'S', 'X', 'V', 'E'];

/// Where a string is: from 0, its begin, to 10, before its last symbol, after which it is at 0 again.
#[derive(Clone, Default)]
pub struct Grammar {
    pub place: usize,
    /// The second symbol, which is the last but one as well.
    second: char,
}

impl Grammar {
    /// The symbols that may come next, and where each leads.
    fn arrows(&self) -> Vec<(char, usize)> {
        match self.place {
            0 => vec![('B', 1)],
            1 => vec![('T', 2), ('P', 2)],
            2 => vec![('B', 3)],
            3 => vec![('T', 4), ('P', 5)],
            4 => vec![('S', 4), ('X', 6)],
            5 => vec![('T', 5), ('V', 7)],
            6 => vec![('X', 5), ('S', 8)],
            7 => vec![('P', 6), ('V', 8)],
            8 => vec![('E', 9)],
            9 => vec![(self.second, 10)],
            _ => vec![('E', 0)],
        }
    }

    /// 1 for each symbol that may come next, 0 for the others.
    pub fn may_follow(&self) -> [f32; SYMBOLS] {
        let arrows = self.arrows();
        std::array::from_fn(|symbol| {
            f32::from(arrows.iter().any(|arrow| arrow.0 == LETTERS[symbol]))
        })
    }

    pub fn next(&mut self, rng: &mut Rng) -> usize {
        let arrows = self.arrows();
        let (letter, place) = arrows[rng.random_range(0..arrows.len())];
        if self.place == 1 {
            self.second = letter;
        }
        self.place = place;
        LETTERS.iter().position(|&symbol| symbol == letter).unwrap_or_default()
    }
}
