// What lstm/parts/gates.wgsl has, where nothing is kept and the workgroups of lstm_persistent make themselves what the
// input adds. A team's rows are one tile, and its sums are made a block of AHEAD steps at a
// time, while h of the step before is on its way: an invocation has four of them for each weight that it loads.
//
// The terms of a sum come in the order of gemm/gemm_tile.wgsl and its like, the bias last: it has the same bits.
//
// Shapes  x: [all frames,I]; w: of each way [I,H] of 4 from dims.w_at on, w_way apart, and a bias, [H] of 4, from
//         dims.bias_at on, bias_way apart, if that is not NONE

const FUSED = true;

override AHEAD: u32;  // steps: 4 SPLIT / TILE
override SUMS: u32;   // AHEAD TILE UNITS

@group(0) @binding(1) var<storage, read> x: array<f32>;        // [all frames,I]
@group(0) @binding(4) var<storage, read> w: array<vec4<f32>>;  // see above

var<workgroup> sums: array<vec4<f32>, SUMS>;  // [AHEAD][TILE][UNITS]

// Where the input of this step begins; of a step past a row's end, of one that is there.
fn x_place(row: Row, step: u32) -> u32 {
    // `rows` counts a row's frames from its first step.
    let first = row.start - way * dims.frames + dims.first_frame + dims.first_step;
    return (first + frame(row, step)) * dims.inputs;
}

fn weight_ih(k: u32, unit: u32) -> vec4<f32> {
    return w[dims.w_at + way * dims.w_way + k * H + min(unit, H - 1u)];
}

fn with_bias(sum: vec4<f32>, unit: u32) -> vec4<f32> {
    if dims.bias_at == NONE { return sum; }
    return sum + w[dims.bias_at + way * dims.bias_way + min(unit, H - 1u)];
}

// W x + b of one step.
fn x_part(row: u32, step: u32, unit: u32) -> vec4<f32> {
    let at = x_place(find_row(row), step);
    var sum = vec4(0.0);
    for (var k = 0u; k < dims.inputs; k++) { sum += x[at + k] * weight_ih(k, unit); }
    return with_bias(sum, unit);
}

// The same of the steps from `first` on, of all rows of a team: four of its sums. A barrier has to follow, and one
// to come before.
fn make_sums(first: u32, part: u32, column: u32, unit: u32) {
    //@ for i in 0..4
    let at$i = x_place(team_row[(4u * part + $iu) % TILE], first + (4u * part + $iu) / TILE);
    var sum$i = vec4(0.0);
    //@ end
    var k = 0u;
    // All that four terms need is on its way before the first is added.
    for (; k + 3u < dims.inputs; k += 4u) {
        //@ for j in 0..4
        let w$j = weight_ih(k + $ju, unit);
        //@ for i in 0..4
        let x$j$i = x[at$i + k + $ju];
        //@ end
        //@ end
        //@ for j in 0..4
        //@ for i in 0..4
        sum$i += x$j$i * w$j;
        //@ end
        //@ end
    }
    for (; k < dims.inputs; k++) {
        let w0 = weight_ih(k, unit);
        //@ for i in 0..4
        sum$i += x[at$i + k] * w0;
        //@ end
    }
    //@ for i in 0..4
    sums[(4u * part + $iu) * UNITS + column] = with_bias(sum$i, unit);
    //@ end
}

// Of step `step` of a block, of the row that an invocation finishes.
fn made_sum(part: u32, step: u32, column: u32) -> vec4<f32> {
    return sums[(step * TILE + part % TILE) * UNITS + column];
}

fn keep_gates(at: u32, values: vec4<f32>) {}

fn keep_c(at: u32, c: f32) {}
