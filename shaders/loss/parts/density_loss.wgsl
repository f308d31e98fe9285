// What both passes of the losses by densities share: -log p(y) of the targets `y` of a group, whose distribution
// has its parameters in the outputs `x` of the group, and the slopes by these outputs. A positive parameter is
// softplus(x) + floor, so that no density is infinite. Behind parts/log_gamma.wgsl.
//
//   KIND 0, normal:              mean, deviation
//   KIND 1, Student's t:         location, scale, degrees of freedom less 2
//   KIND 2, negative binomial:   mean m and shape a, both positive; the variance is m + a m^2
//   KIND 3, mixture:             K logits, K means [D] and K deviations [D] of normal distributions
//   KIND 4, strokes:             a mixture of D = 2, then K correlations, most tanh(x), and a logit of y[2] = 1

override KIND: u32;
override WEIGHTS: bool;

struct Dims {
    n: u32,           // groups
    each: u32,        // groups of a row
    outputs: u32,     // of a group
    targets: u32,     // of a group
    components: u32,  // K
    axes: u32,        // D
    scale: f32,
    floor: f32,
    most: f32,
}

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<f32>;        // [n,outputs]
@group(0) @binding(2) var<storage, read> y: array<f32>;        // [n,targets]
@group(0) @binding(3) var<storage, read> weights: array<f32>;  // [N]

const HALF_LOG_2PI = 0.9189385;
const LOWEST = -3.4028234e38;

// softplus(v) + floor, with all digits where it is small.
fn positive(v: f32) -> f32 {
    return keep_nan(v, max(v, 0.0) + log_1p(exp(-abs(v)))) + dims.floor;
}

// A NaN that stands in the outputs or targets of a group, or 0.
fn nan_of(i: u32) -> f32 {
    var found = 0.0;
    for (var j = i * dims.outputs; j < (i + 1u) * dims.outputs; j += 1u) {
        if is_nan(x[j]) { found = x[j]; }
    }
    for (var j = i * dims.targets; j < (i + 1u) * dims.targets; j += 1u) {
        if is_nan(y[j]) { found = y[j]; }
    }
    return found;
}

// A loss of one target, and its slopes by the outputs.
struct Single { loss: f32, slopes: vec3<f32> }

fn normal_density(i: u32) -> Single {
    let b = 2u * i;
    let deviation = positive(x[b + 1u]);
    let z = (y[i] - x[b]) / deviation;
    let slope = (1.0 - z * z) / deviation * sigmoid1(x[b + 1u]);
    return Single(0.5 * z * z + log(deviation) + HALF_LOG_2PI, vec3(-z / deviation, slope, 0.0));
}

fn student_density(i: u32) -> Single {
    let b = 3u * i;
    let scale = positive(x[b + 1u]);
    let freedom = 2.0 + positive(x[b + 2u]);
    let half = 0.5 * freedom;
    let z = (y[i] - x[b]) / scale;
    let ratio = z / sqrt(freedom);
    let far = abs(ratio) > 1e4;
    let q = select(ratio, 0.0, far) * select(ratio, 0.0, far);
    let long = select(log_1p(q), 2.0 * log(abs(ratio)), far);
    let share = select(q / (1.0 + q), 1.0, far);
    let inside = 0.5 / half;
    let rest = log_1p_rest(inside, 1.0 + inside);
    let norm = stirling_rest(half + 0.5) - stirling_rest(half) + half * rest;
    let loss = 0.5 * (freedom + 1.0) * long + log(scale) + HALF_LOG_2PI - norm;
    let pull = select((freedom + 1.0) / freedom * (z / (1.0 + q)), (freedom + 1.0) / z, far);
    // log(1+q) - q/(1+q), in which q itself cancels.
    let bend = select(long - share, log_1p_rest(q, 1.0 + q) + q * share, q < 0.4 && !far);
    let by_freedom = 0.5 * (bend - digamma_step(half, 0.5) - rest) - 0.5 * share / freedom;
    return Single(loss, vec3(
        -pull / scale,
        (1.0 - (freedom + 1.0) * share) / scale * sigmoid1(x[b + 1u]),
        by_freedom * sigmoid1(x[b + 2u]),
    ));
}

