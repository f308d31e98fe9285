//! Convolutions, pools and what comes before them, over the timesteps of sequences `[B,T,C]`.

pub(crate) mod batch_norm;
pub(crate) mod conv1d;
pub(crate) mod magnitude;
pub(crate) mod pool1d;
pub(crate) mod reflect;
pub(crate) mod unfold;

/// Which frames an output is made of: `size` of them, `dilation` apart, the first of the output number t at
/// `t * stride - before`. Frames before the first and past the last, of which there are up to `before` and
/// `after`, are padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) size: usize,
    pub(crate) stride: usize,
    pub(crate) dilation: usize,
    pub(crate) before: usize,
    pub(crate) after: usize,
}

impl Window {
    /// The frames from the first of an output to its last.
    pub(crate) fn reach(self) -> usize {
        (self.size - 1) * self.dilation + 1
    }

    /// The outputs for so many frames; none for none.
    pub(crate) fn steps(self, frames: usize) -> usize {
        let rest = (frames + self.before + self.after).checked_sub(self.reach());
        rest.filter(|_| frames > 0).map_or(0, |rest| rest / self.stride + 1)
    }

    /// The taps of an output that lie on some of so many frames.
    fn taps(self, output: usize, frames: usize) -> std::ops::Range<usize> {
        let first = output * self.stride;
        let skipped = self.before.saturating_sub(first).div_ceil(self.dilation).min(self.size);
        let end = (frames + self.before).saturating_sub(first).div_ceil(self.dilation);
        skipped..end.clamp(skipped, self.size)
    }

    /// The outputs of whose taps the one with this number lies on a frame, so many being made at all.
    fn output(self, frame: usize, tap: usize, outputs: usize) -> Option<usize> {
        let at = (frame + self.before).checked_sub(tap * self.dilation)?;
        (at % self.stride == 0).then_some(at / self.stride).filter(|&output| output < outputs)
    }

    /// For the kernels: `parts/window.wgsl`.
    fn words(self) -> [u32; 4] {
        [self.size, self.stride, self.dilation, self.before].map(|word| word as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `taps` and `output` say is what each tap's place says.
    #[test]
    fn taps_and_outputs_are_those_that_lie_on_frames() {
        for (size, stride, dilation, before, after) in
            [(1, 1, 1, 0, 0), (3, 1, 1, 1, 1), (3, 2, 1, 2, 0), (4, 3, 2, 5, 7), (2, 5, 3, 0, 9)]
        {
            let window = Window { size, stride, dilation, before, after };
            for frames in 1..14 {
                let outputs = window.steps(frames);
                for output in 0..outputs {
                    let on = |tap: &usize| {
                        let at = output * stride + tap * dilation;
                        (before..before + frames).contains(&at)
                    };
                    let expected: Vec<_> = (0..size).filter(on).collect();
                    let found: Vec<_> = window.taps(output, frames).collect();
                    assert_eq!(found, expected, "{window:?}, {output} of {frames}");
                    for &tap in &found {
                        let frame = output * stride + tap * dilation - before;
                        assert_eq!(window.output(frame, tap, outputs), Some(output));
                    }
                }
            }
            assert_eq!(window.steps(0), 0);
        }
    }
}
