// crf_bwd: the gradient of the scores of each row, by the marginals q.
//
//   d[from,to] = d_loss * scale * sum over i of (q[i,to] e^(alpha[i-1,from] + step[from,to] - log[i,to])
//                                                - 1 if the row's own path goes from `from` to `to`)
//   d[K,k]     = d_loss * scale * (q[0,k] - 1 if k is the row's first tag);  d[K+1,k]: of the last one
//
// Shapes  as in loss/parts/crf.wgsl and crf_chain.wgsl; d_scores: [B,K+2,K]
// Grid    elementwise, n = B*(K+2)*K
// Twin    src/ops/loss/crf/chain.rs

@group(0) @binding(4) var<storage, read> logs: array<f32>;            // [B,T,K+1]
@group(0) @binding(5) var<storage, read> d_loss: array<f32>;          // [B] or [1]
@group(0) @binding(6) var<storage, read> q: array<f32>;               // [B,T,K]
@group(0) @binding(7) var<storage, read_write> d_scores: array<f32>;  // [B,K+2,K]

// Of the tag at an end of the chain.
fn at_end(row: u32, i: u32, tag: u32) -> f32 {
    return q[place_of(row, i) * dims.k + tag] - select(0.0, 1.0, tag_of(row, i) == tag);
}

fn element(at: u32) {
    let to = at % dims.k;
    let from_ = at / dims.k % (dims.k + 2u);
    let row = at / dims.k / (dims.k + 2u);
    let frames = frames_of(row);
    var d = 0.0;
    if frames > 0u {
        if from_ == dims.k {
            d = at_end(row, 0u, to);
        } else if from_ > dims.k {
            d = at_end(row, frames - 1u, to);
        } else {
            let score = score_of(from_, to);
            var sum = LongSum();
            for (var i = 1u; i < frames; i++) {
                let both = alpha(row, i - 1u, from_) + score - logs[log_at(row, i) + to];
                let own = tag_of(row, i) == to && tag_of(row, i - 1u) == from_;
                add_part(&sum, q[place_of(row, i) * dims.k + to] * exp1(min(0.0, both)) - select(0.0, 1.0, own));
            }
            d = all_parts(sum);
        }
        d *= d_loss[row * dims.each] * scale_of(row);
    }
    d_scores[at] = d;
}
