//! The sums of which metrics are made, several in one pass.

use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, wgsl};
use crate::ops::common::{
    ACTIVATIONS, INDEX, IS_NAN, LONG_SUM, ROW_REDUCE, ROWWISE, last_axis, rowwise, switches,
};
use crate::ops::loss::answers::CLASS;
use crate::{Device, Result, Tensor};

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

    fn value(self, x: f32, y: f32) -> f32 {
        let d = x - y;
        let one = |condition: bool| f32::from(u8::from(condition));
        let numbers = !x.is_nan() && !y.is_nan();
        match self {
            Self::Absolute => d.abs(),
            Self::Squared => d * d,
            Self::Percentage if d.is_nan() => d,
            Self::Percentage => d.abs() / y.abs().max(f64::EPSILON as f32),
            Self::Symmetric if x == 0.0 && y == 0.0 => 0.0,
            Self::Symmetric => 2.0 * d.abs() / (x.abs() + y.abs()),
            Self::Pinball(p) if d < 0.0 => -p * d,
            Self::Pinball(p) => (1.0 - p) * d,
            Self::LogLoss if x < 0.0 => x.exp().ln_1p() - x * y,
            Self::LogLoss => x + (-x).exp().ln_1p() - x * y,
            Self::Within => 0.0,
            Self::Below(p) => one(x < p),
            Self::Value => x,
            Self::Right(p) => one((x > p) == (y > 0.5) && numbers),
            Self::Yes(p) => one(x > p),
            Self::IsYes => one(y > 0.5),
            Self::BothYes(p) => one(x > p && y > 0.5),
            Self::No(p) => one(x <= p),
            Self::IsNo => one(y <= 0.5),
            Self::BothNo(p) => one(x <= p && y <= 0.5),
        }
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
        Ok(Self { sums, classes, tensor })
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
            .words(&[rows, c, d, wanted.sums.len(), wanted.classes].map(|word| word as u32))
            .run(gpu, &[Some(x), Some(y), weights, Some(&wanted.tensor), Some(&parts)])?;
        return Ok(parts);
    }
    let (x, y, weights) = (x.cpu(), y.cpu(), weights.map(Tensor::cpu));
    let (x, labels, y): (&[f32], _, &[f32]) = (&x, y.as_u32(), &y);
    parts.cpu_mut(|parts| {
        let mut sums = vec![0.0; s];
        for (block, parts) in parts.chunks_exact_mut(s).enumerate() {
            sums.fill(0.0);
            for row in block * BLOCK..rows.min((block + 1) * BLOCK) {
                let w = weights.as_ref().map_or(1.0, |w| w[row]);
                if w == 0.0 {
                    continue;
                }
                let (x, w) = (&x[row * c..][..c], f64::from(w));
                let own = &y[row * d..][..d];
                let y_of = |j: usize| own[j.min(d - 1)];
                let (plain, classes) = sums.split_at_mut(wanted.sums.len());
                for (total, sum) in plain.iter_mut().zip(&wanted.sums) {
                    *total += w * sum.of_row(x, y_of);
                }
                if wanted.classes > 0 {
                    let (answer, label) = (x[CLASS], labels[row] as usize);
                    let mut add = |class: usize, which: usize| {
                        if let Some(total) = classes.get_mut(3 * class + which) {
                            *total += w;
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
            }
            parts.iter_mut().zip(&sums).for_each(|(part, &sum)| *part = sum as f32);
        }
    });
    Ok(parts)
}

impl Sum {
    fn of_row(&self, x: &[f32], y: impl Fn(usize) -> f32) -> f64 {
        let (first, count) = self.columns;
        if self.term == Term::Within {
            let (low, high, y) = (x[first], x[first + count - 1], y(first));
            return f64::from(u8::from(low <= y && y <= high));
        }
        (first..first + count).map(|j| f64::from(self.term.value(x[j], y(j)))).sum()
    }
}
