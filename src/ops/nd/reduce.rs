//! Reductions along axes, in a fixed order.

use super::strided::transpose;
use super::unary::{Unary, unary};
use super::walk::{check_axis, len};
use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, wgsl};
use crate::ops::common::vector::{LongSum, Rows, larger, largest, load, rows};
use crate::ops::common::{
    INDEX, IS_NAN, LONG_SUM, ROW_REDUCE, ROW_SHARED, math, product, row_shared, switches,
};
use crate::{Error, Result, Tensor};
use pulp::Simd;

pub(crate) static KERNEL: Kernel = Kernel {
    name: "reduce",
    parts: &[IS_NAN, LONG_SUM, INDEX, ROW_REDUCE, ROW_SHARED, wgsl!("nd/reduce.wgsl")],
    bindings: &[("x", Read), ("y", Write)],
    variants: || product((0..7).map(|kind| vec![("KIND", kind)]).collect(), &switches(["SHARED"])),
    ..Kernel::PLAIN
};

/// What is made of numbers, named as ONNX's operators without their `Reduce`. A NaN gives NaN. Of no numbers
/// there are the sum 0, the product 1, the largest -infinity, the smallest infinity, and the mean NaN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reduce {
    Sum,
    Mean,
    Max,
    Min,
    Prod,
    /// The sum of what they are without sign.
    L1,
    /// The root of the sum of squares.
    L2,
    SumSquare,
    LogSum,
    LogSumExp,
}

/// The kernel's `KIND`.
const SUM: u32 = 0;
const MAX: u32 = 1;
const MIN: u32 = 2;
const PROD: u32 = 3;
const SUM_ABS: u32 = 4;
const SUM_SQUARE: u32 = 5;
const LOG_SUM_EXP: u32 = 6;

/// Over these axes, of each of which one place is left if `keep`, and else none. Over no axes each number is taken
/// by itself.
///
/// # Errors
/// [`Error::Option`] for an axis that is not there, or comes twice.
pub(crate) fn reduce(kind: Reduce, x: &Tensor, axes: &[usize], keep: bool) -> Result<Tensor> {
    let shape = x.shape();
    for (at, &axis) in axes.iter().enumerate() {
        check_axis("reduce", shape, axis)?;
        if axes[..at].contains(&axis) {
            let found = format!("{axes:?}");
            return Err(Error::Option {
                option: "reduce's axes",
                found,
                expected: "each once".into(),
            });
        }
    }
    let is_reduced = |axis: usize| axes.contains(&axis);
    let kept = (0..shape.len()).filter_map(|axis| match is_reduced(axis) {
        true => keep.then_some(1),
        false => Some(shape[axis]),
    });
    let y = Tensor::empty(kept.collect::<Vec<_>>(), &x.device())?;
    if y.is_empty() {
        return Ok(y);
    }
    let terms = len(&axes.iter().map(|&axis| shape[axis]).collect::<Vec<_>>());
    let (number, factor) = match kind {
        Reduce::Sum | Reduce::LogSum => (SUM, 1.0),
        Reduce::Mean => (SUM, 1.0 / terms as f64),
        Reduce::Max => (MAX, 1.0),
        Reduce::Min => (MIN, 1.0),
        Reduce::Prod => (PROD, 1.0),
        Reduce::L1 => (SUM_ABS, 1.0),
        Reduce::L2 | Reduce::SumSquare => (SUM_SQUARE, 1.0),
        Reduce::LogSumExp => (LOG_SUM_EXP, 1.0),
    };
    if terms == 0 {
        y.fill(match (kind, number) {
            (Reduce::Mean, _) => f32::NAN,
            (Reduce::LogSum, _) | (_, MAX | LOG_SUM_EXP) => f32::NEG_INFINITY,
            (_, MIN) => f32::INFINITY,
            (_, PROD) => 1.0,
            _ => 0.0,
        })?;
        return Ok(y);
    }
    // The reduced axes side by side, or else they go behind the others.
    let counts = |axis: &usize| shape[*axis] != 1;
    let first = (0..shape.len()).filter(counts).find(|&axis| is_reduced(axis));
    let last = (0..shape.len()).rev().filter(counts).find(|&axis| is_reduced(axis));
    let together = match (first, last) {
        (Some(first), Some(last)) => {
            let between = (first..=last).filter(counts).all(is_reduced);
            between.then(|| len(&shape[last + 1..]))
        }
        _ => Some(1),
    };
    match together {
        Some(inner) => run(number, factor, x, terms, inner, &y)?,
        None => {
            let (behind, before): (Vec<_>, Vec<_>) =
                (0..shape.len()).partition(|&axis| is_reduced(axis));
            run(number, factor, &transpose(x, &[before, behind].concat())?, terms, 1, &y)?;
        }
    }
    match kind {
        Reduce::L2 => unary(Unary::Sqrt, &y),
        Reduce::LogSum => unary(Unary::Log, &y),
        _ => Ok(y),
    }
}

