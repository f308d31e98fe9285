// gemm_rows: C = op(A) op(B) (+ bias) (+ C) for up to 8 rows. For hardware GPUs, which read B once
// whatever the rows, and need more workgroups than there are tiles of so few.
//
// Shapes  gemm/parts/gemm.wgsl
// Grid    ceil(N/32), ceil(M/8), slices * batch: a workgroup of 32 columns x 8 parts of the sums: part p has
//         k = p, p + 8, ..; parts are added up in a fixed order
// Twin    src/ops/gemm/cpu.rs

const PARTS = 8u;

var<workgroup> low_parts: array<vec4<f32>, 256>;   // [PARTS][32 columns] of rows 0 to 3
var<workgroup> high_parts: array<vec4<f32>, 256>;  // of rows 4 to 7

// Of 4 rows from `row` on; of those past the last one anything.
fn load_rows(row: u32, k: u32) -> vec4<f32> {
    let last = dims.m - 1u;
    return vec4(
        load_a(min(row, last), k), load_a(min(row + 1u, last), k),
        load_a(min(row + 2u, last), k), load_a(min(row + 3u, last), k),
    );
}

@compute @workgroup_size(32, 8)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) id: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let slice = begin(group.z);
    let row = group.y * 8u;
    let column = group.x * 32u + id.x;
    let here = min(column, dims.n - 1u);
    let rows = min(dims.m - row, 8u);
    let first = slice * dims.k_slice + id.y;
    let k_end = min(dims.k, (slice + 1u) * dims.k_slice);
    var low = vec4(0.0);
    var high = vec4(0.0);
    // The same for all of a workgroup: one row alone costs one load of A.
    if rows == 1u {
        for (var k = first; k < k_end; k += PARTS) { low.x += load_a(row, k) * load_b(k, here); }
    } else {
        for (var k = first; k < k_end; k += PARTS) {
            let value = load_b(k, here);
            low += load_rows(row, k) * value;
            if rows > 4u { high += load_rows(row + 4u, k) * value; }
        }
    }
    low_parts[lane] = low;
    high_parts[lane] = high;
    workgroupBarrier();
    for (var stride = PARTS / 2u; stride > 0u; stride /= 2u) {
        if id.y < stride {
            low_parts[lane] += low_parts[lane + stride * 32u];
            high_parts[lane] += high_parts[lane + stride * 32u];
        }
        workgroupBarrier();
    }
    // An invocation for each row.
    if column < dims.n && id.y < rows {
        let sums = select(low_parts[id.x], high_parts[id.x], id.y >= 4u);
        put_slice(slice, row + id.y, column, sums[id.y % 4u]);
    }
}
