//! Vectors of exp, tanh and sigmoid, in single precision.
//!
//! exp: range reduction and polynomial after Cody & Waite 1980. tanh: a rational function that
//! was fitted for the least relative error (1.2e-8) by iterated weighted least squares. Errors are
//! below 3 ulp over the whole range (tested); a NaN stays one.

use pulp::Simd;

/// From `low` to `high`. A NaN stays one: minimum and maximum give their second operand if one is
/// a NaN, or the NaN, on every processor that has them.
#[inline(always)]
fn clamp<S: Simd>(simd: S, x: S::f32s, low: f32, high: f32) -> S::f32s {
    let clamped = simd.max_f32s(simd.splat_f32s(low), simd.min_f32s(simd.splat_f32s(high), x));
    // Without vectors they give the number.
    if S::F32_LANES == 1 {
        return simd.select_f32s(simd.equal_f32s(x, x), clamped, x);
    }
    clamped
}

/// p[0] + p[1] x + p[2] x^2 + ...
#[inline(always)]
fn polynomial<S: Simd, const N: usize>(simd: S, x: S::f32s, p: [f32; N]) -> S::f32s {
    let mut sum = simd.splat_f32s(p[N - 1]);
    for &coefficient in p[..N - 1].iter().rev() {
        sum = simd.mul_add_f32s(sum, x, simd.splat_f32s(coefficient));
    }
    sum
}

/// e^-x. Overflows to 3.4e38 rather than infinity, underflows to 1.2e-38 rather than zero: no
/// gate can tell.
#[inline(always)]
fn exp_of_negative<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let c = |v: f32| simd.splat_f32s(v);
    let x = clamp(simd, x, -88.0, 87.0);
    // Adding 1.5 * 2^23 leaves the nearest integer in the low bits; 127 more is the exponent's bias.
    let magic = c(12_582_912.0 + 127.0);
    let shifted = simd.mul_add_f32s(x, c(-std::f32::consts::LOG2_E), magic);
    let n = simd.sub_f32s(shifted, magic);
    // r = x + n ln 2, with ln 2 in two parts.
    let r = simd.mul_add_f32s(n, c(0.693_359_4), x);
    let r = simd.mul_add_f32s(n, c(-2.121_944_4e-4), r);
    // e^-r = 1 - r + r^2 p(r), to 4e-9.
    let p = [0.499_999_94, -1.666_652_2e-1, 4.166_839e-2, -8.368_745e-3, 1.381_453_9e-3];
    let p = polynomial(simd, r, p);
    let p = simd.mul_add_f32s(p, simd.mul_f32s(r, r), simd.sub_f32s(c(1.0), r));
    // Times 2^n, made of its bits.
    let power = simd.wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(shifted), simd.splat_u32s(23));
    simd.mul_f32s(p, simd.transmute_f32s_u32s(power))
}

/// 1 / (1 + e^-x).
#[inline(always)]
pub(crate) fn sigmoid<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let one = simd.splat_f32s(1.0);
    simd.div_f32s(one, simd.add_f32s(one, exp_of_negative(simd, x)))
}

/// tanh x = x p(x^2) / q(x^2); past 8.5 it is 1.
#[inline(always)]
pub(crate) fn tanh<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let x = clamp(simd, x, -8.5, 8.5);
    let z = simd.mul_f32s(x, x);
    let p =
        polynomial(simd, z, [1.0, 1.341_324_4e-1, 3.534_024_6e-3, 2.125_101e-5, 1.426_918_2e-8]);
    let q = polynomial(simd, z, [1.0, 4.674_656_7e-1, 2.602_274_3e-2, 3.348_861e-4, 8.145_104e-7]);
    let y = simd.div_f32s(simd.mul_f32s(x, p), q);
    // Rounding may lead past 1.
    clamp(simd, y, -1.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Apply<'a>(&'a [f32], &'a mut Vec<[f32; 3]>);

    impl pulp::WithSimd for Apply<'_> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            for &x in self.0 {
                let v = simd.splat_f32s(x);
                let first = |y: S::f32s| pulp::bytemuck::cast_slice::<S::f32s, f32>(&[y])[0];
                self.1.push([
                    first(exp_of_negative(simd, v)),
                    first(sigmoid(simd, v)),
                    first(tanh(simd, v)),
                ]);
            }
        }
    }

    #[test]
    fn vectors_agree_with_double_precision() {
        let mut xs: Vec<f32> = (-80_000..=80_000).map(|i| i as f32 * 1e-3 + 1e-5).collect();
        xs.extend([0.0, -0.0, 1e-30, -1e-8, 0.624_999_9, 0.625, 19.0, -19.0, 85.0, -86.0]);
        let mut found = Vec::new();
        pulp::Arch::new().dispatch(Apply(&xs, &mut found));
        pulp::Arch::Scalar.dispatch(Apply(&xs, &mut found));
        for (&x, ys) in xs.iter().chain(&xs).zip(&found) {
            let d = f64::from(x);
            for (name, y, exact) in [
                ("exp", ys[0], (-d).exp()),
                ("sigmoid", ys[1], 1.0 / (1.0 + (-d).exp())),
                ("tanh", ys[2], d.tanh()),
            ] {
                let ulp = f64::from((exact as f32).abs()).max(1e-37) * f64::from(f32::EPSILON);
                assert!((f64::from(y) - exact).abs() < 3.0 * ulp, "{name}({x}) = {y}, not {exact}");
            }
        }
    }

    #[test]
    fn extremes_saturate_and_nan_stays() {
        let xs = [f32::INFINITY, f32::NEG_INFINITY, 1e30, -1e30, f32::NAN];
        let mut found = Vec::new();
        pulp::Arch::new().dispatch(Apply(&xs, &mut found));
        pulp::Arch::Scalar.dispatch(Apply(&xs, &mut found));
        for found in found.chunks(5) {
            for (pair, sign) in [(0, 1.0), (1, -1.0), (2, 1.0), (3, -1.0)] {
                assert!((found[pair][1] - (sign + 1.0) / 2.0).abs() < 1e-37);
                assert_eq!(found[pair][2], sign);
            }
            assert!(found[4].iter().all(|y| y.is_nan()));
        }
    }
}
