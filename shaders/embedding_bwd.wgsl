// embedding_bwd: d_table[v] += the sum of d_y over the places whose id is v, in their order.
//
// Shapes  ids: [n], as numbers or, with FLOAT, as floats; d_y: [n,E]; d_table: [V,E]. Places whose
//         id is `padding` count nothing.
// Grid    folded n: a workgroup of 64 takes a place, and does the work of all places with its id
//         if it is the first of them; no atomics, so that every run gives the same bits
// Parts   common/index.wgsl    Twin  src/ops/embedding.rs

override FLOAT: bool;

struct Dims { n: u32, rows: u32, size: u32, padding: u32 }

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(2) var<storage, read> d_y: array<f32>;
@group(0) @binding(3) var<storage, read_write> d_table: array<f32>;

var<workgroup> here: array<u32, 64>;

fn id_of(place: u32) -> u32 {
    let id = ids[place];
    if FLOAT {
        let value = bitcast<f32>(id);
        let is_row = value >= 0.0 && value < f32(dims.rows);
        return select(dims.rows, u32(select(0.0, value, is_row)), is_row);
    }
    return id;
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let place = linear_index(group, groups, 0u, 1u);
    if place >= dims.n { return; }
    let id = id_of(place);
    if id >= dims.rows || id == dims.padding { return; }
    var seen = 0u;
    for (var i = lane; i < place; i += 64u) { seen |= select(0u, 1u, id_of(i) == id); }
    here[lane] = seen;
    workgroupBarrier();
    for (var i = 0u; i < 64u; i++) { seen |= here[i]; }
    if seen != 0u { return; }
    for (var j = lane; j < dims.size; j += 64u) {
        var sum = d_table[id * dims.size + j];
        for (var i = place; i < dims.n; i++) {
            if id_of(i) == id { sum += d_y[i * dims.size + j]; }
        }
        d_table[id * dims.size + j] = sum;
    }
}
