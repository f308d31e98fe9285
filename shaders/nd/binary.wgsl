// binary: y = f(a, b), elementwise, with the shapes broadcast by strides; KIND says which.
//
// Shapes  y: [N]; a, b: as dims has their strides
// Grid    elementwise, n = N
// Twin    src/ops/nd/binary.rs

override KIND: u32;

@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;  // [N]

// What no function of numbers gives, and what none may take for known.
fn infinity() -> f32 { return bitcast<f32>(0x7f800000u | (dims.n & 0u)); }
fn no_number() -> f32 { return bitcast<f32>(0x7fc00000u | (dims.n & 0u)); }

fn is_infinite(x: f32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) == 0x7f800000u; }

// Whether a whole number is odd; those past 2^24 are even.
fn is_odd(x: f32) -> bool {
    if abs(x) >= 16777216.0 { return false; }
    return (i32(x) & 1) == 1;
}

// x^e; neither is NaN.
fn power(x: f32, e: f32) -> f32 {
    if e == 0.0 || x == 1.0 { return 1.0; }
    if e == 1.0 { return x; }
    if e == 2.0 { return x * x; }
    if e == 3.0 { return x * x * x; }
    if e == -1.0 { return 1.0 / x; }
    let odd = !is_infinite(e) && e == trunc(e) && is_odd(e);
    if x == 0.0 {
        let signed = select(0.0, x, odd);
        return select(signed, select(infinity(), 1.0 / x, odd), e < 0.0);
    }
    let m = abs(x);
    if is_infinite(e) {
        if m == 1.0 { return 1.0; }
        return select(0.0, infinity(), (m > 1.0) == (e > 0.0));
    }
    if is_infinite(x) {
        let size = select(0.0, infinity(), e > 0.0);
        return select(size, -size, x < 0.0 && odd);
    }
    if x < 0.0 && e != trunc(e) { return no_number(); }
    if e == 0.5 { return sqrt(x); }
    let exponent = e * log2(m);
    if exponent >= 128.0 { return select(infinity(), -infinity(), x < 0.0 && odd); }
    let size = select(exp2(exponent), 0.0, exponent < -126.0);
    return select(size, -size, x < 0.0 && odd);
}

fn remainder(x: f32, d: f32) -> f32 {
    if is_infinite(x) || d == 0.0 { return no_number(); }
    if is_infinite(d) { return x; }
    return x % d;
}

fn truth(is: bool) -> f32 { return select(0.0, 1.0, is); }

fn element(i: u32) {
    let at = places(i);
    let p = a[at.x];
    let q = b[at.y];
    let no = is_nan(p) || is_nan(q);
    var v = 0.0;
    switch KIND {
        case 0u: { v = p + q; }
        case 1u: { v = p - q; }
        case 2u: { v = p * q; }
        case 3u: { v = p / q; }
        case 4u: { v = trunc(p / q); }
        case 5u: { if !no || q == 0.0 || p == 1.0 { v = power(p, q); } }
        case 6u: { v = select(q, p, p < q); }
        case 7u: { v = select(q, p, p > q); }
        case 8u: {
            v = remainder(p, q);
            if v != 0.0 && (v < 0.0) != (q < 0.0) { v += q; }
        }
        case 9u: { v = remainder(p, q); }
        case 10u: { v = select(p, p * q, p < 0.0); }
        case 11u: { v = truth(!no && p == q); }
        case 12u: { v = truth(!no && p < q); }
        case 13u: { v = truth(!no && p <= q); }
        case 14u: { v = truth(!no && p > q); }
        case 15u: { v = truth(!no && p >= q); }
        default: {
            // A NaN is true.
            let of_p = is_nan(p) || p != 0.0;
            let of_q = is_nan(q) || q != 0.0;
            switch KIND {
                case 16u: { v = truth(of_p && of_q); }
                case 17u: { v = truth(of_p || of_q); }
                default: { v = truth(of_p != of_q); }
            }
        }
    }
    let kept = KIND < 11u && !(KIND == 5u && (q == 0.0 || p == 1.0)) && !(KIND == 10u && !is_nan(p) && p >= 0.0);
    if kept { v = select(select(v, q, is_nan(q)), p, is_nan(p)); }
    y[i] = v;
}
