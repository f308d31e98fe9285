//! The sums of which metrics are made, several in one pass.

use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, wgsl};
use crate::ops::common::vector::{self, LongSum, Rows, load};
use crate::ops::common::{
    ACTIVATIONS, INDEX, IS_NAN, LONG_SUM, ROW_REDUCE, ROWWISE, last_axis, long_sum, math, rowwise,
    switches,
};
use crate::ops::loss::answers::CLASS;
use crate::{Device, Result, Tensor};
use pulp::Simd;
use std::ops::Range;

pub(crate) static KERNEL: Kernel = Kernel {
    name: "metric_sums",
    parts: &[
        IS_NAN,
        ACTIVATIONS,
        LONG_SUM,
        ROW_REDUCE,
        INDEX,
        ROWWISE,
        wgsl!("loss/metric_sums.wgsl"),
    ],
    bindings: &[("x", Read), ("y", Read), ("weights", Read), ("wanted", Read), ("part", Write)],
    variants: || switches(["WEIGHTS"]),
    ..Kernel::PLAIN
};

/// The rows of a block.
const BLOCK: usize = 1024;

/// A term of a sum, of a prediction x and a target y.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Term {
    /// |x - y|.
    Absolute,
    /// (x - y)².
    Squared,
    /// |x - y| / |y|, with no less than 2⁻⁵² below.
    Percentage,
    /// 2 |x - y| / (|x| + |y|), 0 where both are 0.
    Symmetric,
    /// The pinball loss at this quantile.
    Pinball(f32),
    /// The cross-entropy of a logit.
    LogLoss,
    /// Once a row: 1 where y lies from the x of the first column to that of the last.
    Within,
    /// 1 where x is less than this.
    Below(f32),
    /// x itself.
    Value,
    /// 1 where x is above this and y above a half, or neither.
    Right(f32),
    /// 1 where x is above this.
    Yes(f32),
    /// 1 where y is above a half.
    IsYes,
    /// 1 where both are.
    BothYes(f32),
    /// 1 where x is at most this.
    No(f32),
    /// 1 where y is at most a half.
    IsNo,
    /// 1 where both are.
    BothNo(f32),
}

impl Term {
    /// The kernel's number and parameter.
    fn code(self) -> (u32, f32) {
        match self {
            Self::Absolute => (0, 0.0),
            Self::Squared => (1, 0.0),
            Self::Percentage => (2, 0.0),
            Self::Symmetric => (3, 0.0),
            Self::Pinball(p) => (4, p),
            Self::LogLoss => (5, 0.0),
            Self::Within => (6, 0.0),
            Self::Below(p) => (7, p),
            Self::Value => (8, 0.0),
            Self::Right(p) => (9, p),
            Self::Yes(p) => (10, p),
            Self::IsYes => (11, 0.0),
            Self::BothYes(p) => (12, p),
            Self::No(p) => (13, p),
            Self::IsNo => (14, 0.0),
            Self::BothNo(p) => (15, p),
        }
    }

    #[inline(always)]
    fn value<S: Simd>(self, simd: S, x: S::f32s, y: S::f32s) -> S::f32s {
        let (zero, one, half) = (simd.splat_f32s(0.0), simd.splat_f32s(1.0), simd.splat_f32s(0.5));
        let d = simd.sub_f32s(x, y);
        let size = simd.abs_f32s(d);
        let is_yes = simd.greater_than_f32s(y, half);
        let is_no = simd.less_than_or_equal_f32s(y, half);
        let holds = match self {
            Self::Absolute => return size,
            Self::Squared => return simd.mul_f32s(d, d),
            Self::Percentage => {
                let least = simd.splat_f32s(f64::EPSILON as f32);
                return simd.div_f32s(size, simd.max_f32s(simd.abs_f32s(y), least));
            }
            Self::Symmetric => {
                let both = simd.add_f32s(simd.abs_f32s(x), simd.abs_f32s(y));
                let share = simd.div_f32s(simd.add_f32s(size, size), both);
                return simd.select_f32s(simd.equal_f32s(both, zero), zero, share);
            }
            Self::Pinball(p) => {
                let (below, above) = (simd.splat_f32s(-p), simd.splat_f32s(1.0 - p));
                let slope = simd.select_f32s(simd.less_than_f32s(d, zero), below, above);
                return simd.mul_f32s(slope, d);
            }
            Self::LogLoss => {
                return simd.sub_f32s(math::softplus(simd, x), simd.mul_f32s(x, y));
            }
            Self::Value => return x,
            Self::Within => return zero,
            Self::Below(p) => simd.less_than_f32s(x, simd.splat_f32s(p)),
            // Right about what is one, or about what is none: with a NaN it is neither.
            Self::Right(p) => {
                let p = simd.splat_f32s(p);
                let yes = simd.and_m32s(simd.greater_than_f32s(x, p), is_yes);
                let no = simd.and_m32s(simd.less_than_or_equal_f32s(x, p), is_no);
                simd.or_m32s(yes, no)
            }
            Self::Yes(p) => simd.greater_than_f32s(x, simd.splat_f32s(p)),
            Self::IsYes => is_yes,
            Self::BothYes(p) => {
                simd.and_m32s(simd.greater_than_f32s(x, simd.splat_f32s(p)), is_yes)
            }
            Self::No(p) => simd.less_than_or_equal_f32s(x, simd.splat_f32s(p)),
            Self::IsNo => is_no,
            Self::BothNo(p) => {
                simd.and_m32s(simd.less_than_or_equal_f32s(x, simd.splat_f32s(p)), is_no)
            }
        };
        simd.select_f32s(holds, one, zero)
    }
}

