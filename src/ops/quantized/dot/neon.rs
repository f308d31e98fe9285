//! Sums of products of 8-bit integers by NEON, whose instructions take signed bytes alone: of an activation they get
//! a - 128, and 128 Σ b is added.

use super::{LANES, Line, Sums};
use std::arch::aarch64::*;

/// A quarter of a line.
#[inline]
#[target_feature(enable = "neon")]
fn quarter(line: &Line, number: usize) -> int8x16_t {
    let bytes: &[i8; 16] = &line.0.as_chunks().0[number];
    // SAFETY: the reference is to 16 bytes, and the load wants no alignment.
    unsafe { vld1q_s8(bytes.as_ptr()) }
}

/// Four activations less 128, four times.
#[inline]
#[target_feature(enable = "neon")]
fn signed(word: u32) -> int8x16_t {
    vreinterpretq_s8_u32(vdupq_n_u32(word ^ 0x8080_8080))
}

/// The integers of a vector.
#[inline]
#[target_feature(enable = "neon")]
fn integers(vector: int32x4_t) -> [i32; 4] {
    let mut integers = [0; 4];
    // SAFETY: there are 16 bytes to be written, and the store wants no alignment.
    unsafe { vst1q_s32(integers.as_mut_ptr(), vector) }
    integers
}

#[target_feature(enable = "neon,dotprod")]
pub(super) fn dot<const R: usize, const C: usize>(
    a: [&[u32]; R],
    b: &[[Line; C]],
    totals: &[i32],
    sums: &mut Sums<R, C>,
) {
    for c in 0..C {
        let totals = &totals[LANES * c..][..LANES];
        for r in 0..R {
            let mut quarters = [vdupq_n_s32(0); 4];
            for (word, lines) in a[r].iter().zip(b) {
                let row = signed(*word);
                for (q, sums) in quarters.iter_mut().enumerate() {
                    let weights = quarter(&lines[c], q);
                    // SAFETY: the instruction reads and writes these registers alone, and this function is
                    // compiled for processors that have it. (Its intrinsic is not stable yet.)
                    unsafe {
                        std::arch::asm!(
                            "sdot {sums:v}.4s, {weights:v}.16b, {row:v}.16b",
                            sums = inout(vreg) *sums,
                            weights = in(vreg) weights,
                            row = in(vreg) row,
                            options(pure, nomem, nostack, preserves_flags),
                        );
                    }
                }
            }
            for q in 0..4 {
                let found = integers(quarters[q]);
                for n in 0..4 {
                    sums[r][c][4 * q + n] =
                        found[n].wrapping_add(totals[4 * q + n].wrapping_mul(128));
                }
            }
        }
    }
}

#[target_feature(enable = "neon")]
pub(super) fn plain<const R: usize, const C: usize>(
    a: [&[u32]; R],
    b: &[[Line; C]],
    totals: &[i32],
    sums: &mut Sums<R, C>,
) {
    for c in 0..C {
        let totals = &totals[LANES * c..][..LANES];
        for r in 0..R {
            // Of each output two sums side by side, of even and of odd pairs of its weights.
            let mut pairs = [[vdupq_n_s32(0); 2]; 4];
            for (word, lines) in a[r].iter().zip(b) {
                let row = vget_low_s8(signed(*word));
                for (q, sums) in pairs.iter_mut().enumerate() {
                    let weights = quarter(&lines[c], q);
                    // Products are at most 2^14.
                    let low = vmull_s8(row, vget_low_s8(weights));
                    let high = vmull_s8(row, vget_high_s8(weights));
                    sums[0] = vpadalq_s16(sums[0], low);
                    sums[1] = vpadalq_s16(sums[1], high);
                }
            }
            for q in 0..4 {
                for h in 0..2 {
                    let found = integers(pairs[q][h]);
                    for n in 0..2 {
                        let at = 4 * q + 2 * h + n;
                        let sum = found[2 * n].wrapping_add(found[2 * n + 1]);
                        sums[r][c][at] = sum.wrapping_add(totals[at].wrapping_mul(128));
                    }
                }
            }
        }
    }
}
