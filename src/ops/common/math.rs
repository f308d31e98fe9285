//! Vectors of exp, exp - 1, ln, tanh, sigmoid and softplus, in single precision.
//!
//! exp: range reduction and polynomial after Cody & Waite 1980. tanh: a rational function that
//! was fitted for the least relative error (1.2e-8) by iterated weighted least squares. ln: the series of
//! atanh, with ln 2 in two parts. Errors are below 3 ulp over the whole range (tested); a NaN stays one.

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

/// x = n ln 2 + r: r, p(r) of e^r = 1 + r + r^2 p(r), to 4e-9, and n with a `bias` in the low bits of a float.
#[inline(always)]
fn reduced<S: Simd>(simd: S, x: S::f32s, bias: f32) -> [S::f32s; 3] {
    let c = |v: f32| simd.splat_f32s(v);
    // Adding 1.5 * 2^23 leaves the nearest integer in the low bits.
    let magic = c(12_582_912.0 + bias);
    let shifted = simd.mul_add_f32s(x, c(std::f32::consts::LOG2_E), magic);
    let n = simd.sub_f32s(shifted, magic);
    // ln 2 in two parts.
    let r = simd.mul_add_f32s(n, c(-0.693_359_4), x);
    let r = simd.mul_add_f32s(n, c(2.121_944_4e-4), r);
    let p = [0.499_999_94, 1.666_652_2e-1, 4.166_839e-2, 8.368_745e-3, 1.381_453_9e-3];
    [r, polynomial(simd, r, p), shifted]
}

/// e^-x, as [`exp`] makes it, but for the sign of r, which would cost an instruction, and for the ends: it
/// overflows to 3.4e38 rather than infinity, underflows to 1.2e-38 rather than zero. No gate can tell.
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

/// e^x. Infinite from 88.72 on; 0 below -87.33, where it would be subnormal.
#[inline(always)]
pub(crate) fn exp<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let c = |v: f32| simd.splat_f32s(v);
    let held = clamp(simd, x, -87.4, 88.8);
    let [r, p, shifted] = reduced(simd, held, 127.0);
    let p = simd.mul_add_f32s(p, simd.mul_f32s(r, r), simd.add_f32s(c(1.0), r));
    // 2^128 is no float, and 2^-127 none that counts: of a large n half goes before.
    let large = simd.greater_than_f32s(x, c(80.0));
    let first = simd.select_f32s(large, c(2f32.powi(64)), c(1.0));
    let rest = simd.select_u32s(large, simd.splat_u32s(64), simd.splat_u32s(0));
    let bits = simd.sub_u32s(simd.transmute_u32s_f32s(shifted), rest);
    let power = simd.wrapping_dyn_shl_u32s(bits, simd.splat_u32s(23));
    let y = simd.mul_f32s(simd.mul_f32s(p, first), simd.transmute_f32s_u32s(power));
    let y = simd.select_f32s(simd.greater_than_f32s(x, c(88.722_84)), c(f32::INFINITY), y);
    simd.select_f32s(simd.less_than_f32s(x, c(-87.336_54)), c(0.0), y)
}

/// e^x - 1, which near 0 is not the difference of what [`exp`] gives and 1. Infinite from 88.72 on.
#[inline(always)]
pub(crate) fn exp_m1<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let c = |v: f32| simd.splat_f32s(v);
    // Below -20 it is -1.
    let held = clamp(simd, x, -60.0, 88.8);
    // The power of two is made half as large as it is, since 2^128 is no float.
    let [r, p, shifted] = reduced(simd, held, 126.0);
    // e^r - 1.
    let p = simd.mul_add_f32s(p, simd.mul_f32s(r, r), r);
    let power = simd.wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(shifted), simd.splat_u32s(23));
    let half = simd.transmute_f32s_u32s(power);
    // 2^n (e^r - 1) + (2^n - 1).
    let y = simd.mul_add_f32s(p, half, simd.sub_f32s(half, c(0.5)));
    simd.add_f32s(y, y)
}

