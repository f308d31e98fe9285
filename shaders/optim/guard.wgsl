// guard: what an optimizer's step multiplies by, if no gradient of this step or of one before was not finite;
// else there is no step.
//
//   factors = 1, x, y, z, as of step_factors; or its first is 0
//
// Shapes  state: [4]: the steps made; two that are not used; as bits, whether a gradient was not finite, as
//         loss_scale_check notes it; factors: [4]
// Grid    1, 1, 1
// Twin    src/ops/optim/guard.rs

struct Dims { x: f32, y: f32, z: f32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read_write> state: array<f32>;    // [4]
@group(0) @binding(2) var<storage, read_write> factors: array<f32>;  // [4]

@compute @workgroup_size(1)
fn main() {
    let good = select(0.0, 1.0, bitcast<u32>(state[3]) == 0u);
    state[0] += good;
    factors[0] = good;
    factors[1] = dims.x;
    factors[2] = dims.y;
    factors[3] = dims.z;
}
