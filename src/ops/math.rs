//! Vectors of exp, tanh and sigmoid, in single precision.
//!
//! Range reduction and polynomials after Cody & Waite 1980; tanh splits at 0.625 as the Cephes
//! library does. Errors are below 3 ulp over the whole range (tested); a NaN stays one.

use pulp::Simd;

/// e^x. Overflows to 3.4e38 rather than infinity, underflows to 1.2e-38 rather than zero: no
/// gate can tell.
#[inline(always)]
pub(crate) fn exp<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let c = |v: f32| simd.splat_f32s(v);
    let clamped = simd.min_f32s(simd.max_f32s(x, c(-87.0)), c(88.0));
    // Adding 1.5 * 2^23 leaves the nearest integer in the low bits.
    let magic = c(12_582_912.0);
    let shifted = simd.mul_add_f32s(clamped, c(std::f32::consts::LOG2_E), magic);
    let n = simd.sub_f32s(shifted, magic);
    // x - n ln 2, with ln 2 in two parts.
    let r = simd.mul_add_f32s(n, c(-0.693_359_4), clamped);
    let r = simd.mul_add_f32s(n, c(2.121_944_4e-4), r);
    let mut p = c(1.987_569_2e-4);
    for coefficient in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        p = simd.mul_add_f32s(p, r, c(coefficient));
    }
    let p = simd.mul_add_f32s(p, simd.mul_f32s(r, r), simd.add_f32s(r, c(1.0)));
    // Times 2^n, in the exponent's bits.
    let bits = simd.wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(shifted), simd.splat_u32s(23));
    let scaled = simd.add_u32s(simd.transmute_u32s_f32s(p), bits);
    keep_nan(simd, x, simd.transmute_f32s_u32s(scaled))
}

/// 1 / (1 + e^-x).
#[inline(always)]
pub(crate) fn sigmoid<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let one = simd.splat_f32s(1.0);
    simd.div_f32s(one, simd.add_f32s(one, exp(simd, simd.neg_f32s(x))))
}

/// tanh x.
#[inline(always)]
pub(crate) fn tanh<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let c = |v: f32| simd.splat_f32s(v);
    let size = simd.abs_f32s(x);
    // 1 - 2 / (e^2|x| + 1), with the sign of x.
    let e = exp(simd, simd.min_f32s(simd.add_f32s(size, size), c(40.0)));
    let far = simd.sub_f32s(c(1.0), simd.div_f32s(c(2.0), simd.add_f32s(e, c(1.0))));
    let negative = simd.less_than_f32s(x, c(0.0));
    let far = simd.select_f32s(negative, simd.neg_f32s(far), far);
    // Near zero that would cancel.
    let z = simd.mul_f32s(x, x);
    let mut p = c(-5.704_988_7e-3);
    for coefficient in [2.063_909e-2, -5.373_971_6e-2, 1.333_144_2e-1, -3.333_328e-1] {
        p = simd.mul_add_f32s(p, z, c(coefficient));
    }
    let near = simd.mul_add_f32s(simd.mul_f32s(p, z), x, x);
    let y = simd.select_f32s(simd.less_than_f32s(size, c(0.625)), near, far);
    keep_nan(simd, x, y)
}

#[inline(always)]
fn keep_nan<S: Simd>(simd: S, x: S::f32s, y: S::f32s) -> S::f32s {
    simd.select_f32s(simd.equal_f32s(x, x), y, x)
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
                self.1.push([first(exp(simd, v)), first(sigmoid(simd, v)), first(tanh(simd, v))]);
            }
        }
    }

    #[test]
    fn vectors_agree_with_double_precision() {
        let mut xs: Vec<f32> = (-80_000..=80_000).map(|i| i as f32 * 1e-3 + 1e-5).collect();
        xs.extend([0.0, -0.0, 1e-30, -1e-8, 0.624_999_9, 0.625, 19.0, -19.0, 85.0, -86.0]);
        let mut found = Vec::new();
        pulp::Arch::new().dispatch(Apply(&xs, &mut found));
        for (&x, ys) in xs.iter().zip(&found) {
            let d = f64::from(x);
            for (name, y, exact) in [
                ("exp", ys[0], d.exp()),
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
        for (pair, sign) in [(0, 1.0), (1, -1.0), (2, 1.0), (3, -1.0)] {
            assert!((found[pair][1] - (sign + 1.0) / 2.0).abs() < 1e-37);
            assert_eq!(found[pair][2], sign);
        }
        assert!(found[4].iter().all(|y| y.is_nan()));
    }
}
