//! What one unit computes in one timestep, on the CPU's vectors. The twin of `shaders/lstm/cell`.

use super::activate::{Free, activate, clipped_slope, slope};
use super::options::{Cell, Coupling, Noise};
use crate::ops::common::math::{sigmoid, tanh};
use pulp::bytemuck::{cast_slice, cast_slice_mut};
use pulp::{Simd, WithSimd};

impl Cell {
    /// What dropout makes of h of a unit on its way to the next step.
    pub(crate) fn recurrent_scale(&self, noise: Noise, at: usize) -> f32 {
        let p = self.recurrent_dropout;
        if p == 0.0 || !noise.training {
            return 1.0;
        }
        if noise.key.floats([at as u32, 0])[0] < p { 0.0 } else { 1.0 / (1.0 - p) }
    }

    /// How much of h and c stays as it was.
    pub(crate) fn zoneout(&self, noise: Noise, at: usize) -> [f32; 2] {
        if !noise.training || self.zoneout == [0.0; 2] {
            return self.zoneout;
        }
        let random = noise.key.floats([at as u32, 1]);
        std::array::from_fn(|i| f32::from(u8::from(random[i] < self.zoneout[i])))
    }

    pub(crate) fn has_zoneout(&self) -> bool {
        self.zoneout != [0.0; 2]
    }
}

/// What a vector of units makes of a timestep.
#[derive(Clone, Copy)]
pub(crate) struct Forward<V> {
    pub(crate) gates: [V; 4],
    pub(crate) c: V,
    pub(crate) h: V,
}

/// The gradients before a timestep.
pub(crate) struct Backward<V> {
    pub(crate) d_a: [V; 4],
    pub(crate) d_c: V,
    pub(crate) d_peepholes: [V; 4],
}

/// [`Cell::forward`] of the vectors a, c_prev and the peepholes; what comes out is the gates, c and h.
struct ForwardApart<'a> {
    cell: &'a Cell,
    x: &'a [f32],
    y: &'a mut [f32],
}

impl WithSimd for ForwardApart<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (x, y) = (S::as_simd_f32s(self.x).0, S::as_mut_simd_f32s(self.y).0);
        let (Some((a, rest)), Some(y)) = (x.split_first_chunk::<4>(), y.first_chunk_mut::<6>())
        else {
            return;
        };
        let Some((&[c_prev], p)) = rest.split_first_chunk::<1>() else { return };
        let Some(&p) = p.first_chunk::<4>() else { return };
        let new = self.cell.forward_here(simd, *a, c_prev, p);
        let [i, f, g, o] = new.gates;
        *y = [i, f, g, o, new.c, new.h];
    }
}

/// [`Cell::backward`] of the vectors of the gates, c_prev, d_h, d_c and the peepholes; what comes out is d_a, d_c
/// and the slopes of the peepholes.
struct BackwardApart<'a> {
    cell: &'a Cell,
    free: Free,
    x: &'a [f32],
    y: &'a mut [f32],
}

impl WithSimd for BackwardApart<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (x, y) = (S::as_simd_f32s(self.x).0, S::as_mut_simd_f32s(self.y).0);
        let (Some((gates, rest)), Some(y)) = (x.split_first_chunk::<4>(), y.first_chunk_mut::<9>())
        else {
            return;
        };
        let Some((&[c_prev, d_h, d_c], p)) = rest.split_first_chunk::<3>() else { return };
        let Some(&p) = p.first_chunk::<4>() else { return };
        let back = self.cell.backward_here(simd, *gates, c_prev, [d_h, d_c], p, self.free);
        let ([i, f, g, o], [p_i, p_f, p_g, p_o]) = (back.d_a, back.d_peepholes);
        *y = [i, f, g, o, back.d_c, p_i, p_f, p_g, p_o];
    }
}

/// Whether a cell with all options is compiled as a function of its own. It is large, and a build without
/// optimization keeps the values of each of its copies on the stack, megabytes in all; one with optimization is
/// a tenth faster by copies. Debug assertions tell the two apart, as far as a crate can.
const APART: bool = cfg!(debug_assertions);

