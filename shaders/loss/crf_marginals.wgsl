// crf_marginals: the probability of each tag at each frame over all paths, from the last frame to the first; and the
// gradient of the emissions, if GRADIENT.
//
//   q[n-1,k] = softmax(alpha[n-1,k] + last[k])
//   q[i,k]   = sum over s of q[i+1,s] e^(alpha[i,k] + step[k,s] - log[i+1,s])
//   d_x[i,k] = d_loss * scale * (q[i,k] - 1 if k is the row's own tag)
//
// The exponential is the probability of tag k before tag s. Each q is divided by its sum, so that no rounding adds up.
//
// Shapes  as in loss/parts/crf.wgsl and crf_chain.wgsl; d_loss: [B], or [1] of the sum; q, d_x: [B,T,K], which hold 0:
//         frames that are not in the chain keep it
// Grid    rowwise, n = B
// Twin    src/ops/loss/crf/chain.rs
// Source  Rabiner 1989, section III.A

override GRADIENT: bool;

@group(0) @binding(4) var<storage, read> logs: array<f32>;       // [B,T,K+1]
@group(0) @binding(5) var<storage, read> d_loss: array<f32>;     // [B] or [1]
@group(0) @binding(6) var<storage, read_write> q: array<f32>;    // [B,T,K]
@group(0) @binding(7) var<storage, read_write> d_x: array<f32>;  // [B,T,K]

fn take_row(row: u32, lane: u32) {
    let frames = frames_of(row);
    var factor = 0.0;
    if GRADIENT { factor = d_loss[row * dims.each] * scale_of(row); }
    var most = -3e38;
    if frames > 0u {
        for (var k = lane; k < dims.k; k += 64u) { most = larger(most, alpha(row, frames - 1u, k) + at_last(k)); }
    }
    most = workgroup_max(lane, most);
    for (var back = 0u; back < dims.t; back++) {
        let i = dims.t - 1u - back;
        let counts = i < frames;
        var sum = 0.0;
        var at = 0u;
        if counts {
            at = place_of(row, i) * dims.k;
            for (var k = lane; k < dims.k; k += 64u) {
                var p = 0.0;
                if i + 1u == frames {
                    p = exp1(alpha(row, i, k) + at_last(k) - most);
                } else {
                    let next = place_of(row, i + 1u) * dims.k;
                    let log = log_at(row, i + 1u);
                    let own = alpha(row, i, k);
                    for (var s = 0u; s < dims.k; s++) { p += q[next + s] * exp1(min(0.0, own + score_of(k, s) - logs[log + s])); }
                }
                q[at + k] = p;
                sum += p;
            }
        }
        sum = workgroup_sum(lane, sum);
        if counts {
            let tag = tag_of(row, i);
            for (var k = lane; k < dims.k; k += 64u) {
                let p = q[at + k] / sum;
                q[at + k] = p;
                if GRADIENT { d_x[at + k] = factor * (p - select(0.0, 1.0, k == tag)); }
            }
        }
        storageBarrier();
    }
}
