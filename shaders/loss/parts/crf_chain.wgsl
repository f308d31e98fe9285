// What the passes of a linear-chain CRF save and read. Behind loss/parts/crf.wgsl.
//
//   log[i,k]    log of the sum over all ways to tag k of the i-th frame of the chain, without that frame's emission,
//               less the peaks of the frames before
//   alpha[i,k]  log[i,k] + emission[i,k] - peak[i], so that the largest is 0: a row may be as long as it likes
//
// `logs`: [B,T,K+1], a frame's peak behind its logarithms.

fn log_at(row: u32, i: u32) -> u32 { return (row * dims.t + i) * (dims.k + 1u); }

// Made anew from what is saved, with the same bits each time.
fn alpha(row: u32, i: u32, tag: u32) -> f32 {
    let at = log_at(row, i);
    return logs[at + tag] + emission(place_of(row, i), tag) - logs[at + dims.k];
}