/// `x` is `[outer,terms,inner]`.
fn run(kind: u32, factor: f64, x: &Tensor, terms: usize, inner: usize, y: &Tensor) -> Result<()> {
    if let Some(gpu) = x.gpu() {
        return row_shared(&KERNEL, y.len(), terms)
            .constants(&[("KIND", kind)])
            .words(&[terms as u32, inner as u32, (factor as f32).to_bits()])
            .run(gpu, &[Some(x), Some(y)]);
    }
    let x = x.cpu();
    y.cpu_mut(|y| match inner {
        1 => rows(&Along { kind, factor, x: &x, terms }, [1], [y], terms),
        _ => rows(&Across { kind, factor, x: &x, terms }, [inner], [y], terms * inner),
    });
    Ok(())
}

/// Numbers that lie side by side.
struct Along<'a> {
    kind: u32,
    factor: f64,
    x: &'a [f32],
    terms: usize,
}

impl Rows<1> for Along<'_> {
    #[inline(always)]
    fn row<S: Simd>(&self, simd: S, row: usize, [y]: [&mut [f32]; 1]) {
        let x = &self.x[row * self.terms..][..self.terms];
        let (zero, low) = (simd.splat_f32s(0.0), simd.splat_f32s(f32::NEG_INFINITY));
        let most = |sign: f32| {
            let (mut most, sign) = (low, simd.splat_f32s(sign));
            for at in (0..x.len()).step_by(S::F32_LANES) {
                let vector = simd.mul_f32s(sign, load(simd, x, at, zero));
                let inside =
                    simd.mask_between_m32s(0, (x.len() - at).min(S::F32_LANES) as u32).mask();
                most = larger(simd, most, simd.select_f32s(inside, vector, low));
            }
            largest::<S>(most)
        };
        let sum = |fill: f32, term: u32, shift: f32| {
            let (mut sum, shift) = (LongSum::<S>::new(simd), simd.splat_f32s(shift));
            for at in (0..x.len()).step_by(S::F32_LANES) {
                let vector = load(simd, x, at, simd.splat_f32s(fill));
                let vector = match term {
                    SUM_ABS => simd.abs_f32s(vector),
                    SUM_SQUARE => simd.mul_f32s(vector, vector),
                    LOG_SUM_EXP => math::exp(simd, simd.sub_f32s(vector, shift)),
                    _ => vector,
                };
                sum.add(simd, vector);
            }
            sum.total(simd)
        };
        y[0] = match self.kind {
            MAX => most(1.0),
            MIN => -most(-1.0),
            PROD => x.iter().map(|&x| f64::from(x)).product::<f64>() as f32,
            LOG_SUM_EXP => match most(1.0) {
                largest if largest.is_infinite() => largest,
                largest => largest + sum(f32::NEG_INFINITY, LOG_SUM_EXP, largest).ln() as f32,
            },
            kind => (sum(0.0, kind, 0.0) * self.factor) as f32,
        };
    }
}

/// Numbers of which others lie between.
struct Across<'a> {
    kind: u32,
    factor: f64,
    x: &'a [f32],
    terms: usize,
}

/// The columns that are made at a time.
const MANY: usize = 64;

impl Rows<1> for Across<'_> {
    #[inline(always)]
    fn row<S: Simd>(&self, _: S, row: usize, [y]: [&mut [f32]; 1]) {
        let inner = y.len();
        let x = &self.x[row * self.terms * inner..][..self.terms * inner];
        for (part, y) in y.chunks_mut(MANY).enumerate() {
            let n = y.len();
            let lines = || x.chunks_exact(inner).map(|line| &line[part * MANY..][..n]);
            let mut largest = [f32::NEG_INFINITY; MANY];
            if matches!(self.kind, MAX | MIN | LOG_SUM_EXP) {
                let sign = if self.kind == MIN { -1.0 } else { 1.0 };
                for line in lines() {
                    for (most, &x) in largest.iter_mut().zip(line) {
                        let x = sign * x;
                        *most = if x > *most || x.is_nan() { x } else { *most };
                    }
                }
                y.iter_mut().zip(largest).for_each(|(y, most)| *y = sign * most);
            }
            let mut sums = [if self.kind == PROD { 1.0 } else { 0.0 }; MANY];
            let pairs = |sums: &mut [f64; MANY], f: &dyn Fn(&mut f64, f32, usize)| {
                for line in lines() {
                    sums.iter_mut().zip(line).enumerate().for_each(|(i, (sum, &x))| f(sum, x, i));
                }
            };
            match self.kind {
                MAX | MIN => continue,
                PROD => pairs(&mut sums, &|sum, x, _| *sum *= f64::from(x)),
                SUM_ABS => pairs(&mut sums, &|sum, x, _| *sum += f64::from(x.abs())),
                SUM_SQUARE => pairs(&mut sums, &|sum, x, _| *sum += f64::from(x) * f64::from(x)),
                LOG_SUM_EXP => {
                    pairs(&mut sums, &|sum, x, i| *sum += f64::from((x - largest[i]).exp()));
                }
                _ => lines().for_each(|line| {
                    sums.iter_mut().zip(line).for_each(|(sum, &x)| *sum += f64::from(x));
                }),
            }
            for ((y, sum), largest) in y.iter_mut().zip(sums).zip(largest) {
                *y = match self.kind {
                    LOG_SUM_EXP if largest.is_infinite() => largest,
                    LOG_SUM_EXP => (f64::from(largest) + sum.ln()) as f32,
                    _ => (sum * self.factor) as f32,
                };
            }
        }
    }
}