/// A sum over some columns.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sum {
    pub(crate) term: Term,
    /// The first column, and how many there are: of [`Term::Within`] from the lower bound to the upper.
    pub(crate) columns: (usize, usize),
}

/// Sums that are wanted batch after batch.
pub(crate) struct Wanted {
    sums: Vec<Sum>,
    classes: usize,
    each: usize,
    tensor: Tensor,
}

impl Wanted {
    /// These sums; and for each of so many classes three more: the weights of the rows that answer with it,
    /// of those that have it as their label, and of those that do both.
    pub(crate) fn new(sums: Vec<Sum>, classes: usize, device: &Device) -> Result<Self> {
        let words = sums.iter().flat_map(|sum| {
            let (kind, p) = sum.term.code();
            [kind, p.to_bits(), sum.columns.0 as u32, sum.columns.1 as u32]
        });
        let mut words: Vec<_> = words.collect();
        // A binding is never empty.
        words.resize(words.len().max(4), 0);
        let tensor = Tensor::from_u32(&words, [words.len() / 4, 4], device)?;
        Ok(Self { sums, classes, each: 1, tensor })
    }

    /// The same of outputs of which each so many, one after the other, have one target.
    pub(crate) fn of_each(self, each: usize) -> Self {
        Self { each, ..self }
    }

    /// How many sums there are.
    pub(crate) fn len(&self) -> usize {
        self.sums.len() + 3 * self.classes
    }
}

/// The sums over each block of rows of `x` `[..,C]`, `[blocks,S]`. `y` has as many rows; where it has fewer
/// columns, its last stands for all that are missing. With classes `x` are answers of
/// [`super::answers::answers`], and `y` labels.
pub(crate) fn metric_sums(
    wanted: &Wanted,
    x: &Tensor,
    y: &Tensor,
    weights: Option<&Tensor>,
) -> Result<Tensor> {
    let (c, s) = (last_axis(x), wanted.len());
    let rows = x.len() / c;
    let d = y.len() / rows.max(1);
    let blocks = rows.div_ceil(BLOCK);
    let parts = Tensor::empty([blocks, s], &x.device())?;
    if let Some(gpu) = x.gpu() {
        rowwise(&KERNEL, blocks * s)
            .constants(&[("WEIGHTS", weights.is_some().into())])
            .words(
                &[rows, c, d, wanted.sums.len(), wanted.classes, wanted.each]
                    .map(|word| word as u32),
            )
            .run(gpu, &[Some(x), Some(y), weights, Some(&wanted.tensor), Some(&parts)])?;
        return Ok(parts);
    }
    let (x, y, weights) = (x.cpu(), y.cpu(), weights.map(Tensor::cpu));
    let labels = y.as_u32();
    let blocks = Blocks { wanted, x: &x, c, y: &y, d, labels, weights: weights.as_deref(), rows };
    parts.cpu_mut(|parts| vector::rows(&blocks, [s], [parts], BLOCK * c * s));
    Ok(parts)
}

struct Blocks<'a> {
    wanted: &'a Wanted,
    x: &'a [f32],
    c: usize,
    y: &'a [f32],
    d: usize,
    labels: &'a [u32],
    weights: Option<&'a [f32]>,
    rows: usize,
}

