// What densities need of the logarithm of the gamma function: not lgamma and digamma themselves, of whose large
// values a difference would leave no digit, but what they have beside x log x, which is small. Behind
// common/is_nan.wgsl.

// log(1 + v), of a v above -1.
fn log_1p(v: f32) -> f32 {
    let s = v / (2.0 + v);
    let z = s * s;
    let near = 2.0 * s * (1.0 + z * (0.33333334 + z * (0.2 + z * (0.14285715 + z * 0.11111111))));
    return keep_nan(v, select(log(1.0 + v), near, abs(v) < 0.4));
}

// log(1 + v) - v, where p = 1 + v, which the caller may know better than v tells.
fn log_1p_rest(v: f32, p: f32) -> f32 {
    let s = v / (2.0 + v);
    let z = s * s;
    let near = 2.0 * s * z * (0.33333334 + z * (0.2 + z * (0.14285715 + z * (0.11111111 + z * 0.09090909))));
    return select(log(p) - v, near - s * v, abs(v) < 0.4);
}

// log gamma(x+1) - (x + 1/2) log x + x - log(2 pi)/2, of an x above 0: by Stirling's series from 4 on.
fn stirling_rest(start: f32) -> f32 {
    var x = start;
    var sum = 0.0;
    for (var k = 0u; k < 4u && x < 4.0; k += 1u) {
        sum += (x + 0.5) * log_1p(1.0 / x) - 1.0;
        x += 1.0;
    }
    let t = 1.0 / x;
    let z = t * t;
    return sum + t * (0.083333336 - z * (0.0027777778 - z * (0.0007936508 - z * 0.0005952381)));
}

// digamma(x) - log x, of an x above 0.
fn digamma_rest(start: f32) -> f32 {
    var x = start;
    var sum = 0.0;
    for (var k = 0u; k < 4u && x < 4.0; k += 1u) {
        sum += log_1p_rest(1.0 / x, (x + 1.0) / x);
        x += 1.0;
    }
    let t = 1.0 / x;
    let z = t * t;
    return sum - 0.5 * t - z * (0.083333336 - z * (0.008333334 - z * (0.003968254 - z * 0.004166667)));
}

// digamma_rest(r + k) - digamma_rest(r): of a large r term by term, since each is near its neighbour.
fn digamma_step(r: f32, k: f32) -> f32 {
    if r < 5.0 { return digamma_rest(r + k) - digamma_rest(r); }
    let t = 1.0 / r;
    let w = 1.0 / (r + k);
    let tt = t * t;
    let ww = w * w;
    let series = 0.083333336 - (tt + ww) * 0.008333334 + (tt * tt + tt * ww + ww * ww) * 0.003968254
        - (tt + ww) * (tt * tt + ww * ww) * 0.004166667;
    return k * t * w * (0.5 + (t + w) * series);
}
