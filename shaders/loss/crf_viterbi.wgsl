// crf_viterbi: the best path of tags of each row, and its score.
//
//   best[i,k] = emission[i,k] + max over s of (best[i-1,s] + step[s,k]), less the peak of the frame
//
// Of equally good ways the one by the lowest tag is taken, from the last frame to the first.
//
// Shapes  as in loss/parts/crf.wgsl; best: [B,2,K], of this frame and the one before; ways: [B,T,K]; score: [B];
//         answers: [B,T,3]: 0 if the tag is the row's own, else 1; 0; the tag. A row with a NaN has 3e38, 0, -1 at each
//         frame, and so has what is not in the chain
// Grid    rowwise, n = B; one invocation goes back along the path
// Twin    src/ops/loss/crf/viterbi.rs
// Source  Viterbi 1967; Rabiner 1989, section III.B

@group(0) @binding(4) var<storage, read_write> best: array<f32>;     // [B,2,K]
@group(0) @binding(5) var<storage, read_write> ways: array<u32>;     // [B,T,K]
@group(0) @binding(6) var<storage, read_write> answers: array<f32>;  // [B,T,3]
@group(0) @binding(7) var<storage, read_write> score: array<f32>;    // [B]

const NOWHERE = 3e38;

fn answer(place: u32, rank: f32, tag: f32) {
    answers[3u * place] = rank;
    answers[3u * place + 1u] = 0.0;
    answers[3u * place + 2u] = tag;
}

// Whether v is to be taken instead of `most`: a NaN is, and stays.
fn is_better(v: f32, most: f32) -> bool { return is_nan(v) || (v > most && !is_nan(most)); }

fn take_row(row: u32, lane: u32) {
    let frames = frames_of(row);
    for (var t = lane; t < dims.t; t += 64u) { answer(row * dims.t + t, NOWHERE, -1.0); }
    var gained = LongSum();
    for (var i = 0u; i < dims.t; i++) {
        let counts = i < frames;
        let now = (2u * row + i % 2u) * dims.k;
        let before = (2u * row + (i + 1u) % 2u) * dims.k;
        var most = -3e38;
        if counts {
            let place = place_of(row, i);
            for (var k = lane; k < dims.k; k += 64u) {
                var value = at_first(k);
                var way = 0u;
                if i > 0u {
                    value = best[before] + score_of(0u, k);
                    for (var s = 1u; s < dims.k; s++) {
                        let v = best[before + s] + score_of(s, k);
                        if is_better(v, value) {
                            value = v;
                            way = s;
                        }
                    }
                }
                value += emission(place, k);
                best[now + k] = value;
                ways[(row * dims.t + i) * dims.k + k] = way;
                most = larger(most, value);
            }
        }
        let peak = workgroup_max(lane, most);
        if counts {
            for (var k = lane; k < dims.k; k += 64u) { best[now + k] -= peak; }
            add_part(&gained, peak);
        }
        storageBarrier();
    }
    if lane == 0u {
        var total = 0.0;
        if frames > 0u {
            let now = (2u * row + (frames - 1u) % 2u) * dims.k;
            var tag = 0u;
            var most = best[now] + at_last(0u);
            for (var k = 1u; k < dims.k; k++) {
                let v = best[now + k] + at_last(k);
                if is_better(v, most) {
                    most = v;
                    tag = k;
                }
            }
            total = all_parts(gained) + most;
            // A row with a NaN answers nothing.
            for (var i = select(frames, 0u, is_nan(total)); i > 0u; i--) {
                answer(place_of(row, i - 1u), select(1.0, 0.0, tag == tag_of(row, i - 1u)), f32(tag));
                tag = ways[(row * dims.t + i - 1u) * dims.k + tag];
            }
        }
        score[row] = total;
    }
}
