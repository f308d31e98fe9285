//! Sums of products of 8-bit integers by VNNI and AVX2.

use super::{LANES, Line, Sums};
use std::arch::x86_64::*;

/// A line.
#[inline]
#[target_feature(enable = "avx512f")]
fn whole(line: &Line) -> __m512i {
    // SAFETY: a line is 64 bytes, aligned to as many.
    unsafe { _mm512_load_si512(line.0.as_ptr().cast()) }
}

/// A half of a line.
#[inline]
#[target_feature(enable = "avx2")]
fn half(line: &Line, number: usize) -> __m256i {
    let bytes: &[i8; 32] = &line.0.as_chunks().0[number];
    // SAFETY: the reference is to 32 bytes, and the load wants no alignment.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

/// A quarter of a line, each byte as 16 bits.
#[inline]
#[target_feature(enable = "avx2")]
fn quarter(line: &Line, number: usize) -> __m256i {
    let bytes: &[i8; 16] = &line.0.as_chunks().0[number];
    // SAFETY: the reference is to 16 bytes, and the load wants no alignment.
    _mm256_cvtepi8_epi16(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) })
}

/// The integers of a vector.
#[inline]
#[target_feature(enable = "avx2")]
fn integers(vector: __m256i) -> [i32; 8] {
    let mut integers = [0; 8];
    // SAFETY: there are 32 bytes to be written, and the store wants no alignment.
    unsafe { _mm256_storeu_si256(integers.as_mut_ptr().cast(), vector) }
    integers
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) fn avx512_vnni<const R: usize, const C: usize>(
    a: [&[u32]; R],
    b: &[[Line; C]],
    sums: &mut Sums<R, C>,
) {
    // All of one length, so that the loop looks at no bounds. In loops, not closures, which may be compiled without
    // these instructions.
    let mut a = a;
    for row in &mut a {
        *row = &row[..b.len()];
    }
    let mut all = [[_mm512_setzero_si512(); C]; R];
    for (k, b) in b.iter().enumerate() {
        let mut lines = [_mm512_setzero_si512(); C];
        for c in 0..C {
            lines[c] = whole(&b[c]);
        }
        for r in 0..R {
            let row = _mm512_set1_epi32(a[r][k] as i32);
            for c in 0..C {
                all[r][c] = _mm512_dpbusd_epi32(all[r][c], row, lines[c]);
            }
        }
    }
    for r in 0..R {
        for c in 0..C {
            // SAFETY: there are 16 integers to be written, and the store wants no alignment.
            unsafe { _mm512_storeu_si512(sums[r][c].as_mut_ptr().cast(), all[r][c]) }
        }
    }
}

#[target_feature(enable = "avx2,avxvnni")]
pub(super) fn avx_vnni<const R: usize, const C: usize>(
    a: [&[u32]; R],
    b: &[[Line; C]],
    sums: &mut Sums<R, C>,
) {
    for r in 0..R {
        for c in 0..C {
            let mut halves = [_mm256_setzero_si256(); 2];
            for (word, lines) in a[r].iter().zip(b) {
                let row = _mm256_set1_epi32(*word as i32);
                for (h, sums) in halves.iter_mut().enumerate() {
                    *sums = _mm256_dpbusd_avx_epi32(*sums, row, half(&lines[c], h));
                }
            }
            for h in 0..2 {
                sums[r][c][8 * h..][..8].copy_from_slice(&integers(halves[h]));
            }
        }
    }
}

#[target_feature(enable = "avx2")]
pub(super) fn avx2<const R: usize, const C: usize>(
    a: [&[u32]; R],
    b: &[[Line; C]],
    sums: &mut Sums<R, C>,
) {
    for r in 0..R {
        for c in 0..C {
            // Of each output two sums side by side, of even and of odd pairs of its weights.
            let mut quarters = [_mm256_setzero_si256(); 4];
            for (word, lines) in a[r].iter().zip(b) {
                let row = _mm256_cvtepu8_epi16(_mm_set1_epi32(*word as i32));
                for (q, sums) in quarters.iter_mut().enumerate() {
                    // Two products of 16 bits are far below 31.
                    let pairs = _mm256_madd_epi16(row, quarter(&lines[c], q));
                    *sums = _mm256_add_epi32(*sums, pairs);
                }
            }
            for q in 0..4 {
                let pairs = integers(quarters[q]);
                for n in 0..LANES / 4 {
                    sums[r][c][4 * q + n] = pairs[2 * n].wrapping_add(pairs[2 * n + 1]);
                }
            }
        }
    }
}