impl Cell {
    #[inline(always)]
    pub(crate) fn forward<S: Simd>(
        &self,
        simd: S,
        [i, f, g, o]: [S::f32s; 4],
        c_prev: S::f32s,
        p: [S::f32s; 4],
    ) -> Forward<S::f32s> {
        if !APART {
            return self.forward_here(simd, [i, f, g, o], c_prev, p);
        }
        let x = [i, f, g, o, c_prev, p[0], p[1], p[2], p[3]];
        let mut y = [simd.splat_f32s(0.0); 6];
        let (words, to) = (cast_slice(&x), cast_slice_mut(&mut y));
        simd.vectorize(ForwardApart { cell: self, x: words, y: to });
        let [i, f, g, o, c, h] = y;
        Forward { gates: [i, f, g, o], c, h }
    }

    #[inline(always)]
    pub(crate) fn backward<S: Simd>(
        &self,
        simd: S,
        [i, f, g, o]: [S::f32s; 4],
        c_prev: S::f32s,
        [d_h, d_c]: [S::f32s; 2],
        p: [S::f32s; 4],
        free: Free,
    ) -> Backward<S::f32s> {
        if !APART {
            return self.backward_here(simd, [i, f, g, o], c_prev, [d_h, d_c], p, free);
        }
        let x = [i, f, g, o, c_prev, d_h, d_c, p[0], p[1], p[2], p[3]];
        let mut y = [simd.splat_f32s(0.0); 9];
        let (words, to) = (cast_slice(&x), cast_slice_mut(&mut y));
        simd.vectorize(BackwardApart { cell: self, free, x: words, y: to });
        let [i, f, g, o, d_c, p_i, p_f, p_g, p_o] = y;
        Backward { d_a: [i, f, g, o], d_c, d_peepholes: [p_i, p_f, p_g, p_o] }
    }
}

impl Cell {
    #[inline(always)]
    fn forward_here<S: Simd>(
        &self,
        simd: S,
        a: [S::f32s; 4],
        c_prev: S::f32s,
        peepholes: [S::f32s; 4],
    ) -> Forward<S::f32s> {
        let p = peepholes;
        let one = simd.splat_f32s(1.0);
        let mut i = self.gate(simd, simd.mul_add_f32s(p[0], c_prev, a[0]));
        let mut f = self.gate(simd, simd.mul_add_f32s(p[1], c_prev, a[1]));
        match self.coupling {
            Coupling::None => {}
            Coupling::InputFollowsForget => i = simd.sub_f32s(one, f),
            Coupling::ForgetFollowsInput => f = simd.sub_f32s(one, i),
        }
        let g = activate(simd, self.input, clamp(simd, a[2], self.clip));
        let c = simd.mul_add_f32s(f, c_prev, simd.mul_f32s(i, g));
        let c = clamp(simd, c, self.cell_clip);
        let o = self.gate(simd, simd.mul_add_f32s(p[3], c, a[3]));
        let h = simd.mul_f32s(o, activate(simd, self.output, c));
        Forward { gates: [i, f, g, o], c, h }
    }

    #[inline(always)]
    fn gate<S: Simd>(&self, simd: S, a: S::f32s) -> S::f32s {
        activate(simd, self.recurrent, clamp(simd, a, self.clip))
    }

