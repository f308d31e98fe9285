// density_loss: loss = -scale * w * log p(y), for each group: see parts/density_loss.wgsl.
//
// Shapes  x: [n,outputs]; y: [n,targets]; weights: [n/each]; loss: [n]. Without WEIGHTS w = 1.
// Grid    elementwise, n groups
// Twin    src/ops/loss/density_loss/mod.rs

@group(0) @binding(4) var<storage, read_write> loss: array<f32>;  // [n]

fn element(i: u32) {
    var value = 0.0;
    if KIND < 3u {
        value = single_density(i).loss;
    } else {
        let both = both_of(i);
        value = both.logits.largest - both.joint.largest + log(both.logits.sum) - log(both.joint.sum);
        if KIND == 4u {
            let logit = x[(i + 1u) * dims.outputs - 1u];
            value += positive(logit) - dims.floor - y[3u * i + 2u] * logit;
        }
    }
    let bad = nan_of(i);
    value = keep_nan(bad, value);
    if is_nan(bad) { value = bad; }
    value *= dims.scale;
    if WEIGHTS {
        let w = weights[i / dims.each];
        // A row of weight 0 is padding: whatever it holds does not count.
        value = select(w * value, 0.0, w == 0.0);
    }
    loss[i] = value;
}
