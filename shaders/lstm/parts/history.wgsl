// The LSTM's forward pass, where no workgroup waits for another: the states before each step as
// plain floats. Shapes are in lstm/parts/forward.wgsl.

@group(0) @binding(3) var<storage, read_write> h_before: array<f32>;   // [frames,H]
@group(0) @binding(8) var<storage, read> peepholes: array<vec4<f32>>;  // [ways,H]

// Where a schedule hands the state on in these, they are there.
fn keep_before(at: u32, step: u32, h: f32, c: f32) {
    if HANDED_ON && step > 0u { return; }
    h_before[at] = h;
    keep_c(at, c);
}
