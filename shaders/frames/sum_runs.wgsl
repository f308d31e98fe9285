// sum_runs: the sums of the frames of some runs.
//
// Shapes  x: [..,C]; runs: [..,2]: first frame, and behind the last, of which those from `first` on are
//         taken; y: [S,C]
// Grid    elementwise, n = S*C
// Twin    src/ops/frames/gather.rs

struct Dims { n: u32, c: u32, first: u32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<f32>;        // [..,C]
@group(0) @binding(2) var<storage, read> runs: array<u32>;     // [..,2]
@group(0) @binding(3) var<storage, read_write> y: array<f32>;  // [S,C]

fn element(i: u32) {
    let run = 2u * (dims.first + i / dims.c);
    let end = runs[run + 1u];
    var part = 0.0;
    var all = LongSum();
    var number = 0u;
    for (var frame = runs[run]; frame < end; frame++) {
        part += x[frame * dims.c + i % dims.c];
        number++;
        if number % PART == 0u {
            add_part(&all, part);
            part = 0.0;
        }
    }
    y[i] = all_parts(all) + part;
}
