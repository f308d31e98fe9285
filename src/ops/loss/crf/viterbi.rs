//! The best path of tags, on the CPU.

use super::{Host, Row, larger};
use crate::ops::common::vector::{Rows, store};
use crate::ops::loss::answers::{CLASS, NOTHING, RANK, WIDTH};
use pulp::Simd;

pub(super) struct BestPaths<'a>(pub(super) &'a Host);

impl Rows<2> for BestPaths<'_> {
    #[inline(always)]
    fn row<S: Simd>(&self, simd: S, b: usize, [answers, score]: [&mut [f32]; 2]) {
        answers.as_chunks_mut::<WIDTH>().0.fill(NOTHING);
        score.fill(self.0.row(b).best_path(simd, answers));
    }
}

impl Row<'_> {
    /// Writes the answers at the row's frames, and returns the path's score.
    #[inline(always)]
    fn best_path<S: Simd>(&self, simd: S, answers: &mut [f32]) -> f32 {
        let k = self.k;
        let Some(last) = self.frames.len().checked_sub(1) else { return 0.0 };
        let mut best = vec![0.0; k];
        let mut before = self.scores(k).to_vec();
        // From which tag each frame's tags are reached best; a number that a float holds.
        let mut ways = vec![0.0; last * k];
        let mut gained = 0.0;
        for i in 0..=last {
            match i.checked_sub(1) {
                None => best.copy_from_slice(&before),
                Some(way) => self.step(simd, &before, &mut best, &mut ways[way * k..][..k]),
            }
            best.iter_mut().zip(self.emissions(i)).for_each(|(best, e)| *best += e);
            let peak = best.iter().copied().fold(f32::NEG_INFINITY, larger);
            gained += f64::from(peak);
            before.iter_mut().zip(&best).for_each(|(to, best)| *to = best - peak);
        }
        let ends = self.scores(k + 1);
        before.iter_mut().zip(ends).for_each(|(best, end)| *best += end);
        let most = before.iter().copied().fold(f32::NEG_INFINITY, larger);
        let total = (gained + f64::from(most)) as f32;
        if total.is_nan() {
            return total;
        }
        let mut tag = before.iter().position(|&v| v == most).unwrap_or(0);
        for i in (0..=last).rev() {
            let answer = &mut answers[self.place(i) * WIDTH..][..WIDTH];
            answer.fill(0.0);
            answer[RANK] = f32::from(u8::from(tag != self.tag(i)));
            answer[CLASS] = tag as f32;
            if i > 0 {
                tag = ways[(i - 1) * k + tag] as usize;
            }
        }
        total
    }

    /// The best of all ways from the tags before to each tag, and where it comes from: of equals the first.
    #[inline(always)]
    fn step<S: Simd>(&self, simd: S, before: &[f32], best: &mut [f32], ways: &mut [f32]) {
        let zero = simd.splat_f32s(0.0);
        for at in (0..self.k).step_by(S::F32_LANES) {
            let (mut most, mut way) = (self.ways(simd, before, 0, at), zero);
            for from in 1..self.k {
                let v = self.ways(simd, before, from, at);
                // A NaN is taken, and stays.
                let worse = simd.or_m32s(
                    simd.less_than_or_equal_f32s(v, most),
                    simd.not_m32s(simd.equal_f32s(most, most)),
                );
                most = simd.select_f32s(worse, most, v);
                way = simd.select_f32s(worse, way, simd.splat_f32s(from as f32));
            }
            store(simd, best, at, most);
            store(simd, ways, at, way);
        }
    }
}
