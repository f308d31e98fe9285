// lstm_sequence_bwd: all timesteps of an LSTM layer's backward pass in one dispatch.
//
//   d_h = d_y + d_a[t+1] R^T    then the cell's backward, from the last step to the first
//
// Shapes  lstm/parts/backward.wgsl
// Grid    ceil(b/4), 1, ways: a workgroup takes 4 rows through all steps, an invocation one unit;
//         d_a in shared memory, d_c in registers, R^T from the cache
// Twin    src/ops/lstm/cpu/

override WG: u32;  // invocations, at least H
override H: u32;

var<workgroup> d_a: array<mat4x4<f32>, H>;  // [H][4 gates] of 4 rows

fn multiply(unit: u32) -> vec4<f32> {
    let column = way * dims.r_way + unit;
    var d_h = vec4(0.0);
    for (var u = 0u; u < H; u++) { d_h += d_a[u] * vec4<f32>(rt[u * H + column]); }
    return d_h;
}

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) unit: u32,
) {
    way = group.z;
    let row = dealt(group.x, groups.x) * 4u;
    var d_c = vec4(0.0);
    if unit < H { d_c = d_c_after(row, unit); }
    // The first row is the longest.
    let steps = find_row(row).steps;
    for (var back = 0u; back < steps; back++) {
        var d_h = vec4(0.0);
        if unit < H && back > 0u { d_h = multiply(unit); }
        workgroupBarrier();
        if unit < H {
            let carry = differentiate4(row, steps - 1u - back, unit, d_h, d_c);
            d_a[unit] = carry.d_a;
            d_c = carry.d_c;
        }
        workgroupBarrier();
    }
    if unit < H {
        var d_h = vec4(0.0);
        if dims.before != 0u { d_h = multiply(unit); }
        end4(row, unit, d_h, d_c);
    }
}