/// The natural logarithm: -infinity of 0 and of subnormal numbers, NaN of negative ones.
#[inline(always)]
pub(crate) fn ln<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let c = |v: f32| simd.splat_f32s(v);
    let u = |v: u32| simd.splat_u32s(v);
    let bits = simd.transmute_u32s_f32s(x);
    // x = m 2^e, m from sqrt(1/2) to sqrt(2): 0x3504F3 are the fraction's bits of sqrt(2), rounded down.
    let up = simd.add_u32s(bits, u(0x0080_0000 - 0x0035_04F3));
    let exponent = simd.wrapping_dyn_shr_u32s(up, u(23));
    let e = simd.transmute_f32s_u32s(simd.or_u32s(exponent, u(0x4B00_0000)));
    let e = simd.sub_f32s(e, c(8_388_608.0 + 127.0));
    let fraction = simd.add_u32s(simd.and_u32s(up, u(0x007F_FFFF)), u(0x3F35_04F3));
    let m = simd.transmute_f32s_u32s(fraction);
    // ln m = 2 atanh(s), s = (m - 1) / (m + 1).
    let f = simd.sub_f32s(m, c(1.0));
    let s = simd.div_f32s(f, simd.add_f32s(m, c(1.0)));
    let z = simd.mul_f32s(s, s);
    let p = polynomial(simd, z, [0.666_666_7, 0.4, 0.285_714_3, 0.222_225_1, 0.195_8]);
    // 2 s = f - s f, and f is exact.
    let tail = simd.mul_f32s(s, simd.sub_f32s(simd.mul_f32s(z, p), f));
    let low = simd.mul_add_f32s(e, c(-2.121_944_4e-4), tail);
    let y = simd.mul_add_f32s(e, c(0.693_359_4), simd.add_f32s(f, low));
    // What is no positive finite number.
    let y = simd.select_f32s(simd.less_than_f32s(x, c(f32::MIN_POSITIVE)), c(f32::NEG_INFINITY), y);
    let y = simd.select_f32s(simd.less_than_f32s(x, c(0.0)), c(f32::NAN), y);
    let y = simd.select_f32s(simd.equal_f32s(x, c(f32::INFINITY)), x, y);
    simd.select_f32s(simd.equal_f32s(x, x), y, x)
}

/// ln(1 + e^x).
#[inline(always)]
pub(crate) fn softplus<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let (zero, one) = (simd.splat_f32s(0.0), simd.splat_f32s(1.0));
    let u = exp(simd, simd.neg_f32s(simd.abs_f32s(x)));
    // ln(1 + u), though 1 + u is rounded: Kahan's quotient, HP-15C Advanced Functions Handbook, 1982.
    let w = simd.add_f32s(one, u);
    let quotient = simd.div_f32s(simd.mul_f32s(ln(simd, w), u), simd.sub_f32s(w, one));
    let log = simd.select_f32s(simd.equal_f32s(w, one), u, quotient);
    let positive = simd.select_f32s(simd.greater_than_f32s(x, zero), x, zero);
    simd.add_f32s(positive, log)
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

