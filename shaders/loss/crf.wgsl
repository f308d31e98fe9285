// crf: loss = scale * (log of the sum of e^score over all paths of tags - score of the row's own path).
//
//   score      first[y_0] + sum of emission[i,y_i] + sum of step[y_i-1,y_i] + last[y_n-1]
//
// It is summed frame by frame, what all paths gain less what the own one does, so that it keeps its digits.
//
//   log[i,k]   log(sum over s of e^(alpha[i-1,s] + step[s,k])), for i = 0 first[k]
//
// Shapes  as in loss/parts/crf.wgsl and crf_chain.wgsl; alphas: [B,2,K], of this frame and the one
//         before; loss: [B], 0 of a row without a chain
// Grid    rowwise, n = B; the invocations take the tags
// Twin    src/ops/loss/crf/chain.rs
// Source  Lafferty, McCallum & Pereira 2001; Rabiner 1989, section III and V.A

@group(0) @binding(4) var<storage, read_write> logs: array<f32>;    // [B,T,K+1]
@group(0) @binding(5) var<storage, read_write> alphas: array<f32>;  // [B,2,K]
@group(0) @binding(6) var<storage, read_write> loss: array<f32>;    // [B]

const LOWEST: f32 = -3e38;

// The logarithm of what leads to a tag of the i-th frame.
fn leading(row: u32, i: u32, tag: u32) -> f32 {
    if i == 0u { return at_first(tag); }
    let before = (2u * row + (i + 1u) % 2u) * dims.k;
    var largest = LOWEST;
    for (var s = 0u; s < dims.k; s++) { largest = max(largest, alphas[before + s] + score_of(s, tag)); }
    var sum = 0.0;
    // A NaN comes through here, whatever the maximum made of it.
    for (var s = 0u; s < dims.k; s++) { sum += exp1(alphas[before + s] + score_of(s, tag) - largest); }
    return largest + log1(sum);
}

// What the row's own path gains at the i-th frame.
fn own(row: u32, i: u32) -> f32 {
    let tag = tag_of(row, i);
    let e = emission(place_of(row, i), tag);
    if i == 0u { return e + at_first(tag); }
    return e + score_of(tag_of(row, i - 1u), tag);
}

fn take_row(row: u32, lane: u32) {
    let frames = frames_of(row);
    var gained = LongSum();
    for (var i = 0u; i < dims.t; i++) {
        let counts = i < frames;
        let at = log_at(row, i);
        var most = LOWEST;
        if counts {
            let place = place_of(row, i);
            for (var k = lane; k < dims.k; k += 64u) {
                let log = leading(row, i, k);
                logs[at + k] = log;
                most = larger(most, log + emission(place, k));
            }
        }
        let peak = workgroup_max(lane, most);
        if counts {
            let place = place_of(row, i);
            let now = (2u * row + i % 2u) * dims.k;
            for (var k = lane; k < dims.k; k += 64u) { alphas[now + k] = logs[at + k] + emission(place, k) - peak; }
            if lane == 0u {
                logs[at + dims.k] = peak;
                add_part(&gained, peak - own(row, i));
            }
        }
        storageBarrier();
    }
    var most = LOWEST;
    if frames > 0u {
        for (var k = lane; k < dims.k; k += 64u) { most = larger(most, alpha(row, frames - 1u, k) + at_last(k)); }
    }
    most = workgroup_max(lane, most);
    var sum = 0.0;
    if frames > 0u {
        for (var k = lane; k < dims.k; k += 64u) { sum += exp1(alpha(row, frames - 1u, k) + at_last(k) - most); }
    }
    sum = workgroup_sum(lane, sum);
    if lane == 0u {
        var value = 0.0;
        if frames > 0u {
            value = scale_of(row) * (all_parts(gained) + (most - at_last(tag_of(row, frames - 1u)) + log1(sum)));
        }
        loss[row] = value;
    }
}