impl Rows<1> for Blocks<'_> {
    /// The sums over a block of rows.
    #[inline(always)]
    fn row<S: Simd>(&self, simd: S, block: usize, [parts]: [&mut [f32]; 1]) {
        let first = block * BLOCK;
        let rows = first..self.rows.min(first + BLOCK);
        let (plain, classes) = parts.split_at_mut(self.wanted.sums.len());
        for (part, sum) in plain.iter_mut().zip(&self.wanted.sums) {
            *part = match sum.term {
                Term::Within => self.within(sum, rows.clone()),
                _ => self.sum(simd, sum, rows.clone()),
            };
        }
        if !classes.is_empty() {
            self.count(classes, rows);
        }
    }
}

impl Blocks<'_> {
    fn weight(&self, row: usize) -> f32 {
        self.weights.map_or(1.0, |w| w[row])
    }

    fn target(&self, row: usize, j: usize) -> f32 {
        self.y[row * self.d + (j / self.wanted.each).min(self.d - 1)]
    }

    fn within(&self, sum: &Sum, rows: Range<usize>) -> f32 {
        let (low, high) = (sum.columns.0, sum.columns.0 + sum.columns.1 - 1);
        let holds = |&row: &usize| {
            let (x, y) = (&self.x[row * self.c..], self.target(row, low));
            self.weight(row) != 0.0 && x[low] <= y && y <= x[high]
        };
        long_sum::sum(rows.filter(holds).map(|row| self.weight(row)))
    }

    /// The weights of the rows of each class, in double precision.
    fn count(&self, classes: &mut [f32], rows: Range<usize>) {
        let mut sums = vec![0.0; classes.len()];
        for row in rows {
            let w = self.weight(row);
            if w == 0.0 {
                continue;
            }
            let (answer, label) = (self.x[row * self.c + CLASS], self.labels[row] as usize);
            let mut add = |class: usize, which: usize| {
                if let Some(sum) = sums.get_mut(3 * class + which) {
                    *sum += f64::from(w);
                }
            };
            // -1 of one who says nothing.
            if answer >= 0.0 {
                add(answer as usize, 0);
            }
            add(label, 1);
            if answer == label as f32 {
                add(label, 2);
            }
        }
        classes.iter_mut().zip(&sums).for_each(|(part, &sum)| *part = sum as f32);
    }

    /// A sum over all elements of some columns, in vectors of what counts.
    #[inline(always)]
    fn sum<S: Simd>(&self, simd: S, sum: &Sum, rows: Range<usize>) -> f32 {
        const VALUES: usize = 256;
        let (first, columns) = sum.columns;
        let mut total = LongSum::new(simd);
        if self.weights.is_none() && columns == self.c && self.d == self.c {
            let [x, y] = [self.x, self.y].map(|x| &x[rows.start * self.c..rows.end * self.c]);
            for (x, y) in x.chunks(VALUES).zip(y.chunks(VALUES)) {
                add(simd, sum.term, [x, y, &[1.0; VALUES][..x.len()]], &mut total);
            }
            return total.total(simd) as f32;
        }
        let [mut x, mut y, mut w] = [[0.0; VALUES]; 3];
        let mut used = 0;
        for row in rows {
            let weight = self.weight(row);
            if weight == 0.0 {
                continue;
            }
            let own = &self.x[row * self.c..][..self.c];
            for (j, &value) in own.iter().enumerate().skip(first).take(columns) {
                (x[used], y[used], w[used]) = (value, self.target(row, j), weight);
                used += 1;
                if used == VALUES {
                    add(simd, sum.term, [&x, &y, &w], &mut total);
                    used = 0;
                }
            }
        }
        add(simd, sum.term, [&x[..used], &y[..used], &w[..used]], &mut total);
        total.total(simd) as f32
    }
}

/// Adds the weighted terms of some elements.
#[inline(always)]
fn add<S: Simd>(simd: S, term: Term, [x, y, w]: [&[f32]; 3], total: &mut LongSum<S>) {
    let zero = simd.splat_f32s(0.0);
    for at in (0..x.len()).step_by(S::F32_LANES) {
        let value = term.value(simd, load(simd, x, at, zero), load(simd, y, at, zero));
        total.add(simd, simd.mul_f32s(load(simd, w, at, zero), value));
    }
}
