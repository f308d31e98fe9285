//! One frame of each row's frames, and the gradient. The gradient of a sum repeats a frame.

use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Constants, Kernel, wgsl};
use crate::lengths::Counted;
use crate::ops::common::long_sum::{MEET, add_eight};
use crate::ops::common::vector::{Map, Rows, load, map_part, rows, store};
use crate::ops::common::{ELEMENTWISE, INDEX, IS_NAN, LONG_SUM, STEPS, elementwise, product};
use crate::{Result, Tensor};
use pulp::Simd;

pub(crate) static FORWARD: Kernel = Kernel {
    name: "pool",
    parts: &[INDEX, STEPS, IS_NAN, LONG_SUM, ELEMENTWISE, wgsl!("frames/pool.wgsl")],
    bindings: &[("x", Read), ("steps", Read), ("y", Write), ("found", Write)],
    variants,
    ..Kernel::PLAIN
};

pub(crate) static BACKWARD: Kernel = Kernel {
    name: "pool_bwd",
    parts: &[INDEX, STEPS, ELEMENTWISE, wgsl!("frames/pool_bwd.wgsl")],
    bindings: &[("d_y", Read), ("steps", Read), ("found", Read), ("d_x", Write)],
    variants,
    ..Kernel::PLAIN
};

fn variants() -> Vec<Constants> {
    let kinds = [0, 1, 2, 3, 4].map(|kind| vec![("KIND", kind)]);
    product([0, 1, 2].map(|steps| vec![("STEPS", steps)]).to_vec(), &kinds)
}

/// What is made of a row's frames; the number is the kernels' `KIND`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Sum = 0,
    Mean = 1,
    Max = 2,
    Last = 3,
    First = 4,
}

/// `x` `[B,T,C]` to `[B,C]`; and what the backward pass needs.
pub(crate) fn pool(
    kind: Kind,
    x: &Tensor,
    [b, t, c]: [usize; 3],
    steps: &Counted,
) -> Result<(Tensor, Tensor)> {
    let y = Tensor::empty([b, c], &x.device())?;
    let found = Tensor::empty([b, c], &x.device())?;
    if let Some(gpu) = x.gpu() {
        elementwise(&FORWARD, b * c)
            .constants(&[("STEPS", steps.code()), ("KIND", kind as u32)])
            .words(&[t as u32, c as u32])
            .run(gpu, &[Some(x), steps.tensor(), Some(&y), Some(&found)])?;
        return Ok((y, found));
    }
    let x = x.cpu();
    let pooled = Pooled { kind, x: &x, t, c, steps };
    y.cpu_mut(|y| {
        found.cpu_mut(|found| rows(&pooled, [c, c], [y, found], t * c));
    });
    Ok((y, found))
}

/// The gradient of `x`. A sum needs no `found`.
pub(crate) fn backward(
    kind: Kind,
    d_y: &Tensor,
    [b, t, c]: [usize; 3],
    steps: &Counted,
    found: Option<&Tensor>,
) -> Result<Tensor> {
    let d_x = Tensor::empty([b, t, c], &d_y.device())?;
    if let Some(gpu) = d_y.gpu() {
        elementwise(&BACKWARD, b * t * c)
            .constants(&[("STEPS", steps.code()), ("KIND", kind as u32)])
            .words(&[t as u32, c as u32])
            .run(gpu, &[Some(d_y), steps.tensor(), found, Some(&d_x)])?;
        return Ok(d_x);
    }
    let (d_y, found) = (d_y.cpu(), found.map(Tensor::cpu));
    let found = found.as_deref().unwrap_or_default();
    let shared = Shared { kind, d_y: &d_y, found, t, steps };
    d_x.cpu_mut(|d_x| rows(&shared, [c], [d_x], 3 * c));
    Ok(d_x)
}

/// A row's frames, for one of them.
struct Pooled<'a> {
    kind: Kind,
    x: &'a [f32],
    t: usize,
    c: usize,
    steps: &'a Counted,
}

impl Rows<2> for Pooled<'_> {
    #[inline(always)]
    fn row<S: Simd>(&self, simd: S, row: usize, [y, found]: [&mut [f32]; 2]) {
        let x = &self.x[row * self.t * self.c..][..self.t * self.c];
        match self.kind {
            Kind::Sum | Kind::Mean => {
                let number = self.sum(row, x, y);
                if self.kind == Kind::Mean {
                    map_part(simd, &Over(number.max(1) as f32), 0, [], [y]);
                }
                found.fill(if self.kind == Kind::Mean { number as f32 } else { self.t as f32 });
            }
            Kind::Max => self.largest(simd, row, x, y, found),
            Kind::Last | Kind::First => {
                let mut place = None;
                for at in 0..self.t {
                    if self.steps.counts(row, at) && (place.is_none() || self.kind == Kind::Last) {
                        place = Some(at);
                    }
                }
                match place {
                    Some(at) => y.copy_from_slice(&x[at * self.c..][..self.c]),
                    None => y.fill(0.0),
                }
                found.fill(place.unwrap_or(self.t) as f32);
            }
        }
    }
}

/// The columns that are summed up at a time.
const COLUMNS: usize = 512;

