//! Limits of a gradient: of each element, and of each unit's norm by that of its weights.

use super::norm::{LIMIT, POWER, squares};
use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Kernel, Workgroup, folded, wgsl};
use crate::ops::common::{ELEMENTWISE, INDEX, IS_NAN, LONG_SUM, Launch, elementwise, switches};
use crate::{Result, Tensor};

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
        let stays = |g: f32| g.is_nan() || (scaling.is_some() && g.is_infinite());
        g.cpu_mut(|g| {
            g.iter_mut().filter(|g| !stays(**g)).for_each(|g| *g = g.clamp(-limit, limit));
        });
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
            true => {
                for (w, g) in w.chunks_exact(size).zip(g.chunks_exact_mut(size)) {
                    if let Some(share) = share(squares(w), squares(g), limit) {
                        g.iter_mut().for_each(|g| *g *= share);
                    }
                }
            }
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

fn columns(w: &[f32], g: &mut [f32], count: usize, limit: f64) {
    let sums = |x: &[f32]| {
        let mut sums = vec![0.0; count];
        for row in x.chunks_exact(count) {
            sums.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x) * f64::from(x));
        }
        sums
    };
    let squares = sums(w).into_iter().zip(sums(g));
    let shares: Vec<_> = squares.map(|(w, g)| share(w, g, limit)).collect();
    for row in g.chunks_exact_mut(count) {
        for (g, share) in row.iter_mut().zip(&shares) {
            *g = share.map_or(*g, |share| *g * share);
        }
    }
}
