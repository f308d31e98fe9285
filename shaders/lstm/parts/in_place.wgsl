// The LSTM's backward pass, where no workgroup waits for another: d_a takes the place of the
// gates. Shapes are in lstm/parts/backward.wgsl.

@group(0) @binding(7) var<storage, read> peepholes: array<vec4<f32>>;          // [ways,H]
@group(0) @binding(8) var<storage, read_write> d_peepholes: array<vec4<f32>>;  // [ways,B,H]

fn keep_d_a(at: u32, d_a: vec4<f32>) { gates[at] = Gates(d_a); }

fn add_d_peepholes(at: u32, d: vec4<f32>) { d_peepholes[at] += d; }
