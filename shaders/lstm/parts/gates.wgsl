// What the LSTM's forward pass has in memory of each step of each unit: what the input adds to its gates, in whose place
// come the gates, and c. Shapes are in lstm/parts/forward.wgsl.

@group(0) @binding(1) var<storage, read_write> gates: array<Gates>;   // [frames,H]
@group(0) @binding(4) var<storage, read_write> c_before: array<f32>;  // [frames,H]

// W x + b; past a row's end anything.
fn x_part(row: u32, step: u32, unit: u32) -> vec4<f32> {
    return vec4<f32>(gates[place(find_row(row), step, unit)]);
}

fn keep_gates(at: u32, values: vec4<f32>) { gates[at] = Gates(values); }

fn keep_c(at: u32, c: f32) { c_before[at] = c; }

// In the place of lstm/parts/fused.wgsl: no workgroup makes what the input adds.
const FUSED = false;
const AHEAD = 1u;
fn make_sums(first: u32, part: u32, column: u32, unit: u32) {}
fn made_sum(part: u32, step: u32, column: u32) -> vec4<f32> { return vec4(0.0); }