// By Loader's saddle point: no difference of large numbers (Fast and accurate computation of binomial
// probabilities, 2000), with r = 1/a.
fn negative_binomial_density(i: u32) -> Single {
    let b = 2u * i;
    let k = y[i];
    let mean = positive(x[b]);
    let shape = positive(x[b + 1u]);
    let r = 1.0 / shape;
    let all = r + k;
    let off = (k - mean) / (r + mean);
    let rest = log_1p_rest(off, all / (r + mean));
    var loss = r * log_1p(mean * shape);
    if k > 0.0 {
        let part = mean / (r + mean) * (all / k);
        loss = 0.5 * log(6.2831855 * k * (all / r)) + stirling_rest(r) + stirling_rest(k) - stirling_rest(all)
            - r * rest - k * log_1p_rest(-off * (r / k), part);
    }
    // No count is below 0.
    if k < 0.0 { loss = bitcast<f32>(0x7fc00000u | (i & 1u)); }
    let by_mean = (mean - k) / (mean * (1.0 + shape * mean)) * sigmoid1(x[b]);
    let by_shape = r * r * (rest + digamma_step(r, k)) * sigmoid1(x[b + 1u]);
    return Single(loss, vec3(keep_nan(loss, by_mean), keep_nan(loss, by_shape), 0.0));
}

fn single_density(i: u32) -> Single {
    if KIND == 0u { return normal_density(i); }
    if KIND == 1u { return student_density(i); }
    return negative_binomial_density(i);
}

// How far a target is from a mean, in deviations.
struct Place { z: f32, deviation: f32 }

fn place_of(i: u32, k: u32, d: u32) -> Place {
    let at = i * dims.outputs + dims.components + k * dims.axes + d;
    let deviation = positive(x[at + dims.components * dims.axes]);
    return Place((y[i * dims.targets + d] - x[at]) / deviation, deviation);
}

// A correlation: itself, 1 less its square, and its slope.
struct Correlation { value: f32, rest: f32, slope: f32 }

fn correlation_of(i: u32, k: u32) -> Correlation {
    let t = tanh1(x[i * dims.outputs + 5u * dims.components + k]);
    let value = dims.most * t;
    return Correlation(value, (1.0 - value) * (1.0 + value), dims.most * (1.0 - t) * (1.0 + t));
}

// log of the density of a component.
fn component_density(i: u32, k: u32) -> f32 {
    var sum = 0.0;
    if KIND == 4u {
        let a = place_of(i, k, 0u);
        let b = place_of(i, k, 1u);
        let c = correlation_of(i, k);
        let square = a.z * a.z + b.z * b.z - 2.0 * c.value * a.z * b.z;
        return -0.5 * square / c.rest - log(a.deviation) - log(b.deviation) - 0.5 * log(c.rest)
            - 2.0 * HALF_LOG_2PI;
    }
    for (var d = 0u; d < dims.axes; d += 1u) {
        let p = place_of(i, k, d);
        sum -= 0.5 * p.z * p.z + log(p.deviation) + HALF_LOG_2PI;
    }
    return sum;
}

// log of a sum of exp, as it grows: the largest, and the sum over exp of it.
struct Exps { largest: f32, sum: f32 }

fn add_exp(all: Exps, t: f32) -> Exps {
    if t > all.largest { return Exps(t, all.sum * exp(all.largest - t) + 1.0); }
    return Exps(all.largest, all.sum + exp(t - all.largest));
}

// Of the logits, and of the logits plus the components' densities.
struct Both { logits: Exps, joint: Exps }

fn both_of(i: u32) -> Both {
    var both = Both(Exps(LOWEST, 0.0), Exps(LOWEST, 0.0));
    for (var k = 0u; k < dims.components; k += 1u) {
        let logit = x[i * dims.outputs + k];
        both.logits = add_exp(both.logits, logit);
        both.joint = add_exp(both.joint, logit + component_density(i, k));
    }
    return both;
}
