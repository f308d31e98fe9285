// ctc: loss = -scale * log of the probability of all paths that say the row's labels.
//
//   alpha[t,s] = lp[t,label(s)] + log(e^alpha[t-1,s] + e^alpha[t-1,s-1] + e^alpha[t-1,s-2])
//
// Shapes  as in loss/parts/ctc.wgsl; alpha: [B,T,2L+1], loss: [B]
// Grid    rowwise, n = B; the invocations take its states
// Twin    src/ops/loss/ctc.rs
// Source  Graves et al. 2006, section 4.1

@group(0) @binding(5) var<storage, read_write> alpha: array<f32>;  // [B,T,2L+1]
@group(0) @binding(6) var<storage, read_write> loss: array<f32>;   // [B]

fn take_row(row: u32, lane: u32) {
    let scale = scales[row];
    let frames = select(rows[2u * row], 0u, scale == 0.0);
    let states = 2u * rows[2u * row + 1u] + 1u;
    let stride = 2u * dims.longest + 1u;
    for (var t = 0u; t < dims.t; t++) {
        let now = (row * dims.t + t) * stride;
        if t < frames {
            for (var s = lane; s < states; s += 64u) {
                var sum = select(NEVER, 0.0, s < 2u);
                if t > 0u {
                    let before = now - stride + s;
                    var one = NEVER;
                    var two = NEVER;
                    if s > 0u { one = alpha[before - 1u]; }
                    if skips(row, s) { two = alpha[before - 2u]; }
                    sum = log_sum(alpha[before], one, two);
                }
                alpha[now + s] = at_least(sum + log_of(row, t, s));
            }
        }
        storageBarrier();
    }
    if lane == 0u {
        // The one path of no frames says nothing.
        var value = select(dims.impossible, 0.0, scale == 0.0 || states == 1u);
        if frames > 0u {
            let last = (row * dims.t + frames - 1u) * stride + states - 1u;
            var other = NEVER;
            if states > 1u { other = alpha[last - 1u]; }
            let total = log_sum(alpha[last], other, NEVER);
            value = -scale * total;
            if is_never(total) { value = dims.impossible; }
        } else if scale != 0.0 && states > 1u {
            value = dims.impossible;
        }
        loss[row] = value;
    }
}