/// The error function, x p(x^2) / q(x^2): Eigen's rational function, which from 4 on is 1.
#[inline(always)]
pub(crate) fn erf<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let x = clamp(simd, x, -4.0, 4.0);
    let z = simd.mul_f32s(x, x);
    let p = [
        -1.609_603_3e-2,
        -2.954_6e-3,
        -7.349_906_3e-4,
        -5.692_506_5e-5,
        -2.101_024e-6,
        2.770_681_4e-8,
        -2.726_142_3e-10,
    ];
    let q = [-1.426_474e-2, -7.373_329e-3, -1.682_827e-3, -2.133_740_6e-4, -1.456_607_2e-5];
    let y = simd.mul_f32s(x, polynomial(simd, z, p));
    let y = clamp(simd, simd.div_f32s(y, polynomial(simd, z, q)), -1.0, 1.0);
    let (four, one) = (simd.splat_f32s(4.0), simd.splat_f32s(1.0));
    let y = simd.select_f32s(simd.equal_f32s(x, four), one, y);
    simd.select_f32s(simd.equal_f32s(x, simd.neg_f32s(four)), simd.neg_f32s(one), y)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Apply<'a>(&'a [f32], &'a mut Vec<[f32; 8]>);

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
                    first(exp(simd, v)),
                    first(ln(simd, v)),
                    first(softplus(simd, v)),
                    first(exp_m1(simd, v)),
                    first(erf(simd, v)),
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
                ("e^x", ys[3], d.exp()),
                ("softplus", ys[5], d.max(0.0) + (-d.abs()).exp().ln_1p()),
                ("e^x - 1", ys[6], d.exp_m1()),
                ("erf", ys[7], libm::erf(d)),
            ] {
                let ulp = f64::from((exact as f32).abs()).max(1e-37) * f64::from(f32::EPSILON);
                assert!((f64::from(y) - exact).abs() < 3.0 * ulp, "{name}({x}) = {y}, not {exact}");
            }
        }
    }

    #[test]
    fn logarithms_agree_with_double_precision() {
        let mut xs: Vec<f32> = (1..200_000).map(|i| i as f32 * 1.7e-5).collect();
        xs.extend((-126..128).flat_map(|e| [1.0, 1.1, 1.41, 1.42, 1.99].map(|m| m * 2f32.powi(e))));
        xs.extend([f32::MIN_POSITIVE, f32::MAX, 1.0, 1.0 + f32::EPSILON, 1.0 - f32::EPSILON / 2.0]);
        let mut found = Vec::new();
        pulp::Arch::new().dispatch(Apply(&xs, &mut found));
        pulp::Arch::Scalar.dispatch(Apply(&xs, &mut found));
        for (&x, ys) in xs.iter().chain(&xs).zip(&found) {
            let exact = f64::from(x).ln();
            let ulp = f64::from((exact as f32).abs()).max(1e-37) * f64::from(f32::EPSILON);
            assert!(
                (f64::from(ys[4]) - exact).abs() < 3.0 * ulp,
                "ln({x}) = {}, not {exact}",
                ys[4]
            );
        }
    }

    #[test]
    fn extremes_of_exp_ln_and_what_is_made_of_them() {
        let inf = f32::INFINITY;
        let xs = [inf, -inf, f32::NAN, -1.0, 0.0, 88.7, 88.73, -87.3, -87.4, 1e30, -1e30];
        let mut found = Vec::new();
        pulp::Arch::new().dispatch(Apply(&xs, &mut found));
        pulp::Arch::Scalar.dispatch(Apply(&xs, &mut found));
        for found in found.chunks(xs.len()) {
            let [exp, ln, softplus, exp_m1] = [3, 4, 5, 6].map(|f| move |i: usize| found[i][f]);
            assert_eq!([exp(0), exp(1), exp(4), exp(6), exp(8)], [inf, 0.0, 1.0, inf, 0.0]);
            assert_eq!([exp(9), exp(10)], [inf, 0.0]);
            assert!(exp(5).is_finite() && exp(7) > 1e-38);
            assert_eq!([exp_m1(0), exp_m1(1), exp_m1(4), exp_m1(6)], [inf, -1.0, 0.0, inf]);
            assert_eq!([exp_m1(9), exp_m1(10), exp_m1(8)], [inf, -1.0, -1.0]);
            assert!(exp_m1(5).is_finite() && exp_m1(2).is_nan());
            assert_eq!([ln(0), ln(4)], [inf, -inf]);
            assert!([exp(2), ln(2), softplus(2), ln(1), ln(3)].iter().all(|y| y.is_nan()));
            assert_eq!(
                [softplus(0), softplus(1), softplus(9), softplus(10)],
                [inf, 0.0, 1e30, 0.0]
            );
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
