// unary: y = f(x), elementwise; KIND says which, and a and b are its options.
//
// Shapes  x, y: [N]
// Grid    elementwise, n = N
// Twin    src/ops/nd/unary.rs

override KIND: u32;

struct Dims { n: u32, a: f32, b: f32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<f32>;        // [N]
@group(0) @binding(2) var<storage, read_write> y: array<f32>;  // [N]

const INFINITY_BITS = 0x7f800000u;

// Not written as constants, which WGSL has not.
fn infinity() -> f32 { return bitcast<f32>(INFINITY_BITS | (dims.n & 0u)); }
fn no_number() -> f32 { return bitcast<f32>(0x7fc00000u | (dims.n & 0u)); }

fn magnitude(x: f32) -> u32 { return bitcast<u32>(x) & 0x7fffffffu; }

fn with_sign_of(x: f32, y: f32) -> f32 {
    return bitcast<f32>((bitcast<u32>(y) & 0x7fffffffu) | (bitcast<u32>(x) & 0x80000000u));
}

// e^x - 1, without a difference of equals near 0.
fn exp_less_1(x: f32) -> f32 {
    if abs(x) > 0.35 { return exp(x) - 1.0; }
    var p = 1.0 / 5040.0;
    p = p * x + 1.0 / 720.0;
    p = p * x + 1.0 / 120.0;
    p = p * x + 1.0 / 24.0;
    p = p * x + 1.0 / 6.0;
    p = p * x + 0.5;
    return p * x * x + x;
}

// ln(1 + x), by the series of atanh near 0.
fn log_more_1(x: f32) -> f32 {
    if abs(x) > 0.4 { return log(1.0 + x); }
    let s = x / (2.0 + x);
    let z = s * s;
    return 2.0 * s * (1.0 + z * (1.0 / 3.0 + z * (0.2 + z * (1.0 / 7.0 + z / 9.0))));
}

fn erf1(x: f32) -> f32 {
    let t = abs(x);
    if t < 0.93 {
        let s = x * x;
        var p = -5.953725e-4;
        p = p * s + 4.985937e-3;
        p = p * s - 2.6761716e-2;
        p = p * s + 1.1281683e-1;
        p = p * s - 3.761248e-1;
        p = p * s + 1.1283792;
        return p * x;
    }
    if t > 4.0 { return sign(x); }
    var q = -1.6289533e-4;
    q = q * t + 2.7388334e-3;
    q = q * t - 2.1086335e-2;
    q = q * t + 1.01704516e-1;
    q = q * t + 6.395743e-1;
    q = q * t + 1.1263342;
    q = q * t + 5.0283846e-4;
    return with_sign_of(x, 1.0 - exp(-q));
}

// The arc tangent after Cephes (Moshier 1992): drivers' own may be off by a thousandth.
fn atan1(x: f32) -> f32 {
    let t = abs(x);
    var first = 0.0;
    var r = t;
    if t > 2.4142135 {
        first = 1.5707964;
        r = -1.0 / t;
    } else if t > 0.41421357 {
        first = 0.7853982;
        r = (t - 1.0) / (t + 1.0);
    }
    let z = r * r;
    let p = ((8.053745e-2 * z - 1.3877686e-1) * z + 1.9977711e-1) * z - 3.333295e-1;
    return with_sign_of(x, first + (p * z * r + r));
}

fn f(x: f32) -> f32 {
    let a = dims.a;
    let b = dims.b;
    let infinite = magnitude(x) == INFINITY_BITS;
    switch KIND {
        case 0u: { return bitcast<f32>(bitcast<u32>(x) ^ 0x80000000u); }
        case 1u: { return abs(x); }
        case 2u: { return select(sqrt(x), no_number(), x < 0.0); }
        case 3u: { return select(select(exp(x), 0.0, x < -87.4), infinity(), x > 88.722839); }
        case 4u: {
            if x <= 0.0 { return select(no_number(), -infinity(), x == 0.0); }
            return select(log(x), x, infinite);
        }
        case 5u: { return 1.0 / x; }
        case 6u: { return sign(x); }
        case 7u: { return floor(x); }
        case 8u: { return ceil(x); }
        case 9u: { return round(x); }
        case 10u: { return select(select(0.0, x + a, x < -b), x - a, x > b); }
        case 11u: { return select(sin(x), no_number(), infinite); }
        case 12u: { return select(cos(x), no_number(), infinite); }
        case 13u: { return select(sin(x) / cos(x), no_number(), infinite); }
        case 14u: {
            if abs(x) > 1.0 { return no_number(); }
            return 2.0 * atan1(x / (1.0 + sqrt((1.0 - x) * (1.0 + x))));
        }
        case 15u: {
            if abs(x) > 1.0 { return no_number(); }
            if x == -1.0 { return 3.1415927; }
            return 2.0 * atan1(sqrt((1.0 - x) / (1.0 + x)));
        }
        case 16u: { return atan1(x); }
        case 17u: {
            if infinite { return x; }
            let e = exp_less_1(abs(x));
            let half = exp(0.5 * abs(x));
            return with_sign_of(x, select(0.5 * (e + e / (e + 1.0)), 0.5 * half * half, abs(x) > 20.0));
        }
        case 18u: {
            let half = exp(0.5 * abs(x));
            return select(0.5 * (exp(x) + exp(-x)), 0.5 * half * half, abs(x) > 20.0);
        }
        case 19u: { return tanh1(x); }
        case 20u: {
            if infinite { return x; }
            let t = abs(x);
            let far = log(t) + 0.6931472;
            let near = log_more_1(t + t * t / (1.0 + sqrt(t * t + 1.0)));
            return with_sign_of(x, select(near, far, t > 1e8));
        }
        case 21u: {
            if x < 1.0 { return no_number(); }
            if infinite { return x; }
            let t = x - 1.0;
            return select(log_more_1(t + sqrt(t * (t + 2.0))), log(x) + 0.6931472, x > 1e8);
        }
        case 22u: {
            if abs(x) >= 1.0 { return select(no_number(), x * infinity(), abs(x) == 1.0); }
            return 0.5 * log_more_1(2.0 * x / (1.0 - x));
        }
        case 23u: { return erf1(x); }
        case 24u: { return select(x, 0.0, x < 0.0); }
        case 25u: { return select(x, a * x, x < 0.0); }
        case 26u: { return select(0.0, x, x > a); }
        case 27u: { if x < 0.0 { return a * exp_less_1(x); } return x; }
        case 28u: { if x <= 0.0 { return b * (a * exp_less_1(x)); } return b * x; }
        case 29u: { if x < 0.0 { return a * exp_less_1(x / a); } return x; }
        case 30u: { return sigmoid1(x); }
        case 31u: { return clamp(a * x + b, 0.0, 1.0); }
        case 32u: { if x <= -3.0 { return 0.0; } return x * clamp(x / 6.0 + 0.5, 0.0, 1.0); }
        case 33u: {
            if infinite && x < 0.0 && a > 0.0 { return -0.0; }
            return x * sigmoid1(a * x);
        }
        case 34u: { return max(x, 0.0) + log_more_1(exp(-abs(x))); }
        case 35u: { if infinite { return sign(x); } return x / (1.0 + abs(x)); }
        case 36u: {
            if infinite && x < 0.0 { return -0.0; }
            return x * tanh1(max(x, 0.0) + log_more_1(exp(-abs(x))));
        }
        case 37u: {
            if infinite && x < 0.0 { return -0.0; }
            return 0.5 * x * (1.0 + erf1(x * 0.70710677));
        }
        case 38u: {
            if infinite && x < 0.0 { return -0.0; }
            return 0.5 * x * (1.0 + tanh1(0.7978846 * (x + 0.044715 * x * x * x)));
        }
        default: { return min(max(x, a), b); }
    }
}

fn element(i: u32) {
    let v = x[i];
    y[i] = v;
    if !is_nan(v) { y[i] = f(v); }
}