    #[inline(always)]
    fn backward_here<S: Simd>(
        &self,
        simd: S,
        [i, f, g, o]: [S::f32s; 4],
        c_prev: S::f32s,
        [d_h, d_c]: [S::f32s; 2],
        p: [S::f32s; 4],
        free: Free,
    ) -> Backward<S::f32s> {
        let zero = simd.splat_f32s(0.0);
        let raw = simd.mul_add_f32s(f, c_prev, simd.mul_f32s(i, g));
        let c = clamp(simd, raw, self.cell_clip);
        let out = activate(simd, self.output, c);
        let gate_slope = |y| clipped_slope(simd, self.recurrent, free.gate, y);
        let d_o = simd.mul_f32s(simd.mul_f32s(d_h, out), gate_slope(o));
        let slope_out = slope(simd, self.output, out);
        let mut d_cell = simd.mul_add_f32s(simd.mul_f32s(d_h, o), slope_out, d_c);
        d_cell = simd.mul_add_f32s(d_o, p[3], d_cell);
        if let Some(clip) = self.cell_clip {
            let held = simd.greater_than_f32s(simd.abs_f32s(raw), simd.splat_f32s(clip));
            d_cell = simd.select_f32s(held, zero, d_cell);
            // What is no number may or may not be held.
            d_cell = simd.select_f32s(simd.equal_f32s(raw, raw), d_cell, raw);
        }
        let mut d_i = simd.mul_f32s(d_cell, g);
        let mut d_f = simd.mul_f32s(d_cell, c_prev);
        match self.coupling {
            Coupling::None => {
                d_i = simd.mul_f32s(d_i, gate_slope(i));
                d_f = simd.mul_f32s(d_f, gate_slope(f));
            }
            // A gate that follows the other has no slope of its own.
            Coupling::InputFollowsForget => {
                d_f = simd.mul_f32s(simd.sub_f32s(d_f, d_i), gate_slope(f));
                d_i = zero;
            }
            Coupling::ForgetFollowsInput => {
                d_i = simd.mul_f32s(simd.sub_f32s(d_i, d_f), gate_slope(i));
                d_f = zero;
            }
        }
        let slope_g = clipped_slope(simd, self.input, free.g, g);
        let d_g = simd.mul_f32s(simd.mul_f32s(d_cell, i), slope_g);
        let d_c =
            simd.mul_add_f32s(d_cell, f, simd.mul_add_f32s(d_i, p[0], simd.mul_f32s(d_f, p[1])));
        let times = |a, b| simd.mul_f32s(a, b);
        Backward {
            d_a: [d_i, d_f, d_g, d_o],
            d_c,
            d_peepholes: [times(d_i, c_prev), times(d_f, c_prev), zero, times(d_o, c)],
        }
    }
}

/// The plain cell: all that most networks need, so without a branch.
#[inline(always)]
pub(crate) fn plain_forward<S: Simd>(
    simd: S,
    a: [S::f32s; 4],
    c_prev: S::f32s,
) -> Forward<S::f32s> {
    let mut new = plain_update(simd, a, c_prev);
    new.h = plain_output(simd, new.gates[3], new.c);
    new
}

/// All but h, which is 0.
#[inline(always)]
pub(crate) fn plain_update<S: Simd>(simd: S, a: [S::f32s; 4], c_prev: S::f32s) -> Forward<S::f32s> {
    let (i, f, o) = (sigmoid(simd, a[0]), sigmoid(simd, a[1]), sigmoid(simd, a[3]));
    let g = tanh(simd, a[2]);
    let c = simd.mul_add_f32s(f, c_prev, simd.mul_f32s(i, g));
    Forward { gates: [i, f, g, o], c, h: simd.splat_f32s(0.0) }
}

/// h.
#[inline(always)]
pub(crate) fn plain_output<S: Simd>(simd: S, o: S::f32s, c: S::f32s) -> S::f32s {
    simd.mul_f32s(o, tanh(simd, c))
}

#[inline(always)]
pub(crate) fn plain_backward<S: Simd>(
    simd: S,
    [i, f, g, o]: [S::f32s; 4],
    c_prev: S::f32s,
    d_h: S::f32s,
    d_c: S::f32s,
) -> Backward<S::f32s> {
    let (zero, one) = (simd.splat_f32s(0.0), simd.splat_f32s(1.0));
    let tanh_c = tanh(simd, simd.mul_add_f32s(f, c_prev, simd.mul_f32s(i, g)));
    let slope = |y| simd.mul_f32s(y, simd.sub_f32s(one, y));
    let slope_tanh = |y| simd.sub_f32s(one, simd.mul_f32s(y, y));
    let d_cell = simd.mul_add_f32s(simd.mul_f32s(d_h, o), slope_tanh(tanh_c), d_c);
    let d_a = [
        simd.mul_f32s(simd.mul_f32s(d_cell, g), slope(i)),
        simd.mul_f32s(simd.mul_f32s(d_cell, c_prev), slope(f)),
        simd.mul_f32s(simd.mul_f32s(d_cell, i), slope_tanh(g)),
        simd.mul_f32s(simd.mul_f32s(d_h, tanh_c), slope(o)),
    ];
    Backward { d_a, d_c: simd.mul_f32s(d_cell, f), d_peepholes: [zero; 4] }
}

#[inline(always)]
fn clamp<S: Simd>(simd: S, x: S::f32s, limit: Option<f32>) -> S::f32s {
    let Some(limit) = limit else { return x };
    let clamped = simd.max_f32s(simd.min_f32s(x, simd.splat_f32s(limit)), simd.splat_f32s(-limit));
    // A NaN stays one.
    simd.select_f32s(simd.equal_f32s(x, x), clamped, x)
}
