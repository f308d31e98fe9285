//! Sums of products of 8-bit integers on any processor: the twin of the others.

use super::{LANES, Line, Sums};

pub(super) fn sums<const R: usize, const C: usize>(
    a: [&[u32]; R],
    b: &[[Line; C]],
    sums: &mut Sums<R, C>,
) {
    for (a, sums) in a.iter().zip(sums) {
        for (c, sums) in sums.iter_mut().enumerate() {
            *sums = [0; LANES];
            for (word, lines) in a.iter().zip(b) {
                let a = word.to_ne_bytes().map(i32::from);
                let outputs: &[[i8; 4]; LANES] = bytemuck::cast_ref(&lines[c].0);
                for (sum, b) in sums.iter_mut().zip(outputs) {
                    let [p, q, r, s] = std::array::from_fn(|k| a[k] * i32::from(b[k]));
                    // Four products stay far below 31 bits; their sum with others may not.
                    *sum = sum.wrapping_add(p + q + r + s);
                }
            }
        }
    }
}
