// ctc_bwd: the gradient of the logits.
//
//   beta[t,s] = log(sum over the states n that may follow s of e^(beta[t+1,n] + lp[t+1,label(n)]))
//   d_x[t,k]  = d_loss * scale * (e^lp[t,k] - sum over s with label k of e^(alpha + beta - total))
//
// Shapes  as in loss/parts/ctc.wgsl; alpha: [B,T,2L+1]; beta: [B,2,2L+1], of this frame and the next;
//         d_loss: [B], or [1] of the sum; d_x: [B,T,C], 0 past a row's end
// Grid    rowwise, n = B
// Twin    src/ops/loss/ctc.rs
// Source  Graves et al. 2006, equation 16

@group(0) @binding(5) var<storage, read> alpha: array<f32>;       // [B,T,2L+1]
@group(0) @binding(6) var<storage, read> d_loss: array<f32>;      // [B] or [1]
@group(0) @binding(7) var<storage, read_write> beta: array<f32>;  // [B,2,2L+1]
@group(0) @binding(8) var<storage, read_write> d_x: array<f32>;   // [B,T,C]

fn take_row(row: u32, lane: u32) {
    let factor = d_loss[row * dims.each] * scales[row];
    let counted = select(rows[2u * row], 0u, scales[row] == 0.0);
    var frames = counted;
    let count = rows[2u * row + 1u];
    let states = 2u * count + 1u;
    let stride = 2u * dims.longest + 1u;
    var total = 0.0;
    if frames > 0u {
        let last = (row * dims.t + frames - 1u) * stride + states - 1u;
        var other = NEVER;
        if states > 1u { other = alpha[last - 1u]; }
        total = log_sum(alpha[last], other, NEVER);
        if is_never(total) { frames = 0u; }
    }
    for (var back = 0u; back < dims.t; back++) {
        let t = dims.t - 1u - back;
        let now = (row * 2u + t % 2u) * stride;
        let next = (row * 2u + (t + 1u) % 2u) * stride;
        let logits = (row * dims.t + t) * dims.c;
        if t < frames {
            for (var s = lane; s < states; s += 64u) {
                var sum = select(NEVER, 0.0, s + 2u >= states);
                if t + 1u < frames {
                    var one = NEVER;
                    var two = NEVER;
                    if s + 1u < states { one = at_least(beta[next + s + 1u] + log_of(row, t + 1u, s + 1u)); }
                    if s + 2u < states && skips(row, s + 2u) {
                        two = at_least(beta[next + s + 2u] + log_of(row, t + 1u, s + 2u));
                    }
                    sum = log_sum(at_least(beta[next + s] + log_of(row, t + 1u, s)), one, two);
                }
                beta[now + s] = sum;
            }
            for (var k = lane; k < dims.c; k += 64u) { d_x[logits + k] = factor * exp1(lp[logits + k]); }
        } else {
            // Of a row that no path says, or behind a row's end.
            let d = select(0.0, dims.slope, t < counted);
            for (var k = lane; k < dims.c; k += 64u) { d_x[logits + k] = d; }
        }
        storageBarrier();
        // Each class has one invocation, which goes from label to label: the sums keep their order.
        let path = (row * dims.t + t) * stride;
        var blanks = 0.0;
        if t < frames {
            for (var s = 2u * lane; s < states; s += 128u) {
                blanks += exp1(alpha[path + s] + beta[now + s] - total);
            }
        }
        blanks = workgroup_sum(lane, blanks);
        if t < frames {
            if lane == 0u { d_x[logits + dims.blank] -= factor * blanks; }
            for (var i = lane; i < count; i += 64u) {
                let entry = (row * dims.longest + i) * 3u;
                if labels[entry + 1u] == 1u {
                    var sum = 0.0;
                    var at = i + 1u;
                    while at != 0u {
                        let s = 2u * at - 1u;
                        sum += exp1(alpha[path + s] + beta[now + s] - total);
                        at = labels[(row * dims.longest + at - 1u) * 3u + 2u];
                    }
                    d_x[logits + labels[entry]] -= factor * sum;
                }
            }
        }
        storageBarrier();
    }
}
