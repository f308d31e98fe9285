//! From what is likely in each frame to digits.

/// The class of frames in which no digit is to be said; those before it are the digits.
pub const BLANK: u32 = 10;
/// Frames that must have a digit for it to be said, and blank frames that end it.
const FRAMES: usize = 2;

/// Adds up the probabilities of frames that have a digit, and says the most likely one behind them.
#[derive(Default)]
pub struct Decoder {
    sums: [f32; 10],
    frames: usize,
    blanks: usize,
    said: bool,
}

impl Decoder {
    /// Takes the probabilities of a frame; a digit, if one has ended.
    pub fn push(&mut self, probabilities: &[f32]) -> Option<u32> {
        self.sums.iter_mut().zip(probabilities).for_each(|(sum, p)| *sum += p);
        if probabilities[BLANK as usize] < 0.5 {
            self.frames += 1;
            self.blanks = 0;
            return None;
        }
        self.blanks += 1;
        if self.blanks < FRAMES || self.frames < FRAMES {
            return None;
        }
        let best = self.best();
        *self = Self { said: true, ..Self::default() };
        Some(best)
    }

    /// The most likely digit, if none was said until the end: somebody spoke.
    pub fn end(&self) -> Option<u32> {
        (!self.said).then(|| self.best())
    }

    fn best(&self) -> u32 {
        let sum = |digit: u32| self.sums[digit as usize];
        (0..BLANK).max_by(|&a, &b| sum(a).total_cmp(&sum(b))).unwrap_or(0)
    }
}