impl Pooled<'_> {
    /// The sums of the steps that count, and their number. In double precision: a float that has grown large
    /// loses what is added to it.
    #[inline(always)]
    fn sum(&self, row: usize, x: &[f32], y: &mut [f32]) -> usize {
        let mut number = 0;
        for (block, y) in y.chunks_mut(COLUMNS).enumerate() {
            let mut sums = [0.0f64; COLUMNS];
            let sums = &mut sums[..y.len()];
            let mut frames: [&[f32]; MEET] = [&[]; MEET];
            number = 0;
            for at in 0..self.t {
                if !self.steps.counts(row, at) {
                    continue;
                }
                frames[number % MEET] = &x[at * self.c + block * COLUMNS..][..sums.len()];
                number += 1;
                if number % MEET == 0 {
                    add_eight(sums, frames);
                }
            }
            for frame in &frames[..number % MEET] {
                for (sum, &v) in sums.iter_mut().zip(*frame) {
                    *sum += f64::from(v);
                }
            }
            for (y, sum) in y.iter_mut().zip(sums) {
                *y = *sum as f32;
            }
        }
        number
    }

    /// The largest of the steps that count, and where they are.
    #[inline(always)]
    fn largest<S: Simd>(&self, simd: S, row: usize, x: &[f32], y: &mut [f32], found: &mut [f32]) {
        // Several vectors at a time, since a comparison takes long.
        const MANY: usize = 4;
        let (c, wide) = (self.c, MANY * S::F32_LANES);
        let body = c / wide * wide;
        for column in (0..body).step_by(wide) {
            self.largest_of::<S, MANY>(simd, row, x, [y, found], column);
        }
        for column in (body..c).step_by(S::F32_LANES) {
            self.largest_of::<S, 1>(simd, row, x, [y, found], column);
        }
    }

    /// Of some vectors of columns.
    #[inline(always)]
    fn largest_of<S: Simd, const N: usize>(
        &self,
        simd: S,
        row: usize,
        x: &[f32],
        [y, found]: [&mut [f32]; 2],
        column: usize,
    ) {
        let zero = simd.splat_f32s(0.0);
        let width = (self.c - column).min(N * S::F32_LANES);
        let (mut most, mut place) = ([zero; N], [simd.splat_f32s(self.t as f32); N]);
        let mut any = false;
        for at in 0..self.t {
            if !self.steps.counts(row, at) {
                continue;
            }
            let (frame, here) = (&x[at * self.c + column..][..width], simd.splat_f32s(at as f32));
            for i in 0..N {
                let v = load(simd, frame, i * S::F32_LANES, zero);
                // A NaN stays, since nothing is larger.
                let above = simd.greater_than_f32s(v, most[i]);
                let larger = simd.select_f32s(above, v, most[i]);
                let placed = simd.select_f32s(above, here, place[i]);
                let number = simd.equal_f32s(v, v);
                if any {
                    most[i] = simd.select_f32s(number, larger, v);
                    place[i] = simd.select_f32s(number, placed, here);
                } else {
                    (most[i], place[i]) = (v, here);
                }
            }
            any = true;
        }
        let (y, found) = (&mut y[column..][..width], &mut found[column..][..width]);
        for i in 0..N {
            store(simd, y, i * S::F32_LANES, most[i]);
            store(simd, found, i * S::F32_LANES, place[i]);
        }
    }
}

/// y over a number.
struct Over(f32);

impl Map<0, 1> for Over {
    #[inline(always)]
    fn of<S: Simd>(&self, simd: S, _: usize, _: [S::f32s; 0], [y]: [S::f32s; 1]) -> [S::f32s; 1] {
        [simd.div_f32s(y, simd.splat_f32s(self.0))]
    }
}

/// A frame's share of the gradient of the frame that was made of its row.
struct Shared<'a> {
    kind: Kind,
    d_y: &'a [f32],
    found: &'a [f32],
    t: usize,
    steps: &'a Counted,
}

impl Rows<1> for Shared<'_> {
    #[inline(always)]
    fn row<S: Simd>(&self, simd: S, frame: usize, [d_x]: [&mut [f32]; 1]) {
        let (row, at, c) = (frame / self.t, frame % self.t, d_x.len());
        if !self.steps.counts(row, at) {
            d_x.fill(0.0);
            return;
        }
        let d_y = &self.d_y[row * c..][..c];
        if self.kind == Kind::Sum {
            d_x.copy_from_slice(d_y);
            return;
        }
        let found = &self.found[row * c..][..c];
        match self.kind {
            Kind::Mean => map_part(simd, &Share, 0, [d_y, found], [d_x]),
            _ => map_part(simd, &Taken(at as f32), 0, [d_y, found], [d_x]),
        }
    }
}

/// The gradient over how many steps share it.
struct Share;

impl Map<2, 1> for Share {
    #[inline(always)]
    fn of<S: Simd>(
        &self,
        simd: S,
        _: usize,
        [d_y, count]: [S::f32s; 2],
        _: [S::f32s; 1],
    ) -> [S::f32s; 1] {
        [simd.div_f32s(d_y, count)]
    }
}

/// The gradient where this step was taken.
struct Taken(f32);

impl Map<2, 1> for Taken {
    #[inline(always)]
    fn of<S: Simd>(
        &self,
        simd: S,
        _: usize,
        [d_y, found]: [S::f32s; 2],
        _: [S::f32s; 1],
    ) -> [S::f32s; 1] {
        let here = simd.equal_f32s(found, simd.splat_f32s(self.0));
        [simd.select_f32s(here, d_y, simd.splat_f32s(0.0))]
    }
}
