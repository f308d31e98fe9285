//! Which frames an output of a convolution or a pool is made of.

use crate::autograd::Var;
use crate::ops::conv::Window;
use crate::{Error, Lengths, Result};
use serde::{Deserialize, Serialize};

/// What stands before the first frame of a sequence and behind its last, for [`super::Conv1d`] and
/// [`super::Pool1d`]: zeros for the one, nothing for the other.
///
/// A window of `size` frames reaches over `reach = (size - 1) * dilation + 1`, and `T` frames with padding before
/// and after give `(before + T + after - reach) / stride + 1` outputs, rounded down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Padding {
    /// Nothing: PyTorch's `padding=0`, Keras' `valid`.
    #[default]
    Valid,
    /// As much as `T / stride` outputs take, rounded up, half of it before and, of an odd number, one more after:
    /// Keras' and PyTorch's `same`, ONNX' `SAME_UPPER`.
    Same,
    /// `reach - 1` frames before: no output sees a later frame. Keras' `causal`.
    Causal,
    /// So many before and after: PyTorch's `padding=n` is `Explicit(n, n)`.
    Explicit(usize, usize),
}

/// Windows over sequences of any length.
#[derive(Debug, Clone, Copy)]
pub(super) struct Windows {
    pub(super) size: usize,
    pub(super) stride: usize,
    pub(super) dilation: usize,
    pub(super) padding: Padding,
}

impl Windows {
    /// Checks that all numbers are possible, and that no index overflows.
    pub(super) fn check(self, [size, stride, dilation, padding]: [&'static str; 4]) -> Result<()> {
        super::check_size(size, self.size)?;
        super::check_size(stride, self.stride)?;
        super::check_size(dilation, self.dilation)?;
        let most = 1 << 24;
        if self.reach() > most {
            let found = format!("{} taps that are {} apart", self.size, self.dilation);
            let expected = "a window over at most 16,777,216 frames".into();
            return Err(Error::Option { option: size, found, expected });
        }
        match self.padding {
            Padding::Explicit(before, after) if before.max(after) > most => Err(Error::Option {
                option: padding,
                found: format!("{:?}", self.padding),
                expected: "at most 16,777,216 frames on each side".into(),
            }),
            _ => Ok(()),
        }
    }

    fn reach(self) -> usize {
        (self.size - 1) * self.dilation + 1
    }

    /// The windows over so many frames.
    pub(super) fn over(self, frames: usize) -> Window {
        let Self { size, stride, dilation, padding } = self;
        let [before, after] = match padding {
            Padding::Valid => [0, 0],
            Padding::Same => {
                let last = frames.div_ceil(stride).saturating_sub(1) * stride;
                let all = (last + self.reach()).saturating_sub(frames);
                [all / 2, all - all / 2]
            }
            Padding::Causal => [self.reach() - 1, 0],
            Padding::Explicit(before, after) => [before, after],
        };
        Window { size, stride, dilation, before, after }
    }

    /// The outputs for so many frames.
    pub(super) fn outputs(self, frames: usize) -> usize {
        self.over(frames).steps(frames)
    }

    /// Whether each output is made of its own frame and those before: a stream can then go through.
    pub(super) fn is_causal(self) -> bool {
        let window = self.over(1 << 24);
        self.stride == 1 && [window.before, window.after] == [self.reach() - 1, 0]
    }

    /// The windows over `x` `[B,T,C]`, and the lengths of what is made of rows of different lengths: of each as many
    /// outputs as the row gives by itself.
    pub(super) fn of_rows(
        self,
        layer: &'static str,
        x: &Var,
        frames: usize,
    ) -> Result<(Window, Option<Lengths>)> {
        let window = self.over(frames);
        let Some(lengths) = x.lengths() else { return Ok((window, None)) };
        let rows = lengths.values().iter().map(|&length| length as usize);
        if rows.clone().any(|row| row > 0 && self.over(row).before != window.before) {
            return Err(Error::Unsupported {
                what: "Padding::Same with a stride, of rows whose padding begins differently",
                with: layer,
                help: "how much comes before the first frame goes by a row's length: take rows of one length, or \
                       Padding::Explicit",
            });
        }
        let outputs: Vec<_> = rows.map(|row| self.outputs(row)).collect();
        Ok((window, Some(Lengths::new(&outputs, &x.tensor().device())?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers of Keras 3.15 and PyTorch 2.15.
    #[test]
    fn paddings_are_those_of_keras_and_pytorch() {
        for (size, stride, dilation, frames, expected) in [
            (3, 1, 1, 10, (1, 1, 10)),
            (4, 1, 1, 10, (1, 2, 10)),
            (3, 2, 1, 10, (0, 1, 5)),
            (3, 2, 1, 9, (1, 1, 5)),
            (5, 3, 1, 7, (2, 2, 3)),
            (3, 1, 2, 5, (2, 2, 5)),
            (2, 3, 1, 6, (0, 0, 2)),
        ] {
            let windows = Windows { size, stride, dilation, padding: Padding::Same };
            let window = windows.over(frames);
            let found = (window.before, window.after, windows.outputs(frames));
            assert_eq!(found, expected, "{windows:?}, {frames}");
        }
        let of = |padding| Windows { size: 3, stride: 1, dilation: 2, padding };
        assert_eq!((of(Padding::Causal).outputs(7), of(Padding::Valid).outputs(7)), (7, 3));
        assert_eq!((of(Padding::Explicit(4, 0)).outputs(1), of(Padding::Valid).outputs(4)), (1, 0));
        let causal = [Padding::Causal, Padding::Explicit(4, 0), Padding::Same, Padding::Valid];
        assert_eq!(causal.map(|p| of(p).is_causal()), [true, true, false, false]);
    }
}
