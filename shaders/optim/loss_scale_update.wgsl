// loss_scale_update: what an optimizer's step multiplies gradients by, and the scale of the next.
//
//   all finite:  inverse = 1/scale, and after dims.growth such steps scale *= 2
//   else:        inverse = 0: no step; scale /= 2
//
// The scale stays between dims.least and dims.most.
//
// Shapes  state: [4]: scale; inverse; finite steps since the scale changed; as bits, whether
//         a gradient was not finite; count: [1], steps made
// Grid    1, 1, 1
// Twin    src/ops/optim/loss_scale.rs
// Source  Micikevicius et al. 2018, arXiv 1710.03740

struct Dims { growth: f32, least: f32, most: f32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read_write> state: array<f32>;  // [4]
@group(0) @binding(2) var<storage, read_write> count: array<f32>;  // [1]

@compute @workgroup_size(1)
fn main() {
    let scale = state[0];
    if bitcast<u32>(state[3]) != 0u {
        state[0] = max(scale * 0.5, dims.least);
        state[1] = 0.0;
        state[2] = 0.0;
        state[3] = 0.0;
        return;
    }
    let good = state[2] + 1.0;
    let grow = good >= dims.growth;
    state[0] = select(scale, min(scale * 2.0, dims.most), grow);
    state[1] = 1.0 / scale;
    state[2] = select(good, 0.0, grow);
    count[0] += 1.0;
}
