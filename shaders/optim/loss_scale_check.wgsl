// loss_scale_check: notes whether a gradient is not finite.
//
// Shapes  g: [N]; state: [4] of loss_scale_update, whose last is then 1
// Grid    elementwise, n = ceil(N/4): four of them
// Twin    src/ops/optim/loss_scale.rs

struct Dims { n: u32, numbers: u32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> g: array<u32>;                    // [N], as bits
@group(0) @binding(2) var<storage, read_write> state: array<atomic<u32>>;  // [4]

fn element(four: u32) {
    let first = 4u * four;
    var bad = false;
    for (var i = first; i < min(first + 4u, dims.numbers); i++) {
        // By its bits: a compiler may take every number for finite.
        bad = bad || (g[i] & 0x7f800000u) == 0x7f800000u;
    }
    if bad { atomicStore(&state[3], 1u); }
}
