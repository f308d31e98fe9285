//! The innermost loops: products of a few rows with four adjacent vectors of weights, whose sums stay in
//! registers.

use pulp::Simd;
use pulp::bytemuck::cast_slice;

/// Calls a tile's function for all rows, in even shares of as many as the registers hold.
macro_rules! tiles {
    ($rows:expr, $most:expr, |$row:ident, $M:ident| $call:expr) => {{
        let rows = $rows;
        let tiles = usize::div_ceil(rows, $most);
        let mut next = 0;
        for tile in 0..tiles {
            let $row = next;
            let size = rows / tiles + usize::from(tile < rows % tiles);
            next += size;
            match size {
                1 => tiles!(@ 1, $M, $call),
                2 => tiles!(@ 2, $M, $call),
                3 => tiles!(@ 3, $M, $call),
                4 => tiles!(@ 4, $M, $call),
                5 => tiles!(@ 5, $M, $call),
                _ => tiles!(@ 6, $M, $call),
            }
        }
    }};
    (@ $size:literal, $M:ident, $call:expr) => {{
        const $M: usize = $size;
        $call
    }};
}
pub(in crate::ops::lstm) use tiles;

/// The rows of a tile: as many as there are registers for sums, besides the four vectors of weights.
#[inline(always)]
pub(in crate::ops::lstm) fn most_rows<S: Simd>() -> usize {
    if S::F32_LANES >= 16 { 6 } else { 3 }
}

#[inline(always)]
pub(in crate::ops::lstm) fn load<S: Simd>(words: &[f32]) -> S::f32s {
    S::as_simd_f32s(&words[..S::F32_LANES]).0[0]
}

#[inline(always)]
pub(in crate::ops::lstm) fn store<S: Simd>(words: &mut [f32], value: S::f32s) {
    S::as_mut_simd_f32s(&mut words[..S::F32_LANES]).0[0] = value;
}

/// A block of packed weights that have `from` rows.
#[inline(always)]
pub(in crate::ops::lstm) fn weights_of<S: Simd>(
    packed: &[f32],
    from: usize,
    block: usize,
) -> &[[S::f32s; 4]] {
    let size = from * 4 * S::F32_LANES;
    cast_slice(&packed[block * size..][..size])
}

/// The bias or the peepholes of a block of units; zeros if there are none.
#[inline(always)]
pub(super) fn row_of<S: Simd>(simd: S, row: Option<&[f32]>, block: usize) -> [S::f32s; 4] {
    match row {
        Some(row) => cast_slice::<f32, [S::f32s; 4]>(row)[block],
        None => [simd.splat_f32s(0.0); 4],
    }
}

/// Adds a product: sums += a b, for `M` rows of `a`, and `b` of four vectors a row.
#[inline(always)]
pub(in crate::ops::lstm) fn accumulate<S: Simd, const M: usize>(
    simd: S,
    sums: &mut [[S::f32s; 4]; M],
    a: [&[f32]; M],
    b: &[[S::f32s; 4]],
) {
    let mut a = a;
    // No closure here: its callee is compiled without SIMD instructions, and the sums would not
    // stay in registers across the call.
    for row in &mut a {
        *row = &row[..b.len()];
    }
    // A copy that the compiler keeps in registers.
    let mut acc = *sums;
    for (k, b) in b.iter().enumerate() {
        for m in 0..M {
            // SAFETY: each row of `a` was cut to as many words as `b` has rows, and k counts those.
            let a = simd.splat_f32s(unsafe { *a[m].get_unchecked(k) });
            for j in 0..4 {
                acc[m][j] = simd.mul_add_e_f32s(a, b[j], acc[m][j]);
            }
        }
    }
    *sums = acc;
}

/// Adds a product over frames: sums += a^T b, for `M` columns of `a` from `first` on, whose rows are
/// `stride` words apart, and `b` of four vectors a row. The frames are added to each other before they
/// are added to the sums, which may be so large that single frames would be lost.
#[inline(always)]
pub(super) fn accumulate_outer<S: Simd, const M: usize>(
    simd: S,
    sums: &mut [[S::f32s; 4]],
    (a, stride, first): (&[f32], usize, usize),
    b: &[[S::f32s; 4]],
) {
    let mut acc = [[simd.splat_f32s(0.0); 4]; M];
    for (a, b) in a.chunks_exact(stride).zip(b) {
        let a = &a[first..first + M];
        for m in 0..M {
            let a = simd.splat_f32s(a[m]);
            for j in 0..4 {
                acc[m][j] = simd.mul_add_e_f32s(a, b[j], acc[m][j]);
            }
        }
    }
    for (sums, acc) in sums[..M].iter_mut().zip(acc) {
        for j in 0..4 {
            sums[j] = simd.add_f32s(sums[j], acc[j]);
        }
    }
}
