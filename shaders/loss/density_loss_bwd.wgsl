// density_loss_bwd: d_x = -d_loss * scale * w * d log p(y) / d x, for each group: see parts/density_loss.wgsl.
//
// Shapes  x, d_x: [n,outputs]; y: [n,targets]; weights: [n/each]; d_loss: [1]. Without WEIGHTS w = 1.
// Grid    elementwise, n groups
// Twin    src/ops/loss/density_loss/mod.rs

@group(0) @binding(4) var<storage, read> d_loss: array<f32>;     // [1]
@group(0) @binding(5) var<storage, read_write> d_x: array<f32>;  // [n,outputs]

var<private> factor: f32;
var<private> bad: f32;
var<private> skip: bool;

fn write(at: u32, slope: f32) {
    d_x[at] = select(factor * select(slope, bad, is_nan(bad)), 0.0, skip);
}

fn element(i: u32) {
    factor = d_loss[0] * dims.scale;
    skip = false;
    if WEIGHTS {
        factor *= weights[i / dims.each];
        skip = weights[i / dims.each] == 0.0;
    }
    bad = nan_of(i);
    let begin = i * dims.outputs;
    if KIND < 3u {
        let slopes = single_density(i).slopes;
        for (var j = 0u; j < dims.outputs; j += 1u) { write(begin + j, slopes[j]); }
        return;
    }
    let both = both_of(i);
    for (var k = 0u; k < dims.components; k += 1u) {
        let logit = x[begin + k];
        // The share of the component before the targets are known, and after.
        let share = exp(logit - both.logits.largest) / both.logits.sum;
        let after = exp(logit + component_density(i, k) - both.joint.largest) / both.joint.sum;
        write(begin + k, share - after);
        if KIND == 4u { write_stroke(i, k, after); } else { write_component(i, k, after); }
    }
    if KIND == 4u {
        let end = begin + dims.outputs - 1u;
        write(end, sigmoid1(x[end]) - y[3u * i + 2u]);
    }
}

fn write_component(i: u32, k: u32, after: f32) {
    let size = dims.components * dims.axes;
    for (var d = 0u; d < dims.axes; d += 1u) {
        let at = i * dims.outputs + dims.components + k * dims.axes + d;
        let p = place_of(i, k, d);
        write(at, -after * p.z / p.deviation);
        write(at + size, after * (1.0 - p.z * p.z) / p.deviation * sigmoid1(x[at + size]));
    }
}

fn write_stroke(i: u32, k: u32, after: f32) {
    let a = place_of(i, k, 0u);
    let b = place_of(i, k, 1u);
    let c = correlation_of(i, k);
    let pull = vec2(a.z - c.value * b.z, b.z - c.value * a.z) / c.rest;
    let at = i * dims.outputs + dims.components + 2u * k;
    let scales = at + 2u * dims.components;
    write(at, -after * pull.x / a.deviation);
    write(at + 1u, -after * pull.y / b.deviation);
    write(scales, after * (1.0 - a.z * pull.x) / a.deviation * sigmoid1(x[scales]));
    write(scales + 1u, after * (1.0 - b.z * pull.y) / b.deviation * sigmoid1(x[scales + 1u]));
    let square = a.z * pull.x + b.z * pull.y;
    let by = (c.value * (square - 1.0) - a.z * b.z) / c.rest;
    write(i * dims.outputs + 5u * dims.components + k, after * by * c.slope);
}
