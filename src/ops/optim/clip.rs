//! Limits of a gradient: of each element, and of each unit's norm by that of its weights.

use super::columns::{BLOCK, Columns, by_columns, scale_columns};
use super::norm::{LIMIT, POWER, Scaled, Squares};
use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, Workgroup, folded, wgsl};
use crate::ops::common::vector::{self, Fold, Map, Rows, map, map_part};
use crate::ops::common::{ELEMENTWISE, INDEX, IS_NAN, LONG_SUM, Launch, elementwise, switches};
use crate::{Result, Tensor};
use pulp::Simd;

pub(crate) static VALUE: Kernel = Kernel {
    name: "clip_value",
    parts: &[INDEX, IS_NAN, POWER, LIMIT, ELEMENTWISE, wgsl!("optim/clip_value.wgsl")],
    bindings: &[("scaling", Read), ("g", Write)],
    variants: || switches(["SCALED"]),
    ..Kernel::PLAIN
};

pub(crate) static UNITS: Kernel = Kernel {
    name: "clip_units",
    parts: &[INDEX, IS_NAN, LONG_SUM, POWER, LIMIT, wgsl!("optim/clip_units.wgsl")],
    bindings: &[("w", Read), ("scaling", Read), ("g", Write)],
    variants: || switches(["SCALED", "CONTIGUOUS"]),
    workgroup: Workgroup::Of([256, 1, 1]),
};

/// Limits each element to `-limit..=limit`, which is meant for gradients without a loss scale. A NaN stays;
/// with a loss scale an infinity does, too, for [`super::loss_scale::settle`] to see.
pub(crate) fn value(g: &Tensor, limit: f32, scaling: Option<&Tensor>) -> Result<()> {
    let Some(gpu) = g.gpu() else {
        let scale = scaling.map_or(1.0, |scaling| scaling.cpu()[0]);
        let limit = limit * scale;
        let limited = Limited { limit, infinite: scaling.is_some() };
        g.cpu_mut(|g| map(&limited, [], [g]));
        return Ok(());
    };
    g.windows(g.len(), 1).try_for_each(|window| {
        elementwise(&VALUE, window.len())
            .constants(&[("SCALED", scaling.is_some().into())])
            .words(&[limit.to_bits()])
            .run(gpu, &[scaling, Some(&g.window(&window))])
    })
}

/// How the units of a parameter lie in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Units {
    /// One after the other: `[units,size]`.
    Rows(usize),
    /// Side by side: `[size,units]`.
    Columns(usize),
}

/// Norms of weights below this count as this, so that weights of 0 can learn.
const LEAST: f64 = 1e-3;

/// Scales the gradient `g` of each unit down to a norm of at most `limit` times that of its weights `w`. A
/// unit whose norms are no finite numbers stays as it is.
pub(crate) fn units(
    [w, g]: [&Tensor; 2],
    units: Units,
    limit: f32,
    scaling: Option<&Tensor>,
) -> Result<()> {
    let (count, rows) = match units {
        Units::Rows(count) => (count, true),
        Units::Columns(count) => (count, false),
    };
    if count == 0 || g.is_empty() {
        return Ok(());
    }
    let size = g.len() / count;
    let Some(gpu) = g.gpu() else {
        let scale = scaling.map_or(1.0, |scaling| scaling.cpu()[0]);
        let limit = f64::from(limit) * f64::from(scale);
        let w = w.cpu();
        g.cpu_mut(|g| match rows {
            true => vector::rows(&LimitedUnits { w: &w, limit }, [size], [g], 4 * size),
            false => columns(&w, g, count, limit),
        });
        return Ok(());
    };
    let each = if rows { 4 } else { 16 };
    // Columns are those of weights that ops bind as a whole.
    let windows = g.windows(if rows { count } else { 1 }, if rows { size } else { g.len() });
    for window in windows {
        let (count, view) = match rows {
            true => {
                let (first, n) = (window.start * size, window.len());
                (n, [w, g].map(|t| t.view(first, [n * size])))
            }
            false => (count, [w, g].map(|t| t.view(0, [t.len()]))),
        };
        gpu.run(&Launch {
            kernel: &UNITS,
            grid: folded(count.div_ceil(each)),
            constants: &[("SCALED", scaling.is_some().into()), ("CONTIGUOUS", rows.into())],
            uniform: &[count as u32, size as u32, limit.to_bits()],
            tensors: &[Some(&view[0]), scaling, Some(&view[1])],
        })?;
    }
    Ok(())
}

/// What to multiply a unit's gradient by, if anything, given the squares of both norms.
fn share(w: f64, g: f64, limit: f64) -> Option<f32> {
    let share = limit * w.sqrt().max(LEAST) / g.sqrt();
    // A maximum hides a NaN.
    (w.is_finite() && g.is_finite() && share < 1.0).then_some(share as f32)
}

/// Numbers limited by themselves; infinite ones too, if they do not stay.
struct Limited {
    limit: f32,
    infinite: bool,
}

impl Map<0, 1> for Limited {
    #[inline(always)]
    fn of<S: Simd>(&self, simd: S, _: usize, _: [S::f32s; 0], [g]: [S::f32s; 1]) -> [S::f32s; 1] {
        let (low, high) = (simd.splat_f32s(-self.limit), simd.splat_f32s(self.limit));
        // Not of a NaN.
        let limited = simd.select_f32s(simd.less_than_f32s(g, low), low, g);
        let limited = simd.select_f32s(simd.greater_than_f32s(g, high), high, limited);
        if !self.infinite {
            return [limited];
        }
        let infinity = simd.splat_f32s(f32::INFINITY);
        [simd.select_f32s(simd.less_than_f32s(simd.abs_f32s(g), infinity), limited, g)]
    }
}

/// The gradients of units that lie one after the other.
struct LimitedUnits<'a> {
    w: &'a [f32],
    limit: f64,
}

impl Rows<1> for LimitedUnits<'_> {
    #[inline(always)]
    fn row<S: Simd>(&self, simd: S, unit: usize, [g]: [&mut [f32]; 1]) {
        let w = &self.w[unit * g.len()..][..g.len()];
        if let Some(share) = share(Squares.of(simd, w), Squares.of(simd, g), self.limit) {
            map_part(simd, &Scaled(share), 0, [], [g]);
        }
    }
}

fn columns(w: &[f32], g: &mut [f32], count: usize, limit: f64) {
    let mut shares = vec![0.0; count];
    by_columns(&Shares { w, g, limit }, 2 * g.len(), &mut shares);
    scale_columns(g, &shares);
}

/// What to multiply the gradient of each column by.
struct Shares<'a> {
    w: &'a [f32],
    g: &'a [f32],
    limit: f64,
}

impl Columns for Shares<'_> {
    #[inline(always)]
    fn block(&self, first: usize, count: usize, shares: &mut [f32]) {
        let mut sums = [[0.0f64; BLOCK]; 2];
        for (sums, x) in sums.iter_mut().zip([self.w, self.g]) {
            for row in x.chunks_exact(count) {
                for (sum, &x) in sums.iter_mut().zip(&row[first..][..shares.len()]) {
                    *sum += f64::from(x) * f64::from(x);
                }
            }
        }
        for (j, to) in shares.iter_mut().enumerate() {
            *to = share(sums[0][j], sums[1][j], self.limit).unwrap_or(1.0);
        }
    }
}
